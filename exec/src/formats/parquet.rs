//! `'format' = 'parquet'`: whole files, read column by column.
//!
//! Columns are found by name. Each becomes the type that the table declares, and a column the file lacks is NULL. Offsets are
//! row numbers: row groups before the offset are not touched when reading resumes.

use std::io::{self, Read, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};

use crate::connect::{
    Decoder, Encoder, FileBytes, FileFormat, FileReader, FileWriter, Format, OptionKind, OptionSpec, TableDefinition,
};
use crate::error::{Error, Result};

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::with_default(
        "parquet.compression",
        OptionKind::OneOf(&["snappy", "zstd", "gzip", "lz4_raw", "lz4", "uncompressed", "none"]),
        "snappy",
        "how written files are compressed",
    ),
    OptionSpec::with_default(
        "parquet.block.size",
        OptionKind::Bytes,
        "128mb",
        "about how large a row group becomes; as much is kept in memory",
    ),
    OptionSpec::optional("parquet.page.size", OptionKind::Bytes, "about how large a page of a column becomes"),
    OptionSpec::optional("parquet.batch-size", OptionKind::Integer, "at most how many rows are read at once"),
    OptionSpec::optional(
        "parquet.utc-timezone",
        OptionKind::Boolean,
        "accepted for Flink scripts: times are always kept in UTC",
    ),
];

const BATCH_ROWS: usize = 8192;

pub struct Parquet;

impl Format for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn decoder(&self, table: &TableDefinition, _projection: &[usize]) -> Result<Box<dyn Decoder>> {
        Err(only_files(table))
    }

    fn encoder(&self, table: &TableDefinition) -> Result<Box<dyn Encoder>> {
        Err(only_files(table))
    }

    fn files(&self) -> Option<&dyn FileFormat> {
        Some(self)
    }
}

fn only_files(table: &TableDefinition) -> Error {
    Error::new(format!("cannot use format 'parquet' for table {}", table.name))
        .why("a parquet file only makes sense as a whole, and this connector moves one record after another")
        .fix("use 'connector' = 'filesystem', or a format such as json or csv")
}

impl FileFormat for Parquet {
    fn open(
        &self,
        table: &TableDefinition,
        projection: &[usize],
        file: Arc<dyn FileBytes>,
        first_row: u64,
    ) -> Result<Box<dyn FileReader>> {
        let unreadable = |error: ParquetError| {
            Error::new(format!("cannot read file {}", file.name()))
                .why(error.to_string())
                .fix("check that it is a finished parquet file")
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(Chunks(Arc::clone(&file))).map_err(unreadable)?;
        let schema = Arc::new(table.schema.project(projection)?);
        let columns = Columns::find(&schema, builder.schema(), file.name())?;

        let mut skipped = 0;
        let mut kept = Vec::new();
        for (group, metadata) in builder.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(metadata.num_rows()).unwrap_or_default();
            match kept.is_empty() && skipped + rows <= first_row {
                true => skipped += rows,
                false => kept.push(group),
            }
        }
        // Past the end there is no row group left, and nothing to skip in it.
        let skipped_within = if kept.is_empty() { 0 } else { first_row - skipped };
        let batch_rows =
            table.options.integer(OPTIONS, "parquet.batch-size").and_then(|rows| usize::try_from(rows).ok());
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.roots.iter().copied());
        let reader = builder
            .with_projection(mask)
            .with_row_groups(kept)
            .with_offset(usize::try_from(skipped_within).unwrap_or(usize::MAX))
            .with_batch_size(batch_rows.unwrap_or(BATCH_ROWS).max(1))
            .build()
            .map_err(unreadable)?;
        Ok(Box::new(ParquetReader { name: file.name().to_string(), reader, schema, columns }))
    }

    fn create(&self, table: &TableDefinition, file: Box<dyn Write + Send>) -> Result<Box<dyn FileWriter>> {
        let size = |name: &str| table.options.bytes(OPTIONS, name).and_then(|bytes| usize::try_from(bytes).ok());
        let mut properties = WriterProperties::builder()
            .set_created_by("tidemill".to_string())
            .set_compression(compression(table.options.text(OPTIONS, "parquet.compression").unwrap_or_default()))
            .set_max_row_group_bytes(size("parquet.block.size").filter(|bytes| *bytes > 0));
        if let Some(bytes) = size("parquet.page.size") {
            properties = properties.set_data_page_size_limit(bytes);
        }
        let schema: SchemaRef = Arc::new(table.schema.project(&table.physical())?);
        let writer = ArrowWriter::try_new(file, schema, Some(properties.build()))?;
        Ok(Box::new(ParquetWriter { writer }))
    }
}

