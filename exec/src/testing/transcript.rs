//! Transcripts: what goes into an operator, line by line, and below each line what comes out.
//!
//! | line | meaning |
//! |---|---|
//! | `columns user text, ts time, amount int` | schema of the input; a second such line that of the second input, and so on |
//! | `+ ann 0:01 5`, `- ann 0:01 5`, `+2 ...` | a row appears, disappears, appears twice |
//! | `2nd + ann 5` | the same on the second input; `3rd`, `4th` |
//! | `~ 0:10` | watermark |
//! | `\| 1`, `\| 1 0:20` | barrier of epoch 1, handed out at that processing time |
//! | `! crash` | memory is lost: the operator is rebuilt from the last barrier, and what came since is fed again |
//! | `$` | end of input |
//! | `=> ...` | what came out, in the same notation |
//! | `// ...` | why |
//!
//! Each transcript is replayed in several ways: as written with one row per batch; with all rows between two marks in one batch; cut
//! at random; with a crash after every barrier, or before, where the state is dealt out to three shards and back on the way; and with
//! all rows and watermarks between two barriers in one batch; operators whose state may lie on disk also with all of it there. What
//! comes out between two marks (in the last replay: between two barriers) must be the same each time, up to order and cancelling changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use expect_test::Expect;
use futures::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::{Batches, CheckpointId, Epoch, EventTime, Spill, SpillError, SpilledRows};

use crate::checkpoint::rescale;
use crate::message::{Barrier, Batch, Mark, Message};
use crate::operator::{Input, JobToken, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};

/// Replays the transcript in `expected` against the operator that `make` builds for its columns.
///
/// # Panics
/// The outputs differ from those written, or between replays. With `UPDATE_EXPECT=1` the transcript is rewritten.
pub fn check<S: OperatorSpec>(make: impl Fn(&SchemaRef) -> S, expected: Expect) {
    check_inputs(|[input]| make(input), expected);
}

/// The same without crashes, for operators that count time anew after a restart.
///
/// # Panics
/// As [`check`].
pub fn check_undisturbed<S: OperatorSpec, const INPUTS: usize>(
    make: impl Fn(&[SchemaRef; INPUTS]) -> S,
    expected: Expect,
) {
    let script = Script::parse(expected.data().trim_start_matches('\n'));
    let spec = make(script.schemas.as_slice().try_into().expect("a columns line per input"));
    let (printed, as_written) = Replay::new(&spec).run(&script, &Cut::EachRow);
    expected.assert_eq(&printed);
    let random = (0..8).map(|seed| ("random batches", Cut::Random(seed)));
    for (how, cut) in [("all rows between marks in one batch", Cut::Marks)].into_iter().chain(random) {
        let (text, outcome) = Replay::new(&spec).run(&script, &cut);
        assert_eq!(outcome, as_written, "replayed with {how}:\n{text}");
    }
}

/// The same for an operator with several inputs.
///
/// # Panics
/// As [`check`]; there are not as many `columns` lines as inputs.
pub fn check_inputs<S: OperatorSpec, const INPUTS: usize>(make: impl Fn(&[SchemaRef; INPUTS]) -> S, expected: Expect) {
    let script = Script::parse(expected.data().trim_start_matches('\n'));
    let spec = make(script.schemas.as_slice().try_into().expect("a columns line per input"));
    let (printed, as_written) = Replay::new(&spec).run(&script, &Cut::EachRow);
    expected.assert_eq(&printed);
    let ways = [
        ("all rows between marks in one batch", Cut::Marks),
        ("a crash after every barrier", Cut::Crash),
        ("a crash before every barrier", Cut::LateCrash),
    ];
    let random = (0..8).map(|seed| ("random batches", Cut::Random(seed)));
    for (how, cut) in ways.into_iter().chain(random) {
        let (text, outcome) = Replay::new(&spec).run(&script, &cut);
        assert_eq!(outcome, as_written, "replayed with {how}:\n{text}");
    }
    let (text, outcome) = Replay::new(&spec).run(&script, &Cut::Barriers);
    assert_eq!(
        by_barrier(outcome),
        by_barrier(as_written.clone()),
        "replayed with watermarks inside of batches:\n{text}"
    );
    if ["aggregate", "distinct"].contains(&spec.name()) {
        let directory = tempfile::tempdir().expect("there is a directory for temporary files");
        // Without any memory, all groups go to disk again and again.
        let spill = Spill::open(directory.path(), 0).expect("the disk can be used");
        for cut in [Cut::Marks, Cut::Crash, Cut::LateCrash] {
            let context = ShardContext { spill: Some(spill.clone()), ..DURABLE };
            let (text, outcome) = Replay::at(&spec, context).run(&script, &cut);
            assert_eq!(outcome, as_written, "replayed with state on disk:\n{text}");
        }
    }
}

