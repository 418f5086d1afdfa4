//! Lines into one column.
//!
//! Texts are the hot path of word counts: line ends are found at memory bandwidth, each line is one copy, and whether all is
//! UTF-8 is asked once per call and not per line.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, StringArray, make_array};
use arrow::array::{ArrayData, BooleanArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use memchr::memmem::Finder;

use super::Layout;
use crate::connect::{Decoder, Skipped, TableDefinition};
use crate::error::{Error, Result};
use crate::formats::rows::ROWS_MAX;
use crate::formats::wrong::BadRecords;
use crate::message::Batch;

/// A batch is also full at so many bytes.
const BYTES_MAX: usize = 16 << 20;

/// The columns that are wanted: the one there is, or none when rows are only counted.
struct Wanted {
    schema: SchemaRef,
}

impl Wanted {
    fn new(table: &TableDefinition, projection: &[usize]) -> Wanted {
        let fields: Vec<_> = projection.iter().map(|&column| Arc::clone(&table.schema.fields()[column])).collect();
        Wanted { schema: Arc::new(Schema::new(fields)) }
    }

    fn batch(&self, values: ArrayRef) -> Result<Batch> {
        let options = RecordBatchOptions::new().with_row_count(Some(values.len()));
        let columns = self.schema.fields().iter().map(|field| match values.data_type() == field.data_type() {
            true => Ok(Arc::clone(&values)),
            false => compute::cast(&values, field.data_type()),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Batch::append(rows))
    }
}

/// Values of any length, end to end.
struct Lines {
    delimiter: Vec<u8>,
    /// Only for delimiters of several bytes.
    finder: Option<Finder<'static>>,
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Lines {
    fn new(delimiter: Vec<u8>) -> Lines {
        let finder = (delimiter.len() > 1).then(|| Finder::new(&delimiter).into_owned());
        Lines { delimiter, finder, offsets: vec![0], bytes: Vec::new() }
    }

    /// Appends records until the batch is full or none is complete; gives the bytes they took. `trim_return` takes a carriage
    /// return off the end of each.
    ///
    /// # Errors
    /// A record of 2 GiB.
    fn fill(&mut self, input: &[u8], last: bool, trim_return: bool) -> Result<usize> {
        let mut at = 0;
        while at < input.len() && self.offsets.len() <= ROWS_MAX && self.bytes.len() < BYTES_MAX {
            let rest = &input[at..];
            let found = match &self.finder {
                None => memchr::memchr(self.delimiter[0], rest),
                Some(finder) => finder.find(rest),
            };
            let (length, taken) = match found {
                Some(length) => (length, length + self.delimiter.len()),
                None if last => (rest.len(), rest.len()),
                None => break,
            };
            let record = &rest[..length];
            let value = if trim_return { record.strip_suffix(b"\r").unwrap_or(record) } else { record };
            let end = i32::try_from(self.bytes.len() + value.len())
                .map_err(|_| Error::new(format!("a raw record has {} bytes", value.len())).why("2 GiB are the most"))?;
            self.bytes.extend_from_slice(value);
            self.offsets.push(end);
            at += taken;
        }
        Ok(at)
    }

    fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    fn value(&self, index: usize) -> &[u8] {
        &self.bytes[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// Replaces the values from `first` on by what `change` appends for each.
    fn rewrite(&mut self, first: usize, change: impl Fn(&[u8], &mut Vec<u8>)) {
        let mut bytes = self.bytes[..self.offsets[first] as usize].to_vec();
        let mut offsets = self.offsets[..=first].to_vec();
        for index in first..self.count() {
            change(self.value(index), &mut bytes);
            offsets.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        }
        (self.bytes, self.offsets) = (bytes, offsets);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        // The next batch is likely as large.
        let mut next = Vec::with_capacity(self.offsets.len());
        next.push(0);
        let offsets = std::mem::replace(&mut self.offsets, next);
        let capacity = self.bytes.len();
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(capacity));
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(bytes))
    }
}

/// A `STRING` per record. A carriage return before the line end is not part of it.
pub struct TextDecoder {
    wanted: Wanted,
    lines: Lines,
    latin: bool,
}

impl TextDecoder {
    pub fn new(table: &TableDefinition, projection: &[usize], layout: Layout) -> TextDecoder {
        TextDecoder { wanted: Wanted::new(table, projection), latin: layout.latin, lines: Lines::new(layout.delimiter) }
    }

    /// Makes UTF-8 of the values from `first` on. What is not UTF-8 becomes U+FFFD, as in Flink.
    fn repair(&mut self, first: usize) {
        let start = self.lines.offsets[first] as usize;
        if self.lines.bytes[start..].is_ascii() {
            return;
        }
        if self.latin {
            self.lines.rewrite(first, |value, out| {
                for &byte in value {
                    out.extend_from_slice(char::from(byte).encode_utf8(&mut [0; 4]).as_bytes());
                }
            });
        } else if (first..self.lines.count()).any(|index| std::str::from_utf8(self.lines.value(index)).is_err()) {
            self.lines.rewrite(first, |value, out| out.extend_from_slice(String::from_utf8_lossy(value).as_bytes()));
        }
    }
}

impl Decoder for TextDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        let first = self.lines.count();
        let taken = self.lines.fill(bytes, last, true)?;
        self.repair(first);
        Ok(taken)
    }

    fn flush(&mut self) -> Result<Option<Batch>> {
        if self.lines.count() == 0 {
            return Ok(None);
        }
        let (offsets, bytes) = self.lines.take();
        self.wanted.batch(Arc::new(StringArray::try_new(offsets, bytes, None)?)).map(Some)
    }

    fn skipped(&mut self) -> Option<Skipped> {
        None
    }
}

/// `BYTES` per record, exactly what is between the delimiters.
pub struct BytesDecoder {
    wanted: Wanted,
    lines: Lines,
}

impl BytesDecoder {
    pub fn new(table: &TableDefinition, projection: &[usize], layout: Layout) -> BytesDecoder {
        BytesDecoder { wanted: Wanted::new(table, projection), lines: Lines::new(layout.delimiter) }
    }
}

impl Decoder for BytesDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        self.lines.fill(bytes, last, false)
    }

    fn flush(&mut self) -> Result<Option<Batch>> {
        if self.lines.count() == 0 {
            return Ok(None);
        }
        let (offsets, bytes) = self.lines.take();
        self.wanted.batch(Arc::new(BinaryArray::try_new(offsets, bytes, None)?)).map(Some)
    }

    fn skipped(&mut self) -> Option<Skipped> {
        None
    }
}

