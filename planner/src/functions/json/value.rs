//! JSON text read into values that borrow from it.
//!
//! Not `serde_json`: numbers must come out as they were written (`1.10` stays `1.10`), and most of a document is read
//! only to be skipped, which needs no copies.

use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    Null,
    Boolean(bool),
    /// As written.
    Number(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// In the order of the text; of equal keys the last counts.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Deeper nesting is refused, so that no input can exhaust the stack.
const DEPTH_MAX: usize = 500;

impl<'a> Json<'a> {
    /// The one value that `text` is; `None` if it is no JSON.
    pub fn parse(text: &'a str) -> Option<Json<'a>> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.blank();
        (parser.at == text.len()).then_some(value)
    }

    pub fn is_scalar(&self) -> bool {
        !matches!(self, Json::Array(_) | Json::Object(_))
    }

    pub fn member(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Appends the value without blanks, members in the order of their keys, as Flink does to be deterministic.
    pub fn push(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(text) => out.push_str(text),
            Json::Text(text) => push_text(out, text),
            Json::Array(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.push(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                let sorted: BTreeMap<&str, &Json<'_>> =
                    members.iter().map(|(key, value)| (key.as_ref(), value)).collect();
                out.push('{');
                for (place, (key, value)) in sorted.into_iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    push_text(out, key);
                    out.push(':');
                    value.push(out);
                }
                out.push('}');
            }
        }
    }

    /// A scalar as SQL text: without quotes.
    pub fn push_scalar(&self, out: &mut String) {
        match self {
            Json::Text(text) => out.push_str(text),
            other => other.push(out),
        }
    }
}

/// Appends `text` in double quotes.
pub fn push_text(out: &mut String, text: &str) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.blank();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.blank();
        match self.peek()? {
            b'n' => self.word("null", Json::Null),
            b't' => self.word("true", Json::Boolean(true)),
            b'f' => self.word("false", Json::Boolean(false)),
            b'"' => Some(Json::Text(self.string()?)),
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                if self.eat(b']') {
                    return Some(Json::Array(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    if self.eat(b']') {
                        return Some(Json::Array(items));
                    }
                    if !self.eat(b',') {
                        return None;
                    }
                }
            }
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                if self.eat(b'}') {
                    return Some(Json::Object(members));
                }
                loop {
                    self.blank();
                    let key = self.string()?;
                    if !self.eat(b':') {
                        return None;
                    }
                    members.push((key, self.value(depth + 1)?));
                    if self.eat(b'}') {
                        return Some(Json::Object(members));
                    }
                    if !self.eat(b',') {
                        return None;
                    }
                }
            }
            _ => self.number(),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Option<Json<'a>> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        match self.digits() {
            0 => return None,
            1 => {}
            _ if leading_zero => return None,
            _ => {}
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return None;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return None;
            }
        }
        Some(Json::Number(&self.text[start..self.at]))
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(Cow::Borrowed(&self.text[start..self.at - 1]));
                }
                b'\\' => break,
                ..b' ' => return None,
                _ => self.at += 1,
            }
        }
        let mut text = self.text[start..self.at].to_string();
        loop {
            let plain = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | ..b' ') {
                self.at += 1;
            }
            text.push_str(&self.text[plain..self.at]);
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(Cow::Owned(text));
                }
                b'\\' => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let escaped = self.peek()?;
        self.at += 1;
        Some(match escaped {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    // Half a pair is no character.
                    return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                if !self.text[self.at..].starts_with("\\u") {
                    return Some(char::REPLACEMENT_CHARACTER);
                }
                self.at += 2;
                let second = self.hex()?;
                let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
                low.and_then(|low| char::from_u32(0x10000 + ((first - 0xd800) << 10) + low))
                    .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        let mut out = String::new();
        Json::parse(text)?.push(&mut out);
        Some(out)
    }

    #[test]
    fn values_are_written_without_blanks_in_the_order_of_keys() {
        let text = r#" { "b" : [ 1.10 , -2e5, true ] , "a" : { "x" : null } } "#;
        assert_eq!(again(text).as_deref(), Some(r#"{"a":{"x":null},"b":[1.10,-2e5,true]}"#));
        assert_eq!(again(r#"{"a":1,"a":2}"#).as_deref(), Some(r#"{"a":2}"#));
    }

    #[test]
    fn escapes_are_read_and_written() {
        assert_eq!(Json::parse(r#""a\"\u00e9\ud83d\ude00\n""#), Some(Json::Text("a\"é😀\n".into())));
        assert_eq!(again("\"\\u0001\\n\\/\"").as_deref(), Some(r#""\u0001\n/""#));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "x", "{", "[1,]", "{\"a\"}", "01", "1.", "\"a", "1 2", "nul", "'a'", "\"a\nb\""] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        assert_eq!(Json::parse(&"[".repeat(100_000)), None);
    }
}
