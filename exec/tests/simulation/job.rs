//! The job: numbers in three splits, counted per key, into a sink that commits in two phases, or has a write-ahead log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use rand::Rng;
use tidemill_exec::aggregate::{AggregateCall, find};
use tidemill_exec::connect::{Guarantee, Offset, Reader, Sink, Source, SplitBatch, SplitId, Writer};
use tidemill_exec::graph::{Edge, Exchange, Head, JobGraph, SourceHead, Stage, StageId, Tail};
use tidemill_exec::operators::{Aggregate, AggregateColumn, Emit};
use tidemill_exec::write_ahead::WriteAhead;
use tidemill_exec::{Batch, ChangeBatch, Error, Input, JobToken, OperatorSpec, Result, ShardContext};
use tidemill_state::{CheckpointId, Epoch};

use super::world::{Row, Run, Step};

const SPLITS: i64 = 3;
const ROWS: i64 = 60;
const KEYS: i64 = 7;

/// Row `row` of a split.
fn key(split: i64, row: i64) -> i64 {
    (split * 31 + row * row) % KEYS
}

/// Each key with its count, once.
pub fn answer() -> BTreeMap<(i64, i64), i64> {
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    (0..SPLITS).for_each(|split| (0..ROWS).for_each(|row| *counts.entry(key(split, row)).or_default() += 1));
    counts.into_iter().map(|count| (count, 1)).collect()
}

/// Where counts go.
#[derive(Clone, Copy, Debug)]
pub enum Into {
    Transactions,
    WriteAhead,
}

pub fn graph(run: &Arc<Run>, into: Into, parallelism: u16) -> JobGraph {
    let source = Arc::new(Numbers(Arc::clone(run)));
    let source = Head::Source(SourceHead { table: "numbers".to_string(), source, watermark: None });
    let sink: Arc<dyn Sink> = match into {
        Into::Transactions => Arc::new(Counts(Arc::clone(run))),
        Into::WriteAhead => Arc::new(WriteAhead::new("counts", Arc::new(Plain(Arc::clone(run))))),
    };
    let tail = Tail::Sink { table: "counts".to_string(), sink };
    let stages = vec![
        Stage { name: "source".to_string(), head: source, chain: vec![], tail: Tail::Exchange, parallelism },
        Stage { name: "count".to_string(), head: Head::Inputs, chain: vec![counts()], tail, parallelism },
    ];
    let edge = Edge { from: StageId(0), to: StageId(1), input: Input(0), exchange: Exchange::Hash(vec![0]) };
    JobGraph { stages, edges: vec![edge] }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]))
}

fn counts() -> Arc<dyn OperatorSpec> {
    let result = Arc::new(Field::new("count", DataType::Int64, true));
    let call = AggregateCall {
        function: find("COUNT").expect("COUNT exists"),
        arguments: vec![],
        distinct: false,
        ignore_nulls: false,
        result: Arc::clone(&result),
        retracting: false,
    };
    let columns = vec![AggregateColumn { call, arguments: vec![], filter: None }];
    let output = Arc::new(Schema::new(vec![schema().field(0).clone(), result.as_ref().clone()]));
    let (input, emit) = (schema(), Emit::Epoch);
    Arc::new(Aggregate {
        keys: vec![0],
        columns,
        input,
        partial: false,
        retracting: false,
        emit,
        ttl: None,
        schema: output,
    })
}

struct Numbers(Arc<Run>);

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers")
    }
}

#[async_trait]
impl Source for Numbers {
    fn bounded(&self) -> bool {
        true
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok((0..SPLITS).map(|split| SplitId::new(split.to_string())).collect())
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let splits = splits.into_iter().map(|(split, offset)| {
            let read = offset.map_or(0, |offset| i64::from_le_bytes(offset.0[..].try_into().expect("eight bytes")));
            (split.0.parse().expect("a number"), read)
        });
        Ok(Box::new(NumbersReader { run: Arc::clone(&self.0), splits: splits.collect(), turn: 0 }))
    }
}

struct NumbersReader {
    run: Arc<Run>,
    /// Number, and rows read.
    splits: Vec<(i64, i64)>,
    turn: usize,
}

