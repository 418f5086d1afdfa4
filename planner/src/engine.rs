//! DataFusion set up our way: Flink's functions in place of its own, and our nodes in its physical plans.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, UserDefinedLogicalNode};
use datafusion::physical_optimizer::optimizer::{PhysicalOptimizer, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use tidemill_exec::batch::{Notes, OperatorExec, SourceExec};
use tidemill_exec::connect::Source;
use tidemill_exec::operators::{SessionAssign, TimeKind, Unnest, WindowAssign};
use tidemill_exec::view::{Snapshot, Version, View};
use tidemill_exec::{Error, Result};

use crate::match_recognize::{self, MatchNode};
use crate::panes::Panes;
use crate::scan::Scan;
use crate::settings::Settings;
use crate::stream::nullable;
use crate::temporal::TemporalNode;
use crate::unnest::UnnestNode;
use crate::view_keys;
use crate::window::{Purpose, WindowNode, Windowing};
use crate::{aggregates, functions};

/// What DataFusion needs to know for one statement.
///
/// `streaming` decides what functions of the current time mean: the instant of each row in a stream, one instant for a batch query.
/// `notes` hears of records that batch scans skip.
///
/// # Errors
/// The session's time zone does not exist.
pub fn state(settings: &Settings, streaming: bool, notes: Notes) -> Result<SessionState> {
    let mut config =
        SessionConfig::new().with_target_partitions(usize::from(settings.parallelism())).with_information_schema(false);
    let options = config.options_mut();
    options.execution.time_zone = Some(settings.time_zone().to_string());
    options.sql_parser.enable_ident_normalization = false;
    options.optimizer.expand_views_at_output = false;
    let scalars = functions::all(settings.time_zone(), streaming)?;
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        // Asked before DataFusion's, which the defaults append.
        .with_expr_planners(functions::planners(&scalars))
        .with_default_features()
        .with_physical_optimizer_rules(physical_rules())
        .with_query_planner(Arc::new(Planner { notes, pins: Arc::default() }))
        .build();
    if let Some(patterns) = functions::syntax::FlinkPatterns::new(&scalars) {
        state.register_function_rewrite(Arc::new(patterns))?;
    }
    if let Some(grouping) = state.aggregate_functions().get("grouping") {
        let grouping = Arc::new(grouping.as_ref().clone().with_aliases(["grouping_id"]));
        state.register_udaf(grouping)?;
    }
    // Ours replace DataFusion's of the same name. The state must not be rebuilt after this: an alias would bring those back.
    for function in scalars {
        state.register_udf(function)?;
    }
    for function in aggregates::udafs() {
        state.register_udaf(function)?;
    }
    for function in functions::numbering::all(state.window_functions().values()) {
        state.register_udwf(function)?;
    }
    Ok(state)
}

/// DataFusion's behind our own, which change what its planner makes of a plan before it is spread over partitions.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let ours: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(Panes);
    std::iter::once(ours).chain(PhysicalOptimizer::new().rules).collect()
}

/// Function names as users see them: those that SQL's special forms become are left out.
pub fn public_names<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> =
        names.filter(|name| !name.starts_with("__") && !name.starts_with('$')).cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

struct Planner {
    notes: Notes,
    pins: Arc<Pins>,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let extensions = Extensions { notes: Arc::clone(&self.notes), pins: Arc::clone(&self.pins) };
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(extensions)])
            .create_physical_plan(plan, session)
            .await
    }
}

/// Our nodes in a batch plan.
struct Extensions {
    notes: Notes,
    pins: Arc<Pins>,
}

/// The versions of materialized views that a statement reads: wherever it reads one, it is the same.
#[derive(Default)]
struct Pins(Mutex<Vec<(Arc<View>, Arc<Version>)>>);

impl Pins {
    /// The rows of a view, those of the keys that `conditions` name if they do, and what `EXPLAIN` says of that.
    fn read(
        &self,
        view: &Arc<View>,
        projection: &[usize],
        conditions: &[Expr],
        parts: usize,
    ) -> Result<(Arc<dyn Source>, Option<String>)> {
        let version = self.version(view);
        let Some(keys) = view_keys::keys(view, conditions)? else {
            return Ok((Arc::new(Snapshot::new(version.batches(projection)?, parts)), None));
        };
        // If the view has moved on since it was pinned, the filter finds the keys among all rows.
        let rows = match view.lookup_in(&version, &keys)? {
            Some(rows) => vec![rows.project(projection)?],
            None => version.batches(projection)?,
        };
        Ok((Arc::new(Snapshot::new(rows, parts)), Some(view_keys::shown(view, &keys))))
    }

    fn version(&self, view: &Arc<View>) -> Arc<Version> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, version)) = pins.iter().find(|(pinned, _)| Arc::ptr_eq(pinned, view)) {
            return Arc::clone(version);
        }
        let version = view.shown();
        pins.push((Arc::clone(view), Arc::clone(&version)));
        version
    }
}

