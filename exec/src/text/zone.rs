//! Time zones: how `TIMESTAMP_LTZ` becomes a local time and back.

use arrow::datatypes::TimeUnit;
use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// `UTC`, `Europe/Berlin`, `GMT+08:00`, `+08:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    Named(Tz),
}

impl Zone {
    pub const UTC: Zone = Zone::Fixed(0);

    /// The zone of that name, as in `table.local-time-zone`, or `None`.
    pub fn parse(name: &str) -> Option<Zone> {
        let bare = ["GMT", "UTC", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        if name.is_empty() {
            return None;
        }
        if bare.is_empty() || bare == "Z" {
            return Some(Zone::UTC);
        }
        match super::parse::parse_offset(bare.as_bytes()) {
            Some(seconds) => Some(Zone::Fixed(seconds)),
            None => name.parse().ok().map(Zone::Named),
        }
    }

    /// Seconds east of UTC at this moment, given in seconds since 1970.
    pub fn offset_at(&self, seconds: i64) -> i64 {
        match self {
            Zone::Fixed(offset) => i64::from(*offset),
            Zone::Named(zone) => DateTime::from_timestamp(seconds, 0)
                .map_or(0, |utc| i64::from(zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc())),
        }
    }

    /// What clocks in the zone show at this moment.
    pub fn to_local(&self, value: i64, unit: TimeUnit) -> i64 {
        if *self == Zone::UTC {
            return value;
        }
        let (seconds, _) = super::split_time(value, unit);
        value.saturating_add(self.offset_at(seconds) * per_second(unit))
    }

    /// The moment, in seconds since 1970, at which clocks show `local` seconds. As in Java: of two such moments the earlier, and
    /// a time that clocks skip is moved on by the length of the gap.
    pub fn from_local(&self, local: i64) -> i64 {
        let zone = match self {
            Zone::Fixed(offset) => return local.saturating_sub(i64::from(*offset)),
            Zone::Named(zone) => zone,
        };
        let Some(naive) = naive(local) else { return local };
        match zone.offset_from_local_datetime(&naive).earliest() {
            Some(offset) => local - i64::from(offset.fix().local_minus_utc()),
            // In a gap the offset from before it, taken a day earlier, gives the moved time.
            None => local - self.offset_at(local - 86400 - self.offset_at(local)),
        }
    }
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|utc| utc.naive_utc())
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse::{TimestampStandard, parse_timestamp};

    fn seconds(text: &str) -> i64 {
        parse_timestamp(text.as_bytes(), TimestampStandard::Sql).map(|parsed| parsed.seconds).expect("a timestamp")
    }

    #[test]
    fn zones_have_names_or_offsets() {
        assert_eq!(Zone::parse("UTC"), Some(Zone::UTC));
        assert_eq!(Zone::parse("GMT+08:00"), Some(Zone::Fixed(28800)));
        assert_eq!(Zone::parse("-01:30"), Some(Zone::Fixed(-5400)));
        assert_eq!(Zone::parse("Europe/Berlin"), Some(Zone::Named(Tz::Europe__Berlin)));
        assert_eq!(Zone::parse("Mars/Base"), None);
        assert_eq!(Zone::parse(""), None);
    }

    #[test]
    fn skipped_and_repeated_local_times_resolve_as_in_java() {
        let berlin = Zone::Named(Tz::Europe__Berlin);
        // 02:30 does not exist on that day and means 03:30 summer time.
        assert_eq!(berlin.from_local(seconds("2020-03-29 02:30:00")), seconds("2020-03-29 01:30:00"));
        // 02:30 exists twice in October; the first is summer time.
        assert_eq!(berlin.from_local(seconds("2020-10-25 02:30:00")), seconds("2020-10-25 00:30:00"));
        assert_eq!(berlin.to_local(seconds("2020-07-01 00:00:00"), TimeUnit::Second), seconds("2020-07-01 02:00:00"));
    }
}
