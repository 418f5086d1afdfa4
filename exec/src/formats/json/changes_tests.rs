use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::{CANAL, DEBEZIUM, Json, MAXWELL, OGG};
use crate::changelog::{ChangeBatch, RowKind, fold};
use crate::connect::{Format, Options, TableDefinition};
use crate::formats::law::*;

/// The changes of the columns `projection`, in the client's text, after a look at every cut.
fn changes(format: &dyn Format, table: &TableDefinition, projection: &[usize], bytes: &[u8]) -> Vec<String> {
    let every_cut = decode(format, table, projection, bytes);
    assert_eq!((every_cut.skipped, every_cut.error), (0, None));
    let mut decoder = format.decoder(table, projection).expect("the table is valid");
    assert_eq!(decoder.decode(bytes, true).expect("the records are valid"), bytes.len());
    let batch = decoder.flush().expect("rows can be flushed").expect("there are rows");
    assert_eq!(batch.len(), every_cut.rows.len());
    let kinds = fold(&batch).expect("rows fold").kinds.expect("changes have kinds");
    kinds.iter().zip(client(batch.rows())).map(|(kind, row)| format!("{kind}{}", &row[2..])).collect()
}

fn people(options: &[(&str, &str)]) -> TableDefinition {
    table(&[("id", DataType::Int32), ("name", DataType::Utf8)], options)
}

#[test]
fn changes_in_envelopes_have_weights() {
    let table = table(&[("id", DataType::Int32), ("name", DataType::Utf8)], &[]);
    let lines = br#"{"before":null,"after":{"id":1,"name":"a"},"op":"c","source":{"db":"d"},"ts_ms":5}
{"op":"r","after":{"name":"b"}}
{"before":{"id":1,"name":"a"},"after":{"id":1,"name":null},"op":"u"}
{"before":{"id":1,"name":null},"after":null,"op":"d"}
"#;
    assert_eq!(changes(&DEBEZIUM, &table, &[1], lines), ["+I\ta", "+I\tb", "-U\ta", "+U\t<NULL>", "-D\t<NULL>"]);
    assert_eq!(decode(&DEBEZIUM, &table, &[], lines).rows.len(), 5, "without columns there are still rows");
    let wrapped: String = String::from_utf8_lossy(lines)
        .lines()
        .map(|line| format!("{{\"schema\":{{\"type\":\"struct\"}},\"payload\":{line}}}\n"))
        .collect();
    let with_schema = TableDefinition {
        options: Options::new([("debezium-json.schema-include".to_string(), "true".to_string())]),
        ..table.clone()
    };
    assert_eq!(decode_all(&DEBEZIUM, &with_schema, wrapped.as_bytes()), decode_all(&DEBEZIUM, &table, lines));
    let golden_gate = String::from_utf8_lossy(lines).replace("\"op\"", "\"op_type\"");
    let golden_gate = [("c", "I"), ("r", "I"), ("u", "U"), ("d", "D")]
        .iter()
        .fold(golden_gate, |text, (one, other)| text.replace(&format!(":\"{one}\""), &format!(":\"{other}\"")));
    assert_eq!(decode_all(&OGG, &table, golden_gate.as_bytes()), decode_all(&DEBEZIUM, &table, lines));
}

