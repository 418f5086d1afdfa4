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

/// What the runs of one query cost, and what it answered.
pub struct Report {
    pub name: String,
    pub items: u64,
    pub costs: Vec<Cost>,
    pub result: Option<String>,
}

impl Report {
    /// Items per second of CPU, over all cores.
    pub fn rate(&self) -> f64 {
        self.items as f64 / median(&self.costs).cpu.as_secs_f64()
    }
}

/// A line: medians of all runs. As an object, if `json`.
pub fn print_report(report: &Report, json: bool) {
    let Cost { wall, cpu, peak_bytes } = median(&report.costs);
    let (wall, cpu, items) = (wall.as_secs_f64(), cpu.as_secs_f64(), report.items as f64);
    let result = report.result.as_deref().unwrap_or("not the same in every run");
    if json {
        println!(
            "{{\"name\":\"{}\",\"items\":{items},\"wall_s\":{wall:.3},\"cpu_s\":{cpu:.3},\"per_s\":{:.0},\"per_cpu_s\":{:.0},\
             \"peak_bytes\":{peak_bytes},\"result\":\"{result}\"}}",
            report.name,
            items / wall,
            items / cpu,
        );
        return;
    }
    println!(
        "{:<20} wall {wall:6.2} s  CPU {cpu:6.2} s  {:6.2} M/s  {:6.2} M per CPU second  peak {:5.0} MB  result: {result}",
        report.name,
        items / wall / 1e6,
        items / cpu / 1e6,
        peak_bytes as f64 / 1e6,
    );
}

/// The geometric mean of what reports have per second of CPU.
pub fn mean_rate(reports: &[Report]) -> f64 {
    let logarithms = reports.iter().map(|report| report.rate().ln());
    (logarithms.sum::<f64>() / reports.len() as f64).exp()
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
