//! EXPLAIN: every representation on the way from SQL to tasks, printed by itself.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::Query;
use tidemill_exec::{Error, Result};
use tidemill_planner::analyze::Analyzer;
use tidemill_planner::dialect::{Explain, Insert, Statement};
use tidemill_planner::settings::RuntimeMode;
use tidemill_planner::stream::StreamPlan;
use tidemill_planner::{compile, engine, insert, stream};

use super::{Session, collect};

impl Session {
    pub(super) fn explain(&self, explain: &Explain) -> Result<String> {
        match explain.statement.as_ref() {
            Statement::Query(query) => self.explain_query(query),
            Statement::Insert(insert) => self.explain_inserts(std::slice::from_ref(insert.as_ref())),
            Statement::StatementSet(inserts) => self.explain_inserts(inserts),
            Statement::CreateTable(create) if create.query.is_some() => {
                let query = create.query.as_ref().map(|query| query.query.as_ref());
                query.map_or(Ok(String::new()), |query| self.explain_query(query))
            }
            _ => Err(Error::new("this statement has no plan").fix("EXPLAIN a query or an INSERT")),
        }
    }

    fn explain_query(&self, query: &Query) -> Result<String> {
        let streaming = match self.settings.runtime_mode() {
            RuntimeMode::Batch => false,
            RuntimeMode::Streaming => true,
            RuntimeMode::Automatic => {
                !self.analyzed(false, |analyzer| Ok(engine::is_bounded(&analyzer.query(query)?)))?
            }
        };
        let state = engine::state(&self.settings, streaming, Arc::new(|_| {}))?;
        let analyzer = Analyzer::new(&self.catalog, &self.settings, &self.registry, &state);
        let logical = analyzer.query(query)?;
        if !streaming {
            let optimized = analyzer.optimize_for_batch(&logical)?;
            let mode = "runs in batch: all tables are bounded. SET 'execution.runtime-mode' = 'streaming' shows the streaming plan.";
            return Ok(format!("== Logical Plan ==\n{}\n\n== Mode ==\n{mode}\n", optimized.display_indent()));
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
