//! What SHOW and DESCRIBE answer: small tables of text, with Flink's column names.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use tidemill_exec::Result;

use crate::catalog::{CATALOG, Catalog, ColumnKind, Entry, MaterializedView, Table, View};
use crate::types::{flink_type, flink_type_long};

/// Rows of text under these column names.
pub fn texts(columns: &[&str], rows: Vec<Vec<Option<String>>>) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays = (0..columns.len())
        .map(|n| Arc::new(rows.iter().map(|row| row[n].as_deref()).collect::<StringArray>()) as ArrayRef)
        .collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// One column of names.
pub fn names(column: &str, names: impl IntoIterator<Item = String>) -> Result<RecordBatch> {
    texts(&[column], names.into_iter().map(|name| vec![Some(name)]).collect())
}

/// `DESCRIBE t`: name, type, null, key, extras, watermark.
pub fn describe(entry: &Entry) -> Result<RecordBatch> {
    let columns = ["name", "type", "null", "key", "extras", "watermark"];
    let rows = match entry {
        Entry::MaterializedView(kept) => {
            let MaterializedView { definition, view, .. } = kept.as_ref();
            let key = view.key().unwrap_or_default().iter().map(|&column| view.schema().field(column).name().as_str());
            let names: Vec<&str> = key.collect();
            let key = |name: &str| names.contains(&name).then(|| format!("PRI({})", names.join(", ")));
            let fields = definition.schema.fields().iter();
            fields.map(|field| row(field, plain_type(field), key(field.name()), None, None)).collect()
        }
        Entry::View(view) => {
            view.schema.fields().iter().map(|field| row(field, plain_type(field), None, None, None)).collect()
        }
        Entry::Table(table) => table
            .columns
            .iter()
            .map(|column| {
                let name = column.field.name();
                let key = table.key.contains(name).then(|| format!("PRI({})", table.key.join(", ")));
                let watermark = table.watermark.as_ref().filter(|watermark| watermark.column == *name);
                let extras = match &column.kind {
                    ColumnKind::Physical => None,
                    ColumnKind::Computed(expression) => Some(format!("AS {}", expression.text)),
                    ColumnKind::Metadata { key, is_virtual } => {
                        let from = if key == name { String::new() } else { format!(" FROM '{key}'") };
                        Some(format!("METADATA{from}{}", if *is_virtual { " VIRTUAL" } else { "" }))
                    }
                };
                let mut data_type = plain_type(&column.field);
                if watermark.is_some() {
                    data_type.push_str(" *ROWTIME*");
                } else if extras.as_deref() == Some("AS PROCTIME()") {
                    data_type.push_str(" *PROCTIME*");
                }
                row(&column.field, data_type, key, extras, watermark.map(|watermark| watermark.expression.text.clone()))
            })
            .collect(),
    };
    texts(&columns, rows)
}

/// What does not apply stays blank.
fn row(
    field: &FieldRef,
    data_type: String,
    key: Option<String>,
    extras: Option<String>,
    watermark: Option<String>,
) -> Vec<Option<String>> {
    let null = if field.is_nullable() { "TRUE" } else { "FALSE" };
    let blank = |text: Option<String>| Some(text.unwrap_or_default());
    vec![
        Some(field.name().clone()),
        Some(data_type),
        Some(null.to_string()),
        blank(key),
        blank(extras),
        blank(watermark),
    ]
}

/// Without NOT NULL: a column of its own says that.
fn plain_type(field: &FieldRef) -> String {
    flink_type(&field.as_ref().clone().with_nullable(true))
}

