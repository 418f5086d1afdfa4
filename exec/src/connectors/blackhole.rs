//! `'connector' = 'blackhole'`: takes everything and forgets it, to measure or to try out a query.

use std::sync::Arc;

use async_trait::async_trait;
use tidemill_state::Epoch;

use crate::changelog::ChangeBatch;
use crate::connect::{Connector, OptionSpec, Registry, Sink, TableDefinition, Writer};
use crate::error::Result;
use crate::operator::ShardContext;

pub struct Blackhole;

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn sink(&self, _table: &TableDefinition, _formats: &Registry) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(BlackholeSink))
    }
}

#[derive(Debug)]
struct BlackholeSink;

#[async_trait]
impl Sink for BlackholeSink {
    fn accepts_updates(&self) -> bool {
        true
    }

    async fn open(&self, _context: &ShardContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(BlackholeWriter))
    }
}

struct BlackholeWriter;

#[async_trait]
impl Writer for BlackholeWriter {
    async fn write(&mut self, _changes: ChangeBatch) -> Result<()> {
        Ok(())
    }

    async fn flush(&mut self, _epoch: Epoch) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
