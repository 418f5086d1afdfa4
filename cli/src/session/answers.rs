//! SHOW and DESCRIBE.

use tidemill_exec::{Error, Result};
use tidemill_planner::catalog::{CATALOG, Entry};
use tidemill_planner::dialect::{Describe, Filter, Name, Show};
use tidemill_planner::{engine, show};

use super::{Outcome, Session};

impl Session {
    pub(super) async fn show(&self, statement: &Show) -> Result<Outcome> {
        let named = |kinds: &[&str], filter: &Option<Filter>| -> Vec<String> {
            let entries = self.catalog.entries().filter(|entry| kinds.contains(&entry.kind()));
            entries.map(|entry| entry.name().to_string()).filter(|name| passes(name, filter)).collect()
        };
        let rows = match statement {
            Show::Tables { filter, .. } => {
                show::names("table name", named(&["table", "view", "materialized view"], filter))
            }
            Show::Views { filter, .. } => show::names("view name", named(&["view", "materialized view"], filter)),
            Show::Checkpoints(directory) => return super::checkpoints::show(directory).await,
            Show::MaterializedViews { filter, .. } => {
                show::names("materialized view name", named(&["materialized view"], filter))
            }
            Show::Catalogs(filter) => {
                show::names("catalog name", [CATALOG.to_string()].into_iter().filter(|name| passes(name, filter)))
            }
            Show::CurrentCatalog => show::names("current catalog name", [CATALOG.to_string()]),
            Show::Databases { filter, .. } => show::names(
                "database name",
                self.catalog.databases().map(str::to_string).filter(|name| passes(name, filter)),
            ),
            Show::CurrentDatabase => {
                show::names("current database name", [self.catalog.current_database().to_string()])
            }
            Show::Functions { user_defined: true, .. } => show::names("function name", []),
            Show::Functions { filter, .. } => {
                show::names("function name", self.functions().into_iter().filter(|name| passes(name, filter)))
            }
            Show::Columns { table, filter } => {
                let described = show::describe(self.entry(table)?)?;
                let keep: arrow::array::BooleanArray = {
                    use arrow::array::AsArray;
                    described
                        .column(0)
                        .as_string::<i32>()
                        .iter()
                        .map(|name| name.map(|name| passes(name, filter)))
                        .collect()
                };
                Ok(arrow::compute::filter_record_batch(&described, &keep)?)
            }
            Show::CreateTable(name) => match self.entry(name)? {
                Entry::Table(table) => return Ok(Outcome::Text(show::create_table(table, &self.catalog))),
                other => Err(wrong_kind(other, name)),
            },
            Show::CreateView(name) => match self.entry(name)? {
                Entry::View(view) => return Ok(Outcome::Text(show::create_view("VIEW", view, &self.catalog))),
                other => Err(wrong_kind(other, name)),
            },
            Show::CreateMaterializedView(name) => match self.entry(name)? {
                Entry::MaterializedView(view) => {
                    let text = show::create_view("MATERIALIZED VIEW", &view.definition, &self.catalog);
                    return Ok(Outcome::Text(text));
                }
                other => Err(wrong_kind(other, name)),
            },
            Show::Modules => show::names("module name", ["core".to_string()]),
            Show::Procedures => show::names("procedure name", []),
            Show::Jars => show::names("jars", []),
            Show::Jobs => self.show_jobs(),
            Show::Partitions(name) | Show::CreateCatalog(name) => {
                Err(Error::new(format!("cannot show this of {name} yet")))
            }
        };
        rows.map(Outcome::Rows)
    }

    fn show_jobs(&self) -> Result<arrow::array::RecordBatch> {
        let rows = self
            .jobs
            .summaries()
            .into_iter()
            .map(|job| {
                let seconds = format!("{:.1} s", job.started.elapsed().as_secs_f64());
                let values = [
                    job.id.to_string(),
                    job.name,
                    job.status.label().to_string(),
                    seconds,
                    job.rows_read.to_string(),
                    job.rows_written.to_string(),
                ];
                values.into_iter().map(Some).collect()
            })
            .collect();
        show::texts(&["job id", "job name", "status", "started before", "rows read", "rows written"], rows)
    }

    pub(super) fn describe(&self, describe: &Describe) -> Result<Outcome> {
        match describe {
            Describe::Table { name, .. } => show::describe(self.entry(name)?).map(Outcome::Rows),
            Describe::Job(id) => {
                let known = self.jobs.summaries();
                let ids: Vec<String> = known.iter().map(|job| job.id.clone()).collect();
                match known.into_iter().find(|job| job.id == *id) {
                    Some(job) => Ok(Outcome::Text(format!("job {}: {}, {}", job.id, job.name, job.status.label()))),
                    None => Err(Error::new(format!("unknown job {id}")).nearest(id, ids.iter().map(String::as_str))),
                }
            }
            Describe::Database { name, .. } | Describe::Catalog { name, .. } => {
                show::texts(&["info name", "info value"], vec![vec![Some("name".to_string()), Some(name.to_string())]])
                    .map(Outcome::Rows)
            }
            Describe::Function { name, .. } => {
                let known = self.functions();
                match known.iter().find(|known| known.eq_ignore_ascii_case(name.last())) {
                    Some(known) => Ok(Outcome::Text(format!("{} is a built-in function", known.to_uppercase()))),
                    None => Err(Error::new(format!("unknown function {name}"))
                        .nearest(name.last(), known.iter().map(String::as_str))),
                }
            }
        }
    }

    fn entry(&self, name: &Name) -> Result<&Entry> {
        self.catalog.get(&name.parts).map_err(|error| error.at(name.place))
    }

    /// Names of all functions and aggregates.
    pub fn functions(&self) -> Vec<String> {
        let Ok(state) = engine::state(&self.settings, true, std::sync::Arc::new(|_| {})) else { return Vec::new() };
        let names = state
            .scalar_functions()
            .keys()
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys());
        engine::public_names(names)
    }
}

/// SHOW CREATE asks for another kind.
fn wrong_kind(entry: &Entry, name: &Name) -> Error {
    Error::new(format!("{name} is a {}", entry.kind()))
        .fix(format!("write SHOW CREATE {} {name}", entry.kind().to_uppercase()))
        .at(name.place)
}

fn passes(name: &str, filter: &Option<Filter>) -> bool {
    filter.as_ref().is_none_or(|filter| show::like(name, &filter.pattern, filter.ignore_case) != filter.negated)
}
