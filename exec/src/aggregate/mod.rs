//! What aggregates compute, for many groups at once.
//!
//! An [`AggregateFunction`] is a description (`SUM`); an [`Accumulator`] is a column of running state, one slot per group,
//! that takes rows in and out. The same accumulators serve streams, both phases of an aggregation around an exchange,
//! snapshots, and (wrapped as DataFusion aggregates by the planner) batch execution.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};

use crate::error::Result;

/// An aggregate by name: immutable, shared.
pub trait AggregateFunction: Debug + Send + Sync {
    /// Upper-case, as users write it: "SUM".
    fn name(&self) -> &'static str;

    /// The type of the result, given the arguments' types; may also say to which types the arguments must be cast first.
    ///
    /// # Errors
    /// Arguments of a number or type it does not take.
    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved>;

    /// Running state for one shard.
    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>>;
}

/// The answer of [`AggregateFunction::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub arguments: Vec<DataType>,
    pub result: DataType,
    /// `COUNT` is never null.
    pub nullable: bool,
}

/// One aggregate of a query: `SUM(DISTINCT price)`.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    pub function: Arc<dyn AggregateFunction>,
    /// The arguments' fields, after coercion.
    pub arguments: Vec<FieldRef>,
    pub distinct: bool,
    pub ignore_nulls: bool,
    /// The result.
    pub result: FieldRef,
    /// Weights other than +1 may come. Accumulators that can only invert at the price of keeping all values do so only then.
    pub retracting: bool,
}

/// Running state of one aggregate for many groups, addressed by dense group numbers.
///
/// The law: the result depends only on the multiset of rows that are in (for order-sensitive aggregates: on the list of them),
/// however they were split into calls, and `merge`-ing another accumulator's `state` is the same as feeding its rows.
pub trait Accumulator: Send {
    /// Makes slots for groups `0..groups`; new ones are empty. Never shrinks.
    fn resize(&mut self, groups: usize);

    /// Adds rows: row `i` has the arguments `arguments[..][i]`, belongs to `groups[i]`, and has weight `weights[i]` (all +1 if `None`;
    /// else only if the call is `retracting`). `FILTER` has been applied by the caller.
    fn update(&mut self, groups: &[u32], arguments: &[ArrayRef], weights: Option<&[i64]>) -> Result<()>;

    /// Types of the arrays that `state` gives. Fixed for a call: part of the exchange between phases and of the checkpoint format.
    fn state_types(&self) -> Vec<DataType>;

    /// The state of these groups, one row per group in that order. Leaves it as it is.
    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Adds states: row `i` of `state` belongs to `groups[i]`; groups may repeat.
    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()>;

    /// The results of these groups, in that order. Leaves the state as it is.
    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef>;

    /// Empties these slots, so that their numbers can be reused.
    fn clear(&mut self, groups: &[u32]);

    /// Bytes held, cheap to ask.
    fn bytes(&self) -> usize;
}
