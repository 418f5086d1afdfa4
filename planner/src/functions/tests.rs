//! The functions inside real plans: names found, types announced, optimized, run.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::cast::Cast;
use super::*;
use crate::types::{flink_type, parse_type};

fn context() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.enable_ident_normalization = false;
    let mut planners = expr_planners();
    planners.extend(SessionStateDefaults::default_expr_planners());
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_expr_planners(planners)
        .with_scalar_functions(
            SessionStateDefaults::default_scalar_functions().into_iter().chain(all("UTC").unwrap()).collect(),
        )
        .build();
    SessionContext::new_with_state(state)
}

/// A table of text columns, each cast to its type.
fn register(context: &SessionContext, columns: &[(&str, &str, &[Option<&str>])]) {
    let zone = Zone::utc();
    let cast = Cast { zone: &zone, strict: true };
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, data_type, values) in columns {
        let to = parse_type(data_type, "UTC").unwrap().field(*name);
        let text: ArrayRef = Arc::new(arrow::array::StringArray::from(values.to_vec()));
        let from = arrow::datatypes::Field::new("", arrow::datatypes::DataType::Utf8, true);
        arrays.push(cast.apply(&text, &from, &to).unwrap());
        fields.push(to);
    }
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    context.register_batch("t", RecordBatch::try_new(schema, arrays).unwrap()).unwrap();
}

/// One line per result column: its planned type, then its values.
fn run(context: &SessionContext, sql: &str) -> Result<Vec<String>> {
    // One partition needs no runtime.
    futures::executor::block_on(answer(context, sql))
}

async fn answer(context: &SessionContext, sql: &str) -> Result<Vec<String>> {
    let frame = context.sql(sql).await?;
    let planned = frame.schema().as_arrow().clone();
    let zone = Zone::utc();
    let batches = frame.collect().await?;
    let mut lines = Vec::new();
    for (place, field) in planned.fields().iter().enumerate() {
        let mut values = Vec::new();
        for batch in &batches {
            let push = super::cast::to_text(batch.column(place).as_ref(), field, &zone)?;
            for row in 0..batch.num_rows() {
                let mut text = String::new();
                push(row, &mut text);
                values.push(text);
            }
        }
        lines.push(format!("{}: {}", flink_type(field), values.join(", ")));
    }
    Ok(lines)
}

#[test]
fn casts_are_typed_folded_and_run() {
    let context = context();
    register(&context, &[("a", "STRING", &[Some(" 12 "), None])]);
    let lines = run(
        &context,
        "SELECT __cast(a, 'INT'), __try_cast('x', 'INT'), __cast('abcdef', 'CHAR(3)'), typeof(__array(1, 2)), \
         typeof('a'), typeof(__cast('a', 'STRING')) FROM t",
    )
    .unwrap();
    assert_eq!(
        lines,
        [
            "INT: 12, NULL",
            "INT: NULL, NULL",
            "CHAR(3) NOT NULL: abc, abc",
            "STRING: ARRAY<BIGINT NOT NULL> NOT NULL, ARRAY<BIGINT NOT NULL> NOT NULL",
            "STRING: CHAR(1) NOT NULL, CHAR(1) NOT NULL",
            "STRING: STRING NOT NULL, STRING NOT NULL",
        ]
    );
}

#[test]
fn a_bad_cast_fails_when_it_runs_with_its_own_error() {
    let context = context();
    register(&context, &[("a", "STRING", &[Some("4"), Some("x")])]);
    for sql in ["SELECT __cast(a, 'INT') FROM t", "SELECT __cast('x', 'INT') FROM t"] {
        assert_eq!(run(&context, sql).unwrap_err().what(), "cannot cast 'x' to INT");
    }
}

#[test]
fn if_computes_only_the_branch_it_takes() {
    let context = context();
    register(&context, &[("a", "INT", &[Some("4"), Some("1")]), ("b", "INT", &[Some("2"), Some("0")])]);
    let lines = run(&context, "SELECT if(b <> 0, a / b, -1), ifnull(nullif(b, 0), a), greatest(a, b) FROM t");
    assert_eq!(lines.unwrap(), ["BIGINT: 2, -1", "BIGINT: 2, 1", "INT: 4, 1"]);
}

