//! `PARSE_URL`, `URL_ENCODE`, `URL_DECODE`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType::Utf8;
use datafusion::error::Result;

use crate::functions::call::{Call, Function, Kind::*, texts};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("parse_url", Utf8, |call| {
            let (url, part) = (call.text(0)?, call.text(1)?);
            let key = if call.count() == 3 { Some(call.text(2)?) } else { None };
            texts(call.rows, |row, out| {
                let url = Url::parse(url.get(row)?)?;
                let part = part.get(row)?;
                match &key {
                    None => url.write(part, out),
                    Some(key) => {
                        let key = key.get(row)?;
                        if part != "QUERY" {
                            return None;
                        }
                        let pairs = url.query?.split('&').map(|pair| pair.split_once('='));
                        let (_, value) = pairs.flatten().find(|(name, _)| *name == key)?;
                        out.push_str(value);
                        Some(())
                    }
                }
            })
        })
        .takes(&[Text, Text])
        .takes(&[Text, Text, Text])
        .nullable(),
        Function::new("url_encode", Utf8, |call| {
            let text = call.text(0)?;
            texts(call.rows, |row, out| {
                for byte in text.get(row)?.bytes() {
                    match byte {
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                            out.push(char::from(byte))
                        }
                        b' ' => out.push('+'),
                        byte => {
                            let digit =
                                |value: u8| char::from_digit(u32::from(value), 16).map(|c| c.to_ascii_uppercase());
                            out.push('%');
                            out.extend(digit(byte >> 4));
                            out.extend(digit(byte & 15));
                        }
                    }
                }
                Some(())
            })
        })
        .takes(&[Text]),
        Function::new("url_decode", Utf8, |call| {
            let text = call.text(0)?;
            texts(call.rows, |row, out| {
                out.push_str(&url_decode(text.get(row)?)?);
                Some(())
            })
        })
        .takes(&[Text])
        .nullable(),
        Function::new("url_decode_recursive", Utf8, url_decode_recursive).takes(&[Text]).takes(&[Text, Int]).nullable(),
    ]
}

/// The parts of a URL as they stand in it, by the rules of Java's `java.net.URL`.
struct Url<'a> {
    protocol: &'a str,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// `None` for protocols that Java has no handler for, and for texts without one.
    fn parse(url: &'a str) -> Option<Url<'a>> {
        let url = url.trim();
        let (protocol, rest) = url.split_once(':')?;
        let known = ["http", "https", "ftp", "file", "jar", "mailto"];
        if !known.iter().any(|known| known.eq_ignore_ascii_case(protocol)) {
            return None;
        }
        let (rest, reference) = cut(rest, '#');
        let (rest, query) = cut(rest, '?');
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find('/').unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
            None => (None, rest),
        };
        Some(Url { protocol, authority, path, query, reference })
    }

    fn write(&self, part: &str, out: &mut String) -> Option<()> {
        match part {
            "PROTOCOL" => out.push_str(&self.protocol.to_ascii_lowercase()),
            "AUTHORITY" => out.push_str(self.authority?),
            "HOST" => {
                let address = self.authority.unwrap_or("").rsplit('@').next()?;
                // The colons of [::1]:80 that belong to the address are inside brackets.
                let end = address.rfind(']').map_or(0, |at| at + 1);
                let port = address[end..].find(':').map_or(address.len(), |at| end + at);
                out.push_str(&address[..port]);
            }
            "USERINFO" => out.push_str(self.authority?.rsplit_once('@')?.0),
            "PATH" => out.push_str(self.path),
            "QUERY" => out.push_str(self.query?),
            "FILE" => {
                out.push_str(self.path);
                if let Some(query) = self.query {
                    out.push('?');
                    out.push_str(query);
                }
            }
            "REF" => out.push_str(self.reference?),
            _ => return None,
        }
        Some(())
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// `None` if a percent sign is not followed by two digits. Bytes that are no UTF-8 become replacement characters.
fn url_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(String::from_utf8(decoded).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Decodes until nothing changes any more, or `depth` times (by default 10).
fn url_decode_recursive(call: &Call) -> Result<ArrayRef> {
    let text = call.text(0)?;
    let depth = if call.count() == 2 { Some(call.long(1)?) } else { None };
    texts(call.rows, |row, out| {
        let depth = match &depth {
            Some(depth) => depth.get(row)?,
            None => 10,
        };
        let mut current = text.get(row)?.to_string();
        for round in 0..depth {
            match url_decode(&current) {
                Some(next) if next != current => current = next,
                None if round == 0 => return None,
                _ => break,
            }
        }
        out.push_str(&current);
        Some(())
    })
}
