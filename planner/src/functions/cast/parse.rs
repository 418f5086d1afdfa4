//! Text to single values. Each gives `None` for text that is no such value.

use crate::functions::cast::{decimal_fits, power_of_ten};
use crate::functions::datetime::calendar::{days, month_length};

/// Surrounding blanks do not count; a fraction is read and dropped (`12.7` is 12).
pub fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    match whole {
        "" | "+" | "-" if text.len() > whole.len() => Some(0),
        // Rust reads a sign, digits and nothing else, as Flink does.
        _ => whole.parse().ok(),
    }
}

/// As Java reads a double: `1`, `1.5e3`, `1d`, `NaN`, `-Infinity`.
pub fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.trim_start_matches(['+', '-']);
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ => {}
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text).parse().ok()
}

/// The number at `scale`, rounded half up. `None` is bad text, `Some(None)` a number of more digits than `precision`.
pub fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<Option<i128>> {
    let text = text.trim();
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // Digits in front of the place that decides on rounding make the number.
    let wanted = i64::from(exponent) + whole.len() as i64 + i64::from(scale);
    let mut number: Option<i128> = Some(0);
    for (place, digit) in (0i64..).zip(whole.bytes().chain(fraction.bytes())) {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i128::from(digit - b'0');
        if place < wanted {
            number = number.and_then(|number| number.checked_mul(10)?.checked_add(digit));
        } else if place == wanted && digit >= 5 {
            number = number.map(|number| number + 1);
        }
    }
    let missing = wanted - (whole.len() + fraction.len()) as i64;
    let value = number.and_then(|number| match missing {
        ..=0 => Some(number),
        _ if number == 0 => Some(0),
        1..=38 => number.checked_mul(power_of_ten(missing as u32)),
        _ => None,
    });
    Some(value.filter(|value| decimal_fits(*value, precision)).map(|value| if negative { -value } else { value }))
}

pub fn parse_boolean(text: &str) -> Option<bool> {
    let text = text.trim();
    let is_one_of = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "t", "yes", "y", "1"]) {
        return Some(true);
    }
    is_one_of(["false", "f", "no", "n", "0"]).then_some(false)
}

/// Days since 1970. `2020-1-1` and `2020-02-29 12:00:00` are dates, and so is `2020`, its first day.
pub fn parse_date(text: &str) -> Option<i32> {
    let date = match text.find(' ') {
        Some(at) if at > 0 => &text[..at],
        _ => text,
    };
    let mut parts = date.splitn(3, '-').map(number);
    let year = i64::from(parts.next()??);
    let month = parts.next().unwrap_or(Some(1))?;
    let day = parts.next().unwrap_or(Some(1))?;
    date_of(year, month, day)
}

fn date_of(year: i64, month: u32, day: u32) -> Option<i32> {
    let valid = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=month_length(year, month.into())).contains(&i64::from(day));
    if valid { days(year, month.into(), day.into()).try_into().ok() } else { None }
}

/// Milliseconds since midnight: `12`, `12:34`, `12:34:56`, `12:34:56.789`.
pub fn parse_time(text: &str) -> Option<i32> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':').map(number);
    let hour = parts.next()??;
    let minute = parts.next().unwrap_or(Some(0))?;
    let second = parts.next().unwrap_or(Some(0))?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let millisecond = nanoseconds(fraction.trim())? / 1_000_000;
    Some(((hour * 60 + minute) * 60 + second) as i32 * 1000 + millisecond as i32)
}

/// Seconds since 1970 on the wall clock, and nanoseconds: `2020-02-29`, `2020-2-9 1:2:3`, `2020-02-29 12:34:56.789`.
/// The ISO form with a `T` is not read.
pub fn parse_timestamp(text: &str) -> Option<(i64, u32)> {
    let (date, time) = text.split_once(' ').unwrap_or((text, ""));
    let mut parts = date.split('-');
    let year = parts.next().filter(|year| year.len() == 4).and_then(number)?;
    let month = parts.next().and_then(two_digits)?;
    let day = parts.next().and_then(two_digits)?;
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The 31st of a shorter month is its last day.
    let day = day.min(month_length(year.into(), month.into()) as u32);
    let midnight = i64::from(date_of(year.into(), month, day)?) * 86_400;
    if date.len() == text.len() {
        return Some((midnight, 0));
    }
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':');
    let hour = parts.next().and_then(two_digits)?;
    let minute = parts.next().and_then(two_digits)?;
    let second = parts.next().and_then(two_digits)?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 || fraction.len() > 9 {
        return None;
    }
    Some((midnight + i64::from((hour * 60 + minute) * 60 + second), nanoseconds(fraction)?))
}

/// Digits only, blanks around them allowed.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn two_digits(text: &str) -> Option<u32> {
    if (1..=2).contains(&text.len()) && !text.starts_with(' ') && !text.ends_with(' ') { number(text) } else { None }
}

/// Digits behind the point as nanoseconds; what is smaller is dropped.
fn nanoseconds(fraction: &str) -> Option<u32> {
    let mut value = 0;
    for place in 0..9 {
        let digit = match fraction.as_bytes().get(place) {
            Some(digit) if digit.is_ascii_digit() => u32::from(digit - b'0'),
            Some(_) => return None,
            None => 0,
        };
        value = value * 10 + digit;
    }
    Some(value)
}
