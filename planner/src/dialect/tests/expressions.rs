//! What expressions become.

use expect_test::{Expect, expect};

use super::super::*;
use super::*;

/// Each item of a SELECT list on a line of its own, without its alias.
fn items(list: &str) -> String {
    let Statement::Query(query) = one(&format!("SELECT {list} FROM t")) else { panic!("not a query") };
    let select = query.body.as_select().expect("a SELECT was parsed").clone();
    let items = select.projection.iter().map(|item| match item {
        datafusion::sql::sqlparser::ast::SelectItem::ExprWithAlias { expr, alias }
            if alias.value.starts_with("EXPR$") =>
        {
            expr.to_string()
        }
        item => item.to_string(),
    });
    items.collect::<Vec<_>>().join("\n") + "\n"
}

fn check(list: &str, expected: Expect) {
    expected.assert_eq(&items(list));
}

#[test]
fn numbers_become_typed_literals() {
    check(
        "1, -1, 3000000000, 1.50, -0.5, 1e10, a + 1, -a, -(1), +2",
        expect![[r#"
            EXTRACT(INT FROM '1')
            EXTRACT(INT FROM '-1')
            EXTRACT(BIGINT FROM '3000000000')
            EXTRACT(DECIMAL FROM '1.50')
            EXTRACT(DECIMAL FROM '-0.5')
            EXTRACT(DOUBLE FROM '1e10')
            a + EXTRACT(INT FROM '1')
            -a
            -(EXTRACT(INT FROM '1'))
            +EXTRACT(INT FROM '2')
        "#]],
    );
}

#[test]
fn casts_keep_the_text_of_every_type() {
    check(
        "CAST(a AS INT), TRY_CAST(a AS decimal(5,2)), a::STRING, CAST(a AS TIMESTAMP_LTZ(3)), CAST(a AS ROW<x INT NOT NULL, `y z` ARRAY<MAP<STRING,BYTES>>>), \
         CAST(a AS ROW(x INT, y STRING)), CAST(a AS INTERVAL DAY(2) TO SECOND(3)), CAST(a AS INTERVAL YEAR TO MONTH), CAST(a AS MULTISET<INT>), \
         CAST(a AS DOUBLE PRECISION), CAST(a AS TIMESTAMP(3) WITH LOCAL TIME ZONE), CAST(a AS TIME(0) WITHOUT TIME ZONE), CAST(a AS INT ARRAY), \
         CAST(a AS CHARACTER VARYING(3)), CAST(a AS RAW('c','s')), a::INT + b",
        expect![[r#"
            __cast(a, 'INT')
            __try_cast(a, 'DECIMAL(5, 2)')
            __cast(a, 'STRING')
            __cast(a, 'TIMESTAMP_LTZ(3)')
            __cast(a, 'ROW<x INT NOT NULL, `y z` ARRAY<MAP<STRING, BYTES>>>')
            __cast(a, 'ROW<x INT, y STRING>')
            __cast(a, 'INTERVAL DAY(2) TO SECOND(3)')
            __cast(a, 'INTERVAL YEAR TO MONTH')
            __cast(a, 'MULTISET<INT>')
            __cast(a, 'DOUBLE')
            __cast(a, 'TIMESTAMP(3) WITH LOCAL TIME ZONE')
            __cast(a, 'TIME(0)')
            __cast(a, 'INT ARRAY')
            __cast(a, 'VARCHAR(3)')
            __cast(a, 'RAW(''c'', ''s'')')
            __cast(a, 'INT') + b
        "#]],
    );
}

#[test]
fn literals_of_time_are_completed_and_have_the_digits_that_are_written() {
    check(
        "DATE '2020-2-9', TIME '1:02:03.50', TIMESTAMP '2020-02-29 12:34:56.789', TIMESTAMP '2020-02-29', \
         TIMESTAMP WITH LOCAL TIME ZONE '2020-02-29 00:00:00', INTERVAL '5' SECONDS, INTERVAL '-1 2:3:4' DAY TO SECOND(3), \
         INTERVAL '1-2' YEAR(4) TO MONTH, ts - INTERVAL '10:30' MINUTE TO SECOND, - INTERVAL '1' DAY",
        expect![[r#"
            __cast('2020-02-09', 'DATE')
            __cast('01:02:03.50', 'TIME(2)')
            __cast('2020-02-29 12:34:56.789', 'TIMESTAMP(3)')
            __cast('2020-02-29 00:00:00', 'TIMESTAMP(0)')
            __cast('2020-02-29 00:00:00', 'TIMESTAMP_LTZ(0)')
            INTERVAL '5000 milliseconds'
            INTERVAL '-93784000 milliseconds'
            INTERVAL '14 months'
            ts - INTERVAL '630000 milliseconds'
            -INTERVAL '86400000 milliseconds'
        "#]],
    );
}

#[test]
fn texts_have_no_backslash_escapes() {
    check(
        r"'it''s', 'a\n', U&'\00e9', N'x', X'0102', 'a_c' LIKE 'a\_c' ESCAPE '\', '$${x}'",
        expect![[r#"
            'it''s'
            'a\n'
            'é'
            'x'
            X'0102'
            'a_c' LIKE 'a\_c' ESCAPE '\'
            '${x}'
        "#]],
    );
}

#[test]
fn collections_and_rows_become_calls() {
    check(
        "ARRAY[1, 2], MAP['k', a], ROW(a, 'x'), (a, b), ARRAY[], tags[1], m['a'], items[1].sku, t.items[1].sku, f(a).b",
        expect![[r#"
            __array(EXTRACT(INT FROM '1'), EXTRACT(INT FROM '2'))
            __map('k', a)
            __row(a, 'x')
            __row(a, b)
            __array()
            tags[EXTRACT(INT FROM '1')]
            m['a']
            items[EXTRACT(INT FROM '1')].'sku'
            t.items[EXTRACT(INT FROM '1')].'sku'
            f(a).'b'
        "#]],
    );
}

#[test]
fn json_clauses_become_arguments() {
    check(
        "JSON_VALUE(a, '$.x'), JSON_VALUE(a, '$.x' RETURNING INT DEFAULT 7 ON EMPTY ERROR ON ERROR), JSON_VALUE(a, '$.x' NULL ON ERROR), \
         JSON_QUERY(a, '$'), JSON_QUERY(a, '$' RETURNING ARRAY<STRING> WITH CONDITIONAL ARRAY WRAPPER EMPTY OBJECT ON EMPTY ERROR ON ERROR), \
         JSON_QUERY(a, '$' WITH WRAPPER EMPTY ARRAY ON ERROR), JSON_EXISTS(a, '$.x'), JSON_EXISTS(a, '$.x' TRUE ON ERROR), \
         JSON_OBJECT(), JSON_OBJECT(KEY 'k' VALUE a, 'l' VALUE JSON_ARRAY(1) ABSENT ON NULL), JSON_OBJECT(key VALUE a, 'm' : b), \
         JSON_ARRAY(a, NULL), JSON_ARRAY(NULL ON NULL), JSON_ARRAY(a NULL ON NULL), a IS JSON, a IS NOT JSON OBJECT AND b",
        expect![[r#"
            __json_value(a, '$.x', 'STRING', 'NULL', NULL, 'NULL', NULL)
            __json_value(a, '$.x', 'INT', 'DEFAULT', EXTRACT(INT FROM '7'), 'ERROR', NULL)
            __json_value(a, '$.x', 'STRING', 'NULL', NULL, 'NULL', NULL)
            __json_query(a, '$', 'STRING', 'WITHOUT', 'NULL', 'NULL')
            __json_query(a, '$', 'ARRAY<STRING>', 'CONDITIONAL', 'EMPTY OBJECT', 'ERROR')
            __json_query(a, '$', 'STRING', 'UNCONDITIONAL', 'NULL', 'EMPTY ARRAY')
            __json_exists(a, '$.x', 'FALSE')
            __json_exists(a, '$.x', 'TRUE')
            __json_object('NULL')
            __json_object('ABSENT', 'k', a, 'l', __json_array('ABSENT', EXTRACT(INT FROM '1')))
            __json_object('NULL', key, a, 'm', b)
            __json_array('ABSENT', a, NULL)
            __json_array('NULL')
            __json_array('NULL', a)
            __is_json(a, 'VALUE')
            NOT __is_json(a, 'OBJECT') AND b
        "#]],
    );
}

#[test]
fn json_aggregates_say_in_their_name_what_they_do_with_nulls() {
    check(
        "JSON_ARRAYAGG(a), JSON_ARRAYAGG(a ABSENT ON NULL), JSON_ARRAYAGG(a NULL ON NULL), JSON_OBJECTAGG(KEY k VALUE v), \
         JSON_OBJECTAGG(k VALUE v ABSENT ON NULL) FILTER (WHERE v > 1)",
        expect![[r#"
            JSON_ARRAYAGG(a)
            JSON_ARRAYAGG(a)
            json_arrayagg_null_on_null(a)
            json_objectagg(k, v)
            json_objectagg_absent_on_null(k, v) FILTER (WHERE v > EXTRACT(INT FROM '1'))
        "#]],
    );
}

#[test]
fn functions_with_a_grammar_of_their_own_become_calls() {
    check(
        "EXTRACT(YEAR FROM ts), EXTRACT(EPOCH FROM ts), CEIL(a), CEIL(ts TO DAY), FLOOR(ts TO HOURS), TIMESTAMPADD(MONTH, 1, ts), \
         timestampdiff(SQL_TSI_DAY, a, b), OVERLAY(a PLACING 'x' FROM 2 FOR 1), POSITION('c' IN a), SUBSTRING(a FROM 2 FOR 3), SUBSTRING(a, 2), \
         TRIM(a), TRIM(LEADING 'x' FROM a), TRIM(BOTH FROM a), TRIM('x' FROM a), TRIM(a, 'x')",
        expect![[r#"
            __extract('YEAR', ts)
            __extract('EPOCH', ts)
            ceil(a)
            ceil_to(ts, 'DAY')
            floor_to(ts, 'HOUR')
            timestampadd('MONTH', EXTRACT(INT FROM '1'), ts)
            timestampdiff('DAY', a, b)
            overlay(a, 'x', EXTRACT(INT FROM '2'), EXTRACT(INT FROM '1'))
            position('c', a)
            substring(a, EXTRACT(INT FROM '2'), EXTRACT(INT FROM '3'))
            substring(a, EXTRACT(INT FROM '2'))
            __trim('BOTH', a, ' ')
            __trim('LEADING', a, 'x')
            __trim('BOTH', a, ' ')
            __trim('BOTH', a, 'x')
            __trim('BOTH', a, 'x')
        "#]],
    );
}

#[test]
fn the_clock_is_asked_by_calls() {
    check(
        "CURRENT_TIMESTAMP, LOCALTIMESTAMP, CURRENT_DATE, CURRENT_TIME, LOCALTIME, CURRENT_ROW_TIMESTAMP(), NOW(), PROCTIME(), CURRENT_TIMESTAMP(3)",
        expect![[r#"
            current_timestamp()
            localtimestamp()
            current_date()
            current_time()
            localtime()
            current_row_timestamp()
            NOW()
            PROCTIME()
            current_timestamp()
        "#]],
    );
}

#[test]
fn operators_keep_to_their_precedence() {
    check(
        "a IS NOT DISTINCT FROM b AND c, NOT a IS DISTINCT FROM b, a BETWEEN SYMMETRIC 3 AND 1 AND c, a NOT BETWEEN SYMMETRIC b AND c, \
         a BETWEEN ASYMMETRIC b AND c, a SIMILAR TO 'x%' OR b, a NOT SIMILAR TO b ESCAPE '!', (a, b) OVERLAPS (c, d), NOT EXISTS (SELECT 1 FROM u), UNKNOWN",
        expect![[r#"
            a IS NOT DISTINCT FROM b AND c
            NOT a IS DISTINCT FROM b
            (a BETWEEN EXTRACT(INT FROM '3') AND EXTRACT(INT FROM '1') OR a BETWEEN EXTRACT(INT FROM '1') AND EXTRACT(INT FROM '3')) AND c
            NOT (a BETWEEN b AND c OR a BETWEEN c AND b)
            a BETWEEN b AND c
            __similar(a, 'x%') OR b
            NOT __similar(a, b, '!')
            __overlaps(a, b, c, d)
            NOT EXISTS (SELECT EXTRACT(INT FROM '1') AS `EXPR$0` FROM u)
            __cast(NULL, 'BOOLEAN')
        "#]],
    );
}

#[test]
fn words_that_are_only_special_before_a_parenthesis_may_be_names() {
    check(
        "`date`, days, key, data, map, json, if(a, b, c), left(a, 1), t.`interval`, YEAR(d), `my col`, plan",
        expect![[r#"
            `date`
            days
            key
            data
            map
            json
            if(a, b, c)
            left(a, EXTRACT(INT FROM '1'))
            t.`interval`
            YEAR(d)
            `my col`
            plan
        "#]],
    );
}

#[test]
fn items_that_are_no_columns_are_named_by_position_and_names_do_not_repeat() {
    expect!["SELECT k, k AS `k0`, a.k AS `k1`, COUNT(*) AS `EXPR$3`, t.u.y AS `y`, v AS x, w AS `x0` FROM t"]
        .assert_eq(&query("SELECT k, k, a.k, COUNT(*), t.u.y, v AS x, w AS x FROM t"));
    expect!["SELECT *, EXTRACT(INT FROM '1') AS `EXPR$1` FROM (SELECT UPPER(a) AS `EXPR$0` FROM t)"]
        .assert_eq(&query("SELECT *, 1 FROM (SELECT UPPER(a) FROM t)"));
}

#[test]
fn limits_ordinals_and_frames_stay_plain_numbers() {
    expect!["SELECT a, b FROM t GROUP BY 1, b + EXTRACT(INT FROM '1') ORDER BY 2 DESC LIMIT 3 OFFSET 1"]
        .assert_eq(&query("SELECT a, b FROM t GROUP BY 1, b + 1 ORDER BY 2 DESC LIMIT 3 OFFSET 1"));
    expect!["SELECT a FROM t LIMIT 2 OFFSET 5 ROWS"]
        .assert_eq(&query("SELECT a FROM t OFFSET 5 ROWS FETCH FIRST 2 ROWS ONLY"));
    expect!["SELECT SUM(v) OVER (ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS `EXPR$0`, SUM(v) OVER w AS `EXPR$1` FROM t WINDOW w AS (ORDER BY ts RANGE BETWEEN INTERVAL '5000 milliseconds' PRECEDING AND CURRENT ROW)"]
        .assert_eq(&query(
            "SELECT SUM(v) OVER (ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), SUM(v) OVER w FROM t \
             WINDOW w AS (ORDER BY ts RANGE BETWEEN INTERVAL '5' SECOND PRECEDING AND CURRENT ROW)",
        ));
}

#[test]
fn a_table_is_a_query_of_all_its_rows() {
    expect!["SELECT * FROM `db`.`t` UNION ALL SELECT * FROM `u`"].assert_eq(&query("TABLE db.t UNION ALL TABLE u"));
}

#[test]
fn group_by_takes_lists_in_parentheses() {
    expect!["SELECT a FROM t GROUP BY a, b, c"].assert_eq(&query("SELECT a FROM t GROUP BY (a, b), c"));
    expect!["SELECT a FROM t GROUP BY GROUPING SETS ((a, b), (b), ())"]
        .assert_eq(&query("SELECT a FROM t GROUP BY GROUPING SETS ((a, b), (b), ())"));
}

#[test]
fn table_functions_keep_what_a_planner_needs() {
    expect!["SELECT * FROM TABLE(TUMBLE(__table(ev), DESCRIPTOR(ts), INTERVAL '600000 milliseconds', INTERVAL '-180000 milliseconds'))"]
        .assert_eq(&query("SELECT * FROM TABLE(TUMBLE(TABLE ev, DESCRIPTOR(ts), INTERVAL '10' MINUTES, INTERVAL '-3' MINUTES))"));
    expect!["SELECT * FROM TABLE(SESSION(__table(db.ev, __partition_by(k, j)), DESCRIPTOR(ts), INTERVAL '5000 milliseconds')) AS s"]
        .assert_eq(&query("SELECT * FROM TABLE(SESSION(TABLE db.ev PARTITION BY (k, j), DESCRIPTOR(ts), INTERVAL '5' SECOND)) AS s"));
    expect!["SELECT * FROM HOP(DATA => __table(ev), TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '5000 milliseconds')"]
        .assert_eq(&query(
            "SELECT * FROM HOP(DATA => TABLE ev, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '5' SECOND)",
        ));
    expect!["SELECT * FROM t CROSS JOIN LATERAL f(x) AS u (a), LATERAL g(y) AS v"]
        .assert_eq(&query("SELECT * FROM t CROSS JOIN LATERAL TABLE(f(x)) AS u(a), LATERAL TABLE(g(y)) AS v"));
    expect!["SELECT * FROM t LEFT JOIN UNNEST(tags) WITH ORDINALITY AS u (tag, pos) ON true"]
        .assert_eq(&query("SELECT * FROM t LEFT JOIN UNNEST(tags) WITH ORDINALITY AS u(tag, pos) ON TRUE"));
    expect!["SELECT * FROM o JOIN r AS r FOR SYSTEM_TIME AS OF o.ts ON o.c = r.c"]
        .assert_eq(&query("SELECT * FROM o JOIN r FOR SYSTEM_TIME AS OF o.ts AS r ON o.c = r.c"));
}

#[test]
fn a_table_argument_can_be_read_back() {
    let Statement::Query(query) = one(
        "SELECT * FROM TABLE(SESSION(TABLE c.d.ev PARTITION BY k /* why not */, DESCRIPTOR(ts), INTERVAL '-5' SECOND, 7))",
    ) else {
        panic!("not a query")
    };
    let factor = &query.body.as_select().unwrap().from[0].relation;
    let datafusion::sql::sqlparser::ast::TableFactor::TableFunction { expr, .. } = factor else { panic!("{factor}") };
    let (name, arguments) = marker::as_call(expr).unwrap();
    let table = marker::table_argument(arguments[0]).unwrap();
    assert_eq!((name.as_str(), table.relation.to_string().as_str()), ("session", "c.d.ev"));
    assert_eq!(table.partition_by[0].value, "k");
    assert_eq!(marker::descriptor(arguments[1]).unwrap()[0].value, "ts");
    assert_eq!(interval(arguments[2]), Some(Interval::Milliseconds(-5000)));
    assert_eq!(number_text(arguments[3]).as_deref(), Some("7"));
}

#[test]
fn a_pattern_may_have_a_time_limit() {
    expect!["SELECT * FROM t MATCH_RECOGNIZE(PARTITION BY k ORDER BY ts MEASURES LAST(A.v) AS l AFTER MATCH SKIP  TO NEXT ROW PATTERN (A{2,} B) DEFINE __within AS INTERVAL '3600000 milliseconds', A AS A.v > EXTRACT(INT FROM '1')) AS m"]
        .assert_eq(&query(
            "SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts MEASURES LAST(A.v) AS l AFTER MATCH SKIP TO NEXT ROW \
             PATTERN (A{2,} B) WITHIN INTERVAL '1' HOUR DEFINE A AS A.v > 1) AS m",
        ));
}
