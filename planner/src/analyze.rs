//! Statement to logical plan: names resolved, types coerced, rewritten by the optimizer.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column as DataFusionColumn, DFSchema, ScalarValue, TableReference};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner};
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, Operator,
    ScalarUDF, TableSource, WindowUDF, cast, lit,
};
use datafusion::optimizer::{Optimizer, OptimizerContext};
use datafusion::sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, VisitMut};
use tidemill_exec::connect::Registry;
use tidemill_exec::{Error, Result};

use crate::catalog::{Catalog, ColumnKind, Entry, Expression, Table, View};
use crate::dialect::marker;
use crate::engine;
use crate::match_recognize::MatchPlanner;
use crate::plan_error::explained;
use crate::scan::{Derived, Scan, ScanWatermark};
use crate::settings::Settings;
use crate::state::{StateOf, StatePlanner};
use crate::{fields, functions, recursion, set_all, state_ttl, temporal, unnest, window};

/// Resolves names against a catalog.
pub struct Analyzer<'a> {
    catalog: &'a Catalog,
    settings: &'a Settings,
    registry: &'a Registry,
    state: &'a SessionState,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    /// Table references with an OPTIONS hint: the name they go by while the query is planned, the table, and the options.
    hinted: RefCell<Vec<Hinted>>,
}

struct Hinted {
    name: String,
    path: Vec<String>,
    options: Vec<(String, String)>,
}