#[test]
fn envelopes_that_lack_a_row_are_bad_records() {
    let columns = [("id", DataType::Int32)];
    let strict = table(&columns, &[]);
    let lenient = table(&columns, &[("debezium-json.ignore-parse-errors", "true")]);
    for (line, why) in [
        (r#"{"before":null,"after":{"id":2},"op":"u"}"#, "column before: it is NULL"),
        (r#"{"before":null,"after":null,"op":"d"}"#, "column before: it is NULL"),
        (r#"{"before":{"id":2},"after":null,"op":"c"}"#, "column after: it is NULL"),
        (r#"{"after":{"id":2},"op":"I"}"#, "column op: 'I' is not one of c, r, u, d"),
        (r#"{"id":2}"#, "column op: it is missing"),
    ] {
        let lines = format!("{{\"after\":{{\"id\":1}},\"op\":\"c\"}}\n{line}\n");
        let failed = decode_all(&DEBEZIUM, &strict, lines.as_bytes());
        assert_eq!(failed.rows, ["+I[1]"]);
        let error = failed.error.expect("a bad record");
        assert!(error.contains(why) && error.contains("debezium-json.ignore-parse-errors"), "{error}");
        let read = decode_all(&DEBEZIUM, &lenient, lines.as_bytes());
        assert_eq!((read.rows, read.skipped), (vec!["+I[1]".to_string()], 1), "{line}");
    }
}

/// People with a primary key, in `changelog.mode` = `upsert`.
fn by_id() -> TableDefinition {
    let table = people(&[("changelog.mode", "upsert")]);
    TableDefinition { key: vec![0], ..table }
}

#[test]
fn of_an_upsert_table_what_was_before_need_not_be_there_but_for_the_key_of_what_goes() {
    let lines = br#"{"before":null,"after":{"id":1,"name":"a"},"op":"u"}
{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}
{"before":{"id":1},"after":{"id":2,"name":"c"},"op":"u"}
{"before":{"id":2},"after":null,"op":"d"}
"#;
    let table = by_id().with_keys_alone();
    let expected = ["+U\t1\ta", "+U\t1\tb", "-D\t1\t<NULL>", "+U\t2\tc", "-D\t2\t<NULL>"];
    assert_eq!(changes(&DEBEZIUM, &table, &[0, 1], lines), expected);
    let lines = br#"{"type":"update","data":{"id":1,"name":"a"}}
{"type":"update","data":{"id":1,"name":"b"},"old":{"name":"a"}}
{"type":"update","data":{"id":2,"name":"c"},"old":{"id":1,"name":null}}
{"type":"delete","data":{"id":2}}
"#;
    assert_eq!(changes(&MAXWELL, &table, &[0, 1], lines), expected);
    let lines = br#"{"type":"UPDATE","data":[{"id":1,"name":"a"},{"id":2,"name":"c"}]}
{"type":"UPDATE","data":[{"id":1,"name":"b"},{"id":3,"name":"c"}],"old":[{"name":"a"},{"id":2}]}
{"type":"DELETE","data":[{"id":1},{"id":3}]}
"#;
    let expected = ["+U\t1\ta", "+U\t2\tc", "+U\t1\tb", "-D\t2\tc", "+U\t3\tc", "-D\t1\t<NULL>", "-D\t3\t<NULL>"];
    assert_eq!(changes(&CANAL, &table, &[0, 1], lines), expected);

    let failed = decode_all(&DEBEZIUM, &table, b"{\"before\":null,\"after\":null,\"op\":\"d\"}\n");
    assert!(failed.error.is_some_and(|error| error.contains("must have the key of the row that goes")));
    let failed = decode_all(&DEBEZIUM, &table, b"{\"before\":{\"name\":\"a\"},\"after\":null,\"op\":\"d\"}\n");
    assert!(failed.error.is_none(), "a key may be NULL unless it is declared otherwise");
}

#[test]
fn into_an_upsert_table_updates_go_without_what_was_before() {
    let rows = batch(&Json, &people(&[]), b"{\"id\":1,\"name\":\"a\"} {\"id\":1,\"name\":\"b\"} {\"id\":1}");
    let kinds = vec![RowKind::Insert, RowKind::UpdateAfter, RowKind::Delete];
    let updates = |format: &dyn Format| {
        let mut out = Vec::new();
        let changes = ChangeBatch { rows: rows.clone(), kinds: Some(kinds.clone()) };
        format.encoder(&by_id()).expect("the table is valid").encode(&changes, &mut out).expect("rows are written");
        let text = String::from_utf8(out.clone()).expect("text");
        let read = self::changes(format, &by_id(), &[0, 1], &out);
        assert_eq!(read, ["+I\t1\ta", "+U\t1\tb", "-D\t1\t<NULL>"], "{text}");
        text.lines().nth(1).expect("three lines").to_string()
    };
    assert_eq!(updates(&DEBEZIUM), r#"{"before":null,"after":{"id":1,"name":"b"},"op":"u"}"#);
    assert_eq!(updates(&OGG), r#"{"before":null,"after":{"id":1,"name":"b"},"op_type":"U"}"#);
    assert_eq!(updates(&MAXWELL), r#"{"data":{"id":1,"name":"b"},"type":"update"}"#);
    assert_eq!(updates(&CANAL), r#"{"data":[{"id":1,"name":"b"}],"type":"UPDATE"}"#);
}

#[test]
fn updates_fill_a_batch_and_no_more() {
    let table = table(&[("id", DataType::Int32)], &[]);
    let lines = "{\"before\":{\"id\":1},\"after\":{\"id\":2},\"op\":\"u\"}\n".repeat(10_000);
    let mut decoder = DEBEZIUM.decoder(&table, &[0]).expect("the table is valid");
    assert_eq!(read(decoder.as_mut(), &[lines.as_bytes()]).rows.len(), 20_000);
}

#[test]
fn changes_are_written_as_flink_writes_them() {
    let table = table(&[("id", DataType::Int32)], &[]);
    let rows = batch(&Json, &table, b"{\"id\":1} {\"id\":1} {\"id\":2} {\"id\":null}");
    let kinds = vec![RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let written = |format: &dyn Format| {
        let mut out = Vec::new();
        let changes = ChangeBatch { rows: rows.clone(), kinds: Some(kinds.clone()) };
        format.encoder(&table).expect("the table is valid").encode(&changes, &mut out).expect("rows are written");
        String::from_utf8(out).expect("text")
    };
    assert_eq!(
        written(&DEBEZIUM),
        "{\"before\":null,\"after\":{\"id\":1},\"op\":\"c\"}\n{\"before\":{\"id\":1},\"after\":null,\"op\":\"d\"}\n\
         {\"before\":null,\"after\":{\"id\":2},\"op\":\"c\"}\n{\"before\":{\"id\":null},\"after\":null,\"op\":\"d\"}\n"
    );
    assert!(written(&OGG).starts_with("{\"before\":null,\"after\":{\"id\":1},\"op_type\":\"I\"}\n"));
    assert_eq!(
        written(&CANAL),
        "{\"data\":[{\"id\":1}],\"type\":\"INSERT\"}\n{\"data\":[{\"id\":1}],\"type\":\"DELETE\"}\n\
         {\"data\":[{\"id\":2}],\"type\":\"INSERT\"}\n{\"data\":[{\"id\":null}],\"type\":\"DELETE\"}\n"
    );
    assert_eq!(
        written(&MAXWELL),
        "{\"data\":{\"id\":1},\"type\":\"insert\"}\n{\"data\":{\"id\":1},\"type\":\"delete\"}\n\
         {\"data\":{\"id\":2},\"type\":\"insert\"}\n{\"data\":{\"id\":null},\"type\":\"delete\"}\n"
    );
    for format in [&DEBEZIUM, &OGG, &CANAL, &MAXWELL] {
        assert_eq!(
            changes(format, &table, &[0], written(format).as_bytes()),
            ["+I\t1", "-D\t1", "+I\t2", "-D\t<NULL>"],
            "what is written reads back"
        );
    }
}

const CANAL_LINES: &[u8] =
    br#"{"data":[{"id":"1","name":"a"},{"id":"2","name":"b"}],"old":null,"type":"INSERT","isDdl":false,"ts":1}
{"data":null,"old":null,"type":"CREATE","isDdl":true,"sql":"CREATE TABLE t (id INT, name TEXT)"}
{"data":[{"id":"1","name":"aa"},{"id":"3","name":null}],"old":[{"name":"a"},{"id":"2","name":"b"}],"type":"UPDATE"}
{"data":[{"id":"3","name":"c"}],"old":[{"name":null}],"type":"UPDATE"}
{"data":[],"type":"INSERT"}
{"type":"DELETE","data":[{"id":"1","name":"aa"},{"id":"3","name":"c"}]}
"#;

#[test]
fn canals_records_hold_any_number_of_rows_and_only_what_was_different_before() {
    let expected = [
        "+I\t1\ta",
        "+I\t2\tb",
        "-U\t1\ta",
        "+U\t1\taa",
        "-U\t2\tb",
        "+U\t3\t<NULL>",
        "-U\t3\t<NULL>",
        "+U\t3\tc",
        "-D\t1\taa",
        "-D\t3\tc",
    ];
    assert_eq!(changes(&CANAL, &people(&[]), &[0, 1], CANAL_LINES), expected);
    assert_eq!(decode(&CANAL, &people(&[]), &[], CANAL_LINES).rows.len(), 10, "without columns there are still rows");
}

#[test]
fn maxwells_records_hold_only_what_was_different_before() {
    let lines = br#"{"database":"d","table":"t","type":"insert","ts":1596684882,"data":{"id":1,"name":"a"}}
{"type":"update","data":{"id":1,"name":"b"},"old":{"name":"a"}}
{"type":"update","old":{"name":"b","id":1},"data":{"id":2,"name":null}}
{"type":"update","data":{"id":2,"name":"c"},"old":{"name":null}}
{"type":"delete","data":{"id":2,"name":"c"}}
"#;
    let expected =
        ["+I\t1\ta", "-U\t1\ta", "+U\t1\tb", "-U\t1\tb", "+U\t2\t<NULL>", "-U\t2\t<NULL>", "+U\t2\tc", "-D\t2\tc"];
    assert_eq!(changes(&MAXWELL, &people(&[]), &[0, 1], lines), expected);
}

#[test]
fn a_column_that_is_not_null_may_be_left_out_of_the_differences() {
    let schema = Schema::new(vec![Field::new("id", DataType::Int32, false), Field::new("name", DataType::Utf8, false)]);
    let table = TableDefinition { schema: Arc::new(schema), ..people(&[]) };
    let update = br#"{"data":{"id":1,"name":"b"},"old":{"name":"a"},"type":"update"}"#;
    assert_eq!(changes(&MAXWELL, &table, &[0, 1], update), ["-U\t1\ta", "+U\t1\tb"]);
    let error =
        decode_all(&MAXWELL, &table, br#"{"data":{"id":1,"name":"b"},"old":{"name":null},"type":"update"}"#).error;
    assert!(error.is_some_and(|error| error.contains("column old.name: it is NULL, and the column is NOT NULL")));
}

#[test]
fn records_of_changes_that_lack_something_are_bad() {
    let bad = |format: &dyn Format, line: &str, why: &str| {
        let error = decode_all(format, &people(&[]), line.as_bytes()).error.unwrap_or_else(|| panic!("{line} is read"));
        assert!(error.contains(why) && error.contains(line), "{error}");
        let option = format!("{}.ignore-parse-errors", format.name());
        let lenient = decode_all(format, &people(&[(&option, "true")]), line.as_bytes());
        assert_eq!((lenient.rows.len(), lenient.skipped, lenient.error), (0, 1, None), "{line}");
    };
    bad(&CANAL, r#"{"data":[{"id":1}]}"#, "column type: it is missing");
    bad(&CANAL, r#"{"data":null,"type":"ALTER"}"#, "column type: 'ALTER' is not one of INSERT, UPDATE, DELETE, CREATE");
    bad(&CANAL, r#"{"data":null,"type":"INSERT"}"#, "column data: it is NULL");
    bad(&CANAL, r#"{"data":[null],"type":"INSERT"}"#, "column data: it is NULL");
    bad(&CANAL, r#"{"data":[{"id":1}],"type":"UPDATE"}"#, "column old: it is NULL");
    bad(&CANAL, r#"{"data":[{"id":1}],"old":[],"type":"UPDATE"}"#, "column old: it has 0 rows for the 1 of data");
    bad(&CANAL, r#"{"data":{"id":1},"type":"INSERT"}"#, "is not a value of type ARRAY");
    bad(&MAXWELL, r#"{"data":{"id":1},"type":"INSERT"}"#, "column type: 'INSERT' is not one of insert, update, delete");
    bad(&MAXWELL, r#"{"data":null,"type":"delete"}"#, "column data: it is NULL, and must be the row as it was");
    bad(&MAXWELL, r#"{"data":{"id":1},"old":null,"type":"update"}"#, "column old: it is NULL");
    let value = decode_all(&CANAL, &people(&[]), br#"{"data":[{"id":"x"}],"type":"INSERT"}"#).error;
    assert!(value.is_some_and(|error| error.contains("column data.id: 'x' is not a value of type INT")));
}

#[test]
fn records_of_other_tables_are_not_looked_at() {
    let lines = br#"{"data":[{"id":"1","name":"a"}],"type":"INSERT","database":"shop","table":"people"}
{"database":"shop","table":"orders","data":[{"id":"not a number"}],"type":"INSERT"}
{"data":[{"id":"3","name":"c"}],"type":"INSERT","database":"shop2","table":"people"}
{"table":"people","data":[{"id":"4","name":"d"}],"type":"INSERT","database":"sh\u006fp"}
"#;
    let include =
        |database, table| people(&[("canal-json.database.include", database), ("canal-json.table.include", table)]);
    assert_eq!(changes(&CANAL, &include("shop", "people"), &[0], lines), ["+I\t1", "+I\t4"]);
    assert_eq!(changes(&CANAL, &include("shop|shop.", "p.*"), &[0], lines), ["+I\t1", "+I\t3", "+I\t4"]);
    assert_eq!(decode_all(&CANAL, &include("sho", "people"), lines), Outcome::rows(&[]), "the whole name has to match");
    let missing =
        decode_all(&CANAL, &include("shop", "people"), br#"{"data":[{"id":1}],"type":"INSERT","table":"people"}"#);
    let error = missing.error.expect("the database is missing");
    assert!(error.contains("column database: it is missing, and 'canal-json.database.include' asks"), "{error}");
    let invalid = CANAL.decoder(&include("(", "t"), &[0]).map(|_| ()).expect_err("no regular expression").to_string();
    assert!(invalid.contains("option 'canal-json.database.include' of table t has the value '('"), "{invalid}");
}

#[test]
fn what_stands_beside_the_rows_can_be_columns() {
    let with = |format: &dyn Format, columns: &[(&str, DataType, &str)], line: &str| {
        let fields: Vec<_> = columns.iter().map(|(name, data_type, _)| (*name, data_type.clone())).collect();
        let keys = columns.iter().enumerate().filter(|(_, (_, _, key))| !key.is_empty());
        let table = TableDefinition {
            metadata: keys.map(|(index, (_, _, key))| (index, key.to_string())).collect(),
            ..table(&fields, &[])
        };
        let all: Vec<usize> = (0..columns.len()).collect();
        changes(format, &table, &all, line.as_bytes())
    };
    let canal = with(
        &CANAL,
        &[
            ("db", DataType::Utf8, "value.database"),
            ("id", DataType::Int32, ""),
            ("t", DataType::Utf8, "value.table"),
            ("again", DataType::Utf8, "value.table"),
            ("types", map(DataType::Utf8, DataType::Int32), "value.sql-type"),
            ("keys", list(DataType::Utf8), "value.pk-names"),
            ("seen", timestamp_ltz(), "value.ingestion-timestamp"),
            ("was", timestamp_ltz(), "value.event-timestamp"),
        ],
        r#"{"data":[{"id":"1"},{"id":"2"}],"type":"INSERT","database":"d","table":"t","sqlType":{"id":4},"pkNames":["id"],"ts":1589373560798,"es":null}"#,
    );
    let rest = "t\tt\t{id=4}\t[id]\t2020-05-13 12:39:20.798\t<NULL>";
    assert_eq!(canal, [format!("+I\td\t1\t{rest}"), format!("+I\td\t2\t{rest}")]);
    let maxwell = with(
        &MAXWELL,
        &[
            ("id", DataType::Int32, ""),
            ("seen", timestamp_ltz(), "value.ingestion-timestamp"),
            ("keys", list(DataType::Utf8), "value.primary-key-columns"),
        ],
        r#"{"data":{"id":1},"old":{},"type":"update","ts":1596684883,"primary_key_columns":["id"]}"#,
    );
    assert_eq!(maxwell, ["-U\t1\t2020-08-06 03:34:43.000\t[id]", "+U\t1\t2020-08-06 03:34:43.000\t[id]"]);
    let debezium = with(
        &DEBEZIUM,
        &[("id", DataType::Int32, ""), ("seen", timestamp_ltz(), "value.ingestion-timestamp")],
        r#"{"after":{"id":1},"op":"c","ts_ms":1}"#,
    );
    assert_eq!(debezium, ["+I\t1\t1970-01-01 00:00:00.001"]);

    let mut always = table(&[("t", DataType::Utf8)], &[]);
    always.schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, false)]));
    always.metadata = vec![(0, "value.table".to_string())];
    let error = decode_all(&MAXWELL, &always, br#"{"data":{},"type":"insert"}"#).error;
    assert!(error.is_some_and(|error| error.contains("column table: the field is missing")));

    let refused = |data_type, key: &str| {
        let mut table = table(&[("x", data_type)], &[]);
        table.metadata = vec![(0, key.to_string())];
        MAXWELL.decoder(&table, &[0]).map(|_| ()).expect_err("the column is wrong").to_string()
    };
    assert!(refused(DataType::Utf8, "value.tabel").contains("did you mean value.table?"));
    assert!(refused(DataType::Int32, "value.table").contains("metadata 'value.table' is of type STRING"));
}

#[test]
fn garbage_in_envelopes_neither_panics_nor_depends_on_the_cut() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        "\n",
        "null",
        "\"data\":[{\"id\":1}]",
        "\"data\":{\"id\":1}",
        "\"old\":[{\"id\":2}],",
        "\"old\":{},",
        "\"type\":\"UPDATE\"",
        "\"type\":\"insert\"",
        "\"table\":\"t\"",
        "\"table\":\"u\",",
        "\"x\":[[",
        "{\"data\":[{\"id\":\"1\"},{}],\"type\":\"INSERT\",\"table\":\"t\"}\n",
    ];
    for ignore in ["false", "true"] {
        let filtered = people(&[("canal-json.ignore-parse-errors", ignore), ("canal-json.table.include", "t")]);
        survive_garbage(&|| CANAL.decoder(&filtered, &[0, 1]).expect("a decoder"), &pieces, 60);
        let ignoring =
            people(&[("maxwell-json.ignore-parse-errors", ignore), ("canal-json.ignore-parse-errors", ignore)]);
        survive_garbage(&|| CANAL.decoder(&ignoring, &[0]).expect("a decoder"), &pieces, 200);
        survive_garbage(&|| MAXWELL.decoder(&ignoring, &[0, 1]).expect("a decoder"), &pieces, 200);
    }
}
