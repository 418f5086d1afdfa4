//! The two texts in which Flink shows values to people: the print connector's and the SQL client's.

use std::fmt::Write;

use arrow::array::Array;

use super::cells::Interval;
use super::{
    CellKind, Cells, Digits, Zone, push_date, push_day_time, push_decimal, push_decimal_scientific, push_double,
    push_float, push_months, push_time, push_timestamp,
};

/// Whose text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextStyle {
    /// The print connector's, which is that of Java objects: `null`, `true`, `2020-02-29T12:34:56.789`, `[1, 2]`, `+I[1, x]`.
    Print,
    /// The SQL client's, which is that of a cast to `STRING`: `<NULL>`, `TRUE`, `2020-02-29 12:34:56.789`, `x'0102'`, `(1, x)`;
    /// `TIMESTAMP_LTZ` as clocks in this zone show it.
    Client(Zone),
}

/// The texts of one column. Made once per batch, so that no type is looked at per value.
pub struct ColumnText<'a> {
    cells: Cells<'a>,
    style: TextStyle,
}

impl<'a> ColumnText<'a> {
    pub fn new(array: &'a dyn Array, style: TextStyle) -> ColumnText<'a> {
        ColumnText { cells: Cells::new(array), style }
    }

    /// Appends the text of one value, which may be null.
    pub fn push(&self, row: usize, out: &mut String) {
        match self.style {
            TextStyle::Print => push_print(&self.cells, row, out),
            TextStyle::Client(_) if self.cells.is_null(row) => out.push_str("<NULL>"),
            TextStyle::Client(zone) => push_client(&self.cells, row, &zone, out),
        }
    }

    /// The text of one value, for where a `String` is wanted anyway.
    pub fn text(&self, row: usize) -> String {
        let mut out = String::new();
        self.push(row, &mut out);
        out
    }
}

fn push_print(cells: &Cells, row: usize, out: &mut String) {
    if cells.is_null(row) {
        return out.push_str("null");
    }
    match &cells.kind {
        CellKind::Boolean(array) => out.push_str(if array.value(row) { "true" } else { "false" }),
        CellKind::Decimal(values, scale) => push_decimal_scientific(out, values[row], *scale),
        CellKind::Timestamp(values, unit, zoned) => {
            push_timestamp(out, values[row], *unit, 'T', if *zoned { Digits::Groups } else { Digits::GroupsOrNothing });
            if *zoned {
                out.push('Z');
            }
        }
        CellKind::Row(fields) => {
            out.push_str("+I");
            push_list(out, ["[", "]"], fields.iter(), |out, (_, field)| push_print(field, row, out));
        }
        CellKind::List(offsets, elements) => {
            push_list(out, ["[", "]"], offsets.range(row), |out, element| push_print(elements, element, out));
        }
        CellKind::Map(offsets, keys, values) => push_list(out, ["{", "}"], offsets.range(row), |out, entry| {
            push_print(keys, entry, out);
            out.push('=');
            push_print(values, entry, out);
        }),
        _ => {
            if let Some(bytes) = cells.bytes(row) {
                push_list(out, ["[", "]"], bytes, |out, byte| _ = write!(out, "{}", byte.cast_signed()));
            } else if let Some((second, nanos, _)) = cells.time(row) {
                push_time(out, second, nanos, Digits::GroupsOrNothing);
            } else if let Some(interval) = cells.interval(row) {
                push_java_interval(out, interval);
            } else {
                push_plain(cells, row, out);
            }
        }
    }
}

fn push_client(cells: &Cells, row: usize, zone: &Zone, out: &mut String) {
    if cells.is_null(row) {
        return out.push_str("NULL");
    }
    match &cells.kind {
        CellKind::Boolean(array) => out.push_str(if array.value(row) { "TRUE" } else { "FALSE" }),
        CellKind::Decimal(values, scale) => push_decimal(out, values[row], *scale),
        CellKind::Timestamp(values, unit, zoned) => {
            let local = if *zoned { zone.to_local(values[row], *unit) } else { values[row] };
            push_timestamp(out, local, *unit, ' ', Digits::of(*unit));
        }
        CellKind::Row(fields) => {
            push_list(out, ["(", ")"], fields.iter(), |out, (_, field)| push_client(field, row, zone, out));
        }
        CellKind::List(offsets, elements) => {
            push_list(out, ["[", "]"], offsets.range(row), |out, element| push_client(elements, element, zone, out));
        }
        CellKind::Map(offsets, keys, values) => push_list(out, ["{", "}"], offsets.range(row), |out, entry| {
            push_client(keys, entry, zone, out);
            out.push('=');
            push_client(values, entry, zone, out);
        }),
        _ => {
            if let Some(bytes) = cells.bytes(row) {
                out.push_str("x'");
                bytes.iter().for_each(|byte| _ = write!(out, "{byte:02x}"));
                out.push('\'');
            } else if let Some((second, nanos, _)) = cells.time(row) {
                // The type is TIME(0) unless the value says otherwise: a fraction is shown where there is one.
                push_time(out, second, nanos, Digits::Groups);
            } else if let Some(interval) = cells.interval(row) {
                push_sql_interval(out, interval);
            } else {
                push_plain(cells, row, out);
            }
        }
    }
}

/// What both styles, and the formats, write alike: texts as they are, whole and floating numbers, dates.
pub(crate) fn push_plain(cells: &Cells, row: usize, out: &mut String) {
    match &cells.kind {
        CellKind::Float32(values) => push_float(out, values[row]),
        CellKind::Float64(values) => push_double(out, values[row]),
        CellKind::Date(days) => push_date(out, i64::from(days[row])),
        CellKind::Int32(values) => out.push_str(itoa::Buffer::new().format(values[row])),
        CellKind::Int64(values) => out.push_str(itoa::Buffer::new().format(values[row])),
        CellKind::Other(Some(formatter)) => _ = write!(out, "{}", formatter.value(row)),
        _ => {
            if let Some(text) = cells.text(row) {
                out.push_str(text);
            } else if let Some(number) = cells.integer(row) {
                _ = write!(out, "{number}");
            }
        }
    }
}

/// `[a, b]`
fn push_list<T>(
    out: &mut String,
    [open, close]: [&str; 2],
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut String, T),
) {
    out.push_str(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        push(out, item);
    }
    out.push_str(close);
}

