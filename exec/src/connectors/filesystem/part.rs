//! One part file: written under a hidden name, renamed when finished.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow::array::RecordBatch;

use super::sink::Rolling;
use crate::changelog::ChangeBatch;
use crate::connect::{Encoder, FileWriter, Format, TableDefinition};
use crate::error::{Error, Result};

/// As much is kept before it is written within an epoch.
const BYTES_KEPT: usize = 1 << 20;

/// A part file being written. Dropping it leaves the hidden file behind: use `seal`, `salvage` or `discard`.
pub(super) struct Part {
    names: Names,
    opened: Instant,
    body: Body,
}

/// A finished part file that still has its hidden name.
pub(super) struct Names {
    hidden: PathBuf,
    visible: PathBuf,
}

enum Body {
    Records {
        file: File,
        encoder: Box<dyn Encoder>,
        kept: Vec<u8>,
        written: u64,
        whole_epochs: u64,
    },
    /// Files that cannot be cut back to the last epoch: rows wait for its end.
    Whole {
        writer: Box<dyn FileWriter>,
        kept: Vec<RecordBatch>,
        has_rows: bool,
    },
}

impl Part {
    /// Begins the file `name` in `directory`, which is made if it is not there.
    pub fn create(directory: &Path, name: &str, format: &dyn Format, records: &TableDefinition) -> Result<Part> {
        let names = Names { hidden: directory.join(format!(".{name}.inprogress")), visible: directory.join(name) };
        let opened = std::fs::create_dir_all(directory)
            .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&names.hidden));
        let file = opened.map_err(|error| names.unwritable(&error))?;
        let body = match format.files() {
            None => {
                let encoder = format.encoder(records)?;
                Body::Records { file, encoder, kept: Vec::new(), written: 0, whole_epochs: 0 }
            }
            Some(format) => {
                let file = Box::new(BufWriter::with_capacity(256 << 10, file));
                Body::Whole { writer: format.create(records, file)?, kept: Vec::new(), has_rows: false }
            }
        };
        Ok(Part { names, opened: Instant::now(), body })
    }

    pub fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        match &mut self.body {
            Body::Whole { kept, .. } => kept.push(changes.rows),
            Body::Records { encoder, kept, .. } => {
                encoder.encode(&changes, kept)?;
                if kept.len() >= BYTES_KEPT {
                    self.body.write_out().map_err(|error| self.names.unwritable(&error))?;
                }
            }
        }
        Ok(())
    }

    /// What was written so far belongs together.
    pub fn end_epoch(&mut self) -> Result<()> {
        if let Body::Whole { writer, kept, has_rows } = &mut self.body {
            for rows in kept.drain(..) {
                *has_rows = true;
                writer.write(&rows).map_err(|error| self.names.unwritable_because(&error))?;
            }
        }
        self.body.write_out().map_err(|error| self.names.unwritable(&error))?;
        if let Body::Records { written, whole_epochs, .. } = &mut self.body {
            *whole_epochs = *written;
        }
        Ok(())
    }

    pub fn is_due(&self, rolling: &Rolling) -> bool {
        let bytes = match &self.body {
            Body::Records { written, .. } => *written,
            Body::Whole { writer, .. } => writer.bytes(),
        };
        bytes >= rolling.file_bytes || self.opened.elapsed() >= rolling.interval
    }

    /// Ends the file and brings it to disk: once it has its name, it is whole, even after a power failure.
    pub fn seal(mut self) -> Result<Names> {
        self.end_epoch()?;
        self.body.close().map_err(|error| self.names.unwritable_because(&error))?;
        let synced = File::open(&self.names.hidden).and_then(|file| file.sync_all());
        synced.map_err(|error| self.names.unwritable(&error))?;
        Ok(self.names)
    }

    /// Publishes what whole epochs wrote, when the job was cancelled or failed: a reader sees a prefix of the output and
    /// rows read from a socket are not lost. Nobody is left to be told about errors.
    pub fn salvage(self) {
        let names = self.names;
        let is_worth_it = match self.body {
            Body::Records { file, whole_epochs, .. } => whole_epochs > 0 && file.set_len(whole_epochs).is_ok(),
            Body::Whole { writer, has_rows, .. } => has_rows && writer.finish().is_ok(),
        };
        match is_worth_it {
            true => drop(names.publish()),
            false => names.discard(),
        }
    }

    pub fn discard(self) {
        self.names.discard();
    }
}

impl Body {
    fn write_out(&mut self) -> io::Result<()> {
        if let Body::Records { file, kept, written, .. } = self {
            file.write_all(kept)?;
            *written += kept.len() as u64;
            kept.clear();
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        match self {
            Body::Records { .. } => Ok(()),
            Body::Whole { writer, .. } => writer.finish(),
        }
    }
}

impl Names {
    /// Gives the file its name. A file that has it already is left alone.
    pub fn publish(&self) -> Result<()> {
        if self.visible.exists() {
            return Err(self.unwritable(&io::ErrorKind::AlreadyExists.into()));
        }
        std::fs::rename(&self.hidden, &self.visible).map_err(|error| self.unwritable(&error))
    }

    pub fn discard(&self) {
        let _ = std::fs::remove_file(&self.hidden);
    }

    fn unwritable(&self, error: &io::Error) -> Error {
        let unwritable = Error::new(format!("could not write file {}", self.visible.display())).why(error.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                unwritable.fix("free some space, or write to another disk")
            }
            io::ErrorKind::PermissionDenied => {
                unwritable.fix("make its directory writable for the user who runs tidemill")
            }
            io::ErrorKind::NotADirectory => {
                unwritable.fix("give the path of a directory: the table's files go into it")
            }
            _ => unwritable,
        }
    }

    fn unwritable_because(&self, error: &Error) -> Error {
        Error::new(format!("could not write file {}", self.visible.display())).why(error.to_string())
    }
}

#[cfg(test)]
impl Part {
    /// Writes into another file, such as one that is always full.
    pub fn with_file(mut self, other: File) -> Part {
        if let Body::Records { file, .. } = &mut self.body {
            *file = other;
        }
        self
    }
}
