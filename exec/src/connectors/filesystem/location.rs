//! What a `path` means: a place in some store, and which of the files there count.

use std::sync::Arc;

use regex::Regex;

use super::OPTIONS;
use super::listing::Listing;
use super::local::LocalStore;
use super::object::ObjectFiles;
use super::store::Store;
use crate::connect::TableDefinition;
use crate::error::{Error, Result};

#[derive(Clone, Debug)]
pub(super) struct Location {
    table: String,
    store: Arc<dyn Store>,
    pattern: Option<Regex>,
    is_local: bool,
}

impl Location {
    /// Performs no I/O.
    ///
    /// # Errors
    /// A regular expression that is none; a store that is unknown, not in this build, or lacks settings.
    pub fn of(table: &TableDefinition) -> Result<Location> {
        let text = table.options.text(OPTIONS, "path").unwrap_or_default();
        let pattern = match table.options.get("source.path.regex-pattern") {
            None => None,
            Some(pattern) => Some(Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
                Error::new(format!("option 'source.path.regex-pattern' of table {} is '{pattern}'", table.name))
                    .why(error.to_string())
            })?),
        };
        // New files are waited for, so that there are none yet is no mistake.
        let watched = table.options.get("source.monitor-interval").is_some();
        let is_local = !text.contains("://") || text.starts_with("file:");
        let store: Arc<dyn Store> = match is_local {
            true => Arc::new(LocalStore::new(Listing::of(text, table, watched)?)),
            false => Arc::new(ObjectFiles::of(text, table, watched)?),
        };
        Ok(Location { table: table.name.clone(), store, pattern, is_local })
    }

    /// The store that a sink writes into.
    pub fn directory(&self) -> Result<Arc<dyn Store>> {
        match is_glob(self.store.name()) {
            true => Err(Error::new(format!("cannot write to table {}", self.table))
                .why(format!("its path {} is a pattern for many places", self.store.name()))
                .fix("write to a table whose path is a directory")),
            false => Ok(Arc::clone(&self.store)),
        }
    }

    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Files of this machine can grow, objects cannot.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Every file there is now, in the order of their names. Blocks.
    ///
    /// # Errors
    /// The path does not exist, a directory cannot be read.
    pub fn list(&self) -> Result<Vec<String>> {
        let mut names = self.store.list()?;
        if let Some(pattern) = &self.pattern {
            names.retain(|name| pattern.is_match(name));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

pub(super) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}
