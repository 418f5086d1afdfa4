use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Json;
use crate::connect::{Format, TableDefinition, Unread};
use crate::formats::law::*;

use DataType::{Binary, Boolean, Date32, Decimal128, Float64, Int8, Int16, Int32, Int64, Utf8};

fn all_types(options: &[(&str, &str)]) -> TableDefinition {
    table(
        &[
            ("a", Boolean),
            ("d", Int32),
            ("e", Int64),
            ("g", Float64),
            ("h", Decimal128(10, 3)),
            ("k", Utf8),
            ("l", Date32),
            ("m", DataType::Time32(TimeUnit::Second)),
            ("n", timestamp(TimeUnit::Millisecond)),
            ("p", timestamp_ltz()),
            ("q", Binary),
            ("r", list(Int32)),
            ("s", map(Utf8, Int32)),
            ("u", row(&[("x", Int32), ("y", row(&[("z", Utf8)]))])),
        ],
        options,
    )
}

const ALL_TYPES: &str = concat!(
    r#"{"a":true,"d":3,"e":4,"g":2.5,"h":3.14159,"k":"héllo","l":"2020-02-29","m":"12:34:56","n":"2020-02-29 12:34:56.789","p":"2020-02-29 12:34:56.789Z","q":"AQI=","r":[1,null,3],"s":{"a":1},"u":{"x":1,"y":{"z":"deep"}}}"#,
    "\n",
    r#"{"d":"7","g":"1.5","k":12,"u":{"y":null}}"#,
    "\n{}\n"
);

#[test]
fn every_type_reads_as_in_flink() {
    let table = all_types(&[]);
    let expected = Outcome::rows(&[
        "+I[true, 3, 4, 2.5, 3.142, héllo, 2020-02-29, 12:34:56, 2020-02-29T12:34:56.789, 2020-02-29T12:34:56.789Z, \
         [1, 2], [1, null, 3], {a=1}, +I[1, +I[deep]]]",
        "+I[null, 7, null, 1.5, null, 12, null, null, null, null, null, null, null, +I[null, null]]",
        "+I[null, null, null, null, null, null, null, null, null, null, null, null, null, null]",
    ]);
    assert_eq!(decode_all(&Json, &table, ALL_TYPES.as_bytes()), expected);
    assert_eq!(
        client(&batch(&Json, &table, ALL_TYPES.as_bytes()))[..2],
        [
            "+I\tTRUE\t3\t4\t2.5\t3.142\théllo\t2020-02-29\t12:34:56\t2020-02-29 12:34:56.789\t\
             2020-02-29 12:34:56.789\tx'0102'\t[1, NULL, 3]\t{a=1}\t(1, (deep))",
            "+I\t<NULL>\t7\t<NULL>\t1.5\t<NULL>\t12\t<NULL>\t<NULL>\t<NULL>\t<NULL>\t<NULL>\t<NULL>\t<NULL>\t(NULL, NULL)",
        ]
    );
}

#[test]
fn nested_values_read_as_in_flink() {
    let table = table(
        &[
            ("id", Int32),
            ("tags", list(Utf8)),
            ("m", map(Utf8, Int32)),
            ("items", list(row(&[("sku", Utf8), ("q", Int32)]))),
        ],
        &[],
    );
    let input = r#"{"id":1,"tags":["x","y"],"m":{"a":1},"items":[{"sku":"p","q":2},{"sku":"r","q":3}]}
{"id":2,"tags":[],"m":{},"items":[]}
{"id":3,"tags":null,"m":null,"items":null}
{"id":4,"tags":["z",null],"m":{"b":2},"items":[{"sku":null,"q":null}]}
"#;
    let expected = Outcome::rows(&[
        "+I[1, [x, y], {a=1}, [+I[p, 2], +I[r, 3]]]",
        "+I[2, [], {}, []]",
        "+I[3, null, null, null]",
        "+I[4, [z, null], {b=2}, [+I[null, null]]]",
    ]);
    assert_eq!(decode_all(&Json, &table, input.as_bytes()), expected);
}

