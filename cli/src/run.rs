//! Runs what the command line asks for.

use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;
use std::time::Instant;

use tidemill_planner::dialect::{self, Piece};
use tokio::runtime::{Builder, Runtime};

use crate::args::{Command, Task};
use crate::connection::{Connection, News, Report};
use crate::failure::{Failure, Result};
use crate::interrupt::{INTERRUPTED, Interrupts};
use crate::screen::Screen;
use crate::session::Session;
use crate::show::{self, Then};
use crate::{report, shell};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Succeeded,
    /// A statement or a job failed.
    Failed,
    /// Nothing was run: a script could not be read, a setting is wrong.
    Usage,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Succeeded => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Interrupted => INTERRUPTED,
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
    let scripts = match scripts(command.task) {
        Ok(scripts) => scripts,
        Err(what) => return Ok(usage(&what)),
    };
    let runtime = runtime()?;
    let (interrupts, session) = {
        let _inside = runtime.enter();
        (Interrupts::listen()?, Session::new(command.variables.settings()))
    };
    let mut session = match session {
        Ok(session) => session,
        Err(error) => return Ok(usage(&error.to_string())),
    };
    command.variables.iter().for_each(|(name, value)| session.define(name, value));
    let exit = match scripts {
        None => {
            let mut screen = Screen::of_process(command.format, true);
            shell::run(&mut session, &runtime, &mut screen, &interrupts)
        }
        Some(scripts) => {
            let mut screen = Screen::of_process(command.format, false);
            runtime.block_on(self::scripts_to_end(&mut session, &scripts, &mut screen, &interrupts))
        }
    };
    drop(session);
    // Jobs were told to end by dropping the session; a read that hangs (a terminal, a pipe) must not hold the program.
    runtime.shutdown_background();
    exit
}

fn usage(what: &str) -> Exit {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "error: {what}");
    Exit::Usage
}

/// What to run; `None` is the shell.
fn scripts(task: Task) -> Result<Option<Vec<Script>>, String> {
    let standard_input = || {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(|error| format!("cannot read standard input\n  why: {error}"))?;
        Ok(Some(vec![Script { origin: None, text }]))
    };
    match task {
        Task::Shell if io::stdin().is_terminal() => Ok(None),
        Task::Shell | Task::StandardInput => standard_input(),
        Task::Statements(texts) => Ok(Some(texts.into_iter().map(|text| Script { origin: None, text }).collect())),
        Task::Script(path) => {
            let origin = path.display().to_string();
            let text = std::fs::read_to_string(&path)
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
    screen: &mut Screen,
    interrupts: &Interrupts,
) -> Result<Exit> {
    for script in scripts {
        match run_script(connection, script, screen, interrupts).await? {
            Some(Exit::Succeeded) => break,
            Some(exit) => return Ok(exit),
            None => {}
        }
    }
    let mut exit = Exit::Succeeded;
    loop {
        let report = tokio::select! {
            report = connection.next_report() => report,
            () = interrupts.pressed() => return Ok(Exit::Interrupted),
        };
        match report {
            Some(report) => {
                if say(&report, screen) {
                    exit = Exit::Failed;
                }
            }
            None => return Ok(exit),
        }
    }
}

/// `None` if all statements succeeded; `Some(Succeeded)` after QUIT.
async fn run_script(
    connection: &mut impl Connection,
    script: &Script,
    screen: &mut Screen,
    interrupts: &Interrupts,
) -> Result<Option<Exit>> {
    for statement in dialect::pieces(&script.text) {
        match run_statement(connection, &statement, script.origin.as_deref(), screen, interrupts).await? {
            Some(Then::Continue) => {}
            Some(Then::Quit) => return Ok(Some(Exit::Succeeded)),
            Some(Then::Stopped) => return Ok(Some(Exit::Interrupted)),
            None => return Ok(Some(Exit::Failed)),
        }
    }
    Ok(None)
}

/// Runs a statement; `None` if it failed, which was then reported.
///
/// # Errors
/// Standard output could not be written.
pub async fn run_statement(
    connection: &mut impl Connection,
    statement: &Piece<'_>,
    origin: Option<&str>,
    screen: &mut Screen,
    interrupts: &Interrupts,
) -> Result<Option<Then>> {
    match show::statement(connection, statement.text, screen, interrupts, Instant::now()).await {
        Ok(then) => Ok(Some(then)),
        Err(Failure::Statement(error)) => {
            screen.say(&report::render(&error, statement, origin));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Shows what a job reported; true if it failed.
pub fn say(report: &Report, screen: &mut Screen) -> bool {
    let job = &report.job;
    match &report.news {
        News::Note(note) => screen.say(&format!("job {job}: {note}")),
        News::Finished(what) => screen.remark(&format!("job {job} finished: {what}")),
        News::Failed(error) => screen.say(&format!("error: job {job} failed: {error}")),
    }
    matches!(report.news, News::Failed(_))
}

#[cfg(test)]
mod tests;
