//! A changelog folded to the rows that are there now.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use tidemill_exec::{ChangeBatch, Result, RowKind};

/// A bag of rows in the order of their first arrival: a row that is updated (`-U`, then `+U`) keeps its place.
pub struct Bag {
    schema: SchemaRef,
    converter: RowConverter,
    /// One slot per arrival; `None` once the row has gone.
    slots: Vec<Option<Slot>>,
    /// The newest slot of each row that is there; equal rows are chained from it.
    newest: HashMap<Rc<[u8]>, usize>,
    /// Slots whose rows were retracted by `-U`, waiting for their `+U`.
    updating: VecDeque<usize>,
    /// Retractions that came before their rows, as they may when shards report independently.
    owed: HashMap<Rc<[u8]>, u64>,
    live: usize,
}

struct Slot {
    row: Rc<[u8]>,
    next: Option<usize>,
}

impl Bag {
    pub fn new(schema: &SchemaRef) -> Result<Bag> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        Ok(Bag {
            schema: schema.clone(),
            converter: RowConverter::new(fields.collect())?,
            slots: Vec::new(),
            newest: HashMap::new(),
            updating: VecDeque::new(),
            owed: HashMap::new(),
            live: 0,
        })
    }

    pub fn apply(&mut self, changes: &ChangeBatch) -> Result<()> {
        let rows = self.converter.convert_columns(changes.rows.columns())?;
        for (index, row) in rows.iter().enumerate() {
            match changes.kind(index) {
                kind if kind.is_positive() => self.add(row.as_ref(), kind),
                kind => self.remove(row.as_ref(), kind),
            }
        }
        self.compact();
        Ok(())
    }

    /// How many rows are there.
    pub fn len(&self) -> usize {
        self.live
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The first `limit` rows, oldest first.
    pub fn rows(&self, limit: usize) -> Result<RecordBatch> {
        let parser = self.converter.parser();
        let rows = self.slots.iter().flatten().take(limit).map(|slot| parser.parse(&slot.row));
        let columns = self.converter.convert_rows(rows)?;
        let fields = self.schema.fields().iter().map(|field| field.name());
        Ok(RecordBatch::try_from_iter_with_nullable(fields.zip(columns).map(|(name, column)| (name, column, true)))?)
    }

    fn add(&mut self, row: &[u8], kind: RowKind) {
        if let Some(owed) = self.owed.get_mut(row) {
            *owed -= 1;
            if *owed == 0 {
                self.owed.remove(row);
            }
            return;
        }
        let reserved = if kind == RowKind::UpdateAfter { self.updating.pop_front() } else { None };
        let at = reserved.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let row: Rc<[u8]> = row.into();
        let next = self.newest.insert(row.clone(), at);
        self.slots[at] = Some(Slot { row, next });
        self.live += 1;
    }

    fn remove(&mut self, row: &[u8], kind: RowKind) {
        let Some(at) = self.newest.get(row).copied() else {
            *self.owed.entry(row.into()).or_default() += 1;
            return;
        };
        let slot = self.slots[at].take().expect("newest points to slots that are taken");
        match (slot.next, self.newest.entry(slot.row)) {
            (Some(next), Entry::Occupied(mut newest)) => drop(newest.insert(next)),
            (None, Entry::Occupied(newest)) => drop(newest.remove()),
            (_, Entry::Vacant(_)) => {}
        }
        if kind == RowKind::UpdateBefore {
            self.updating.push_back(at);
        }
        self.live -= 1;
    }

    /// Drops empty slots when they outnumber the rows, so that a bag is as large as its rows however long it changes.
    fn compact(&mut self) {
        if self.slots.len() < 2 * self.live + 1024 || !self.updating.is_empty() {
            return;
        }
        self.newest.clear();
        let rows = std::mem::take(&mut self.slots).into_iter().flatten();
        for (at, slot) in rows.enumerate() {
            let next = self.newest.insert(slot.row.clone(), at);
            self.slots.push(Some(Slot { row: slot.row, next }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, StringArray};

    use super::*;

    /// Applies changes such as `+I a`, one batch per line, and gives the rows that remain.
    fn fold(lines: &[&str]) -> String {
        let schema = changes("+I a").rows.schema();
        let mut bag = Bag::new(&schema).unwrap();
        for line in lines {
            bag.apply(&changes(line)).unwrap();
        }
        let rows = bag.rows(usize::MAX).unwrap();
        assert_eq!(rows.num_rows(), bag.len());
        rows.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn changes(line: &str) -> ChangeBatch {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kinds = words.iter().step_by(2).map(|kind| match *kind {
            "+I" => RowKind::Insert,
            "-U" => RowKind::UpdateBefore,
            "+U" => RowKind::UpdateAfter,
            _ => RowKind::Delete,
        });
        let values: StringArray = words.iter().skip(1).step_by(2).map(|value| Some(*value)).collect();
        let rows = RecordBatch::try_from_iter([("k", Arc::new(values) as ArrayRef)]).unwrap();
        ChangeBatch { rows, kinds: Some(kinds.collect()) }
    }

    #[test]
    fn an_updated_row_keeps_its_place() {
        assert_eq!(fold(&["+I a +I b", "-U a", "+U a2 +I c"]), "a2 b c");
        assert_eq!(fold(&["+I a +I b", "-U a -U b +U a2 +U b2"]), "a2 b2");
    }

    #[test]
    fn equal_rows_are_counted() {
        assert_eq!(fold(&["+I a +I b +I a +I a", "-D a"]), "a b a");
        assert_eq!(fold(&["+I a +I a -D a -D a +I b"]), "b");
    }

    #[test]
    fn a_retraction_may_come_before_its_row() {
        assert_eq!(fold(&["-D a", "+I b +I a +I a"]), "b a");
    }

    #[test]
    fn a_bag_stays_as_large_as_its_rows() {
        let churn: Vec<String> = (0..5000).map(|n| format!("+I {n} -D {n}")).collect();
        let schema = changes("+I a").rows.schema();
        let mut bag = Bag::new(&schema).unwrap();
        bag.apply(&changes("+I x +I x")).unwrap();
        churn.iter().for_each(|line| bag.apply(&changes(line)).unwrap());
        assert!(bag.slots.len() < 2000, "{} slots", bag.slots.len());
        bag.apply(&changes("-D x")).unwrap();
        assert_eq!(bag.len(), 1);
    }
}
