use arrow::array::temporal_conversions::{date32_to_datetime, time32ms_to_time, timestamp_us_to_datetime};
use arrow::datatypes::{IntervalMonthDayNano, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Volatility;

use super::all;
use super::calendar::days;
use crate::functions::call::testing::*;

fn call_in(zone: &str, name: &str, args: &[ScalarValue]) -> String {
    match try_value(&all(zone, Volatility::Volatile), name, args).unwrap_or_else(|error| panic!("{name}: {error}")) {
        value if value.is_null() => "NULL".to_string(),
        ScalarValue::Utf8(Some(text)) => text,
        ScalarValue::Date32(Some(days)) => date32_to_datetime(days).unwrap().format("%Y-%m-%d").to_string(),
        ScalarValue::Time32Millisecond(Some(ms)) => time32ms_to_time(ms).unwrap().to_string(),
        ScalarValue::TimestampSecond(Some(s), _) => show(s * 1_000_000),
        ScalarValue::TimestampMillisecond(Some(ms), _) => show(ms * 1000),
        ScalarValue::TimestampMicrosecond(Some(us), _) => show(us),
        other => other.to_string(),
    }
}

fn show(micros: i64) -> String {
    timestamp_us_to_datetime(micros).unwrap().to_string()
}

fn call(name: &str, args: &[ScalarValue]) -> String {
    call_in("UTC", name, args)
}

fn date(year: i64, month: i64, day: i64) -> ScalarValue {
    ScalarValue::Date32(Some(days(year, month, day) as i32))
}

/// Milliseconds of `yyyy-MM-dd HH:mm:ss[.SSS]`.
fn millis(text: &str) -> i64 {
    let moment = super::parse::timestamp(text).unwrap_or_else(|| panic!("{text}"));
    moment.millis
}

/// TIMESTAMP(3)
fn ts(text: &str) -> ScalarValue {
    ScalarValue::TimestampMillisecond(Some(millis(text)), None)
}

/// TIMESTAMP(0)
fn ts0(text: &str) -> ScalarValue {
    ScalarValue::TimestampSecond(Some(millis(text) / 1000), None)
}

/// TIMESTAMP_LTZ(3), given as UTC.
fn ltz(text: &str, zone: &str) -> ScalarValue {
    ScalarValue::TimestampMillisecond(Some(millis(text)), Some(zone.into()))
}

fn extract(unit: &str, of: ScalarValue) -> String {
    call("__extract", &[text(unit), of])
}

#[test]
fn flinks_recorded_answers() {
    let t = || ts("2020-02-29 12:34:56.789");
    assert_eq!(call("date_format", &[t(), text("yyyy/MM/dd HH-mm-ss.SSS")]), "2020/02/29 12-34-56.789");
    assert_eq!(call("to_timestamp", &[text("2020-02-29 12:34:56")]), "2020-02-29 12:34:56");
    assert_eq!(call("to_timestamp", &[text("20200229"), text("yyyyMMdd")]), "2020-02-29 00:00:00");
    assert_eq!(call("to_timestamp", &[text("garbage")]), "NULL");
    assert_eq!(call("to_date", &[text("2020-02-29")]), "2020-02-29");
    assert_eq!(call("to_timestamp_ltz", &[long(1582979696789), int(3)]), "2020-02-29 12:34:56.789");
    assert_eq!(call("to_timestamp_ltz", &[int(1582979696), int(0)]), "2020-02-29 12:34:56");
    assert_eq!(extract("YEAR", date(2020, 2, 29)), "2020");
    assert_eq!(extract("DOW", date(2020, 2, 29)), "7");
    assert_eq!(extract("WEEK", date(2020, 1, 1)), "1");
    assert_eq!(extract("EPOCH", ts0("2020-01-01 00:00:00")), "1577836800");
    assert_eq!(extract("MILLISECOND", t()), "789");
    for (name, expected) in [
        ("year", "2020"),
        ("quarter", "1"),
        ("month", "2"),
        ("week", "9"),
        ("dayofyear", "60"),
        ("dayofmonth", "29"),
        ("dayofweek", "7"),
    ] {
        assert_eq!(call(name, &[date(2020, 2, 29)]), expected, "{name}");
    }
    for (name, expected) in [("hour", "12"), ("minute", "34"), ("second", "56")] {
        assert_eq!(call(name, &[ts0("2020-02-29 12:34:56")]), expected, "{name}");
    }
    assert_eq!(call("floor_to", &[ts0("2020-02-29 12:34:56"), text("HOUR")]), "2020-02-29 12:00:00");
    assert_eq!(call("ceil_to", &[ts0("2020-02-29 12:34:56"), text("DAY")]), "2020-03-01 00:00:00");
    assert_eq!(call("floor_to", &[date(2020, 2, 29), text("MONTH")]), "2020-02-01");
    assert_eq!(call("timestampadd", &[text("MONTH"), int(1), date(2020, 1, 31)]), "2020-02-29");
    let added = [text("HOUR"), int(5), ts0("2020-01-31 20:00:00")];
    assert_eq!(call("timestampadd", &added), "2020-02-01 01:00:00");
    let diff = |unit, a, b| call("timestampdiff", &[text(unit), ts0(a), ts0(b)]);
    assert_eq!(diff("DAY", "2020-01-01 00:00:00", "2020-03-01 00:00:00"), "60");
    assert_eq!(diff("MONTH", "2020-01-31 00:00:00", "2020-02-29 00:00:00"), "1");
    assert_eq!(call("from_unixtime", &[int(0)]), "1970-01-01 00:00:00");
    assert_eq!(call("unix_timestamp", &[text("2020-01-01 00:00:00")]), "1577836800");
    let zones = [text("2020-01-01 00:00:00"), text("UTC"), text("America/Los_Angeles")];
    assert_eq!(call("convert_tz", &zones), "2019-12-31 16:00:00");
    let dates = [date(2020, 1, 1), date(2020, 2, 1), date(2020, 1, 15), date(2020, 3, 1)];
    assert_eq!(call("overlaps", &dates), "true");
}

#[test]
fn fields_are_right_before_1970_and_at_both_ends_of_time() {
    let before = || ts("1969-12-31 23:59:59.999");
    assert_eq!(extract("YEAR", before()), "1969");
    assert_eq!(extract("HOUR", before()), "23");
    assert_eq!(extract("MILLISECOND", before()), "999");
    assert_eq!(extract("EPOCH", before()), "-1");
    assert_eq!(extract("YEAR", ts("0001-01-01 00:00:00")), "1");
    assert_eq!(extract("CENTURY", ts("0001-01-01 00:00:00")), "1");
    assert_eq!(extract("MILLENNIUM", date(2000, 1, 1)), "2");
    assert_eq!(extract("DECADE", date(9999, 12, 31)), "999");
    assert_eq!(extract("DOY", date(9999, 12, 31)), "365");
    assert_eq!(extract("ISODOW", date(2020, 3, 1)), "7");
    assert_eq!(extract("ISOYEAR", date(2018, 12, 31)), "2019");
    let micros = ScalarValue::TimestampMicrosecond(Some(-1), None);
    assert_eq!(extract("MICROSECOND", micros.clone()), "999999");
    assert_eq!(extract("NANOSECOND", micros), "999999000");
    assert_eq!(extract("HOUR", ScalarValue::Time32Millisecond(Some(45_296_000))), "12");
    assert_eq!(extract("HOUR", date(2020, 1, 1)), "0");
    assert_eq!(call("year", &[ScalarValue::Null]), "NULL");
}

#[test]
fn fields_of_intervals() {
    let interval = ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(14, 3, 5_400_500_000_000)));
    assert_eq!(extract("YEAR", interval.clone()), "1");
    assert_eq!(extract("MONTH", interval.clone()), "2");
    assert_eq!(extract("DAY", interval.clone()), "3");
    assert_eq!(extract("MINUTE", interval.clone()), "30");
    assert_eq!(extract("MILLISECOND", interval), "500");
}

