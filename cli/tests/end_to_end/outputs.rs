//! Standard output: its formats, its reader going away, and no room behind it.

use std::process::{Command, Stdio};

use crate::process::{Process, tidemill};

const ENDLESS: &str = "CREATE TABLE g (n INT) WITH ('connector' = 'datagen');";

fn formatted(format: &str, sql: &str) -> String {
    Process::start(&mut tidemill(&["--format", format, "-c", sql])).end().succeeded()
}

#[test]
fn a_row_looks_as_its_format_says() {
    let sql = "SELECT 1 AS a, 'x,y' AS b, CAST(NULL AS INT) AS c";
    assert_eq!(formatted("csv", sql), "a,b,c\n1,\"x,y\",\n");
    assert_eq!(formatted("json", sql), "{\"a\":1,\"b\":\"x,y\",\"c\":null}\n");
    assert_eq!(formatted("markdown", sql), "| a | b | c |\n| --: | --- | --: |\n| 1 | x,y | NULL |\n");
    let table = "+---+-----+--------+\n| a | b   |      c |\n+---+-----+--------+\n| 1 | x,y | <NULL> |\n+---+-----+--------+\n";
    assert_eq!(formatted("table", sql), table);
}

#[test]
fn in_result_mode_changelog_each_change_has_its_op() {
    let sql = "SET 'sql-client.execution.result-mode' = 'changelog'; SET 'execution.runtime-mode' = 'streaming'; \
               SET 'table.exec.emit' = 'each-row'; \
               SELECT k, SUM(v) AS s FROM (VALUES ('a', 1), ('a', 2)) AS t(k, v) GROUP BY k";
    assert_eq!(formatted("csv", sql), "op,k,s\n+I,a,1\n-U,a,1\n+U,a,3\n");
    assert!(formatted("json", sql).starts_with("{\"op\":\"+I\",\"k\":\"a\",\"s\":1}\n"));
}

#[test]
fn a_finished_query_shows_its_final_rows() {
    let sql = "SET 'execution.runtime-mode' = 'streaming'; SET 'table.exec.emit' = 'each-row'; \
               SELECT k, SUM(v) AS s FROM (VALUES ('a', 1), ('a', 2)) AS t(k, v) GROUP BY k";
    assert_eq!(formatted("csv", sql), "k,s\na,3\n");
}

/// Reads one line and closes, like `| head -1`.
fn head(sql: &str) -> Process {
    let mut command = tidemill(&["--format", "csv", "-c", sql]);
    let mut process = Process::start(&mut command);
    process.line();
    process.close_output();
    process
}

#[test]
fn an_endless_query_ends_quietly_when_its_reader_has_enough() {
    for query in ["SELECT * FROM g", "SELECT COUNT(*) AS n FROM g"] {
        let ended = head(&format!("{ENDLESS} {query}")).end();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{query}");
    }
}

#[test]
fn an_endless_job_that_prints_ends_quietly_when_its_reader_has_enough() {
    for connector in ["'print'", "'stdout', 'format' = 'csv'"] {
        let sql =
            format!("{ENDLESS} CREATE TABLE o (n INT) WITH ('connector' = {connector}); INSERT INTO o SELECT * FROM g");
        let ended = head(&sql).end();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), "job 1 started: insert into o\n"), "{connector}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_room_behind_standard_output_is_an_error() {
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").expect("Linux has it"));
    let ended = Process::start(tidemill(&["-c", &format!("{ENDLESS} SELECT * FROM g")]).stdout(full())).end();
    ended.failed_saying(&["error: cannot write to standard output", "No space left on device"]);
    let sql = format!("{ENDLESS} CREATE TABLE o (n INT) WITH ('connector' = 'print'); INSERT INTO o SELECT * FROM g");
    let ended = Process::start(tidemill(&["-c", &sql]).stdout(full())).end();
    ended.failed_saying(&["error: job 1 failed: cannot print the rows of table o", "operator sink o", "No space left"]);
}

#[cfg(unix)]
#[test]
fn standard_error_may_be_closed() {
    let mut command = Command::new("sh");
    let sql = "SELECT 1 AS a; SELECT * FROM nowhere";
    command.args(["-c", "exec \"$@\" 2>&-", "sh", env!("CARGO_BIN_EXE_tidemill"), "--format", "csv", "-c", sql]);
    let ended = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped())).end();
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), "a\n1\n"));
}
