//! EXPLAIN: every representation on the way from SQL to tasks, printed by itself.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::physical_plan::displayable;
use datafusion::sql::sqlparser::ast::Query;
use tidemill_exec::{Error, Result};
use tidemill_planner::analyze::Analyzer;
use tidemill_planner::dialect::{Explain, Insert, Statement};
use tidemill_planner::settings::RuntimeMode;
use tidemill_planner::stream::StreamPlan;
use tidemill_planner::{compile, engine, insert, materialize, stream};

use super::{Session, collect};

impl Session {
    pub(super) async fn explain(&self, explain: &Explain) -> Result<String> {
        match explain.statement.as_ref() {
            Statement::Query(query) => self.explain_query(query).await,
            Statement::Insert(insert) => self.explain_inserts(std::slice::from_ref(insert.as_ref())),
            Statement::StatementSet(inserts) => self.explain_inserts(inserts),
            Statement::CreateTable(create) if create.query.is_some() => match &create.query {
                Some(query) => self.explain_query(&query.query).await,
                None => Ok(String::new()),
            },
            Statement::CreateView(create) if create.materialized => {
                let (_, materialized) = self.materialized(create)?;
                self.print(&[materialized.logical.display_indent().to_string()], vec![materialized.plan])
            }
            Statement::CreateView(create) => self.explain_query(&create.query.query).await,
            _ => Err(Error::new("this statement has no plan").fix("EXPLAIN a query or an INSERT")),
        }
    }

    async fn explain_query(&self, query: &Query) -> Result<String> {
        let streaming = match self.settings.runtime_mode() {
            RuntimeMode::Batch => false,
            RuntimeMode::Streaming => true,
            RuntimeMode::Automatic => {
                !self.analyzed(false, |analyzer| Ok(engine::suits_batch(&analyzer.query(query)?)))?
            }
        };
        let state = engine::state(&self.settings, streaming, Arc::new(|_| {}))?;
        let analyzer = Analyzer::new(&self.catalog, &self.settings, &self.registry, &state);
        let logical = analyzer.query(query)?;
        if !streaming {
            let optimized = analyzer.optimize_for_batch(&logical)?;
            let physical = engine::physical(&state, &optimized).await?;
            let tables = match materialize::views(&optimized)?.is_empty() {
                true => "all tables are bounded",
                false => "all tables are bounded, or materialized views",
            };
            return Ok(format!(
                "== Logical Plan ==\n{}\n\n== Physical Plan (batch: {tables}) ==\n{}",
                optimized.display_indent(),
                displayable(physical.as_ref()).indent(false)
            ));
        }
        let optimized = analyzer.optimize_for_stream(logical)?;
        let plan = stream::stream(&optimized, &self.settings, state.execution_props())?;
        let (sink, _) = collect::collect();
        self.print(&[optimized.display_indent().to_string()], vec![insert::with_sink("result", Arc::new(sink), plan)])
    }

    fn explain_inserts(&self, inserts: &[Insert]) -> Result<String> {
        let state = engine::state(&self.settings, true, Arc::new(|_| {}))?;
        let analyzer = Analyzer::new(&self.catalog, &self.settings, &self.registry, &state);
        let mut logical = Vec::new();
        let mut plans = Vec::new();
        for insert in inserts {
            let target = insert::target(insert, &self.catalog, &self.settings, &self.registry, &analyzer, &state)?;
            let optimized = analyzer.optimize_for_stream(target.plan.clone())?;
            let plan = stream::stream(&optimized, &self.settings, state.execution_props())?;
            plans.push(insert::sink(&target, plan, &self.settings)?);
            logical.push(optimized.display_indent().to_string());
        }
        self.print(&logical, plans)
    }

    fn print(&self, logical: &[String], plans: Vec<StreamPlan>) -> Result<String> {
        let mut text = String::from("== Logical Plan ==\n");
        logical.iter().for_each(|plan| text.push_str(&format!("{plan}\n")));
        text.push_str("\n== Stream Plan ==\n");
        plans.iter().for_each(|plan| text.push_str(&plan.to_string()));
        let graph = compile::compile(plans, self.settings.parallelism())?;
        let _ = write!(text, "\n== Job Graph ==\n{graph}");
        Ok(text)
    }
}
