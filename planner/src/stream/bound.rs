//! What bounds the state of a join in time: windows on both sides, or a condition on how far two times are apart.

use datafusion::common::DFSchema;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use tidemill_exec::operators::{JoinKind, TimeKind};

use super::join::Side;
use super::over::milliseconds;
use super::plan::{Times, WindowColumns};
use crate::functions::window::as_event_time;

/// What bounds the state of a join.
pub(super) enum Bound {
    None,
    Window(Windows),
    Interval(Interval),
}

/// By input, where the start, the end and the time of the window are.
pub(super) struct Windows {
    pub columns: [(usize, usize, usize); 2],
    pub kind: TimeKind,
}

/// Bounds of the left time minus the right one, in milliseconds.
pub(super) struct Interval {
    pub times: [usize; 2],
    pub least: i64,
    pub greatest: i64,
}

impl Bound {
    /// Time attributes of the columns of the left and, behind them, of the right. Those of a side that may be null are none.
    pub fn times(&self, kind: JoinKind, left: &Side, right: &Side) -> Times {
        use JoinKind::{Anti, Full, Inner, Mark, Right, Semi};
        let (of_left, of_right) = match kind {
            Inner => (true, true),
            JoinKind::Left | Semi | Anti | Mark => (true, false),
            Right => (false, true),
            Full => (false, false),
        };
        let offset = left.columns.len();
        match self {
            Bound::None => Times::default(),
            Bound::Window(windows) => {
                let moved = |of: fn(&WindowColumns) -> &Vec<usize>| {
                    let columns = |side: &Side, offset: usize| -> Vec<usize> {
                        let window = side.plan.props.times.window.iter();
                        window.flat_map(of).map(|column| column + offset).collect()
                    };
                    let left = if of_left { columns(left, 0) } else { vec![] };
                    let right = if of_right { columns(right, offset) } else { vec![] };
                    [left, right].concat()
                };
                let zone = left.plan.props.times.window.as_ref().and_then(|window| window.zone.clone());
                let window = WindowColumns {
                    start: moved(|window| &window.start),
                    end: moved(|window| &window.end),
                    time: moved(|window| &window.time),
                    kind: windows.kind,
                    zone,
                };
                let event = if windows.kind == TimeKind::Event { window.time.clone() } else { vec![] };
                let is_known = !window.start.is_empty() && !window.end.is_empty();
                Times { event, window: is_known.then_some(window), ..Times::default() }
            }
            Bound::Interval(Interval { times, .. }) => {
                let left = of_left.then_some(times[0]);
                let right = of_right.then_some(times[1] + offset);
                Times { event: left.into_iter().chain(right).collect(), ..Times::default() }
            }
        }
    }
}

/// The bounds that a condition sets to how far such times of a pair are apart, if it sets both.
pub(super) fn interval(
    kind: TimeKind,
    [left, right]: [&Side; 2],
    equal: impl Iterator<Item = (Expr, Expr)>,
    filter: Option<&Expr>,
    both: &DFSchema,
) -> Option<Interval> {
    let offset = left.columns.len();
    let is_time = |side: &Side, column: usize| side.plan.props.times.kind(column) == Some(kind);
    let mut bounds: Vec<Interval> = Vec::new();
    let mut bound = |a: &Expr, sign: Operator, b: &Expr| {
        let (Some((a, after_a)), Some((b, after_b))) = (shifted(a, both), shifted(b, both)) else { return };
        let (mut sign, mut pair, mut apart) = (sign, [a, b], after_b.saturating_sub(after_a));
        if a >= offset {
            (sign, pair, apart) = (sign.swap().unwrap_or(sign), [b, a], -apart);
        }
        let times = [pair[0], pair[1].wrapping_sub(offset)];
        if pair[0] >= offset || !is_time(left, times[0]) || !is_time(right, times[1]) {
            return;
        }
        let place = bounds.iter().position(|known| known.times == times).unwrap_or_else(|| {
            bounds.push(Interval { times, least: i64::MIN, greatest: i64::MAX });
            bounds.len() - 1
        });
        let known = &mut bounds[place];
        match sign {
            Operator::LtEq => known.greatest = known.greatest.min(apart),
            Operator::Lt => known.greatest = known.greatest.min(apart - 1),
            Operator::GtEq => known.least = known.least.max(apart),
            Operator::Gt => known.least = known.least.max(apart + 1),
            Operator::Eq => (known.least, known.greatest) = (known.least.max(apart), known.greatest.min(apart)),
            _ => {}
        }
    };
    equal.for_each(|(left, right)| bound(&left, Operator::Eq, &right));
    for condition in filter.into_iter().flat_map(split_conjunction) {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => bound(left, *op, right),
            Expr::Between(between) if !between.negated => {
                bound(&between.expr, Operator::GtEq, &between.low);
                bound(&between.expr, Operator::LtEq, &between.high);
            }
            _ => {}
        }
    }
    bounds.into_iter().find(|bound| bound.least > i64::MIN && bound.greatest < i64::MAX)
}

/// A column, and how many milliseconds are added to it.
fn shifted(expr: &Expr, schema: &DFSchema) -> Option<(usize, i64)> {
    match expr {
        Expr::Column(column) => Some((schema.maybe_index_of_column(column)?, 0)),
        Expr::Alias(alias) => shifted(&alias.expr, schema),
        Expr::Cast(cast) => shifted(&cast.expr, schema),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => match right.as_ref() {
            Expr::Literal(by, _) => {
                shifted(left, schema).and_then(|(column, at)| Some((column, at + milliseconds(by)?)))
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => match right.as_ref() {
            Expr::Literal(by, _) => {
                shifted(left, schema).and_then(|(column, at)| Some((column, at - milliseconds(by)?)))
            }
            _ => None,
        },
        other => as_event_time(other).and_then(|inner| shifted(inner, schema)),
    }
}
