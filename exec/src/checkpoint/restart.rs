//! Whether, and when, a job that has failed starts again from its newest checkpoint.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// `restart-strategy.type`
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RestartStrategy {
    /// It does not.
    None,
    /// So many times.
    FixedDelay { attempts: u32, delay: Duration },
    /// Again and again, after longer and longer delays, until it has run for long enough without failing.
    ExponentialDelay { initial: Duration, max: Duration, multiplier: f64, reset_after: Duration },
    /// Unless it fails more often than this within the interval.
    FailureRate { failures: u32, interval: Duration, delay: Duration },
}

/// The failures of one job. Reads no clock.
pub struct Restarts {
    strategy: RestartStrategy,
    /// When it failed, as far as that matters.
    failures: VecDeque<Instant>,
    next_delay: Duration,
}

impl Restarts {
    pub fn new(strategy: RestartStrategy) -> Restarts {
        Restarts { strategy, failures: VecDeque::new(), next_delay: Duration::ZERO }
    }

    /// The job has failed: after which delay it starts again, if it does.
    pub fn failed(&mut self, now: Instant) -> Option<Duration> {
        let last = self.failures.back().copied();
        self.failures.push_back(now);
        match self.strategy {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay } => {
                (self.failures.len() <= attempts as usize).then_some(delay)
            }
            RestartStrategy::ExponentialDelay { initial, max, multiplier, reset_after } => {
                // The delay itself is not time that it ran.
                let ran_long = last.is_none_or(|last| now.duration_since(last) >= reset_after + self.next_delay);
                self.next_delay = if ran_long { initial } else { self.next_delay.mul_f64(multiplier).min(max) };
                self.failures.truncate(0);
                self.failures.push_back(now);
                Some(self.next_delay)
            }
            RestartStrategy::FailureRate { failures, interval, delay } => {
                while self.failures.front().is_some_and(|first| now.duration_since(*first) > interval) {
                    self.failures.pop_front();
                }
                (self.failures.len() <= failures as usize).then_some(delay)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The delays after failures at these seconds.
    fn delays(strategy: RestartStrategy, at: &[u32]) -> Vec<Option<u64>> {
        let (mut restarts, begin) = (Restarts::new(strategy), Instant::now());
        at.iter().map(|&second| restarts.failed(begin + second * SECOND).map(|delay| delay.as_secs())).collect()
    }

    #[test]
    fn a_job_starts_again_as_its_strategy_says() {
        assert_eq!(delays(RestartStrategy::None, &[0]), [None]);
        let fixed = RestartStrategy::FixedDelay { attempts: 2, delay: SECOND };
        assert_eq!(delays(fixed, &[0, 100, 200]), [Some(1), Some(1), None]);
        let exponential = RestartStrategy::ExponentialDelay {
            initial: SECOND,
            max: 5 * SECOND,
            multiplier: 2.0,
            reset_after: 60 * SECOND,
        };
        assert_eq!(
            delays(exponential, &[0, 2, 5, 10, 16, 100]),
            [Some(1), Some(2), Some(4), Some(5), Some(5), Some(1)],
            "the last one ran for more than a minute"
        );
        let rate = RestartStrategy::FailureRate { failures: 2, interval: 10 * SECOND, delay: SECOND };
        assert_eq!(delays(rate, &[0, 5, 20, 21, 22]), [Some(1), Some(1), Some(1), Some(1), None]);
    }
}
