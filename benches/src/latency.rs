//! How long from a line that is sent to a socket until its count is printed?
//!
//! Words come in turn, so the n-th count of a word says which line it is of. A count that an epoch skips, because the next line of the word came
//! in it too, is printed when the later one is.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::engine::{Cost, Runs, wait};

#[derive(Args)]
pub struct Latency {
    /// Lines per second
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long they are sent; the first second does not count, if there are more
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    #[command(flatten)]
    runs: Runs,
}

const WORDS: usize = 1000;
/// Lines are sent so often, as many as are due.
const TICK: Duration = Duration::from_micros(500);

impl Latency {
    pub fn run(&self) -> Result<(), Failure> {
        println!("socket word count at {} lines/s, from a line sent to its count printed", self.rate);
        for run in 1..=self.runs.repeat.max(1) {
            let (mut latencies, cost) = self.once()?;
            latencies.sort_unstable();
            let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            println!(
                "  run {run}: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, at most {:.2} ms; {:.1} % of a core, peak {:.0} MB",
                at(0.5),
                at(0.99),
                at(0.999),
                at(1.0),
                cost.cpu.as_secs_f64() / cost.wall.as_secs_f64() * 100.0,
                cost.peak_bytes as f64 / 1e6,
            );
        }
        Ok(())
    }

    /// The latency of each line that counts, and what the process took.
    fn once(&self) -> Result<(Vec<Duration>, Cost), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sql = format!(
            "SET 'table.dml-sync' = 'true';
             CREATE TABLE lines (word STRING) WITH (
               'connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{}', 'format' = 'raw');
             CREATE TABLE counts (word STRING, n BIGINT) WITH ('connector' = 'print');
             INSERT INTO counts SELECT word, COUNT(*) FROM lines GROUP BY word;",
            listener.local_addr()?.port()
        );
        let mut command = self.runs.command(&sql)?;
        let started = Instant::now();
        let mut child: Child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let printed = child.stdout.take().ok_or("standard output is piped")?;
        let socket = accept(&listener, &mut child)?;
        let total = self.rate as usize * self.seconds as usize;
        let reader = std::thread::spawn(move || when_printed(printed, total));
        let sent = self.send(socket, total)?;
        let printed = reader.join().map_err(|_| "the reader panicked")??;
        let (status, cpu, peak_bytes) = wait(child)?;
        let cost = Cost { wall: started.elapsed(), cpu, peak_bytes };
        if !status.success() {
            return Err(format!("{command:?} ended with {status}").into());
        }
        let missing = printed.iter().filter(|at| at.is_none()).count();
        if missing > 0 {
            return Err(format!("{missing} of {total} lines were never counted").into());
        }
        let warm = if self.seconds > 1 { self.rate as usize } else { 0 };
        let latency =
            |(sent, printed): (&Instant, &Option<Instant>)| printed.map(|at| at.saturating_duration_since(*sent));
        Ok((sent.iter().zip(&printed).skip(warm).filter_map(latency).collect(), cost))
    }

    /// Sends the lines in their rhythm; when each was.
    fn send(&self, mut socket: TcpStream, total: usize) -> Result<Vec<Instant>, Failure> {
        socket.set_nodelay(true)?;
        let words: Vec<String> = (0..WORDS).map(|word| format!("word{word}\n")).collect();
        let (mut sent, mut text) = (Vec::with_capacity(total), Vec::new());
        let began = Instant::now();
        while sent.len() < total {
            let due = (began.elapsed().as_secs_f64() * f64::from(self.rate)) as usize;
            let due = due.min(total);
            text.clear();
            let now = Instant::now();
            for line in sent.len()..due {
                text.extend_from_slice(words[line % WORDS].as_bytes());
                sent.push(now);
            }
            socket.write_all(&text)?;
            std::thread::sleep(TICK);
        }
        Ok(sent)
    }
}

/// The connection of the program, unless it ends without one.
pub fn accept(listener: &TcpListener, child: &mut Child) -> Result<TcpStream, Failure> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false)?;
                return Ok(socket);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("it ended with {status} before it read anything").into());
        }
        std::thread::sleep(TICK);
    }
}

/// When the count of each line was there to read: of its own, or of a later line of its word.
fn when_printed(printed: ChildStdout, total: usize) -> Result<Vec<Option<Instant>>, std::io::Error> {
    let mut at = vec![None; total];
    let mut seen = [0usize; WORDS];
    for line in BufReader::new(printed).lines() {
        let line = line?;
        let now = Instant::now();
        let Some((word, count)) = count_in(&line) else { continue };
        for n in seen[word]..count {
            if let Some(at) = at.get_mut(n * WORDS + word) {
                *at = Some(now);
            }
        }
        seen[word] = count.max(seen[word]);
    }
    Ok(at)
}

/// The word and the count of `+I[word7, 3]` or `+U[word7, 3]`.
fn count_in(line: &str) -> Option<(usize, usize)> {
    let row = line.strip_prefix("+I[").or_else(|| line.strip_prefix("+U["))?.strip_suffix(']')?;
    let (word, count) = row.split_once(", ")?;
    let word = word.strip_prefix("word")?.parse().ok().filter(|&word| word < WORDS)?;
    Some((word, count.parse().ok()?))
}
