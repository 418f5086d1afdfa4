//! How many events/s do the queries of Nexmark take, from the generator to a blackhole?
//!
//! Estimate: a core makes 4.7 M events/s with all their fields (measured on the generator alone). The views need all of them, because
//! the time column is computed from all three rows; so no query is faster than that per core.

use clap::Args;

use crate::Failure;
use crate::engine::Runs;
use crate::figures::{self, Volume};

#[derive(Args)]
pub struct Nexmark {
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Only this one; may be repeated
    #[arg(long = "query", value_parser = clap::builder::PossibleValuesParser::new(QUERIES.map(|(name, _)| name)))]
    queries: Vec<String>,
    #[command(flatten)]
    runs: Runs,
}

const TABLES: &str = include_str!("../../sql-tests/nexmark/ddl.sql");

/// The halves of q5, and what q7 joins bids with: streams have no joins yet.
const Q5_COUNTS: &str =
    "CREATE TABLE q5_counts (auction BIGINT, ends TIMESTAMP(3), num BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO q5_counts
SELECT auction, window_end AS ends, COUNT(*) AS num
FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
GROUP BY auction, window_start, window_end;
";
const Q5_MOST: &str = "CREATE TABLE q5_most (ends TIMESTAMP(3), num BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO q5_most
SELECT ends, MAX(num) AS num
FROM (
  SELECT auction, window_start AS starts, window_end AS ends, COUNT(*) AS num
  FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
  GROUP BY auction, window_start, window_end
) AS counts
GROUP BY starts, ends;
";
const Q7_HIGHEST: &str = "CREATE TABLE q7_highest (price BIGINT, ends TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO q7_highest
SELECT MAX(price) AS price, window_end AS ends
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
";

/// Those that run today, but for q10, which measures a disk.
const QUERIES: [(&str, &str); 13] = [
    ("q0", include_str!("../../sql-tests/nexmark/q0.sql")),
    ("q1", include_str!("../../sql-tests/nexmark/q1.sql")),
    ("q2", include_str!("../../sql-tests/nexmark/q2.sql")),
    ("q5-counts", Q5_COUNTS),
    ("q5-most", Q5_MOST),
    ("q7-highest", Q7_HIGHEST),
    ("q11", include_str!("../../sql-tests/nexmark/q11.sql")),
    ("q14", include_str!("../../sql-tests/nexmark/q14.sql")),
    ("q15", include_str!("../../sql-tests/nexmark/q15.sql")),
    ("q16", include_str!("../../sql-tests/nexmark/q16.sql")),
    ("q17", include_str!("../../sql-tests/nexmark/q17.sql")),
    ("q21", include_str!("../../sql-tests/nexmark/q21.sql")),
    ("q22", include_str!("../../sql-tests/nexmark/q22.sql")),
];

/// Of the default proportions: 1 person, 3 auctions, 46 bids; and of their default sizes.
const ROUND: u64 = 50;
const BIDS: u64 = 46;
const ROUND_BYTES: u64 = 200 + 3 * 500 + 46 * 100;

impl Nexmark {
    pub fn run(&self) -> Result<(), Failure> {
        let number = "${EVENTS_NUM:-100000}";
        if !TABLES.contains(number) {
            return Err(format!("the tables have no {number}").into());
        }
        let tables = format!(
            "SET 'execution.runtime-mode' = 'streaming';\n{}",
            TABLES.replace(number, &self.events.to_string())
        );
        let volume = Volume { bytes: self.events * ROUND_BYTES / ROUND, items: self.events, noun: "events" };
        for (name, script) in QUERIES {
            if !self.queries.is_empty() && !self.queries.iter().any(|query| query == name) {
                continue;
            }
            let (costs, _) = self.runs.repeated(&format!("{tables}{script}"))?;
            figures::print(&format!("Nexmark {name}, whole process"), &costs, Some(&volume));

            // A blackhole tells nothing, so the rows of the same query are counted once more.
            let (_, query) = script.split_once("\nSELECT").ok_or("the script has no query")?;
            let query = query.trim_end().trim_end_matches(';');
            let printed = self.runs.once(&format!("{tables} SELECT COUNT(*) AS n FROM (SELECT {query})"))?.1;
            let found: u64 = printed.lines().nth(1).unwrap_or_default().parse()?;
            let expected = expected(name, self.events);
            if expected.is_some_and(|expected| expected != found) {
                return Err(format!("{name} gives {found} rows instead of {expected:?}").into());
            }
            println!("  result: {found} rows");
        }
        Ok(())
    }
}

/// How many rows a query gives, where this can be counted by hand.
fn expected(query: &str, events: u64) -> Option<u64> {
    let bids = events / ROUND * BIDS + (events % ROUND).saturating_sub(ROUND - BIDS);
    matches!(query, "q0" | "q1" | "q22").then_some(bids)
}
