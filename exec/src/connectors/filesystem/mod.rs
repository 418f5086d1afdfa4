//! `'connector' = 'filesystem'`: files of a directory as a table, and a table as files of a directory.
//!
//! | file | is |
//! |---|---|
//! | `location` | what a path means |
//! | `store` | what is asked of a place with files |
//! | `local`, `listing` | directories of this machine |
//! | `object`, `upload`, `providers` | object stores |
//! | `partition` | `k=v` directories |
//! | `columns` | which columns come from the records, the path, the file's properties |
//! | `source` | reads files one after another, watches for new ones, follows growing ones |
//! | `beside` | decodes parts of a large file on several threads |
//! | `sink`, `part` | writes part files, visible only when finished |

use std::sync::Arc;
use std::time::Duration;

use super::records::{self, Records, format_of};
use crate::connect::{Connector, Lookups, OptionKind, OptionSpec, Registry, Sink, Source, SplitId, TableDefinition};
use crate::error::{Error, Result};

mod beside;
mod columns;
mod listing;
mod local;
mod location;
mod object;
mod part;
mod partition;
pub(crate) mod providers;
mod sink;
mod source;
mod store;
mod upload;

use columns::Columns;
use location::Location;
pub use sink::FilesystemSink;
use sink::Rolling;
use source::FilesystemSource;

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::required(
        "path",
        OptionKind::Text,
        "a file, a directory (read with all below it) or a glob such as logs/*.json; also s3://, gs://, az://, memory://",
    ),
    OptionSpec::required("format", OptionKind::Text, "how bytes become rows and rows become bytes"),
    OptionSpec::with_default(
        "partition.default-name",
        OptionKind::Text,
        "__DEFAULT_PARTITION__",
        "stands for NULL in the name of a partition's directory",
    ),
    OptionSpec::optional(
        "source.monitor-interval",
        OptionKind::Duration,
        "how often to look for new files; makes the table endless",
    ),
    OptionSpec::optional(
        "source.path.regex-pattern",
        OptionKind::Text,
        "reads only files whose absolute path matches this regular expression as a whole",
    ),
    OptionSpec::with_default(
        "source.follow",
        OptionKind::Boolean,
        "false",
        "go on reading files as they grow, as tail -f does; makes the table endless",
    ),
    OptionSpec::optional(
        "source.report-statistics",
        OptionKind::OneOf(&["none", "all"]),
        "accepted for Flink scripts, without effect",
    ),
    records::MAX_RECORD_SIZE,
    OptionSpec::with_default(
        "sink.rolling-policy.file-size",
        OptionKind::Bytes,
        "128mb",
        "a part file of this size is finished and the next one begun",
    ),
    OptionSpec::with_default(
        "sink.rolling-policy.rollover-interval",
        OptionKind::Duration,
        "30 min",
        "a part file that has been open for this long is finished",
    ),
    OptionSpec::optional(
        "sink.rolling-policy.check-interval",
        OptionKind::Duration,
        "accepted for Flink scripts: whether a file is due is checked at the end of every epoch",
    ),
    OptionSpec::optional("sink.parallelism", OptionKind::Integer, "at most how many shards write files at once"),
    OptionSpec::optional(
        "sink.partition-commit.policy.kind",
        OptionKind::Text,
        "success-file writes an empty file into each partition directory when the job has ended",
    ),
    OptionSpec::with_default(
        "sink.partition-commit.success-file.name",
        OptionKind::Text,
        "_SUCCESS",
        "the name of that file",
    ),
    OptionSpec::optional("s3.access-key", OptionKind::Text, "who asks, if not the one whom the environment names"),
    OptionSpec::optional("s3.secret-key", OptionKind::Text, "the secret of that access key"),
    OptionSpec::optional("s3.endpoint", OptionKind::Text, "address of a store that speaks S3, such as MinIO"),
    OptionSpec::optional("s3.region", OptionKind::Text, "where the bucket is, such as eu-central-1"),
    OptionSpec::optional(
        "s3.path-style-access",
        OptionKind::Boolean,
        "whether the bucket is named in the path instead of the host",
    ),
    accepted("sink.partition-commit.trigger"),
    accepted("sink.partition-commit.delay"),
    accepted("sink.partition-commit.watermark-time-zone"),
    accepted("sink.partition-commit.policy.class"),
    accepted("sink.partition-commit.policy.class.parameters"),
    accepted("sink.shuffle-by-partition.enable"),
    accepted("auto-compaction"),
    accepted("compaction.file-size"),
    accepted("compaction.parallelism"),
    accepted("partition.time-extractor.kind"),
    accepted("partition.time-extractor.class"),
    accepted("partition.time-extractor.timestamp-pattern"),
    accepted("partition.time-extractor.timestamp-formatter"),
];

