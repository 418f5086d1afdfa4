//! That DataFusion plans what comes out of desugaring as meant.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, TableReference, plan_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::planner::{ContextProvider, ParserOptions, SqlToRel};
use expect_test::expect;

use super::super::*;
use super::one;

/// One table, no functions.
struct OneTable {
    options: ConfigOptions,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl ContextProvider for OneTable {
    fn get_table_source(&self, _name: TableReference) -> Result<Arc<dyn TableSource>> {
        let schema = Schema::new(vec![
            Field::new("v", DataType::Int64, true),
            Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        ]);
        let table: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(Arc::new(schema), vec![vec![]])?);
        Ok(provider_as_source(table))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, _name: &str) -> Option<Arc<ScalarUDF>> {
        None
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

fn plan(sql: &str) -> String {
    let Statement::Query(query) = one(sql) else { panic!("not a query") };
    let context = OneTable { options: ConfigOptions::default(), planners: vec![Arc::new(Literals)] };
    let options = ParserOptions { enable_ident_normalization: false, ..ParserOptions::default() };
    let statement = datafusion::sql::sqlparser::ast::Statement::Query(query);
    let planned = SqlToRel::new_with_options(&context, options).sql_statement_to_plan(statement);
    let planned =
        planned.and_then(|plan| if plan.schema().fields().is_empty() { plan_err!("no columns") } else { Ok(plan) });
    match planned {
        Ok(plan) => {
            let columns = plan.schema().fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type()));
            format!("{plan}\n{}", columns.collect::<Vec<_>>().join(", "))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn numbers_are_literals_of_flinks_types() {
    expect![[r#"
        Projection: Int32(1) AS EXPR$0, Int32(-1) AS EXPR$1, Int64(3000000000) AS EXPR$2, Decimal128(1.50,3,2) AS EXPR$3, Float64(10000000000) AS EXPR$4
          EmptyRelation: rows=1
        EXPR$0: Int32, EXPR$1: Int32, EXPR$2: Int64, EXPR$3: Decimal128(3, 2), EXPR$4: Float64"#]]
    .assert_eq(&plan("SELECT 1, -1, 3000000000, 1.50, 1e10"));
}

#[test]
fn intervals_are_added_to_timestamps() {
    expect![[r#"
        Projection: t.ts - IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 5000000000 }") AS a, t.ts + IntervalMonthDayNano("IntervalMonthDayNano { months: -14, days: 0, nanoseconds: 0 }") AS b
          TableScan: t
        a: Timestamp(ms), b: Timestamp(ms)"#]]
    .assert_eq(&plan("SELECT ts - INTERVAL '5' SECOND AS a, ts + - INTERVAL '1-2' YEAR TO MONTH AS b FROM t"));
}

#[test]
fn fetch_limits_and_ordinals_count() {
    expect![[r#"
        Limit: skip=1, fetch=2
          Sort: t.v ASC NULLS LAST
            Projection: t.v
              TableScan: t
        v: Int64"#]]
    .assert_eq(&plan("SELECT v FROM t ORDER BY 1 OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY"));
}

#[test]
fn the_same_column_twice_gets_two_names() {
    expect![[r#"
        Projection: t.v, t.v AS v0
          TableScan: t
        v: Int64, v0: Int64"#]]
    .assert_eq(&plan("SELECT v, v FROM t"));
}