fn compression(name: &str) -> Compression {
    match name.to_ascii_lowercase().as_str() {
        "zstd" => Compression::ZSTD(Default::default()),
        "gzip" => Compression::GZIP(Default::default()),
        "lz4" | "lz4_raw" => Compression::LZ4_RAW,
        "uncompressed" | "none" => Compression::UNCOMPRESSED,
        _ => Compression::SNAPPY,
    }
}

/// Which columns of a file are read, and where each column of the table is among them.
struct Columns {
    /// Indices into the file's schema, rising.
    roots: Vec<usize>,
    /// One per column of the table: its place in `roots`, or `None` if the file lacks it.
    places: Vec<Option<usize>>,
}

impl Columns {
    fn find(wanted: &Schema, file: &Schema, name: &str) -> Result<Columns> {
        let found: Vec<Option<usize>> = wanted.fields().iter().map(|field| column_called(file, field.name())).collect();
        for (field, found) in wanted.fields().iter().zip(&found) {
            let cannot = || Error::new(format!("cannot read column {} of file {name}", field.name()));
            match found.map(|column| file.field(column).data_type()) {
                None if !field.is_nullable() => {
                    let known = file.fields().iter().map(|field| field.name().as_str());
                    return Err(cannot()
                        .why("the table declares it NOT NULL, and the file has no column of this name")
                        .nearest(field.name(), known));
                }
                Some(kind) if !can_cast_types(kind, field.data_type()) => {
                    return Err(cannot()
                        .why(format!("it is {kind} there, which cannot become the declared {}", field.data_type()))
                        .fix("declare the column with the type it has in the file"));
                }
                _ => {}
            }
        }
        let mut roots: Vec<usize> = found.iter().flatten().copied().collect();
        roots.sort_unstable();
        roots.dedup();
        let places = found.iter().map(|column| column.and_then(|column| roots.binary_search(&column).ok())).collect();
        Ok(Columns { roots, places })
    }
}

/// The column of exactly this name, or the only one that differs in case: many writers lower all names.
fn column_called(file: &Schema, name: &str) -> Option<usize> {
    file.index_of(name).ok().or_else(|| {
        let mut similar =
            (0..file.fields().len()).filter(|&column| file.field(column).name().eq_ignore_ascii_case(name));
        similar.next().filter(|_| similar.next().is_none())
    })
}

struct ParquetReader {
    name: String,
    reader: ParquetRecordBatchReader,
    /// Of the rows that come out.
    schema: SchemaRef,
    columns: Columns,
}

impl ParquetReader {
    fn convert(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let columns = self.columns.places.iter().zip(self.schema.fields()).map(|(place, field)| match place {
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
            Some(place) if rows.column(*place).data_type() == field.data_type() => Ok(Arc::clone(rows.column(*place))),
            Some(place) => cast_with_options(rows.column(*place), field.data_type(), &strict).map_err(|error| {
                Error::new(format!("cannot read column {} of file {}", field.name(), self.name)).why(error.to_string())
            }),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| Error::new(format!("cannot read file {}", self.name)).why(error.to_string()))
    }
}

impl FileReader for ParquetReader {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            match self.reader.next().transpose() {
                Ok(None) => return Ok(None),
                Ok(Some(rows)) if rows.num_rows() == 0 => {}
                Ok(Some(rows)) => return self.convert(&rows).map(Some),
                Err(error) => {
                    return Err(Error::new(format!("cannot read file {}", self.name)).why(error.to_string()));
                }
            }
        }
    }
}

