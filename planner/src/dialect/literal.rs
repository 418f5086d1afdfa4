//! Literals with Flink's types.
//!
//! DataFusion plans every whole number as `BIGINT` and has no hook to say otherwise; a cast around it would not be a
//! literal any more, which functions that need one to know their type (`ROUND(x, 2)`) would not see. But it asks its
//! `ExprPlanner`s about `EXTRACT`, whose own meaning we have given to `__extract`: so `EXTRACT(INT FROM '7')` in the
//! syntax tree *is* the literal 7 of type INT, and [`Literals`], which must be first among the expression planners,
//! turns it into one.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::Expr as Planned;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::sql::sqlparser::ast::{
    DateTimeField, Expr, ExtractSyntax, Ident, Interval as IntervalExpr, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::marker::{as_text, call, text};

const TYPES: [&str; 4] = ["INT", "BIGINT", "DECIMAL", "DOUBLE"];

/// A number as Flink types it: INT if it fits, else BIGINT, else DECIMAL; exact with a point; DOUBLE with an exponent.
pub(super) fn number(number: &str, span: Span) -> Expr {
    let kind = if number.contains(['e', 'E']) {
        "DOUBLE"
    } else if number.contains('.') && !number.ends_with('.') {
        "DECIMAL"
    } else {
        return whole(number.trim_end_matches('.').to_string(), span);
    };
    typed(kind, number.to_string(), span)
}

fn whole(number: String, span: Span) -> Expr {
    let kind = match number.parse::<i64>() {
        Ok(value) if i32::try_from(value).is_ok() => "INT",
        Ok(_) => "BIGINT",
        Err(_) => "DECIMAL",
    };
    typed(kind, number, span)
}

fn typed(kind: &str, value: String, span: Span) -> Expr {
    Expr::Extract {
        field: DateTimeField::Custom(Ident::with_span(span, kind)),
        syntax: ExtractSyntax::From,
        expr: Box::new(Expr::Value(Value::SingleQuotedString(value).with_span(span))),
    }
}

/// The text and place of a typed number.
fn as_number(expr: &Expr) -> Option<(&str, Span)> {
    match expr {
        Expr::Extract { field: DateTimeField::Custom(kind), expr, .. } if TYPES.contains(&kind.value.as_str()) => {
            Some((as_text(expr)?, kind.span))
        }
        _ => None,
    }
}

/// The text of a number, whether typed already or not, with its sign: what a table function needs to read its
/// arguments.
pub fn number_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number.clone()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(format!("-{}", number_text(expr)?)),
        Expr::Nested(inner) => number_text(inner),
        other => as_number(other).map(|(number, _)| number.to_string()),
    }
}

/// `-` before a typed number: a negative number.
pub(super) fn negated(expr: &Expr) -> Option<Expr> {
    let (number_text, span) = as_number(expr)?;
    let negative = match number_text.strip_prefix('-') {
        Some(positive) => positive.to_string(),
        None => format!("-{number_text}"),
    };
    Some(number(&negative, span))
}

/// Takes the type away again, for the places where DataFusion reads the number itself: LIMIT, window frames, ordinals.
pub(super) fn plain(expr: &mut Expr) {
    if let Some((number, span)) = as_number(expr) {
        *expr = Expr::Value(Value::Number(number.to_string(), false).with_span(span));
    }
}

/// Plans the literals above. Must come before DataFusion's own expression planners.
#[derive(Debug, Default)]
pub struct Literals;

impl ExprPlanner for Literals {
    fn plan_extract(&self, args: Vec<Planned>) -> Result<PlannerResult<Vec<Planned>>> {
        let literal = match args.as_slice() {
            [
                Planned::Literal(ScalarValue::Utf8(Some(kind)), _),
                Planned::Literal(ScalarValue::Utf8(Some(value)), _),
            ] => scalar(kind, value)?,
            _ => None,
        };
        Ok(match literal {
            Some(literal) => PlannerResult::Planned(Planned::Literal(literal, None)),
            None => PlannerResult::Original(args),
        })
    }
}

fn scalar(kind: &str, value: &str) -> Result<Option<ScalarValue>> {
    let unreadable =
        || DataFusionError::from(tidemill_exec::Error::new(format!("{value} is not a number of type {kind}")));
    Ok(Some(match kind {
        "INT" => ScalarValue::Int32(Some(value.parse().map_err(|_| unreadable())?)),
        "BIGINT" => ScalarValue::Int64(Some(value.parse().map_err(|_| unreadable())?)),
        "DOUBLE" => ScalarValue::Float64(Some(value.parse().map_err(|_| unreadable())?)),
        "DECIMAL" => {
            let (unscaled, precision, scale) = decimal(value).ok_or_else(unreadable)?;
            ScalarValue::Decimal128(Some(unscaled), precision, scale)
        }
        _ => return Ok(None),
    }))
}

