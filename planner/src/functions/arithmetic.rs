//! Arithmetic with decimals: Flink's result types, and NULL where a result does not fit them.
//!
//! Integers and floating point numbers are left to DataFusion's operators, which wrap as Java does and run at memory
//! speed. Decimals are not: there Flink has other precisions (`DECIMAL(5, 2) / DECIMAL(5, 2)` is `DECIMAL(13, 8)`) and
//! DataFusion fails where Flink gives NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, i256};
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::{ExprSchemable, ScalarUDF, cast};
use tidemill_exec::{Error, Result};

use super::cast::{decimal_fits, decimals, power_of_ten, rescale};
use super::function::{Call, Function, Rows};
use super::lists::cast_to;
use super::zone::Zone;
use crate::types::{SqlType, exact_as_decimal};

pub fn all() -> Vec<Function> {
    OPERATORS.iter().map(Operator::function).collect()
}

/// Digits and scale of both sides to those of the result, not yet cut to 38 digits.
type Precision = fn((i32, i32), (i32, i32)) -> (i32, i32);

struct Operator {
    name: &'static str,
    symbol: &'static str,
    rule: fn(&Call<'_>) -> Result<SqlType>,
    body: fn(&Rows<'_>) -> Result<ArrayRef>,
}

const OPERATORS: [Operator; 5] = [
    Operator { name: "__decimal_add", symbol: "+", rule: |call| result_type(call, sum), body: |rows| each(rows, add) },
    Operator {
        name: "__decimal_subtract",
        symbol: "-",
        rule: |call| result_type(call, sum),
        body: |rows| each(rows, |a, b, to| add(a, Decimal { value: -b.value, ..b }, to)),
    },
    Operator {
        name: "__decimal_multiply",
        symbol: "*",
        // A digit more than Calcite gives: so it is in Flink.
        rule: |call| result_type(call, |(p1, s1), (p2, s2)| (p1 + p2 + 1, s1 + s2)),
        body: |rows| each(rows, multiply),
    },
    Operator {
        name: "__decimal_divide",
        symbol: "/",
        rule: |call| {
            result_type(call, |(p1, s1), (p2, s2)| {
                let scale = (s1 + p2 + 1).max(6);
                (p1 - s1 + s2 + scale, scale)
            })
        },
        body: |rows| each(rows, divide),
    },
    Operator {
        name: "__decimal_modulo",
        symbol: "%",
        rule: |call| result_type(call, |(p1, s1), (p2, s2)| ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2))),
        body: |rows| each(rows, modulo),
    },
];

impl Operator {
    fn function(&self) -> Function {
        Function::new(self.name, 2, 2, self.rule, self.body).infix(self.symbol)
    }
}

/// Plans `+ - * / %` where a side is a decimal and the other a number.
#[derive(Debug)]
pub struct DecimalArithmetic {
    functions: Vec<Arc<ScalarUDF>>,
}

impl Default for DecimalArithmetic {
    fn default() -> DecimalArithmetic {
        let functions = OPERATORS.iter().map(|operator| operator.function().into_udf(&Zone::utc())).collect();
        DecimalArithmetic { functions }
    }
}

impl ExprPlanner for DecimalArithmetic {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> PlanResult<PlannerResult<RawBinaryExpr>> {
        let operator = match &expr.op {
            BinaryOperator::Plus => 0,
            BinaryOperator::Minus => 1,
            BinaryOperator::Multiply => 2,
            BinaryOperator::Divide => 3,
            BinaryOperator::Modulo => 4,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (left, right) = (expr.left.get_type(schema)?, expr.right.get_type(schema)?);
        let is_decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..));
        if !is_decimal(&left) && !is_decimal(&right) {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { op, left: a, right: b } = expr;
        if exact_as_decimal(&left).is_some() && exact_as_decimal(&right).is_some() {
            return Ok(PlannerResult::Planned(self.functions[operator].call(vec![a, b])));
        }
        // With a floating point number, a decimal is one too.
        let (a, b) = match (&left, &right) {
            (DataType::Decimal128(..), right) if right.is_floating() => {
                (cast(a, DataType::Float64), cast(b, DataType::Float64))
            }
            (left, DataType::Decimal128(..)) if left.is_floating() => {
                (cast(a, DataType::Float64), cast(b, DataType::Float64))
            }
            _ => (a, b),
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left: a, right: b }))
    }
}

fn sum((p1, s1): (i32, i32), (p2, s2): (i32, i32)) -> (i32, i32) {
    let scale = s1.max(s2);
    ((p1 - s1).max(p2 - s2) + scale + 1, scale)
}

