//! Where the checkpoints of one job are.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use serde::{Deserialize, Serialize};

use super::files::{CheckpointError, checksum, decode, encode};
use super::manifest::{FORMAT, FileEntry, Kind, Manifest};

type Result<T> = std::result::Result<T, CheckpointError>;

/// The directory of one job in an object store or on the local disk.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    /// How users know it: a path or a URL.
    name: String,
    /// The same on the local disk, whose writes are not yet safe when they are done.
    local: Option<std::path::PathBuf>,
}

/// A manifest as it is stored: with what tells whether it is whole.
#[derive(Serialize, Deserialize)]
struct Sealed {
    checksum: String,
    manifest: serde_json::Value,
}

/// Nobody else on this machine uses the directory as long as this lives.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the system lets go of the lock when the file is closed")] std::fs::File);

/// The newest checkpoint that is whole.
#[derive(Debug)]
pub struct Found {
    /// Without what is recorded as committed.
    pub manifest: Option<Manifest>,
    /// Newer ones that are not, and why.
    pub damaged: Vec<CheckpointError>,
    /// The highest number any checkpoint has.
    pub last: u64,
}

impl Store {
    /// Performs no I/O. `local`: where on the local disk this is, if it is.
    pub fn new(objects: Arc<dyn ObjectStore>, root: Path, name: String, local: Option<std::path::PathBuf>) -> Store {
        Store { objects, root, name, local }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Keeps other processes of this machine out. Elsewhere than on the local disk it does nothing: there the first of two that publish
    /// the same checkpoint wins.
    ///
    /// # Errors
    /// Another process holds it; the directory cannot be made.
    pub fn lock(&self) -> Result<Option<Lock>> {
        use std::io::{Read, Seek, Write};
        let Some(local) = &self.local else { return Ok(None) };
        let path = self.named("lock");
        let failed = |error: std::io::Error| CheckpointError::Store { path: path.clone(), why: error.to_string() };
        std::fs::create_dir_all(local).map_err(failed)?;
        let options = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(local.join("lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(CheckpointError::Locked { path, holder: holder.trim().to_string() });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Who it is, for the message to others.
        let named =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        named.map_err(failed)?;
        Ok(Some(Lock(file)))
    }

    fn named(&self, path: &str) -> String {
        format!("{}/{path}", self.name)
    }

    fn path(&self, path: &str) -> Path {
        path.split('/').fold(self.root.clone(), |root, part| root.join(part))
    }

    fn failed(&self, path: &str) -> impl Fn(object_store::Error) -> CheckpointError {
        let path = self.named(path);
        move |error| CheckpointError::Store { path: path.clone(), why: error.to_string() }
    }

    /// Writes a table of state. Blocks as long as encoding takes: not for tasks.
    ///
    /// # Errors
    /// The store refuses; the rows have a type that Parquet lacks.
    pub async fn write(&self, path: String, rows: RecordBatch) -> Result<FileEntry> {
        let unwritable = |why: String| CheckpointError::Store { path: self.named(&path), why };
        let bytes = encode(&rows).map_err(|error| unwritable(error.to_string()))?;
        self.put(path, bytes, rows.num_rows() as u64).await
    }

    /// Writes a file of so many rows, in whatever form. Blocks until the disk has it.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn put(&self, path: String, bytes: Bytes, rows: u64) -> Result<FileEntry> {
        let entry = FileEntry { path: path.clone(), rows, bytes: bytes.len() as u64, checksum: checksum(&bytes) };
        self.objects.put(&self.path(&path), PutPayload::from_bytes(bytes)).await.map_err(self.failed(&path))?;
        self.sync(&path)?;
        Ok(entry)
    }

    /// Notes that the first `count` of what a sink, which has this place in the manifest, has prepared for a checkpoint are committed. They are
    /// not in what [`latest`](Self::latest) finds.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn record_committed(&self, checkpoint: u64, sink: usize, count: usize) -> Result<()> {
        // That it is there says all.
        self.put(record_path(checkpoint, sink, count), Bytes::new(), 0).await.map(drop)
    }

    async fn without_committed(&self, mut manifest: Manifest) -> Result<Manifest> {
        let checkpoint = manifest.checkpoint;
        for (n, sink) in manifest.sinks.iter_mut().enumerate().filter(|(_, sink)| sink.is_recorded) {
            for count in (1..=sink.prepared.len()).rev() {
                match self.get(&record_path(checkpoint, n, count)).await {
                    Ok(_) => drop(sink.prepared.drain(..count)),
                    Err(CheckpointError::Missing { .. }) => continue,
                    Err(error) => return Err(error),
                }
                if sink.prepared.is_empty() {
                    sink.files.clear();
                }
                break;
            }
        }
        Ok(manifest)
    }

    /// # Errors
    /// The file is not there, or not what was written.
    pub async fn read(&self, file: &FileEntry) -> Result<RecordBatch> {
        let bytes = self.verified(file).await?;
        decode(bytes).map_err(|error| CheckpointError::Damaged { path: self.named(&file.path), why: error.to_string() })
    }

    /// The bytes of a file, as they were written.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn verified(&self, file: &FileEntry) -> Result<Bytes> {
        let path = self.named(&file.path);
        let bytes = self.get(&file.path).await?;
        if bytes.len() as u64 != file.bytes {
            let why = format!("it has {} bytes and should have {}", bytes.len(), file.bytes);
            return Err(CheckpointError::Damaged { path, why });
        }
        match checksum(&bytes) {
            sum if sum == file.checksum => Ok(bytes),
            sum => Err(CheckpointError::Damaged {
                path,
                why: format!("its checksum is {sum} and should be {}", file.checksum),
            }),
        }
    }

