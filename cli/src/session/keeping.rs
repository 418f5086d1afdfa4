//! Which jobs of a session keep checkpoints, and where.

use std::collections::BTreeMap;

use tidemill_exec::checkpoint::{Durability, in_memory, place, place_of};
use tidemill_exec::{JobGraph, Result};
use tidemill_planner::settings::Settings;

#[derive(Default)]
pub struct Keeping {
    /// Where endless jobs keep them if nothing else was said.
    pub directory: Option<String>,
    /// Jobs are not started.
    pub checks: bool,
    /// How many jobs of each name there were: the same script gives its jobs the same names again.
    names: BTreeMap<String, usize>,
}

impl Keeping {
    /// How the job keeps checkpoints; `None`: it keeps none.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn durability(
        &mut self,
        settings: &Settings,
        graph: &JobGraph,
        name: &str,
        statement: &str,
    ) -> Result<Option<Durability>> {
        let interval = settings.checkpoint_interval();
        if interval.is_some_and(|interval| interval.is_zero()) {
            return Ok(None);
        }
        let by_default = self.directory.as_deref().filter(|_| !graph.is_bounded() || interval.is_some());
        let store = match settings.checkpoint_dir().or(by_default) {
            Some(directory) => {
                let times = self.names.entry(name.to_string()).or_default();
                *times += 1;
                let name = if *times == 1 { name.to_string() } else { format!("{name}-{times}") };
                place(directory, &name)?
            }
            None if interval.is_some() => in_memory(),
            None => return Ok(None),
        };
        let start_from = settings.savepoint().map(place_of).transpose()?;
        Ok(Some(Durability { start_from, ..settings.durability(store, statement.to_string()) }))
    }
}
