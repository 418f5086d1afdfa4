//! `INSERT INTO`: a query's rows as the sink's columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::Column;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::ExecutionPlan;
use tidemill_exec::batch::OperatorExec;
use tidemill_exec::connect::{ChangelogMode, Registry, Sink, TableDefinition};
use tidemill_exec::operators::{NotNull, Upserts};
use tidemill_exec::write_ahead::WriteAhead;
use tidemill_exec::{Changes, Error, Result};

use crate::analyze::Analyzer;
use crate::catalog::{Catalog, Entry, Table};
use crate::dialect::{Insert, OnConflict};
use crate::plan_error::explained;
use crate::settings::Settings;
use crate::stream::{Distribution, PlanOp, StreamPlan, one_of_key, only_of_key};
use crate::types;

/// A sink, opened from the catalog, and the query that fills it.
pub struct Target {
    pub table: Arc<Table>,
    pub definition: TableDefinition,
    pub sink: Arc<dyn Sink>,
    /// One column per column of `definition`, of its type; not optimized.
    pub plan: LogicalPlan,
    pub on_conflict: Option<OnConflict>,
}

/// Resolves an INSERT.
///
/// # Errors
/// An unknown table, a view, a table that only reads, columns that do not match in number or type.
pub fn target(
    insert: &Insert,
    catalog: &Catalog,
    settings: &Settings,
    registry: &Registry,
    analyzer: &Analyzer<'_>,
    state: &SessionState,
) -> Result<Target> {
    let entry = catalog.get(&insert.table.parts).map_err(|error| error.at(insert.table.place))?;
    let Entry::Table(table) = entry else {
        return Err(
            Error::new(format!("cannot INSERT INTO the {} {}", entry.kind(), insert.table)).at(insert.table.place)
        );
    };
    if insert.overwrite {
        return Err(Error::new(format!("cannot INSERT OVERWRITE {} yet", insert.table))
            .fix("write INSERT INTO")
            .at(insert.table.place));
    }
    let mut table = Arc::clone(table);
    for (key, value) in &insert.table_options {
        Arc::make_mut(&mut table).options.set(key, value);
    }
    let definition = table.sink_definition(settings.time_zone());
    let sink = registry.connector(&definition)?.sink(&definition, registry)?;
    let sink = WriteAhead::if_wanted(&definition, sink);
    let query = analyzer.query(&insert.query.query)?;
    let plan = fitted(insert, query, &definition, analyzer, state)?;
    Ok(Target { table, definition, sink, plan, on_conflict: insert.on_conflict })
}

/// The query's columns put in the sink's places and given its types.
fn fitted(
    insert: &Insert,
    query: LogicalPlan,
    definition: &TableDefinition,
    analyzer: &Analyzer<'_>,
    state: &SessionState,
) -> Result<LogicalPlan> {
    let names: Vec<&str> = definition.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let fixed: Vec<&str> = insert.partition.iter().map(|(name, _)| name.as_str()).collect();
    for name in insert.columns.iter().map(String::as_str).chain(fixed.iter().copied()) {
        if !names.contains(&name) {
            return Err(Error::new(format!("table {} has no column {name}", definition.name))
                .nearest(name, names.iter().copied())
                .at(insert.table.place));
        }
    }
    let wanted: Vec<&str> = match insert.columns.is_empty() {
        true => names.iter().copied().filter(|name| !fixed.contains(name)).collect(),
        false => insert.columns.iter().map(String::as_str).collect(),
    };
    // Types are final only after coercion.
    let query = analyzer.coerce(query)?;
    let given = query.schema().fields().len();
    if given != wanted.len() {
        let described: Vec<String> = query
            .schema()
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), types::flink_type(field)))
            .collect();
        let expected: Vec<String> = wanted
            .iter()
            .filter_map(|name| definition.schema.field_with_name(name).ok())
            .map(|field| format!("{} {}", field.name(), types::flink_type(field)))
            .collect();
        return Err(Error::new(format!("the query does not fit table {}", definition.name))
            .why(format!(
                "it gives {given} columns ({}), and the table takes {} ({})",
                described.join(", "),
                wanted.len(),
                expected.join(", ")
            ))
            .fix("list the columns to fill: INSERT INTO t (a, b) SELECT ..., or change the query")
            .at(insert.query.place));
    }
    let columns = definition
        .schema
        .fields()
        .iter()
        .map(|field| {
            let name = field.name();
            let expr = match wanted.iter().position(|wanted| wanted == name) {
                Some(at) => {
                    let (qualifier, from) = query.schema().qualified_field(at);
                    implicit_cast(Expr::Column(Column::from((qualifier, from))), from, field, &definition.name, state)
                        .map_err(|error| error.at(insert.query.place))?
                }
                None => match insert.partition.iter().find(|(fixed, _)| fixed == name) {
                    Some((_, value)) => cast_to(analyzer.constant(value)?, field, state)?,
                    None => cast_to(lit(datafusion::common::ScalarValue::Null), field, state)?,
                },
            };
            Ok(expr.alias(name))
        })
        .collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(query).project(columns).and_then(LogicalPlanBuilder::build).map_err(explained)
}