#[test]
fn integers_divide_and_wrap_as_in_java() {
    let context = context();
    register(&context, &[("a", "INT", &[Some("7"), Some("2147483647")]), ("b", "INT", &[Some("2"), Some("1")])]);
    assert_eq!(run(&context, "SELECT a / b, a + b FROM t").unwrap(), ["INT: 3, 2147483647", "INT: 9, -2147483648"]);
    assert_eq!(run(&context, "SELECT a / (b - b) FROM t").unwrap_err().what(), "division by zero");
}

#[test]
fn typed_results_can_be_grouped() {
    let context = context();
    register(&context, &[("a", "INT", &[Some("4"), Some("1"), Some("0")])]);
    let sql = "SELECT x, y, z, COUNT(*) FROM (SELECT if(a > 0, 'y', 'n') AS x, __cast(a > 5, 'CHAR(2)') AS y, \
               __cast(a * 0, 'STRING') AS z FROM t) AS q GROUP BY x, y, z ORDER BY x";
    let lines = run(&context, sql);
    assert_eq!(lines.unwrap()[..3], ["CHAR(1) NOT NULL: n, y", "CHAR(2): FA, FA", "STRING: 0, 0"]);
}

#[test]
fn decimals_add_up_as_in_flink() {
    let context = context();
    let nines = "9".repeat(38);
    register(&context, &[("a", "DECIMAL(38, 0)", &[Some(&nines), Some("3")]), ("i", "INT", &[Some("1"), Some("2")])]);
    let lines = run(&context, "SELECT a * a AS sq, a + a AS dbl, i / __cast('2.0', 'DECIMAL(2,1)') FROM t");
    assert_eq!(
        lines.unwrap(),
        ["DECIMAL(38, 0): NULL, 9", "DECIMAL(38, 0): NULL, 6", "DECIMAL(17, 6): 0.500000, 1.000000"]
    );
}

#[test]
fn elements_and_fields_are_reached_by_their_syntax() {
    let context = context();
    register(&context, &[("a", "STRING", &[Some("x y"), None])]);
    let lines = run(
        &context,
        "SELECT tags[1], tags[5], m['k'], m['z'], r['EXPR$1'], q.r.EXPR$0 FROM (SELECT split(a, ' ') AS tags, \
         __map('k', a) AS m, __row(1, a) AS r, __row(__row(a)) AS s FROM t) AS q",
    )
    .unwrap();
    assert_eq!(
        lines,
        [
            "STRING: x, NULL",
            "STRING: NULL, NULL",
            "STRING: x y, NULL",
            "STRING: NULL, NULL",
            "STRING: x y, NULL",
            "BIGINT NOT NULL: 1, 1"
        ]
    );
}

#[test]
fn a_field_behind_a_subscript_is_named_for_the_planner() {
    use datafusion::sql::sqlparser::{ast, dialect::GenericDialect, parser::Parser};
    let parse = |sql: &str| Parser::new(&GenericDialect {}).try_with_sql(sql).unwrap().parse_expr().unwrap();
    let mut expr = parse("items[1].sku");
    access::quote_field_names(&mut expr);
    assert_eq!(expr.to_string(), "items[1].'sku'");
    let mut expr = parse("t.items[1].sku.x");
    access::quote_field_names(&mut expr);
    assert_eq!(expr.to_string(), "t.items[1].'sku'.'x'");
    assert!(matches!(expr, ast::Expr::CompoundFieldAccess { .. }));
}

#[test]
fn documents_nest_inside_documents() {
    let context = context();
    register(&context, &[("a", "STRING", &[Some("[1]")])]);
    let sql = "SELECT __json_object('NULL', 'raw', __json_array('NULL', 1), 'text', a) FROM t";
    let lines = run(&context, sql).unwrap();
    assert_eq!(lines, [r#"STRING NOT NULL: {"raw":[1],"text":"[1]"}"#]);
}

#[test]
fn every_function_has_a_name_of_its_own() {
    let mut names: Vec<String> = all("UTC").unwrap().iter().map(|function| function.name().to_string()).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}
