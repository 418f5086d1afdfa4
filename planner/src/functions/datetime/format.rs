//! Times as text: `DATE_FORMAT`, `FROM_UNIXTIME`, `CONVERT_TZ`.

use std::fmt::Write;
use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType::Utf8;
use datafusion::error::Result;
use tidemill_exec::Error;

use super::calendar::{day, day_of_year, days, iso_weekday};
use super::lenient;
use super::moment::{Moment, Moments};
use super::pattern::{Dialect, MONTHS, Piece, WEEKDAYS, compile};
use crate::functions::call::{Call, Function, Kind::*, try_texts};
use crate::functions::zone::Zone;

/// The pattern that functions use if none is given.
pub const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";

pub fn all(zone: &Zone) -> Vec<Function> {
    vec![
        Function::new("date_format", Utf8, date_format).takes(&[Date, Text]).takes(&[Text, Text]).nullable().zone(zone),
        Function::new("from_unixtime", Utf8, |call| {
            let seconds = call.long(0)?;
            let pattern = if call.count() == 2 { Some(call.text(1)?) } else { None };
            try_texts(call.rows, |row, out| {
                let pattern = pattern.as_ref().map_or(Some(DEFAULT), |pattern| pattern.get(row));
                let (Some(seconds), Some(pattern)) = (seconds.get(row), pattern) else { return Ok(None) };
                let millis = seconds.saturating_mul(1000);
                write(pattern, Dialect::Simple, Clock::of_instant(Moment::new(millis), call.zone), out)?;
                Ok(Some(()))
            })
        })
        .takes(&[Int])
        .takes(&[Int, Text])
        .nullable()
        .zone(zone),
        Function::new("convert_tz", Utf8, |call| {
            let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
            let zone = |name: &str| {
                Zone::parse(name).ok_or_else(|| {
                    Error::new(format!("CONVERT_TZ does not know the time zone '{name}'"))
                        .fix("write a zone like 'Asia/Shanghai', 'UTC' or 'GMT+08:00'")
                })
            };
            let constant = [from.constant().map(zone).transpose()?, to.constant().map(zone).transpose()?];
            try_texts(call.rows, |row, out| {
                let (Some(text), Some(from), Some(to)) = (text.get(row), from.get(row), to.get(row)) else {
                    return Ok(None);
                };
                let (named_from, named_to);
                let [from, to] = match &constant {
                    [Some(from), Some(to)] => [from, to],
                    _ => {
                        (named_from, named_to) = (zone(from)?, zone(to)?);
                        [&named_from, &named_to]
                    }
                };
                let Some(instant) = lenient::parse(text, DEFAULT, from)? else { return Ok(None) };
                write(DEFAULT, Dialect::Simple, Clock::of_instant(Moment::new(instant), to), out)?;
                Ok(Some(()))
            })
        })
        .takes(&[Text, Text, Text])
        .nullable(),
    ]
}

/// `DATE_FORMAT(time, pattern)`. A text is first read as `yyyy-MM-dd HH:mm:ss`; if it is none, the result is NULL.
fn date_format(call: &Call) -> Result<ArrayRef> {
    let patterns = call.text(1)?;
    if !Date.accepts(&call.data_type(0)) || call.data_type(0).is_null() {
        let text = call.text(0)?;
        let utc = Zone::utc();
        return try_texts(call.rows, |row, out| {
            let (Some(text), Some(pattern)) = (text.get(row), patterns.get(row)) else { return Ok(None) };
            let Some(millis) = lenient::parse(text, DEFAULT, &utc)? else { return Ok(None) };
            write(pattern, Dialect::Simple, Clock::of_instant(Moment::new(millis), &utc), out)?;
            Ok(Some(()))
        });
    }
    let moments = Moments::new(call, 0)?;
    // A pattern that is none is an error once there is a time to write.
    let unit = patterns.constant().and_then(|pattern| Some(unit(&compile(pattern, Dialect::Formatter).ok()?)));
    // Times that follow each other often read alike.
    let mut before: Option<(i64, Range<usize>)> = None;
    try_texts(call.rows, |row, out| {
        let (Some(local), Some(pattern)) = (moments.local(row), patterns.get(row)) else { return Ok(None) };
        let start = out.len();
        match (unit.map(|unit| local.millis.div_euclid(unit)), &before) {
            (Some(units), Some((units_before, text))) if units == *units_before => {
                out.extend_from_within(text.clone());
            }
            (units, _) => {
                write(pattern, Dialect::Formatter, Clock { local, zone: None }, out)?;
                before = units.filter(|_| unit != Some(1)).map(|units| (units, start..out.len()));
            }
        }
        Ok(Some(()))
    })
}

