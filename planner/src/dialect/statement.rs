//! The statements of Flink SQL, as data.

use datafusion::sql::sqlparser::ast::{Expr, Query};
use tidemill_exec::Place;

use super::type_text::TypeText;

/// Anything a script may contain.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `SELECT`, `WITH`, `VALUES`: desugared, ready for planning.
    Query(Box<Query>),
    CreateTable(Box<CreateTable>),
    CreateView(Box<CreateView>),
    CreateDatabase(CreateDatabase),
    CreateCatalog(CreateCatalog),
    Drop(Drop),
    AlterTable(AlterTable),
    AlterView(AlterView),
    Insert(Box<Insert>),
    /// `EXECUTE STATEMENT SET BEGIN ..; END` or `BEGIN STATEMENT SET; ..; END`: inserts that run as one job. Not empty.
    StatementSet(Vec<Insert>),
    Explain(Explain),
    Show(Show),
    Describe(Describe),
    /// `SET 'key' = 'value'`, or `SET` alone to show the settings.
    Set(Option<(String, String)>),
    /// `RESET 'key'`, or `RESET` alone for all settings.
    Reset(Option<String>),
    Use(Use),
    StopJob(StopJob),
    Help,
    Quit,
    Clear,
}

/// The name of a table, view or database: one to three parts, as written, without backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Not empty. The last one is the object's own name, those before it its database and catalog.
    pub parts: Vec<String>,
    pub place: Place,
}

impl Name {
    /// The object's own name.
    pub fn last(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.parts.join("."))
    }
}

/// An entry of `WITH (..)` or `SET (..)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOption {
    pub key: String,
    pub value: String,
    /// Of the key.
    pub place: Place,
}

/// `CREATE [OR REPLACE] [TEMPORARY] TABLE [IF NOT EXISTS] name (..) .. WITH (..) [LIKE ..] [AS query]`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    pub name: Name,
    pub or_replace: bool,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub columns: Vec<Column>,
    pub watermark: Option<Watermark>,
    pub primary_key: Option<PrimaryKey>,
    pub comment: Option<String>,
    pub partitioned_by: Vec<String>,
    /// `DISTRIBUTED BY`: accepted, and of no effect here.
    pub distributed_by: Vec<String>,
    /// In the order written; a key that is given twice is an error.
    pub options: Vec<TableOption>,
    pub like: Option<Like>,
    /// `AS query`.
    pub query: Option<QueryText>,
}

/// A query with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryText {
    /// Desugared.
    pub query: Box<Query>,
    /// As written, hints included, so that it can be parsed again.
    pub text: String,
    pub place: Place,
}

/// A column of CREATE TABLE or ALTER TABLE.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
    pub comment: Option<String>,
    /// Of the name.
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    /// `name TYPE [NOT NULL]`
    Physical { data_type: TypeText, nullable: bool },
    /// `name AS expression`
    Computed(Box<Scalar>),
    /// `name TYPE [NOT NULL] METADATA [FROM 'key'] [VIRTUAL]`; without FROM the key is the name.
    Metadata { data_type: TypeText, nullable: bool, key: Option<String>, is_virtual: bool },
    /// A name alone, as `CREATE TABLE t (a, b) AS query` may list the query's columns in another order.
    OfQuery,
}

/// An expression of a table definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// Desugared.
    pub expr: Expr,
    /// As written.
    pub text: String,
    /// As Flink prints it in DESCRIBE and SHOW CREATE: `` `ts` - INTERVAL '1' SECOND ``.
    pub shown: String,
    pub place: Place,
}

/// `WATERMARK FOR column AS expression`
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    /// Names a column, or with more parts a field of a row.
    pub column: Name,
    pub expression: Scalar,
}

/// `[CONSTRAINT name] PRIMARY KEY (a, b) NOT ENFORCED`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryKey {
    pub name: Option<String>,
    pub columns: Vec<String>,
    pub place: Place,
}

/// `LIKE table (INCLUDING ALL EXCLUDING OPTIONS)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Like {
    pub table: Name,
    pub rules: Vec<(Merging, Feature)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merging {
    Including,
    Excluding,
    Overwriting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    All,
    Constraints,
    Distribution,
    Generated,
    Metadata,
    Options,
    Partitions,
    Watermarks,
}

