//! A job as the runtime sees it: stages and the exchanges between them.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use crate::connect::{Sink, Source};
use crate::error::Result;
use crate::exchange::Limits;
use crate::lookup::LookupJoin;
use crate::operator::{ExplainLine, Input, OperatorSpec};
use crate::window::Length;

/// A complete, checked description of a running job. Contains no SQL and no plan. Building one performs no I/O.
#[derive(Default)]
pub struct JobGraph {
    pub stages: Vec<Stage>,
    pub edges: Vec<Edge>,
}

impl JobGraph {
    /// Whether all its sources end by themselves.
    pub fn is_bounded(&self) -> bool {
        let heads = self.stages.iter().map(|stage| &stage.head);
        heads.into_iter().all(|head| !matches!(head, Head::Source(head) if !head.source.bounded()))
    }

    /// Whether all that a sink gets has waited for event time to pass.
    pub fn waits_for_time(&self) -> bool {
        let waits = |stage: &Stage| stage.chain.iter().any(|operator| operator.waits_for_time());
        let is_source = |stage: &Stage| matches!(stage.head, Head::Source(_));
        let mut hurried: Vec<usize> = (0..self.stages.len()).filter(|&id| is_source(&self.stages[id])).collect();
        let mut seen: BTreeSet<usize> = hurried.iter().copied().collect();
        while let Some(id) = hurried.pop() {
            let stage = &self.stages[id];
            if waits(stage) {
                continue;
            }
            if matches!(stage.tail, Tail::Sink { .. }) {
                return false;
            }
            let next = self.edges.iter().filter(|edge| edge.from.0 == id).map(|edge| edge.to.0);
            hurried.extend(next.filter(|next| seen.insert(*next)));
        }
        true
    }

    /// By head, the stages of each loop: those that lie between the head and where its feedback comes from, both included.
    pub fn loops(&self) -> Vec<(StageId, BTreeSet<StageId>)> {
        let heads = self.stages.iter().enumerate().filter_map(|(id, stage)| match &stage.head {
            Head::Loop(feedback) => Some((StageId(id), feedback.from)),
            Head::Source(_) | Head::Inputs | Head::Lookup(_) => None,
        });
        let along = |start: StageId, step: &dyn Fn(&Edge) -> (StageId, StageId)| {
            let (mut found, mut next) = (BTreeSet::from([start]), vec![start]);
            while let Some(stage) = next.pop() {
                let (edges, from) = (self.edges.iter().map(step), stage);
                next.extend(edges.filter(|(at, _)| *at == from).map(|(_, to)| to).filter(|to| found.insert(*to)));
            }
            found
        };
        heads
            .map(|(head, tail)| {
                let (behind, before) =
                    (along(head, &|edge| (edge.from, edge.to)), along(tail, &|edge| (edge.to, edge.from)));
                (head, behind.intersection(&before).copied().collect())
            })
            .collect()
    }
}

/// Operators that run in one task without an exchange between them.
pub struct Stage {
    /// Names the stage in errors, metrics and (with its operators) in checkpoints.
    pub name: String,
    pub head: Head,
    pub chain: Vec<Arc<dyn OperatorSpec>>,
    pub tail: Tail,
    /// Number of shards, `1..=KEY_GROUPS`.
    pub parallelism: u16,
}

/// Where a stage's rows come from.
pub enum Head {
    Source(SourceHead),
    /// Edges of the graph, as many inputs as the first operator has.
    Inputs,
    /// The same with one input, whose rows are joined with what is looked up for them.
    Lookup(Arc<LookupJoin>),
    /// The edges of the graph, and what comes back from the stages behind it.
    Loop(Feedback),
}

/// The edge that closes a loop, from a stage behind the one whose head it is.
///
/// What comes back is like what comes in, so the first operator of the stage has one input. It is there to own the rows that are under way at
/// a checkpoint, and therefore means something (`OperatorSpec::meaning`). All operators of the loop send what follows from a row at
/// once, and never take it back.
#[derive(Clone, Debug)]
pub struct Feedback {
    pub from: StageId,
    pub exchange: Exchange,
    pub limits: Limits,
}

/// A source and what is done to its rows before anything else.
pub struct SourceHead {
    /// As the user named the table.
    pub table: String,
    pub source: Arc<dyn Source>,
    pub watermark: Option<WatermarkStrategy>,
}

/// How event time is read off a table's rows.
#[derive(Clone, Debug)]
pub struct WatermarkStrategy {
    /// The column that holds a row's event time, for messages.
    pub column: String,
    /// The expression as the user wrote it, for `EXPLAIN`.
    pub text: String,
    /// What the next two are over; `None`: the rows as the source reads them.
    pub over: Option<Over>,
    /// Gives a row's event time: milliseconds since 1970. Null fails the job.
    pub time: Arc<dyn PhysicalExpr>,
    /// Gives, per row, the watermark that may follow it: milliseconds since 1970, null for none.
    pub expression: Arc<dyn PhysicalExpr>,
    /// A watermark is sent when it has risen by more than this many milliseconds.
    pub interval: i64,
    /// A split that gives nothing for so long does not hold time back.
    pub idle_timeout: Option<Duration>,
    /// Not `expression`, but the observed lateness decides: so that this share of the rows is in time.
    pub share_in_time: Option<f64>,
    /// Keeps in step with other sources.
    pub alignment: Option<Alignment>,
}

