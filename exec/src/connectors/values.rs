//! `'connector' = 'values'`: a few rows written into the table itself, for examples and tests.
//!
//! ```sql
//! CREATE TABLE fruit (name STRING, price INT) WITH ('connector' = 'values', 'data' = '{"name": "apple", "price": 3}
//! {"name": "pear", "price": 4}');
//! ```
//!
//! It only reads: a sink of this name would have to keep rows nobody can ask for, and `blackhole` says that plainly.

use std::sync::Arc;

use async_trait::async_trait;

use super::pump::Pump;
use super::records::{Records, format_of, position};
use crate::connect::{
    Connector, Format, Lookups, Offset, OptionKind, OptionSpec, Reader, Registry, Source, SplitId, TableDefinition,
};
use crate::error::Result;

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::required("data", OptionKind::Text, "the rows, one record per line"),
    OptionSpec::with_default("format", OptionKind::Text, "json", "what the records are written in"),
];

pub struct Values;

impl Connector for Values {
    fn name(&self) -> &'static str {
        "values"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], formats: &Registry) -> Result<Arc<dyn Source>> {
        let format = format_of(table, OPTIONS, formats)?;
        format.decoder(table, projection)?;
        Ok(Arc::new(ValuesSource { table: table.clone(), projection: projection.to_vec(), format }))
    }

    fn lookups(&self, _: &TableDefinition, _: &Registry) -> Result<Option<Lookups>> {
        Ok(Some(Lookups::Whole))
    }
}

struct ValuesSource {
    table: TableDefinition,
    projection: Vec<usize>,
    format: Arc<dyn Format>,
}

impl std::fmt::Debug for ValuesSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "values(format={})", self.format.name())
    }
}

#[async_trait]
impl Source for ValuesSource {
    fn bounded(&self) -> bool {
        true
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok(vec![SplitId::new("data")])
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let mut parts = Vec::new();
        for (split, offset) in splits {
            let start = offset.as_ref().map_or(0, position);
            let records = Records::new(&self.table, OPTIONS, self.format.as_ref(), &self.projection, split, start)?;
            parts.push((records, start));
        }
        let data = self.table.options.get("data").unwrap_or_default().to_string();
        Ok(Box::new(Pump::spawn(|feed| async move {
            for (mut records, start) in parts {
                records.push(data.as_bytes().get(start as usize..).unwrap_or_default());
                records.end();
                records.send_all(&feed).await?;
            }
            Ok(())
        })))
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::super::testing::{read_all, read_batches, registry, table};
    use super::*;

    #[tokio::test]
    async fn the_rows_of_the_option_are_read_and_reading_resumes_at_every_batch() {
        let table = table(
            &[("a", DataType::Utf8), ("b", DataType::Int64)],
            &[("connector", "values"), ("format", "lines"), ("data", "x,1\ny,2\nz,3\nu,4\nv,5\nw,6\nt,7")],
        );
        let registry = registry();
        registry.connector(&table).unwrap();
        let source = Values.source(&table, &[1], &registry).unwrap();
        let split = source.splits().await.unwrap().remove(0);
        let mut reader = source.open(vec![(split.clone(), None)]).await.unwrap();
        let batches = read_batches(reader.as_mut()).await.unwrap();
        assert_eq!(batches.iter().map(|batch| batch.rows.len()).collect::<Vec<_>>(), [3, 3, 1]);
        let mut reader = source.open(vec![(split, Some(batches[0].resume_at.clone()))]).await.unwrap();
        assert_eq!(read_all(reader.as_mut()).await.unwrap(), ["4", "5", "6", "7"]);
    }
}
