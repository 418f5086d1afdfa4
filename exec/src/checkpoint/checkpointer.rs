//! Turns what tasks hand over into a checkpoint, beside the tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tidemill_state::checkpoint::{
    CheckpointError, Cost, Distribution, FileEntry, Kind, Lock, Manifest, OperatorState, SourceState, SplitState,
    Store, TableState, merge,
};
use tidemill_state::{Batches, CheckpointId, SpilledRows};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use super::commit::{commit, sink_state};
use super::meaning::{Identity, Meaning};
use super::{Durability, TaskSnapshot};
use crate::connect::Sink;
use crate::coordinator::TaskId;
use crate::copying::Following;
use crate::error::{Error, Result};
use crate::operator::{JobToken, TableSnapshot};
use crate::planted::{self, Defect};

/// So many files are written at once.
const WRITES: usize = 4;

/// The state of the job as far as it was handed over, and where it lies.
pub struct Checkpointer {
    durability: Durability,
    meaning: Meaning,
    /// Of the last checkpoint published.
    manifest: Manifest,
    pub token: JobToken,
    sinks: BTreeMap<usize, Arc<dyn Sink>>,
    /// Stage and shard by task.
    tasks: Vec<(usize, u16)>,
    files: BTreeMap<Key, Files>,
    splits: BTreeMap<TaskId, Vec<SplitState>>,
    /// What sinks have prepared and not committed.
    prepared: BTreeMap<usize, Vec<Bytes>>,
    /// The newest last.
    published: Vec<u64>,
    is_taken_over: bool,
    cost: Cost,
    /// Held as long as this lives.
    _lock: Option<Lock>,
}

/// A table of one shard of an operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub stage: usize,
    pub place: usize,
    pub table: String,
    pub shard: u16,
}

/// Where a table of one shard is.
pub(super) struct Files {
    distribution: Distribution,
    /// As in [`TableSnapshot`], except that the rows are in several pieces.
    replaces_by: Option<Vec<usize>>,
    entries: Vec<FileEntry>,
    /// Not written yet. Follows the entries.
    pending: Vec<Pending>,
    /// As in [`TableSnapshot`].
    stays_compact: bool,
    /// So many entries, the first, had all there was then; `None` until these are written.
    whole: Option<usize>,
}

#[derive(Clone)]
enum Pending {
    Rows(RecordBatch),
    Spilled(Arc<dyn SpilledRows>),
    Following(Following),
}

impl Files {
    fn new(distribution: Distribution, entries: Vec<FileEntry>, pending: Vec<Pending>) -> Files {
        Files { distribution, replaces_by: None, entries, pending, stays_compact: false, whole: Some(1) }
    }

    /// As they lie in the store.
    pub fn of_entries(table: &TableSnapshot, entries: Vec<FileEntry>) -> Files {
        Files::new(table.distribution.clone(), entries, Vec::new())
    }

    /// Rows that lie nowhere yet, of a table of which later only changes are handed over.
    pub fn of_rows(table: TableSnapshot) -> Result<Files> {
        let mut fields: Vec<_> = table.rows.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("deleted", DataType::Boolean, false)));
        let mut columns = table.rows.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(vec![false; table.rows.num_rows()])) as ArrayRef);
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(Files::new(table.distribution, Vec::new(), vec![Pending::Rows(rows)]))
    }

    /// The same of a table that is of changes already.
    pub fn of_changes(table: TableSnapshot) -> Files {
        let mut files = Files::new(table.distribution.clone(), Vec::new(), Vec::new());
        files.take(TableSnapshot { is_whole: true, ..table });
        files
    }

    fn take(&mut self, table: TableSnapshot) {
        if table.is_whole {
            self.entries.clear();
            self.pending.clear();
            self.whole = None;
        }
        self.pending.extend(table.spilled.into_iter().map(Pending::Spilled));
        if table.is_whole || table.rows.num_rows() > 0 {
            self.pending.push(Pending::Rows(table.rows));
        }
        self.pending.extend(table.following.map(Pending::Following));
        (self.distribution, self.replaces_by) = (table.distribution, table.replaces_by);
        self.stays_compact = table.stays_compact;
    }
}

