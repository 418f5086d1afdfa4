//! What README promises, run through the binary: its examples print what it says.
//!
//! `UPDATE_EXPECT=1 cargo test -p tidemill --test readme` writes the outputs anew.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use expect_test::expect_file;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn tidemill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.current_dir(root()).args(arguments).stdin(Stdio::null());
    command
}

/// Standard output of a run that succeeds and has nothing to say on standard error.
fn output(arguments: &[&str]) -> String {
    let ran = tidemill(arguments).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.is_empty(), "tidemill {}: {}\n{said}", arguments.join(" "), ran.status);
    String::from_utf8(ran.stdout).expect("output is text")
}

/// Rows of a stream come in no particular order: the rows of each table, sorted.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.chunk_by_mut(|a, b| a.starts_with('|') == b.starts_with('|')).for_each(<[&str]>::sort_unstable);
    lines.join("\n") + "\n"
}

/// What is printed before `mark`, and the rest.
fn split_at<'a>(text: &'a str, mark: &str) -> (&'a str, &'a str) {
    text.split_at(text.find(mark).unwrap_or_else(|| panic!("{mark} is in\n{text}")))
}

#[test]
fn the_words_of_a_book_are_counted_alike_by_any_number_of_shards() {
    for shards in ["1", "4"] {
        let printed = output(&["run", "examples/wordcount.sql", "-p", shards]);
        let (stream, batch) = split_at(&printed, "+------+");
        expect_file!["examples/wordcount.txt"].assert_eq(&format!("{}{batch}", sorted(stream)));
    }
}

#[test]
fn a_stream_takes_back_what_it_said() {
    // With one shard the order of changes is part of the answer; the order of keys within one epoch is not.
    let printed = output(&["run", "examples/changelog.sql"]);
    let (each_row, net) = printed.split_at(printed.rfind("| op |").expect("the second query's rows follow"));
    expect_file!["examples/changelog.txt"].assert_eq(&format!("{each_row}{}", sorted(net)));
}

#[test]
fn csv_becomes_parquet_and_is_read_back() {
    let directory = tempfile::tempdir().expect("a directory for what is written");
    let out = format!("OUT={}", directory.path().join("orders").display());
    let printed = output(&["run", "examples/csv_to_parquet.sql", "-D", &out]);
    expect_file!["examples/csv_to_parquet.txt"].assert_eq(&printed);
}