/// `Period.toString` and `Duration.toString`: `P14M`, `PT1H30M`, `PT0.5S`.
fn push_java_interval(out: &mut String, interval: Interval) {
    let nanos = match interval {
        Interval::Months(0) => return out.push_str("P0D"),
        Interval::Months(months) => {
            _ = write!(out, "P{months}M");
            return;
        }
        Interval::Nanos(0) => return out.push_str("PT0S"),
        Interval::Nanos(nanos) => nanos,
    };
    const SECOND: i128 = 1_000_000_000;
    let (hours, minutes, seconds) = (nanos / (3600 * SECOND), nanos / (60 * SECOND) % 60, nanos % (60 * SECOND));
    out.push_str("PT");
    if hours != 0 {
        _ = write!(out, "{hours}H");
    }
    if minutes != 0 {
        _ = write!(out, "{minutes}M");
    }
    if seconds != 0 {
        let sign = if seconds < 0 { "-" } else { "" };
        _ = write!(out, "{sign}{}", seconds.abs() / SECOND);
        let fraction = seconds.abs() % SECOND;
        if fraction != 0 {
            let digits = format!("{fraction:09}");
            _ = write!(out, ".{}", digits.trim_end_matches('0'));
        }
        out.push('S');
    }
}

/// `+1-02`, `+0 01:30:00.000`
fn push_sql_interval(out: &mut String, interval: Interval) {
    match interval {
        Interval::Months(months) => push_months(out, months),
        // Days are counted in 32 bits, so their milliseconds fit.
        Interval::Nanos(nanos) => push_day_time(out, (nanos / 1_000_000) as i64),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::datatypes::*;

    use super::*;

    fn both(array: &dyn Array, row: usize) -> [String; 2] {
        [TextStyle::Print, TextStyle::Client(Zone::UTC)].map(|style| ColumnText::new(array, style).text(row))
    }

    #[test]
    fn scalars_read_as_flink_printed_them() {
        let booleans = BooleanArray::from(vec![Some(true), None]);
        assert_eq!(both(&booleans, 0), ["true", "TRUE"]);
        assert_eq!(both(&booleans, 1), ["null", "<NULL>"]);
        assert_eq!(both(&Int8Array::from(vec![-128]), 0), ["-128", "-128"]);
        assert_eq!(both(&Float64Array::from(vec![1e10]), 0), ["1.0E10", "1.0E10"]);
        assert_eq!(both(&Date32Array::from(vec![18321]), 0), ["2020-02-29", "2020-02-29"]);
        assert_eq!(both(&BinaryArray::from_vec(vec![&[1, 2, 255]]), 0), ["[1, 2, -1]", "x'0102ff'"]);
        let decimals = Decimal128Array::from(vec![3142]).with_precision_and_scale(10, 3).expect("a decimal");
        assert_eq!(both(&decimals, 0), ["3.142", "3.142"]);
        let small = Decimal128Array::from(vec![1]).with_precision_and_scale(10, 8).expect("a decimal");
        assert_eq!(both(&small, 0), ["1E-8", "0.00000001"]);
        assert_eq!(both(&Time32SecondArray::from(vec![45296]), 0), ["12:34:56", "12:34:56"]);
        assert_eq!(both(&NullArray::new(1), 0), ["null", "<NULL>"]);
    }

    #[test]
    fn timestamps_have_javas_digits_in_print_and_the_types_digits_in_the_client() {
        let timestamps = TimestampMillisecondArray::from(vec![1_582_979_696_789, 1_582_977_600_000, 1_577_829_415_500]);
        assert_eq!(both(&timestamps, 0), ["2020-02-29T12:34:56.789", "2020-02-29 12:34:56.789"]);
        assert_eq!(both(&timestamps, 1), ["2020-02-29T12:00", "2020-02-29 12:00:00.000"]);
        assert_eq!(both(&timestamps, 2), ["2019-12-31T21:56:55.500", "2019-12-31 21:56:55.500"]);
        let zoned = timestamps.with_timezone("UTC");
        assert_eq!(both(&zoned, 0), ["2020-02-29T12:34:56.789Z", "2020-02-29 12:34:56.789"]);
        assert_eq!(both(&zoned, 1)[0], "2020-02-29T12:00:00Z");
        let shanghai = TextStyle::Client(Zone::parse("Asia/Shanghai").expect("a zone"));
        assert_eq!(ColumnText::new(&zoned, shanghai).text(0), "2020-02-29 20:34:56.789");
        let micros = TimestampMicrosecondArray::from(vec![1_582_979_696_789_123]);
        assert_eq!(both(&micros, 0), ["2020-02-29T12:34:56.789123", "2020-02-29 12:34:56.789123"]);
        let seconds = TimestampSecondArray::from(vec![1_582_977_600]);
        assert_eq!(both(&seconds, 0), ["2020-02-29T12:00", "2020-02-29 12:00:00"]);
    }

    #[test]
    fn nested_values_read_as_flink_printed_them() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None, Some(3)]), None]);
        assert_eq!(both(&list, 0), ["[1, null, 3]", "[1, NULL, 3]"]);
        assert_eq!(both(&list, 1), ["null", "<NULL>"]);
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("a");
        map.values().append_value(1);
        map.keys().append_value("b");
        map.values().append_null();
        map.append(true).expect("equal lengths");
        assert_eq!(both(&map.finish(), 0), ["{a=1, b=null}", "{a=1, b=NULL}"]);
        let inner = StructArray::from(vec![(
            Arc::new(Field::new("z", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("deep"), None])) as ArrayRef,
        )]);
        let outer = StructArray::from(vec![
            (Arc::new(Field::new("x", DataType::Int32, true)), Arc::new(Int32Array::from(vec![Some(1), None])) as _),
            (Arc::new(Field::new("y", inner.data_type().clone(), true)), Arc::new(inner) as ArrayRef),
        ]);
        assert_eq!(both(&outer, 0), ["+I[1, +I[deep]]", "(1, (deep))"]);
        assert_eq!(both(&outer, 1), ["+I[null, +I[null]]", "(NULL, (NULL))"]);
        assert_eq!(both(&list.slice(1, 1), 0), ["null", "<NULL>"]);
    }

    #[test]
    fn intervals_are_javas_in_print_and_sqls_in_the_client() {
        assert_eq!(both(&IntervalYearMonthArray::from(vec![14]), 0), ["P14M", "+1-02"]);
        let day_time = IntervalDayTimeArray::from(vec![IntervalDayTime::new(0, 5_400_000)]);
        assert_eq!(both(&day_time, 0), ["PT1H30M", "+0 01:30:00.000"]);
        let mixed = IntervalMonthDayNanoArray::from(vec![
            IntervalMonthDayNano::new(0, -1, -500_000_000),
            IntervalMonthDayNano::new(0, 0, 0),
        ]);
        assert_eq!(both(&mixed, 0), ["PT-24H-0.5S", "-1 00:00:00.500"]);
        assert_eq!(both(&mixed, 1), ["PT0S", "+0 00:00:00.000"]);
    }
}
