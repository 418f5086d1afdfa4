//! Where fields end.

use super::super::scan::{Found, find};
use super::Dialect;

/// One field of a record.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its text is `bytes[start..end]`, or in the scratch space if it had to be unescaped.
    pub start: usize,
    pub end: usize,
    pub unescaped: bool,
    pub quoted: bool,
    pub ascii: bool,
    /// Where the next field or record begins.
    pub next: usize,
    /// It is the last of its record.
    pub ends_record: bool,
}

/// Why there is no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoField {
    /// The bytes end inside it.
    Unfinished,
    /// Something follows the closing quote; it is at this index.
    AfterQuote(usize),
    /// The input ends between quotes.
    Unclosed,
}

/// The field at `start`. With `last`, the end of the bytes ends the record too.
#[inline]
pub fn field(
    bytes: &[u8],
    start: usize,
    last: bool,
    dialect: &Dialect,
    scratch: &mut Vec<u8>,
) -> Result<Field, NoField> {
    if dialect.quote.is_some() && bytes.get(start).copied() == dialect.quote {
        return quoted(bytes, start, last, dialect, scratch);
    }
    if dialect.escape.is_some() {
        return escaped(bytes, start, last, dialect, scratch);
    }
    let found = find_either(bytes, start, dialect.delimiter, dialect.end);
    match bytes.get(found.at) {
        None if !last => Err(NoField::Unfinished),
        end => {
            let ends_record = end != Some(&dialect.delimiter);
            let field_end = if ends_record { before_return(bytes, start, found.at) } else { found.at };
            let next = bytes.len().min(found.at + 1);
            let (unescaped, quoted) = (false, false);
            Ok(Field { start, end: field_end, unescaped, quoted, ascii: found.ascii, next, ends_record })
        }
    }
}

#[inline(always)]
fn find_either(bytes: &[u8], from: usize, a: u8, b: u8) -> Found {
    find(bytes, from, |block| block.equal(a).or(block.equal(b)), |byte| byte == a || byte == b)
}

/// `end`, or one less if a carriage return is before it.
#[inline]
fn before_return(bytes: &[u8], start: usize, end: usize) -> usize {
    if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end }
}

/// A field without quotes, in a dialect with escapes.
#[cold]
fn escaped(bytes: &[u8], start: usize, last: bool, dialect: &Dialect, scratch: &mut Vec<u8>) -> Result<Field, NoField> {
    scratch.clear();
    let mut at = start;
    let ends_record = loop {
        match bytes.get(at) {
            None if last => break true,
            None => return Err(NoField::Unfinished),
            Some(&byte) if byte == dialect.delimiter => break false,
            Some(&byte) if byte == dialect.end => break true,
            Some(&byte) if Some(byte) == dialect.escape => match bytes.get(at + 1) {
                Some(&next) => {
                    scratch.push(meaning(next));
                    at += 2;
                }
                None if last => at += 1,
                None => return Err(NoField::Unfinished),
            },
            Some(&byte) => {
                scratch.push(byte);
                at += 1;
            }
        }
    };
    if ends_record && scratch.last() == Some(&b'\r') && bytes.get(at.wrapping_sub(1)) == Some(&b'\r') {
        scratch.pop();
    }
    let next = bytes.len().min(at + 1);
    Ok(Field { start, end: at, unescaped: true, quoted: false, ascii: false, next, ends_record })
}

/// A field in quotes: doubled quotes stand for one, line ends and delimiters for themselves.
fn quoted(bytes: &[u8], start: usize, last: bool, dialect: &Dialect, scratch: &mut Vec<u8>) -> Result<Field, NoField> {
    let quote = dialect.quote.unwrap_or(b'"');
    let escape = dialect.escape.unwrap_or(quote);
    let begin = start + 1;
    let (mut at, mut copied, mut unescaped, mut ascii) = (begin, begin, false, true);
    let unfinished = if last { NoField::Unclosed } else { NoField::Unfinished };
    let end = loop {
        let found = find_either(bytes, at, quote, escape);
        ascii &= found.ascii;
        at = found.at;
        let Some(&byte) = bytes.get(at) else { return Err(unfinished) };
        let following = bytes.get(at + 1).copied();
        if byte == quote && following != Some(quote) {
            if following.is_none() && !last {
                // The next byte decides whether this quote closes the field.
                return Err(NoField::Unfinished);
            }
            break at;
        }
        let Some(following) = following else { return Err(unfinished) };
        if !unescaped {
            scratch.clear();
            unescaped = true;
        }
        scratch.extend_from_slice(&bytes[copied..at]);
        scratch.push(if byte == quote { quote } else { meaning(following) });
        ascii &= following.is_ascii();
        at += 2;
        copied = at;
    };
    if unescaped {
        scratch.extend_from_slice(&bytes[copied..end]);
    }
    let mut next = end + 1;
    let ends_record = loop {
        match bytes.get(next) {
            None if last => break true,
            None => return Err(NoField::Unfinished),
            Some(&byte) if byte == dialect.delimiter => break false,
            Some(&byte) if byte == dialect.end => break true,
            Some(b' ' | b'\r') => next += 1,
            Some(_) => return Err(NoField::AfterQuote(next)),
        }
    };
    let next = bytes.len().min(next + 1);
    Ok(Field { start: begin, end, unescaped, quoted: true, ascii, next, ends_record })
}

/// The character that an escape followed by `byte` stands for.
fn meaning(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        other => other,
    }
}
