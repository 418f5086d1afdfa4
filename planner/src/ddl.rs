//! `CREATE TABLE`, `CREATE VIEW` and `ALTER TABLE` to catalog entries.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::DFSchema;
use tidemill_exec::connect::Options;
use tidemill_exec::{Error, Result};

use crate::analyze::Analyzer;
use crate::catalog::{Catalog, Column, ColumnKind, Entry, Expression, Table, View, Watermark};
use crate::dialect::{self as sql, Feature, Merging, SchemaItem, TableChange, TypeText};
use crate::types;

/// The table that `create` describes, checked: types, computed columns, watermark, key, and the connector's options.
pub fn table(create: &sql::CreateTable, catalog: &Catalog, analyzer: &Analyzer<'_>, time_zone: &str) -> Result<Table> {
    let mut table = Table {
        name: create.name.last().to_string(),
        columns: Vec::new(),
        watermark: None,
        key: Vec::new(),
        partitioned_by: create.partitioned_by.clone(),
        options: Options::default(),
        comment: create.comment.clone(),
    };
    if let Some(like) = &create.like {
        inherit(&mut table, like, catalog)?;
    }
    for option in &create.options {
        table.options.set(&option.key, &option.value);
    }
    if let Some(query) = &create.query {
        let plan = analyzer.query(&query.query)?;
        let plan = analyzer.optimize_for_batch(&plan)?;
        table.columns.extend(query_columns(plan.schema()));
    }
    for item in &create.columns {
        add_column(&mut table, item, time_zone)?;
    }
    if let Some(watermark) = &create.watermark {
        table.watermark = Some(watermark_of(watermark)?);
    }
    if let Some(key) = &create.primary_key {
        table.key = key.columns.clone();
    }
    check(table, analyzer)
}

/// Resolves what depends on other columns, and checks that names exist.
fn check(mut table: Table, analyzer: &Analyzer<'_>) -> Result<Table> {
    for (n, column) in table.columns.iter().enumerate() {
        let name = column.field.name();
        if table.columns[..n].iter().any(|earlier| earlier.field.name() == name) {
            return Err(Error::new(format!("column {name} of table {} is defined twice", table.name)));
        }
    }
    let names: Vec<String> = table.columns.iter().map(|column| column.field.name().clone()).collect();
    let unknown = |column: &str, what: &str| {
        Error::new(format!("{what} of table {} names the unknown column {column}", table.name))
            .nearest(column, names.iter().map(String::as_str))
    };
    for name in &table.key {
        if !names.contains(name) {
            return Err(unknown(name, "PRIMARY KEY"));
        }
        let is_it = |column: &&Column| column.field.name() == name && matches!(column.kind, ColumnKind::Computed(_));
        if table.columns.iter().any(|column| is_it(&column)) {
            return Err(Error::new(format!("PRIMARY KEY of table {} names the computed column {name}", table.name))
                .why("a key tells rows apart where they come from, and this column is not there")
                .fix("name columns that are stored"));
        }
    }
    for name in &table.partitioned_by {
        if !names.contains(name) {
            return Err(unknown(name, "PARTITIONED BY"));
        }
    }
    if let Some(watermark) = &table.watermark
        && !names.contains(&watermark.column)
    {
        return Err(unknown(&watermark.column, "WATERMARK"));
    }
    // Key columns are never null, whatever their declaration says.
    for column in table.columns.iter_mut().filter(|column| table.key.contains(column.field.name())) {
        column.field = Arc::new(column.field.as_ref().clone().with_nullable(false));
    }
    let computed = analyzer.computed_fields(&table)?;
    for column in &mut table.columns {
        if let (ColumnKind::Computed(_), Some(field)) =
            (&column.kind, computed.iter().find(|field| field.name() == column.field.name()))
        {
            column.field = Arc::clone(field);
        }
    }
    if let Some(watermark) = &table.watermark {
        let column = table.columns.iter().find(|column| column.field.name() == &watermark.column);
        if let Some(column) = column {
            check_time_attribute(&table.name, &column.field)?;
        }
    }
    Ok(table)
}

fn check_time_attribute(table: &str, field: &FieldRef) -> Result<()> {
    if matches!(field.data_type(), DataType::Timestamp(_, _)) && types::precision(field) <= 3 {
        return Ok(());
    }
    Err(Error::new(format!("column {} of table {table} cannot carry a watermark", field.name()))
        .why(format!("it is of type {}", types::flink_type(field)))
        .fix(
            "declare it as TIMESTAMP(3) or TIMESTAMP_LTZ(3), or add a computed column such as ts AS TO_TIMESTAMP(text)",
        ))
}

