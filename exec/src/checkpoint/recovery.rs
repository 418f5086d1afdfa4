//! How a job begins: anew, or where its newest whole checkpoint left it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use tidemill_state::checkpoint::{
    Cost, Distribution, FORMAT, FileEntry, Kind, Lock, Manifest, OperatorState, SplitState, Store, TableState,
    fingerprint, merge, unhex,
};
use tidemill_state::{CheckpointId, Spill, SpilledRows};

use super::checkpointer::{Checkpointer, Files, Key};
use super::commit::{commit, prepared_for, sink_state};
use super::meaning::{Meaning, meaning};
use super::rescale::rescale;
use super::{Durability, Identity};
use crate::connect::{Offset, Sink, SplitId};
use crate::error::{Error, Result};
use crate::graph::{JobGraph, Stage, Tail};
use crate::operator::{JobToken, TableSnapshot};

/// A job that is about to begin.
pub struct Recovery {
    durability: Durability,
    meaning: Meaning,
    parallelism: Vec<u16>,
    /// What this process has published to say that the job is its own.
    manifest: Manifest,
    token: JobToken,
    sinks: BTreeMap<usize, Arc<dyn Sink>>,
    /// What has been restored as it lies in files, so that the next checkpoint need not write it again.
    files: BTreeMap<Key, Files>,
    pub notes: Vec<String>,
    lock: Option<Lock>,
    /// Where state goes that may be too much for memory.
    spill: Option<Spill>,
}

/// What a split begins with.
#[derive(Clone, Debug)]
pub struct Begin {
    pub split: SplitId,
    pub offset: Option<Offset>,
    pub state: Option<SplitState>,
}

impl Recovery {
    /// Finds the newest checkpoint, takes the job over, and brings its sinks to where they were then.
    ///
    /// # Errors
    /// The store cannot be used; another process runs the job; the checkpoint has state or positions that no part of `graph` takes.
    pub async fn of(durability: Durability, graph: &JobGraph, spill: Option<Spill>) -> Result<Recovery> {
        let meaning = meaning(graph);
        let lock = durability.store.lock()?;
        let found = durability.store.latest().await?;
        let mut notes = Vec::new();
        for damaged in &found.damaged {
            notes.push(format!("a checkpoint cannot be used: {damaged}"));
        }
        if found.manifest.is_none() && !found.damaged.is_empty() {
            return Err(Error::new(format!("no checkpoint in {} is whole", durability.store.name()))
                .why(notes.join("; "))
                .fix("remove the directory to begin anew"));
        }
        let mut last = found.last;
        let restored = match (found.manifest, &durability.start_from) {
            (None, Some(savepoint)) => {
                let manifest = savepoint_in(savepoint).await?;
                refuse_lost(&manifest, &meaning, &durability)?;
                last = manifest.checkpoint.max(last + 1);
                notes.push(format!("begins with the savepoint in {}", savepoint.name()));
                // Another job from now on: what this one writes is not that one's.
                let token = format!("{:016x}", rand::random::<u64>());
                let own = Manifest { token, checkpoint: last, kind: Kind::Periodic, ..manifest.clone() };
                durability.store.import(savepoint, &own).await?;
                Some(own)
            }
            (found, _) => found,
        };
        let checkpoint = CheckpointId(last + 1);
        let from = restored.as_ref().map(|manifest| manifest.checkpoint);
        let manifest = match restored {
            Some(manifest) => Manifest {
                checkpoint: checkpoint.0,
                generation: manifest.generation + 1,
                kind: Kind::Takeover,
                ..manifest
            },
            None => Manifest {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").to_string(),
                token: format!("{:016x}", rand::random::<u64>()),
                checkpoint: checkpoint.0,
                generation: 1,
                kind: Kind::Takeover,
                taken_at: crate::runtime::wall_clock().0,
                cost: Cost::default(),
                statement: durability.statement.clone(),
                sources: Vec::new(),
                operators: Vec::new(),
                sinks: Vec::new(),
            },
        };
        refuse_lost(&manifest, &meaning, &durability)?;
        let sinks = sinks(graph, &durability.store);
        let (mut prepared, mut states) = (BTreeMap::new(), Vec::new());
        for (stage, sink) in &sinks {
            let identity = &meaning.sinks[stage];
            let of_sink = prepared_for(identity, sink.as_ref(), &manifest)?;
            states.push(sink_state(identity, sink.as_ref(), &of_sink)?);
            prepared.insert(*stage, of_sink);
        }
        let manifest = Manifest { sinks: states, ..manifest };
        durability.store.publish(&manifest).await?;
        notes.push(match from {
            Some(from) => format!("goes on from checkpoint {from} in {}", durability.store.name()),
            None => format!("keeps checkpoints in {}", durability.store.name()),
        });
        let job = u64::from_str_radix(&manifest.token, 16).unwrap_or_else(|_| fingerprint(&manifest.token));
        let token = JobToken { job, first: CheckpointId(checkpoint.0 + 1), part: 0 };
        commit(&durability.store, checkpoint, &meaning, &sinks, &mut prepared, &mut notes).await?;
        // Only now: several sinks may write into one place.
        for (stage, sink) in &sinks {
            let identity = &meaning.sinks[stage];
            let in_sink = |error: Error| error.in_operator(format!("sink {}", identity.text));
            sink.recover(token.job, CheckpointId(from.unwrap_or_default())).await.map_err(in_sink)?;
        }
        let parallelism = graph.stages.iter().map(|stage| stage.parallelism).collect();
        let files = BTreeMap::new();
        Ok(Recovery { durability, meaning, parallelism, manifest, token, sinks, files, notes, lock, spill })
    }

