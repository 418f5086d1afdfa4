//! `'connector' = 'datagen'`: made-up rows, for trying out queries and for load.
//!
//! A value is a function of the seed, its column and its row number, so that reading resumes anywhere and parallel splits need
//! not agree on anything. Without the option `seed` each run draws its own.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::pace::Pace;
use super::records::{offset, position};
use crate::connect::{
    Connector, Offset, OptionKind, OptionSpec, Reader, Registry, Source, SplitBatch, SplitId, TableDefinition,
};
use crate::error::{Error, Result};
use crate::message::Batch;

mod fields;
mod values;

use fields::FieldOptions;
use values::{Generator, column_seed};

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::with_default("rows-per-second", OptionKind::Integer, "10000", "how many rows are made per second"),
    OptionSpec::optional("number-of-rows", OptionKind::Integer, "the table ends after this many rows; otherwise never"),
    OptionSpec::optional("seed", OptionKind::Integer, "the same seed gives the same rows"),
    OptionSpec::with_default(
        "scan.parallelism",
        OptionKind::Integer,
        "1",
        "how many splits make rows; with more than one their order is arbitrary",
    ),
    OptionSpec::with_default(
        "fields.#.kind",
        OptionKind::OneOf(&["random", "sequence"]),
        "random",
        "random values, or the numbers from start to end",
    ),
    OptionSpec::optional("fields.#.min", OptionKind::Text, "the least random number"),
    OptionSpec::optional("fields.#.max", OptionKind::Text, "the greatest random number"),
    OptionSpec::optional("fields.#.start", OptionKind::Integer, "the first number of a sequence"),
    OptionSpec::optional("fields.#.end", OptionKind::Integer, "the last number of a sequence, which ends the table"),
    OptionSpec::optional(
        "fields.#.length",
        OptionKind::Integer,
        "length of texts and bytes (default 100), of arrays and maps (default 3)",
    ),
    OptionSpec::with_default(
        "fields.#.var-len",
        OptionKind::Boolean,
        "false",
        "lengths are random, from 1 to the length given",
    ),
    OptionSpec::with_default("fields.#.max-past", OptionKind::Duration, "0 s", "times lie up to this far in the past"),
    OptionSpec::with_default("fields.#.null-rate", OptionKind::Text, "0", "the share of NULLs, from 0 to 1"),
];

/// At most as much is made at once; long texts make for fewer rows.
const BATCH_ROWS: u64 = 8192;
const BATCH_BYTES: u64 = 8 << 20;

pub struct Datagen;

impl Connector for Datagen {
    fn name(&self) -> &'static str {
        "datagen"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], _formats: &Registry) -> Result<Arc<dyn Source>> {
        let mut fields = FieldOptions::new(table);
        let mut columns = Vec::new();
        let mut rows_max = number(table, "number-of-rows", 0)?;
        // All columns, so that options of those not asked for are checked and their sequences end the table all the same.
        for (index, field) in table.schema.fields().iter().enumerate() {
            let generator = Generator::of_column(field, &mut fields)?;
            rows_max = [rows_max, generator.rows()].into_iter().flatten().min();
            columns.push((index, generator));
        }
        fields.check_all_used()?;
        let seed = table.options.integer(OPTIONS, "seed").map_or_else(rand::random, |seed| seed as u64);
        let mut chosen = Vec::new();
        for &column in projection {
            let (index, generator) = columns[column].clone();
            chosen.push((column_seed(seed, index), generator));
        }
        Ok(Arc::new(DatagenSource {
            schema: Arc::new(table.schema.project(projection)?),
            columns: chosen.into(),
            rows_max,
            rows_per_second: number(table, "rows-per-second", 1)?.unwrap_or(10_000),
            splits: number(table, "scan.parallelism", 1)?.unwrap_or(1),
        }))
    }
}

fn number(table: &TableDefinition, option: &str, least: u64) -> Result<Option<u64>> {
    let Some(number) = table.options.integer(OPTIONS, option) else { return Ok(None) };
    match u64::try_from(number) {
        Ok(number) if number >= least => Ok(Some(number)),
        _ => Err(Error::new(format!("option '{option}' of table {} has the value '{number}'", table.name))
            .why(format!("it must be at least {least}"))),
    }
}

