//! All rows of a table in memory, by key.

use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use async_trait::async_trait;
use futures::FutureExt;
use hashbrown::{DefaultHashBuilder, HashTable};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Reload;
use super::retry::Retry;
use crate::connect::{Finder, Found, Source};
use crate::error::{Error, Result};
use crate::runtime::catch_panic;
use crate::task::Skips;

/// How rows get into memory.
pub(super) struct Load {
    pub source: Arc<dyn Source>,
    /// Of its rows.
    pub schema: SchemaRef,
    /// Where in them the columns of the key are.
    pub key: Vec<usize>,
    pub retry: Retry,
}

impl Load {
    /// The rows that are there now.
    async fn load(&self) -> Result<Arc<Index>> {
        self.retry.ask("be read", || async { catch_panic(self.read()).await? }.boxed()).await
    }

    async fn read(&self) -> Result<Arc<Index>> {
        let splits = self.source.splits().await?.into_iter().map(|split| (split, None)).collect();
        let mut reader = self.source.open(splits).await?;
        let mut skips = Skips::new(&self.retry.table, |note| (self.retry.notes)(note));
        let mut rows = Vec::new();
        while let Some(read) = reader.next().await? {
            if let Some(skipped) = read.skipped {
                skips.add(skipped, Instant::now());
            }
            rows.push(read.rows.into_rows());
        }
        Ok(Arc::new(Index::new(concat_batches(&self.schema, &rows)?, &self.key)?))
    }
}

/// The rows as they were when they were last read. While they are read again, the former ones answer.
pub(super) struct Full {
    known: Arc<Mutex<Result<Arc<Index>>>>,
    reloading: Option<AbortHandle>,
}

impl Full {
    /// Reads the rows.
    pub async fn open(load: Load, reload: Option<Reload>) -> Result<Full> {
        let mut begun = Instant::now();
        let known = Arc::new(Mutex::new(Ok(load.load().await?)));
        let Some(Reload { interval, at_fixed_rate }) = reload else { return Ok(Full { known, reloading: None }) };
        let latest = Arc::clone(&known);
        let reloading = tokio::spawn(async move {
            loop {
                let from = if at_fixed_rate { begun } else { Instant::now() };
                tokio::time::sleep_until(from + interval).await;
                begun = Instant::now();
                let loaded = load.load().await;
                let failed = loaded.is_err();
                *latest.lock().unwrap_or_else(PoisonError::into_inner) = loaded;
                if failed {
                    return;
                }
            }
        });
        Ok(Full { known, reloading: Some(reloading.abort_handle()) })
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        self.reloading.iter().for_each(AbortHandle::abort);
    }
}

#[async_trait]
impl Finder for Full {
    async fn find(&self, keys: &RecordBatch) -> Result<Found> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known?.find(keys)
    }
}

/// Rows by key. It never changes, so shards share it.
struct Index {
    rows: RecordBatch,
    converter: RowConverter,
    keys: Rows,
    hasher: DefaultHashBuilder,
    /// The first row of each key.
    first: HashTable<u32>,
    /// The next row of the same key; the last has itself.
    next: Vec<u32>,
}

