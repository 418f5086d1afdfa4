//! A query's rows, printed one below the other.

use std::time::{Duration, Instant};

use futures::FutureExt;
use tidemill_exec::ChangeBatch;
use tokio::time::MissedTickBehavior;

use super::ResultMode;
use super::bag::Bag;
use super::progress::Progress;
use super::summary::Summary;
use crate::failure::Result;
use crate::interrupt::Interrupts;
use crate::render::{Renderer, Style, changelog, with_op};
use crate::screen::Screen;
use crate::session::{Event, Query};

/// How often progress is drawn, and how long rows of a query that will end may be held back.
const TICK: Duration = Duration::from_millis(250);

/// Prints `query` to its end or to Ctrl-C.
pub async fn run(
    mut query: Query,
    mode: ResultMode,
    style: Style,
    screen: &mut Screen,
    interrupts: &Interrupts,
    started: Instant,
) -> Result<Summary> {
    let mut printing = Printing::new(&query, mode, style)?;
    let mut progress = Progress::new(query.bounded && screen.err_is_terminal, started);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut received = 0;
    let stopped = loop {
        let event = match query.next().now_or_never() {
            Some(event) => event,
            None => {
                // Nothing more for now. Flushing here and not per batch shows a slow source's rows at once and does not slow a fast
                // one. What ends soon is better shown whole, but not what makes the user wait.
                if !query.bounded {
                    printing.settle(screen)?;
                }
                tokio::select! {
                    event = query.next() => event,
                    () = interrupts.pressed() => break true,
                    _ = ticks.tick() => {
                        printing.settle(screen)?;
                        progress.draw(received, Instant::now(), &mut screen.err);
                        continue;
                    }
                }
            }
        };
        match event {
            Ok(Some(Event::Changes(changes))) => {
                received += changes.rows.num_rows() as u64;
                if screen.out_is_terminal && printing.is_immediate() {
                    progress.end(&mut screen.err);
                }
                printing.changes(&changes, screen)?;
            }
            Ok(Some(Event::Epoch)) => {}
            Ok(Some(Event::Note(note))) => {
                progress.erase(&mut screen.err);
                screen.say(&note);
            }
            Ok(None) => break false,
            Err(error) => {
                progress.end(&mut screen.err);
                printing.settle(screen)?;
                return Err(error.into());
            }
        }
    };
    // Ends the job before the rest is printed, which a full pipe may delay.
    drop(query);
    progress.end(&mut screen.err);
    if stopped {
        screen.erase_echo();
    }
    printing.finish(screen, stopped)
}

struct Printing {
    renderer: Box<dyn Renderer>,
    what: What,
    rows: u64,
}

enum What {
    /// Rows as they come.
    Rows,
    /// Changes as they come.
    Changelog(arrow::datatypes::SchemaRef),
    /// The rows that remain at the end.
    Remaining(Bag),
}

impl Printing {
    fn new(query: &Query, mode: ResultMode, style: Style) -> Result<Printing> {
        let what = match mode {
            ResultMode::Changelog if !query.batch => What::Changelog(with_op(&query.schema)),
            _ if query.append_only || query.batch => What::Rows,
            _ if query.bounded => What::Remaining(Bag::new(&query.schema)?),
            // An endless result has no final rows; what happens to it is all there is to print.
            _ => What::Changelog(with_op(&query.schema)),
        };
        let schema = if let What::Changelog(schema) = &what { schema } else { &query.schema };
        Ok(Printing { renderer: style.renderer(schema)?, what, rows: 0 })
    }

    fn is_immediate(&self) -> bool {
        !matches!(self.what, What::Remaining(_))
    }

    fn changes(&mut self, changes: &ChangeBatch, screen: &mut Screen) -> Result<()> {
        match &mut self.what {
            What::Rows => {
                self.rows += changes.rows.num_rows() as u64;
                self.renderer.rows(&changes.rows, &mut screen.out)
            }
            What::Changelog(schema) => {
                self.rows += changes.rows.num_rows() as u64;
                self.renderer.rows(&changelog(changes, schema)?, &mut screen.out)
            }
            What::Remaining(bag) => Ok(bag.apply(changes)?),
        }
    }

    fn settle(&mut self, screen: &mut Screen) -> Result<()> {
        if self.is_immediate() {
            self.renderer.settle(&mut screen.out)?;
            screen.out.flush()?;
        }
        Ok(())
    }

    fn finish(mut self, screen: &mut Screen, stopped: bool) -> Result<Summary> {
        if let What::Remaining(bag) = &self.what {
            self.rows = bag.len() as u64;
            self.renderer.rows(&bag.rows(usize::MAX)?, &mut screen.out)?;
        }
        self.renderer.finish(&mut screen.out)?;
        screen.out.flush()?;
        Ok(Summary { rows: self.rows, is_changelog: matches!(self.what, What::Changelog(_)), stopped })
    }
}
