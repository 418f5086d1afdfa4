//! Runs a script and keeps what every statement gave.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use tidemill::{Event, Outcome, Query, Session};
use tidemill_exec::connect::Registry;
use tidemill_exec::connectors::Print;
use tidemill_exec::text::{ColumnText, TextStyle, Zone};
use tidemill_exec::{ChangeBatch, Error, Result, RowKind};
use tidemill_planner::dialect;

/// How a script is run.
#[derive(Clone, Default)]
pub struct Run {
    /// Settings in force before its first statement.
    pub settings: Vec<(String, String)>,
    /// Goes on after a statement that fails.
    pub goes_on: bool,
    /// Reads an endless query for so long, and then cancels it.
    pub timeout: Option<Duration>,
}

/// What a script gave.
#[derive(Default)]
pub struct Transcript {
    pub statements: Vec<Ran>,
    /// The lines of the print connector, in their order.
    pub printed: Vec<String>,
}

/// A statement and what it gave.
pub struct Ran {
    /// Empty if the statement cannot even be parsed.
    pub text: String,
    pub gave: Gave,
}

pub enum Gave {
    Nothing,
    /// SHOW, DESCRIBE: column names, then rows.
    Table(Vec<Vec<String>>),
    /// EXPLAIN, SHOW CREATE.
    Text(String),
    Changes(Vec<Change>),
    Failed(Error),
}

/// One change of a query's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: RowKind,
    /// As the print connector writes it, without the kind: `a, 1`.
    pub print: String,
    /// As the SQL client writes it, the columns apart by tabs.
    pub client: String,
}

/// A query that is neither endless nor told to be gives all its rows within this time, or does not make progress.
const PATIENCE: Duration = Duration::from_secs(120);

impl Run {
    /// # Errors
    /// A setting that does not exist. What statements do wrong is part of the transcript.
    pub async fn script(&self, script: &str) -> Result<Transcript> {
        self.script_with(script, Registry::default()).await
    }

    /// With other connectors beside the built-in ones.
    ///
    /// # Errors
    /// As [`script`](Self::script).
    pub async fn script_with(&self, script: &str, mut registry: Registry) -> Result<Transcript> {
        let printed = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&printed);
        registry.add_connector(Arc::new(Print::to(Arc::new(move |bytes| {
            let mut printed = copy.lock().expect("nobody panics while appending");
            printed.push_str(&String::from_utf8_lossy(bytes));
            Ok(())
        }))));
        let mut session = Session::with_registry(self.settings.clone(), registry)?;
        let mut transcript = Transcript::default();
        for statement in dialect::statements(script, &|_| None) {
            let (text, gave) = match statement {
                Ok(statement) => (statement.text.clone(), self.statement(&mut session, &statement).await),
                Err(error) => (String::new(), Err(error)),
            };
            let failed = gave.is_err();
            transcript.statements.push(Ran { text, gave: gave.unwrap_or_else(Gave::Failed) });
            if failed && !self.goes_on {
                break;
            }
        }
        let printed = printed.lock().expect("nobody panics while appending");
        transcript.printed = printed.lines().map(str::to_string).collect();
        Ok(transcript)
    }

    async fn statement(&self, session: &mut Session, statement: &dialect::ParsedStatement) -> Result<Gave> {
        let patience = self.timeout.unwrap_or(PATIENCE);
        let outcome = tokio::time::timeout(patience, session.execute(statement)).await;
        let outcome = outcome.map_err(|_| Error::new("the statement did not end"))??;
        Ok(match outcome {
            Outcome::Done(_) | Outcome::Job { .. } | Outcome::Quit => Gave::Nothing,
            Outcome::Text(text) => Gave::Text(text),
            Outcome::Rows(rows) => Gave::Table(table(&rows)),
            Outcome::Query(query) => Gave::Changes(self.changes(query, session.settings().time_zone()).await?),
        })
    }

    async fn changes(&self, mut query: Query, zone: &str) -> Result<Vec<Change>> {
        let mut found = Vec::new();
        let read = tokio::time::timeout(self.timeout.unwrap_or(PATIENCE), async {
            while let Some(event) = query.next().await? {
                if let Event::Changes(batch) = event {
                    push_changes(&batch, zone, &mut found);
                }
            }
            Result::<()>::Ok(())
        });
        match read.await {
            Ok(ended) => ended?,
            Err(_) if self.timeout.is_some() => {}
            Err(_) => return Err(Error::new("the query did not end")),
        }
        Ok(found)
    }
}

/// Appends the changes of a batch, as texts.
pub fn push_changes(batch: &ChangeBatch, zone: &str, out: &mut Vec<Change>) {
    let zone = Zone::parse(zone).expect("the session checks its time zone");
    let rows = &batch.rows;
    let texts = |style| rows.columns().iter().map(|column| ColumnText::new(column, style)).collect::<Vec<_>>();
    let (print, client) = (texts(TextStyle::Print), texts(TextStyle::Client(zone)));
    for row in 0..rows.num_rows() {
        let joined = |columns: &[ColumnText], between: &str| {
            columns.iter().map(|column| column.text(row)).collect::<Vec<_>>().join(between)
        };
        out.push(Change { kind: batch.kind(row), print: joined(&print, ", "), client: joined(&client, "\t") });
    }
}

/// The rows that remain, sorted.
pub fn folded(changes: impl Iterator<Item = (bool, String)>) -> Vec<String> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    changes.for_each(|(appears, row)| *counts.entry(row).or_default() += if appears { 1 } else { -1 });
    let repeated = |(row, count): (String, i64)| match count {
        0.. => vec![row; count as usize],
        _ => vec![format!("{row} (deleted {} times too often)", -count)],
    };
    counts.into_iter().flat_map(repeated).collect()
}

fn table(rows: &RecordBatch) -> Vec<Vec<String>> {
    let zone = Zone::parse("UTC").expect("UTC is a zone");
    let columns: Vec<_> =
        rows.columns().iter().map(|column| ColumnText::new(column, TextStyle::Client(zone))).collect();
    let names = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let cells = (0..rows.num_rows()).map(|row| columns.iter().map(|column| column.text(row)).collect());
    std::iter::once(names).chain(cells).collect()
}
