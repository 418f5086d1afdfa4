//! Materialized views: the rows of a query that runs on, for others to read.
//!
//! ```text
//! job of the view:  ... → Materialize, in each shard ──passed(epoch, rows)──→ View ──→ Snapshot: a query, once
//!                                                                               └────→ Follow: a stream, and every change
//! ```
//!
//! A view shows one [`Version`] at a time: all shards as of the same epoch. Each shard applies an epoch to its own rows when the barrier
//! comes, beside the others; when the last of them has, the version is replaced, which is a pointer.

mod asked;
mod follow;
mod kept;
mod net;
mod rows;
mod shard;
mod snapshot;
mod version;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{Schema, SchemaRef};
use tidemill_state::Epoch;
use tokio::sync::watch;

pub use asked::Asked;
pub(crate) use follow::only_appearing;
pub use follow::{Follow, Followed};
pub use kept::Kept;
pub use net::Net;
pub use rows::Rows;
pub use shard::ShardRows;
pub use snapshot::Snapshot;
pub use version::Version;

use crate::error::{Error, Result};

/// What rows look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// All columns may be null.
    pub schema: SchemaRef,
    /// The columns of which there is one row for each value, if there are such; none at all if there is one row at most.
    pub identity: Option<Vec<usize>>,
    /// The columns by which a row is found: those of the key, or all.
    pub key: Vec<usize>,
    /// There is one row for each key. If not, a row may be there several times.
    pub is_keyed: bool,
}

impl Shape {
    pub fn new(schema: &Schema, identity: Option<&[usize]>) -> Shape {
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let fields: Vec<_> = fields.collect();
        let identity = identity.map(<[usize]>::to_vec);
        let key = identity.clone().filter(|columns| !columns.is_empty());
        let is_keyed = key.is_some();
        let key = key.unwrap_or_else(|| (0..fields.len()).collect());
        Shape { schema: Arc::new(Schema::new(fields)), identity, key, is_keyed }
    }

    /// What state that consists of such rows means: sources do not say which columns they read.
    pub fn meaning(&self) -> String {
        let names = |columns: &[usize]| -> Vec<String> {
            let fields = columns.iter().map(|&column| self.schema.field(column));
            fields.map(|field| format!("{} {}", field.name(), field.data_type())).collect()
        };
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = names(&all).join(", ");
        match self.is_keyed {
            true => format!("columns=[{columns}], key=[{}]", names(&self.key).join(", ")),
            false => format!("columns=[{columns}]"),
        }
    }
}

/// A materialized view: what its job writes and others read.
pub struct View {
    /// As the user named it.
    name: String,
    shape: Arc<Shape>,
    /// Its rows only ever appear.
    appends: bool,
    /// The input of its job ends by itself.
    bounded: bool,
    /// What it shows before it shows anything.
    empty: Arc<Version>,
    shared: RwLock<Shared>,
    /// Told of every change of what is shown.
    news: watch::Sender<()>,
}

struct Shared {
    /// How often the job has begun.
    run: u64,
    shards: Vec<Shard>,
    /// The newest whole epoch.
    newest: Option<Arc<Version>>,
    /// What readers see: the newest whole epoch, once the job has caught up with its input.
    shown: Option<Arc<Version>>,
    status: Status,
}

/// A shard of the job, as it runs now.
struct Shard {
    /// Epochs it has passed that are not whole yet.
    passed: VecDeque<(Epoch, ShardRows)>,
    /// As of the newest whole epoch.
    rows: ShardRows,
    ended: bool,
}

#[derive(Clone)]
enum Status {
    /// The job has not caught up with its input.
    Behind,
    UpToDate,
    /// The input has ended: nothing changes any more.
    Ended,
    Failed(Error),
    /// Somebody has ended the job.
    Stopped,
}

impl View {
    /// # Errors
    /// Rows of these types cannot be kept.
    pub fn new(name: impl Into<String>, shape: Shape, appends: bool, bounded: bool) -> Result<View> {
        Net::new(&shape.schema)?;
        let shared = Shared { run: 0, shards: Vec::new(), newest: None, shown: None, status: Status::Behind };
        let (shape, shared) = (Arc::new(shape), RwLock::new(shared));
        let empty = Arc::new(Version::empty(&shape)?);
        Ok(View { name: name.into(), shape, appends, bounded, empty, shared, news: watch::Sender::new(()) })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.shape.schema
    }

