//! Lookup joins: each row with the rows of a table that are there when it comes.
//!
//! | file | is |
//! |---|---|
//! | `mod` | a table as a lookup join asks it: what its connector offers, behind a cache |
//! | `full` | all rows in memory, read again from time to time |
//! | `partial` | the rows of keys that were asked for |
//! | `retry` | asks again |
//! | `join` | the keys of a batch, and its rows with what was found |
//!
//! The task that asks is `task/lookup.rs`.

mod full;
mod join;
mod partial;
mod retry;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt::{self, Debug, Display};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::join::{Answering, Question};
pub use self::join::{LookupJoin, LookupLimits};
use arrow::array::{ArrayRef, RecordBatch, UInt32Array};

use crate::batch::Notes;
use crate::connect::{Finder, Found, LOOKUP_OPTIONS, Lookup, Lookups, Options, Registry, Source, TableDefinition};
use crate::error::{Error, Result};
use crate::window::Length;

/// A table that is asked for the rows of keys.
#[derive(Clone, Debug)]
pub struct LookupTable {
    /// As the user named it.
    pub name: String,
    definition: TableDefinition,
    /// Columns of the definition: those asked by, and those wanted.
    key: Vec<usize>,
    projection: Vec<usize>,
    access: Access,
    retries: u32,
}

#[derive(Clone, Debug)]
enum Access {
    Asked(Arc<dyn Lookup>, Option<partial::Limits>),
    Loaded(Arc<dyn Source>, Option<Reload>),
}

/// When all rows are read again.
#[derive(Clone, Copy, Debug)]
struct Reload {
    interval: Duration,
    /// Counted from when the last load began, and not from when it ended.
    at_fixed_rate: bool,
}

impl LookupTable {
    /// Whether a lookup join can ask the table at all. Performs no I/O.
    pub fn is_offered(definition: &TableDefinition, source: &dyn Source, registry: &Registry) -> Result<bool> {
        Ok(match registry.connector(definition)?.lookups(definition, registry)? {
            Some(Lookups::ByKey(_)) => true,
            // What its rows are is known when all of their changes are.
            Some(Lookups::Whole) => source.bounded() && !source.retracts() && !definition.is_upsert(),
            None => false,
        })
    }

    /// The table of a connector that [offers](Self::is_offered) lookups. `key` and `projection` are columns of the definition, the first among
    /// the second. Performs no I/O.
    ///
    /// # Errors
    /// Its options do not fit what its connector offers.
    pub fn new(
        definition: &TableDefinition,
        key: &[usize],
        projection: &[usize],
        registry: &Registry,
    ) -> Result<LookupTable> {
        let connector = registry.connector(definition)?;
        let lookups = connector.lookups(definition, registry)?.ok_or_else(|| cannot_be_asked(&definition.name))?;
        let source = || connector.source(definition, projection, registry);
        let options = &definition.options;
        let cache = options.get("lookup.cache").map(str::to_uppercase);
        let access = match (lookups, cache.as_deref()) {
            (Lookups::Whole, None | Some("FULL")) => Access::Loaded(source()?, Reload::of(options)),
            (Lookups::Whole, Some(cache)) => {
                return Err(Error::new(format!(
                    "option 'lookup.cache' of table {} has the value '{cache}'",
                    definition.name
                ))
                .why(format!("connector '{}' cannot be asked by key: its tables are read as a whole", connector.name()))
                .fix("write 'lookup.cache' = 'FULL', and 'lookup.full-cache.periodic-reload.interval' for how often"));
            }
            (Lookups::ByKey(_), Some("FULL")) => {
                let source = source()?;
                if !source.bounded() || source.retracts() || definition.is_upsert() {
                    return Err(Error::new(format!("cannot keep all rows of table {}", definition.name))
                        .why("it is a stream, which has no end that a load could come to")
                        .fix("write 'lookup.cache' = 'PARTIAL'"));
                }
                Access::Loaded(source, Reload::of(options))
            }
            (Lookups::ByKey(lookup), cache) => {
                Access::Asked(lookup, (cache == Some("PARTIAL")).then(|| partial::Limits::of(options)))
            }
        };
        let retries = options.integer(LOOKUP_OPTIONS, "lookup.max-retries").unwrap_or_default();
        Ok(LookupTable {
            name: definition.name.clone(),
            definition: definition.clone(),
            key: key.to_vec(),
            projection: projection.to_vec(),
            access,
            retries: u32::try_from(retries.max(0)).unwrap_or(u32::MAX),
        })
    }

