//! Files of this machine.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use bytes::Bytes;

use super::columns::FileProperties;
use super::listing::Listing;
use super::store::{PartFile, Store, StoredFile, is_hidden, staged, unstaged};
use crate::connect::FileBytes;
use crate::error::Result;

#[derive(Debug)]
pub(super) struct LocalStore {
    listing: Listing,
    name: String,
}

impl LocalStore {
    pub fn new(listing: Listing) -> LocalStore {
        LocalStore { name: listing.path.display().to_string(), listing }
    }

    fn directory(&self, directory: &str) -> PathBuf {
        self.listing.path.join(directory)
    }
}

impl Store for LocalStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> Result<Vec<String>> {
        self.listing.list()
    }

    fn open(&self, file: &str) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(LocalFile::open(file)?))
    }

    fn create_directory(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.listing.path)
    }

    fn create(&self, directory: &str, name: &str) -> io::Result<Arc<dyn PartFile>> {
        Ok(Arc::new(LocalPart::create(&self.directory(directory), name)?))
    }

    fn stage(&self, directory: &str, name: &str) -> io::Result<Arc<dyn PartFile>> {
        let part = LocalPart::create(&self.directory(directory), name)?;
        let visible = part.hidden.clone();
        Ok(Arc::new(LocalPart { visible, ..part }))
    }

    fn commit(&self, directory: &str, name: &str) -> io::Result<()> {
        let directory = self.directory(directory);
        match std::fs::rename(directory.join(staged(name)), directory.join(name)) {
            Ok(()) => File::open(directory)?.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn beginning_with(&self, prefix: &str) -> io::Result<Vec<(String, String, bool)>> {
        let mut found = Vec::new();
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            let entries = match std::fs::read_dir(self.directory(&directory)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().to_string();
                if entry.file_type()?.is_dir() {
                    directories.push(format!("{directory}{name}/"));
                    continue;
                }
                let plain = unstaged(&name);
                if plain.unwrap_or(&name).starts_with(prefix) {
                    found.push((directory.clone(), plain.unwrap_or(&name).to_string(), plain.is_some()));
                }
            }
        }
        Ok(found)
    }

    fn remove(&self, directory: &str, name: &str, is_staged: bool) -> io::Result<()> {
        let name = if is_staged { staged(name) } else { name.to_string() };
        match std::fs::remove_file(self.directory(directory).join(name)) {
            // A writer that was still at work has removed it by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn remove_files(&self, directory: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(self.directory(directory))? {
            let entry = entry?;
            if !is_hidden(&entry.file_name().to_string_lossy()) && entry.path().is_file() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn mark(&self, directory: &str, name: &str) -> io::Result<()> {
        std::fs::write(self.directory(directory).join(name), "")
    }
}

pub(super) struct LocalFile {
    pub name: String,
    pub file: File,
    pub metadata: Metadata,
}

impl LocalFile {
    pub fn open(path: &str) -> io::Result<LocalFile> {
        let file = File::open(path)?;
        Ok(LocalFile { name: path.to_string(), metadata: file.metadata()?, file })
    }
}

impl StoredFile for LocalFile {
    fn properties(&self) -> FileProperties {
        let modified = self.metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ms = modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        FileProperties { path: self.name.clone(), size: self.metadata.len(), modified_ms }
    }

    fn read_from(mut self: Box<Self>, start: u64) -> io::Result<Box<dyn Read>> {
        // A named pipe can be read, but not moved in.
        if start > 0 {
            self.file.seek(SeekFrom::Start(start))?;
        }
        Ok(Box::new(self.file))
    }

    fn read_anywhere(self: Box<Self>) -> Arc<dyn FileBytes> {
        Arc::new(LocalBytes { name: self.name, file: Mutex::new(self.file) })
    }
}

struct LocalBytes {
    name: String,
    file: Mutex<File>,
}

impl FileBytes for LocalBytes {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.lock().unwrap_or_else(PoisonError::into_inner).metadata()?.len())
    }

    fn read(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::with_capacity(length);
        Read::take(&mut *file, length as u64).read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    }
}

/// Written under a hidden name, renamed when finished.
pub(super) struct LocalPart {
    file: File,
    hidden: PathBuf,
    visible: PathBuf,
}

impl LocalPart {
    /// Begins the file `name` in `directory`, which is made if it is not there.
    fn create(directory: &Path, name: &str) -> io::Result<LocalPart> {
        std::fs::create_dir_all(directory)?;
        let hidden = hidden(directory, name);
        let file = OpenOptions::new().write(true).create_new(true).open(&hidden)?;
        Ok(LocalPart { file, hidden, visible: directory.join(name) })
    }

    /// One that writes into another file, such as one that is always full.
    #[cfg(test)]
    pub fn with_file(file: File, directory: &Path, name: &str) -> LocalPart {
        LocalPart { file, hidden: hidden(directory, name), visible: directory.join(name) }
    }
}

fn hidden(directory: &Path, name: &str) -> PathBuf {
    directory.join(staged(name))
}

impl PartFile for LocalPart {
    fn name(&self) -> String {
        self.visible.display().to_string()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    fn can_be_cut(&self) -> bool {
        true
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    /// Brings the file to disk: once it has its name, it is whole, even after a power failure.
    fn seal(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// A file that has the name already is left alone.
    fn publish(&self) -> io::Result<()> {
        if self.visible == self.hidden {
            return Ok(()); // It is staged.
        }
        if self.visible.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        std::fs::rename(&self.hidden, &self.visible)
    }

    fn discard(&self) {
        let _ = std::fs::remove_file(&self.hidden);
    }
}
