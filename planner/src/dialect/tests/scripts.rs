//! Cutting, variables, hints, and what a shell asks.

use expect_test::expect;

use super::super::*;
use super::*;

fn texts(script: &str) -> Vec<String> {
    parsed(script).into_iter().map(|parsed| parsed.text).collect()
}

#[test]
fn a_script_is_cut_at_semicolons_outside_of_quotes_and_comments() {
    let script = "-- first; not\nSELECT ';' FROM `a;b`; ;; /* ; -- ' */ SELECT 1 -- it's;\n; SELECT /* /* */ 2";
    assert_eq!(texts(script), ["SELECT ';' FROM `a;b`", "SELECT 1", "SELECT /* /* */ 2"]);
}

#[test]
fn a_quote_in_a_comment_opens_nothing_and_dashes_in_a_text_are_no_comment() {
    assert_eq!(
        texts("/* it's */ SELECT '-- no' ; -- don't\nSELECT 'it''s -- no; either'"),
        ["SELECT '-- no'", "SELECT 'it''s -- no; either'"]
    );
}

#[test]
fn a_statement_is_yielded_before_the_next_one_is_looked_at() {
    let mut found = super::super::statements("SELECT 1; SELCT 2; SELECT 3", &|_| None);
    assert!(found.next().unwrap().is_ok());
    assert!(found.next().unwrap().is_err());
    assert!(found.next().is_none(), "nothing runs after a mistake");
    let mut open = super::super::statements("SELECT 1; SELECT 'never closed", &|_| None);
    assert!(open.next().unwrap().is_ok());
    assert!(open.next().unwrap().is_err());
}

#[test]
fn places_are_those_of_the_script() {
    let places: Vec<(u64, u64)> =
        parsed("SELECT 1;\n  -- é\n\tSELECT 2; SELECT 3").iter().map(|s| (s.place.line, s.place.column)).collect();
    assert_eq!(places, [(1, 1), (3, 2), (3, 12)]);
}

#[test]
fn a_statement_set_is_one_statement_in_both_of_its_forms() {
    for script in [
        "BEGIN STATEMENT SET;\nINSERT INTO a SELECT 1;\nINSERT INTO b SELECT 2;\nEND; SELECT 1",
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; INSERT INTO b SELECT CASE WHEN TRUE THEN 1 END; END; SELECT 1",
    ] {
        let statements = parsed(script);
        assert_eq!(statements.len(), 2);
        let Statement::StatementSet(inserts) = &statements[0].statement else { panic!("{:?}", statements[0]) };
        let tables: Vec<&str> = inserts.iter().map(|insert| insert.table.last()).collect();
        assert_eq!(tables, ["a", "b"]);
    }
    let explained = one("EXPLAIN CHANGELOG_MODE, ESTIMATED_COST STATEMENT SET BEGIN INSERT INTO a SELECT 1; END;");
    assert!(
        matches!(explained, Statement::Explain(Explain { details, statement }) if details.len() == 2 && matches!(*statement, Statement::StatementSet(_)))
    );
}

#[test]
fn a_shell_knows_when_a_statement_is_complete() {
    for complete in [
        "",
        "  -- note\n",
        "SELECT 1;",
        "SELECT ';';",
        "quit",
        "SELECT 1; -- done",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; END;",
        "SELECT 1; help",
    ] {
        assert!(is_complete(complete), "{complete}");
    }
    for incomplete in [
        "SELECT 1",
        "SELECT ';",
        "SELECT 1 /* ;",
        "SELECT 1; /* open",
        "SELECT `a;",
        "SELECT 1 -- ;",
        "SELECT 1; SELECT",
        "BEGIN STATEMENT SET;",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT 1;",
        "BEGIN STATEMENT SET; INSERT INTO a SELECT CASE WHEN a THEN 1 END;",
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;",
        "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; END",
    ] {
        assert!(!is_complete(incomplete), "{incomplete}");
    }
}

fn with_variables(script: &str) -> Result<Vec<String>, String> {
    let variables = |name: &str| match name {
        "DIR" => Some("/data".to_string()),
        "N" => Some("3".to_string()),
        "LINES" => Some("1\n+ 2".to_string()),
        _ => None,
    };
    parse(script, &variables)
        .map(|all| all.into_iter().map(|one| one.text).collect())
        .map_err(|error| render(&error, script))
}

#[test]
fn variables_are_replaced_in_texts_and_outside_but_not_in_comments() {
    let script = "SELECT '${DIR}/x', ${N}, ${M:-4}, '$${DIR}', '${1}' -- ${UNKNOWN}\n, '--${DIR}'";
    assert_eq!(
        with_variables(script).unwrap(),
        ["SELECT '/data/x', 3, 4, '${DIR}', '${1}' -- ${UNKNOWN}\n, '--/data'"]
    );
    assert_eq!(
        with_variables("SELECT * FROM t /*+ OPTIONS('path'='${DIR}') */").unwrap(),
        ["SELECT * FROM t /*+ OPTIONS('path'='/data') */"]
    );
}

