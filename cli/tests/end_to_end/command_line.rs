//! Scripts, statements as arguments, and exit codes.

use std::process::Stdio;

use crate::process::{Process, run, run_with_input, tidemill};

#[test]
fn what_is_piped_in_can_be_queried() {
    let sql = "CREATE TABLE x (k STRING, v INT) WITH ('connector' = 'stdin', 'format' = 'csv'); \
               SELECT k, SUM(v) AS s FROM x GROUP BY k";
    let out = run_with_input(sql, b"a,1\nb,2\na,3\n").succeeded();
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["+I,a,4", "+I,b,2", "op,k,s"], "a pipe may never end, so it shows changes");
    let bounded = sql.replace("'csv')", "'csv', 'bounded' = 'true')") + " ORDER BY k";
    assert_eq!(run_with_input(&bounded, b"a,1\nb,2\na,3\n").succeeded(), "k,s\na,4\nb,2\n");
}

#[test]
fn a_script_can_be_piped_in() {
    let mut process = Process::start(tidemill(&["--format", "csv"]).stdin(Stdio::piped()));
    process.input("SELECT 1 AS a;\nSELECT 2 AS b");
    assert_eq!(process.end().succeeded(), "a\n1\nb\n2\n");
}

#[test]
fn the_statement_that_fails_is_the_last() {
    let ended = run("SELECT 1 AS a; SELECT * FROM nowhere; SELECT 2 AS b");
    assert_eq!(ended.failed_saying(&["error: unknown table nowhere"]).out, "a\n1\n");
    let ended = run("SELECT 1 AS a; SELECT CAST('x' AS INT) AS b; SELECT 2 AS c");
    assert!(ended.failed_saying(&["cannot cast 'x' to INT"]).out.starts_with("a\n1\n"));
}

#[test]
fn an_error_shows_its_place_in_the_script() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().join("a.sql");
    std::fs::write(&path, "SELECT 1 AS a;\n\nSELECT b\n  FROM nowhere;\n").expect("there is room for a file");
    let path = path.to_str().expect("temporary paths are UTF-8");
    let ended = Process::start(&mut tidemill(&["run", path])).end();
    let shown =
        format!("error: unknown table nowhere\n  --> {path}:4:8\n  4 |   FROM nowhere;\n    |        ^^^^^^^\n");
    ended.failed_saying(&[&shown]);
}

#[test]
fn a_script_waits_for_its_jobs_and_fails_with_them() {
    let jobs = "CREATE TABLE g (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '3', 'fields.n.kind' = 'sequence', \
                'fields.n.start' = '0', 'fields.n.end' = '9'); \
                CREATE TABLE o (n INT) WITH ('connector' = 'print'); ";
    let ended = run(&format!("{jobs} INSERT INTO o SELECT n FROM g"));
    assert_eq!(ended.succeeded(), "+I[0]\n+I[1]\n+I[2]\n");
    let ended = run(&format!("{jobs} INSERT INTO o SELECT 1 / n FROM g"));
    ended.failed_saying(&["error: job 1 failed: division by zero", "operator project"]);
}

#[test]
fn what_cannot_be_run_at_all_is_wrong_usage() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let binary = directory.path().join("b.sql");
    std::fs::write(&binary, [0xff, 0xfe, 0]).expect("there is room for a file");
    let paths = [directory.path().join("none.sql"), directory.path().to_path_buf(), binary];
    for path in paths {
        let path = path.to_str().expect("temporary paths are UTF-8");
        let ended = Process::start(&mut tidemill(&["run", path])).end();
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(ended.err.starts_with(&format!("error: cannot read script {path}\n  why: ")), "{}", ended.err);
    }
}

#[test]
fn nothing_to_do_is_a_success() {
    for sql in ["", ";;", "-- nothing"] {
        assert_eq!(run(sql).succeeded(), "");
    }
}
