//! Functions of dates and times.
pub mod zone;
