//! Grammar that stands for functions: `SUBSTRING(s FROM 2)`, `EXTRACT(YEAR FROM t)`, `POSITION(a IN b)`, `OVERLAY(..)`,
//! `t - INTERVAL '1.5' SECOND`, `a LIKE b ESCAPE '!'`.
//!
//! DataFusion's own planners would send these to its own functions, which differ from Flink's; register
//! [`FlinkSyntax`] before them, and [`FlinkPatterns`] with the analyzer.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, ScalarUDF, cast, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Plans expressions whose grammar hides a function.
#[derive(Debug)]
pub struct FlinkSyntax {
    functions: Vec<Arc<ScalarUDF>>,
}

impl FlinkSyntax {
    /// `functions` are those of [`super::string::all`] and [`super::datetime::all`].
    pub fn new(functions: &[Arc<ScalarUDF>]) -> FlinkSyntax {
        let names = ["substring", "position", "overlay", "__extract", "timestampadd"];
        FlinkSyntax { functions: functions.iter().filter(|f| names.contains(&f.name())).cloned().collect() }
    }

    fn named(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.functions.iter().find(|function| function.name() == name)
    }

    fn call(&self, name: &str, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(match self.named(name) {
            Some(function) => PlannerResult::Planned(invoke(function, args)),
            None => PlannerResult::Original(args),
        })
    }
}

fn invoke(function: &Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args))
}

impl ExprPlanner for FlinkSyntax {
    fn plan_substring(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        self.call("substring", args)
    }

    /// DataFusion hands over the text first; our function has the needle first, as the grammar has.
    fn plan_position(&self, mut args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        args.reverse();
        self.call("position", args)
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        self.call("overlay", args)
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        self.call("__extract", args)
    }

    /// A timestamp plus or minus an interval has the unit of the timestamp, so a fraction of a second that it has no
    /// room for would be lost. Flink makes the timestamp finer, and so do we: `TIMESTAMP(0) - INTERVAL '0.5' SECOND`
    /// is a `TIMESTAMP(3)`. A time of day plus an interval is a time of day, around midnight if need be.
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let operator = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let sign = if operator == Operator::Plus { 1 } else { -1 };
        for (point, interval) in [(&expr.left, &expr.right), (&expr.right, &expr.left)] {
            let times = matches!(point.get_type(schema), Ok(DataType::Time32(_) | DataType::Time64(_)));
            if let (true, Some(nanos), Some(add)) = (times, interval_nanos(interval), self.named("timestampadd")) {
                let millis = lit(sign * nanos / 1_000_000);
                return Ok(PlannerResult::Planned(invoke(add, vec![lit("MILLISECOND"), millis, point.clone()])));
            }
        }
        let finer = |point: &Expr, interval: &Expr| {
            let needed = interval_unit(interval)?;
            match point.get_type(schema).ok()? {
                DataType::Timestamp(unit, zone) if unit < needed => Some(DataType::Timestamp(needed, zone)),
                _ => None,
            }
        };
        let (left, right) = match (finer(&expr.left, &expr.right), finer(&expr.right, &expr.left)) {
            (Some(of), _) => (cast(expr.left, of), expr.right),
            (None, Some(of)) if operator == Operator::Plus => (expr.left, cast(expr.right, of)),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let planned = BinaryExpr::new(Box::new(left), operator, Box::new(right));
        Ok(PlannerResult::Planned(Expr::BinaryExpr(planned)))
    }
}

/// The part of an interval literal that is shorter than a day.
fn interval_nanos(interval: &Expr) -> Option<i64> {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) => Some(value.nanoseconds),
        Expr::Literal(ScalarValue::IntervalDayTime(Some(value)), _) => Some(i64::from(value.milliseconds) * 1_000_000),
        _ => None,
    }
}

/// The coarsest unit that holds an interval literal's fraction of a second.
fn interval_unit(interval: &Expr) -> Option<TimeUnit> {
    let nanos = interval_nanos(interval)?;
    Some(match nanos {
        _ if nanos % 1_000_000_000 == 0 => TimeUnit::Second,
        _ if nanos % 1_000_000 == 0 => TimeUnit::Millisecond,
        _ if nanos % 1000 == 0 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    })
}

/// Sends `LIKE` and `SIMILAR TO` to our functions where DataFusion's differ: it knows no escape character but the
/// backslash, and that one even where `ESCAPE` is not written. A plain `LIKE` stays DataFusion's, which the optimizer
/// knows how to push down and to shorten.
#[derive(Debug)]
pub struct FlinkPatterns {
    like: Arc<ScalarUDF>,
    similar: Arc<ScalarUDF>,
}

impl FlinkPatterns {
    /// `functions` are those of [`super::string::all`]; `None` if they lack the two this needs.
    pub fn new(functions: &[Arc<ScalarUDF>]) -> Option<FlinkPatterns> {
        let find = |name: &str| functions.iter().find(|function| function.name() == name).cloned();
        Some(FlinkPatterns { like: find("__like")?, similar: find("__similar")? })
    }

    fn call(&self, function: &Arc<ScalarUDF>, like: Like) -> Expr {
        let mut args = vec![*like.expr, *like.pattern];
        args.extend(like.escape_char.map(|escape| lit(escape.to_string())));
        let call = invoke(function, args);
        if like.negated { Expr::Not(Box::new(call)) } else { call }
    }
}

impl FunctionRewrite for FlinkPatterns {
    fn name(&self) -> &str {
        "flink_patterns"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::Like(like) if !like.case_insensitive && !is_plain(&like) => {
                Transformed::yes(self.call(&self.like, like))
            }
            Expr::SimilarTo(like) => Transformed::yes(self.call(&self.similar, like)),
            expr => Transformed::no(expr),
        })
    }
}

