//! An endless updating result as a table that redraws itself in place.
//!
//! ```text
//! +------+---+
//! | word | n |
//! +------+---+
//! | tide | 4 |
//! +------+---+
//! ... and 12 more rows
//! 13 rows, 3.2 s, q to stop
//! ```

use std::io::Write;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event as Input, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::{cursor, queue, terminal};
use tidemill_exec::ChangeBatch;
use tidemill_exec::text::Zone;
use unicode_width::UnicodeWidthChar;

use super::ResultMode;
use super::bag::Bag;
use super::summary::{Elapsed, Summary};
use crate::failure::Result;
use crate::render::table::Layout;
use crate::render::value::Texts;
use crate::render::{Format, Style};
use crate::screen::Screen;
use crate::session::{Event, Query};

/// How often the table is redrawn at most, and keys are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How many rows are left on the screen at the end: a table nobody scrolls through is not worth flooding the terminal.
const FINAL_ROWS_MAX: usize = 10_000;

/// Whether `query` is one to watch rather than to print.
pub fn suits(query: &Query, mode: ResultMode, screen: &Screen) -> bool {
    screen.is_live && mode == ResultMode::Table && !query.bounded && !query.append_only && !query.batch
}

/// Shows `query` until it ends or the user ends it with `q` or Ctrl-C, then leaves the final table.
pub async fn run(mut query: Query, zone: Zone, screen: &mut Screen, started: Instant) -> Result<Summary> {
    let mut bag = Bag::new(&query.schema)?;
    // Changes of an epoch that is not complete: the table shows answers, not what lies between them.
    let mut coming: Vec<ChangeBatch> = Vec::new();
    let mut picture = Picture { zone, layout: Layout::new(&query.schema), lines: 0, size: (0, 0) };
    let mut ticks = tokio::time::interval(TICK);
    let mut drawn: Option<(u64, bool)> = None;
    let mut changed = false;
    let raw = RawMode::enter()?;
    let ended = loop {
        tokio::select! {
            event = query.next() => match event {
                Ok(Some(Event::Changes(changes))) => coming.push(changes),
                Ok(Some(Event::Epoch)) => {
                    changed |= !coming.is_empty();
                    if let Err(error) = apply(&mut bag, &mut coming) {
                        break Err(error);
                    }
                }
                Ok(Some(Event::Note(note))) => {
                    picture.erase(&mut screen.out)?;
                    screen.say(&format!("{note}\r"));
                    changed = true;
                }
                Ok(None) => break apply(&mut bag, &mut coming).map(|()| false),
                Err(error) => break Err(error.into()),
            },
            _ = ticks.tick() => {
                if stop_requested() {
                    break Ok(true);
                }
                let now = (started.elapsed().as_secs(), picture.size != size());
                if changed || drawn != Some(now) {
                    picture.draw(&bag, started.elapsed(), &mut screen.out)?;
                    (changed, drawn) = (false, Some(now));
                }
            }
        }
    };
    drop(query);
    picture.erase(&mut screen.out)?;
    drop(raw);
    // The last picture stays, also above an error: it is the answer over what was read.
    Style { format: Format::Table, zone }.print(&bag.rows(FINAL_ROWS_MAX)?, &mut screen.out)?;
    if bag.len() > FINAL_ROWS_MAX {
        writeln!(screen.out, "... and {} more rows", bag.len() - FINAL_ROWS_MAX)?;
    }
    screen.out.flush()?;
    Ok(Summary { rows: bag.len() as u64, is_changelog: false, stopped: ended? })
}

fn apply(bag: &mut Bag, coming: &mut Vec<ChangeBatch>) -> Result<()> {
    for changes in coming.drain(..) {
        bag.apply(&changes)?;
    }
    Ok(())
}

/// Looks at the keys pressed since the last look, without waiting.
fn stop_requested() -> bool {
    let mut stop = false;
    while event::poll(Duration::ZERO).unwrap_or(false) {
        let Ok(Input::Key(key)) = event::read() else { continue };
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        stop |= key.kind != KeyEventKind::Release
            && match key.code {
                KeyCode::Char('c' | 'd') => control,
                KeyCode::Char('q' | 'Q') => true,
                _ => false,
            };
    }
    stop
}

/// Keys are read as they are pressed and not echoed, until this is dropped.
struct RawMode;