struct ParquetWriter {
    writer: ArrowWriter<Box<dyn Write + Send>>,
}

impl FileWriter for ParquetWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        Ok(self.writer.write(rows)?)
    }

    fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.writer.close()?;
        Ok(())
    }
}

/// A file as the parquet crate wants to see it.
struct Chunks(Arc<dyn FileBytes>);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.size().unwrap_or_default()
    }
}

impl ChunkReader for Chunks {
    type T = io::BufReader<From>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(io::BufReader::with_capacity(64 << 10, From { file: Arc::clone(&self.0), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.0.read(start, length)?;
        match bytes.len() == length {
            true => Ok(bytes),
            false => Err(ParquetError::EOF(format!("only {} of {length} bytes are at {start}", bytes.len()))),
        }
    }
}

/// A file read from some place on.
struct From {
    file: Arc<dyn FileBytes>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(self.at, out.len())?;
        out[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use arrow::array::{Array, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Int32Type, TimeUnit, TimestampMillisecondType};

    use super::*;
    use crate::connect::Options;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl FileBytes for Memory {
        fn name(&self) -> &str {
            "memory"
        }

        fn size(&self) -> io::Result<u64> {
            Ok(self.0.lock().unwrap().len() as u64)
        }

        fn read(&self, start: u64, length: usize) -> io::Result<Bytes> {
            let bytes = self.0.lock().unwrap();
            let start = (start as usize).min(bytes.len());
            Ok(Bytes::copy_from_slice(&bytes[start..(start + length).min(bytes.len())]))
        }
    }

    fn table(fields: Vec<Field>, options: &[(&str, &str)]) -> TableDefinition {
        TableDefinition {
            name: "t".to_string(),
            schema: Arc::new(Schema::new(fields)),
            metadata: vec![],
            key: vec![],
            partitioned_by: vec![],
            options: Options::new(options.iter().map(|(k, v)| (k.to_string(), v.to_string()))),
            time_zone: "UTC".to_string(),
            unread: Default::default(),
        }
    }

    /// A file of columns n (0, 1, ...), text (t0, t1, ...) and at (seconds since 1970).
    fn numbers(rows: usize, options: &[(&str, &str)]) -> Memory {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields = vec![
            Field::new("n", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("at", utc, true),
        ];
        let table = table(fields, options);
        let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
        let text: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("t{n}"))));
        let at = TimestampMicrosecondArray::from_iter_values((0..rows as i64).map(|n| n * 1_000_000));
        let at: ArrayRef = Arc::new(at.with_timezone("UTC"));
        let file = Memory::default();
        let mut writer = Parquet.create(&table, Box::new(file.clone())).unwrap();
        let all = RecordBatch::try_new(Arc::clone(&table.schema), vec![n, text, at]).unwrap();
        for start in (0..rows).step_by(1000) {
            writer.write(&all.slice(start, 1000.min(rows - start))).unwrap();
        }
        assert!(writer.bytes() > 0);
        writer.finish().unwrap();
        file
    }

    fn read(table: &TableDefinition, projection: &[usize], file: &Memory, first_row: u64) -> Result<Vec<RecordBatch>> {
        let mut reader = Parquet.open(table, projection, Arc::new(file.clone()), first_row)?;
        std::iter::from_fn(move || reader.next().transpose()).collect()
    }

    #[test]
    fn columns_are_found_by_name_take_the_declared_type_and_are_null_if_missing() {
        let file = numbers(3, &[]);
        let fields = vec![
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new("other", DataType::Utf8, true),
            Field::new("N", DataType::Int32, true),
        ];
        let rows = read(&table(fields, &[]), &[2, 1, 0], &file, 0).unwrap().remove(0);
        assert_eq!(rows.column(0).as_primitive::<Int32Type>().values(), &[0, 1, 2]);
        assert_eq!(rows.column(1).null_count(), 3);
        assert_eq!(rows.column(2).as_primitive::<TimestampMillisecondType>().values(), &[0, 1000, 2000]);
    }

    #[test]
    fn reading_resumes_at_any_row_across_row_groups() {
        let file = numbers(5000, &[("parquet.block.size", "4 kb"), ("parquet.compression", "none")]);
        let groups = ParquetRecordBatchReaderBuilder::try_new(Chunks(Arc::new(file.clone()))).unwrap();
        assert!(groups.metadata().num_row_groups() > 2);
        let table = table(vec![Field::new("n", DataType::Int64, true)], &[("parquet.batch-size", "700")]);
        for first in [0, 1, 699, 700, 1000, 1001, 2000, 4999, 5000, 6000] {
            let batches = read(&table, &[0], &file, first).unwrap();
            assert!(batches.iter().all(|batch| batch.num_rows() <= 700));
            let values: Vec<i64> = batches
                .iter()
                .flat_map(|batch| batch.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().to_vec())
                .collect();
            assert_eq!(values, (first as i64..5000).collect::<Vec<_>>(), "from {first}");
        }
    }

    #[test]
    fn rows_are_counted_even_if_no_column_is_read() {
        let file = numbers(10_000, &[]);
        let table = table(vec![Field::new("absent", DataType::Int64, true)], &[]);
        for projection in [&[][..], &[0]] {
            let rows: usize = read(&table, projection, &file, 10).unwrap().iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, 9990);
        }
    }

