//! A table that is asked, for tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;

use crate::connect::{Finder, Found};
use crate::error::{Error, Result};

/// Rows of a key and a number. What is asked is kept.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    rows: Arc<Mutex<Vec<(String, i64)>>>,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
    failures: Arc<AtomicUsize>,
    /// How long the first answer takes, and how much less each later one.
    delays: Option<(Duration, Duration)>,
}

impl Shelf {
    pub fn new(rows: &[(&str, i64)]) -> Shelf {
        let shelf = Shelf::default();
        shelf.set(rows);
        shelf
    }

    pub fn set(&self, rows: &[(&str, i64)]) {
        *self.rows.lock().unwrap() = rows.iter().map(|(key, number)| (key.to_string(), *number)).collect();
    }

    /// The first so many questions fail.
    pub fn failing(self, failures: usize) -> Shelf {
        self.failures.store(failures, Ordering::Relaxed);
        self
    }

    pub fn slow(self, first: Duration, less: Duration) -> Shelf {
        Shelf { delays: Some((first, less)), ..self }
    }

    /// All rows.
    pub fn read(&self) -> Result<RecordBatch> {
        self.fail()?;
        let rows = self.rows.lock().unwrap();
        Ok(batch(&rows.iter().collect::<Vec<_>>()))
    }

    fn fail(&self) -> Result<()> {
        let counted = |failures: usize| failures.checked_sub(1);
        match self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted) {
            Ok(_) => Err(Error::new("the shelf is locked")),
            Err(_) => Ok(()),
        }
    }

    /// The keys of each question so far.
    pub fn take_asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub fn schema() -> SchemaRef {
        let fields = [("k", DataType::Utf8), ("n", DataType::Int64)];
        Arc::new(Schema::new(fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec()))
    }
}

#[async_trait]
impl Finder for Shelf {
    async fn find(&self, keys: &RecordBatch) -> Result<Found> {
        let words: Vec<String> = keys.column(0).as_string::<i32>().iter().flatten().map(str::to_string).collect();
        assert_eq!(keys.column(0).null_count(), 0, "no key is null");
        let before = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(words.clone());
            asked.len() as u32 - 1
        };
        if let Some((first, less)) = self.delays {
            tokio::time::sleep(first.saturating_sub(less * before)).await;
        }
        self.fail()?;
        let rows = self.rows.lock().unwrap();
        let matches = rows.iter().filter_map(|row| Some((words.iter().position(|word| *word == row.0)? as u32, row)));
        let (of, rows): (Vec<u32>, Vec<&(String, i64)>) = matches.unzip();
        Ok(Found { rows: batch(&rows), keys: UInt32Array::from(of) })
    }
}

fn batch(rows: &[&(String, i64)]) -> RecordBatch {
    batch_of(&rows.iter().map(|(key, number)| (Some(key.as_str()), *number)).collect::<Vec<_>>())
}

pub fn batch_of(rows: &[(Option<&str>, i64)]) -> RecordBatch {
    let words: ArrayRef = Arc::new(rows.iter().map(|(key, _)| *key).collect::<StringArray>());
    let numbers: ArrayRef = Arc::new(rows.iter().map(|(_, number)| Some(*number)).collect::<Int64Array>());
    RecordBatch::try_new(Shelf::schema(), vec![words, numbers]).unwrap()
}

/// These words as keys.
pub fn keys(words: &[&str]) -> RecordBatch {
    let words: ArrayRef = Arc::new(StringArray::from(words.to_vec()));
    RecordBatch::try_from_iter([("k", words)]).unwrap()
}

/// What was found, `0: a 1`, sorted.
pub fn found(found: &Found) -> Vec<String> {
    let (words, numbers) = (found.rows.column(0).as_string::<i32>(), found.rows.column(1).as_primitive::<Int64Type>());
    let line = |row: usize| format!("{}: {} {}", found.keys.value(row), words.value(row), numbers.value(row));
    let mut lines: Vec<String> = (0..found.rows.num_rows()).map(line).collect();
    lines.sort();
    lines
}