#[test]
fn an_instant_is_read_on_the_sessions_clock() {
    let zone = "Asia/Shanghai";
    let at = |name: &str| call_in(zone, name, &[ltz("2020-02-29 20:00:00", zone)]);
    assert_eq!((at("hour"), at("dayofmonth")), ("4".to_string(), "1".to_string()));
    let formatted = call_in(zone, "date_format", &[ltz("2020-02-29 20:00:00", zone), text("yyyy-MM-dd HH")]);
    assert_eq!(formatted, "2020-03-01 04");
    let floor = call_in(zone, "floor_to", &[ltz("2020-02-29 20:00:00", zone), text("DAY")]);
    assert_eq!(floor, "2020-02-29 16:00:00");
    assert_eq!(call_in(zone, "from_unixtime", &[int(44)]), "1970-01-01 08:00:44");
    assert_eq!(call_in("Asia/Tokyo", "from_unixtime", &[int(44)]), "1970-01-01 09:00:44");
}

#[test]
fn days_begin_at_local_midnight_when_clocks_change() {
    let zone = "Europe/Berlin";
    // Clocks go forward on 2020-03-29 at 02:00; at 10:00 UTC it is 12:00, and the day began at 23:00 UTC.
    let floor = |at: &str, unit: &str| call_in(zone, "floor_to", &[ltz(at, zone), text(unit)]);
    assert_eq!(floor("2020-03-29 10:00:00", "DAY"), "2020-03-28 23:00:00");
    // Clocks go back on 2020-10-25: 02:30 happens twice, and each keeps its own hour.
    assert_eq!(floor("2020-10-25 00:30:00", "HOUR"), "2020-10-25 00:00:00");
    assert_eq!(floor("2020-10-25 01:30:00", "HOUR"), "2020-10-25 01:00:00");
    let to_berlin = |at: &str| call("convert_tz", &[text(at), text("UTC"), text(zone)]);
    assert_eq!(to_berlin("2020-03-29 00:59:59"), "2020-03-29 01:59:59");
    assert_eq!(to_berlin("2020-03-29 01:00:00"), "2020-03-29 03:00:00");
}