#[test]
fn a_broken_line_fails_after_the_rows_before_it() {
    let table = table(&[("a", Int32)], &[]);
    let outcome = decode_all(&Json, &table, b"{\"a\":1}\n{bad\n{\"a\":2}\n");
    assert_eq!(outcome.rows, ["+I[1]"]);
    assert_eq!(
        outcome.error.as_deref(),
        Some(
            "cannot decode a json record of table t\n  why: expected a key in double quotes at character 2, in the record: \
             {bad\n  fix: correct the record, or leave bad ones out with 'json.ignore-parse-errors' = 'true'"
        )
    );
}

#[test]
fn a_missing_field_fails_only_if_the_table_says_so() {
    let columns = [("a", Int32), ("b", Int32)];
    let strict = table(&columns, &[("json.fail-on-missing-field", "true")]);
    let outcome = decode_all(&Json, &strict, b"{\"a\":1,\"b\":2}\n{\"a\":1}\n");
    assert_eq!(outcome.rows, ["+I[1, 2]"]);
    assert!(
        outcome.error.is_some_and(|error| error.contains("column b: the field is missing, in the record: {\"a\":1}"))
    );
    let lenient = decode_all(&Json, &table(&columns, &[]), b"{\"a\":1}\n");
    assert_eq!(lenient, Outcome::rows(&["+I[1, null]"]));
    let both = table(&columns, &[("json.fail-on-missing-field", "true"), ("json.ignore-parse-errors", "true")]);
    assert!(Json.decoder(&both, &[0]).is_err());
}

#[test]
fn timestamps_follow_the_chosen_standard() {
    let columns = [("n", timestamp(TimeUnit::Millisecond)), ("p", timestamp_ltz())];
    let iso = br#"{"n":"2020-02-29T12:34:56.789","p":"2020-02-29T12:34:56.789Z"}"#;
    let iso_table = table(&columns, &[("json.timestamp-format.standard", "ISO-8601")]);
    assert_eq!(
        decode_all(&Json, &iso_table, iso),
        Outcome::rows(&["+I[2020-02-29T12:34:56.789, 2020-02-29T12:34:56.789Z]"])
    );
    let error = decode_all(&Json, &table(&columns, &[]), iso).error.expect("SQL timestamps have a space");
    assert!(error.contains("column n: '2020-02-29T12:34:56.789' is an ISO-8601 time"), "{error}");
}

#[test]
fn a_local_timestamp_without_zone_is_read_in_the_tables_zone() {
    let mut table = table(&[("p", timestamp_ltz())], &[]);
    table.time_zone = "Asia/Shanghai".to_string();
    let input =
        b"{\"p\":\"2020-02-29 12:00:01\"} {\"p\":\"2020-02-29 12:00:01Z\"} {\"p\":\"2020-02-29 12:00:01+01:00\"}";
    assert_eq!(
        decode_all(&Json, &table, input),
        Outcome::rows(&["+I[2020-02-29T04:00:01Z]", "+I[2020-02-29T12:00:01Z]", "+I[2020-02-29T11:00:01Z]"])
    );
}

#[test]
fn with_ignore_parse_errors_bad_fields_are_null_and_bad_lines_left_out() {
    let columns = [("a", Int32), ("b", Utf8), ("r", list(Int8)), ("o", row(&[("x", Int64)]))];
    let table = table(&columns, &[("json.ignore-parse-errors", "true")]);
    let input =
        b"{\"a\":\"x\",\"b\":\"1\"}\n{\"a\":1,\n\nnonsense\n{\"a\":2,\"b\":\"unclosed\n{\"a\":{\"no\":1},\"b\":\"2\",\
        \"r\":[1,300,\"x\",[2]],\"o\":{\"x\":[]}}\n{\"a\":3,\"o\":7}\n{\"a\":99999999999}\n{\"a\":4} trailing\n{\"a\":";
    let expected = Outcome {
        rows: [
            "+I[null, 1, null, null]",
            "+I[null, 2, [1, null, null, null], +I[null]]",
            "+I[3, null, null, null]",
            "+I[null, null, null, null]",
            "+I[4, null, null, null]",
        ]
        .map(String::from)
        .to_vec(),
        skipped: 5,
        error: None,
    };
    assert_eq!(decode_all(&Json, &table, input), expected);
}