    async fn get(&self, path: &str) -> Result<Bytes> {
        match self.objects.get(&self.path(path)).await {
            Ok(found) => found.bytes().await.map_err(self.failed(path)),
            Err(object_store::Error::NotFound { .. }) => Err(CheckpointError::Missing { path: self.named(path) }),
            Err(error) => Err(self.failed(path)(error)),
        }
    }

    /// Makes the checkpoint exist. Everything it names must be written. Until this has succeeded, nothing may be committed: it may be
    /// overlooked.
    ///
    /// # Errors
    /// There is one of this number: then somebody else runs the job.
    pub async fn publish(&self, manifest: &Manifest) -> Result<()> {
        let path = manifest_path(manifest.checkpoint);
        // A process that was asleep finds here that another one has the job, whatever numbers that one has left free.
        if self.hint().await?.is_some_and(|(_, generation)| generation > manifest.generation) {
            return Err(CheckpointError::TakenOver { path: self.named(LATEST) });
        }
        let latest = format!("{} {}", manifest.checkpoint, manifest.generation);
        let unwritable =
            |error: serde_json::Error| CheckpointError::Store { path: self.named(&path), why: error.to_string() };
        let manifest = serde_json::to_value(manifest).map_err(unwritable)?;
        let sealed = Sealed { checksum: checksum(manifest.to_string().as_bytes()), manifest };
        let bytes = serde_json::to_vec_pretty(&sealed).map_err(unwritable)?;
        match self.objects.put_opts(&self.path(&path), bytes.into(), PutMode::Create.into()).await {
            Ok(_) => self.sync(&path)?,
            Err(object_store::Error::AlreadyExists { .. }) => {
                return Err(CheckpointError::TakenOver { path: self.named(&path) });
            }
            Err(error) => return Err(self.failed(&path)(error)),
        }
        self.objects.put(&self.path(LATEST), latest.into()).await.map_err(self.failed(LATEST))?;
        self.sync(LATEST)
    }

