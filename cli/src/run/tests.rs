//! Scripts against canned answers: what is printed where, and the exit code.

use expect_test::{Expect, expect};

use super::*;
use crate::connection::canned::Canned;
use crate::render::Format;
use crate::screen::paper;

struct Ran {
    exit: Exit,
    out: String,
    err: String,
    executed: Vec<String>,
}

fn run_with(scripts: &[&str], format: Format, interrupted: bool) -> Ran {
    let (mut screen, out, err) = paper::screen(format);
    let mut connection = Canned::default();
    let scripts: Vec<Script> =
        scripts.iter().map(|text| Script { origin: Some("a.sql".to_string()), text: text.to_string() }).collect();
    let variables = Variables::new([("MODE".to_string(), "changelog".to_string())]);
    let interrupts = Interrupts::default();
    if interrupted {
        interrupts.press();
    }
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let exit = runtime
        .block_on(scripts_to_end(&mut connection, &scripts, &variables, &mut screen, &interrupts))
        .expect("paper takes everything");
    Ran { exit, out: out.text(), err: err.text(), executed: connection.executed }
}

fn run(script: &str) -> Ran {
    run_with(&[script], Format::Csv, false)
}

fn check(ran: &Ran, exit: Exit, out: Expect, err: Expect) {
    assert_eq!(ran.exit, exit);
    out.assert_eq(&ran.out);
    err.assert_eq(&ran.err);
}

#[test]
fn only_results_go_to_standard_output() {
    let ran = run("CREATE TABLE t (a INT) WITH ('connector' = 'print'); SHOW TABLES; EXPLAIN SELECT 1; SELECT 1;");
    check(
        &ran,
        Exit::Succeeded,
        expect![[r#"
        word,n
        orders,1
        a plan
        word,n
        one,1
    "#]],
        expect![[r#""#]],
    );
}

#[test]
fn a_failing_statement_ends_the_script_with_its_place() {
    let ran = run("SELECT 1;\n  SELECT foo;\nSELECT 1;");
    assert_eq!(ran.executed, ["SELECT 1", "SELECT foo"]);
    check(
        &ran,
        Exit::Failed,
        expect![[r#"
        word,n
        one,1
    "#]],
        expect![[r#"
            error: nobody knows the answer
              --> a.sql:2:3
              2 |   SELECT foo;
                |   ^^^^^^
              fix: ask another question
        "#]],
    );
}

#[test]
fn a_mistake_further_down_keeps_nothing_from_running() {
    let ran = run("SELECT 1;\nSELECT FROM WHERE;");
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failed, "word,n\none,1\n"));
    assert!(ran.err.contains("--> a.sql:2:8"), "{}", ran.err);
}

#[test]
fn a_query_that_fails_midway_keeps_its_rows_and_fails_the_script() {
    check(
        &run("SELECT broken; SELECT 1"),
        Exit::Failed,
        expect![[r#"
        word,n
        one,1
    "#]],
        expect![[r#"
            error: cannot decode a record
              --> a.sql:1:1
              1 | SELECT broken; SELECT 1
                | ^^^^^^
              why: it is cut off
        "#]],
    );
}

#[test]
fn quit_ends_all_scripts_with_success() {
    let ran = run_with(&["SELECT 1; QUIT; SELECT 1", "SELECT 1"], Format::Csv, false);
    assert_eq!((ran.exit, ran.executed.len()), (Exit::Succeeded, 1));
}

#[test]
fn a_script_waits_for_its_jobs_and_fails_with_them() {
    check(
        &run("INSERT INTO t SELECT 1"),
        Exit::Succeeded,
        expect![[r#""#]],
        expect![[r#"
        job 1 started: insert into sink
        job 1: 2 records skipped
    "#]],
    );
    check(
        &run("INSERT INTO broken SELECT 1"),
        Exit::Failed,
        expect![[r#""#]],
        expect![[r#"
        job 1 started: insert into broken
        error: job 1 failed: the disk is full
    "#]],
    );
}

#[test]
fn a_bounded_updating_query_prints_the_rows_that_remain() {
    check(
        &run("SELECT counts"),
        Exit::Succeeded,
        expect![[r#"
        word,n
        tide,2
        mill,1
    "#]],
        expect![[r#""#]],
    );
}

#[test]
fn changelog_mode_prints_changes_but_not_for_a_batch_query() {
    let ran = run("SET 'sql-client.execution.result-mode' = '${MODE}'; SELECT counts; SELECT 1;");
    check(
        &ran,
        Exit::Succeeded,
        expect![[r#"
        op,word,n
        +I,tide,1
        +I,mill,1
        -U,tide,1
        +U,tide,2
        word,n
        one,1
    "#]],
        expect![[r#""#]],
    );
    let wrong = run("SET 'sql-client.execution.result-mode' = 'tabular'; SELECT 1;");
    check(
        &wrong,
        Exit::Failed,
        expect![[r#""#]],
        expect![[r#"
            error: 'tabular' is no result mode
              --> a.sql:1:1
              1 | SET 'sql-client.execution.result-mode' = 'tabular'; SELECT 1;
                | ^^^
              fix: SET 'sql-client.execution.result-mode' = 'table', 'changelog' or 'tableau'
        "#]],
    );
}

#[test]
fn ctrl_c_ends_an_endless_query_after_the_rows_it_had() {
    let ran = run_with(&["SELECT * FROM endless; SELECT 1"], Format::Table, true);
    check(
        &ran,
        Exit::Interrupted,
        expect![[r#"
        +------------------+------------+
        | word             |          n |
        +------------------+------------+
        | a                |          1 |
        | b                |          2 |
        +------------------+------------+
    "#]],
        expect![[r#""#]],
    );
    let ran = run_with(&["SELECT endless counts"], Format::Table, true);
    check(
        &ran,
        Exit::Interrupted,
        expect![[r#"
        +----+------------------+------------+
        | op | word             |          n |
        +----+------------------+------------+
        | +I | tide             |          1 |
        | +I | mill             |          1 |
        | -U | tide             |          1 |
        | +U | tide             |          2 |
        +----+------------------+------------+
    "#]],
        expect![[r#""#]],
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut screen, ..) = paper::screen(Format::Csv);
    screen.out = Box::new(Closed);
    let scripts = [Script { origin: None, text: "SELECT 1".to_string() }];
    let (mut connection, variables, interrupts) = (Canned::default(), Variables::default(), Interrupts::default());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let end = scripts_to_end(&mut connection, &scripts, &variables, &mut screen, &interrupts);
    let failure = runtime.block_on(end).unwrap_err();
    assert_eq!(Exit::from(failure), Exit::Succeeded);
}