enum Cut {
    EachRow,
    Marks,
    Random(u64),
    /// At once after every barrier.
    Crash,
    /// As late as it can be: the snapshot of the last barrier has been copied while rows came.
    LateCrash,
    /// Watermarks are marks within one batch.
    Barriers,
}

struct Script {
    schemas: Vec<SchemaRef>,
    lines: Vec<(String, Event)>,
}

/// Values and weight.
type Row = (Vec<Option<String>>, i64);

#[derive(Clone)]
enum Event {
    Row(usize, Row),
    Watermark(i64),
    Barrier(u64, i64),
    Crash,
    End,
    Blank,
}

impl Script {
    fn parse(text: &str) -> Script {
        let margin = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| line.len() - line.trim_start().len())
            .min()
            .unwrap_or(0);
        let mut schemas = Vec::new();
        let mut lines = Vec::new();
        for line in text.trim_end().lines().map(|line| line.get(margin..).unwrap_or("").trim_end()) {
            if line.trim_start().starts_with("=>") {
                continue;
            }
            let code = line.split("//").next().unwrap_or("").trim();
            let further = (1..).zip(["2nd ", "3rd ", "4th "]);
            let (input, code) = further
                .filter_map(|(input, ordinal)| Some((input, code.strip_prefix(ordinal)?.trim())))
                .next()
                .unwrap_or((0, code));
            let event = match code.split_once(char::is_whitespace).unwrap_or((code, "")) {
                ("", _) => Event::Blank,
                ("columns", columns) => {
                    schemas.push(Arc::new(parse_columns(columns)));
                    Event::Blank
                }
                ("~", time) => Event::Watermark(parse_time(time.trim())),
                ("|", barrier) => {
                    let (epoch, time) = barrier.trim().split_once(' ').unwrap_or((barrier.trim(), "0:00"));
                    Event::Barrier(epoch.parse().expect("| and the number of an epoch"), parse_time(time.trim()))
                }
                ("!", _) => Event::Crash,
                ("$", _) => Event::End,
                (sign, row) => {
                    let weight = match &sign[1..] {
                        "" => 1,
                        times => times.parse().expect("a weight is a number"),
                    };
                    let values =
                        row.split_whitespace().map(|value| (value != "null").then(|| value.to_string())).collect();
                    Event::Row(input, (values, if sign.starts_with('-') { -weight } else { weight }))
                }
            };
            lines.push((line.to_string(), event));
        }
        Script { schemas, lines }
    }
}