#[test]
fn floor_and_ceil_to_each_unit() {
    let t = || ts("2020-02-29 12:34:56.789");
    for (unit, floor, ceil) in [
        ("MILLENNIUM", "2001-01-01 00:00:00", "3001-01-01 00:00:00"),
        ("CENTURY", "2001-01-01 00:00:00", "2101-01-01 00:00:00"),
        ("DECADE", "2020-01-01 00:00:00", "2030-01-01 00:00:00"),
        ("YEAR", "2020-01-01 00:00:00", "2021-01-01 00:00:00"),
        ("QUARTER", "2020-01-01 00:00:00", "2020-04-01 00:00:00"),
        ("MONTH", "2020-02-01 00:00:00", "2020-03-01 00:00:00"),
        ("WEEK", "2020-02-23 00:00:00", "2020-03-01 00:00:00"),
        ("DAY", "2020-02-29 00:00:00", "2020-03-01 00:00:00"),
        ("HOUR", "2020-02-29 12:00:00", "2020-02-29 13:00:00"),
        ("MINUTE", "2020-02-29 12:34:00", "2020-02-29 12:35:00"),
        ("SECOND", "2020-02-29 12:34:56", "2020-02-29 12:34:57"),
        ("MILLISECOND", "2020-02-29 12:34:56.789", "2020-02-29 12:34:56.789"),
    ] {
        assert_eq!(call("floor_to", &[t(), text(unit)]), floor, "FLOOR TO {unit}");
        assert_eq!(call("ceil_to", &[t(), text(unit)]), ceil, "CEIL TO {unit}");
        let exact = ts(floor);
        assert_eq!(call("ceil_to", &[exact, text(unit)]), floor, "CEIL of a beginning TO {unit}");
    }
    assert_eq!(call("floor_to", &[ts("1969-12-31 12:00:00"), text("DAY")]), "1969-12-31 00:00:00");
    let time = ScalarValue::Time32Millisecond(Some(45_871_000));
    assert_eq!(call("floor_to", &[time.clone(), text("MINUTE")]), "12:44:00");
    assert_eq!(call("ceil_to", &[time.clone(), text("MINUTE")]), "12:45:00");
    assert!(try_eval(&all("UTC", Volatility::Stable), "floor_to", &[time, text("MONTH")]).is_err());
    let error = try_eval(&all("UTC", Volatility::Stable), "floor_to", &[t(), text("MONT")]).unwrap_err();
    assert!(error.to_string().contains("did you mean MONTH?"), "{error}");
}

