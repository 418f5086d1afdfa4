//! What a bench prints: each run, the median, and a hash of the answer.

use std::time::Duration;

use twox_hash::XxHash3_64;

use crate::engine::Cost;

/// What went through a run, to turn seconds into rates.
pub struct Volume {
    pub bytes: u64,
    /// Words, events, rows.
    pub items: u64,
    pub noun: &'static str,
}

/// Prints one line per run and the median of each figure.
pub fn print(question: &str, costs: &[Cost], volume: Option<&Volume>) {
    println!("{question}");
    for (n, cost) in costs.iter().enumerate() {
        println!("  run {}: {}", n + 1, line(cost, volume));
    }
    println!("  median: {}", line(&median(costs), volume));
}

/// The median of each figure by itself.
pub fn median(costs: &[Cost]) -> Cost {
    fn middle<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
        let mut values: Vec<T> = values.collect();
        values.sort_unstable();
        values[values.len() / 2]
    }
    Cost {
        wall: middle(costs.iter().map(|cost| cost.wall)),
        cpu: middle(costs.iter().map(|cost| cost.cpu)),
        peak_bytes: middle(costs.iter().map(|cost| cost.peak_bytes)),
    }
}

fn line(cost: &Cost, volume: Option<&Volume>) -> String {
    let peak = cost.peak_bytes as f64 / 1e6;
    let Some(volume) = volume else {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        return format!("wall {:.1} ms, CPU {:.1} ms, peak {peak:.1} MB", ms(cost.wall), ms(cost.cpu));
    };
    let (wall, cpu) = (cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
    format!(
        "wall {wall:.2} s, CPU {cpu:.2} s, {:.0} MB/s, {:.2} M {noun}/s, {:.2} M {noun} per CPU second, peak {peak:.0} MB",
        volume.bytes as f64 / 1e6 / wall,
        volume.items as f64 / 1e6 / wall,
        volume.items as f64 / 1e6 / cpu,
        noun = volume.noun,
    )
}

/// A hash of lines in any order.
pub fn hash<'a>(lines: impl Iterator<Item = &'a str>) -> u64 {
    lines.fold(0, |sum, line| sum.wrapping_add(XxHash3_64::oneshot(line.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_sees_repeated_lines_but_no_order() {
        assert_eq!(hash(["a", "b"].into_iter()), hash(["b", "a"].into_iter()));
        assert_ne!(hash(["a", "a"].into_iter()), hash(["a"].into_iter()));
    }
}
