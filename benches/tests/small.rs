//! Every bench, small, so that none rots: each fails if the engine's answer is not what the bench counted by hand.

use std::process::Command;

fn bench(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemill-benches"))
        .args(arguments)
        .args(["--repeat", "1"])
        .output()
        .expect("the bench starts");
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {printed}{said}");
    printed.into_owned()
}

#[test]
fn words_are_counted_as_by_hand_at_any_parallelism() {
    let result = |parallelism| {
        let printed = bench(&["wordcount", "--megabytes", "0.2", "--parallelism", parallelism]);
        printed.lines().last().expect("a result").to_string()
    };
    assert_eq!(result("1"), result("3"));
    bench(&["wordcount", "--megabytes", "0.1", "--blackhole"]);
}

#[test]
fn events_pass_through_whole() {
    let result = |format| {
        let printed = bench(&["passthrough", "--events", "3000", "--format", format]);
        printed.lines().last().expect("a result").to_string()
    };
    assert_eq!(result("json"), result("csv"), "both formats hold the same events");
}

#[test]
fn the_queries_of_nexmark_give_the_same_rows_from_everywhere() {
    let results = |arguments: &[&str]| {
        let printed = bench(&[&["nexmark", "--events", "3000"], arguments].concat());
        let line = |line: &str| Some((line.split_once(' ')?.0.to_string(), line.split_once("result: ")?.1.to_string()));
        printed.lines().filter_map(line).collect::<Vec<_>>()
    };
    let found = results(&["--parallelism", "1"]);
    assert_eq!(found.len(), 23);
    assert_eq!(
        found.iter().filter(|(_, result)| !result.contains("hash")).count(),
        2,
        "only q12 asks the clock, and q6 for an order: {found:?}"
    );
    assert_eq!(found, results(&["--parallelism", "3", "--checkpoints"]));
    for from in ["json", "csv", "parquet"] {
        assert_eq!(found, results(&["--from", from]), "from {from}");
    }
    let one = bench(&["nexmark", "--events", "1000", "--query", "q22", "--json"]);
    assert!(one.starts_with("{\"name\":\"q22 from generator\"") && one.lines().count() == 1, "{one}");
}

#[test]
fn windows_give_the_same_rows_as_a_stream_and_in_batch() {
    for parallelism in ["1", "3"] {
        let printed =
            bench(&["windows", "tumble", "--rows", "20000", "--seconds", "100", "--parallelism", parallelism]);
        assert!(printed.contains("in both"), "{printed}");
    }
    let printed = bench(&["windows", "sweep", "--rows", "2000"]);
    assert_eq!(printed.lines().filter(|line| line.contains("result: ")).count(), 2, "{printed}");
}

#[test]
fn totals_per_key_are_as_by_hand() {
    bench(&["keys", "--rows", "20000", "--keys", "5000"]);
}

#[test]
fn every_line_is_counted() {
    assert!(bench(&["latency", "--rate", "2000", "--seconds", "1"]).contains("p99"));
}

#[test]
fn the_smallest_query_runs() {
    assert!(bench(&["startup"]).contains("peak"));
}

#[test]
fn checkpoints_cost_what_has_changed() {
    bench(&["checkpoints", "throughput", "--rows", "2000", "--keys", "100"]);
    bench(&["checkpoints", "disk", "--keys", "20000"]);
    let printed = bench(&["checkpoints", "changes", "--keys", "5000"]);
    assert!(printed.contains("50 of them"), "{printed}");
}

#[test]
fn jobs_give_the_same_as_streams_and_in_batch_from_every_format() {
    let formats = ["--format", "parquet", "--format", "csv", "--format", "json"];
    let printed =
        bench(&[&["jobs", "--events", "3000", "--rows", "2000", "--megabytes", "0.05"], &formats[..]].concat());
    assert_eq!(printed.lines().filter(|line| line.contains("result: ")).count(), (5 * 3 + 1) * 2, "{printed}");
}

#[test]
fn lines_of_sockets_are_taken_in() {
    let printed = bench(&["ingest", "--lines", "20000", "--rate", "1000", "--seconds", "1"]);
    assert_eq!(printed.lines().filter(|line| line.contains("peak")).count(), 6, "{printed}");
}
