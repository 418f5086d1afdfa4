//! A job in a process of its own: this test program, started again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use tidemill::args::Args;
use tidemill::run::{self, Exit};
use tidemill_exec::checkpoint::places;
use tidemill_exec::planted::{Defect, plant};

use tidemill_sql_tests::output;

use super::jobs::Job;

const SCRIPT: &str = "TIDEMILL_CRASH_SCRIPT";
const PARALLELISM: &str = "TIDEMILL_CRASH_PARALLELISM";
const DEFECT: &str = "TIDEMILL_CRASH_DEFECT";

/// What the process does that is killed.
pub fn child() {
    let Ok(script) = std::env::var(SCRIPT) else { return };
    match std::env::var(DEFECT).as_deref() {
        Ok("alignment") => plant(Defect::SkippedAlignment),
        Ok("commit") => plant(Defect::EarlyCommit),
        Ok("in-flight") => plant(Defect::LostInFlight),
        _ => {}
    }
    let parallelism = std::env::var(PARALLELISM).expect("the parent says how many shards");
    let state = Path::new(&script).with_file_name("state");
    let state = state.to_str().expect("temporary paths are text");
    let args = Args::parse_from(["tidemill", "run", &script, "-p", &parallelism, "--state-dir", state]);
    let exit = run::command(args.command().expect("the arguments fit")).expect("standard output takes everything");
    std::process::exit(if exit == Exit::Succeeded { 0 } else { 1 });
}

/// How a process ended.
#[derive(Debug)]
pub enum End {
    Killed,
    Succeeded,
    Failed(String),
}

/// A directory with a script, the state of its job, and what it has written.
pub struct Place {
    directory: tempfile::TempDir,
    changes: bool,
}

impl Place {
    pub fn new(job: &Job) -> Place {
        let directory = tempfile::Builder::new().prefix("crash").tempdir().expect("there is room for a directory");
        std::fs::write(directory.path().join("job.sql"), job.script(directory.path())).expect("the script is written");
        Place { directory, changes: job.changes }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the job until its end, or as long as it may live.
    pub fn run(&self, parallelism: u16, lifetime: Option<Duration>, defect: Option<&str>) -> End {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(SCRIPT, self.path("job.sql"))
            .env(PARALLELISM, parallelism.to_string())
            .stdout(std::fs::File::create(self.path("stdout")).expect("a file for what it prints"))
            .stderr(std::fs::File::create(self.path("stderr")).expect("a file for messages"));
        if let Some(defect) = defect {
            command.env(DEFECT, defect);
        }
        let mut child = command.spawn().expect("this program starts again");
        let until = lifetime.map(|lifetime| Instant::now() + lifetime);
        loop {
            if let Some(status) = child.try_wait().expect("the child can be waited for") {
                return match status.success() {
                    true => End::Succeeded,
                    false => End::Failed(std::fs::read_to_string(self.path("stderr")).unwrap_or_default()),
                };
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                child.kill().expect("a child can be killed");
                child.wait().expect("the child can be waited for");
                return End::Killed;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// There is something to go on from.
    pub fn has_checkpoint(&self) -> bool {
        output::has_checkpoint(&self.path("state"))
    }

    /// The newest checkpoint has something prepared of which it is not recorded that it was committed.
    pub fn has_uncommitted(&self) -> bool {
        let state = self.path("state");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread");
        let stores = places(state.to_str().expect("temporary paths are text")).unwrap_or_default();
        stores.iter().any(|store| {
            let newest = runtime.block_on(store.latest()).expect("the directory can be read").manifest;
            newest.iter().flat_map(|manifest| &manifest.sinks).any(|sink| !sink.prepared.is_empty())
        })
    }

    /// The whole lines that the last process has printed into the table `out`.
    pub fn printed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("stdout")).expect("what was printed can be read");
        let whole = text.split_inclusive('\n').filter(|line| line.starts_with("out> ") && line.ends_with('\n'));
        whole.map(|line| line.trim_end().to_string()).collect()
    }

    /// The job has come to its end, although it was killed then: its checkpoints are gone, and its rows are there.
    pub fn is_finished(&self) -> bool {
        !self.has_checkpoint() && !self.output().is_empty()
    }

    /// The files of the output that can be seen, with what is in them.
    pub fn files(&self) -> BTreeSet<(PathBuf, String)> {
        output::files(&self.path("out"))
    }

    /// What can be read of the output: its rows, in order.
    pub fn output(&self) -> Vec<String> {
        output::rows(&self.path("out"), self.changes)
    }
}