    /// The columns by whose values rows can be looked up: there is one row for each.
    pub fn key(&self) -> Option<&[usize]> {
        self.shape.is_keyed.then_some(&self.shape.key)
    }

    /// As [`Shape::identity`].
    pub fn identity(&self) -> Option<&[usize]> {
        self.shape.identity.as_deref()
    }

    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    pub fn appends(&self) -> bool {
        self.appends
    }

    pub fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// What the view shows, as soon as it shows anything: when its job has caught up with what was there when it began, or, if its input
    /// ends, when it has. Cancel-safe.
    ///
    /// # Errors
    /// Its job has failed, or was stopped.
    pub async fn version(&self) -> Result<Arc<Version>> {
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            {
                let shared = self.read();
                match (&shared.status, &shared.shown) {
                    (Status::Failed(error), _) => return Err(self.failed(error)),
                    (Status::Stopped, _) => return Err(self.stopped_error()),
                    (_, Some(version)) => return Ok(Arc::clone(version)),
                    (_, None) => {}
                }
            }
            let _ = news.changed().await; // The sender is ours.
        }
    }

    /// What the view shows when that is not `given` any more; `None` if it will always be. Cancel-safe.
    ///
    /// # Errors
    /// Its job has failed.
    pub async fn next_version(&self, given: &Arc<Version>) -> Result<Option<Arc<Version>>> {
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            {
                let shared = self.read();
                match (&shared.status, &shared.shown) {
                    (Status::Failed(error), _) => return Err(self.failed(error)),
                    (_, Some(shown)) if !Arc::ptr_eq(shown, given) => return Ok(Some(Arc::clone(shown))),
                    (Status::Ended, _) => return Ok(None),
                    // One that is stopped changes no more, and may go on after a restart, as those who follow it may.
                    _ => {}
                }
            }
            let _ = news.changed().await; // The sender is ours.
        }
    }

    /// What the view shows at this moment; no rows if it does not show anything yet.
    pub fn shown(&self) -> Arc<Version> {
        Arc::clone(self.read().shown.as_ref().unwrap_or(&self.empty))
    }

    /// Without rows.
    pub fn empty(&self) -> &Arc<Version> {
        &self.empty
    }

    /// The rows that the view shows for keys, which have the columns of [`key`](Self::key): of which of them each is, and the row. All is
    /// as of one epoch. A view that does not show anything yet has none: wait for [`version`](Self::version) before the first call.
    ///
    /// Cost: that of the keys, whatever the view holds.
    ///
    /// # Errors
    /// The view has no key, or the columns are not those of its key.
    pub fn lookup(&self, keys: &[ArrayRef]) -> Result<(UInt32Array, RecordBatch)> {
        if self.key().is_none() {
            return Err(Error::new(format!("view {} cannot be asked for a key", self.name))
                .why("its query does not give one row for each value of some columns"));
        }
        // Held until the end: what a shard forgets of this epoch it forgets once the next one is whole.
        let shared = self.read();
        shared.shown.as_ref().unwrap_or(&self.empty).lookup(keys)
    }

    /// The same, as of `version`; `None` if the view shows a later one by now, and keys may have been forgotten.
    pub fn lookup_in(&self, version: &Arc<Version>, keys: &[ArrayRef]) -> Result<Option<RecordBatch>> {
        let shared = self.read();
        let is_shown = Arc::ptr_eq(shared.shown.as_ref().unwrap_or(&self.empty), version);
        is_shown.then(|| Ok(version.lookup(keys)?.1)).transpose()
    }

    /// Its job begins, or begins again: as many shards.
    pub fn publisher(self: &Arc<View>, shard: u16, parallelism: u16) -> Result<Publisher> {
        let mut shared = self.write();
        if shard == 0 || shared.shards.len() != usize::from(parallelism) {
            let empty = ShardRows::empty(&self.shape)?;
            let shard = || Shard { passed: VecDeque::new(), rows: empty.clone(), ended: false };
            shared.shards = (0..parallelism).map(|_| shard()).collect();
            shared.run += 1;
            shared.newest = None;
            // What was shown stays until the job has caught up again.
            shared.status = Status::Behind;
        }
        Ok(Publisher { view: Arc::clone(self), run: shared.run, shard: usize::from(shard) })
    }

    /// The job has caught up with what was there when it began.
    pub fn caught_up(&self) {
        if !self.bounded {
            self.becomes(Status::UpToDate);
        }
    }

    /// The job has come to the end of its input.
    pub fn ended(&self) {
        self.becomes(Status::Ended);
    }

    /// The job has failed for good.
    pub fn has_failed(&self, error: Error) {
        self.becomes(Status::Failed(error));
    }

    /// Somebody has ended the job.
    pub fn stopped(&self) {
        self.becomes(Status::Stopped);
    }

    fn becomes(&self, status: Status) {
        let mut shared = self.write();
        // What is over stays so until the job begins again, whatever comes late.
        if !matches!(shared.status, Status::Behind | Status::UpToDate) {
            return;
        }
        shared.status = status;
        shared.show();
        drop(shared);
        self.news.send_replace(());
    }

    fn failed(&self, error: &Error) -> Error {
        Error::new(format!("cannot read the materialized view {}", self.name))
            .why(format!("its job has failed: {error}"))
            .fix(format!("see to that, DROP MATERIALIZED VIEW {}, and create it again", self.name))
    }

    fn stopped_error(&self) -> Error {
        Error::new(format!("cannot read the materialized view {}", self.name))
            .why("its job was stopped, so its rows would be of the past")
            .fix(format!("DROP MATERIALIZED VIEW {}, and create it again", self.name))
    }

    /// Nothing panics while holding this lock.
    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A version is whole when all shards have passed its epoch, or have ended before: then all go on to it at once.
    fn advance(&mut self, shape: &Arc<Shape>) {
        let mut is_new = false;
        while let Some(epoch) = self.shards.iter().filter_map(Shard::next).min() {
            if !self.shards.iter().all(|shard| shard.has_passed(epoch)) {
                break;
            }
            self.shards.iter_mut().for_each(|shard| shard.go_on_to(epoch));
            is_new = true;
        }
        if is_new {
            let shards = self.shards.iter().map(|shard| shard.rows.clone()).collect();
            self.newest = Some(Arc::new(Version::new(shape, shards)));
            self.show();
        }
    }

    fn show(&mut self) {
        if matches!(self.status, Status::UpToDate | Status::Ended) && self.newest.is_some() {
            self.shown.clone_from(&self.newest);
        }
    }
}

