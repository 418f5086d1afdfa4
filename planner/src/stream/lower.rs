//! The one place that matches on logical plans for streams: each arm is one call.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::logical_plan::{FetchType, SkipType};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{self as logical, Expr, LogicalPlan, TableScan};
use datafusion::physical_expr::expressions::CastExpr;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use tidemill_exec::connect::Unread;
use tidemill_exec::connectors::inline::Inline;
use tidemill_exec::operators::{Emit, Filter, Limit, Normalize, Project, Resync, TimeKind, Ttl, Unnest, UpdatingLimit};
use tidemill_exec::view::Shape;
use tidemill_exec::{Changes, Error, Result};

use super::plan::{Distribution, PlanOp, Props, StreamPlan, Times};
use super::recursion::Open;
use super::shared::Tables;
use super::watermark;
use crate::functions::window::{as_event_time, uses_watermark};
use crate::match_recognize::MatchNode;
use crate::scan::Scan;
use crate::settings::Settings;
use crate::state_ttl::StateTtlNode;
use crate::temporal::TemporalNode;
use crate::unnest::UnnestNode;
use crate::window::WindowNode;

/// Relational plan to streaming plan.
///
/// # Errors
/// Everything that batch SQL allows and an endless stream does not (yet), each with the fix: sorts by what is no time, OVER in such orders,
/// recursion that is not monotone.
pub fn stream(plan: &LogicalPlan, settings: &Settings, props: &ExecutionProps) -> Result<StreamPlan> {
    let tables = Tables::of(plan, settings.cdc_events_duplicate())?;
    let (recursions, open) = (Cell::new(0), RefCell::default());
    let (emit, ttl, parallelism) = (settings.emit(), settings.ttl(), settings.parallelism());
    Lowering { emit, ttl, parallelism, settings, props, tables: &tables, recursions: &recursions, open: &open }
        .plan(plan)
}

/// What lowering depends on beside the plan.
pub struct Lowering<'a> {
    pub(super) emit: Emit,
    pub(super) ttl: Option<Ttl>,
    pub(super) parallelism: u16,
    pub(super) settings: &'a Settings,
    pub(super) props: &'a ExecutionProps,
    pub(super) tables: &'a Tables,
    /// How many recursive queries there are so far.
    pub(super) recursions: &'a Cell<usize>,
    /// Those whose recursive part is being planned, outermost first.
    pub(super) open: &'a RefCell<Vec<Open>>,
}