impl WatermarkStrategy {
    /// Sent whenever it rises; nobody is ever idle.
    pub fn new(
        column: impl Into<String>,
        text: impl Into<String>,
        time: Arc<dyn PhysicalExpr>,
        expression: Arc<dyn PhysicalExpr>,
    ) -> WatermarkStrategy {
        let (column, text) = (column.into(), text.into());
        let (over, interval, idle_timeout, share_in_time, alignment) = (None, 0, None, None, None);
        WatermarkStrategy { column, text, over, time, expression, interval, idle_timeout, share_in_time, alignment }
    }
}

/// Columns of rows, and the event time behind them: each is computed once, and nothing else is carried along.
#[derive(Clone, Debug)]
pub struct Over {
    pub columns: Vec<Arc<dyn PhysicalExpr>>,
    /// Of the columns and of the event time. The expression of that sees only the columns.
    pub schema: SchemaRef,
}

impl Over {
    /// # Errors
    /// An expression fails.
    pub fn columns(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.columns.iter().map(|column| Ok(column.evaluate(rows)?.into_array(rows.num_rows())?));
        let schema = self.schema.project(&(0..self.columns.len()).collect::<Vec<_>>())?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns.collect::<Result<_>>()?, &options)?)
    }

    /// # Errors
    /// The schema is not theirs.
    pub fn with_time(&self, columns: &RecordBatch, time: ArrayRef) -> Result<RecordBatch> {
        let all = columns.columns().iter().cloned().chain([time]).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), all)?)
    }
}

impl Display for WatermarkStrategy {
    /// `ts AS ts - INTERVAL '5' SECOND, idle-timeout=10 s`: the column, what the watermark follows it by, and what is configured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.share_in_time {
            None => write!(f, "{} AS {}", self.column, self.text)?,
            Some(share) => write!(f, "{} with {} in time", self.column, share)?,
        }
        if let Some(timeout) = self.idle_timeout {
            write!(f, ", idle-timeout={}", Length(timeout.as_millis() as i64))?;
        }
        match &self.alignment {
            None => Ok(()),
            Some(Alignment { group, .. }) => write!(f, ", alignment={group}"),
        }
    }
}

/// Sources of a group wait for each other: none reads on while its watermark is more than the drift ahead of the slowest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alignment {
    pub group: String,
    pub max_drift: Duration,
}

/// Where a stage's rows go to.
pub enum Tail {
    /// Along every edge that leaves the stage.
    Exchange,
    /// Into a table.
    Sink { table: String, sink: Arc<dyn Sink> },
}

/// Index into [`JobGraph::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageId(pub usize);

/// A stream from every shard of one stage to shards of another.
pub struct Edge {
    pub from: StageId,
    pub to: StageId,
    /// Which input of the receiver's first operator.
    pub input: Input,
    pub exchange: Exchange,
}

/// How rows find the shard that handles them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Shard n to shard n. Both sides have equal parallelism.
    Forward,
    /// By the hash of these columns of the sender's schema.
    Hash(Vec<usize>),
    /// Every row to every shard.
    Broadcast,
    /// Round-robin, batch by batch.
    Spread,
}

impl Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exchange::Forward => f.write_str("forward"),
            Exchange::Hash(columns) => {
                f.write_str("hash(")?;
                for (n, column) in columns.iter().enumerate() {
                    write!(f, "{}#{column}", if n == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Exchange::Broadcast => f.write_str("broadcast"),
            Exchange::Spread => f.write_str("spread"),
        }
    }
}

impl Display for JobGraph {
    /// One paragraph per stage: number, shards, where its rows come from, its chain, where they go.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, stage) in self.stages.iter().enumerate() {
            let shards = if stage.parallelism == 1 { "shard" } else { "shards" };
            writeln!(f, "stage {id}: {} {shards}", stage.parallelism)?;
            match &stage.head {
                Head::Source(head) => writeln!(f, "  from source {}", head.table)?,
                Head::Inputs | Head::Lookup(_) | Head::Loop(_) => {
                    for edge in self.edges.iter().filter(|edge| edge.to == StageId(id)) {
                        writeln!(f, "  from stage {} by {}", edge.from.0, edge.exchange)?;
                    }
                }
            }
            match &stage.head {
                Head::Loop(Feedback { from, exchange, .. }) => {
                    writeln!(f, "  feedback from stage {} by {exchange}", from.0)?;
                }
                Head::Lookup(join) => writeln!(f, "  {join}")?,
                Head::Source(_) | Head::Inputs => {}
            }
            for operator in &stage.chain {
                let mut line = ExplainLine::default();
                operator.explain(&mut line);
                writeln!(f, "  {}({line})", operator.name())?;
            }
            if let Tail::Sink { table, .. } = &stage.tail {
                writeln!(f, "  into sink {table}")?;
            }
        }
        f.write_char('\n')
    }
}
