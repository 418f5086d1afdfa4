//! Tables of state as Parquet files.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use hashbrown::HashMap;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use twox_hash::XxHash3_64;

/// What went wrong with a checkpoint or one of its files, and with which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// The store refused, or could not be reached.
    Store { path: String, why: String },
    /// The file is not what was written: cut short, or altered.
    Damaged { path: String, why: String },
    /// The file is not there.
    Missing { path: String },
    /// Written by a newer version of the program.
    TooNew { path: String, format: u32 },
    /// Another process of this machine uses the directory.
    Locked { path: String, holder: String },
    /// Another process has published this checkpoint: it runs the job now.
    TakenOver { path: String },
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckpointError::Store { path, why } => write!(f, "{path}: {why}"),
            CheckpointError::Missing { path } => write!(f, "{path} is missing"),
            CheckpointError::Damaged { path, why } => write!(f, "{path} is damaged: {why}"),
            CheckpointError::TooNew { path, format } => {
                write!(f, "{path} has format {format}, newer than {}", super::FORMAT)
            }
            CheckpointError::Locked { path, holder } => write!(f, "{path} is held by process {holder}"),
            CheckpointError::TakenOver { path } => write!(f, "{path} is there already: another process runs the job"),
        }
    }
}

impl std::error::Error for CheckpointError {}

/// Zstandard's fastest level, over numbers as differences and texts apart from their lengths: half of what it has to look at without that, and
/// half of the time. No dictionaries, as keys are all different, and no statistics, as files are read whole.
pub(super) fn encode(rows: &RecordBatch) -> Result<Bytes, parquet::errors::ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    for column in ArrowSchemaConverter::new().convert(&rows.schema())?.columns() {
        let encoding = match column.physical_type() {
            Type::INT32 | Type::INT64 => Encoding::DELTA_BINARY_PACKED,
            Type::BYTE_ARRAY => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            _ => continue,
        };
        properties = properties.set_column_encoding(column.path().clone(), encoding);
    }
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties.build()))?;
    writer.write(rows)?;
    writer.close()?;
    Ok(Bytes::from(bytes))
}

pub(super) fn decode(bytes: Bytes) -> Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(64 << 10).build()?;
    let schema: SchemaRef = arrow::array::RecordBatchReader::schema(&reader);
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

pub(super) fn checksum(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash3_64::oneshot(bytes))
}

/// A number that stands for a text, the same in every run and version.
pub fn fingerprint(text: &str) -> u64 {
    XxHash3_64::oneshot(text.as_bytes())
}

/// What is left of files that replace each other's rows: of rows equal in the columns `replaces_by`, the one that comes last, unless
/// its last column, `deleted`, is true. That column stays.
pub fn merge(files: &[RecordBatch], replaces_by: &[usize]) -> Result<Option<RecordBatch>, arrow::error::ArrowError> {
    let Some(first) = files.first() else { return Ok(None) };
    let all = concat_batches(&first.schema(), files)?;
    let deleted = all.columns().last().map(|column| column.as_boolean().clone());
    let keys: Vec<_> = replaces_by.iter().map(|&column| Arc::clone(all.column(column))).collect();
    let converter = RowConverter::new(keys.iter().map(|column| SortField::new(column.data_type().clone())).collect())?;
    let keys = converter.convert_columns(&keys)?;
    let mut last: HashMap<&[u8], u32> = HashMap::with_capacity(all.num_rows());
    for row in 0..all.num_rows() {
        last.insert(keys.row(row).data(), row as u32);
    }
    let is_deleted = |row: u32| deleted.as_ref().is_some_and(|deleted: &BooleanArray| deleted.value(row as usize));
    let mut kept: Vec<u32> = last.into_values().filter(|&row| !is_deleted(row)).collect();
    kept.sort_unstable();
    Ok(Some(take_record_batch(&all, &UInt32Array::from(kept))?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int8Array, Int64Array, ListArray,
        StringArray, StructArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    #[test]
    fn whatever_a_table_holds_comes_back() {
        let lists = [Some(vec![Some(1), None, Some(i32::MIN)]), None, Some(vec![]), Some(vec![Some(i32::MAX)])];
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None, Some(0)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None, Some("grüße"), Some("a")]));
        let fields = [("n", &numbers), ("t", &texts)]
            .map(|(name, column)| (Arc::new(Field::new(name, column.data_type().clone(), true)), Arc::clone(column)));
        let columns: Vec<ArrayRef> = vec![
            numbers,
            texts,
            Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(i8::MAX), None, Some(0)])),
            Arc::new(TimestampMillisecondArray::from(vec![Some(i64::MAX), Some(i64::MIN), Some(-1), None])),
            Arc::new(BinaryArray::from(vec![Some(&[0, 255][..]), None, Some(&[]), Some(b"x")])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)])),
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::INFINITY), None, Some(0.1)])),
            Arc::new(Decimal128Array::from(vec![Some(1), Some(-1), None, Some(i128::from(i64::MAX))])),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
            Arc::new(StructArray::from(fields.to_vec())),
        ];
        let fields = columns.iter().enumerate();
        let fields = fields.map(|(n, column)| Field::new(format!("c{n}"), column.data_type().clone(), true));
        let rows = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>())), columns);
        let rows = rows.unwrap();
        for rows in [rows.slice(0, 0), rows] {
            assert_eq!(decode(encode(&rows).unwrap()).unwrap(), rows);
        }
    }
}
