//! How long does the smallest query take from start to exit, and how much memory?

use clap::Args;

use crate::engine::Runs;
use crate::{Failure, figures};

#[derive(Args)]
pub struct Startup {
    /// The query
    #[arg(long, default_value = "SELECT 1")]
    sql: String,
    #[command(flatten)]
    runs: Runs,
}

impl Startup {
    pub fn run(&self) -> Result<(), Failure> {
        let (costs, printed) = self.runs.repeated(&self.sql)?;
        figures::print(&format!("{}, whole process", self.sql), &costs, None);
        println!("  result: hash {:016x}", figures::hash(printed.lines()));
        Ok(())
    }
}