    #[test]
    fn a_column_that_cannot_be_read_is_named_with_its_type() {
        let file = numbers(1, &[]);
        let list = DataType::Struct(vec![Field::new("x", DataType::Int32, true)].into());
        let error = read(&table(vec![Field::new("n", list, true)], &[]), &[0], &file, 0).unwrap_err().to_string();
        assert!(error.starts_with("cannot read column n of file memory\n  why: it is Int64 there"), "{error}");
        let missing = table(vec![Field::new("txt", DataType::Utf8, false)], &[]);
        let error = read(&missing, &[0], &file, 0).unwrap_err().to_string();
        assert!(error.contains("did you mean text?"), "{error}");
        let number = table(vec![Field::new("text", DataType::Int32, true)], &[]);
        let error = read(&number, &[0], &file, 0).unwrap_err().to_string();
        assert!(error.contains("column text of file memory") && error.contains("t0"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_parquet_is_an_error() {
        for bytes in ["", "a,b,c\n1,2,3\n"] {
            let file = Memory(Arc::new(Mutex::new(bytes.as_bytes().to_vec())));
            let table = table(vec![Field::new("n", DataType::Int64, true)], &[]);
            let error = read(&table, &[0], &file, 0).unwrap_err().to_string();
            assert!(error.contains("check that it is a finished parquet file"), "{error}");
        }
    }

    #[test]
    fn every_compression_is_read_back() {
        let mut names = vec![];
        for name in ["snappy", "zstd", "gzip", "lz4_raw", "uncompressed"] {
            let file = numbers(100, &[("parquet.compression", name)]);
            let table = table(vec![Field::new("text", DataType::Utf8, true)], &[]);
            let rows = read(&table, &[0], &file, 99).unwrap().remove(0);
            assert_eq!(rows.column(0).as_string::<i32>().value(0), "t99");
            names.push(file.size().unwrap());
        }
        names.dedup();
        assert_eq!(names.len(), 5, "each compresses in its own way");
    }

    #[test]
    fn byte_transports_refuse_it() {
        let table = table(vec![Field::new("n", DataType::Int64, true)], &[]);
        let error = Parquet.decoder(&table, &[0]).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("fix: use 'connector' = 'filesystem'"), "{error}");
    }
}
