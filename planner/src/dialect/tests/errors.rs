//! What a mistake looks like.

use expect_test::{Expect, expect};

use super::error;

fn check(script: &str, expected: Expect) {
    expected.assert_eq(&error(script));
}

#[test]
fn a_missing_expression_is_pointed_at() {
    check(
        "-- a note\nSELECT FROM WHERE;",
        expect![[r#"
        error: did not expect "FROM" here
          2 | SELECT FROM WHERE;
            |        ^^^^
          why: expected an expression"#]],
    );
    check(
        "SELECT a, FROM t",
        expect![[r#"
        error: did not expect "FROM" here
          1 | SELECT a, FROM t
            |           ^^^^
          why: expected an expression"#]],
    );
    check(
        "SELECT * FROM t WHERE",
        expect![[r#"
        error: the statement ends too early
          1 | SELECT * FROM t WHERE
            |                      ^
          why: expected an expression"#]],
    );
    check(
        "SELECT (a + FROM t",
        expect![[r#"
        error: did not expect "FROM" here
          1 | SELECT (a + FROM t
            |             ^^^^
          why: expected an expression"#]],
    );
}

#[test]
fn a_mistake_deep_inside_is_found_where_it_is() {
    check(
        "SELECT a FROM (SELECT b FROM (SELECT *, value FROM t) WHERE x = 1) AS s",
        expect![[r#"
        error: "value" is a reserved word and cannot be a name as it is
          1 | SELECT a FROM (SELECT b FROM (SELECT *, value FROM t) WHERE x = 1) AS s
            |                                         ^^^^^
          fix: quote it with backticks: `value`"#]],
    );
    check(
        "SELECT a FROM (SELECT b, COUNT(*) FRM t GROUP BY b)",
        expect![[r#"
            error: "FRM" is not a keyword
              1 | SELECT a FROM (SELECT b, COUNT(*) FRM t GROUP BY b)
                |                                   ^^^
              fix: did you mean FROM?"#]],
    );
    check(
        "SELECT * FROM TABLE(TUMBLE(DATA => TABLE t, SIZE => INTERVAL '5'))",
        expect![[r#"
        error: the interval '5' has no unit of time behind it
          1 | SELECT * FROM TABLE(TUMBLE(DATA => TABLE t, SIZE => INTERVAL '5'))
            |                                                              ^^^
          fix: write INTERVAL '5' SECOND"#]],
    );
}

#[test]
fn a_reserved_word_as_a_name_gets_backticks() {
    check(
        "SELECT 1;\nSELECT value FROM ev",
        expect![[r#"
        error: "value" is a reserved word and cannot be a name as it is
          2 | SELECT value FROM ev
            |        ^^^^^
          fix: quote it with backticks: `value`"#]],
    );
    check(
        "SELECT v AS value FROM ev",
        expect![[r#"
        error: "value" is a reserved word and cannot be a name as it is
          1 | SELECT v AS value FROM ev
            |             ^^^^^
          fix: quote it with backticks: `value`"#]],
    );
    check(
        "SELECT * FROM one",
        expect![[r#"
        error: "one" is a reserved word and cannot be a name as it is
          1 | SELECT * FROM one
            |               ^^^
          fix: quote it with backticks: `one`"#]],
    );
    check(
        "SELECT * FROM t AS out",
        expect![[r#"
        error: "out" is a reserved word and cannot be a name as it is
          1 | SELECT * FROM t AS out
            |                    ^^^
          fix: quote it with backticks: `out`"#]],
    );
    check(
        "CREATE TABLE t (date DATE)",
        expect![[r#"
        error: "date" is a reserved word and cannot be a name as it is
          1 | CREATE TABLE t (date DATE)
            |                 ^^^^
          fix: quote it with backticks: `date`"#]],
    );
    check(
        "SELECT user.id FROM t",
        expect![[r#"
        error: "user" is a reserved word and cannot be a name as it is
          1 | SELECT user.id FROM t
            |        ^^^^
          fix: quote it with backticks: `user`"#]],
    );
}

#[test]
fn a_reserved_word_as_an_alias_without_as_gets_backticks_too() {
    check(
        "SELECT v value FROM ev",
        expect![[r#"
        error: did not expect "value" here
          1 | SELECT v value FROM ev
            |          ^^^^^
          why: expected the end of the statement
          fix: if it is meant as a name, quote it with backticks: `value`"#]],
    );
}

#[test]
fn a_misspelt_keyword_is_named() {
    check(
        "SELCT 1",
        expect![[r#"
        error: "SELCT" is not a keyword
          1 | SELCT 1
            | ^^^^^
          fix: did you mean SELECT?"#]],
    );
    check(
        "SELECT k FORM ev",
        expect![[r#"
        error: "FORM" is not a keyword
          1 | SELECT k FORM ev
            |          ^^^^
          fix: did you mean FROM?"#]],
    );
    check(
        "SELECT k FROM ev GRUOP BY k",
        expect![[r#"
        error: "GRUOP" is not a keyword
          1 | SELECT k FROM ev GRUOP BY k
            |                  ^^^^^
          fix: did you mean GROUP?"#]],
    );
    check(
        "CREATE TBALE t (a INT)",
        expect![[r#"
        error: "TBALE" is not a keyword
          1 | CREATE TBALE t (a INT)
            |        ^^^^^
          fix: did you mean TABLE?"#]],
    );
    check(
        "INSERT INOT t SELECT 1",
        expect![[r#"
        error: "INOT" is not a keyword
          1 | INSERT INOT t SELECT 1
            |        ^^^^
          fix: did you mean INTO?"#]],
    );
    check(
        "FOO BAR",
        expect![[r#"
        error: did not expect "FOO" here
          1 | FOO BAR
            | ^^^
          why: expected a statement"#]],
    );
}

#[test]
fn quotes_of_other_dialects_are_explained() {
    check(
        "SELECT \"a\" FROM t",
        expect![[r#"
        error: "a" is in double quotes, which mean nothing in Flink SQL
          1 | SELECT "a" FROM t
            |        ^^^
          fix: write 'a' for a text, `a` for a name"#]],
    );
    check(
        "SELECT a FROM \"t\"",
        expect![[r#"
            error: "t" is in double quotes, which mean nothing in Flink SQL
              1 | SELECT a FROM "t"
                |               ^^^
              fix: write 't' for a text, `t` for a name"#]],
    );
    check(
        "SELECT a AS 'x' FROM t",
        expect![[r#"
            error: 'x' is not a name
              1 | SELECT a AS 'x' FROM t
                |             ^^^
              why: names are quoted with backticks
              fix: write `x`"#]],
    );
}

#[test]
fn what_is_never_closed_is_said() {
    check(
        "SELECT 'abc FROM t;\nSELECT 2;",
        expect![[r#"
        error: a text that begins with ' has no end
          1 | SELECT 'abc FROM t;
            |        ^^^^^^^^^^^^
          why: everything behind the opening quote belongs to the text
          fix: close it with '; a quote inside a text is written twice: 'it''s'"#]],
    );
    check(
        "SELECT `abc FROM t;",
        expect![[r#"
        error: a name that begins with ` has no end
          1 | SELECT `abc FROM t;
            |        ^^^^^^^^^^^^
          fix: close it with `"#]],
    );
    check(
        "SELECT \"abc FROM t",
        expect![[r#"
        error: "..." is in double quotes, which mean nothing in Flink SQL
          1 | SELECT "abc FROM t
            |        ^^^^^^^^^^^
          fix: write '...' for a text, `...` for a name"#]],
    );
    check(
        "SELECT 1 /* abc",
        expect![[r#"
            error: a comment that begins with /* has no end
              1 | SELECT 1 /* abc
                |          ^^^^^^
              fix: close it with */"#]],
    );
    check(
        "SELECT f(a FROM t",
        expect![[r#"
        error: did not expect "FROM" here
          1 | SELECT f(a FROM t
            |            ^^^^
          why: expected )"#]],
    );
    check(
        "BEGIN STATEMENT SET; INSERT INTO t SELECT 1;",
        expect![[r#"
        error: the statement set has no end
          1 | BEGIN STATEMENT SET; INSERT INTO t SELECT 1;
            |                                             ^
          fix: close it with END;"#]],
    );
}

#[test]
fn literals_that_are_wrong_show_a_right_one() {
    check(
        "SELECT DATE '2020-13-01'",
        expect![[r#"
        error: '2020-13-01' is not a DATE
          1 | SELECT DATE '2020-13-01'
            |             ^^^^^^^^^^^^
          fix: write a date such as '2020-12-31'"#]],
    );
    check(
        "SELECT INTERVAL '5 days'",
        expect![[r#"
            error: the interval '5 days' has no unit of time behind it
              1 | SELECT INTERVAL '5 days'
                |                 ^^^^^^^^
              fix: write INTERVAL '5' DAY"#]],
    );
    check(
        "SELECT INTERVAL '5' DAY TO SECOND",
        expect![[r#"
        error: '5' is not an interval of DAY TO SECOND
          1 | SELECT INTERVAL '5' DAY TO SECOND
            |                 ^^^
          fix: write INTERVAL '1 12:30:00' DAY TO SECOND"#]],
    );
    check(
        "SELECT MAP['a', 1, 'b']",
        expect![[r#"
        error: the last key of the MAP has no value
          1 | SELECT MAP['a', 1, 'b']
            |           ^
          why: keys and values alternate
          fix: write MAP['key1', value1, 'key2', value2]"#]],
    );
}

#[test]
fn table_definitions_are_checked_for_what_cannot_be() {
    check(
        "CREATE TABLE t (a INT, PRIMARY KEY (a))",
        expect![[r#"
        error: a primary key cannot be enforced
          1 | CREATE TABLE t (a INT, PRIMARY KEY (a))
            |                                      ^
          why: the table's rows are kept outside, where others may write them too
          fix: write PRIMARY KEY (a) NOT ENFORCED"#]],
    );
    check(
        "CREATE TABLE t (a, b INT)",
        expect![[r#"
        error: column "a" has no type
          1 | CREATE TABLE t (a, b INT)
            |                 ^
          fix: write a STRING, or another type"#]],
    );
    check(
        "CREATE TABLE t (a INT) WITH ('connector' 'print')",
        expect![[r#"
        error: did not expect 'print' here
          1 | CREATE TABLE t (a INT) WITH ('connector' 'print')
            |                                          ^^^^^^^
          why: expected = behind the option 'connector'
          fix: write 'connector' = 'value'"#]],
    );
    check(
        "CREATE TABLE t (a INT) WITH ('a'='1', 'a'='2')",
        expect![[r#"
        error: option 'a' is given twice
          1 | CREATE TABLE t (a INT) WITH ('a'='1', 'a'='2')
            |                                       ^^^
          fix: leave one of them out"#]],
    );
    check(
        "CREATE TABLE t (a INT UNIQUE)",
        expect![[r#"
        error: UNIQUE is not supported
          1 | CREATE TABLE t (a INT UNIQUE)
            |                       ^^^^^^
          why: it would have to be checked against every row ever seen
          fix: declare the PRIMARY KEY (..) NOT ENFORCED, or leave it out"#]],
    );
    check(
        "CREATE TABLE t (a ARRAY<INT, b INT)",
        expect![[r#"
            error: did not expect "INT" here
              1 | CREATE TABLE t (a ARRAY<INT, b INT)
                |                                ^^^
              why: expected a comma or > in the type
              fix: if it is meant as a name, quote it with backticks: `INT`"#]],
    );
    check(
        "CREATE TABLE t (\n  a INT\n  b INT\n)",
        expect![[r#"
        error: did not expect "b" here
          3 |   b INT
            |   ^
          why: expected a comma or )"#]],
    );
}

#[test]
fn statements_that_are_not_for_us_are_refused_with_the_reason() {
    check(
        "ADD JAR 'x.jar'",
        expect![[r#"
        error: ADD JAR is not supported
          1 | ADD JAR 'x.jar'
            | ^^^
          why: there is no Java here, so a jar could not be run
          fix: use the built-in connectors and functions: SHOW FUNCTIONS"#]],
    );
    check(
        "EXECUTE PLAN 'p.json'",
        expect![[r#"
        error: EXECUTE PLAN is not supported
          1 | EXECUTE PLAN 'p.json'
            | ^^^^^^^
          why: plans are not kept as files: a job is its SQL text, and what changed in it is found when it is restored
          fix: run the INSERT itself"#]],
    );
    check(
        "UPDATE t SET a = 1",
        expect![[r#"
        error: UPDATE cannot be run on a stream
          1 | UPDATE t SET a = 1
            | ^^^^^^
          why: rows of a stream change when their source changes them
          fix: change the source, or write a query whose result is what you want and INSERT it"#]],
    );
    check(
        "CREATE FUNCTION f AS 'com.x.F'",
        expect![[r#"
        error: CREATE FUNCTION is not supported
          1 | CREATE FUNCTION f AS 'com.x.F'
            |        ^^^^^^^^
          why: Flink's functions are Java or Python classes, and neither runs here
          fix: use the built-in functions: SHOW FUNCTIONS"#]],
    );
    check(
        "BEGIN STATEMENT SET; SELECT 1; END;",
        expect![[r#"
        error: a statement set holds INSERT statements, not SELECT
          1 | BEGIN STATEMENT SET; SELECT 1; END;
            |                      ^^^^^^
          why: its statements run together as one job
          fix: move this statement before the set, or close the set with END;"#]],
    );
    check(
        "EXPLAIN SHOW TABLES",
        expect![[r#"
        error: EXPLAIN cannot explain this
          1 | EXPLAIN SHOW TABLES
            |         ^^^^
          why: only a query has a plan
          fix: EXPLAIN takes SELECT, INSERT, EXECUTE STATEMENT SET, and CREATE TABLE or VIEW .. AS SELECT"#]],
    );
    check(
        "SELECT a INTO b FROM t",
        expect![[r#"
            error: a query cannot be selected INTO b
              1 | SELECT a INTO b FROM t
                |               ^
              fix: write INSERT INTO b SELECT ..., or CREATE TABLE b AS SELECT ..."#]],
    );
    check(
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        expect![[r#"
            error: WITH cannot stand before a statement that writes
              1 | WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a
                | ^^^^
              fix: write INSERT INTO t WITH ... SELECT ..."#]],
    );
}

#[test]
fn what_follows_a_statement_is_an_error() {
    check(
        "SELECT a FROM t WHERE a = 1 b",
        expect![[r#"
        error: did not expect "b" here
          1 | SELECT a FROM t WHERE a = 1 b
            |                             ^
          why: expected the end of the statement"#]],
    );
    check(
        "SHOW TABLES FOO",
        expect![[r#"
        error: did not expect "FOO" here
          1 | SHOW TABLES FOO
            |             ^^^
          why: expected the end of the statement"#]],
    );
    check(
        "SET 'a' 'b'",
        expect![[r#"
        error: did not expect 'b' here
          1 | SET 'a' 'b'
            |         ^^^
          why: expected = behind 'a'
          fix: write SET 'a' = 'value'"#]],
    );
}

#[test]
fn a_long_line_is_cut_around_the_place() {
    let script = format!("SELECT {}, FROM t", (0..100).map(|n| format!("column{n}")).collect::<Vec<_>>().join(", "));
    check(
        &script,
        expect![[r#"
            error: did not expect "FROM" here
              1 | ...olumn92, column93, column94, column95, column96, column97, column98, column99, FROM t
                |                                                                                   ^^^^
              why: expected an expression"#]],
    );
}

#[test]
fn the_caret_stands_below_its_place_behind_tabs_and_wide_letters() {
    check(
        "SELECT\t'é',\tFROM t",
        expect![[r#"
        error: did not expect "FROM" here
          1 | SELECT	'é',	FROM t
            |       	    	^^^^
          why: expected an expression"#]],
    );
}
