use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, TimeUnit};

use super::*;
use crate::connectors::testing::{lines_of, read_all, read_batches, registry, table};

fn source(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    let mut table = table(columns, options);
    table.options.set("connector", "datagen");
    let registry = registry();
    registry.connector(&table)?;
    Datagen.source(&table, &(0..columns.len()).collect::<Vec<_>>(), &registry)
}

async fn open(source: &dyn Source) -> Box<dyn Reader> {
    let splits = source.splits().await.unwrap();
    source.open(splits.into_iter().map(|split| (split, None)).collect()).await.unwrap()
}

/// As one batch, at full speed.
async fn rows(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> RecordBatch {
    let fast: Vec<_> = options.iter().copied().chain([("rows-per-second", "1000000000")]).collect();
    let source = source(columns, &fast).unwrap();
    let batches = read_batches(open(source.as_ref()).await.as_mut()).await.unwrap();
    let batches: Vec<RecordBatch> = batches.into_iter().map(|batch| batch.rows.into_rows()).collect();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn error(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> String {
    source(columns, options).map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn sequences_count_from_start_to_end_and_the_shortest_ends_the_table() {
    let columns = [("a", DataType::Int32), ("b", DataType::Int64), ("c", DataType::Utf8)];
    let options = [
        ("fields.a.kind", "sequence"),
        ("fields.a.start", "1"),
        ("fields.a.end", "5"),
        ("fields.b.kind", "sequence"),
        ("fields.b.start", "11"),
        ("fields.b.end", "99"),
        ("fields.c.kind", "sequence"),
        ("fields.c.start", "-1"),
        ("fields.c.end", "99"),
        ("rows-per-second", "1000"),
    ];
    let source = source(&columns, &options).unwrap();
    assert!(source.bounded());
    let lines = read_all(open(source.as_ref()).await.as_mut()).await.unwrap();
    assert_eq!(lines, ["1,11,-1", "2,12,0", "3,13,1", "4,14,2", "5,15,3"]);
}

#[tokio::test]
async fn a_table_without_end_gives_its_first_row_at_once() {
    let source = source(&[("a", DataType::Int32)], &[("rows-per-second", "1")]).unwrap();
    assert!(!source.bounded());
    assert_eq!(open(source.as_ref()).await.next().await.unwrap().unwrap().rows.len(), 1);
}

#[tokio::test]
async fn random_numbers_fill_their_bounds_evenly() {
    let options = [("number-of-rows", "30000"), ("fields.a.min", "-1"), ("fields.a.max", "1"), ("seed", "7")];
    let rows = rows(&[("a", DataType::Int32)], &options).await;
    let values = rows.column(0).as_primitive::<Int32Type>();
    assert_eq!(values.len(), 30_000);
    for value in -1..=1 {
        let count = values.values().iter().filter(|v| **v == value).count();
        // Five standard deviations are 408.
        assert!((9_592..=10_408).contains(&count), "{value} came {count} times");
    }
}

#[tokio::test]
async fn the_widest_bounds_are_used_whole() {
    let rows =
        rows(&[("a", DataType::Int64), ("b", DataType::Int8)], &[("number-of-rows", "10000"), ("seed", "1")]).await;
    let values = rows.column(0).as_primitive::<Int64Type>().values();
    assert!(values.iter().any(|v| *v < i64::MIN / 2) && values.iter().any(|v| *v > i64::MAX / 2));
    let small: std::collections::BTreeSet<i8> =
        rows.column(1).as_primitive::<arrow::datatypes::Int8Type>().values().iter().copied().collect();
    assert_eq!(small.len(), 256);
}

#[tokio::test]
async fn texts_are_hexadecimal_of_the_length_asked_for() {
    let columns = [("s", DataType::Utf8), ("v", DataType::Utf8), ("d", DataType::Utf8), ("b", DataType::Binary)];
    let options = [
        ("number-of-rows", "1000"),
        ("fields.s.length", "33"),
        ("fields.v.length", "4"),
        ("fields.v.var-len", "true"),
        ("fields.b.length", "9"),
    ];
    let rows = rows(&columns, &options).await;
    let texts = rows.column(0).as_string::<i32>();
    assert!(texts.iter().flatten().all(|t| t.len() == 33 && t.bytes().all(|b| b.is_ascii_hexdigit())));
    let lengths: std::collections::BTreeSet<usize> =
        rows.column(1).as_string::<i32>().iter().flatten().map(str::len).collect();
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(rows.column(2).as_string::<i32>().iter().flatten().all(|t| t.len() == 100));
    assert!(rows.column(3).as_binary::<i32>().iter().flatten().all(|b| b.len() == 9));
}

#[tokio::test]
async fn as_many_values_are_null_as_the_rate_says() {
    let options = [("number-of-rows", "10000"), ("fields.a.null-rate", "0.25"), ("seed", "3")];
    let nulls = rows(&[("a", DataType::Utf8)], &options).await.column(0).null_count();
    // Five standard deviations are 217.
    assert!((2_283..=2_717).contains(&nulls), "{nulls}");
}

#[tokio::test]
async fn every_type_has_values() {
    let element = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    let row = DataType::Struct(Fields::from(vec![
        Field::new("x", DataType::Int32, true),
        Field::new("y", DataType::Struct(Fields::from(vec![Field::new("z", DataType::Utf8, true)])), true),
    ]));
    let entries = DataType::Struct(Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int32, true),
    ]));
    let columns = [
        ("bool", DataType::Boolean),
        ("smallint", DataType::Int16),
        ("float", DataType::Float32),
        ("double", DataType::Float64),
        ("decimal", DataType::Decimal128(38, 10)),
        ("date", DataType::Date32),
        ("time", DataType::Time32(TimeUnit::Second)),
        ("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("ltz", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("view", DataType::Utf8View),
        ("array", DataType::List(element("item", DataType::Int32))),
        ("map", DataType::Map(Arc::new(Field::new("entries", entries, false)), false)),
        ("row", row),
    ];
    let options = [
        ("number-of-rows", "100"),
        ("fields.array.element.min", "5"),
        ("fields.array.element.max", "6"),
        ("fields.array.length", "2"),
        ("fields.map.key.length", "1"),
        ("fields.row.y.z.length", "2"),
        ("fields.row.y.null-rate", "0.5"),
        ("fields.double.min", "1.5"),
        ("fields.double.max", "2.5"),
    ];
    let rows = rows(&columns, &options).await;
    assert_eq!(rows.num_rows(), 100);
    let doubles = rows.column(3).as_primitive::<arrow::datatypes::Float64Type>();
    assert!(doubles.values().iter().all(|value| (1.5..=2.5).contains(value)));
    let arrays = rows.column(10).as_list::<i32>();
    assert_eq!(arrays.value_length(0), 2);
    assert!(arrays.values().as_primitive::<Int32Type>().values().iter().all(|value| [5, 6].contains(value)));
    assert_eq!(rows.column(11).as_map().value_length(0), 3);
    let inner = rows.column(12).as_struct().column(1).as_struct();
    assert!((20..80).contains(&inner.null_count()));
    assert_eq!(inner.column(0).as_string::<i32>().value(0).len(), 2);
}

#[tokio::test]
async fn times_are_now_or_as_far_back_as_asked() {
    let before = chrono::Utc::now().timestamp_millis();
    let columns = [
        ("now", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("past", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ];
    let rows = rows(&columns, &[("number-of-rows", "1000"), ("fields.past.max-past", "1 h")]).await;
    let after = chrono::Utc::now().timestamp_millis();
    let times = |column| rows.column(column).as_primitive::<arrow::datatypes::TimestampMillisecondType>().values();
    assert!(times(0).iter().all(|time| (before..=after).contains(time)));
    assert!(times(1).iter().all(|time| (before - 3_600_000..=after).contains(time)));
    assert!(times(1).iter().any(|time| *time < before - 1_800_000));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_rows_and_reading_resumes_after_every_batch() {
    let columns = [("a", DataType::Int64), ("b", DataType::Utf8)];
    let options =
        [("number-of-rows", "20000"), ("seed", "42"), ("fields.b.length", "3"), ("rows-per-second", "1000000000")];
    let source = source(&columns, &options).unwrap();
    let batches = read_batches(open(source.as_ref()).await.as_mut()).await.unwrap();
    let all: Vec<String> = batches.iter().flat_map(|batch| lines_of(&batch.rows)).collect();
    assert_eq!(all.len(), 20_000);
    assert!(batches.len() > 2);
    let mut seen = 0;
    for batch in batches {
        seen += batch.rows.len();
        let mut rest = source.open(vec![(batch.split, Some(batch.resume_at))]).await.unwrap();
        assert_eq!(read_all(rest.as_mut()).await.unwrap(), all[seen..]);
    }
    let other = super::tests::source(&columns, &[&options[..1], &[("seed", "43")], &options[2..]].concat()).unwrap();
    assert_ne!(read_all(open(other.as_ref()).await.as_mut()).await.unwrap(), all);
}

#[tokio::test]
async fn parallel_splits_share_a_sequence() {
    let options = [
        ("fields.a.kind", "sequence"),
        ("fields.a.start", "0"),
        ("fields.a.end", "9999"),
        ("scan.parallelism", "3"),
        ("rows-per-second", "1000000000"),
    ];
    let source = source(&[("a", DataType::Int32)], &options).unwrap();
    let splits = source.splits().await.unwrap();
    assert_eq!(splits.len(), 3);
    let mut values = Vec::new();
    for split in splits {
        let mut reader = source.open(vec![(split, None)]).await.unwrap();
        values.extend(read_all(reader.as_mut()).await.unwrap().into_iter().map(|value| value.parse::<i32>().unwrap()));
    }
    values.sort_unstable();
    assert_eq!(values, (0..10_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_projection_keeps_values_and_the_end_of_the_table() {
    let columns = [("a", DataType::Int32), ("b", DataType::Int32)];
    let options = [("seed", "1"), ("fields.a.kind", "sequence"), ("fields.a.start", "1"), ("fields.a.end", "4")];
    let all = rows(&columns, &options).await;
    let table = table(&columns, &options);
    let source = Datagen.source(&table, &[1], &registry()).unwrap();
    let batches = read_batches(open(source.as_ref()).await.as_mut()).await.unwrap();
    let values: Vec<i32> = batches
        .iter()
        .flat_map(|batch| batch.rows.rows().column(0).as_primitive::<Int32Type>().values().to_vec())
        .collect();
    assert_eq!(values, all.column(1).as_primitive::<Int32Type>().values().to_vec());
}

#[tokio::test]
async fn long_texts_make_for_small_batches() {
    let options = [("number-of-rows", "100"), ("fields.s.length", "1000000"), ("rows-per-second", "1000000000")];
    let source = source(&[("s", DataType::Utf8)], &options).unwrap();
    let batch = open(source.as_ref()).await.next().await.unwrap().unwrap();
    assert!(batch.rows.len() <= 8, "{}", batch.rows.len());
}

#[test]
fn options_that_make_no_sense_are_errors() {
    let int = [("amount", DataType::Int32)];
    assert!(error(&int, &[("fields.amuont.min", "1")]).contains("did you mean amount?"));
    assert!(error(&int, &[("fields.amount.length", "1")]).contains("it means nothing for the type and kind of amount"));
    assert!(error(&int, &[("fields.amount.min", "9"), ("fields.amount.max", "1")]).contains("greatest number, 1"));
    assert!(error(&int, &[("fields.amount.max", "3000000000")]).contains("numbers up to 2147483647"));
    assert!(error(&int, &[("fields.amount.min", "x")]).contains("has the value 'x'"));
    assert!(error(&int, &[("fields.amount.null-rate", "2")]).contains("from 0 to 1"));
    assert!(error(&int, &[("rows-per-second", "0")]).contains("at least 1"));
    let sequence = ("fields.amount.kind", "sequence");
    assert!(error(&int, &[sequence]).contains("'fields.amount.start' of table t is missing"));
    let too_far = [sequence, ("fields.amount.start", "1"), ("fields.amount.end", "3000000000")];
    assert!(error(&int, &too_far).contains("'fields.amount.end' of table t has the value '3000000000'"));
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth);
    assert!(error(&[("i", interval)], &[]).contains("cannot make up values for column i"));
}
