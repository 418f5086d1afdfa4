//! Text as values, by Flink's rules. Everything here takes bytes, because formats have bytes; whatever is not ASCII is simply no
//! number and no date.

use arrow::datatypes::TimeUnit;

use super::{Zone, days_from_civil};

/// What stands between date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampStandard {
    /// `2020-02-29 12:34:56.789`
    Sql,
    /// `2020-02-29T12:34:56.789`
    Iso8601,
    /// Either.
    Any,
}

/// A timestamp as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedTimestamp {
    /// Seconds since 1970 on the clock it was read from.
    pub seconds: i64,
    /// Of the second.
    pub nanos: u32,
    /// Seconds east of UTC, if the text ends in `Z` or an offset.
    pub offset: Option<i32>,
}

impl ParsedTimestamp {
    /// The moment meant; `zone` is used if the text names none.
    pub fn to_utc(self, zone: &Zone) -> ParsedTimestamp {
        let seconds = match self.offset {
            Some(offset) => self.seconds - i64::from(offset),
            None => zone.from_local(self.seconds),
        };
        ParsedTimestamp { seconds, offset: Some(0), ..self }
    }

    /// Units since 1970, cut off; `None` if that does not fit 64 bits.
    pub fn value(self, unit: TimeUnit) -> Option<i64> {
        let (per_second, nanos) = match unit {
            TimeUnit::Second => (1, 1_000_000_000),
            TimeUnit::Millisecond => (1_000, 1_000_000),
            TimeUnit::Microsecond => (1_000_000, 1_000),
            TimeUnit::Nanosecond => (1_000_000_000, 1),
        };
        self.seconds.checked_mul(per_second)?.checked_add(i64::from(self.nanos / nanos))
    }
}

/// `2020-02-29 12:34:56`, with up to nine digits after a point, then nothing, `Z` or an offset such as `+08:00`.
pub fn parse_timestamp(text: &[u8], standard: TimestampStandard) -> Option<ParsedTimestamp> {
    let (days, rest) = date(text)?;
    let (&separator, rest) = rest.split_first()?;
    let fits = match standard {
        TimestampStandard::Sql => separator == b' ',
        TimestampStandard::Iso8601 => separator == b'T',
        TimestampStandard::Any => separator == b' ' || separator == b'T',
    };
    if !fits {
        return None;
    }
    on_day(days, rest)
}

/// Remembers the date of the timestamp before: most streams stay on one day for long, and then half of each text is only compared.
#[derive(Clone, Debug, Default)]
pub struct RecentDate {
    /// The date and what follows it, `2020-02-29 `, as far as the standard asked for accepts it.
    text: [u8; 11],
    days: i64,
}

impl RecentDate {
    /// [`parse_timestamp`], always called with the same standard.
    #[inline]
    pub fn parse_timestamp(&mut self, text: &[u8], standard: TimestampStandard) -> Option<ParsedTimestamp> {
        let (date, time) = match text.split_first_chunk::<11>() {
            Some(parts) => parts,
            None => return parse_timestamp(text, standard),
        };
        if *date == self.text {
            return on_day(self.days, time);
        }
        let parsed = parse_timestamp(text, standard)?;
        if matches!(date[10], b' ' | b'T') {
            self.text = *date;
            self.days = parsed.seconds.div_euclid(86400);
        }
        Some(parsed)
    }
}

/// The time of a day with what may follow it.
#[inline]
fn on_day(days: i64, text: &[u8]) -> Option<ParsedTimestamp> {
    let (second_of_day, nanos, rest) = time(text)?;
    let offset = match rest {
        [] => None,
        [b'Z'] => Some(0),
        rest => Some(parse_offset(rest)?),
    };
    Some(ParsedTimestamp { seconds: days * 86400 + i64::from(second_of_day), nanos, offset })
}

/// `2020-02-29`, also `2020-2-9`: days since 1970.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    match date(text)? {
        (days, []) => i32::try_from(days).ok(),
        _ => None,
    }
}

/// `12:34`, `12:34:56`, `12:34:56.789`: seconds of the day, nanoseconds of the second.
pub fn parse_time(text: &[u8]) -> Option<(u32, u32)> {
    match time(text)? {
        (second, nanos, []) => Some((second, nanos)),
        _ => None,
    }
}

/// `+08`, `+08:00`, `-0130`: seconds east of UTC.
pub fn parse_offset(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [hour] => (small(&[*hour])?, 0),
        [a, b] => (small(&[*a, *b])?, 0),
        [a, b, c, d] | [a, b, b':', c, d] => (small(&[*a, *b])?, small(&[*c, *d])?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i32)
}

