//! Files of an object store: `s3://bucket/orders/*.json`.
//!
//! A store knows keys and no directories; those here are the parts of keys between slashes.

use std::future::Future;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::runtime::Runtime;

use super::columns::FileProperties;
use super::location::is_glob;
use super::providers;
use super::store::{PartFile, Store, StoredFile, is_hidden, staged, unstaged};
use super::upload::Upload;
use crate::connect::{FileBytes, TableDefinition};
use crate::error::{Error, Result};

/// A request takes tens of milliseconds and a connection some 50 MB/s: smaller pieces would mostly wait.
const CHUNK_BYTES: u64 = 1 << 20;

/// So many pieces of a file that is read here and there are kept: columns are read side by side, each through its own.
const CHUNKS_KEPT: usize = 16;

/// As the shell and local globs have it: `*` stays within a directory.
const GLOB: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// One thread that drives all requests. Those who wait for them are threads that block, or a writer that is dropped wherever its job
/// ended; none of them could drive a request by itself.
static REQUESTS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("objects").enable_all().build()
});

/// Starts a request; the answer is received.
pub(super) fn begin<T: Send + 'static>(
    request: impl Future<Output = object_store::Result<T>> + Send + 'static,
) -> io::Result<Receiver<object_store::Result<T>>> {
    let runtime = REQUESTS.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (sender, answer) = channel();
    runtime.spawn(async move {
        // Nobody waits any more if the reader was dropped.
        let _ = sender.send(request.await);
    });
    Ok(answer)
}

pub(super) fn answer<T>(pending: &Receiver<object_store::Result<T>>) -> io::Result<T> {
    Ok(pending.recv().map_err(|_| io::Error::other("the request was dropped"))??)
}

fn ask<T: Send + 'static>(request: impl Future<Output = object_store::Result<T>> + Send + 'static) -> io::Result<T> {
    answer(&begin(request)?)
}

#[derive(Debug)]
pub(super) struct ObjectFiles {
    table: String,
    store: Arc<dyn ObjectStore>,
    /// `s3://bucket/`: with a key behind it, the name of a file.
    root: String,
    /// A key, the first part of keys, or a pattern of keys; without slashes at its ends.
    key: String,
    name: String,
    watched: bool,
}

impl ObjectFiles {
    /// Performs no I/O.
    pub fn of(url: &str, table: &TableDefinition, watched: bool) -> Result<ObjectFiles> {
        let (root, key) = providers::split(url);
        let store = providers::store(&root, &format!("the path of table {}", table.name), &table.options)?;
        let key = key.trim_matches('/').to_string();
        let name = format!("{root}{key}");
        Ok(ObjectFiles { table: table.name.clone(), store, root, key, name, watched })
    }

