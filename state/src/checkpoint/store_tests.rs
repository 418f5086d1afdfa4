use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use object_store::memory::InMemory;

use super::super::manifest::{Distribution, OperatorState, SinkState, TableState};
use super::super::merge;
use super::*;

fn memory() -> (Arc<InMemory>, Store) {
    let objects = Arc::new(InMemory::new());
    let store = Store::new(Arc::<InMemory>::clone(&objects), Path::from("jobs/a"), "memory://jobs/a".to_string(), None);
    (objects, store)
}

fn rows(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("v", column)]).expect("one column")
}

fn manifest(checkpoint: u64, files: Vec<FileEntry>) -> Manifest {
    let table = TableState {
        table: "t".to_string(),
        distribution: Distribution::ByKey(vec![0]),
        replaces_by: Vec::new(),
        shards: vec![files],
    };
    let operator = OperatorState {
        uid: "u".to_string(),
        name: "aggregate".to_string(),
        explain: String::new(),
        tables: vec![table],
    };
    Manifest {
        format: FORMAT,
        version: "test".to_string(),
        token: "a".to_string(),
        checkpoint,
        generation: 1,
        kind: Kind::Periodic,
        taken_at: 0,
        cost: Default::default(),
        statement: String::new(),
        sources: Vec::new(),
        operators: vec![operator],
        sinks: Vec::new(),
    }
}

async fn take(store: &Store, checkpoint: u64, before: Vec<FileEntry>) -> Vec<FileEntry> {
    let mut files = before;
    files.push(store.write(format!("chk-{checkpoint}/t.parquet"), rows(&[checkpoint as i64])).await.unwrap());
    store.publish(&manifest(checkpoint, files.clone())).await.unwrap();
    files
}

#[tokio::test]
async fn the_newest_whole_checkpoint_is_found_and_damaged_ones_are_named() {
    let (objects, store) = memory();
    assert!(store.latest().await.unwrap().manifest.is_none());
    let first = take(&store, 1, Vec::new()).await;
    take(&store, 2, Vec::new()).await;
    take(&store, 3, Vec::new()).await;
    assert_eq!(store.latest().await.unwrap().manifest.unwrap().checkpoint, 3);

    let altered = Path::from("jobs/a/chk-3/t.parquet");
    objects.put(&altered, PutPayload::from_static(b"PAR1 nothing PAR1")).await.unwrap();
    objects.put(&Path::from("jobs/a/chk-2/manifest.json"), PutPayload::from_static(b"{\"checks")).await.unwrap();
    let found = store.latest().await.unwrap();
    assert_eq!(found.manifest.unwrap().checkpoint, 1);
    assert_eq!(found.last, 3);
    let named: Vec<String> = found.damaged.iter().map(ToString::to_string).collect();
    assert!(named[0].starts_with("memory://jobs/a/chk-3/t.parquet is damaged: it has 17 bytes"), "{named:?}");
    assert!(named[1].starts_with("memory://jobs/a/chk-2/manifest.json is damaged: EOF"), "{named:?}");
    assert_eq!(store.read(&first[0]).await.unwrap(), rows(&[1]));
}

#[tokio::test]
async fn a_manifest_of_which_one_value_was_changed_is_damaged() {
    let (objects, store) = memory();
    take(&store, 1, Vec::new()).await;
    let path = Path::from("jobs/a/chk-1/manifest.json");
    let text = objects.get(&path).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap().replace("\"generation\": 1", "\"generation\": 2");
    objects.put(&path, text.into()).await.unwrap();
    assert!(matches!(store.manifest(1).await, Err(CheckpointError::Damaged { .. })));
}

#[tokio::test]
async fn a_newer_format_is_refused_and_nothing_older_used_instead() {
    let (_, store) = memory();
    take(&store, 1, Vec::new()).await;
    store.publish(&Manifest { format: FORMAT + 1, ..manifest(2, Vec::new()) }).await.unwrap();
    assert!(matches!(store.latest().await, Err(CheckpointError::TooNew { format, .. }) if format == FORMAT + 1));
}

#[tokio::test]
async fn only_one_of_two_processes_publishes_a_checkpoint() {
    let (_, store) = memory();
    take(&store, 1, Vec::new()).await;
    let taken = store.publish(&manifest(1, Vec::new())).await;
    assert!(matches!(taken, Err(CheckpointError::TakenOver { .. })), "{taken:?}");
}