impl Lowering<'_> {
    pub(super) fn plan(&self, plan: &LogicalPlan) -> Result<StreamPlan> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(node) => self.project(&node.expr, plan.schema(), &node.input),
            LogicalPlan::Filter(node) => self.filter(node, None),
            LogicalPlan::SubqueryAlias(node) => self.plan(&node.input),
            LogicalPlan::Aggregate(node) => self.aggregate(node),
            LogicalPlan::Distinct(logical::Distinct::All(input)) => self.distinct(input),
            LogicalPlan::Union(node) => self.union(node),
            LogicalPlan::Limit(node) => self.limit(node),
            LogicalPlan::Values(node) => self.values(node),
            LogicalPlan::EmptyRelation(node) => self.empty(node),
            LogicalPlan::Extension(node) => {
                let node = node.node.as_any();
                if let Some(unnest) = node.downcast_ref::<UnnestNode>() {
                    self.unnest(unnest, None).map(|(plan, _)| plan)
                } else if let Some(window) = node.downcast_ref::<WindowNode>() {
                    self.window(window)
                } else if let Some(ttl) = node.downcast_ref::<StateTtlNode>() {
                    self.plan(ttl.input())
                } else if let Some(temporal) = node.downcast_ref::<TemporalNode>() {
                    self.temporal_join(temporal)
                } else if let Some(pattern) = node.downcast_ref::<MatchNode>() {
                    self.match_recognize(pattern)
                } else {
                    Err(unsupported(&plan.display().to_string()))
                }
            }
            LogicalPlan::Join(node) => self.join(node),
            LogicalPlan::Window(node) => self.over_windows(node),
            LogicalPlan::Sort(node) => match node.fetch {
                Some(fetch) => self.first_of_all(node, 0, Some(fetch)),
                None => self.sort(node),
            },
            LogicalPlan::RecursiveQuery(node) => self.recursion(node),
            other => Err(unsupported(&format!("{} ", other.display()))),
        }
    }

    fn scan(&self, node: &TableScan) -> Result<StreamPlan> {
        if let Some(rows) = self.reference(node)? {
            return Ok(rows);
        }
        let scan = Scan::of(&node.source)?;
        let stored = &scan.read().schema;
        let wanted = node.projection.clone().unwrap_or_else(|| (0..stored.fields().len()).collect());
        // The watermark and other scans of the table may need columns that this one does not.
        let (source, read, unread) = self.tables.source(node)?;
        let schema: SchemaRef = Arc::new(stored.project(&read)?);
        let watermark = match &scan.watermark {
            Some(watermark) => {
                let strategy = self.watermark(watermark, &schema)?;
                Some(Box::new(watermark::configured(strategy, &scan.definition, self.settings)?))
            }
            None => None,
        };
        let event = scan.watermark.iter().filter_map(|watermark| schema.index_of(&watermark.column).ok());
        let props = Props {
            schema: Arc::clone(&schema),
            changes: match scan.retracts {
                false => Changes::Append,
                true => Changes::Retract { key: key_among(&read, scan.identity()) },
            },
            distribution: Distribution::Any,
            times: Times { event: event.collect(), ..Times::default() },
            bounded: scan.bounded,
        };
        let (table, unread) = (node.table_name.to_string(), unread.clone());
        let op = PlanOp::Source { table, source, watermark, unread };
        let mut plan = StreamPlan { op, inputs: vec![], required: vec![], props };
        if scan.view.is_some() {
            let (changes, appends) = (plan.props.changes.clone(), plan.props.changes.is_append());
            let shape = Arc::new(Shape::new(&plan.props.schema, changes.key()));
            plan = StreamPlan::operator(Resync { shape, appends }, plan, changes, Distribution::Any);
        } else if scan.definition.is_upsert()
            || (!plan.props.changes.is_append() && self.settings.cdc_events_duplicate())
        {
            plan = self.normalized(plan, scan)?;
        }
        if read != wanted {
            let place =
                |column: &usize| read.iter().position(|read| read == column).expect("all that is wanted is read");
            plan = kept(plan, &wanted.iter().map(place).collect::<Vec<_>>())?;
        }
        // Filters of a scan only say what to look up: they stand above it too.
        Ok(plan)
    }

    /// The changes of the last row of each primary key.
    fn normalized(&self, plan: StreamPlan, scan: &Scan) -> Result<StreamPlan> {
        let Some(keys) = plan.props.changes.key().filter(|key| !key.is_empty()).map(<[usize]>::to_vec) else {
            return Err(Error::new(format!("table {} has no primary key", scan.definition.name))
                .why("its changes may come twice, as 'table.exec.source.cdc-events-duplicate' says, and only a key tells which those are")
                .fix("declare PRIMARY KEY (...) NOT ENFORCED in CREATE TABLE"));
        };
        let distribution = Distribution::Hash(keys.clone());
        let Props { changes, times, schema, .. } = plan.props.clone();
        // Watermarks do not wait for the end of an epoch, so neither may rows that they speak of.
        let emit = if times.event.is_empty() { self.emit } else { Emit::EachRow };
        let normalize = Normalize { keys, emit, ttl: self.ttl, schema };
        let normalized = StreamPlan::operator(normalize, plan, changes, distribution.clone());
        Ok(normalized.requires(distribution).with_times(times))
    }

    /// `expressions` over the rows of `input`; through an UNNEST below, only the columns they use are carried along.
    pub(super) fn project(
        &self,
        expressions: &[Expr],
        output: &DFSchemaRef,
        input: &LogicalPlan,
    ) -> Result<StreamPlan> {
        let (plan, schema) = self.input_of(expressions, input)?;
        self.projected(plan, &schema, expressions, Arc::clone(output.inner()))
    }

    /// The plan of `input`, with at least the columns that `expressions` use, and the schema to resolve them by.
    pub(super) fn input_of(&self, expressions: &[Expr], input: &LogicalPlan) -> Result<(StreamPlan, DFSchemaRef)> {
        let used = || expressions.iter().flat_map(Expr::column_refs).cloned().collect();
        match input {
            LogicalPlan::Filter(filter) => Ok((self.filter(filter, Some(&used()))?, Arc::clone(input.schema()))),
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<UnnestNode>() {
                Some(unnest) => self.unnest(unnest, Some(&used())),
                None => Ok((self.plan(input)?, Arc::clone(input.schema()))),
            },
            _ => Ok((self.plan(input)?, Arc::clone(input.schema()))),
        }
    }

    pub(super) fn projected(
        &self,
        plan: StreamPlan,
        input: &DFSchema,
        expressions: &[Expr],
        output: SchemaRef,
    ) -> Result<StreamPlan> {
        if expressions.iter().any(uses_watermark) {
            let (plan, input, expressions) = self.with_watermark(plan, input, expressions)?;
            return self.projected(plan, &input, &expressions, output);
        }
        let physical = expressions.iter().map(|expr| self.expression(expr, input)).collect::<Result<Vec<_>>>()?;
        let mut plan = projected(plan, physical, output)?;
        for (n, expr) in expressions.iter().enumerate() {
            match attribute_of(expr) {
                Some(TimeKind::Event) => plan.props.times.event.push(n),
                Some(TimeKind::Processing) => plan.props.times.processing.push(n),
                None => {}
            }
        }
        Ok(plan)
    }

    /// `used`: the columns of its result that are looked at.
    fn filter(&self, node: &logical::Filter, used: Option<&BTreeSet<Column>>) -> Result<StreamPlan> {
        if let Some(ranked) = self.ranking(node, used)? {
            return Ok(ranked);
        }
        let plan = self.plan(&node.input)?;
        self.filtered(plan, &node.predicate, node.input.schema())
    }

    pub(super) fn filtered(&self, plan: StreamPlan, condition: &Expr, input: &DFSchema) -> Result<StreamPlan> {
        if uses_watermark(condition) {
            let schema = Arc::clone(&plan.props.schema);
            let (plan, input, told) = self.with_watermark(plan, input, std::slice::from_ref(condition))?;
            let filtered = self.filtered(plan, &told[0], &input)?;
            return reordered(filtered, &(0..schema.fields().len()).collect::<Vec<_>>(), schema);
        }
        let filter = Filter { condition: self.expression(condition, input)?, schema: Arc::clone(&plan.props.schema) };
        let Props { changes, distribution, times, .. } = plan.props.clone();
        Ok(StreamPlan::operator(filter, plan, changes, distribution).with_times(times))
    }

    /// With `used`, input columns that are not in it do not come out. Also gives the schema of what does.
    fn unnest(&self, node: &UnnestNode, used: Option<&BTreeSet<Column>>) -> Result<(StreamPlan, DFSchemaRef)> {
        let plan = self.plan(&node.input)?;
        let input = node.input.schema();
        let width = input.fields().len();
        let all = || node_schema(node).iter();
        let keep: Vec<usize> = match used {
            None => (0..width).collect(),
            Some(used) => (0..width).filter(|&n| used.contains(&Column::from(input.qualified_field(n)))).collect(),
        };
        let columns = keep.iter().copied().chain(width..width + node.element_columns());
        let out = all().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect::<Vec<_>>();
        let out = Arc::new(DFSchema::new_with_metadata(columns.map(|n| out[n].clone()).collect(), Default::default())?);
        let from: Vec<Option<usize>> =
            keep.iter().copied().map(Some).chain((0..node.element_columns()).map(|_| None)).collect();
        let times = plan.props.times.moved(&from);
        let unnest = Unnest {
            collection: self.expression(&node.collection, input)?,
            keep,
            ordinality: node.form.ordinality,
            multiset: node.form.multiset,
            outer: node.form.outer,
            schema: nullable(out.inner()),
        };
        let changes = match &plan.props.changes {
            Changes::Append => Changes::Append,
            Changes::Retract { .. } => Changes::Retract { key: None },
        };
        Ok((StreamPlan::operator(unnest, plan, changes, Distribution::Any).with_times(times), out))
    }

    fn union(&self, node: &logical::Union) -> Result<StreamPlan> {
        let schema = nullable(node.schema.inner());
        let inputs = node
            .inputs
            .iter()
            .map(|input| {
                let plan = self.plan(input)?;
                // Branches agree in types by coercion; names and nullability are made equal here.
                let expressions = input.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
                let plan = self.projected(plan, input.schema(), &expressions, Arc::clone(&schema))?;
                Ok(plan)
            })
            .collect::<Result<Vec<_>>>()?;
        let append = inputs.iter().all(|input| input.props.changes.is_append());
        let times = inputs.iter().map(|input| input.props.times.clone()).reduce(|a, b| a.common(&b));
        let props = Props {
            schema,
            changes: if append { Changes::Append } else { Changes::Retract { key: None } },
            distribution: Distribution::Any,
            times: times.unwrap_or_default(),
            bounded: inputs.iter().all(|input| input.props.bounded),
        };
        let required = vec![Distribution::Any; inputs.len()];
        Ok(StreamPlan { op: PlanOp::Union, inputs, required, props })
    }

    fn limit(&self, node: &logical::Limit) -> Result<StreamPlan> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (node.get_skip_type()?, node.get_fetch_type()?)
        else {
            return Err(Error::new("LIMIT takes a whole number").fix("write LIMIT 10"));
        };
        if let LogicalPlan::Sort(sort) = node.input.as_ref() {
            return self.first_of_all(sort, skip, fetch);
        }
        let plan = self.plan(&node.input)?;
        let schema = Arc::clone(&plan.props.schema);
        let (changes, times) = (plan.props.changes.clone(), plan.props.times.clone());
        let limited = match changes.is_append() {
            true => StreamPlan::operator(Limit { skip, fetch, schema }, plan, changes, Distribution::Single),
            false => {
                let limit = UpdatingLimit { skip, fetch, emit: self.emit, schema };
                StreamPlan::operator(limit, plan, changes, Distribution::Single)
            }
        };
        Ok(limited.with_times(times).requires(Distribution::Single))
    }

    pub(super) fn values(&self, node: &logical::Values) -> Result<StreamPlan> {
        let schema = nullable(node.schema.inner());
        let no_columns = DFSchema::empty();
        let rows = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            vec![],
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); schema.fields().len()];
        for row in &node.values {
            for (n, expr) in row.iter().enumerate() {
                let value = self.expression(expr, &no_columns)?.evaluate(&rows)?.into_array(1)?;
                columns[n].push(arrow::compute::cast(&value, schema.field(n).data_type())?);
            }
        }
        let columns = columns
            .iter()
            .map(|parts| Ok(arrow::compute::concat(&parts.iter().map(|part| part.as_ref()).collect::<Vec<_>>())?))
            .collect::<Result<Vec<_>>>()?;
        Ok(inline("VALUES", RecordBatch::try_new(schema, columns)?))
    }

    fn empty(&self, node: &logical::EmptyRelation) -> Result<StreamPlan> {
        let schema = nullable(node.schema.inner());
        let rows = usize::from(node.produce_one_row);
        let columns =
            schema.fields().iter().map(|field| arrow::array::new_null_array(field.data_type(), rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(inline("VALUES", RecordBatch::try_new_with_options(schema, columns, &options)?))
    }

    pub(super) fn expression(&self, expr: &Expr, input: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        if let Some(what) = subquery_in(expr) {
            return Err(unsupported(what));
        }
        // What is known by the mark is noted in the plan's times.
        let unmarked = expr.clone().transform_down(|expr| match as_event_time(&expr) {
            Some(inner) => Ok(Transformed::yes(inner.clone())),
            None => Ok(Transformed::no(expr)),
        });
        let unmarked = unmarked?.data;
        Ok(create_physical_expr(&unmarked, input, self.props, &PhysicalPlanningContext::default())?)
    }
}

/// A table of given rows.
fn inline(name: &str, rows: RecordBatch) -> StreamPlan {
    let props = Props {
        schema: rows.schema(),
        changes: Changes::Append,
        distribution: Distribution::Any,
        times: Times::default(),
        bounded: true,
    };
    let source = Arc::new(Inline::new(rows));
    let op = PlanOp::Source { table: name.to_string(), source, watermark: None, unread: Unread::default() };
    StreamPlan { op, inputs: vec![], required: vec![], props }
}

/// `expressions` over the rows of `plan`.
pub(super) fn projected(
    plan: StreamPlan,
    physical: Vec<Arc<dyn PhysicalExpr>>,
    output: SchemaRef,
) -> Result<StreamPlan> {
    let is_identity = physical.len() == plan.props.schema.fields().len()
        && physical.iter().enumerate().all(|(n, expr)| column_index(expr) == Some(n))
        && plan.props.schema.fields().iter().zip(output.fields()).all(|(a, b)| a.name() == b.name());
    if is_identity {
        return Ok(plan);
    }
    // Where a column of the input comes out, if it does.
    let moved = |column: &usize| physical.iter().position(|expr| column_index(expr) == Some(*column));
    let moved_all = |columns: &[usize]| columns.iter().map(moved).collect::<Option<Vec<usize>>>();
    let changes = match &plan.props.changes {
        Changes::Append => Changes::Append,
        Changes::Retract { key } => Changes::Retract { key: key.as_deref().and_then(moved_all) },
    };
    let distribution = match &plan.props.distribution {
        Distribution::Hash(columns) => moved_all(columns).map_or(Distribution::Any, Distribution::Hash),
        other => other.clone(),
    };
    let from: Vec<Option<usize>> = physical.iter().map(passed_time).collect();
    let times = plan.props.times.moved(&from);
    // Nullability is what the expressions say, whatever the optimizer made of the schema.
    let fields: Vec<_> = physical
        .iter()
        .zip(output.fields())
        .map(|(expr, field)| {
            let data_type = expr.data_type(&plan.props.schema)?;
            Ok(field.as_ref().clone().with_data_type(data_type).with_nullable(true))
        })
        .collect::<Result<_>>()?;
    let project = Project { expressions: physical, schema: Arc::new(Schema::new(fields)) };
    Ok(StreamPlan::operator(project, plan, changes, distribution).with_times(times))
}

/// Only the columns `columns` of `plan`.
pub(super) fn kept(plan: StreamPlan, columns: &[usize]) -> Result<StreamPlan> {
    let schema: SchemaRef = Arc::new(plan.props.schema.project(columns)?);
    reordered(plan, columns, schema)
}

/// The columns `columns` of `plan`, with the names of `schema`.
pub(super) fn reordered(plan: StreamPlan, columns: &[usize], schema: SchemaRef) -> Result<StreamPlan> {
    let column = |&n: &usize| {
        let name = plan.props.schema.field(n).name();
        Arc::new(datafusion::physical_expr::expressions::Column::new(name, n)) as Arc<dyn PhysicalExpr>
    };
    let expressions = columns.iter().map(column).collect();
    projected(plan, expressions, schema)
}

fn node_schema(node: &UnnestNode) -> &DFSchemaRef {
    use datafusion::logical_expr::UserDefinedLogicalNodeCore;
    node.schema()
}

/// Operators do not rely on nullability, and what the optimizer claims of it differs between branches.
pub(crate) fn nullable(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(
        schema
            .fields()
            .iter()
            .map(|field| {
                let data_type = match field.data_type() {
                    DataType::Null => DataType::Null,
                    other => other.clone(),
                };
                field.as_ref().clone().with_data_type(data_type).with_nullable(true)
            })
            .collect::<Vec<_>>(),
    ))
}

