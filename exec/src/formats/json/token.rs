//! JSON in bytes: strings, numbers, nesting.
//!
//! Every method advances over what it recognised. That the bytes end is told apart from that they are wrong, because the first
//! may be cured by more bytes; what is wrong stays wrong whatever follows, and so how the input is cut never matters.

use super::super::scan::{Found, find};

/// Why a record could not be read.
#[derive(Debug)]
pub enum Trouble {
    /// The bytes end inside it.
    Unfinished,
    /// It is not JSON: what was expected, and where.
    Malformed { expected: &'static str, at: usize },
    /// It is JSON, but a value does not fit its column.
    Value(BadValue),
}

#[derive(Debug, Default)]
pub struct BadValue {
    /// From the outermost column inwards: `order.items`.
    pub path: String,
    pub why: String,
}

/// In a box, so that what comes back of most calls is one register.
pub type Scan<T> = Result<T, Box<Trouble>>;

/// A string between its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted {
    pub start: usize,
    pub end: usize,
    /// It contains escapes and has to be [unescaped](unescape).
    pub escaped: bool,
    pub ascii: bool,
}

/// A number.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    pub start: usize,
    pub end: usize,
    /// No fraction and no exponent.
    pub whole: bool,
}

pub struct Scanner<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Scanner<'a> {
    pub fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// The next byte that is not white space, without going past it.
    #[inline]
    pub fn peek(&mut self) -> Scan<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return Ok(byte),
                None => return self.unfinished(),
            }
        }
    }

    #[cold]
    pub fn malformed<T>(&self, expected: &'static str) -> Scan<T> {
        Err(Box::new(Trouble::Malformed { expected, at: self.at }))
    }

    #[cold]
    fn unfinished<T>(&self) -> Scan<T> {
        Err(Box::new(Trouble::Unfinished))
    }

    #[inline]
    pub fn expect(&mut self, byte: u8, expected: &'static str) -> Scan<()> {
        if self.peek()? != byte {
            return self.malformed(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// A string; `at` is its opening quote.
    #[inline(always)]
    pub fn string(&mut self) -> Scan<Quoted> {
        let start = self.at + 1;
        let found = self.find_special(start);
        if self.bytes.get(found.at) != Some(&b'"') {
            return self.string_with_escapes(start, found);
        }
        self.at = found.at + 1;
        Ok(Quoted { start, end: found.at, escaped: false, ascii: found.ascii })
    }

    /// What is between the quotes of a string of ASCII without escapes; else `None`, and nothing is passed over.
    #[inline(always)]
    pub fn plain_string(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        let found = self.find_special(start);
        if !found.ascii || self.bytes.get(found.at) != Some(&b'"') {
            return None;
        }
        self.at = found.at + 1;
        Some(&self.bytes[start..found.at])
    }

    /// The first byte from `at` on that ends a string, escapes a character of it, or may not be in it.
    #[inline(always)]
    fn find_special(&self, at: usize) -> Found {
        find(
            self.bytes,
            at,
            |block| block.equal(b'"').or(block.equal(b'\\')).or(block.below(b' ')),
            |byte| byte == b'"' || byte == b'\\' || byte < b' ',
        )
    }

    /// The string that begins at `start`, of which the first special byte was `found` and is no quote.
    #[inline(never)]
    fn string_with_escapes(&mut self, start: usize, mut found: Found) -> Scan<Quoted> {
        let (mut escaped, mut ascii) = (false, true);
        loop {
            let mut at = found.at;
            ascii &= found.ascii;
            match self.bytes.get(at) {
                None => return self.unfinished(),
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Quoted { start, end: at, escaped, ascii });
                }
                Some(b'\\') => {
                    escaped = true;
                    match self.bytes.get(at + 1) {
                        None => return self.unfinished(),
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u') => at += 2,
                        Some(_) => {
                            self.at = at + 1;
                            return self.malformed("one of \" \\ / b f n r t u after a backslash");
                        }
                    }
                }
                Some(_) => {
                    self.at = at;
                    return self.malformed("the closing quote of a string before the line ends");
                }
            }
            found = self.find_special(at);
        }
    }

    /// A number; `at` is its first byte, a digit or a minus.
    #[inline]
    pub fn number(&mut self) -> Scan<Number> {
        let start = self.at;
        let mut at = start;
        let mut whole = true;
        loop {
            match self.bytes.get(at) {
                None => return self.unfinished(),
                Some(b'0'..=b'9' | b'-') => at += 1,
                Some(b'.' | b'e' | b'E' | b'+') => {
                    whole = false;
                    at += 1;
                }
                Some(_) => break,
            }
        }
        if !is_number(&self.bytes[start..at], whole) {
            return self.malformed("a number");
        }
        self.at = at;
        Ok(Number { start, end: at, whole })
    }

    /// A whole number of at most 18 digits and what may follow one; else `None`, and nothing is passed over. The common case of
    /// [`number`](Self::number), in one pass.
    #[inline(always)]
    pub fn short_integer(&mut self) -> Option<i64> {
        let negative = self.bytes.get(self.at) == Some(&b'-');
        let start = self.at + usize::from(negative);
        let (mut at, mut value) = (start, 0i64);
        let mut more = true;
        if let Some(chunk) = self.bytes.get(start..).and_then(<[u8]>::first_chunk::<8>) {
            let (digits, of_digits) = leading_digits(u64::from_le_bytes(*chunk));
            (at, value, more) = (start + digits, of_digits, digits == 8);
        }
        while more && let Some(byte) = self.bytes.get(at) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            at += 1;
        }
        let ends = matches!(self.bytes.get(at), Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
        let digits = at - start;
        if !ends || digits == 0 || digits > 18 || (digits > 1 && self.bytes[start] == b'0') {
            return None;
        }
        self.at = at;
        Some(if negative { -value } else { value })
    }

    /// `true`, `false` or `null`; `at` is its first letter.
    #[inline]
    pub fn literal(&mut self) -> Scan<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        for literal in [&b"null"[..], b"true", b"false"] {
            if let Some(found) = rest.get(..literal.len())
                && found == literal
            {
                self.at += literal.len();
                return Ok(found);
            }
            if rest.len() < literal.len() && literal.starts_with(rest) {
                return self.unfinished();
            }
        }
        self.malformed("a value")
    }

    /// Goes past a value of any kind. Inside nested values only strings and the depth are looked at, but an object that begins
    /// where none can is noticed: it is what follows a record that was cut off, and would else be swallowed with all after it.
    pub fn skip_value(&mut self) -> Scan<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' => self.skip_nested(),
            b'-' | b'0'..=b'9' => match self.short_integer() {
                Some(_) => Ok(()),
                None => self.number().map(drop),
            },
            _ => self.literal().map(drop),
        }
    }

    fn skip_nested(&mut self) -> Scan<()> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.bytes.get(self.at) {
                None => return self.unfinished(),
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => {
                    if self.at > start && !matches!(self.significant_before(), b'{' | b'[' | b',' | b':') {
                        return self.malformed("a comma or a closing bracket");
                    }
                    depth += 1;
                }
                Some(b'}' | b']') => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(_) => {}
            }
            self.at += 1;
        }
    }

    /// The last byte before `at` that is not white space.
    fn significant_before(&self) -> u8 {
        self.bytes[..self.at].iter().rev().copied().find(|byte| !byte.is_ascii_whitespace()).unwrap_or(b' ')
    }
}