/// Part of scripts written for Flink, where it tunes what is not there to tune here.
const fn accepted(name: &'static str) -> OptionSpec {
    OptionSpec::optional(name, OptionKind::Text, "accepted for Flink scripts, without effect")
}

pub struct Filesystem;

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn metadata(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        columns::METADATA
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], formats: &Registry) -> Result<Arc<dyn Source>> {
        let format = format_of(table, OPTIONS, formats)?;
        let columns = Columns::new(table, projection)?;
        let follows = table.options.boolean(OPTIONS, "source.follow");
        if format.files().is_none() {
            // Says now, and not when the job runs, what the format has against the table.
            Records::new(&columns.records, OPTIONS, format.as_ref(), &columns.projection, SplitId::new(""), 0)?;
        } else if follows {
            return Err(Error::new(format!("cannot follow the files of table {}", table.name))
                .why(format!("a {} file can only be read once it is finished", format.name()))
                .fix("remove 'source.follow', and set 'source.monitor-interval' to read new files as they appear"));
        }
        let location = Location::of(table)?;
        if follows && !location.is_local() {
            return Err(Error::new(format!("cannot follow the files of table {}", table.name))
                .why("objects of a store do not grow: they are there as a whole or not at all")
                .fix("remove 'source.follow', and set 'source.monitor-interval' to read new files as they appear"));
        }
        let interval = table.options.duration(OPTIONS, "source.monitor-interval");
        // Not at all is not what 0 means; all the time would keep a processor busy.
        let interval = interval.map(|interval| interval.max(Duration::from_millis(1)));
        Ok(Arc::new(FilesystemSource::new(location, columns, format, interval, follows)))
    }

    /// Files that are there; those that are watched are a stream.
    fn lookups(&self, table: &TableDefinition, _: &Registry) -> Result<Option<Lookups>> {
        let is_watched = table.options.boolean(OPTIONS, "source.follow")
            || table.options.duration(OPTIONS, "source.monitor-interval").is_some();
        Ok((!is_watched).then_some(Lookups::Whole))
    }

    fn sink(&self, table: &TableDefinition, formats: &Registry) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Filesystem::files(table, formats, false)?))
    }
}

impl Filesystem {
    /// The sink of `INSERT INTO`, or with `overwrite` that of `INSERT OVERWRITE`: when the job has ended, its files replace
    /// those of the table, or of each partition it wrote.
    pub fn files(table: &TableDefinition, formats: &Registry, overwrite: bool) -> Result<FilesystemSink> {
        let format = format_of(table, OPTIONS, formats)?;
        let columns = Columns::new(table, &[])?;
        if format.files().is_none() {
            format.encoder(&columns.records)?;
        }
        let options = &table.options;
        let commits = options.get("sink.partition-commit.policy.kind").unwrap_or_default();
        Ok(FilesystemSink {
            table: table.clone(),
            records: columns.records,
            format,
            directory: Location::of(table)?.directory()?,
            default_name: default_name(table),
            rolling: Rolling {
                file_bytes: options.bytes(OPTIONS, "sink.rolling-policy.file-size").unwrap_or(u64::MAX),
                interval: options.duration(OPTIONS, "sink.rolling-policy.rollover-interval").unwrap_or(Duration::MAX),
            },
            parallelism_max: options.integer(OPTIONS, "sink.parallelism").and_then(|n| u16::try_from(n.max(1)).ok()),
            success_file: commits
                .split(',')
                .any(|kind| kind.trim() == "success-file")
                .then(|| options.text(OPTIONS, "sink.partition-commit.success-file.name").unwrap_or("_SUCCESS").into()),
            overwrite,
        })
    }
}

fn default_name(table: &TableDefinition) -> String {
    table.options.text(OPTIONS, "partition.default-name").unwrap_or_default().to_string()
}