fn column_index(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    use std::any::Any;
    let any: &dyn Any = expr.as_ref();
    any.downcast_ref::<datafusion::physical_expr::expressions::Column>().map(|column| column.index())
}

/// The column whose times come out of `expr` as they are, or in another unit.
fn passed_time(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    use std::any::Any;
    let any: &dyn Any = expr.as_ref();
    match any.downcast_ref::<CastExpr>() {
        Some(cast) if matches!(cast.cast_type(), DataType::Timestamp(TimeUnit::Millisecond, _)) => {
            column_index(cast.expr())
        }
        Some(_) => None,
        None => column_index(expr),
    }
}

/// What kind of time attribute an expression makes.
pub(super) fn attribute_of(expr: &Expr) -> Option<TimeKind> {
    match expr {
        Expr::Alias(alias) => attribute_of(&alias.expr),
        Expr::ScalarFunction(call) if call.func.name() == "proctime" => Some(TimeKind::Processing),
        other => as_event_time(other).map(|_| TimeKind::Event),
    }
}

/// Watermark expressions name columns of the table itself.
pub(crate) fn unqualified(expr: &Expr) -> Result<Expr> {
    let stripped = expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    })?;
    Ok(stripped.data)
}

fn subquery_in(expr: &Expr) -> Option<&'static str> {
    let mut found = None;
    let _ = expr.apply(|expr| {
        match expr {
            Expr::InSubquery(_) => found = Some("IN (SELECT ...)"),
            Expr::Exists(_) => found = Some("EXISTS (SELECT ...)"),
            Expr::ScalarSubquery(_) => found = Some("a scalar subquery"),
            _ => {}
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    found
}

pub(super) fn unsupported(what: &str) -> Error {
    Error::new(format!("cannot run {what} as a stream yet"))
        .fix("SET 'execution.runtime-mode' = 'batch' if all tables are bounded")
}

/// Where the columns of a table's key are among those that are read; `None` if it has no key, or not all of it is.
fn key_among(read: &[usize], key: Option<&[usize]>) -> Option<Vec<usize>> {
    key?.iter().map(|column| read.iter().position(|read| read == column)).collect()
}