fn result_type(call: &Call<'_>, precision: Precision) -> Result<SqlType> {
    let side = |argument: usize| {
        exact_as_decimal(call.data_type(argument))
            .map(|(precision, scale)| (i32::from(precision), i32::from(scale)))
            .ok_or_else(|| call.wrong(argument, "an exact number"))
    };
    let (digits, scale) = precision(side(0)?, side(1)?);
    let (digits, scale) = match digits {
        // The whole part is kept, the fraction gives way down to 6 digits.
        39.. => (38, (38 - (digits - scale)).max(scale.min(6))),
        _ => (digits, scale),
    };
    call.plain(DataType::Decimal128(digits as u8, scale as i8))
}

/// An unscaled value and its digits behind the point.
#[derive(Clone, Copy)]
struct Decimal {
    value: i128,
    scale: i8,
}

/// `operation` gives the unscaled result at the scale of the result, or `None` where it overflows.
fn each(rows: &Rows<'_>, operation: fn(Decimal, Decimal, i8) -> Result<Option<i128>>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *rows.result.data_type() else {
        return Err(Error::new("decimal arithmetic gives decimals"));
    };
    let side = |argument: usize| -> Result<(ArrayRef, i8)> {
        let (precision, scale) = exact_as_decimal(rows.fields[argument].data_type()).unwrap_or((38, 0));
        let to = Field::new("", DataType::Decimal128(precision, scale), true);
        Ok((cast_to(rows, argument, &to)?, scale))
    };
    let ((left, left_scale), (right, right_scale)) = (side(0)?, side(1)?);
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let mut results = Vec::with_capacity(rows.len);
    for row in 0..rows.len {
        results.push(if left.is_null(row) || right.is_null(row) {
            None
        } else {
            let a = Decimal { value: left.value(row), scale: left_scale };
            let b = Decimal { value: right.value(row), scale: right_scale };
            operation(a, b, scale)?.filter(|value| decimal_fits(*value, precision))
        });
    }
    Ok(Arc::new(decimals(results, precision, scale)?))
}

fn add(a: Decimal, b: Decimal, to: i8) -> Result<Option<i128>> {
    let scale = a.scale.max(b.scale);
    let sum = match (rescale(a.value, a.scale, scale), rescale(b.value, b.scale, scale)) {
        (Some(a), Some(b)) => a.checked_add(b).and_then(|sum| rescale(sum, scale, to)),
        _ => None,
    };
    Ok(sum)
}

fn multiply(a: Decimal, b: Decimal, to: i8) -> Result<Option<i128>> {
    let scale = a.scale + b.scale;
    if let Some(product) = a.value.checked_mul(b.value) {
        return Ok(rescale(product, scale, to));
    }
    // 76 digits fit 256 bits.
    let product = i256::from_i128(a.value).checked_mul(i256::from_i128(b.value));
    Ok(product.and_then(|product| round(product, wide_power((scale - to).max(0) as u32)?)))
}

fn divide(a: Decimal, b: Decimal, to: i8) -> Result<Option<i128>> {
    check_divisor(b)?;
    // The quotient at scale `to` is a * 10^shift / b.
    let shift = i32::from(to) - i32::from(a.scale) + i32::from(b.scale);
    if shift < 0 {
        let divisor = wide_power(-shift as u32).and_then(|power| i256::from_i128(b.value).checked_mul(power));
        return Ok(divisor.and_then(|divisor| round(i256::from_i128(a.value), divisor)));
    }
    let dividend = wide_power(shift as u32).and_then(|power| i256::from_i128(a.value).checked_mul(power));
    Ok(dividend.and_then(|dividend| round(dividend, i256::from_i128(b.value))))
}

fn modulo(a: Decimal, b: Decimal, to: i8) -> Result<Option<i128>> {
    check_divisor(b)?;
    let scale = a.scale.max(b.scale);
    let wide = |side: Decimal| {
        i256::from_i128(side.value).checked_mul(i256::from_i128(power_of_ten((scale - side.scale) as u32)))
    };
    let rest = wide(a).zip(wide(b)).and_then(|(a, b)| a.checked_rem(b)).and_then(i256::to_i128);
    Ok(rest.and_then(|rest| rescale(rest, scale, to)))
}

fn check_divisor(divisor: Decimal) -> Result<()> {
    if divisor.value == 0 {
        return Err(Error::new("division by zero").fix("write a / NULLIF(b, 0) to get NULL instead"));
    }
    Ok(())
}