fn query_columns(schema: &DFSchema) -> impl Iterator<Item = Column> + '_ {
    schema.fields().iter().map(|field| Column { field: Arc::clone(field), kind: ColumnKind::Physical, comment: None })
}

fn add_column(table: &mut Table, item: &sql::Column, time_zone: &str) -> Result<()> {
    let named = |text: &TypeText, nullable: bool| -> Result<FieldRef> {
        let parsed = types::parse_type(&text.text, time_zone).map_err(|error| error.at(text.place))?;
        let nullable = nullable && parsed.nullable;
        Ok(Arc::new(parsed.nullable(nullable).field(&item.name)))
    };
    let (field, kind) = match &item.kind {
        sql::ColumnKind::Physical { data_type, nullable } => (named(data_type, *nullable)?, ColumnKind::Physical),
        sql::ColumnKind::Metadata { data_type, nullable, key, is_virtual } => {
            let key = key.clone().unwrap_or_else(|| item.name.clone());
            (named(data_type, *nullable)?, ColumnKind::Metadata { key, is_virtual: *is_virtual })
        }
        sql::ColumnKind::Computed(scalar) => {
            // The type is known once all columns are.
            let field = arrow::datatypes::Field::new(&item.name, DataType::Null, true);
            (Arc::new(field), ColumnKind::Computed(Box::new(expression(scalar))))
        }
        sql::ColumnKind::OfQuery => return reorder(table, item),
    };
    table.columns.push(Column { field, kind, comment: item.comment.clone() });
    Ok(())
}

/// `CREATE TABLE t (b, a) AS SELECT a, b`: the listed columns come first, in the order listed.
fn reorder(table: &mut Table, item: &sql::Column) -> Result<()> {
    let Some(at) = table.columns.iter().position(|column| column.field.name() == &item.name) else {
        let names: Vec<&str> = table.columns.iter().map(|column| column.field.name().as_str()).collect();
        return Err(Error::new(format!("the query has no column {}", item.name))
            .nearest(&item.name, names)
            .at(item.place));
    };
    let column = table.columns.remove(at);
    table.columns.push(column);
    Ok(())
}

fn expression(scalar: &sql::Scalar) -> Expression {
    Expression { text: scalar.shown.clone(), sql: scalar.expr.clone() }
}

fn watermark_of(watermark: &sql::Watermark) -> Result<Watermark> {
    if watermark.column.parts.len() > 1 {
        return Err(Error::new(format!("WATERMARK FOR {} names a field of a row", watermark.column))
            .fix("add a computed column for the field and put the watermark on it")
            .at(watermark.column.place));
    }
    Ok(Watermark { column: watermark.column.last().to_string(), expression: expression(&watermark.expression) })
}

/// `LIKE other (...)`: by default everything is included, and what both have is an error except options, which overwrite.
fn inherit(table: &mut Table, like: &sql::Like, catalog: &Catalog) -> Result<()> {
    let Entry::Table(source) = catalog.get(&like.table.parts).map_err(|error| error.at(like.table.place))? else {
        return Err(Error::new(format!("{} is not a table", like.table))
            .fix("LIKE takes a table of CREATE TABLE")
            .at(like.table.place));
    };
    let merging = |feature: Feature| {
        let of = |wanted| like.rules.iter().rev().find(|(_, feature)| *feature == wanted).map(|(merging, _)| *merging);
        of(feature).or_else(|| of(Feature::All)).unwrap_or(Merging::Including)
    };
    let includes = |feature| merging(feature) != Merging::Excluding;
    let kept = source.columns.iter().filter(|column| match column.kind {
        ColumnKind::Physical => true,
        ColumnKind::Metadata { .. } => includes(Feature::Metadata),
        ColumnKind::Computed(_) => includes(Feature::Generated),
    });
    table.columns.extend(kept.cloned());
    if includes(Feature::Options) {
        table.options = source.options.clone();
    }
    if includes(Feature::Constraints) {
        table.key = source.key.clone();
    }
    if includes(Feature::Partitions) && table.partitioned_by.is_empty() {
        table.partitioned_by = source.partitioned_by.clone();
    }
    if includes(Feature::Watermarks) {
        table.watermark = source.watermark.clone();
    }
    Ok(())
}

