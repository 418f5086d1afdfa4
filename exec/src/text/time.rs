//! Dates and times as Java and Flink write them, and the calendar behind it.

use std::fmt::Write;

use arrow::datatypes::TimeUnit;

/// How much of a second is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// Exactly so many digits after the point; 0 means no point.
    Fixed(u8),
    /// As few as possible: `:01`, `:01.5`. What the formats write.
    Shortest,
    /// None, three, six or nine, as `Instant.toString`.
    Groups,
    /// As `Groups`, and no seconds at all if they are zero, as `LocalTime.toString`: `12:00`.
    GroupsOrNothing,
}

impl Digits {
    /// As many as the unit has.
    pub fn of(unit: TimeUnit) -> Digits {
        Digits::Fixed(match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        })
    }
}

/// `2020-02-29`, from days since 1970.
pub fn push_date(out: &mut String, days: i64) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9999).contains(&year) {
        push_padded(out, year as u32, 4);
    } else {
        let _ = write!(out, "{}{:04}", if year < 0 { '-' } else { '+' }, year.unsigned_abs());
    }
    out.push('-');
    push_padded(out, month, 2);
    out.push('-');
    push_padded(out, day, 2);
}

/// `12:34:56.789`, from seconds of the day and nanoseconds of the second.
pub fn push_time(out: &mut String, second_of_day: u32, nanos: u32, digits: Digits) {
    push_padded(out, second_of_day / 3600, 2);
    out.push(':');
    push_padded(out, second_of_day / 60 % 60, 2);
    let seconds = second_of_day % 60;
    if digits == Digits::GroupsOrNothing && seconds == 0 && nanos == 0 {
        return;
    }
    out.push(':');
    push_padded(out, seconds, 2);
    let width = match digits {
        Digits::Fixed(width) => u32::from(width.min(9)),
        Digits::Shortest => 9 - trailing_zeros(nanos),
        Digits::Groups | Digits::GroupsOrNothing => 9 - trailing_zeros(nanos) / 3 * 3,
    };
    if width > 0 {
        out.push('.');
        push_padded(out, nanos / 10u32.pow(9 - width), width);
    }
}

/// `2020-02-29 12:34:56.789`, from `value` units since 1970; `separator` stands between date and time.
pub fn push_timestamp(out: &mut String, value: i64, unit: TimeUnit, separator: char, digits: Digits) {
    let (seconds, nanos) = split_time(value, unit);
    push_date(out, seconds.div_euclid(86400));
    out.push(separator);
    push_time(out, seconds.rem_euclid(86400) as u32, nanos, digits);
}

/// An interval of months, as SQL shows it: `+1-02`.
pub fn push_months(out: &mut String, months: i64) {
    let sign = if months < 0 { '-' } else { '+' };
    let months = months.unsigned_abs();
    let _ = write!(out, "{sign}{}-{:02}", months / 12, months % 12);
}

/// An interval of milliseconds, as SQL shows it: `+1 02:03:04.005`.
pub fn push_day_time(out: &mut String, millis: i64) {
    let sign = if millis < 0 { '-' } else { '+' };
    let millis = millis.unsigned_abs();
    let _ = write!(out, "{sign}{} ", millis / 86_400_000);
    let second = (millis / 1000 % 86_400) as u32;
    push_time(out, second, (millis % 1000) as u32 * 1_000_000, Digits::Fixed(3));
}

/// Whole seconds, rounded down, and the nanoseconds that remain.
pub fn split_time(value: i64, unit: TimeUnit) -> (i64, u32) {
    let (per_second, nanos) = match unit {
        TimeUnit::Second => (1, 1_000_000_000),
        TimeUnit::Millisecond => (1_000, 1_000_000),
        TimeUnit::Microsecond => (1_000_000, 1_000),
        TimeUnit::Nanosecond => (1_000_000_000, 1),
    };
    (value.div_euclid(per_second), (value.rem_euclid(per_second) * nanos) as u32)
}

/// Nine for zero, so that no digit is left.
fn trailing_zeros(nanos: u32) -> u32 {
    let (mut rest, mut zeros) = (nanos, 0);
    while zeros < 9 && rest.is_multiple_of(10) {
        rest /= 10;
        zeros += 1;
    }
    zeros
}

fn push_padded(out: &mut String, value: u32, width: u32) {
    for place in (0..width).rev() {
        out.push(char::from(b'0' + (value / 10u32.pow(place) % 10) as u8));
    }
}

/// Year, month and day of the proleptic Gregorian calendar, from days since 1970. Howard Hinnant's algorithm: years that start
/// in March make the leap day the last one, so that no month needs a table.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

/// Days since 1970 of a date that exists; the inverse of [`civil_from_days`].
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(value: i64, unit: TimeUnit, digits: Digits) -> String {
        let mut out = String::new();
        push_timestamp(&mut out, value, unit, ' ', digits);
        out
    }

    #[test]
    fn the_part_of_a_second_follows_the_wanted_digits() {
        use TimeUnit::*;
        assert_eq!(timestamp(1_582_979_696_789, Millisecond, Digits::of(Millisecond)), "2020-02-29 12:34:56.789");
        assert_eq!(timestamp(1_582_979_696, Second, Digits::of(Second)), "2020-02-29 12:34:56");
        assert_eq!(timestamp(1_500, Millisecond, Digits::Shortest), "1970-01-01 00:00:01.5");
        assert_eq!(timestamp(1_000, Millisecond, Digits::Shortest), "1970-01-01 00:00:01");
        assert_eq!(timestamp(1_500, Millisecond, Digits::Groups), "1970-01-01 00:00:01.500");
        assert_eq!(timestamp(1_000_100, Microsecond, Digits::Groups), "1970-01-01 00:00:01.000100");
        assert_eq!(timestamp(0, Millisecond, Digits::Groups), "1970-01-01 00:00:00");
        assert_eq!(timestamp(0, Millisecond, Digits::GroupsOrNothing), "1970-01-01 00:00");
        assert_eq!(timestamp(-1, Millisecond, Digits::Fixed(3)), "1969-12-31 23:59:59.999");
    }

    #[test]
    fn days_and_dates_are_inverse_over_leap_years_and_before_1970() {
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil_from_days(18_321), (2020, 2, 29));
        assert_eq!(civil_from_days(-1), (1969, 12, 31));
    }
}
