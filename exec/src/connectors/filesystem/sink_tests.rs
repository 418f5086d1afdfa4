use std::path::Path;

use arrow::datatypes::DataType;

use super::super::Filesystem;
use super::super::local::LocalPart;
use super::super::store::is_hidden;
use super::*;
use crate::connectors::testing::{changes, registry, table};

fn partitioned(path: &Path, options: &[(&str, &str)]) -> TableDefinition {
    let columns = [("v", DataType::Int64), ("k", DataType::Utf8), ("d", DataType::Utf8)];
    let mut table = table(&columns, options);
    table.partitioned_by = vec![2, 1];
    table.options.set("format", "lines");
    table.options.set("path", path.display().to_string());
    table
}

fn plain(path: &Path, options: &[(&str, &str)]) -> TableDefinition {
    let mut table = partitioned(path, options);
    table.partitioned_by = vec![];
    table
}

async fn open(table: &TableDefinition, overwrite: bool) -> Result<Box<dyn Writer>> {
    Filesystem::files(table, &registry(), overwrite)?.open(&ShardContext::SINGLE).await
}

/// Every visible file below `root` as (directory, text); hidden ones as (directory, "hidden").
fn contents(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let within = directory.strip_prefix(root).unwrap().display().to_string();
            match path.is_dir() {
                true => directories.push(path),
                false if is_hidden(&path.file_name().unwrap().to_string_lossy()) => {
                    found.push((within, "hidden".to_string()))
                }
                false => found.push((within, std::fs::read_to_string(path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

fn texts(root: &Path) -> Vec<String> {
    contents(root).into_iter().map(|(_, text)| text).collect()
}

#[tokio::test]
async fn rows_go_into_the_directories_of_their_partitions_without_those_columns() {
    let root = tempfile::tempdir().unwrap();
    let table = partitioned(root.path(), &[]);
    let mut writer = open(&table, false).await.unwrap();
    writer.write(changes(&table, &["1,a,2020-01-01", "2,b,2020-01-01", "3,a,2020-01-01"])).await.unwrap();
    writer.flush(Epoch(1)).await.unwrap();
    writer.write(changes(&table, &["4,,2020-01-01", "5,x/y,2020-01-02", "6,a,2020-01-01"])).await.unwrap();
    writer.finish().await.unwrap();
    let expected = [
        ("d=2020-01-01/k=__DEFAULT_PARTITION__", "4\n"),
        ("d=2020-01-01/k=a", "1\n3\n6\n"),
        ("d=2020-01-01/k=b", "2\n"),
        ("d=2020-01-02/k=x%2Fy", "5\n"),
    ];
    assert_eq!(contents(root.path()), expected.map(|(d, t)| (d.to_string(), t.to_string())));
}

#[tokio::test]
async fn nothing_is_visible_before_a_file_is_finished() {
    let root = tempfile::tempdir().unwrap();
    let table = plain(&root.path().join("new/t"), &[]);
    let mut writer = open(&table, false).await.unwrap();
    writer.write(changes(&table, &["1,a,x"])).await.unwrap();
    writer.flush(Epoch(1)).await.unwrap();
    assert_eq!(texts(root.path()), ["hidden"]);
    writer.finish().await.unwrap();
    assert_eq!(texts(root.path()), ["1,a,x\n"]);
}

#[tokio::test]
async fn a_file_rolls_at_the_end_of_the_epoch_in_which_it_is_due() {
    for rolling in [("sink.rolling-policy.file-size", "10 b"), ("sink.rolling-policy.rollover-interval", "0 s")] {
        let root = tempfile::tempdir().unwrap();
        let table = plain(root.path(), &[rolling]);
        let mut writer = open(&table, false).await.unwrap();
        for _ in 0..2 {
            writer.write(changes(&table, &["1,a,x", "2,a,x"])).await.unwrap();
            writer.flush(Epoch(1)).await.unwrap();
        }
        assert_eq!(texts(root.path()), ["1,a,x\n2,a,x\n", "1,a,x\n2,a,x\n"]);
        writer.finish().await.unwrap();
        assert_eq!(texts(root.path()).len(), 2);
    }
}

#[tokio::test]
async fn a_cancelled_job_leaves_its_whole_epochs_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let table = plain(root.path(), &[]);
    let mut writer = open(&table, false).await.unwrap();
    writer.write(changes(&table, &["1,a,x"])).await.unwrap();
    writer.flush(Epoch(1)).await.unwrap();
    // More than is kept in memory, so that some of it has reached the file.
    let long = format!("2,{},x", "y".repeat(2 << 20));
    writer.write(changes(&table, &[&long])).await.unwrap();
    drop(writer);
    assert_eq!(texts(root.path()), ["1,a,x\n"]);
}

#[tokio::test]
async fn a_job_cancelled_in_its_first_epoch_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let table = plain(root.path(), &[]);
    let mut writer = open(&table, false).await.unwrap();
    writer.write(changes(&table, &["1,a,x"])).await.unwrap();
    drop(writer);
    assert!(texts(root.path()).is_empty());
}

#[tokio::test]
async fn inserting_adds_files_and_overwriting_replaces_them_at_the_end() {
    let root = tempfile::tempdir().unwrap();
    let table = plain(root.path(), &[]);
    for _ in 0..2 {
        let mut writer = open(&table, false).await.unwrap();
        writer.write(changes(&table, &["1,a,x"])).await.unwrap();
        writer.finish().await.unwrap();
    }
    assert_eq!(texts(root.path()), ["1,a,x\n", "1,a,x\n"]);
    let mut writer = open(&table, true).await.unwrap();
    writer.write(changes(&table, &["2,b,y"])).await.unwrap();
    writer.flush(Epoch(1)).await.unwrap();
    assert_eq!(texts(root.path()), ["1,a,x\n", "1,a,x\n", "hidden"]);
    writer.finish().await.unwrap();
    assert_eq!(texts(root.path()), ["2,b,y\n"]);
}

#[tokio::test]
async fn overwriting_replaces_only_the_partitions_that_get_rows() {
    let root = tempfile::tempdir().unwrap();
    let table = partitioned(root.path(), &[]);
    for (overwrite, lines) in [(false, &["1,a,x", "2,b,x"][..]), (true, &["3,b,x"][..])] {
        let mut writer = open(&table, overwrite).await.unwrap();
        writer.write(changes(&table, lines)).await.unwrap();
        writer.finish().await.unwrap();
    }
    assert_eq!(texts(root.path()), ["1\n", "3\n"]);
}

#[tokio::test]
async fn a_success_file_marks_each_partition_of_a_finished_job() {
    let root = tempfile::tempdir().unwrap();
    let table = partitioned(root.path(), &[("sink.partition-commit.policy.kind", "metastore,success-file")]);
    let mut writer = open(&table, false).await.unwrap();
    writer.write(changes(&table, &["1,a,x"])).await.unwrap();
    writer.finish().await.unwrap();
    assert!(root.path().join("d=x/k=a/_SUCCESS").exists());
}

#[tokio::test]
async fn an_insert_without_rows_leaves_an_empty_directory() {
    let root = tempfile::tempdir().unwrap();
    let table = plain(&root.path().join("t"), &[]);
    open(&table, false).await.unwrap().finish().await.unwrap();
    assert_eq!(std::fs::read_dir(root.path().join("t")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_path_that_is_a_file_or_a_pattern_cannot_be_written_to() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("f"), "").unwrap();
    let error = open(&plain(&root.path().join("f"), &[]), false).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("fix: give the path of a directory"), "{error}");
    let error = open(&plain(&root.path().join("*.csv"), &[]), false).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("is a pattern"), "{error}");
}

/// `/dev/full` behaves as a disk without space.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let table = plain(directory.path(), &[]);
    let sink = Filesystem::files(&table, &registry(), false).unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = Arc::new(LocalPart::with_file(full, directory.path(), "part-0"));
    let mut part = Part::new("full".to_string(), full, sink.format.as_ref(), &sink.records).unwrap();
    part.write(changes(&table, &["1,a,x"])).unwrap();
    let error = part.end_epoch().unwrap_err().to_string();
    assert!(error.starts_with(&format!("could not write file {}/part-0\n", directory.path().display())), "{error}");
    assert!(error.contains("No space left on device"), "{error}");
    part.discard();
}

/// A run of a job that takes checkpoints, of which the next is this one.
fn durable(next: u64) -> ShardContext {
    ShardContext { durable: Some(JobToken { job: 7, first: CheckpointId(next), part: 0 }), ..ShardContext::SINGLE }
}

fn sink(table: &TableDefinition) -> FilesystemSink {
    Filesystem::files(table, &registry(), false).unwrap()
}

#[tokio::test]
async fn with_checkpoints_files_become_visible_when_they_are_committed_and_committing_again_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let table = partitioned(root.path(), &[("sink.partition-commit.policy.kind", "success-file")]);
    let sink = sink(&table);
    let mut writer = sink.open(&durable(1)).await.unwrap();
    writer.write(changes(&table, &["1,a,x", "2,b,x"])).await.unwrap();
    writer.flush(Epoch(1)).await.unwrap();
    let first = writer.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(texts(root.path()), ["hidden", "hidden"]);
    writer.write(changes(&table, &["3,a,x"])).await.unwrap();
    sink.commit(&first).await.unwrap();
    sink.commit(&first).await.unwrap();
    assert_eq!(texts(root.path()), ["1\n", "hidden", "2\n"]);
    writer.finish().await.unwrap();
    let last = writer.prepare(CheckpointId(2)).await.unwrap();
    sink.commit(&last).await.unwrap();
    assert_eq!(texts(root.path()), ["1\n", "3\n", "hidden", "2\n", "hidden"], "the marks are hidden by their names");
    // A reader may take files away once they are visible.
    std::fs::remove_dir_all(root.path().join("d=x/k=a")).unwrap();
    sink.commit(&first).await.unwrap();
}