    fn path(&self, key: &str) -> io::Result<Path> {
        Path::parse(key).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    fn within(&self, directory: &str, name: &str) -> String {
        match self.key.as_str() {
            "" => format!("{directory}{name}"),
            key => format!("{key}/{directory}{name}"),
        }
    }

    fn head(&self, key: &str) -> io::Result<ObjectMeta> {
        let (store, path) = (Arc::clone(&self.store), self.path(key)?);
        ask(async move { store.head(&path).await })
    }

    /// All keys below a directory, however deep.
    fn below(&self, directory: &str) -> io::Result<Vec<String>> {
        let (store, path) = (Arc::clone(&self.store), self.path(directory)?);
        let found: Vec<ObjectMeta> = ask(async move { store.list(Some(&path)).try_collect().await })?;
        Ok(found.into_iter().map(|object| object.location.to_string()).collect())
    }

    fn keys(&self) -> io::Result<Vec<String>> {
        if !self.key.is_empty() {
            match self.head(&self.key) {
                Ok(_) => return Ok(vec![self.key.clone()]),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if !is_glob(&self.key) {
            let mut keys = self.below(&self.key)?;
            keys.retain(|key| shown_below(key, self.key.len()));
            return Ok(keys);
        }
        let pattern = Pattern::new(&self.key).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut keys = self.below(literal_directory(&self.key))?;
        keys.retain(|key| is_matched(key, &pattern));
        Ok(keys)
    }
}

/// The directories of a pattern before the first that is not meant literally.
fn literal_directory(pattern: &str) -> &str {
    let literal = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    pattern[..literal].rfind('/').map_or("", |slash| &pattern[..slash])
}

/// Whether nothing behind the first `above` bytes of a key is hidden.
fn shown_below(key: &str, above: usize) -> bool {
    !key[above..].split('/').any(is_hidden)
}

/// Whether a pattern means this file or a directory above it.
fn is_matched(key: &str, pattern: &Pattern) -> bool {
    let ends = key.match_indices('/').map(|(slash, _)| slash).chain([key.len()]);
    ends.into_iter().any(|end| {
        let name = key[..end].rfind('/').map_or(0, |slash| slash + 1);
        pattern.matches_with(&key[..end], GLOB) && shown_below(key, name)
    })
}

impl Store for ObjectFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> Result<Vec<String>> {
        let what = || format!("cannot read {} of table {}", self.name, self.table);
        let keys = self.keys().map_err(|error| Error::new(what()).why(error.to_string()))?;
        if keys.is_empty() && !self.watched {
            let fix = "check the path, or set 'source.monitor-interval' to wait for files";
            return Err(match is_glob(&self.key) {
                true => Error::new(what()).why("no file matches it").fix(fix),
                false => Error::new(what()).why("there is no such file, nor any below it").fix(fix),
            });
        }
        Ok(keys.into_iter().map(|key| format!("{}{key}", self.root)).collect())
    }

    fn open(&self, file: &str) -> io::Result<Box<dyn StoredFile>> {
        let key = file.strip_prefix(&self.root).unwrap_or(file);
        let object = self.head(key)?;
        Ok(Box::new(Object { store: Arc::clone(&self.store), name: file.to_string(), object }))
    }

    /// A directory is there as soon as something is in it.
    fn create_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, directory: &str, name: &str) -> io::Result<Arc<dyn PartFile>> {
        let key = self.within(directory, name);
        let path = self.path(&key)?;
        Ok(Arc::new(Upload::new(Arc::clone(&self.store), path, format!("{}{key}", self.root))))
    }

    fn stage(&self, directory: &str, name: &str) -> io::Result<Arc<dyn PartFile>> {
        self.create(directory, &staged(name))
    }

    fn commit(&self, directory: &str, name: &str) -> io::Result<()> {
        let hidden = self.path(&self.within(directory, &staged(name)))?;
        let (store, path) = (Arc::clone(&self.store), self.path(&self.within(directory, name))?);
        ask(async move {
            match store.copy(&hidden, &path).await {
                Ok(()) => store.delete(&hidden).await,
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn beginning_with(&self, prefix: &str) -> io::Result<Vec<(String, String, bool)>> {
        let above = if self.key.is_empty() { 0 } else { self.key.len() + 1 };
        let split = |key: String| {
            let name = key.rfind('/').map_or(0, |slash| slash + 1);
            let plain = unstaged(&key[name..]);
            let directory = key.get(above..name).unwrap_or_default().to_string();
            (directory, plain.unwrap_or(&key[name..]).to_string(), plain.is_some())
        };
        let files = self.below(&self.key)?.into_iter().map(split);
        Ok(files.filter(|(_, name, _)| name.starts_with(prefix)).collect())
    }

    fn remove(&self, directory: &str, name: &str, is_staged: bool) -> io::Result<()> {
        let name = if is_staged { staged(name) } else { name.to_string() };
        let (store, path) = (Arc::clone(&self.store), self.path(&self.within(directory, &name))?);
        ask(async move { store.delete(&path).await })
    }

    fn remove_files(&self, directory: &str) -> io::Result<()> {
        let (store, path) = (Arc::clone(&self.store), self.path(&self.within(directory, ""))?);
        ask(async move {
            for object in store.list_with_delimiter(Some(&path)).await?.objects {
                if !object.location.filename().is_some_and(is_hidden) {
                    store.delete(&object.location).await?;
                }
            }
            Ok(())
        })
    }

    fn mark(&self, directory: &str, name: &str) -> io::Result<()> {
        let (store, path) = (Arc::clone(&self.store), self.path(&self.within(directory, name))?);
        ask(async move { store.put(&path, PutPayload::new()).await })?;
        Ok(())
    }
}

/// A version of an object: once it is replaced, reading on is an error instead of a mixture.
#[derive(Clone)]
struct Object {
    store: Arc<dyn ObjectStore>,
    name: String,
    object: ObjectMeta,
}

impl Object {
    /// Begins to get what there is of `range`, which must begin before the end.
    fn get(&self, range: Range<u64>) -> io::Result<Receiver<object_store::Result<Bytes>>> {
        let range = range.start..range.end.min(self.object.size);
        let Object { store, object, .. } = self.clone();
        let range = Some(GetRange::Bounded(range));
        let options = GetOptions { range, if_match: object.e_tag.clone(), ..GetOptions::default() };
        begin(async move { store.get_opts(&object.location, options).await?.bytes().await })
    }
}

impl StoredFile for Object {
    fn properties(&self) -> FileProperties {
        FileProperties {
            path: self.name.clone(),
            size: self.object.size,
            modified_ms: self.object.last_modified.timestamp_millis(),
        }
    }

    fn read_from(self: Box<Self>, start: u64) -> io::Result<Box<dyn Read>> {
        let mut ahead = ReadAhead { object: *self, at: start, pending: None, chunk: Bytes::new() };
        ahead.ask_for_next()?;
        Ok(Box::new(ahead))
    }

    fn read_anywhere(self: Box<Self>) -> Arc<dyn FileBytes> {
        Arc::new(ObjectBytes { object: *self, kept: Mutex::new(Vec::new()) })
    }
}

/// Reads in order, with one request under way while the last answer is decoded.
struct ReadAhead {
    object: Object,
    /// Where the next request starts.
    at: u64,
    pending: Option<Receiver<object_store::Result<Bytes>>>,
    chunk: Bytes,
}

impl ReadAhead {
    fn ask_for_next(&mut self) -> io::Result<()> {
        if self.at < self.object.object.size {
            self.pending = Some(self.object.get(self.at..self.at + CHUNK_BYTES)?);
            self.at += CHUNK_BYTES;
        }
        Ok(())
    }
}

impl Read for ReadAhead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            let Some(pending) = self.pending.take() else { return Ok(0) };
            self.chunk = answer(&pending)?;
            self.ask_for_next()?;
        }
        let length = out.len().min(self.chunk.len());
        out[..length].copy_from_slice(&self.chunk.split_to(length));
        Ok(length)
    }
}

/// Readers of whole files ask for a page's header and then for the page: the first answer holds both.
struct ObjectBytes {
    object: Object,
    /// Pieces and where they start, the last used one at the end.
    kept: Mutex<Vec<(u64, Bytes)>>,
}

impl FileBytes for ObjectBytes {
    fn name(&self) -> &str {
        &self.object.name
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.object.object.size)
    }

    fn read(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let end = (start + length as u64).min(self.object.object.size);
        if start >= end {
            return Ok(Bytes::new());
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |(at, bytes): &(u64, Bytes)| *at <= start && end <= at + bytes.len() as u64;
        let (at, bytes) = match kept.iter().position(holds) {
            Some(place) => kept.remove(place),
            None => (start, answer(&self.object.get(start..end.max(start + CHUNK_BYTES))?)?),
        };
        let wanted = bytes.slice((start - at) as usize..(end - at) as usize);
        if kept.len() == CHUNKS_KEPT {
            kept.remove(0);
        }
        kept.push((at, bytes));
        Ok(wanted)
    }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
