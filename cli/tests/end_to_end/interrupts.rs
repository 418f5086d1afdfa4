//! Ctrl-C and friends on work that would never end.

#![cfg(unix)]

use std::net::TcpListener;

use crate::process::Process;

const ENDLESS: &str = "CREATE TABLE g (n INT) WITH ('connector' = 'datagen');";

#[test]
fn an_endless_query_ends_with_ctrl_c() {
    for query in ["SELECT n FROM g", "SELECT COUNT(*) AS n FROM g"] {
        let mut process = Process::of(&format!("{ENDLESS} {query}"));
        process.line();
        process.signal("INT");
        assert_eq!(process.end().code, Some(130), "{query}");
    }
}

#[test]
fn an_endless_job_ends_with_ctrl_c() {
    let sql = "CREATE TABLE o (n INT) WITH ('connector' = 'blackhole'); INSERT INTO o SELECT * FROM g";
    let mut process = Process::of(&format!("{ENDLESS} {sql}"));
    process.until_error("job 1 started");
    process.signal("INT");
    assert_eq!(process.end().code, Some(130));
}

#[test]
fn ctrl_c_ends_a_query_that_waits_for_its_first_row() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let table = format!(
        "CREATE TABLE t (l STRING) WITH ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{port}');"
    );
    let mut process = Process::of(&format!("SELECT 1 AS a; {table} SELECT l FROM t"));
    assert_eq!([process.line(), process.line()], ["a", "1"]);
    process.signal("INT");
    assert_eq!(process.end().code, Some(130));
}

#[test]
fn a_job_whose_sink_is_stuck_ends_with_ctrl_c() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let sql = format!(
        "CREATE TABLE o (n INT) WITH ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{port}', \
         'format' = 'csv'); INSERT INTO o SELECT * FROM g"
    );
    let mut process = Process::of(&format!("{ENDLESS} {sql}"));
    let _never_read = listener.accept().expect("the table connects");
    process.until_error("job 1 started");
    process.signal("INT");
    assert_eq!(process.end().code, Some(130));
}

#[test]
fn a_job_that_is_told_to_terminate_does() {
    let sql = "CREATE TABLE o (n INT) WITH ('connector' = 'blackhole'); INSERT INTO o SELECT * FROM g";
    let mut process = Process::of(&format!("{ENDLESS} {sql}"));
    process.until_error("job 1 started");
    process.signal("TERM");
    assert_eq!(process.end().code, Some(143));
}
