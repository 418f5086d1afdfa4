//! From bytes as they arrive to rows with offsets: what sockets, files and pipes have in common.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::pump::{Feed, Halt};
use crate::connect::{
    Decoder, Format, Offset, OptionKind, OptionSpec, Registry, Skipped, SplitBatch, SplitId, TableDefinition,
};
use crate::error::{Error, Result};
use crate::message::Batch;

pub(super) const FORMAT: OptionSpec =
    OptionSpec::with_default("format", OptionKind::Text, "raw", "how bytes become rows and rows become bytes");

pub(super) const BYTE_DELIMITER: OptionSpec =
    OptionSpec::with_default("byte-delimiter", OptionKind::Integer, "10", "the byte (as a number) that ends a record");

pub(super) const MAX_RECORD_SIZE: OptionSpec =
    OptionSpec::with_default("max-record-size", OptionKind::Bytes, "64mb", "a record longer than this is a bad record");

/// A record that is longer is looked at less often while it arrives.
const LONG_BYTES: usize = 1 << 20;

/// The format a table names, or `raw`.
pub(super) fn format_of(
    table: &TableDefinition,
    options: &[OptionSpec],
    formats: &Registry,
) -> Result<Arc<dyn Format>> {
    formats.format(table.options.text(options, "format").unwrap_or("raw"), table).cloned()
}

/// The table's `byte-delimiter`.
pub(super) fn delimiter_of(table: &TableDefinition, options: &[OptionSpec]) -> Result<u8> {
    let number = table.options.integer(options, "byte-delimiter").unwrap_or(10);
    u8::try_from(number).map_err(|_| {
        Error::new(format!("option 'byte-delimiter' of table {} has the value '{number}'", table.name))
            .why("a byte is a number from 0 to 255")
            .fix("leave it out for a newline (10), or use 0 for the NUL byte")
    })
}

/// The offset of splits that count bytes (or rows): what of them has been read.
pub(super) fn offset(position: u64) -> Offset {
    Offset(Bytes::copy_from_slice(&position.to_be_bytes()))
}

