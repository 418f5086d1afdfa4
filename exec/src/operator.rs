//! What an operator is ([`OperatorSpec`]) and what it does ([`Operator`]).

use std::any::Any;
use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_state::checkpoint::{Distribution, merge};
use tidemill_state::{CheckpointId, EventTime, Spill, SpilledRows};

use crate::copying::Following;
use crate::error::Result;
use crate::message::{Barrier, Batch, Message};
use crate::progress::Waiting;

/// What an operator is: immutable, printable, shared by all its shards.
///
/// The planner builds these; `EXPLAIN` prints them; nothing here changes while a job runs.
pub trait OperatorSpec: Any + Debug + Send + Sync {
    /// Lower-case, as shown in `EXPLAIN`, metrics and errors: "filter", "aggregate".
    fn name(&self) -> &'static str;

    /// Schema of the rows it emits.
    fn schema(&self) -> SchemaRef;

    /// `name=value` details for `EXPLAIN`.
    fn explain(&self, line: &mut ExplainLine);

    /// Says what its state means: the state in a checkpoint belongs to the operator whose meaning, and whose inputs' meanings, are the
    /// same. `None`: it keeps none between epochs, and what comes behind it means the same without it (a local phase).
    fn meaning(&self) -> Option<String> {
        let mut line = ExplainLine::default();
        self.explain(&mut line);
        Some(format!("{}({line})", self.name()))
    }

    /// What bounds its state, if it keeps any between epochs: "one row per key".
    fn state_bound(&self) -> Option<&'static str> {
        None
    }

    /// Whether its state lies on disk as far as memory is short, in a job that has [some](ShardContext::spill).
    fn goes_to_disk(&self) -> bool {
        false
    }

    /// Whether it emits only when event time passes: then nobody behind it is in a hurry for a barrier.
    fn waits_for_time(&self) -> bool {
        false
    }

    /// Whether it goes by processing time, which barriers carry: then they come in a steady rhythm, also while nothing is read.
    fn needs_clock(&self) -> bool {
        false
    }

    /// Whether event time is that of this input. If not, its watermarks mean nothing to what comes out.
    fn tells_time(&self, _input: Input) -> bool {
        true
    }

    /// Whether it is to be known when the job has read what was there when it began ([`JobEvent::CaughtUp`](crate::JobEvent::CaughtUp)).
    fn needs_backlog_read(&self) -> bool {
        false
    }

    /// Makes the running instance for one shard, with empty state.
    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>>;
}

/// What an operator does: a plain state machine, one instance per shard, never shared.
///
/// No async, no clock, no threads, no channels. The task around it aligns barriers, merges
/// watermarks, snapshots state and applies back-pressure, so a test can call these
/// methods directly and the same input always gives the same output.
pub trait Operator: Send {
    /// Handles rows from one input. All sides of a join arrive here, told apart by `input`.
    ///
    /// The rows have no marks, unless [`keeps_marks`](Operator::keeps_marks).
    fn on_batch(&mut self, input: Input, batch: Batch, out: &mut Output) -> Result<()>;

    /// Event time, merged over all inputs, has reached `time`. Called with rising values only.
    ///
    /// Default: pass it on. Windows override this to close what is due, then pass it on.
    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        out.watermark(time);
        Ok(())
    }

    /// Nothing comes for now: event time need not wait for these rows. Default: pass it on.
    fn on_idle(&mut self, out: &mut Output) -> Result<()> {
        out.idle();
        Ok(())
    }

    /// Whether `on_batch` sees to the watermarks within a batch: passes them on between the rows they stand between, or judges by them
    /// which rows are late. If not, the last of them comes by `on_watermark` after the rows.
    fn keeps_marks(&self) -> bool {
        false
    }

    /// The epoch is complete on all inputs: emit its net changes. The task takes the snapshot afterwards if the barrier
    /// is a checkpoint, then forwards the barrier. Also called (with the epoch then open) when all inputs have ended.
    fn on_barrier(&mut self, _barrier: &Barrier, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// All inputs have ended and `on_barrier` has been called for what was open. The task sends `End` afterwards.
    fn on_end(&mut self, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    /// The state as of the last barrier, one batch per table; called right after `on_barrier`, or at the end. Layouts are part of the
    /// checkpoint format. Operators without state return nothing.
    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        Ok(Vec::new())
    }

    /// Hands over a little more of the last snapshot, if more [follows](TableSnapshot::following). Whether there is still more.
    fn copy_more(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Takes over what `snapshot` gave, here or in shards of which this one is a part; called at most once, before anything else. Of a
    /// table that goes [to all](Distribution::ToAll) shards there may be several rows, one from each.
    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        assert!(tables.is_empty(), "only an operator that snapshots tables is given some to restore");
        Ok(())
    }

    /// Whether `restore` may get tables of changes, in pieces that nobody need have in memory at once. If not, they have been merged.
    fn restores_pieces(&self) -> bool {
        false
    }

    /// Memory is short and only the end of the epoch helps: what has changed in it can then go to disk. Asked after each batch.
    fn wants_barrier(&self) -> bool {
        false
    }

    /// What it keeps back until time has come further; asked at barriers.
    fn waiting(&self) -> Option<Waiting> {
        None
    }

    /// Rows dropped since the operator began because they came too late.
    fn late_rows(&self) -> u64 {
        0
    }

    /// Has all it will ever emit: the task may stop reading its inputs (`LIMIT`).
    fn is_finished(&self) -> bool {
        false
    }
}

