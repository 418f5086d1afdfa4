//! Windows to operators: assigning, aggregating, ranking.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use tidemill_exec::operators::{
    AggregateColumn, CurrentWatermark, LateRows, LocalWindowAggregate, Project, RowWindow, SessionAggregate,
    SessionAssign, TimeKind, UpdatingWindowAggregate, WindowAggregate, WindowAssign, late_fields, window_fields,
};
use tidemill_exec::window::Windows;
use tidemill_exec::{Changes, Error, Result};

use super::aggregate::in_any_order;
use super::lower::{Lowering, nullable, reordered};
use super::own::OwnWindows;
use super::plan::{Distribution, Props, StreamPlan, Times, WindowColumns};
use crate::functions::window::{current_watermark_of, window_time};
use crate::window::{Purpose, WindowNode, Windowing};

/// How a GROUP BY gets its windows.
pub(super) enum GroupWindow {
    /// The operator puts rows into slices or sessions by their time, the only column of `exprs`.
    Own(Windowing),
    /// Rows come with them: start, end and time are `exprs`.
    Attached,
}

/// The windows of a GROUP BY, and the group keys that are their columns.
pub(super) struct Grouping {
    pub window: GroupWindow,
    pub kind: TimeKind,
    pub zone: Option<Arc<str>>,
    /// Over the input of the GROUP BY.
    pub exprs: Vec<Expr>,
    /// Per group key which column of the window it is: 0 start, 1 end, 2 time.
    pub columns: Vec<Option<usize>>,
}

