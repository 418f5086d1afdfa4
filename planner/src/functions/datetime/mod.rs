//! Functions of dates and times.
//!
//! A `TIMESTAMP_LTZ` is an instant; every function that needs to see a clock looks at it in the session's time zone. Days
//! are counted in the proleptic Gregorian calendar, also before 1582.

use std::sync::Arc;

use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::functions::zone::Zone;

mod add;
pub(crate) mod calendar;
mod convert;
mod extract;
mod floor;
mod format;
mod lenient;
mod moment;
mod now;
mod parse;
mod pattern;
mod unit;

pub use now::Now;

/// Every function of dates and times.
///
/// `time_zone` is the session's `table.local-time-zone`; a name that is no zone counts as UTC, so the session checks it
/// with [`Zone::parse`] when it is set. `now` says how often the current time is asked for: `Volatile` for
/// streams, where each row sees the time at which it is processed, `Stable` for batch, where a query has one time.
pub fn all(time_zone: &str, now: Volatility) -> Vec<Arc<ScalarUDF>> {
    let zone = Zone::parse(time_zone).unwrap_or_else(Zone::utc);
    let mut functions: Vec<_> =
        [extract::all(&zone), floor::all(&zone), add::all(&zone), format::all(&zone), convert::all(&zone)]
            .into_iter()
            .flatten()
            .map(super::call::Function::build)
            .collect();
    functions.extend(now::all(&zone, now));
    functions
}

#[cfg(test)]
mod tests;
