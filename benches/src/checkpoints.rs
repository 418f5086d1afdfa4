//! What do checkpoints cost a GROUP BY whose state is large? Once all the time, once when little of it changes.
//!
//! Estimate of the throughput: each second every key that was touched is gathered (some 50 ns) and encoded (some 100 ns, beside the
//! tasks, but on the same two cores). Of 10 M rows/s with 1 M keys that is 150 ms of two seconds of CPU: 7 %.
//!
//! Estimate of a small change: 1 % of 10 M keys in two shards is 50 000 keys each, gathered at 100 ns as they lie scattered: 5 ms.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tidemill_state::checkpoint::{Cost, Manifest, Store};

use crate::engine::Runs;
use crate::figures::{self, Volume};
use crate::number::Chance;
use crate::{Failure, engine};

#[derive(Args)]
pub struct Checkpoints {
    #[arg(long, default_value_t = 20_000_000)]
    rows: u64,
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    #[arg(value_enum)]
    question: Question,
    #[command(flatten)]
    runs: Runs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Question {
    /// The same job with a checkpoint each second and without any
    Throughput,
    /// One row per key, then one of every hundredth key
    Changes,
    /// Every key twice, the second time in another order, with state in memory, and on disk in a tenth of that memory
    Disk,
}

/// Longer than any of this takes: reached only when something hangs.
const DEADLINE: Duration = Duration::from_secs(600);

impl Checkpoints {
    pub fn run(&self) -> Result<(), Failure> {
        let directory = engine::directory(&self.runs)?;
        match self.question {
            Question::Throughput => self.throughput(directory.path()),
            Question::Changes => self.changes(directory.path()),
            Question::Disk => self.disk(directory.path()),
        }
    }

    fn throughput(&self, directory: &Path) -> Result<(), Failure> {
        let mut chance = Chance::new(7);
        let bytes = write(&directory.join("in"), "rows.csv", (0..self.rows).map(|_| chance.below(self.keys)))?;
        let volume = Volume { bytes, items: self.rows, noun: "rows" };
        let (mut without, mut with) = (Vec::new(), Vec::new());
        // Turn about, as the machine may change its mind meanwhile.
        for _ in 0..self.runs.repeat.max(1) {
            without.push(self.runs.once(&job(directory, "", ""))?.0);
            with.push(self.runs.once(&job(directory, "1 s", ""))?.0);
        }
        figures::print(&format!("GROUP BY {} keys without checkpoints", self.keys), &without, Some(&volume));
        figures::print("the same with a checkpoint each second", &with, Some(&volume));
        let wall = |costs: &[engine::Cost]| figures::median(costs).wall.as_secs_f64();
        println!("  throughput with checkpoints: {:.1} % of that without", 100.0 * wall(&without) / wall(&with));
        Ok(())
    }

    fn disk(&self, directory: &Path) -> Result<(), Failure> {
        let step = (1..).map(|n| self.keys / 2 + n).find(|step| coprime(*step, self.keys)).unwrap_or(1);
        let again = (0..self.keys).map(|n| (u128::from(n) * u128::from(step) % u128::from(self.keys)) as u64);
        let bytes = write(&directory.join("in"), "rows.csv", (0..self.keys).chain(again))?;
        write(&directory.join("one"), "rows.csv", (0..self.keys * 2).map(|_| 1))?;
        let volume = Volume { bytes, items: self.keys * 2, noun: "rows" };
        let (few, _) = self.runs.once(&totals(&directory.join("one"), ""))?;
        let (memory, expected) = self.runs.once(&totals(&directory.join("in"), ""))?;
        let state = memory.peak_bytes.saturating_sub(few.peak_bytes);
        let settings = format!(
            "SET 'state.backend.type' = 'disk'; SET 'state.memory' = '{} b'; SET 'io.tmp.dirs' = '{}';",
            state / 10,
            directory.join("spill").display(),
        );
        let (disk, found) = self.runs.once(&totals(&directory.join("in"), &settings))?;
        figures::print("one key", &[few], Some(&volume));
        figures::print(&format!("{} keys in memory", self.keys), &[memory], Some(&volume));
        figures::print(&format!("the same with state.memory = {} MB", state / 10_000_000), &[disk], Some(&volume));
        println!("  state takes {} MB in memory; the answer is {}", state / 1_000_000, found.trim());
        match found == expected {
            true => Ok(()),
            false => Err(format!("in memory it was {expected}").into()),
        }
    }