/// `SHOW CREATE TABLE t`: a statement that makes the same table.
pub fn create_table(table: &Table, catalog: &Catalog) -> String {
    let mut lines = Vec::new();
    for column in &table.columns {
        let mut line = format!("  `{}`", column.field.name());
        match &column.kind {
            ColumnKind::Physical => {
                let _ = write!(line, " {}", flink_type_long(&column.field));
            }
            ColumnKind::Metadata { key, is_virtual } => {
                let _ = write!(line, " {} METADATA", flink_type_long(&column.field));
                if key != column.field.name() {
                    let _ = write!(line, " FROM '{key}'");
                }
                line.push_str(if *is_virtual { " VIRTUAL" } else { "" });
            }
            ColumnKind::Computed(expression) => {
                let _ = write!(line, " AS {}", expression.text);
            }
        }
        if let Some(comment) = &column.comment {
            let _ = write!(line, " COMMENT '{}'", escaped(comment));
        }
        lines.push(line);
    }
    if let Some(watermark) = &table.watermark {
        lines.push(format!("  WATERMARK FOR `{}` AS {}", watermark.column, watermark.expression.text));
    }
    if !table.key.is_empty() {
        let quoted: Vec<String> = table.key.iter().map(|name| format!("`{name}`")).collect();
        lines.push(format!(
            "  CONSTRAINT `PK_{}` PRIMARY KEY ({}) NOT ENFORCED",
            table.key.join("_"),
            quoted.join(", ")
        ));
    }
    let mut text = format!("CREATE TABLE {} (\n{}\n)\n", path(&table.name, catalog), lines.join(",\n"));
    if let Some(comment) = &table.comment {
        let _ = writeln!(text, "COMMENT '{}'", escaped(comment));
    }
    if !table.partitioned_by.is_empty() {
        let quoted: Vec<String> = table.partitioned_by.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(text, "PARTITIONED BY ({})", quoted.join(", "));
    }
    let options: Vec<String> =
        table.options.iter().map(|(key, value)| format!("  '{key}' = '{}'", escaped(value))).collect();
    if !options.is_empty() {
        let _ = write!(text, "WITH (\n{}\n)", options.join(",\n"));
    }
    text.trim_end().to_string()
}

/// `SHOW CREATE VIEW v`, or with `kind` "MATERIALIZED VIEW"
pub fn create_view(kind: &str, view: &View, catalog: &Catalog) -> String {
    let columns: Vec<String> = view.schema.fields().iter().map(|field| format!("  `{}`", field.name())).collect();
    let comment = view.comment.as_ref().map_or(String::new(), |comment| format!("COMMENT '{}'\n", escaped(comment)));
    format!("CREATE {kind} {} (\n{}\n)\n{comment}AS {}", path(&view.name, catalog), columns.join(",\n"), view.text)
}

fn path(name: &str, catalog: &Catalog) -> String {
    format!("`{CATALOG}`.`{}`.`{name}`", catalog.current_database())
}

fn escaped(text: &str) -> String {
    text.replace('\'', "''")
}

/// Whether `name` matches an SQL LIKE pattern (`%`, `_`, `\` escapes).
pub fn like(name: &str, pattern: &str, ignore_case: bool) -> bool {
    let fold = |text: &str| if ignore_case { text.to_lowercase() } else { text.to_string() };
    matches(&fold(name).chars().collect::<Vec<_>>(), &fold(pattern).chars().collect::<Vec<_>>())
}

fn matches(name: &[char], pattern: &[char]) -> bool {
    match (pattern, name) {
        ([], rest) => rest.is_empty(),
        (['%', pattern @ ..], name) => (0..=name.len()).any(|skipped| matches(&name[skipped..], pattern)),
        (['\\', literal, pattern @ ..], [first, name @ ..]) => first == literal && matches(name, pattern),
        (['_', pattern @ ..], [_, name @ ..]) => matches(name, pattern),
        ([literal, pattern @ ..], [first, name @ ..]) => first == literal && matches(name, pattern),
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_patterns_match_as_in_sql() {
        assert!(like("events", "e%", false) && like("events", "%ent_", false) && like("a%b", "a\\%b", false));
        assert!(!like("events", "E%", false) && like("events", "E%", true) && !like("events", "event", false));
    }
}