    pub fn token(&self) -> JobToken {
        self.token
    }

    /// The sink of a stage, as it is in this run.
    pub fn sink(&self, stage: usize) -> Option<&Arc<dyn Sink>> {
        self.sinks.get(&stage)
    }

    /// The positions of the source of a stage, if it has read anything.
    pub fn splits(&self, stage: usize) -> Result<Option<Vec<Begin>>> {
        let Some(identity) = self.meaning.sources.get(&stage) else { return Ok(None) };
        let Some(source) = self.manifest.sources.iter().find(|source| source.uid == identity.uid) else {
            return Ok(None);
        };
        let begin = |state: &SplitState| {
            let offset = state.offset.as_ref().map(|offset| Ok::<_, Error>(Offset(unhexed(offset)?))).transpose()?;
            Ok(Begin { split: SplitId::new(state.split.as_str()), offset, state: Some(state.clone()) })
        };
        source.splits.iter().map(begin).collect::<Result<Vec<_>>>().map(Some)
    }

    /// What the operators of a stage begin with: by shard, then by place in the chain.
    pub async fn state(&mut self, stage: usize) -> Result<Vec<Vec<Vec<TableSnapshot>>>> {
        let shards = self.parallelism[stage];
        let identities = self.meaning.operators[stage].clone();
        let mut state = vec![vec![Vec::new(); identities.len()]; usize::from(shards)];
        for (place, identity) in identities.into_iter().enumerate() {
            let Some(identity) = identity else { continue };
            let Some(operator) = self.manifest.operators.iter().find(|operator| operator.uid == identity.uid).cloned()
            else {
                continue;
            };
            let tables = rescale(self.read(&operator).await?, shards)
                .map_err(|error| error.in_operator(operator.name.clone()))?;
            let is_rescaled = operator.shards() != usize::from(shards);
            for (shard, tables) in tables.into_iter().enumerate() {
                for table in &tables {
                    let Some(of) = operator.tables.iter().find(|of| of.table == table.table) else { continue };
                    // One that is not of changes yet may have become one: then the first changes follow the rows restored.
                    let files = match is_rescaled || of.replaces_by.is_empty() {
                        true if table.replaces_by.is_some() => Files::of_changes(table.clone()),
                        true => Files::of_rows(table.clone())?,
                        false => Files::of_entries(table, of.shards[shard].clone()),
                    };
                    self.files.insert(Key { stage, place, shard: shard as u16, table: of.table.clone() }, files);
                }
                state[shard][place] = tables;
            }
        }
        Ok(state)
    }

    /// The tables of an operator by old shard.
    async fn read(&self, operator: &OperatorState) -> Result<Vec<Vec<TableSnapshot>>> {
        let mut shards = vec![Vec::new(); operator.shards()];
        for table in &operator.tables {
            for (shard, files) in table.shards.iter().enumerate() {
                let store = &self.durability.store;
                if let Some(spill) = self.spill.as_ref().filter(|_| !table.replaces_by.is_empty()) {
                    shards[shard].extend(at_hand(store, table, files, spill).await?);
                    continue;
                }
                let mut rows = Vec::with_capacity(files.len());
                for file in files {
                    rows.push(store.read(file).await?);
                }
                shards[shard].extend(restored(table, rows)?);
            }
        }
        Ok(shards)
    }

    /// Who takes the checkpoints from now on. `tasks`: stage and shard of each.
    pub fn checkpointer(self, tasks: Vec<(usize, u16)>) -> Checkpointer {
        let Recovery { durability, meaning, manifest, token, sinks, files, lock, .. } = self;
        Checkpointer::new(durability, meaning, manifest, token, sinks, files, tasks, lock)
    }
}