    /// The checkpoint published last and the generation of who did, zeros if they cannot be read; `None`: the directory is that of no
    /// job, or of one that has ended.
    async fn hint(&self) -> Result<Option<(u64, u64)>> {
        match self.get(LATEST).await {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or_default());
                Ok(Some((numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())))
            }
            Err(CheckpointError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the file system has it safe is another matter than whether it has it.
    fn sync(&self, path: &str) -> Result<()> {
        let Some(local) = &self.local else { return Ok(()) };
        let file = local.join(path);
        let synced = std::fs::File::open(&file).and_then(|file| file.sync_all());
        let synced = synced.and_then(|()| match file.parent() {
            Some(directory) => std::fs::File::open(directory)?.sync_all(),
            None => Ok(()),
        });
        synced.map_err(|error| CheckpointError::Store { path: self.named(path), why: error.to_string() })
    }

    /// The numbers of all checkpoints, in order.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub async fn checkpoints(&self) -> Result<Vec<u64>> {
        let files = self.files().await?;
        let numbers: BTreeSet<u64> =
            files.iter().filter(|file| file.ends_with("/manifest.json")).filter_map(|file| number(file)).collect();
        Ok(numbers.into_iter().collect())
    }

    /// Every file below the job's directory, relative to it.
    async fn files(&self) -> Result<Vec<String>> {
        let all: Vec<_> = self.objects.list(Some(&self.root)).try_collect().await.map_err(self.failed(""))?;
        let relative = |path: &Path| {
            let parts: Option<Vec<String>> =
                path.prefix_match(&self.root).map(|parts| parts.map(|part| part.as_ref().to_string()).collect());
            parts.map(|parts| parts.join("/"))
        };
        Ok(all.iter().filter_map(|object| relative(&object.location)).collect())
    }

    /// # Errors
    /// The manifest is not there, damaged, or of a newer format.
    pub async fn manifest(&self, checkpoint: u64) -> Result<Manifest> {
        let path = manifest_path(checkpoint);
        let bytes = self.get(&path).await?;
        let damaged = |why: String| CheckpointError::Damaged { path: self.named(&path), why };
        let sealed: Sealed = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if checksum(sealed.manifest.to_string().as_bytes()) != sealed.checksum {
            return Err(damaged("its checksum does not fit".to_string()));
        }
        let format = sealed.manifest.get("format").and_then(serde_json::Value::as_u64).unwrap_or_default() as u32;
        if format > FORMAT {
            return Err(CheckpointError::TooNew { path: self.named(&path), format });
        }
        serde_json::from_value(sealed.manifest).map_err(|error| damaged(error.to_string()))
    }