/// Days since 1970, and what follows the date.
fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    // The common shape first: ten characters, all where they belong.
    let (year, month, day, rest) = match text {
        [a, b, c, d, b'-', e, f, b'-', g, h, rest @ ..] if g.is_ascii_digit() && h.is_ascii_digit() => {
            (small(&[*a, *b, *c, *d])?, small(&[*e, *f])?, small(&[*g, *h])?, rest)
        }
        _ => {
            let (year, rest) = digits(text, 4)?;
            let (month, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
            let (day, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
            (year, month, day, rest)
        }
    };
    let exists = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    exists.then(|| (days_from_civil(i64::from(year), month, day), rest))
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Seconds of the day, nanoseconds, and what follows the time.
#[inline]
fn time(text: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (hour, minute, rest) = match text {
        [a, b, b':', c, d, rest @ ..] => (small(&[*a, *b])?, small(&[*c, *d])?, rest),
        _ => {
            let (hour, rest) = digits(text, 2)?;
            let (minute, rest) = digits(rest.strip_prefix(b":")?, 2)?;
            (hour, minute, rest)
        }
    };
    let (second, mut rest) = match rest {
        [b':', a, b, rest @ ..] if b.is_ascii_digit() => (small(&[*a, *b])?, rest),
        [b':', a, rest @ ..] => (small(&[*a])?, rest),
        rest => (0, rest),
    };
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let width = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if width == 0 || width > 9 {
            return None;
        }
        nanos = small(&fraction[..width])? * 10u32.pow(9 - width as u32);
        rest = &fraction[width..];
    }
    (hour < 24 && minute < 60 && second < 60).then_some((hour * 3600 + minute * 60 + second, nanos, rest))
}

/// One to `most` digits, and what follows.
fn digits(text: &[u8], most: usize) -> Option<(u32, &[u8])> {
    let width = text.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    Some((small(&text[..width])?, &text[width..]))
}

/// A number of one to nine digits.
#[inline]
fn small(text: &[u8]) -> Option<u32> {
    let mut value = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    (!text.is_empty()).then_some(value)
}

/// A whole number with an optional sign, as `Long.parseLong`. `None` also if it does not fit.
#[inline]
pub fn parse_long(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= 18 {
        // 18 digits always fit.
        let mut value = 0i64;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Downwards, because the smallest number has no positive twin.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// As `Double.parseDouble`: `1`, `1.5`, `.5e-3`, `NaN`, `-Infinity`, `1.0f`. No hexadecimal.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    floating(text)
}

/// As `Float.parseFloat`.
pub fn parse_float(text: &[u8]) -> Option<f32> {
    floating(text)
}

fn floating<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let text = match unsigned.last()? {
        _ if unsigned == b"NaN" || unsigned == b"Infinity" => text,
        // Rust also reads `inf` and `nan`, Java does not.
        b'0'..=b'9' | b'.' if unsigned[0] == b'.' || unsigned[0].is_ascii_digit() => text,
        b'd' | b'D' | b'f' | b'F' if unsigned[0] == b'.' || unsigned[0].is_ascii_digit() => &text[..text.len() - 1],
        _ => return None,
    };
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A number that is no decimal, or one that needs more digits than the type has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    NotANumber,
    Overflow,
}

/// `12`, `-1.5`, `1.5E-3`: the unscaled value of a `DECIMAL(precision, scale)`, rounded half up.
///
/// # Errors
/// The text is no number, or the number has more than `precision - scale` digits before the point (where Flink gives NULL).
pub fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, DecimalError> {
    let (negative, body) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let whole = body.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = body.split_at(whole);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => rest.split_at(rest.iter().take_while(|byte| byte.is_ascii_digit()).count()),
        None => (&rest[..0], rest),
    };
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', exponent @ ..] => parse_long(exponent).ok_or(DecimalError::NotANumber)?,
        _ => return Err(DecimalError::NotANumber),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DecimalError::NotANumber);
    }
    // Of all digits in a row, so many stay; the next one decides about rounding.
    let keep = exponent.saturating_add(whole.len() as i64).saturating_add(i64::from(scale));
    let count = (whole.len() + fraction.len()) as i64;
    let mut unscaled = 0u128;
    let mut round_up = false;
    for (index, digit) in (0i64..).zip(whole.iter().chain(fraction).map(|byte| byte - b'0')) {
        if index < keep {
            unscaled = unscaled
                .checked_mul(10)
                .and_then(|value| value.checked_add(u128::from(digit)))
                .ok_or(DecimalError::Overflow)?;
        } else {
            round_up = index == keep && digit >= 5;
            break;
        }
    }
    if keep > count && unscaled != 0 {
        let unit = u32::try_from(keep - count).ok().and_then(|places| 10u128.checked_pow(places));
        unscaled = unit.and_then(|unit| unscaled.checked_mul(unit)).ok_or(DecimalError::Overflow)?;
    }
    unscaled += u128::from(round_up);
    match 10u128.checked_pow(u32::from(precision)) {
        Some(limit) if unscaled < limit => Ok(if negative { -(unscaled as i128) } else { unscaled as i128 }),
        _ => Err(DecimalError::Overflow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> Option<ParsedTimestamp> {
        parse_timestamp(text.as_bytes(), TimestampStandard::Sql)
    }

    #[test]
    fn timestamps_have_optional_fractions_and_zones() {
        let parsed = sql("2020-02-29 12:34:56.789").expect("a timestamp");
        assert_eq!(parsed, ParsedTimestamp { seconds: 1_582_979_696, nanos: 789_000_000, offset: None });
        assert_eq!(parsed.value(TimeUnit::Millisecond), Some(1_582_979_696_789));
        assert_eq!(parsed.value(TimeUnit::Second), Some(1_582_979_696));
        assert_eq!(sql("2020-02-29 12:34:56Z").and_then(|t| t.offset), Some(0));
        assert_eq!(
            sql("2020-02-29 12:34:56+08:00").map(|t| t.to_utc(&Zone::UTC).seconds),
            Some(1_582_979_696 - 28_800)
        );
        assert_eq!(sql("1969-12-31 23:59:59.5").and_then(|t| t.value(TimeUnit::Millisecond)), Some(-500));
        let iso = parse_timestamp(b"2020-02-29T12:34", TimestampStandard::Iso8601);
        assert_eq!(iso.map(|t| t.seconds), Some(1_582_979_640));
        assert_eq!(sql("9999-12-31 00:00:00").and_then(|t| t.value(TimeUnit::Nanosecond)), None);
    }

    #[test]
    fn remembering_the_date_changes_nothing() {
        let texts = [
            "2020-02-29 12:34:56.789",
            "2020-02-29 00:00:00Z",
            "2020-02-29 ",
            "2020-02-29 x",
            "2020-02-2 1:00:00",
            "2020-02-2 10:00:00",
            "2020-03-01 00:00:00",
            "2020-03-01T00:00:00",
            "2020-03-32 00:00:00",
            "",
        ];
        let mut recent = RecentDate::default();
        for first in texts {
            for second in texts {
                for text in [first, second] {
                    assert_eq!(recent.parse_timestamp(text.as_bytes(), TimestampStandard::Sql), sql(text), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_date_or_time_is_refused() {
        for text in [
            "",
            "garbage",
            "2020-02-29",
            "2020-02-29T12:34:56",
            "2020-02-30 00:00:00",
            "2021-02-29 00:00:00",
            "2020-13-01 00:00:00",
            "2020-00-01 00:00:00",
            "2020-01-00 00:00:00",
            "2020-01-01 24:00:00",
            "2020-01-01 00:60:00",
            "2020-01-01 00:00:00.",
            "2020-01-01 00:00:00.1234567890",
            "2020-01-01 00:00:00 ",
            "2020-01-01 00:00:00x",
            "2020-01-01 00:00:00+99:00",
        ] {
            assert_eq!(sql(text), None, "{text}");
        }
        assert_eq!(parse_date(b"2020-1-1"), Some(18_262));
        assert_eq!(parse_date(b"2020-13-01"), None);
        assert_eq!(parse_date(b"2020-01-01x"), None);
        assert_eq!(parse_time(b"12:34:56.5"), Some((45_296, 500_000_000)));
        assert_eq!(parse_time(b"12:34"), Some((45_240, 0)));
        assert_eq!(parse_time(b"12"), None);
    }

    #[test]
    fn whole_numbers_stop_at_64_bits() {
        assert_eq!(parse_long(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_long(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_long(b"9223372036854775808"), None);
        assert_eq!(parse_long(b"+000000000000000000000007"), Some(7));
        for text in ["", "-", "+", "1.5", "x", "1 ", "--1", "99999999999999999999999"] {
            assert_eq!(parse_long(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floating_numbers_are_javas_not_rusts() {
        for (text, expected) in
            [("1", 1.0), ("-1.5", -1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("2.5d", 2.5), ("2f", 2.0)]
        {
            assert_eq!(parse_double(text.as_bytes()), Some(expected), "{text}");
        }
        assert_eq!(parse_double(b"-Infinity"), Some(f64::NEG_INFINITY));
        assert!(parse_double(b"NaN").is_some_and(f64::is_nan));
        for text in ["", "inf", "nan", "infinity", "-", "e5", "1e", "x", "1,5", "0x10"] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn decimals_round_half_up_and_overflow_is_told_apart() {
        let decimal = |text: &str| parse_decimal(text.as_bytes(), 5, 2);
        assert_eq!(decimal("1.235"), Ok(124));
        assert_eq!(decimal("-1.235"), Ok(-124));
        assert_eq!(decimal("1.2349999"), Ok(123));
        assert_eq!(decimal("0.005"), Ok(1));
        assert_eq!(decimal("0.0049"), Ok(0));
        assert_eq!(decimal("12e1"), Ok(12000));
        assert_eq!(decimal("123456e-4"), Ok(1235));
        assert_eq!(decimal("0e99999999999"), Ok(0));
        assert_eq!(decimal("1e-99999999999"), Ok(0));
        assert_eq!(decimal("000000000000000000000000000000000000000000001"), Ok(100));
        assert_eq!(decimal("1000"), Err(DecimalError::Overflow));
        assert_eq!(decimal("999.995"), Err(DecimalError::Overflow));
        assert_eq!(decimal("1e40"), Err(DecimalError::Overflow));
        for text in ["", ".", "-", "x", "1.5.5", "1e", "1 "] {
            assert_eq!(decimal(text), Err(DecimalError::NotANumber), "{text}");
        }
    }
}