    /// A table of rows that stand in the query.
    pub fn inline(name: &str, source: Arc<dyn Source>, definition: TableDefinition, key: &[usize]) -> LookupTable {
        let projection = (0..definition.schema.fields().len()).collect();
        let access = Access::Loaded(source, None);
        LookupTable { name: name.to_string(), definition, key: key.to_vec(), projection, access, retries: 0 }
    }

    /// Names of the columns it is asked by.
    pub fn key(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|&column| self.definition.schema.field(column).name().as_str())
    }

    /// These values of the columns it is asked by, as its finder takes them.
    pub(crate) fn keys(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::new(self.definition.schema.project(&self.key)?), columns)?)
    }

    /// The answer where nothing is asked.
    pub(crate) fn nothing(&self) -> Result<Found> {
        let schema = Arc::new(self.definition.schema.project(&self.projection)?);
        Ok(Found { rows: RecordBatch::new_empty(schema), keys: UInt32Array::from(Vec::<u32>::new()) })
    }

    /// Connects, or reads all rows.
    ///
    /// # Errors
    /// It cannot be reached, or read.
    pub async fn open(&self, notes: Notes) -> Result<Box<dyn Finder>> {
        let retry = retry::Retry { table: self.name.clone(), retries: self.retries, notes };
        let columns = |of: &[usize]| self.definition.schema.project(of).map(Arc::new);
        Ok(match &self.access {
            Access::Loaded(source, reload) => {
                let place = |key: &usize| {
                    let place = self.projection.iter().position(|column| column == key);
                    place.expect("the columns asked by are among those that are read")
                };
                let load = full::Load {
                    source: Arc::clone(source),
                    schema: columns(&self.projection)?,
                    key: self.key.iter().map(place).collect(),
                    retry,
                };
                Box::new(full::Full::open(load, *reload).await?)
            }
            Access::Asked(lookup, cache) => {
                let finder = retry.ask("be reached", || lookup.open(&self.key, &self.projection)).await?;
                let finder = retry::Retrying { finder, retry };
                match cache {
                    None => Box::new(finder),
                    Some(limits) => {
                        let (keys, rows) = (columns(&self.key)?, columns(&self.projection)?);
                        Box::new(partial::Partial::new(finder, *limits, &keys, &rows)?)
                    }
                }
            }
        })
    }
}

impl Display for LookupTable {
    /// `cache=full, reload=10 s`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.access {
            Access::Asked(_, None) => f.write_str("cache=none"),
            Access::Asked(_, Some(limits)) => write!(f, "cache=partial{limits}"),
            Access::Loaded(_, None) => f.write_str("cache=full"),
            Access::Loaded(_, Some(reload)) => write!(f, "cache=full, reload={}", length(reload.interval)),
        }
    }
}

impl Reload {
    fn of(options: &Options) -> Option<Reload> {
        let interval = options.duration(LOOKUP_OPTIONS, "lookup.full-cache.periodic-reload.interval")?;
        let mode = options.text(LOOKUP_OPTIONS, "lookup.full-cache.periodic-reload.schedule-mode");
        // All the time is not what 0 can mean.
        let interval = interval.max(Duration::from_millis(1));
        Some(Reload { interval, at_fixed_rate: mode.is_some_and(|mode| mode.eq_ignore_ascii_case("FIXED_RATE")) })
    }
}

pub(crate) fn length(duration: Duration) -> Length {
    Length(duration.as_millis() as i64)
}

fn cannot_be_asked(table: &str) -> Error {
    Error::new(format!("cannot look up rows of table {table}")).why("its connector does not offer that")
}
