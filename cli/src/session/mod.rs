//! A session: catalog, settings and running jobs; takes statements one by one.

mod answers;
mod checkpoints;
mod collect;
mod explain;
mod jobs;
mod keeping;
mod materialized;
mod query;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use tidemill_exec::checkpoint::{self, place};
use tidemill_exec::connect::Registry;
use tidemill_exec::view::View;
use tidemill_exec::{Error, Result, batch, catch_panic, launch};
use tidemill_planner::analyze::Analyzer;
use tidemill_planner::catalog::{Catalog, Entry};
use tidemill_planner::dialect::{
    self, CreateTable, Insert, ObjectKind, ParsedStatement, Statement, TableChange, Use, ViewChange,
};
use tidemill_planner::settings::{RuntimeMode, Settings};
use tidemill_planner::stream::StreamPlan;
use tidemill_planner::{compile, ddl, engine, insert, materialize, stream};

pub use jobs::{JobStatus, JobSummary};
pub use query::{Event, Query};

use jobs::Jobs;
use keeping::Keeping;

use crate::connection::Report;

/// What one connection to the engine knows: its catalog, its settings, the jobs it started.
pub struct Session {
    catalog: Catalog,
    settings: Settings,
    registry: Registry,
    jobs: Jobs,
    keeping: Keeping,
}

/// What executing a statement gave.
pub enum Outcome {
    /// It is done; the text says what happened ("table t created").
    Done(String),
    /// A small finished table: SHOW, DESCRIBE.
    Rows(RecordBatch),
    /// Text to print as it is: EXPLAIN, SHOW CREATE TABLE.
    Text(String),
    /// A query that is running.
    Query(Query),
    /// A job was started in the background.
    Job { id: String, name: String },
    /// QUIT
    Quit,
}

impl Session {
    /// A session with these settings in force.
    ///
    /// # Errors
    /// A setting that does not exist, or a value that is not of its kind.
    pub fn new(settings: impl IntoIterator<Item = (String, String)>) -> Result<Session> {
        Session::with_registry(settings, Registry::default())
    }

    /// A session that knows other connectors and formats too.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_registry(settings: impl IntoIterator<Item = (String, String)>, registry: Registry) -> Result<Session> {
        let mut session = Session {
            catalog: Catalog::default(),
            settings: Settings::default(),
            registry,
            jobs: Jobs::default(),
            keeping: Keeping::default(),
        };
        for (key, value) in settings {
            session.settings.set(&key, &value)?;
        }
        Ok(session)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The next thing a background job reports; waits for it. `None` once no job runs and everything was reported. Cancel-safe.
    pub async fn next_report(&mut self) -> Option<Report> {
        self.jobs.next_report().await
    }

    /// Endless jobs keep checkpoints in `directory`, if the settings do not say where, or that they are not to.
    pub fn keep_checkpoints_in(&mut self, directory: String) {
        self.keeping.directory = Some(directory);
    }

    /// From now on jobs are not started: INSERT says what would become of the state in their checkpoints.
    pub fn only_check(&mut self) {
        self.keeping.checks = true;
    }

    /// Whether a job runs that takes checkpoints.
    pub fn has_durable_jobs(&self) -> bool {
        self.jobs.any_durable()
    }

    /// Ends all jobs that take checkpoints behind a last one; waits for that. The others run on.
    pub async fn stop_jobs(&mut self) {
        self.jobs.stop_durable().await;
    }

    /// Parses `script` and executes its statements in order, up to the first that fails. What they give is handed to `each`.
    pub async fn run(&mut self, script: &str, mut each: impl AsyncFnMut(Outcome) -> Result<()>) -> Result<()> {
        for statement in dialect::statements(script, &|name| std::env::var(name).ok()) {
            let outcome = self.execute(&statement?).await?;
            each(outcome).await?;
        }
        Ok(())
    }

    /// Executes one statement. A query or job it starts goes on after this returns.
    ///
    /// # Errors
    /// Whatever is wrong with the statement, with its place in the script.
    pub async fn execute(&mut self, statement: &ParsedStatement) -> Result<Outcome> {
        // A statement changes the session in single steps at its end, so one that panics has changed nothing.
        catch_panic(self.dispatch(statement)).await?
    }