/// One table of an operator's state in one shard: named columns, a row per key.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    pub table: Cow<'static, str>,
    pub rows: RecordBatch,
    /// Where its rows go when there are more shards than before, or fewer.
    pub distribution: Distribution,
    /// `None`: the rows are all there are. Or they are those that have changed since the last snapshot, with a last column `deleted`,
    /// and each replaces the earlier one that equals it in these columns.
    pub replaces_by: Option<Vec<usize>>,
    /// Nothing that came before counts, whatever it is replaced by: so much has changed that all is given.
    pub is_whole: bool,
    /// More rows, too many for memory, that come before `rows` and are of the same columns.
    pub spilled: Vec<Arc<dyn SpilledRows>>,
    /// More rows, which the operator copies when rows need not wait for it. They come behind `rows`.
    pub following: Option<Following>,
    /// The operator gives all rows again once the changes are as many: nobody else need bring the pieces together, which may not fit
    /// into memory.
    pub stays_compact: bool,
}

impl TableSnapshot {
    /// A whole table with these key columns, by which rows are spread over shards.
    pub fn by_key(
        table: impl Into<Cow<'static, str>>,
        rows: RecordBatch,
        keys: impl IntoIterator<Item = usize>,
    ) -> TableSnapshot {
        TableSnapshot::whole(table, rows, Distribution::ByKey(keys.into_iter().collect()))
    }

    /// The whole table, if it was of changes in pieces.
    pub fn merged(self) -> Result<TableSnapshot> {
        let Some(replaces_by) = &self.replaces_by else { return Ok(self) };
        let mut pieces = Vec::new();
        for piece in &self.spilled {
            for rows in piece.read()? {
                pieces.push(rows?);
            }
        }
        pieces.push(self.rows.clone());
        let rows = merge(&pieces, replaces_by)?.unwrap_or(self.rows);
        // Without `deleted`.
        let columns: Vec<usize> = (0..rows.num_columns() - 1).collect();
        let rows = rows.project(&columns)?;
        Ok(TableSnapshot { rows, replaces_by: None, is_whole: true, spilled: Vec::new(), ..self })
    }

    /// A whole table.
    pub fn whole(table: impl Into<Cow<'static, str>>, rows: RecordBatch, distribution: Distribution) -> TableSnapshot {
        TableSnapshot {
            table: table.into(),
            rows,
            distribution,
            replaces_by: None,
            is_whole: true,
            spilled: Vec::new(),
            following: None,
            stays_compact: false,
        }
    }
}

/// Which input of an operator, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Input(pub u8);

/// Where a shard stands among its peers.
#[derive(Clone, Debug)]
pub struct ShardContext {
    /// 0 to `parallelism - 1`.
    pub shard: u16,
    pub parallelism: u16,
    /// The job takes checkpoints.
    pub durable: Option<JobToken>,
    /// Where state goes that does not fit into memory, if it may.
    pub spill: Option<Spill>,
}

impl ShardContext {
    /// A stage of one shard, without checkpoints.
    pub const SINGLE: ShardContext = ShardContext { shard: 0, parallelism: 1, durable: None, spill: None };
}

/// Names a job in places that outlive it, such as names of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobToken {
    /// Random, and the same for all runs that go on from each other's checkpoints.
    pub job: u64,
    /// The first checkpoint that this run may take. Higher in every later run.
    pub first: CheckpointId,
    /// Which part of the job it is: tables of one directory may be written by several.
    pub part: u16,
}

/// Collects what an operator emits, in order.
#[derive(Default)]
pub struct Output {
    messages: Vec<Message>,
}

impl Output {
    /// Sends rows on. Of an empty batch only its watermark is, so operators need not check.
    pub fn send(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.messages.push(Message::Batch(batch));
        } else if let Some(time) = batch.last_mark() {
            self.watermark(time);
        }
    }

    pub fn watermark(&mut self, time: EventTime) {
        self.messages.push(Message::Watermark(time));
    }

    pub fn idle(&mut self) {
        self.messages.push(Message::Idle);
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// What was emitted since the last call.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Message> {
        self.messages.drain(..)
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Rows that have been emitted and not taken yet.
    pub fn rows(&self) -> usize {
        let rows = |message: &Message| if let Message::Batch(batch) = message { batch.len() } else { 0 };
        self.messages.iter().map(rows).sum()
    }
}

/// Builds the details of one node in `EXPLAIN`: `name=value, name=value`.
#[derive(Default)]
pub struct ExplainLine(String);

impl ExplainLine {
    pub fn field(&mut self, name: &str, value: impl Display) -> &mut Self {
        let separator = if self.0.is_empty() { "" } else { ", " };
        let _ = write!(self.0, "{separator}{name}={value}");
        self
    }

    /// `name=[a, b]`
    pub fn list<T: Display>(&mut self, name: &str, values: impl IntoIterator<Item = T>) -> &mut Self {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        self.field(name, format_args!("[{}]", values.join(", ")))
    }
}

impl Display for ExplainLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
