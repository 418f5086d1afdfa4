//! Operators: what a row costs each, with what it keeps and what it emits.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::Operator as Binary;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, Literal};
use tidemill_exec::aggregate::{self, AggregateCall};
use tidemill_exec::operators::{
    Aggregate, AggregateColumn, Emit, Filter, Join, JoinKind, LocalAggregate, LocalWindowAggregate, Numbering, Order,
    Project, Rank, RowWindow, TimeKind, WindowAggregate, window_fields,
};
use tidemill_exec::window::{LocalClock, Shape, Windows};
use tidemill_exec::{Barrier, Batch, Input, Operator, OperatorSpec, Output, ShardContext};
use tidemill_state::{Epoch, EventTime};

use super::{BATCH, ROWS, batches, measured};

pub fn all() {
    let few = batches(ROWS, 1000);
    let many = batches(ROWS, 1_000_000);
    let input = few[0].schema();
    let half = binary(column("v", 2), Binary::Lt, number(BATCH as i64 / 2));
    case("operator: filter that takes half", &Filter { condition: half, schema: Arc::clone(&input) }, &few);
    case("operator: project, a number added", &project(&input), &few);
    case("operator: aggregate, a thousand numbers", &aggregate(&input, 0), &few);
    case("operator: aggregate, a thousand texts", &aggregate(&input, 1), &few);
    case("operator: aggregate, new numbers", &aggregate(&input, 0), &many);
    let local = |key: usize| LocalAggregate::new(vec![key], calls(&input), Arc::clone(&input)).expect("a local phase");
    case("operator: local aggregate, a thousand numbers", &local(0), &few);
    case("operator: local aggregate, new numbers", &local(0), &many);
    for (what, shape) in [
        ("tumbling", Shape::Tumble { size: 10_000 }),
        ("hopping", Shape::Hop { size: 10_000, slide: 1000 }),
        ("cumulating", Shape::Cumulate { step: 1000, max: 10_000 }),
    ] {
        let windows = Windows { shape, offset: 0, clock: LocalClock::UTC };
        case(&format!("operator: {what} windows"), &windowed(&input, windows), &few);
        let local = LocalWindowAggregate::new(windows, 3, vec![0], calls(&input), Arc::clone(&input));
        case(&format!("operator: {what} windows, local phase"), &local.expect("a local phase"), &few);
    }
    case("operator: first by key", &first(&input), &few);
    joined("operator: join, one row of a key each", &join(&input), &many);
}

/// A new instance is fed everything, time passes, and an epoch ends.
fn case(what: &str, spec: &dyn OperatorSpec, batches: &[RecordBatch]) {
    measured(what, batches.len() * BATCH, 0, || {
        let mut operator = spec.open(&ShardContext::SINGLE).expect("an operator");
        feed(operator.as_mut(), batches);
    });
}

/// The same of both inputs, turn about.
fn joined(what: &str, spec: &dyn OperatorSpec, batches: &[RecordBatch]) {
    measured(what, 2 * batches.len() * BATCH, 0, || {
        let mut operator = spec.open(&ShardContext::SINGLE).expect("an operator");
        let mut out = Output::default();
        for batch in batches {
            for input in 0..2 {
                operator.on_batch(Input(input), Batch::append(batch.clone()), &mut out).expect("rows are taken");
            }
            black_box(out.drain().count());
        }
        end_epoch(operator.as_mut(), &mut out);
    });
}

pub fn feed(operator: &mut dyn Operator, batches: &[RecordBatch]) {
    let mut out = Output::default();
    for (n, batch) in batches.iter().enumerate() {
        operator.on_batch(Input(0), Batch::append(batch.clone()), &mut out).expect("rows are taken");
        operator.on_watermark(EventTime((n * BATCH) as i64), &mut out).expect("time passes");
        black_box(out.drain().count());
    }
    end_epoch(operator, &mut out);
}