    async fn dispatch(&mut self, statement: &ParsedStatement) -> Result<Outcome> {
        match &statement.statement {
            Statement::Query(_) if self.keeping.checks => {
                Ok(Outcome::Done("a query keeps no state; not run".to_string()))
            }
            Statement::Query(query) => self.query(query).await.map(Outcome::Query),
            Statement::Insert(insert) => self.insert(std::slice::from_ref(insert.as_ref()), &statement.text).await,
            Statement::StatementSet(inserts) => self.insert(inserts, &statement.text).await,
            Statement::CreateTable(create) => self.create_table(create, &statement.text).await,
            Statement::CreateView(create) if create.materialized => {
                self.create_materialized_view(create, &statement.text).await
            }
            Statement::CreateView(create) => {
                let view = self.analyzed(false, |analyzer| ddl::view(create, analyzer))?;
                let entry = Entry::View(Arc::new(view));
                self.catalog.create(&create.name.parts, entry, create.if_not_exists, create.or_replace)?;
                Ok(Outcome::Done(format!("view {} created", create.name)))
            }
            Statement::CreateDatabase(create) => {
                self.catalog.create_database(create.name.last(), create.if_not_exists)?;
                Ok(Outcome::Done(format!("database {} created", create.name)))
            }
            Statement::CreateCatalog(create) => Err(Error::new(format!("cannot create the catalog {}", create.name))
                .why("there is one catalog, in memory")
                .fix("create a DATABASE in it")),
            Statement::Drop(drop) if drop.kind == ObjectKind::MaterializedView => {
                self.drop_materialized_view(drop).await
            }
            Statement::Drop(drop) => self.drop(drop),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::AlterView(alter) => self.alter_view(alter),
            Statement::Explain(explain) => self.explain(explain).await.map(Outcome::Text),
            Statement::Show(show) => self.show(show).await,
            Statement::Describe(describe) => self.describe(describe),
            Statement::Set(Some((key, value))) => {
                self.settings.set(key, value)?;
                let without = if Settings::has_effect(key) { "" } else { ", which has no effect in this version" };
                Ok(Outcome::Done(format!("'{key}' is now '{value}'{without}")))
            }
            Statement::Set(None) => self.show_settings(),
            Statement::Reset(Some(key)) => {
                self.settings.reset(key);
                Ok(Outcome::Done(format!("'{key}' is back to its default")))
            }
            Statement::Reset(None) => {
                self.settings.reset_all();
                Ok(Outcome::Done("all settings are back to their defaults".to_string()))
            }
            Statement::Use(Use::Database(name)) => {
                self.catalog.use_database(name.last())?;
                Ok(Outcome::Done(format!("database {name} is current")))
            }
            Statement::Use(Use::Catalog(name)) => match name.last() {
                tidemill_planner::catalog::CATALOG => Ok(Outcome::Done(format!("catalog {name} is current"))),
                other => Err(Error::new(format!("unknown catalog {other}")).fix("the only catalog is default_catalog")),
            },
            Statement::StopJob(stop) => {
                let place = match self.settings.savepoint_dir().filter(|_| stop.savepoint) {
                    Some(directory) => Some(place(directory, &savepoint_name(&stop.id))?),
                    None if stop.savepoint => return Err(no_savepoint_dir()),
                    None => None,
                };
                self.refuse_to_starve(&stop.id)?;
                let kept = self.jobs.stop(&stop.id, stop.drain, place.is_some()).await?;
                let Some(place) = place else { return Ok(Outcome::Done(format!("job {} stopped", stop.id))) };
                let kept = kept.ok_or_else(|| {
                    Error::new(format!("job {} stopped without a savepoint", stop.id)).why("it takes no checkpoints")
                })?;
                checkpoint::savepoint(&kept.store, &place).await?;
                if !kept.stays {
                    kept.store.clear().await?;
                }
                Ok(Outcome::Done(format!("job {} stopped, savepoint in {}", stop.id, place.name())))
            }
            Statement::Help => Ok(Outcome::Text("HELP is for the shell: start tidemill without arguments".to_string())),
            Statement::Quit => Ok(Outcome::Quit),
            Statement::Clear => Ok(Outcome::Done(String::new())),
        }
    }

