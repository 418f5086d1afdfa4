//! Rows that stand in the query itself: `VALUES (1, 'a'), (2, 'b')`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;

use crate::connect::{
    Connector, Lookups, Offset, OptionSpec, Reader, Registry, Source, SplitBatch, SplitId, TableDefinition,
};
use crate::error::Result;
use crate::message::Batch;

/// A bounded source of given rows, in one split.
#[derive(Debug)]
pub struct Inline {
    rows: RecordBatch,
}

impl Inline {
    pub fn new(rows: RecordBatch) -> Inline {
        Inline { rows }
    }
}

#[async_trait]
impl Source for Inline {
    fn bounded(&self) -> bool {
        true
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok(vec![SplitId::new("rows")])
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        // Once the rows have been given, the offset says so.
        let pending =
            splits.into_iter().find(|(_, offset)| offset.is_none()).map(|(split, _)| (split, self.rows.clone()));
        Ok(Box::new(InlineReader { pending }))
    }
}

/// A connector whose tables have these rows.
pub struct Rows(pub RecordBatch);

impl Connector for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn source(&self, _: &TableDefinition, projection: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Inline::new(self.0.project(projection)?)))
    }

    fn lookups(&self, _: &TableDefinition, _: &Registry) -> Result<Option<Lookups>> {
        Ok(Some(Lookups::Whole))
    }
}

struct InlineReader {
    pending: Option<(SplitId, RecordBatch)>,
}

#[async_trait]
impl Reader for InlineReader {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        Ok(self.pending.take().map(|(split, rows)| SplitBatch {
            split,
            rows: Batch::append(rows),
            resume_at: Offset(Bytes::from_static(b"given")),
            skipped: None,
            ended: false,
        }))
    }
}