#[test]
fn skipped_records_are_counted_with_an_example() {
    let table = table(&[("a", Int32)], &[("json.ignore-parse-errors", "true")]);
    let mut decoder = Json.decoder(&table, &[0]).expect("a decoder");
    decoder.decode(b"{\"a\":1}\n{bad\n{worse\n", true).expect("bad records are left out");
    let skipped = decoder.skipped().expect("two were left out");
    assert_eq!(skipped.records, 2);
    assert_eq!(skipped.example, "expected a key in double quotes at character 2: {bad");
}

#[test]
fn values_of_other_kinds_are_taken_as_flink_takes_them() {
    let columns = [("i", Int32), ("l", Int64), ("s", Utf8), ("b", Boolean), ("d", Decimal128(5, 2)), ("f", Float64)];
    let input = r#"
        {"i": " 7 ", "l": "-8", "s": {"x": [1, "a b"]}, "b": "TRUE", "d": "1.235", "f": 3}
        {"i": 1.9, "l": -1.9e3, "s": [1,  2], "b": 1, "d": 12345, "f": "NaN"}
        {"s": true, "b": "nonsense", "d": 1e1, "f": -0.0}
        {"s": 1.50, "l": 9223372036854775807, "d": null}
    "#;
    let expected = Outcome::rows(&[
        r#"+I[7, -8, {"x":[1,"a b"]}, true, 1.24, 3.0]"#,
        "+I[1, -1900, [1,2], false, null, NaN]",
        "+I[null, null, true, false, 10.00, -0.0]",
        "+I[null, 9223372036854775807, 1.50, null, null, null]",
    ]);
    assert_eq!(decode_all(&Json, &table(&columns, &[]), input.as_bytes()), expected);
}

#[test]
fn values_that_do_not_fit_name_column_value_and_type() {
    let error = |data_type: DataType, value: &str| {
        let input = format!("{{\"o\":{{\"c\":{value}}}}}");
        let table = table(&[("o", row(&[("c", data_type)]))], &[]);
        decode_all(&Json, &table, input.as_bytes()).error.unwrap_or_else(|| panic!("{value} is accepted"))
    };
    let expect = |data_type, value, why: &str| {
        let text = error(data_type, value);
        assert!(text.contains(&format!("column o.c: {why}, in the record")), "{text}");
    };
    expect(Int32, "\"x\"", "'x' is not a value of type INT");
    expect(Int32, "true", "'true' is not a value of type INT");
    expect(Int32, "3000000000", "'3000000000' is out of range for type INT");
    expect(Int8, "1.5", "'1.5' is not a value of type TINYINT");
    expect(Int64, "1e30", "'1e30' is out of range for type BIGINT");
    expect(Int64, "{}", "'{}' is not a value of type BIGINT");
    expect(Date32, "5", "'5' is not a value of type DATE");
    expect(Binary, "\"$\"", "'$' is not base64");
    expect(list(Int32), "1", "'1' is not a value of type ARRAY");
    expect(row(&[("x", Int32)]), "[]", "'[]' is not a value of type ROW");
    let number =
        "'1582979696789' is a number, not a TIMESTAMP(3); declare the column BIGINT and use TO_TIMESTAMP_LTZ(.., 3)";
    expect(timestamp(TimeUnit::Millisecond), "1582979696789", number);
}

#[test]
fn a_column_that_is_not_null_refuses_null() {
    let mut table = table(&[("a", Int32)], &[]);
    table.schema = Arc::new(Schema::new(vec![Field::new("a", Int32, false)]));
    let outcome = decode_all(&Json, &table, b"{\"a\":1}{\"a\":null}");
    assert_eq!(outcome.rows, ["+I[1]"]);
    assert!(outcome.error.is_some_and(|error| error.contains("column a: it is NULL, and the column is NOT NULL")));
    assert!(decode_all(&Json, &table, b"{}").error.is_some());
}

