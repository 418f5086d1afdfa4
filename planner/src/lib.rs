//! SQL text to job graph: dialect, catalog, functions, rewrites, lowering, explain.

pub mod functions;
pub mod types;
