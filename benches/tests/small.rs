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
fn the_queries_of_nexmark_give_as_many_rows_at_any_parallelism() {
    let results = |parallelism| {
        let printed = bench(&["nexmark", "--events", "5000", "--parallelism", parallelism]);
        printed.lines().filter(|line| line.contains("result: ")).map(str::to_string).collect::<Vec<_>>()
    };
    let found = results("1");
    assert_eq!(found, results("3"));
    assert_eq!(found.len(), 13);
    let one = bench(&["nexmark", "--events", "1000", "--query", "q22"]);
    assert!(one.contains("q22") && !one.contains("q0"), "{one}");
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
