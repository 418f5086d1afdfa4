//! Time zones: between instants and wall-clock times.

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use tidemill_exec::{Error, Result};

/// A time zone by the name the user gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: Arc<str>,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Seconds east of Greenwich.
    Fixed(i64),
    Named(Tz),
}

/// Which instant a wall-clock time means that occurs twice, on the day clocks are set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    Earlier,
    Later,
}

const MILLIS_PER_SECOND: i64 = 1000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Zone {
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), rule: Rule::Fixed(0) }
    }

    /// `Asia/Shanghai`, `UTC`, `+08:00`, `GMT-8`, and Java's old three-letter names such as `PST`.
    pub fn parse(name: &str) -> Option<Zone> {
        let rule = match name {
            "UTC" | "Z" | "GMT" | "UT" | "Etc/UTC" => Rule::Fixed(0),
            _ => match offset(name) {
                Some(seconds) => Rule::Fixed(seconds),
                None => match short_name(name) {
                    Some(full) => return Zone::parse(full).map(|zone| Zone { name: name.into(), ..zone }),
                    None => Rule::Named(name.parse().ok()?),
                },
            },
        };
        Some(Zone { name: name.into(), rule })
    }

    /// As [`parse`](Self::parse).
    ///
    /// # Errors
    /// There is no zone of this name; the error has the nearest that there is.
    pub fn named(name: &str) -> Result<Zone> {
        Zone::parse(name).ok_or_else(|| {
            Error::new(format!("time zone {name} is unknown"))
                .nearest(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Seconds that clocks are ahead of UTC at this instant (in seconds since 1970).
    pub fn offset_at(&self, instant: i64) -> i64 {
        match self.rule {
            Rule::Fixed(seconds) => seconds,
            Rule::Named(tz) => match naive(instant) {
                Some(utc) => i64::from(tz.offset_from_utc_datetime(&utc).fix().local_minus_utc()),
                None => 0,
            },
        }
    }

    /// What the zone calls itself at an instant (in seconds since 1970): `CET` or `CEST`.
    pub fn abbreviation(&self, instant: i64) -> String {
        match (self.rule, naive(instant)) {
            (Rule::Named(tz), Some(utc)) => tz.from_utc_datetime(&utc).format("%Z").to_string(),
            _ => self.name.to_string(),
        }
    }

    /// What clocks show at an instant; both in milliseconds since 1970.
    pub fn to_local(&self, millis: i64) -> i64 {
        millis.saturating_add(self.offset_at(millis.div_euclid(MILLIS_PER_SECOND)) * MILLIS_PER_SECOND)
    }

    /// The instant at which clocks show this; both in milliseconds since 1970. A time that clocks skip is as many
    /// minutes after the jump as it is after the hour that was skipped, as in Java.
    pub fn to_instant(&self, local_millis: i64, overlap: Overlap) -> i64 {
        let local = local_millis.div_euclid(MILLIS_PER_SECOND);
        local_millis.saturating_sub(self.offset_of_local(local, overlap) * MILLIS_PER_SECOND)
    }

    /// Seconds that clocks are ahead of UTC when they show `local` (in seconds since 1970).
    pub fn offset_of_local(&self, local: i64, overlap: Overlap) -> i64 {
        match self.rule {
            Rule::Fixed(seconds) => seconds,
            Rule::Named(tz) => match naive(local).map(|time| tz.offset_from_local_datetime(&time)) {
                Some(chrono::LocalResult::Single(offset)) => i64::from(offset.fix().local_minus_utc()),
                Some(chrono::LocalResult::Ambiguous(earlier, later)) => {
                    let offset = if overlap == Overlap::Earlier { earlier } else { later };
                    i64::from(offset.fix().local_minus_utc())
                }
                Some(chrono::LocalResult::None) | None => self.offset_at(local - SECONDS_PER_DAY),
            },
        }
    }
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc())
}

/// `+08:00`, `-8`, `GMT+8`, `UTC-08:30`.
fn offset(name: &str) -> Option<i64> {
    let text = ["GMT", "UTC", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "0"),
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// `java.time.ZoneId.SHORT_IDS`.
fn short_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "ACT" => "Australia/Darwin",
        "AET" => "Australia/Sydney",
        "AGT" => "America/Argentina/Buenos_Aires",
        "ART" => "Africa/Cairo",
        "AST" => "America/Anchorage",
        "BET" => "America/Sao_Paulo",
        "BST" => "Asia/Dhaka",
        "CAT" => "Africa/Harare",
        "CNT" => "America/St_Johns",
        "CST" => "America/Chicago",
        "CTT" => "Asia/Shanghai",
        "EAT" => "Africa/Addis_Ababa",
        "ECT" => "Europe/Paris",
        "EST" => "-05:00",
        "HST" => "-10:00",
        "IET" => "America/Indiana/Indianapolis",
        "IST" => "Asia/Kolkata",
        "JST" => "Asia/Tokyo",
        "MIT" => "Pacific/Apia",
        "MST" => "-07:00",
        "NET" => "Asia/Yerevan",
        "NST" => "Pacific/Auckland",
        "PLT" => "Asia/Karachi",
        "PNT" => "America/Phoenix",
        "PRT" => "America/Puerto_Rico",
        "PST" => "America/Los_Angeles",
        "SST" => "Pacific/Guadalcanal",
        "VST" => "Asia/Ho_Chi_Minh",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn zones_have_many_spellings() {
        let hours = |name: &str| Zone::parse(name).map(|zone| zone.offset_at(0) / 3600);
        assert_eq!(hours("Asia/Shanghai"), Some(8));
        assert_eq!(hours("+08:00"), Some(8));
        assert_eq!(hours("GMT-08:00"), Some(-8));
        assert_eq!(hours("UTC+3"), Some(3));
        assert_eq!(hours("PST"), Some(-8));
        assert_eq!(hours("EST"), Some(-5));
        assert_eq!(hours("Nowhere/Land"), None);
        assert_eq!(hours("+é"), None);
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        let error = Zone::named("Europe/Berln").unwrap_err();
        assert_eq!(error.to_string(), "time zone Europe/Berln is unknown\n  fix: did you mean Europe/Berlin?");
    }

    #[test]
    fn a_skipped_time_moves_on_and_a_repeated_one_is_the_first_or_the_second() {
        let zone = Zone::parse("Europe/Berlin").unwrap();
        // 2020-03-29 02:30 does not exist: clocks jump from 02:00 (01:00 UTC) to 03:00.
        let jump = 1_585_443_600_000;
        assert_eq!(zone.to_instant(jump + HOUR + HOUR / 2, Overlap::Earlier), jump + HOUR / 2);
        // 2020-10-25 02:30 happens at 00:30 and at 01:30 UTC.
        let back = 1_603_584_000_000;
        let local = back + 2 * HOUR + HOUR / 2;
        assert_eq!(zone.to_instant(local, Overlap::Earlier), back + HOUR / 2);
        assert_eq!(zone.to_instant(local, Overlap::Later), back + HOUR + HOUR / 2);
        assert_eq!(zone.to_local(back + HOUR / 2), local);
    }
}