/// As Flink: what cannot lose anything is cast by itself, anything else is asked for.
fn implicit_cast(expr: Expr, from: &FieldRef, to: &FieldRef, table: &str, state: &SessionState) -> Result<Expr> {
    if from.data_type() == to.data_type() && types::length(to).is_none() {
        return Ok(expr);
    }
    if !fits(from.data_type(), to.data_type()) {
        return Err(Error::new(format!(
            "column {} of the query does not fit column {} of table {table}",
            from.name(),
            to.name()
        ))
        .why(format!("it is of type {}, and the table's of type {}", types::flink_type(from), types::flink_type(to)))
        .fix(format!(
            "write CAST({} AS {})",
            from.name(),
            types::flink_type(&to.as_ref().clone().with_nullable(true))
        )));
    }
    cast_to(expr, to, state)
}

fn cast_to(expr: Expr, to: &Field, state: &SessionState) -> Result<Expr> {
    let text = types::flink_type(&to.clone().with_nullable(true));
    let cast =
        state.scalar_functions().get("__cast").cloned().ok_or_else(|| Error::new("the function __cast is missing"))?;
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(cast, vec![expr, lit(text)])))
}

/// Whether values of `from` go into `to` without being asked.
fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let width = |data_type: &DataType| match data_type {
        Int8 => Some(1),
        Int16 => Some(2),
        Int32 => Some(3),
        Int64 => Some(4),
        Decimal128(_, _) | Decimal256(_, _) => Some(5),
        Float32 => Some(6),
        Float64 => Some(7),
        _ => None,
    };
    match (from, to) {
        (Null, _) => true,
        (from, to) if from == to => true,
        (Utf8 | LargeUtf8 | Utf8View, Utf8) | (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (Timestamp(_, _), Timestamp(_, _)) | (Date32, Timestamp(_, _)) | (Time32(_) | Time64(_), Time32(_)) => true,
        (List(from), List(to)) => fits(from.data_type(), to.data_type()),
        (Map(from, _), Map(to, _)) => fits(from.data_type(), to.data_type()),
        (Struct(from), Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(from, to)| fits(from.data_type(), to.data_type()))
        }
        (from, to) => matches!((width(from), width(to)), (Some(from), Some(to)) if from <= to),
    }
}

/// Puts the sink on top of a streaming plan.
///
/// # Errors
/// The query updates its rows and the sink cannot take them back, or its rows may not be unique by the sink's primary key, and nothing says
/// what happens then.
pub fn sink(target: &Target, input: StreamPlan, settings: &Settings) -> Result<StreamPlan> {
    let TableDefinition { name, key, .. } = &target.definition;
    target.definition.check_changelog_mode(target.sink.accepts_updates())?;
    let mode = target.definition.changelog_mode();
    let takes_updates = target.sink.accepts_updates() && mode != Some(ChangelogMode::Append);
    if !input.props.changes.is_append() && !takes_updates {
        return Err(only_appends(target, "the query changes rows it has given before"));
    }
    if target.on_conflict == Some(OnConflict::Deduplicate) && !takes_updates {
        return Err(only_appends(
            target,
            "of rows with one key the last is to be there, so those before it are taken back",
        ));
    }
    let input = by_primary_key(target, input, settings)?;
    let checked = match not_null(target, Arc::clone(&input.props.schema), settings) {
        None => input,
        Some(check) => {
            let (changes, distribution) = (input.props.changes.clone(), input.props.distribution.clone());
            StreamPlan::operator(check, input, changes, distribution)
        }
    };
    let is_told = mode == Some(ChangelogMode::Upsert) && !checked.props.changes.is_append();
    let checked = if is_told { upserts(checked, key) } else { checked };
    Ok(with_sink(name, Arc::clone(&target.sink), checked))
}

/// What is wrong with a query for a table that only appends; `why`: what the query would have it do.
fn only_appends(target: &Target, why: &str) -> Error {
    let wrong = Error::new(format!("table {} cannot take this query's rows", target.definition.name));
    match target.definition.changelog_mode() {
        Some(ChangelogMode::Append) if target.sink.accepts_updates() => wrong
            .why(format!("{why}, and the table has 'changelog.mode' = 'append'"))
            .fix("leave that out, or write 'retract', or 'upsert' with a primary key"),
        Some(ChangelogMode::Upsert) => wrong
            .why(format!("{why}, and a record of its format cannot say that a row goes"))
            .fix("write to a table whose format can, such as debezium-json or canal-json; or make the query append-only"),
        _ => wrong
            .why(format!("{why}, and the table only appends"))
            .fix("write to a table that takes updates, such as connector 'print' or a format like debezium-json; or make the query append-only"),
    }
}