/// How many of eight bytes, the first in the lowest, are digits before the first that is none, and the number that these make. Without a
/// branch per digit, which no processor can foresee; by the sums of neighbours, then of pairs, then of fours.
#[inline]
fn leading_digits(bytes: u64) -> (usize, i64) {
    let values = bytes ^ 0x3030_3030_3030_3030;
    // The high bit of each byte above 9. A carry may set more of them, above the first.
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let digits = others.trailing_zeros() / 8;
    // Zeros in front.
    let values = values.checked_shl(64 - 8 * digits).unwrap_or(0);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (digits as usize, (low.wrapping_add(high) >> 32) as i64)
}

/// What JSON allows of what looks like a number: no leading zeros, digits around the point.
#[inline]
fn is_number(text: &[u8], whole: bool) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if whole {
        return match digits {
            [] => false,
            [_] => digits[0] != b'-',
            [b'0', ..] => false,
            digits => !digits.contains(&b'-'),
        };
    }
    let count = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (integer, mut rest) = digits.split_at(count(digits));
    if integer.is_empty() || (integer.len() > 1 && integer[0] == b'0') {
        return false;
    }
    if let [b'.', fraction @ ..] = rest {
        let width = count(fraction);
        if width == 0 {
            return false;
        }
        rest = &fraction[width..];
    }
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && exponent.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// Appends the text of a string with escapes, and says whether it is well-formed. Half a surrogate pair becomes U+FFFD.
pub fn unescape(text: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = text;
    loop {
        let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        let Some(escape) = rest.get(plain + 1) else { return plain == rest.len() };
        rest = &rest[plain + 2..];
        let character = match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let Some(unit) = hexadecimal(rest) else { return false };
                rest = &rest[4..];
                let low = rest.strip_prefix(b"\\u").and_then(hexadecimal);
                match (unit, low) {
                    (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                        rest = &rest[6..];
                        let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                    }
                    _ => char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
                }
            }
            &other => char::from(other),
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Four hexadecimal digits.
fn hexadecimal(text: &[u8]) -> Option<u32> {
    text.first_chunk::<4>()?.iter().try_fold(0, |value, &byte| Some(value * 16 + char::from(byte).to_digit(16)?))
}

/// Appends JSON without the white space between its tokens.
pub fn compact(json: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_json_says() {
        let number = |text: &str| {
            let text = format!("{text},");
            Scanner { bytes: text.as_bytes(), at: 0 }.number().is_ok()
        };
        for text in ["0", "-0", "12", "-12", "1.5", "0.5", "1e5", "1E+5", "1.5e-5", "123456789012345678901234567890"] {
            assert!(number(text), "{text}");
        }
        for text in ["-", "01", "-01", "1.", ".5", "1e", "1e+", "1.5.5", "1-2", "--1", "1e5.5", "+1"] {
            assert!(!number(text), "{text}");
        }
    }

    #[test]
    fn short_whole_numbers_are_read_at_once() {
        let read = |text: &str| {
            let mut scan = Scanner { bytes: text.as_bytes(), at: 0 };
            (scan.short_integer(), scan.at)
        };
        for number in (0..18).flat_map(|n| [10i64.pow(n), 10i64.pow(n) - 1, 123_456_789_012_345_678 / 10i64.pow(n)]) {
            for number in [number, -number] {
                // At the end of the bytes, and with others behind.
                for behind in [",", "}", "]  \u{ff}\u{ff}\u{ff}", " 7777777777", "\n{\"a\":1}"] {
                    let text = number.to_string();
                    assert_eq!(read(&format!("{text}{behind}")), (Some(number), text.len()), "{text}{behind}");
                }
            }
        }
        for text in
            ["1", "12345678", "-", "01,", "1.5,", "1e5,", "/1,", ":1,", "1:,", "12345678:", "1234567890123456789,"]
        {
            assert_eq!(read(text), (None, 0), "{text}");
        }
    }

    #[test]
    fn escapes_become_characters() {
        let text = |escaped: &str| {
            let mut out = Vec::new();
            unescape(escaped.as_bytes(), &mut out).then(|| String::from_utf8_lossy(&out).into_owned())
        };
        assert_eq!(text(r#"a\"b\\c\/d\n\t"#).as_deref(), Some("a\"b\\c/d\n\t"));
        assert_eq!(text(r"\u00e9\u20AC").as_deref(), Some("é€"));
        assert_eq!(text(r"\ud83d\ude00").as_deref(), Some("😀"));
        assert_eq!(text(r"\ud83dx").as_deref(), Some("\u{fffd}x"));
        assert_eq!(text(r"\ud83d\u0041").as_deref(), Some("\u{fffd}A"));
        assert_eq!(text(r"\u12"), None);
        assert_eq!(text(r"\u12g4"), None);
    }

    #[test]
    fn compact_json_keeps_what_is_inside_strings() {
        let mut out = Vec::new();
        compact(br#"{ "a b" : [ 1,  "x \" y" , null ] }"#, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), r#"{"a b":[1,"x \" y",null]}"#);
    }

    #[test]
    fn a_cut_off_object_is_not_swallowed_with_what_follows() {
        let skip = |text: &str| Scanner { bytes: text.as_bytes(), at: 0 }.skip_value();
        assert!(skip("{\"a\":[{}, {\"b\":[[1]]}]}").is_ok());
        assert!(skip("[\n {},\n {}\n]").is_ok());
        assert!(matches!(*skip("{\"a\":1\n{\"a\":2}\n").unwrap_err(), Trouble::Malformed { .. }));
        assert!(matches!(*skip("{\"a\":\"x\n\"}").unwrap_err(), Trouble::Malformed { .. }));
        assert!(matches!(*skip("{\"a\":1").unwrap_err(), Trouble::Unfinished));
    }
}
