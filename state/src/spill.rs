//! State on local disk, for what does not fit into memory.
//!
//! A [`Spill`] is a directory of one job's and a limit of memory. Operators keep what they use in memory and put the rest into a
//! [`SpillTable`], a log-structured store, from which they get it back by key. What lies there is worth nothing once the process is
//! gone: what must survive is in checkpoints.

use std::fmt::{self, Debug};
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use fjall::compaction::Leveled;
use fjall::config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, Readable, Snapshot};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use crate::keys::KeyEncoder;

/// State on local disk cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillError {
    pub directory: String,
    pub why: String,
}

impl fmt::Display for SpillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "state on disk in {}: {}", self.directory, self.why)
    }
}

impl std::error::Error for SpillError {}

type Result<T> = std::result::Result<T, SpillError>;

/// Rows in pieces, one after the other.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Rows that lie on local disk, and may be too many to have in memory at once.
pub trait SpilledRows: Debug + Send + Sync {
    /// From the beginning; as often as need be.
    ///
    /// # Errors
    /// The disk fails.
    fn read(&self) -> Result<Batches>;
}

/// Local disk, and so much memory, for the state of one job. Cheap to clone.
#[derive(Clone)]
pub struct Spill(Arc<Area>);

struct Area {
    database: Database,
    /// Bytes of memory that state may take, with the store's own.
    memory: usize,
    tables: AtomicUsize,
    /// Of tables and files made so far, to name the next.
    made: AtomicUsize,
    /// Goes last, when all in it is closed.
    directory: TempDir,
    /// Says that the process lives.
    _lock: File,
}

/// Rows handed on at once.
const PIECE_ROWS: usize = 64 << 10;

/// The store does not take longer keys.
const KEY_MAX: usize = 32 << 10;

const PREFIX: &str = "tidemill-state-";

impl Spill {
    /// A directory of its own in `parent`. Removes those of processes that have died.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(parent: &Path, memory: usize) -> Result<Spill> {
        let failed = |why: String| SpillError { directory: parent.display().to_string(), why };
        std::fs::create_dir_all(parent).map_err(|error| failed(error.to_string()))?;
        remove_abandoned(parent);
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
        let directory = directory.map_err(|error| failed(error.to_string()))?;
        let lock = File::create(directory.path().join("lock"))
            .and_then(|lock| lock.try_lock().map_err(Into::into).map(|()| lock));
        let lock = lock.map_err(|error| failed(error.to_string()))?;
        let database = Database::builder(directory.path().join("tables"))
            .cache_size((memory / 8).max(1 << 20) as u64)
            .worker_threads(1)
            .max_cached_files(Some(128))
            .open()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Spill(Arc::new(Area {
            database,
            memory,
            tables: AtomicUsize::new(0),
            made: AtomicUsize::new(0),
            directory,
            _lock: lock,
        })))
    }

    /// A table of rows of this schema, of which the first `keys` columns are the key.
    ///
    /// # Errors
    /// The disk fails; there is a type among the columns that cannot be put on disk.
    pub fn table(&self, schema: SchemaRef, keys: usize) -> Result<SpillTable> {
        let types = |columns: std::ops::Range<usize>| -> Vec<DataType> {
            schema.fields()[columns].iter().map(|field| field.data_type().clone()).collect()
        };
        let values = types(keys..schema.fields().len()).into_iter().map(SortField::new).collect();
        let codec = Codec {
            keys: KeyEncoder::new(&types(0..keys)).map_err(|error| self.failed(error))?,
            values: RowConverter::new(values).map_err(|error| self.failed(error))?,
            schema,
        };
        let options = || {
            // Rows are in a compact form already. Filters and index are read in small pieces, not whole: a look at a key costs a few
            // microseconds then, and memory does not grow with what is on disk.
            KeyspaceCreateOptions::default()
                .max_memtable_size(2 << 20)
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
                .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0))))
                .filter_block_partitioning_policy(PartitioningPolicy::all(true))
                .index_block_partitioning_policy(PartitioningPolicy::all(true))
                .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(16 << 20)))
        };
        let name = self.0.made.fetch_add(1, Ordering::Relaxed).to_string();
        let keyspace = self.0.database.keyspace(&name, options).map_err(|error| self.failed(error))?;
        self.0.tables.fetch_add(1, Ordering::Relaxed);
        Ok(SpillTable { spill: self.clone(), keyspace, codec: Arc::new(codec), len: 0 })
    }

    /// Keeps a Parquet file at hand.
    ///
    /// # Errors
    /// The disk fails.
    pub fn parquet(&self, bytes: &[u8]) -> Result<SpilledFile> {
        let file = self.file(Form::Parquet);
        std::fs::write(&file.0.path, bytes).map_err(|error| self.failed(error))?;
        Ok(file)
    }

    fn file(&self, form: Form) -> SpilledFile {
        let name = format!("rows-{}", self.0.made.fetch_add(1, Ordering::Relaxed));
        let path = self.0.directory.path().join(name);
        SpilledFile(Arc::new(OnDisk { path, form, spill: self.clone() }))
    }

    fn failed(&self, error: impl fmt::Display) -> SpillError {
        SpillError { directory: self.0.directory.path().display().to_string(), why: error.to_string() }
    }
}