/// `1.50` is 150 of DECIMAL(3, 2): every digit written counts, as in Flink.
fn decimal(value: &str) -> Option<(i128, u8, i8)> {
    let digits = value.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let precision = (whole.len() + fraction.len()).max(1);
    if precision > 38 {
        return None;
    }
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let signed = if value.starts_with('-') { -unscaled } else { unscaled };
    Some((signed, u8::try_from(precision).ok()?, i8::try_from(fraction.len()).ok()?))
}

/// `DATE '..'`, `TIME '..'`, `TIMESTAMP '..'`, `TIMESTAMP_LTZ '..'` as a cast of the checked and completed text;
/// `Err` says what is expected.
pub(super) fn temporal(kind: &str, value: &str) -> Result<Expr, &'static str> {
    let value = value.trim();
    let fraction = value.rsplit_once('.').map_or("", |(_, fraction)| fraction);
    if fraction.len() > 9 {
        return Err("at most 9 digits of a second");
    }
    let (complete, data_type) = match kind {
        "DATE" => {
            let date = NaiveDate::parse_from_str(value, "%Y-%m-%d").map_err(|_| "a date such as '2020-12-31'")?;
            (date.format("%Y-%m-%d").to_string(), "DATE".to_string())
        }
        "TIME" => {
            let time = NaiveTime::parse_from_str(value, "%H:%M:%S%.f").map_err(|_| "a time such as '23:59:59'")?;
            (with_fraction(time.format("%H:%M:%S").to_string(), fraction), format!("TIME({})", fraction.len()))
        }
        _ => {
            let time = NaiveDateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S%.f")
                .ok()
                .or_else(|| NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
                .ok_or("a timestamp such as '2020-12-31 23:59:59'")?;
            (
                with_fraction(time.format("%Y-%m-%d %H:%M:%S").to_string(), fraction),
                format!("{kind}({})", fraction.len()),
            )
        }
    };
    Ok(call("__cast", vec![text(complete), text(data_type)]))
}

fn with_fraction(seconds: String, fraction: &str) -> String {
    if fraction.is_empty() { seconds } else { format!("{seconds}.{fraction}") }
}

/// The two kinds of Flink interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    Months(i64),
    Milliseconds(i64),
}

/// The fields of an interval, from the largest to the smallest, with how many months or milliseconds one is.
const YEAR_MONTH: [(&str, i64); 3] = [("YEAR", 12), ("QUARTER", 3), ("MONTH", 1)];
const DAY_TIME: [(&str, i64); 5] =
    [("WEEK", 604_800_000), ("DAY", 86_400_000), ("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1000)];

/// The unit that `word` names, in the singular and upper case: `minutes` is MINUTE.
pub(super) fn unit(word: &str) -> Option<&'static str> {
    let upper = word.to_ascii_uppercase();
    let singular = upper.strip_suffix('S').unwrap_or(&upper);
    YEAR_MONTH.iter().chain(&DAY_TIME).map(|(name, _)| *name).find(|name| *name == singular)
}

impl Interval {
    /// `INTERVAL 'value' from [TO to]`; the units are as [`unit`] gives them.
    pub(super) fn parse(value: &str, from: &str, to: Option<&str>) -> Option<Interval> {
        let trimmed = value.trim();
        let (sign, digits) = match trimmed.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        };
        if let Some(position) = YEAR_MONTH.iter().position(|(name, _)| *name == from) {
            let months = match to {
                None => digits.trim().parse::<i64>().ok()?.checked_mul(YEAR_MONTH[position].1)?,
                Some("MONTH") if from == "YEAR" => {
                    let (years, months) = digits.split_once('-')?;
                    years.trim().parse::<i64>().ok()?.checked_mul(12)?.checked_add(months.trim().parse().ok()?)?
                }
                Some(_) => return None,
            };
            return Some(Interval::Months(sign * months));
        }
        let first = DAY_TIME.iter().position(|(name, _)| *name == from)?;
        let last = DAY_TIME.iter().position(|(name, _)| Some(*name) == to.or(Some(from)))?;
        let parts: Vec<&str> = digits.split([' ', ':']).filter(|part| !part.is_empty()).collect();
        if last < first || parts.len() != last - first + 1 {
            return None;
        }
        let mut milliseconds = 0i64;
        for ((name, unit), part) in DAY_TIME[first..=last].iter().zip(parts) {
            let amount =
                if *name == "SECOND" { seconds(part)? } else { part.parse::<i64>().ok()?.checked_mul(*unit)? };
            milliseconds = milliseconds.checked_add(amount)?;
        }
        Some(Interval::Milliseconds(sign * milliseconds))
    }

    /// As DataFusion plans it, also in window frames: one amount of one unit, so that a sign before it is unambiguous.
    pub(super) fn to_expr(self) -> Expr {
        let value = match self {
            Interval::Months(months) => format!("{months} months"),
            Interval::Milliseconds(milliseconds) => format!("{milliseconds} milliseconds"),
        };
        Expr::Interval(IntervalExpr {
            value: Box::new(text(value)),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        })
    }
}

