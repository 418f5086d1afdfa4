//! The line under a result: `(3 rows, 0.02 s)`.

use std::fmt;
use std::time::Duration;

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub rows: u64,
    /// The rows were changes to rows.
    pub is_changelog: bool,
    /// The user ended it.
    pub stopped: bool,
}

impl Summary {
    pub fn after(&self, elapsed: Duration) -> String {
        let noun = if self.is_changelog { "change" } else { "row" };
        let plural = if self.rows == 1 { "" } else { "s" };
        let stopped = if self.stopped { ", stopped" } else { "" };
        format!("({} {noun}{plural}, {}{stopped})", self.rows, Elapsed(elapsed))
    }
}

/// A duration in the precision a person cares about.
pub struct Elapsed(pub Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match self.0.as_secs() {
            0 => write!(f, "{seconds:.2} s"),
            1..60 => write!(f, "{seconds:.1} s"),
            60..3600 => write!(f, "{} min {:02} s", self.0.as_secs() / 60, self.0.as_secs() % 60),
            whole => write!(f, "{} h {:02} min", whole / 3600, whole % 3600 / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_and_says_if_it_was_stopped() {
        let summary = Summary { rows: 1, is_changelog: false, stopped: false };
        assert_eq!(summary.after(Duration::from_millis(20)), "(1 row, 0.02 s)");
        let stopped = Summary { rows: 12, is_changelog: true, stopped: true };
        assert_eq!(stopped.after(Duration::from_millis(3210)), "(12 changes, 3.2 s, stopped)");
        assert_eq!(Elapsed(Duration::from_secs(125)).to_string(), "2 min 05 s");
        assert_eq!(Elapsed(Duration::from_secs(3720)).to_string(), "1 h 02 min");
    }
}