impl Debug for Spill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spill({})", self.0.directory.path().display())
    }
}

/// A process that was killed could not remove its directory.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let is_abandoned = File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_abandoned {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Rows by key, on disk.
pub struct SpillTable {
    spill: Spill,
    keyspace: Keyspace,
    codec: Arc<Codec>,
    /// Rows put in and not taken back.
    len: usize,
}

struct Codec {
    keys: KeyEncoder,
    values: RowConverter,
    schema: SchemaRef,
}

impl SpillTable {
    /// Whether a key can be put on disk.
    pub fn takes(key: Option<&[u8]>) -> bool {
        key.is_none_or(|key| key.len() <= KEY_MAX)
    }

    /// Rows that are here and nowhere else.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.codec.schema
    }

    /// The bytes of memory that the user of this table may take: its part of what is left of the limit.
    pub fn share(&self) -> usize {
        // The rest is for the store (blocks read lately, and what writing and merging its files takes), and for what the allocator keeps of
        // memory that was given back.
        self.spill.0.memory / 8 * 3 / self.spill.0.tables.load(Ordering::Relaxed).max(1)
    }

    /// Puts rows on disk, in place of those of the same keys. `pieces` gives the keys and the other columns of one piece after the other;
    /// keys ascend and are all different.
    ///
    /// # Errors
    /// The disk fails.
    pub fn put<'a, E: From<SpillError>>(
        &mut self,
        pieces: impl Iterator<Item = std::result::Result<(Vec<Option<&'a [u8]>>, Vec<ArrayRef>), E>>,
    ) -> std::result::Result<(), E> {
        let mut ingestion = self.keyspace.start_ingestion().map_err(|error| self.spill.failed(error))?;
        let mut written = 0;
        for piece in pieces {
            let (keys, columns) = piece?;
            let values = self.codec.values.convert_columns(&columns).map_err(|error| self.spill.failed(error))?;
            for (key, value) in keys.iter().zip(&values) {
                ingestion.write(on_disk(*key), value.data()).map_err(|error| self.spill.failed(error))?;
            }
            written += keys.len();
        }
        ingestion.finish().map_err(|error| self.spill.failed(error))?;
        self.len += written;
        Ok(())
    }

    /// Takes back the rows of these keys: which of `keys` there are, and their columns behind the key. What is left here is a copy, which
    /// [`put`](Self::put) replaces and [`remove`](Self::remove) removes.
    ///
    /// # Errors
    /// The disk fails.
    pub fn take<'a>(&mut self, keys: impl Iterator<Item = Option<&'a [u8]>>) -> Result<(Vec<usize>, Vec<ArrayRef>)> {
        let (mut found, mut values) = (Vec::new(), Vec::new());
        for (n, key) in keys.enumerate() {
            if let Some(value) = self.keyspace.get(on_disk(key)).map_err(|error| self.spill.failed(error))? {
                found.push(n);
                values.push(value);
            }
        }
        let columns = self.codec.columns(&values).map_err(|error| self.spill.failed(error))?;
        self.len -= found.len();
        Ok((found, columns))
    }

    /// Removes what [`take`](Self::take) has left.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(&mut self, key: Option<&[u8]>) -> Result<()> {
        self.keyspace.remove(on_disk(key)).map_err(|error| self.spill.failed(error))
    }

    /// All rows as they are now, copies among them.
    pub fn freeze(&self) -> SpilledTable {
        let snapshot = self.spill.0.database.snapshot();
        let (keyspace, codec, spill) = (self.keyspace.clone(), Arc::clone(&self.codec), self.spill.clone());
        SpilledTable { snapshot, keyspace, codec, spill }
    }

    /// Writes rows to a file of their own.
    ///
    /// # Errors
    /// The disk fails.
    pub fn log<E: From<SpillError>>(
        &self,
        schema: &SchemaRef,
        pieces: impl Iterator<Item = std::result::Result<RecordBatch, E>>,
    ) -> std::result::Result<SpilledFile, E> {
        let failed = |error: arrow::error::ArrowError| self.spill.failed(error);
        let file = self.spill.file(Form::Ipc);
        let out = File::create(&file.0.path).map_err(|error| self.spill.failed(error))?;
        let mut writer = StreamWriter::try_new(BufWriter::new(out), schema).map_err(failed)?;
        for piece in pieces {
            writer.write(&piece?).map_err(failed)?;
        }
        writer.finish().map_err(failed)?;
        Ok(file)
    }
}

