//! Runs what the command line asks for.

use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::time::Instant;

use futures::FutureExt;
use tidemill_exec::Error;
use tidemill_exec::checkpoint::{self, place_for, place_of};
use tidemill_exec::connectors::terminal::is_output_closed;
use tidemill_planner::dialect;
use tokio::runtime::{Builder, Runtime};

use crate::args::{Command, Task};
use crate::connection::{Connection, News, Report};
use crate::failure::{Failure, Result};
use crate::interrupt::{INTERRUPTED, Interrupts, TERMINATED};
use crate::screen::Screen;
use crate::session::Session;
use crate::show::{self, Then};
use crate::variables::Variables;
use crate::{report, shell};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Succeeded,
    /// A statement or a job failed.
    Failed,
    /// Nothing was run: a script could not be read, a setting is wrong.
    Usage,
    /// By Ctrl-C.
    Interrupted,
    /// By SIGTERM.
    Terminated,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Succeeded => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Interrupted => INTERRUPTED,
            Exit::Terminated => TERMINATED,
        })
    }
}

impl From<Failure> for Exit {
    /// Reports what was not reported yet.
    fn from(failure: Failure) -> Exit {
        use std::io::Write;
        let what = match failure {
            // The reader has seen enough.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Succeeded,
            Failure::Output(error) => format!("cannot write to standard output\n  why: {error}"),
            Failure::Statement(error) => error.to_string(),
        };
        let _ = writeln!(io::stderr(), "error: {what}");
        Exit::Failed
    }
}

/// One text with statements.
pub struct Script {
    /// What errors call it, if that helps the user.
    pub origin: Option<String>,
    pub text: String,
}

/// Runs `command` to its end.
///
/// # Errors
/// Standard output could not be written. Errors of statements are reported here and are part of the [`Exit`].
pub fn command(command: Command) -> Result<Exit> {
    let scripts = match scripts(&command.task) {
        Ok(scripts) => scripts,
        Err(what) => return Ok(usage(&what)),
    };
    let runtime = runtime()?;
    if let Task::Savepoint { job, to } = &command.task {
        return runtime.block_on(savepoint(job, to)).map_err(Failure::from);
    }
    let exit = {
        // Whatever the session does outside of a statement, be it to end its jobs, finds the runtime.
        let _inside = runtime.enter();
        // In the shell SIGTERM ends the process, wherever it waits.
        let interrupts = Interrupts::listen(scripts.is_some())?;
        match Session::new(command.variables.settings()) {
            Ok(mut session) => {
                if let Task::Script(path) | Task::Check(path) = &command.task {
                    session.keep_checkpoints_in(path.with_extension("state").display().to_string());
                }
                if let Task::Check(_) = &command.task {
                    session.only_check();
                }
                in_session(&mut session, &runtime, scripts, &command, &interrupts)
            }
            Err(error) => Ok(usage(&error.to_string())),
        }
    };
    // A read that hangs (a terminal, a pipe) must not hold the program.
    runtime.shutdown_background();
    exit
}

/// Copies the newest checkpoint of a job.
async fn savepoint(job: &str, to: &str) -> tidemill_exec::Result<Exit> {
    let (from, to) = (place_of(job)?, place_for(to)?);
    let manifest = checkpoint::savepoint(&from, &to).await?;
    println!("savepoint of checkpoint {} in {}", manifest.checkpoint, to.name());
    Ok(Exit::Succeeded)
}

fn in_session(
    session: &mut Session,
    runtime: &Runtime,
    scripts: Option<Vec<Script>>,
    command: &Command,
    interrupts: &Interrupts,
) -> Result<Exit> {
    let mut screen = Screen::of_process(command.format, scripts.is_none());
    match scripts {
        None => shell::run(session, runtime, &command.variables, &mut screen, interrupts),
        Some(scripts) => {
            runtime.block_on(scripts_to_end(session, &scripts, &command.variables, &mut screen, interrupts))
        }
    }
}

fn usage(what: &str) -> Exit {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "error: {what}");
    Exit::Usage
}

/// What to run; `None` is the shell.
fn scripts(task: &Task) -> Result<Option<Vec<Script>>, String> {
    let standard_input = || {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(|error| format!("cannot read standard input\n  why: {error}"))?;
        Ok(Some(vec![Script { origin: None, text }]))
    };
    match task {
        Task::Shell if io::stdin().is_terminal() => Ok(None),
        Task::Shell | Task::StandardInput => standard_input(),
        Task::Statements(texts) => {
            Ok(Some(texts.iter().map(|text| Script { origin: None, text: text.clone() }).collect()))
        }
        Task::Savepoint { .. } => Ok(Some(Vec::new())),
        Task::Script(path) | Task::Check(path) => {
            let origin = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read script {origin}\n  why: {error}"))?;
            Ok(Some(vec![Script { origin: Some(origin), text }]))
        }
    }
}

