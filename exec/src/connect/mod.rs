//! The small traits by which rows come, go and are looked up, and what a table is to a connector.

pub mod connector;
pub mod format;
pub mod lookup;
pub mod mode;
pub mod options;
pub mod sink;
pub mod source;
pub mod table;

pub use connector::{Connector, Registry, WATERMARK_OPTIONS};
pub use format::{Decoder, Encoder, FORMAT_METADATA, FileBytes, FileFormat, FileReader, FileWriter, Format};
pub use lookup::{Finder, Found, LOOKUP_OPTIONS, Lookup, Lookups};
pub use mode::{CHANGELOG_OPTIONS, ChangelogMode};
pub use options::{OptionKind, OptionSpec, Options, parse_duration};
pub use sink::{DELIVERY_OPTIONS, Guarantee, Sink, Writer};
pub use source::{Offset, Reader, Skipped, Source, SplitBatch, SplitId};
pub use table::{TableDefinition, Unread};