/// Times within this many milliseconds, counted from 1970, look alike in a pattern; 1 if all may look different.
fn unit(pieces: &[Piece]) -> i64 {
    let of_piece = |piece: &Piece| match piece {
        Piece::Literal(_) => DAY,
        Piece::Optional(inner) => unit(inner),
        Piece::Field(
            'y' | 'u' | 'Y' | 'G' | 'M' | 'L' | 'Q' | 'q' | 'E' | 'e' | 'c' | 'd' | 'D' | 'F' | 'w' | 'W',
            _,
        ) => DAY,
        Piece::Field('a' | 'B' | 'H' | 'k' | 'K' | 'h', _) => 3_600_000,
        Piece::Field('m', _) => 60_000,
        Piece::Field('s', _) => 1000,
        Piece::Field(..) => 1,
    };
    pieces.iter().map(of_piece).min().unwrap_or(DAY)
}

const DAY: i64 = 86_400_000;

/// What a clock shows, and of which zone it is, if that is known.
#[derive(Clone, Copy)]
pub struct Clock<'a> {
    local: Moment,
    zone: Option<(&'a Zone, i64)>,
}

impl<'a> Clock<'a> {
    fn of_instant(instant: Moment, zone: &'a Zone) -> Clock<'a> {
        let offset = zone.offset_at(instant.millis.div_euclid(1000));
        let local = Moment { millis: instant.millis.saturating_add(offset * 1000), ..instant };
        Clock { local, zone: Some((zone, offset)) }
    }
}

/// Writes `clock` as `pattern` says.
///
/// # Errors
/// A pattern that is none, and a field that the time does not have, such as the zone of a `TIMESTAMP`.
pub fn write(pattern: &str, dialect: Dialect, clock: Clock, out: &mut String) -> Result<(), Error> {
    pieces(&compile(pattern, dialect)?, dialect, clock, out)
        .map_err(|field| Error::new(format!("the pattern '{pattern}' asks for {field}, which this time does not have")))
}

fn pieces(pieces: &[Piece], dialect: Dialect, clock: Clock, out: &mut String) -> Result<(), char> {
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Field(letter, count) => field(*letter, *count, dialect, clock, out).ok_or(*letter)?,
            Piece::Optional(inner) => self::pieces(inner, dialect, clock, out)?,
        }
    }
    Ok(())
}

fn number(out: &mut String, value: i64, width: usize) -> Option<()> {
    // Nearly every field is two digits or a year of four; the formatter takes several times as long for them.
    let digit = |value: i64| char::from(b'0' + (value % 10) as u8);
    match (width, value) {
        (2, 0..100) => {
            out.extend([digit(value / 10), digit(value)]);
            return Some(());
        }
        (4, 0..10_000) => {
            out.extend([digit(value / 1000), digit(value / 100), digit(value / 10), digit(value)]);
            return Some(());
        }
        _ => {}
    }
    // Writing to a String does not fail.
    write!(out, "{value:0width$}").ok()
}

