//! How late rows are, and the delay that has a given share of them in time.
//!
//! A watermark with a fixed delay is either too eager or too slow. Here the delay is a quantile of the lateness observed so far, after
//! the quality-driven buffer of Ji et al., "Quality-Driven Continuous Query Execution over Out-of-Order Data Streams" (SIGMOD 2015).
//! The quantile comes from a histogram whose buckets grow by a constant factor, as in DDSketch (Masson, Rim, Lee, VLDB 2019), so that it
//! is right within that factor; it forgets by halving all counts, so that it follows a stream that changes.

/// The lateness of the rows of one split.
pub struct Lateness {
    share: f64,
    latest: i64,
    /// Rows by lateness: bucket 0 for none, then [`STEPS`] per doubling.
    counts: Vec<u64>,
    rows: u64,
    since: u64,
    delay: i64,
    reviewed: bool,
}

/// Buckets per doubling: the delay is at most a thirty-second more than it must be.
const STEPS: u32 = 32;

/// The delay is found anew after so many rows.
const REVIEW_ROWS: u64 = 256;

/// All counts are halved when there are so many rows.
const MEMORY_ROWS: u64 = 1 << 16;

impl Lateness {
    /// `share` of the rows, between 0 and 1, is to be in time.
    pub fn new(share: f64) -> Lateness {
        Lateness { share, latest: i64::MIN, counts: Vec::new(), rows: 0, since: 0, delay: 0, reviewed: false }
    }

    /// Takes in a row with this event time, in milliseconds; the watermark that may follow it. None follows the first rows, which tell
    /// too little: a watermark that is too high cannot be taken back.
    pub fn watermark_after(&mut self, time: i64) -> Option<i64> {
        self.latest = self.latest.max(time);
        let bucket = bucket_of(self.latest.saturating_sub(time));
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.rows += 1;
        self.since += 1;
        if self.since >= REVIEW_ROWS {
            self.review();
        }
        self.reviewed.then(|| self.latest.saturating_sub(self.delay).saturating_sub(1))
    }

    fn review(&mut self) {
        (self.since, self.reviewed) = (0, true);
        if self.rows >= MEMORY_ROWS {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.rows = self.counts.iter().sum();
        }
        let wanted = (self.share * self.rows as f64).ceil() as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        self.delay = upper_end(bucket.unwrap_or(self.counts.len().saturating_sub(1)));
    }
}

/// 0 for 0; then geometric.
fn bucket_of(lateness: i64) -> usize {
    let lateness = lateness.max(0) as u64;
    if lateness < u64::from(STEPS) {
        return lateness as usize;
    }
    let doublings = lateness.ilog2() - STEPS.ilog2();
    (doublings * STEPS) as usize + (lateness >> doublings) as usize
}

/// The largest lateness of a bucket.
fn upper_end(bucket: usize) -> i64 {
    let (bucket, steps) = (bucket as u64, u64::from(STEPS));
    if bucket < 2 * steps {
        return bucket as i64;
    }
    let doublings = bucket / steps - 1;
    let first = (bucket - doublings * steps) << doublings;
    i64::try_from(first + (1 << doublings) - 1).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn a_bucket_ends_where_the_next_begins() {
        for lateness in (0..5000).chain([i64::MAX / 2, i64::MAX]) {
            let end = upper_end(bucket_of(lateness));
            assert!(
                end >= lateness && end <= lateness.saturating_add(lateness / 32),
                "{lateness} is in a bucket up to {end}"
            );
            if end < i64::MAX {
                assert_eq!(bucket_of(end) + 1, bucket_of(end + 1));
            }
        }
    }

    #[test]
    fn the_given_share_of_rows_is_in_time() {
        for (share, spread) in [(0.5, 1000), (0.9, 1000), (0.99, 60_000)] {
            let mut random = StdRng::seed_from_u64(7);
            let mut lateness = Lateness::new(share);
            let (mut watermark, mut in_time, rows) = (i64::MIN, 0, 100_000);
            for n in 0..rows {
                let time = n * 10 - random.random_range(0..spread);
                in_time += i64::from(time > watermark);
                watermark = watermark.max(lateness.watermark_after(time).unwrap_or(i64::MIN));
            }
            let reached = in_time as f64 / rows as f64;
            assert!(reached >= share - 0.01 && reached <= share + 0.04, "{reached} of {share}");
        }
    }
}
