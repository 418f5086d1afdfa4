//! Windows over random out-of-order rows, against a plain model written here: for every kind of window and aggregate, however the rows are
//! cut into batches, at parallelism 1 to 4, also where rows are late.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::SchemaRef;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_exec::connect::{
    Connector, Offset, OptionSpec, Reader, Registry, Source, SplitBatch, SplitId, TableDefinition,
};
use tidemill_exec::{Batch, Result};
use tidemill_sql_tests::script::{Gave, Run, folded};

/// Key, value, milliseconds.
type Row = (i64, i64, i64);

/// `'connector' = 'stream'`: these batches of `k BIGINT, v BIGINT, ts TIMESTAMP(3)`, from one split.
struct Stream(Vec<Vec<Row>>);

impl Connector for Stream {
    fn name(&self) -> &'static str {
        "stream"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        let (schema, projection) = (Arc::clone(&table.schema), projection.to_vec());
        Ok(Arc::new(Batches { batches: self.0.clone(), schema, projection }))
    }
}

#[derive(Debug)]
struct Batches {
    batches: Vec<Vec<Row>>,
    schema: SchemaRef,
    projection: Vec<usize>,
}

#[async_trait::async_trait]
impl Source for Batches {
    fn bounded(&self) -> bool {
        true
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok(vec![SplitId::new("only")])
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let mut queue = VecDeque::new();
        for rows in self.batches.iter().filter(|_| !splits.is_empty()) {
            let column = |of: fn(&Row) -> i64| Int64Array::from_iter_values(rows.iter().map(of));
            let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.2));
            let columns: Vec<ArrayRef> =
                vec![Arc::new(column(|row| row.0)), Arc::new(column(|row| row.1)), Arc::new(times)];
            let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?.project(&self.projection)?;
            queue.push_back(Batch::append(rows));
        }
        Ok(Box::new(Reading(queue)))
    }
}

struct Reading(VecDeque<Batch>);

#[async_trait::async_trait]
impl Reader for Reading {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        // Seen to have nothing for a moment, so that epochs end between batches.
        if self.0.len().is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
        let Some(rows) = self.0.pop_front() else { return Ok(None) };
        let (split, resume_at) = (SplitId::new("only"), Offset(Vec::new().into()));
        Ok(Some(SplitBatch { split, rows, resume_at, skipped: None, ended: self.0.is_empty() }))
    }
}

/// A kind of window: how SQL calls it, and which windows a row is in.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tumble { size: i64, offset: i64 },
    Hop { slide: i64, size: i64, offset: i64 },
    Cumulate { step: i64, max: i64, offset: i64 },
    Session { gap: i64 },
}

const KINDS: [Kind; 9] = [
    Kind::Tumble { size: 10, offset: 0 },
    Kind::Tumble { size: 7, offset: -3 },
    Kind::Hop { slide: 5, size: 15, offset: 0 },
    Kind::Hop { slide: 4, size: 10, offset: 1 },
    Kind::Hop { slide: 1, size: 12, offset: 0 },
    Kind::Hop { slide: 10, size: 4, offset: 0 },
    Kind::Cumulate { step: 3, max: 12, offset: 0 },
    Kind::Cumulate { step: 5, max: 5, offset: 2 },
    Kind::Session { gap: 4 },
];

impl Kind {
    fn sql(self) -> String {
        let ms = |length: i64| format!("INTERVAL '{}' SECOND(3)", length as f64 / 1000.0);
        match self {
            Kind::Tumble { size, offset } => {
                format!("TUMBLE(TABLE t, DESCRIPTOR(ts), {}, {})", ms(size), ms(offset))
            }
            Kind::Hop { slide, size, offset } => {
                format!("HOP(TABLE t, DESCRIPTOR(ts), {}, {}, {})", ms(slide), ms(size), ms(offset))
            }
            Kind::Cumulate { step, max, offset } => {
                format!("CUMULATE(TABLE t, DESCRIPTOR(ts), {}, {}, {})", ms(step), ms(max), ms(offset))
            }
            Kind::Session { gap } => format!("SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), {})", ms(gap)),
        }
    }

