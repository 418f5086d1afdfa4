//! The rows of keys that were asked for, until they are too old or too many.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use hashbrown::HashMap;
use tokio::time::Instant;

use super::length;
use super::retry::Retrying;
use crate::connect::{Finder, Found, LOOKUP_OPTIONS, Options};
use crate::error::{Error, Result};

/// `lookup.partial-cache.*`
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub after_access: Option<Duration>,
    pub after_write: Option<Duration>,
    pub rows: Option<usize>,
    /// Remembers that a key has no rows.
    pub missing: bool,
}

impl Limits {
    pub fn of(options: &Options) -> Limits {
        let time = |what: &str| options.duration(LOOKUP_OPTIONS, &format!("lookup.partial-cache.{what}"));
        let rows = options.integer(LOOKUP_OPTIONS, "lookup.partial-cache.max-rows");
        Limits {
            after_access: time("expire-after-access"),
            after_write: time("expire-after-write"),
            rows: rows.map(|rows| usize::try_from(rows).unwrap_or(0)),
            missing: options.boolean(LOOKUP_OPTIONS, "lookup.partial-cache.cache-missing-key"),
        }
    }
}

impl Display for Limits {
    /// `, max-rows=1000, expire-after-write=10 s`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rows) = self.rows {
            write!(f, ", max-rows={rows}")?;
        }
        if let Some(time) = self.after_access {
            write!(f, ", expire-after-access={}", length(time))?;
        }
        if let Some(time) = self.after_write {
            write!(f, ", expire-after-write={}", length(time))?;
        }
        Ok(())
    }
}

pub(super) struct Partial {
    finder: Retrying,
    keys: RowConverter,
    rows: RowConverter,
    schema: SchemaRef,
    kept: Mutex<Kept>,
}

/// Keys and rows in Arrow's row format.
struct Kept {
    limits: Limits,
    entries: HashMap<Arc<[u8]>, Entry>,
    /// By when they were asked for last, the longest ago first.
    by_access: BTreeMap<u64, Arc<[u8]>>,
    /// Grows with each access.
    clock: u64,
    rows: usize,
}

struct Entry {
    rows: Vec<Box<[u8]>>,
    written: Instant,
    accessed: Instant,
    access: u64,
}

