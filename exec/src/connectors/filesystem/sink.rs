//! Writes a table as part files, in directories of partitions if it has any.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use async_trait::async_trait;
use bytes::Bytes;
use tidemill_state::{CheckpointId, Epoch};

use super::part::{Part, Sealed, unwritable};
use super::partition;
use super::store::Store;
use crate::changelog::ChangeBatch;
use crate::connect::{Format, Guarantee, Sink, TableDefinition, Writer};
use crate::error::{Error, Result};
use crate::operator::{JobToken, ShardContext};

/// When a part file is finished before the job is.
#[derive(Clone, Copy)]
pub(super) struct Rolling {
    pub file_bytes: u64,
    pub interval: Duration,
}

/// A directory that rows are written into.
#[derive(Clone)]
pub struct FilesystemSink {
    pub(super) table: TableDefinition,
    /// The table as it is within a file.
    pub(super) records: TableDefinition,
    pub(super) format: Arc<dyn Format>,
    pub(super) directory: Arc<dyn Store>,
    pub(super) default_name: String,
    pub(super) rolling: Rolling,
    pub(super) parallelism_max: Option<u16>,
    /// Name of the file that marks a finished partition.
    pub(super) success_file: Option<String>,
    pub(super) overwrite: bool,
}

impl fmt::Debug for FilesystemSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overwrite = if self.overwrite { ", overwrite" } else { "" };
        write!(f, "filesystem({}, format={}{overwrite})", self.directory.name(), self.format.name())
    }
}

#[async_trait]
impl Sink for FilesystemSink {
    fn accepts_updates(&self) -> bool {
        self.format.encodes_updates()
    }

    /// One if old files are replaced: by when, only a single writer knows.
    fn max_parallelism(&self) -> Option<u16> {
        if self.overwrite { Some(1) } else { self.parallelism_max }
    }

    fn guarantee(&self) -> Option<Guarantee> {
        Some(if self.overwrite { Guarantee::AtLeastOnce } else { Guarantee::ExactlyOnce })
    }

    async fn commit(&self, prepared: &[Bytes]) -> Result<()> {
        let (sink, prepared) = (self.clone(), prepared.to_vec());
        blocking(move || prepared.iter().try_for_each(|prepared| sink.show(prepared))).await
    }

    /// Files name the first checkpoint that may contain them.
    async fn recover(&self, job: u64, checkpoint: CheckpointId) -> Result<()> {
        let sink = self.clone();
        blocking(move || {
            let prefix = job_prefix(job);
            let place = || unwritable(sink.directory.name(), &io::ErrorKind::Other.into());
            let found = sink.directory.beginning_with(&prefix).map_err(|error| place().why(error.to_string()))?;
            for (directory, name, is_staged) in found {
                let of = name[prefix.len()..].split_once('-').and_then(|(of, _)| of.parse::<u64>().ok());
                if is_staged || of.is_some_and(|of| of > checkpoint.0) {
                    let file = || format!("{}/{directory}{name}", sink.directory.name());
                    sink.directory.remove(&directory, &name, is_staged).map_err(|error| unwritable(&file(), &error))?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn open(&self, context: &ShardContext) -> Result<Box<dyn Writer>> {
        if self.overwrite && context.durable.is_some() {
            return Err(Error::new("INSERT OVERWRITE cannot take checkpoints")
                .why("what it replaces is gone only when it ends, so there is nothing to go on from")
                .fix("SET 'execution.checkpointing.interval' = '0 ms', or write INSERT INTO"));
        }
        let parts = Parts {
            sink: self.clone(),
            run: match context.durable {
                // Random, so that neither shards nor runs get in each other's way.
                None => Run::Once { prefix: format!("part-{:016x}-{}", rand::random::<u64>(), context.shard) },
                Some(JobToken { job, first, part }) => {
                    Run::Durable { job, part, shard: context.shard, next: first, prepared: Vec::new() }
                }
            },
            next_number: 0,
            open: BTreeMap::new(),
            sealed: Vec::new(),
            written: BTreeSet::new(),
        };
        let mut writer = FilesystemWriter { parts: Some(Box::new(parts)) };
        // The table can be read afterwards even if no row was written.
        writer.blocking(|parts| parts.create_directory()).await?;
        Ok(Box::new(writer))
    }
}

/// Hands the work to a thread that may block, one call after another.
struct FilesystemWriter {
    parts: Option<Box<Parts>>,
}

/// `part-`, and the job.
fn job_prefix(job: u64) -> String {
    format!("part-{job:016x}-")
}

async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new("writing files was interrupted").why(error.to_string()))?
}

impl FilesystemSink {
    /// Does what a writer has prepared: `+d=1/part-...` is a staged file, `!d=1/_SUCCESS` a mark.
    fn show(&self, prepared: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(prepared);
        let (directory, name) = match text.rfind('/') {
            Some(slash) => text[1..].split_at(slash),
            None => ("", &text[1..]),
        };
        let shown = match text.starts_with('!') {
            true => self.directory.mark(directory, name),
            false => self.directory.commit(directory, name),
        };
        shown.map_err(|error| unwritable(&format!("{}/{directory}{name}", self.directory.name()), &error))
    }
}

impl FilesystemWriter {
    async fn blocking(&mut self, work: impl FnOnce(&mut Parts) -> Result<()> + Send + 'static) -> Result<()> {
        let stopped = || Error::new("writing files was interrupted before");
        let mut parts = self.parts.take().ok_or_else(stopped)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut parts);
            (parts, result)
        });
        let (parts, result) = done.await.map_err(|error| stopped().why(error.to_string()))?;
        self.parts = Some(parts);
        result
    }
}

