//! How bytes become rows and rows become bytes.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;

use crate::changelog::ChangeBatch;
use crate::connect::options::OptionSpec;
use crate::connect::source::Skipped;
use crate::connect::table::TableDefinition;
use crate::error::Result;
use crate::message::Batch;

/// What the keys of a format's metadata begin with, as in Flink's Kafka tables; those of connectors do not.
pub const FORMAT_METADATA: &str = "value.";

/// One `'format' = '…'`: makes decoders and encoders.
pub trait Format: Send + Sync {
    /// The name users write: "json".
    fn name(&self) -> &'static str;

    /// Every option with its full name ("json.ignore-parse-errors").
    fn options(&self) -> &'static [OptionSpec];

    /// Metadata columns it can provide, beside the connector's: (key, what it is, its Flink type). Their keys begin with
    /// [`FORMAT_METADATA`].
    fn metadata(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        Vec::new()
    }

    /// A decoder for the columns `projection` of `table.schema`, of metadata only this format's, in that order.
    fn decoder(&self, table: &TableDefinition, projection: &[usize]) -> Result<Box<dyn Decoder>>;

    /// An encoder for all physical columns of `table`.
    fn encoder(&self, table: &TableDefinition) -> Result<Box<dyn Encoder>>;

    /// Whether decoded rows may disappear too: batches have weights.
    fn decodes_updates(&self) -> bool {
        false
    }

    /// Whether encoded rows can carry `-U` and `-D`.
    fn encodes_updates(&self) -> bool {
        false
    }

    /// How files of this format are read and written, if they are not simply records one after another (parquet). Transports
    /// of bytes cannot use such a format: its `decoder` and `encoder` say so.
    fn files(&self) -> Option<&dyn FileFormat> {
        None
    }
}

/// A format whose files are read in several places and only make sense as a whole.
///
/// Everything here may block: it is called on threads made for that.
pub trait FileFormat: Send + Sync {
    /// Reads the columns `projection` of `table.schema` (none of them metadata, in that order) from one file, beginning with
    /// row number `first_row` (0 is the first; past the end means that nothing is left).
    ///
    /// # Errors
    /// The file is not of this format, or a column of it cannot become the type that the table declares.
    fn open(
        &self,
        table: &TableDefinition,
        projection: &[usize],
        file: Arc<dyn FileBytes>,
        first_row: u64,
    ) -> Result<Box<dyn FileReader>>;

    /// Starts a file with all physical columns of `table`.
    fn create(&self, table: &TableDefinition, file: Box<dyn Write + Send>) -> Result<Box<dyn FileWriter>>;
}

/// A file that can be read anywhere.
pub trait FileBytes: Send + Sync {
    /// As the user knows it, for messages.
    fn name(&self) -> &str;

    /// How many bytes it has now.
    fn size(&self) -> io::Result<u64>;

    /// At most `length` bytes from `start`; fewer only at the end of the file.
    fn read(&self, start: u64, length: usize) -> io::Result<Bytes>;
}

/// The rows of one file, in order.
pub trait FileReader: Send {
    /// The next rows, at least one and at most a batch of them, or `None` at the end.
    fn next(&mut self) -> Result<Option<RecordBatch>>;
}

/// A file being written.
pub trait FileWriter: Send {
    fn write(&mut self, rows: &RecordBatch) -> Result<()>;

    /// About how large the file would be if it ended here.
    fn bytes(&self) -> u64;

    /// Writes what belongs at the end. Without this call the file is of no use to anybody.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Finds records in a stream of bytes and turns them into rows, straight into Arrow.
///
/// The law: however the bytes are cut into chunks, the rows are the same, and every byte is consumed exactly once. Transports
/// rely on it for offsets, and tests check it at every cut.
pub trait Decoder: Send {
    /// Decodes complete records from the front of `bytes` and says how many bytes they took; the caller hands the rest in
    /// again with more behind it. With `last`, the end of `bytes` also ends a record. May stop early, when a batch is full.
    /// Returning 0 means: more bytes are needed (or, with `last`, `bytes` was empty).
    ///
    /// # Errors
    /// A record that cannot be decoded, with the record shown, unless the table says to skip such records. Rows decoded
    /// before it are still in `flush`, and were not lost.
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize>;

    /// The rows decoded since the last call, or `None` if there are none.
    fn flush(&mut self) -> Result<Option<Batch>>;

    /// What was left out since the last call.
    fn skipped(&mut self) -> Option<Skipped>;

    /// The bytes to come do not begin at the start of their split: there is no header line to leave out. Called before anything
    /// is decoded.
    fn resumed(&mut self) {}
}

/// Turns rows into bytes.
pub trait Encoder: Send {
    /// Appends each row, with what separates records, to `out`.
    ///
    /// `changes` holds `-U` and `-D` only if the format [encodes updates](Format::encodes_updates).
    fn encode(&mut self, changes: &ChangeBatch, out: &mut Vec<u8>) -> Result<()>;
}
