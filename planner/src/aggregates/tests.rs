//! Batch queries through DataFusion, in one phase and in two, give what Flink printed; and its plans lead back to our aggregates.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute;
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator, LogicalPlan};
use datafusion::prelude::{SessionConfig, SessionContext};
use tidemill_exec::aggregate::{Accumulator, AggregateCall, all};

use super::accumulators::Grouped;
use super::*;

/// A session that computes with so many partitions, and gives up on partial aggregation at once if `skips`.
fn session(partitions: usize, skips: bool) -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(2)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_usize("datafusion.execution.skip_partial_aggregation_probe_rows_threshold", if skips { 0 } else { 1_000 })
        .set_str("datafusion.execution.skip_partial_aggregation_probe_ratio_threshold", "0.0");
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    for udaf in udafs() {
        datafusion::execution::FunctionRegistry::register_udaf(&mut state, udaf).unwrap();
    }
    let context = SessionContext::new_with_state(state);
    context.register_table("ev", Arc::new(events(partitions))).unwrap();
    context.register_table("t", Arc::new(numbers(partitions))).unwrap();
    context
}

/// Shares the rows out, so that there is something to merge.
fn table(rows: RecordBatch, partitions: usize) -> MemTable {
    let schema = rows.schema();
    let share = rows.num_rows().div_ceil(partitions);
    let parts = (0..partitions).map(|part| {
        let from = (part * share).min(rows.num_rows());
        let all = rows.slice(from, share.min(rows.num_rows() - from));
        (0..all.num_rows()).map(|row| all.slice(row, 1)).collect()
    });
    MemTable::try_new(schema, parts.collect()).unwrap()
}

/// What the recorded cases agg_basic, agg_global and win_first_last_listagg read.
fn events(partitions: usize) -> MemTable {
    let k: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a", "c", "b", "a", "b", "a", "c"]));
    let v: ArrayRef = Arc::new(Int64Array::from_iter_values(1..10));
    let w: ArrayRef =
        Arc::new(Int32Array::from(vec![Some(1), None, Some(3), None, Some(5), Some(6), None, Some(6), None]));
    table(RecordBatch::try_from_iter([("k", k), ("v", v), ("w", w)]).unwrap(), partitions)
}

/// What agg_int_types reads.
fn numbers(partitions: usize) -> MemTable {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(Int8Array::from(vec![100, 100, -1]))),
        ("b", Arc::new(Int16Array::from(vec![30000, 30000, -1]))),
        ("c", Arc::new(Int32Array::from(vec![2147483647, 1, -1]))),
        ("d", Arc::new(Int64Array::from(vec![9223372036854775807, 1, -1]))),
        ("e", Arc::new(Float32Array::from(vec![1.5, 2.25, -1.0]))),
        ("f", Arc::new(Float64Array::from(vec![0.1, 0.2, 0.3]))),
    ];
    table(RecordBatch::try_from_iter(columns).unwrap(), partitions)
}

async fn ask(context: &SessionContext, sql: &str) -> RecordBatch {
    let frame = context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    compute::concat_batches(&schema, &batches).unwrap()
}

/// Rows as `a|b|null`, sorted.
fn show(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<_> = rows.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
    let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    let mut shown: Vec<String> = (0..rows.num_rows()).map(row).collect();
    shown.sort();
    shown
}

/// The answer in one phase, in two, and in two without combining rows in the first.
async fn check(sql: &str, expected: &[&str]) {
    for (partitions, skips) in [(1, false), (3, false), (3, true)] {
        let context = session(partitions, skips);
        assert_eq!(show(&ask(&context, sql).await), expected, "{partitions} partitions, skips {skips}: {sql}");
    }
}

#[tokio::test]
async fn grouped_aggregates_give_what_flink_printed() {
    // agg_basic, agg_keyed_batch
    check(
        "SELECT k, COUNT(*) AS c, SUM(v) AS s, MIN(v) AS mn, MAX(v) AS mx, AVG(v) AS a FROM ev GROUP BY k",
        &["a|4|18|1|8|4", "b|3|14|2|7|4", "c|2|13|4|9|6"],
    )
    .await;
    // agg_global
    check("SELECT COUNT(*) AS c, SUM(v) AS s, AVG(CAST(v AS DOUBLE)) AS a FROM ev", &["9|45|5.0"]).await;
}

#[tokio::test]
async fn a_null_key_is_a_group() {
    // agg_null_keys
    check(
        "SELECT a, COUNT(*) AS c, COUNT(v) AS cv, SUM(v) AS s FROM \
         (VALUES ('x', 1), (NULL, 2), ('y', NULL), (NULL, 4), ('x', NULL), ('z', NULL)) AS t (a, v) GROUP BY a",
        &["null|2|2|6", "x|2|1|1", "y|1|0|null", "z|1|0|null"],
    )
    .await;
}

