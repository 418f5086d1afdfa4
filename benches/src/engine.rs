//! Runs tidemill as a process of its own and measures that: wall, CPU and memory include starting and ending.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::{Args, Parser};

use crate::Failure;

/// As first argument it makes this program behave as `tidemill`: so a bench needs no other binary, and measures what it was
/// built with.
pub const AS_ENGINE: &str = "as-engine";

/// What every bench can be told about the runs.
#[derive(Args)]
pub struct Runs {
    /// Shards per stage; default: the number of cores
    #[arg(short, long)]
    pub parallelism: Option<u16>,
    /// How often to measure; the median is what counts
    #[arg(long, default_value_t = 5)]
    pub repeat: usize,
    /// Measure this tidemill binary instead of the one built with the benches
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Leave the data in this directory
    #[arg(long)]
    pub data: Option<PathBuf>,
}

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub wall: Duration,
    /// User and system, all threads.
    pub cpu: Duration,
    pub peak_bytes: u64,
}

/// Behaves as `tidemill` with these arguments.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let command = tidemill::args::Args::parse_from(arguments).command().unwrap_or_else(|error| error.exit());
    tidemill::run::command(command).unwrap_or_else(tidemill::run::Exit::from).into()
}

impl Runs {
    /// Runs tidemill with these statements; what it cost, and what it printed, as CSV.
    ///
    /// # Errors
    /// It failed; what it said is in the error.
    pub fn once(&self, sql: &str) -> Result<(Cost, String), Failure> {
        let mut command = self.command(sql)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn()?;
        // Messages are few, so that they fit into the pipe until the rows are read.
        let (mut rows, mut messages) = (String::new(), String::new());
        child.stdout.take().expect("standard output is piped").read_to_string(&mut rows)?;
        child.stderr.take().expect("standard error is piped").read_to_string(&mut messages)?;
        let (status, cpu, peak_bytes) = wait(child)?;
        let cost = Cost { wall: started.elapsed(), cpu, peak_bytes };
        match status.success() {
            true => Ok((cost, rows)),
            false => Err(format!("{command:?} ended with {status}:\n{messages}").into()),
        }
    }

    /// Tidemill with these statements, not started yet.
    pub fn command(&self, sql: &str) -> Result<Command, Failure> {
        let mut command = match &self.binary {
            Some(binary) => Command::new(binary),
            None => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(AS_ENGINE);
                command
            }
        };
        if let Some(parallelism) = self.parallelism {
            command.arg("-p").arg(parallelism.to_string());
        }
        command.args(["--format", "csv", "-c", sql]);
        Ok(command)
    }

    /// Runs the same statements as often as asked for; what they printed last.
    pub fn repeated(&self, sql: &str) -> Result<(Vec<Cost>, String), Failure> {
        let mut costs = Vec::new();
        let mut printed = String::new();
        for _ in 0..self.repeat.max(1) {
            let (cost, rows) = self.once(sql)?;
            costs.push(cost);
            printed = rows;
        }
        Ok((costs, printed))
    }
}

/// Waits for the end of a child, as [`Child::wait`] does, but is told what it used.
pub fn wait(child: Child) -> Result<(ExitStatus, Duration, u64), Failure> {
    let id = libc::pid_t::try_from(child.id())?;
    let mut status = 0;
    // SAFETY: all zeros is a valid rusage; both pointers are valid for the call; the child was not waited for before, so its
    // number still belongs to it.
    let (waited, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(id, &mut status, 0, &mut usage), usage)
    };
    if waited != id {
        return Err(std::io::Error::last_os_error().into());
    }
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    // Linux counts in kilobytes, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    Ok((ExitStatus::from_raw(status), time(usage.ru_utime) + time(usage.ru_stime), usage.ru_maxrss as u64 * unit))
}

/// Where a bench puts its data; a temporary directory goes when this is dropped.
pub enum Directory {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Directory {
    pub fn path(&self) -> &Path {
        match self {
            Directory::Temporary(directory) => directory.path(),
            Directory::Kept(path) => path,
        }
    }
}

/// A directory for the data of these runs.
pub fn directory(runs: &Runs) -> std::io::Result<Directory> {
    match &runs.data {
        None => tempfile::tempdir().map(Directory::Temporary),
        Some(path) => std::fs::create_dir_all(path).map(|()| Directory::Kept(path.clone())),
    }
}
