//! Sockets on loopback, and what their other end may do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::process::{Process, run};

/// Listens on a free port and says which.
fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

/// A port nobody listens on: it was free a moment ago.
fn free_port() -> u16 {
    server().1
}

fn lines(port: u16, options: &str) -> String {
    format!(
        "CREATE TABLE lines (line STRING) WITH \
         ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{port}'{options});"
    )
}

const WORD_COUNT: &str = "SELECT word, COUNT(*) AS n \
    FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) GROUP BY word";

/// Connects to a table that listens, as soon as it does.
fn connect(port: u16, process: &mut Process) -> TcpStream {
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(_) => assert!(process.is_running(), "it ended before it listened"),
        }
    }
}

/// Closes so that the other end sees a reset and not an end, as when a machine dies.
fn reset(peer: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime can be built");
    let _inside = runtime.enter();
    peer.set_nonblocking(true).expect("it is open");
    let peer = tokio::net::TcpStream::from_std(peer).expect("it is open");
    peer.set_zero_linger().expect("it is open");
}

fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("the process reads");
}

#[track_caller]
fn expect_lines(process: &mut Process, expected: &[&str]) {
    for expected in expected {
        assert_eq!(process.line(), *expected);
    }
}

#[test]
fn in_each_row_mode_every_word_changes_its_count_at_once() {
    let (listener, port) = server();
    let mut process = Process::of(&format!("SET 'table.exec.emit' = 'each-row'; {} {WORD_COUNT}", lines(port, "")));
    let (mut peer, _) = listener.accept().expect("the table connects");
    send(&mut peer, "An An\n");
    expect_lines(&mut process, &["op,word,n", "+I,An,1", "-U,An,1", "+U,An,2"]);
    send(&mut peer, "An\n");
    expect_lines(&mut process, &["-U,An,2", "+U,An,3"]);
    drop(peer);
    assert_eq!(process.end().succeeded(), "");
}

#[test]
fn in_epoch_mode_the_net_change_comes_as_soon_as_the_input_pauses() {
    let (listener, port) = server();
    let mut process = Process::of(&format!("{} {WORD_COUNT}", lines(port, "")));
    let (mut peer, _) = listener.accept().expect("the table connects");
    send(&mut peer, "An An\n");
    expect_lines(&mut process, &["op,word,n", "+I,An,2"]);
    send(&mut peer, "An\n");
    expect_lines(&mut process, &["-U,An,2", "+U,An,3"]);
    drop(peer);
    assert_eq!(process.end().succeeded(), "");
}

#[test]
fn a_selective_filter_holds_no_row_back() {
    let (listener, port) = server();
    let mut process = Process::of(&format!("{} SELECT line FROM lines WHERE line LIKE 'x%'", lines(port, "")));
    let (mut peer, _) = listener.accept().expect("the table connects");
    for number in 0..5 {
        send(&mut peer, &format!("no\nx{number}\nno\n"));
        if number == 0 {
            assert_eq!(process.line(), "line");
        }
        assert_eq!(process.line(), format!("x{number}"), "before anything else is sent");
    }
    drop(peer);
    assert_eq!(process.end().succeeded(), "");
}

#[test]
fn a_table_that_listens_counts_the_words_of_all_its_clients() {
    let port = free_port();
    let mut process = Process::of(&format!("{} {WORD_COUNT}", lines(port, ", 'mode' = 'listen'")));
    let mut first = connect(port, &mut process);
    send(&mut first, "An\n");
    expect_lines(&mut process, &["op,word,n", "+I,An,1"]);
    let mut second = connect(port, &mut process);
    send(&mut second, "An\n");
    expect_lines(&mut process, &["-U,An,1", "+U,An,2"]);
    drop(first);
    send(&mut second, "An\n");
    expect_lines(&mut process, &["-U,An,2", "+U,An,3"]);
    reset(second);
    send(&mut connect(port, &mut process), "An\n");
    expect_lines(&mut process, &["-U,An,3", "+U,An,4"]);
}

#[test]
fn a_producer_that_closes_ends_the_query_and_its_half_line_is_the_last() {
    let (listener, port) = server();
    let process = Process::of(&format!("{} SELECT * FROM lines", lines(port, "")));
    let (mut peer, _) = listener.accept().expect("the table connects");
    ["a\nhal", "f\nla", "st"].iter().for_each(|piece| send(&mut peer, piece));
    drop(peer);
    assert_eq!(process.end().succeeded(), "line\na\nhalf\nlast\n");
}

