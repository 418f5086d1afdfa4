//! A session: catalog, settings and running jobs; takes statements one by one.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_exec::{ChangeBatch, Result};
use tokio::sync::mpsc;

/// What one connection to the engine knows: its catalog, its settings, the jobs it started.
pub struct Session {}

/// What executing a statement gave.
pub enum Outcome {
    /// It is done; the text says what happened ("table created").
    Done(String),
    /// A small finished table: SHOW, DESCRIBE.
    Rows(RecordBatch),
    /// Text to print as it is: EXPLAIN, SHOW CREATE TABLE, HELP.
    Text(String),
    /// A query that is running.
    Query(Query),
    /// A job was started in the background.
    Job { id: String, name: String },
    /// QUIT
    Quit,
}

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

impl Session {
    /// A session with these settings in force.
    ///
    /// # Errors
    /// A setting that does not exist, or a value that is not of its kind.
    pub fn new(_settings: impl IntoIterator<Item = (String, String)>) -> Result<Session> {
        Ok(Session {})
    }

    /// Runs all statements of `script` that are complete... one at a time, in order.
    pub async fn execute(&mut self, _statement: &str) -> Result<Outcome> {
        Err(tidemill_exec::Error::new("sessions are being built"))
    }
}
