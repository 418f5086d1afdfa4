//! A view as a query reads it: once, as of one epoch.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;

use crate::connect::{Offset, Reader, Source, SplitBatch, SplitId};
use crate::error::Result;
use crate::message::Batch;

/// A bounded source of rows that were found in a view. They are dealt out over splits, so that several can read at once.
#[derive(Debug)]
pub struct Snapshot {
    parts: Vec<Vec<RecordBatch>>,
}

impl Snapshot {
    /// At most `parts` splits.
    pub fn new(rows: Vec<RecordBatch>, parts: usize) -> Snapshot {
        let count = parts.min(rows.len()).max(1);
        let mut parts = vec![Vec::new(); count];
        rows.into_iter().enumerate().for_each(|(n, rows)| parts[n % count].push(rows));
        Snapshot { parts }
    }
}

#[async_trait]
impl Source for Snapshot {
    fn bounded(&self) -> bool {
        true
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok((0..self.parts.len()).map(|part| SplitId::new(part.to_string())).collect())
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let rows = splits.into_iter().flat_map(|(split, _)| {
            let part = split.0.parse::<usize>().ok().and_then(|part| self.parts.get(part)).cloned().unwrap_or_default();
            part.into_iter().map(move |rows| (split.clone(), rows))
        });
        Ok(Box::new(SnapshotReader(rows.collect::<Vec<_>>().into_iter())))
    }
}

struct SnapshotReader(std::vec::IntoIter<(SplitId, RecordBatch)>);

#[async_trait]
impl Reader for SnapshotReader {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        Ok(self.0.next().map(|(split, rows)| SplitBatch {
            split,
            rows: Batch::append(rows),
            // Read once, by a batch query: nobody resumes.
            resume_at: Offset(Bytes::new()),
            skipped: None,
            ended: false,
        }))
    }
}
