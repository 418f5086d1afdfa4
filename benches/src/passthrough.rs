//! How many events/s go through when they are only decoded, filtered and projected (Nexmark's q0)?
//!
//! Estimate: a core decodes 850 MB/s of such JSON, or 960 MB/s of such CSV, when all columns are wanted.

use std::path::Path;

use clap::{Args, ValueEnum};

use crate::engine::Runs;
use crate::events::{self, Totals};
use crate::figures::{self, Volume};
use crate::{Failure, engine};

#[derive(Args)]
pub struct Passthrough {
    #[arg(long, default_value = "json")]
    format: Format,
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    #[command(flatten)]
    runs: Runs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Nested rows, a line each
    Json,
    /// The same, flat
    Csv,
}

const PERSON: &str = "id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING";
const AUCTION: &str = "itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT, expires TIMESTAMP(3), \
                       seller BIGINT, category BIGINT";
const BID: &str = "auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING";
const STAMP: &str = "`dateTime` TIMESTAMP(3), extra STRING";

/// The table of all events, and the view of the bids in it.
fn tables(format: Format, path: &Path) -> String {
    let (columns, bid) = match format {
        Format::Json => (
            format!(
                "event_type INT, person ROW<{PERSON}, {STAMP}>, auction ROW<id BIGINT, {AUCTION}, {STAMP}>,
                 bid ROW<{BID}, {STAMP}>"
            ),
            "bid.auction, bid.bidder, bid.price, bid.channel, bid.url, bid.`dateTime`, bid.extra",
        ),
        Format::Csv => (
            format!("event_type INT, {STAMP}, {PERSON}, {AUCTION}, {BID}"),
            "auction, bidder, price, channel, url, `dateTime`, extra",
        ),
    };
    // Empty fields are nulls: each kind of event fills its own columns.
    let name = if format == Format::Json { "'json'" } else { "'csv', 'csv.null-literal' = ''" };
    format!(
        "SET 'execution.runtime-mode' = 'streaming';
         CREATE TABLE events ({columns}) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = {name});
         CREATE VIEW bids AS SELECT {bid} FROM events WHERE event_type = 2;",
        path.display()
    )
}

impl Passthrough {
    pub fn run(&self) -> Result<(), Failure> {
        let directory = engine::directory(&self.runs)?;
        let path = directory.path().join("events");
        let Totals { bytes, bids, auctions, prices, extra_bytes } = events::write(&path, self.format, self.events)?;
        let tables = tables(self.format, &path);
        let (costs, _) = self.runs.repeated(&format!(
            "{tables}
             CREATE TABLE passed (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra STRING)
             WITH ('connector' = 'blackhole');
             INSERT INTO passed SELECT auction, bidder, price, `dateTime`, extra FROM bids"
        ))?;
        let volume = Volume { bytes, items: self.events, noun: "events" };
        figures::print(&format!("pass-through of {:?}, whole process", self.format), &costs, Some(&volume));

        // A blackhole tells nothing, so the same rows are added up once more.
        let sums = "SELECT COUNT(*), SUM(auction), SUM(price), SUM(CHAR_LENGTH(extra)) FROM bids";
        let found = self.runs.once(&format!("{tables} {sums}"))?.1;
        let found = found.lines().nth(1).unwrap_or_default();
        let expected = format!("{bids},{auctions},{prices},{extra_bytes}");
        if found != expected {
            return Err(format!("the bids add up to {found} instead of {expected}").into());
        }
        println!("  result: {bids} bids, hash {:016x}, as added by hand", figures::hash([found].into_iter()));
        Ok(())
    }
}