impl Drop for SpillTable {
    fn drop(&mut self) {
        self.spill.0.tables.fetch_sub(1, Ordering::Relaxed);
        // Else it goes with the directory.
        let _ = self.spill.0.database.delete_keyspace(self.keyspace.clone());
    }
}

/// Null is not a byte string.
fn on_disk(key: Option<&[u8]>) -> Vec<u8> {
    match key {
        None => vec![0],
        Some(key) => [&[1], key].concat(),
    }
}

impl Codec {
    /// The columns behind the key.
    fn columns(&self, values: &[fjall::Slice]) -> std::result::Result<Vec<ArrayRef>, arrow::error::ArrowError> {
        let parser = self.values.parser();
        self.values.convert_rows(values.iter().map(|value| parser.parse(value)))
    }

    fn rows(
        &self,
        rows: &[(fjall::Slice, fjall::Slice)],
    ) -> std::result::Result<RecordBatch, arrow::error::ArrowError> {
        let keys: Vec<Option<&[u8]>> = rows.iter().map(|(key, _)| (key[0] == 1).then(|| &key[1..])).collect();
        let mut columns = self.keys.decode(keys.iter().copied())?;
        columns.extend(self.columns(&rows.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>())?);
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// A [`SpillTable`] as it was.
#[derive(Clone)]
pub struct SpilledTable {
    snapshot: Snapshot,
    keyspace: Keyspace,
    codec: Arc<Codec>,
    spill: Spill,
}

impl Debug for SpilledTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpilledTable({:?})", self.spill)
    }
}

impl SpilledRows for SpilledTable {
    fn read(&self) -> Result<Batches> {
        let mut rows = self.snapshot.iter(&self.keyspace);
        let (codec, spill) = (Arc::clone(&self.codec), self.spill.clone());
        Ok(Box::new(std::iter::from_fn(move || {
            let piece: std::result::Result<Vec<_>, _> =
                rows.by_ref().take(PIECE_ROWS).map(|row| row.into_inner()).collect();
            match piece {
                Err(error) => Some(Err(spill.failed(error))),
                Ok(piece) if piece.is_empty() => None,
                Ok(piece) => Some(codec.rows(&piece).map_err(|error| spill.failed(error))),
            }
        })))
    }
}

/// Rows in a file, which goes when nobody needs it any more.
#[derive(Clone, Debug)]
pub struct SpilledFile(Arc<OnDisk>);

