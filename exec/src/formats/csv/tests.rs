use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::Csv;
use crate::connect::{Format, TableDefinition};
use crate::formats::law::*;

use DataType::{Binary, Boolean, Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Utf8};

fn all_types(options: &[(&str, &str)]) -> TableDefinition {
    table(
        &[
            ("a", Boolean),
            ("b", Int8),
            ("c", Int16),
            ("d", Int32),
            ("e", Int64),
            ("f", Float32),
            ("g", Float64),
            ("h", Decimal128(10, 3)),
            ("i", Utf8),
            ("j", Utf8),
            ("k", Utf8),
            ("l", Date32),
            ("m", DataType::Time32(TimeUnit::Second)),
            ("n", timestamp(TimeUnit::Millisecond)),
            ("o", timestamp(TimeUnit::Microsecond)),
            ("p", timestamp_ltz()),
        ],
        options,
    )
}

const ALL_TYPES: &str = "true,1,2,3,4,1.5,2.5,3.1415,ab,abcdefg,hello world,2020-02-29,12:34:56,2020-02-29 12:34:56.789,\
    2020-02-29 12:34:56.789123,2020-02-29 12:34:56.789Z\n\
    null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null\n";

fn error(table: &TableDefinition, input: &str) -> String {
    decode_all(&Csv, table, input.as_bytes()).error.expect("an error")
}

#[test]
fn every_type_reads_as_in_flink() {
    let table = all_types(&[("csv.null-literal", "null")]);
    let expected = Outcome::rows(&[
        "+I[true, 1, 2, 3, 4, 1.5, 2.5, 3.142, ab, abcdefg, hello world, 2020-02-29, 12:34:56, 2020-02-29T12:34:56.789, \
         2020-02-29T12:34:56.789123, 2020-02-29T12:34:56.789Z]",
        "+I[null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null]",
    ]);
    assert_eq!(decode_all(&Csv, &table, ALL_TYPES.as_bytes()), expected);
    assert_eq!(
        client(&batch(&Csv, &table, ALL_TYPES.as_bytes()))[0],
        "+I\tTRUE\t1\t2\t3\t4\t1.5\t2.5\t3.142\tab\tabcdefg\thello world\t2020-02-29\t12:34:56\t2020-02-29 12:34:56.789\t\
         2020-02-29 12:34:56.789123\t2020-02-29 12:34:56.789"
    );
}

#[test]
fn a_bad_or_empty_number_fails_after_the_rows_before_it() {
    let columns = [("a", Int32), ("b", Int32)];
    let with_null = table(&columns, &[("csv.null-literal", "null")]);
    let outcome = decode_all(&Csv, &with_null, b"1,2\nx,3\n");
    assert_eq!(outcome.rows, ["+I[1, 2]"]);
    assert_eq!(
        outcome.error.as_deref(),
        Some(
            "cannot decode a csv record of table t\n  why: column a: 'x' is not a value of type INT, in the record: x,3\n  \
             fix: correct the record, or leave bad ones out with 'csv.ignore-parse-errors' = 'true'"
        )
    );
    let outcome = decode_all(&Csv, &table(&columns, &[]), b"1,2\n,3\n");
    assert_eq!(outcome.rows, ["+I[1, 2]"]);
    assert!(outcome.error.is_some_and(|error| error.contains("csv.null-literal")));
    let empty_is_null = table(&columns, &[("csv.null-literal", "")]);
    assert_eq!(decode_all(&Csv, &empty_is_null, b"1,2\n,3\n"), Outcome::rows(&["+I[1, 2]", "+I[null, 3]"]));
}

#[test]
fn with_ignore_parse_errors_short_lines_are_padded_long_ones_left_out_and_bad_fields_null() {
    let options = [("csv.null-literal", "null"), ("csv.ignore-parse-errors", "true")];
    let table = table(&[("a", Int32), ("b", Int32), ("c", Int32)], &options);
    let outcome = decode_all(&Csv, &table, b"1,2,3\n4,5\nx,7,8\n6,7,8,9\n10,11,12\n");
    assert_eq!(outcome.rows, ["+I[1, 2, 3]", "+I[4, 5, null]", "+I[null, 7, 8]", "+I[10, 11, 12]"]);
    assert_eq!((outcome.skipped, outcome.error), (1, None));
}

#[test]
fn without_it_short_and_long_lines_fail() {
    let table = table(&[("a", Int32), ("b", Int32)], &[]);
    assert!(error(&table, "1\n").contains("there are 1 fields instead of 2, in the record: 1"));
    assert!(error(&table, "1,2,3\n").contains("there are more than 2 fields, in the record: 1,2,3"));
    assert_eq!(decode_all(&Csv, &table, b"1,2,\n"), Outcome::rows(&["+I[1, 2]"]), "one trailing delimiter is allowed");
}