impl Index {
    fn new(rows: RecordBatch, key: &[usize]) -> Result<Index> {
        let fields = key.iter().map(|&column| SortField::new(rows.schema().field(column).data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(|error| {
            Error::new("rows cannot be looked up by such a key")
                .why(error.to_string())
                .fix("join on columns of other types")
        })?;
        let columns: Vec<ArrayRef> = key.iter().map(|&column| Arc::clone(rows.column(column))).collect();
        let keys = converter.convert_columns(&columns)?;
        let count = u32::try_from(rows.num_rows()).map_err(|_| {
            Error::new("a table that is kept in memory has too many rows").why(format!("it has {}", rows.num_rows()))
        })?;
        let hasher = DefaultHashBuilder::default();
        let hash = |bytes: &[u8]| hasher.hash_one(bytes);
        let mut first: HashTable<u32> = HashTable::with_capacity(rows.num_rows());
        let mut next: Vec<u32> = (0..count).collect();
        // From behind, so that rows of a key follow each other in their order.
        for row in (0..count).rev().filter(|&row| columns.iter().all(|column| column.is_valid(row as usize))) {
            let bytes = keys.row(row as usize);
            let is_it = |&other: &u32| keys.row(other as usize) == bytes;
            match first.find_mut(hash(bytes.data()), is_it) {
                Some(known) => next[row as usize] = std::mem::replace(known, row),
                None => {
                    first.insert_unique(hash(bytes.data()), row, |&other| hash(keys.row(other as usize).data()));
                }
            }
        }
        Ok(Index { rows, converter, keys, hasher, first, next })
    }

    fn find(&self, keys: &RecordBatch) -> Result<Found> {
        let wanted = self.converter.convert_columns(keys.columns())?;
        let (mut rows, mut of) = (Vec::with_capacity(keys.num_rows()), Vec::with_capacity(keys.num_rows()));
        for (key, bytes) in (0u32..).zip(wanted.iter()) {
            let is_it = |&row: &u32| self.keys.row(row as usize) == bytes;
            let Some(&first) = self.first.find(self.hasher.hash_one(bytes.data()), is_it) else { continue };
            let mut row = first;
            loop {
                rows.push(row);
                of.push(key);
                let next = self.next[row as usize];
                if next == row {
                    break;
                }
                row = next;
            }
        }
        let rows = take_record_batch(&self.rows, &UInt32Array::from(rows))?;
        Ok(Found { rows, keys: UInt32Array::from(of) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::super::testing::{Shelf, batch_of, found, keys};
    use super::*;
    use crate::connect::{Offset, Reader, SplitId};
    use crate::connectors::inline::Inline;

    /// What is on the shelf when it is read.
    #[derive(Debug)]
    struct Reading {
        shelf: Shelf,
        loads: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl Source for Reading {
        fn bounded(&self) -> bool {
            true
        }

        async fn splits(&self) -> Result<Vec<SplitId>> {
            Ok(vec![SplitId::new("rows")])
        }

        async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
            self.loads.fetch_add(1, Ordering::Relaxed);
            Inline::new(self.shelf.read()?).open(splits).await
        }
    }

    fn load(shelf: &Shelf, retries: u32) -> (Load, Arc<AtomicUsize>) {
        let loads = Arc::new(AtomicUsize::new(0));
        let source = Arc::new(Reading { shelf: shelf.clone(), loads: Arc::clone(&loads) });
        let retry = Retry { table: "dim".to_string(), retries, notes: Arc::new(|_| {}) };
        (Load { source, schema: Shelf::schema(), key: vec![0], retry }, loads)
    }

    const EVERY_MINUTE: Reload = Reload { interval: Duration::from_secs(60), at_fixed_rate: false };

    #[tokio::test(start_paused = true)]
    async fn rows_of_a_key_come_in_their_order_and_a_null_is_no_key() {
        let rows = [(Some("a"), 1), (None, 2), (Some("b"), 3), (Some("a"), 4), (Some("a"), 5)];
        let index = Index::new(batch_of(&rows), &[0]).expect("text is a key");
        let answer = index.find(&keys(&["c", "a", "b"])).expect("text is a key");
        assert_eq!(answer.keys.values(), &[1, 1, 1, 2]);
        assert_eq!(found(&answer), ["1: a 1", "1: a 4", "1: a 5", "2: b 3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_changed_is_seen_at_the_next_load_and_not_before() {
        let shelf = Shelf::new(&[("a", 1)]);
        let (load, loads) = load(&shelf, 0);
        let full = Full::open(load, Some(EVERY_MINUTE)).await.expect("it is read");
        shelf.set(&[("a", 2)]);
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(found(&full.find(&keys(&["a"])).await.expect("it is there")), ["0: a 1"]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(found(&full.find(&keys(&["a"])).await.expect("it is there")), ["0: a 2"]);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(loads.load(Ordering::Relaxed), 1 + 10 + 1);
        drop(full);
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(loads.load(Ordering::Relaxed), 12, "nobody reads what nobody asks");
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_fails_is_tried_again_and_then_fails_whoever_asks() {
        let shelf = Shelf::new(&[("a", 1)]).failing(2);
        let full = Full::open(load(&shelf, 2).0, Some(EVERY_MINUTE)).await.expect("the third time it is read");
        let shelf = shelf.failing(usize::MAX);
        tokio::time::sleep(Duration::from_secs(120)).await;
        let error = full.find(&keys(&["a"])).await.expect_err("the load has failed");
        assert_eq!(error.to_string(), "the shelf is locked\n  in:  operator lookup dim");
        assert!(Full::open(load(&shelf, 2).0, None).await.is_err());
    }
}
