//! A running query as its reader sees it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tidemill_exec::batch::Notes;
use tidemill_exec::{ChangeBatch, Changes, Job, JobEvent, Result, catch_panic};
use tidemill_planner::stream::Props;
use tokio::sync::mpsc;

/// A running query, its rows arriving as they are found. Dropping it cancels it.
pub struct Query {
    pub schema: SchemaRef,
    /// Rows only appear, never change.
    pub append_only: bool,
    /// The columns that identify a row of an updating result, if known.
    pub key: Option<Vec<usize>>,
    /// It ends by itself.
    pub bounded: bool,
    /// It runs in batch mode: no `op` column.
    pub batch: bool,
    changes: mpsc::Receiver<Result<Event>>,
}

/// What a running query reports.
#[derive(Debug)]
pub enum Event {
    Changes(ChangeBatch),
    /// The changes so far are the answer over a prefix of the input: a good moment to redraw.
    Epoch,
    /// Something the user should see on stderr: skipped records, a reconnect.
    Note(String),
}

impl Query {
    /// A query whose events come from `changes`.
    pub fn new(
        schema: SchemaRef,
        append_only: bool,
        key: Option<Vec<usize>>,
        bounded: bool,
        batch: bool,
        changes: mpsc::Receiver<Result<Event>>,
    ) -> Query {
        Query { schema, append_only, key, bounded, batch, changes }
    }

    /// The next event, or `None` when the query has finished. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        self.changes.recv().await.transpose()
    }
}

/// How many events may wait for a slow reader.
pub(super) const EVENTS: usize = 16;

/// A query that a DataFusion plan answers.
pub(super) fn of_batch(mut rows: SendableRecordBatchStream, mut notes: mpsc::UnboundedReceiver<String>) -> Query {
    let schema = rows.schema();
    let (events, changes) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                biased;
                Some(note) = notes.recv() => Ok(Event::Note(note)),
                () = events.closed() => return,
                next = catch_panic(rows.next()) => match next {
                    Ok(Some(Ok(rows))) => Ok(Event::Changes(ChangeBatch::inserts(rows))),
                    Ok(Some(Err(error))) => Err(error.into()),
                    Ok(None) => break,
                    Err(panic) => Err(panic),
                },
            };
            let failed = event.is_err();
            if events.send(event).await.is_err() || failed {
                return;
            }
        }
        while let Ok(note) = notes.try_recv() {
            if events.send(Ok(Event::Note(note))).await.is_err() {
                return;
            }
        }
    });
    Query { schema, append_only: true, key: None, bounded: true, batch: true, changes }
}

/// A query that a job answers through a collecting sink.
pub(super) fn of_stream(
    props: Props,
    (events, changes): (mpsc::Sender<Result<Event>>, mpsc::Receiver<Result<Event>>),
    mut job: Job,
) -> Query {
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = job.event() => event,
                () = events.closed() => return, // Nobody reads any more; dropping the job cancels it.
            };
            let sent = match event {
                Some(JobEvent::Note(note)) => events.send(Ok(Event::Note(note))).await,
                Some(JobEvent::Epoch(_) | JobEvent::CaughtUp | JobEvent::Checkpoint(_)) => Ok(()),
                Some(JobEvent::Failed(error)) => events.send(Err(error)).await,
                Some(JobEvent::Finished) | None => return,
            };
            if sent.is_err() {
                return;
            }
        }
    });
    let key = match &props.changes {
        Changes::Append => None,
        Changes::Retract { key } => key.clone(),
    };
    Query {
        schema: props.schema,
        append_only: props.changes.is_append(),
        key,
        bounded: props.bounded,
        batch: false,
        changes,
    }
}

/// Where batch scans tell of skipped records, and where that is heard.
pub(super) fn notes() -> (Notes, mpsc::UnboundedReceiver<String>) {
    let (notes, heard) = mpsc::unbounded_channel();
    let tell: Notes = Arc::new(move |note| {
        let _ = notes.send(note); // The query may be over already.
    });
    (tell, heard)
}

/// `1 row`, `2 rows`
pub(super) fn rows(count: u64) -> String {
    format!("{count} {}", if count == 1 { "row" } else { "rows" })
}