#[tokio::test]
async fn after_a_crash_what_is_in_no_checkpoint_goes_and_the_rest_stays() {
    let root = tempfile::tempdir().unwrap();
    let table = plain(root.path(), &[("sink.rolling-policy.file-size", "1 b")]);
    let sink = sink(&table);
    let mut writer = sink.open(&durable(1)).await.unwrap();
    let mut prepared = Vec::new();
    for checkpoint in 1..=3 {
        writer.write(changes(&table, &[&format!("{checkpoint},a,x")])).await.unwrap();
        writer.flush(Epoch(checkpoint)).await.unwrap();
        prepared.push(writer.prepare(CheckpointId(checkpoint)).await.unwrap());
    }
    writer.write(changes(&table, &["4,a,x"])).await.unwrap();
    writer.flush(Epoch(4)).await.unwrap();
    // Killed: nothing is dropped in order.
    std::mem::forget(writer);
    std::fs::write(root.path().join("part-0000000000000008-9-0-0.lines"), "of another job\n").unwrap();
    // Checkpoint 2 was there, and its commit had not come yet; 1 had.
    sink.commit(&prepared[0]).await.unwrap();
    sink.commit(&prepared[1]).await.unwrap();
    sink.recover(7, CheckpointId(2)).await.unwrap();
    assert_eq!(texts(root.path()), ["1,a,x\n", "2,a,x\n", "of another job\n"]);
    // If checkpoint 2 turns out to be damaged, its rows come again.
    sink.recover(7, CheckpointId(1)).await.unwrap();
    assert_eq!(texts(root.path()), ["1,a,x\n", "of another job\n"]);
}

#[tokio::test]
async fn overwriting_cannot_take_checkpoints() {
    let root = tempfile::tempdir().unwrap();
    let sink = Filesystem::files(&plain(root.path(), &[]), &registry(), true).unwrap();
    let error = sink.open(&durable(1)).await.map(drop).unwrap_err();
    assert_eq!(error.what(), "INSERT OVERWRITE cannot take checkpoints");
}
