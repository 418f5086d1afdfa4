//! `PRINTF`: Java's format strings (`%d %s %x %o %c %b %f %e %g %n %%`, with flags, width and precision).

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;
use tidemill_exec::Error;

use crate::functions::call::{Call, Function, Kind::*, check_text_bytes, try_texts};

pub fn all() -> Vec<Function> {
    vec![Function::new("printf", DataType::Utf8, printf).takes_many(&[Text, Any])]
}

fn printf(call: &Call) -> Result<ArrayRef> {
    let formats = call.text(0)?;
    let constant = formats.constant().map(parse).transpose()?;
    let arguments = (1..call.count()).map(|i| Argument::new(call, i)).collect::<Result<Vec<_>>>()?;
    try_texts(call.rows, |row, out| {
        let Some(format) = formats.get(row) else { return Ok(None) };
        let parsed;
        let pieces = match &constant {
            Some(pieces) => pieces,
            None => {
                parsed = parse(format)?;
                &parsed
            }
        };
        let mut next = 0;
        for piece in pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Spec(spec) => {
                    let index = match spec.index {
                        Some(index) => index - 1,
                        None => {
                            next += 1;
                            next - 1
                        }
                    };
                    let argument = arguments.get(index).ok_or_else(|| {
                        Error::new(format!("PRINTF has no argument for %{}", spec.conversion))
                            .why(format!("the format '{format}' needs {} or more", index + 1))
                    })?;
                    check_text_bytes(call, spec.width)?;
                    check_text_bytes(call, spec.precision.unwrap_or(0))?;
                    spec.write(argument, row, out)?;
                }
            }
        }
        Ok(Some(()))
    })
}

enum Piece {
    Literal(String),
    Spec(Spec),
}

struct Spec {
    /// `%2$s` names its argument.
    index: Option<usize>,
    flags: String,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

fn parse(format: &str) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut chars = format.chars().peekable();
    let bad = || Error::new(format!("PRINTF cannot read the format '{format}'")).fix("write %% for a percent sign");
    while let Some(c) = chars.next() {
        if c != '%' {
            literal.push(c);
            continue;
        }
        let number = |chars: &mut std::iter::Peekable<std::str::Chars>| {
            let mut number = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                number = Some((number.unwrap_or(0usize)).saturating_mul(10).saturating_add(digit as usize));
                chars.next();
            }
            number
        };
        let mut flags = String::new();
        let mut index = None;
        let mut width = None;
        if chars.peek().is_some_and(|c| ('1'..='9').contains(c)) {
            width = number(&mut chars);
            if chars.peek() == Some(&'$') {
                chars.next();
                index = width.take();
            }
        }
        if width.is_none() {
            while let Some(flag) = chars.next_if(|c| "-#+ 0,(".contains(*c)) {
                flags.push(flag);
            }
            width = number(&mut chars);
        }
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            precision = Some(number(&mut chars).ok_or_else(bad)?);
        }
        let conversion = chars.next().ok_or_else(bad)?;
        match conversion {
            '%' => literal.push('%'),
            'n' => literal.push('\n'),
            _ if "bBsSdxXocCeEfgGhH".contains(conversion) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                let width = width.unwrap_or(0);
                pieces.push(Piece::Spec(Spec { index, flags, width, precision, conversion }));
            }
            _ => return Err(bad().why(format!("there is no conversion %{conversion}"))),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

struct Argument {
    array: ArrayRef,
    step: usize,
}

impl Argument {
    fn new(call: &Call, i: usize) -> Result<Argument> {
        let (array, step) = call.raw(i)?;
        let array = match array.data_type() {
            of if of.is_integer() => arrow::compute::cast(&array, &DataType::Int64)?,
            DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => {
                arrow::compute::cast(&array, &DataType::Utf8)?
            }
            _ => array,
        };
        Ok(Argument { array, step })
    }

    fn float(&self, at: usize) -> Option<f64> {
        match self.array.data_type() {
            DataType::Float64 => Some(self.array.as_primitive::<Float64Type>().value(at)),
            DataType::Float32 => Some(f64::from(self.array.as_primitive::<Float32Type>().value(at))),
            DataType::Decimal128(..) => self.text(at).ok()?.parse().ok(),
            _ => None,
        }
    }

    fn long(&self, at: usize) -> Option<i64> {
        self.array.as_primitive_opt::<arrow::datatypes::Int64Type>().map(|array| array.value(at))
    }

    fn text(&self, at: usize) -> Result<String> {
        if let Some(array) = self.array.as_string_opt::<i32>() {
            return Ok(array.value(at).to_string());
        }
        if let (DataType::Float32 | DataType::Float64, Some(value)) = (self.array.data_type(), self.float(at)) {
            return Ok(java_double(value));
        }
        let options = FormatOptions::default();
        Ok(ArrayFormatter::try_new(self.array.as_ref(), &options)?.value(at).to_string())
    }
}

