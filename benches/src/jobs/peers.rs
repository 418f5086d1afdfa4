//! Other engines, driven by a script.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Format;
use super::queries::{Job, Table};
use crate::Failure;
use crate::engine::Cost;

pub const NAMES: [&str; 2] = ["duckdb", "datafusion"];

const SCRIPT: &str = include_str!("peers.py");

pub struct Peers<'a> {
    python: &'a Path,
    script: PathBuf,
    data: &'a Path,
}

impl<'a> Peers<'a> {
    pub fn new(python: &'a Path, data: &'a Path) -> Result<Peers<'a>, Failure> {
        let script = data.join("peers.py");
        std::fs::write(&script, SCRIPT)?;
        Ok(Peers { python, script, data })
    }

    /// What a query took after the engine was loaded, and the last row of its result.
    pub fn run(&self, engine: &str, job: &Job, format: Format, query: &str) -> Result<(Cost, String), Failure> {
        let mut command = Command::new(self.python);
        command.arg(&self.script).args([engine, query]);
        for table in job.tables.iter().map(|name| Table::named(name)) {
            let columns: Vec<String> = table.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
            let kind = if table.is_text() { "text" } else { format.name() };
            command.args([table.name, kind]).arg(table.path(format, self.data)).arg(columns.join(","));
        }
        let output = command.output()?;
        let printed = String::from_utf8(output.stdout)?;
        let mut figures = printed.split_whitespace();
        let mut number = || figures.next().and_then(|figure| figure.parse::<f64>().ok());
        match (number(), number(), number()) {
            (Some(wall), Some(cpu), Some(kilobytes)) if output.status.success() => {
                let seconds = Duration::from_secs_f64;
                let cost = Cost { wall: seconds(wall), cpu: seconds(cpu), peak_bytes: (kilobytes * 1024.0) as u64 };
                Ok((cost, figures.next().unwrap_or_default().to_string()))
            }
            _ => Err(format!("{engine} failed: {printed}{}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }
}
