//! `MATCH_RECOGNIZE` to its operator.

use tidemill_exec::operators::TimeKind;
use tidemill_exec::{Changes, Error, Result};

use super::lower::{Lowering, attribute_of};
use super::plan::{StreamPlan, Times};
use super::window::keyed;
use crate::match_recognize::{self, MatchNode};

impl Lowering<'_> {
    /// Rows meet in the shard of their partition.
    pub(super) fn match_recognize(&self, node: &MatchNode) -> Result<StreamPlan> {
        let plan = self.plan(&node.input)?;
        if !plan.props.changes.is_append() {
            return Err(Error::new("cannot find patterns in rows that change")
                .why("a row of the input may be taken back, and the matches it was part of could not be")
                .fix("use MATCH_RECOGNIZE over rows that only appear"));
        }
        let input = plan.props.schema.clone();
        let physical = |expr: &_, schema: &_| self.expression(expr, schema);
        let mut operator = match_recognize::operator(node, TimeKind::Event, input, &physical)?;
        let Some(kind) = plan.props.times.kind(operator.time) else {
            let column = operator.input.field(operator.time).name();
            return Err(Error::new(format!("cannot find patterns in the order of {column}"))
                .why("it is no time attribute, so no row could be known to be the next")
                .fix(format!(
                    "add WATERMARK FOR {column} AS {column} - INTERVAL '5' SECOND to CREATE TABLE, or order by a column AS PROCTIME()"
                )));
        };
        operator.kind = kind;
        let keys = keyed(&operator.partition);
        // Partition columns come out first.
        let distribution = keyed(&(0..operator.partition.len()).collect::<Vec<_>>());
        let mut times = Times::default();
        for (n, (_, measure)) in node.measures.iter().enumerate() {
            if attribute_of(measure) == Some(TimeKind::Event) && kind == TimeKind::Event {
                times = times.with(node.partition.len() + n, TimeKind::Event);
            }
        }
        Ok(StreamPlan::operator(operator, plan, Changes::Append, distribution).requires(keys).with_times(times))
    }
}