/// The view that `create` describes; its query is planned now, so that mistakes show at once.
pub fn view(create: &sql::CreateView, analyzer: &Analyzer<'_>) -> Result<View> {
    if let Some(option) = create.options.first() {
        return Err(Error::new(format!("view {} takes no option {}", create.name, option.key))
            .fix("SET what its job is to go by before it is created")
            .at(create.name.place));
    }
    view_of(create.name.last(), &create.columns, &create.query, create.comment.clone(), analyzer)
}

/// A view of this name over this query.
pub fn view_of(
    name: &str,
    columns: &[String],
    query: &sql::QueryText,
    comment: Option<String>,
    analyzer: &Analyzer<'_>,
) -> Result<View> {
    let plan = analyzer.query(&query.query)?;
    let plan = analyzer.optimize_for_batch(&plan)?;
    let fields: Vec<FieldRef> = plan.schema().fields().iter().cloned().collect();
    if !columns.is_empty() && columns.len() != fields.len() {
        return Err(Error::new(format!(
            "view {name} lists {} columns and its query has {}",
            columns.len(),
            fields.len()
        ))
        .at(query.place));
    }
    let named = fields.iter().enumerate().map(|(n, field)| match columns.get(n) {
        Some(name) => Arc::new(field.as_ref().clone().with_name(name)),
        None => Arc::clone(field),
    });
    Ok(View {
        name: name.to_string(),
        columns: columns.to_vec(),
        query: query.query.as_ref().clone(),
        text: query.text.clone(),
        comment,
        schema: Arc::new(arrow::datatypes::Schema::new(named.collect::<Vec<_>>())),
    })
}

/// A table with a change applied, checked as a whole.
pub fn altered(table: &Table, change: &TableChange, analyzer: &Analyzer<'_>, time_zone: &str) -> Result<Table> {
    let mut table = table.clone();
    match change {
        TableChange::RenameTo(_) => unreachable!("a table is renamed in the catalog"),
        TableChange::SetOptions(options) => {
            options.iter().for_each(|option| table.options.set(&option.key, &option.value))
        }
        TableChange::ResetOptions(keys) => {
            if keys.iter().any(|key| key == "connector") {
                return Err(Error::new(format!("cannot reset the connector of table {}", table.name))
                    .why("a table needs one")
                    .fix("SET another"));
            }
            keys.iter().for_each(|key| drop(table.options.remove(key)));
        }
        TableChange::RenameColumn { from, to } => {
            let at = position(&table, from)?;
            table.columns[at].field = Arc::new(table.columns[at].field.as_ref().clone().with_name(to));
            for name in table.key.iter_mut().chain(&mut table.partitioned_by).filter(|name| *name == from) {
                name.clone_from(to);
            }
        }
        TableChange::DropColumns(names) => {
            for name in names {
                let at = position(&table, name)?;
                if table.key.contains(name)
                    || table.watermark.as_ref().is_some_and(|watermark| watermark.column == *name)
                {
                    return Err(Error::new(format!("cannot drop column {name} of table {}", table.name))
                        .why("its primary key or watermark uses it"));
                }
                table.columns.remove(at);
            }
        }
        TableChange::DropPrimaryKey | TableChange::DropConstraint(_) => table.key.clear(),
        TableChange::DropWatermark => table.watermark = None,
        TableChange::Add(items) | TableChange::Modify(items) => {
            let modify = matches!(change, TableChange::Modify(_));
            for item in items {
                apply(&mut table, item, modify, time_zone)?;
            }
        }
    }
    check(table, analyzer)
}

fn apply(table: &mut Table, item: &SchemaItem, modify: bool, time_zone: &str) -> Result<()> {
    match item {
        SchemaItem::Watermark(watermark) => table.watermark = Some(watermark_of(watermark)?),
        SchemaItem::PrimaryKey(key) => table.key = key.columns.clone(),
        SchemaItem::Column(column, place) => {
            let former = if modify { Some(position(table, &column.name)?) } else { None };
            if let Some(at) = former {
                table.columns.remove(at);
            }
            add_column(table, column, time_zone)?;
            let at = match place {
                Some(sql::Position::First) => Some(0),
                Some(sql::Position::After(name)) => Some(position(table, name)? + 1),
                None => former,
            };
            if let Some(at) = at
                && let Some(column) = table.columns.pop()
            {
                table.columns.insert(at, column);
            }
        }
    }
    Ok(())
}

fn position(table: &Table, name: &str) -> Result<usize> {
    table.columns.iter().position(|column| column.field.name() == name).ok_or_else(|| {
        Error::new(format!("table {} has no column {name}", table.name))
            .nearest(name, table.columns.iter().map(|column| column.field.name().as_str()))
    })
}