impl Lowering<'_> {
    /// Each row with its windows; late ones too.
    pub(super) fn window(&self, node: &WindowNode) -> Result<StreamPlan> {
        let plan = self.plan(&node.input)?;
        let time = node.time()?;
        let kind = plan.props.times.kind(time).ok_or_else(|| no_time_attribute(&plan, node.time_name()))?;
        let zone = zone_of(plan.props.schema.field(time).data_type());
        let width = plan.props.schema.fields().len();
        let mut fields: Vec<_> = plan.props.schema.fields().to_vec();
        if node.purpose == Purpose::Late {
            let Windowing::Aligned(windows) = node.windows else {
                return Err(Error::new("cannot read the late rows of sessions yet"));
            };
            fields.extend(
                late_fields().into_iter().zip(node.names()).map(|(field, name)| Arc::new(field.with_name(name))),
            );
            let (schema, changes) = (Arc::new(Schema::new(fields)), plan.props.changes.clone());
            let distribution = plan.props.distribution.clone();
            return Ok(StreamPlan::operator(LateRows { windows, time, schema }, plan, changes, distribution));
        }
        if node.purpose == Purpose::Slice {
            fields.extend(node.names().iter().map(|name| {
                Arc::new(plan.props.schema.field(time).clone().with_name(name)) // The time stands for the window.
            }));
            let columns: Vec<usize> = (0..width).chain([time; 3]).collect();
            return reordered(plan, &columns, Arc::new(Schema::new(fields)));
        }
        let names = window_fields(zone.clone()).into_iter().zip(node.names());
        fields.extend(names.map(|(field, name)| Arc::new(field.as_ref().clone().with_name(name))));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let window = WindowColumns { start: vec![width], end: vec![width + 1], time: vec![width + 2], kind, zone };
        let times = Times { window: Some(window), ..Times::default() }.with(width + 2, kind);
        let (changes, distribution) = (assigned(&plan.props.changes), plan.props.distribution.clone());
        Ok(match node.windows {
            Windowing::Aligned(windows) => {
                StreamPlan::operator(WindowAssign { windows, time, schema }, plan, changes, distribution)
            }
            Windowing::Sessions(_) if !changes.is_append() => {
                return Err(Error::new("cannot put rows that may disappear into sessions yet")
                    .why("a row taken back may have held its session together")
                    .fix("aggregate the sessions, GROUP BY window_start, window_end and the keys of PARTITION BY"));
            }
            Windowing::Sessions(session) => {
                let keys = node.keys()?;
                let distribution = keyed(&keys);
                StreamPlan::operator(
                    SessionAssign { session, kind, time, keys, schema },
                    plan,
                    changes,
                    distribution.clone(),
                )
                .requires(distribution)
            }
        }
        .with_times(times))
    }

    /// The windows that `keys` group by, if rows of `plan` come with them.
    pub(super) fn attached(&self, plan: &StreamPlan, schema: &DFSchema, keys: &[Expr]) -> Result<Option<Grouping>> {
        let Some(window) = &plan.props.times.window else { return Ok(None) };
        let is_one = |index: usize, columns: &[usize]| columns.contains(&index);
        let columns: Vec<Option<usize>> = keys
            .iter()
            .map(|key| {
                let Expr::Column(column) = key else { return None };
                let index = schema.index_of_column(column).ok()?;
                let kinds = [&window.start, &window.end, &window.time];
                kinds.iter().position(|columns| is_one(index, columns))
            })
            .collect();
        if !(columns.contains(&Some(0)) && columns.contains(&Some(1))) {
            return Ok(None);
        }
        let column = |of: &[usize]| of.first().map(|&index| Expr::Column(Column::from(schema.qualified_field(index))));
        let (Some(start), Some(end)) = (column(&window.start), column(&window.end)) else { return Ok(None) };
        let time = match column(&window.time) {
            Some(time) => time,
            None => window_time(end.clone(), window.zone.as_deref())?,
        };
        Ok(Some(Grouping {
            window: GroupWindow::Attached,
            kind: window.kind,
            zone: window.zone.clone(),
            exprs: vec![start, end, time],
            columns,
        }))
    }

    /// The windows that `keys` group by, where the input is an [`own`] one: its columns hold the time of each row.
    pub(super) fn own(
        &self,
        plan: &StreamPlan,
        schema: &DFSchema,
        own: &OwnWindows,
        keys: &[Expr],
    ) -> Result<Grouping> {
        let columns: Vec<Option<usize>> = keys.iter().map(|key| own.position(key)).collect();
        let time = Expr::Column(own.columns[1].clone());
        let index = schema.index_of_column(&own.columns[1])?;
        let kind = plan.props.times.kind(index).ok_or_else(|| no_time_attribute(plan, &own.columns[1].name))?;
        let zone = zone_of(plan.props.schema.field(index).data_type());
        Ok(Grouping { window: GroupWindow::Own(own.windows), kind, zone, exprs: vec![time], columns })
    }

    /// The aggregation of `plan`, whose columns are the keys, then those of the window, then the rest. Gives keys, start, end, time, aggregates.
    pub(super) fn windowed(
        &self,
        plan: StreamPlan,
        keys: usize,
        columns: Vec<AggregateColumn>,
        grouping: &Grouping,
    ) -> Result<StreamPlan> {
        let input = Arc::clone(&plan.props.schema);
        let mut fields: Vec<_> = input.fields()[..keys].to_vec();
        fields.extend(window_fields(grouping.zone.clone()));
        fields.extend(columns.iter().map(|column| Arc::clone(&column.call.result)));
        let schema = nullable(&Arc::new(Schema::new(fields)));
        let window = WindowColumns {
            start: vec![keys],
            end: vec![keys + 1],
            time: vec![keys + 2],
            kind: grouping.kind,
            zone: grouping.zone.clone(),
        };
        let times = Times { window: Some(window), ..Times::default() }.with(keys + 2, grouping.kind);
        let kind = grouping.kind;
        let first = keys;
        let keys: Vec<usize> = (0..keys).collect();
        let distribution = keyed(&keys);
        let aggregated = match &grouping.window {
            GroupWindow::Own(Windowing::Sessions(session)) => {
                let aggregate = SessionAggregate { session: *session, kind, time: first, keys, columns, input, schema };
                StreamPlan::operator(aggregate, plan, Changes::Append, distribution.clone())
            }
            GroupWindow::Own(Windowing::Aligned(windows)) => {
                let (plan, partial) = self.local_windows(plan, *windows, kind, &keys, &columns, &distribution)?;
                let (window, input) =
                    (RowWindow::Slice { windows: *windows, time: first }, Arc::clone(&plan.props.schema));
                let aggregate = WindowAggregate { window, kind, keys, columns, input, partial, schema };
                StreamPlan::operator(aggregate, plan, Changes::Append, distribution.clone())
            }
            GroupWindow::Attached => match self.settings.firing().filter(|_| kind == TimeKind::Event) {
                Some(firing) => {
                    let changes = Changes::Retract { key: Some((0..first + 3).collect()) };
                    let aggregate = UpdatingWindowAggregate {
                        window: [first, first + 1, first + 2],
                        keys,
                        columns,
                        input,
                        lateness: firing.lateness,
                        early: firing.early,
                        late: firing.late,
                        emit: self.emit,
                        schema,
                    };
                    StreamPlan::operator(aggregate, plan, changes, distribution.clone())
                }
                None => {
                    let window = RowWindow::Attached { start: first, end: first + 1, time: first + 2 };
                    let aggregate = WindowAggregate { window, kind, keys, columns, input, partial: false, schema };
                    StreamPlan::operator(aggregate, plan, Changes::Append, distribution.clone())
                }
            },
        };
        // What may still change has no time.
        let times = if aggregated.props.changes.is_append() { times } else { Times::default() };
        Ok(aggregated.with_times(times).requires(distribution))
    }

    /// `plan` with the watermark as one more column, its schema, and `expressions` over it in place of `CURRENT_WATERMARK(ts)`.
    pub(super) fn with_watermark(
        &self,
        plan: StreamPlan,
        schema: &DFSchema,
        expressions: &[Expr],
    ) -> Result<(StreamPlan, DFSchema, Vec<Expr>)> {
        let name = "$watermark";
        let mut time: Option<Expr> = None;
        let told = |expr: &Expr, time: &mut Option<Expr>| -> Result<Expr> {
            let replaced = expr.clone().transform_down(|expr| {
                Ok(match current_watermark_of(&expr) {
                    Some(column) => {
                        *time = Some(column.clone());
                        Transformed::yes(Expr::Column(Column::new_unqualified(name)))
                    }
                    None => Transformed::no(expr),
                })
            });
            Ok(replaced?.data)
        };
        let expressions = expressions.iter().map(|expr| told(expr, &mut time)).collect::<Result<Vec<_>>>()?;
        let index = match &time {
            Some(Expr::Column(column)) => Some(schema.index_of_column(column)?),
            _ => None,
        };
        let index = index.filter(|&index| plan.props.times.kind(index) == Some(TimeKind::Event)).ok_or_else(|| {
            Error::new("CURRENT_WATERMARK is of no event time")
                .why("it must be given the column that the table's watermark is for, as it is")
                .fix("write CURRENT_WATERMARK(ts) where the table has WATERMARK FOR ts")
        })?;
        let field = Field::new(name, plan.props.schema.field(index).data_type().clone(), true);
        let mut fields = plan.props.schema.fields().to_vec();
        fields.push(Arc::new(field.clone()));
        let mut qualified: Vec<_> = schema.iter().map(|(of, field)| (of.cloned(), Arc::clone(field))).collect();
        qualified.push((None, Arc::new(field)));
        let Props { changes, distribution, times, .. } = plan.props.clone();
        let operator = CurrentWatermark { schema: Arc::new(Schema::new(fields)) };
        let plan = StreamPlan::operator(operator, plan, changes, distribution).with_times(times);
        Ok((plan, DFSchema::new_with_metadata(qualified, Default::default())?, expressions))
    }

    /// A local phase where it pays, as for other aggregations; whether there is one.
    fn local_windows(
        &self,
        plan: StreamPlan,
        windows: Windows,
        kind: TimeKind,
        keys: &[usize],
        columns: &[AggregateColumn],
        distribution: &Distribution,
    ) -> Result<(StreamPlan, bool)> {
        let retracting = !plan.props.changes.is_append();
        let pays = self.parallelism > 1
            && kind == TimeKind::Event
            && plan.props.distribution != *distribution
            && columns.iter().all(|column| !(column.call.distinct || retracting && column.call.function.is_ordered()));
        if !pays {
            return Ok((plan, false));
        }
        let input = Arc::clone(&plan.props.schema);
        let local = LocalWindowAggregate::new(windows, keys.len(), keys.to_vec(), columns.to_vec(), input)?;
        let changes = plan.props.changes.clone();
        let plan = if in_any_order(columns) { plan.spread() } else { plan };
        Ok((StreamPlan::operator(local, plan, changes, Distribution::Any), true))
    }

    /// `plan` with further columns, computed from its own.
    pub(super) fn extended(&self, plan: StreamPlan, schema: &DFSchema, exprs: &[(String, Expr)]) -> Result<StreamPlan> {
        if exprs.is_empty() {
            return Ok(plan);
        }
        let mut fields: Vec<_> = plan.props.schema.fields().to_vec();
        let mut expressions: Vec<Arc<dyn PhysicalExpr>> = plan
            .props
            .schema
            .fields()
            .iter()
            .enumerate()
            .map(|(n, field)| Arc::new(PhysicalColumn::new(field.name(), n)) as Arc<dyn PhysicalExpr>)
            .collect();
        for (name, expr) in exprs {
            let physical = self.expression(expr, schema)?;
            fields.push(Arc::new(Field::new(name, physical.data_type(&plan.props.schema)?, true)));
            expressions.push(physical);
        }
        let props = plan.props.clone();
        let project = Project { expressions, schema: Arc::new(Schema::new(fields)) };
        Ok(StreamPlan::operator(project, plan, props.changes, props.distribution).with_times(props.times))
    }
}