/// A number or a boolean per record. Its width says where the delimiter is, so that a byte of the number may look like one.
pub struct FixedDecoder {
    wanted: Wanted,
    data_type: DataType,
    delimiter: Vec<u8>,
    width: usize,
    reverse: bool,
    /// In the byte order of this machine.
    values: Vec<u8>,
    bad: BadRecords,
}

impl FixedDecoder {
    pub fn new(table: &TableDefinition, projection: &[usize], layout: Layout, width: usize) -> FixedDecoder {
        let column = table.physical()[0];
        FixedDecoder {
            wanted: Wanted::new(table, projection),
            data_type: table.schema.field(column).data_type().clone(),
            delimiter: layout.delimiter,
            width,
            reverse: layout.little_endian != cfg!(target_endian = "little"),
            values: Vec::new(),
            bad: BadRecords::new(&table.name, "raw", false, None),
        }
    }
}

impl Decoder for FixedDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        let mut at = 0;
        while at < bytes.len() && self.values.len() < ROWS_MAX * self.width {
            let rest = &bytes[at..];
            let taken = match rest.get(self.width..) {
                Some(after) if after.starts_with(&self.delimiter) => self.width + self.delimiter.len(),
                Some([]) if last => self.width,
                Some(after) if !last && self.delimiter.starts_with(after) => return Ok(at),
                None if !last => return Ok(at),
                // What came before is handed over first; the next call begins with the bad record.
                _ if at > 0 => return Ok(at),
                _ => {
                    let why = format!("a record is {} bytes and a delimiter", self.width);
                    return Err(self.bad.error(&why, &rest[..rest.len().min(self.width)]));
                }
            };
            let start = self.values.len();
            self.values.extend_from_slice(&rest[..self.width]);
            if self.reverse {
                self.values[start..].reverse();
            }
            at += taken;
        }
        Ok(at)
    }

    fn flush(&mut self) -> Result<Option<Batch>> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let values = std::mem::take(&mut self.values);
        let array: ArrayRef = if self.data_type == DataType::Boolean {
            Arc::new(values.iter().map(|&byte| Some(byte != 0)).collect::<BooleanArray>())
        } else {
            let len = values.len() / self.width;
            let data = ArrayData::builder(self.data_type.clone()).len(len).add_buffer(Buffer::from_vec(values));
            make_array(data.align_buffers(true).build()?)
        };
        self.wanted.batch(array).map(Some)
    }

    fn skipped(&mut self) -> Option<Skipped> {
        None
    }
}
