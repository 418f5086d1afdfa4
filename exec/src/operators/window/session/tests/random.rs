//! Random streams against a plain model.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::EventTime;

use super::SessionAggregate;
use crate::operators::window::TimeKind;
use crate::operators::window::random::{Event, Outcome, play, shown};
use crate::text::Zone;
use crate::window::{LocalClock, Session};

/// A row that was not late: when it came, its values and weight.
#[derive(Clone)]
struct Row {
    time: i64,
    value: Option<i64>,
    weight: i64,
}

/// A session by its definition: rows, none of them more than a gap from the next. In the order of an aggregate that cares: as they
/// came, but when sessions are merged the earlier one's lead.
#[derive(Clone)]
struct Rows {
    key: Option<i64>,
    /// The event with which its first row came.
    born: usize,
    rows: Vec<Row>,
}

impl Rows {
    fn start(&self) -> i64 {
        self.rows.iter().map(|row| row.time).min().expect("a session has rows")
    }

    fn last(&self) -> i64 {
        self.rows.iter().map(|row| row.time).max().expect("a session has rows")
    }
}

/// The sessions that close, each with the watermarks around that, and how many rows are late.
fn model(events: &[Event], session: Session) -> (Vec<(i64, i64, Rows)>, u64) {
    let (mut open, mut closed, mut late, mut watermark): (Vec<Rows>, _, _, _) = (vec![], vec![], 0, i64::MIN);
    let closes = |last: i64| session.clock.closes_at(last + session.gap);
    for (born, event) in events.iter().chain(&[Event::Watermark(i64::MAX)]).enumerate() {
        match event {
            Event::Row(values, weight) => {
                let (key, time) = (values[0], session.clock.local(values[1].expect("a time")));
                let row = Row { time, value: values[2], weight: *weight };
                let touches = |rows: &Rows| {
                    rows.key == key && time <= rows.last() + session.gap && time >= rows.start() - session.gap
                };
                let (mut joined, rest): (Vec<Rows>, Vec<Rows>) = open.into_iter().partition(touches);
                open = rest;
                if joined.is_empty() && closes(time) <= EventTime(watermark) {
                    late += 1;
                    continue;
                }
                joined.sort_by_key(Rows::start);
                let born = joined.iter().map(|rows| rows.born).min().unwrap_or(born);
                let rows = joined.into_iter().flat_map(|rows| rows.rows).chain([row]).collect();
                open.push(Rows { key, born, rows });
            }
            Event::Watermark(time) => {
                let is_due = |rows: &Rows| closes(rows.last()) <= EventTime(*time);
                let (mut due, rest): (Vec<Rows>, Vec<Rows>) = open.into_iter().partition(is_due);
                open = rest;
                due.sort_by_key(|rows| (rows.last(), rows.born));
                closed.extend(due.into_iter().map(|rows| (watermark, *time, rows)));
                watermark = *time;
            }
        }
    }
    (closed, late)
}

/// Times in steps of `unit` from `origin` on.
fn random_events(random: &mut StdRng, origin: i64, unit: i64, retracting: bool) -> Vec<Event> {
    let (mut events, mut latest, mut watermark) = (Vec::new(), 0, i64::MIN);
    let (keys, disorder, pace) =
        (random.random_range(1..4), random.random_range(1..60), [1, 3, 12][random.random_range(0..3)]);
    let mut rows: Vec<Vec<Option<i64>>> = Vec::new();
    for _ in 0..random.random_range(1..250) {
        latest += random.random_range(0..=pace);
        let time = origin + unit * (latest - random.random_range(0..disorder));
        let key = Some(random.random_range(0..keys)).filter(|key| *key != 2);
        let value = Some(random.random_range(-50..50)).filter(|value| *value != 7);
        match rows.len() {
            1.. if retracting && random.random_bool(0.3) => {
                let row = rows.swap_remove(random.random_range(0..rows.len()));
                events.push(Event::Row(row, -1));
            }
            _ => {
                rows.push(vec![key, Some(time), value]);
                events
                    .push(Event::Row(vec![key, Some(time), value], random.random_range(1..2 + i64::from(retracting))));
            }
        }
        let next = origin + unit * (latest - random.random_range(0..disorder)) - random.random_range(0..2);
        if next > watermark && random.random_bool(0.4) {
            watermark = next;
            events.push(Event::Watermark(next));
        }
    }
    events
}