#[async_trait]
impl Writer for FilesystemWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        self.blocking(|parts| parts.write(changes)).await
    }

    async fn flush(&mut self, _epoch: Epoch) -> Result<()> {
        match &self.parts {
            Some(parts) if parts.open.is_empty() => Ok(()),
            _ => self.blocking(Parts::end_epoch).await,
        }
    }

    async fn finish(&mut self) -> Result<()> {
        self.blocking(Parts::finish).await
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Bytes>> {
        self.blocking(Parts::seal_all).await?;
        let Some(Run::Durable { next, prepared, .. }) = self.parts.as_mut().map(|parts| &mut parts.run) else {
            return Ok(Vec::new());
        };
        *next = CheckpointId(checkpoint.0 + 1);
        Ok(prepared.drain(..).map(Bytes::from).collect())
    }
}

/// How the files of a shard become visible.
enum Run {
    /// When they are full, or the job ends.
    Once {
        /// Of their names.
        prefix: String,
    },
    /// With checkpoints.
    Durable {
        job: u64,
        part: u16,
        shard: u16,
        /// The first checkpoint that may contain what is written now.
        next: CheckpointId,
        /// Sealed and staged; see [`FilesystemSink::show`].
        prepared: Vec<String>,
    },
}

/// The part files of one shard: at most one being written per partition.
struct Parts {
    sink: FilesystemSink,
    run: Run,
    next_number: u64,
    /// By directory within that of the table: "" or `d=1/k=a/`.
    open: BTreeMap<String, Part>,
    /// With `overwrite`: finished files that appear when the job has ended.
    sealed: Vec<Sealed>,
    /// Every directory with files of this job.
    written: BTreeSet<String>,
}

impl Parts {
    fn create_directory(&mut self) -> Result<()> {
        let directory = &self.sink.directory;
        directory.create_directory().map_err(|error| {
            Error::new(format!("cannot write table {} into {}", self.sink.table.name, directory.name()))
                .why(error.to_string())
                .fix("give the path of a directory that exists or can be made")
        })
    }

    fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        let rows = changes.rows.project(&self.places(&changes, &kept(&self.sink.table)))?;
        if self.sink.table.partitioned_by.is_empty() {
            return self.part("")?.write(ChangeBatch { rows, kinds: changes.kinds });
        }
        for (directory, indices) in self.by_directory(&changes)? {
            let kinds = changes.kinds.as_ref().map(|kinds| indices.iter().map(|&row| kinds[row as usize]).collect());
            let rows = take_record_batch(&rows, &UInt32Array::from(indices))?;
            self.part(&directory)?.write(ChangeBatch { rows, kinds })?;
        }
        Ok(())
    }

    /// Where columns of the table are in `changes`, which may hold all columns or only the physical ones.
    fn places(&self, changes: &ChangeBatch, columns: &[usize]) -> Vec<usize> {
        let table = &self.sink.table;
        if changes.rows.num_columns() == table.schema.fields().len() {
            return columns.to_vec();
        }
        let physical = table.physical();
        columns.iter().filter_map(|column| physical.iter().position(|p| p == column)).collect()
    }

    /// Which rows go into which partition's directory.
    fn by_directory(&self, changes: &ChangeBatch) -> Result<BTreeMap<String, Vec<u32>>> {
        let (mut names, mut columns) = (Vec::new(), Vec::new());
        let partitioned_by = &self.sink.table.partitioned_by;
        for (&column, place) in partitioned_by.iter().zip(self.places(changes, partitioned_by)) {
            let name = self.sink.table.schema.field(column).name();
            names.push(name);
            columns.push(partition::texts(name, changes.rows.column(place))?);
        }
        let mut rows_of: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        // Rows that follow each other often go into the same.
        for alike in arrow::compute::partition(&columns)?.ranges() {
            let mut directory = String::new();
            for (name, texts) in names.iter().zip(&columns) {
                let value = partition::text(texts, alike.start);
                partition::push_directory(name, value, &self.sink.default_name, &mut directory);
            }
            rows_of.entry(directory).or_default().extend(alike.map(|row| row as u32));
        }
        Ok(rows_of)
    }

    fn part(&mut self, directory: &str) -> Result<&mut Part> {
        if !self.open.contains_key(directory) {
            let (number, format) = (self.next_number, self.sink.format.name());
            let (name, created) = match &self.run {
                Run::Once { prefix } => {
                    let name = format!("{prefix}-{number}.{format}");
                    (name.clone(), self.sink.directory.create(directory, &name))
                }
                Run::Durable { job, part, shard, next, .. } => {
                    let name = format!("{}{}-{part}-{shard}-{number}.{format}", job_prefix(*job), next.0);
                    (name.clone(), self.sink.directory.stage(directory, &name))
                }
            };
            let file = created
                .map_err(|error| unwritable(&format!("{}/{directory}{name}", self.sink.directory.name()), &error))?;
            let part = Part::new(name, file, self.sink.format.as_ref(), &self.sink.records)?;
            self.next_number += 1;
            self.written.insert(directory.to_string());
            self.open.insert(directory.to_string(), part);
        }
        Ok(self.open.get_mut(directory).expect("it was inserted if it was not there"))
    }

    fn end_epoch(&mut self) -> Result<()> {
        for part in self.open.values_mut() {
            part.end_epoch()?;
        }
        let due: Vec<String> = self
            .open
            .iter()
            .filter(|(_, part)| part.is_due(&self.sink.rolling))
            .map(|(directory, _)| directory.clone())
            .collect();
        due.iter().try_for_each(|directory| self.seal(directory))
    }

    fn seal(&mut self, directory: &str) -> Result<()> {
        let Some(part) = self.open.remove(directory) else { return Ok(()) };
        let name = part.name.clone();
        let sealed = part.seal()?;
        if self.sink.overwrite {
            self.sealed.push(sealed);
            return Ok(());
        }
        sealed.publish()?;
        if let Run::Durable { prepared, .. } = &mut self.run {
            prepared.push(format!("+{directory}{name}"));
        }
        Ok(())
    }

    fn seal_all(&mut self) -> Result<()> {
        let open: Vec<String> = self.open.keys().cloned().collect();
        open.iter().try_for_each(|directory| self.seal(directory))
    }

    fn finish(&mut self) -> Result<()> {
        self.seal_all()?;
        if self.sink.overwrite {
            self.remove_old_files()?;
        }
        for sealed in self.sealed.drain(..) {
            sealed.publish()?;
        }
        if let Some(name) = self.sink.success_file.as_ref().filter(|_| !self.sink.table.partitioned_by.is_empty()) {
            if let Run::Durable { job, prepared, .. } = &mut self.run {
                let of_job = self.sink.directory.beginning_with(&job_prefix(*job));
                let of_job = of_job.map_err(|error| unwritable(self.sink.directory.name(), &error))?;
                let directories: BTreeSet<String> = of_job.into_iter().map(|(directory, ..)| directory).collect();
                prepared.extend(directories.into_iter().map(|directory| format!("!{directory}{name}")));
                return Ok(());
            }
            for directory in &self.written {
                self.sink.directory.mark(directory, name).map_err(|error| {
                    unwritable(&format!("{}/{directory}{name}", self.sink.directory.name()), &error)
                })?;
            }
        }
        Ok(())
    }

    /// What `INSERT OVERWRITE` replaces: the whole table, or the partitions that got rows.
    fn remove_old_files(&self) -> Result<()> {
        let directories = match self.sink.table.partitioned_by.is_empty() {
            true => BTreeSet::from([String::new()]),
            false => self.written.clone(),
        };
        for directory in directories {
            self.sink.directory.remove_files(&directory).map_err(|error| {
                let place = format!("{}/{directory}", self.sink.directory.name());
                Error::new(format!("could not remove the old files in {}", place.trim_end_matches('/')))
                    .why(error.to_string())
            })?;
        }
        Ok(())
    }
}

/// The columns that go into files.
fn kept(table: &TableDefinition) -> Vec<usize> {
    table.physical().into_iter().filter(|column| !table.partitioned_by.contains(column)).collect()
}

impl Drop for Parts {
    /// The job was cancelled or failed, unless `finish` has left nothing to do. With checkpoints, the rows come again.
    fn drop(&mut self) {
        let is_lost = self.sink.overwrite || matches!(self.run, Run::Durable { .. });
        for part in std::mem::take(&mut self.open).into_values() {
            if is_lost { part.discard() } else { part.salvage() }
        }
        self.sealed.iter().for_each(Sealed::discard);
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
