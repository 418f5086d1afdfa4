//! `'connector' = 'stdout'`: rows in a format other programs read, `tidemill -c "INSERT INTO out ..." | jq`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tidemill_state::Epoch;

use super::records::{self, format_of};
use super::terminal::{self, Output, output_error};
use crate::changelog::ChangeBatch;
use crate::connect::{Connector, Encoder, Format, OptionSpec, Registry, Sink, TableDefinition, Writer};
use crate::error::Result;
use crate::operator::ShardContext;

const OPTIONS: &[OptionSpec] = &[records::FORMAT];

/// As much is kept before it is written within an epoch.
const BYTES_KEPT: usize = 64 << 10;

/// Writes to the process's standard output, or where [`Stdout::to`] says.
pub struct Stdout {
    output: Output,
}

impl Default for Stdout {
    fn default() -> Stdout {
        Stdout { output: terminal::stdout() }
    }
}

impl Stdout {
    pub fn to(output: Output) -> Stdout {
        Stdout { output }
    }
}

impl Connector for Stdout {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn sink(&self, table: &TableDefinition, formats: &Registry) -> Result<Arc<dyn Sink>> {
        let format = format_of(table, OPTIONS, formats)?;
        format.encoder(table)?;
        Ok(Arc::new(StdoutSink { table: table.clone(), format, output: Arc::clone(&self.output) }))
    }
}

struct StdoutSink {
    table: TableDefinition,
    format: Arc<dyn Format>,
    output: Output,
}

impl fmt::Debug for StdoutSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stdout(format={})", self.format.name())
    }
}

#[async_trait]
impl Sink for StdoutSink {
    fn accepts_updates(&self) -> bool {
        self.format.encodes_updates()
    }

    fn max_parallelism(&self) -> Option<u16> {
        Some(1)
    }

    async fn open(&self, _context: &ShardContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(StdoutWriter {
            table: self.table.name.clone(),
            encoder: self.format.encoder(&self.table)?,
            output: Arc::clone(&self.output),
            bytes: Vec::new(),
        }))
    }
}

struct StdoutWriter {
    table: String,
    encoder: Box<dyn Encoder>,
    output: Output,
    bytes: Vec<u8>,
}

impl StdoutWriter {
    fn write_out(&mut self) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let written = (self.output)(&self.bytes);
        self.bytes.clear();
        written.map_err(|error| output_error(&self.table, error))
    }
}

#[async_trait]
impl Writer for StdoutWriter {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        self.encoder.encode(&changes, &mut self.bytes)?;
        if self.bytes.len() >= BYTES_KEPT { self.write_out() } else { Ok(()) }
    }

    async fn flush(&mut self, _epoch: Epoch) -> Result<()> {
        self.write_out()
    }

    async fn finish(&mut self) -> Result<()> {
        self.write_out()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::testing::{changes, lines_table, registry};
    use super::*;

    #[tokio::test]
    async fn rows_come_out_at_the_end_of_an_epoch() {
        let (table, _) = lines_table(&[]);
        let written = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&written);
        let stdout = Stdout::to(Arc::new(move |bytes| {
            copy.lock().unwrap().extend_from_slice(bytes);
            Ok(())
        }));
        let sink = stdout.sink(&table, &registry()).unwrap();
        assert!(!sink.accepts_updates());
        let mut writer = sink.open(&ShardContext::SINGLE).await.unwrap();
        writer.write(changes(&table, &["a", "b"])).await.unwrap();
        assert!(written.lock().unwrap().is_empty());
        writer.flush(Epoch(1)).await.unwrap();
        assert_eq!(written.lock().unwrap().as_slice(), b"a\nb\n");
    }

    #[tokio::test]
    async fn a_reader_that_went_away_is_told_apart_from_other_failures() {
        let (table, _) = lines_table(&[]);
        let stdout = Stdout::to(Arc::new(|_| Err(std::io::ErrorKind::BrokenPipe.into())));
        let sink = stdout.sink(&table, &registry()).unwrap();
        let mut writer = sink.open(&ShardContext::SINGLE).await.unwrap();
        writer.write(changes(&table, &["a"])).await.unwrap();
        assert!(terminal::is_output_closed(&writer.finish().await.unwrap_err()));
    }
}
