//! The tables of the benchmark, over what their events come from.

use std::path::Path;

use super::From;
use crate::Failure;
use crate::engine::Runs;

const NESTED: &str = include_str!("../../../sql-tests/nexmark/ddl.sql");
const FLAT: &str = include_str!("flat.sql");

/// Where events are, as far as a script is concerned.
pub struct Files {
    /// Makes the views `person`, `auction` and `bid`, in streaming mode.
    pub ddl: String,
}

impl Files {
    /// JSON lines that are there.
    pub fn json(path: &Path) -> Files {
        Files::over(&nested(&options(path, "'json'")))
    }

    /// So many events; those that are read from files are written to `directory` first.
    pub fn make(from: From, events: u64, directory: &Path, runs: &Runs) -> Result<Files, Failure> {
        let number = "${EVENTS_NUM:-100000}";
        if !NESTED.contains(number) {
            return Err(format!("the tables have no {number}").into());
        }
        let generated = NESTED.replace(number, &events.to_string());
        let path = directory.join(format!("events-{events}"));
        let (format, columns, tables) = match from {
            From::Generator => return Ok(Files::over(&generated)),
            From::Json => ("'json'", "event_type, person, auction, bid".to_string(), nested as fn(&str) -> String),
            From::Parquet => ("'parquet'", "event_type, person, auction, bid".to_string(), nested as _),
            From::Csv => ("'csv', 'csv.null-literal' = ''", flat_columns(), flat as _),
        };
        let ddl = tables(&options(&path, format));
        if !path.exists() {
            // In one shard, so that events stand in their order.
            let (name, declared) = match from {
                From::Csv => ("flat", &ddl),
                _ => ("files", &ddl.replace("CREATE TABLE datagen", "CREATE TABLE files")),
            };
            let (declared, _) = declared.split_once("CREATE VIEW").ok_or("the tables have no views")?;
            let write = format!(
                "SET 'execution.runtime-mode' = 'streaming'; SET 'parallelism.default' = '1'; SET 'table.dml-sync' = 'true';
                 {generated}{declared} INSERT INTO {name} SELECT {columns} FROM datagen;"
            );
            runs.once(&write)?;
        }
        Ok(Files::over(&ddl))
    }

    fn over(tables: &str) -> Files {
        Files { ddl: format!("SET 'execution.runtime-mode' = 'streaming';\n{tables}") }
    }
}

fn options(path: &Path, format: &str) -> String {
    format!("'connector' = 'filesystem', 'path' = '{}', 'format' = {format}", path.display())
}

fn nested(options: &str) -> String {
    let (before, rest) = NESTED.split_once(") WITH (").expect("the table has options");
    let (_, after) = rest.split_once("\n);").expect("the options end");
    format!("{before}) WITH ({options}\n);{after}")
}

fn flat(options: &str) -> String {
    FLAT.replace("OPTIONS", options)
}

/// The fields of all three rows, as [`FLAT`] has them.
fn flat_columns() -> String {
    let (_, columns) = FLAT.split_once("event_type INT,").expect("the table has columns");
    let (columns, _) = columns.split_once("`dateTime` AS").expect("the computed column follows");
    let names = columns.split(',').filter_map(|column| column.split_whitespace().next());
    let fields = names.filter_map(|name| name.split_once('_')).map(|(row, field)| format!("{row}.`{field}`"));
    std::iter::once("event_type".to_string()).chain(fields).collect::<Vec<_>>().join(", ")
}
