//! `'connector' = 'print'`: one line per change, `+I[a, 1]`, in Flink's text.

use std::fmt::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use tidemill_state::Epoch;

use super::terminal::{self, Output, output_error};
use crate::changelog::ChangeBatch;
use crate::connect::{Connector, OptionKind, OptionSpec, Registry, Sink, TableDefinition, Writer};
use crate::error::Result;
use crate::operator::ShardContext;
use crate::text::{ColumnText, TextStyle};

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional("print-identifier", OptionKind::Text, "begins every line, followed by '> '"),
    OptionSpec::with_default(
        "standard-error",
        OptionKind::Boolean,
        "false",
        "prints to standard error instead of standard output",
    ),
    OptionSpec::with_default(
        "sink.parallelism",
        OptionKind::Integer,
        "1",
        "how many shards print at once; with more than one, lines begin with the number of theirs",
    ),
];

/// As much is kept before it is printed within an epoch.
const BYTES_KEPT: usize = 64 << 10;

/// Prints to the process's standard output and error, or where [`Print::to`] says.
pub struct Print {
    output: Output,
    error: Output,
}

impl Default for Print {
    fn default() -> Print {
        Print { output: terminal::stdout(), error: terminal::stderr() }
    }
}

impl Print {
    /// Prints everything there: a shell that shows it its own way, a test that compares it.
    pub fn to(output: Output) -> Print {
        Print { error: Arc::clone(&output), output }
    }
}

impl Connector for Print {
    fn name(&self) -> &'static str {
        "print"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn sink(&self, table: &TableDefinition, _formats: &Registry) -> Result<Arc<dyn Sink>> {
        let to_error = table.options.boolean(OPTIONS, "standard-error");
        let parallelism = table.options.integer(OPTIONS, "sink.parallelism").unwrap_or(1).max(1);
        Ok(Arc::new(PrintSink {
            table: table.name.clone(),
            identifier: table.options.get("print-identifier").unwrap_or_default().to_string(),
            output: Arc::clone(if to_error { &self.error } else { &self.output }),
            parallelism_max: u16::try_from(parallelism).unwrap_or(u16::MAX),
        }))
    }
}

struct PrintSink {
    table: String,
    identifier: String,
    output: Output,
    parallelism_max: u16,
}

impl fmt::Debug for PrintSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "print({})", self.identifier)
    }
}

#[async_trait]
impl Sink for PrintSink {
    fn accepts_updates(&self) -> bool {
        true
    }

    /// One unless asked for more, so that lines come in the order of the rows.
    fn max_parallelism(&self) -> Option<u16> {
        Some(self.parallelism_max)
    }

    async fn open(&self, context: &ShardContext) -> Result<Box<dyn Writer>> {
        let shard = (context.parallelism > 1).then(|| (context.shard + 1).to_string());
        let prefix = match (self.identifier.as_str(), shard) {
            ("", None) => String::new(),
            ("", Some(shard)) => format!("{shard}> "),
            (identifier, None) => format!("{identifier}> "),
            (identifier, Some(shard)) => format!("{identifier}:{shard}> "),
        };
        let output = Arc::clone(&self.output);
        Ok(Box::new(PrintWriter { table: self.table.clone(), prefix, output, text: String::new() }))
    }
}

struct PrintWriter {
    table: String,
    prefix: String,
    output: Output,
    text: String,
}

impl PrintWriter {
    fn print(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let printed = (self.output)(self.text.as_bytes());
        self.text.clear();
        printed.map_err(|error| output_error(&self.table, error))
    }
}

#[async_trait]
impl Writer for PrintWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        push_lines(&changes, &self.prefix, &mut self.text);
        if self.text.len() >= BYTES_KEPT { self.print() } else { Ok(()) }
    }

    async fn flush(&mut self, _epoch: Epoch) -> Result<()> {
        self.print()
    }

    async fn finish(&mut self) -> Result<()> {
        self.print()
    }
}

/// Appends `prefix`, kind and columns of each row as a line.
fn push_lines(changes: &ChangeBatch, prefix: &str, out: &mut String) {
    let columns = changes.rows.columns().iter();
    let columns: Vec<ColumnText> = columns.map(|column| ColumnText::new(column, TextStyle::Print)).collect();
    for row in 0..changes.rows.num_rows() {
        let _ = write!(out, "{prefix}{}[", changes.kind(row).label());
        for (place, column) in columns.iter().enumerate() {
            if place > 0 {
                out.push_str(", ");
            }
            column.push(row, out);
        }
        out.push_str("]\n");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow::datatypes::DataType;

    use super::super::testing::{changes, registry, table};
    use super::*;
    use crate::changelog::RowKind;

    async fn printed(options: &[(&str, &str)], shard: ShardContext) -> String {
        let table = table(&[("k", DataType::Utf8), ("c", DataType::Int64)], options);
        let text = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&text);
        let print = Print::to(Arc::new(move |bytes| {
            copy.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(())
        }));
        let sink = print.sink(&table, &registry()).unwrap();
        let mut writer = sink.open(&shard).await.unwrap();
        let rows = changes(&table, &["a,1", "a,1", "a,2", ",2"]).rows;
        let kinds = vec![RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
        writer.write(ChangeBatch { rows, kinds: Some(kinds) }).await.unwrap();
        assert_eq!(*text.lock().unwrap(), "");
        writer.flush(Epoch(1)).await.unwrap();
        let printed = text.lock().unwrap().clone();
        writer.finish().await.unwrap();
        assert_eq!(*text.lock().unwrap(), printed);
        printed
    }

    #[tokio::test]
    async fn every_change_is_a_line_with_its_kind() {
        assert_eq!(printed(&[], ShardContext::SINGLE).await, "+I[a, 1]\n-U[a, 1]\n+U[a, 2]\n-D[, 2]\n");
    }

    #[tokio::test]
    async fn lines_begin_with_the_identifier_and_the_shard_if_there_are_several() {
        let second = ShardContext { shard: 1, parallelism: 2, ..ShardContext::SINGLE };
        let identifier = [("print-identifier", "out")];
        assert!(printed(&identifier, ShardContext::SINGLE).await.starts_with("out> +I[a, 1]\nout> -U[a, 1]\n"));
        assert!(printed(&identifier, second.clone()).await.starts_with("out:2> +I[a, 1]\n"));
        assert!(printed(&[], second).await.starts_with("2> +I[a, 1]\n"));
    }
}
