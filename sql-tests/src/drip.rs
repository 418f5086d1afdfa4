//! The connector `filesystem`, but that rows come a few at a time, up to a moment that the test chooses.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_exec::Result;
use tidemill_exec::connect::{
    Connector, Lookups, Offset, OptionSpec, Reader, Registry, Sink, Source, SplitBatch, SplitId, TableDefinition,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// Gives out so many pieces of all tables together, and says when that is done.
#[derive(Debug)]
pub struct Tap {
    left: AtomicI64,
    /// Nothing comes any more then.
    closes: bool,
    done: Notify,
    random: Mutex<StdRng>,
}

impl Tap {
    pub fn new(pieces: i64, closes: bool, seed: u64) -> Tap {
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        Tap { left: AtomicI64::new(pieces), closes, done: Notify::new(), random }
    }

    /// Waits until all of them have been given out.
    pub async fn done(&self) {
        self.done.notified().await;
    }

    /// Takes a piece, if there is one left.
    fn take(&self) -> bool {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left == 0 {
            self.done.notify_one();
        }
        left > 0 || !self.closes
    }

    fn random<T>(&self, choose: impl FnOnce(&mut StdRng) -> T) -> T {
        choose(&mut self.random.lock().expect("nobody panics while choosing"))
    }

    /// So that barriers come between the pieces.
    fn pause(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.random(|random| random.random_range(0..8)))
    }
}

/// `'connector' = 'filesystem'` through a tap.
pub struct Dripping {
    files: Arc<dyn Connector>,
    tap: Arc<Tap>,
}

impl Dripping {
    pub fn new(tap: Arc<Tap>) -> Dripping {
        let registry = Registry::default();
        let files = registry.connectors().find(|connector| connector.name() == "filesystem");
        Dripping { files: Arc::clone(files.expect("it is built in")), tap }
    }
}

impl Connector for Dripping {
    fn name(&self) -> &'static str {
        self.files.name()
    }

    fn options(&self) -> &'static [OptionSpec] {
        self.files.options()
    }

    fn metadata(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        self.files.metadata()
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], formats: &Registry) -> Result<Arc<dyn Source>> {
        let files = self.files.source(table, projection, formats)?;
        Ok(Arc::new(Drops { files, tap: Arc::clone(&self.tap) }))
    }

    fn lookups(&self, table: &TableDefinition, formats: &Registry) -> Result<Option<Lookups>> {
        self.files.lookups(table, formats)
    }

    fn sink(&self, table: &TableDefinition, formats: &Registry) -> Result<Arc<dyn Sink>> {
        self.files.sink(table, formats)
    }
}

#[derive(Debug)]
struct Drops {
    files: Arc<dyn Source>,
    tap: Arc<Tap>,
}

#[async_trait]
impl Source for Drops {
    fn bounded(&self) -> bool {
        self.files.bounded()
    }

    fn retracts(&self) -> bool {
        self.files.retracts()
    }

    fn only_discovers(&self, split: &SplitId) -> bool {
        self.files.only_discovers(split)
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        self.files.splits().await
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let mut places = HashMap::new();
        let mut inner = Vec::new();
        for (split, offset) in splits {
            let place = offset.map_or_else(Place::default, |offset| Place::decode(&offset));
            inner.push((split.clone(), place.batch.clone()));
            places.insert(split, place);
        }
        let files = self.files.open(inner).await?;
        let tap = Arc::clone(&self.tap);
        Ok(Box::new(Drip { files, due: tap.pause(), tap, places, pieces: VecDeque::new() }))
    }
}

/// Where a split is read on: in the batch that begins at `batch`, behind `rows` of its rows.
#[derive(Clone, Default)]
struct Place {
    batch: Option<Offset>,
    rows: usize,
}

impl Place {
    fn encode(&self) -> Offset {
        let rows = (self.rows as u64).to_le_bytes();
        let batch = self.batch.iter().flat_map(|offset| std::iter::once(1).chain(offset.0.iter().copied()));
        Offset(rows.into_iter().chain(batch).collect())
    }

    fn decode(offset: &Offset) -> Place {
        let (rows, batch) = offset.0.split_first_chunk().expect("it was encoded here");
        let batch = (!batch.is_empty()).then(|| Offset(offset.0.slice(9..)));
        Place { batch, rows: u64::from_le_bytes(*rows) as usize }
    }
}

struct Drip {
    files: Box<dyn Reader>,
    tap: Arc<Tap>,
    places: HashMap<SplitId, Place>,
    /// Read, and not given out yet.
    pieces: VecDeque<SplitBatch>,
    due: Instant,
}

#[async_trait]
impl Reader for Drip {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        while self.pieces.is_empty() {
            let Some(batch) = self.files.next().await? else {
                sleep_until(self.due).await;
                return if self.tap.take() { Ok(None) } else { std::future::pending().await };
            };
            self.cut(batch);
        }
        sleep_until(self.due).await;
        if !self.tap.take() {
            std::future::pending::<()>().await;
        }
        self.due = self.tap.pause();
        Ok(self.pieces.pop_front())
    }

    fn backlog(&self) -> Option<watch::Receiver<bool>> {
        self.files.backlog()
    }
}

impl Drip {
    /// Into pieces of one to three rows, without those that were given out before the job was killed.
    fn cut(&mut self, batch: SplitBatch) {
        let place = self.places.entry(batch.split.clone()).or_default();
        let rows = batch.rows.rows().num_rows();
        while place.rows < rows {
            let length = self.tap.random(|random| random.random_range(1..=3)).min(rows - place.rows);
            let piece = batch.rows.slice(place.rows, length);
            place.rows += length;
            self.pieces.push_back(SplitBatch {
                split: batch.split.clone(),
                rows: piece,
                resume_at: place.encode(),
                skipped: None,
                ended: false,
            });
        }
        *place = Place { batch: Some(batch.resume_at.clone()), rows: 0 };
        let (resume_at, none) = (place.encode(), batch.rows.slice(0, 0));
        self.pieces.push_back(SplitBatch { rows: none, resume_at, ..batch });
    }
}