/// The sinks of a job by stage. What logs write ahead goes into its directory.
fn sinks(graph: &JobGraph, store: &Store) -> BTreeMap<usize, Arc<dyn Sink>> {
    let of_stage = |(id, stage): (usize, &Stage)| match &stage.tail {
        Tail::Sink { sink, .. } => Some(match sink.write_ahead() {
            Some(log) => (id, Arc::new(log.in_store(store)) as Arc<dyn Sink>),
            None => (id, Arc::clone(sink)),
        }),
        Tail::Exchange => None,
    };
    graph.stages.iter().enumerate().filter_map(of_stage).collect()
}

async fn savepoint_in(store: &Store) -> Result<Manifest> {
    let found = store.latest().await?;
    found.manifest.ok_or_else(|| {
        let why = found.damaged.first().map_or("there is no checkpoint in it".to_string(), ToString::to_string);
        Error::new(format!("cannot begin with {}", store.name()))
            .why(why)
            .fix("give the directory that STOP JOB ... WITH SAVEPOINT or tidemill savepoint has named")
    })
}

/// The newest checkpoint in `from` becomes a savepoint in `to`, which is nobody's but the user's.
///
/// # Errors
/// There is no whole checkpoint; a store cannot be used; there is a savepoint already.
pub async fn savepoint(from: &Store, to: &Store) -> Result<Manifest> {
    let manifest = Manifest { kind: Kind::Savepoint, ..savepoint_in(from).await? };
    if to.latest().await?.manifest.is_some() {
        return Err(Error::new(format!("there is a savepoint in {} already", to.name())).fix("give another directory"));
    }
    to.import(from, &manifest).await?;
    Ok(manifest)
}

/// What an operator kept at the newest checkpoint: all rows of one of its tables, whatever shard they were in. `operator` is its name or
/// uid, and behind a dot which of its tables, else the first.
///
/// # Errors
/// There is no whole checkpoint, no such operator or table in it, or more than one.
pub async fn state(store: &Store, operator: &str) -> Result<RecordBatch> {
    let manifest = savepoint_in(store).await?;
    let (wanted, table) = operator.split_once('.').map_or((operator, None), |(name, table)| (name, Some(table)));
    let found: Vec<&OperatorState> =
        manifest.operators.iter().filter(|known| known.uid == wanted || known.name == wanted).collect();
    let known = || {
        let known = manifest.operators.iter().map(|operator| {
            let tables: Vec<&str> = operator.tables.iter().map(|table| table.table.as_str()).collect();
            format!("{} ({})", operator.uid, tables.join(", "))
        });
        format!("known are: {}", known.collect::<Vec<_>>().join("; "))
    };
    let [found] = found[..] else {
        let what = if found.is_empty() { "no operator" } else { "more than one operator" };
        return Err(Error::new(format!("{what} {wanted} has state in {}", store.name())).fix(known()));
    };
    let of_table = match table {
        None => found.tables.iter().find(|table| table.distribution != Distribution::ToAll),
        Some(name) => found.tables.iter().find(|table| table.table == name),
    };
    let Some(of_table) = of_table else {
        return Err(Error::new(format!("operator {wanted} has no table {}", table.unwrap_or_default())).fix(known()));
    };
    let mut rows = Vec::new();
    for files in &of_table.shards {
        let mut pieces = Vec::with_capacity(files.len());
        for file in files {
            pieces.push(store.read(file).await?);
        }
        rows.extend(restored(of_table, pieces)?.map(|table| table.rows));
    }
    match rows.first() {
        Some(first) => Ok(concat_batches(&first.schema(), &rows)?),
        None => Err(Error::new(format!("table {} of operator {wanted} is empty", of_table.table))),
    }
}

/// What becomes of a part of a job, or of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on where it was.
    Kept,
    /// It begins without state, or from the start.
    New,
    /// There is state of it, and no part of the job takes that.
    Lost,
}

