//! Choosing between values, and asking what a value is: `IF`, `IFNULL`, `GREATEST`, `TYPEOF`, `IS_DIGIT`, ...

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, StringArray};
use arrow::compute::{self, kernels};
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Case;
use tidemill_exec::{Error, Result};

use super::cast::parse_decimal;
use super::function::{Call, Function, Rows};
use super::lists::cast_to;
use crate::types::{SqlType, common_type, flink_type, is_text};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("if", 3, 3, if_type, if_else)
            .coerced(|types| Ok([vec![DataType::Boolean], common("IF", &types[1..])?].concat()))
            .rewritten(if_as_case),
        Function::new("ifnull", 2, 2, ifnull_type, ifnull)
            .coerced(|types| common("IFNULL", types))
            .rewritten(ifnull_as_case),
        Function::new("greatest", 1, usize::MAX, |call| common_argument(call, 0), |rows| extreme(rows, true))
            .coerced(|types| common("GREATEST", types)),
        Function::new("least", 1, usize::MAX, |call| common_argument(call, 0), |rows| extreme(rows, false))
            .coerced(|types| common("LEAST", types)),
        Function::new("is_decimal", 1, 1, test_type, |rows| test(rows, |text| parse_decimal(text, 38, 0).is_some())),
        Function::new("is_digit", 1, 1, test_type, |rows| test(rows, |text| text.chars().all(char::is_numeric))),
        Function::new("is_alpha", 1, 1, test_type, |rows| test(rows, |text| text.chars().all(char::is_alphabetic))),
        Function::new("typeof", 1, 2, |_| Ok(SqlType::new(DataType::Utf8, true)), type_of),
    ]
}

/// All arguments in the type that holds them all.
fn common(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let sql: Vec<SqlType> = types.iter().map(|data_type| SqlType::new(data_type.clone(), true)).collect();
    let common = common_type(&sql).ok_or_else(|| {
        let shown: Vec<String> = sql.iter().map(|data_type| flink_type(&data_type.field(""))).collect();
        Error::new(format!("the arguments of {name} have no common type"))
            .why(format!("they are {}", shown.join(", ")))
            .fix("cast them to one type")
    })?;
    Ok(vec![common.data_type; types.len()])
}

/// The common type of the arguments from `first` on, with its length; null if one of them may be.
fn common_argument(call: &Call<'_>, first: usize) -> Result<SqlType> {
    let types: Vec<SqlType> = (first..call.fields.len()).map(|argument| call.argument(argument)).collect();
    let nullable = types.iter().any(|argument| argument.nullable);
    Ok(common_type(&types).unwrap_or_else(|| SqlType::new(call.data_type(first).clone(), true)).nullable(nullable))
}

fn if_type(call: &Call<'_>) -> Result<SqlType> {
    common_argument(call, 1)
}

/// Evaluates only the branch that is taken: `IF(b <> 0, a / b, 0)` does not fail.
fn if_as_case(args: Vec<Expr>) -> Result<Expr> {
    let [condition, then, otherwise] = three(args)?;
    let when = vec![(Box::new(condition), Box::new(then))];
    Ok(Expr::Case(Case { expr: None, when_then_expr: when, else_expr: Some(Box::new(otherwise)) }))
}

fn three(args: Vec<Expr>) -> Result<[Expr; 3]> {
    args.try_into().map_err(|_| Error::new("IF takes 3 arguments"))
}

fn if_else(rows: &Rows<'_>) -> Result<ArrayRef> {
    let condition = cast_to(rows, 0, &Field::new("", DataType::Boolean, true))?;
    let condition = certain(condition.as_boolean());
    let (then, otherwise) = (cast_to(rows, 1, rows.result)?, cast_to(rows, 2, rows.result)?);
    Ok(kernels::zip::zip(&condition, &then, &otherwise)?)
}

/// The type of both, null only if the second may be.
fn ifnull_type(call: &Call<'_>) -> Result<SqlType> {
    Ok(common_argument(call, 0)?.nullable(call.fields[0].is_nullable() && call.fields[1].is_nullable()))
}

fn ifnull_as_case(args: Vec<Expr>) -> Result<Expr> {
    let [value, otherwise]: [Expr; 2] = args.try_into().map_err(|_| Error::new("IFNULL takes 2 arguments"))?;
    if_as_case(vec![Expr::IsNotNull(Box::new(value.clone())), value, otherwise])
}

fn ifnull(rows: &Rows<'_>) -> Result<ArrayRef> {
    let nullable = rows.result.as_ref().clone().with_nullable(true);
    let value = cast_to(rows, 0, &nullable)?;
    let present = compute::is_not_null(&value)?;
    Ok(kernels::zip::zip(&present, &value, &cast_to(rows, 1, &nullable)?)?)
}

/// Null is not true.
fn certain(condition: &BooleanArray) -> BooleanArray {
    if condition.null_count() > 0 { compute::prep_null_mask_filter(condition) } else { condition.clone() }
}

