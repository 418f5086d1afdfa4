//! A connector with a defect: it fails its statement, and the session goes on.

use std::sync::Arc;

use async_trait::async_trait;
use tidemill::{Event, Outcome, Session};
use tidemill_exec::connect::{
    Connector, Offset, OptionKind, OptionSpec, Reader, Registry, Sink, Source, SplitBatch, SplitId, TableDefinition,
    Writer,
};
use tidemill_exec::{ChangeBatch, Error, Result, ShardContext};
use tidemill_planner::dialect;
use tidemill_state::Epoch;

/// Panics where its table's option says.
struct Defect;

const OPTIONS: &[OptionSpec] = &[OptionSpec::required("panics-in", OptionKind::Text, "which step panics")];

#[derive(Debug)]
struct Step(String);

impl Step {
    fn reach(&self, step: &str) {
        assert!(self.0 != step, "a defect in {step}");
    }
}

impl Connector for Defect {
    fn name(&self) -> &'static str {
        "defect"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn source(&self, table: &TableDefinition, _: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        let step = Step(table.options.get("panics-in").unwrap_or_default().to_string());
        step.reach("source");
        Ok(Arc::new(step))
    }

    fn sink(&self, table: &TableDefinition, _: &Registry) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Step(table.options.get("panics-in").unwrap_or_default().to_string())))
    }
}

#[async_trait]
impl Source for Step {
    fn bounded(&self) -> bool {
        true
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        self.reach("splits");
        Ok(vec![SplitId::new("one")])
    }

    async fn open(&self, _: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        self.reach("open");
        Ok(Box::new(Step(self.0.clone())))
    }
}

#[async_trait]
impl Reader for Step {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        self.reach("next");
        Ok(None)
    }
}

#[async_trait]
impl Sink for Step {
    fn accepts_updates(&self) -> bool {
        true
    }

    async fn open(&self, _: &ShardContext) -> Result<Box<dyn Writer>> {
        self.reach("open");
        Ok(Box::new(Step(self.0.clone())))
    }
}

#[async_trait]
impl Writer for Step {
    async fn write(&mut self, _: ChangeBatch) -> Result<()> {
        self.reach("write");
        Ok(())
    }

    async fn flush(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.reach("finish");
        Ok(())
    }
}

fn session() -> Session {
    let mut registry = Registry::default();
    registry.add_connector(Arc::new(Defect));
    Session::with_registry([], registry).expect("no settings, so none is wrong")
}

/// Runs statements, reading every query to its end; the rows of the last.
async fn run(session: &mut Session, sql: &str) -> Result<usize> {
    let mut rows = 0;
    for statement in dialect::statements(sql, &|_| None) {
        if let Outcome::Query(mut query) = session.execute(&statement?).await? {
            rows = 0;
            while let Some(event) = query.next().await? {
                if let Event::Changes(changes) = event {
                    rows += changes.rows.num_rows();
                }
            }
        }
    }
    Ok(rows)
}

async fn fails(mode: &str, step: &str, statement: &str) -> Error {
    let mut session = session();
    let sql = format!(
        "SET 'execution.runtime-mode' = '{mode}'; SET 'table.dml-sync' = 'true'; \
         CREATE TABLE t (n INT) WITH ('connector' = 'defect', 'panics-in' = '{step}'); {statement}"
    );
    let error = run(&mut session, &sql).await.expect_err(step);
    assert_eq!(run(&mut session, "SELECT 1").await.expect("the session goes on"), 1);
    error
}

#[tokio::test]
async fn a_source_that_panics_fails_its_query_and_nothing_else() {
    for mode in ["batch", "streaming"] {
        for step in ["source", "splits", "open", "next"] {
            let error = fails(mode, step, "SELECT * FROM t").await.to_string();
            assert!(error.starts_with(&format!("a bug: a defect in {step}\n")), "{mode}: {error}");
        }
        let error = fails(mode, "next", "SELECT * FROM t").await.to_string();
        assert!(error.contains("in:  operator source t\n"), "{mode}: {error}");
    }
}

#[tokio::test]
async fn a_sink_that_panics_fails_its_job_and_nothing_else() {
    for mode in ["batch", "streaming"] {
        for step in ["open", "write", "finish"] {
            let error = fails(mode, step, "INSERT INTO t VALUES (1)").await.to_string();
            assert!(error.starts_with(&format!("a bug: a defect in {step}\n")), "{mode}: {error}");
        }
        let error = fails(mode, "write", "INSERT INTO t VALUES (1)").await.to_string();
        assert!(error.contains("in:  operator sink t\n"), "{mode}: {error}");
    }
}
