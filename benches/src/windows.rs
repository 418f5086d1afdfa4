//! What does a row cost in a window? Once while windows overlap more and more, once beside a batch GROUP BY.
//!
//! Estimate of the sweep: a row goes into one slice, whatever the windows: a lookup in a table of a few keys, some 20 ns. A slice is
//! merged two or three times per key, and a window has a result per key, some 20 us; with 5000 rows in the shortest slice that is 4 ns
//! per row. Fewer rows per window pay more for their windows: that is the price of the results, not of the overlap.
//!
//! Estimate of tumbling beside batch: both decode the same columns and look each row up once. The stream keeps windows apart (one table
//! per slice, small, so warm), the batch has the window in its key, thus one large table.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use clap::{Args, ValueEnum};

use crate::engine::Runs;
use crate::figures::{self, Volume};
use crate::number::Chance;
use crate::{Failure, engine};

#[derive(Args)]
pub struct Windows {
    #[arg(long, default_value_t = 20_000_000)]
    rows: u64,
    #[arg(long, default_value_t = 10)]
    keys: u64,
    /// Over how much event time the rows are spread
    #[arg(long, default_value_t = 4000)]
    seconds: u64,
    #[arg(value_enum)]
    question: Question,
    #[command(flatten)]
    runs: Runs,
}

#[derive(Clone, Copy, ValueEnum)]
enum Question {
    /// Hopping windows of an hour, which begin every hour to every second
    Sweep,
    /// Tumbling windows of ten seconds as a stream, and the same GROUP BY in batch
    Tumble,
}

/// In seconds; the size of all windows is the first.
const SLIDES: [u64; 6] = [3600, 1200, 360, 60, 10, 1];

impl Windows {
    pub fn run(&self) -> Result<(), Failure> {
        let directory = engine::directory(&self.runs)?;
        let bytes = self.write(directory.path())?;
        let volume = Volume { bytes, items: self.rows, noun: "rows" };
        match self.question {
            Question::Sweep => self.sweep(directory.path(), &volume),
            Question::Tumble => self.tumble(directory.path(), &volume),
        }
    }

    /// A Parquet file of keys, values, and times a little out of order.
    fn write(&self, directory: &Path) -> Result<u64, Failure> {
        let csv = directory.join("rows.csv");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&csv)?);
        let mut chance = Chance::new(11);
        for row in 0..self.rows {
            let millis = row * self.seconds * 1000 / self.rows;
            let time = millis.saturating_sub(chance.below(1000)) + 1_577_836_800_000;
            writeln!(out, "{},{},{time}", chance.below(self.keys), chance.below(1_000_000))?;
        }
        out.flush()?;
        let parquet = directory.join("rows.parquet");
        self.runs.once(&format!(
            "SET 'table.dml-sync' = 'true'; SET 'execution.runtime-mode' = 'batch'; SET 'parallelism.default' = '1';
             CREATE TABLE texts (k BIGINT, v BIGINT, millis BIGINT)
               WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
             CREATE TABLE events (k BIGINT, v BIGINT, ts TIMESTAMP(3))
               WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'parquet');
             INSERT INTO events SELECT k, v, CAST(TO_TIMESTAMP_LTZ(millis, 3) AS TIMESTAMP(3)) FROM texts",
            csv.display(),
            parquet.display()
        ))?;
        std::fs::remove_file(csv)?;
        let files = std::fs::read_dir(parquet)?.collect::<Result<Vec<_>, _>>()?;
        Ok(files.iter().map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum())
    }

    fn tables(&self, directory: &Path, mode: &str) -> String {
        format!(
            "SET 'execution.runtime-mode' = '{mode}';
             CREATE TABLE events (k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
               WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'parquet');
             CREATE TABLE results (k BIGINT, opens TIMESTAMP(3), n BIGINT, m BIGINT) WITH ('connector' = 'blackhole');
             SET 'table.dml-sync' = 'true';",
            directory.join("rows.parquet").display()
        )
    }

    fn sweep(&self, directory: &Path, volume: &Volume) -> Result<(), Failure> {
        let tables = self.tables(directory, "streaming");
        for (aggregate, how) in [("SUM", "added and taken out"), ("MAX", "on two stacks")] {
            let mut per_row = Vec::new();
            for slide in SLIDES {
                let query = format!(
                    "INSERT INTO results SELECT k, window_start, COUNT(*), {aggregate}(v) FROM TABLE(HOP(TABLE events,
                     DESCRIPTOR(ts), INTERVAL '{slide}' SECOND, INTERVAL '{}' SECOND)) GROUP BY k, window_start, window_end",
                    SLIDES[0]
                );
                let (costs, _) = self.runs.repeated(&format!("{tables} {query}"))?;
                let windows = SLIDES[0] / slide;
                figures::print(&format!("each row in {windows} windows, slices {how}"), &costs, Some(volume));
                per_row.push(figures::median(&costs).cpu.as_secs_f64() / self.rows as f64 * 1e9);
            }
            let (least, most) =
                per_row.iter().fold((f64::MAX, 0f64), |(least, most), &cost| (least.min(cost), most.max(cost)));
            println!("  result: {aggregate}: {least:.0} to {most:.0} ns per row, ratio {:.2}", most / least);
        }
        Ok(())
    }

    fn tumble(&self, directory: &Path, volume: &Volume) -> Result<(), Failure> {
        let query = "SELECT k, window_start, COUNT(*) AS n, MAX(v) AS m FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts),
                     INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end";
        let mut cpu = Vec::new();
        let mut hashes = Vec::new();
        for mode in ["streaming", "batch"] {
            let tables = self.tables(directory, mode);
            let (costs, _) = self.runs.repeated(&format!("{tables} INSERT INTO results {query}"))?;
            figures::print(&format!("tumbling count and max by key from Parquet, {mode}"), &costs, Some(volume));
            cpu.push(figures::median(&costs).cpu.as_secs_f64());
            let rows = self.runs.once(&format!("{tables} {query}"))?.1;
            hashes.push(figures::hash(rows.lines().skip(1)));
        }
        if hashes[0] != hashes[1] {
            return Err("stream and batch give different rows".into());
        }
        println!(
            "  result: hash {:016x} in both; the stream takes {:.2} times the CPU of batch",
            hashes[0],
            cpu[0] / cpu[1]
        );
        Ok(())
    }
}
