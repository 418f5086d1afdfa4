//! Materialized views: created with a job that keeps their rows, dropped with it.

use std::sync::Arc;

use tidemill_exec::view::View;
use tidemill_exec::{Error, Result};
use tidemill_planner::analyze::Analyzer;
use tidemill_planner::catalog::{Entry, MaterializedView};
use tidemill_planner::dialect::{self, CreateView, Name};
use tidemill_planner::materialize::{self, Materialized};
use tidemill_planner::{catalog, ddl, engine};

use super::{Outcome, Purpose, Session, query};

impl Session {
    pub(super) async fn create_materialized_view(&mut self, create: &CreateView, text: &str) -> Result<Outcome> {
        let path = &create.name.parts;
        let existing = self.catalog.get(path).ok().cloned();
        if let Some(existing) = existing.as_ref().filter(|_| create.if_not_exists) {
            return Ok(Outcome::Done(format!("{} {} exists already", existing.kind(), create.name)));
        }
        let (definition, materialized) = self.materialized(create)?;
        if let (Some(Entry::MaterializedView(former)), true) = (&existing, create.or_replace) {
            if materialized.reads.iter().any(|read| Arc::ptr_eq(read, &former.view)) {
                return Err(Error::new(format!("the materialized view {} cannot read itself", create.name))
                    .fix("give the new one another name")
                    .at(create.name.place));
            }
            self.remove_materialized_view(&create.name, former).await?;
        }
        let Materialized { view, plan, reads, .. } = materialized;
        let entry = |job| {
            let (definition, view, reads) = (definition.clone(), Arc::clone(&view), reads.clone());
            Entry::MaterializedView(Arc::new(MaterializedView { definition, view, reads, job }))
        };
        // The name is taken before the job begins, and free again if it does not.
        self.catalog.create(path, entry(None), false, false).map_err(|error| error.at(create.name.place))?;
        let name = format!("materialized view {}", create.name);
        let purpose = Purpose { reads: reads.clone(), keeps: Some(Arc::clone(&view)) };
        let started = self.start(&name, vec![plan], purpose, text).await;
        if !matches!(started, Ok(Outcome::Done(_) | Outcome::Rows(_))) {
            self.catalog.drop(path, "materialized view", true)?;
        }
        if let Ok(Outcome::Job { id, .. }) = &started {
            self.catalog.create(path, entry(Some(id.clone())), false, false)?;
        }
        started
    }

    /// The view that `create` describes, and the plan of its job.
    pub(super) fn materialized(&self, create: &CreateView) -> Result<(catalog::View, Materialized)> {
        let definition = self.analyzed(false, |analyzer| ddl::view(create, analyzer))?;
        let (notes, _) = query::notes();
        let state = engine::state(&self.settings, true, notes)?;
        let analyzer = Analyzer::new(&self.catalog, &self.settings, &self.registry, &state);
        let materialized = materialize::materialize(&definition, &analyzer, &self.settings, &state)
            .map_err(|error| error.at(create.query.place))?;
        Ok((definition, materialized))
    }

    pub(super) async fn drop_materialized_view(&mut self, drop: &dialect::Drop) -> Result<Outcome> {
        if let Ok(Entry::MaterializedView(view)) = self.catalog.get(&drop.name.parts).cloned() {
            self.remove_materialized_view(&drop.name, &view).await?;
        } else {
            // Says what is wrong, if anything is.
            let dropped = self.catalog.drop(&drop.name.parts, "materialized view", drop.if_exists);
            dropped.map_err(|error| error.at(drop.name.place))?;
        }
        Ok(Outcome::Done(format!("materialized view {} dropped", drop.name)))
    }

    /// Ends the job, and removes its checkpoints: nothing goes on from them.
    async fn remove_materialized_view(&mut self, name: &Name, view: &MaterializedView) -> Result<()> {
        let readers = [self.running_readers(&view.view), self.views_over(&view.view)].concat();
        if !readers.is_empty() {
            return Err(Error::new(format!("cannot drop the materialized view {name}"))
                .why(format!("it is read by {}", readers.join(", ")))
                .fix("drop those first, or STOP JOB what reads it")
                .at(name.place));
        }
        if let Some(job) = &view.job {
            self.jobs.discard(job).await?;
        }
        self.catalog.drop(&name.parts, "materialized view", false)
    }

    /// The running jobs that read a view, be it to keep another.
    pub(super) fn running_readers(&self, view: &Arc<View>) -> Vec<String> {
        self.jobs.readers(view).into_iter().map(|(id, name)| format!("job {id} ({name})")).collect()
    }

    /// Views whose queries read it. Materialized ones too: if they do not run, they could not be created again.
    fn views_over(&self, view: &Arc<View>) -> Vec<String> {
        let reads = |entry: &&Entry| match entry {
            Entry::Table(_) => false,
            Entry::View(over) => {
                let reads = self.analyzed(false, |analyzer| materialize::views(&analyzer.view(over)?));
                reads.is_ok_and(|reads| reads.iter().any(|read| Arc::ptr_eq(read, view)))
            }
            Entry::MaterializedView(over) => {
                let runs = over.job.as_ref().is_some_and(|job| self.jobs.is_running(job));
                !runs && over.reads.iter().any(|read| Arc::ptr_eq(read, view))
            }
        };
        let over = self.catalog.all_entries().filter(reads);
        over.map(|entry| format!("{} {}", entry.kind(), entry.name())).collect()
    }
}

/// Waits until all these views show something.
///
/// # Errors
/// The job of one has failed, or was stopped.
pub(super) async fn shown(views: &[Arc<View>]) -> Result<()> {
    for view in views {
        view.version().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
