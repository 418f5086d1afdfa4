//! `'connector' = 'nexmark'`: the persons, auctions and bids of the Nexmark benchmark, with the options and the schema of its Flink
//! connector.
//!
//! What event n is depends on n and the options alone: no clock, no state, no seed. So the rows are the same in every run, at any
//! parallelism, however they are cut into batches, and reading resumes anywhere. `rules` are the options; `event` says what
//! event n is and who exists by then; `values` makes the fields; `columns` puts them into Arrow arrays.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::pace::Pace;
use super::records::{offset, position};
use crate::connect::{Connector, Offset, OptionSpec, Reader, Registry, Source, SplitBatch, SplitId, TableDefinition};
use crate::error::{Error, Result};
use crate::message::Batch;

mod columns;
mod event;
mod rules;
mod values;

use columns::Column;
use rules::{Course, OPTIONS, Rules};

/// The same at any parallelism, so that offsets mean the same after a restart with another one.
const SPLITS: u64 = 16;

/// At most about as much is made at once.
const BATCH_BYTES: u64 = 8 << 20;

pub struct Nexmark;

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], _formats: &Registry) -> Result<Arc<dyn Source>> {
        // All columns, so that mistakes in those not asked for are found too.
        let columns = table.schema.fields().iter().map(|field| Column::of(table, field));
        let columns: Vec<Column> = columns.collect::<Result<_>>()?;
        let rules = Rules::of(table)?;
        Ok(Arc::new(NexmarkSource {
            schema: Arc::new(table.schema.project(projection)?),
            columns: projection.iter().map(|&column| columns[column].clone()).collect(),
            course: Course::of(table, &rules)?,
            rules: Arc::new(rules),
        }))
    }
}

struct NexmarkSource {
    schema: SchemaRef,
    columns: Arc<[Column]>,
    rules: Arc<Rules>,
    course: Course,
}

impl fmt::Debug for NexmarkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nexmark(")?;
        match self.course.events_max {
            Some(events) => write!(f, "events={events}")?,
            None => write!(f, "endless")?,
        }
        match self.course.paced {
            Some(rate) => write!(f, ", {rate} events/s)"),
            None => write!(f, ")"),
        }
    }
}

#[async_trait]
impl Source for NexmarkSource {
    fn bounded(&self) -> bool {
        self.course.events_max.is_some() && !self.course.keep_alive
    }

    fn has_backlog(&self) -> bool {
        false
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok((0..SPLITS).map(|split| SplitId::new(split.to_string())).collect())
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let pace = self.course.paced.map(|rate| {
            let share = rate as f64 * splits.len() as f64 / SPLITS as f64;
            Pace::new(share, Instant::now())
        });
        let splits = splits.into_iter().map(|(id, offset)| {
            let index = id.0.parse::<u64>().ok().filter(|split| *split < SPLITS).ok_or_else(|| {
                Error::new(format!("nexmark has no split {id}")).why(format!("there are {SPLITS} of them"))
            })?;
            Ok(Split { id, index, block: self.course.block(), made: offset.as_ref().map_or(0, position) })
        });
        let Rules { person_bytes, auction_bytes, bid_bytes, .. } = *self.rules;
        Ok(Box::new(NexmarkReader {
            schema: Arc::clone(&self.schema),
            columns: Arc::clone(&self.columns),
            rules: Arc::clone(&self.rules),
            course: self.course,
            splits: splits.collect::<Result<_>>()?,
            batch_events: (BATCH_BYTES / person_bytes.max(auction_bytes).max(bid_bytes).max(1)).max(1),
            pace,
        }))
    }
}

/// Every 16th block of events: `0 .. block` are of split 0, the next ones of split 1 ... and of split 0 again.
struct Split {
    id: SplitId,
    index: u64,
    block: u64,
    /// Events of this split, also its offset.
    made: u64,
}

impl Split {
    /// The number of its next event.
    fn next(&self) -> u64 {
        (self.made / self.block * SPLITS + self.index) * self.block + self.made % self.block
    }

    /// How many events follow each other from there on.
    fn run(&self) -> u64 {
        self.block - self.made % self.block
    }
}

struct NexmarkReader {
    schema: SchemaRef,
    columns: Arc<[Column]>,
    rules: Arc<Rules>,
    course: Course,
    splits: Vec<Split>,
    batch_events: u64,
    pace: Option<Pace>,
}

#[async_trait]
impl Reader for NexmarkReader {
    /// Nothing changes while it waits, so nothing is lost when it is dropped.
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        let end = self.course.events_max.unwrap_or(u64::MAX);
        // Always the split that is behind, so that all advance together in event time.
        let Some(split) = self.splits.iter_mut().min_by_key(|split| split.next()).filter(|split| split.next() < end)
        else {
            if self.course.keep_alive {
                std::future::pending::<()>().await;
            }
            return Ok(None);
        };
        let due = match &mut self.pace {
            Some(pace) => loop {
                match pace.due(Instant::now()) {
                    Ok(due) => break due,
                    Err(at) => tokio::time::sleep_until(at.into()).await,
                }
            },
            None => u64::MAX,
        };
        let first = split.next();
        let count = due.min(split.run()).min(self.batch_events).min(end - first);
        split.made += count;
        let ended = split.next() >= end;
        let (split, resume_at) = (split.id.clone(), offset(split.made));
        if let Some(pace) = &mut self.pace {
            pace.made(count);
        }
        Ok(Some(SplitBatch { split, rows: self.make(first, count)?, resume_at, skipped: None, ended }))
    }
}

impl NexmarkReader {
    fn make(&self, first: u64, count: u64) -> Result<Batch> {
        let events = self.rules.events(first, count);
        let columns = self.columns.iter().map(|column| column.values(&self.rules, &events));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(events.len()));
        Ok(Batch::append(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?))
    }
}

#[cfg(test)]
mod tests;