fn end_epoch(operator: &mut dyn Operator, out: &mut Output) {
    let barrier = Barrier { epoch: Epoch(1), time: EventTime(0), checkpoint: None, stops: false };
    operator.on_barrier(&barrier, out).expect("an epoch ends");
    black_box(out.drain().count());
}

fn column(name: &str, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, index))
}

fn number(value: i64) -> Arc<dyn PhysicalExpr> {
    Arc::new(Literal::new(ScalarValue::Int64(Some(value))))
}

fn binary(left: Arc<dyn PhysicalExpr>, operator: Binary, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, operator, right))
}

fn project(input: &SchemaRef) -> Project {
    let mut fields: Vec<_> = input.fields().to_vec();
    fields[2] = Arc::new(Field::new("w", DataType::Int64, true));
    let mut expressions: Vec<_> = input.fields().iter().enumerate().map(|(n, field)| column(field.name(), n)).collect();
    expressions[2] = binary(column("v", 2), Binary::Plus, number(1));
    Project { expressions, schema: Arc::new(Schema::new(fields)) }
}

/// `COUNT(*)`, `SUM(v)`.
fn calls(input: &SchemaRef) -> Vec<AggregateColumn> {
    let call = |name: &str, arguments: Vec<usize>| AggregateColumn {
        call: AggregateCall {
            function: aggregate::find(name).expect("it is ours"),
            arguments: arguments.iter().map(|&n| Arc::clone(&input.fields()[n])).collect(),
            distinct: false,
            ignore_nulls: false,
            result: Arc::new(Field::new(name, DataType::Int64, true)),
            retracting: false,
        },
        arguments,
        filter: None,
    };
    vec![call("COUNT", vec![]), call("SUM", vec![2])]
}

/// `GROUP BY` this column.
pub fn aggregate(input: &SchemaRef, key: usize) -> Aggregate {
    let columns = calls(input);
    let key_field = Arc::clone(&input.fields()[key]);
    let results = columns.iter().map(|column| Arc::clone(&column.call.result));
    Aggregate {
        keys: vec![key],
        schema: Arc::new(Schema::new([key_field].into_iter().chain(results).collect::<Vec<_>>())),
        columns,
        input: Arc::clone(input),
        partial: false,
        retracting: false,
        emit: Emit::Epoch,
        ttl: None,
    }
}

/// `GROUP BY k` and these windows.
fn windowed(input: &SchemaRef, windows: Windows) -> WindowAggregate {
    let columns = calls(input);
    let results = columns.iter().map(|column| Arc::clone(&column.call.result));
    let fields = [Arc::clone(&input.fields()[0])].into_iter().chain(window_fields(None)).chain(results);
    WindowAggregate {
        window: RowWindow::Slice { windows, time: 3 },
        kind: TimeKind::Event,
        keys: vec![0],
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        columns,
        input: Arc::clone(input),
        partial: false,
    }
}

/// The row of each key with the highest `v`.
fn first(input: &SchemaRef) -> Rank {
    let mut fields: Vec<_> = input.fields().to_vec();
    fields.push(Arc::new(Field::new("n", DataType::Int64, true)));
    Rank {
        numbering: Numbering::RowNumber,
        keys: vec![0],
        order: vec![Order { column: 2, options: SortOptions { descending: true, nulls_first: false } }],
        first: 1,
        last: 1,
        numbered: false,
        later_first: false,
        append: true,
        emit: Emit::Epoch,
        ttl: None,
        schema: Arc::new(Schema::new(fields)),
    }
}

/// Rows with the same `k`.
fn join(input: &SchemaRef) -> Join {
    let fields: Vec<_> = input.fields().iter().chain(input.fields()).cloned().collect();
    Join {
        kind: JoinKind::Inner,
        keys: [vec![0], vec![0]],
        null_equals_null: false,
        condition: None,
        inputs: [Arc::clone(input), Arc::clone(input)],
        append: true,
        emit: Emit::Epoch,
        ttl: [None, None],
        schema: Arc::new(Schema::new(fields)),
    }
}
