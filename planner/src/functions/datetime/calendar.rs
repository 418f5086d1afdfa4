//! Years, months and days as numbers: the proleptic Gregorian calendar, without limits that could panic.
//!
//! The formulas count years from 1 March, so that the leap day is the last day of its year (Howard Hinnant's
//! `days_from_civil`).

pub const MILLIS_PER_DAY: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

/// Days since 1970-01-01. Months outside 1 to 12 and days outside the month run over into the next, or back.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let months = month - 1;
    let (year, month) = (year.saturating_add(months.div_euclid(12)), months.rem_euclid(12) + 1);
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era.saturating_mul(146_097).saturating_add(day_of_era - 719_468).saturating_add(day - 1)
}

/// The day so many days after 1970-01-01.
pub fn day(days: i64) -> Day {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = shifted + if shifted < 10 { 3 } else { -9 };
    Day { year: year_of_era + era * 400 + i64::from(month <= 2), month, day: day_of_year - (153 * shifted + 2) / 5 + 1 }
}

pub fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

pub fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub fn day_of_year(days_since: i64) -> i64 {
    days_since - days(day(days_since).year, 1, 1) + 1
}

/// 1 is Monday, 7 is Sunday.
pub fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// ISO 8601 year and week: weeks begin on Monday and belong to the year of their Thursday.
pub fn iso_week(days_since: i64) -> (i64, i64) {
    let thursday = days_since - iso_weekday(days_since) + 4;
    let year = day(thursday).year;
    (year, (thursday - days(year, 1, 1)) / 7 + 1)
}

/// The same day so many months later, or the last day of that month if it is shorter.
pub fn add_months(days_since: i64, months: i64) -> i64 {
    let from = day(days_since);
    let total = from.year.saturating_mul(12).saturating_add(from.month - 1).saturating_add(months);
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    days(year, month, from.day.min(month_length(year, month)))
}

/// Whole months from `from` to `to` (both days since 1970), negative if `to` comes first.
pub fn months_between(from: i64, to: i64) -> i64 {
    if to < from {
        return -months_between(to, from);
    }
    let (a, b) = (day(from), day(to));
    let months = (b.year - a.year) * 12 + b.month - a.month;
    if add_months(from, months) > to { months - 1 } else { months }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree_over_ten_thousand_years() {
        for since in (-719_528..2_932_897).step_by(97) {
            let date = day(since);
            assert_eq!(days(date.year, date.month, date.day), since);
        }
        assert_eq!(day(-1), Day { year: 1969, month: 12, day: 31 });
        assert_eq!(day(-719_162), Day { year: 1, month: 1, day: 1 });
        assert_eq!(days(9999, 12, 31), 2_932_896);
        assert_eq!(days(2019, 14, 1), days(2020, 2, 1));
    }

    #[test]
    fn weeks_belong_to_the_year_of_their_thursday() {
        assert_eq!(iso_week(days(2020, 1, 1)), (2020, 1));
        assert_eq!(iso_week(days(2016, 1, 3)), (2015, 53));
        assert_eq!(iso_week(days(2018, 12, 31)), (2019, 1));
        assert_eq!(iso_weekday(days(1970, 1, 1)), 4);
    }

    #[test]
    fn months_are_counted_and_added_by_the_calendar() {
        assert_eq!(day(add_months(days(2020, 1, 31), 1)), Day { year: 2020, month: 2, day: 29 });
        assert_eq!(day(add_months(days(2020, 1, 31), -2)), Day { year: 2019, month: 11, day: 30 });
        assert_eq!(months_between(days(2020, 1, 31), days(2020, 2, 29)), 1);
        assert_eq!(months_between(days(2020, 1, 15), days(2020, 2, 14)), 0);
        assert_eq!(months_between(days(2020, 3, 31), days(2020, 1, 31)), -2);
    }
}