    /// By the definition; not for sessions.
    fn windows(self, time: i64) -> Vec<(i64, i64)> {
        let starts = |every: i64, offset: i64| (-100..200).map(move |n| offset + n * every);
        let all: Vec<(i64, i64)> = match self {
            Kind::Tumble { size, offset } => starts(size, offset).map(|start| (start, start + size)).collect(),
            Kind::Hop { slide, size, offset } => {
                let first = -100 * 10 / slide;
                (first..first + 4000 / slide).map(|n| (offset + n * slide, offset + n * slide + size)).collect()
            }
            Kind::Cumulate { step, max, offset } => starts(max, offset)
                .flat_map(|start| (1..=max / step).map(move |steps| (start, start + steps * step)))
                .collect(),
            Kind::Session { .. } => Vec::new(),
        };
        all.into_iter().filter(|(start, end)| *start <= time && time < *end).collect()
    }
}

/// Values by key, window start, window end.
type Results = BTreeMap<(i64, i64, i64), Vec<i64>>;

/// The rows of each window and key, by the definition, when the watermark follows each row by `delay` and is sent when it has risen by more
/// than `interval`; and how many rows are late.
fn model(rows: &[Row], kind: Kind, delay: i64, interval: i64) -> (Results, usize) {
    let mut results = Results::new();
    // Open sessions: key, first time, end, values.
    let mut open: Vec<(i64, i64, i64, Vec<i64>)> = Vec::new();
    let (mut watermark, mut highest, mut late) = (i64::MIN, i64::MIN, 0);
    for &(key, value, time) in rows {
        match kind {
            Kind::Session { gap } => {
                let joins = |session: &(i64, i64, i64, Vec<i64>)| {
                    session.0 == key && session.1 <= time + gap && time <= session.2
                };
                let (joined, others): (Vec<_>, Vec<_>) = open.drain(..).partition(joins);
                open = others;
                if joined.is_empty() && time + gap - 1 <= watermark {
                    late += 1;
                } else {
                    let start = joined.iter().map(|session| session.1).fold(time, i64::min);
                    let end = joined.iter().map(|session| session.2).fold(time + gap, i64::max);
                    let values = joined.into_iter().flat_map(|session| session.3).chain([value]).collect();
                    open.push((key, start, end, values));
                }
            }
            _ => {
                let windows = kind.windows(time);
                let still_open: Vec<_> = windows.iter().filter(|(_, end)| end - 1 > watermark).collect();
                late += usize::from(still_open.is_empty() && !windows.is_empty());
                for (start, end) in still_open {
                    results.entry((key, *start, *end)).or_default().push(value);
                }
            }
        }
        highest = highest.max(time - delay);
        if highest.saturating_sub(watermark) > interval {
            watermark = highest;
            let (closed, others): (Vec<_>, Vec<_>) = open.drain(..).partition(|session| session.2 - 1 <= watermark);
            open = others;
            closed.into_iter().for_each(|(key, start, end, values)| drop(results.insert((key, start, end), values)));
        }
    }
    open.into_iter().for_each(|(key, start, end, values)| drop(results.insert((key, start, end), values)));
    (results, late)
}

/// Sorted lines of `k, window_start, window_end` and the aggregates of [`AGGREGATES`].
fn lines(results: &Results) -> Vec<String> {
    let mut lines: Vec<String> = results
        .iter()
        .map(|((key, start, end), values)| {
            let distinct: std::collections::BTreeSet<_> = values.iter().collect();
            let positive: Vec<_> = values.iter().filter(|value| **value > 0).collect();
            let sum: i64 = values.iter().sum();
            let columns = [
                values.len().to_string(),
                sum.to_string(),
                values.iter().min().map_or_else(String::new, i64::to_string),
                values.iter().max().map_or_else(String::new, i64::to_string),
                (sum / values.len() as i64).to_string(),
                distinct.len().to_string(),
                positive.len().to_string(),
            ];
            format!("{key}\t{}\t{}\t{}", moment(*start), moment(*end), columns.join("\t"))
        })
        .collect();
    lines.sort_unstable();
    lines
}

const AGGREGATES: &str = "COUNT(*) AS n, SUM(v) AS s, MIN(v) AS mn, MAX(v) AS mx, AVG(v) AS av, COUNT(DISTINCT v) AS d, \
     COUNT(*) FILTER (WHERE v > 0) AS p";

