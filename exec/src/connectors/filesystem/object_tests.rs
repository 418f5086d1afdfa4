//! The connector over `memory://`. Each test has a place of its own there, because all share the one store.

use std::io::Write;

use arrow::datatypes::DataType;
use tidemill_state::Epoch;

use super::super::Filesystem;
use super::super::location::Location;
use super::*;
use crate::connect::{Connector, Reader, Source, SplitId, Writer};
use crate::connectors::testing::{changes, lines_of, read_all, read_batches, registry, table};
use crate::operator::ShardContext;

fn memory() -> Arc<dyn ObjectStore> {
    providers::store("memory://", "a test", &crate::connect::Options::default()).unwrap()
}

fn put(key: &str, bytes: impl Into<PutPayload> + Send + 'static) {
    let (store, path) = (memory(), Path::parse(key).unwrap());
    ask(async move { store.put(&path, bytes.into()).await }).unwrap();
}

/// Every object below a place, as what follows its name and its text.
fn contents(place: &str) -> Vec<(String, String)> {
    let (store, path) = (memory(), Path::parse(place).unwrap());
    let mut found = ask(async move {
        let mut found = Vec::new();
        for object in store.list(Some(&path)).try_collect::<Vec<_>>().await? {
            let bytes = store.get(&object.location).await?.bytes().await?;
            found.push((object.location.to_string(), String::from_utf8_lossy(&bytes).to_string()));
        }
        Ok(found)
    })
    .unwrap();
    found.iter_mut().for_each(|(key, _)| *key = key.replace(&format!("{place}/"), ""));
    found.sort();
    found
}

fn texts(place: &str) -> Vec<String> {
    contents(place).into_iter().map(|(_, text)| text).collect()
}

