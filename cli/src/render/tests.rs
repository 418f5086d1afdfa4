//! What each format looks like.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int32Builder, Int64Array,
    ListArray, MapBuilder, NullArray, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use expect_test::{Expect, expect};
use tidemill_exec::{ChangeBatch, RowKind};

use super::*;

/// Three rows with every kind of trouble: a null, a wide character, a separator, a quote, a newline, an escape sequence.
fn sample() -> RecordBatch {
    let users: ArrayRef = Arc::new(StringArray::from(vec![Some("ann"), None, Some("表\n\u{1b}[2J,|\"")]));
    let amounts: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), Some(-1234), None]));
    let times: ArrayRef =
        Arc::new(TimestampMillisecondArray::from(vec![Some(1_577_836_801_000), Some(1_577_836_801_005), None]));
    RecordBatch::try_from_iter_with_nullable([("user", users, true), ("amount", amounts, true), ("ts", times, true)])
        .unwrap()
}

fn nested() -> RecordBatch {
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    maps.keys().append_value("a");
    maps.values().append_value(1);
    maps.append(true).unwrap();
    maps.append(true).unwrap();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
    let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("x\"y\\\u{1}"), None]));
    let structs = StructArray::from(vec![(Arc::new(Field::new("z", DataType::Utf8, true)), inner)]);
    let decimals = Decimal128Array::from(vec![Some(1240), None]).with_precision_and_scale(10, 3).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("price", Arc::new(decimals)),
        ("ratio", Arc::new(Float64Array::from(vec![1.0, f64::NAN]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&[1u8, 2][..]), None]))),
        ("list", Arc::new(lists)),
        ("row \"q\"", Arc::new(structs)),
        ("map", Arc::new(maps.finish())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn check(format: Format, rows: &RecordBatch, expected: Expect) {
    let mut out = Vec::new();
    Style { format, zone: Zone::UTC }.print(rows, &mut out).unwrap();
    expected.assert_eq(&String::from_utf8(out).unwrap());
}

#[test]
fn a_table_aligns_numbers_and_wide_characters_and_shows_control_characters() {
    check(
        Format::Table,
        &sample(),
        expect![[r#"
        +------------------+--------+-------------------------+
        | user             | amount | ts                      |
        +------------------+--------+-------------------------+
        | ann              |      5 | 2020-01-01 00:00:01.000 |
        | <NULL>           |  -1234 | 2020-01-01 00:00:01.005 |
        | 表\n\u{1b}[2J,|" | <NULL> | <NULL>                  |
        +------------------+--------+-------------------------+
    "#]],
    );
}

#[test]
fn an_empty_table_is_a_header() {
    check(
        Format::Table,
        &sample().slice(0, 0),
        expect![[r#"
        +------+--------+----+
        | user | amount | ts |
        +------+--------+----+
    "#]],
    );
}

#[test]
fn a_column_of_type_null_holds_nulls() {
    let nulls: ArrayRef = Arc::new(NullArray::new(1));
    let rows = RecordBatch::try_from_iter_with_nullable([("n", nulls, true)]).unwrap();
    check(
        Format::Table,
        &rows,
        expect![[r#"
        +--------+
        | n      |
        +--------+
        | <NULL> |
        +--------+
    "#]],
    );
    check(
        Format::Json,
        &rows,
        expect![[r#"
        {"n":null}
    "#]],
    );
}

#[test]
fn a_streamed_table_starts_at_once_and_widens_for_a_wide_value() {
    let column = |texts: Vec<&str>| Arc::new(StringArray::from(texts)) as ArrayRef;
    let batch = |texts| RecordBatch::try_from_iter([("k", column(texts))]).unwrap();
    let (first, second) = (batch(vec!["a"]), batch(vec!["much wider than it was", "b"]));
    let (mut table, mut out) = (table::Table::new(&first.schema(), Zone::UTC), Vec::new());
    table.rows(&first, &mut out).unwrap();
    table.settle(&mut out).unwrap();
    expect![[r#"
        +------------------+
        | k                |
        +------------------+
        | a                |
    "#]]
    .assert_eq(&String::from_utf8_lossy(&out));
    out.clear();
    table.rows(&second, &mut out).unwrap();
    table.finish(&mut out).unwrap();
    expect![[r#"
        | much wider than it was |
        | b                      |
        +------------------------+
    "#]]
    .assert_eq(&String::from_utf8_lossy(&out));
}

#[test]
fn csv_tells_null_from_empty_and_quotes_what_needs_it() {
    check(
        Format::Csv,
        &sample(),
        expect![[r#"
        user,amount,ts
        ann,5,2020-01-01 00:00:01.000
        ,-1234,2020-01-01 00:00:01.005
        "表
        [2J,|""",,
    "#]],
    );
    let empty: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None]));
    check(
        Format::Csv,
        &RecordBatch::try_from_iter([("a,b", empty)]).unwrap(),
        expect![[r#"
        "a,b"
        ""

    "#]],
    );
}

#[test]
fn json_keeps_nested_values_as_json() {
    check(
        Format::Json,
        &sample(),
        expect![[r#"
            {"user":"ann","amount":5,"ts":"2020-01-01 00:00:01"}
            {"user":null,"amount":-1234,"ts":"2020-01-01 00:00:01.005"}
            {"user":"表\n\u001B[2J,|\"","amount":null,"ts":null}
        "#]],
    );
    check(
        Format::Json,
        &nested(),
        expect![[r#"
            {"yes":true,"price":1.24,"ratio":1.0,"bytes":"AQI=","list":[1,null],"row \"q\"":{"z":"x\"y\\\u0001"},"map":{"a":1}}
            {"yes":null,"price":null,"ratio":"NaN","bytes":null,"list":null,"row \"q\"":{"z":null},"map":{}}
        "#]],
    );
    let mut out = Vec::new();
    Style { format: Format::Json, zone: Zone::UTC }.print(&nested(), &mut out).unwrap();
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).expect("every line is a JSON value");
    }
}

#[test]
fn markdown_escapes_what_would_break_the_table() {
    check(
        Format::Markdown,
        &sample(),
        expect![[r#"
        | user | amount | ts |
        | --- | --: | --- |
        | ann | 5 | 2020-01-01 00:00:01.000 |
        | NULL | -1234 | 2020-01-01 00:00:01.005 |
        | 表<br>[2J,\|" | NULL | NULL |
    "#]],
    );
}

#[test]
fn vertical_prints_a_line_per_value() {
    check(
        Format::Vertical,
        &sample(),
        expect![[r#"
        -[ row 1 ]-
        user   | ann
        amount | 5
        ts     | 2020-01-01 00:00:01.000
        -[ row 2 ]-
        user   | <NULL>
        amount | -1234
        ts     | 2020-01-01 00:00:01.005
        -[ row 3 ]-
        user   | 表\n\u{1b}[2J,|"
        amount | <NULL>
        ts     | <NULL>
    "#]],
    );
}

#[test]
fn a_changelog_has_the_kind_of_change_first() {
    let rows = RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![1, 1, 2])) as ArrayRef)]).unwrap();
    let kinds = vec![RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter];
    let changes = ChangeBatch { kinds: Some(kinds), rows };
    let rows = changelog(&changes, &with_op(&changes.rows.schema())).unwrap();
    check(
        Format::Csv,
        &rows,
        expect![[r#"
        op,n
        +I,1
        -U,1
        +U,2
    "#]],
    );
}
