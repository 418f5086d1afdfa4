//! The interactive shell: prompt, history, completion, and a statement at a time.

mod complete;
pub mod help;
mod helper;
mod highlight;
mod history;
mod words;

use std::io::Write;

use futures::FutureExt;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor};
use tokio::runtime::Runtime;

use self::complete::Vocabulary;
use self::helper::Helper;
use crate::connection::Connection;
use crate::failure::Result;
use crate::interrupt::Interrupts;
use crate::run::{self, Exit, Script};
use crate::screen::Screen;
use crate::show::Then;
use crate::variables::Variables;

const PROMPT: &str = "tidemill> ";

/// Reads and runs statements until the user leaves.
///
/// # Errors
/// The terminal cannot be read or written.
pub fn run(
    connection: &mut impl Connection,
    runtime: &Runtime,
    variables: &Variables,
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
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(std::io::Error::other(error).into()),
        };
        remember(&mut editor, history.as_deref(), text.trim());
        if !run_text(text, connection, runtime, variables, screen, interrupts)? {
            break;
        }
    }
    runtime.block_on(run::stop_jobs(connection, screen, interrupts));
    Ok(Exit::Succeeded)
}

/// Runs what was typed, up to the first statement that fails; false if the user wants to leave.
fn run_text(
    text: String,
    connection: &mut impl Connection,
    runtime: &Runtime,
    variables: &Variables,
    screen: &mut Screen,
    interrupts: &Interrupts,
) -> Result<bool> {
    interrupts.clear();
    let script = Script { origin: None, text };
    let ran = run::run_script(connection, &script, variables, screen, interrupts);
    let then = runtime.block_on(ran)?;
    screen.out.flush()?;
    Ok(then != Some(Then::Quit))
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