fn input(value: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("value", value, true),
    ]))
}

/// Clocks with what is worth seeing on them: a first time, and steps.
fn clocks() -> [(LocalClock, i64, i64); 4] {
    let berlin = LocalClock(Zone::parse("Europe/Berlin").expect("a zone"));
    let minutes = 60_000;
    [
        (LocalClock::UTC, 1_000, 1),
        (LocalClock::UTC, -100, 1),
        // Five hours before clocks are set forward and back.
        (berlin, 1_585_443_600_000 - 300 * minutes, 7 * minutes),
        (berlin, 1_603_587_600_000 - 300 * minutes, 7 * minutes),
    ]
}

/// Results in text: key, start, end, closing time, then what `values` says of the rows.
fn expected(model: (Vec<(i64, i64, Rows)>, u64), session: Session, values: fn(&[Row]) -> String) -> Outcome {
    let rows = model.0.into_iter().filter(|(_, _, rows)| rows.rows.iter().map(|row| row.weight).sum::<i64>() > 0);
    let rows = rows.map(|(before, after, rows)| {
        let end = rows.last() + session.gap;
        let window = format!("{} {end} {}", rows.start(), session.clock.closes_at(end).0);
        (before, after, format!("{} {window} {}", shown(rows.key), values(&rows.rows)))
    });
    Outcome { rows: rows.collect(), late: model.1 }
}

fn numbers(rows: &[Row]) -> String {
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    for row in rows {
        row.value.into_iter().for_each(|value| *counts.entry(value).or_default() += row.weight);
    }
    let present = || counts.iter().filter(|(_, count)| **count > 0).map(|(value, _)| *value);
    let valued: i64 = counts.values().sum();
    let sum = (valued != 0).then(|| counts.iter().map(|(value, count)| value * count).sum());
    let all: i64 = rows.iter().map(|row| row.weight).sum();
    format!("{all} {} {} {}", shown(sum), shown(present().min()), shown(present().max()))
}

fn list(rows: &[Row]) -> String {
    let words: Vec<String> = rows.iter().filter_map(|row| row.value).map(|value| value.to_string()).collect();
    format!("{} {}", rows.len(), if words.is_empty() { "null".to_string() } else { words.join(",") })
}

fn aggregate(input: SchemaRef, session: Session, functions: &[&str], retracting: bool) -> SessionAggregate {
    let spec = super::aggregate(&input, TimeKind::Event, functions, retracting);
    SessionAggregate { session, ..spec }
}

#[test]
fn aggregates_are_those_of_the_sessions_by_definition() {
    for seed in 0..600 {
        let mut random = StdRng::seed_from_u64(seed);
        let (clock, origin, unit) = clocks()[seed as usize % 4];
        let session = Session { gap: unit * random.random_range(1..25), clock };
        let retracting = seed % 3 == 0;
        let events = random_events(&mut random, origin, unit, retracting);
        let spec = aggregate(input(DataType::Int64), session, &["SUM", "MIN", "MAX"], retracting);
        let expected = expected(model(&events, session), session, numbers);
        let outcome = play(&spec, &spec.input, &events, &mut random);
        assert_eq!(outcome, expected, "seed {seed}: {session} over {events:?}");
    }
}

#[test]
fn lists_of_merged_sessions_are_the_earlier_ones_rows_then_the_later_ones() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let session = Session { gap: random.random_range(1..25), clock: LocalClock::UTC };
        let events = random_events(&mut random, 0, 1, false);
        let spec = aggregate(input(DataType::Utf8), session, &["LISTAGG"], false);
        let expected = expected(model(&events, session), session, list);
        assert_eq!(play(&spec, &spec.input, &events, &mut random), expected, "seed {seed}: {session} over {events:?}");
    }
}
