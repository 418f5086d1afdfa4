//! Functions of texts and bytes.
//!
//! Positions and lengths count characters (Unicode code points), from 1, as Flink's own string type does. Java's
//! `String`, which Flink uses in a few functions, counts a character outside the basic plane twice; we do not.

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

mod build;
mod case;
mod encode;
mod hash;
mod java_regex;
mod like;
mod pad;
mod printf;
mod regexp;
mod search;
mod slice;
mod url;

/// Every function of texts and bytes.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    [
        case::all(),
        slice::all(),
        search::all(),
        pad::all(),
        build::all(),
        regexp::all(),
        like::all(),
        encode::all(),
        hash::all(),
        url::all(),
        printf::all(),
    ]
    .into_iter()
    .flatten()
    .map(super::call::Function::build)
    .collect()
}

/// The byte offset of character `index`, or the length of `text` if it has fewer characters.
fn byte_at(text: &str, index: usize) -> usize {
    if index >= text.len() {
        text.len()
    } else if text.is_ascii() {
        index
    } else {
        text.char_indices().nth(index).map_or(text.len(), |(at, _)| at)
    }
}

fn char_len(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests;
