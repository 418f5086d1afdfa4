//! How many lines/s does a socket take as fast as they are sent, and what do a paced stream and one that is idle cost?

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::Failure;
use crate::engine::{Cost, Runs, wait};
use crate::figures::{self, Volume};
use crate::latency::accept;
use crate::number::Chance;

#[derive(Args)]
pub struct Ingest {
    /// Lines that are sent as fast as they are taken
    #[arg(long, default_value_t = 20_000_000)]
    lines: u64,
    /// Lines per second of the paced stream
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// How long the paced stream and the idle one last
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only this one; may be repeated
    #[arg(long = "stream")]
    streams: Vec<Stream>,
    #[command(flatten)]
    runs: Runs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stream {
    /// Texts, counted
    Texts,
    /// JSON, parsed and added up
    Json,
    /// JSON at a rate, in windows by key
    Paced,
    /// Nothing
    Idle,
}

/// What lines are sent again and again.
const BLOCK_LINES: u64 = 10_000;
const LINE_BYTES: usize = 120;
const TICK: Duration = Duration::from_millis(1);

impl Stream {
    const ALL: [Stream; 4] = [Stream::Texts, Stream::Json, Stream::Paced, Stream::Idle];

    fn name(self) -> &'static str {
        match self {
            Stream::Texts => "lines of 120 bytes, counted",
            Stream::Json => "JSON lines of 120 bytes, parsed and added up",
            Stream::Paced => "JSON lines of 120 bytes at a rate, tumbling count and max by key",
            Stream::Idle => "no lines",
        }
    }

    fn columns(self) -> &'static str {
        match self {
            Stream::Texts => "line STRING",
            _ => {
                "auction BIGINT, price BIGINT, note STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND"
            }
        }
    }

    fn format(self) -> &'static str {
        if self == Stream::Texts { "raw" } else { "json" }
    }

    fn query(self) -> &'static str {
        match self {
            Stream::Texts => "SELECT COUNT(*), 0 FROM lines",
            Stream::Json => "SELECT COUNT(auction), SUM(price) + SUM(CHAR_LENGTH(note)) FROM lines",
            Stream::Paced | Stream::Idle => {
                "SELECT COUNT(*), MAX(price) FROM TABLE(TUMBLE(TABLE lines, DESCRIPTOR(ts), INTERVAL '10' SECOND))
                 GROUP BY auction, window_start, window_end"
            }
        }
    }

    /// A line, of the second `second` of event time.
    fn line(self, chance: &mut Chance, second: u64) -> String {
        if self == Stream::Texts {
            return format!("{}\n", "x".repeat(LINE_BYTES - 1));
        }
        let (auction, price, second) = (chance.below(1000), chance.below(1_000_000), second % 3600);
        let line = format!(
            r#"{{"auction":{auction},"price":{price},"ts":"2020-01-01 00:{:02}:{:02}.000","note":""#,
            second / 60,
            second % 60
        );
        format!("{line}{}\"}}\n", "n".repeat(LINE_BYTES - 3 - line.len()))
    }
}

impl Ingest {
    pub fn run(&self) -> Result<(), Failure> {
        for stream in Stream::ALL {
            if !self.streams.is_empty() && !self.streams.contains(&stream) {
                continue;
            }
            let costs =
                (0..self.runs.repeat.max(1)).map(|_| self.once(stream)).collect::<Result<Vec<Cost>, Failure>>()?;
            if matches!(stream, Stream::Texts | Stream::Json) {
                let volume = Volume { bytes: self.lines * LINE_BYTES as u64, items: self.lines, noun: "lines" };
                figures::print(stream.name(), &costs, Some(&volume));
                continue;
            }
            let Cost { wall, cpu, peak_bytes } = figures::median(&costs);
            println!(
                "{}\n  median: {:.2} % of a core, peak {:.0} MB",
                stream.name(),
                cpu.as_secs_f64() / wall.as_secs_f64() * 100.0,
                peak_bytes as f64 / 1e6
            );
        }
        Ok(())
    }

    fn once(&self, stream: Stream) -> Result<Cost, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sql = format!(
            "SET 'table.dml-sync' = 'true';
             CREATE TABLE lines ({}) WITH (
               'connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{}', 'format' = '{}');
             CREATE TABLE results (n BIGINT, m BIGINT) WITH ('connector' = 'print');
             INSERT INTO results {}",
            stream.columns(),
            listener.local_addr()?.port(),
            stream.format(),
            stream.query(),
        );
        let mut command = self.runs.command(&sql)?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let printed = child.stdout.take().ok_or("standard output is piped")?;
        let counted = std::thread::spawn(move || counted(printed));
        let mut socket = accept(&listener, &mut child)?;
        let started = Instant::now();
        let mut chance = Chance::new(3);
        let mut block =
            |lines: u64, second: u64| -> String { (0..lines).map(|_| stream.line(&mut chance, second)).collect() };
        let pace = Duration::from_secs(self.seconds);
        let mut sent = 0;
        match stream {
            Stream::Texts | Stream::Json => {
                let text = block(BLOCK_LINES, 0);
                while sent < self.lines {
                    let lines = (self.lines - sent).min(BLOCK_LINES);
                    socket.write_all(&text.as_bytes()[..lines as usize * LINE_BYTES])?;
                    sent += lines;
                }
            }
            Stream::Paced => {
                let seconds: Vec<String> = (0..60).map(|second| block(self.rate.min(1000), second)).collect();
                while started.elapsed() < pace {
                    let elapsed = started.elapsed();
                    let due = (elapsed.as_secs_f64() * self.rate as f64) as u64;
                    let text = &seconds[(elapsed.as_secs() as usize).min(59)];
                    while sent < due {
                        let lines = (due - sent).min(self.rate.min(1000));
                        socket.write_all(&text.as_bytes()[..lines as usize * LINE_BYTES])?;
                        sent += lines;
                    }
                    std::thread::sleep(TICK);
                }
            }
            Stream::Idle => std::thread::sleep(pace),
        }
        drop(socket);
        let (status, cpu, peak_bytes) = wait(child)?;
        let cost = Cost { wall: started.elapsed(), cpu, peak_bytes };
        let counted = counted.join().map_err(|_| "the reader panicked")??;
        match (status.success(), counted == sent) {
            (true, true) => Ok(cost),
            (true, false) => Err(format!("{}: {sent} were sent, {counted} counted", stream.name()).into()),
            (false, _) => Err(format!("{command:?} ended with {status}").into()),
        }
    }
}

/// The sum of the first column over the rows that are there in the end.
fn counted(printed: ChildStdout) -> std::io::Result<u64> {
    let mut sum = 0;
    for line in BufReader::new(printed).lines() {
        let line = line?;
        let Some((kind, row)) = line.split_once('[') else { continue };
        let count: u64 = row.split(',').next().and_then(|count| count.parse().ok()).unwrap_or_default();
        match kind {
            "+I" | "+U" => sum += count,
            _ => sum -= count,
        }
    }
    Ok(sum)
}
