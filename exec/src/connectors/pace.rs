//! How many rows are due when.

use std::time::{Duration, Instant};

/// Waiting for less than this costs more than the rows: fast tables get a few rows at once.
const TICK: Duration = Duration::from_millis(10);

/// Who was held up for longer than this does not catch up: a rate is a rate.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// Row n is due n / rate after the start, the first at once. Reads no clock.
pub(super) struct Pace {
    rows_per_second: f64,
    start: Instant,
    made: u64,
}

impl Pace {
    pub fn new(rows_per_second: f64, start: Instant) -> Pace {
        Pace { rows_per_second, start, made: 0 }
    }

    /// How many rows to make now, at least one; or until when to wait.
    pub fn due(&mut self, now: Instant) -> Result<u64, Instant> {
        let next = self.start + self.time_of(self.made);
        if next > now {
            return Err(next.max(now + TICK));
        }
        if now - next > BEHIND_MAX {
            self.start += now - next - BEHIND_MAX;
        }
        let due = ((now - self.start).as_secs_f64() * self.rows_per_second) as u64 + 1;
        Ok(due.saturating_sub(self.made).max(1))
    }

    pub fn made(&mut self, rows: u64) {
        self.made += rows;
    }

    fn time_of(&self, row: u64) -> Duration {
        // Far beyond any uptime if the rate is tiny.
        Duration::try_from_secs_f64(row as f64 / self.rows_per_second).unwrap_or(Duration::from_secs(u32::MAX.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_first_row_comes_at_once_and_the_others_at_their_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(2.0, start);
        assert_eq!(pace.due(start), Ok(1));
        pace.made(1);
        assert_eq!(pace.due(start), Err(start + ms(500)));
        assert_eq!(pace.due(start + ms(500)), Ok(1));
        pace.made(1);
        assert_eq!(pace.due(start + ms(600)), Err(start + ms(1000)));
    }

    #[test]
    fn fast_tables_wait_for_a_few_rows() {
        let start = Instant::now();
        let mut pace = Pace::new(10_000.0, start);
        pace.made(1);
        assert_eq!(pace.due(start), Err(start + TICK));
        assert_eq!(pace.due(start + TICK), Ok(100));
    }

    #[test]
    fn over_time_as_many_rows_are_made_as_the_rate_says() {
        let start = Instant::now();
        let mut pace = Pace::new(333.0, start);
        let mut made = 0;
        for now in (0..10_000).step_by(7).map(|n| start + ms(n)) {
            if let Ok(due) = pace.due(now) {
                pace.made(due);
                made += due;
            }
        }
        assert!((3326..=3331).contains(&made), "{made}");
    }

    #[test]
    fn who_was_held_up_for_long_catches_up_by_a_second_at_most() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, start);
        let late = start + Duration::from_secs(60);
        let due = pace.due(late).unwrap();
        assert_eq!(due, 101);
        pace.made(due);
        assert!(pace.due(late).is_err());
    }
}
