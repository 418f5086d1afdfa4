//! Reads files one after another, and if asked to, new files and what is appended to known ones.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::OPTIONS;
use super::beside::{Cutter, Workers};
use super::columns::{Columns, FileColumns};
use super::local::LocalFile;
use super::location::Location;
use super::store::StoredFile;
use crate::connect::{FileFormat, Format, Offset, Reader, Source, SplitBatch, SplitId};
use crate::connectors::pump::{Feed, Halt, Pump};
use crate::connectors::records::{self, Records, position};
use crate::error::{Error, Result};
use crate::message::Batch;

/// Large enough that the calls do not matter, small enough to be seen soon.
const CHUNK_BYTES: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };

/// A file is decoded on several threads once so much of it has been read: fewer bytes are decoded sooner than threads start.
const LARGE_BYTES: u64 = 2 * CHUNK_BYTES as u64;

/// How often a followed file is looked at if no interval is given.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// The split that stands for files not there yet. Whoever reads it looks for them.
const NEW_FILES: &str = "new files";

/// A split is a file, named by its absolute path or URL; its offset is how many bytes of it (uncompressed) are read, or rows if the
/// format counts those, and whether that is all of it.
pub(super) struct FilesystemSource(Arc<Files>);

struct Files {
    location: Location,
    columns: Columns,
    format: Arc<dyn Format>,
    /// How often to look for new files.
    interval: Option<Duration>,
    follows: bool,
    /// The files that somebody reads, so that each is new only once.
    known: Mutex<BTreeSet<String>>,
    /// How many [`Busy`] ones there are.
    busy: AtomicUsize,
}

/// Who reads files that were there when the job began.
struct Busy(Arc<Files>);

impl Busy {
    fn new(files: &Arc<Files>) -> Busy {
        files.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(files))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FilesystemSource {
    pub fn new(
        location: Location,
        columns: Columns,
        format: Arc<dyn Format>,
        interval: Option<Duration>,
        follows: bool,
    ) -> FilesystemSource {
        let known = Mutex::new(BTreeSet::new());
        FilesystemSource(Arc::new(Files {
            location,
            columns,
            format,
            interval,
            follows,
            known,
            busy: AtomicUsize::new(0),
        }))
    }
}

impl fmt::Debug for FilesystemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filesystem({}, format={})", self.0.location.store().name(), self.0.format.name())
    }
}

#[async_trait]
impl Source for FilesystemSource {
    fn bounded(&self) -> bool {
        self.0.interval.is_none() && !self.0.follows
    }

    fn retracts(&self) -> bool {
        self.0.format.decodes_updates()
    }

    fn only_discovers(&self, split: &SplitId) -> bool {
        split.0.as_ref() == NEW_FILES
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        let files = Arc::clone(&self.0);
        let listed = tokio::task::spawn_blocking(move || files.location.list());
        let listed = listed.await.map_err(|error| Error::new(error.to_string()))??;
        self.0.know(&listed);
        let new_files = self.0.interval.map(|_| NEW_FILES.to_string());
        Ok(listed.into_iter().chain(new_files).map(SplitId::new).collect())
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let files = Arc::clone(&self.0);
        files.know(splits.iter().map(|(split, _)| split.0.as_ref()));
        let busy = Busy::new(&files);
        Ok(Box::new(Pump::thread("files", true, move |feed| files.read(splits, busy, feed))?))
    }
}

/// A file's position from an offset.
fn resumed(offset: Option<&Offset>) -> (u64, bool) {
    (offset.map_or(0, position), offset.is_some_and(|offset| offset.0.len() == 9))
}

/// The offset of a file that is read to its end.
fn finished(position: u64) -> Offset {
    let mut bytes = records::offset(position).0.to_vec();
    bytes.push(1);
    Offset(Bytes::from(bytes))
}