/// What became of a checkpoint.
#[derive(Debug)]
pub struct Published {
    pub checkpoint: CheckpointId,
    pub outcome: Result<()>,
    /// Something the user should know, but no failure.
    pub notes: Vec<String>,
}

impl Checkpointer {
    #[expect(clippy::too_many_arguments, reason = "the parts of a recovery, taken apart in one place")]
    pub(super) fn new(
        durability: Durability,
        meaning: Meaning,
        manifest: Manifest,
        token: JobToken,
        sinks: BTreeMap<usize, Arc<dyn Sink>>,
        files: BTreeMap<Key, Files>,
        tasks: Vec<(usize, u16)>,
        lock: Option<Lock>,
    ) -> Checkpointer {
        let published = vec![manifest.checkpoint];
        let (splits, prepared) = (BTreeMap::new(), BTreeMap::new());
        let (is_taken_over, _lock) = (false, lock);
        Checkpointer {
            durability,
            meaning,
            manifest,
            token,
            sinks,
            tasks,
            files,
            splits,
            prepared,
            published,
            is_taken_over,
            cost: Cost::default(),
            _lock,
        }
    }

    /// Another process has the job: this one must not go on.
    pub fn is_taken_over(&self) -> bool {
        self.is_taken_over
    }

    pub fn durability(&self) -> &Durability {
        &self.durability
    }

    /// Takes over what a task has handed over. Whatever becomes of the checkpoint it was for, the next one builds upon it.
    pub fn take(&mut self, task: TaskId, snapshot: TaskSnapshot) {
        let (stage, shard) = self.tasks[task.0];
        self.splits.insert(task, snapshot.splits);
        self.cost.stall_us = self.cost.stall_us.max(snapshot.stall.as_micros() as u64);
        for (place, tables) in snapshot.operators.into_iter().enumerate() {
            for table in tables {
                let key = Key { stage, place, table: table.table.to_string(), shard };
                let new = || Files::new(table.distribution.clone(), Vec::new(), Vec::new());
                self.files.entry(key).or_insert_with(new).take(table);
            }
        }
        self.prepared.entry(stage).or_default().extend(snapshot.prepared);
    }

    /// Writes down all that was taken, makes the checkpoint exist, and has the sinks commit. Cancel-safe: what it has done by
    /// then is of use to the next one.
    pub async fn publish(&mut self, checkpoint: CheckpointId, kind: Kind, deadline: Instant) -> Published {
        let mut notes = Vec::new();
        let outcome = match tokio::time::timeout_at(deadline, self.write(checkpoint, kind)).await {
            Err(_) => Err(Error::new(format!("checkpoint {} took longer than it may", checkpoint.0))
                .why(format!("execution.checkpointing.timeout is {:?}", self.durability.rhythm.timeout))
                .fix("raise it, or see why the store or the tasks are slow")),
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => self.settle(&mut notes).await,
        };
        Published { checkpoint, outcome, notes }
    }

