//! Event time of one source task: read off the rows of each split, merged by the minimum over splits. Reads no clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion_physical_expr::PhysicalExpr;
use tidemill_state::EventTime;
use tidemill_state::checkpoint::SplitState;
use tokio::time::Instant;

use super::lateness::Lateness;
use crate::connect::SplitId;
use crate::error::{Error, Result};
use crate::graph::WatermarkStrategy;
use crate::message::{Batch, Mark};
use crate::progress::{SourceTime, SplitTime};

/// A split that has ended or fallen silent does not hold the others back. The merged watermark never goes back.
pub struct Watermarks {
    strategy: WatermarkStrategy,
    splits: BTreeMap<SplitId, Split>,
    /// The last watermark sent.
    sent: EventTime,
    /// The last thing said is that this task is idle.
    idle: bool,
    /// When rows last came, or the task began.
    active: Instant,
}

struct Split {
    watermark: EventTime,
    active: Instant,
    idle: bool,
    ended: bool,
    lateness: Option<Lateness>,
}

/// Rows with their marks. If a row has no event time, the rows before it, and what is wrong with it.
pub struct Observed {
    pub rows: Batch,
    pub failure: Option<Error>,
}

/// What a task says of time when no rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeNews {
    Watermark(EventTime),
    Idle,
}

impl Watermarks {
    /// `idle`: begins without anything to read, and does not hold time back until it has.
    pub fn new(strategy: WatermarkStrategy, idle: bool, now: Instant) -> Watermarks {
        Watermarks { strategy, splits: BTreeMap::new(), sent: EventTime::MIN, idle, active: now }
    }

    /// Goes on where a split was when a checkpoint was taken.
    pub fn restore(&mut self, split: &SplitId, state: &SplitState, now: Instant) {
        if let Some(sent) = state.sent.map(EventTime) {
            // Of several tasks' watermarks the least is what all of them had reached.
            self.sent = if self.sent == EventTime::MIN { sent } else { self.sent.min(sent) };
        }
        if let Some(watermark) = state.watermark.map(EventTime) {
            let lateness = self.strategy.share_in_time.map(Lateness::new);
            let split_state = Split { watermark, active: now, idle: false, ended: state.ended, lateness };
            self.splits.insert(split.clone(), split_state);
        }
    }

    /// How far a split has come.
    pub fn of_split(&self, split: &SplitId) -> Option<EventTime> {
        self.splits.get(split).map(|split| split.watermark)
    }

    /// It has said that it does not hold time back, or began so.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// The last watermark sent, if there was one.
    pub fn sent(&self) -> Option<EventTime> {
        (self.sent > EventTime::MIN).then_some(self.sent)
    }

