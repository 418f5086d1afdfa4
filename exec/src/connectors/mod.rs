//! Every connector, one file each.

pub mod inline;

use std::sync::Arc;

use crate::connect::Connector;

/// Every built-in connector, in the order the documentation shows them.
pub fn all() -> Vec<Arc<dyn Connector>> {
    vec![]
}
