//! The `tidemill` binary and [`Session`] as a library.
//!
//! ```text
//! args ──> run  ──┐                      ┌──> render   rows as text
//!      └─> shell ─┴─> Connection ─> show ┤
//!                     (Session)          └──> live     a table that redraws itself
//! ```

pub mod args;
pub mod connection;
pub mod failure;
pub mod interrupt;
pub mod render;
pub mod report;
pub mod run;
pub mod screen;
pub mod session;
pub mod shell;
pub mod show;
pub mod tokens;
pub mod variables;

pub use session::{Outcome, Query, Session};
