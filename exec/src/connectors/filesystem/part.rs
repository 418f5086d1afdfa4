//! One part file while rows go into it.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;

use super::sink::Rolling;
use super::store::PartFile;
use crate::changelog::ChangeBatch;
use crate::connect::{Encoder, FileWriter, Format, TableDefinition};
use crate::error::{Error, Result};

/// As much is kept before it is written within an epoch.
const BYTES_KEPT: usize = 1 << 20;

/// A part file being written. Dropping it leaves remains behind: use `seal`, `salvage` or `discard`.
pub(super) struct Part {
    /// Without its directory.
    pub name: String,
    file: Arc<dyn PartFile>,
    opened: Instant,
    body: Body,
}

/// A part file with all its rows, which nobody sees yet.
pub(super) struct Sealed(Arc<dyn PartFile>);

enum Body {
    Records {
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
    pub fn new(name: String, file: Arc<dyn PartFile>, format: &dyn Format, records: &TableDefinition) -> Result<Part> {
        let body = match format.files() {
            None => Body::Records { encoder: format.encoder(records)?, kept: Vec::new(), written: 0, whole_epochs: 0 },
            Some(format) => {
                let bytes = Box::new(BufWriter::with_capacity(256 << 10, Bytes(Arc::clone(&file))));
                Body::Whole { writer: format.create(records, bytes)?, kept: Vec::new(), has_rows: false }
            }
        };
        Ok(Part { name, file, opened: Instant::now(), body })
    }

    pub fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        match &mut self.body {
            Body::Whole { kept, .. } => kept.push(changes.rows),
            Body::Records { encoder, kept, .. } => {
                encoder.encode(&changes, kept)?;
                if kept.len() >= BYTES_KEPT && self.file.can_be_cut() {
                    self.write_out()?;
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
                writer.write(&rows).map_err(|error| unwritable_because(&self.file.name(), &error))?;
            }
        }
        self.write_out()?;
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

    /// Ends the file and brings it to where it is safe.
    pub fn seal(mut self) -> Result<Sealed> {
        self.end_epoch()?;
        if let Body::Whole { writer, .. } = self.body {
            writer.finish().map_err(|error| unwritable_because(&self.file.name(), &error))?;
        }
        self.file.seal().map_err(|error| unwritable(&self.file.name(), &error))?;
        Ok(Sealed(self.file))
    }

    /// Publishes what whole epochs wrote, when the job was cancelled or failed: a reader sees a prefix of the output and
    /// rows read from a socket are not lost. Nobody is left to be told about errors.
    pub fn salvage(self) {
        let is_worth_it = match self.body {
            Body::Records { written, whole_epochs, .. } => {
                whole_epochs > 0 && (written == whole_epochs || self.file.cut(whole_epochs).is_ok())
            }
            Body::Whole { writer, has_rows, .. } => has_rows && writer.finish().is_ok(),
        };
        match is_worth_it && self.file.seal().is_ok() {
            true => drop(self.file.publish()),
            false => self.file.discard(),
        }
    }

    pub fn discard(self) {
        self.file.discard();
    }

    fn write_out(&mut self) -> Result<()> {
        if let Body::Records { kept, written, .. } = &mut self.body {
            self.file.write(kept).map_err(|error| unwritable(&self.file.name(), &error))?;
            *written += kept.len() as u64;
            kept.clear();
        }
        Ok(())
    }
}

impl Sealed {
    pub fn publish(&self) -> Result<()> {
        self.0.publish().map_err(|error| unwritable(&self.0.name(), &error))
    }

    pub fn discard(&self) {
        self.0.discard();
    }
}

/// What a writer of whole files writes into.
struct Bytes(Arc<dyn PartFile>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn unwritable(file: &str, error: &io::Error) -> Error {
    let unwritable = Error::new(format!("could not write file {file}")).why(error.to_string());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            unwritable.fix("free some space, or write to another disk")
        }
        io::ErrorKind::PermissionDenied => unwritable.fix("make its directory writable for the user who runs tidemill"),
        io::ErrorKind::NotADirectory => unwritable.fix("give the path of a directory: the table's files go into it"),
        _ => unwritable,
    }
}

fn unwritable_because(file: &str, error: &Error) -> Error {
    Error::new(format!("could not write file {file}")).why(error.to_string())
}
