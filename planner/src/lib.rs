//! SQL text to job graph, in four arrows: [`dialect::parse`], [`analyze::Analyzer`], [`stream::stream`], [`compile::compile`].
//!
//! This crate opens no file and no socket, and spawns nothing.

pub mod aggregates;
pub mod analyze;
pub mod catalog;
pub mod compile;
pub mod ddl;
pub mod dialect;
pub mod engine;
mod fields;
pub mod functions;
pub mod insert;
pub mod lookup;
pub mod match_recognize;
pub mod materialize;
mod panes;
mod plan_error;
mod recursion;
pub mod scan;
mod set_all;
pub mod settings;
pub mod show;
pub mod state;
mod state_ttl;
pub mod stream;
pub mod temporal;
pub mod types;
pub mod unnest;
mod view_keys;
pub mod window;