#[test]
fn windows_close_and_what_comes_too_late_can_be_read() {
    let ran = tidemill(&["run", "examples/windows.sql", "-p", "1"]).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.starts_with("1 row came too late and was left out"), "{}: {said}", ran.status);
    expect_file!["examples/windows.txt"].assert_eq(&String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn tables_that_end_are_joined_and_sorted() {
    let printed = output(&["run", "examples/join_batch.sql"]);
    expect_file!["examples/join_batch.txt"].assert_eq(&printed);
}

/// An example that reads a socket, and the port where its sockets connect.
fn over_sockets(name: &str) -> (String, TcpListener) {
    let listener = TcpListener::bind("localhost:0").expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    let script = std::fs::read_to_string(root().join(format!("examples/{name}.sql"))).expect("the example is there");
    (script.replace("9999", &port.to_string()), listener)
}

/// A sequence has come to its bound before the next is begun.
#[test]
fn sequences_typed_into_a_socket_are_continued_at_once() {
    let (script, listener) = over_sockets("fibonacci");
    for shards in ["1", "3"] {
        let arguments = ["-p", shards, "--format", "csv", "-D", "BOUND=20", "-c", &script];
        let mut child = tidemill(&arguments).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut printed = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let (mut typing, _) = listener.accept().expect("the query connects");
        assert_eq!(printed.next().as_deref(), Some("name,n"));
        typing.write_all(b"A 1 2\n").expect("the query reads");
        let numbers = ["1", "2", "3", "5", "8", "13"].map(|n| format!("A,{n}"));
        assert_eq!(printed.by_ref().take(6).collect::<Vec<_>>(), numbers);
        typing.write_all(b"B 0 7\n").expect("the query reads");
        let numbers = ["0", "7", "7", "14"].map(|n| format!("B,{n}"));
        assert_eq!(printed.by_ref().take(4).collect::<Vec<_>>(), numbers);
        drop(typing);
        assert_eq!(printed.next(), None);
        assert!(child.wait().expect("the server has closed the connection").success());
    }
}

/// Journeys are there at once, whichever of their lines came last.
#[test]
fn new_lines_extend_the_journeys_that_were_found_before() {
    let place = tempfile::tempdir().expect("there is room for a directory");
    for shards in ["1", "3"] {
        let lines = place.path().join(format!("lines{shards}.txt"));
        let mut append = std::fs::File::create(&lines).expect("the file is made");
        let file = format!("FILE={}", lines.display());
        let mut command = tidemill(&["run", "examples/reachability.sql", "-p", shards, "--format", "csv", "-D", &file]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut printed = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        assert_eq!(printed.next().as_deref(), Some("here,there"));
        for (line, mut found) in [
            ("Eling Totton\n", vec!["Eling,Totton"]),
            ("Ashurst Lyndhurst\n", vec!["Ashurst,Lyndhurst"]),
            ("Totton Ashurst\n", vec!["Eling,Ashurst", "Eling,Lyndhurst", "Totton,Ashurst", "Totton,Lyndhurst"]),
            ("Ashurst Totton\n", vec!["Ashurst,Ashurst", "Ashurst,Totton", "Totton,Totton"]),
        ] {
            append.write_all(line.as_bytes()).expect("the file grows");
            let mut rows: Vec<String> = printed.by_ref().take(found.len()).collect();
            rows.sort_unstable();
            found.sort_unstable();
            assert_eq!(rows, found, "after {line}");
        }
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}

/// The count of each word is there before the next line is typed: nothing waits for a batch to fill.
#[test]
fn words_typed_into_a_socket_are_counted_at_once() {
    let (script, listener) = over_sockets("socket_wordcount");
    let mut child = tidemill(&["-p", "1", "--format", "csv", "-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut printed = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let (mut typing, _) = listener.accept().expect("the query connects");
    let mut seen = Vec::new();
    let mut read_until = |wanted: &str, seen: &mut Vec<String>| loop {
        let line = printed.next().expect("the query goes on").expect("its output is text");
        seen.push(line);
        if seen.last().is_some_and(|line| line == wanted) {
            break;
        }
    };
    typing.write_all(b"An An\n").expect("the query reads");
    read_until("+U,An,2", &mut seen);
    typing.write_all(b"the An\n").expect("the query reads");
    read_until("+U,An,3", &mut seen);
    drop(typing);
    assert_eq!(seen, ["op,word,times", "+I,An,1", "-U,An,1", "+U,An,2", "+I,the,1", "-U,An,2", "+U,An,3"]);
    assert!(child.wait().expect("the server has closed the connection").success());
}

#[test]
fn words_of_a_growing_file_are_counted_on_after_the_job_was_killed() {
    let place = tempfile::tempdir().expect("there is room for a directory");
    let words = place.path().join("words.txt");
    let (file, state) = (format!("FILE={}", words.display()), place.path().join("state").display().to_string());
    let mut first = true;
    let mut append = std::fs::File::create(&words).expect("the file is made");
    for (text, mut wanted) in [
        ("the tide the mill\n", vec!["+I[the, 2]", "+I[tide, 1]", "+I[mill, 1]"]),
        ("the ebb\n", vec!["+U[the, 3]", "+I[ebb, 1]"]),
    ] {
        append.write_all(text.as_bytes()).expect("the file grows");
        let mut command = tidemill(&["run", "examples/durable_wordcount.sql", "-D", &file, "--state-dir", &state]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
        let mut printed = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        while !wanted.is_empty() {
            let line = printed.next().expect("the job goes on").expect("its output is text");
            wanted.retain(|change| *change != line);
        }
        while !place.path().join("state/insert-into-counts/chk-2/manifest.json").exists() && first {
            std::thread::yield_now();
        }
        first = false;
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}

#[test]
fn a_materialized_view_is_read_as_a_whole_by_key_and_through_another() {
    let ran = tidemill(&["run", "examples/materialized_view.sql"]).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert_eq!(said, "job 1 started: materialized view mills\njob 2 started: materialized view busiest\n");
    expect_file!["examples/materialized_view.txt"].assert_eq(&String::from_utf8_lossy(&ran.stdout));
}

/// The examples that the tests above run.
const EXAMPLES: [&str; 10] = [
    "changelog",
    "csv_to_parquet",
    "durable_wordcount",
    "fibonacci",
    "join_batch",
    "materialized_view",
    "reachability",
    "socket_wordcount",
    "windows",
    "wordcount",
];

#[test]
fn no_example_is_left_out() {
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(root().join("examples")).expect("there are examples") {
        let path = entry.expect("the directory can be listed").path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            examples.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_string));
        }
    }
    examples.sort_unstable();
    assert_eq!(examples, EXAMPLES);
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README");
    for name in examples {
        assert!(readme.contains(&format!("examples/{name}.sql")), "README does not speak of examples/{name}.sql");
    }
}

/// The tables that README shows are what its examples print.
#[test]
fn readme_shows_what_the_examples_print() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README");
    for name in ["changelog", "join_batch"] {
        let expected = std::fs::read_to_string(root().join(format!("cli/tests/examples/{name}.txt"))).expect("blessed");
        let first: Vec<&str> = expected.lines().take(4).collect();
        assert!(readme.contains(&first.join("\n")), "README shows other rows than examples/{name}.sql prints");
    }
}