impl Files {
    fn know<T: AsRef<str>>(&self, files: impl IntoIterator<Item = T>) -> Vec<String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        files.into_iter().map(|file| file.as_ref().to_string()).filter(|file| known.insert(file.clone())).collect()
    }

    fn read(&self, splits: Vec<(SplitId, Option<Offset>)>, busy: Busy, feed: &Feed) -> Result<(), Halt> {
        let mut followed = Vec::new();
        let mut looks_for_files = false;
        for (split, offset) in splits {
            match split.0.as_ref() {
                NEW_FILES => looks_for_files = true,
                _ => followed.extend(self.read_file(split, offset.as_ref(), feed)?),
            }
        }
        drop(busy);
        feed.backlog_is_read();
        while (looks_for_files && self.interval.is_some()) || !followed.is_empty() {
            feed.wait_blocking(self.interval.unwrap_or(FOLLOW_INTERVAL))?;
            if looks_for_files {
                for file in self.know(self.location.list()?) {
                    followed.extend(self.read_file(SplitId::new(file), None, feed)?);
                }
            }
            for file in &mut followed {
                file.read_appended(self, feed)?;
            }
        }
        Ok(())
    }

    /// Reads what is there of a file. Gives it back if it is to be followed.
    fn read_file(&self, split: SplitId, offset: Option<&Offset>, feed: &Feed) -> Result<Option<Followed>, Halt> {
        let (start, is_finished) = resumed(offset);
        if is_finished && !self.follows {
            return Ok(None);
        }
        let path = split.0.as_ref();
        let compressed = path.ends_with(".gz") || path.ends_with(".gzip");
        if self.follows && !compressed {
            let file = LocalFile::open(path).map_err(|error| unreadable(path, &error))?;
            let mut followed = Followed::new(self, split, file, start)?;
            followed.read_rest(feed)?;
            return Ok(Some(followed));
        }
        let file = self.location.store().open(path).map_err(|error| unreadable(path, &error))?;
        let properties = file.properties();
        let columns = self.columns.of_file(&properties)?;
        if let Some(format) = self.format.files() {
            self.read_whole(&split, format, file, start, &columns, feed)?;
            return Ok(None);
        }
        let mut records = self.records(&split, start)?;
        let mut reader = from(file, start, compressed).map_err(|error| unreadable(path, &error))?;
        let mut chunk = vec![0; chunk_bytes(properties.size)];
        let mut in_order = false;
        while !records.has_ended() {
            let threads = self.threads();
            if !in_order && threads > 1 && records.position() - start >= LARGE_BYTES {
                self.read_beside(threads, reader.as_mut(), &mut records, &columns, feed)?;
                in_order = true;
            }
            let read = if compressed {
                read_full(reader.as_mut(), &mut chunk)
            } else {
                read_some(reader.as_mut(), &mut chunk)
            };
            match read.map_err(|error| unreadable(path, &error))? {
                0 => records.end(),
                length => records.push(&chunk[..length]),
            }
            send_rows(&mut records, &columns, feed)?;
        }
        self.report_end(&split, records.position(), &columns, feed)?;
        Ok(None)
    }

    /// How many threads there are for each file that is being read.
    fn threads(&self) -> usize {
        static CORES: LazyLock<usize> = LazyLock::new(|| match cfg!(test) {
            true => 3,
            false => std::thread::available_parallelism().map_or(1, NonZero::get),
        });
        *CORES / self.busy.load(Ordering::Relaxed).max(1)
    }

    /// Decodes on several threads, to the end of the file or until its chunks turn out not to be whole records. `records` has what is left.
    fn read_beside(
        &self,
        threads: usize,
        reader: &mut dyn Read,
        records: &mut Records,
        columns: &FileColumns,
        feed: &Feed,
    ) -> Result<(), Halt> {
        let split = records.split().clone();
        let cannot_read = |error: io::Error| unreadable(&split.0, &error);
        let decoders = (0..threads).map(|_| self.records(&split, records.position())).collect::<Result<_>>()?;
        std::thread::scope(|scope| {
            let mut workers = Workers::start(scope, decoders).map_err(Error::from)?;
            let mut cutter = Cutter::new(reader, CHUNK_BYTES, records);
            let (mut memory, mut ended) = (Vec::new(), false);
            loop {
                while !ended && workers.has_room() && workers.help() {
                    match cutter.next(memory.pop().unwrap_or_default()).map_err(cannot_read)? {
                        Some(chunk) => workers.give(chunk)?,
                        None => ended = true,
                    }
                }
                let Some(decoded) = workers.take()? else { break };
                let (rows, used) = workers.merge(decoded, records);
                memory.push(used);
                for mut batch in rows {
                    batch.rows = columns.complete(&batch.rows)?;
                    feed.send_blocking(batch)?;
                }
                send_rows(records, columns, feed)?;
            }
            records.push(cutter.rest());
            send_rows(records, columns, feed)
        })
    }

    fn read_whole(
        &self,
        split: &SplitId,
        format: &dyn FileFormat,
        file: Box<dyn StoredFile>,
        start: u64,
        columns: &FileColumns,
        feed: &Feed,
    ) -> Result<(), Halt> {
        let mut reader = format.open(&self.columns.records, &self.columns.projection, file.read_anywhere(), start)?;
        let mut rows_read = start;
        while let Some(rows) = reader.next()? {
            rows_read += rows.num_rows() as u64;
            let rows = columns.complete(&Batch::append(rows))?;
            let resume_at = records::offset(rows_read);
            feed.send_blocking(SplitBatch { split: split.clone(), rows, resume_at, skipped: None, ended: false })?;
        }
        self.report_end(split, rows_read, columns, feed)
    }

    fn records(&self, split: &SplitId, start: u64) -> Result<Records> {
        let Columns { records, projection, .. } = &self.columns;
        Records::new(records, OPTIONS, self.format.as_ref(), projection, split.clone(), start)
    }

    /// Says that a file is done: it no longer holds event time back, and after a restart it need not even be there.
    fn report_end(&self, split: &SplitId, position: u64, columns: &FileColumns, feed: &Feed) -> Result<(), Halt> {
        let (split, rows, resume_at) = (split.clone(), columns.no_rows(), finished(position));
        feed.send_blocking(SplitBatch { split, rows, resume_at, skipped: None, ended: true })
    }
}