impl Spec {
    fn write(&self, argument: &Argument, row: usize, out: &mut String) -> Result<()> {
        let at = row * argument.step;
        let lower = self.conversion.to_ascii_lowercase();
        let null = argument.array.is_null(at);
        let has = |flag| self.flags.contains(flag);
        let mut body = match lower {
            'b' if null => "false".to_string(),
            'b' => argument.array.as_boolean_opt().is_none_or(|array| array.value(at)).to_string(),
            _ if null => "null".to_string(),
            's' => argument.text(at)?,
            'd' | 'x' | 'o' | 'c' => {
                let value = argument.long(at);
                match (lower, value) {
                    ('d', Some(value)) => self.signed(value < 0, value.unsigned_abs().to_string()),
                    // Java prints an INT argument with 32 bits and a BIGINT with 64; ours has lost the difference,
                    // so what fits into 32 bits is printed with them.
                    ('x', Some(value)) => match i32::try_from(value) {
                        Ok(value) => format!("{value:x}"),
                        Err(_) => format!("{value:x}"),
                    },
                    ('o', Some(value)) => match i32::try_from(value) {
                        Ok(value) => format!("{value:o}"),
                        Err(_) => format!("{value:o}"),
                    },
                    ('c', Some(value)) => u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('?').to_string(),
                    ('c', None) => argument.text(at)?.chars().take(1).collect(),
                    _ => return Err(self.mismatch(argument)),
                }
            }
            'e' | 'f' | 'g' => {
                let Some(value) = argument.float(at) else { return Err(self.mismatch(argument)) };
                self.real(lower, value)
            }
            // %h is the hash code of a Java object: nothing of ours has one.
            _ => return Err(self.mismatch(argument)),
        };
        if (matches!(lower, 's' | 'b') || null)
            && let Some(precision) = self.precision
        {
            body = body.chars().take(precision).collect();
        }
        if self.conversion.is_ascii_uppercase() {
            body = body.to_uppercase();
        }
        let missing = self.width.saturating_sub(body.chars().count());
        if has('-') {
            out.push_str(&body);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if has('0') && !null && "dxoefg".contains(lower) {
            let sign = body.len() - body.trim_start_matches(['-', '+', ' ', '(']).len();
            out.push_str(&body[..sign]);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(&body[sign..]);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(&body);
        }
        Ok(())
    }

    fn mismatch(&self, argument: &Argument) -> datafusion::error::DataFusionError {
        let of = crate::functions::call::sql_name(argument.array.data_type());
        Error::new(format!("PRINTF cannot print {of} with %{}", self.conversion))
            .fix("use %s, or convert the argument with CAST")
            .into()
    }

    /// Applies the flags `+`, space, `(` and `,` to a number's digits.
    fn signed(&self, negative: bool, digits: String) -> String {
        let digits = if self.flags.contains(',') { grouped(&digits) } else { digits };
        match (negative, self.flags.contains('(')) {
            (true, true) => format!("({digits})"),
            (true, false) => format!("-{digits}"),
            (false, _) if self.flags.contains('+') => format!("+{digits}"),
            (false, _) if self.flags.contains(' ') => format!(" {digits}"),
            (false, _) => digits,
        }
    }

    fn real(&self, conversion: char, value: f64) -> String {
        if value.is_nan() {
            return "NaN".to_string();
        }
        if value.is_infinite() {
            return self.signed(value < 0.0, "Infinity".to_string());
        }
        let precision = self.precision.unwrap_or(6);
        let size = value.abs();
        let digits = match conversion {
            'f' => fixed(size, precision),
            'e' => exponential(size, precision),
            _ => {
                let significant = precision.max(1);
                if size == 0.0 || (1e-4..10f64.powi(significant.min(300) as i32)).contains(&size) {
                    let before = if size < 1.0 { 1 } else { size.log10().floor() as usize + 1 };
                    let leading = if size > 0.0 && size < 1.0 { (-size.log10()).ceil() as usize - 1 } else { 0 };
                    let after = if size < 1.0 { significant + leading } else { significant.saturating_sub(before) };
                    fixed(size, if size == 0.0 { significant - 1 } else { after })
                } else {
                    exponential(size, significant - 1)
                }
            }
        };
        self.signed(value.is_sign_negative(), digits)
    }
}

/// Java rounds the shortest decimal form half up; Rust would round the exact binary value half to even.
fn fixed(size: f64, precision: usize) -> String {
    let plain = format!("{size}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    if fraction.len() <= precision {
        let dot = if precision > 0 { "." } else { "" };
        return format!("{whole}{dot}{fraction}{}", "0".repeat(precision - fraction.len()));
    }
    let round_up = fraction.as_bytes()[precision] >= b'5';
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes().take(precision)).collect();
    if round_up {
        let mut carry = true;
        for digit in digits.iter_mut().rev() {
            if *digit == b'9' {
                *digit = b'0';
            } else {
                *digit += 1;
                carry = false;
                break;
            }
        }
        if carry {
            digits.insert(0, b'1');
        }
    }
    let mut text: String = digits.into_iter().map(char::from).collect();
    if precision > 0 {
        text.insert(text.len() - precision, '.');
    }
    text
}

fn exponential(size: f64, precision: usize) -> String {
    // No DOUBLE has more digits than this, and Rust's formatter would not take any number of them.
    let precision = precision.min(1100);
    let text = format!("{size:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn grouped(digits: &str) -> String {
    let end = digits.find('.').unwrap_or(digits.len());
    let mut out = String::new();
    for (i, c) in digits[..end].chars().enumerate() {
        if i > 0 && (end - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out.push_str(&digits[end..]);
    out
}

/// A double as Java prints it: `1.0`, `1.0E10`, `1.0E-4`.
fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Infinity" } else { "Infinity" }.to_string();
    }
    let mut out = String::new();
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        // Writing to a String does not fail.
        let _ = write!(out, "{value:?}");
        return out;
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{dot}E{exponent}")
}
