//! The end of a view's job: its rows are kept by the operator before it.

use async_trait::async_trait;
use tidemill_state::Epoch;

use crate::changelog::ChangeBatch;
use crate::connect::{Guarantee, Sink, Writer};
use crate::error::Result;
use crate::operator::ShardContext;

/// A sink that has nothing to do. The changes that come are counted as rows written.
#[derive(Debug)]
pub struct Kept;

#[async_trait]
impl Sink for Kept {
    fn accepts_updates(&self) -> bool {
        true
    }

    fn guarantee(&self) -> Option<Guarantee> {
        None
    }

    async fn open(&self, _: &ShardContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Kept))
    }
}

#[async_trait]
impl Writer for Kept {
    async fn write(&mut self, _: ChangeBatch) -> Result<()> {
        Ok(())
    }

    async fn flush(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
