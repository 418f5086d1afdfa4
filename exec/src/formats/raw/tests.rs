use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::DataType;

use super::Raw;
use crate::connect::Format;
use crate::formats::law::*;

use DataType::{Binary, Boolean, Float32, Int32, Int64, Utf8};

#[test]
fn a_line_is_a_text() {
    let table = table(&[("line", Utf8)], &[]);
    let expected = Outcome::rows(&["+I[to be or not]", "+I[to be]", "+I[]", "+I[be  be]"]);
    assert_eq!(decode_all(&Raw, &table, b"to be or not\nto be\n\nbe  be\n"), expected);
    assert_eq!(decode_all(&Raw, &table, b"to be or not\r\nto be\r\n\r\nbe  be"), expected);
    assert_eq!(decode_all(&Raw, &table, b""), Outcome::rows(&[]));
}

#[test]
fn what_is_not_utf8_is_replaced_line_by_line() {
    let table = table(&[("line", Utf8)], &[]);
    let expected = Outcome::rows(&["+I[é]", "+I[\u{fffd}]", "+I[\u{fffd}x]"]);
    // The halves of a character in two lines do not make one.
    assert_eq!(decode_all(&Raw, &table, b"\xc3\xa9\n\xc3\n\xa9x\n"), expected);
}

#[test]
fn latin_1_is_recoded() {
    let table = table(&[("line", Utf8)], &[("raw.charset", "ISO-8859-1")]);
    assert_eq!(decode_all(&Raw, &table, b"h\xe9llo\nx\n"), Outcome::rows(&["+I[héllo]", "+I[x]"]));
    let rows = RecordBatch::try_from_iter([("line", Arc::new(StringArray::from(vec!["é€"])) as ArrayRef)]);
    let mut out = Vec::new();
    let mut encoder = Raw.encoder(&table).expect("an encoder");
    encoder.encode(&crate::ChangeBatch::inserts(rows.expect("one column")), &mut out).expect("encoded");
    assert_eq!(out, b"\xe9?\n");
}

#[test]
fn the_delimiter_may_be_any_byte_or_several() {
    let columns = [("line", Utf8)];
    let bytes = table(&columns, &[("byte-delimiter", "0")]);
    assert_eq!(decode_all(&Raw, &bytes, b"a\nb\0c"), Outcome::rows(&["+I[a\nb]", "+I[c]"]));
    let several = table(&columns, &[("raw.line-delimiter", "||")]);
    assert_eq!(decode_all(&Raw, &several, b"a|b||c||||"), Outcome::rows(&["+I[a|b]", "+I[c]", "+I[]"]));
}

#[test]
fn bytes_are_what_is_between_line_ends() {
    let table = table(&[("b", Binary)], &[]);
    assert_eq!(decode_all(&Raw, &table, b"\x01\r\n\xff"), Outcome::rows(&["+I[[1, 13]]", "+I[[-1]]"]));
}

#[test]
fn numbers_are_fixed_bytes_in_either_order_and_may_contain_line_ends() {
    let big = table(&[("n", Int32)], &[]);
    assert_eq!(decode_all(&Raw, &big, b"\0\0\0\x0a\n\xff\xff\xff\xff\n"), Outcome::rows(&["+I[10]", "+I[-1]"]));
    let little = table(&[("n", Int64)], &[("raw.endianness", "little-endian")]);
    assert_eq!(decode_all(&Raw, &little, b"\x01\0\0\0\0\0\0\0"), Outcome::rows(&["+I[1]"]));
    assert_eq!(
        decode_all(&Raw, &table(&[("b", Boolean)], &[]), b"\x01\n\0\n"),
        Outcome::rows(&["+I[true]", "+I[false]"])
    );
    let outcome = decode_all(&Raw, &big, b"\0\0\0\x01\n\0\0");
    assert_eq!(outcome.rows, ["+I[1]"]);
    assert!(outcome.error.is_some_and(|error| error.contains("a record is 4 bytes and a delimiter")));
}

#[test]
fn what_is_written_reads_back_as_the_same() {
    let arrays: [ArrayRef; 5] = [
        Arc::new(StringArray::from(vec!["", "é", "a b"])),
        Arc::new(BinaryArray::from_vec(vec![b"", b"\xff\r", b"x"])),
        Arc::new(Int64Array::from(vec![i64::MIN, 10, 0x0a0a_0a0a])),
        Arc::new(Float32Array::from(vec![1.5, -0.0, f32::MAX])),
        Arc::new(BooleanArray::from(vec![true, false, true])),
    ];
    for (array, endianness) in arrays.iter().flat_map(|array| [(array, "big-endian"), (array, "little-endian")]) {
        let table = table(&[("v", array.data_type().clone())], &[("raw.endianness", endianness)]);
        let rows = RecordBatch::try_from_iter([("v", Arc::clone(array))]).expect("one column");
        let mut out = Vec::new();
        let mut encoder = Raw.encoder(&table).expect("an encoder");
        encoder.encode(&crate::ChangeBatch::inserts(rows.clone()), &mut out).expect("encoded");
        assert_eq!(print(&batch(&Raw, &table, &out)), print(&rows));
    }
}

#[test]
fn rows_can_be_counted_without_being_read() {
    let table = table(&[("line", Utf8)], &[]);
    assert_eq!(decode(&Raw, &table, &[], b"a\nb\n"), Outcome::rows(&["+I[]", "+I[]"]));
}

#[test]
fn a_table_of_several_columns_or_other_types_is_refused() {
    assert!(Raw.decoder(&table(&[("a", Utf8), ("b", Utf8)], &[]), &[0]).is_err());
    assert!(Raw.decoder(&table(&[("a", DataType::Date32)], &[]), &[0]).is_err());
    assert!(Raw.decoder(&table(&[("a", Float32)], &[]), &[0]).is_ok());
}

#[test]
fn garbage_neither_panics_nor_depends_on_the_cut() {
    let pieces = ["a", "\n", "\r", "é", "\u{fffd}", "0", "abcd\n", "||"];
    for (data_type, options) in [(Utf8, &[][..]), (Binary, &[]), (Int32, &[]), (Utf8, &[("raw.line-delimiter", "||")])]
    {
        let table = table(&[("v", data_type)], options);
        survive_garbage(&|| Raw.decoder(&table, &[0]).expect("a decoder"), &pieces, 300);
    }
}