/// Whether both read the pattern alike.
fn is_plain(like: &Like) -> bool {
    let pattern = match like.pattern.as_ref() {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    };
    match like.escape_char {
        Some(escape) => escape == '\\',
        None => pattern.is_some_and(|pattern| !pattern.contains('\\')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{datetime, math, string};
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::logical_expr::Volatility;
    use datafusion::prelude::{SessionConfig, SessionContext};

    /// A session with Flink's functions in front of DataFusion's.
    fn session() -> SessionContext {
        let mut functions = string::all();
        functions.extend(datetime::all("UTC", Volatility::Stable));
        let mut state = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1)).state();
        for function in &functions {
            datafusion::execution::registry::FunctionRegistry::register_udf(&mut state, Arc::clone(function)).unwrap();
        }
        let rewrite = Arc::new(FlinkPatterns::new(&functions).unwrap());
        datafusion::execution::registry::FunctionRegistry::register_function_rewrite(&mut state, rewrite).unwrap();
        let context = SessionContext::new_with_state(state);
        let planner = Arc::new(FlinkSyntax::new(&functions));
        // Registered last, so asked last: DataFusion's planners would win, as they must not in the product either.
        let planners = datafusion::execution::session_state::SessionStateBuilder::new_from_existing(context.state())
            .with_expr_planners(vec![
                planner,
                Arc::new(datafusion::functions::core::planner::CoreFunctionPlanner::default()),
            ])
            .build();
        SessionContext::new_with_state(planners)
    }

    fn rows(sql: &str) -> Vec<Vec<String>> {
        let batches = futures::executor::block_on(async { session().sql(sql).await.unwrap().collect().await.unwrap() });
        let table = pretty_format_batches(&batches).unwrap().to_string();
        let rows = table.lines().skip(3).filter(|line| line.starts_with('|'));
        let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect();
        rows.map(cells).collect()
    }

    /// The one row that a query gives.
    fn answers(sql: &str) -> Vec<String> {
        rows(sql).remove(0)
    }

    #[test]
    fn names_are_lower_case_and_unique() {
        let functions: Vec<_> =
            [string::all(), math::all(), datetime::all("UTC", Volatility::Stable)].into_iter().flatten().collect();
        let mut names: Vec<_> =
            functions.iter().flat_map(|f| f.aliases().iter().map(String::as_str).chain([f.name()])).collect();
        names.sort_unstable();
        assert!(names.iter().all(|name| *name == name.to_lowercase()));
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn every_row_has_its_own_answer() {
        let table = "(VALUES ('abcabc', 2, 'b'), (NULL, 1, 'x'), ('日本', 2, '本'), ('', NULL, '')) AS t(a, n, b)";
        assert_eq!(
            rows(&format!(
                "SELECT substr(a, n), instr(a, b), repeat(b, n), regexp_extract(a, b), split_index(a, b, 0), \
                 a LIKE b || '%' ESCAPE '!', concat_ws('-', a, b, b), lpad(b, n, a) FROM {table}"
            )),
            [
                ["bcabc", "2", "bb", "b", "a", "false", "abcabc-b-b", "ab"],
                ["", "", "x", "", "", "", "x-x", ""],
                ["本", "2", "本本", "本", "日", "false", "日本-本-本", "日本"],
                ["", "1", "", "", "", "true", "--", ""],
            ]
        );
    }

    #[test]
    fn grammar_reaches_flinks_functions() {
        assert_eq!(
            answers(
                "SELECT SUBSTRING('abcdef' FROM -2), SUBSTRING('abc' FROM 0 FOR 2), POSITION('c' IN 'abc'), \
                 EXTRACT(DOW FROM DATE '2020-02-29'), OVERLAY('abcdef' PLACING 'XX' FROM 2), \
                 round(1.005, 2)"
            )[..5],
            ["ef", "ab", "3", "7", "aXXdef"]
        );
    }

    #[test]
    fn patterns_take_any_escape_character() {
        assert_eq!(
            answers(
                r"SELECT 'a_c' LIKE 'a\_c' ESCAPE '\', 'a_c' LIKE 'a!_c' ESCAPE '!', 'abc' NOT LIKE 'a!_c' ESCAPE '!',
                  'a\bc' LIKE 'a\_c', 'abc' SIMILAR TO '(a|b)%', 'abc' LIKE 'a%', 'abc' SIMILAR TO '(a|b)'"
            ),
            ["true", "true", "true", "true", "true", "true", "false"]
        );
    }

    #[test]
    fn a_timestamp_keeps_its_unit_unless_an_interval_is_finer() {
        assert_eq!(
            answers(
                "SELECT arrow_typeof(t - INTERVAL '1' SECOND), arrow_typeof(t - INTERVAL '0.5' SECOND), \
                 t - INTERVAL '0.5' SECOND, t + INTERVAL '1' MONTH, arrow_typeof(DATE '2020-03-01' - INTERVAL '1' DAY) \
                 FROM (SELECT arrow_cast('2020-01-31 00:00:00', 'Timestamp(s)') AS t)"
            ),
            ["Timestamp(s)", "Timestamp(ms)", "2020-01-30T23:59:59.500", "2020-02-29T00:00:00", "Date32"]
        );
        assert_eq!(
            answers(
                "SELECT arrow_typeof(arrow_cast('23:30:00', 'Time32(ms)') + INTERVAL '1' HOUR), \
                 arrow_cast('23:30:00', 'Time32(ms)') + INTERVAL '1' HOUR, \
                 DATE '2020-03-01' - INTERVAL '86400000 milliseconds', unix_timestamp('1970-01-01 00:00:05')"
            ),
            ["Time32(ms)", "00:30:00", "2020-02-29", "5"]
        );
    }
}