#[tokio::test]
async fn integers_keep_their_type_wrap_and_truncate() {
    // agg_int_types
    let sql = "SELECT SUM(a), SUM(b), SUM(c), SUM(d), SUM(e), SUM(f), AVG(a), AVG(c), AVG(e), AVG(f) FROM t";
    let context = session(1, false);
    let rows = ask(&context, sql).await;
    assert_eq!(
        show(&rows),
        ["-57|-5537|2147483647|9223372036854775807|2.75|0.6000000000000001|66|715827882|0.9166667|0.20000000000000004"]
    );
    use DataType::*;
    let types: Vec<DataType> = rows.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    assert_eq!(types, [Int8, Int16, Int32, Int64, Float32, Float64, Int8, Int32, Float32, Float64]);
    check("SELECT SUM(a), AVG(a), SUM(c) FROM t WHERE a > 0", &["-56|100|-2147483648"]).await;
}

#[tokio::test]
async fn counts_are_not_null_and_zero_where_nothing_is() {
    let context = session(1, false);
    let rows = ask(&context, "SELECT COUNT(*) AS c, COUNT(w) AS cw, SUM(w) AS s FROM ev WHERE v > 100").await;
    assert_eq!(show(&rows), ["0|0|null"]);
    let nullable: Vec<bool> = rows.schema().fields().iter().map(|field| field.is_nullable()).collect();
    assert_eq!(nullable, [false, false, true]);
    check("SELECT k, COUNT(w), COUNT(k, w), COUNT(*) FROM ev GROUP BY k", &["a|4|4|4", "b|1|1|3", "c|0|0|2"]).await;
    // A correlated count becomes an outer join, whose missing rows must become 0.
    check(
        "SELECT o.v, (SELECT COUNT(*) FROM ev i WHERE i.w = o.v) AS n FROM ev o WHERE o.v IN (2, 6)",
        &["2|0", "6|2"],
    )
    .await;
}

#[tokio::test]
async fn distinct_and_filter_apply_before_counting() {
    check(
        "SELECT COUNT(DISTINCT k), COUNT(*) FILTER (WHERE v > 3), COUNT(DISTINCT k) FILTER (WHERE v > 3), \
         SUM(v) FILTER (WHERE k = 'zz'), SUM(DISTINCT w), APPROX_COUNT_DISTINCT(w) FROM ev",
        &["3|6|3|null|15|4"],
    )
    .await;
    // DataFusion turns a single distinct argument into two levels of GROUP BY.
    check("SELECT COUNT(DISTINCT w), SUM(v), MIN(v), MAX(v) FROM ev", &["4|45|1|9"]).await;
    check("SELECT COUNT(DISTINCT a), SUM(a) FROM t", &["2|-57"]).await;
    check("SELECT COUNT(DISTINCT (k)) , k FROM ev GROUP BY k", &["1|a", "1|b", "1|c"]).await;
    check("SELECT COUNT(DISTINCT k, w) FROM ev", &["4"]).await;
}

#[tokio::test]
async fn first_last_and_listagg_leave_nulls_out_and_keep_the_order_of_arrival() {
    // win_first_last_listagg, its first window
    let context = session(1, false);
    let sql =
        "SELECT FIRST_VALUE(v), LAST_VALUE(v), LISTAGG(k), LISTAGG(k, '|'), STRING_AGG(k, '') FROM ev WHERE v < 5";
    assert_eq!(show(&ask(&context, sql).await), ["1|4|a,b,a,c|a|b|a|c|abac"]);
    let sql = "SELECT k, FIRST_VALUE(w), LAST_VALUE(w), ARRAY_AGG(w), ARRAY_AGG(w) IGNORE NULLS FROM ev GROUP BY k";
    assert_eq!(
        show(&ask(&context, sql).await),
        ["a|1|6|[1, 3, 6, 6]|[1, 3, 6, 6]", "b|5|5|[null, 5, null]|[5]", "c|null|null|[null, null]|null"]
    );
    // agg_collect_jsonagg
    let sql = "SELECT k, COLLECT(v), ARRAY_AGG(v), JSON_ARRAYAGG(v) FROM ev GROUP BY k";
    assert_eq!(
        show(&ask(&context, sql).await),
        [
            "a|{1: 1, 3: 1, 6: 1, 8: 1}|[1, 3, 6, 8]|[1,3,6,8]",
            "b|{2: 1, 5: 1, 7: 1}|[2, 5, 7]|[2,5,7]",
            "c|{4: 1, 9: 1}|[4, 9]|[4,9]"
        ]
    );
}

