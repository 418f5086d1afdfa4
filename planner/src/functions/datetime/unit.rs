//! Units of time, as `EXTRACT`, `FLOOR .. TO`, `TIMESTAMPADD` and `TIMESTAMPDIFF` name them.

use arrow::array::StringArray;
use datafusion::error::Result;
use tidemill_exec::Error;

use super::calendar::MILLIS_PER_DAY;
use crate::functions::call::{Arguments, Call, Column, shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    IsoYear,
    Quarter,
    Month,
    Week,
    Day,
    /// 1 is Sunday.
    DayOfWeek,
    /// 1 is Monday.
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    /// Seconds since 1970.
    Epoch,
}

use Unit::*;

const NAMES: &[(&str, Unit)] = &[
    ("MILLENNIUM", Millennium),
    ("CENTURY", Century),
    ("DECADE", Decade),
    ("YEAR", Year),
    ("ISOYEAR", IsoYear),
    ("QUARTER", Quarter),
    ("MONTH", Month),
    ("WEEK", Week),
    ("DAY", Day),
    ("DOW", DayOfWeek),
    ("ISODOW", IsoDayOfWeek),
    ("DOY", DayOfYear),
    ("HOUR", Hour),
    ("MINUTE", Minute),
    ("SECOND", Second),
    ("MILLISECOND", Millisecond),
    ("MICROSECOND", Microsecond),
    ("NANOSECOND", Nanosecond),
    ("EPOCH", Epoch),
    // Spellings of TIMESTAMPADD and TIMESTAMPDIFF.
    ("SQL_TSI_YEAR", Year),
    ("SQL_TSI_QUARTER", Quarter),
    ("SQL_TSI_MONTH", Month),
    ("SQL_TSI_WEEK", Week),
    ("SQL_TSI_DAY", Day),
    ("SQL_TSI_HOUR", Hour),
    ("SQL_TSI_MINUTE", Minute),
    ("SQL_TSI_SECOND", Second),
    ("SQL_TSI_FRAC_SECOND", Nanosecond),
    ("SQL_TSI_MICROSECOND", Microsecond),
    ("FRAC_SECOND", Microsecond),
];

impl Unit {
    pub fn parse(name: &str) -> Option<Unit> {
        let name = name.trim();
        let singular = name.strip_suffix(['s', 'S']).unwrap_or(name);
        let find = |name: &str| NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, unit)| *unit);
        find(name).or_else(|| find(singular))
    }

    /// Milliseconds, for units of fixed length of at least one.
    pub fn millis(self) -> Option<i64> {
        Some(match self {
            Week => 7 * MILLIS_PER_DAY,
            Day => MILLIS_PER_DAY,
            Hour => 3_600_000,
            Minute => 60_000,
            Second => 1000,
            Millisecond => 1,
            _ => return None,
        })
    }

    /// Months, for units that are made of them.
    pub fn months(self) -> Option<i64> {
        Some(match self {
            Millennium => 12_000,
            Century => 1200,
            Decade => 120,
            Year => 12,
            Quarter => 3,
            Month => 1,
            _ => return None,
        })
    }
}

/// The unit that argument `i` names. It is always a literal: the grammar has no other.
pub fn argument(call: &Call, i: usize) -> Result<Unit> {
    let names: Column<StringArray> = call.text(i)?;
    let name = names.get(0).unwrap_or("");
    Ok(Unit::parse(name).ok_or_else(|| unknown(name, &call.shown()))?)
}

/// The unit as planning knows it.
pub fn planned(arguments: &Arguments, i: usize) -> Result<Option<Unit>> {
    let Some(name) = arguments.text(i) else { return Ok(None) };
    let shown = shown(arguments.name);
    Ok(Some(Unit::parse(name).ok_or_else(|| unknown(name, &shown))?))
}

fn unknown(name: &str, shown: &str) -> Error {
    Error::new(format!("{shown} does not know the unit {name}"))
        .nearest(name, NAMES.iter().map(|(known, _)| *known).filter(|known| !known.contains("TSI")))
}

pub fn unsupported(unit: Unit, shown: &str) -> Error {
    Error::new(format!("{shown} cannot use the unit {}", format!("{unit:?}").to_uppercase()))
}