/// The quotient, rounded half up; `None` beyond 128 bits.
fn round(dividend: i256, divisor: i256) -> Option<i128> {
    // Most decimals are short, and 128 bits divide far faster.
    if let (Some(dividend), Some(divisor)) = (dividend.to_i128(), divisor.to_i128()) {
        let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
        let up = rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs();
        return Some(if up { quotient + dividend.signum() * divisor.signum() } else { quotient });
    }
    let (quotient, rest) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
    let (rest, size) = (rest.wrapping_abs(), divisor.wrapping_abs());
    let quotient = quotient.to_i128()?;
    if rest < size.wrapping_sub(rest) {
        return Some(quotient);
    }
    quotient.checked_add(if dividend.is_negative() == divisor.is_negative() { 1 } else { -1 })
}

/// 10 to the power of 0 to 76.
fn wide_power(exponent: u32) -> Option<i256> {
    match exponent {
        0..=38 => Some(i256::from_i128(power_of_ten(exponent))),
        39..=76 => i256::from_i128(power_of_ten(38)).checked_mul(i256::from_i128(power_of_ten(exponent - 38))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::function::testing::*;
    use super::*;
    use datafusion::common::ScalarValue;

    fn decimal(value: i128, precision: u8, scale: i8) -> Arg {
        Arg::Literal(ScalarValue::Decimal128(Some(value), precision, scale))
    }

    fn call(operator: &str, left: Arg, right: Arg) -> String {
        show(all(), &format!("__decimal_{operator}"), &[left, right])
    }

    #[test]
    fn result_types_are_those_of_flink() {
        assert_eq!(call("multiply", decimal(110, 5, 2), decimal(220, 5, 2)), "DECIMAL(11, 4) NOT NULL: 2.4200");
        assert_eq!(call("divide", decimal(110, 5, 2), decimal(220, 5, 2)), "DECIMAL(13, 8) NOT NULL: 0.50000000");
        assert_eq!(call("add", decimal(110, 5, 2), decimal(22_000, 9, 4)), "DECIMAL(10, 4) NOT NULL: 3.3000");
        assert_eq!(call("subtract", decimal(110, 5, 2), decimal(22_000, 9, 4)), "DECIMAL(10, 4) NOT NULL: -1.1000");
        assert_eq!(call("divide", int(7), decimal(20, 2, 1)), "DECIMAL(17, 6) NOT NULL: 3.500000");
        assert_eq!(call("modulo", decimal(75, 2, 1), int(2)), "DECIMAL(2, 1) NOT NULL: 1.5");
    }

    #[test]
    fn what_does_not_fit_is_null() {
        let nines = || decimal(10i128.pow(38) - 1, 38, 0);
        assert_eq!(call("multiply", nines(), nines()), "DECIMAL(38, 0) NOT NULL: NULL");
        assert_eq!(call("add", nines(), nines()), "DECIMAL(38, 0) NOT NULL: NULL");
        assert_eq!(call("multiply", decimal(3, 38, 0), decimal(3, 38, 0)), "DECIMAL(38, 0) NOT NULL: 9");
        assert_eq!(call("add", decimal(3, 38, 0), decimal(3, 38, 0)), "DECIMAL(38, 0) NOT NULL: 6");
    }

    #[test]
    fn quotients_round_half_away_from_zero() {
        assert_eq!(call("divide", decimal(2, 1, 0), decimal(3, 1, 0)), "DECIMAL(7, 6) NOT NULL: 0.666667");
        assert_eq!(call("divide", decimal(-2, 1, 0), decimal(3, 1, 0)), "DECIMAL(7, 6) NOT NULL: -0.666667");
        // 10^31 with 6 digits behind the point is more than 128 bits hold times 10^6.
        let wide = decimal(2 * 10i128.pow(31), 38, 0);
        assert_eq!(
            call("divide", wide, decimal(-3, 1, 0)),
            "DECIMAL(38, 6) NOT NULL: -6666666666666666666666666666666.666667"
        );
    }

    #[test]
    fn a_wide_product_is_rounded_to_what_fits() {
        // 1.5e17 and 2.5, with 18 digits behind the point each: 36 in the product, of which 6 are kept.
        let (a, b) = (decimal(15 * 10i128.pow(34), 38, 18), decimal(25 * 10i128.pow(17), 38, 18));
        assert_eq!(call("multiply", a, b), "DECIMAL(38, 6) NOT NULL: 375000000000000000.000000");
    }

    #[test]
    fn division_by_zero_is_an_error_that_says_how_to_avoid_it() {
        let error = evaluate(all(), "__decimal_divide", &[decimal(1, 1, 0), int(0)]).unwrap_err();
        assert_eq!(error.to_string(), "division by zero\n  fix: write a / NULLIF(b, 0) to get NULL instead");
    }
}
