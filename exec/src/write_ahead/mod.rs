//! A write-ahead log for sinks without transactions, as Flink's GenericWriteAheadSink is one: they show each row once.
//!
//! ```text
//! rows ─Logging→ parts, in the job's directory ─checkpoint→ manifest ─commit→ the sink's own writer ─→ recorded
//! ```
//!
//! Rows are kept back until the checkpoint that they belong to is there, and then written in order, part by part. After each part the
//! checkpointer records that it is written. So what is written twice is at most the one part that was being written, or was not
//! recorded yet, when the process ended or the sink failed.

mod logging;
mod part;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tidemill_state::checkpoint::{FileEntry, Store};
use tokio::sync::Mutex;

use crate::connect::{DELIVERY_OPTIONS, Guarantee, Sink, TableDefinition, Writer};
use crate::error::{Error, Result};
use crate::operator::ShardContext;

use logging::Logging;
use part::Part;

/// A sink whose rows are kept back until a checkpoint has them.
#[derive(Clone, Debug)]
pub struct WriteAhead {
    table: String,
    sink: Arc<dyn Sink>,
    /// `None` until it is known where the job keeps its checkpoints.
    log: Option<Log>,
}

#[derive(Clone)]
struct Log {
    store: Store,
    /// Those of the sink itself.
    writers: Arc<Mutex<Writers>>,
}

/// By number of shards, and shard.
type Writers = BTreeMap<(u16, u16), Box<dyn Writer>>;

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "log in {}", self.store.name())
    }
}

impl WriteAhead {
    pub fn new(table: &str, sink: Arc<dyn Sink>) -> WriteAhead {
        WriteAhead { table: table.to_string(), sink, log: None }
    }

    /// The sink as `sink.delivery-guarantee` wants it: one that would give rows again keeps them back for `exactly-once`.
    pub fn if_wanted(table: &TableDefinition, sink: Arc<dyn Sink>) -> Arc<dyn Sink> {
        let wanted = table.options.text(DELIVERY_OPTIONS, "sink.delivery-guarantee").unwrap_or_default();
        match wanted.eq_ignore_ascii_case("exactly-once") && sink.guarantee() == Some(Guarantee::AtLeastOnce) {
            true => Arc::new(WriteAhead::new(&table.name, sink)),
            false => sink,
        }
    }

    /// The same in a run of a job that keeps its checkpoints in `store`.
    pub(crate) fn in_store(&self, store: &Store) -> WriteAhead {
        WriteAhead { log: Some(Log { store: store.clone(), writers: Arc::default() }), ..self.clone() }
    }

    /// The file that a prepared part is in, if it has one.
    pub(crate) fn file_of(prepared: &Bytes) -> Result<Option<FileEntry>> {
        Ok(Part::of(prepared)?.file)
    }

    fn log(&self) -> Result<&Log> {
        self.log.as_ref().ok_or_else(|| {
            Error::new(format!("cannot write to table {} exactly once", self.table))
                .why("its rows wait for the checkpoint that has them, and this job takes none")
                .fix("SET 'execution.checkpointing.interval' = '10 s' in streaming mode, or leave 'sink.delivery-guarantee' out")
        })
    }

    async fn writer(&self, shard: u16, parallelism: u16) -> Result<Box<dyn Writer>> {
        // It knows nothing of checkpoints.
        self.sink.open(&ShardContext { shard, parallelism, ..ShardContext::SINGLE }).await
    }
}

#[async_trait]
impl Sink for WriteAhead {
    fn accepts_updates(&self) -> bool {
        self.sink.accepts_updates()
    }

    fn max_parallelism(&self) -> Option<u16> {
        self.sink.max_parallelism()
    }

    fn guarantee(&self) -> Option<Guarantee> {
        Some(Guarantee::ExactlyOnce)
    }

    fn write_ahead(&self) -> Option<&WriteAhead> {
        Some(self)
    }

    async fn commit(&self, prepared: &[Bytes]) -> Result<()> {
        let Log { store, writers } = self.log()?;
        let mut writers = writers.lock().await;
        for prepared in prepared {
            let part = Part::of(prepared)?;
            let changes = part.changes(store).await?;
            let place = (part.parallelism, part.shard);
            // It comes back when all has gone well: a writer that has failed is not asked again.
            let mut writer = match writers.remove(&place) {
                Some(writer) => writer,
                None => self.writer(part.shard, part.parallelism).await?,
            };
            for changes in changes {
                writer.write(changes).await?;
            }
            match part.is_end {
                true => writer.finish().await?,
                false => {
                    writer.flush(part.epoch()).await?;
                    writers.insert(place, writer);
                }
            }
        }
        Ok(())
    }

    async fn open(&self, context: &ShardContext) -> Result<Box<dyn Writer>> {
        let Log { store, writers } = self.log()?;
        let Some(token) = context.durable else { return Err(Error::new("a log without a job that takes checkpoints")) };
        // Now, so that a job does not start whose rows nobody takes.
        let mut writers = writers.lock().await;
        writers.retain(|(parallelism, _), _| *parallelism == context.parallelism);
        if let Entry::Vacant(place) = writers.entry((context.parallelism, context.shard)) {
            place.insert(self.writer(context.shard, context.parallelism).await?);
        }
        Ok(Box::new(Logging::new(store.clone(), token, context.shard, context.parallelism)))
    }
}
