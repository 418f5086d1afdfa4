//! Rows in order, by partition.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

/// Bytes of a row in Arrow's row format, or of its order.
pub(in crate::operators) type Bytes = Arc<[u8]>;

/// Where a row stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::operators) struct Place {
    pub partition: u32,
    pub order: Bytes,
    /// Rises, or falls where the row that comes last comes first. No two rows of an operator have the same.
    pub arrival: i64,
}

/// All rows of all partitions, and what has changed since the last snapshot.
pub(super) struct OrderedRows {
    rows: BTreeMap<Place, Bytes>,
    /// Empty bytes, before any others.
    least: Bytes,
    changed: Option<Changed>,
}

#[derive(Default)]
pub(super) struct Changed {
    pub added: HashSet<Place>,
    /// Rows that were there at the last snapshot, with their arrivals.
    pub gone: Vec<(Bytes, i64)>,
}

impl OrderedRows {
    pub fn new(incremental: bool) -> OrderedRows {
        OrderedRows { rows: BTreeMap::new(), least: Arc::from([]), changed: incremental.then(Changed::default) }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn insert(&mut self, place: Place, row: Bytes) {
        if let Some(changed) = &mut self.changed {
            changed.added.insert(place.clone());
        }
        self.rows.insert(place, row);
    }

    pub fn remove(&mut self, place: &Place) {
        let row = self.rows.remove(place);
        if let (Some(changed), Some(row)) = (&mut self.changed, row)
            && !changed.added.remove(place)
        {
            changed.gone.push((row, place.arrival));
        }
    }

    fn start(&self, partition: u32) -> Place {
        Place { partition, order: Arc::clone(&self.least), arrival: i64::MIN }
    }

    /// In order.
    pub fn of(&self, partition: u32) -> impl DoubleEndedIterator<Item = (&Place, &Bytes)> {
        let end = match partition.checked_add(1) {
            Some(next) => Bound::Excluded(self.start(next)),
            None => Bound::Unbounded,
        };
        self.rows.range((Bound::Included(self.start(partition)), end))
    }

    /// The first of the rows of a partition that stand here and are equal to `row`.
    pub fn find(&self, partition: u32, order: &Bytes, row: &[u8]) -> Option<Place> {
        let at = |arrival: i64| Place { partition, order: Arc::clone(order), arrival };
        let mut here = self.rows.range(at(i64::MIN)..=at(i64::MAX));
        here.find(|(_, bytes)| bytes.as_ref() == row).map(|(place, _)| place.clone())
    }

    pub fn all(&self) -> impl Iterator<Item = (&Place, &Bytes)> {
        self.rows.iter()
    }

    pub fn get(&self, place: &Place) -> Option<&Bytes> {
        self.rows.get(place)
    }

    /// What has changed since the last call; `None` if that is not looked after.
    pub fn take_changed(&mut self) -> Option<Changed> {
        self.changed.as_mut().map(std::mem::take)
    }
}
