//! Finds records in a stream of bytes, and leaves out or reports the bad ones.
//!
//! A record ends where its braces close, so it may span lines, share a line, or be an element of one large array. What cannot be
//! read is left behind up to the end of the line it began on.

use super::super::column::{Column, Reading};
use super::super::rows::Rows;
use super::super::wrong::BadRecords;
use super::DecodeSettings;
use super::filter::Filter;
use super::read::{Keys, RecordReader};
use super::token::{BadValue, Scan, Scanner, Trouble};
use crate::connect::{Decoder, Skipped, TableDefinition};
use crate::error::Result;
use crate::message::Batch;

pub struct JsonDecoder {
    settings: DecodeSettings,
    rows: Rows,
    keys: Keys,
    bad: BadRecords,
    scratch: Vec<u8>,
    filter: Filter,
    check: Check,
}

/// How many changes the row with this number stands for, or what is wrong with it.
type Check = Box<dyn Fn(&[Column], usize) -> Result<usize, BadValue> + Send>;

impl JsonDecoder {
    pub fn new(table: &TableDefinition, projection: &[usize], settings: DecodeSettings) -> Result<JsonDecoder> {
        let rows = Rows::new(table, projection, Reading { standard: settings.standard, zone: settings.zone })?;
        Ok(JsonDecoder {
            keys: Keys::of(&rows.columns),
            bad: BadRecords::new(
                &table.name,
                settings.names.format,
                settings.ignore_parse_errors,
                Some(settings.names.ignore_parse_errors),
            ),
            settings,
            rows,
            scratch: Vec::new(),
            filter: Filter::default(),
            check: Box::new(|_, _| Ok(1)),
        })
    }

    /// A record that does not pass `check` is bad, one of no changes is left out, and a batch is full at `changes_max`.
    pub fn checked(
        mut self,
        check: impl Fn(&[Column], usize) -> Result<usize, BadValue> + Send + 'static,
        changes_max: usize,
    ) -> JsonDecoder {
        self.check = Box::new(check);
        self.rows = self.rows.at_most(changes_max);
        self
    }

    pub fn filtered(mut self, filter: Filter) -> JsonDecoder {
        self.filter = filter;
        self
    }

    /// Reads the record that begins at `start`; gives its end, and how many changes it stands for.
    fn record(&mut self, bytes: &[u8], start: usize) -> Scan<(usize, usize)> {
        if let Some(end) = self.filter.end_of_other(bytes, start)? {
            return Ok((end, 0));
        }
        let row = self.rows.count();
        let mut reader =
            RecordReader { scan: Scanner { bytes, at: start }, settings: &self.settings, scratch: &mut self.scratch };
        reader.object(&mut self.rows.columns, &mut self.keys, row)?;
        let end = reader.scan.at;
        let changes = (self.check)(&self.rows.columns, row).map_err(|bad| Box::new(Trouble::Value(bad)))?;
        Ok((end, changes))
    }

    /// Where the next record begins: after white space, line ends, and what separates the elements of an array.
    fn next_record(&self, bytes: &[u8], from: usize) -> usize {
        let between = |byte: &u8| {
            matches!(byte, b'\n' | b' ' | b'\r' | b'\t' | b',' | b'[' | b']') || *byte == self.settings.separator
        };
        from + bytes[from..].iter().take_while(|byte| between(byte)).count()
    }

    /// Where a bad record ends; `None` if that is not known yet.
    fn end_of_bad(&self, bytes: &[u8], start: usize, trouble: &Trouble, last: bool) -> Option<usize> {
        if matches!(trouble, Trouble::Value(_)) {
            let mut scan = Scanner { bytes, at: start };
            match scan.skip_value() {
                Ok(()) => return Some(scan.at),
                Err(trouble) if matches!(*trouble, Trouble::Unfinished) && !last => return None,
                Err(_) => {}
            }
        }
        match memchr::memchr2(b'\n', self.settings.separator, &bytes[start..]) {
            Some(length) => Some(start + length),
            None => last.then_some(bytes.len()),
        }
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        let mut at = 0;
        loop {
            at = self.next_record(bytes, at);
            if at == bytes.len() || self.rows.is_full() {
                return Ok(at);
            }
            let trouble = match self.record(bytes, at) {
                Ok((end, changes)) => {
                    match changes {
                        0 => self.rows.undo_row(),
                        _ => self.rows.close_row(end - at, changes),
                    }
                    at = end;
                    continue;
                }
                Err(trouble) => *trouble,
            };
            self.rows.undo_row();
            if matches!(trouble, Trouble::Unfinished) && !last {
                return Ok(at);
            }
            let Some(end) = self.end_of_bad(bytes, at, &trouble, last) else { return Ok(at) };
            if !self.bad.ignore && at > 0 {
                // What came before is handed over first; the next call begins with the bad record.
                return Ok(at);
            }
            let record = &bytes[at..end];
            let why = explain(trouble, at, record);
            if !self.bad.ignore {
                return Err(self.bad.error(&why, record));
            }
            self.bad.skip(&why, record);
            at = end;
        }
    }

    fn flush(&mut self) -> Result<Option<Batch>> {
        self.rows.flush()
    }

    fn skipped(&mut self) -> Option<Skipped> {
        self.bad.take()
    }
}

fn explain(trouble: Trouble, start: usize, record: &[u8]) -> String {
    match trouble {
        Trouble::Unfinished => "the input ends inside the record".to_string(),
        Trouble::Malformed { expected, at } if at - start < record.len() => {
            format!("expected {expected} at character {}", at - start + 1)
        }
        Trouble::Malformed { expected, .. } => format!("expected {expected}, found the end of the line"),
        Trouble::Value(bad) if bad.path.is_empty() => bad.why,
        Trouble::Value(bad) => format!("column {}: {}", bad.path, bad.why),
    }
}
