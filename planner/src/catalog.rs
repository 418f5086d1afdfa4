//! Tables and views by name, as the user created them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast;
use tidemill_exec::connect::{Options, TableDefinition, Unread};
use tidemill_exec::view;
use tidemill_exec::{Error, Result};

/// The only catalog there is, with Flink's name for it.
pub const CATALOG: &str = "default_catalog";
/// The database a session starts in.
pub const DATABASE: &str = "default_database";

/// All databases of a session, and which one is current.
#[derive(Clone, Debug)]
pub struct Catalog {
    databases: BTreeMap<String, BTreeMap<String, Entry>>,
    current: String,
}

/// What a name in FROM can mean.
#[derive(Clone, Debug)]
pub enum Entry {
    Table(Arc<Table>),
    View(Arc<View>),
    MaterializedView(Arc<MaterializedView>),
}

/// A table of `CREATE TABLE`.
#[derive(Clone, Debug)]
pub struct Table {
    /// Without database.
    pub name: String,
    /// In declaration order.
    pub columns: Vec<Column>,
    pub watermark: Option<Watermark>,
    /// Names of the columns of `PRIMARY KEY`.
    pub key: Vec<String>,
    pub partitioned_by: Vec<String>,
    pub options: Options,
    pub comment: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Column {
    /// Name, type and nullability.
    pub field: FieldRef,
    pub kind: ColumnKind,
    pub comment: Option<String>,
}

#[derive(Clone, Debug)]
pub enum ColumnKind {
    Physical,
    /// Read from (and unless virtual written to) the connector, by the connector's key.
    Metadata {
        key: String,
        is_virtual: bool,
    },
    Computed(Box<Expression>),
}

/// SQL kept as it was written, and as it was parsed.
#[derive(Clone, Debug)]
pub struct Expression {
    pub text: String,
    pub sql: ast::Expr,
}

/// `WATERMARK FOR column AS expression`
#[derive(Clone, Debug)]
pub struct Watermark {
    pub column: String,
    pub expression: Expression,
}

/// A query by name.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    /// Names given in `CREATE VIEW v (a, b)`; empty if the query's are used.
    pub columns: Vec<String>,
    pub query: ast::Query,
    pub text: String,
    pub comment: Option<String>,
    /// What the query gave when the view was created, for DESCRIBE.
    pub schema: SchemaRef,
}

/// A query whose rows a job keeps.
#[derive(Clone, Debug)]
pub struct MaterializedView {
    pub definition: View,
    pub view: Arc<view::View>,
    /// The materialized views that its job reads.
    pub reads: Vec<Arc<view::View>>,
    /// The job; `None` if it was not started, as only what would become of it was asked.
    pub job: Option<String>,
}

impl Entry {
    pub fn name(&self) -> &str {
        match self {
            Entry::Table(table) => &table.name,
            Entry::View(view) => &view.name,
            Entry::MaterializedView(view) => &view.definition.name,
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Entry::Table(_) => "table",
            Entry::View(_) => "view",
            Entry::MaterializedView(_) => "materialized view",
        }
    }

    /// All columns, in order.
    pub fn schema(&self) -> SchemaRef {
        match self {
            Entry::Table(table) => {
                Arc::new(Schema::new(table.columns.iter().map(|c| Arc::clone(&c.field)).collect::<Vec<_>>()))
            }
            Entry::View(view) => Arc::clone(&view.schema),
            Entry::MaterializedView(view) => Arc::clone(&view.definition.schema),
        }
    }
}

impl Table {
    /// The table as its connector sees it: `columns` chosen by `keep`.
    fn definition(&self, time_zone: &str, keep: impl Fn(&ColumnKind) -> bool) -> TableDefinition {
        let kept: Vec<&Column> = self.columns.iter().filter(|column| keep(&column.kind)).collect();
        let index = |name: &String| kept.iter().position(|column| column.field.name() == name);
        TableDefinition {
            name: self.name.clone(),
            schema: Arc::new(Schema::new(kept.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>())),
            metadata: kept
                .iter()
                .enumerate()
                .filter_map(|(n, column)| match &column.kind {
                    ColumnKind::Metadata { key, .. } => Some((n, key.clone())),
                    _ => None,
                })
                .collect(),
            key: self.key.iter().filter_map(index).collect(),
            partitioned_by: self.partitioned_by.iter().filter_map(index).collect(),
            options: self.options.clone(),
            time_zone: time_zone.to_string(),
            unread: Unread::default(),
        }
    }

    /// What is read: physical and metadata columns.
    pub fn source_definition(&self, time_zone: &str) -> TableDefinition {
        self.definition(time_zone, |kind| !matches!(kind, ColumnKind::Computed(_)))
    }

    /// What is written: physical columns, and metadata columns that are not virtual.
    pub fn sink_definition(&self, time_zone: &str) -> TableDefinition {
        self.definition(time_zone, |kind| {
            matches!(kind, ColumnKind::Physical | ColumnKind::Metadata { is_virtual: false, .. })
        })
    }
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog { databases: BTreeMap::from([(DATABASE.to_string(), BTreeMap::new())]), current: DATABASE.to_string() }
    }
}

