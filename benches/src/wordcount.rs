//! How many MB/s of text does a streaming word count take, from start to exit, with every word's count printed at the end?
//!
//! Estimate: 13 million words of 100 MB, each copied twice and looked up once in a table that fits into the second-level
//! cache, some 50 ns: 0.7 CPU seconds.

use clap::Args;

use crate::engine::Runs;
use crate::figures::{self, Volume};
use crate::{Failure, text};

#[derive(Args)]
pub struct Wordcount {
    #[arg(long, default_value_t = 100.0)]
    megabytes: f64,
    /// Forget the counts in a blackhole, as a job would hand them to a sink, rather than print them
    #[arg(long)]
    blackhole: bool,
    #[command(flatten)]
    runs: Runs,
}

const COUNTS: &str =
    "SELECT word, COUNT(*) AS n FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) GROUP BY word";

impl Wordcount {
    pub fn run(&self) -> Result<(), Failure> {
        let directory = crate::engine::directory(&self.runs)?;
        let path = directory.path().join("text.txt");
        let text = text::write(&path, (self.megabytes * 1e6) as u64)?;
        let tables = format!(
            "SET 'execution.runtime-mode' = 'streaming';
             CREATE TABLE lines (line STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'raw');",
            path.display()
        );
        let volume = Volume { bytes: text.bytes, items: text.words, noun: "words" };
        let question = "word count in streaming mode, whole process";
        if self.blackhole {
            let sql = format!(
                "{tables} CREATE TABLE counts (word STRING, n BIGINT) WITH ('connector' = 'blackhole');
                 INSERT INTO counts {COUNTS}"
            );
            figures::print(question, &self.runs.repeated(&sql)?.0, Some(&volume));
        }
        let sql = format!("{tables} {COUNTS}");
        let printed = if self.blackhole {
            self.runs.once(&sql)?.1
        } else {
            let (costs, printed) = self.runs.repeated(&sql)?;
            figures::print(question, &costs, Some(&volume));
            printed
        };
        let expected: Vec<String> = text.counts.iter().map(|(word, count)| format!("{word},{count}")).collect();
        let (expected, found) =
            (figures::hash(expected.iter().map(String::as_str)), figures::hash(printed.lines().skip(1)));
        if expected != found {
            return Err(format!("the counts are wrong: hash {found:016x}, {expected:016x} when counted by hand").into());
        }
        println!("  result: {} words, hash {found:016x}, as counted by hand", text.counts.len());
        Ok(())
    }
}