#[async_trait]
impl Reader for NumbersReader {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        self.splits.retain(|(_, read)| *read < ROWS);
        if self.splits.is_empty() {
            return Ok(None);
        }
        self.run.step().await;
        self.turn = (self.turn + 1) % self.splits.len();
        let (split, read) = &mut self.splits[self.turn];
        let end = (*read + self.run.chance(|random| random.random_range(1..6))).min(ROWS);
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((*read..end).map(|row| key(*split, row))));
        *read = end;
        let rows = Batch::append(RecordBatch::try_new(schema(), vec![keys])?);
        let resume_at = Offset(Bytes::copy_from_slice(&end.to_le_bytes()));
        Ok(Some(SplitBatch {
            split: SplitId::new(split.to_string()),
            rows,
            resume_at,
            skipped: None,
            ended: end == ROWS,
        }))
    }
}

struct Counts(Arc<Run>);

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counts")
    }
}

fn failed() -> Error {
    Error::new("the sink does not answer")
}

#[async_trait]
impl Sink for Counts {
    fn accepts_updates(&self) -> bool {
        true
    }

    fn guarantee(&self) -> Option<Guarantee> {
        Some(Guarantee::ExactlyOnce)
    }

    async fn commit(&self, prepared: &[Bytes]) -> Result<()> {
        for name in prepared {
            match self.0.step().await {
                Step::Failed => return Err(failed()),
                step => {
                    self.0.world.show(std::str::from_utf8(name).expect("names are text"));
                    if step == Step::Unanswered {
                        return Err(failed());
                    }
                }
            }
        }
        Ok(())
    }

    async fn recover(&self, _: u64, checkpoint: CheckpointId) -> Result<()> {
        self.0.step().await;
        self.0.world.remove_after(checkpoint.0);
        Ok(())
    }

    async fn open(&self, context: &ShardContext) -> Result<Box<dyn Writer>> {
        let JobToken { first, .. } = context.durable.expect("the job takes checkpoints");
        Ok(Box::new(CountsWriter {
            run: Arc::clone(&self.0),
            shard: context.shard,
            next: first,
            number: 0,
            rows: vec![],
        }))
    }
}

struct CountsWriter {
    run: Arc<Run>,
    shard: u16,
    next: CheckpointId,
    number: u64,
    rows: Vec<Row>,
}

#[async_trait]
impl Writer for CountsWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        self.run.step().await;
        self.rows.extend(rows(&changes));
        Ok(())
    }

    async fn flush(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Bytes>> {
        self.run.step().await;
        let name = format!("{}-{}-{}", self.next.0, self.shard, self.number);
        self.next = CheckpointId(checkpoint.0 + 1);
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        self.number += 1;
        self.run.world.stage(name.clone(), std::mem::take(&mut self.rows));
        Ok(vec![Bytes::from(name)])
    }
}

fn rows(changes: &ChangeBatch) -> Vec<Row> {
    let column = |n: usize| changes.rows.column(n).as_primitive::<Int64Type>().clone();
    let (keys, counts) = (column(0), column(1));
    let weight = |row| if changes.kind(row).is_positive() { 1 } else { -1 };
    (0..changes.rows.num_rows()).map(|row| (keys.value(row), counts.value(row), weight(row))).collect()
}

/// Writes what it is given, and knows nothing of checkpoints.
struct Plain(Arc<Run>);

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain")
    }
}

#[async_trait]
impl Sink for Plain {
    fn accepts_updates(&self) -> bool {
        true
    }

    async fn open(&self, _: &ShardContext) -> Result<Box<dyn Writer>> {
        match self.0.step().await {
            Step::Done => Ok(Box::new(PlainWriter { run: Arc::clone(&self.0), rows: vec![] })),
            _ => Err(failed()),
        }
    }
}

struct PlainWriter {
    run: Arc<Run>,
    rows: Vec<Row>,
}

#[async_trait]
impl Writer for PlainWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        self.rows.extend(rows(&changes));
        Ok(())
    }

    async fn flush(&mut self, _: Epoch) -> Result<()> {
        let step = self.run.step().await;
        if step != Step::Failed {
            self.run.world.write(std::mem::take(&mut self.rows), step == Step::Done);
        }
        if step == Step::Done { Ok(()) } else { Err(failed()) }
    }

    async fn finish(&mut self) -> Result<()> {
        assert!(self.rows.is_empty(), "all was flushed");
        Ok(())
    }
}