impl Catalog {
    pub fn current_database(&self) -> &str {
        &self.current
    }

    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.databases.keys().map(String::as_str)
    }

    pub fn create_database(&mut self, name: &str, if_not_exists: bool) -> Result<()> {
        if self.databases.contains_key(name) && !if_not_exists {
            return Err(Error::new(format!("database {name} exists already")));
        }
        self.databases.entry(name.to_string()).or_default();
        Ok(())
    }

    pub fn drop_database(&mut self, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        match self.databases.get(name) {
            None if if_exists => return Ok(()),
            None => return Err(self.unknown_database(name)),
            Some(entries) if entries.values().any(|entry| matches!(entry, Entry::MaterializedView(_))) => {
                let kept = entries.values().filter(|entry| matches!(entry, Entry::MaterializedView(_)));
                let names: Vec<&str> = kept.map(Entry::name).collect();
                return Err(Error::new(format!("cannot drop database {name}"))
                    .why(format!("jobs keep its materialized views {}", names.join(", ")))
                    .fix("DROP MATERIALIZED VIEW each of them first"));
            }
            Some(entries) if !entries.is_empty() && !cascade => {
                return Err(Error::new(format!("cannot drop database {name}"))
                    .why(format!("it still holds {}", entries.keys().cloned().collect::<Vec<_>>().join(", ")))
                    .fix("drop them first, or write DROP DATABASE ... CASCADE"));
            }
            Some(_) if name == self.current => {
                return Err(Error::new(format!("cannot drop database {name}"))
                    .why("it is the current database")
                    .fix("USE another one first"));
            }
            Some(_) => {}
        }
        self.databases.remove(name);
        Ok(())
    }

    pub fn use_database(&mut self, name: &str) -> Result<()> {
        if !self.databases.contains_key(name) {
            return Err(self.unknown_database(name));
        }
        self.current = name.to_string();
        Ok(())
    }

    fn unknown_database(&self, name: &str) -> Error {
        Error::new(format!("unknown database {name}")).nearest(name, self.databases())
    }

    /// Entries of all databases.
    pub fn all_entries(&self) -> impl Iterator<Item = &Entry> {
        self.databases.values().flat_map(BTreeMap::values)
    }

    /// Entries of the current database, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.databases[&self.current].values()
    }

    /// `table`, `database.table` or `default_catalog.database.table`, as (database, table).
    fn resolve<'a>(&'a self, path: &'a [String]) -> Result<(&'a str, &'a str)> {
        match path {
            [name] => Ok((&self.current, name)),
            [database, name] => Ok((database, name)),
            [catalog, database, name] if catalog == CATALOG => Ok((database, name)),
            [catalog, ..] => {
                Err(Error::new(format!("unknown catalog {catalog}")).fix(format!("the only catalog is {CATALOG}")))
            }
            [] => unreachable!("the parser gives names at least one part"),
        }
    }

    /// # Errors
    /// Nothing has this name; the nearest name is in the message.
    pub fn get(&self, path: &[String]) -> Result<&Entry> {
        let (database, name) = self.resolve(path)?;
        let entries = self.databases.get(database).ok_or_else(|| self.unknown_database(database))?;
        entries.get(name).ok_or_else(|| {
            Error::new(format!("unknown table {name}")).nearest(name, entries.keys().map(String::as_str))
        })
    }

    /// # Errors
    /// The name is taken, unless `replace` or `if_not_exists` says what then.
    pub fn create(&mut self, path: &[String], entry: Entry, if_not_exists: bool, replace: bool) -> Result<()> {
        let (database, name) = self.resolve(path).map(|(database, name)| (database.to_string(), name.to_string()))?;
        if !self.databases.contains_key(&database) {
            return Err(self.unknown_database(&database));
        }
        let entries = self.databases.entry(database).or_default();
        if let Some(Entry::MaterializedView(_)) = entries.get(&name)
            && replace
        {
            return Err(Error::new(format!("{name} is a materialized view"))
                .why("a job keeps its rows")
                .fix(format!("DROP MATERIALIZED VIEW {name} first")));
        }
        if let Some(existing) = entries.get(&name)
            && !replace
        {
            if if_not_exists {
                return Ok(());
            }
            return Err(Error::new(format!("{} {name} exists already", existing.kind()))
                .fix(format!("drop it first, or write CREATE {} IF NOT EXISTS", entry.kind().to_uppercase())));
        }
        entries.insert(name, entry);
        Ok(())
    }

    pub fn drop(&mut self, path: &[String], kind: &str, if_exists: bool) -> Result<()> {
        match self.get(path) {
            Err(_) if if_exists => return Ok(()),
            Err(error) => return Err(error),
            Ok(entry) if entry.kind() != kind => {
                return Err(Error::new(format!("{} is a {}, not a {kind}", entry.name(), entry.kind()))
                    .fix(format!("write DROP {}", entry.kind().to_uppercase())));
            }
            Ok(_) => {}
        }
        let (database, name) = self.resolve(path).map(|(database, name)| (database.to_string(), name.to_string()))?;
        self.databases.entry(database).or_default().remove(&name);
        Ok(())
    }

    pub fn rename(&mut self, path: &[String], new_name: &str) -> Result<()> {
        let mut entry = self.get(path)?.clone();
        let (database, _) = self.resolve(path)?;
        let new_path = [database.to_string(), new_name.to_string()];
        match &mut entry {
            Entry::Table(table) => Arc::make_mut(table).name = new_name.to_string(),
            Entry::View(view) => Arc::make_mut(view).name = new_name.to_string(),
            Entry::MaterializedView(_) => {
                return Err(Error::new(format!("cannot rename the materialized view {}", entry.name()))
                    .why("its checkpoints go by its name")
                    .fix("drop it, and create it with the other name"));
            }
        }
        let kind = entry.kind();
        self.create(&new_path, entry, false, false)?;
        self.drop(path, kind, false)
    }
}
