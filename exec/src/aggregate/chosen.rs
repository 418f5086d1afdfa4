//! One value per group, chosen among those that came: the least, the greatest, the first, the last. For rows that only appear.

use std::borrow::Borrow;
use std::marker::PhantomData;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::domain::Domain;
use super::types::grow;
use super::{Accumulator, same};
use crate::error::Result;

/// Whether a value that comes takes the place of the one that is kept.
pub(super) trait Choice: Send + 'static {
    fn prefers<V: Ord + ?Sized>(new: &V, kept: &V) -> bool;
}

pub(super) struct Least;
pub(super) struct Greatest;
pub(super) struct First;
pub(super) struct Last;

impl Choice for Least {
    #[inline]
    fn prefers<V: Ord + ?Sized>(new: &V, kept: &V) -> bool {
        new < kept
    }
}

impl Choice for Greatest {
    #[inline]
    fn prefers<V: Ord + ?Sized>(new: &V, kept: &V) -> bool {
        new > kept
    }
}

impl Choice for First {
    #[inline]
    fn prefers<V: Ord + ?Sized>(_new: &V, _kept: &V) -> bool {
        false
    }
}

impl Choice for Last {
    #[inline]
    fn prefers<V: Ord + ?Sized>(_new: &V, _kept: &V) -> bool {
        true
    }
}

pub(super) struct Chosen<D: Domain, C> {
    domain: D,
    slots: Vec<Option<D::Kept>>,
    heap: usize,
    choice: PhantomData<C>,
}

impl<D: Domain, C: Choice> Chosen<D, C> {
    pub fn new(domain: D) -> Chosen<D, C> {
        Chosen { domain, slots: Vec::new(), heap: 0, choice: PhantomData }
    }
}

#[inline]
fn offer<D: Domain, C: Choice>(slot: &mut Option<D::Kept>, heap: &mut usize, value: &D::Value) {
    match slot {
        Some(kept) if C::prefers(value, (*kept).borrow()) => {
            *heap -= D::heap(kept);
            D::replace(kept, value);
            *heap += D::heap(kept);
        }
        Some(_) => {}
        empty => {
            let kept = D::keep(value);
            *heap += D::heap(&kept);
            *empty = Some(kept);
        }
    }
}

impl<D: Domain, C: Choice> Accumulator for Chosen<D, C> {
    fn resize(&mut self, groups: usize) {
        grow(&mut self.slots, groups);
    }

    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], _weights: Option<&[i64]>) -> Result<()> {
        let (slots, heap) = (&mut self.slots, &mut self.heap);
        self.domain.for_each(&arguments[0], |row, value| offer::<D, C>(&mut slots[groups[row] as usize], heap, value))
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.domain.data_type().clone()]
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        self.update(groups, state, None)
    }

    fn absorb(&mut self, groups: &[u32], other: &dyn Accumulator, of_other: &[u32]) -> Result<()> {
        let other = same::<Self>(other);
        for (&group, &of_other) in groups.iter().zip(of_other) {
            if let Some(kept) = &other.slots[of_other as usize] {
                offer::<D, C>(&mut self.slots[group as usize], &mut self.heap, kept.borrow());
            }
        }
        Ok(())
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.domain.array(groups.iter().map(|&group| self.slots[group as usize].as_ref().map(Borrow::borrow)))
    }

    fn clear(&mut self, groups: &[u32]) {
        for &group in groups {
            if let Some(kept) = self.slots[group as usize].take() {
                self.heap -= D::heap(&kept);
            }
        }
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<D::Kept>>() + self.heap
    }
}
