//! The options, and the rules of the auction house that they make up.

use std::ops::RangeInclusive;

use arrow::datatypes::TimeUnit;

use crate::connect::{OptionKind, OptionSpec, TableDefinition};
use crate::error::{Error, Result};
use crate::text::parse::{TimestampStandard, parse_timestamp};

/// Names and defaults are those of the benchmark's Flink connector, except `base-time`, which is ours.
pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::with_default("first-event.rate", OptionKind::Integer, "10000", "events per second of event time"),
    OptionSpec::with_default(
        "next-event.rate",
        OptionKind::Integer,
        "10000",
        "accepted for Flink scripts: the first rate stays in force",
    ),
    OptionSpec::with_default("events.num", OptionKind::Integer, "0", "the table ends after this many events; 0: never"),
    OptionSpec::with_default(
        "stop-at",
        OptionKind::Integer,
        "-1",
        "stops after this many events, whatever events.num says; -1: it does not",
    ),
    OptionSpec::with_default(
        "keep-alive",
        OptionKind::Boolean,
        "false",
        "after the last event the table stays open, with nothing to read, instead of ending",
    ),
    OptionSpec::with_default(
        "max-emit-speed",
        OptionKind::Boolean,
        "true",
        "events are made as fast as they are taken; false: at first-event.rate",
    ),
    OptionSpec::with_default(
        "base-time",
        OptionKind::Text,
        "2015-07-15 00:00:00",
        "event time of the first event, so that every run has the same times",
    ),
    OptionSpec::with_default("person.proportion", OptionKind::Integer, "1", "how many events in a round are persons"),
    OptionSpec::with_default("auction.proportion", OptionKind::Integer, "3", "how many events in a round are auctions"),
    OptionSpec::with_default("bid.proportion", OptionKind::Integer, "46", "how many events in a round are bids"),
    OptionSpec::with_default("person.avg-size", OptionKind::Bytes, "200b", "about how large a person is"),
    OptionSpec::with_default("auction.avg-size", OptionKind::Bytes, "500b", "about how large an auction is"),
    OptionSpec::with_default(
        "bid.avg-size",
        OptionKind::Bytes,
        "100b",
        "about how large a bid is, without its channel and url",
    ),
    OptionSpec::with_default(
        "bid.hot-ratio.auctions",
        OptionKind::Integer,
        "2",
        "n: all but one in n bids are for the hot auction",
    ),
    OptionSpec::with_default(
        "bid.hot-ratio.bidders",
        OptionKind::Integer,
        "4",
        "n: all but one in n bids are by the hot bidder",
    ),
    OptionSpec::with_default(
        "auction.hot-ratio.sellers",
        OptionKind::Integer,
        "4",
        "n: all but one in n auctions are by the hot seller",
    ),
    OptionSpec::optional("rate.shape", OptionKind::OneOf(&["SQUARE", "SINE"]), WITHOUT_EFFECT),
    OptionSpec::optional("rate.period", OptionKind::Duration, WITHOUT_EFFECT),
    OptionSpec::optional("rate.limited", OptionKind::Boolean, "accepted for Flink scripts: see max-emit-speed"),
];

const WITHOUT_EFFECT: &str = "accepted for Flink scripts, without effect";

/// Beyond this nobody means it, and a batch of one event would not fit.
const EVENT_BYTES_MAX: u64 = 64 << 20;

/// Enough that a batch costs little beside its rows.
const BLOCK_EVENTS_MAX: u64 = 1024;

/// What events look like. Everything about event n follows from n and this.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Events come in rounds: so many persons, then so many auctions, then so many bids.
    pub persons: u64,
    pub auctions: u64,
    pub bids: u64,
    pub person_bytes: u64,
    pub auction_bytes: u64,
    pub bid_bytes: u64,
    /// All but one in so many bids are for the hot auction, and so on. At least 1, which means that nobody is hot.
    pub hot_auctions: u64,
    pub hot_bidders: u64,
    pub hot_sellers: u64,
    /// Events per second of event time.
    pub rate: u64,
    /// Time of event 0, in milliseconds since 1970.
    pub base_ms: i64,
}

