//! The recorded Flink cases once more: in batch mode, at parallelism 4, and killed at random moments they end in the same rows.
//!
//! `flink/other-ends.txt` names those that rightly do not, with the reason. `TIDEMILL_CRASH_ROUNDS=50 cargo test -p tidemill-sql-tests --test
//! recorded` kills them at more moments, `TIDEMILL_CRASH_SEED` begins with others.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidemill_exec::planted::{Defect, plant};
use tidemill_sql_tests::flink::{Case, Verdict, Way, cases, killed, listed, run};

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("flink")
}

/// Those that end by themselves, in rows.
fn recorded() -> Vec<Case> {
    let has_rows = |case: &Case| !["error", "text"].contains(&case.kind.as_str()) && case.timeout.is_none();
    cases(&home()).expect("the cases can be read").into_iter().filter(has_rows).collect()
}

fn ends_alike(way: Way) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let (exceptions, others) = (listed(&home().join("exceptions.txt")), listed(&home().join("other-ends.txt")));
    let mut wrong = Vec::new();
    for case in recorded().iter().filter(|case| !exceptions.contains_key(&case.name)) {
        let outcome = runtime.block_on(run(case, way));
        match (outcome, others.get(&format!("{way:?} {}", case.name))) {
            (Verdict::Pass, None) | (Verdict::Fail(..), Some(_)) => {}
            (Verdict::Pass, Some(_)) if way == Way::Parallel => {}
            (Verdict::Pass, Some(why)) => wrong.push(format!("{}: ends in the same rows, although {why}", case.name)),
            (Verdict::Fail(why, details), None) => wrong.push(format!("{}: {why}\n{details}", case.name)),
            (Verdict::NotYet(what), _) => wrong.push(format!("{}: {what}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn in_batch_mode_they_end_in_the_same_rows() {
    ends_alike(Way::Batch);
}

#[test]
fn in_parallel_they_end_in_the_same_rows() {
    ends_alike(Way::Parallel);
}

#[test]
fn whatever_moment_they_are_killed_at_they_end_in_the_same_rows() {
    let rounds = number("TIDEMILL_CRASH_ROUNDS").unwrap_or(1);
    let first = number("TIDEMILL_CRASH_SEED").unwrap_or(1);
    let mut restored = 0;
    for seed in first..first + rounds {
        let (times, failures) = all_killed(seed);
        assert!(failures.is_empty(), "with seed {seed}:\n{}", failures.join("\n\n"));
        restored += times;
    }
    println!("{restored} times one went on from a checkpoint");
    assert!(restored >= 100 * rounds as usize, "only {restored} times one went on from a checkpoint");
    // The other tests of this program take no checkpoints.
    plant(Defect::SkippedAlignment);
    assert!((1..=10).any(|seed| !all_killed(seed).1.is_empty()), "barriers that are not aligned are not found");
}

/// How often a job went on from a checkpoint, and which ended otherwise.
fn all_killed(seed: u64) -> (usize, Vec<String>) {
    let others = listed(&home().join("other-ends.txt"));
    let is_certain = |case: &Case| !others.contains_key(&format!("{:?} {}", Way::Parallel, case.name));
    let cases: Vec<Case> = recorded().into_iter().filter(is_certain).collect();
    let (next, restored, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match killed(case, seed) {
                        Ok(times) => _ = restored.fetch_add(times, Ordering::Relaxed),
                        Err(why) => failures.lock().unwrap().push(format!("{}: {why}", case.name)),
                    }
                }
            });
        }
    });
    (restored.into_inner(), failures.into_inner().unwrap())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
