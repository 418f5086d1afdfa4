//! How far a job has come in time, in words: which window waits for which watermark, and which source holds it back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::datatypes::TimeUnit;
use tidemill_state::EventTime;
use tokio::time::Instant;

use crate::connect::SplitId;
use crate::coordinator::TaskId;
use crate::text::{Digits, push_timestamp};
use crate::window::Window;

/// What the tasks of a job last said of time.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    sources: BTreeMap<TaskId, SourceTime>,
    operators: BTreeMap<TaskId, OperatorTime>,
    /// Of tasks that have ended.
    late_rows: u64,
}

/// Where a source task stands.
#[derive(Clone, Debug)]
pub struct SourceTime {
    pub table: String,
    /// The table has a watermark.
    pub timed: bool,
    pub splits: Vec<SplitTime>,
    /// When its last row came, or it began.
    pub active: Instant,
    pub idle: bool,
}

/// Where a split stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitTime {
    pub split: SplitId,
    pub watermark: EventTime,
    /// When its last row came.
    pub active: Instant,
    pub idle: bool,
}

/// What the operators of a task wait for, and have dropped.
#[derive(Clone, Debug, Default)]
pub struct OperatorTime {
    pub waiting: Option<Waiting>,
    pub late_rows: u64,
}

/// Rows held back until time has come further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub operator: &'static str,
    /// That they are in, if it is by windows that they wait.
    pub window: Option<Window>,
    /// The watermark that closes it, or lets them go.
    pub closes: EventTime,
    /// The watermark there is.
    pub watermark: EventTime,
}

impl Progress {
    pub fn source(&self, task: TaskId, time: SourceTime) {
        self.tasks().sources.insert(task, time);
    }

    pub fn operators(&self, task: TaskId, time: OperatorTime) {
        self.tasks().operators.insert(task, time);
    }

    /// A task that has ended holds nothing back.
    pub fn ended(&self, task: TaskId) {
        let mut tasks = self.tasks();
        tasks.sources.remove(&task);
        let late = tasks.operators.remove(&task).map_or(0, |time| time.late_rows);
        tasks.late_rows += late;
    }

    /// Rows dropped because they came too late, by all operators.
    pub fn late_rows(&self) -> u64 {
        let tasks = self.tasks();
        tasks.late_rows + tasks.operators.values().map(|time| time.late_rows).sum::<u64>()
    }

    /// The window that is to close first, of those that wait.
    pub fn waiting(&self) -> Option<Waiting> {
        let tasks = self.tasks();
        tasks.operators.values().filter_map(|time| time.waiting).min_by_key(|waiting| waiting.closes)
    }

    /// Why no window closes, if one waits.
    pub fn explain(&self, now: Instant) -> Option<String> {
        let waiting = self.waiting()?;
        let tasks = self.tasks();
        let (operator, closes) = (waiting.operator, moment(waiting.closes.0));
        let mut text = match waiting.window {
            Some(Window { start, end }) => format!(
                "no result yet: {operator} has rows for the window from {} to {}, which closes when the watermark reaches {closes}",
                moment(start),
                moment(end)
            ),
            None => format!("no result yet: {operator} holds rows back until the watermark reaches {closes}"),
        };
        text.push_str(&match waiting.watermark {
            EventTime::MIN => "\n  there is no watermark yet".to_string(),
            EventTime(time) => format!("\n  the watermark stands at {}", moment(time)),
        });
        let mut silent = false;
        for held in tasks.sources.values().filter(|source| source.timed && !source.idle) {
            let behind = held.splits.iter().filter(|split| !split.idle && split.watermark < waiting.closes);
            for split in behind {
                let ago = now.saturating_duration_since(split.active);
                silent |= ago > Duration::from_secs(1);
                let at = match split.watermark {
                    EventTime::MIN => "gave no watermark yet".to_string(),
                    EventTime(time) => format!("is at {}", moment(time)),
                };
                text.push_str(&format!(
                    "\n  table {}, {}: {at}, its last row came {} ago",
                    held.table,
                    split.split,
                    length(ago)
                ));
            }
            if held.splits.is_empty() {
                silent = true;
                let ago = length(now.saturating_duration_since(held.active));
                text.push_str(&format!("\n  table {}: not one row in {ago}", held.table));
            }
        }
        let idle: Vec<&str> = tasks
            .sources
            .values()
            .filter(|source| source.timed && source.idle)
            .map(|source| source.table.as_str())
            .collect();
        if !idle.is_empty() {
            text.push_str(&format!("\n  idle, so not waited for: {}", idle.join(", ")));
        }
        if silent {
            text.push_str(
                "\n  fix: rows with later times move it on; to go on without what is silent, SET 'table.exec.source.idle-timeout' = '10 s'",
            );
        }
        Some(text)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time in milliseconds, as it is written.
pub(crate) fn moment(millis: i64) -> String {
    let mut text = String::new();
    push_timestamp(&mut text, millis, TimeUnit::Millisecond, ' ', Digits::of(TimeUnit::Millisecond));
    text.strip_suffix(".000").map(str::to_string).unwrap_or(text)
}

/// `400 ms`, `40 s`, `3 min`
fn length(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_stuck_watermark_is_explained() {
        let now = Instant::now() + Duration::from_secs(60);
        let ago = |seconds| now - Duration::from_secs(seconds);
        let progress = Progress::default();
        assert_eq!(progress.explain(now), None);
        let split =
            |name: &str, watermark, active| SplitTime { split: SplitId::new(name), watermark, active, idle: false };
        let busy = vec![split("a.csv", EventTime(60_000), ago(0)), split("b.csv", EventTime(3_000), ago(40))];
        let source = |table: &str, splits| SourceTime {
            table: table.to_string(),
            timed: true,
            splits,
            active: ago(50),
            idle: false,
        };
        progress.source(TaskId(0), source("bids", busy));
        progress.source(TaskId(1), source("people", vec![]));
        progress.source(TaskId(3), SourceTime { idle: true, ..source("lazy", vec![]) });
        let waiting = Waiting {
            operator: "window-aggregate",
            window: Some(Window { start: 0, end: 10_000 }),
            closes: EventTime(9_999),
            watermark: EventTime::MIN,
        };
        progress.operators(TaskId(2), OperatorTime { waiting: Some(waiting), late_rows: 2 });
        expect![[r#"
            no result yet: window-aggregate has rows for the window from 1970-01-01 00:00:00 to 1970-01-01 00:00:10, which closes when the watermark reaches 1970-01-01 00:00:09.999
              there is no watermark yet
              table bids, b.csv: is at 1970-01-01 00:00:03, its last row came 40 s ago
              table people: not one row in 50 s
              idle, so not waited for: lazy
              fix: rows with later times move it on; to go on without what is silent, SET 'table.exec.source.idle-timeout' = '10 s'"#]]
        .assert_eq(&progress.explain(now).unwrap_or_default());
        progress.ended(TaskId(2));
        assert_eq!((progress.explain(now), progress.late_rows()), (None, 2));
    }
}