struct DatagenSource {
    schema: SchemaRef,
    /// Seed and generator of each column.
    columns: Arc<[(u64, Generator)]>,
    rows_max: Option<u64>,
    rows_per_second: u64,
    splits: u64,
}

impl fmt::Debug for DatagenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "datagen(rows-per-second={}", self.rows_per_second)?;
        match self.rows_max {
            Some(rows) => write!(f, ", rows={rows})"),
            None => write!(f, ")"),
        }
    }
}

#[async_trait]
impl Source for DatagenSource {
    fn bounded(&self) -> bool {
        self.rows_max.is_some()
    }

    fn has_backlog(&self) -> bool {
        false
    }

    /// Split k of n makes the rows k, k + n, k + 2n ...; its offset is how many of them.
    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok((0..self.splits).map(|split| SplitId::new(split.to_string())).collect())
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let rows_per_second = self.rows_per_second as f64 * splits.len() as f64 / self.splits as f64;
        let bytes_per_row: u64 = self.columns.iter().map(|(_, generator)| generator.bytes()).sum();
        let splits = splits.into_iter().map(|(id, offset)| {
            let first = id.0.parse::<u64>().ok().filter(|split| *split < self.splits).ok_or_else(|| {
                Error::new(format!("datagen has no split {id}")).why(format!("'scan.parallelism' is {}", self.splits))
            })?;
            let rows_max = self.rows_max.map(|rows| rows.saturating_sub(first).div_ceil(self.splits));
            Ok(Split { id, first, made: offset.as_ref().map_or(0, position), rows_max })
        });
        Ok(Box::new(DatagenReader {
            schema: Arc::clone(&self.schema),
            columns: Arc::clone(&self.columns),
            stride: self.splits,
            splits: splits.collect::<Result<_>>()?,
            turn: 0,
            batch_rows: (BATCH_BYTES / bytes_per_row.max(1)).clamp(1, BATCH_ROWS),
            pace: Pace::new(rows_per_second, Instant::now()),
        }))
    }
}

struct Split {
    id: SplitId,
    /// Number of its first row.
    first: u64,
    made: u64,
    rows_max: Option<u64>,
}

impl Split {
    fn rows_left(&self) -> u64 {
        self.rows_max.map_or(u64::MAX, |rows| rows.saturating_sub(self.made))
    }
}

struct DatagenReader {
    schema: SchemaRef,
    columns: Arc<[(u64, Generator)]>,
    stride: u64,
    splits: Vec<Split>,
    /// Whose rows come next.
    turn: usize,
    batch_rows: u64,
    pace: Pace,
}

#[async_trait]
impl Reader for DatagenReader {
    /// Nothing changes while it waits, so nothing is lost when it is dropped.
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        self.splits.retain(|split| split.rows_left() > 0);
        if self.splits.is_empty() {
            return Ok(None);
        }
        let due = loop {
            match self.pace.due(Instant::now()) {
                Ok(due) => break due,
                Err(at) => tokio::time::sleep_until(at.into()).await,
            }
        };
        self.turn = (self.turn + 1) % self.splits.len();
        let split = &self.splits[self.turn];
        let count = due.min(self.batch_rows).min(split.rows_left());
        let rows = self.make(split.first + split.made * self.stride, count)?;
        self.pace.made(count);
        let split = &mut self.splits[self.turn];
        split.made += count;
        Ok(Some(SplitBatch {
            split: split.id.clone(),
            rows,
            resume_at: offset(split.made),
            skipped: None,
            ended: false,
        }))
    }
}

impl DatagenReader {
    fn make(&self, first: u64, count: u64) -> Result<Batch> {
        let rows: Vec<u64> = (0..count).map(|row| first + row * self.stride).collect();
        let columns = self.columns.iter().zip(self.schema.fields()).map(|((seed, generator), field)| {
            let values = generator.column(*seed, &rows)?;
            match values.data_type() == field.data_type() {
                true => Ok(values),
                false => Ok(arrow::compute::cast(&values, field.data_type())?),
            }
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(Batch::append(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?))
    }
}

#[cfg(test)]
mod tests;
