//! Operators over windows of event time or processing time.
//!
//! [`WindowAssign`] adds to each row the window it is in; [`WindowAggregate`] groups by windows, of its own slicing or added before;
//! [`SessionAggregate`] does so for sessions; [`WindowRank`] keeps the first rows of each window. What has windows keeps its results back
//! until a window closes, and emits them once: append-only, and followed by the watermark that closed it.

mod aggregate;
mod assign;
mod combine;
mod current;
mod late;
mod local;
mod partition;
#[cfg(test)]
mod random;
mod rank;
mod session;
mod slices;
#[cfg(test)]
mod tests;
mod timed;
mod updating;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};

pub use aggregate::{RowWindow, WindowAggregate};
pub use assign::WindowAssign;
pub(super) use assign::null_time;
pub use current::CurrentWatermark;
pub(super) use current::{restored, time_table};
pub use late::{LateRows, late_fields};
pub use local::LocalWindowAggregate;
pub use rank::WindowRank;
pub use session::{SessionAggregate, SessionAssign};
pub(super) use timed::Timed;
pub use updating::{Firing, UpdatingWindowAggregate};

/// What closes windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeKind {
    /// The watermark.
    Event,
    /// The wall clock, as barriers bring it.
    Processing,
}

/// `window_start`, `window_end` and `window_time`: what a window adds to a row. The last is the event time of its results, and has the type of
/// the time it is over: `TIMESTAMP(3)`, or `TIMESTAMP_LTZ(3)` with a zone.
pub fn window_fields(zone: Option<Arc<str>>) -> [FieldRef; 3] {
    let field = |name, zone| Arc::new(Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, zone), true));
    [field("window_start", None), field("window_end", None), field("window_time", zone)]
}
