//! The `tidemill` binary and [`Session`] as a library.

pub mod session;

pub use session::{Outcome, Query, Session};