#[test]
fn an_undefined_variable_is_an_error_with_the_fix() {
    expect![[r#"
        error: variable PATH_TO is not defined
          2 | SELECT '${PATH_TO}/x'
            |         ^^^^^^^^^^
          why: the script says ${PATH_TO}, and there is neither such an environment variable nor a default
          fix: define PATH_TO, or give a default: ${PATH_TO:-value}; for the characters themselves write $${"#]]
    .assert_eq(&with_variables("SELECT 1;\nSELECT '${PATH_TO}/x'").unwrap_err());
}

#[test]
fn errors_behind_a_variable_are_placed_in_the_script_as_it_was_typed() {
    expect![[r#"
        error: did not expect "WHERE" here
          1 | SELECT ${LINES}, '${DIR}' FROM WHERE
            |                                ^^^^^
          why: expected a name"#]]
    .assert_eq(&with_variables("SELECT ${LINES}, '${DIR}' FROM WHERE").unwrap_err());
}

#[test]
fn an_options_hint_belongs_to_the_table_before_it() {
    expect!["SELECT * FROM ev AS a WITH (__options('path', 'x', 'n', '1')) JOIN db.t WITH (__options('k', 'v')) ON a.k = t.k"]
        .assert_eq(&query("SELECT * FROM ev /*+ OPTIONS('path'='x', n = 1) */ AS a JOIN db.t/*+OPTIONS('k'='v')*/ ON a.k = t.k"));
    expect!["SELECT * FROM o JOIN r WITH (__options('k', 'v')) FOR SYSTEM_TIME AS OF o.ts ON o.c = r.c"]
        .assert_eq(&query("SELECT * FROM o JOIN r /*+ OPTIONS('k'='v') */ FOR SYSTEM_TIME AS OF o.ts ON o.c = r.c"));
    expect![
        "SELECT * FROM TABLE(TUMBLE(__table(ev, __options('k', 'v')), DESCRIPTOR(ts), INTERVAL '1000 milliseconds'))"
    ]
    .assert_eq(&query(
        "SELECT * FROM TABLE(TUMBLE(TABLE ev /*+ OPTIONS('k'='v') */, DESCRIPTOR(ts), INTERVAL '1' SECOND))",
    ));
    let Statement::Insert(insert) =
        one("INSERT INTO t /*+ OPTIONS('sink.parallelism'='2') */ SELECT * FROM t /*+ OPTIONS('a'='b') */")
    else {
        panic!("no insert")
    };
    assert_eq!(insert.table_options, [("sink.parallelism".to_string(), "2".to_string())]);
    expect!["SELECT * FROM t WITH (__options('a', 'b'))"].assert_eq(&insert.query.query.to_string());
}

#[test]
fn the_options_of_a_table_can_be_read_back() {
    let Statement::Query(query) = one("SELECT * FROM ev /*+ OPTIONS('a'='1','b'='2') */") else { panic!("no query") };
    let datafusion::sql::sqlparser::ast::TableFactor::Table { with_hints, .. } =
        &query.body.as_select().unwrap().from[0].relation
    else {
        panic!("no table")
    };
    let options = marker::table_options(with_hints);
    assert_eq!(options, [("a".to_string(), "1".to_string()), ("b".to_string(), "2".to_string())]);
}

#[test]
fn other_hints_are_accepted_and_reported() {
    let statement = parsed("SELECT /*+ BROADCAST(a), LOOKUP('table'='a') */ * FROM a /*+ PARALLELISM(4) */").remove(0);
    let names: Vec<&str> = statement.hints.iter().map(|hint| hint.name.as_str()).collect();
    assert_eq!(names, ["BROADCAST", "LOOKUP", "PARALLELISM"]);
    assert_eq!(statement.hints[2].place, Place { line: 1, column: 58, width: 21 });
}

#[test]
fn a_hint_inside_a_view_survives_in_its_text() {
    let Statement::CreateView(view) = one("CREATE VIEW v AS SELECT * FROM t /*+ OPTIONS('a'='b') */ ;") else {
        panic!("no view")
    };
    assert_eq!(view.query.text, "SELECT * FROM t /*+ OPTIONS('a'='b') */");
}

#[test]
fn a_very_long_script_is_read_in_linear_time() {
    let script = "INSERT INTO t VALUES (1, 'a text; with a semicolon', -2.5); -- and a note\n".repeat(2_000);
    let started = std::time::Instant::now();
    assert_eq!(super::super::statements(&script, &|_| None).filter(|parsed| parsed.is_ok()).count(), 2_000);
    // Quadratic time would be minutes; this bound is generous to slow machines.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