#[test]
fn adding_makes_a_point_as_fine_as_the_unit() {
    let functions = all("UTC", Volatility::Stable);
    let add =
        |unit: &str, n: i32, to: ScalarValue| try_value(&functions, "timestampadd", &[text(unit), int(n), to]).unwrap();
    assert_eq!(add("HOUR", 1, date(1970, 1, 1)), ScalarValue::TimestampSecond(Some(3600), None));
    assert_eq!(add("WEEK", -1, date(1970, 1, 8)), date(1970, 1, 1));
    assert_eq!(add("MILLISECOND", 5, ts0("1970-01-01 00:00:01")), ts("1970-01-01 00:00:01.005"));
    assert_eq!(add("MICROSECOND", -1, ts0("1970-01-01 00:00:00")), ScalarValue::TimestampMicrosecond(Some(-1), None));
    assert_eq!(add("YEAR", 1, date(2020, 2, 29)), date(2021, 2, 28));
    assert_eq!(add("QUARTER", 1, ts("2020-01-31 10:00:00")), ts("2020-04-30 10:00:00"));
    let late = ScalarValue::Time32Millisecond(Some(82_800_000));
    assert_eq!(add("HOUR", 2, late), ScalarValue::Time32Millisecond(Some(3_600_000)), "times run around midnight");
    assert_eq!(call("timestampadd", &[text("DAY"), ScalarValue::Int32(None), date(2020, 1, 1)]), "NULL");
}

#[test]
fn differences_count_whole_units_towards_zero() {
    let diff = |unit, a, b| call("timestampdiff", &[text(unit), ts(a), ts(b)]);
    assert_eq!(diff("HOUR", "2020-01-01 00:00:00", "2020-01-01 01:59:59"), "1");
    assert_eq!(diff("HOUR", "2020-01-01 01:59:59", "2020-01-01 00:00:00"), "-1");
    assert_eq!(diff("MONTH", "2020-01-15 12:00:00", "2020-02-15 11:59:59"), "0");
    assert_eq!(diff("YEAR", "2000-02-29 00:00:00", "2020-02-28 00:00:00"), "19");
    assert_eq!(diff("QUARTER", "2020-01-01 00:00:00", "2020-07-01 00:00:00"), "2");
    assert_eq!(diff("WEEK", "2020-01-01 00:00:00", "2020-01-15 00:00:00"), "2");
    let mixed = [text("DAY"), date(2020, 1, 1), ts("2020-01-02 12:00:00")];
    assert_eq!(call("timestampdiff", &mixed), "1");
}

#[test]
fn overlapping_periods_may_be_given_by_length_and_touch() {
    let hour = |n: i64| ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(0, 0, n * 3_600_000_000_000)));
    let time = |hours: i32, minutes: i32| ScalarValue::Time32Millisecond(Some((hours * 60 + minutes) * 60_000));
    assert_eq!(call("overlaps", &[time(2, 55), hour(1), time(3, 30), hour(2)]), "true");
    assert_eq!(call("overlaps", &[time(9, 0), time(10, 0), time(10, 15), hour(3)]), "false");
    assert_eq!(call("overlaps", &[time(9, 0), time(10, 0), time(10, 0), hour(3)]), "true");
    assert_eq!(call("overlaps", &[time(10, 0), time(9, 0), time(9, 30), hour(3)]), "true");
}

