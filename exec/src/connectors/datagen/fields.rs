//! The options `fields.<column>.<what>`.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::OPTIONS;
use crate::connect::TableDefinition;
use crate::connect::options::parse_duration;
use crate::error::{Error, Result};

/// Hands out the options of each column, and knows in the end which of them nobody asked for.
pub(super) struct FieldOptions<'a> {
    table: &'a TableDefinition,
    unused: BTreeSet<&'a str>,
    /// Columns and what is inside them: `a`, `a.element`.
    known: BTreeSet<String>,
}

impl<'a> FieldOptions<'a> {
    pub fn new(table: &'a TableDefinition) -> FieldOptions<'a> {
        let unused = table.options.iter().map(|(name, _)| name).filter(|name| name.starts_with("fields.")).collect();
        FieldOptions { table, unused, known: BTreeSet::new() }
    }

    /// `fields.<path>.<what>` as the user wrote it.
    pub fn text(&mut self, path: &str, what: &str) -> Option<&'a str> {
        if !self.known.contains(path) {
            self.known.insert(path.to_string());
        }
        let name = format!("fields.{path}.{what}");
        self.unused.remove(name.as_str());
        self.table.options.get(&name)
    }

    /// The same as a number or the like; `default` if it is not there.
    pub fn value<T: FromStr>(&mut self, path: &str, what: &str, default: T) -> Result<T> {
        let Some(text) = self.text(path, what) else { return Ok(default) };
        text.trim().to_lowercase().parse().map_err(|_| self.wrong(path, what, "it is no value of this kind"))
    }

    /// A time, in milliseconds.
    pub fn duration_ms(&mut self, path: &str, what: &str) -> Result<i64> {
        let Some(text) = self.text(path, what) else { return Ok(0) };
        let duration = parse_duration(text).map_err(|why| self.wrong(path, what, &why))?;
        Ok(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }

    /// The error for an option whose value cannot be used.
    pub fn wrong(&self, path: &str, what: &str, why: &str) -> Error {
        let name = format!("fields.{path}.{what}");
        let value = self.table.options.get(&name).unwrap_or_default();
        let help = OPTIONS.iter().find(|spec| spec.name.rsplit('.').next() == Some(what)).map(|spec| spec.help);
        Error::new(format!("option '{name}' of table {} has the value '{value}'", self.table.name))
            .why(why)
            .fix(help.unwrap_or_default())
    }

    pub fn table(&self) -> &str {
        &self.table.name
    }

    /// # Errors
    /// An option of a column that does not exist, or that means nothing for its type.
    pub fn check_all_used(&self) -> Result<()> {
        let Some(unused) = self.unused.first() else { return Ok(()) };
        let path = unused.strip_prefix("fields.").and_then(|rest| rest.rsplit_once('.')).map_or("", |(path, _)| path);
        let error = Error::new(format!("option '{unused}' of table {} has no effect", self.table.name));
        Err(match self.known.contains(path) {
            true => error.why(format!("it means nothing for the type and kind of {path}")),
            false => {
                error.why(format!("there is no column {path}")).nearest(path, self.known.iter().map(String::as_str))
            }
        })
    }
}
