use std::path::Path;

use arrow::datatypes::DataType;

use super::super::Filesystem;
use super::*;
use crate::connect::{Connector, TableDefinition};
use crate::connectors::testing::{lines_of, lines_table, read_all, read_batches, registry, table};

struct Files {
    root: tempfile::TempDir,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Files {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Files { root }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn lines(&self, path: &str, options: &[(&str, &str)]) -> TableDefinition {
        let (mut table, _) = lines_table(options);
        table.options.set("path", self.path(path).display().to_string());
        table
    }
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

fn append(path: &Path, text: &str) {
    use std::io::Write;
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The next rows of an endless table, however they are batched.
async fn next_rows(reader: &mut dyn Reader, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        lines.extend(lines_of(&reader.next().await.unwrap().unwrap().rows));
    }
    lines
}

#[tokio::test]
async fn files_are_read_in_the_order_of_their_names_to_the_last_line() {
    let files =
        Files::new(&[("b", "3\r\n4"), ("a", "1\n\n2\n"), ("c", ""), ("sub/d", "5"), ("_no", "x"), (".no", "x")]);
    assert_eq!(read(&files.lines("", &[]), &[0]).await.unwrap(), ["1", "", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn an_empty_directory_is_an_empty_table() {
    let files = Files::new(&[]);
    assert!(read(&files.lines("", &[]), &[0]).await.unwrap().is_empty());
}

#[tokio::test]
async fn reading_resumes_after_every_batch_with_exactly_the_rest() {
    let text = (0..20).map(|n| format!("line {n}\n")).collect::<String>();
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut compressed, text.as_bytes()).unwrap();
    let files = Files::new(&[("f", &text)]);
    std::fs::write(files.path("f.gz"), compressed.finish().unwrap()).unwrap();
    for name in ["f", "f.gz"] {
        let source = source(&files.lines(name, &[]), &[0]);
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

#[tokio::test]
async fn a_file_of_many_chunks_is_read_whole() {
    let line = "x".repeat(1000);
    let text = format!("{line}\n").repeat(3000);
    let files = Files::new(&[("f", &text)]);
    let lines = read(&files.lines("f", &[]), &[0]).await.unwrap();
    assert_eq!((lines.len(), lines.iter().all(|l| *l == line)), (3000, true));
}

/// Lines of a CSV file that is large enough to be decoded on several threads.
fn large_csv(line: impl Fn(usize) -> String) -> (Files, TableDefinition) {
    let text: String = (0..4000).map(|n| format!("{n},{}\n", line(n))).collect();
    assert!(text.len() as u64 > 8 * LARGE_BYTES);
    let files = Files::new(&[("f", &text)]);
    let mut table = table(&[("n", DataType::Int64), ("v", DataType::Utf8)], &[("format", "csv")]);
    table.options.set("path", files.path("f").display().to_string());
    (files, table)
}

#[tokio::test]
async fn a_large_file_is_read_in_its_order_wherever_its_records_end() {
    // Of plain lines; of a few that span several; of almost only such, so that chunks are never whole records.
    for spanned in [usize::MAX, 1000, 2] {
        let is_spanned = |n: usize| n % spanned == 1;
        let (_files, table) = large_csv(|n| match is_spanned(n) {
            // Each of its lines looks like a record.
            true => format!("\"first\n{}0,last\"", "0,quoted\n".repeat(n % 30)),
            false => "x".repeat(n % 40),
        });
        let source = source(&table, &[0, 1]);
        let batches = read_batches(open(source.as_ref()).await.as_mut()).await.unwrap();
        let all: Vec<String> = batches.iter().flat_map(|batch| lines_of(&batch.rows)).collect();
        assert_eq!(all.len(), 4000);
        for (n, line) in all.iter().enumerate() {
            assert!(
                line.starts_with(&format!("{n},{}", if is_spanned(n) { "first" } else { "x" })) || n % 40 == 0,
                "{n}: {line}"
            );
        }
        let mut seen = 0;
        for (n, batch) in batches.into_iter().enumerate() {
            seen += batch.rows.len();
            if n % 7 == 0 {
                let mut rest = source.open(vec![(batch.split, Some(batch.resume_at))]).await.unwrap();
                assert_eq!(read_all(rest.as_mut()).await.unwrap(), all[seen..], "from batch {n} on");
            }
        }
    }
}

#[tokio::test]
async fn rows_before_a_bad_record_of_a_large_file_come_out_before_the_error() {
    let (_files, table) = large_csv(|n| if n == 2345 { "a,b".to_string() } else { "x".repeat(30) });
    let mut reader = open(source(&table, &[0]).as_ref()).await;
    let mut rows = 0;
    let error = loop {
        match reader.next().await {
            Ok(batch) => rows += batch.unwrap().rows.len(),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(rows, 2345);
    assert!(error.contains("2345,a,b"), "{error}");
}

#[tokio::test]
async fn bad_records_of_a_large_file_are_counted_once() {
    let (_files, mut table) = large_csv(|n| if n % 100 == 7 { "a,b".to_string() } else { "x".repeat(30) });
    table.options.set("csv.ignore-parse-errors", "true");
    let batches = read_batches(open(source(&table, &[0]).as_ref()).await.as_mut()).await.unwrap();
    let skipped: u64 = batches.iter().filter_map(|batch| Some(batch.skipped.as_ref()?.records)).sum();
    assert_eq!((batches.iter().map(|batch| batch.rows.len()).sum::<usize>(), skipped), (3960, 40));
}

#[tokio::test]
async fn partition_columns_come_from_the_path_and_metadata_from_the_file() {
    let files = Files::new(&[("d=2020-01-01/k=7/f", "a\nb"), ("d=2020-01-02/k=__DEFAULT_PARTITION__/f", "c")]);
    let columns = [
        ("k", DataType::Int32),
        ("v", DataType::Utf8),
        ("size", DataType::Int64),
        ("d", DataType::Date32),
        ("name", DataType::Utf8),
    ];
    let mut table = table(&columns, &[("format", "lines")]);
    table.options.set("path", files.root.path().display().to_string());
    table.partitioned_by = vec![3, 0];
    table.metadata = vec![(2, "file.size".to_string()), (4, "file.name".to_string())];
    let all = read(&table, &[0, 1, 2, 3, 4]).await.unwrap();
    assert_eq!(all, ["7,a,3,2020-01-01,f", "7,b,3,2020-01-01,f", "null,c,1,2020-01-02,f"]);
    // In the order asked for, and without any column of the records.
    assert_eq!(read(&table, &[4, 1]).await.unwrap(), ["f,a", "f,b", "f,c"]);
    assert_eq!(read(&table, &[3]).await.unwrap(), ["2020-01-01", "2020-01-01", "2020-01-02"]);
}

#[tokio::test]
async fn a_file_outside_any_partition_is_an_error() {
    let files = Files::new(&[("f", "a")]);
    let mut table = table(&[("v", DataType::Utf8), ("k", DataType::Utf8)], &[("format", "lines")]);
    table.options.set("path", files.root.path().display().to_string());
    table.partitioned_by = vec![1];
    let error = read(&table, &[0, 1]).await.unwrap_err().to_string();
    assert!(error.contains("the path has no directory k=..."), "{error}");
}

#[tokio::test]
async fn the_time_a_file_was_written_is_a_column() {
    let files = Files::new(&[("f", "a")]);
    let kind = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into()));
    let mut table = table(&[("v", DataType::Utf8), ("at", kind)], &[("format", "lines")]);
    table.options.set("path", files.root.path().display().to_string());
    table.metadata = vec![(1, "file.modification-time".to_string())];
    let lines = read(&table, &[1]).await.unwrap();
    let modified = std::fs::metadata(files.path("f")).unwrap().modified().unwrap();
    let expected: chrono::DateTime<chrono::Utc> = modified.into();
    assert!(lines[0].starts_with(&expected.format("%Y-%m-%dT%H:%M:%S").to_string()), "{lines:?}");
}

#[test]
fn an_unknown_metadata_column_is_an_error_with_the_nearest() {
    let mut table = table(&[("n", DataType::Utf8)], &[("format", "lines"), ("path", "/x")]);
    table.metadata = vec![(0, "file.nam".to_string())];
    let error = Filesystem.source(&table, &[0], &registry()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("did you mean file.name?"), "{error}");
}

#[tokio::test]
async fn a_file_that_went_away_is_an_error() {
    let files = Files::new(&[("f", "a")]);
    let source = source(&files.lines("f", &[]), &[0]);
    let splits = source.splits().await.unwrap();
    std::fs::remove_file(files.path("f")).unwrap();
    let mut reader = source.open(splits.into_iter().map(|split| (split, None)).collect()).await.unwrap();
    let error = read_all(reader.as_mut()).await.unwrap_err();
    assert_eq!(error.what(), format!("cannot read file {}", files.path("f").display()));
}

#[tokio::test]
async fn new_files_are_read_once_each_when_they_appear() {
    let files = Files::new(&[("a", "1")]);
    let source = source(&files.lines("", &[("source.monitor-interval", "1 ms")]), &[0]);
    assert!(!source.bounded());
    let mut reader = open(source.as_ref()).await;
    assert_eq!(next_rows(reader.as_mut(), 1).await, ["1"]);
    std::fs::write(files.path(".b"), "2").unwrap();
    std::fs::rename(files.path(".b"), files.path("b")).unwrap();
    assert_eq!(next_rows(reader.as_mut(), 1).await, ["2"]);
    // A file is not read again because it grew.
    append(&files.path("a"), "\nmore");
    std::fs::write(files.path(".c"), "3").unwrap();
    std::fs::rename(files.path(".c"), files.path("c")).unwrap();
    assert_eq!(next_rows(reader.as_mut(), 1).await, ["3"]);
}

#[tokio::test]
async fn a_file_finished_before_a_restart_is_not_needed_after_it() {
    let files = Files::new(&[("a", "1")]);
    let table = files.lines("", &[("source.monitor-interval", "1 ms")]);
    let mut reader = open(source(&table, &[0]).as_ref()).await;
    let first = reader.next().await.unwrap().unwrap();
    let finished = reader.next().await.unwrap().unwrap();
    assert_eq!((finished.rows.len(), &finished.split), (0, &first.split));
    std::fs::remove_file(files.path("a")).unwrap();
    std::fs::write(files.path(".b"), "2").unwrap();
    std::fs::rename(files.path(".b"), files.path("b")).unwrap();
    let splits = vec![(finished.split, Some(finished.resume_at)), (SplitId::new(NEW_FILES), None)];
    let mut reader = source(&table, &[0]).open(splits).await.unwrap();
    assert_eq!(next_rows(reader.as_mut(), 1).await, ["2"]);
}

#[tokio::test]
async fn a_followed_file_gives_whole_lines_as_they_are_appended() {
    let files = Files::new(&[("log", "1\nha")]);
    let options = [("source.follow", "true"), ("source.monitor-interval", "1 ms")];
    let source = source(&files.lines("", &options), &[0]);
    let mut reader = open(source.as_ref()).await;
    assert_eq!(next_rows(reader.as_mut(), 1).await, ["1"]);
    append(&files.path("log"), "lf\n3\n");
    assert_eq!(next_rows(reader.as_mut(), 2).await, ["half", "3"]);
    // Rotated: the new file of that name is read from its start.
    std::fs::write(files.path(".log"), "4\n").unwrap();
    std::fs::rename(files.path(".log"), files.path("log")).unwrap();
    assert_eq!(next_rows(reader.as_mut(), 1).await, ["4"]);
    append(&files.path("log"), "5\n");
    assert_eq!(next_rows(reader.as_mut(), 1).await, ["5"]);
}

#[tokio::test]
async fn following_resumes_where_it_stopped() {
    let files = Files::new(&[("log", "1\n2\n3\n4\n")]);
    let source = source(&files.lines("log", &[("source.follow", "true")]), &[0]);
    let first = open(source.as_ref()).await.next().await.unwrap().unwrap();
    assert_eq!(first.rows.len(), 3);
    let mut reader = source.open(vec![(first.split, Some(first.resume_at))]).await.unwrap();
    assert_eq!(next_rows(reader.as_mut(), 1).await, ["4"]);
}

#[tokio::test]
async fn parquet_files_are_written_and_read_back_and_reading_resumes_at_rows() {
    use crate::operator::ShardContext;
    let files = Files::new(&[]);
    let columns = [("v", DataType::Utf8), ("n", DataType::Int64), ("k", DataType::Utf8)];
    let mut table = table(&columns, &[("format", "parquet"), ("parquet.batch-size", "3")]);
    table.options.set("path", files.path("t").display().to_string());
    table.partitioned_by = vec![2];
    let registry = registry();
    registry
        .connector(&{
            let mut table = table.clone();
            table.options.set("connector", "filesystem");
            table
        })
        .unwrap();
    let mut writer = Filesystem.sink(&table, &registry).unwrap().open(&ShardContext::SINGLE).await.unwrap();
    let lines: Vec<String> = (0..10).map(|n| format!("v{n},{n},a")).collect();
    let rows = crate::connectors::testing::changes(&table, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    writer.write(rows).await.unwrap();
    writer.finish().await.unwrap();

    let source = source(&table, &[2, 1]);
    let batches = read_batches(open(source.as_ref()).await.as_mut()).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.rows.len()).collect::<Vec<_>>(), [3, 3, 3, 1, 0]);
    let mut rest = source.open(vec![(batches[1].split.clone(), Some(batches[1].resume_at.clone()))]).await.unwrap();
    assert_eq!(read_all(rest.as_mut()).await.unwrap(), ["a,6", "a,7", "a,8", "a,9"]);
}

#[test]
fn a_parquet_table_cannot_be_followed() {
    let table = table(&[("v", DataType::Utf8)], &[("format", "parquet"), ("path", "/x"), ("source.follow", "true")]);
    let error = Filesystem.source(&table, &[0], &registry()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("can only be read once it is finished"), "{error}");
}

#[tokio::test]
async fn every_format_gives_rows_without_a_column_of_the_record() {
    let text = [("csv", "a\nb\n"), ("json", "{\"v\":\"a\"}\n{\"v\":\"b\"}\n"), ("raw", "a\nb\n")];
    for (format, text) in text {
        let files = Files::new(&[("f", text)]);
        let mut table = table(&[("v", DataType::Utf8), ("name", DataType::Utf8)], &[("format", format)]);
        table.options.set("path", files.root.path().display().to_string());
        table.metadata = vec![(1, "file.name".to_string())];
        assert_eq!(read(&table, &[1]).await.unwrap(), ["f", "f"], "{format}");
        assert_eq!(read(&table, &[1, 0]).await.unwrap(), ["f,a", "f,b"], "{format}");
    }
}

#[tokio::test]
async fn of_a_watched_directory_it_is_known_when_the_files_that_were_there_have_been_read() {
    // More than the reader has ahead.
    let text: String = (0..100).map(|n| format!("{n}\n")).collect();
    let files = Files::new(&[("a", &text), ("b", &text)]);
    let source = source(&files.lines("", &[("source.monitor-interval", "1 ms")]), &[0]);
    let mut reader = open(source.as_ref()).await;
    let mut backlog = reader.backlog().expect("it works ahead");
    assert!(!*backlog.borrow(), "it has read files of more batches than it has ahead");
    assert_eq!(next_rows(reader.as_mut(), 200).await.len(), 200);
    // What says that the last file is done.
    let end = reader.next().await.unwrap().unwrap();
    assert!(end.ended && end.rows.is_empty());
    backlog.wait_for(|is_read| *is_read).await.unwrap();
}
