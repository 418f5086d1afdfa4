//! One line that shows a long query is alive, erased when there is something better to show.

use std::io::Write;
use std::time::{Duration, Instant};

use super::summary::Elapsed;

/// A wait shorter than this needs no explanation.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Progress {
    enabled: bool,
    started: Instant,
    drawn: bool,
}

impl Progress {
    pub fn new(enabled: bool, started: Instant) -> Progress {
        Progress { enabled, started, drawn: false }
    }

    /// Shows that `changes` were received until `now`.
    pub fn draw(&mut self, changes: u64, now: Instant, err: &mut dyn Write) {
        let elapsed = now.duration_since(self.started);
        if !self.enabled || elapsed < PATIENCE {
            return;
        }
        self.drawn = true;
        let rate = changes as f64 / elapsed.as_secs_f64();
        let rows = if changes == 0 { String::from("no rows yet") } else { format!("{changes} rows, {rate:.0} rows/s") };
        let _ = write!(err, "\r\u{1b}[K{rows}, {} ", Elapsed(elapsed));
        let _ = err.flush();
    }

    pub fn erase(&mut self, err: &mut dyn Write) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(err, "\r\u{1b}[K");
            let _ = err.flush();
        }
    }

    /// Rows are about to appear in the same place: they are progress enough.
    pub fn end(&mut self, err: &mut dyn Write) {
        self.erase(err);
        self.enabled = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_appears_after_two_seconds_and_leaves_no_trace() {
        let started = Instant::now();
        let (mut progress, mut err) = (Progress::new(true, started), Vec::new());
        progress.draw(10, started + Duration::from_secs(1), &mut err);
        progress.erase(&mut err);
        assert!(err.is_empty());
        progress.draw(5000, started + Duration::from_secs(5), &mut err);
        assert_eq!(String::from_utf8_lossy(&err), "\r\u{1b}[K5000 rows, 1000 rows/s, 5.0 s ");
        err.clear();
        progress.end(&mut err);
        assert_eq!(err, b"\r\x1b[K");
        progress.draw(6000, started + Duration::from_secs(6), &mut err);
        assert_eq!(err, b"\r\x1b[K");
    }
}