impl<'a> Analyzer<'a> {
    /// `state` knows the functions; see [`engine::state`].
    pub fn new(
        catalog: &'a Catalog,
        settings: &'a Settings,
        registry: &'a Registry,
        state: &'a SessionState,
    ) -> Analyzer<'a> {
        Analyzer {
            catalog,
            settings,
            registry,
            state,
            relation_planners: vec![
                Arc::new(window::WindowPlanner { clock: settings.clock() }),
                Arc::new(MatchPlanner),
                Arc::new(unnest::UnnestPlanner),
                Arc::new(StatePlanner(Vec::new())),
            ],
            hinted: RefCell::default(),
        }
    }

    /// The same, for queries that ask for these states.
    pub fn with_states(mut self, states: Vec<(StateOf, RecordBatch)>) -> Analyzer<'a> {
        self.relation_planners.insert(0, Arc::new(StatePlanner(states)));
        self
    }

    /// The relational plan of a query, not yet optimized.
    ///
    /// # Errors
    /// An unknown table, column or function (with the nearest name), arguments or types that do not fit.
    pub fn query(&self, query: &ast::Query) -> Result<LogicalPlan> {
        let mut query = query.clone();
        window::legacy::rewrite(&mut query)?;
        temporal::rewrite(&mut query)?;
        self.take_hints(&mut query);
        let statement = ast::Statement::Query(Box::new(query.clone()));
        let plan = SqlToRel::new_with_options(self, options()).sql_statement_to_plan(statement).map_err(explained)?;
        recursion::check(&plan)?;
        let plan = if matches!(query.body.as_ref(), ast::SetExpr::Values(_)) { numbered(plan)? } else { plan };
        let plan = temporal::resolve(plan).map_err(explained)?;
        let plan = state_ttl::resolve(plan).map_err(explained)?;
        let plan = set_all::by_counts(plan, self.state).map_err(explained)?;
        unnest::pull_up(plan).map_err(explained)
    }

    /// Gives every table reference that has an OPTIONS hint a name of its own, by which it is found when DataFusion asks for it.
    fn take_hints(&self, query: &mut ast::Query) {
        let _ = query.visit(&mut Hints(&mut self.hinted.borrow_mut()));
    }

    /// An expression over the columns of `schema`.
    pub fn expression(&self, expression: &Expression, schema: &DFSchema) -> Result<Expr> {
        SqlToRel::new_with_options(self, options())
            .sql_to_expr(expression.sql.clone(), schema, &mut PlannerContext::new())
            .map_err(explained)
    }

    /// What scanning a table means: its connector's columns, then what is computed from them.
    pub fn table(&self, table: &Table) -> Result<LogicalPlan> {
        let definition = table.source_definition(self.settings.time_zone());
        let stored = DFSchema::try_from(definition.schema.as_ref().clone()).map_err(explained)?;
        let computed = self.computed(table, &stored)?;
        let watermark = match &table.watermark {
            Some(watermark) => Some(ScanWatermark {
                column: watermark.column.clone(),
                text: watermark.expression.text.clone(),
                time: self.millis(self.event_time(&watermark.column, &stored, &computed), &stored)?,
                expression: self.watermark(table, &watermark.expression, &stored, &computed)?,
            }),
            None => None,
        };
        let scan = Scan::new(definition, self.registry, watermark)?;
        let builder = LogicalPlanBuilder::scan(table.name.as_str(), Arc::new(scan), None).map_err(explained)?;
        if computed.is_empty() {
            return builder.build().map_err(explained);
        }
        let qualifier = TableReference::bare(table.name.as_str());
        let columns = table.columns.iter().map(|column| {
            let name = column.field.name();
            match computed.iter().find(|(known, _)| known == name) {
                Some((_, expr)) if table.watermark.as_ref().is_some_and(|watermark| watermark.column == *name) => {
                    functions::window::event_time(expr.clone()).alias(name)
                }
                Some((_, expr)) => expr.clone().alias(name),
                None => Expr::Column(DataFusionColumn::new(Some(qualifier.clone()), name)),
            }
        });
        builder.project(columns).and_then(LogicalPlanBuilder::build).map_err(explained)
    }

    /// The computed columns of a table, over its stored ones: a computed column may use those before it.
    fn computed(&self, table: &Table, stored: &DFSchema) -> Result<Vec<(String, Expr)>> {
        let mut computed: Vec<(String, Expr)> = Vec::new();
        for column in &table.columns {
            let ColumnKind::Computed(expression) = &column.kind else { continue };
            let expr = self.over_computed(expression, stored, &computed)?;
            computed.push((column.field.name().clone(), expr));
        }
        Ok(computed)
    }

    /// `expression` over stored and computed columns, rewritten to stored ones only.
    fn over_computed(&self, expression: &Expression, stored: &DFSchema, computed: &[(String, Expr)]) -> Result<Expr> {
        let mut fields: Vec<_> = stored.fields().iter().map(|field| field.as_ref().clone()).collect();
        for (name, expr) in computed {
            let (_, field) = expr.to_field(stored).map_err(explained)?;
            fields.push(field.as_ref().clone().with_name(name));
        }
        let all = DFSchema::try_from(Schema::new(fields)).map_err(explained)?;
        let expr = self.expression(expression, &all)?;
        let substituted = expr.transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) => match computed.iter().find(|(name, _)| *name == column.name) {
                    Some((_, computed)) => Transformed::yes(computed.clone()),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        });
        Ok(substituted.map_err(explained)?.data)
    }

    /// The column that holds event time, over stored columns.
    fn event_time(&self, column: &str, stored: &DFSchema, computed: &[(String, Expr)]) -> Expr {
        match computed.iter().find(|(name, _)| name == column) {
            Some((_, expr)) => expr.clone(),
            None => Expr::Column(match stored.qualified_field_with_unqualified_name(column) {
                Ok(field) => DataFusionColumn::from(field),
                Err(_) => DataFusionColumn::new_unqualified(column),
            }),
        }
    }

    /// A point in time, as milliseconds since 1970.
    fn millis(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        let expr = self.coerced(expr, schema)?;
        let zone = match expr.get_type(schema).map_err(explained)? {
            DataType::Timestamp(_, zone) => zone,
            other => {
                return Err(Error::new(format!("{expr} is no point in time")).why(format!("it is of type {other}")));
            }
        };
        Ok(cast(cast(expr, DataType::Timestamp(TimeUnit::Millisecond, zone)), DataType::Int64))
    }

    /// A watermark expression, as milliseconds over stored columns.
    fn watermark(
        &self,
        table: &Table,
        expression: &Expression,
        stored: &DFSchema,
        computed: &[(String, Expr)],
    ) -> Result<Expr> {
        let expr = self.over_computed(expression, stored, computed)?;
        let expr = self.coerced(expr, stored)?;
        if let Some(fast) = self.fixed_delay(&expr, stored)? {
            return Ok(fast);
        }
        match expr.get_type(stored).map_err(explained)? {
            DataType::Timestamp(_, zone) => {
                let millis = cast(expr, DataType::Timestamp(TimeUnit::Millisecond, zone));
                Ok(cast(millis, DataType::Int64))
            }
            other => Err(Error::new(format!("the watermark of table {} is no point in time", table.name))
                .why(format!("{} is of type {other}", expression.text))
                .fix("give it type TIMESTAMP(3) or TIMESTAMP_LTZ(3), such as ts - INTERVAL '5' SECOND")),
        }
    }

    /// `ts - INTERVAL '5' SECOND`, the common case, in whole milliseconds: calendars are slow, and every row asks.
    fn fixed_delay(&self, expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(None) };
        let Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(delay)), _) = right.as_ref() else { return Ok(None) };
        let nanos_of_days = i64::from(delay.days).checked_mul(86_400_000_000_000);
        let Some(nanos) = nanos_of_days.and_then(|days| days.checked_add(delay.nanoseconds)) else { return Ok(None) };
        let is_time = matches!(left.get_type(schema), Ok(DataType::Timestamp(TimeUnit::Millisecond, None)));
        if delay.months != 0 || nanos % 1_000_000 != 0 || !is_time {
            return Ok(None);
        }
        let (millis, delay) = (self.millis(left.as_ref().clone(), schema)?, lit(nanos / 1_000_000));
        Ok(match op {
            Operator::Minus => Some(millis - delay),
            Operator::Plus => Some(millis + delay),
            _ => None,
        })
    }

    /// With the casts that types demand.
    fn coerced(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        use datafusion::logical_expr::simplify::SimplifyContext;
        use datafusion::optimizer::simplify_expressions::ExprSimplifier;
        let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
        ExprSimplifier::new(context).coerce(expr, schema).map_err(explained)
    }

    /// Names, types and nullability of the columns of a table that is being created; computed ones are resolved here.
    pub fn computed_fields(&self, table: &Table) -> Result<Vec<arrow::datatypes::FieldRef>> {
        let definition = table.source_definition(self.settings.time_zone());
        let stored = DFSchema::try_from(definition.schema.as_ref().clone()).map_err(explained)?;
        let computed = self.computed(table, &stored)?;
        if let Some(watermark) = &table.watermark {
            self.watermark(table, &watermark.expression, &stored, &computed)?;
        }
        computed
            .into_iter()
            .map(|(name, expr)| {
                let expr = self.coerced(expr, &stored)?;
                let (_, field) = expr.to_field(&stored).map_err(explained)?;
                Ok(Arc::new(field.as_ref().clone().with_name(name)))
            })
            .collect()
    }

    /// What a view stands for.
    pub fn view(&self, view: &View) -> Result<LogicalPlan> {
        let plan = self.query(&view.query)?;
        if view.columns.is_empty() {
            return Ok(plan);
        }
        let columns = plan
            .schema()
            .columns()
            .into_iter()
            .zip(&view.columns)
            .map(|(column, name)| Expr::Column(column).alias(name));
        let columns: Vec<Expr> = columns.collect();
        LogicalPlanBuilder::from(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(explained)
    }

    /// An expression without columns.
    pub fn constant(&self, expression: &ast::Expr) -> Result<Expr> {
        SqlToRel::new_with_options(self, options())
            .sql_to_expr(expression.clone(), &DFSchema::empty(), &mut PlannerContext::new())
            .map_err(explained)
    }

    /// With final types: what the analyzer's coercion makes of the plan.
    pub fn coerce(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {}).map_err(explained)
    }

    /// Optimized for batch execution.
    pub fn optimize_for_batch(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let plan = state_ttl::without(plan.clone()).map_err(explained)?;
        let plan = temporal::without_lookups(plan).map_err(explained)?;
        self.state.optimize(&plan).and_then(fields::narrow).map_err(explained)
    }

    /// Optimized for streaming: the same rules, without those that change when or how often results are updated.
    pub fn optimize_for_stream(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan =
            self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {}).map_err(explained)?;
        let rules = Optimizer::new().rules.into_iter().filter(|rule| !NOT_FOR_STREAMS.contains(&rule.name())).collect();
        single_values(&plan)?;
        let mut options = ConfigOptions::new();
        // All subqueries become joins, whose results change with their inputs.
        options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        let context = OptimizerContext::new_with_config_options(Arc::new(options)).with_max_passes(8);
        Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {}).and_then(fields::narrow).map_err(explained)
    }
}