/// What would become of everything if `graph` went on from the newest checkpoint, or began with the savepoint that it is told to begin
/// with if there is none. Changes nothing.
///
/// # Errors
/// The store cannot be read.
pub async fn check(durability: &Durability, graph: &JobGraph) -> Result<Vec<(String, Fate)>> {
    let meaning = meaning(graph);
    let manifest = match (durability.store.latest().await?.manifest, &durability.start_from) {
        (None, Some(savepoint)) => Some(savepoint_in(savepoint).await?),
        (found, _) => found,
    };
    let sources = manifest.iter().flat_map(|manifest| &manifest.sources);
    let sources = sources.map(|source| (source.uid.clone(), format!("source {}", source.table)));
    let operators = manifest.iter().flat_map(|manifest| &manifest.operators);
    let operators = operators.map(|operator| (operator.uid.clone(), operator.explain.clone()));
    let mut known: BTreeMap<String, String> = sources.chain(operators).collect();
    let mut fates = Vec::new();
    for (stage, of_graph) in graph.stages.iter().enumerate() {
        let source = meaning.sources.get(&stage).map(|source| (source, format!("source {}", source.text)));
        let operators = meaning.operators[stage].iter().zip(&of_graph.chain);
        let stateful = operators.filter(|(_, operator)| operator.state_bound().is_some());
        let operators = stateful.filter_map(|(identity, _)| identity.as_ref().map(|it| (it, it.text.clone())));
        for (identity, text) in source.into_iter().chain(operators) {
            let fate = if known.remove(&identity.uid).is_some() { Fate::Kept } else { Fate::New };
            fates.push((text, fate));
        }
    }
    // Operators without a bound, such as LIMIT, are kept too if they are there.
    let others = meaning.operators.iter().flatten().flatten();
    fates.extend(others.filter_map(|other| Some((known.remove(&other.uid)?, Fate::Kept))));
    fates.extend(known.into_values().map(|text| (text, Fate::Lost)));
    Ok(fates)
}

/// A table of one shard whose files stay on disk.
async fn at_hand(
    store: &Store,
    table: &TableState,
    files: &[FileEntry],
    spill: &Spill,
) -> Result<Option<TableSnapshot>> {
    let mut spilled: Vec<Arc<dyn SpilledRows>> = Vec::with_capacity(files.len());
    for file in files {
        spilled.push(Arc::new(spill.parquet(&store.verified(file).await?)?));
    }
    // Some may be empty, and then do not say what their columns are.
    let mut first = None;
    for piece in &spilled {
        first = piece.read()?.next().transpose()?;
        if first.is_some() {
            break;
        }
    }
    let Some(rows) = first else { return Ok(None) };
    let replaces_by = Some(table.replaces_by.clone());
    Ok(Some(TableSnapshot { replaces_by, spilled, ..of_shard(table, rows.slice(0, 0)) }))
}

/// A table of one shard out of its files.
fn restored(table: &TableState, files: Vec<RecordBatch>) -> Result<Option<TableSnapshot>> {
    let rows = match table.replaces_by.is_empty() {
        true => files.into_iter().next_back(),
        false => merge(&files, &table.replaces_by)?
            .map(|rows| {
                // Without `deleted`, which only files have.
                let columns: Vec<usize> = (0..rows.num_columns().saturating_sub(1)).collect();
                rows.project(&columns)
            })
            .transpose()?,
    };
    Ok(rows.map(|rows| of_shard(table, rows)))
}

fn of_shard(table: &TableState, rows: RecordBatch) -> TableSnapshot {
    let table_name = table.table.clone();
    TableSnapshot { table: table_name.into(), ..TableSnapshot::whole("", rows, table.distribution.clone()) }
}

/// # Errors
/// Something in the checkpoint belongs to no part of the job.
fn refuse_lost(manifest: &Manifest, meaning: &Meaning, durability: &Durability) -> Result<()> {
    if durability.allow_non_restored {
        return Ok(());
    }
    let operators: BTreeSet<&str> =
        meaning.operators.iter().flatten().flatten().map(|identity| identity.uid.as_str()).collect();
    let uids = |parts: &BTreeMap<usize, Identity>| parts.values().map(|part| part.uid.clone()).collect::<BTreeSet<_>>();
    let (sources, sinks) = (uids(&meaning.sources), uids(&meaning.sinks));
    let mut lost = Vec::new();
    lost.extend(
        manifest
            .operators
            .iter()
            .filter(|state| !operators.contains(state.uid.as_str()))
            .map(|state| state.explain.clone()),
    );
    lost.extend(
        manifest
            .sources
            .iter()
            .filter(|state| !sources.contains(&state.uid))
            .map(|state| format!("source {}", state.table)),
    );
    lost.extend(
        manifest
            .sinks
            .iter()
            .filter(|state| !sinks.contains(&state.uid) && !state.prepared.is_empty())
            .map(|state| format!("sink {}", state.table)),
    );
    if lost.is_empty() {
        return Ok(());
    }
    Err(Error::new("the job is not the one whose checkpoint there is")
        .why(format!("in {} there is the state of: {}; no part of this job takes it", durability.store.name(), lost.join(", ")))
        .fix("run the statement as it was, give the new one another directory with --state-dir, or go on without that state with --allow-non-restored-state"))
}

pub(super) fn unhexed(hex: &str) -> Result<Bytes> {
    unhex(hex)
        .map(Bytes::from)
        .ok_or_else(|| Error::new("a manifest is damaged").why(format!("'{hex}' is not hexadecimal")))
}