impl Partial {
    pub fn new(finder: Retrying, limits: Limits, keys: &Schema, rows: &SchemaRef) -> Result<Partial> {
        let converter = |schema: &Schema| {
            let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
            RowConverter::new(fields.collect()).map_err(|error| {
                let why = error.to_string();
                Error::new("rows of these types cannot be cached").why(why).fix("write 'lookup.cache' = 'NONE'")
            })
        };
        let kept = Kept { limits, entries: HashMap::new(), by_access: BTreeMap::new(), clock: 0, rows: 0 };
        Ok(Partial {
            finder,
            keys: converter(keys)?,
            rows: converter(rows)?,
            schema: Arc::clone(rows),
            kept: Mutex::new(kept),
        })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of these keys, and which of them nothing is known of.
    fn known(&self, keys: &RecordBatch) -> Result<(Found, Vec<u32>)> {
        let keys = self.keys.convert_columns(keys.columns())?;
        let (mut of, mut unknown) = (Vec::new(), Vec::new());
        let now = Instant::now();
        let mut kept = self.kept();
        let mut found: Vec<&[u8]> = Vec::new();
        for (n, key) in (0u32..).zip(keys.iter()) {
            if !kept.touch(key.data(), now) {
                unknown.push(n);
            }
        }
        let mut missing = unknown.iter().peekable();
        for (n, key) in (0u32..).zip(keys.iter()) {
            if missing.next_if_eq(&&n).is_none() {
                let rows = &kept.entries[key.data()].rows;
                found.extend(rows.iter().map(|row| &**row));
                of.resize(found.len(), n);
            }
        }
        let parser = self.rows.parser();
        let columns = self.rows.convert_rows(found.iter().map(|row| parser.parse(row)))?;
        Ok((Found { rows: self.batch(columns, of.len())?, keys: UInt32Array::from(of) }, unknown))
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn keep(&self, keys: &RecordBatch, found: &Found) -> Result<()> {
        let keys = self.keys.convert_columns(keys.columns())?;
        let rows = self.rows.convert_columns(found.rows.columns())?;
        let mut of_key: Vec<Vec<Box<[u8]>>> = vec![Vec::new(); keys.num_rows()];
        for (row, &key) in rows.iter().zip(found.keys.values()) {
            of_key[key as usize].push(row.data().into());
        }
        let now = Instant::now();
        let mut kept = self.kept();
        for (key, rows) in keys.iter().zip(of_key) {
            if !rows.is_empty() || kept.limits.missing {
                kept.insert(key.data().into(), rows, now);
            }
        }
        kept.evict(now);
        Ok(())
    }
}

#[async_trait]
impl Finder for Partial {
    async fn find(&self, keys: &RecordBatch) -> Result<Found> {
        let (known, unknown) = self.known(keys)?;
        if unknown.is_empty() {
            return Ok(known);
        }
        let unknown = UInt32Array::from(unknown);
        let asked = take_record_batch(keys, &unknown)?;
        let found = self.finder.find(&asked).await?.checked(asked.num_rows())?;
        self.keep(&asked, &found)?;
        let of = found.keys.values().iter().map(|&key| unknown.value(key as usize));
        let of = known.keys.values().iter().copied().chain(of).collect::<Vec<u32>>();
        Ok(Found { rows: concat_batches(&self.schema, [&known.rows, &found.rows])?, keys: UInt32Array::from(of) })
    }
}

impl Kept {
    /// Whether something is known of the key, which is asked for now.
    fn touch(&mut self, key: &[u8], now: Instant) -> bool {
        let limits = self.limits;
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let is_over = |since: Instant, limit: Option<Duration>| limit.is_some_and(|limit| now - since >= limit);
        if is_over(entry.accessed, limits.after_access) || is_over(entry.written, limits.after_write) {
            let access = entry.access;
            self.remove(access);
            return false;
        }
        self.clock += 1;
        let key = self.by_access.remove(&entry.access).expect("each entry has its place");
        self.by_access.insert(self.clock, key);
        (entry.accessed, entry.access) = (now, self.clock);
        true
    }

    fn insert(&mut self, key: Arc<[u8]>, rows: Vec<Box<[u8]>>, now: Instant) {
        // Another question for it may have been under way.
        if let Some(access) = self.entries.get(&key).map(|entry| entry.access) {
            self.remove(access);
        }
        self.clock += 1;
        self.rows += rows.len().max(1);
        self.by_access.insert(self.clock, Arc::clone(&key));
        self.entries.insert(key, Entry { rows, written: now, accessed: now, access: self.clock });
    }

    fn remove(&mut self, access: u64) {
        let key = self.by_access.remove(&access).expect("each entry has its place");
        let entry = self.entries.remove(&key).expect("each place has its entry");
        self.rows -= entry.rows.len().max(1);
    }

    /// Forgets what is too old or too much, beginning with what was asked for longest ago.
    fn evict(&mut self, now: Instant) {
        // What was written too long ago and is asked for still is seen to when it is asked for.
        let age = [self.limits.after_access, self.limits.after_write].into_iter().flatten().min();
        while let Some((&access, key)) = self.by_access.first_key_value() {
            let is_old = age.is_some_and(|age| now - self.entries[key].accessed >= age);
            if !is_old && self.limits.rows.is_none_or(|most| self.rows <= most) {
                return;
            }
            self.remove(access);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::retry::Retry;
    use super::super::testing::{Shelf, found, keys};
    use super::*;

    const UNLIMITED: Limits = Limits { after_access: None, after_write: None, rows: None, missing: true };

    fn cached(shelf: &Shelf, limits: Limits) -> Partial {
        let retry = Retry { table: "dim".to_string(), retries: 0, notes: Arc::new(|_| {}) };
        let finder = Retrying { finder: Box::new(shelf.clone()), retry };
        Partial::new(finder, limits, keys(&[]).schema_ref(), &Shelf::schema()).expect("text and numbers can be kept")
    }

    async fn ask(cache: &Partial, words: &[&str]) -> Vec<String> {
        found(&cache.find(&keys(words)).await.expect("the shelf answers"))
    }

    #[tokio::test(start_paused = true)]
    async fn only_keys_that_nothing_is_known_of_are_asked_for() {
        let shelf = Shelf::new(&[("a", 1), ("b", 2), ("a", 3)]);
        let cache = cached(&shelf, UNLIMITED);
        assert_eq!(ask(&cache, &["a"]).await, ["0: a 1", "0: a 3"]);
        assert_eq!(ask(&cache, &["b", "x", "a"]).await, ["0: b 2", "2: a 1", "2: a 3"]);
        assert_eq!(ask(&cache, &["x", "b"]).await, ["1: b 2"]);
        assert_eq!(shelf.take_asked(), [vec!["a"], vec!["b", "x"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_without_rows_is_asked_for_again_if_that_is_not_to_be_remembered() {
        let shelf = Shelf::new(&[("a", 1)]);
        let cache = cached(&shelf, Limits { missing: false, ..UNLIMITED });
        assert!(ask(&cache, &["x"]).await.is_empty());
        shelf.set(&[("x", 7)]);
        assert_eq!(ask(&cache, &["x"]).await, ["0: x 7"]);
        assert_eq!(shelf.take_asked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn rows_are_forgotten_some_time_after_they_were_found_or_asked_for() {
        let (second, third) = (Duration::from_secs(2), Duration::from_secs(3));
        let shelf = Shelf::new(&[("a", 1)]);
        let written = cached(&shelf, Limits { after_write: Some(third), ..UNLIMITED });
        for _ in 0..4 {
            ask(&written, &["a"]).await;
            tokio::time::sleep(second).await;
        }
        assert_eq!(shelf.take_asked().len(), 2, "at 0 and 4 seconds");
        let accessed = cached(&shelf, Limits { after_access: Some(third), ..UNLIMITED });
        for _ in 0..4 {
            ask(&accessed, &["a"]).await;
            tokio::time::sleep(second).await;
        }
        tokio::time::sleep(second).await;
        ask(&accessed, &["b"]).await;
        assert_eq!(accessed.kept().entries.len(), 1, "what is too old goes although nobody asks for it");
        ask(&accessed, &["a"]).await;
        assert_eq!(shelf.take_asked(), [["a"], ["b"], ["a"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_too_many_rows_those_asked_for_longest_ago_are_forgotten() {
        let shelf = Shelf::new(&[("a", 1), ("a", 2), ("b", 3), ("c", 4)]);
        let cache = cached(&shelf, Limits { rows: Some(3), ..UNLIMITED });
        ask(&cache, &["b"]).await;
        ask(&cache, &["a"]).await;
        ask(&cache, &["b"]).await;
        ask(&cache, &["c"]).await;
        assert_eq!(cache.kept().rows, 2);
        ask(&cache, &["b", "c"]).await;
        ask(&cache, &["a"]).await;
        assert_eq!(shelf.take_asked(), [["b"], ["a"], ["c"], ["a"]]);
        assert_eq!(cache.kept().rows, 3, "c is left with a");
    }
}