fn assigned(changes: &Changes) -> Changes {
    match changes {
        Changes::Append => Changes::Append,
        Changes::Retract { .. } => Changes::Retract { key: None },
    }
}

/// Rows with equal values in these columns together.
pub(super) fn keyed(keys: &[usize]) -> Distribution {
    if keys.is_empty() { Distribution::Single } else { Distribution::Hash(keys.to_vec()) }
}

fn zone_of(data_type: &DataType) -> Option<Arc<str>> {
    match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    }
}

/// Why there cannot be windows over this column.
fn no_time_attribute(plan: &StreamPlan, column: &str) -> Error {
    let error = Error::new(format!("cannot make windows over column {column}"));
    match source_with_watermark(plan) {
        _ if !plan.props.changes.is_append() => error
            .why("it comes from a result that may still change, so it is no event time any more")
            .fix("make the windows over the table itself, before the aggregation"),
        Some((table, known)) if known == column => error
            .why(format!("it is computed, or aggregated, from the event time of table {table}, and what is computed is no event time"))
            .fix("pass the column on as it is"),
        Some((table, known)) => error
            .why(format!("the watermark of table {table} is for {known}, so nobody knows when a window over {column} is complete"))
            .fix(format!("make the windows over {known}")),
        None => error
            .why(format!("{column} has no watermark, so no window would ever close"))
            .fix(format!("add WATERMARK FOR {column} AS {column} - INTERVAL '5' SECOND to CREATE TABLE")),
    }
}

/// The first source with a watermark below, and its column.
fn source_with_watermark(plan: &StreamPlan) -> Option<(String, String)> {
    if let super::plan::PlanOp::Source { table, watermark: Some(watermark), .. } = &plan.op {
        return Some((table.clone(), watermark.column.clone()));
    }
    plan.inputs.iter().find_map(source_with_watermark)
}
