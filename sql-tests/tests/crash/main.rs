//! The crash oracle: jobs run in a process of their own, which is killed at random moments and started again at another parallelism,
//! and what the filesystem sink shows in the end is what an undisturbed run shows.
//!
//! `TIDEMILL_CRASH_ROUNDS=50 cargo test -p tidemill-sql-tests --test crash` runs longer; `TIDEMILL_CRASH_SEED` begins elsewhere,
//! `TIDEMILL_CRASH_JOB` runs only jobs with this in their name.

mod jobs;
mod printed;
mod process;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use tidemill_sql_tests::output;

use jobs::Job;
use process::{End, Place};

/// The process that is killed; see `process`.
#[test]
#[ignore = "is started by the other tests"]
fn child() {
    process::child();
}

/// How often each job is killed in a round.
const KILLS: usize = 14;

/// So many seeds may miss a planted defect: mostly the first finds it, but on a machine that is busy with other things processes may be killed
/// before they have done anything.
const SEEDS_OF_DEFECT: u64 = 40;

#[test]
fn whatever_moment_a_job_is_killed_at_it_ends_with_the_rows_of_an_undisturbed_run() {
    let rounds = number("TIDEMILL_CRASH_ROUNDS").unwrap_or(1) as usize;
    let first = number("TIDEMILL_CRASH_SEED").unwrap_or(1);
    let wanted = std::env::var("TIDEMILL_CRASH_JOB").unwrap_or_default();
    let jobs: Vec<&Job> = jobs::JOBS.iter().filter(|job| job.name.contains(&wanted)).collect();
    let turns: Vec<(&Job, u64)> =
        (0..rounds as u64).flat_map(|round| jobs.iter().map(move |job| (*job, first + round))).collect();
    let (next, kills, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((job, seed)) = turns.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (killed, outcome) = disturbed(job, *seed, KILLS, None);
                    kills.fetch_add(killed, Ordering::Relaxed);
                    if let Err(why) = outcome {
                        failures.lock().unwrap().push(format!("{} with seed {seed}: {why}", job.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let kills = kills.into_inner();
    println!("{kills} kills");
    assert!(kills >= 200 * rounds || !wanted.is_empty(), "only {kills} kills: the jobs end too soon");
}

#[test]
fn a_barrier_that_is_not_aligned_is_found() {
    is_found("alignment", jobs::named("global"));
}

#[test]
fn a_commit_before_the_manifest_is_found() {
    is_found("commit", jobs::named("copy"));
}

#[test]
fn a_checkpoint_without_the_rows_under_way_in_a_loop_is_found() {
    is_found("in-flight", jobs::named("sequences"));
}

#[test]
fn rows_written_ahead_are_printed_again_only_if_nobody_could_know_that_they_were() {
    let rounds = number("TIDEMILL_CRASH_ROUNDS").unwrap_or(1);
    let first = number("TIDEMILL_CRASH_SEED").unwrap_or(1);
    for (seed, job) in (first..first + rounds).flat_map(|seed| [(seed, jobs::PRINTED), (seed, jobs::UPSERTED)]) {
        let outcome = printed::disturbed(&job, seed, KILLS, None);
        outcome.unwrap_or_else(|why| panic!("{} with seed {seed}: {why}", job.name));
    }
}

#[test]
fn rows_that_are_printed_before_the_manifest_are_found() {
    let is_found = |seed| printed::disturbed(&jobs::PRINTED, seed, KILLS, Some("commit")).is_err();
    assert!((1..=SEEDS_OF_DEFECT).any(is_found));
}

/// Some seed shows the defect.
fn is_found(defect: &str, job: &Job) {
    let found = (1..=SEEDS_OF_DEFECT).any(|seed| disturbed(job, seed, KILLS, Some(defect)).1.is_err());
    assert!(found, "no seed shows the defect '{defect}'");
}

/// Kills a job again and again, lets it come to its end, and compares. Says how often it was killed.
fn disturbed(job: &Job, seed: u64, kills_max: usize, defect: Option<&str>) -> (usize, Result<(), String>) {
    let expected = match undisturbed(job) {
        Ok(expected) => expected,
        Err(why) => return (0, Err(why)),
    };
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003) ^ job.name.len() as u64);
    let place = Place::new(job);
    let mut kills = 0;
    let mut story = Vec::new();
    // What a reader may have taken away already.
    let mut seen = BTreeSet::new();
    while !place.is_finished() {
        let parallelism = random.random_range(1..=4);
        let lifetime = match kills < kills_max {
            true => Some(Duration::from_millis(random.random_range(60..=300))),
            false => None,
        };
        story.push(format!("-p {parallelism} for {lifetime:?}"));
        match place.run(parallelism, lifetime, defect) {
            End::Killed => {
                kills += 1;
                seen.extend(place.files());
            }
            End::Succeeded => break,
            End::Failed(why) => return (kills, Err(format!("it failed: {why}\nafter {story:?}"))),
        }
    }
    let files = place.files();
    let lines = seen.iter().chain(&files).flat_map(|(_, text)| text.lines());
    if let Some(line) = lines.into_iter().find(|line| !line.contains(job.always)) {
        return (kills, Err(format!("not all was consistent: {line}\nafter {story:?}")));
    }
    let compared = match seen.iter().find(|file| !files.contains(*file)) {
        Some((file, _)) => Err(format!("{} was seen, and later gone or another", file.display())),
        None => output::compare(&expected, &place.output()),
    };
    (kills, compared.map_err(|why| format!("{why}\nafter {story:?}")))
}

fn undisturbed(job: &Job) -> Result<Vec<String>, String> {
    let place = Place::new(job);
    match place.run(1, None, None) {
        End::Succeeded => Ok(place.output()),
        other => Err(format!("the undisturbed run did not succeed: {other:?}")),
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
