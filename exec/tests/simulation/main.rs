//! Checkpoints under simulation: a whole job on one thread and a clock of its own, whose schedule, faults and crashes follow from a seed.
//!
//! The store fails, is slow, loses entries of its listings, or has half of what was being written when the process ends; that may be
//! between any two steps of sources, sinks, coordinator, checkpointer and store. After some such runs one is left alone: then what is
//! visible is exactly the answer, and nothing that was visible has ever gone. A write-ahead log before a sink that cannot tell what it has
//! written may write again what was not recorded yet when the process ended, or what the sink has said to have failed.
//!
//! `TIDEMILL_SIMULATION_SEED=17` runs that seed alone; `TIDEMILL_SIMULATION_SEEDS=100000` so many.

mod job;
mod store;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_exec::checkpoint::Durability;
use tidemill_exec::coordinator::Rhythm;
use tidemill_exec::{JobOptions, launch};
use tidemill_state::checkpoint::Store;

use job::Into;
use store::Faulty;
use world::{Faults, Run, World};

#[test]
fn whatever_fails_and_wherever_the_process_ends_rows_are_seen_exactly_once() {
    all(Into::Transactions, 2000);
}

#[test]
fn with_a_write_ahead_log_rows_are_written_again_only_if_nobody_could_know_that_they_were() {
    all(Into::WriteAhead, 1000);
}

fn all(into: Into, seeds: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("TIDEMILL_SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("TIDEMILL_SIMULATION_SEEDS").unwrap_or(seeds)).collect(),
    };
    let mut total = Simulated::default();
    for seed in seeds {
        match simulate(seed, into) {
            Ok(of) => {
                total.runs += of.runs;
                total.crashes += of.crashes;
                total.repeated += of.repeated;
            }
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    println!("{total:?}");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for (seed, into) in (0..20).flat_map(|seed| [(seed, Into::Transactions), (seed, Into::WriteAhead)]) {
        assert_eq!(format!("{:?}", simulate(seed, into)), format!("{:?}", simulate(seed, into)));
    }
}

/// How many runs there were, how many of them crashed, and how often something was written again.
#[derive(Debug, Default)]
struct Simulated {
    runs: u32,
    crashes: u32,
    repeated: u32,
}

fn simulate(seed: u64, into: Into) -> Result<Simulated, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let world = Arc::new(World::default());
    let disturbed = random.random_range(1..=5);
    let (mut runs, mut crashes) = (0, 0);
    while !world.is_finished() {
        let faults = match runs < disturbed {
            true => Faults::random(&mut random),
            false => Faults::default(),
        };
        let run = Arc::new(Run::new(Arc::clone(&world), random.random(), faults));
        let parallelism = random.random_range(1..=3);
        runs += 1;
        match attempt(&run, into, parallelism) {
            End::Finished => break,
            End::Crashed => crashes += 1,
            End::Failed(why) if runs > disturbed => return Err(format!("an undisturbed run failed: {why}")),
            End::Failed(_) => {}
        }
        if runs > disturbed + 1 {
            return Err("an undisturbed run did not come to its end".to_string());
        }
    }
    let expected: BTreeMap<(i64, i64), i64> = job::answer();
    let found = world.visible();
    match (found == expected, world.violation()) {
        (true, None) => Ok(Simulated { runs, crashes, repeated: world.repeated() }),
        (_, Some(violation)) => Err(violation),
        (false, None) => Err(format!("after {runs} runs there is {found:?} and should be {expected:?}")),
    }
}

enum End {
    Finished,
    Crashed,
    Failed(String),
}

/// One life of the process.
fn attempt(run: &Arc<Run>, into: Into, parallelism: u16) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime of one thread");
    let name = "simulated".to_string();
    let store = Store::new(Arc::new(Faulty::new(Arc::clone(run))), object_store::path::Path::from("job"), name, None);
    let rhythm =
        Rhythm { interval: Duration::from_millis(10), min_pause: Duration::ZERO, timeout: Duration::from_millis(200) };
    let durability = Durability { rhythm, ..Durability::new(store) };
    let graph = job::graph(run, into, parallelism);
    runtime.block_on(async {
        let life = async {
            let mut job = launch(graph, JobOptions::new(Duration::from_millis(4)), Some(durability)).await?;
            job.wait(|_| {}).await
        };
        tokio::select! {
            biased;
            () = run.crashed() => End::Crashed,
            ended = life => match ended {
                Ok(()) => End::Finished,
                Err(error) => End::Failed(error.to_string()),
            },
        }
    })
}
