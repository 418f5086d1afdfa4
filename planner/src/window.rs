//! Windows in SQL: the node they are in a logical plan, and `FROM TABLE(TUMBLE(...))` to that node.
//!
//! ```text
//! TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))   ──WindowPlanner──┐
//!                                                                                 ├─> WindowNode
//! GROUP BY TUMBLE(ts, INTERVAL '10' SECOND)                      ──legacy─────────┘
//! ```

pub mod arguments;
mod late;
pub mod legacy;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ExprSchema, TableReference};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore, cast};
use datafusion::sql::sqlparser::ast::{FunctionArg, Ident, TableAlias, TableFactor};
use tidemill_exec::operators::{late_fields, window_fields};
use tidemill_exec::window::{LocalClock, Session, Shape, Windows};
use tidemill_exec::{Error, Result};

use crate::dialect::marker;
use crate::types;
use arguments::{Arguments, Function};

/// Each row of `input`, once for each window it is in: its columns, then the window's start, end and time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowNode {
    pub input: LogicalPlan,
    pub windows: Windowing,
    /// A column of the input, a timestamp in milliseconds.
    time: Expr,
    /// Columns of the input; each key has sessions of its own.
    keys: Vec<Expr>,
    /// Names of the columns that are added: `window_start`, `window_end`, `window_time` unless the input has such.
    names: Vec<String>,
    pub purpose: Purpose,
    schema: DFSchemaRef,
}

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Rows with their windows.
    Assign,
    /// Rows with their time in place of the window: the GROUP BY above slices them by itself.
    Slice,
    /// The rows that come too late for their windows, with the watermark and the reason.
    Late,
}

/// Into which windows rows are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Windowing {
    /// The same for all keys.
    Aligned(Windows),
    Sessions(Session),
}

impl Windowing {
    /// Aligned windows follow the clock of their times: that of the session for `TIMESTAMP_LTZ`, none for `TIMESTAMP`.
    fn by(self, clock: LocalClock) -> Windowing {
        match self {
            Windowing::Aligned(windows) => Windowing::Aligned(Windows { clock, ..windows }),
            Windowing::Sessions(session) => Windowing::Sessions(Session { clock, ..session }),
        }
    }
}

impl fmt::Display for Windowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Windowing::Aligned(windows) => windows.fmt(f),
            Windowing::Sessions(session) => session.fmt(f),
        }
    }
}