/// The inverse of [`offset`]; anything else is read from the start.
pub(super) fn position(offset: &Offset) -> u64 {
    offset.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The bytes of one split on their way through a decoder: keeps half records until the rest arrives and counts offsets.
///
/// ```text
/// push(chunk)* ── next() until None ── push ... end() ── next() until None
/// ```
pub(super) struct Records {
    split: SplitId,
    decoder: Box<dyn Decoder>,
    /// Of the rows it gives.
    schema: SchemaRef,
    /// Where to go on after a record that is too long. Finding the others is the format's part.
    delimiter: u8,
    record_bytes_max: usize,
    /// The table's policy for bad records: leave them out and count them.
    skips_bad: bool,

    bytes: Vec<u8>,
    /// What of `bytes` is decoded.
    start: usize,
    /// Of `bytes[start]` in the split.
    offset: u64,
    ended: bool,
    /// How much was held when the decoder last found no end of a record, or 0.
    tried: usize,
    /// A delimiter arrived since.
    hopeful: bool,
    /// Inside a record that is too long and is being left out.
    discarding: bool,
    skipped: Option<Skipped>,
    failed: Option<Error>,
}

impl Records {
    /// Reads the columns `projection` of `table`, from `offset` of the split. `options` are those of the connector.
    pub fn new(
        table: &TableDefinition,
        options: &[OptionSpec],
        format: &dyn Format,
        projection: &[usize],
        split: SplitId,
        offset: u64,
    ) -> Result<Records> {
        let record_bytes_max = table.options.bytes(options, "max-record-size").unwrap_or(64 << 20);
        let skips_bad = table
            .options
            .iter()
            .any(|(name, value)| name.ends_with(".ignore-parse-errors") && value.trim().eq_ignore_ascii_case("true"));
        let mut decoder = format.decoder(table, projection)?;
        if offset > 0 {
            decoder.resumed();
        }
        Ok(Records {
            split,
            decoder,
            schema: Arc::new(table.schema.project(projection)?),
            delimiter: delimiter_of(table, options)?,
            record_bytes_max: usize::try_from(record_bytes_max).unwrap_or(usize::MAX),
            skips_bad,
            bytes: Vec::new(),
            start: 0,
            offset,
            ended: false,
            tried: 0,
            hopeful: false,
            discarding: false,
            skipped: None,
            failed: None,
        })
    }

    /// Takes over the next bytes of the split.
    pub fn push(&mut self, mut chunk: &[u8]) {
        if self.discarding {
            let end = memchr(self.delimiter, chunk);
            let dropped = end.map_or(chunk.len(), |end| end + 1);
            self.discarding = end.is_none();
            self.offset += dropped as u64;
            chunk = &chunk[dropped..];
        }
        // What is decoded is dropped here, once per chunk, so a half record moves to the front once and not per batch.
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(chunk);
        self.hopeful |= memchr2(self.delimiter, b'\n', chunk).is_some();
    }

    /// No more bytes will come: what is left is a record even without a delimiter.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Forgets a half record at the end of what was pushed.
    pub fn drop_rest(&mut self) {
        self.offset += (self.bytes.len() - self.start) as u64;
        self.start = self.bytes.len();
        self.tried = 0;
        self.discarding = false;
    }

    /// The rows of `bytes`, which begin at `start` of the split, if they are whole records with nothing wrong in them. Whatever they are, the next call begins anew.
    pub fn decode_whole(&mut self, start: u64, bytes: &mut Vec<u8>) -> Option<Vec<SplitBatch>> {
        std::mem::swap(&mut self.bytes, bytes);
        (self.start, self.offset) = (0, start);
        let mut batches = Vec::new();
        let ended = loop {
            match self.next() {
                Ok(Some(batch)) => batches.push(batch),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let is_whole = ended.is_ok() && self.start == self.bytes.len() && !self.discarding;
        std::mem::swap(&mut self.bytes, bytes);
        (self.start, self.tried, self.hopeful, self.discarding) = (0, 0, false, false);
        (self.skipped, self.failed) = (None, None);
        is_whole.then_some(batches)
    }

    /// Whether all that was pushed is decoded, up to `position`.
    pub fn is_between_records_at(&self, position: u64) -> bool {
        self.start == self.bytes.len() && self.offset == position && !self.discarding && self.failed.is_none()
    }

    /// Somebody else has decoded what is before `position`.
    pub fn go_on_at(&mut self, position: u64) {
        self.offset = position;
        self.tried = 0;
    }

    /// Gives back what is not decoded, as if it had not been pushed.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.tried = 0;
        let rest = self.bytes.split_off(self.start);
        self.bytes.clear();
        self.start = 0;
        rest
    }

    pub fn split(&self) -> &SplitId {
        &self.split
    }

    /// The byte at which records are likely to end.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Bytes decoded, from the start of the split.
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// Whether [`end`](Self::end) was called.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next rows, or `None` if more bytes are needed (or there are none, after [`end`](Self::end)).
    ///
    /// # Errors
    /// A record that cannot be decoded or is too long. The rows before it were given first.
    pub fn next(&mut self) -> Result<Option<SplitBatch>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            if self.is_hopeless() {
                return Ok(None);
            }
            let rest = &self.bytes[self.start..];
            let consumed = match self.decoder.decode(rest, self.ended) {
                Ok(consumed) => consumed,
                Err(error) => {
                    self.failed = Some(error);
                    0
                }
            };
            self.start += consumed;
            self.offset += consumed as u64;
            let rows = self.decoder.flush()?;
            let skipped = merged(self.skipped.take(), self.decoder.skipped());
            if rows.is_some() || skipped.is_some() {
                let rows = rows.unwrap_or_else(|| Batch::append(RecordBatch::new_empty(Arc::clone(&self.schema))));
                let resume_at = offset(self.offset);
                return Ok(Some(SplitBatch { split: self.split.clone(), rows, resume_at, skipped, ended: false }));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if consumed > 0 {
                self.tried = 0;
                continue;
            }
            self.tried = self.bytes.len() - self.start;
            self.hopeful = false;
            if self.tried <= self.record_bytes_max {
                return Ok(None);
            }
            self.leave_out_oversized()?;
        }
    }

    /// Whether a long record is surely not complete yet. Decoders start over with each call, so without this a record of n
    /// bytes in small pieces would cost n squared: with it, pieces are tried when they hold a delimiter or add a quarter.
    fn is_hopeless(&self) -> bool {
        let held = self.bytes.len() - self.start;
        self.tried >= LONG_BYTES
            && !self.hopeful
            && !self.ended
            && held < self.tried + self.tried / 4
            && held <= self.record_bytes_max
    }

    /// Sends on all rows there are for now.
    pub async fn send_all(&mut self, feed: &Feed) -> Result<(), Halt> {
        while let Some(batch) = self.next()? {
            feed.send(batch).await?;
        }
        Ok(())
    }

    fn leave_out_oversized(&mut self) -> Result<()> {
        let held = &self.bytes[self.start..];
        let example = String::from_utf8_lossy(&held[..held.len().min(80)]).into_owned();
        let limit = self.record_bytes_max;
        if !self.skips_bad {
            return Err(Error::new(format!("a record from {} is longer than {limit} bytes", self.split))
                .why(format!("no end of record was found after: {example}..."))
                .fix("check the delimiter, or set 'max-record-size' = '...' to more"));
        }
        self.skipped = merged(
            self.skipped.take(),
            Some(Skipped { records: 1, example: format!("longer than {limit} bytes: {example}...") }),
        );
        self.offset += held.len() as u64;
        self.start = self.bytes.len();
        self.tried = 0;
        self.discarding = true;
        Ok(())
    }
}

fn merged(first: Option<Skipped>, second: Option<Skipped>) -> Option<Skipped> {
    match (first, second) {
        (Some(a), Some(b)) => Some(Skipped { records: a.records + b.records, example: a.example }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::super::testing::{lines_of, lines_table, registry, table};
    use super::*;

    fn records(with: &[(&str, &str)]) -> Records {
        records_of(&[&[("format", "lines")], with].concat())
    }

    fn records_of(with: &[(&str, &str)]) -> Records {
        let table = table(&[("line", DataType::Utf8)], with);
        let options = &[FORMAT, BYTE_DELIMITER, MAX_RECORD_SIZE];
        let format = format_of(&table, options, &registry()).unwrap();
        Records::new(&table, options, format.as_ref(), &[0], SplitId::new("here"), 0).unwrap()
    }

    fn drain(records: &mut Records) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        while let Some(batch) = records.next().unwrap() {
            found.extend(lines_of(&batch.rows).into_iter().map(|line| (line, position(&batch.resume_at))));
        }
        found
    }

    #[test]
    fn the_rows_are_the_same_wherever_the_bytes_are_cut() {
        let text = b"one\r\ntwo\n\nthree";
        for cut in 0..=text.len() {
            let mut records = records(&[]);
            records.push(&text[..cut]);
            let mut found = drain(&mut records);
            records.push(&text[cut..]);
            found.extend(drain(&mut records));
            records.end();
            found.extend(drain(&mut records));
            let lines: Vec<&str> = found.iter().map(|(line, _)| line.as_str()).collect();
            assert_eq!(lines, ["one", "two", "", "three"], "cut at {cut}");
            assert_eq!(found.last().unwrap().1, text.len() as u64);
        }
    }

    #[test]
    fn rows_before_a_bad_record_come_out_before_the_error() {
        let mut records = records(&[]);
        records.push(b"a\nb\nbad\nc\n");
        assert_eq!(drain_until_error(&mut records), (vec!["a".to_string(), "b".to_string()], "bad line".to_string()));
    }

    fn drain_until_error(records: &mut Records) -> (Vec<String>, String) {
        let mut found = Vec::new();
        loop {
            match records.next() {
                Ok(batch) => found.extend(lines_of(&batch.unwrap().rows)),
                Err(error) => return (found, error.what().to_string()),
            }
        }
    }

    #[test]
    fn another_delimiter_ends_records_that_may_hold_newlines() {
        let mut records = records_of(&[("format", "raw"), ("byte-delimiter", "0")]);
        records.push(b"a\nb\0c\0");
        assert_eq!(drain(&mut records), [("a\nb".to_string(), 6), ("c".to_string(), 6)]);
    }

    #[test]
    fn only_the_start_of_a_split_has_a_header() {
        let (mut table, _) = lines_table(&[("csv.ignore-first-line", "true")]);
        table.options.set("format", "csv");
        for (start, lines) in [(0, 1), (8, 2)] {
            let format = format_of(&table, &[FORMAT], &Registry::default()).unwrap();
            let mut records = Records::new(&table, &[], format.as_ref(), &[0], SplitId::new("here"), start).unwrap();
            records.push(b"a\nb\n");
            assert_eq!(drain(&mut records).len(), lines);
        }
    }

    #[test]
    fn a_record_over_the_limit_is_an_error_that_names_the_place() {
        let mut records = records(&[("max-record-size", "10")]);
        records.push(b"ok\n12345678901");
        assert_eq!(drain_until_error(&mut records).0, ["ok"]);
        let mut records = self::records(&[("max-record-size", "10")]);
        records.push(b"12345678901");
        assert_eq!(records.next().unwrap_err().what(), "a record from here is longer than 10 bytes");
    }

    #[test]
    fn a_record_over_the_limit_is_left_out_and_counted_if_bad_records_are_skipped() {
        let mut records = records(&[("max-record-size", "10"), ("lines.ignore-parse-errors", "true")]);
        records.push(b"12345678901");
        let skipped = records.next().unwrap().unwrap().skipped.unwrap();
        assert_eq!((skipped.records, skipped.example.contains("1234567")), (1, true));
        records.push(b"tail of it");
        records.push(b" and end\nnext\n");
        assert_eq!(drain(&mut records), [("next".to_string(), 35)]);
    }

    #[test]
    fn a_long_record_is_not_decoded_anew_with_every_piece() {
        let mut records = records(&[]);
        let mut tries = 0;
        for _ in 0..10_000 {
            records.push(&[b'x'; 1000]);
            let before = records.tried;
            assert!(records.next().unwrap().is_none());
            tries += usize::from(records.tried > LONG_BYTES && records.tried != before);
        }
        assert!(tries < 20, "{tries}");
        records.end();
        assert_eq!(drain(&mut records)[0].0.len(), 10_000_000);
    }

    #[test]
    fn a_line_of_ten_megabytes_is_one_record() {
        let mut records = records(&[]);
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..10 {
            records.push(&piece);
            assert!(records.next().unwrap().is_none());
        }
        records.push(b"\n");
        let found = drain(&mut records);
        assert_eq!((found.len(), found[0].0.len(), found[0].1), (1, 10 << 20, (10 << 20) + 1));
    }
}