#[test]
fn formats_know_javas_letters() {
    let t = || ts("2020-03-05 00:07:08.009");
    let format = |pattern: &str| call("date_format", &[t(), text(pattern)]);
    assert_eq!(format("yy M d H m s S"), "20 3 5 0 7 8 0");
    assert_eq!(format("EEE, dd MMM yyyy"), "Thu, 05 Mar 2020");
    assert_eq!(format("EEEE d MMMM"), "Thursday 5 March");
    assert_eq!(format("hh a kk KK"), "12 AM 24 00");
    assert_eq!(format("yyyy-MM-dd'T'HH:mm:ss.SSSSSS"), "2020-03-05T00:07:08.009000");
    assert_eq!(format("'o''clock' D w Q"), "o'clock 65 10 1");
    assert_eq!(format("yyyy年MM月"), "2020年03月");
    assert_eq!(call("date_format", &[ts("0001-01-01 00:00:00"), text("yyyy")]), "0001");
    assert_eq!(call("date_format", &[date(9999, 12, 31), text("yyyyMMdd")]), "99991231");
    // A text goes through SimpleDateFormat, for which S counts milliseconds.
    assert_eq!(call("date_format", &[text("2020-03-05 01:02:03"), text("HH:mm.SSSSSS")]), "01:02.000000");
    assert_eq!(call("date_format", &[text("x"), text("HH")]), "NULL");
    assert_eq!(call_in("Asia/Kolkata", "from_unixtime", &[int(0), text("HH:mm Z X XXX")]), "05:30 +0530 +05 +05:30");
    let functions = all("UTC", Volatility::Stable);
    assert!(try_eval(&functions, "date_format", &[t(), text("yyyy-bb")]).is_err());
    assert!(try_eval(&functions, "date_format", &[t(), text("HH z")]).is_err());
}

#[test]
fn timestamps_are_read_strictly_by_default_and_by_pattern() {
    let read = |value: &str| call("to_timestamp", &[text(value)]);
    assert_eq!(read("2020-2-9 1:2:3.5"), "2020-02-09 01:02:03.500");
    assert_eq!(read("2020-02-29"), "2020-02-29 00:00:00");
    assert_eq!(read("2020-02-31"), "2020-02-29 00:00:00");
    assert_eq!(read("2020-02-29 12:34"), "NULL");
    assert_eq!(read("2020-02-29T12:34:56"), "NULL");
    assert_eq!(read("2020-13-01"), "NULL");
    assert_eq!(read("0001-01-01 00:00:00.1234567"), "0001-01-01 00:00:00.123");
    assert_eq!(read(""), "NULL");
    let by = |value: &str, pattern: &str| call("to_timestamp", &[text(value), text(pattern)]);
    assert_eq!(by("20200229123456789", "yyyyMMddHHmmssSSS"), "2020-02-29 12:34:56.789");
    assert_eq!(by("2020-02-29T12:34:56Z", "yyyy-MM-dd'T'HH:mm:ssX"), "2020-02-29 12:34:56");
    assert_eq!(by("29 Feb 20 01 PM", "dd MMM yy hh a"), "2020-02-29 13:00:00");
    assert_eq!(by("2020-60", "yyyy-DDD"), "NULL");
    assert_eq!(by("2020-060", "yyyy-DDD"), "2020-02-29 00:00:00");
    assert_eq!(by("12:30", "HH:mm"), "1970-01-01 12:30:00");
    assert_eq!(by("2020-02", "yyyy-MM[-dd]"), "2020-02-01 00:00:00");
    assert_eq!(by("1999-9-10 05:20:10", "yyyy-MM-dd HH:mm:ss"), "1999-09-10 05:20:10", "Flink's fallback");
    assert_eq!(by("99-9-10", "yyyy-MM-dd"), "NULL");
    assert_eq!(call("to_timestamp", &[no_text(), text("yyyy")]), "NULL");
    assert!(try_eval(&all("UTC", Volatility::Stable), "to_timestamp", &[text("1"), text("yyyy-'x")]).is_err());
}

#[test]
fn dates_are_read_from_their_first_word() {
    let read = |value: &str| call("to_date", &[text(value)]);
    assert_eq!(read("2020-1-5 10:00:00"), "2020-01-05");
    assert_eq!(read("2020"), "2020-01-01");
    assert_eq!(read("2020-02-30"), "NULL");
    assert_eq!(read("x"), "NULL");
    assert_eq!(read("0001-01-01"), "0001-01-01");
    assert_eq!(call("to_date", &[text("05.03.2020"), text("dd.MM.yyyy")]), "2020-03-05");
    assert_eq!(call("to_date", &[text("32.12.2019"), text("dd.MM.yyyy")]), "2020-01-01", "lenient as Java's");
    assert_eq!(call("to_date", &[text("x"), text("dd.MM.yyyy")]), "NULL");
}