    /// Marks in the rows of a split where the watermark rises behind them. `ended`: no more rows come from it.
    pub fn observe(&mut self, split: &SplitId, rows: Batch, ended: bool, now: Instant) -> Result<Observed> {
        let millis = |expression: &dyn PhysicalExpr, over: &RecordBatch| {
            let millis = expression.evaluate(over)?.into_array(over.num_rows())?;
            Ok::<Int64Array, Error>(millis.as_primitive::<Int64Type>().clone())
        };
        let over = match &self.strategy.over {
            None => rows.rows().clone(),
            Some(over) => over.columns(rows.rows())?,
        };
        let times = millis(self.strategy.time.as_ref(), &over)?;
        // Of a row that goes, only the key may be known.
        let is_missing = |row: &usize| times.is_null(*row) && rows.weight(*row) > 0;
        let timed = match times.null_count() {
            0 => times.len(),
            _ => (0..times.len()).find(is_missing).unwrap_or(times.len()),
        };
        let candidates = match self.strategy.share_in_time {
            None => {
                let over = match &self.strategy.over {
                    None => over,
                    Some(with_time) => with_time.with_time(&over, Arc::new(times.clone()))?,
                };
                Some(millis(self.strategy.expression.as_ref(), &over)?)
            }
            Some(_) => None,
        };
        let live = self.splits.iter().filter(|(id, other)| *id != split && !other.ended && !other.idle);
        let others = live.map(|(_, other)| other.watermark).min().unwrap_or(EventTime::MAX);
        let share = self.strategy.share_in_time;
        let of_split = self.splits.entry(split.clone()).or_insert_with(|| Split {
            watermark: EventTime::MIN,
            active: now,
            idle: false,
            ended: false,
            lateness: share.map(Lateness::new),
        });
        (of_split.active, of_split.idle, of_split.ended) = (now, false, ended);
        (self.active, self.idle) = (now, false);

        let mut marks = Vec::new();
        for row in 0..timed {
            let candidate = match (&candidates, &mut of_split.lateness) {
                (Some(candidates), _) => candidates.is_valid(row).then(|| candidates.value(row)),
                (None, Some(lateness)) if times.is_valid(row) => lateness.watermark_after(times.value(row)),
                (None, _) => None,
            };
            let Some(candidate) = candidate else { continue };
            of_split.watermark = of_split.watermark.max(EventTime(candidate));
            let merged = of_split.watermark.min(others);
            if merged.0.saturating_sub(self.sent.0) > self.strategy.interval {
                self.sent = merged;
                marks.push(Mark { row: row + 1, time: merged });
            }
        }
        let failure = (timed < rows.len()).then(|| self.no_time());
        let rows = rows.slice(0, timed).with_marks(marks);
        Ok(Observed { rows, failure })
    }

    /// The watermark not sent yet because it has risen by little.
    pub fn flush(&mut self) -> Option<EventTime> {
        let merged = self.merged()?;
        (merged > self.sent).then(|| {
            self.sent = merged;
            merged
        })
    }

    /// The minimum over the splits that hold time back.
    fn merged(&self) -> Option<EventTime> {
        self.splits.values().filter(|split| !split.ended && !split.idle).map(|split| split.watermark).min()
    }

    /// When [`tick`](Self::tick) may have something to say.
    pub fn due(&self) -> Option<Instant> {
        let timeout = self.strategy.idle_timeout?;
        let active = self.splits.values().filter(|split| !split.idle && !split.ended).map(|split| split.active);
        let task = (!self.idle).then_some(self.active);
        active.chain(task).min().map(|since| since + timeout)
    }

    /// Splits that have given nothing for the idle timeout no longer hold time back.
    pub fn tick(&mut self, now: Instant) -> Option<TimeNews> {
        let timeout = self.strategy.idle_timeout?;
        let silent = |since: Instant| now.saturating_duration_since(since) >= timeout && timeout > Duration::ZERO;
        for split in self.splits.values_mut().filter(|split| !split.ended) {
            split.idle |= silent(split.active);
        }
        if let Some(time) = self.flush() {
            return Some(TimeNews::Watermark(time));
        }
        let all_idle = self.splits.values().all(|split| split.idle || split.ended);
        if !self.idle && all_idle && silent(self.active) {
            self.idle = true;
            return Some(TimeNews::Idle);
        }
        None
    }

    /// The watermark there would be if it were sent now; `None` while nobody knows, or all are idle.
    pub fn reached(&self) -> Option<EventTime> {
        self.merged().map(|merged| merged.max(self.sent)).filter(|reached| *reached > EventTime::MIN)
    }

    /// Where the task and its splits stand.
    pub fn time(&self, table: &str) -> SourceTime {
        let running = self.splits.iter().filter(|(_, split)| !split.ended);
        let time = |(id, split): (&SplitId, &Split)| SplitTime {
            split: id.clone(),
            watermark: split.watermark,
            active: split.active,
            idle: split.idle,
        };
        let (table, splits) = (table.to_string(), running.map(time).collect());
        SourceTime { table, timed: true, splits, active: self.active, idle: self.idle }
    }

