//! Rows in order.

use std::cmp::Ordering;
use std::collections::{BTreeSet, btree_set};
use std::slice;
use std::sync::Arc;

/// Bytes of a row in Arrow's row format, or of its order.
pub(in crate::operators) type Bytes = Arc<[u8]>;

/// A row, and where it stands: rows are compared by that alone.
#[derive(Clone)]
pub(in crate::operators) struct OrderedRow {
    /// Its order, and then the row, both in Arrow's row format.
    bytes: Bytes,
    order_length: u32,
    /// Rises, or falls where the row that comes last comes first. No two rows of an operator have the same.
    pub arrival: i64,
}

impl OrderedRow {
    /// `scratch` is for bytes on their way.
    pub fn new(order: &[u8], row: &[u8], arrival: i64, scratch: &mut Vec<u8>) -> OrderedRow {
        scratch.clear();
        scratch.extend_from_slice(order);
        scratch.extend_from_slice(row);
        OrderedRow { bytes: Bytes::from(scratch.as_slice()), order_length: order.len() as u32, arrival }
    }

    pub fn order(&self) -> &[u8] {
        &self.bytes[..self.order_length as usize]
    }

    pub fn row(&self) -> &[u8] {
        &self.bytes[self.order_length as usize..]
    }

    /// Where it stands.
    fn place(&self) -> (&[u8], i64) {
        (self.order(), self.arrival)
    }
}

impl PartialEq for OrderedRow {
    fn eq(&self, other: &OrderedRow) -> bool {
        self.arrival == other.arrival
    }
}

impl Eq for OrderedRow {}

impl PartialOrd for OrderedRow {
    fn partial_cmp(&self, other: &OrderedRow) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderedRow {
    fn cmp(&self, other: &OrderedRow) -> Ordering {
        self.place().cmp(&other.place())
    }
}

/// The rows of one partition: most have few.
pub(super) enum OrderedRows {
    Few(Vec<OrderedRow>),
    Many(BTreeSet<OrderedRow>),
}

/// So many rows are moved in memory when one comes or goes; in tests some partitions have more.
const FEW: usize = if cfg!(test) { 4 } else { 64 };

impl Default for OrderedRows {
    fn default() -> OrderedRows {
        OrderedRows::Few(Vec::new())
    }
}

impl OrderedRows {
    pub fn len(&self) -> usize {
        match self {
            OrderedRows::Few(rows) => rows.len(),
            OrderedRows::Many(rows) => rows.len(),
        }
    }

    pub fn insert(&mut self, row: OrderedRow) {
        match self {
            OrderedRows::Few(rows) if rows.len() < FEW => {
                // Many partitions have one row, and some ten.
                if rows.len() < 8 {
                    rows.reserve_exact(1);
                }
                rows.insert(rows.partition_point(|other| *other < row), row);
            }
            OrderedRows::Few(rows) => {
                let rows = std::mem::take(rows).into_iter().chain([row]).collect();
                *self = OrderedRows::Many(rows);
            }
            OrderedRows::Many(rows) => _ = rows.insert(row),
        }
    }

    pub fn remove(&mut self, row: &OrderedRow) {
        match self {
            OrderedRows::Few(rows) => rows.retain(|other| other != row),
            OrderedRows::Many(rows) => _ = rows.remove(row),
        }
    }

    /// Takes the row that stands last.
    pub fn pop_last(&mut self) -> Option<OrderedRow> {
        match self {
            OrderedRows::Few(rows) => rows.pop(),
            OrderedRows::Many(rows) => rows.pop_last(),
        }
    }

    /// The first of the rows that stand at `order` and are equal to `row`.
    pub fn find(&self, order: &[u8], row: &[u8]) -> Option<&OrderedRow> {
        let is_it = |other: &&OrderedRow| other.row() == row;
        match self {
            OrderedRows::Few(rows) => {
                let from = rows.partition_point(|other| other.order() < order);
                rows[from..].iter().take_while(|other| other.order() == order).find(is_it)
            }
            OrderedRows::Many(rows) => {
                let at = |arrival| OrderedRow::new(order, &[], arrival, &mut Vec::new());
                rows.range(at(i64::MIN)..=at(i64::MAX)).find(is_it)
            }
        }
    }

    /// In order.
    pub fn iter(&self) -> Iter<'_> {
        match self {
            OrderedRows::Few(rows) => Iter::Few(rows.iter()),
            OrderedRows::Many(rows) => Iter::Many(rows.iter()),
        }
    }
}

pub(in crate::operators) enum Iter<'a> {
    Few(slice::Iter<'a, OrderedRow>),
    Many(btree_set::Iter<'a, OrderedRow>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a OrderedRow;

    fn next(&mut self) -> Option<&'a OrderedRow> {
        match self {
            Iter::Few(rows) => rows.next(),
            Iter::Many(rows) => rows.next(),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Few(rows) => rows.next_back(),
            Iter::Many(rows) => rows.next_back(),
        }
    }
}
