//! The interactive shell: prompt, history, completion, and a statement at a time.

mod complete;
mod help;
mod helper;
mod highlight;
mod history;
mod words;

use std::io::Write;

use futures::FutureExt;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor};
use tidemill_planner::dialect;
use tokio::runtime::Runtime;

use self::complete::Vocabulary;
use self::helper::Helper;
use crate::connection::Connection;
use crate::failure::Result;
use crate::interrupt::Interrupts;
use crate::run::{self, Exit};
use crate::screen::Screen;
use crate::show::Then;

const PROMPT: &str = "tidemill> ";

/// Reads and runs statements until the user leaves.
///
/// # Errors
/// The terminal cannot be read or written.
pub fn run(
    connection: &mut impl Connection,
    runtime: &Runtime,
    screen: &mut Screen,
    interrupts: &Interrupts,
) -> Result<Exit> {
    let mut editor = editor(screen.colors)?;
    let history = history::path();
    if let Some(path) = &history {
        // The first run has none; one that cannot be read is not worth a word.
        let _ = editor.load_history(path);
    }
    screen.remark(&format!("tidemill {}, streaming SQL. HELP; shows how, QUIT; leaves.", env!("CARGO_PKG_VERSION")));
    loop {
        while let Some(Some(report)) = runtime.block_on(async { connection.next_report().now_or_never() }) {
            run::say(&report, screen);
        }
        if let Some(helper) = editor.helper_mut() {
            helper.vocabulary = Vocabulary::of(connection);
        }
        let text = match editor.readline(PROMPT) {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(Exit::Succeeded),
            Err(error) => return Err(std::io::Error::other(error).into()),
        };
        remember(&mut editor, history.as_deref(), text.trim());
        if !run_text(&text, connection, runtime, screen, interrupts)? {
            return Ok(Exit::Succeeded);
        }
    }
}

/// Runs what was typed, up to the first statement that fails; false if the user wants to leave.
fn run_text(
    text: &str,
    connection: &mut impl Connection,
    runtime: &Runtime,
    screen: &mut Screen,
    interrupts: &Interrupts,
) -> Result<bool> {
    for statement in dialect::pieces(text) {
        match Local::of(statement.text) {
            Some(Local::Help) => write!(screen.out, "{}", help::PAGE)?,
            Some(Local::Clear) => crossterm::queue!(
                screen.out,
                crossterm::terminal::Clear(crossterm::terminal::ClearType::All),
                crossterm::cursor::MoveTo(0, 0)
            )?,
            Some(Local::Quit) => return Ok(false),
            None => {
                interrupts.clear();
                let ran = run::run_statement(connection, &statement, None, screen, interrupts);
                match runtime.block_on(ran)? {
                    Some(Then::Continue) => {}
                    Some(Then::Quit) => return Ok(false),
                    Some(Then::Stopped) | None => break,
                }
            }
        }
        screen.out.flush()?;
    }
    Ok(true)
}

/// What the shell answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Local {
    Help,
    Clear,
    Quit,
}

impl Local {
    fn of(statement: &str) -> Option<Local> {
        match statement.trim().to_uppercase().as_str() {
            "HELP" => Some(Local::Help),
            "CLEAR" => Some(Local::Clear),
            "QUIT" | "EXIT" => Some(Local::Quit),
            _ => None,
        }
    }
}

/// Whether Enter runs `text`. The shell's own words need no `;`: someone who wants out should not have to learn how.
fn is_complete(text: &str) -> bool {
    dialect::is_complete(text) || Local::of(text).is_some()
}

fn editor(colors: bool) -> Result<Editor<Helper, FileHistory>> {
    let config = Config::builder()
        .max_history_size(10_000)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(std::io::Error::other)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .color_mode(if colors { ColorMode::Enabled } else { ColorMode::Disabled })
        .build();
    let mut editor = Editor::with_config(config).map_err(std::io::Error::other)?;
    editor.set_helper(Some(Helper::default()));
    Ok(editor)
}

/// Appends at once, so that a history survives whatever the statement does and two shells do not overwrite each other's.
fn remember(editor: &mut Editor<Helper, FileHistory>, history: Option<&std::path::Path>, text: &str) {
    let _ = editor.add_history_entry(text);
    if let Some(path) = history {
        let _ = editor.append_history(path);
    }
}

#[cfg(test)]
mod tests;
