//! What a job has to say of time while it runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::progress::Waiting;
use crate::runtime::Metrics;

/// How long nothing must have come out, and the watermark not moved, before the user is told why.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tells the user what would otherwise be silent: late rows, and why no window closes.
pub struct TimeNews {
    metrics: Arc<Metrics>,
    late_told: u64,
    /// What was seen at the last look: rows written, and what waits.
    seen: (u64, Option<Waiting>),
    since: Instant,
    told: bool,
}

impl TimeNews {
    pub fn new(metrics: Arc<Metrics>) -> TimeNews {
        TimeNews { metrics, late_told: 0, seen: (0, None), since: Instant::now(), told: false }
    }

    pub fn look(&mut self, now: Instant) -> Vec<String> {
        let mut notes = self.late_rows();
        let seen = (self.metrics.rows_written.load(Ordering::Relaxed), self.metrics.progress.waiting());
        if seen != self.seen {
            (self.seen, self.since, self.told) = (seen, now, false);
        } else if !self.told && now.saturating_duration_since(self.since) >= PATIENCE {
            self.told = true;
            notes.extend(self.metrics.progress.explain(now));
        }
        notes
    }

    /// Rows dropped since the last call.
    pub fn late_rows(&mut self) -> Vec<String> {
        let late = self.metrics.progress.late_rows();
        let new = late - std::mem::replace(&mut self.late_told, late);
        let what = match new {
            0 => return vec![],
            1 => "1 row came too late and was left out".to_string(),
            _ => format!("{new} rows came too late and were left out"),
        };
        vec![format!("{what}; SELECT * FROM late('the query') shows those that were for windows")]
    }
}
