//! How a lookup join gets at the rows of a table.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, UInt32Array};
use async_trait::async_trait;

use super::options::{OptionKind, OptionSpec};
use crate::error::{Error, Result};

/// What a connector offers to lookup joins.
#[derive(Debug)]
pub enum Lookups {
    /// The table is small and ends: its [`Source`](super::Source) is read into memory, and again if the table says when.
    Whole,
    /// It can be asked for the rows of given keys.
    ByKey(Arc<dyn Lookup>),
}

/// A table that can be asked for the rows of given keys.
#[async_trait]
pub trait Lookup: Debug + Send + Sync {
    /// Connects. `key` and `projection` are columns of the table: those asked by, and those wanted, in that order.
    ///
    /// # Errors
    /// It cannot be reached, or not be asked by these columns.
    async fn open(&self, key: &[usize], projection: &[usize]) -> Result<Box<dyn Finder>>;
}

/// Answers the shards of one stage.
#[async_trait]
pub trait Finder: Send + Sync {
    /// The rows of these keys: a row and its columns in the order of `key`. None of them is null, and none comes twice.
    ///
    /// Called again before it has answered, as often as `table.exec.async-lookup.buffer-capacity` says. Dropping the future gives the
    /// question up.
    ///
    /// # Errors
    /// Are temporary: the question is asked again, `lookup.max-retries` times.
    async fn find(&self, keys: &RecordBatch) -> Result<Found>;
}

/// The rows of some keys.
#[derive(Clone, Debug)]
pub struct Found {
    /// In any order; those of one key in the one in which they come out.
    pub rows: RecordBatch,
    /// For each row, which of the keys is its.
    pub keys: UInt32Array,
}

impl Found {
    /// The same, if it can be an answer to so many keys.
    pub(crate) fn checked(self, keys: usize) -> Result<Found> {
        let is_key = |&key: &u32| (key as usize) < keys;
        if self.keys.len() != self.rows.num_rows()
            || self.keys.null_count() > 0
            || !self.keys.values().iter().all(is_key)
        {
            return Err(Error::new("a lookup gave rows of keys that were not asked for")
                .why("that is a bug of its connector")
                .fix("give for each row which of the keys is its, counted from 0"));
        }
        Ok(self)
    }
}

/// What every table can be told that a lookup join asks, whatever its connector.
pub const LOOKUP_OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional(
        "lookup.async",
        OptionKind::Boolean,
        "accepted for Flink scripts: lookups are under way while others begin",
    ),
    OptionSpec::optional(
        "lookup.cache",
        OptionKind::OneOf(&["NONE", "PARTIAL", "FULL"]),
        "rows kept in memory: none, those asked for, all; default: FULL of a table that can only be read as a whole, else NONE",
    ),
    OptionSpec::optional(
        "lookup.full-cache.periodic-reload.interval",
        OptionKind::Duration,
        "time until all rows are read again; default: they are read once, when the job begins",
    ),
    OptionSpec::with_default(
        "lookup.full-cache.periodic-reload.schedule-mode",
        OptionKind::OneOf(&["FIXED_DELAY", "FIXED_RATE"]),
        "FIXED_DELAY",
        "whether the interval is from the end of a load to the next, or from its beginning",
    ),
    OptionSpec::with_default(
        "lookup.full-cache.reload-strategy",
        OptionKind::OneOf(&["PERIODIC"]),
        "PERIODIC",
        "when all rows are read again: by the interval",
    ),
    OptionSpec::with_default(
        "lookup.max-retries",
        OptionKind::Integer,
        "3",
        "how often a lookup, or a load, that failed is tried again before the job fails",
    ),
    OptionSpec::with_default(
        "lookup.partial-cache.cache-missing-key",
        OptionKind::Boolean,
        "true",
        "remembers that a key has no rows",
    ),
    OptionSpec::optional(
        "lookup.partial-cache.expire-after-access",
        OptionKind::Duration,
        "a key that nobody has asked for so long is forgotten",
    ),
    OptionSpec::optional(
        "lookup.partial-cache.expire-after-write",
        OptionKind::Duration,
        "a key is forgotten so long after its rows were found",
    ),
    OptionSpec::optional(
        "lookup.partial-cache.max-rows",
        OptionKind::Integer,
        "with more rows than these, the keys asked for longest ago are forgotten",
    ),
];
