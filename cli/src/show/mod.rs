//! What a statement gave, shown.

pub mod bag;
pub mod live;
pub mod print;
pub mod progress;
pub mod summary;

use std::io::Write as _;
use std::time::Instant;

use tidemill_exec::text::Zone;
use tidemill_exec::{Error, Result as StatementResult};

use tidemill_planner::dialect::{ParsedStatement, Statement};

use crate::connection::Connection;
use crate::failure::Result;
use crate::interrupt::Interrupts;
use crate::render::Style;
use crate::screen::Screen;
use crate::session::Outcome;
use crate::shell;

/// In which `TIMESTAMP_LTZ` is shown.
const TIME_ZONE: &str = "table.local-time-zone";

pub const RESULT_MODE: &str = "sql-client.execution.result-mode";

/// What the rows of a result are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResultMode {
    /// The rows that are there at the end, or now.
    #[default]
    Table,
    /// What happened to rows, in order, each with its `op`; a query that runs in batch just has rows. Flink's `tableau` is the
    /// same, drawn in another way.
    Changelog,
}

impl ResultMode {
    /// The mode `connection` has set.
    ///
    /// # Errors
    /// The setting holds none of the modes.
    pub fn of(connection: &impl Connection) -> StatementResult<ResultMode> {
        match connection.setting(RESULT_MODE) {
            None => Ok(ResultMode::Table),
            Some(mode) if mode.eq_ignore_ascii_case("table") => Ok(ResultMode::Table),
            Some(mode) if ["changelog", "tableau"].contains(&mode.to_lowercase().as_str()) => Ok(ResultMode::Changelog),
            Some(mode) => Err(Error::new(format!("'{mode}' is no result mode"))
                .fix(format!("SET '{RESULT_MODE}' = 'table', 'changelog' or 'tableau'"))),
        }
    }
}

/// How to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Continue,
    Quit,
    /// The user pressed Ctrl-C.
    Stopped,
}

/// Runs one statement and shows what it gives. `started` is when the user began to wait.
///
/// # Errors
/// The statement's error, or that of standard output.
pub async fn statement(
    connection: &mut impl Connection,
    statement: &ParsedStatement,
    screen: &mut Screen,
    interrupts: &Interrupts,
    started: Instant,
) -> Result<Then> {
    match statement.statement {
        Statement::Quit => return Ok(Then::Quit),
        Statement::Help => {
            write!(screen.out, "{}", shell::help::PAGE)?;
            return Ok(Then::Continue);
        }
        Statement::Clear => {
            screen.clear()?;
            return Ok(Then::Continue);
        }
        _ => {}
    }
    let outcome = tokio::select! {
        biased;
        outcome = connection.execute(statement) => outcome?,
        () = interrupts.pressed() => {
            screen.erase_echo();
            screen.remark(&format!("(stopped after {})", summary::Elapsed(started.elapsed())));
            return Ok(Then::Stopped);
        }
    };
    let mode = ResultMode::of(connection)?;
    let zone = connection.setting(TIME_ZONE).and_then(|name| Zone::parse(&name)).unwrap_or(Zone::UTC);
    let style = Style { format: screen.format, zone };
    let summary = match outcome {
        Outcome::Quit => return Ok(Then::Quit),
        Outcome::Done(text) => {
            screen.remark(&text);
            return Ok(Then::Continue);
        }
        Outcome::Job { id, name } if name.is_empty() => {
            screen.say(&format!("job {id} started"));
            return Ok(Then::Continue);
        }
        Outcome::Job { id, name } => {
            screen.say(&format!("job {id} started: {name}"));
            return Ok(Then::Continue);
        }
        Outcome::Text(text) => {
            writeln!(screen.out, "{}", text.trim_end_matches('\n'))?;
            screen.out.flush()?;
            return Ok(Then::Continue);
        }
        Outcome::Rows(rows) => {
            style.print(&rows, &mut screen.out)?;
            summary::Summary { rows: rows.num_rows() as u64, is_changelog: false, stopped: false }
        }
        Outcome::Query(query) if live::suits(&query, mode, screen) => live::run(query, zone, screen, started).await?,
        Outcome::Query(query) => print::run(query, mode, style, screen, interrupts, started).await?,
    };
    screen.out.flush()?;
    screen.remark(&summary.after(started.elapsed()));
    Ok(if summary.stopped { Then::Stopped } else { Then::Continue })
}