/// Of each key what is there at the end of an epoch. All changes of a key are in one shard then.
fn upserts(input: StreamPlan, key: &[usize]) -> StreamPlan {
    let distribution = match &input.props.distribution {
        Distribution::Single => Distribution::Single,
        Distribution::Hash(by) if by.iter().all(|column| key.contains(column)) => Distribution::Hash(by.clone()),
        _ => Distribution::Hash(key.to_vec()),
    };
    let upserts = Upserts { key: key.to_vec(), schema: Arc::clone(&input.props.schema) };
    let changes = Changes::Retract { key: Some(key.to_vec()) };
    StreamPlan::operator(upserts, input, changes, distribution.clone()).requires(distribution)
}

/// A batch plan whose rows fit the sink's NOT NULL columns.
///
/// # Errors
/// The statement says `ON CONFLICT`.
pub fn batch(target: &Target, input: Arc<dyn ExecutionPlan>, settings: &Settings) -> Result<Arc<dyn ExecutionPlan>> {
    if target.on_conflict.is_some() {
        return Err(Error::new("ON CONFLICT is for streams")
            .why("in batch mode, rows are written as they are")
            .fix("leave it out, or SET 'execution.runtime-mode' = 'streaming'"));
    }
    Ok(match not_null(target, input.schema(), settings) {
        None => input,
        Some(check) => Arc::new(OperatorExec::new(Arc::new(check), input)),
    })
}

/// What guards the NOT NULL columns of a sink; `None` if it has none.
fn not_null(target: &Target, schema: SchemaRef, settings: &Settings) -> Option<NotNull> {
    let fields = target.definition.schema.fields().iter().enumerate();
    let columns: Vec<usize> = fields.filter(|(_, field)| !field.is_nullable()).map(|(n, _)| n).collect();
    let table = target.definition.name.clone();
    (!columns.is_empty()).then(|| NotNull { columns, drop: settings.drops_nulls(), table, schema })
}

/// Rows that are unique by the sink's primary key, if it has one: a query whose own key is no part of it says `ON CONFLICT`, as in Flink.
fn by_primary_key(target: &Target, input: StreamPlan, settings: &Settings) -> Result<StreamPlan> {
    let TableDefinition { key, name, .. } = &target.definition;
    if key.is_empty() {
        return match target.on_conflict {
            None => Ok(input),
            Some(_) => Err(Error::new(format!("ON CONFLICT needs a primary key, and table {name} has none"))
                .fix("declare PRIMARY KEY (...) NOT ENFORCED in CREATE TABLE, or leave ON CONFLICT out")),
        };
    }
    let is_unique = input.props.changes.key().is_some_and(|own| own.iter().all(|column| key.contains(column)));
    let action = match target.on_conflict {
        _ if is_unique && !settings.always_materializes_upserts() => None,
        None if settings.always_materializes_upserts() => Some(OnConflict::Deduplicate),
        // A row that comes later replaces the one before it.
        None if input.props.changes.is_append() => None,
        None => return Err(conflicts(&target.definition, input.props.changes.key())),
        action => action,
    };
    match action {
        None => Ok(input),
        Some(OnConflict::Deduplicate) => one_of_key(input, key, true, settings),
        Some(OnConflict::Nothing) => one_of_key(input, key, false, settings),
        Some(OnConflict::Error) => only_of_key(input, key, name, settings),
    }
}

fn conflicts(table: &TableDefinition, key: Option<&[usize]>) -> Error {
    let names = |columns: &[usize]| {
        columns.iter().map(|&n| table.schema.field(n).name().as_str()).collect::<Vec<_>>().join(", ")
    };
    let declared = names(&table.key);
    let wrong = Error::new(format!("the primary key of table {} is not the key of the query", table.name));
    let why = match key {
        Some(key) => format!(
            "the query's rows are unique by ({}), the table's by ({declared}): one would overwrite another",
            names(key)
        ),
        None => format!(
            "the query's columns do not show its key, and the table's is ({declared}): one row would overwrite another"
        ),
    };
    wrong.why(why).fix(format!(
        "group by ({declared}), or append ON CONFLICT DO DEDUPLICATE to keep the last row, DO NOTHING for the first, DO ERROR if there is never a second"
    ))
}

/// A plan that ends in `sink`.
pub fn with_sink(table: &str, sink: Arc<dyn Sink>, input: StreamPlan) -> StreamPlan {
    let props = input.props.clone();
    let op = PlanOp::Sink { table: table.to_string(), sink };
    StreamPlan { op, inputs: vec![input], required: vec![Distribution::Any], props }
}
