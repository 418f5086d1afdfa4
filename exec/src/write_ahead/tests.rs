use std::sync::Mutex as Lock;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use object_store::memory::InMemory;
use object_store::path::Path;
use tidemill_state::{CheckpointId, Epoch};

use super::*;
use crate::changelog::{ChangeBatch, RowKind};
use crate::operator::JobToken;

/// Notes what is asked of its writers, with the shard in front.
#[derive(Debug, Default)]
struct Noting {
    notes: Arc<Lock<Vec<String>>>,
    /// So many flushes from now on fail.
    failures: Arc<Lock<usize>>,
}

struct NotingWriter {
    of: String,
    notes: Arc<Lock<Vec<String>>>,
    failures: Arc<Lock<usize>>,
}

impl NotingWriter {
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(format!("{} {text}", self.of));
    }
}

#[async_trait]
impl Sink for Noting {
    fn accepts_updates(&self) -> bool {
        true
    }

    async fn open(&self, context: &ShardContext) -> Result<Box<dyn Writer>> {
        assert!(context.durable.is_none(), "it knows nothing of checkpoints");
        let of = format!("{}/{}", context.shard, context.parallelism);
        let writer = NotingWriter { of, notes: Arc::clone(&self.notes), failures: Arc::clone(&self.failures) };
        writer.note("opens");
        Ok(Box::new(writer))
    }
}

#[async_trait]
impl Writer for NotingWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        let rows = changes.rows.num_rows();
        let first = if changes.kinds.is_some() { changes.kind(0).label() } else { "appended" };
        let last = crate::connectors::testing::lines_of(&crate::Batch::append(changes.rows)).pop().unwrap_or_default();
        self.note(&format!("{rows} rows, {first} ... {last}"));
        Ok(())
    }

    async fn flush(&mut self, epoch: Epoch) -> Result<()> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(Error::new("it does not answer"));
        }
        self.note(&format!("flushes {}", epoch.0));
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.note("finishes");
        Ok(())
    }
}

fn store() -> Store {
    Store::new(Arc::new(InMemory::new()), Path::from("job"), "memory".to_string(), None)
}

fn context(shard: u16, parallelism: u16) -> ShardContext {
    let durable = Some(JobToken { job: 7, first: CheckpointId(2), part: 0 });
    ShardContext { shard, parallelism, durable, spill: None }
}

