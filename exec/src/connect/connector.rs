//! Connectors by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    CHANGELOG_OPTIONS, DELIVERY_OPTIONS, Format, LOOKUP_OPTIONS, Lookups, OptionKind, OptionSpec, Sink, Source,
    TableDefinition,
};
use crate::error::{Error, Result};

/// One `'connector' = '…'` of `CREATE TABLE`: turns typed options into a source or a sink.
pub trait Connector: Send + Sync {
    /// The name users write: "socket".
    fn name(&self) -> &'static str;

    /// Every option with type, default and one-line help, except `connector` itself and the format's.
    fn options(&self) -> &'static [OptionSpec];

    /// Metadata columns it can provide: (key, what it is, its Flink type).
    fn metadata(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[]
    }

    /// A source that reads the columns `projection` of `table.schema`, in that order. It need not read what is
    /// [unread](TableDefinition::unread) inside of them. Performs no I/O.
    fn source(&self, table: &TableDefinition, _projection: &[usize], _formats: &Registry) -> Result<Arc<dyn Source>> {
        Err(Error::new(format!("cannot read from table {}", table.name))
            .why(format!("connector '{}' only writes", self.name())))
    }

    /// How a lookup join gets at the rows of the table; `None`: not at all. Performs no I/O.
    fn lookups(&self, _table: &TableDefinition, _formats: &Registry) -> Result<Option<Lookups>> {
        Ok(None)
    }

    /// A sink for all columns of `table.schema`. Performs no I/O.
    fn sink(&self, table: &TableDefinition, _formats: &Registry) -> Result<Arc<dyn Sink>> {
        Err(Error::new(format!("cannot write to table {}", table.name))
            .why(format!("connector '{}' only reads", self.name())))
    }
}

/// What every table with a watermark can be told, whatever its connector.
pub const WATERMARK_OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional(
        "scan.watermark.alignment.group",
        OptionKind::Text,
        "sources of a job with the same group wait for the slowest of them",
    ),
    OptionSpec::optional(
        "scan.watermark.alignment.max-drift",
        OptionKind::Duration,
        "how far a source may be ahead of the slowest of its group",
    ),
    OptionSpec::optional(
        "scan.watermark.alignment.update-interval",
        OptionKind::Duration,
        "accepted for Flink scripts; sources hear of each other at once",
    ),
    OptionSpec::with_default(
        "scan.watermark.emit.strategy",
        OptionKind::OneOf(&["on-periodic", "on-event"]),
        "on-periodic",
        "on-event: a watermark with every row that advances it; on-periodic: as pipeline.auto-watermark-interval says",
    ),
    OptionSpec::optional(
        "scan.watermark.idle-timeout",
        OptionKind::Duration,
        "a split that gives nothing for so long does not hold event time back; default: table.exec.source.idle-timeout",
    ),
    OptionSpec::optional(
        "scan.watermark.percentile",
        OptionKind::Text,
        "with strategy percentile: the share of rows to be in time, such as 0.99",
    ),
    OptionSpec::with_default(
        "scan.watermark.strategy",
        OptionKind::OneOf(&["expression", "percentile"]),
        "expression",
        "percentile: not the table's expression decides, but the lateness observed so far",
    ),
];

/// Names of Flink's connectors and formats that a script may well use, so that it hears more than "unknown".
const CONNECTORS_TO_COME: &[&str] = &["kafka", "upsert-kafka", "jdbc"];
const FORMATS_TO_COME: &[&str] = &["avro", "debezium-avro-confluent", "avro-confluent", "orc", "protobuf"];

/// The connectors and formats a session knows: the built-in ones and those a Rust user adds.
#[derive(Clone)]
pub struct Registry {
    connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
    formats: BTreeMap<&'static str, Arc<dyn Format>>,
}

impl Default for Registry {
    fn default() -> Registry {
        let mut registry = Registry { connectors: BTreeMap::new(), formats: BTreeMap::new() };
        crate::connectors::all().into_iter().for_each(|connector| registry.add_connector(connector));
        crate::formats::all().into_iter().for_each(|format| registry.add_format(format));
        registry
    }
}

impl Registry {
    /// Replaces a connector of the same name.
    pub fn add_connector(&mut self, connector: Arc<dyn Connector>) {
        self.connectors.insert(connector.name(), connector);
    }

    /// Replaces a format of the same name.
    pub fn add_format(&mut self, format: Arc<dyn Format>) {
        self.formats.insert(format.name(), format);
    }

    pub fn connectors(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.connectors.values()
    }

    pub fn formats(&self) -> impl Iterator<Item = &Arc<dyn Format>> {
        self.formats.values()
    }

    /// The connector a table names, after checking every option of the table.
    ///
    /// # Errors
    /// No `connector` option, an unknown connector or format, an unknown, missing or ill-typed option, an unknown metadata column.
    pub fn connector(&self, table: &TableDefinition) -> Result<&Arc<dyn Connector>> {
        let of = format!("table {}", table.name);
        let Some(name) = table.options.get("connector") else {
            return Err(Error::new(format!("table {} has no connector", table.name))
                .why("WITH (...) must say where the rows come from or go to")
                .fix(format!("add 'connector' = '...', one of {}", self.names().join(", "))));
        };
        let Some(connector) = self.connectors.get(name) else {
            if CONNECTORS_TO_COME.contains(&name) {
                return Err(Error::new(format!("cannot use connector '{name}' of {of} yet"))
                    .fix(format!("use one of {}", self.names().join(", "))));
            }
            return Err(Error::new(format!("unknown connector '{name}' of {of}")).nearest(name, self.names()));
        };
        let mut specs = vec![OptionSpec::required("connector", OptionKind::Text, "where rows come from or go to")];
        specs.extend(connector.options());
        specs.extend(CHANGELOG_OPTIONS);
        specs.extend(WATERMARK_OPTIONS);
        specs.extend(LOOKUP_OPTIONS);
        specs.extend(DELIVERY_OPTIONS);
        let mut metadata: Vec<&str> = connector.metadata().iter().map(|(key, ..)| *key).collect();
        if let Some(name) = table.options.get("format") {
            let format = self.format(name, table)?;
            specs.extend(format.options());
            metadata.extend(format.metadata().iter().map(|(key, ..)| *key));
        }
        table.options.check(&of, &specs)?;
        if let Some((_, key)) = table.metadata.iter().find(|(_, key)| !metadata.contains(&key.as_str())) {
            return Err(Error::new(format!("unknown metadata column '{key}' of {of}")).nearest(key, metadata));
        }
        Ok(connector)
    }

    /// The format called `name`.
    pub fn format(&self, name: &str, table: &TableDefinition) -> Result<&Arc<dyn Format>> {
        self.formats.get(name).ok_or_else(|| {
            if FORMATS_TO_COME.contains(&name) {
                return Error::new(format!("cannot use format '{name}' of table {} yet", table.name))
                    .fix(format!("use one of {}", self.formats.keys().copied().collect::<Vec<_>>().join(", ")));
            }
            Error::new(format!("unknown format '{name}' of table {}", table.name))
                .nearest(name, self.formats.keys().copied())
        })
    }

    fn names(&self) -> Vec<&'static str> {
        self.connectors.keys().copied().collect()
    }
}
