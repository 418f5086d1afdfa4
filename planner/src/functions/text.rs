//! The text of single values as Flink (that is, Java) writes them. Each function appends to `out`.

use std::fmt::Write;

/// `1.0`, `1.5`, `1.0E10`, `NaN`, `Infinity`: the fewest digits that read back as the same number.
pub fn push_double(out: &mut String, value: f64) {
    if push_special(out, value) {
        return;
    }
    let start = out.len();
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        push(out, format_args!("{value:?}"));
    } else {
        push(out, format_args!("{value:E}"));
        point_before_exponent(out, start);
    }
}

/// As [`push_double`], with the fewest digits for a `FLOAT`.
pub fn push_float(out: &mut String, value: f32) {
    if push_special(out, value.into()) {
        return;
    }
    let start = out.len();
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        push(out, format_args!("{value:?}"));
    } else {
        push(out, format_args!("{value:E}"));
        point_before_exponent(out, start);
    }
}

fn push_special(out: &mut String, value: f64) -> bool {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    !value.is_finite()
}

/// Java writes `1.0E10` where Rust writes `1E10`.
fn point_before_exponent(out: &mut String, start: usize) {
    let number = &out[start..];
    if !number.contains('.')
        && let Some(exponent) = number.find('E')
    {
        out.insert_str(start + exponent, ".0");
    }
}

/// A decimal with all digits of its scale: 3500000 of scale 6 is `3.500000`.
pub fn push_decimal(out: &mut String, value: i128, scale: i8) {
    if scale <= 0 {
        push(out, format_args!("{value}"));
        // A negative scale counts zeros in front of the point.
        out.extend(std::iter::repeat_n('0', if value == 0 { 0 } else { usize::from(scale.unsigned_abs()) }));
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    if value < 0 {
        out.push('-');
    }
    let start = out.len();
    push(out, format_args!("{:01$}", value.unsigned_abs(), scale + 1));
    out.insert(start + out[start..].len() - scale, '.');
}

/// Days since 1970 as `2020-02-29`.
pub fn push_date(out: &mut String, days: i64) {
    let (year, month, day) = civil(days);
    push(out, format_args!("{year:04}-{month:02}-{day:02}"));
}

/// Time of day as `12:34:56`, with as many of the `nanoseconds` of the second as `precision` says.
pub fn push_time(out: &mut String, seconds: i64, nanoseconds: u32, precision: u8) {
    push(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    if precision > 0 {
        let digits = nanoseconds / 10u32.pow(9 - u32::from(precision.min(9)));
        let width = usize::from(precision.min(9));
        push(out, format_args!(".{digits:0width$}"));
    }
}

/// Seconds since 1970 and nanoseconds as `2020-02-29 12:34:56.789`; `separator` is a space, or `T` for ISO text.
pub fn push_timestamp(out: &mut String, seconds: i64, nanoseconds: u32, precision: u8, separator: char) {
    push_date(out, seconds.div_euclid(86_400));
    out.push(separator);
    push_time(out, seconds.rem_euclid(86_400), nanoseconds, precision);
}

/// Months as `+1-02`.
pub fn push_months(out: &mut String, months: i64) {
    let sign = if months < 0 { '-' } else { '+' };
    let months = months.unsigned_abs();
    push(out, format_args!("{sign}{}-{:02}", months / 12, months % 12));
}

/// Milliseconds as `+1 02:03:04.005`.
pub fn push_day_time(out: &mut String, milliseconds: i64) {
    let sign = if milliseconds < 0 { '-' } else { '+' };
    let ms = milliseconds.unsigned_abs();
    push(out, format_args!("{sign}{} ", ms / 86_400_000));
    push_time(out, (ms / 1000 % 86_400) as i64, (ms % 1000) as u32 * 1_000_000, 3);
}

/// Year, month and day of days since 1970, in the proleptic Gregorian calendar.
pub fn civil(days: i64) -> (i64, u32, u32) {
    // Counted in years that start in March, so that the leap day is the last of its year; 400 years have 146097 days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month as u32, day as u32)
}

/// Days since 1970 of a date that exists.
pub fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Days of a month.
pub fn month_length(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        push(&mut out);
        out
    }

    #[test]
    fn doubles_print_as_in_java() {
        for (value, expected) in [
            (1.5, "1.5"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (1e10, "1.0E10"),
            (1.25e-5, "1.25E-5"),
            (0.001, "0.001"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| push_double(out, value)), expected);
        }
        assert_eq!(text(|out| push_float(out, 0.1)), "0.1");
        assert_eq!(text(|out| push_float(out, 3e38)), "3.0E38");
    }

    #[test]
    fn decimals_print_all_digits_of_their_scale() {
        assert_eq!(text(|out| push_decimal(out, 3_500_000, 6)), "3.500000");
        assert_eq!(text(|out| push_decimal(out, -5, 2)), "-0.05");
        assert_eq!(text(|out| push_decimal(out, i128::MIN, 0)), i128::MIN.to_string());
    }

    #[test]
    fn days_and_dates_are_inverse() {
        for day in (-800_000..800_000).step_by(97) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
            assert!(date <= month_length(year, month));
        }
        assert_eq!(text(|out| push_date(out, 18_321)), "2020-02-29");
    }

    #[test]
    fn timestamps_print_as_many_digits_as_declared() {
        assert_eq!(text(|out| push_timestamp(out, -1, 789_000_000, 3, ' ')), "1969-12-31 23:59:59.789");
        assert_eq!(text(|out| push_timestamp(out, 0, 0, 0, 'T')), "1970-01-01T00:00:00");
    }

    #[test]
    fn intervals_print_with_their_sign() {
        assert_eq!(text(|out| push_months(out, -14)), "-1-02");
        assert_eq!(text(|out| push_day_time(out, 93_784_005)), "+1 02:03:04.005");
    }
}