/// Numbers, and texts of which every third is NULL.
fn rows(numbers: std::ops::Range<i64>, text: &str) -> RecordBatch {
    let texts: StringArray = numbers.clone().map(|n| (n % 3 != 0).then(|| format!("{text}{n}"))).collect();
    let columns: [(&str, ArrayRef, bool); 2] =
        [("n", Arc::new(Int64Array::from_iter_values(numbers)), false), ("t", Arc::new(texts), true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn taken(notes: &Lock<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *notes.lock().unwrap())
}

#[tokio::test]
async fn rows_are_written_in_order_when_they_are_committed_and_not_before() {
    let (noting, store) = (Noting::default(), store());
    let notes = Arc::clone(&noting.notes);
    let sink = WriteAhead::new("t", Arc::new(noting)).in_store(&store);
    let mut writer = sink.open(&context(1, 2)).await.unwrap();
    assert_eq!(taken(&notes), ["1/2 opens"]);
    writer.write(ChangeBatch::inserts(rows(1..3, "x"))).await.unwrap();
    let kinds = Some(vec![RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete]);
    writer.write(ChangeBatch { rows: rows(1..4, "x"), kinds }).await.unwrap();
    writer.flush(Epoch(5)).await.unwrap();
    let first = writer.prepare(CheckpointId(2)).await.unwrap();
    writer.write(ChangeBatch::inserts(rows(4..6, "x"))).await.unwrap();
    writer.finish().await.unwrap();
    let second = writer.prepare(CheckpointId(3)).await.unwrap();
    assert!(taken(&notes).is_empty());
    assert_eq!((first.len(), WriteAhead::file_of(&first[0]).unwrap()), (1, None));

    sink.commit(&first).await.unwrap();
    assert_eq!(taken(&notes), ["1/2 5 rows, +I ... 3,null", "1/2 flushes 5"]);
    sink.commit(&second).await.unwrap();
    assert_eq!(taken(&notes), ["1/2 2 rows, appended ... 5,x5", "1/2 flushes 5", "1/2 finishes"]);
}

#[tokio::test]
async fn many_rows_go_into_files_while_they_come() {
    let (noting, store) = (Noting::default(), store());
    let notes = Arc::clone(&noting.notes);
    let sink = WriteAhead::new("t", Arc::new(noting)).in_store(&store);
    let mut writer = sink.open(&context(0, 1)).await.unwrap();
    let text = "x".repeat(1000);
    for start in (0..20_000).step_by(1000) {
        writer.write(ChangeBatch::inserts(rows(start..start + 1000, &text))).await.unwrap();
    }
    let prepared = writer.prepare(CheckpointId(2)).await.unwrap();
    let files: Vec<FileEntry> =
        prepared.iter().map(|part| WriteAhead::file_of(part).unwrap().expect("it is large")).collect();
    assert!(files.len() >= 2, "{}", files.len());
    assert!(files.iter().all(|file| file.path.starts_with("chk-2/log.0.0.2-") && file.bytes < 20 << 20), "{files:?}");
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 20_000);
    assert!(prepared.iter().all(|part| part.len() < 1000));
    taken(&notes);
    sink.commit(&prepared).await.unwrap();
    let written = taken(&notes);
    assert!(written.last_chunk::<2>().unwrap()[0].contains("appended ... 19999,x"), "{}", written.len());
    assert_eq!(written.iter().filter(|note| note.contains("flushes")).count(), files.len());

    // The next part belongs to a later checkpoint than any there can be.
    writer.write(ChangeBatch::inserts(rows(0..1000, &text))).await.unwrap();
    let prepared = writer.prepare(CheckpointId(9)).await.unwrap();
    let file = WriteAhead::file_of(&prepared[0]).unwrap().unwrap();
    assert!(file.path.starts_with("chk-3/log.0.0.2-"), "{}", file.path);
    assert!(!files.iter().any(|other| other.path.ends_with(file.path.rsplit('/').next().unwrap())));
}

#[tokio::test]
async fn a_writer_that_has_failed_is_opened_anew() {
    let (noting, store) = (Noting::default(), store());
    let (notes, failures) = (Arc::clone(&noting.notes), Arc::clone(&noting.failures));
    let sink = WriteAhead::new("t", Arc::new(noting)).in_store(&store);
    let mut writer = sink.open(&context(0, 1)).await.unwrap();
    writer.write(ChangeBatch::inserts(rows(1..3, "x"))).await.unwrap();
    let prepared = writer.prepare(CheckpointId(2)).await.unwrap();
    *failures.lock().unwrap() = 1;
    assert_eq!(sink.commit(&prepared).await.unwrap_err().what(), "it does not answer");
    sink.commit(&prepared).await.unwrap();
    let rows = "0/1 2 rows, appended ... 2,x2";
    assert_eq!(taken(&notes), ["0/1 opens", rows, "0/1 opens", rows, "0/1 flushes 0"]);
}

#[tokio::test]
async fn an_empty_epoch_prepares_nothing() {
    let sink = WriteAhead::new("t", Arc::new(Noting::default())).in_store(&store());
    let mut writer = sink.open(&context(0, 1)).await.unwrap();
    writer.write(ChangeBatch::inserts(rows(0..0, ""))).await.unwrap();
    writer.flush(Epoch(1)).await.unwrap();
    assert!(writer.prepare(CheckpointId(2)).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_checkpoints_nothing_would_ever_come_out() {
    let sink = WriteAhead::new("t", Arc::new(Noting::default()));
    let error = sink.open(&ShardContext::SINGLE).await.map(|_| ()).unwrap_err();
    assert_eq!(error.what(), "cannot write to table t exactly once");
}

#[tokio::test]
async fn what_is_no_part_is_an_error() {
    let sink = WriteAhead::new("t", Arc::new(Noting::default())).in_store(&store());
    for bytes in [&b""[..], b"x", b"\xff\xff{}", b"\x02\0{}"] {
        let error = sink.commit(&[Bytes::from_static(bytes)]).await.unwrap_err();
        assert_eq!(error.what(), "a part of a write-ahead log is damaged");
    }
    let mut part = Part::new(0, 1, Epoch(1)).with_rows(Bytes::from_static(b"no rows"));
    assert!(sink.commit(&[part.to_bytes().unwrap()]).await.is_err());
    part = Part::new(0, 1, Epoch(1)).in_file(FileEntry {
        path: "chk-2/gone".to_string(),
        rows: 1,
        bytes: 1,
        checksum: String::new(),
    });
    let error = sink.commit(&[part.to_bytes().unwrap()]).await.unwrap_err();
    assert!(error.what().contains("chk-2/gone is missing"), "{error}");
}