/// `CREATE [OR REPLACE] [TEMPORARY] [MATERIALIZED] VIEW [IF NOT EXISTS] name [(columns)] [COMMENT ..] AS query`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    pub name: Name,
    pub or_replace: bool,
    pub temporary: bool,
    pub materialized: bool,
    pub if_not_exists: bool,
    /// Empty if the query's own names are kept.
    pub columns: Vec<String>,
    pub comment: Option<String>,
    /// `WITH (..)` of a materialized view.
    pub options: Vec<TableOption>,
    pub query: QueryText,
}

/// `CREATE DATABASE [IF NOT EXISTS] name [COMMENT ..] [WITH (..)]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateDatabase {
    pub name: Name,
    pub if_not_exists: bool,
    pub comment: Option<String>,
    pub options: Vec<TableOption>,
}

/// `CREATE CATALOG [IF NOT EXISTS] name [COMMENT ..] [WITH (..)]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateCatalog {
    pub name: Name,
    pub if_not_exists: bool,
    pub comment: Option<String>,
    pub options: Vec<TableOption>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Table,
    View,
    MaterializedView,
    Database,
    Catalog,
}

/// `DROP [TEMPORARY] TABLE [IF EXISTS] name [RESTRICT|CASCADE]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    pub kind: ObjectKind,
    pub name: Name,
    pub temporary: bool,
    pub if_exists: bool,
    /// Only databases: with all that is in them.
    pub cascade: bool,
}

/// `ALTER TABLE [IF EXISTS] name change`
#[derive(Clone, Debug, PartialEq)]
pub struct AlterTable {
    pub name: Name,
    pub if_exists: bool,
    pub change: TableChange,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TableChange {
    RenameTo(Name),
    RenameColumn { from: String, to: String },
    SetOptions(Vec<TableOption>),
    ResetOptions(Vec<String>),
    Add(Vec<SchemaItem>),
    Modify(Vec<SchemaItem>),
    DropColumns(Vec<String>),
    DropPrimaryKey,
    DropConstraint(String),
    DropWatermark,
}

/// What `ALTER TABLE .. ADD | MODIFY` adds or changes.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaItem {
    Column(Column, Option<Position>),
    Watermark(Box<Watermark>),
    PrimaryKey(PrimaryKey),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    First,
    After(String),
}

/// `ALTER VIEW name ..`
#[derive(Clone, Debug, PartialEq)]
pub struct AlterView {
    pub name: Name,
    pub change: ViewChange,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ViewChange {
    RenameTo(Name),
    As(QueryText),
}

/// `INSERT INTO|OVERWRITE table [PARTITION (..)] [(columns)] query`
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    pub table: Name,
    /// From an OPTIONS hint behind the table's name.
    pub table_options: Vec<(String, String)>,
    pub overwrite: bool,
    /// Columns with a value that is the same in all rows.
    pub partition: Vec<(String, Expr)>,
    /// Empty for all columns in their order.
    pub columns: Vec<String>,
    pub query: QueryText,
    /// `ON CONFLICT DO ..`
    pub on_conflict: Option<OnConflict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    Error,
    Nothing,
    Deduplicate,
}

/// `EXPLAIN [PLAN FOR | details] statement`
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    pub details: Vec<ExplainDetail>,
    /// A query, an insert, a statement set, or a table or view made from a query.
    pub statement: Box<Statement>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainDetail {
    ChangelogMode,
    EstimatedCost,
    JsonExecutionPlan,
    PlanAdvice,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    Catalogs(Option<Filter>),
    Databases { catalog: Option<Name>, filter: Option<Filter> },
    Tables { database: Option<Name>, filter: Option<Filter> },
    Views { database: Option<Name>, filter: Option<Filter> },
    MaterializedViews { database: Option<Name>, filter: Option<Filter> },
    Columns { table: Name, filter: Option<Filter> },
    Functions { user_defined: bool, filter: Option<Filter> },
    CreateTable(Name),
    CreateView(Name),
    CreateMaterializedView(Name),
    CreateCatalog(Name),
    Partitions(Name),
    CurrentCatalog,
    CurrentDatabase,
    Modules,
    Procedures,
    Jars,
    Jobs,
    Checkpoints(String),
}

/// `[NOT] LIKE|ILIKE 'pattern'`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub pattern: String,
    pub negated: bool,
    /// ILIKE
    pub ignore_case: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Describe {
    Table { name: Name, extended: bool },
    Database { name: Name, extended: bool },
    Catalog { name: Name, extended: bool },
    Function { name: Name, extended: bool },
    Job(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    Catalog(Name),
    Database(Name),
}

/// `STOP JOB 'id' [WITH SAVEPOINT] [WITH DRAIN]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopJob {
    pub id: String,
    pub savepoint: bool,
    pub drain: bool,
}