fn chunk_bytes(file_bytes: u64) -> usize {
    usize::try_from(file_bytes).unwrap_or(CHUNK_BYTES).clamp(4 << 10, CHUNK_BYTES)
}

/// The bytes of a file from `start`, which counts what comes out of decompression.
fn from(file: Box<dyn StoredFile>, start: u64, compressed: bool) -> io::Result<Box<dyn Read>> {
    if !compressed {
        return file.read_from(start);
    }
    let file = file.read_from(0)?;
    let mut reader = MultiGzDecoder::new(io::BufReader::with_capacity(64 << 10, file));
    io::copy(&mut reader.by_ref().take(start), &mut io::sink())?;
    Ok(Box::new(reader))
}

/// Fills `chunk` unless the end comes first: decompression gives a few kilobytes at a time, decoders like more.
fn read_full(reader: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match read_some(reader, &mut chunk[filled..])? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

fn read_some(reader: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn send_rows(records: &mut Records, columns: &FileColumns, feed: &Feed) -> Result<(), Halt> {
    while let Some(mut batch) = records.next()? {
        batch.rows = columns.complete(&batch.rows)?;
        feed.send_blocking(batch)?;
    }
    Ok(())
}

fn unreadable(path: &str, error: &io::Error) -> Error {
    let unreadable = Error::new(format!("cannot read file {path}")).why(error.to_string());
    match error.kind() {
        io::ErrorKind::NotFound => {
            unreadable.fix("it was there when the job started; put it back or start the job anew")
        }
        io::ErrorKind::PermissionDenied => unreadable.fix("make it readable for the user who runs tidemill"),
        _ => unreadable,
    }
}

/// A file that is read as it grows. Its last line is a row only once it has its newline.
struct Followed {
    split: SplitId,
    file: File,
    identity: (u64, u64),
    columns: FileColumns,
    records: Records,
    bytes_read: u64,
}

impl Followed {
    fn new(files: &Files, split: SplitId, file: LocalFile, start: u64) -> Result<Followed> {
        let columns = files.columns.of_file(&file.properties())?;
        let LocalFile { mut file, metadata, .. } = file;
        // A file shorter than what was read of it was written anew.
        let start = if start > metadata.len() { 0 } else { start };
        file.seek(SeekFrom::Start(start))?;
        let records = files.records(&split, start)?;
        Ok(Followed { split, file, identity: identity(&metadata), columns, records, bytes_read: start })
    }

    fn read_rest(&mut self, feed: &Feed) -> Result<(), Halt> {
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            let read = self.file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
            if read.map_err(|error| unreadable(&self.split.0, &error))? == 0 {
                return Ok(());
            }
            self.bytes_read += chunk.len() as u64;
            self.records.push(&chunk);
            send_rows(&mut self.records, &self.columns, feed)?;
        }
    }

    /// What came since the last call; from the start if the file was truncated, or replaced as log rotation does.
    fn read_appended(&mut self, files: &Files, feed: &Feed) -> Result<(), Halt> {
        self.read_rest(feed)?;
        let path = self.split.0.as_ref();
        let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
        if identity(&metadata) == self.identity && metadata.len() >= self.bytes_read {
            return Ok(());
        }
        self.records.end();
        send_rows(&mut self.records, &self.columns, feed)?;
        let Ok(file) = LocalFile::open(path) else { return Ok(()) };
        *self = Followed::new(files, self.split.clone(), file, 0)?;
        self.read_rest(feed)
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_metadata: &Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
