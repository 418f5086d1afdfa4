//! Where output goes: results to standard output, everything else to standard error.

use std::io::{self, BufWriter, IsTerminal, Write};

use crossterm::cursor::MoveTo;
use crossterm::terminal::{Clear, ClearType};

use crate::render::Format;

pub struct Screen {
    /// Results. Buffered: whoever wants the user to see them flushes.
    pub out: Box<dyn Write>,
    pub err: Box<dyn Write>,
    pub format: Format,
    pub out_is_terminal: bool,
    pub err_is_terminal: bool,
    /// Both a keyboard and a screen are there, so that a table may redraw itself until a key ends it.
    pub is_live: bool,
    /// A person is waiting at a prompt: say what was done even if it was no result.
    pub is_shell: bool,
    pub colors: bool,
}

impl Screen {
    /// Standard output and standard error as they are.
    pub fn of_process(format: Format, is_shell: bool) -> Screen {
        let (out_is_terminal, err_is_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Screen {
            out: Box::new(BufWriter::with_capacity(64 * 1024, io::stdout())),
            err: Box::new(io::stderr()),
            format,
            out_is_terminal,
            err_is_terminal,
            is_live: out_is_terminal && io::stdin().is_terminal() && format == Format::Table,
            is_shell,
            colors: wants_colors(),
        }
    }

    /// Something the user should know, on standard error. That standard error is closed is nobody's concern.
    pub fn say(&mut self, text: &str) {
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{text}");
    }

    /// Something only a person watching wants to know, in a low voice.
    pub fn remark(&mut self, text: &str) {
        if !self.is_shell && !self.err_is_terminal {
            return;
        }
        match self.colors && self.err_is_terminal {
            true => self.say(&format!("\u{1b}[2m{text}\u{1b}[0m")),
            false => self.say(text),
        }
    }

    /// Empties a terminal; does nothing to a file.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.out_is_terminal {
            crossterm::execute!(self.out, Clear(ClearType::All), MoveTo(0, 0))?;
        }
        Ok(())
    }

    /// Erases what the terminal echoed for Ctrl-C.
    pub fn erase_echo(&mut self) {
        if self.err_is_terminal && self.out_is_terminal {
            let _ = self.out.flush();
            let _ = write!(self.err, "\r\u{1b}[K");
        }
    }
}

/// <https://no-color.org>: set and not empty means none.
fn wants_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

#[cfg(test)]
pub mod paper {
    //! A screen that remembers what was printed.

    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    pub struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Paper {
        /// What was printed since the last call. Times become `T s`.
        pub fn text(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.borrow_mut())).expect("output is UTF-8")
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A screen that is no terminal, with its output and its messages.
    pub fn screen(format: Format) -> (Screen, Paper, Paper) {
        let (out, err) = (Paper::default(), Paper::default());
        let screen = Screen {
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            format,
            out_is_terminal: false,
            err_is_terminal: false,
            is_live: false,
            is_shell: false,
            colors: false,
        };
        (screen, out, err)
    }
}
