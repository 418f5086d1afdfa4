//! The session's time zone: a name (`Europe/Berlin`) or an offset (`+08:00`).

use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use std::sync::Arc;
use tidemill_exec::{Error, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: Arc<str>,
    rules: Rules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    Fixed(FixedOffset),
    Named(Tz),
}

impl Zone {
    pub fn utc() -> Zone {
        Zone { name: Arc::from("UTC"), rules: Rules::Named(Tz::UTC) }
    }

    /// # Errors
    /// A name that is in no time zone database, with the nearest that is.
    pub fn parse(name: &str) -> Result<Zone> {
        let offset = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
        let rules = match (offset.parse::<FixedOffset>(), name.parse::<Tz>()) {
            (_, Ok(zone)) => Rules::Named(zone),
            (Ok(offset), _) => Rules::Fixed(offset),
            _ => {
                return Err(Error::new(format!("time zone {name} is unknown"))
                    .nearest(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())));
            }
        };
        Ok(Zone { name: Arc::from(name), rules })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Seconds that local time is ahead of UTC at a moment given in seconds since 1970 in UTC.
    pub fn offset(&self, seconds: i64) -> i64 {
        match self.rules {
            Rules::Fixed(offset) => offset.local_minus_utc().into(),
            Rules::Named(Tz::UTC) => 0,
            Rules::Named(zone) => match DateTime::from_timestamp(seconds, 0) {
                Some(moment) => zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc().into(),
                None => 0,
            },
        }
    }

    /// Seconds that local time is ahead of UTC at a local time given in seconds since 1970 on the wall clock.
    ///
    /// In the hour that the clock repeats the first pass is meant; a time that the clock skips is as much later.
    pub fn offset_of_local(&self, seconds: i64) -> i64 {
        let zone = match self.rules {
            Rules::Fixed(offset) => return offset.local_minus_utc().into(),
            Rules::Named(Tz::UTC) => return 0,
            Rules::Named(zone) => zone,
        };
        let Some(local) = DateTime::from_timestamp(seconds, 0).map(|moment: DateTime<_>| moment.naive_utc()) else {
            return 0;
        };
        let offset_at = |local: NaiveDateTime| zone.offset_from_local_datetime(&local).earliest();
        match offset_at(local) {
            Some(offset) => offset.fix().local_minus_utc().into(),
            // The offset before the clock was put forward.
            None => self.offset(seconds - self.offset(seconds) - 86_400 / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> i64 {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap().and_utc().timestamp()
    }

    #[test]
    fn offsets_follow_the_clock_change() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        assert_eq!(berlin.offset(local("2020-03-29 00:59")), 3600);
        assert_eq!(berlin.offset(local("2020-03-29 01:00")), 7200);
        assert_eq!(berlin.offset_of_local(local("2020-03-29 02:30")), 3600, "skipped: 02:30 is 03:30");
        assert_eq!(berlin.offset_of_local(local("2020-10-25 02:30")), 7200, "repeated: the first is meant");
    }

    #[test]
    fn a_zone_may_be_an_offset() {
        assert_eq!(Zone::parse("+08:00").unwrap().offset(0), 8 * 3600);
        assert_eq!(Zone::parse("GMT-03:30").unwrap().offset_of_local(0), -12_600);
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        let error = Zone::parse("Europe/Berln").unwrap_err();
        assert_eq!(error.to_string(), "time zone Europe/Berln is unknown\n  fix: did you mean Europe/Berlin?");
    }
}
