//! What aggregates compute, for many groups at once.
//!
//! An [`AggregateFunction`] is a description (`SUM`); an [`Accumulator`] is a column of running state, one slot per group,
//! that takes rows in and out. The same accumulators serve streams, both phases of an aggregation around an exchange,
//! snapshots, and (wrapped as DataFusion aggregates by the planner) batch execution.

mod average;
mod chosen;
mod collect;
mod count;
mod counted;
mod distinct;
mod domain;
mod extreme;
mod first_last;
mod foreign;
mod json;
mod lists;
mod logical;
mod multiset;
mod ordered;
mod sorted;
mod sum;
#[cfg(test)]
mod tests;
mod totals;
mod types;
mod variance;

use std::any::Any;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};

use crate::error::Result;

pub use collect::multiset_type;
pub use foreign::Foreign;
pub use sorted::Sorted;
pub(crate) use types::combine;

/// Every aggregate that is ours, in the order the documentation shows them. Anything else is DataFusion's, as [`Foreign`].
static AGGREGATES: LazyLock<Vec<Arc<dyn AggregateFunction>>> = LazyLock::new(|| {
    vec![
        Arc::new(count::Count),
        Arc::new(count::ApproxCountDistinct),
        Arc::new(sum::Sum { empty_is_zero: false }),
        Arc::new(sum::Sum { empty_is_zero: true }),
        Arc::new(average::Avg),
        Arc::new(extreme::Extreme { max: false }),
        Arc::new(extreme::Extreme { max: true }),
        Arc::new(first_last::FirstLast { last: false }),
        Arc::new(first_last::FirstLast { last: true }),
        Arc::new(ordered::ListAgg),
        Arc::new(ordered::ArrayAgg),
        Arc::new(collect::Collect),
        Arc::new(variance::Variance { name: "STDDEV_POP", sample: false, root: true }),
        Arc::new(variance::Variance { name: "STDDEV_SAMP", sample: true, root: true }),
        Arc::new(variance::Variance { name: "VAR_POP", sample: false, root: false }),
        Arc::new(variance::Variance { name: "VAR_SAMP", sample: true, root: false }),
        Arc::new(logical::Logical { any: false }),
        Arc::new(logical::Logical { any: true }),
        Arc::new(json::JsonArrayAgg { name: "JSON_ARRAYAGG", keeps_nulls: false }),
        Arc::new(json::JsonArrayAgg { name: "JSON_ARRAYAGG_NULL_ON_NULL", keeps_nulls: true }),
        Arc::new(json::JsonObjectAgg { name: "JSON_OBJECTAGG", keeps_nulls: true }),
        Arc::new(json::JsonObjectAgg { name: "JSON_OBJECTAGG_ABSENT_ON_NULL", keeps_nulls: false }),
    ]
});

/// Other names under which users know some of them.
const ALIASES: &[(&str, &[&str])] = &[
    ("LISTAGG", &["STRING_AGG"]),
    ("STDDEV_SAMP", &["STDDEV"]),
    ("VAR_SAMP", &["VARIANCE"]),
    ("BOOL_AND", &["EVERY"]),
];

pub fn all() -> Vec<Arc<dyn AggregateFunction>> {
    AGGREGATES.clone()
}

/// The aggregate of this name or alias, in any case.
pub fn find(name: &str) -> Option<Arc<dyn AggregateFunction>> {
    let is = |known: &&str| known.eq_ignore_ascii_case(name);
    AGGREGATES.iter().find(|f| is(&f.name()) || aliases(f.name()).iter().any(is)).cloned()
}

/// The other names of the aggregate that is called `name`.
pub fn aliases(name: &str) -> &'static [&'static str] {
    ALIASES.iter().find(|(of, _)| *of == name).map_or(&[], |(_, aliases)| aliases)
}

/// An aggregate by name: immutable, shared.
pub trait AggregateFunction: Debug + Send + Sync {
    /// Upper-case, as users write it: "SUM".
    fn name(&self) -> &str;

    /// The type of the result, given the arguments' types; may also say to which types the arguments must be cast first.
    ///
    /// # Errors
    /// Arguments of a number or type it does not take.
    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved>;

    /// Whether the result depends on the order of rows, not only on which there are.
    fn is_ordered(&self) -> bool {
        false
    }

    /// Whether the result of this call is how many rows there are, so that who counts them anyway needs no [`Accumulator`].
    fn counts_rows(&self, _call: &AggregateCall) -> bool {
        false
    }

    /// Running state for one shard. Honours everything the call says, `DISTINCT` included.
    ///
    /// # Errors
    /// A combination of type and clause that it cannot compute.
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

impl AggregateCall {
    /// The same call without `DISTINCT`, as seen by an accumulator that is fed each distinct value once.
    fn without_distinct(&self) -> AggregateCall {
        AggregateCall { distinct: false, ..self.clone() }
    }

    fn argument_types(&self) -> Vec<DataType> {
        self.arguments.iter().map(|field| field.data_type().clone()).collect()
    }

    /// The type of the first argument.
    fn argument_type(&self) -> &DataType {
        self.arguments.first().map_or(&DataType::Null, |field| field.data_type())
    }
}

/// Another accumulator of the same call, which is thus of the same type.
fn same<A: Accumulator>(other: &dyn Accumulator) -> &A {
    (other as &dyn Any).downcast_ref().expect("accumulators of one call are of one type")
}

/// Running state of one aggregate for many groups, addressed by dense group numbers.
///
/// The law: the result depends only on the multiset of rows that are in (for order-sensitive aggregates: on the list of them),
/// however they were split into calls, and `merge`-ing another accumulator's `state` is the same as feeding its rows.
pub trait Accumulator: Any + Send {
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

    /// Adds what `other`, an accumulator of the same call, holds: its group `of_other[i]` goes into `groups[i]`.
    fn absorb(&mut self, groups: &[u32], other: &dyn Accumulator, of_other: &[u32]) -> Result<()> {
        self.merge(groups, &other.state(of_other)?)
    }

    /// Whether [`take_out`](Self::take_out) undoes what was absorbed, exactly.
    fn is_invertible(&self) -> bool {
        false
    }

    /// Takes out again what was [absorbed](Self::absorb). Only called if [`is_invertible`](Self::is_invertible).
    fn take_out(&mut self, _groups: &[u32], _other: &dyn Accumulator, _of_other: &[u32]) -> Result<()> {
        unreachable!("an accumulator that is invertible says how")
    }

    /// Bytes held, cheap to ask.
    fn bytes(&self) -> usize;
}