#[test]
fn records_end_with_their_braces_on_any_lines() {
    let table = table(&[("a", Int32), ("o", row(&[("x", Int32)]))], &[]);
    let expected = Outcome::rows(&["+I[1, +I[2]]", "+I[3, null]", "+I[4, null]"]);
    let pretty = "\r\n{\r\n  \"a\" : 1,\r\n  \"o\" : {\r\n    \"x\" : 2\r\n  }\r\n}\r\n\r\n{ \"a\":3 }{\"a\":4}";
    assert_eq!(decode_all(&Json, &table, pretty.as_bytes()), expected);
    let array = "[\n  {\"a\":1,\"o\":{\"x\":2}},\n  {\"a\":3},\n  {\"a\":4}\n]\n";
    assert_eq!(decode_all(&Json, &table, array.as_bytes()), expected);
    assert_eq!(decode_all(&Json, &table, b""), Outcome::rows(&[]));
}

#[test]
fn keys_may_come_in_any_order_be_unknown_escaped_or_repeated() {
    let table = table(&[("a", Int32), ("b b", Utf8), ("m", map(Utf8, Int32))], &[]);
    let input = r#"
        {"a":1,"b b":"x"}
        {"b b":"y","zz":{"a":[{"a":9}],"s":"}\""},"a":2}
        {"\u0061":3,"b b":"\u00e9\n\"","a":4}
        {"x":null,"y":-1.5e3,"z":false,"b b":""}
        {"m":{"k":1,"l":2,"k":3}}
        {"m":{"k":1}, "a" : 5}
    "#;
    let expected = Outcome::rows(&[
        "+I[1, x, null]",
        "+I[2, y, null]",
        "+I[4, é\n\", null]",
        "+I[null, , null]",
        "+I[null, null, {l=2, k=3}]",
        "+I[5, null, {k=1}]",
    ]);
    assert_eq!(decode_all(&Json, &table, input.as_bytes()), expected);
}

#[test]
fn keys_of_all_lengths_and_likenesses_are_told_apart() {
    // Two letters only, so that many keys share their beginning or their end and differ somewhere in between.
    let mut random = StdRng::seed_from_u64(1);
    let mut keys: Vec<String> = Vec::new();
    for length in 1..24 {
        let key = |random: &mut StdRng| (0..length).map(|_| ['a', 'b'][random.random_range(0..2)]).collect();
        keys.extend([key(&mut random), key(&mut random)]);
    }
    keys.extend(
        ["aaaaaaaaXaaaaaaaa", "aaaaaaaaYaaaaaaaa", "aaaaaaaaaXaaaaaaaaa", "aaaaaaaaaYaaaaaaaaa"].map(String::from),
    );
    keys.sort();
    keys.dedup();
    let columns: Vec<(&str, DataType)> = keys.iter().step_by(2).map(|key| (key.as_str(), Int64)).collect();
    let table = table(&columns, &[]);
    let (mut input, mut expected) = (String::new(), Vec::new());
    for _ in 0..300 {
        let present: Vec<(usize, i64)> = (0..random.random_range(1..keys.len()))
            .map(|_| (random.random_range(0..keys.len()), random.random_range(-99..99)))
            .collect();
        let fields: Vec<String> = present.iter().map(|(key, value)| format!("\"{}\":{value}", keys[*key])).collect();
        input += &format!("{{{}}}\n", fields.join(","));
        let value =
            |wanted: usize| present.iter().rev().find(|(key, _)| *key == wanted).map(|(_, value)| value.to_string());
        let values: Vec<String> =
            (0..keys.len()).step_by(2).map(|key| value(key).unwrap_or_else(|| "null".to_string())).collect();
        expected.push(format!("+I[{}]", values.join(", ")));
    }
    assert_eq!(print(&batch(&Json, &table, input.as_bytes())), expected);
}

#[test]
fn only_wanted_columns_are_read() {
    let table = all_types(&[]);
    let expected = Outcome::rows(&["+I[héllo, 3]", "+I[12, 7]", "+I[null, null]"]);
    assert_eq!(decode(&Json, &table, &[5, 1], ALL_TYPES.as_bytes()), expected);
    assert_eq!(decode(&Json, &table, &[], ALL_TYPES.as_bytes()), Outcome::rows(&["+I[]", "+I[]", "+I[]"]));
}

