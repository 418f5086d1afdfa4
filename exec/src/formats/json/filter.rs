//! Leaves out records of other tables before their values are read, because these need not fit the columns of this one.

use regex::Regex;

use super::token::{BadValue, Scan, Scanner, Trouble, unescape};
use crate::connect::TableDefinition;
use crate::error::{Error, Result};

/// What fields of a record must be for it to be read. Without conditions, records are not looked at.
#[derive(Default)]
pub struct Filter {
    conditions: Vec<Condition>,
    /// For strings with escapes.
    scratch: Vec<u8>,
}

struct Condition {
    field: &'static str,
    /// The same in quotes, as in the record.
    key: String,
    option: &'static str,
    /// Of the whole text.
    pattern: Regex,
    /// In the record at hand; `None`: the field is not there.
    holds: Option<bool>,
}

impl Filter {
    /// The conditions that the table sets: each of `options` is the name of an option, and the field that has to match it.
    ///
    /// # Errors
    /// An option is not a regular expression.
    pub fn of(table: &TableDefinition, options: &[(&'static str, &'static str)]) -> Result<Filter> {
        let set = options.iter().filter_map(|&(option, field)| Some((option, field, table.options.get(option)?)));
        let condition = |(option, field, pattern): (&'static str, &'static str, &str)| {
            let pattern = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
                Error::new(format!("option '{option}' of table {} has the value '{pattern}'", table.name))
                    .why(format!("it is no regular expression: {error}"))
                    .fix(format!("write one that matches the whole name of the {field}"))
            })?;
            Ok(Condition { field, key: format!("\"{field}\""), option, pattern, holds: None })
        };
        Ok(Filter { conditions: set.map(condition).collect::<Result<_>>()?, scratch: Vec::new() })
    }

    /// The end of the record that begins at `start`, if it is to be left out.
    ///
    /// # Errors
    /// A field with a condition is not there. What is not JSON is left to the record's reader to explain.
    pub fn end_of_other(&mut self, bytes: &[u8], start: usize) -> Scan<Option<usize>> {
        if self.conditions.is_empty() {
            return Ok(None);
        }
        let mut scan = Scanner { bytes, at: start };
        match self.look(&mut scan) {
            Ok(()) => {}
            Err(trouble) if matches!(*trouble, Trouble::Malformed { .. }) => return Ok(None),
            Err(other) => return Err(other),
        }
        let mut all = true;
        for condition in &self.conditions {
            all &= condition.holds.ok_or_else(|| {
                let why = format!("it is missing, and '{}' asks what it is", condition.option);
                Box::new(Trouble::Value(BadValue { path: condition.field.to_string(), why }))
            })?;
        }
        Ok((!all).then_some(scan.at))
    }

    /// Goes past a record and notes which conditions hold; of equal keys the last one counts.
    fn look(&mut self, scan: &mut Scanner) -> Scan<()> {
        self.conditions.iter_mut().for_each(|condition| condition.holds = None);
        scan.expect(b'{', "an object in braces")?;
        loop {
            if scan.peek()? != b'"' {
                return scan.malformed("a key in double quotes");
            }
            let key = scan.string()?;
            let key = scan.slice(key.start - 1, key.end + 1);
            scan.expect(b':', "a colon after the key")?;
            let condition = self.conditions.iter_mut().find(|condition| condition.key.as_bytes() == key);
            match (condition, scan.peek()?) {
                (Some(condition), b'"') => {
                    let text = scan.string()?;
                    self.scratch.clear();
                    unescape(scan.slice(text.start, text.end), &mut self.scratch);
                    condition.holds = Some(condition.pattern.is_match(&String::from_utf8_lossy(&self.scratch)));
                }
                _ => scan.skip_value()?,
            }
            match scan.peek()? {
                b',' => scan.at += 1,
                b'}' => break,
                _ => return scan.malformed("a comma or the closing brace"),
            }
        }
        scan.at += 1;
        Ok(())
    }
}