fn parse_columns(text: &str) -> Schema {
    let fields = text.split(',').map(|column| {
        let (name, kind) = column.trim().split_once(' ').expect("a column is a name and a type");
        let data_type = match kind {
            "text" => DataType::Utf8,
            "int" => DataType::Int64,
            "small" => DataType::Int32,
            "double" => DataType::Float64,
            "bool" => DataType::Boolean,
            "time" => DataType::Timestamp(TimeUnit::Millisecond, None),
            other => panic!("no such type in transcripts: {other}"),
        };
        Field::new(name, data_type, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

/// `1:02` or `1:02.5`: minutes and seconds since 1970, in milliseconds.
fn parse_time(text: &str) -> i64 {
    let (minutes, seconds) = text.split_once(':').expect("a time is minutes:seconds");
    let seconds: f64 = seconds.parse().expect("seconds are a number");
    minutes.parse::<i64>().expect("minutes are a number") * 60_000 + (seconds * 1000.0) as i64
}

fn print_time(millis: i64) -> String {
    if millis == i64::MAX {
        return "end".to_string();
    }
    let (minutes, rest) = (millis.div_euclid(60_000), millis.rem_euclid(60_000));
    match rest % 1000 {
        0 => format!("{minutes}:{:02}", rest / 1000),
        ms => format!("{minutes}:{:02}.{ms:03}", rest / 1000),
    }
}

fn build(schema: &SchemaRef, rows: &[Row]) -> Batch {
    let columns = schema.fields().iter().enumerate().map(|(n, field)| {
        let values = || rows.iter().map(|(row, _)| row[n].as_deref());
        let column: ArrayRef = match field.data_type() {
            DataType::Utf8 => Arc::new(StringArray::from_iter(values())),
            DataType::Int64 => Arc::new(Int64Array::from_iter(values().map(|v| v.map(|v| v.parse().expect("an int"))))),
            DataType::Int32 => {
                Arc::new(Int32Array::from_iter(values().map(|v| v.map(|v| v.parse().expect("a small int")))))
            }
            DataType::Float64 => {
                Arc::new(Float64Array::from_iter(values().map(|v| v.map(|v| v.parse().expect("a double")))))
            }
            DataType::Boolean => Arc::new(BooleanArray::from_iter(values().map(|v| v.map(|v| v == "true")))),
            _ => Arc::new(TimestampMillisecondArray::from_iter(values().map(|v| v.map(parse_time)))),
        };
        column
    });
    let batch = RecordBatch::try_new(Arc::clone(schema), columns.collect()).expect("rows fit the columns line");
    let weights = rows.iter().any(|(_, weight)| *weight != 1);
    Batch::new(batch, weights.then(|| rows.iter().map(|(_, weight)| *weight).collect()))
}

/// What came out between two marks: net weight per row, and the marks passed on.
type Outcome = Vec<Interval>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Interval {
    changes: BTreeMap<String, i64>,
    /// Ends at a barrier.
    barrier: bool,
}

/// With what came between two barriers taken together.
fn by_barrier(outcome: Outcome) -> Vec<BTreeMap<String, i64>> {
    let mut joined = vec![BTreeMap::new()];
    for interval in outcome {
        let last: &mut BTreeMap<String, i64> = joined.last_mut().expect("there is always one");
        interval.changes.into_iter().for_each(|(row, weight)| *last.entry(row).or_default() += weight);
        if interval.barrier {
            joined.push(BTreeMap::new());
        }
    }
    joined.iter_mut().for_each(|changes| changes.retain(|_, weight| *weight != 0));
    joined
}

/// A shard of a job that takes checkpoints.
const DURABLE: ShardContext =
    ShardContext { durable: Some(JobToken { job: 0, first: CheckpointId(1), part: 0 }), ..ShardContext::SINGLE };

/// Tables with the changes in a later snapshot, as whole ones.
fn merged(before: Vec<TableSnapshot>, snapshot: Vec<TableSnapshot>) -> Vec<TableSnapshot> {
    let merge = |table: TableSnapshot| {
        let Some(replaces_by) = &table.replaces_by else { return table };
        let before = before.iter().find(|before| before.table == table.table && !table.is_whole);
        let deleted = |rows: &RecordBatch| {
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::new(BooleanArray::from(vec![false; rows.num_rows()])));
            RecordBatch::try_new(table.rows.schema(), columns).expect("the table has the columns it had")
        };
        let files: Vec<RecordBatch> =
            before.map(|before| deleted(&before.rows)).into_iter().chain([table.rows.clone()]).collect();
        let rows = tidemill_state::checkpoint::merge(&files, replaces_by).expect("tables can be merged");
        let rows = rows.expect("there is a file");
        let columns: Vec<usize> = (0..rows.num_columns() - 1).collect();
        let rows = rows.project(&columns).expect("there is a last column");
        TableSnapshot { rows, replaces_by: None, is_whole: true, ..table }
    };
    snapshot.into_iter().map(merge).collect()
}

/// A snapshot, once the operator has copied all that follows.
pub fn settled(operator: &mut dyn Operator, snapshot: Vec<TableSnapshot>) -> Vec<TableSnapshot> {
    while operator.copy_more().expect("the state can be copied") {}
    let settle = |table: TableSnapshot| {
        let Some(following) = &table.following else { return table };
        let mut pieces = vec![table.rows.clone()];
        while let Some(piece) = following.piece(pieces.len() - 1).now_or_never().expect("it is there").expect("a piece")
        {
            pieces.push(piece);
        }
        let rows = concat_batches(&table.rows.schema(), &pieces).expect("pieces have the same columns");
        TableSnapshot { rows, following: None, ..table }
    };
    snapshot.into_iter().map(settle).collect()
}

/// Tables with those that come later, in pieces.
pub fn appended(before: Vec<TableSnapshot>, snapshot: Vec<TableSnapshot>) -> Vec<TableSnapshot> {
    let append = |table: TableSnapshot| {
        if table.replaces_by.is_none() {
            return table;
        }
        let before = before.iter().find(|before| before.table == table.table && !table.is_whole);
        let mut spilled = before.map_or_else(Vec::new, |before| before.spilled.clone());
        spilled.extend(table.spilled.iter().cloned());
        spilled.push(Arc::new(Piece(table.rows.clone())));
        TableSnapshot { spilled, rows: table.rows.slice(0, 0), ..table }
    };
    snapshot.into_iter().map(append).collect()
}

#[derive(Debug)]
struct Piece(RecordBatch);

impl SpilledRows for Piece {
    fn read(&self) -> Result<Batches, SpillError> {
        Ok(Box::new(std::iter::once(Ok(self.0.clone()))))
    }
}

/// Rows of one input and watermarks that go into a batch.
#[derive(Default)]
struct Pending {
    input: usize,
    rows: Vec<Row>,
    marks: Vec<Mark>,
}

struct Replay<'a, S> {
    spec: &'a S,
    context: ShardContext,
    operator: Box<dyn Operator>,
    /// State at the last barrier: that before it, and what was taken at it, of which more may follow.
    saved: Vec<TableSnapshot>,
    taken: Vec<TableSnapshot>,
    since: Vec<Fed>,
    outcome: Outcome,
}

#[derive(Clone)]
enum Fed {
    Batch(Input, Batch),
    Watermark(i64),
}

impl<'a, S: OperatorSpec> Replay<'a, S> {
    fn new(spec: &'a S) -> Replay<'a, S> {
        Replay::at(spec, DURABLE)
    }

    fn at(spec: &'a S, context: ShardContext) -> Replay<'a, S> {
        let operator = spec.open(&context).expect("the operator opens");
        let (saved, taken, since) = (Vec::new(), Vec::new(), Vec::new());
        Replay { spec, context, operator, saved, taken, since, outcome: vec![Interval::default()] }
    }

    fn run(mut self, script: &Script, cut: &Cut) -> (String, Outcome) {
        let mut random = StdRng::seed_from_u64(match cut {
            Cut::Random(seed) => *seed,
            _ => 0,
        });
        let mut printed = String::new();
        let mut pending = Pending::default();
        let mut open = Epoch(1);
        for (line, event) in &script.lines {
            let flush_before = match event {
                Event::Row(input, _) if *input != pending.input => true,
                Event::Row(..) => match cut {
                    Cut::EachRow | Cut::Crash | Cut::LateCrash => true,
                    Cut::Marks | Cut::Barriers => false,
                    Cut::Random(_) => random.random_bool(0.4),
                },
                Event::Blank => false,
                Event::Watermark(_) => !matches!(cut, Cut::Barriers),
                _ => true,
            };
            if flush_before {
                self.feed_rows(&script.schemas, &mut pending, &mut printed);
            }
            printed.push_str(line);
            printed.push('\n');
            match event {
                Event::Row(input, row) => {
                    pending.input = *input;
                    pending.rows.push(row.clone());
                    if matches!(cut, Cut::EachRow | Cut::Crash | Cut::LateCrash) {
                        self.feed_rows(&script.schemas, &mut pending, &mut printed);
                    }
                }
                Event::Watermark(time) if matches!(cut, Cut::Barriers) => {
                    pending.marks.push(Mark { row: pending.rows.len(), time: EventTime(*time) });
                }
                Event::Watermark(time) => {
                    self.outcome.push(Interval::default());
                    self.feed(Fed::Watermark(*time), &mut printed);
                    self.outcome.push(Interval::default());
                }
                Event::Barrier(epoch, time) => {
                    open = Epoch(epoch + 1);
                    if matches!(cut, Cut::LateCrash) && open > Epoch(2) {
                        self.crash();
                    }
                    let barrier =
                        Barrier { epoch: Epoch(*epoch), time: EventTime(*time), checkpoint: None, stops: false };
                    self.barrier(barrier, &mut printed);
                    if matches!(cut, Cut::Crash) {
                        self.crash();
                    }
                }
                Event::Crash => self.crash(),
                Event::End => {
                    let mut out = Output::default();
                    let barrier = Barrier::at_end(open);
                    self.operator.on_watermark(EventTime::MAX, &mut out).expect("the last watermark is handled");
                    self.operator.on_barrier(&barrier, &mut out).expect("the end is handled");
                    self.operator.on_end(&mut out).expect("the end is handled");
                    self.report(out, &mut printed);
                    printed.push_str("    => $\n");
                }
                Event::Blank => {}
            }
        }
        self.feed_rows(&script.schemas, &mut pending, &mut printed);
        self.outcome.iter_mut().for_each(|interval| interval.changes.retain(|_, weight| *weight != 0));
        (printed, self.outcome)
    }

    fn feed_rows(&mut self, schemas: &[SchemaRef], pending: &mut Pending, printed: &mut String) {
        let Pending { input, rows, marks } = std::mem::take(pending);
        if !rows.is_empty() || !marks.is_empty() {
            let batch = build(&schemas[input], &rows).with_marks(marks);
            self.feed(Fed::Batch(Input(input as u8), batch), printed);
        }
    }

    fn feed(&mut self, fed: Fed, printed: &mut String) {
        let out = self.apply(&fed);
        self.since.push(fed);
        self.report(out, printed);
    }

    fn apply(&mut self, fed: &Fed) -> Output {
        let mut out = Output::default();
        match fed {
            Fed::Batch(_, batch) if batch.is_empty() => {
                let time = batch.last_mark().expect("a batch without rows has a mark");
                self.operator.on_watermark(time, &mut out).expect("the watermark is handled")
            }
            Fed::Batch(input, batch) if self.operator.keeps_marks() => {
                self.operator.on_batch(*input, batch.clone(), &mut out).expect("the rows are handled")
            }
            Fed::Batch(input, batch) => {
                self.operator.on_batch(*input, batch.clone().without_marks(), &mut out).expect("the rows are handled");
                if let Some(time) = batch.last_mark() {
                    self.operator.on_watermark(time, &mut out).expect("the watermark is handled");
                }
            }
            Fed::Watermark(time) => {
                self.operator.on_watermark(EventTime(*time), &mut out).expect("the watermark is handled")
            }
        }
        out
    }

    fn barrier(&mut self, barrier: Barrier, printed: &mut String) {
        let mut out = Output::default();
        self.operator.on_barrier(&barrier, &mut out).expect("the barrier is handled");
        self.settle();
        self.taken = self.operator.snapshot().expect("the state can be saved");
        self.since.clear();
        self.report(out, printed);
        self.outcome.last_mut().expect("there is an open interval").barrier = true;
        self.outcome.push(Interval::default());
    }

    /// Brings the last snapshot, once it has been copied, together with those before.
    fn settle(&mut self) {
        let snapshot = settled(&mut *self.operator, std::mem::take(&mut self.taken));
        if !snapshot.is_empty() {
            let bring_together = if self.context.spill.is_some() { appended } else { merged };
            self.saved = bring_together(std::mem::take(&mut self.saved), snapshot);
        }
    }

    /// What came out before the crash since the last barrier came out once already; repeating it is the sink's business.
    fn crash(&mut self) {
        self.settle();
        self.operator = self.spec.open(&self.context).expect("the operator opens again");
        self.operator.restore(self.through_three_shards()).expect("the state can be restored");
        for fed in self.since.clone() {
            self.apply(&fed);
        }
    }

    /// The saved state as it is after a run as three shards that read nothing.
    fn through_three_shards(&self) -> Vec<TableSnapshot> {
        let shards = rescale(vec![self.saved.clone()], 3).expect("the state can be dealt out");
        let shards = (0..3).zip(shards).map(|(shard, tables)| {
            let (durable, spill) = (self.context.spill.as_ref().and(DURABLE.durable), self.context.spill.clone());
            let context = ShardContext { shard, parallelism: 3, durable, spill };
            let mut operator = self.spec.open(&context).expect("the operator opens as a shard");
            operator.restore(tables.clone()).expect("a shard can be restored");
            let snapshot = operator.snapshot().expect("the state of a shard can be saved");
            let snapshot = settled(&mut *operator, snapshot);
            if self.context.spill.is_some() { appended(tables, snapshot) } else { snapshot }
        });
        rescale(shards.collect(), 1).expect("the state can be brought together").remove(0)
    }

    fn report(&mut self, mut out: Output, printed: &mut String) {
        for message in out.drain() {
            match message {
                Message::Batch(batch) => {
                    let mut marks = batch.marks().iter().peekable();
                    let watermark = |mark: &Mark| format!("    => ~ {}\n", print_time(mark.time.0));
                    for (row, text) in print_rows(batch.rows()).into_iter().enumerate() {
                        while let Some(mark) = marks.next_if(|mark| mark.row <= row) {
                            printed.push_str(&watermark(mark));
                        }
                        let weight = batch.weight(row);
                        let sign = if weight > 0 { '+' } else { '-' };
                        let times = if weight.abs() == 1 { String::new() } else { weight.abs().to_string() };
                        printed.push_str(&format!("    => {sign}{times} {text}\n"));
                        let open = self.outcome.last_mut().expect("there is an open interval");
                        *open.changes.entry(text).or_default() += weight;
                    }
                    marks.for_each(|mark| printed.push_str(&watermark(mark)));
                }
                Message::Watermark(EventTime::MAX) => {}
                Message::Watermark(time) => printed.push_str(&format!("    => ~ {}\n", print_time(time.0))),
                _ => {}
            }
        }
    }
}

fn print_rows(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<_> = rows
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                use arrow::array::{Array, AsArray};
                let times = column.as_primitive::<arrow::datatypes::TimestampMillisecondType>().clone();
                (0..times.len())
                    .map(|n| if times.is_null(n) { "null".to_string() } else { print_time(times.value(n)) })
                    .collect()
            }
            _ => {
                let formatter = ArrayFormatter::try_new(column, &options).expect("every type can be shown");
                (0..rows.num_rows()).map(|n| formatter.value(n).to_string()).collect::<Vec<String>>()
            }
        })
        .collect();
    (0..rows.num_rows())
        .map(|n| columns.iter().map(|column| column[n].as_str()).collect::<Vec<_>>().join("  "))
        .collect()
}