/// Seconds with an optional fraction, as milliseconds; finer digits are cut off, as Flink's intervals end at
/// milliseconds.
fn seconds(part: &str) -> Option<i64> {
    let (whole, fraction) = part.split_once('.').unwrap_or((part, "0"));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || fraction.is_empty() {
        return None;
    }
    let milliseconds: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(milliseconds)
}

/// Reads an interval literal, also with `-` before it: what a table function needs to read its arguments.
pub fn interval(expr: &Expr) -> Option<Interval> {
    match expr {
        Expr::Interval(interval) => match as_text(&interval.value)?.split_once(' ')? {
            (amount, "months") => Some(Interval::Months(amount.parse().ok()?)),
            (amount, "milliseconds") => Some(Interval::Milliseconds(amount.parse().ok()?)),
            _ => None,
        },
        Expr::Nested(inner) => interval(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(match interval(expr)? {
            Interval::Months(months) => Interval::Months(-months),
            Interval::Milliseconds(milliseconds) => Interval::Milliseconds(-milliseconds),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_every_range_of_fields() {
        let parse = Interval::parse;
        assert_eq!(parse("1 02:03:04.5", "DAY", Some("SECOND")), Some(Interval::Milliseconds(93_784_500)));
        assert_eq!(parse("10:30", "MINUTE", Some("SECOND")), Some(Interval::Milliseconds(630_000)));
        assert_eq!(parse("-3", "MINUTE", None), Some(Interval::Milliseconds(-180_000)));
        assert_eq!(parse("0.0019", "SECOND", None), Some(Interval::Milliseconds(1)));
        assert_eq!(parse("-1-2", "YEAR", Some("MONTH")), Some(Interval::Months(-14)));
        assert_eq!(parse("2", "QUARTER", None), Some(Interval::Months(6)));
    }

    #[test]
    fn intervals_that_do_not_fit_their_fields_are_refused() {
        assert_eq!(Interval::parse("1:2:3", "MINUTE", Some("SECOND")), None);
        assert_eq!(Interval::parse("1.x", "SECOND", None), None);
        assert_eq!(Interval::parse("5", "SECOND", Some("DAY")), None);
        assert_eq!(Interval::parse("9223372036854775807", "DAY", None), None);
    }

    #[test]
    fn numbers_get_the_smallest_of_flinks_types() {
        let kind = |text: &str| number(text, Span::empty()).to_string();
        assert_eq!(kind("2147483647"), "EXTRACT(INT FROM '2147483647')");
        assert_eq!(kind("2147483648"), "EXTRACT(BIGINT FROM '2147483648')");
        assert_eq!(kind("99999999999999999999"), "EXTRACT(DECIMAL FROM '99999999999999999999')");
        assert_eq!(kind("1.50"), "EXTRACT(DECIMAL FROM '1.50')");
        assert_eq!(kind("1."), "EXTRACT(INT FROM '1')");
        assert_eq!(kind("1.5e3"), "EXTRACT(DOUBLE FROM '1.5e3')");
    }

    #[test]
    fn every_written_digit_counts_in_a_decimal() {
        assert_eq!(decimal("1.50"), Some((150, 3, 2)));
        assert_eq!(decimal("-0.5"), Some((-5, 2, 1)));
        assert_eq!(decimal(".5"), Some((5, 1, 1)));
        assert_eq!(decimal(&"9".repeat(39)), None);
    }

    #[test]
    fn a_minus_is_part_of_the_number() {
        let minimum = negated(&number("2147483648", Span::empty())).map(|expr| expr.to_string());
        assert_eq!(minimum.as_deref(), Some("EXTRACT(INT FROM '-2147483648')"));
    }
}
