//! A connector of one's own, in Rust: a source `tide` and a sink `gauge`, used from SQL.
//!
//! ```text
//! cargo run -p tidemill --example connector
//! ```
//!
//! A source is a [`Source`] that opens [`Reader`]s, a sink a [`Sink`] that opens [`Writer`]s; a [`Connector`] makes both
//! out of `CREATE TABLE`, and the registry knows it by its name.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, SchemaRef};
use async_trait::async_trait;
use tidemill::Session;
use tidemill_exec::connect::{
    Connector, Offset, OptionKind, OptionSpec, Reader, Registry, Sink, Source, SplitBatch, SplitId, TableDefinition,
    Writer,
};
use tidemill_exec::{Batch, ChangeBatch, Error, Result, ShardContext};

const SCRIPT: &str = "
    SET 'table.dml-sync' = 'true';
    CREATE TABLE water (clock INT, level DOUBLE) WITH ('connector' = 'tide', 'hours' = '30');
    CREATE TABLE gauge (clock INT, level DOUBLE) WITH ('connector' = 'gauge');
    -- The mill can work while the water in its pond stands a metre above the sea.
    INSERT INTO gauge SELECT clock, ROUND(2 - level, 1) FROM water WHERE level <= 1;
";

#[tokio::main]
async fn main() -> Result<()> {
    run(SCRIPT).await
}

async fn run(script: &str) -> Result<()> {
    let mut registry = Registry::default();
    registry.add_connector(Arc::new(Tide));
    registry.add_connector(Arc::new(Gauge));
    let mut session = Session::with_registry([], registry)?;
    session.run(script, async |_| Ok(())).await
}

/// `'connector' = 'tide'`: the level of the sea, hour by hour.
struct Tide;

const TIDE_OPTIONS: &[OptionSpec] =
    &[OptionSpec::with_default("hours", OptionKind::Integer, "24", "how many hours there are")];

impl Connector for Tide {
    fn name(&self) -> &'static str {
        "tide"
    }

    fn options(&self) -> &'static [OptionSpec] {
        TIDE_OPTIONS
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        columns_are_clock_and_level(table)?;
        let hours = table.options.integer(TIDE_OPTIONS, "hours").unwrap_or(24);
        Ok(Arc::new(TideSource { hours: hours as i32, schema: Arc::new(table.schema.project(projection)?) }))
    }
}

#[derive(Clone, Debug)]
struct TideSource {
    hours: i32,
    /// What the query reads: it may need only one of the columns.
    schema: SchemaRef,
}

#[async_trait]
impl Source for TideSource {
    fn bounded(&self) -> bool {
        true
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok(vec![SplitId::new("sea")])
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        // With more shards than splits, some have nothing to read.
        let next = if splits.is_empty() { self.hours } else { 0 };
        Ok(Box::new(TideReader { source: self.clone(), next }))
    }
}

struct TideReader {
    source: TideSource,
    /// The first hour not read yet.
    next: i32,
}

#[async_trait]
impl Reader for TideReader {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        if self.next >= self.source.hours {
            return Ok(None);
        }
        // A day's worth at a time; a reader that waits for something would hand out what is there.
        let hours = self.next..self.source.hours.min(self.next + 24);
        self.next = hours.end;
        let columns = self.source.schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "clock" => Arc::new(Int32Array::from_iter_values(hours.clone())),
                _ => Arc::new(Float64Array::from_iter_values(hours.clone().map(level))),
            }
        });
        let rows = RecordBatch::try_new(Arc::clone(&self.source.schema), columns.collect())?;
        let resume_at = Offset(self.next.to_le_bytes().to_vec().into());
        Ok(Some(SplitBatch {
            split: SplitId::new("sea"),
            rows: Batch::append(rows),
            resume_at,
            skipped: None,
            ended: false,
        }))
    }
}

/// Metres; high water comes every 12.4 hours.
fn level(hour: i32) -> f64 {
    2.0 * (std::f64::consts::TAU * f64::from(hour) / 12.4).cos()
}

/// `'connector' = 'gauge'`: draws a bar for each row.
struct Gauge;

impl Connector for Gauge {
    fn name(&self) -> &'static str {
        "gauge"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn sink(&self, table: &TableDefinition, _: &Registry) -> Result<Arc<dyn Sink>> {
        columns_are_clock_and_level(table)?;
        Ok(Arc::new(GaugeSink))
    }
}

#[derive(Debug)]
struct GaugeSink;

#[async_trait]
impl Sink for GaugeSink {
    /// A bar that is drawn cannot be taken back: the planner refuses queries that would.
    fn accepts_updates(&self) -> bool {
        false
    }

    fn max_parallelism(&self) -> Option<u16> {
        Some(1)
    }

    async fn open(&self, _: &ShardContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(GaugeWriter))
    }
}

struct GaugeWriter;

#[async_trait]
impl Writer for GaugeWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        let hours = changes.rows.column(0).as_primitive::<Int32Type>();
        let levels = changes.rows.column(1).as_primitive::<Float64Type>();
        for (hour, level) in hours.iter().flatten().zip(levels.iter().flatten()) {
            println!("{hour:2} h {level:4.1} m {}", "=".repeat((level * 8.0) as usize));
        }
        Ok(())
    }

    async fn flush(&mut self, _: tidemill_state::Epoch) -> Result<()> {
        Ok(()) // Nothing is kept back.
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

fn columns_are_clock_and_level(table: &TableDefinition) -> Result<()> {
    let columns: Vec<(&str, &DataType)> =
        table.schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())).collect();
    if columns == [("clock", &DataType::Int32), ("level", &DataType::Float64)] {
        return Ok(());
    }
    Err(Error::new(format!("table {} has other columns than a tide", table.name))
        .fix("write (clock INT, level DOUBLE)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_script_runs_and_a_query_that_changes_its_mind_is_refused() {
        run(SCRIPT).await.expect("the tide turns the wheel");
        let counting = "CREATE TABLE water (clock INT, level DOUBLE) WITH ('connector' = 'tide');
            CREATE TABLE gauge (clock INT, level DOUBLE) WITH ('connector' = 'gauge');
            INSERT INTO gauge SELECT clock, MAX(level) FROM water GROUP BY clock;";
        let error = run(counting).await.expect_err("a bar cannot be taken back");
        assert!(error.what().contains("gauge"), "{error}");
    }
}