/// A scalar subquery is joined: several rows would be several results.
fn single_values(plan: &LogicalPlan) -> Result<()> {
    let mut wrong = None;
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarSubquery(subquery) = expr
                    && subquery.outer_ref_columns.is_empty()
                    && subquery.subquery.max_rows().is_none_or(|rows| rows > 1)
                {
                    wrong = Some(subquery.subquery.schema().field(0).name().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    match wrong {
        None => Ok(()),
        Some(column) => Err(Error::new(format!("the subquery that gives {column} is used as one value"))
            .why("it may give several rows, and which of them counts is not said")
            .fix(format!("write MAX({column}) or another aggregate, or IN (SELECT ...)"))),
    }
}

/// Columns of a VALUES without a table around it are called as Flink calls them: `EXPR$0`, `EXPR$1`.
fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().enumerate();
    let columns: Vec<Expr> = columns.map(|(n, column)| Expr::Column(column).alias(format!("EXPR${n}"))).collect();
    LogicalPlanBuilder::from(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(explained)
}

/// Renames table references that have options.
struct Hints<'a>(&'a mut Vec<Hinted>);

impl ast::VisitorMut for Hints<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        let ast::TableFactor::Table { name, alias, with_hints, .. } = factor else { return ControlFlow::Continue(()) };
        let options = marker::table_options(with_hints);
        with_hints.clear();
        if options.is_empty() {
            return ControlFlow::Continue(());
        }
        let path: Vec<String> = name.0.iter().filter_map(|part| Some(part.as_ident()?.value.clone())).collect();
        let table = path.last().cloned().unwrap_or_default();
        *name = ast::ObjectName::from(vec![self.own_name(path, options)]);
        alias.get_or_insert_with(|| ast::TableAlias {
            explicit: true,
            name: ast::Ident::with_quote('`', &table),
            columns: Vec::new(),
            at: None,
        });
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let Some((name, options)) = marker::take_options(expr)
            && let Some(path) = marker::as_name(name)
        {
            let path = path.into_iter().map(|part| part.value).collect();
            *name = ast::Expr::Identifier(self.own_name(path, options));
        }
        ControlFlow::Continue(())
    }
}

