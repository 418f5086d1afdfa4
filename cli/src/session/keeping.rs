//! Which jobs of a session keep checkpoints, and where.

use tidemill_exec::checkpoint::{Durability, in_memory, place, place_as_found, place_of};
use tidemill_exec::{JobGraph, Result};
use tidemill_planner::settings::Settings;

#[derive(Default)]
pub struct Keeping {
    /// Where endless jobs keep them if nothing else was said.
    pub directory: Option<String>,
    /// Jobs are not started.
    pub checks: bool,
}

impl Keeping {
    /// How the job keeps checkpoints; `None`: it keeps none. `before`: so many of the same name were started before it and go on, or have
    /// ended; so the same script gives its jobs the same places again, and a job that was stopped has its own when it is started again.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn durability(
        &self,
        settings: &Settings,
        graph: &JobGraph,
        name: &str,
        before: usize,
        statement: &str,
    ) -> Result<Option<Durability>> {
        let interval = settings.checkpoint_interval();
        if interval.is_some_and(|interval| interval.is_zero()) {
            return Ok(None);
        }
        let by_default = self.directory.as_deref().filter(|_| !graph.is_bounded() || interval.is_some());
        let store = match settings.checkpoint_dir().or(by_default) {
            Some(directory) => {
                let name = if before == 0 { name.to_string() } else { format!("{name}-{}", before + 1) };
                if self.checks { place_as_found(directory, &name)? } else { place(directory, &name)? }
            }
            None if interval.is_some() => in_memory(),
            None => return Ok(None),
        };
        let start_from = settings.savepoint().map(place_of).transpose()?;
        Ok(Some(Durability { start_from, ..settings.durability(store, statement.to_string()) }))
    }
}
