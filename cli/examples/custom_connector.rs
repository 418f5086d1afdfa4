//! A source and a sink of your own, registered beside the built-in ones.
//!
//! ```sh
//! cargo run -p tidemill --example custom_connector
//! ```
//!
//! A [`Connector`] is what `'connector' = '...'` names: it turns the options of a table into a [`Source`], a [`Sink`] or both.
//! A source hands out [`Reader`]s, which give batches of rows as they come; a sink hands out [`Writer`]s, which take them.
//! Planning, parallelism, epochs and errors are the engine's part.

use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use tidemill::Session;
use tidemill_exec::connect::{
    Connector, Offset, OptionKind, OptionSpec, Reader, Registry, Sink, Source, SplitBatch, SplitId, TableDefinition,
    Writer,
};
use tidemill_exec::{Batch, ChangeBatch, Error, Result, ShardContext};
use tidemill_state::Epoch;

/// `'connector' = 'count'`: a table with one BIGINT column that counts from `from` to `to`.
struct Count;

/// The `CREATE TABLE` that names an unknown option, leaves out a required one or gives one of another kind is refused with help.
const COUNT_OPTIONS: &[OptionSpec] = &[
    OptionSpec::with_default("from", OptionKind::Integer, "1", "the first number"),
    OptionSpec::required("to", OptionKind::Integer, "the last number"),
];

impl Connector for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn options(&self) -> &'static [OptionSpec] {
        COUNT_OPTIONS
    }

    /// Looks at options and columns, and does nothing else: a plan that is only explained opens nothing.
    fn source(&self, table: &TableDefinition, projection: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        if table.schema.fields().len() != 1 || table.schema.field(0).data_type() != &DataType::Int64 {
            return Err(Error::new(format!("table {} does not suit the connector 'count'", table.name))
                .why("it gives one number per row")
                .fix("declare one column of type BIGINT"));
        }
        let number = |name| table.options.integer(COUNT_OPTIONS, name).unwrap_or_default();
        let schema = Arc::new(table.schema.project(projection)?);
        Ok(Arc::new(CountSource { from: number("from"), to: number("to"), schema }))
    }
}

#[derive(Debug)]
struct CountSource {
    from: i64,
    to: i64,
    /// Only the columns the query uses; `SELECT COUNT(*)` uses none.
    schema: SchemaRef,
}

#[async_trait]
impl Source for CountSource {
    fn bounded(&self) -> bool {
        true
    }

    /// One split per hundred numbers: shards read them side by side.
    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok((self.from..=self.to).step_by(100).map(|from| SplitId::new(from.to_string())).collect())
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        // An offset says where a restarted job goes on. A split here is one batch, so there is nothing between none and all.
        let todo = splits.into_iter().filter(|(_, offset)| offset.is_none()).map(|(split, _)| split).collect();
        Ok(Box::new(CountReader { todo, to: self.to, schema: Arc::clone(&self.schema) }))
    }
}

struct CountReader {
    todo: Vec<SplitId>,
    to: i64,
    schema: SchemaRef,
}

#[async_trait]
impl Reader for CountReader {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        let Some(split) = self.todo.pop() else { return Ok(None) };
        let from: i64 = split.0.parse().map_err(|_| Error::new(format!("split {split} is not a number")))?;
        let numbers = Int64Array::from_iter_values((from..from + 100).take_while(|number| *number <= self.to));
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(numbers.len()));
        let columns = self.schema.fields().iter().map(|_| Arc::new(numbers.clone()) as _).collect();
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let resume_at = Offset(bytes::Bytes::from_static(b"done"));
        Ok(Some(SplitBatch { split, rows: Batch::append(rows), resume_at, skipped: None }))
    }
}

/// `'connector' = 'letters'`: hands every row, which must be one text, to this program.
#[derive(Clone, Debug, Default)]
struct Letters {
    received: Arc<Mutex<Vec<String>>>,
}

impl Connector for Letters {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn sink(&self, _: &TableDefinition, _: &Registry) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Sink for Letters {
    /// A letter that was sent cannot be taken back: an updating query is refused when it is planned.
    fn accepts_updates(&self) -> bool {
        false
    }

    async fn open(&self, _: &ShardContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(LetterWriter { sink: self.clone(), kept: Vec::new() }))
    }
}

struct LetterWriter {
    sink: Letters,
    kept: Vec<String>,
}

#[async_trait]
impl Writer for LetterWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        let texts = changes.rows.column(0).as_string::<i32>();
        self.kept.extend(texts.iter().map(|text| text.unwrap_or_default().to_string()));
        Ok(())
    }

    /// The rows so far are the answer over a prefix of the input: now they may be seen.
    async fn flush(&mut self, _: Epoch) -> Result<()> {
        self.sink.received.lock().expect("nobody panics with the lock").append(&mut self.kept);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.flush(Epoch(0)).await
    }
}

/// Runs a job between the two, and gives what arrived, in order.
pub async fn run() -> Result<Vec<String>> {
    let letters = Letters::default();
    let mut registry = Registry::default();
    registry.add_connector(Arc::new(Count));
    registry.add_connector(Arc::new(letters.clone()));
    let mut session = Session::with_registry([], registry)?;
    let script = "
        CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'count', 'from' = '3', 'to' = '5');
        CREATE TABLE letters (line STRING) WITH ('connector' = 'letters');
        SET 'table.dml-sync' = 'true';
        INSERT INTO letters SELECT CAST(n AS STRING) || ' squared is ' || CAST(n * n AS STRING) FROM numbers;
    ";
    session.run(script, async |_| Ok(())).await?;
    let mut received = letters.received.lock().expect("nobody panics with the lock").clone();
    received.sort();
    Ok(received)
}

#[tokio::main]
#[allow(dead_code, reason = "the tests include this file and call `run`")]
async fn main() -> Result<()> {
    run().await?.iter().for_each(|letter| println!("{letter}"));
    Ok(())
}