#[async_trait]
impl ExtensionPlanner for Extensions {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(window) = node.as_any().downcast_ref::<WindowNode>() {
            return Ok(Some(windowed(window, Arc::clone(&inputs[0]))?));
        }
        if node.as_any().is::<TemporalNode>() {
            return Err(Error::new("cannot run FOR SYSTEM_TIME AS OF in batch mode")
                .fix("SET 'execution.runtime-mode' = 'streaming', whose last results are the same")
                .into());
        }
        if let Some(pattern) = node.as_any().downcast_ref::<MatchNode>() {
            let physical = |expr: &Expr, schema: &DFSchema| Ok(session.create_physical_expr(expr.clone(), schema)?);
            let operator = match_recognize::operator(pattern, TimeKind::Event, inputs[0].schema(), &physical)?;
            return Ok(Some(Arc::new(OperatorExec::single(Arc::new(operator), Arc::clone(&inputs[0])))));
        }
        let Some(node) = node.as_any().downcast_ref::<UnnestNode>() else { return Ok(None) };
        let input: &DFSchema = node.input.schema();
        let unnest = Unnest {
            collection: session.create_physical_expr(node.collection.clone(), input)?,
            keep: (0..input.fields().len()).collect(),
            ordinality: node.form.ordinality,
            multiset: node.form.multiset,
            outer: node.form.outer,
            schema: nullable(UserDefinedLogicalNode::schema(node).inner()),
        };
        Ok(Some(Arc::new(OperatorExec::new(Arc::new(unnest), Arc::clone(&inputs[0])))))
    }

    async fn plan_table_scan(
        &self,
        _: &dyn PhysicalPlanner,
        scan: &TableScan,
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        if !scan.source.is::<Scan>() {
            return Ok(None);
        }
        let table = Scan::of(&scan.source)?;
        let projection =
            scan.projection.clone().unwrap_or_else(|| (0..table.definition.schema.fields().len()).collect());
        let schema = Arc::new(table.definition.schema.project(&projection)?);
        if table.retracts && table.view.is_none() {
            let why = match table.definition.is_upsert() {
                true => "its records replace and remove rows by their key, which a batch query does not know",
                false => "its records take rows back, which a batch query does not know",
            };
            let error = Error::new(format!("cannot read table {} in batch mode", scan.table_name))
                .why(why)
                .fix("SET 'execution.runtime-mode' = 'streaming', whose last results are the same");
            return Err(error.into());
        }
        let partitions = session.config().target_partitions();
        let name = scan.table_name.to_string();
        if let Some(view) = &table.view {
            let (source, details) = self.pins.read(view, &projection, &scan.filters, partitions)?;
            let rows = SourceExec::new(name, source, schema, partitions, Arc::clone(&self.notes)).await?;
            return Ok(Some(Arc::new(rows.with_details(details))));
        }
        let source = table.open(&projection)?;
        Ok(Some(Arc::new(SourceExec::new(name, source, schema, partitions, Arc::clone(&self.notes)).await?)))
    }
}

/// Rows with their windows, by the operators that streams use. Sessions need all rows of a key in one place.
fn windowed(node: &WindowNode, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let (schema, time) = (Arc::clone(UserDefinedLogicalNode::schema(node).inner()), node.time()?);
    Ok(match node.windows {
        Windowing::Aligned(windows) => {
            Arc::new(OperatorExec::new(Arc::new(WindowAssign { windows, time, schema }), input))
        }
        Windowing::Sessions(session) => {
            let assign = SessionAssign { session, kind: TimeKind::Event, time, keys: node.keys()?, schema };
            Arc::new(OperatorExec::single(Arc::new(assign), input))
        }
    })
}

/// Whether every table of the plan ends by itself, or is a materialized view, which a batch query reads as of one moment. Without that it cannot
/// run in batch.
pub fn is_bounded(plan: &LogicalPlan) -> bool {
    every_table(plan, |scan| scan.bounded || scan.view.is_some())
}

/// Whether it may run in batch where nobody says how: what takes rows back, asks for late ones, or for versions of rows, is a stream although it
/// ends. What is looked up in a table is joined with it.
pub fn suits_batch(plan: &LogicalPlan) -> bool {
    let is_temporal = |node: &LogicalPlan| match node {
        LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<TemporalNode>() {
            Some(node) => Ok(!node.is_lookup()?),
            None => Ok(false),
        },
        _ => Ok(false),
    };
    every_table(plan, |scan| scan.view.is_some() || (scan.bounded && !scan.retracts))
        && !plan.exists(is_temporal).unwrap_or(false)
}

/// Whether all tables of the plan are such. No row is late in batch, so late rows never are.
fn every_table(plan: &LogicalPlan, is_such: impl Fn(&Scan) -> bool) -> bool {
    use datafusion::common::tree_node::TreeNodeRecursion;
    let mut all = true;
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(scan) = Scan::of(&scan.source)
        {
            all &= is_such(scan);
        }
        if let LogicalPlan::Extension(extension) = node
            && let Some(window) = extension.node.as_any().downcast_ref::<WindowNode>()
        {
            all &= window.purpose != Purpose::Late;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    all
}

/// The batch plan of an optimized logical plan. Lists the splits of its tables.
pub async fn physical(state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(state.query_planner().create_physical_plan(plan, state).await?)
}

/// Plans and starts a batch query.
pub async fn execute(state: &SessionState, plan: &LogicalPlan) -> tidemill_exec::Result<SendableRecordBatchStream> {
    start(state, physical(state, plan).await?)
}

/// Starts a batch plan that is complete; its rows come in one stream.
pub fn start(state: &SessionState, physical: Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
    Ok(datafusion::physical_plan::execute_stream(physical, state.task_ctx())?)
}
