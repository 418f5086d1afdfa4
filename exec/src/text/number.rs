//! Numbers as Java writes them.

use std::fmt::Write;

/// `Double.toString`: `1.0`, `0.1`, `1.0E10`, `NaN`, `-Infinity`; always the shortest digits that read back as the same value.
pub fn push_double(out: &mut String, value: f64) {
    push_floating(out, value, value.abs() >= 1e-3 && value.abs() < 1e7)
}

/// `Float.toString`.
pub fn push_float(out: &mut String, value: f32) {
    push_floating(out, value, value.abs() >= 1e-3 && value.abs() < 1e7)
}

/// What both widths share: Rust's shortest digits, in Java's layout. `plain` says that the size asks for no exponent.
fn push_floating<T: std::fmt::LowerExp + std::fmt::Debug + Copy + Into<f64>>(out: &mut String, value: T, plain: bool) {
    let wide: f64 = value.into();
    if wide.is_nan() {
        out.push_str("NaN");
    } else if wide.is_infinite() {
        out.push_str(if wide > 0.0 { "Infinity" } else { "-Infinity" });
    } else if plain || wide == 0.0 {
        let _ = write!(out, "{value:?}");
    } else {
        let start = out.len();
        let _ = write!(out, "{value:e}");
        if let Some(exponent) = out[start..].find('e').map(|at| start + at) {
            let fraction = out[start..exponent].contains('.');
            out.replace_range(exponent..=exponent, if fraction { "E" } else { ".0E" });
        }
    }
}

/// `unscaled` times ten to the power of `-scale`, with exactly `scale` digits after the point: `-0.05`.
pub fn push_decimal(out: &mut String, unscaled: i128, scale: i8) {
    if unscaled < 0 {
        out.push('-');
    }
    let digits = unscaled.unsigned_abs();
    match u32::try_from(scale) {
        Ok(0) => _ = write!(out, "{digits}"),
        Ok(places) => match 10u128.checked_pow(places) {
            Some(unit) => {
                let width = places as usize;
                _ = write!(out, "{}.{:0width$}", digits / unit, digits % unit);
            }
            None => _ = write!(out, "0.{digits:0width$}", width = places as usize),
        },
        Err(_) => {
            _ = write!(out, "{digits}");
            if digits != 0 {
                out.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
            }
        }
    }
}

/// `BigDecimal.toString`: plain unless the scale is negative or the value is below 10^-6, else `1E+2`, `1.5E-7`.
pub fn push_decimal_scientific(out: &mut String, unscaled: i128, scale: i8) {
    let digits = unscaled.unsigned_abs().checked_ilog10().unwrap_or(0) as i32;
    let exponent = digits - i32::from(scale);
    if scale >= 0 && exponent >= -6 {
        return push_decimal(out, unscaled, scale);
    }
    let start = out.len();
    _ = write!(out, "{unscaled}");
    let first = start + 1 + usize::from(unscaled < 0);
    if digits > 0 {
        out.insert(first, '.');
    }
    if exponent != 0 {
        _ = write!(out, "E{exponent:+}");
    }
}

/// The same value with the fewest digits: `BigDecimal.stripTrailingZeros`. The scale may become negative.
pub(crate) fn strip_trailing_zeros(mut unscaled: i128, mut scale: i8) -> (i128, i8) {
    if unscaled == 0 {
        return (0, 0);
    }
    while unscaled % 10 == 0 {
        unscaled /= 10;
        scale -= 1;
    }
    (unscaled, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn doubles_and_floats_read_as_in_java() {
        let double = |value| text(|out| push_double(out, value));
        let expected = [
            (1.0, "1.0"),
            (1.5, "1.5"),
            (0.1, "0.1"),
            (0.30000000000000004, "0.30000000000000004"),
            (1e10, "1.0E10"),
            (1.25e10, "1.25E10"),
            (9999999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (-1e-5, "-1.0E-5"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in expected {
            assert_eq!(double(value), expected);
        }
        assert_eq!(text(|out| push_float(out, 0.916_666_7)), "0.9166667");
        assert_eq!(text(|out| push_float(out, 1e10)), "1.0E10");
    }

    #[test]
    fn decimals_are_plain_or_scientific_as_in_big_decimal() {
        let plain = |unscaled, scale| text(|out| push_decimal(out, unscaled, scale));
        let scientific = |unscaled, scale| text(|out| push_decimal_scientific(out, unscaled, scale));
        assert_eq!(plain(-5, 2), "-0.05");
        assert_eq!(plain(12345, 3), "12.345");
        assert_eq!(plain(12, 0), "12");
        assert_eq!(plain(12, -2), "1200");
        assert_eq!(plain(1, 38), format!("0.{}1", "0".repeat(37)));
        assert_eq!(scientific(1, -2), "1E+2");
        assert_eq!(scientific(15, -1), "1.5E+2");
        assert_eq!(scientific(-15, 8), "-1.5E-7");
        assert_eq!(scientific(1, 6), "0.000001");
        assert_eq!(scientific(0, 0), "0");
        assert_eq!(strip_trailing_zeros(10000, 2), (1, -2));
        assert_eq!(strip_trailing_zeros(150, 2), (15, 1));
    }
}