    fn no_time(&self) -> Error {
        let column = &self.strategy.column;
        Error::new(format!("a row has no event time: column {column} is null"))
            .why("the watermark follows this column, so such a row belongs nowhere in time")
            .fix(format!(
                "make {column} a computed column that is never null, such as one with COALESCE, or leave such rows out before they are read"
            ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::RecordBatch;
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion_physical_expr::expressions::Column;

    use super::*;

    fn strategy(interval: i64, idle: Option<Duration>) -> WatermarkStrategy {
        let time = || Arc::new(Column::new("t", 0)) as Arc<dyn datafusion_physical_expr::PhysicalExpr>;
        WatermarkStrategy { interval, idle_timeout: idle, ..WatermarkStrategy::new("t", "t", time(), time()) }
    }

    fn times(times: &[Option<i64>]) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Int64, true)]));
        let column = Arc::new(Int64Array::from(times.to_vec()));
        Batch::append(RecordBatch::try_new(schema, vec![column]).expect("one column"))
    }

    fn observe(watermarks: &mut Watermarks, split: &str, rows: &[i64], now: Instant) -> Vec<(usize, i64)> {
        let rows = times(&rows.iter().copied().map(Some).collect::<Vec<_>>());
        let observed = watermarks.observe(&SplitId::new(split), rows, false, now).expect("rows with times");
        observed.rows.marks().iter().map(|mark| (mark.row, mark.time.0)).collect()
    }

    #[test]
    fn a_mark_stands_behind_the_row_that_raises_time_by_more_than_the_interval() {
        let now = Instant::now();
        let mut watermarks = Watermarks::new(strategy(200, None), false, now);
        assert_eq!(observe(&mut watermarks, "a", &[1000, 1200, 1100, 1201, 1300], now), [(1, 1000), (4, 1201)]);
        assert_eq!(watermarks.flush(), Some(EventTime(1300)));
        assert_eq!(watermarks.flush(), None);
        let mut each = Watermarks::new(strategy(0, None), false, now);
        assert_eq!(observe(&mut each, "a", &[1, 3, 2, 3, 4], now), [(1, 1), (2, 3), (5, 4)]);
    }

    #[test]
    fn an_idle_split_beside_a_busy_one_holds_time_back_until_its_timeout() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let mut watermarks = Watermarks::new(strategy(0, Some(10 * second)), false, begin);
        assert_eq!(observe(&mut watermarks, "a", &[10], begin), [(1, 10)]);
        assert_eq!(observe(&mut watermarks, "b", &[5], begin), []);
        assert_eq!(observe(&mut watermarks, "a", &[20], begin + 9 * second), []);
        assert_eq!(watermarks.due(), Some(begin + 10 * second));
        assert_eq!(watermarks.tick(begin + 10 * second), Some(TimeNews::Watermark(EventTime(20))));
        assert_eq!(watermarks.tick(begin + 11 * second), None);
        assert_eq!(watermarks.tick(begin + 19 * second), Some(TimeNews::Idle));
        assert_eq!(watermarks.due(), None);
        // The idle one comes back behind: time stays where it is.
        assert_eq!(observe(&mut watermarks, "b", &[6, 30], begin + 20 * second), [(2, 30)]);
    }

    #[test]
    fn a_split_that_ends_beside_one_that_does_not_leaves_the_minimum() {
        let now = Instant::now();
        let mut watermarks = Watermarks::new(strategy(0, None), false, now);
        observe(&mut watermarks, "a", &[10], now);
        observe(&mut watermarks, "b", &[50], now);
        watermarks.observe(&SplitId::new("a"), times(&[]), true, now).expect("no rows");
        assert_eq!(watermarks.flush(), Some(EventTime(50)));
    }

    #[test]
    fn a_row_without_time_fails_behind_the_rows_before_it() {
        let now = Instant::now();
        let mut watermarks = Watermarks::new(strategy(0, None), false, now);
        let observed = watermarks.observe(&SplitId::new("a"), times(&[Some(1), None, Some(3)]), false, now);
        let observed = observed.expect("the expression can be evaluated");
        assert_eq!(observed.rows.len(), 1);
        assert!(observed.failure.is_some());
    }
}