impl Hints<'_> {
    fn own_name(&mut self, path: Vec<String>, options: Vec<(String, String)>) -> ast::Ident {
        let name = format!("{} with options {}", path.last().map_or("", String::as_str), self.0.len() + 1);
        let own = ast::Ident::with_quote('`', &name);
        self.0.push(Hinted { name, path, options });
        own
    }
}

/// DataFusion's rules that are right for a finished table and wrong, or worse, for a stream.
const NOT_FOR_STREAMS: &[&str] = &[
    // COUNT(DISTINCT x) would become two nested aggregations, with a retraction between them for every new value.
    "single_distinct_aggregation_to_group_by",
    // Branches of a UNION are sources of their own.
    "unions_to_filter",
    "optimize_unions",
];

fn options() -> ParserOptions {
    ParserOptions::new()
        .with_enable_ident_normalization(false)
        .with_parse_float_as_decimal(true)
        .with_map_string_types_to_utf8view(false)
        .with_collect_spans(true)
        // Flink sorts null as the smallest value.
        .with_default_null_ordering(NullOrdering::NullsMin)
}

impl ContextProvider for Analyzer<'_> {
    fn get_table_source(&self, name: TableReference) -> datafusion::error::Result<Arc<dyn TableSource>> {
        let (path, options) = match self.hinted.borrow().iter().find(|hinted| hinted.name == name.table()) {
            Some(hinted) => (hinted.path.clone(), hinted.options.clone()),
            None => (name.to_vec(), Vec::new()),
        };
        Ok(match self.catalog.get(&path)? {
            Entry::Table(table) if !options.is_empty() => {
                let mut table = table.as_ref().clone();
                options.iter().for_each(|(key, value)| table.options.set(key, value));
                Arc::new(Derived::new(self.table(&table)?))
            }
            Entry::Table(table) => Arc::new(Derived::new(self.table(table)?)),
            Entry::View(view) => Arc::new(Derived::new(self.view(view)?)),
            Entry::MaterializedView(view) => Arc::new(Scan::of_view(&view.view)?),
        })
    }

    fn create_cte_work_table(
        &self,
        name: &str,
        schema: arrow::datatypes::SchemaRef,
    ) -> datafusion::error::Result<Arc<dyn TableSource>> {
        let table = datafusion::catalog::cte_worktable::CteWorkTable::new(name, schema);
        Ok(datafusion::datasource::provider_as_source(Arc::new(table)))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(&name.to_lowercase()).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(&name.to_lowercase()).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(&name.to_lowercase()).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        engine::public_names(self.state.scalar_functions().keys())
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        engine::public_names(self.state.aggregate_functions().keys())
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