/// The largest or smallest argument; null if any is null.
fn extreme(rows: &Rows<'_>, greatest: bool) -> Result<ArrayRef> {
    let mut best = cast_to(rows, 0, rows.result)?;
    for argument in 1..rows.arguments() {
        let next = cast_to(rows, argument, rows.result)?;
        let (a, b): (&dyn Datum, &dyn Datum) = (&best, &next);
        // Null compares as null: then keep whichever of the two is null.
        let better = if greatest { kernels::cmp::gt(b, a)? } else { kernels::cmp::lt(b, a)? };
        let next_is_null = compute::is_null(&next)?;
        let take_next = compute::or(&certain(&better), &next_is_null)?;
        best = kernels::zip::zip(&take_next, &next, &best)?;
    }
    Ok(best)
}

/// These tests are false for null.
fn test_type(call: &Call<'_>) -> Result<SqlType> {
    let data_type = call.data_type(0);
    if !is_text(data_type) && !data_type.is_numeric() && data_type != &DataType::Null {
        return Err(call.wrong(0, "text"));
    }
    Ok(SqlType::new(DataType::Boolean, false))
}

fn test(rows: &Rows<'_>, test: impl Fn(&str) -> bool) -> Result<ArrayRef> {
    let strings = cast_to(rows, 0, &Field::new("", DataType::Utf8, true))?;
    let test = |text: Option<&str>| Some(text.is_some_and(|text| !text.is_empty() && test(text)));
    Ok(Arc::new(strings.as_string::<i32>().iter().map(test).collect::<BooleanArray>()))
}

/// The type of the first argument; with a second that is TRUE, in the long form.
fn type_of(rows: &Rows<'_>) -> Result<ArrayRef> {
    let argument = SqlType::of_argument(&rows.fields[0], rows.constant(0)).field("");
    let long = matches!(rows.constant(1), Some(ScalarValue::Boolean(Some(true))));
    let text = if long { crate::types::flink_type_long(&argument) } else { flink_type(&argument) };
    Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows.len))))
}

#[cfg(test)]
mod tests {
    use super::super::function::testing::*;
    use super::*;

    fn call(name: &str, args: &[Arg]) -> String {
        show(all(), name, args)
    }

    fn boolean(value: bool) -> Arg {
        Arg::Literal(ScalarValue::from(value))
    }

    #[test]
    fn if_has_the_common_type_of_its_branches() {
        assert_eq!(call("if", &[boolean(false), text("y"), text("n")]), "CHAR(1) NOT NULL: n");
        assert_eq!(call("if", &[boolean(true), int(1), Arg::Literal(ScalarValue::from(2i64))]), "BIGINT NOT NULL: 1");
        let conditions = column("BOOLEAN", &[Some("true"), Some("false"), None]);
        assert_eq!(call("if", &[conditions, int(1), null()]), "INT: 1, NULL, NULL");
        assert_eq!(call("if", &[boolean(true), int(1), text("x")]), "the arguments of IF have no common type");
    }

    #[test]
    fn ifnull_is_null_only_if_both_are() {
        assert_eq!(call("ifnull", &[column("STRING", &[None, Some("a")]), text("x")]), "STRING NOT NULL: x, a");
        assert_eq!(call("ifnull", &[null(), null()]), "NULL: NULL");
    }

    #[test]
    fn greatest_and_least_are_null_if_an_argument_is() {
        let numbers = || column("INT", &[Some("1"), None, Some("9")]);
        assert_eq!(call("greatest", &[numbers(), int(5)]), "INT: 5, NULL, 9");
        assert_eq!(call("least", &[int(5), numbers()]), "INT: 1, NULL, 5");
        assert_eq!(call("greatest", &[int(5), null()]), "INT: NULL");
        assert_eq!(call("greatest", &[text("a"), text("B")]), "CHAR(1) NOT NULL: a");
    }

    #[test]
    fn text_is_tested_as_a_whole() {
        let texts = || column("STRING", &[Some("12"), Some("1.5"), Some("ab"), Some("a1"), Some(""), None]);
        let of = |name| call(name, &[texts()]).replace("BOOLEAN NOT NULL: ", "");
        assert_eq!(of("is_digit"), "TRUE, FALSE, FALSE, FALSE, FALSE, FALSE");
        assert_eq!(of("is_decimal"), "TRUE, TRUE, FALSE, FALSE, FALSE, FALSE");
        assert_eq!(of("is_alpha"), "FALSE, FALSE, TRUE, FALSE, FALSE, FALSE");
    }

    #[test]
    fn typeof_prints_types_as_flink_does() {
        assert_eq!(call("typeof", &[text("a")]), "STRING: CHAR(1) NOT NULL");
        assert_eq!(call("typeof", &[int(1)]), "STRING: INT NOT NULL");
        assert_eq!(call("typeof", &[null()]), "STRING: NULL");
        assert_eq!(call("typeof", &[column("STRING", &[None])]), "STRING: STRING");
    }
}
