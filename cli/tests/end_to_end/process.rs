//! A running `tidemill`, its output read line by line as it comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Far more than anything here takes: reached only when something hangs.
const DEADLINE: Duration = Duration::from_secs(120);

pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Line>,
    /// Nobody reads standard output any more.
    output_closed: Arc<AtomicBool>,
    /// What came on standard error so far.
    errors: String,
}

enum Line {
    Out(String),
    Err(String),
}

/// How a process ended, and what it had written that nobody had asked for yet.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// `tidemill` with these arguments and an empty standard input.
pub fn tidemill(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs statements to their end, with CSV output, which is the easiest to compare.
pub fn run(sql: &str) -> Ended {
    Process::start(&mut tidemill(&["--format", "csv", "-c", sql])).end()
}

/// Runs statements to their end, with this standard input.
pub fn run_with_input(sql: &str, input: &[u8]) -> Ended {
    let mut process = Process::start(tidemill(&["--format", "csv", "-c", sql]).stdin(Stdio::piped()));
    process.input.take().expect("it is piped").write_all(input).expect("the process reads its input");
    process.end()
}

impl Process {
    /// Starts a command whose standard output, if it is to be read, and standard error are piped.
    pub fn start(command: &mut Command) -> Process {
        let mut child = command.spawn().expect("the binary is built before its tests");
        let input = child.stdin.take();
        let output_closed = Arc::new(AtomicBool::new(false));
        let (sender, lines) = channel();
        if let Some(out) = child.stdout.take() {
            let (sender, closed) = (sender.clone(), Arc::clone(&output_closed));
            read_lines(out, move |line| sender.send(Line::Out(line)).is_ok() && !closed.load(Ordering::SeqCst));
        }
        if let Some(err) = child.stderr.take() {
            read_lines(err, move |line| sender.send(Line::Err(line)).is_ok());
        }
        Process { child, input, lines, output_closed, errors: String::new() }
    }

    /// `tidemill --format csv -c sql`, still running.
    pub fn of(sql: &str) -> Process {
        Process::start(&mut tidemill(&["--format", "csv", "-c", sql]))
    }

    /// The next line of standard output, as soon as it comes.
    pub fn line(&mut self) -> String {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(Line::Out(line)) => return line,
                Ok(Line::Err(line)) => self.errors += &(line + "\n"),
                Err(error) => panic!("no further line ({error}), standard error: {}", self.errors),
            }
        }
    }

    /// Waits until standard error has said this.
    pub fn until_error(&mut self, part: &str) {
        while !self.errors.contains(part) {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(Line::Out(_)) => {}
                Ok(Line::Err(line)) => self.errors += &(line + "\n"),
                Err(error) => panic!("{part:?} is not said ({error}), standard error: {}", self.errors),
            }
        }
    }

    /// Whether standard error has said this by now.
    pub fn has_said(&mut self, part: &str) -> bool {
        while let Ok(line) = self.lines.try_recv() {
            if let Line::Err(line) = line {
                self.errors += &(line + "\n");
            }
        }
        self.errors.contains(part)
    }

    /// Writes to a standard input that was piped.
    pub fn input(&mut self, text: &str) {
        let input = self.input.as_mut().expect("it is piped, and not closed");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("the process reads its input");
    }

    /// Stops reading standard output, at the latest with the next line.
    pub fn close_output(&mut self) {
        self.output_closed.store(true, Ordering::SeqCst);
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("there is a kill command");
        assert!(sent.success(), "the process {pid} runs");
    }

    /// Ends standard input and waits for the end.
    pub fn end(mut self) -> Ended {
        self.input = None;
        let mut out = String::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(Line::Out(line)) => out += &(line + "\n"),
                Ok(Line::Err(line)) => self.errors += &(line + "\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it hangs after {out}, standard error: {}", self.errors),
            }
        }
        let code = self.wait().code();
        Ended { code, out, err: std::mem::take(&mut self.errors) }
    }

    /// Both outputs are closed, so the process is about to end: asked again and again, as no wait has a deadline.
    fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(since.elapsed() < DEADLINE, "the process does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(from: impl Read + Send + 'static, send: impl Fn(String) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if !send(line) {
                return;
            }
        }
    });
}

impl Ended {
    /// Checks that it succeeded, and gives its standard output.
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.err);
        self.out
    }

    /// Checks that it failed as a statement does, with an error that says all of this, and without a panic.
    #[track_caller]
    pub fn failed_saying(self, parts: &[&str]) -> Ended {
        assert_eq!(self.code, Some(1), "{}\n{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}
