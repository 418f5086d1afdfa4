//! Runs the recorded Flink cases and prints a line for each.
//!
//! ```text
//! cargo test -p tidemill-sql-tests --test flink                      all cases
//! cargo test -p tidemill-sql-tests --test flink -- agg_basic fn_     those whose names contain one of these, with details
//! BLESS=1 cargo test ...                                             rewrites flink/passing.txt
//! TIDEMILL_FLINK_CASES=dir cargo test ...                            cases of another directory
//! TIDEMILL_FLINK_REPORT=file cargo test ...                          writes every difference there
//! ```
//!
//! `flink/passing.txt` names the cases that pass: one that no longer does fails this test. `flink/exceptions.txt` names those where we
//! differ on purpose.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use futures::FutureExt;
use tidemill_sql_tests::flink::{Verdict, cases, listed, verdict};

fn main() -> ExitCode {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("flink");
    let elsewhere = std::env::var_os("TIDEMILL_FLINK_CASES");
    let directory = elsewhere.as_ref().map_or(home.as_path(), Path::new);
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let passing: BTreeSet<String> = listed(&home.join("passing.txt")).into_keys().collect();
    let exceptions = listed(&home.join("exceptions.txt"));
    let all = cases(directory).expect("the cases can be read");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");

    let started = Instant::now();
    let (mut passed, mut failed, mut not_yet, mut excepted) = (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
    let mut report = String::new();
    for case in &all {
        if !wanted.is_empty() && !wanted.iter().any(|part| case.name.contains(part)) {
            continue;
        }
        let ran = runtime.block_on(AssertUnwindSafe(verdict(case)).catch_unwind());
        let name = &case.name;
        match ran.unwrap_or_else(|_| Verdict::Fail("it panicked".to_string(), String::new())) {
            Verdict::Pass => {
                println!("{name} pass");
                passed.insert(name.clone());
            }
            Verdict::Fail(_, _) if exceptions.contains_key(name) => {
                println!("{name} differs on purpose: {}", exceptions[name]);
                excepted.push(name);
            }
            Verdict::Fail(why, details) => {
                println!("{name} fail: {why}");
                let _ = writeln!(report, "== {name}: {why}\n{}\n\n{details}", case.script.trim());
                failed.push(name);
            }
            Verdict::NotYet(what) => {
                println!("{name} not yet: {what}");
                not_yet.push(name);
            }
        }
    }
    println!(
        "{} pass, {} fail, {} not yet, {} differ on purpose; {:.1} s",
        passed.len(),
        failed.len(),
        not_yet.len(),
        excepted.len(),
        started.elapsed().as_secs_f64()
    );
    if !wanted.is_empty() {
        print!("{report}");
    }
    if let Some(file) = std::env::var_os("TIDEMILL_FLINK_REPORT") {
        std::fs::write(file, report).expect("the report can be written");
    }
    if elsewhere.is_none() && wanted.is_empty() && std::env::var_os("BLESS").is_some() {
        let names: Vec<&str> = passed.iter().map(String::as_str).collect();
        let text = format!("# Cases that pass; BLESS=1 rewrites this list.\n{}\n", names.join("\n"));
        std::fs::write(home.join("passing.txt"), text).expect("the list can be written");
        return ExitCode::SUCCESS;
    }
    let ran = failed.iter().chain(&not_yet).chain(&excepted);
    let lost: Vec<&&String> = ran.filter(|name| passing.contains(name.as_str())).collect();
    if lost.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("passed before and no longer do: {lost:?}");
    ExitCode::FAILURE
}