#[test]
fn a_producer_that_dies_fails_the_query_after_the_rows_it_had_sent() {
    let (listener, port) = server();
    let mut process = Process::of(&format!("{} SELECT * FROM lines", lines(port, "")));
    let (mut peer, _) = listener.accept().expect("the table connects");
    send(&mut peer, "a\nb\n");
    expect_lines(&mut process, &["line", "a", "b"]);
    reset(peer);
    process.end().failed_saying(&[
        &format!("error: lost the connection to 127.0.0.1:{port}\n"),
        "in:  operator source lines",
        "why: Connection reset",
        "fix: set 'reconnect' = 'true'",
    ]);
}

#[test]
fn with_reconnect_a_producer_may_die_and_come_back() {
    let (listener, port) = server();
    let mut process = Process::of(&format!("{} SELECT * FROM lines", lines(port, ", 'reconnect' = 'true'")));
    let (mut peer, _) = listener.accept().expect("the table connects");
    send(&mut peer, "one\nhal");
    expect_lines(&mut process, &["line", "one"]);
    reset(peer);
    let (mut peer, _) = listener.accept().expect("it connects again");
    send(&mut peer, "two\n");
    expect_lines(&mut process, &["two"]);
}

#[test]
fn a_port_nobody_listens_on_is_said_with_what_to_start() {
    let port = free_port();
    run(&format!("{} SELECT * FROM lines", lines(port, ""))).failed_saying(&[
        &format!("error: nothing listens on 127.0.0.1:{port}\n"),
        "operator source lines",
        &format!("fix: start one with: nc -lk {port}"),
    ]);
}

#[test]
fn a_line_of_ten_megabytes_is_one_row() {
    let (listener, port) = server();
    let process = Process::of(&format!("{} SELECT CHAR_LENGTH(line) AS n FROM lines", lines(port, "")));
    let (mut peer, _) = listener.accept().expect("the table connects");
    send(&mut peer, &"x".repeat(10_000_000));
    send(&mut peer, "\nshort\n");
    drop(peer);
    assert_eq!(process.end().succeeded(), "n\n10000000\n5\n");
}

#[test]
fn a_line_beyond_the_limit_names_the_limit() {
    let (listener, port) = server();
    let process = Process::of(&format!("{} SELECT * FROM lines", lines(port, ", 'max-record-size' = '1 kb'")));
    let (mut peer, _) = listener.accept().expect("the table connects");
    send(&mut peer, "before\n");
    send(&mut peer, &"x".repeat(5_000));
    peer.shutdown(Shutdown::Write).expect("it is open");
    let ended =
        process.end().failed_saying(&["longer than 1024 bytes", "fix: check the delimiter, or set 'max-record-size'"]);
    assert_eq!(ended.out, "line\nbefore\n", "the row before it is not lost");
}

#[test]
fn a_socket_can_be_written_to() {
    let (listener, port) = server();
    let process = Process::of(&format!(
        "CREATE TABLE o (k STRING, n INT) WITH ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{port}', \
         'format' = 'json'); INSERT INTO o VALUES ('a', 1), ('b', 2)"
    ));
    let (mut peer, _) = listener.accept().expect("the table connects");
    let mut received = String::new();
    peer.read_to_string(&mut received).expect("the process closes when it is done");
    assert_eq!(received, "{\"k\":\"a\",\"n\":1}\n{\"k\":\"b\",\"n\":2}\n");
    process.end().succeeded();
}

#[test]
fn a_reader_that_goes_away_fails_the_job_that_writes_to_it() {
    let (listener, port) = server();
    let process = Process::of(&format!(
        "CREATE TABLE g (n INT) WITH ('connector' = 'datagen'); \
         CREATE TABLE o (n INT) WITH ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{port}', \
         'format' = 'csv'); INSERT INTO o SELECT * FROM g"
    ));
    drop(listener.accept().expect("the table connects"));
    process.end().failed_saying(&[
        &format!("could not write to 127.0.0.1:{port}"),
        "operator sink o",
        "fix: check the program that listens there",
    ]);
}