impl WindowNode {
    /// Windows of `windows` over `time`, a column of `input`. `clock` is that of the session.
    ///
    /// # Errors
    /// The column is no point in time, or a finer one than milliseconds.
    pub fn over(
        input: LogicalPlan,
        time: Column,
        keys: Vec<Expr>,
        windows: Windowing,
        clock: LocalClock,
    ) -> DataFusionResult<LogicalPlan> {
        let field = Arc::clone(input.schema().field_from_column(&time)?);
        let DataType::Timestamp(unit, zone) = field.data_type() else { return Err(no_time(&field).into()) };
        if types::precision(&field) > 3 {
            return Err(no_time(&field).into());
        }
        let clock = if zone.is_some() { clock } else { LocalClock::UTC };
        // What is no column in milliseconds becomes one beside the others, for the window alone.
        let millis = match unit {
            TimeUnit::Millisecond => Expr::Column(time),
            _ => cast(Expr::Column(time), DataType::Timestamp(TimeUnit::Millisecond, zone.clone())),
        };
        let mut extra: Vec<Expr> = Vec::new();
        let mut as_column = |expr: Expr| match expr {
            Expr::Column(_) => expr,
            other => {
                let name = format!("$window{}", extra.len());
                extra.push(other.alias(&name));
                Expr::Column(Column::new_unqualified(name))
            }
        };
        let (time, keys) = (as_column(millis), keys.into_iter().map(&mut as_column).collect());
        let visible = input.schema().columns();
        let input = match extra.is_empty() {
            true => input,
            false => {
                let all = visible.iter().cloned().map(Expr::Column).chain(extra.iter().cloned());
                LogicalPlanBuilder::from(input).project(all.collect::<Vec<_>>())?.build()?
            }
        };
        let names = free_names(input.schema(), &["window_start", "window_end", "window_time"]);
        let node = WindowNode::new(input, windows.by(clock), time, keys, names, Purpose::Assign)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn new(
        input: LogicalPlan,
        windows: Windowing,
        time: Expr,
        keys: Vec<Expr>,
        names: Vec<String>,
        purpose: Purpose,
    ) -> DataFusionResult<WindowNode> {
        let zone = match column_field(&input, &time)?.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let mut fields: Vec<(Option<TableReference>, FieldRef)> =
            input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
        let added = match purpose {
            Purpose::Late => late_fields().to_vec(),
            _ => window_fields(zone).iter().map(|field| field.as_ref().clone().with_nullable(false)).collect(),
        };
        fields.extend(added.into_iter().zip(&names).map(|(field, name)| (None, Arc::new(field.with_name(name)))));
        let schema = Arc::new(DFSchema::new_with_metadata(fields, Default::default())?);
        Ok(WindowNode { input, windows, time, keys, names, purpose, schema })
    }

    /// The same, for a GROUP BY that slices rows by itself.
    pub fn as_slices(&self) -> WindowNode {
        WindowNode { purpose: Purpose::Slice, ..self.clone() }
    }

    /// The rows of its input that come too late.
    fn as_late(&self) -> DataFusionResult<WindowNode> {
        let names = free_names(self.input.schema(), &["late_at", "reason"]);
        let (input, time, keys) = (self.input.clone(), self.time.clone(), self.keys.clone());
        WindowNode::new(input, self.windows, time, keys, names, Purpose::Late)
    }

    /// Which column of the input the windows are over.
    pub fn time(&self) -> Result<usize> {
        position(&self.input, &self.time)
    }

    /// The name of that column.
    pub fn time_name(&self) -> &str {
        match &self.time {
            Expr::Column(column) => &column.name,
            _ => "",
        }
    }

    pub fn time_expr(&self) -> &Expr {
        &self.time
    }

    /// Which columns of the input each have sessions of their own.
    pub fn keys(&self) -> Result<Vec<usize>> {
        self.keys.iter().map(|key| position(&self.input, key)).collect()
    }

    /// Names of the columns that are added: start, end, time.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many columns come before the window's.
    pub fn width(&self) -> usize {
        self.input.schema().fields().len()
    }
}

fn position(input: &LogicalPlan, column: &Expr) -> Result<usize> {
    match column {
        Expr::Column(column) => Ok(input.schema().index_of_column(column)?),
        other => Err(Error::new(format!("the window is over {other}, which is no column"))),
    }
}

fn column_field(input: &LogicalPlan, column: &Expr) -> DataFusionResult<FieldRef> {
    match column {
        Expr::Column(column) => Ok(Arc::clone(input.schema().field_from_column(column)?)),
        other => Err(Error::new(format!("the window is over {other}, which is no column")).into()),
    }
}

/// These names, with a number behind those that the schema has already.
fn free_names(schema: &DFSchema, wanted: &[&str]) -> Vec<String> {
    let free = |name: &&str| {
        let is_free = |name: &String| !schema.fields().iter().any(|field| field.name() == name);
        let mut names = std::iter::once(name.to_string()).chain((0..).map(|n| format!("{name}{n}")));
        names.find(is_free).expect("there are more numbers than columns")
    };
    wanted.iter().map(free).collect()
}

fn no_time(field: &FieldRef) -> Error {
    Error::new(format!("cannot make windows over column {}", field.name()))
        .why(format!("it is of type {}", types::flink_type(field)))
        .fix("windows are over a TIMESTAMP(3) or TIMESTAMP_LTZ(3); compute one in the table, such as ts AS TO_TIMESTAMP(text)")
}

impl PartialOrd for WindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (&self.input, &self.time, &self.keys).partial_cmp(&(&other.input, &other.time, &other.keys))
    }
}

impl UserDefinedLogicalNodeCore for WindowNode {
    fn name(&self) -> &str {
        "Window"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(&self.time).chain(&self.keys).cloned().collect()
    }