    async fn write(&mut self, checkpoint: CheckpointId, kind: Kind) -> Result<()> {
        let store = self.durability.store.clone();
        let mut writes = Vec::new();
        for (key, files) in &self.files {
            let Some(operator) = &self.meaning.operators[key.stage][key.place] else { continue };
            for (n, rows) in files.pending.iter().enumerate() {
                let part = if n == 0 { String::new() } else { format!("_{n}") };
                let path = format!("chk-{}/{}.{}.{}{part}", checkpoint.0, operator.uid, key.table, key.shard);
                writes.push((key.clone(), path, rows.clone()));
            }
        }
        let writes = writes.into_iter().map(|(key, path, rows)| {
            let store = store.clone();
            async move { Ok::<_, Error>((key, write_pending(store, path, rows).await?)) }
        });
        let written: Vec<(Key, Vec<FileEntry>)> = futures::stream::iter(writes).buffered(WRITES).try_collect().await?;
        for (key, entries) in written {
            self.cost.bytes += entries.iter().map(|entry| entry.bytes).sum::<u64>();
            if let Some(files) = self.files.get_mut(&key) {
                files.entries.extend(entries);
                files.pending.remove(0);
                files.whole = files.whole.or(files.pending.is_empty().then_some(files.entries.len()));
            }
        }
        let manifest = self.describe(checkpoint, kind)?;
        if planted::has(Defect::EarlyCommit) {
            self.commit(checkpoint, &mut Vec::new()).await?;
            // Long enough for a test to kill the process here.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let published = store.publish(&manifest).await;
        self.is_taken_over = matches!(published, Err(CheckpointError::TakenOver { .. }));
        published?;
        self.published.push(checkpoint.0);
        self.cost = Cost::default();
        self.manifest = manifest;
        Ok(())
    }

    fn describe(&self, checkpoint: CheckpointId, kind: Kind) -> Result<Manifest> {
        let mut sources: BTreeMap<usize, SourceState> = BTreeMap::new();
        for (task, splits) in &self.splits {
            let (stage, _) = self.tasks[task.0];
            let Some(identity) = self.meaning.sources.get(&stage) else { continue };
            let source = sources.entry(stage).or_insert_with(|| SourceState {
                uid: identity.uid.clone(),
                table: identity.text.clone(),
                splits: Vec::new(),
            });
            source.splits.extend(splits.iter().cloned());
        }
        let mut operators: BTreeMap<(usize, usize), OperatorState> = BTreeMap::new();
        for (key, files) in &self.files {
            let Some(identity) = &self.meaning.operators[key.stage][key.place] else { continue };
            let name = identity.uid.rsplit_once('-').map_or(identity.uid.as_str(), |(name, _)| name);
            let operator = operators.entry((key.stage, key.place)).or_insert_with(|| OperatorState {
                uid: identity.uid.clone(),
                name: name.to_string(),
                explain: identity.text.clone(),
                tables: Vec::new(),
            });
            // Keys are in order of tables, then of shards.
            if operator.tables.last().is_none_or(|table| table.table != key.table) {
                operator.tables.push(TableState {
                    table: key.table.clone(),
                    distribution: files.distribution.clone(),
                    replaces_by: files.replaces_by.clone().unwrap_or_default(),
                    shards: Vec::new(),
                });
            }
            if let Some(table) = operator.tables.last_mut() {
                table.shards.push(files.entries.clone());
            }
        }
        let of_sink = |(stage, identity): (&usize, &Identity)| {
            let prepared = self.prepared.get(stage).map(Vec::as_slice).unwrap_or_default();
            sink_state(identity, self.sinks[stage].as_ref(), prepared)
        };
        let sinks = self.meaning.sinks.iter().map(of_sink).collect::<Result<Vec<_>>>()?;
        Ok(Manifest {
            version: env!("CARGO_PKG_VERSION").to_string(),
            checkpoint: checkpoint.0,
            kind,
            taken_at: crate::runtime::wall_clock().0,
            cost: self.cost,
            statement: self.durability.statement.clone(),
            sources: sources.into_values().collect(),
            operators: operators.into_values().collect(),
            sinks,
            ..self.manifest.clone()
        })
    }

    async fn commit(&mut self, checkpoint: CheckpointId, notes: &mut Vec<String>) -> Result<()> {
        let Checkpointer { durability, meaning, sinks, prepared, .. } = self;
        commit(&durability.store, checkpoint, meaning, sinks, prepared, notes).await
    }

    /// What follows from there being a new checkpoint.
    async fn settle(&mut self, notes: &mut Vec<String>) -> Result<()> {
        self.commit(CheckpointId(self.manifest.checkpoint), notes).await?;
        let kept = self.published.len().saturating_sub(self.durability.retained.max(1));
        self.published.drain(..kept);
        if let Err(error) = self.durability.store.keep(&self.published).await {
            notes.push(format!("old checkpoints could not be removed: {error}"));
        }
        if let Err(error) = self.merge_files().await {
            notes.push(format!("files of a checkpoint could not be merged: {error}"));
        }
        Ok(())
    }

    /// Brings a table in many pieces into one, once the pieces are as large as what they change.
    async fn merge_files(&mut self) -> Result<()> {
        let checkpoint = self.manifest.checkpoint;
        for (key, files) in &mut self.files {
            let Some(replaces_by) = files.replaces_by.as_ref().filter(|_| files.is_scattered()) else { continue };
            let Some(operator) = &self.meaning.operators[key.stage][key.place] else { continue };
            let mut pieces = Vec::with_capacity(files.entries.len());
            for entry in &files.entries {
                pieces.push(self.durability.store.read(entry).await?);
            }
            let replaces_by = replaces_by.clone();
            let merged = blocking(move || Ok(merge(&pieces, &replaces_by)?)).await?;
            let Some(rows) = merged else { continue };
            let path = format!("chk-{checkpoint}/{}.{}.{}-merged.parquet", operator.uid, key.table, key.shard);
            let merged = write(self.durability.store.clone(), path, rows).await?;
            self.cost.bytes += merged.bytes;
            (files.entries, files.whole) = (vec![merged], Some(1));
        }
        Ok(())
    }

    /// The job has ended. At the end of its input its sinks have everything: nothing is left to go on from.
    pub async fn end(&self, was_stopped: bool) -> Result<()> {
        if !(was_stopped && self.durability.retention.stays()) {
            self.durability.store.clear().await?;
        }
        Ok(())
    }
}

/// More files than this are too many to look after, however small they are.
const FILES_MAX: usize = 100;

/// Rows in pieces go into files of so many, which memory can hold without noticing.
const FILE_ROWS: usize = 256 << 10;

impl Files {
    /// Whether the files of changes have as many rows as those that had all.
    fn is_scattered(&self) -> bool {
        let (whole, later) = self.entries.split_at(self.whole.unwrap_or(1).min(self.entries.len()));
        let rows = |files: &[FileEntry]| files.iter().map(|file| file.rows).sum::<u64>();
        let is_large = || !later.is_empty() && rows(later) >= rows(whole);
        !self.stays_compact && (later.len() >= FILES_MAX || is_large())
    }
}

/// Rows become a file, rows in pieces become several. `path` lacks what tells these apart.
async fn write_pending(store: Store, path: String, pending: Pending) -> Result<Vec<FileEntry>> {
    let mut pieces = match pending {
        Pending::Rows(rows) => return Ok(vec![write(store, format!("{path}.parquet"), rows).await?]),
        Pending::Spilled(spilled) => Pieces::Spilled(Some(blocking(move || Ok(spilled.read()?)).await?)),
        Pending::Following(following) => Pieces::Following(following, 0),
    };
    let mut entries = Vec::new();
    while let Some(piece) = pieces.next(FILE_ROWS).await? {
        entries.push(write(store.clone(), format!("{path}-{}.parquet", entries.len()), piece).await?);
    }
    Ok(entries)
}

/// Rows that come one piece after the other.
enum Pieces {
    /// Away while it reads.
    Spilled(Option<Batches>),
    /// And the number of the next.
    Following(Following, usize),
}

impl Pieces {
    /// About so many of the next rows; `None` at the end.
    async fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>> {
        let mut pieces: Vec<RecordBatch> = Vec::new();
        let is_short = move |pieces: &[RecordBatch]| pieces.iter().map(RecordBatch::num_rows).sum::<usize>() < rows;
        match self {
            Pieces::Following(following, number) => {
                while is_short(&pieces)
                    && let Some(piece) = following.piece(*number).await?
                {
                    *number += 1;
                    pieces.push(piece);
                }
            }
            Pieces::Spilled(rest) => {
                let Some(mut batches) = rest.take() else { return Ok(None) };
                (pieces, *rest) = blocking(move || {
                    while is_short(&pieces) {
                        let Some(more) = batches.next() else { return Ok((pieces, None)) };
                        pieces.push(more?);
                    }
                    Ok((pieces, Some(batches)))
                })
                .await?;
            }
        }
        Ok(pieces.first().map(|first| concat_batches(&first.schema(), &pieces)).transpose()?)
    }
}

async fn write(store: Store, path: String, rows: RecordBatch) -> Result<FileEntry> {
    apart(async move { Ok(store.write(path, rows).await?) }).await
}

/// Writes a file into a job's directory.
pub(crate) async fn put(store: &Store, path: String, bytes: Bytes, rows: u64) -> Result<FileEntry> {
    let store = store.clone();
    apart(async move { Ok(store.put(path, bytes, rows).await?) }).await
}

/// Encoding takes long, and so may a disk: not on a thread that tasks share.
async fn apart<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work.await; // All share the one thread there is.
    }
    blocking(move || runtime.block_on(work)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return work();
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new("a checkpoint was interrupted").why(error.to_string()))?
}