    /// Runs `f` with an analyzer over the present catalog and settings.
    fn analyzed<T>(&self, streaming: bool, f: impl FnOnce(&Analyzer<'_>) -> Result<T>) -> Result<T> {
        let state = engine::state(&self.settings, streaming, Arc::new(|_| {}))?;
        f(&Analyzer::new(&self.catalog, &self.settings, &self.registry, &state))
    }

    async fn query(&self, query: &datafusion::sql::sqlparser::ast::Query) -> Result<Query> {
        let (notes, heard) = query::notes();
        let states = checkpoints::states(query, &self.jobs).await?;
        let mode = self.settings.runtime_mode();
        if mode != RuntimeMode::Streaming {
            // Planned for batch before it is known to be one, because most queries are, and setting DataFusion up is a good part
            // of what a small query takes.
            let state = engine::state(&self.settings, false, Arc::clone(&notes))?;
            let analyzer = Analyzer::new(&self.catalog, &self.settings, &self.registry, &state);
            let analyzer = analyzer.with_states(states.clone());
            let plan = analyzer.query(query)?;
            if mode == RuntimeMode::Batch {
                require_bounded(engine::is_bounded(&plan))?;
            }
            if mode == RuntimeMode::Batch || engine::suits_batch(&plan) {
                let plan = analyzer.optimize_for_batch(&plan)?;
                materialized::shown(&materialize::views(&plan)?).await?;
                let rows = engine::execute(&state, &plan).await?;
                return Ok(query::of_batch(rows, heard));
            }
        }
        let state = engine::state(&self.settings, true, notes)?;
        let analyzer = Analyzer::new(&self.catalog, &self.settings, &self.registry, &state).with_states(states);
        let plan = analyzer.query(query)?;
        let plan = analyzer.optimize_for_stream(plan)?;
        let plan = stream::stream(&plan, &self.settings, state.execution_props())?;
        let (sink, events) = collect::collect();
        let props = plan.props.clone();
        let graph =
            compile::compile(vec![insert::with_sink("result", Arc::new(sink), plan)], self.settings.parallelism())?;
        let job = launch(graph, self.settings.job_options(), None).await?;
        Ok(query::of_stream(props, events, job))
    }

    /// Runs inserts as one job.
    async fn insert(&mut self, inserts: &[Insert], text: &str) -> Result<Outcome> {
        let batch = self.settings.runtime_mode() == RuntimeMode::Batch;
        let tables: Vec<String> = inserts.iter().map(|insert| insert.table.to_string()).collect();
        let name =
            self.settings.job_name().map_or_else(|| format!("insert into {}", tables.join(", ")), str::to_string);
        let (notes, heard) = query::notes();
        let state = engine::state(&self.settings, !batch, notes)?;
        let analyzer = Analyzer::new(&self.catalog, &self.settings, &self.registry, &state);
        let targets = inserts
            .iter()
            .map(|insert| insert::target(insert, &self.catalog, &self.settings, &self.registry, &analyzer, &state))
            .collect::<Result<Vec<_>>>()?;
        let id = if batch {
            let mut writes = Vec::new();
            for target in targets {
                require_bounded(engine::is_bounded(&target.plan))?;
                materialized::shown(&materialize::views(&target.plan)?).await?;
                let plan = analyzer.optimize_for_batch(&target.plan)?;
                let physical = insert::batch(&target, engine::physical(&state, &plan).await?, &self.settings)?;
                writes.push((engine::start(&state, physical)?, target.sink, target.definition.name));
            }
            let work = async move {
                let mut rows = 0;
                for (plan, sink, table) in writes {
                    let written = catch_panic(batch::write(plan, sink.as_ref())).await.and_then(|written| written);
                    rows += written.map_err(|error| error.in_operator(format!("sink {table}")))?;
                }
                Ok(rows)
            };
            self.jobs.start_batch(name.clone(), work, heard)
        } else {
            let mut reads = Vec::new();
            let plans = targets
                .iter()
                .map(|target| {
                    reads.extend(materialize::views(&target.plan)?);
                    let plan = analyzer.optimize_for_stream(target.plan.clone())?;
                    let plan = stream::stream(&plan, &self.settings, state.execution_props())?;
                    insert::sink(target, plan, &self.settings)
                })
                .collect::<Result<Vec<_>>>()?;
            match self.start(&name, plans, Purpose { reads, keeps: None }, text).await? {
                Outcome::Job { id, .. } => id,
                checked => return Ok(checked),
            }
        };
        if self.settings.is_dml_sync() {
            let rows = self.jobs.wait(&id).await?;
            return Ok(Outcome::Done(format!("{} written", query::rows(rows))));
        }
        Ok(Outcome::Job { id, name })
    }

    /// Starts a job of these plans in the background; or, if that is all that is wanted, says what would become of its state.
    async fn start(&mut self, name: &str, plans: Vec<StreamPlan>, purpose: Purpose, text: &str) -> Result<Outcome> {
        let graph = compile::compile(plans, self.settings.parallelism())?;
        // There is one view of a name, and its place is its own.
        let before = if purpose.keeps.is_some() { 0 } else { self.jobs.places_taken(name) };
        let durability = self.keeping.durability(&self.settings, &graph, name, before, text)?;
        if self.keeping.checks {
            return checkpoints::check(name, durability.as_ref(), &graph).await;
        }
        let store = durability.as_ref().map(|durability| durability.store.clone());
        let job = launch(graph, self.settings.job_options(), durability).await?;
        let id = self.jobs.start(name.to_string(), job, store, purpose);
        Ok(Outcome::Job { id, name: name.to_string() })
    }

    /// # Errors
    /// The job keeps a view that running jobs read: they would get nothing any more, and not know it.
    fn refuse_to_starve(&self, id: &str) -> Result<()> {
        let Some(view) = self.jobs.keeps(id) else { return Ok(()) };
        let readers = self.running_readers(&view);
        if readers.is_empty() {
            return Ok(());
        }
        Err(Error::new(format!("cannot stop job {id}"))
            .why(format!("it keeps the materialized view {}, which is read by {}", view.name(), readers.join(", ")))
            .fix("stop those first"))
    }

    async fn create_table(&mut self, create: &CreateTable, text: &str) -> Result<Outcome> {
        let streaming = self.settings.runtime_mode() != RuntimeMode::Batch;
        let table = self
            .analyzed(streaming, |analyzer| ddl::table(create, &self.catalog, analyzer, self.settings.time_zone()))?;
        let existed = self.catalog.get(&create.name.parts).is_ok();
        self.catalog.create(
            &create.name.parts,
            Entry::Table(Arc::new(table)),
            create.if_not_exists,
            create.or_replace,
        )?;
        let Some(query) = &create.query else { return Ok(Outcome::Done(format!("table {} created", create.name))) };
        if existed && create.if_not_exists {
            return Ok(Outcome::Done(format!("table {} exists already", create.name)));
        }
        let insert = Insert {
            table: create.name.clone(),
            table_options: Vec::new(),
            overwrite: false,
            partition: Vec::new(),
            columns: Vec::new(),
            query: query.clone(),
            on_conflict: None,
        };
        let started = self.insert(&[insert], text).await;
        if started.is_err() {
            // Half a CREATE TABLE AS is none.
            self.catalog.drop(&create.name.parts, "table", true)?;
        }
        started
    }

    fn drop(&mut self, drop: &dialect::Drop) -> Result<Outcome> {
        let kind = match drop.kind {
            ObjectKind::Table => "table",
            ObjectKind::View => "view",
            ObjectKind::MaterializedView => unreachable!("it is dropped with its job"),
            ObjectKind::Catalog => return Err(Error::new(format!("cannot drop the catalog {}", drop.name))),
            ObjectKind::Database => {
                self.catalog.drop_database(drop.name.last(), drop.if_exists, drop.cascade)?;
                return Ok(Outcome::Done(format!("database {} dropped", drop.name)));
            }
        };
        self.catalog.drop(&drop.name.parts, kind, drop.if_exists).map_err(|error| error.at(drop.name.place))?;
        Ok(Outcome::Done(format!("{kind} {} dropped", drop.name)))
    }

    fn alter_table(&mut self, alter: &dialect::AlterTable) -> Result<Outcome> {
        let entry = match self.catalog.get(&alter.name.parts) {
            Err(_) if alter.if_exists => return Ok(Outcome::Done(format!("there is no table {}", alter.name))),
            Err(error) => return Err(error.at(alter.name.place)),
            Ok(entry) => entry.clone(),
        };
        let Entry::Table(table) = entry else {
            return Err(not_altered(&entry, &alter.name));
        };
        if let TableChange::RenameTo(name) = &alter.change {
            self.catalog.rename(&alter.name.parts, name.last())?;
            return Ok(Outcome::Done(format!("table {} is now {name}", alter.name)));
        }
        let altered =
            self.analyzed(true, |analyzer| ddl::altered(&table, &alter.change, analyzer, self.settings.time_zone()))?;
        self.catalog.create(&alter.name.parts, Entry::Table(Arc::new(altered)), false, true)?;
        Ok(Outcome::Done(format!("table {} altered", alter.name)))
    }

    fn alter_view(&mut self, alter: &dialect::AlterView) -> Result<Outcome> {
        let entry = self.catalog.get(&alter.name.parts).map_err(|error| error.at(alter.name.place))?.clone();
        let Entry::View(view) = entry else { return Err(not_altered(&entry, &alter.name)) };
        match &alter.change {
            ViewChange::RenameTo(name) => {
                self.catalog.rename(&alter.name.parts, name.last())?;
                Ok(Outcome::Done(format!("view {} is now {name}", alter.name)))
            }
            ViewChange::As(query) => {
                let changed = self
                    .analyzed(true, |analyzer| ddl::view_of(&view.name, &[], query, view.comment.clone(), analyzer))?;
                self.catalog.create(&alter.name.parts, Entry::View(Arc::new(changed)), false, true)?;
                Ok(Outcome::Done(format!("view {} altered", alter.name)))
            }
        }
    }

    fn show_settings(&self) -> Result<Outcome> {
        let all: BTreeMap<&str, &str> = self.settings.all();
        let rows = all.into_iter().map(|(key, value)| vec![Some(key.to_string()), Some(value.to_string())]).collect();
        Ok(Outcome::Rows(tidemill_planner::show::texts(&["key", "value"], rows)?))
    }
}

/// What a job has to do with materialized views.
#[derive(Default)]
struct Purpose {
    reads: Vec<Arc<View>>,
    /// The one whose rows it keeps.
    keeps: Option<Arc<View>>,
}

/// The name is of something else than the statement says.
fn not_altered(entry: &Entry, name: &dialect::Name) -> Error {
    let fix = match entry {
        Entry::Table(_) => "write ALTER TABLE".to_string(),
        Entry::View(_) => "write ALTER VIEW".to_string(),
        Entry::MaterializedView(_) => format!("write CREATE OR REPLACE MATERIALIZED VIEW {name} AS ..."),
    };
    Error::new(format!("{name} is a {}", entry.kind())).fix(fix).at(name.place)
}

fn no_savepoint_dir() -> Error {
    Error::new("cannot take a savepoint")
        .why("nobody said where to")
        .fix("SET 'execution.checkpointing.savepoint-dir' = '/some/directory'")
}

/// Another one each time.
fn savepoint_name(job: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("savepoint-{job}-{}", now.map_or(0, |since| since.as_millis()))
}

fn require_bounded(bounded: bool) -> Result<()> {
    if bounded {
        return Ok(());
    }
    Err(Error::new("cannot run an endless query in batch mode")
        .why("a table in it never ends")
        .fix("SET 'execution.runtime-mode' = 'streaming'"))
}
