//! Values as text, and text as values, the way Flink writes and reads them.
//!
//! A value has several texts: the print connector's ([`TextStyle::Print`]), the SQL client's ([`TextStyle::Client`]), and those of
//! the formats. They share what is here: numbers ([`push_double`] ...), dates and times ([`push_timestamp`] ...), time zones
//! ([`Zone`]), the parsers ([`parse`]) and the downcast of a column to something that can be read row by row ([`Cells`]).

mod cells;
mod number;
pub mod parse;
mod style;
mod time;
mod zone;

pub use cells::{CellKind, Cells, Interval, Offsets};
pub(crate) use number::strip_trailing_zeros;
pub use number::{push_decimal, push_decimal_scientific, push_double, push_float};
pub(crate) use style::push_plain;
pub use style::{ColumnText, TextStyle};
pub use time::{
    Digits, civil_from_days, days_from_civil, push_date, push_day_time, push_months, push_time, push_timestamp,
    split_time,
};
pub use zone::Zone;
