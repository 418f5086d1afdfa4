//! A view as a stream reads it: first its rows, then every change.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::{Asked, Version, View};
use crate::connect::{
    Connector, Lookups, Offset, OptionSpec, Reader, Registry, Source, SplitBatch, SplitId, TableDefinition,
};
use crate::error::Result;
use crate::message::Batch;

/// A source in one split, as its batches are whole: the first has all rows that the view shows, each later one the changes since the one
/// before, of one epoch or several. So no barrier comes between the changes of an epoch, and who is slow gets fewer changes rather than
/// a queue of them.
#[derive(Debug)]
pub struct Follow {
    view: Arc<View>,
    projection: Vec<usize>,
}

/// A connector whose table is a view.
pub struct Followed(pub Arc<View>);

impl Followed {
    /// A source of the columns `projection`.
    pub fn source(&self, projection: &[usize]) -> Follow {
        Follow { view: Arc::clone(&self.0), projection: projection.to_vec() }
    }
}

impl Connector for Followed {
    fn name(&self) -> &'static str {
        "view"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn source(&self, _: &TableDefinition, projection: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Followed::source(self, projection)))
    }

    fn lookups(&self, _: &TableDefinition, _: &Registry) -> Result<Option<Lookups>> {
        let asked = || Lookups::ByKey(Arc::new(Asked(Arc::clone(&self.0))));
        Ok(self.0.key().filter(|key| !key.is_empty()).map(|_| asked()))
    }
}

#[async_trait]
impl Source for Follow {
    /// If its job's input ends, all comes at once when it has.
    fn bounded(&self) -> bool {
        self.view.is_bounded()
    }

    fn retracts(&self) -> bool {
        !self.view.appends()
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok(vec![SplitId::new("view")])
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let place = |column: &usize| self.projection.iter().position(|read| read == column);
        let identity = self.view.identity().and_then(|columns| columns.iter().map(place).collect());
        Ok(Box::new(FollowReader {
            schema: Arc::new(self.view.schema().project(&self.projection)?),
            view: Arc::clone(&self.view),
            projection: self.projection.clone(),
            identity,
            resumes: splits.iter().any(|(_, offset)| offset.is_some()),
            split: splits.into_iter().next().map(|(split, _)| split),
            given: None,
            has_begun: watch::Sender::new(false),
        }))
    }
}

/// Without rows that are not there any more, because a source of the view that cannot be read again has forgotten them when its job began
/// again: who was promised that rows only appear cannot take them back.
pub(crate) fn only_appearing(changes: Batch) -> Result<Batch> {
    match changes.weights() {
        None => Ok(changes),
        Some(weights) => changes.filter(&weights.values().iter().map(|&weight| Some(weight > 0)).collect()),
    }
}

struct FollowReader {
    view: Arc<View>,
    projection: Vec<usize>,
    schema: SchemaRef,
    /// That of the view, in the columns of the projection.
    identity: Option<Vec<usize>>,
    /// `None`: another task reads the view.
    split: Option<SplitId>,
    /// Others have had rows of it before.
    resumes: bool,
    /// What has been given so far.
    given: Option<Arc<Version>>,
    /// Something has.
    has_begun: watch::Sender<bool>,
}

impl FollowReader {
    fn changes(&self, version: &Version) -> Result<Batch> {
        let before = self.given.as_ref().unwrap_or(self.view.empty());
        let mut changes = version.changes_since(before, &self.projection, &self.schema, self.identity.as_deref())?;
        if self.view.appends() {
            changes = only_appearing(changes)?;
        }
        if self.given.is_none() && self.resumes && changes.is_empty() {
            // That there are no rows any more is news too: a row that comes and goes at once says so.
            let columns = self.schema.fields().iter().map(|field| new_null_array(field.data_type(), 2)).collect();
            let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            return Ok(Batch::new(rows, Some(Int64Array::from(vec![1, -1]))));
        }
        Ok(changes)
    }
}

#[async_trait]
impl Reader for FollowReader {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        let Some(split) = &self.split else { return Ok(None) };
        loop {
            let version = match &self.given {
                None => Some(self.view.version().await?),
                Some(given) => self.view.next_version(given).await?,
            };
            let Some(version) = version else { return Ok(None) };
            let rows = self.changes(&version)?;
            let is_first = self.given.replace(version).is_none();
            self.has_begun.send_replace(true);
            if is_first || !rows.is_empty() {
                return Ok(Some(SplitBatch {
                    split: split.clone(),
                    rows,
                    // It is read again from its beginning, and compared with what has been given: see `Resync`.
                    resume_at: Offset(Bytes::from_static(b"given")),
                    skipped: None,
                    ended: false,
                }));
            }
        }
    }

    fn backlog(&self) -> Option<watch::Receiver<bool>> {
        Some(self.has_begun.subscribe())
    }
}