#[tokio::test]
async fn order_by_inside_an_aggregate_is_honoured_in_any_number_of_phases() {
    check(
        "SELECT FIRST_VALUE(v ORDER BY v DESC), LAST_VALUE(k ORDER BY v DESC), LISTAGG(k, '|' ORDER BY v DESC), \
         ARRAY_AGG(DISTINCT k ORDER BY k DESC), SUM(v ORDER BY v) FROM ev",
        &["9|a|c|a|b|a|b|c|a|b|a|[c, b, a]|45"],
    )
    .await;
    check(
        "SELECT k, LISTAGG(CAST(v AS VARCHAR) ORDER BY w DESC NULLS LAST, v) FROM ev GROUP BY k",
        &["a|6,8,3,1", "b|5,2,7", "c|4,9"],
    )
    .await;
}

#[tokio::test]
async fn a_moving_frame_takes_rows_out_again() {
    check(
        "SELECT v, SUM(v) OVER w AS s, MAX(w) OVER w AS m, COUNT(w) OVER w AS n, LISTAGG(k) OVER w AS l \
         FROM ev WINDOW w AS (ORDER BY v ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
        &[
            "1|1|1|1|a",
            "2|3|1|1|a,b",
            "3|5|3|1|b,a",
            "4|7|3|1|a,c",
            "5|9|5|1|c,b",
            "6|11|6|2|b,a",
            "7|13|6|1|a,b",
            "8|15|6|1|b,a",
            "9|17|6|1|a,c",
        ],
    )
    .await;
}

#[tokio::test]
async fn variances_have_the_type_of_an_average() {
    check(
        "SELECT STDDEV_POP(a), STDDEV(b), VAR_POP(e), CAST(VARIANCE(f) AS DECIMAL(9, 6)), VAR_SAMP(CAST(b AS DECIMAL(10, 2))) FROM t WHERE a > 0",
        &["0|0|0.140625|0.005000|0.000000"],
    )
    .await;
}

/// The aggregates of the query, with the schema they are over.
async fn aggregates(context: &SessionContext, sql: &str) -> (Vec<PlannedAggregate>, LogicalPlan) {
    let mut plan = context.state().create_logical_plan(sql).await.unwrap();
    plan = context.state().optimize(&plan).unwrap();
    while !matches!(plan, LogicalPlan::Aggregate(_)) {
        plan = plan.inputs()[0].clone();
    }
    let LogicalPlan::Aggregate(aggregate) = plan else { unreachable!() };
    let calls = aggregate.aggr_expr.iter().map(|expr| match expr.clone().unalias() {
        Expr::AggregateFunction(function) => call_of(&function, aggregate.input.schema()).unwrap(),
        other => panic!("{other}"),
    });
    (calls.collect(), aggregate.input.as_ref().clone())
}

/// Feeds the table to each aggregate, as a stream would, and shows what it says: halfway, at the end, and from its state.
async fn run(sql: &str) -> Vec<[String; 3]> {
    let context = session(1, false);
    let (calls, input) = aggregates(&context, sql).await;
    let mut results = vec![];
    for planned in calls {
        let expressions = planned.arguments.clone();
        let frame = datafusion::dataframe::DataFrame::new(context.state(), input.clone());
        let rows = frame
            .select(expressions.into_iter().enumerate().map(|(n, e)| e.alias(format!("a{n}"))).collect::<Vec<_>>());
        let batches = match planned.arguments.is_empty() {
            true => vec![],
            false => rows.unwrap().collect().await.unwrap(),
        };
        let call = &planned.call;
        let mut accumulator = call.function.accumulator(call).unwrap();
        accumulator.resize(1);
        let shown = |accumulator: &dyn Accumulator| {
            let result = accumulator.evaluate(&[0]).unwrap();
            assert_eq!(result.data_type(), call.result.data_type());
            show(&RecordBatch::try_from_iter([("r", result)]).unwrap()).remove(0)
        };
        let mut halfway = String::new();
        for (n, batch) in batches.iter().enumerate() {
            for (column, field) in batch.columns().iter().zip(&call.arguments) {
                assert_eq!(column.data_type(), field.data_type());
            }
            accumulator.update(&vec![0; batch.num_rows()], batch.columns(), None).unwrap();
            if n == batches.len() / 2 {
                accumulator.state(&[0]).unwrap();
                halfway = shown(accumulator.as_ref());
            }
        }
        let mut restored = call.function.accumulator(call).unwrap();
        restored.resize(1);
        restored.merge(&[0], &accumulator.state(&[0]).unwrap()).unwrap();
        results.push([halfway, shown(accumulator.as_ref()), shown(restored.as_ref())]);
    }
    results
}