fn field(letter: char, count: usize, dialect: Dialect, clock: Clock, out: &mut String) -> Option<()> {
    let local = clock.local;
    let since = local.days();
    let date = day(since);
    let of_day = local.millis_of_day();
    let simple = dialect == Dialect::Simple;
    let year_of_era = if date.year > 0 { date.year } else { 1 - date.year };
    match letter {
        'u' if simple => number(out, iso_weekday(since), count),
        'y' => year(out, year_of_era, count, simple),
        'u' => year(out, date.year, count, simple),
        'Y' => year(out, week_of_year(since).0, count, simple),
        'G' => {
            let era = match (count, date.year > 0) {
                (4, true) => "Anno Domini",
                (4, false) => "Before Christ",
                (5, true) => "A",
                (5, false) => "B",
                (_, true) => "AD",
                (_, false) => "BC",
            };
            out.push_str(era);
            Some(())
        }
        'M' | 'L' => name_or_number(out, &MONTHS, date.month, count, simple),
        'Q' | 'q' => {
            let quarter = (date.month + 2) / 3;
            match count {
                3 => write!(out, "Q{quarter}").ok(),
                4 => {
                    out.push_str(["1st", "2nd", "3rd", "4th"][(quarter - 1) as usize]);
                    out.push_str(" quarter");
                    Some(())
                }
                _ => number(out, quarter, if count == 5 { 1 } else { count }),
            }
        }
        'E' => name_or_number(out, &WEEKDAYS, iso_weekday(since), count.max(3), simple),
        'e' | 'c' if count >= 3 => name_or_number(out, &WEEKDAYS, iso_weekday(since), count, simple),
        'e' | 'c' => number(out, iso_weekday(since) % 7 + 1, count),
        'd' => number(out, date.day, count),
        'D' => number(out, day_of_year(since), count),
        'F' => number(out, (date.day - 1) / 7 + 1, count),
        'w' => number(out, week_of_year(since).1, count),
        'W' => {
            let first = since - (date.day - 1);
            number(out, (since - week_start(first)) / 7 + 1, count)
        }
        'a' | 'B' => {
            out.push_str(if of_day < 43_200_000 { "AM" } else { "PM" });
            Some(())
        }
        'H' => number(out, of_day / 3_600_000, count),
        'k' => number(out, (of_day / 3_600_000 + 23) % 24 + 1, count),
        'K' => number(out, of_day / 3_600_000 % 12, count),
        'h' => number(out, (of_day / 3_600_000 + 11) % 12 + 1, count),
        'm' => number(out, of_day / 60_000 % 60, count),
        's' => number(out, of_day / 1000 % 60, count),
        // SimpleDateFormat counts milliseconds where DateTimeFormatter writes a fraction.
        'S' if simple => number(out, of_day % 1000, count),
        'S' => {
            let nanos = of_day % 1000 * 1_000_000 + local.nanos;
            number(out, nanos / 10i64.pow(9 - count.min(9) as u32), count)
        }
        'A' => number(out, of_day, count),
        'n' => number(out, of_day % 1000 * 1_000_000 + local.nanos, count),
        'N' => number(out, of_day * 1_000_000 + local.nanos, count),
        'z' | 'Z' | 'X' | 'x' | 'O' | 'V' => zone(letter, count, clock, out),
        _ => None,
    }
}

fn year(out: &mut String, year: i64, count: usize, simple: bool) -> Option<()> {
    if count == 2 {
        return number(out, year.rem_euclid(100), 2);
    }
    if !simple && count >= 4 && year >= 10i64.saturating_pow(count as u32) {
        out.push('+');
    }
    // A minus sign is not part of the width.
    number(out, year, if year < 0 { count + 1 } else { count })
}

fn name_or_number(out: &mut String, names: &[&str], value: i64, count: usize, simple: bool) -> Option<()> {
    if count < 3 {
        return number(out, value, count);
    }
    let name = names.get((value - 1) as usize)?;
    out.push_str(match count {
        3 => &name[..3],
        5 if !simple => &name[..1],
        _ => name,
    });
    Some(())
}

/// The Sunday on or before a day.
fn week_start(days: i64) -> i64 {
    days - iso_weekday(days) % 7
}

/// Week-based year and week, in the American reckoning of Java's default locale: the week of 1 January is the first.
fn week_of_year(since: i64) -> (i64, i64) {
    let year = day(since).year;
    if since >= week_start(days(year + 1, 1, 1)) {
        return (year + 1, 1);
    }
    (year, (since - week_start(days(year, 1, 1))) / 7 + 1)
}

fn zone(letter: char, count: usize, clock: Clock, out: &mut String) -> Option<()> {
    let (zone, offset) = clock.zone?;
    if letter == 'z' {
        out.push_str(&zone.abbreviation(clock.local.millis.div_euclid(1000) - offset));
        return Some(());
    }
    if letter == 'X' && offset == 0 {
        out.push('Z');
        return Some(());
    }
    let (sign, size) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    let (hours, minutes) = (size / 3600, size / 60 % 60);
    match (letter, count) {
        ('X', 1) => write!(out, "{sign}{hours:02}").ok(),
        ('X', 3) => write!(out, "{sign}{hours:02}:{minutes:02}").ok(),
        _ => write!(out, "{sign}{hours:02}{minutes:02}").ok(),
    }
}