#[test]
fn quotes_enclose_delimiters_and_null_matches_quoted_text_too() {
    let options = [("csv.field-delimiter", ";"), ("csv.quote-character", "\""), ("csv.null-literal", "NULL")];
    let table = table(&[("a", Utf8), ("b", Utf8)], &options);
    let input = "\"x;y\";\"he said \"\"hi\"\"\"\nplain; spaced \nNULL;\"NULL\"\n;\"\"\n";
    assert_eq!(
        decode_all(&Csv, &table, input.as_bytes()),
        Outcome::rows(&["+I[x;y, he said \"hi\"]", "+I[plain,  spaced ]", "+I[null, null]", "+I[, ]"])
    );
}

#[test]
fn quoted_fields_span_lines_and_quotes_inside_plain_ones_are_plain() {
    let table = table(&[("a", Utf8), ("b", Int32)], &[]);
    let input = "\"one\ntwo\r\n\",1\r\n\r\nx\"y\",2\r\n\"é\" ,\"3\" \r\n\n\"\"\"\",4";
    assert_eq!(
        decode_all(&Csv, &table, input.as_bytes()),
        Outcome::rows(&["+I[one\ntwo\r\n, 1]", "+I[x\"y\", 2]", "+I[é, 3]", "+I[\", 4]"])
    );
    assert!(
        error(&table, "\"x\"y,1\n").contains("expected a delimiter or the end of the line after the closing quote")
    );
    assert!(error(&table, "\"x,1\n").contains("a quote is never closed"));
}

#[test]
fn delimiters_comments_escapes_and_headers_are_options() {
    let columns = [("a", Utf8), ("b", Utf8)];
    let rows =
        |options: &[(&str, &str)], input: &str| decode_all(&Csv, &table(&columns, options), input.as_bytes()).rows;
    assert_eq!(rows(&[("csv.field-delimiter", "\\t")], "x\ty\n"), ["+I[x, y]"]);
    assert_eq!(rows(&[("csv.field-delimiter", "\\u0001")], "x\u{1}y\n"), ["+I[x, y]"]);
    assert_eq!(rows(&[("csv.disable-quote-character", "true")], "\"x,y\"\n"), ["+I[\"x, y\"]"]);
    assert_eq!(rows(&[("csv.quote-character", "'")], "'x,''z',\"y\"\n"), ["+I[x,'z, \"y\"]"]);
    assert_eq!(rows(&[("csv.allow-comments", "true")], "# no\nx,#y\n#"), ["+I[x, #y]"]);
    assert_eq!(
        rows(&[("csv.escape-character", "\\")], "x\\,y,\\\"\n\"a\\\"b\",c\\\\\r\n"),
        ["+I[x,y, \"]", "+I[a\"b, c\\]"]
    );
    assert_eq!(rows(&[("csv.ignore-first-line", "true")], "\"a\n\",b,c,d\nx,y\n"), ["+I[x, y]"]);
    for (name, value) in [("csv.field-delimiter", "ab"), ("csv.quote-character", "é"), ("csv.quote-character", ",")] {
        assert!(Csv.decoder(&table(&columns, &[(name, value)]), &[0]).is_err(), "{name} = {value}");
    }
}

#[test]
fn a_header_is_left_out_only_at_the_start_of_a_split() {
    let table = table(&[("a", Int32)], &[("csv.ignore-first-line", "true")]);
    let mut decoder = Csv.decoder(&table, &[0]).expect("a decoder");
    decoder.resumed();
    assert_eq!(read(decoder.as_mut(), &[b"1\n2\n"]), Outcome::rows(&["+I[1]", "+I[2]"]));
}

#[test]
fn arrays_and_rows_have_delimiters_of_their_own() {
    let columns = [("a", list(Int32)), ("r", row(&[("x", Int32), ("y", Utf8)]))];
    let options = [("csv.null-literal", "null"), ("csv.ignore-parse-errors", "true")];
    let table = table(&columns, &options);
    let input = b"1;null;x;3,7;q\n,8;null\nnull,8;b;c\n5,8\n";
    assert_eq!(
        decode_all(&Csv, &table, input),
        Outcome::rows(&[
            "+I[[1, null, null, 3], +I[7, q]]",
            "+I[[], +I[8, null]]",
            "+I[null, +I[8, b]]",
            "+I[[5], +I[8, null]]",
        ])
    );
    let strict = crate::formats::law::table(&columns, &[]);
    assert!(error(&strict, "1;x,7;q\n").contains("column a: '1;x' is not a value of type ARRAY"));
    assert!(error(&strict, "1,7\n").contains("column r: '7' is not a value of type ROW"));
    let map_table = crate::formats::law::table(&[("m", map(Utf8, Int32))], &[]);
    assert!(Csv.decoder(&map_table, &[0]).is_err());
}

#[test]
fn values_are_trimmed_texts_are_not() {
    let columns = [("a", Int32), ("b", Boolean), ("c", Utf8), ("d", Binary), ("e", Date32)];
    let table = table(&columns, &[]);
    assert_eq!(
        decode_all(&Csv, &table, b" 1 , TRUE, x ,AQI=,2020-2-9\n2,whatever,,,1970-01-01\n"),
        Outcome::rows(&["+I[1, true,  x , [1, 2], 2020-02-09]", "+I[2, false, , [], 1970-01-01]"])
    );
    assert!(error(&table, "300000000000,,,,").contains("'300000000000' is out of range for type INT"));
}

