//! The file that makes a checkpoint one.

use serde::{Deserialize, Serialize};

/// The layout of manifests and of the files they name. Readers take this one and older ones.
pub const FORMAT: u32 = 1;

/// All that a job was at the barrier of one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version of the program that wrote it.
    pub version: String,
    /// Names the job in places that outlive it; in hexadecimal. The same from the first checkpoint to the last.
    pub token: String,
    pub checkpoint: u64,
    /// Grows with every process that takes the job over.
    pub generation: u64,
    pub kind: Kind,
    /// Milliseconds since 1970.
    pub taken_at: i64,
    pub cost: Cost,
    /// The statement of the job, for whoever looks into the directory.
    pub statement: String,
    pub sources: Vec<SourceState>,
    pub operators: Vec<OperatorState>,
    pub sinks: Vec<SinkState>,
}

/// What a checkpoint took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Written since the last one, merging included.
    pub bytes: u64,
    /// The longest that a task was held up by handing over its state, in microseconds.
    pub stall_us: u64,
}

/// Why there is this checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Taken in the job's rhythm; goes when newer ones are there.
    Periodic,
    /// Taken as the job was stopped.
    Last,
    /// The user's: stays until the user removes it.
    Savepoint,
    /// Written by a process that takes the job over, so that another one that still believes to run it finds its place taken.
    Takeover,
}

/// How far a source has read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    pub uid: String,
    pub table: String,
    pub splits: Vec<SplitState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitState {
    pub split: String,
    /// Opaque to all but the connector; in hexadecimal. Absent: nothing was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// How far event time has come in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<i64>,
    /// The watermark that its task had sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Says what the state means; see the job graph.
    pub uid: String,
    pub name: String,
    /// As `EXPLAIN` shows it.
    pub explain: String,
    pub tables: Vec<TableState>,
}

/// A table of state over all shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    pub table: String,
    pub distribution: Distribution,
    /// The columns of which a row in a later file replaces the equal ones in earlier files. Empty: every file is the whole table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces_by: Vec<usize>,
    /// By shard, in order of age.
    pub shards: Vec<Vec<FileEntry>>,
}

/// Which shard a row of state belongs to, when there are more shards than before, or fewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// The one that owns the key group of these columns.
    ByKey(Vec<usize>),
    /// It is a fact about the shard it comes from: every shard gets all, and makes one of them.
    ToAll,
    /// The first.
    ToFirst,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Within the directory of the job.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    /// XXH3 of the bytes, in hexadecimal.
    pub checksum: String,
}

/// What a sink has prepared up to the checkpoint, to be committed once it is there; and again after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkState {
    pub uid: String,
    pub table: String,
    /// Opaque to all but the connector; in hexadecimal.
    pub prepared: Vec<String>,
    /// Files that these are in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEntry>,
    /// It cannot tell by itself what it has committed, so that is recorded beside the manifest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_recorded: bool,
}

impl OperatorState {
    /// How many shards it had.
    pub fn shards(&self) -> usize {
        self.tables.iter().map(|table| table.shards.len()).max().unwrap_or_default()
    }
}

impl Manifest {
    /// Every file it needs.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let tables = self.operators.iter().flat_map(|operator| &operator.tables);
        let of_tables = tables.flat_map(|table| table.shards.iter().flatten());
        of_tables.chain(self.sinks.iter().flat_map(|sink| &sink.files))
    }
}

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The inverse of [`hex`]; `None` if it is no such text.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map(digits).collect()
}
