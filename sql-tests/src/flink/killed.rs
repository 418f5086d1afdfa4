//! Runs the queries of a case as jobs that are killed again and again, and go on from their checkpoints.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tidemill_exec::connect::Registry;
use tidemill_planner::dialect::{self, Statement};
use twox_hash::XxHash3_64;

use super::Case;
use crate::drip::{Dripping, Tap};
use crate::output;
use crate::script::{Gave, Run, Transcript};

/// How often a job is killed at most.
const KILLS: usize = 4;

/// Each query of the case ends in the same files whatever moments it is killed at. Says how often one went on from a checkpoint.
///
/// # Errors
/// What is different.
pub fn killed(case: &Case, seed: u64) -> Result<usize, String> {
    let mut restored = 0;
    for query in 0..jobs(case, Path::new("")).len() {
        restored += job(case, query, seed).map_err(|why| format!("query {}: {why}", query + 1))?;
    }
    Ok(restored)
}

fn job(case: &Case, query: usize, seed: u64) -> Result<usize, String> {
    let directory = || tempfile::Builder::new().prefix("killed").tempdir().map_err(|error| error.to_string());
    let (quiet, place) = (directory()?, directory()?);
    attempt(case, query, quiet.path(), (1, "memory"), Tap::new(i64::MAX, false, 0), Duration::ZERO)?;
    let changes = jobs(case, quiet.path())[query].contains("-json'");
    let output = |place: &TempDir| output::rows(&place.path().join("out"), changes);

    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) ^ XxHash3_64::oneshot(case.name.as_bytes()));
    let (mut restored, mut story) = (0, Vec::new());
    for attempts in 0.. {
        let parallelism = random.random_range(1..=4);
        let backend = if random.random_bool(0.5) { "memory" } else { "disk" };
        let pieces = if attempts < KILLS { random.random_range(1..=6) } else { i64::MAX };
        story.push(format!("-p {parallelism} with state in {backend} for {pieces} pieces"));
        let tap = Tap::new(pieces, random.random_bool(0.8), random.random());
        let after = Duration::from_micros(random.random_range(0..4000));
        let ended = attempt(case, query, place.path(), (parallelism, backend), tap, after);
        let ended = ended.map_err(|why| format!("{why}\nafter {story:?}"))?;
        let has_checkpoint = output::has_checkpoint(&place.path().join("state"));
        // It may have come to its end just before it was killed.
        if ended || (!has_checkpoint && !output::files(&place.path().join("out")).is_empty()) {
            break;
        }
        restored += usize::from(has_checkpoint);
    }
    let compared = output::compare(&output(&quiet), &output(&place));
    compared.map(|()| restored).map_err(|why| format!("{why}\nafter {story:?}"))
}

/// Runs the job until its end, or until so long after the tap has given out what it has. Says whether it has come to its end.
fn attempt(
    case: &Case,
    query: usize,
    place: &Path,
    (parallelism, backend): (u16, &str),
    tap: Tap,
    after: Duration,
) -> Result<bool, String> {
    let state = place.join("state").display().to_string();
    let parallelism = parallelism.to_string();
    let settings = [
        ("execution.runtime-mode", "streaming"),
        ("parallelism.default", &parallelism),
        ("table.dml-sync", "true"),
        ("table.local-time-zone", "UTC"),
        ("execution.checkpointing.interval", "1 ms"),
        ("execution.checkpointing.dir", &state),
        ("execution.epoch.interval", "1 ms"),
        ("state.backend.type", backend),
    ];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    let run = Run { settings, goes_on: case.goes_on, timeout: None };
    let script = jobs(case, place).remove(query);
    let tap = Arc::new(tap);
    let mut registry = Registry::default();
    registry.add_connector(Arc::new(Dripping::new(Arc::clone(&tap))));
    // Whatever runs in it ends with it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let transcript = runtime.block_on(async {
        let killed = async {
            tap.done().await;
            tokio::time::sleep(after).await;
        };
        tokio::select! {
            transcript = run.script_with(&script, registry) => Some(transcript),
            () = killed => None,
        }
    });
    match transcript {
        None => Ok(false),
        Some(transcript) => failure(&transcript.map_err(|error| error.to_string())?),
    }
}

fn failure(transcript: &Transcript) -> Result<bool, String> {
    let failed = transcript.statements.iter().find_map(|ran| match &ran.gave {
        Gave::Failed(error) => Some(error.to_string()),
        _ => None,
    });
    failed.map_or(Ok(true), Err)
}

/// For each query of the case, the case with that one only, which writes into files below `place`.
fn jobs(case: &Case, place: &Path) -> Vec<String> {
    let out = place.join("out").display().to_string();
    let files = format!("'connector'='filesystem','path'='{out}/changes','format'='debezium-json'");
    let script = case.script.replace("{{dir}}", &case.directory.to_string_lossy()).replace("{{out}}", &out);
    let script = script.replace("'connector'='print'", &files).replace(",'print-identifier'='out'", "");
    let (mut jobs, mut others) = (Vec::new(), Vec::new());
    for statement in dialect::statements(&script, &|_| None).map_while(Result::ok) {
        match &statement.statement {
            Statement::Query(_) => jobs.push(format!("CREATE TABLE changes WITH ({files}) AS {}", statement.text)),
            Statement::Insert(_) | Statement::StatementSet(_) => jobs.push(statement.text),
            Statement::CreateTable(create) if create.query.is_some() => jobs.push(statement.text),
            _ => others.push(statement.text),
        }
    }
    let before: String = others.iter().map(|text| format!("{text};\n")).collect();
    jobs.iter().map(|job| format!("{before}{job};")).collect()
}