impl Rules {
    /// # Errors
    /// A number out of its range, rounds of no events, a base time that is no timestamp.
    pub fn of(table: &TableDefinition) -> Result<Rules> {
        let many = |option: &str| number(table, option, 0..=i32::MAX as u64);
        let some = |option: &str| number(table, option, 1..=i32::MAX as u64);
        some("next-event.rate")?;
        let rules = Rules {
            persons: many("person.proportion")?,
            auctions: many("auction.proportion")?,
            bids: many("bid.proportion")?,
            person_bytes: bytes(table, "person.avg-size")?,
            auction_bytes: bytes(table, "auction.avg-size")?,
            bid_bytes: bytes(table, "bid.avg-size")?,
            hot_auctions: some("bid.hot-ratio.auctions")?,
            hot_bidders: some("bid.hot-ratio.bidders")?,
            hot_sellers: some("auction.hot-ratio.sellers")?,
            rate: some("first-event.rate")?,
            base_ms: base_ms(table)?,
        };
        match rules.round() {
            0 => Err(Error::new(format!("table {} has no events", table.name))
                .why("person.proportion, auction.proportion and bid.proportion are all 0")
                .fix("leave them out for 1, 3 and 46")),
            _ => Ok(rules),
        }
    }

    /// Events per round.
    pub fn round(&self) -> u64 {
        self.persons + self.auctions + self.bids
    }

    /// When event `number` happened, in milliseconds since 1970.
    pub fn time_ms(&self, number: u64) -> i64 {
        let (seconds, rest) = (number / self.rate, number % self.rate);
        self.base_ms.saturating_add_unsigned(seconds * 1000 + rest * 1000 / self.rate)
    }
}

/// When there is nothing more to make, and what then; how fast until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// How many events there are; `None` if there is no end.
    pub events_max: Option<u64>,
    pub keep_alive: bool,
    /// Events per second, if they are not made as fast as they are taken.
    pub paced: Option<u64>,
}

impl Course {
    /// # Errors
    /// A number of events that is out of its range.
    pub fn of(table: &TableDefinition, rules: &Rules) -> Result<Course> {
        let events = Some(number(table, "events.num", 0..=i64::MAX as u64)?).filter(|events| *events > 0);
        let stop = match table.options.integer(OPTIONS, "stop-at") {
            Some(-1) | None => None,
            Some(_) => Some(number(table, "stop-at", 0..=i64::MAX as u64)?),
        };
        Ok(Course {
            events_max: [events, stop].into_iter().flatten().min(),
            keep_alive: table.options.boolean(OPTIONS, "keep-alive"),
            paced: (!table.options.boolean(OPTIONS, "max-emit-speed")).then_some(rules.rate),
        })
    }

    /// How many consecutive events one split makes before the next events are another split's. Small, so that the splits advance
    /// together in event time: a batch if nothing waits, else what is due every 10 ms. Offsets count events of a split, so they hold
    /// for a table whose rate and speed stay as they were.
    pub fn block(&self) -> u64 {
        self.paced.map_or(BLOCK_EVENTS_MAX, |rate| (rate / 100).clamp(1, BLOCK_EVENTS_MAX))
    }
}

fn number(table: &TableDefinition, option: &str, range: RangeInclusive<u64>) -> Result<u64> {
    let number = table.options.integer(OPTIONS, option).unwrap_or_default();
    match u64::try_from(number) {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(wrong(table, option, format!("it must be from {} to {}", range.start(), range.end()))),
    }
}

fn bytes(table: &TableDefinition, option: &str) -> Result<u64> {
    let bytes = table.options.bytes(OPTIONS, option).unwrap_or_default();
    match bytes {
        0..=EVENT_BYTES_MAX => Ok(bytes),
        _ => Err(wrong(table, option, format!("it must be at most {} mb", EVENT_BYTES_MAX >> 20))),
    }
}

fn base_ms(table: &TableDefinition) -> Result<i64> {
    let text = table.options.text(OPTIONS, "base-time").unwrap_or_default();
    parse_timestamp(text.trim().as_bytes(), TimestampStandard::Any)
        .filter(|parsed| parsed.offset.is_none())
        .and_then(|parsed| parsed.value(TimeUnit::Millisecond))
        .ok_or_else(|| wrong(table, "base-time", "it must be a timestamp without a zone, such as 2015-07-15 00:00:00"))
}

fn wrong(table: &TableDefinition, option: &str, why: impl Into<String>) -> Error {
    let value = table.options.text(OPTIONS, option).unwrap_or_default();
    let help = OPTIONS.iter().find(|spec| spec.name == option).map(|spec| spec.help);
    Error::new(format!("option '{option}' of table {} has the value '{value}'", table.name))
        .why(why)
        .fix(help.unwrap_or_default())
}