#[tokio::test]
async fn what_no_kept_manifest_needs_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let local = directory.path().to_path_buf();
    let objects = Arc::new(object_store::local::LocalFileSystem::new_with_prefix(directory.path()).unwrap());
    let store = Store::new(objects, Path::default(), local.display().to_string(), Some(local.clone()));
    let first = take(&store, 1, Vec::new()).await;
    let second = take(&store, 2, first).await;
    let third = take(&store, 3, second[..1].to_vec()).await;
    store.write("chk-4/t.parquet".to_string(), rows(&[4])).await.unwrap();
    store.keep(&[3]).await.unwrap();
    assert_eq!(store.checkpoints().await.unwrap(), [3]);
    assert_eq!(store.read(&third[0]).await.unwrap(), rows(&[1]), "it lies in the directory of the first");
    assert!(!local.join("chk-2").exists());
    assert!(local.join("chk-4/t.parquet").exists(), "it is being written");
}

#[tokio::test]
async fn what_is_recorded_as_committed_is_not_prepared_any_more() {
    let (_, store) = memory();
    let sink = |is_recorded: bool, files: Vec<FileEntry>| SinkState {
        uid: "s".to_string(),
        table: "t".to_string(),
        prepared: vec!["01".to_string(), "02".to_string(), "03".to_string()],
        files,
        is_recorded,
    };
    let file = store.write("chk-1/log".to_string(), rows(&[1])).await.unwrap();
    let sinks = vec![sink(false, Vec::new()), sink(true, vec![file.clone()])];
    store.publish(&Manifest { sinks, ..manifest(1, Vec::new()) }).await.unwrap();
    let prepared = async || {
        let sinks = store.latest().await.unwrap().manifest.unwrap().sinks;
        sinks.into_iter().map(|sink| (sink.prepared.concat(), sink.files.len())).collect::<Vec<_>>()
    };
    let texts = |expected: [(&str, usize); 2]| expected.map(|(text, files)| (text.to_string(), files));
    assert_eq!(prepared().await, texts([("010203", 0), ("010203", 1)]));
    store.record_committed(1, 0, 3).await.unwrap(); // Of a sink that can tell by itself.
    store.record_committed(1, 1, 2).await.unwrap();
    assert_eq!(prepared().await, texts([("010203", 0), ("03", 1)]));
    store.keep(&[1]).await.unwrap();
    assert_eq!(prepared().await, texts([("010203", 0), ("03", 1)]), "records stay, and files of logs");
    store.record_committed(1, 1, 3).await.unwrap();
    assert_eq!(prepared().await, texts([("010203", 0), ("", 0)]));

    store.publish(&manifest(2, Vec::new())).await.unwrap();
    store.keep(&[2]).await.unwrap();
    assert_eq!(store.files().await.unwrap(), ["chk-2/manifest.json", "latest"]);
}

#[test]
fn later_rows_replace_earlier_ones_of_their_key_and_deleted_ones_go() {
    let batch = |rows: &[(Option<&str>, i64, bool)]| {
        let keys: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>());
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
        let deleted: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.2)).collect::<BooleanArray>());
        RecordBatch::try_from_iter_with_nullable([("k", keys, true), ("v", values, false), ("deleted", deleted, false)])
            .unwrap()
    };
    let base = batch(&[(Some("a"), 1, false), (Some("b"), 2, false), (None, 3, false), (Some("c"), 4, false)]);
    let delta = batch(&[(Some("b"), 5, false), (None, 6, false), (Some("c"), 0, true)]);
    let again = batch(&[(Some("b"), 0, true), (Some("c"), 7, false), (Some("b"), 8, false)]);
    let merged = merge(&[base, delta, again], &[0]).unwrap().unwrap();
    assert_eq!(merged, batch(&[(Some("a"), 1, false), (None, 6, false), (Some("c"), 7, false), (Some("b"), 8, false)]));
    assert!(merge(&[], &[0]).unwrap().is_none());
}

#[tokio::test]
async fn a_checkpoint_that_was_overlooked_when_the_job_was_taken_over_does_not_come_back() {
    let (_, store) = memory();
    store.publish(&manifest(7, vec![])).await.unwrap();
    // Whoever takes over does not see it, and numbers go on behind an earlier one.
    store.publish(&Manifest { generation: 2, ..manifest(6, vec![]) }).await.unwrap();
    let found = store.latest().await.unwrap();
    assert_eq!((found.manifest.map(|manifest| manifest.checkpoint), found.last), (Some(6), 7));
    // One that is as new as what was said last is as good.
    store.publish(&Manifest { generation: 2, ..manifest(8, vec![]) }).await.unwrap();
    store.objects.put(&store.path(LATEST), "6 2".into()).await.unwrap();
    assert_eq!(store.latest().await.unwrap().manifest.map(|manifest| manifest.checkpoint), Some(8));
}
