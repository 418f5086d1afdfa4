//! Texts and bytes in other notations: base 64, hexadecimal, binary, character sets, addresses.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, Int64Array};
use arrow::datatypes::DataType::{Binary, Int64, Utf8};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use datafusion::error::Result;
use rand::Rng;
use std::fmt::Write;
use tidemill_exec::Error;

use crate::functions::call::{Call, Function, Kind::*, texts, try_texts};

/// Java's decoder takes texts with and without padding.
const DECODER: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub fn all() -> Vec<Function> {
    vec![
        Function::new("to_base64", Utf8, |call| {
            let bytes = call.bytes(0)?;
            texts(call.rows, |row, out| {
                STANDARD.encode_string(bytes.get(row)?, out);
                Some(())
            })
        })
        .takes(&[Text])
        .takes(&[Bytes]),
        Function::new("from_base64", Utf8, |call| {
            let bytes = call.bytes(0)?;
            let mut decoded = Vec::new();
            try_texts(call.rows, |row, out| {
                let Some(bytes) = bytes.get(row) else { return Ok(None) };
                decoded.clear();
                DECODER.decode_vec(bytes, &mut decoded).map_err(|error| {
                    Error::new(format!("FROM_BASE64 cannot decode '{}'", String::from_utf8_lossy(bytes)))
                        .why(error.to_string())
                })?;
                out.push_str(&String::from_utf8_lossy(&decoded));
                Ok(Some(()))
            })
        })
        .takes(&[Text])
        .takes(&[Bytes]),
        Function::new("hex", Utf8, hex).takes(&[Int]).takes(&[Text]).takes(&[Bytes]),
        Function::new("unhex", Binary, |call| {
            let text = call.text(0)?;
            let mut out = BinaryBuilder::new();
            for row in 0..call.rows {
                out.append_option(text.get(row).and_then(|text| unhex(text.as_bytes())));
            }
            Ok(Arc::new(out.finish()))
        })
        .takes(&[Text])
        .nullable(),
        Function::new("bin", Utf8, |call| {
            let number = call.long(0)?;
            texts(call.rows, |row, out| write!(out, "{:b}", number.get(row)?).ok())
        })
        .takes(&[Int]),
        Function::new("encode", Binary, |call| {
            let (text, names) = (call.text(0)?, call.text(1)?);
            let mut out = BinaryBuilder::new();
            for row in 0..call.rows {
                match (text.get(row), names.get(row)) {
                    (Some(text), Some(name)) => out.append_value(Charset::named(call, name)?.encode(text)),
                    _ => out.append_null(),
                }
            }
            Ok(Arc::new(out.finish()))
        })
        .takes(&[Text, Text]),
        Function::new("decode", Utf8, |call| {
            let (bytes, names) = (call.bytes(0)?, call.text(1)?);
            try_texts(call.rows, |row, out| {
                let (Some(bytes), Some(name)) = (bytes.get(row), names.get(row)) else { return Ok(None) };
                Charset::named(call, name)?.decode(bytes, out);
                Ok(Some(()))
            })
        })
        .takes(&[Bytes, Text])
        .takes(&[Text, Text]),
        Function::new("uuid", Utf8, |call| {
            let mut random = rand::rng();
            texts(call.rows, |_, out| {
                uuid(random.random(), out);
                Some(())
            })
        })
        .takes(&[])
        .volatile(),
        Function::new("inet_aton", Int64, |call| {
            let text = call.text(0)?;
            let number = |row| {
                let address: std::net::Ipv4Addr = text.get(row)?.parse().ok()?;
                Some(i64::from(u32::from(address)))
            };
            Ok(Arc::new((0..call.rows).map(number).collect::<Int64Array>()))
        })
        .takes(&[Text])
        .nullable(),
        Function::new("inet_ntoa", Utf8, |call| {
            let number = call.long(0)?;
            texts(call.rows, |row, out| {
                let address = u32::try_from(number.get(row)?).ok()?;
                write!(out, "{}", std::net::Ipv4Addr::from(address)).ok()
            })
        })
        .takes(&[Int])
        .nullable(),
    ]
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Upper case digits; of an integer without leading zeros, negative ones in two's complement.
fn hex(call: &Call) -> Result<ArrayRef> {
    if call.data_type(0).is_integer() {
        let number = call.long(0)?;
        return texts(call.rows, |row, out| write!(out, "{:X}", number.get(row)?).ok());
    }
    let bytes = call.bytes(0)?;
    texts(call.rows, |row, out| {
        for byte in bytes.get(row)? {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        Some(())
    })
}

/// `None` if a character is no digit. An odd first digit is a byte of its own.
fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|digit| digit as u8);
    let (odd, pairs) = text.split_at(text.len() % 2);
    let mut bytes = Vec::with_capacity(text.len() / 2 + 1);
    for c in odd {
        bytes.push(digit(*c)?);
    }
    for pair in pairs.chunks_exact(2) {
        bytes.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(bytes)
}

/// Version 4, variant 1.
fn uuid(random: u128, out: &mut String) {
    let bits = random & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    for (i, at) in (0..32).rev().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(char::from(HEX[(bits >> (at * 4) & 15) as usize]).to_ascii_lowercase());
    }
}

enum Charset {
    Ascii,
    Latin1,
    Utf8,
    /// Big-endian; with a byte order mark when written, and either order when one is read.
    Utf16,
    Utf16Be,
    Utf16Le,
}

impl Charset {
    fn named(call: &Call, name: &str) -> Result<Charset> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "US-ASCII" | "ASCII" => Charset::Ascii,
            "ISO-8859-1" | "LATIN1" => Charset::Latin1,
            "UTF-8" | "UTF8" => Charset::Utf8,
            "UTF-16" => Charset::Utf16,
            "UTF-16BE" => Charset::Utf16Be,
            "UTF-16LE" => Charset::Utf16Le,
            _ => {
                return Err(Error::new(format!("{} does not know the character set '{name}'", call.shown()))
                    .fix("use one of US-ASCII, ISO-8859-1, UTF-8, UTF-16BE, UTF-16LE, UTF-16")
                    .into());
            }
        })
    }

    /// Characters that the set lacks become `?`.
    fn encode(&self, text: &str) -> Vec<u8> {
        let below = |limit: u32| text.chars().map(|c| if (c as u32) < limit { c as u32 as u8 } else { b'?' }).collect();
        match self {
            Charset::Ascii => below(128),
            Charset::Latin1 => below(256),
            Charset::Utf8 => text.as_bytes().to_vec(),
            Charset::Utf16 => [0xFE, 0xFF].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect(),
            Charset::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Charset::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }

    /// What cannot be decoded becomes the replacement character.
    fn decode(&self, bytes: &[u8], out: &mut String) {
        let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16, out: &mut String| {
            let units = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
            out.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        };
        match self {
            Charset::Ascii => out.extend(bytes.iter().map(|byte| match byte {
                0..128 => char::from(*byte),
                _ => char::REPLACEMENT_CHARACTER,
            })),
            Charset::Latin1 => out.extend(bytes.iter().copied().map(char::from)),
            Charset::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Charset::Utf16 => match bytes {
                [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes, out),
                [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes, out),
                bytes => wide(bytes, u16::from_be_bytes, out),
            },
            Charset::Utf16Be => wide(bytes, u16::from_be_bytes, out),
            Charset::Utf16Le => wide(bytes, u16::from_le_bytes, out),
        }
    }
}