impl RawMode {
    fn enter() -> Result<RawMode> {
        terminal::enable_raw_mode()?;
        Ok(RawMode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
        let _ = crossterm::execute!(std::io::stdout(), cursor::Show);
    }
}

/// What is on the screen now.
struct Picture {
    zone: Zone,
    layout: Layout,
    /// Lines drawn; the cursor stands at the end of the last one.
    lines: u16,
    /// Columns and rows of the terminal it was drawn for.
    size: (u16, u16),
}

impl Picture {
    fn draw(&mut self, bag: &Bag, elapsed: Duration, out: &mut impl Write) -> Result<()> {
        let size = size();
        queue!(out, terminal::BeginSynchronizedUpdate, cursor::Hide)?;
        if size == self.size {
            self.home(out)?;
        } else {
            // A resized terminal has rewrapped the old picture: where it began is unknown.
            self.erase(out)?;
        }
        let lines = lines(&mut self.layout, self.zone, bag, elapsed, size)?;
        for (index, line) in lines.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\r\n" };
            write!(out, "{newline}{line}")?;
            queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown), terminal::EndSynchronizedUpdate)?;
        out.flush()?;
        (self.lines, self.size) = (lines.len() as u16, size);
        Ok(())
    }

    fn erase(&mut self, out: &mut impl Write) -> Result<()> {
        self.home(out)?;
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        out.flush()?;
        self.lines = 0;
        Ok(())
    }

    /// Moves to where the picture begins.
    fn home(&self, out: &mut impl Write) -> Result<()> {
        if self.lines > 1 {
            queue!(out, cursor::MoveUp(self.lines - 1))?;
        }
        write!(out, "\r")?;
        Ok(())
    }
}

/// Columns and rows of the terminal. Some say 0 for "unknown".
fn size() -> (u16, u16) {
    terminal::size().ok().filter(|(width, height)| *width > 0 && *height > 0).unwrap_or((80, 24))
}

/// The lines of a picture that fits `size`.
fn lines(
    layout: &mut Layout,
    zone: Zone,
    bag: &Bag,
    elapsed: Duration,
    (width, height): (u16, u16),
) -> Result<Vec<String>> {
    // Three lines of header, the closing rule, the status.
    let room = usize::from(height).saturating_sub(5).max(1);
    let shown = if bag.len() <= room { bag.len() } else { room - 1 };
    let rows = bag.rows(shown)?;
    let texts = Texts::new(&rows, zone);
    layout.fit(&texts, rows.num_rows());
    let mut table = layout.header();
    for row in 0..rows.num_rows() {
        layout.row(&texts, row, &mut table);
    }
    if shown > 0 {
        table += &layout.rule();
    }
    let mut lines: Vec<String> = table.lines().map(|line| cut(line, width.into())).collect();
    if shown < bag.len() {
        lines.push(format!("... and {} more rows", bag.len() - shown));
    }
    let plural = if bag.len() == 1 { "" } else { "s" };
    lines.push(format!("{} row{plural}, {}, q to stop", bag.len(), Elapsed(elapsed)));
    Ok(lines)
}

/// The start of `line` that takes at most `width` terminal cells.
fn cut(line: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    line.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use expect_test::expect;

    use super::*;

    fn picture(rows: i64, size: (u16, u16)) -> String {
        let numbers: Int64Array = (0..rows).map(Some).collect();
        let rows = RecordBatch::try_from_iter([("number", Arc::new(numbers) as ArrayRef)]).unwrap();
        let mut bag = Bag::new(&rows.schema()).unwrap();
        bag.apply(&ChangeBatch::inserts(rows.clone())).unwrap();
        let mut layout = Layout::new(&rows.schema());
        lines(&mut layout, Zone::UTC, &bag, Duration::from_millis(3200), size).unwrap().join("\n")
    }

    #[test]
    fn a_picture_fits_the_screen_and_counts_what_does_not() {
        expect![[r#"
            +--------+
            | number |
            +--------+
            |      0 |
            |      1 |
            +--------+
            2 rows, 3.2 s, q to stop"#]]
        .assert_eq(&picture(2, (80, 24)));
        let tall = picture(100, (9, 8));
        assert_eq!(tall.lines().count(), 8);
        expect![[r#"
            +--------
            | number 
            +--------
            |      0 
            |      1 
            +--------
            ... and 98 more rows
            100 rows, 3.2 s, q to stop"#]]
        .assert_eq(&tall);
    }
}