    /// A row that is filtered out before it reaches its session would not be there to hold the session together.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let is_key = |name: &String| self.keys.iter().any(|key| matches!(key, Expr::Column(key) if key.name == *name));
        match self.windows {
            Windowing::Aligned(_) => self.names.iter().cloned().collect(),
            Windowing::Sessions(_) => {
                self.schema.fields().iter().map(|field| field.name().clone()).filter(|name| !is_key(name)).collect()
            }
        }
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Window: {} of {}", self.windows, self.time)?;
        if !self.keys.is_empty() {
            let keys: Vec<String> = self.keys.iter().map(|key| key.to_string()).collect();
            write!(f, " by {}", keys.join(", "))?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let keys = exprs.split_off(1);
        WindowNode::new(
            inputs.swap_remove(0),
            self.windows,
            exprs.swap_remove(0),
            keys,
            self.names.clone(),
            self.purpose,
        )
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|&column| column < self.width()).collect();
        needed.push(self.time().ok()?);
        needed.extend(self.keys().ok()?);
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

/// Plans `TABLE(TUMBLE(..))`, `HOP`, `CUMULATE` and `SESSION`, also without the `TABLE(..)` around them.
#[derive(Debug)]
pub struct WindowPlanner {
    /// What `TIMESTAMP_LTZ` follows.
    pub clock: LocalClock,
}

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        let relation = match late::call(relation) {
            Ok((query, alias)) => return Ok(RelationPlanning::Planned(Box::new(late::rows(&query, alias, context)?))),
            Err(other) => *other,
        };
        let (function, mut arguments, alias) = match call_of(relation) {
            Ok(call) => call,
            Err(other) => return Ok(RelationPlanning::Original(other)),
        };
        let grouped = legacy::take_mark(&mut arguments);
        let arguments = Arguments::new(function, arguments)?;
        let windows = arguments.windows()?;
        let time = arguments.time()?;
        let data = arguments.data()?;
        let input = context.plan(data.relation)?;
        // A rewritten query speaks of `window_start` and the like, and means the window's.
        let taken = ["window_start", "window_end", "window_time"].into_iter();
        if let Some(name) = taken.filter(|_| grouped).find(|name| input.schema().has_column_with_unqualified_name(name))
        {
            return Err(Error::new(format!("cannot group by {} over rows that have a column {name}", function.name()))
                .why("the window has a column of that name")
                .fix(format!("rename it in a subquery: FROM (SELECT ..., {name} AS another FROM t)"))
                .into());
        }
        let column = |name: &Ident, context: &mut dyn RelationPlannerContext| {
            let column =
                context.sql_to_expr(datafusion::sql::sqlparser::ast::Expr::Identifier(name.clone()), input.schema())?;
            match column {
                Expr::Column(column) => Ok(column),
                other => DataFusionResult::Err(Error::new(format!("{other} is no column")).into()),
            }
        };
        let time = column(&time, context)?;
        let keys: Vec<Expr> = data
            .partition_by
            .iter()
            .map(|key| column(key, context).map(Expr::Column))
            .collect::<DataFusionResult<_>>()?;
        let visible = input.schema().fields().len();
        let plan = WindowNode::over(input, time, keys, windows, self.clock)?;
        let plan = without_extra(plan, visible)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The first `visible` columns and the window's.
fn without_extra(plan: LogicalPlan, visible: usize) -> DataFusionResult<LogicalPlan> {
    let columns = plan.schema().columns();
    if columns.len() == visible + 3 {
        return Ok(plan);
    }
    let kept = columns[..visible].iter().chain(&columns[columns.len() - 3..]);
    let kept: Vec<Expr> = kept.cloned().map(Expr::Column).collect();
    LogicalPlanBuilder::from(plan).project(kept)?.build()
}

type Call = (Function, Vec<FunctionArg>, Option<TableAlias>);

/// The window function a relation calls; otherwise the relation.
fn call_of(relation: TableFactor) -> std::result::Result<Call, Box<TableFactor>> {
    let call = || {
        let (name, arguments, alias) = marker::table_function(&relation)?;
        Some((Function::named(marker::last_name(name)?)?, arguments.to_vec(), alias.cloned()))
    };
    call().ok_or_else(|| Box::new(relation))
}

/// Checked lengths of windows, in milliseconds.
///
/// # Errors
/// A length that is not positive; CUMULATE to a size that is no multiple of its step.
pub fn aligned(shape: Shape, offset: i64) -> Result<Windowing> {
    let positive = |what: &str, length: i64| match length > 0 {
        true => Ok(()),
        false => Err(Error::new(format!("the {what} of a window is longer than nothing"))
            .fix("write a positive interval, such as INTERVAL '10' SECOND")),
    };
    match shape {
        Shape::Tumble { size } => positive("size", size)?,
        Shape::Hop { slide, size } => positive("slide", slide).and_then(|()| positive("size", size))?,
        Shape::Cumulate { step, max } => {
            positive("step", step).and_then(|()| positive("size", max))?;
            if max % step != 0 {
                let length = tidemill_exec::window::Length;
                return Err(Error::new("the size of CUMULATE must be a multiple of its step")
                    .why(format!("{} is no multiple of {}", length(max), length(step)))
                    .fix(format!(
                        "make the size {} or {}",
                        length(max - max % step),
                        length(max - max % step + step)
                    )));
            }
        }
    }
    Ok(Windowing::Aligned(Windows { shape, offset, clock: LocalClock::UTC }))
}

/// # Errors
/// The gap is not positive.
pub fn sessions(gap: i64) -> Result<Windowing> {
    match gap > 0 {
        true => Ok(Windowing::Sessions(Session { gap, clock: LocalClock::UTC })),
        false => Err(Error::new("the gap between sessions is longer than nothing")
            .fix("write a positive interval, such as INTERVAL '10' SECOND")),
    }
}
