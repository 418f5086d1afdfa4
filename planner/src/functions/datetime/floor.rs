//! `FLOOR(t TO unit)` and `CEIL(t TO unit)`.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::error::Result;

use super::calendar::{MILLIS_PER_DAY, day, days, iso_weekday};
use super::moment::{Moment, Moments, Sort, column};
use super::unit::{self, Unit};
use crate::functions::call::{Call, Function, Kind::*};
use crate::functions::zone::{Overlap, Zone};

pub fn all(zone: &Zone) -> Vec<Function> {
    [("floor_to", false), ("ceil_to", true)]
        .into_iter()
        .map(|(name, up)| {
            Function::new(name, DataType::Date32, move |call| round(call, up))
                .takes(&[Point, Text])
                .returns(|arguments| {
                    unit::planned(arguments, 1)?;
                    Ok(arguments.types[0].clone())
                })
                .zone(zone)
        })
        .collect()
}

fn round(call: &Call, up: bool) -> Result<ArrayRef> {
    let moments = Moments::new(call, 0)?;
    let unit = unit::argument(call, 1)?;
    let shown = if up { "CEIL" } else { "FLOOR" };
    let of_clock = |moment: Moment| {
        let floor = floor(moment, unit)?;
        Some(if up && floor < moment { next(floor, unit) } else { floor })
    };
    if of_clock(Moment::new(0)).is_none() || moments.sort == Sort::Time && unit.millis().is_none() && !is_fraction(unit)
    {
        return Err(unit::unsupported(unit, shown).into());
    }
    let rounded = (0..call.rows).map(|row| match moments.sort {
        Sort::Instant => {
            let instant = moments.get(row)?;
            let local = moments.local(row)?;
            let rounded = of_clock(local)?;
            // Within a day the offset stays that of the instant, which also tells a repeated hour from its twin; a
            // date's beginning is looked up, because clocks may have been changed since.
            let whole_days = unit.millis().is_none_or(|millis| millis >= MILLIS_PER_DAY) && !is_fraction(unit);
            let millis = if whole_days {
                moments.zone().to_instant(rounded.millis, Overlap::Earlier)
            } else {
                instant.millis + (rounded.millis - local.millis)
            };
            Some(Moment { millis, nanos: rounded.nanos })
        }
        _ => of_clock(moments.get(row)?),
    });
    Ok(column(call.result_type(), rounded))
}

fn is_fraction(unit: Unit) -> bool {
    matches!(unit, Unit::Microsecond | Unit::Nanosecond)
}

/// The beginning of the unit in which `moment` lies; weeks begin on Sunday.
fn floor(moment: Moment, unit: Unit) -> Option<Moment> {
    let date = || day(moment.days());
    let of_days = |days: i64| Some(Moment::new(days.saturating_mul(MILLIS_PER_DAY)));
    match unit {
        Unit::Millennium => of_days(days((date().year - 1).div_euclid(1000) * 1000 + 1, 1, 1)),
        Unit::Century => of_days(days((date().year - 1).div_euclid(100) * 100 + 1, 1, 1)),
        Unit::Decade => of_days(days(date().year.div_euclid(10) * 10, 1, 1)),
        Unit::Year => of_days(days(date().year, 1, 1)),
        Unit::Quarter => of_days(days(date().year, (date().month - 1) / 3 * 3 + 1, 1)),
        Unit::Month => of_days(days(date().year, date().month, 1)),
        Unit::Week => of_days(moment.days() - iso_weekday(moment.days()) % 7),
        Unit::Microsecond => Some(Moment { nanos: moment.nanos / 1000 * 1000, ..moment }),
        Unit::Nanosecond => Some(moment),
        unit => {
            let length = unit.millis()?;
            Some(Moment::new(moment.millis - moment.millis.rem_euclid(length)))
        }
    }
}

/// The beginning of the next unit after one that begins at `start`.
fn next(start: Moment, unit: Unit) -> Moment {
    if let Some(months) = unit.months() {
        let date = day(start.days());
        return Moment::new(days(date.year, date.month + months, 1).saturating_mul(MILLIS_PER_DAY));
    }
    match unit.millis() {
        Some(length) => Moment::new(start.millis.saturating_add(length)),
        None => {
            let nanos = start.nanos + if unit == Unit::Microsecond { 1000 } else { 0 };
            Moment { millis: start.millis + nanos / 1_000_000, nanos: nanos % 1_000_000 }
        }
    }
}