fn of(path: &str, columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableDefinition {
    let mut table = table(columns, options);
    if table.options.get("format").is_none() {
        table.options.set("format", "lines");
    }
    table.options.set("path", format!("memory://{path}"));
    table
}

fn lines(path: &str, options: &[(&str, &str)]) -> TableDefinition {
    of(path, &[("line", DataType::Utf8)], options)
}

fn partitioned(path: &str, options: &[(&str, &str)]) -> TableDefinition {
    let mut table = of(path, &[("v", DataType::Int64), ("k", DataType::Utf8)], options);
    table.partitioned_by = vec![1];
    table
}

fn list(path: &str) -> Result<Vec<String>> {
    Location::of(&lines(path, &[]))?.list()
}

fn source(table: &TableDefinition, projection: &[usize]) -> Arc<dyn Source> {
    Filesystem.source(table, projection, &registry()).unwrap()
}

async fn open(source: &dyn Source) -> Box<dyn Reader> {
    let splits = source.splits().await.unwrap();
    source.open(splits.into_iter().map(|split| (split, None)).collect()).await.unwrap()
}

async fn read(table: &TableDefinition, projection: &[usize]) -> Result<Vec<String>> {
    read_all(open(source(table, projection).as_ref()).await.as_mut()).await
}

async fn writer(table: &TableDefinition, overwrite: bool) -> Box<dyn Writer> {
    let sink = Filesystem::files(table, &registry(), overwrite).unwrap();
    crate::connect::Sink::open(&sink, &ShardContext::SINGLE).await.unwrap()
}

#[test]
fn a_path_is_an_object_or_all_below_it_that_is_not_hidden() {
    for key in ["b.csv", "a.csv", "sub/c.csv", "_SUCCESS", ".part", "_tmp/x.csv", "sub/.git/y"] {
        put(&format!("listing/d/{key}"), "");
    }
    put("listing/da.csv", "");
    let all = ["memory://listing/d/a.csv", "memory://listing/d/b.csv", "memory://listing/d/sub/c.csv"];
    assert_eq!(list("listing/d").unwrap(), all);
    assert_eq!(list("listing/d/").unwrap(), all);
    assert_eq!(list("listing/d/a.csv").unwrap(), all[..1]);
    assert_eq!(list("listing/d/_tmp").unwrap(), ["memory://listing/d/_tmp/x.csv"]);
}

#[test]
fn a_glob_matches_objects_and_directories() {
    for key in ["a1.csv", "a2.csv", "a3.txt", "_a4.csv", "dir.csv/x", "dir.csv/_x", "sub/a5.csv", "a[1].csv"] {
        put(&format!("globs/{key}"), "");
    }
    let names = |path: &str| -> Vec<String> {
        list(path).unwrap().iter().map(|name| name.replace("memory://globs/", "")).collect()
    };
    assert_eq!(names("globs/*.csv"), ["a1.csv", "a2.csv", "a[1].csv", "dir.csv/x"]);
    assert_eq!(names("globs/*/a?.csv"), ["sub/a5.csv"]);
    assert_eq!(names("glob*/a3.*"), ["a3.txt"]);
    assert_eq!(names("globs/a[1].csv"), ["a[1].csv"]);
}

#[test]
fn a_path_with_nothing_at_it_is_an_error_unless_new_files_are_waited_for() {
    let error = list("nothing/here").unwrap_err().to_string();
    assert!(error.contains("cannot read memory://nothing/here of table t\n  why: there is no such file"), "{error}");
    assert!(list("nothing/*.csv").unwrap_err().to_string().contains("no file matches it"));
    let watched = lines("nothing/here", &[("source.monitor-interval", "1 s")]);
    assert!(Location::of(&watched).unwrap().list().unwrap().is_empty());
}

#[test]
fn a_store_that_is_not_in_the_build_names_the_feature_and_an_unknown_one_the_known() {
    let error = |path: &str| {
        let mut table = lines("", &[]);
        table.options.set("path", path);
        Filesystem.source(&table, &[0], &registry()).map(|_| ()).unwrap_err().to_string()
    };
    #[cfg(not(feature = "s3"))]
    assert!(error("s3://bucket/a").contains("fix: build it with: cargo build --release --features s3"));
    #[cfg(not(feature = "gcs"))]
    assert!(error("gs://bucket/a").ends_with("--features gcs"));
    let unknown = error("ftp://host/a");
    assert!(unknown.contains("ftp:// is not a store that tidemill knows"), "{unknown}");
}

#[test]
fn objects_cannot_be_followed() {
    let table = lines("x", &[("source.follow", "true")]);
    let error = Filesystem.source(&table, &[0], &registry()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("objects of a store do not grow"), "{error}");
}

#[tokio::test]
async fn reading_resumes_after_every_batch_with_exactly_the_rest() {
    let text = (0..20).map(|n| format!("line {n}\n")).collect::<String>();
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    compressed.write_all(text.as_bytes()).unwrap();
    put("resume/f", text);
    put("resume/f.gz", compressed.finish().unwrap());
    for name in ["resume/f", "resume/f.gz"] {
        let source = source(&lines(name, &[]), &[0]);
        let split = source.splits().await.unwrap().remove(0);
        let batches = read_batches(open(source.as_ref()).await.as_mut()).await.unwrap();
        let all: Vec<String> = batches.iter().flat_map(|batch| lines_of(&batch.rows)).collect();
        assert_eq!((batches.len(), all.len()), (8, 20), "seven with rows, and the end of the file");
        let mut seen = 0;
        for batch in batches {
            seen += batch.rows.len();
            let mut rest = source.open(vec![(split.clone(), Some(batch.resume_at))]).await.unwrap();
            assert_eq!(read_all(rest.as_mut()).await.unwrap(), all[seen..]);
        }
    }
}

#[test]
fn an_object_of_many_chunks_is_read_whole_from_anywhere() {
    let bytes: Vec<u8> = (0..(5u32 << 18)).flat_map(u32::to_le_bytes).collect();
    put("chunks/f", bytes.clone());
    let files = ObjectFiles::of("memory://chunks/f", &lines("", &[]), false).unwrap();
    for start in [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 7, bytes.len() - 1, bytes.len(), bytes.len() + 1] {
        let mut read = Vec::new();
        let file = files.open("memory://chunks/f").unwrap();
        file.read_from(start as u64).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes[start.min(bytes.len())..], "from {start}");
    }
    let anywhere = files.open("memory://chunks/f").unwrap().read_anywhere();
    for round in 0..3 {
        for start in (0..bytes.len()).step_by(100_003) {
            let length = 10 + round * 60_000;
            let end = (start + length).min(bytes.len());
            assert!(anywhere.read(start as u64, length).unwrap() == bytes[start..end], "{length} from {start}");
        }
    }
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_an_error() {
    put("replaced/f", vec![b'1'; 3 << 20]);
    let files = ObjectFiles::of("memory://replaced/f", &lines("", &[]), false).unwrap();
    let mut file = files.open("memory://replaced/f").unwrap().read_from(0).unwrap();
    put("replaced/f", vec![b'2'; 3 << 20]);
    assert!(file.read_to_end(&mut Vec::new()).is_err());
}

#[tokio::test]
async fn partition_columns_come_from_the_key_and_metadata_from_the_object() {
    put("partitions/k=a/f", "1\n2");
    put("partitions/k=__DEFAULT_PARTITION__/f", "3");
    let columns = [("v", DataType::Int64), ("k", DataType::Utf8), ("size", DataType::Int64), ("path", DataType::Utf8)];
    let mut table = of("partitions", &columns, &[]);
    table.partitioned_by = vec![1];
    table.metadata = vec![(2, "file.size".to_string()), (3, "file.path".to_string())];
    let expected = [
        "3,null,1,memory://partitions/k=__DEFAULT_PARTITION__/f",
        "1,a,3,memory://partitions/k=a/f",
        "2,a,3,memory://partitions/k=a/f",
    ];
    assert_eq!(read(&table, &[0, 1, 2, 3]).await.unwrap(), expected);
}

#[tokio::test]
async fn new_objects_are_read_once_each_when_they_appear() {
    put("watched/a", "1");
    let source = source(&lines("watched", &[("source.monitor-interval", "1 ms")]), &[0]);
    let mut reader = open(source.as_ref()).await;
    let mut next = async || loop {
        let batch = reader.next().await.unwrap().unwrap();
        if !batch.rows.is_empty() {
            return lines_of(&batch.rows);
        }
    };
    assert_eq!(next().await, ["1"]);
    put("watched/b", "2");
    assert_eq!(next().await, ["2"]);
    put("watched/c", "3");
    assert_eq!(next().await, ["3"]);
}

#[tokio::test]
async fn an_object_that_went_away_is_an_error_that_names_it() {
    let source = source(&lines("gone/f", &[]), &[0]);
    let split = (SplitId::new("memory://gone/f"), None);
    let error = read_all(source.open(vec![split]).await.unwrap().as_mut()).await.unwrap_err();
    assert_eq!(error.what(), "cannot read file memory://gone/f");
}

#[tokio::test]
async fn nothing_is_visible_before_a_file_is_finished_and_then_it_is_read_back() {
    let table = partitioned("written", &[("sink.partition-commit.policy.kind", "success-file")]);
    let mut writer = writer(&table, false).await;
    writer.write(changes(&table, &["1,a", "2,x/y", "3,a"])).await.unwrap();
    writer.flush(Epoch(1)).await.unwrap();
    writer.write(changes(&table, &["4,"])).await.unwrap();
    assert!(contents("written").is_empty());
    writer.finish().await.unwrap();
    let directories: Vec<String> =
        contents("written").iter().map(|(key, _)| key.split('/').next().unwrap().to_string()).collect();
    let expected = ["k=__DEFAULT_PARTITION__", "k=a", "k=x%2Fy"];
    assert_eq!(directories, expected.iter().flat_map(|d| [*d, *d]).collect::<Vec<_>>());
    assert_eq!(read(&table, &[0, 1]).await.unwrap(), ["4,null", "1,a", "3,a", "2,x/y"]);
}

#[tokio::test]
async fn a_cancelled_job_leaves_its_whole_epochs_and_nothing_else() {
    let table = lines("cancelled", &[]);
    let mut first = writer(&table, false).await;
    first.write(changes(&table, &["1"])).await.unwrap();
    first.flush(Epoch(1)).await.unwrap();
    // More than one piece of an upload.
    let long = "y".repeat(20 << 20);
    first.write(changes(&table, &[&long])).await.unwrap();
    drop(first);
    assert_eq!(texts("cancelled"), ["1\n"]);
    let mut second = writer(&lines("cancelled/2", &[]), false).await;
    second.write(changes(&table, &["2"])).await.unwrap();
    drop(second);
    assert_eq!(texts("cancelled"), ["1\n"]);
}

#[tokio::test]
async fn a_large_file_goes_up_in_pieces_and_arrives_whole() {
    let table = lines("large", &[]);
    let mut writer = writer(&table, false).await;
    let mut expected = String::new();
    for (epoch, length) in [5 << 20, 12 << 20, 1, 8 << 20].into_iter().enumerate() {
        let line = char::from(b'a' + epoch as u8).to_string().repeat(length);
        writer.write(changes(&table, &[&line])).await.unwrap();
        writer.flush(Epoch(epoch as u64)).await.unwrap();
        expected.push_str(&format!("{line}\n"));
    }
    assert!(contents("large").is_empty());
    writer.finish().await.unwrap();
    assert!(texts("large") == [expected]);
}

#[tokio::test]
async fn a_file_rolls_at_the_end_of_the_epoch_in_which_it_is_due() {
    let table = lines("rolled", &[("sink.rolling-policy.file-size", "3 b")]);
    let mut writer = writer(&table, false).await;
    for epoch in 0..2 {
        writer.write(changes(&table, &["1", "2"])).await.unwrap();
        writer.flush(Epoch(epoch)).await.unwrap();
    }
    assert_eq!(texts("rolled"), ["1\n2\n", "1\n2\n"]);
}

#[tokio::test]
async fn overwriting_replaces_only_the_partitions_that_get_rows_and_only_at_the_end() {
    let table = partitioned("overwritten", &[]);
    let mut first = writer(&table, false).await;
    first.write(changes(&table, &["1,a", "2,b"])).await.unwrap();
    first.finish().await.unwrap();
    let mut second = writer(&table, true).await;
    second.write(changes(&table, &["3,b"])).await.unwrap();
    second.flush(Epoch(1)).await.unwrap();
    assert_eq!(texts("overwritten"), ["1\n", "2\n"]);
    second.finish().await.unwrap();
    assert_eq!(texts("overwritten"), ["1\n", "3\n"]);
}

#[tokio::test]
async fn parquet_objects_are_written_and_read_back_and_reading_resumes_at_rows() {
    let table = partitioned("parquet", &[("format", "parquet"), ("parquet.batch-size", "3")]);
    let mut writer = writer(&table, false).await;
    let rows: Vec<String> = (0..10).map(|n| format!("{n},a")).collect();
    writer.write(changes(&table, &rows.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap();
    writer.finish().await.unwrap();
    let source = source(&table, &[1, 0]);
    let batches = read_batches(open(source.as_ref()).await.as_mut()).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.rows.len()).collect::<Vec<_>>(), [3, 3, 3, 1, 0]);
    let mut rest = source.open(vec![(batches[1].split.clone(), Some(batches[1].resume_at.clone()))]).await.unwrap();
    assert_eq!(read_all(rest.as_mut()).await.unwrap(), ["a,6", "a,7", "a,8", "a,9"]);
}
