//! Texts as times, leniently: what `SimpleDateFormat` reads.
//!
//! Numbers take as many digits as there are, values beyond their range run over into the next field (month 13 is next
//! January), and text after the last field is ignored.

use chrono::{Datelike, Utc};
use tidemill_exec::Error;

use super::calendar::{MILLIS_PER_DAY, days};
use super::pattern::{Dialect, MONTHS, Piece, WEEKDAYS, compile};
use crate::functions::zone::{Overlap, Zone};

/// The instant that `text` names, in milliseconds since 1970, where it is read as a clock's time in `zone` unless it
/// names a zone itself. `None` if it does not match.
///
/// # Errors
/// If the pattern is none.
pub fn parse(text: &str, pattern: &str, zone: &Zone) -> Result<Option<i64>, Error> {
    let pieces = compile(pattern, Dialect::Simple)?;
    Ok(read(&pieces, text).map(|fields| fields.instant(zone)))
}

struct Fields {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: Option<i64>,
    hour: i64,
    hour_of_half: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    millis: i64,
    zone: Option<Zone>,
}

impl Fields {
    fn instant(self, zone: &Zone) -> i64 {
        let since = match self.day_of_year {
            Some(day) => days(self.year, 1, day),
            None => days(self.year, self.month, self.day),
        };
        let hour = match self.hour_of_half {
            Some(hour) => hour + if self.afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let of_day = hour
            .saturating_mul(3_600_000)
            .saturating_add(self.minute.saturating_mul(60_000))
            .saturating_add(self.second.saturating_mul(1000))
            .saturating_add(self.millis);
        let local = since.saturating_mul(MILLIS_PER_DAY).saturating_add(of_day);
        // A repeated hour is the second of the two for Java's old calendar.
        self.zone.as_ref().unwrap_or(zone).to_instant(local, Overlap::Later)
    }
}

fn read(pieces: &[Piece], text: &str) -> Option<Fields> {
    let mut fields = Fields {
        year: 1970,
        month: 1,
        day: 1,
        day_of_year: None,
        hour: 0,
        hour_of_half: None,
        afternoon: false,
        minute: 0,
        second: 0,
        millis: 0,
        zone: None,
    };
    let mut rest = text;
    for (i, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Literal(text) => rest = rest.strip_prefix(text.as_str())?,
            Piece::Optional(_) => return None,
            Piece::Field(letter, count) => {
                rest = rest.trim_start_matches([' ', '\t']);
                // A number right before another one stops after its letters.
                let max = match pieces.get(i + 1) {
                    Some(Piece::Field(..)) => *count,
                    _ => 18,
                };
                field(*letter, *count, max, &mut rest, &mut fields)?;
            }
        }
    }
    Some(fields)
}

fn digits(rest: &mut &str, max: usize) -> Option<(i64, usize)> {
    let count = rest.bytes().take_while(u8::is_ascii_digit).count().min(max);
    let (digits, after) = rest.split_at(count);
    *rest = after;
    Some((digits.parse().ok()?, count))
}

fn name(rest: &mut &str, names: &[&str]) -> Option<i64> {
    // The full name first: "May" begins "May".
    for length in [None, Some(3)] {
        for (i, name) in names.iter().enumerate() {
            let name = &name[..length.unwrap_or(name.len())];
            if rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
                *rest = &rest[name.len()..];
                return Some(i as i64 + 1);
            }
        }
    }
    None
}

fn field(letter: char, count: usize, max: usize, rest: &mut &str, fields: &mut Fields) -> Option<()> {
    let number = |rest: &mut &str| digits(rest, max).map(|(value, _)| value);
    match letter {
        'y' | 'Y' => {
            let (year, width) = digits(rest, max)?;
            fields.year = if count <= 2 && width == 2 { of_this_age(year) } else { year };
        }
        'M' | 'L' if count >= 3 && !rest.starts_with(|c: char| c.is_ascii_digit()) => {
            fields.month = name(rest, &MONTHS)?;
        }
        'M' | 'L' => fields.month = number(rest)?,
        'd' => fields.day = number(rest)?,
        'D' => fields.day_of_year = Some(number(rest)?),
        'H' => fields.hour = number(rest)?,
        'k' => fields.hour = number(rest)? % 24,
        'K' => fields.hour_of_half = Some(number(rest)?),
        'h' => fields.hour_of_half = Some(number(rest)? % 12),
        'm' => fields.minute = number(rest)?,
        's' => fields.second = number(rest)?,
        'S' => fields.millis = number(rest)?,
        'a' => fields.afternoon = name(rest, &["AM.", "PM."].map(|half| &half[..2]))? == 2,
        'E' => {
            name(rest, &WEEKDAYS)?;
        }
        'G' => {
            *rest = rest.strip_prefix("AD").or_else(|| rest.strip_prefix("BC"))?;
        }
        'u' | 'w' | 'W' | 'F' => {
            number(rest)?;
        }
        'z' | 'Z' | 'X' => fields.zone = Some(zone(rest)?),
        _ => return None,
    }
    Some(())
}

/// Two digits mean the year between 80 years ago and 20 years ahead.
fn of_this_age(year: i64) -> i64 {
    let first = i64::from(Utc::now().year()) - 80;
    first + (year - first).rem_euclid(100)
}

/// `Z`, `+08`, `+0800`, `+08:00`, or a zone's name.
fn zone(rest: &mut &str) -> Option<Zone> {
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ':' | '/' | '_')))
        .unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let zone = Zone::parse(name)?;
    *rest = after;
    Some(zone)
}
