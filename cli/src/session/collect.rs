//! The sink behind a SELECT: hands its rows to whoever reads the query.

use async_trait::async_trait;
use tidemill_exec::connect::{Guarantee, Sink, Writer};
use tidemill_exec::{ChangeBatch, Error, Result, ShardContext};
use tidemill_state::Epoch;
use tokio::sync::mpsc;

use super::query::{EVENTS, Event};

type Events = mpsc::Sender<Result<Event>>;

#[derive(Debug)]
pub struct Collect {
    events: Events,
}

/// A sink, and both ends of the channel it writes to.
pub fn collect() -> (Collect, (Events, mpsc::Receiver<Result<Event>>)) {
    let (events, changes) = mpsc::channel(EVENTS);
    (Collect { events: events.clone() }, (events, changes))
}

#[async_trait]
impl Sink for Collect {
    fn accepts_updates(&self) -> bool {
        true
    }

    fn max_parallelism(&self) -> Option<u16> {
        Some(1)
    }

    fn guarantee(&self) -> Option<Guarantee> {
        None
    }

    async fn open(&self, _: &ShardContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Collecting { events: self.events.clone() }))
    }
}

struct Collecting {
    events: Events,
}

impl Collecting {
    async fn send(&self, event: Event) -> Result<()> {
        self.events.send(Ok(event)).await.map_err(|_| Error::new("nobody reads the result any more"))
    }
}

#[async_trait]
impl Writer for Collecting {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        self.send(Event::Changes(changes)).await
    }

    async fn flush(&mut self, _: Epoch) -> Result<()> {
        self.send(Event::Epoch).await
    }

    async fn finish(&mut self) -> Result<()> {
        self.send(Event::Epoch).await
    }
}