#[test]
fn only_wanted_columns_are_read_but_all_are_counted() {
    let table = table(&[("a", Int32), ("b", Utf8), ("c", Int32)], &[]);
    let input = b"1,\"x,\ny\",2\n3,z,not a number\n";
    assert_eq!(decode(&Csv, &table, &[1, 0], input), Outcome::rows(&["+I[x,\ny, 1]", "+I[z, 3]"]));
    assert_eq!(decode(&Csv, &table, &[], input), Outcome::rows(&["+I[]", "+I[]"]));
    assert!(decode(&Csv, &table, &[0], b"1,2,3,4\n").error.is_some());
}

#[test]
fn a_column_that_is_not_null_refuses_null() {
    let mut table = table(&[("a", Int32)], &[("csv.null-literal", "null"), ("csv.ignore-parse-errors", "true")]);
    table.schema = Arc::new(Schema::new(vec![Field::new("a", Int32, false)]));
    let outcome = decode_all(&Csv, &table, b"1\nnull\nx\n2\n");
    assert_eq!((outcome.rows, outcome.skipped), (vec!["+I[1]".to_string(), "+I[2]".to_string()], 2));
}

#[test]
fn garbage_neither_panics_nor_depends_on_the_cut() {
    let pieces = ["1", ",", "\"", "\n", "\r\n", " ", "x", "\\", "1,2,3\n", "\"a\"\"b\",", "2020-02-29", "#", "é", ";"];
    let columns = [("a", Int32), ("b", Utf8), ("c", list(Date32))];
    let projection = [0, 1, 2];
    for options in [
        &[][..],
        &[("csv.ignore-parse-errors", "true")],
        &[("csv.ignore-parse-errors", "true"), ("csv.escape-character", "\\"), ("csv.allow-comments", "true")],
        &[("csv.disable-quote-character", "true"), ("csv.ignore-first-line", "true"), ("csv.null-literal", "")],
    ] {
        let table = table(&columns, options);
        survive_garbage(&|| Csv.decoder(&table, &projection).expect("a decoder"), &pieces, 400);
    }
}

#[test]
fn rows_are_written_as_flink_writes_them() {
    let columns = [
        ("k", Utf8),
        ("v", Int64),
        ("ts", timestamp(TimeUnit::Millisecond)),
        ("d", Decimal128(5, 2)),
        ("n", Utf8),
        ("b", Boolean),
    ];
    let source = table(&columns, &[("csv.null-literal", "NULL")]);
    let rows =
        batch(&Csv, &source, b"a,1,2020-01-01 00:00:01,1.5,NULL,false\na,6,2020-01-01 00:00:12,1.5,\"a,\"\"b\",true\n");
    assert_eq!(
        encode(&Csv, &table(&columns, &[]), &rows),
        "a,1,\"2020-01-01 00:00:01\",1.5,,false\na,6,\"2020-01-01 00:00:12\",1.5,\"a,\"\"b\",true\n"
    );
}

#[test]
fn what_is_written_reads_back_as_the_same() {
    let null = ("csv.null-literal", "null");
    let rows = batch(&Csv, &all_types(&[null]), ALL_TYPES.as_bytes());
    for options in [&[null][..], &[null, ("csv.field-delimiter", ";")], &[null, ("csv.escape-character", "\\")]] {
        let table = all_types(options);
        let text = encode(&Csv, &table, &rows);
        assert_eq!(batch(&Csv, &table, text.as_bytes()), rows, "{text}");
    }
    let strings = ["", " ", "a\"b", "\"", "a\nb\r\n", "\\", "é,;", "a text that is longer than 24 characters", "#"];
    let rows = RecordBatch::try_from_iter([("s", Arc::new(StringArray::from(strings.to_vec())) as ArrayRef)]);
    let rows = rows.expect("one column");
    for options in [&[][..], &[("csv.escape-character", "\\")], &[("csv.quote-character", "'")]] {
        let table = table(&[("s", Utf8)], options);
        let text = encode(&Csv, &table, &rows);
        assert_eq!(print(&batch(&Csv, &table, text.as_bytes())), print(&rows), "{text}");
    }
}

#[test]
fn decimals_are_scientific_unless_told_otherwise() {
    let decimals = Decimal128Array::from(vec![10000]).with_precision_and_scale(7, 2).expect("a decimal");
    let rows = RecordBatch::try_from_iter([("d", Arc::new(decimals) as ArrayRef)]).expect("one column");
    let columns = [("d", Decimal128(7, 2))];
    assert_eq!(encode(&Csv, &table(&columns, &[]), &rows), "1E+2\n");
    let plain = table(&columns, &[("csv.write-bigdecimal-in-scientific-notation", "false")]);
    assert_eq!(encode(&Csv, &plain, &rows), "100\n");
}