impl Shard {
    /// The first epoch that it has passed and that is not whole.
    fn next(&self) -> Option<Epoch> {
        self.passed.front().map(|(epoch, _)| *epoch)
    }

    fn has_passed(&self, epoch: Epoch) -> bool {
        self.ended || self.passed.back().is_some_and(|(last, _)| *last >= epoch)
    }

    fn go_on_to(&mut self, epoch: Epoch) {
        while self.next().is_some_and(|next| next <= epoch) {
            self.rows = self.passed.pop_front().expect("it has a next").1;
        }
    }
}

/// One shard of a view's job, as the view knows it.
pub struct Publisher {
    view: Arc<View>,
    run: u64,
    shard: usize,
}

impl Publisher {
    /// The shard has passed the barrier of this epoch, and has these rows.
    pub fn passed(&self, epoch: Epoch, rows: ShardRows) {
        self.tell(|shard| shard.passed.push_back((epoch, rows)));
    }

    /// Nothing follows.
    pub fn ended(&self) {
        self.tell(|shard| shard.ended = true);
    }

    fn tell(&self, what: impl FnOnce(&mut Shard)) {
        let mut shared = self.view.write();
        // A task of an earlier run may still be there.
        if shared.run != self.run {
            return;
        }
        what(&mut shared.shards[self.shard]);
        let before = shared.shown.clone();
        shared.advance(&self.view.shape);
        let is_news = shared.shown.as_ref().map(Arc::as_ptr) != before.as_ref().map(Arc::as_ptr);
        drop(shared);
        if is_news {
            self.view.news.send_replace(());
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "view({})", self.name)
    }
}

#[cfg(test)]
mod tests;
