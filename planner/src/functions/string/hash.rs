//! Digests, printed as lower case hexadecimal digits.

use std::fmt::Write;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType::Utf8;
use datafusion::error::Result;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use tidemill_exec::Error;

use crate::functions::call::{Call, Function, Kind::*, texts, try_texts};

pub fn all() -> Vec<Function> {
    type Body = fn(&Call) -> Result<ArrayRef>;
    let digests: [(&str, Body); 6] = [
        ("md5", digest_of::<Md5>),
        ("sha1", digest_of::<Sha1>),
        ("sha224", digest_of::<Sha224>),
        ("sha256", digest_of::<Sha256>),
        ("sha384", digest_of::<Sha384>),
        ("sha512", digest_of::<Sha512>),
    ];
    let mut functions: Vec<Function> = digests
        .into_iter()
        .map(|(name, body)| Function::new(name, Utf8, body).takes(&[Text]).takes(&[Bytes]))
        .collect();
    functions.push(Function::new("sha2", Utf8, sha2).takes(&[Text, Int]).takes(&[Bytes, Int]));
    functions
}

fn digest_of<D: Digest>(call: &Call) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    texts(call.rows, |row, out| write_digest::<D>(bytes.get(row)?, out))
}

fn write_digest<D: Digest>(bytes: &[u8], out: &mut String) -> Option<()> {
    for byte in D::digest(bytes).as_slice() {
        write!(out, "{byte:02x}").ok()?;
    }
    Some(())
}

/// `SHA2(text, bits)`.
fn sha2(call: &Call) -> Result<ArrayRef> {
    let (bytes, bits) = (call.bytes(0)?, call.long(1)?);
    try_texts(call.rows, |row, out| {
        let (Some(bytes), Some(bits)) = (bytes.get(row), bits.get(row)) else { return Ok(None) };
        Ok(match bits {
            224 => write_digest::<Sha224>(bytes, out),
            256 => write_digest::<Sha256>(bytes, out),
            384 => write_digest::<Sha384>(bytes, out),
            512 => write_digest::<Sha512>(bytes, out),
            _ => {
                return Err(Error::new(format!("SHA2 has no digest of {bits} bits"))
                    .fix("use 224, 256, 384 or 512")
                    .into());
            }
        })
    })
}