/// Threads start when the first task needs them; nothing that only prints help gets here.
pub fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().thread_name("tidemill").build()?)
}

/// Runs `scripts` in order up to the first statement that fails, then waits for the jobs they started.
pub async fn scripts_to_end(
    connection: &mut impl Connection,
    scripts: &[Script],
    variables: &Variables,
    screen: &mut Screen,
    interrupts: &Interrupts,
) -> Result<Exit> {
    for script in scripts {
        match run_script(connection, script, variables, screen, interrupts).await? {
            Some(Then::Continue) => {}
            Some(Then::Quit) => break,
            Some(Then::Stopped) => return stopped(connection, screen, interrupts).await,
            None => {
                // What the statements before it started goes on from there when the mistake is mended.
                stop_jobs(connection, screen, interrupts).await;
                return Ok(Exit::Failed);
            }
        }
    }
    let mut exit = Exit::Succeeded;
    loop {
        let report = tokio::select! {
            report = connection.next_report() => report,
            () = interrupts.pressed() => return stopped(connection, screen, interrupts).await,
        };
        match report {
            Some(Report { news: News::Failed(error), .. }) if is_output_closed(&error) => return Err(error.into()),
            Some(report) => {
                if say(&report, screen) {
                    exit = Exit::Failed;
                }
            }
            None => return Ok(exit),
        }
    }
}

/// Ends in good order what can be, and then the program.
async fn stopped(connection: &mut impl Connection, screen: &mut Screen, interrupts: &Interrupts) -> Result<Exit> {
    let exit = if interrupts.is_terminated() { Exit::Terminated } else { Exit::Interrupted };
    stop_jobs(connection, screen, interrupts).await;
    Ok(exit)
}

/// Has jobs that take checkpoints take a last one, unless the user presses Ctrl-C again.
pub async fn stop_jobs(connection: &mut impl Connection, screen: &mut Screen, interrupts: &Interrupts) {
    if !connection.has_durable_jobs() {
        return;
    }
    interrupts.clear();
    screen.erase_echo();
    screen.remark("taking a last checkpoint; Ctrl-C leaves without");
    tokio::select! {
        () = connection.stop_jobs() => {}
        () = interrupts.pressed() => return,
    }
    while let Some(Some(report)) = connection.next_report().now_or_never() {
        say(&report, screen);
    }
}

/// Runs the statements of a script up to the first that fails; says how to go on, or `None` if one failed, which was then
/// reported. A statement is parsed when those before it are done, so that a mistake at the end keeps nothing from running.
///
/// # Errors
/// Standard output could not be written.
pub async fn run_script(
    connection: &mut impl Connection,
    script: &Script,
    variables: &Variables,
    screen: &mut Screen,
    interrupts: &Interrupts,
) -> Result<Option<Then>> {
    let value = |name: &str| variables.value(name);
    for parsed in dialect::statements(&script.text, &value) {
        let ran = match parsed {
            Ok(statement) => {
                for hint in &statement.hints {
                    screen.say(&format!("note: hint {} in line {} has no effect", hint.name, hint.place.line));
                }
                // An error without a place is still one of this statement, which a file with many should be told.
                let somewhere = |error: Error| if script.origin.is_some() { error.at(statement.place) } else { error };
                match show::statement(connection, &statement, screen, interrupts, Instant::now()).await {
                    Err(Failure::Statement(error)) => Err(somewhere(error)),
                    shown => Ok(shown?),
                }
            }
            Err(error) => Err(error),
        };
        match ran {
            Ok(Then::Continue) => {}
            Ok(then) => return Ok(Some(then)),
            Err(error) => {
                screen.say(&report::render(&error, script));
                return Ok(None);
            }
        }
    }
    Ok(Some(Then::Continue))
}

/// Shows what a job reported; true if it failed.
pub fn say(report: &Report, screen: &mut Screen) -> bool {
    let job = &report.job;
    match &report.news {
        News::Note(note) => screen.say(&format!("job {job}: {note}")),
        News::Finished(what) => screen.remark(&format!("job {job} finished: {what}")),
        News::Stopped(what) => screen.say(&format!("job {job} stopped: {what}")),
        News::Failed(error) => screen.say(&format!("error: job {job} failed: {error}")),
    }
    matches!(report.news, News::Failed(_))
}

#[cfg(test)]
mod tests;