#[derive(Debug)]
struct OnDisk {
    path: PathBuf,
    form: Form,
    spill: Spill,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Ipc,
    Parquet,
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl SpilledRows for SpilledFile {
    fn read(&self) -> Result<Batches> {
        let OnDisk { path, form, spill } = &*self.0;
        let open = || -> std::result::Result<Batches, Box<dyn std::error::Error>> {
            let (file, failing) = (File::open(path)?, spill.clone());
            let failed = move |error: arrow::error::ArrowError| failing.failed(error);
            Ok(match form {
                Form::Ipc => {
                    let reader = StreamReader::try_new(BufReader::new(file), None)?;
                    Box::new(reader.map(move |rows| rows.map_err(&failed)))
                }
                Form::Parquet => {
                    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(PIECE_ROWS).build()?;
                    Box::new(reader.map(move |rows| rows.map_err(&failed)))
                }
            })
        };
        open().map_err(|error| spill.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{Field, Int64Type, Schema};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]))
    }

    fn put(table: &mut SpillTable, rows: &[(Option<&str>, i64)]) {
        let keys = rows.iter().map(|(key, _)| key.map(str::as_bytes)).collect();
        let numbers: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
        table.put::<SpillError>([Ok((keys, vec![numbers]))].into_iter()).expect("rows can be put");
    }

    #[test]
    fn rows_come_back_by_key_and_a_frozen_table_stays_as_it_was() {
        let parent = tempfile::tempdir().unwrap();
        let spill = Spill::open(parent.path(), 64 << 20).unwrap();
        let mut table = spill.table(schema(), 1).unwrap();
        put(&mut table, &[(None, 1), (Some(""), 2), (Some("b"), 3)]);
        let frozen = table.freeze();
        let (found, columns) = table.take([Some(&b"b"[..]), Some(b"c"), None].into_iter()).unwrap();
        assert_eq!(found, [0, 2]);
        assert_eq!(columns[0].as_primitive::<Int64Type>().values()[..], [3, 1]);
        assert_eq!(table.len(), 1);
        table.remove(Some(b"b")).unwrap();
        put(&mut table, &[(None, 10)]);
        assert_eq!(table.take([Some(&b"b"[..]), None].into_iter()).unwrap().0, [1]);
        let rows: Vec<RecordBatch> = frozen.read().unwrap().map(Result::unwrap).collect();
        let expected: ArrayRef = Arc::new(StringArray::from(vec![None, Some(""), Some("b")]));
        assert_eq!(rows[0].column(0), &expected);
        assert_eq!(rows[0].column(1).as_primitive::<Int64Type>().values()[..], [1, 2, 3]);
    }

    #[test]
    fn files_go_with_their_last_reader_and_directories_with_their_process() {
        let parent = tempfile::tempdir().unwrap();
        let files = |of: &Path| std::fs::read_dir(of).unwrap().count();
        std::fs::create_dir(parent.path().join("tidemill-state-dead")).unwrap();
        std::fs::write(parent.path().join("tidemill-state-dead/lock"), "").unwrap();
        let spill = Spill::open(parent.path(), 1 << 20).unwrap();
        let second = Spill::open(parent.path(), 1 << 20).unwrap();
        assert_eq!(files(parent.path()), 2, "the one of a dead process is gone, those of the living are not");
        let table = second.table(schema(), 1).unwrap();
        let columns: [ArrayRef; 2] = [Arc::new(StringArray::from(vec!["a"])), Arc::new(Int64Array::from(vec![1]))];
        let rows = RecordBatch::try_new(schema(), columns.to_vec()).unwrap();
        let log = table.log::<SpillError>(&schema(), [Ok(rows.clone())].into_iter()).unwrap();
        for _ in 0..2 {
            assert!(log.read().unwrap().map(Result::unwrap).eq([rows.clone()]));
        }
        let path = log.0.path.clone();
        drop((table, log));
        assert!(!path.exists());
        drop((spill, second));
        assert_eq!(files(parent.path()), 0);
    }
}
