//! A connection that knows a few answers by heart, to try the command line and the shell without an engine.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use tidemill_exec::{ChangeBatch, Error, Result, RowKind};
use tidemill_planner::dialect::ParsedStatement;
use tokio::sync::mpsc::{self, Sender};

use super::{Connection, Names, News, Report};
use crate::session::{Event, Outcome, Query};

#[derive(Default)]
pub struct Canned {
    /// Every statement executed, as it came.
    pub executed: Vec<String>,
    settings: BTreeMap<String, String>,
    reports: VecDeque<Report>,
}

impl Connection for Canned {
    async fn execute(&mut self, statement: &ParsedStatement) -> Result<Outcome> {
        let (place, statement) = (statement.place, statement.text.as_str());
        self.executed.push(statement.to_string());
        let rows = |rows: &[(&str, i64)]| Event::Changes(ChangeBatch::inserts(batch(rows)));
        let counts = || {
            let kinds = vec![RowKind::Insert, RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter];
            let rows = batch(&[("tide", 1), ("mill", 1), ("tide", 1), ("tide", 2)]);
            Event::Changes(ChangeBatch { rows, kinds: Some(kinds) })
        };
        Ok(match statement {
            "SELECT 1" => query(Kind::Batch, vec![Ok(rows(&[("one", 1)]))]),
            "SELECT * FROM endless" => {
                query(Kind::Endless { append_only: true }, vec![Ok(rows(&[("a", 1), ("b", 2)]))])
            }
            "SELECT counts" => query(Kind::Stream, vec![Ok(counts()), Ok(Event::Epoch)]),
            "SELECT endless counts" => {
                query(Kind::Endless { append_only: false }, vec![Ok(counts()), Ok(Event::Epoch)])
            }
            "SELECT broken" => {
                let error = Error::new("cannot decode a record").why("it is cut off");
                query(Kind::Batch, vec![Ok(rows(&[("one", 1)])), Err(error)])
            }
            "SELECT clock" => clock(),
            "SHOW TABLES" => Outcome::Rows(batch(&[("orders", 1)])),
            "EXPLAIN SELECT 1" => Outcome::Text("a plan\n".to_string()),
            "QUIT" => Outcome::Quit,
            _ if statement.starts_with("CREATE") => Outcome::Done("table created".to_string()),
            _ if statement.starts_with("INSERT INTO broken") => {
                self.report("1", News::Failed(Error::new("the disk is full")));
                Outcome::Job { id: "1".to_string(), name: "insert into broken".to_string() }
            }
            _ if statement.starts_with("INSERT") => {
                self.report("1", News::Note("2 records skipped".to_string()));
                self.report("1", News::Finished("12 rows written".to_string()));
                Outcome::Job { id: "1".to_string(), name: "insert into sink".to_string() }
            }
            _ => match statement.strip_prefix("SET ").and_then(|pair| pair.split_once(" = ")) {
                Some((key, value)) => {
                    self.settings.insert(key.trim_matches('\'').to_string(), value.trim_matches('\'').to_string());
                    Outcome::Done("set".to_string())
                }
                None => {
                    return Err(Error::new("nobody knows the answer").fix("ask another question").at(place));
                }
            },
        })
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name).cloned()
    }

    async fn next_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }
}

impl Canned {
    fn report(&mut self, job: &str, news: News) {
        self.reports.push_back(Report { job: job.to_string(), news });
    }
}

impl Names for Canned {
    fn tables(&self) -> Vec<String> {
        vec!["orders".to_string(), "order lines".to_string(), "users".to_string()]
    }

    fn columns(&self, table: &str) -> Vec<String> {
        let columns: &[&str] = match table {
            "orders" => &["id", "amount", "user_id"],
            "users" => &["id", "name"],
            _ => &[],
        };
        columns.iter().map(|column| column.to_string()).collect()
    }

    fn functions(&self) -> Vec<String> {
        vec!["COUNT".to_string(), "COALESCE".to_string()]
    }

    fn settings(&self) -> Vec<String> {
        vec!["parallelism.default".to_string(), crate::show::RESULT_MODE.to_string()]
    }

    fn options(&self) -> Vec<String> {
        vec!["connector".to_string(), "path".to_string(), "format".to_string()]
    }
}

enum Kind {
    Batch,
    /// A bounded stream.
    Stream,
    Endless {
        append_only: bool,
    },
}

fn batch(rows: &[(&str, i64)]) -> RecordBatch {
    let words: StringArray = rows.iter().map(|(word, _)| Some(*word)).collect();
    let numbers: Int64Array = rows.iter().map(|(_, n)| Some(*n)).collect();
    RecordBatch::try_from_iter([("word", Arc::new(words) as ArrayRef), ("n", Arc::new(numbers) as ArrayRef)])
        .expect("two columns of one length")
}

/// A query that has these events; if it is endless, nothing more ever comes.
fn query(kind: Kind, events: Vec<Result<Event>>) -> Outcome {
    let (sender, receiver) = mpsc::channel(events.len());
    for event in events {
        sender.try_send(event).expect("the channel has room for all events");
    }
    let schema = batch(&[]).schema();
    let (append_only, bounded, batch) = match kind {
        Kind::Batch => (true, true, true),
        Kind::Stream => (false, true, false),
        Kind::Endless { append_only } => (append_only, false, false),
    };
    if !bounded {
        tokio::spawn(async move { sender.closed().await });
    }
    Outcome::Query(Query::new(schema, append_only, None, bounded, batch, receiver))
}

/// Counts ticks by the clock; only for trying the live table by hand.
fn clock() -> Outcome {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(tick(sender));
    Outcome::Query(Query::new(batch(&[]).schema(), false, None, false, false, receiver))
}

async fn tick(sender: Sender<Result<Event>>) {
    let words: Vec<String> = (0..40).map(|n| format!("word {n}")).collect();
    for turn in 0.. {
        for word in &words[..words.len().min(turn as usize / 10 + 1)] {
            let (kinds, rows) = match turn {
                0 => (vec![RowKind::Insert], batch(&[(word, 1)])),
                _ => (vec![RowKind::UpdateBefore, RowKind::UpdateAfter], batch(&[(word, turn), (word, turn + 1)])),
            };
            if sender.send(Ok(Event::Changes(ChangeBatch { rows, kinds: Some(kinds) }))).await.is_err() {
                return;
            }
        }
        let _ = sender.send(Ok(Event::Epoch)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
