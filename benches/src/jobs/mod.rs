//! How do streams compare with batch engines at what both can do? Six jobs over the same files: as a stream, in batch, and by peers.
//!
//! A stream reads the rows once, in order, and gives the same final rows. Peers run in `peers.py`, with a Python that has their packages; what
//! they take is counted from when they are loaded, what tidemill takes is the whole process.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use crate::Failure;
use crate::engine::{self, Cost, Runs};
use crate::figures::{self, Report};

mod peers;
mod queries;

use peers::Peers;
use queries::{JOBS, Job, Table};

#[derive(Args)]
pub struct Jobs {
    /// Events of the auction house; 46 of 50 are bids
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Rows of the table that is grouped by a tenth as many keys
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    #[arg(long, default_value_t = 100.0)]
    megabytes: f64,
    /// What files are read; may be repeated
    #[arg(long = "format", default_values = ["parquet"])]
    formats: Vec<Format>,
    /// Only this job; may be repeated
    #[arg(long = "job", value_parser = PossibleValuesParser::new(JOBS.iter().map(|job| job.name)))]
    jobs: Vec<String>,
    /// A Python with the packages duckdb and datafusion, to run them beside
    #[arg(long)]
    python: Option<PathBuf>,
    /// Print an object per job instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    runs: Runs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Parquet,
    Csv,
    /// Lines, a row each
    Json,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Csv => "csv",
            Format::Json => "json",
        }
    }
}

/// Who runs a job.
#[derive(Clone, Copy)]
enum Who<'a> {
    Tidemill(&'static str),
    Peer(&'static str, &'a Peers<'a>),
}

/// A job over files of one format.
struct Task<'a> {
    job: &'static Job,
    format: Format,
    directory: &'a Path,
    runs: &'a Runs,
}

impl Jobs {
    pub fn run(&self) -> Result<(), Failure> {
        let directory = engine::directory(&self.runs)?;
        let directory = directory.path();
        let peers = self.python.as_deref().map(|python| Peers::new(python, directory)).transpose()?;
        let mut all = vec![Who::Tidemill("streaming"), Who::Tidemill("batch")];
        all.extend(peers.iter().flat_map(|peers| peers::NAMES.map(|name| Who::Peer(name, peers))));
        for job in JOBS.iter().filter(|job| self.jobs.is_empty() || self.jobs.iter().any(|name| name == job.name)) {
            let tables = || job.tables.iter().map(|name| Table::named(name));
            // A text has no columns, so it is in no other format.
            let formats = if tables().any(Table::is_text) { &self.formats[..1] } else { &self.formats };
            for &format in formats {
                for table in tables().filter(|table| !table.path(format, directory).exists()) {
                    table.write(format, directory, self)?;
                }
                let items = tables().map(|table| table.rows(self)).sum();
                self.compare(&Task { job, format, directory, runs: &self.runs }, items, &all)?;
            }
        }
        Ok(())
    }

    /// Everybody in turn, as often as asked for: A B C A B C.
    fn compare(&self, task: &Task<'_>, items: u64, all: &[Who<'_>]) -> Result<(), Failure> {
        let mut costs = vec![Vec::new(); all.len()];
        for _ in 0..self.runs.repeat.max(1) {
            for (who, costs) in all.iter().zip(&mut costs) {
                costs.push(task.cost(*who)?);
            }
        }
        let mut expected = None;
        for (who, costs) in all.iter().zip(costs) {
            let result = task.result(*who)?;
            let expected = expected.get_or_insert_with(|| result.clone());
            let is_text = task.job.tables.iter().any(|name| Table::named(name).is_text());
            let format = if is_text { "text" } else { task.format.name() };
            let name = format!("{} {format} {}", task.job.name, who.name());
            if *expected != result {
                return Err(format!("{name} gives {result} instead of {expected}").into());
            }
            figures::print_report(&Report { name, items, costs, result: Some(result) }, self.json);
        }
        Ok(())
    }
}

impl Who<'_> {
    fn name(self) -> &'static str {
        match self {
            Who::Tidemill(name) | Who::Peer(name, _) => name,
        }
    }
}

impl Task<'_> {
    fn cost(&self, who: Who<'_>) -> Result<Cost, Failure> {
        match who {
            Who::Peer(name, peers) => Ok(peers.run(name, self.job, self.format, self.job.peer)?.0),
            Who::Tidemill(mode) => {
                let (Job { columns, query, .. }, tables) = (self.job, self.tables(mode));
                let results = format!("CREATE TABLE results ({columns}) WITH ('connector' = 'blackhole');");
                Ok(self.runs.once(&format!("{tables} {results} INSERT INTO results {query}"))?.0)
            }
        }
    }

    /// How many final rows there are, and the sum of one of their columns.
    fn result(&self, who: Who<'_>) -> Result<String, Failure> {
        let sums = |query: &str| format!("SELECT COUNT(*) AS n, SUM({}) AS s FROM ({query}) AS q", self.job.summed);
        match who {
            Who::Peer(name, peers) => Ok(peers.run(name, self.job, self.format, &sums(self.job.peer))?.1),
            Who::Tidemill(mode) => {
                let printed = self.runs.once(&format!("{} {}", self.tables(mode), sums(self.job.query)))?.1;
                Ok(printed.lines().last().unwrap_or_default().to_string())
            }
        }
    }

    fn tables(&self, mode: &str) -> String {
        let tables = self.job.tables.iter().map(|name| Table::named(name).declared(self.format, self.directory));
        format!(
            "SET 'execution.runtime-mode' = '{mode}'; SET 'table.dml-sync' = 'true';\n{}",
            tables.collect::<String>()
        )
    }
}