    fn changes(&self, directory: &Path) -> Result<(), Failure> {
        let input = directory.join("in");
        write(&input, "all.csv", 0..self.keys)?;
        let mut command = self.runs.command(&job(directory, "1 s", "'source.monitor-interval' = '100 ms',"))?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let measured = self.measure(directory, &input);
        child.kill()?;
        child.wait()?;
        measured
    }

    fn measure(&self, directory: &Path, input: &Path) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let store =
            tidemill_exec::checkpoint::place(&directory.join("state").display().to_string(), "insert into totals")?;
        let all = runtime.block_on(when_read(&store, 1, 0))?;
        let last = all.last().map_or(0, |manifest| manifest.checkpoint);
        println!("GROUP BY {} keys, a checkpoint each second", self.keys);
        println!("  all keys, over {} checkpoints: {}", all.len(), line(&all));
        let mut chance = Chance::new(11);
        let touched = self.keys / 100;
        write(input, "few.csv", (0..touched).map(|_| chance.below(self.keys)))?;
        let few = runtime.block_on(when_read(&store, 2, last))?;
        println!("  {touched} of them, over {} checkpoints: {}", few.len(), line(&few));
        let found: u64 = few.last().into_iter().flat_map(Manifest::files).map(|file| file.rows).sum();
        match found >= self.keys {
            true => Ok(()),
            false => Err(format!("the state has {found} rows for {} keys", self.keys).into()),
        }
    }
}

fn line(manifests: &[Manifest]) -> String {
    let bytes: u64 = manifests.iter().map(|manifest| manifest.cost.bytes).sum();
    let stall = manifests.iter().map(|manifest| manifest.cost).max_by_key(|cost: &Cost| cost.stall_us);
    let stall = stall.map_or(0.0, |cost| cost.stall_us as f64 / 1e3);
    format!("{:.1} MB written, tasks held up for {stall:.1} ms at most", bytes as f64 / 1e6)
}

/// The checkpoints after `after`, up to the first at which so many files are read to their ends.
async fn when_read(store: &Store, files: usize, after: u64) -> Result<Vec<Manifest>, Failure> {
    let started = Instant::now();
    loop {
        let mut manifests = Vec::new();
        for checkpoint in store.checkpoints().await?.into_iter().filter(|checkpoint| *checkpoint > after) {
            let manifest = store.manifest(checkpoint).await?;
            let ended = manifest.sources.iter().flat_map(|source| &source.splits).filter(|split| split.ended).count();
            manifests.push(manifest);
            if ended >= files {
                return Ok(manifests);
            }
        }
        if started.elapsed() > DEADLINE {
            return Err(format!("after {DEADLINE:?} there is no checkpoint with {files} files read").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A file of rows of these keys, complete once it is there.
fn write(directory: &Path, name: &str, keys: impl Iterator<Item = u64>) -> Result<u64, Failure> {
    std::fs::create_dir_all(directory)?;
    let hidden = directory.join(format!(".{name}"));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&hidden)?);
    let mut bytes = 0;
    for key in keys {
        let line = format!("customer-{key:012},{}\n", key % 1000);
        bytes += line.len() as u64;
        out.write_all(line.as_bytes())?;
    }
    out.flush()?;
    std::fs::rename(hidden, directory.join(name))?;
    Ok(bytes)
}

/// With checkpoints in this interval, if any.
fn job(directory: &Path, interval: &str, options: &str) -> String {
    let (input, state) = (directory.join("in"), directory.join("state"));
    let checkpoints = match interval {
        "" => String::new(),
        interval => format!(
            "SET 'execution.checkpointing.interval' = '{interval}';
             SET 'execution.checkpointing.num-retained' = '1000';
             SET 'execution.checkpointing.dir' = '{}';",
            state.display()
        ),
    };
    format!(
        "{checkpoints}
         CREATE TABLE numbers (k STRING, v BIGINT) WITH ({options} 'connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         CREATE TABLE totals (k STRING, n BIGINT, s BIGINT) WITH ('connector' = 'blackhole');
         INSERT INTO totals SELECT k, COUNT(*) AS n, SUM(v) AS s FROM numbers GROUP BY k",
        input.display()
    )
}

/// How many keys there are, and how often each.
fn totals(input: &Path, settings: &str) -> String {
    format!(
        "SET 'execution.runtime-mode' = 'streaming'; {settings}
         CREATE TABLE numbers (k STRING, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         SELECT COUNT(*) AS ks, MIN(n) AS least, MAX(n) AS most, SUM(s) AS total
         FROM (SELECT k, COUNT(*) AS n, SUM(v) AS s FROM numbers GROUP BY k)",
        input.display()
    )
}

fn coprime(a: u64, b: u64) -> bool {
    if b == 0 { a == 1 } else { coprime(b, a % b) }
}