#[tokio::test]
async fn plans_lead_back_to_our_aggregates() {
    let context = session(1, false);
    let sql = "SELECT COUNT(*), COUNT(w), SUM(w), SUM(DISTINCT v) FILTER (WHERE v > 1), LISTAGG(k ORDER BY v), MEDIAN(v) FROM ev";
    let (calls, _) = aggregates(&context, sql).await;
    let names: Vec<&str> = calls.iter().map(|planned| planned.call.function.name()).collect();
    assert_eq!(names, ["COUNT", "COUNT", "SUM", "SUM", "LISTAGG", "MEDIAN"]);
    assert_eq!(calls.iter().map(|planned| planned.arguments.len()).collect::<Vec<_>>(), [0, 1, 1, 1, 2, 1]);
    assert_eq!(calls[2].call.result.data_type(), &DataType::Int32);
    assert!(calls[3].call.distinct && calls[3].filter.is_some());
}

#[tokio::test]
async fn any_aggregate_of_datafusion_runs_over_a_stream_and_can_be_asked_again() {
    let results = run("SELECT MEDIAN(v), CORR(v, w), BIT_XOR(v), APPROX_PERCENTILE_CONT(v, 0.5), \
                       NTH_VALUE(v, 2 ORDER BY v DESC), MEDIAN(DISTINCT w), SUM(w), LISTAGG(k ORDER BY v DESC) FROM ev")
    .await;
    let expected = ["5.0", "0.95", "1", "5", "8", "4", "21", "c,a,b,a,b,c,a,b,a"];
    for ([halfway, end, restored], expected) in results.iter().zip(expected) {
        assert!(end.starts_with(expected.trim_end_matches(".0")), "{end} instead of {expected}");
        assert_eq!(end, restored);
        assert!(!halfway.is_empty());
    }
    assert_eq!(results.len(), expected.len());
}

#[tokio::test]
async fn a_foreign_aggregate_over_an_updating_input_is_computed_from_the_rows_that_are_in() {
    let context = session(1, false);
    let (calls, _) = aggregates(&context, "SELECT MEDIAN(v) FROM ev").await;
    let call = AggregateCall { retracting: true, ..calls[0].call.clone() };
    let mut accumulator = call.function.accumulator(&call).unwrap();
    accumulator.resize(2);
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 5.0, 9.0, 1.0]));
    accumulator.update(&[0, 0, 0, 0], &[values], Some(&[1, 1, 1, -1])).unwrap();
    let results = accumulator.evaluate(&[0, 1]).unwrap();
    assert_eq!(results.as_primitive::<arrow::datatypes::Float64Type>(), &Float64Array::from(vec![Some(7.0), None]));
}

#[test]
fn what_is_emitted_is_gone_and_the_rest_moves_down() {
    let sum = all().into_iter().find(|function| function.name() == "SUM").unwrap();
    let field = |name| Arc::new(Field::new(name, DataType::Int64, true));
    let call = AggregateCall {
        function: sum,
        arguments: vec![field("v")],
        distinct: true,
        ignore_nulls: false,
        result: field("s"),
        retracting: false,
    };
    let mut grouped = Grouped::new(call).unwrap();
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
    let shown = |array: ArrayRef| show(&RecordBatch::try_from_iter([("s", array)]).unwrap());
    let keep = BooleanArray::from(vec![Some(true), Some(true), None, Some(true)]);
    grouped.update_batch(&[Arc::clone(&values)], &[0, 1, 2, 3], Some(&keep), 4).unwrap();
    assert_eq!(shown(grouped.evaluate(EmitTo::First(2)).unwrap()), ["1", "2"]);
    // Group 3 is now group 1, and knows its 4.
    grouped.update_batch(&[values], &[0, 0, 0, 1], None, 2).unwrap();
    let state = grouped.state(EmitTo::First(1)).unwrap();
    assert_eq!(shown(grouped.evaluate(EmitTo::All).unwrap()), ["4"]);
    grouped.merge_batch(&state, &[0], 1).unwrap();
    assert_eq!(shown(grouped.evaluate(EmitTo::All).unwrap()), ["6"]);
    assert_eq!(shown(grouped.evaluate(EmitTo::All).unwrap()), Vec::<String>::new());
}

#[test]
fn every_aggregate_is_registered_once_under_each_of_its_names() {
    let udafs = udafs();
    let mut names: Vec<String> =
        udafs.iter().flat_map(|udaf| [udaf.name().to_string()].into_iter().chain(udaf.aliases().to_vec())).collect();
    names.sort();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before);
    assert!(names.iter().all(|name| tidemill_exec::aggregate::find(name).is_some() && *name == name.to_lowercase()));
}