#[test]
fn unread_fields_of_rows_are_passed_over_whatever_they_hold() {
    let inner = row(&[("c", Int32), ("d", Utf8)]);
    let nested = row(&[("a", Int32), ("b", Utf8), ("inner", inner)]);
    let mut table = table(&[("n", nested), ("m", Int32)], &[("json.fail-on-missing-field", "true")]);
    let (mut of_inner, mut unread) = (Unread::default(), Unread::default());
    of_inner.add("c", Unread::default());
    unread.add("a", Unread::default());
    unread.add("inner", of_inner);
    table.unread.add("n", unread);
    let bytes = br#"
        {"n": {"a": "no number", "b": "x", "inner": {"c": [1, {"}": 2}], "d": "y"}}, "m": 1}
        {"n": null, "m": 2}
        {"m": 3, "n": {"inner": {"d": "z"}, "b": null}}
        {"n": {"inner": null, "b": "x", "a": 1, "a": 2}, "m": 4}
        {"n": {"b": "first", "b": "x", "inner": {"d": "y"}}, "m": 5}"#;
    let expected = Outcome::rows(&[
        "+I[+I[null, x, +I[null, y]], 1]",
        "+I[null, 2]",
        "+I[+I[null, null, +I[null, z]], 3]",
        "+I[+I[null, x, null], 4]",
        "+I[+I[null, x, +I[null, y]], 5]",
    ]);
    assert_eq!(decode_all(&Json, &table, bytes), expected);
}

/// Fields of a row are as long as the row, whichever of its objects they were in.
#[test]
fn rows_that_are_null_or_lack_fields_leave_the_others_in_their_places() {
    let nested = row(&[("a", Int32), ("b", list(Int32)), ("c", row(&[("d", Utf8)])), ("e", map(Utf8, Int32))]);
    let table = table(&[("n", nested), ("m", row(&[("x", Boolean)]))], &[]);
    let bytes = br#"
        {"m": null}
        {"n": {"a": 1}}
        {"n": null, "m": {"x": true}}
        {"n": {"b": [2, 3]}}
        {"n": {"c": {}}, "m": {}}
        {"n": {"c": {"d": "f"}, "e": {"k": 4}}, "m": {"x": false}}
        {}"#;
    let expected = Outcome::rows(&[
        "+I[null, null]",
        "+I[+I[1, null, null, null], null]",
        "+I[null, +I[true]]",
        "+I[+I[null, [2, 3], null, null], null]",
        "+I[+I[null, null, +I[null], null], +I[null]]",
        "+I[+I[null, null, +I[f], {k=4}], +I[false]]",
        "+I[null, null]",
    ]);
    assert_eq!(decode_all(&Json, &table, bytes), expected);
}

#[test]
fn text_that_is_not_utf8_is_a_bad_value() {
    let columns = [("a", Utf8), ("b", Int32)];
    let input = b"{\"a\":\"\xff\",\"b\":1}\n{\"a\":\"x\",\"b\":2,\"c\":\"\xff\"}\n{\"a\":\"\xc3\",\"b\":3}\n";
    let ignoring = table(&columns, &[("json.ignore-parse-errors", "true")]);
    assert_eq!(decode_all(&Json, &ignoring, input), Outcome::rows(&["+I[null, 1]", "+I[x, 2]", "+I[null, 3]"]));
    assert!(decode_all(&Json, &table(&columns, &[]), input).error.is_some_and(|error| error.contains("is not UTF-8")));
}

#[test]
fn a_batch_holds_at_most_8192_rows_and_nothing_is_lost_between() {
    let table = table(&[("a", Int32), ("s", Utf8)], &[]);
    let input: String = (0..20_000).map(|i| format!("{{\"a\":{i},\"s\":\"{i}\"}}\n")).collect();
    let mut decoder = Json.decoder(&table, &[0, 1]).expect("a decoder");
    let outcome = read(decoder.as_mut(), &[input.as_bytes()]);
    assert_eq!(outcome.rows, (0..20_000).map(|i| format!("+I[{i}, {i}]")).collect::<Vec<_>>());
}

