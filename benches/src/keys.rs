//! How many rows/s does a GROUP BY take whose keys do not fit into any cache?
//!
//! Estimate: a warm table of 1 M keys does 30 M rows/s on one core, and decoding does 5; here each row passes two tables
//! (the local one of a shard, and the shared one) and the result of each key goes out again with every epoch that touches it.

use std::fs::File;
use std::io::{BufWriter, Write};

use clap::Args;

use crate::engine::Runs;
use crate::figures::{self, Volume};
use crate::number::Chance;
use crate::{Failure, engine};

#[derive(Args)]
pub struct Keys {
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    #[command(flatten)]
    runs: Runs,
}

impl Keys {
    pub fn run(&self) -> Result<(), Failure> {
        let directory = engine::directory(&self.runs)?;
        let path = directory.path().join("rows.csv");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        let mut chance = Chance::new(7);
        let mut totals = vec![(0u64, 0u64); self.keys as usize];
        let mut bytes = 0;
        for _ in 0..self.rows {
            let (key, value) = (chance.below(self.keys), chance.below(1000));
            let line = format!("{key},{value}\n");
            bytes += line.len() as u64;
            out.write_all(line.as_bytes())?;
            let total = &mut totals[key as usize];
            *total = (total.0 + 1, total.1 + value);
        }
        out.flush()?;
        let tables = format!(
            "SET 'execution.runtime-mode' = 'streaming';
             CREATE TABLE numbers (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
             CREATE TABLE totals (k BIGINT, n BIGINT, s BIGINT) WITH ('connector' = 'blackhole');",
            path.display()
        );
        let query = "SELECT k, COUNT(*) AS n, SUM(v) AS s FROM numbers GROUP BY k";
        let (costs, _) = self.runs.repeated(&format!("{tables} INSERT INTO totals {query}"))?;
        let volume = Volume { bytes, items: self.rows, noun: "rows" };
        figures::print(&format!("GROUP BY {} keys, count and sum, from CSV", self.keys), &costs, Some(&volume));

        let found = self.runs.once(&format!("{tables} {query}"))?.1;
        let found = figures::hash(found.lines().skip(1));
        let rows = (0..).zip(&totals).filter(|(_, (count, _))| *count > 0);
        let rows: Vec<String> = rows.map(|(key, (count, sum)): (u64, _)| format!("{key},{count},{sum}")).collect();
        let expected = figures::hash(rows.iter().map(String::as_str));
        if expected != found {
            return Err(format!("the totals are wrong: hash {found:016x}, {expected:016x} when added by hand").into());
        }
        println!("  result: {} keys, hash {found:016x}, as added by hand", rows.len());
        Ok(())
    }
}