    /// The newest checkpoint of which every file is there and whole.
    ///
    /// # Errors
    /// The store cannot be read; a checkpoint was written by a newer version: then an older one must not be used in its stead.
    pub async fn latest(&self) -> Result<Found> {
        // Some stores do not list at once what was written last: who asks for it by its name gets it.
        let mut known: BTreeSet<u64> = self.checkpoints().await?.into_iter().collect();
        let hint = self.hint().await?;
        known.extend(hint.map(|(number, _)| number).filter(|number| *number > 0));
        let mut damaged = Vec::new();
        let (first, last) = (known.first().copied().unwrap_or_default(), known.last().copied().unwrap_or_default());
        if hint.is_none() {
            // Manifests without it are what was left when the job had ended, or had not begun.
            return Ok(Found { manifest: None, damaged, last });
        }
        for number in (first..=last).rev() {
            let manifest = match self.manifest(number).await {
                Ok(manifest) => manifest,
                Err(CheckpointError::Missing { .. }) => continue,
                Err(error @ CheckpointError::Damaged { .. }) => {
                    damaged.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Written by a process that ended before it had said so, and overlooked by who took the job over, which has removed what was prepared for it.
            if hint.is_some_and(|(latest, generation)| number > latest && manifest.generation < generation) {
                continue;
            }
            match self.verify(&manifest).await {
                Ok(()) => {
                    let manifest = Some(self.without_committed(manifest).await?);
                    return Ok(Found { manifest, damaged, last });
                }
                Err(error @ (CheckpointError::Damaged { .. } | CheckpointError::Missing { .. })) => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(Found { manifest: None, damaged, last })
    }

    /// Whether all files are there and whole.
    async fn verify(&self, manifest: &Manifest) -> Result<()> {
        for file in manifest.files() {
            self.verified(file).await?;
        }
        Ok(())
    }

    /// Makes a checkpoint of another job's directory the first one here, with all its files.
    ///
    /// # Errors
    /// A file there is missing or damaged; a store refuses; there is a checkpoint of that number here.
    pub async fn import(&self, from: &Store, manifest: &Manifest) -> Result<()> {
        for file in manifest.files() {
            let bytes = from.verified(file).await?;
            self.objects.put(&self.path(&file.path), bytes.into()).await.map_err(self.failed(&file.path))?;
            self.sync(&file.path)?;
        }
        self.publish(manifest).await
    }

    /// Removes all but these checkpoints and the files they need; savepoints stay. What is damaged stays too, to be looked into.
    ///
    /// # Errors
    /// The store refuses. Then some of it is left, which the next call removes.
    pub async fn keep(&self, checkpoints: &[u64]) -> Result<()> {
        let (mut needed, mut kept) = (BTreeSet::new(), BTreeSet::new());
        let mut gone = Vec::new();
        // What is newer is another process's, which has taken the job over.
        let newest = checkpoints.iter().copied().max().unwrap_or(u64::MAX);
        // Those to keep are looked at even if the store does not list them, as some do not at once.
        let numbers: BTreeSet<u64> = self.checkpoints().await?.into_iter().chain(checkpoints.iter().copied()).collect();
        for number in numbers {
            let path = manifest_path(number);
            match self.manifest(number).await {
                Ok(manifest)
                    if checkpoints.contains(&number) || manifest.kind == Kind::Savepoint || number > newest =>
                {
                    needed.extend(manifest.files().map(|file| file.path.clone()));
                    needed.insert(path);
                    kept.insert(number);
                }
                Ok(_) => gone.push(path),
                Err(CheckpointError::Damaged { .. }) => drop(needed.insert(path)),
                Err(CheckpointError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // The manifest goes first: a checkpoint without its files must not seem to be one.
        for path in gone {
            self.delete(&path).await?;
        }
        // Files of a checkpoint that is being written have a higher number than any that is there.
        for file in self.files().await? {
            let Some(number) = number(&file).filter(|number| *number <= newest) else { continue };
            let is_kept = needed.contains(&file) || (is_record(&file) && kept.contains(&number));
            if !is_kept {
                self.delete(&file).await?;
            }
        }
        self.remove_empty_directories();
        Ok(())
    }

    /// Removes every checkpoint but the user's savepoints: the job has ended.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub async fn clear(&self) -> Result<()> {
        // From here on there is nothing to go on from, whatever is left.
        self.delete(LATEST).await?;
        self.keep(&[]).await?;
        if let Some(local) = &self.local {
            let _ = std::fs::remove_file(local.join("lock"));
            // Fails if there are savepoints, as it should.
            let _ = std::fs::remove_dir(local);
        }
        Ok(())
    }

    async fn delete(&self, path: &str) -> Result<()> {
        match self.objects.delete(&self.path(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(path)(error)),
        }
    }

    fn remove_empty_directories(&self) {
        let Some(entries) = self.local.as_ref().and_then(|local| std::fs::read_dir(local).ok()) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("chk-")) {
            // Fails if it is not empty, as it should.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// Says which checkpoint was published last.
const LATEST: &str = "latest";

fn manifest_path(checkpoint: u64) -> String {
    format!("chk-{checkpoint}/manifest.json")
}

/// Is there if so many parts of what a sink has prepared are committed.
fn record_path(checkpoint: u64, sink: usize, count: usize) -> String {
    format!("chk-{checkpoint}/{RECORD}-{sink}-{count}")
}

const RECORD: &str = "committed";

fn is_record(file: &str) -> bool {
    file.split_once('/').is_some_and(|(_, name)| name.starts_with(RECORD))
}

/// The checkpoint in whose directory a file is.
fn number(file: &str) -> Option<u64> {
    file.split_once('/')?.0.strip_prefix("chk-")?.parse().ok()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
