//! How many events/s do the queries of Nexmark take: from the generator, or from files, to a blackhole?
//!
//! Each run is a whole process. The rows of a blackhole cannot be looked at, so each query's final rows over fewer events are printed once
//! more and hashed: the hash is the same whatever the events come from, and at any parallelism.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use crate::Failure;
use crate::engine::{self, Cost, Runs};
use crate::figures::{self, Report};

mod files;
mod queries;

use files::Files;
use queries::{NAMES, Query};

#[derive(Args)]
pub struct Nexmark {
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// What the events come from
    #[arg(long, default_value = "generator")]
    from: From,
    /// Only this query; may be repeated
    #[arg(long = "query", value_parser = PossibleValuesParser::new(NAMES))]
    queries: Vec<String>,
    /// A checkpoint each second
    #[arg(long)]
    checkpoints: bool,
    /// Read these JSON lines, in the layout of the benchmark's Flink table, instead of making some
    #[arg(long)]
    files: Option<std::path::PathBuf>,
    /// Print an object per query instead of a table
    #[arg(long)]
    json: bool,
    /// Over so many events are final rows hashed; 0: not at all
    #[arg(long, default_value_t = 100_000)]
    checked: u64,
    #[command(flatten)]
    runs: Runs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// Made as fast as they are taken
    Generator,
    /// Nested rows, a line each
    Json,
    /// The same, flat
    Csv,
    Parquet,
}

impl Nexmark {
    pub fn run(&self) -> Result<(), Failure> {
        let directory = engine::directory(&self.runs)?;
        let at = |events| match (&self.files, self.from) {
            (Some(path), _) => Ok(Files::json(path)),
            (None, from) => Files::make(from, events, directory.path(), &self.runs),
        };
        let tables = at(self.events)?;
        let checked = match self.checked {
            0 => None,
            events => Some(at(events.min(self.events))?),
        };
        let mut reports = Vec::new();
        for name in
            NAMES.into_iter().filter(|name| self.queries.is_empty() || self.queries.iter().any(|query| query == name))
        {
            let query = Query::of(name, directory.path())?;
            let report = Report {
                name: format!("{name} from {:?}", self.from).to_lowercase(),
                items: self.events,
                costs: self.costs(&tables, &query, directory.path())?,
                result: match &checked {
                    Some(tables) => self.result(tables, &query)?,
                    None => Some("not looked at".to_string()),
                },
            };
            figures::print_report(&report, self.json);
            reports.push(report);
        }
        if reports.len() > 1 && !self.json {
            println!("geometric mean: {:.2} M events per CPU second", figures::mean_rate(&reports) / 1e6);
        }
        Ok(())
    }

    fn costs(&self, tables: &Files, query: &Query, directory: &Path) -> Result<Vec<Cost>, Failure> {
        let mut costs = Vec::new();
        for run in 0..self.runs.repeat.max(1) {
            let checkpoints = match self.checkpoints {
                true => format!(
                    "SET 'execution.checkpointing.interval' = '1 s';
                     SET 'execution.checkpointing.dir' = '{}/checkpoints-{}-{run}';\n",
                    directory.display(),
                    query.name,
                ),
                false => String::new(),
            };
            costs.push(self.runs.once(&format!("{checkpoints}{}{}", tables.ddl, query.insert))?.0);
        }
        Ok(costs)
    }

    /// The number of final rows, and a hash of them, if they are the same in every run.
    fn result(&self, tables: &Files, query: &Query) -> Result<Option<String>, Failure> {
        let Some(select) = &query.select else { return Ok(None) };
        let printed = self.runs.once(&format!("{}{select}", tables.ddl))?.1;
        let rows = printed.lines().skip(1);
        Ok(Some(format!("{} rows, hash {:016x}", rows.clone().count(), figures::hash(rows))))
    }
}