#[test]
fn unix_timestamps_of_the_documentation() {
    let zone = "Europe/Berlin";
    let read = |value: &str, pattern: &str| call_in(zone, "unix_timestamp", &[text(value), text(pattern)]);
    assert_eq!(read("1970-01-01 08:00:01.001", "yyyy-MM-dd HH:mm:ss.SSS"), "25201");
    assert_eq!(read("1970-01-01 08:00:01.001 +0800", "yyyy-MM-dd HH:mm:ss.SSS X"), "1");
    assert_eq!(read("1970-01-01 08:00:01.001 +0800", "yyyy-MM-dd HH:mm:ss.SSS"), "25201");
    assert_eq!(read("1970-01-01 08:00:01.001", "yyyy-MM-dd HH:mm:ss.SSS X"), "-9223372036854775808");
    assert_eq!(call("unix_timestamp", &[ts("1970-01-01 00:00:05.5")]), "5");
}

#[test]
fn instants_from_numbers_stay_between_the_years_0_and_9999() {
    let read = |value: ScalarValue, precision: i32| call("to_timestamp_ltz", &[value, int(precision)]);
    assert_eq!(read(long(253402300799), 0), "9999-12-31 23:59:59");
    assert_eq!(read(long(253402300800), 0), "NULL");
    assert_eq!(read(long(i64::MAX), 0), "NULL");
    assert_eq!(read(double(1.5), 0), "1970-01-01 00:00:01.500");
    assert_eq!(read(ScalarValue::Decimal128(Some(15), 3, 1), 0), "1970-01-01 00:00:01");
    assert_eq!(call("to_timestamp_ltz", &[int(1000)]), "1970-01-01 00:00:01");
    assert!(try_eval(&all("UTC", Volatility::Stable), "to_timestamp_ltz", &[int(1), int(5)]).is_err());
    let placed =
        |zone: ScalarValue| call("to_timestamp_ltz", &[text("2020-01-01 08:00:00"), text("yyyy-MM-dd HH:mm:ss"), zone]);
    assert_eq!(placed(text("Asia/Shanghai")), "2020-01-01 00:00:00");
    assert_eq!(placed(no_text()), "NULL");
    assert_eq!(call_in("Asia/Shanghai", "to_timestamp_ltz", &[text("2020-01-01 00:00:00")]), "2020-01-01 00:00:00");
    let value = try_value(&all("Asia/Shanghai", Volatility::Stable), "to_timestamp_ltz", &[int(0)]).unwrap();
    assert_eq!(
        value.data_type(),
        arrow::datatypes::DataType::Timestamp(TimeUnit::Millisecond, Some("Asia/Shanghai".into()))
    );
}

#[test]
fn unknown_zones_are_named_in_the_error() {
    let zones = [text("2020-01-01 00:00:00"), text("UTC"), text("Mars/Olympus")];
    let error = try_eval(&all("UTC", Volatility::Stable), "convert_tz", &zones).unwrap_err();
    assert!(error.to_string().contains("Mars/Olympus"));
    assert_eq!(call("convert_tz", &[text("2020"), text("UTC"), text("UTC")]), "NULL");
}

#[test]
fn the_current_time_has_flinks_types() {
    let functions = all("Asia/Shanghai", Volatility::Stable);
    let now = |name: &str| try_value(&functions, name, &[]).unwrap();
    assert!(matches!(now("current_date"), ScalarValue::Date32(Some(_))));
    assert!(matches!(now("localtime"), ScalarValue::Time32Millisecond(Some(ms)) if ms % 1000 == 0));
    assert!(matches!(now("localtimestamp"), ScalarValue::TimestampMillisecond(Some(_), None)));
    let ScalarValue::TimestampMillisecond(Some(clock), None) = now("localtimestamp") else { panic!() };
    for name in ["current_timestamp", "now", "current_row_timestamp", "proctime"] {
        let ScalarValue::TimestampMillisecond(Some(instant), Some(zone)) = now(name) else { panic!("{name}") };
        assert_eq!(&*zone, "Asia/Shanghai");
        assert!((clock - instant - 8 * 3_600_000).abs() < 60_000, "{name}");
    }
    let volatility = |name: &str| functions.iter().find(|f| f.name() == name).unwrap().signature().volatility;
    assert_eq!(volatility("now"), Volatility::Stable);
    assert_eq!(volatility("proctime"), Volatility::Volatile);
}