#[test]
fn garbage_neither_panics_nor_depends_on_the_cut() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\n",
        " ",
        "null",
        "true",
        "-1.5e3",
        "\"a\":",
        "\"m\":{\"k\":1}",
        "\"u\":{\"x\":",
        "{\"a\":true,\"d\":3}\n",
        "\"k\":\"x\\u00e9\"",
        "\"r\":[1,2]",
        "{\"d\":1}",
        "\"s\":",
    ];
    for options in [&[][..], &[("json.ignore-parse-errors", "true")]] {
        let table = all_types(options);
        let projection: Vec<usize> = (0..14).collect();
        survive_garbage(&|| Json.decoder(&table, &projection).expect("a decoder"), &pieces, 400);
        survive_garbage(&|| Json.decoder(&table, &[1]).expect("a decoder"), &pieces, 200);
    }
}

#[test]
fn rows_are_written_as_flink_writes_them() {
    let table = table(
        &[
            ("k", Utf8),
            ("v", Int64),
            ("ts", timestamp(TimeUnit::Millisecond)),
            ("l", timestamp_ltz()),
            ("d", Decimal128(5, 2)),
            ("n", Utf8),
            ("a", list(Int32)),
            ("r", row(&[("x", Int32), ("y", Utf8)])),
            ("dt", Date32),
        ],
        &[],
    );
    let line = r#"{"k":"a","v":1,"ts":"2020-01-01 00:00:01","l":"2020-01-01 00:00:01Z","d":1.5,"n":null,"a":[1,2],"r":{"x":1,"y":"q"},"dt":"2020-01-01"}"#;
    let rows = batch(&Json, &table, line.as_bytes());
    assert_eq!(encode(&Json, &table, &rows), format!("{line}\n"));
}

#[test]
fn what_is_written_reads_back_as_the_same() {
    for standard in ["SQL", "ISO-8601"] {
        let sql = all_types(&[]);
        let rows = batch(&Json, &sql, ALL_TYPES.as_bytes());
        let table = all_types(&[("json.timestamp-format.standard", standard)]);
        let text = encode(&Json, &table, &rows);
        assert_eq!(batch(&Json, &table, text.as_bytes()), rows, "{text}");
    }
    let columns = [("s", Utf8), ("f", Float64), ("t", DataType::Time32(TimeUnit::Millisecond)), ("h", Int16)];
    let strings = ["", "a\"b\\c/\u{1f}\u{7f}\n\r\t\u{8}\u{c}é😀", "\0"];
    let rows = RecordBatch::try_from_iter([
        ("s", Arc::new(StringArray::from(strings.to_vec())) as ArrayRef),
        ("f", Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, 1e300, -0.1])) as ArrayRef),
        ("t", Arc::new(Time32MillisecondArray::from(vec![1, 45_296_000, 86_399_999])) as ArrayRef),
        ("h", Arc::new(Int16Array::from(vec![i16::MIN, 0, i16::MAX])) as ArrayRef),
    ])
    .expect("equal lengths");
    let table = table(&columns, &[]);
    let text = encode(&Json, &table, &rows);
    assert_eq!(print(&batch(&Json, &table, text.as_bytes())), print(&rows), "{text}");
}

#[test]
fn options_say_how_nulls_and_decimals_are_written() {
    let decimals = Decimal128Array::from(vec![Some(10000), None]).with_precision_and_scale(7, 2).expect("decimals");
    let rows = RecordBatch::try_from_iter([("d", Arc::new(decimals) as ArrayRef)]).expect("one column");
    let columns = [("d", Decimal128(7, 2))];
    assert_eq!(encode(&Json, &table(&columns, &[]), &rows), "{\"d\":1E+2}\n{\"d\":null}\n");
    let options = [("json.encode.decimal-as-plain-number", "true"), ("json.encode.ignore-null-fields", "true")];
    assert_eq!(encode(&Json, &table(&columns, &options), &rows), "{\"d\":100}\n{}\n");
}

#[test]
fn lists_of_a_slice_are_written_from_the_right_place() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2), Some(3)])]);
    let rows = RecordBatch::try_from_iter([("a", Arc::new(lists) as ArrayRef)]).expect("one column").slice(1, 1);
    assert_eq!(encode(&Json, &table(&[("a", list(Int32))], &[]), &rows), "{\"a\":[2,3]}\n");
}