/// As the SQL client writes a `TIMESTAMP(3)` near 1970.
fn moment(millis: i64) -> String {
    match millis {
        ..0 => format!("1969-12-31 23:59:59.{:03}", 1000 + millis),
        _ => format!("1970-01-01 00:00:00.{millis:03}"),
    }
}

fn random_rows(random: &mut StdRng, rows: usize) -> Vec<Row> {
    let mut latest = -20;
    let mut row = || {
        latest += random.random_range(0..4);
        let time = latest - random.random_range(0..20);
        (random.random_range(0..3), random.random_range(-5..10), time)
    };
    (0..rows).map(|_| row()).collect()
}

fn cut(rows: &[Row], random: &mut StdRng) -> Vec<Vec<Row>> {
    let mut batches: Vec<Vec<Row>> = vec![Vec::new()];
    for row in rows {
        if random.random_bool(0.1) {
            batches.push(Vec::new());
        }
        batches.last_mut().expect("it begins with one").push(*row);
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

async fn run(batches: Vec<Vec<Row>>, delay: i64, interval: i64, parallelism: usize, query: &str) -> Vec<String> {
    let mut registry = Registry::default();
    registry.add_connector(Arc::new(Stream(batches)));
    let settings = [
        ("execution.runtime-mode", "streaming".to_string()),
        ("execution.epoch.interval", "1 ms".to_string()),
        ("parallelism.default", parallelism.to_string()),
        ("pipeline.auto-watermark-interval", format!("{interval} ms")),
    ];
    let settings = settings.map(|(key, value)| (key.to_string(), value)).to_vec();
    let script = format!(
        "CREATE TABLE t (k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '0.{delay:03}' SECOND) \
         WITH ('connector' = 'stream'); {query}"
    );
    let transcript = Run { settings, ..Run::default() }.script_with(&script, registry).await.expect("settings exist");
    match transcript.statements.into_iter().next_back().map(|ran| ran.gave) {
        Some(Gave::Changes(changes)) => {
            folded(changes.into_iter().map(|change| (change.kind.is_positive(), change.client)))
        }
        Some(Gave::Failed(error)) => vec![error.to_string()],
        _ => vec!["no query".to_string()],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_window_gives_what_its_definition_says() {
    for (number, kind) in (0..).zip(KINDS) {
        for seed in 0..3 {
            let mut random = StdRng::seed_from_u64(seed * 100 + number);
            let rows = random_rows(&mut random, 150);
            let (delay, interval) = (random.random_range(0..15), [0, 3, 200][seed as usize]);
            let expected = lines(&model(&rows, kind, delay, interval).0);
            for parallelism in 1..=4 {
                let query = format!(
                    "SELECT k, window_start, window_end, {AGGREGATES} FROM TABLE({}) GROUP BY k, window_start, window_end",
                    kind.sql()
                );
                let found = run(cut(&rows, &mut random), delay, interval, parallelism, &query).await;
                assert_eq!(found, expected, "{kind:?}, seed {seed}, parallelism {parallelism}, delay {delay}: {query}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_alone_over_hopping_windows_are_added_and_taken_out() {
    for kind in [Kind::Hop { slide: 5, size: 15, offset: 0 }, Kind::Hop { slide: 1, size: 30, offset: 0 }] {
        for seed in 0..4 {
            let mut random = StdRng::seed_from_u64(seed);
            let rows = random_rows(&mut random, 200);
            let (results, _) = model(&rows, kind, 5, 0);
            let mut expected: Vec<String> = results
                .iter()
                .map(|((key, start, end), values)| {
                    let sum: i64 = values.iter().sum();
                    format!("{key}\t{}\t{}\t{}\t{sum}", moment(*start), moment(*end), values.len())
                })
                .collect();
            expected.sort_unstable();
            let query = format!(
                "SELECT k, window_start, window_end, COUNT(*) AS n, SUM(v) AS s FROM TABLE({}) GROUP BY k, window_start, window_end",
                kind.sql()
            );
            for parallelism in [1, 3] {
                let found = run(cut(&rows, &mut random), 5, 0, parallelism, &query).await;
                assert_eq!(found, expected, "{kind:?}, seed {seed}, parallelism {parallelism}");
            }
        }
    }
}
