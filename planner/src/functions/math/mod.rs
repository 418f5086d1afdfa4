//! Functions of numbers.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

mod elementary;
mod random;
mod round;
mod whole;

/// Every function of numbers.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    [elementary::all(), whole::all(), round::all(), random::all()]
        .into_iter()
        .flatten()
        .map(super::call::Function::build)
        .collect()
}

#[cfg(test)]
mod tests;
