//! What there is to say of checkpoints: SHOW CHECKPOINTS, and what would become of them.

use arrow::array::RecordBatch;
use chrono::DateTime;
use datafusion::sql::sqlparser::ast::Query;
use tidemill_exec::checkpoint::{self, Durability, Fate, places};
use tidemill_exec::{Error, JobGraph, Result};
use tidemill_planner::show;
use tidemill_planner::state::{StateOf, asked_for};

use super::Outcome;
use super::jobs::Jobs;

/// `SHOW CHECKPOINTS FROM 'directory'`: a line per checkpoint; for one that cannot be read, why.
pub async fn show(directory: &str) -> Result<Outcome> {
    let mut lines = Vec::new();
    for store in places(directory)? {
        for number in store.checkpoints().await? {
            let line = match store.manifest(number).await {
                Ok(manifest) => {
                    let bytes: u64 = manifest.files().map(|file| file.bytes).sum();
                    let rows: u64 = manifest.files().map(|file| file.rows).sum();
                    let taken = DateTime::from_timestamp_millis(manifest.taken_at);
                    let taken = taken.map(|time| time.format("%Y-%m-%d %H:%M:%S%.3f").to_string());
                    vec![
                        Some(format!("{:?}", manifest.kind).to_lowercase()),
                        taken,
                        Some(rows.to_string()),
                        Some(bytes.to_string()),
                        Some(manifest.cost.bytes.to_string()),
                        Some(format!("{:.1}", manifest.cost.stall_us as f64 / 1e3)),
                        None,
                    ]
                }
                Err(error) => vec![None, None, None, None, None, None, Some(error.to_string())],
            };
            lines.push([vec![Some(store.name().to_string()), Some(number.to_string())], line].concat());
        }
    }
    let names = ["job", "checkpoint", "kind", "taken at", "rows", "bytes", "bytes written", "stall ms", "error"];
    show::texts(&names, lines).map(Outcome::Rows)
}

/// The states that a query asks for, read from the newest checkpoints.
pub async fn states(query: &Query, jobs: &Jobs) -> Result<Vec<(StateOf, RecordBatch)>> {
    let mut states = Vec::new();
    for asked in asked_for(query) {
        let store = match jobs.store(&asked.job) {
            Some(store) => store,
            None => match &places(&asked.job)?[..] {
                [only] => only.clone(),
                several => {
                    let names: Vec<&str> = several.iter().map(|store| store.name()).collect();
                    return Err(Error::new(format!("in {} there are several jobs", asked.job))
                        .fix(format!("give the directory of one: {}", names.join(", "))));
                }
            },
        };
        let rows = checkpoint::state(&store, &asked.operator).await?;
        states.push((asked, rows));
    }
    Ok(states)
}

/// What would become of the state of a job.
pub async fn check(name: &str, durability: Option<&Durability>, graph: &JobGraph) -> Result<Outcome> {
    let mut lines = Vec::new();
    match durability {
        None => lines.push(vec![Some(name.to_string()), None, Some("takes no checkpoints".to_string())]),
        Some(durability) => {
            for (part, fate) in checkpoint::check(durability, graph).await? {
                let fate = match fate {
                    Fate::Kept => "kept",
                    Fate::New => "begins anew",
                    Fate::Lost => "lost",
                };
                lines.push(vec![Some(name.to_string()), Some(part), Some(fate.to_string())]);
            }
        }
    }
    show::texts(&["job", "part", "state"], lines).map(Outcome::Rows)
}
