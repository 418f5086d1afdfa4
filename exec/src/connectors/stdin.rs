//! `'connector' = 'stdin'`: what is piped into the process, `tail -f log | tidemill -c "..."`.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use async_trait::async_trait;

use super::pump::Pump;
use super::records::{self, Records, format_of};
use super::terminal::{self, Input};
use crate::connect::{
    Connector, Format, Offset, OptionKind, OptionSpec, Reader, Registry, Source, SplitId, TableDefinition,
};
use crate::error::{Error, Result};

const OPTIONS: &[OptionSpec] = &[
    records::FORMAT,
    records::BYTE_DELIMITER,
    records::MAX_RECORD_SIZE,
    OptionSpec::optional(
        "bounded",
        OptionKind::Boolean,
        "whether the input will end, so that a query may wait for all of it (default: true if it is a file)",
    ),
];

/// Reads the process's standard input, or what [`Stdin::reading`] says.
pub struct Stdin {
    input: Input,
}

impl Default for Stdin {
    fn default() -> Stdin {
        Stdin { input: terminal::stdin() }
    }
}

impl Stdin {
    pub fn reading(input: Input) -> Stdin {
        Stdin { input }
    }
}

impl Connector for Stdin {
    fn name(&self) -> &'static str {
        "stdin"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], formats: &Registry) -> Result<Arc<dyn Source>> {
        let format = format_of(table, OPTIONS, formats)?;
        Records::new(table, OPTIONS, format.as_ref(), projection, SplitId::new("stdin"), 0)?;
        let bounded = match table.options.get("bounded") {
            Some(_) => table.options.boolean(OPTIONS, "bounded"),
            // A redirected file ends; a pipe may be a `tail -f`.
            None => std::fs::metadata("/dev/stdin").is_ok_and(|input| input.is_file()),
        };
        let input = Arc::clone(&self.input);
        Ok(Arc::new(StdinSource { table: table.clone(), projection: projection.to_vec(), format, bounded, input }))
    }
}

struct StdinSource {
    table: TableDefinition,
    projection: Vec<usize>,
    format: Arc<dyn Format>,
    bounded: bool,
    input: Input,
}

impl fmt::Debug for StdinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stdin(format={})", self.format.name())
    }
}

#[async_trait]
impl Source for StdinSource {
    fn bounded(&self) -> bool {
        self.bounded
    }

    fn retracts(&self) -> bool {
        self.format.decodes_updates()
    }

    fn can_be_replayed(&self) -> bool {
        false
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok(vec![SplitId::new("stdin")])
    }

    /// What was read before a restart is not there again, so offsets are not looked at.
    async fn open(&self, mut splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let split = splits.pop();
        let records = match split {
            None => None,
            Some((split, _)) => {
                let format = self.format.as_ref();
                Some(Records::new(&self.table, OPTIONS, format, &self.projection, split, 0)?)
            }
        };
        let input = Arc::clone(&self.input);
        Ok(Box::new(Pump::thread("stdin", false, move |feed| {
            let Some(mut records) = records else { return Ok(()) };
            let mut input = input();
            let mut chunk = vec![0; 256 << 10];
            loop {
                match input.read(&mut chunk) {
                    Ok(0) => records.end(),
                    Ok(length) => records.push(&chunk[..length]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Error::new("cannot read standard input").why(error.to_string()).into()),
                }
                while let Some(batch) = records.next()? {
                    feed.send_blocking(batch)?;
                }
                if records.has_ended() {
                    return Ok(());
                }
            }
        })?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lines_of, lines_table, read_all, registry};
    use super::*;

    async fn open(input: Input, options: &[(&str, &str)]) -> Box<dyn Reader> {
        let (table, _) = lines_table(options);
        let source = Stdin::reading(input).source(&table, &[0], &registry()).unwrap();
        source.open(vec![(SplitId::new("stdin"), None)]).await.unwrap()
    }

    #[tokio::test]
    async fn a_last_line_without_newline_is_a_row() {
        let mut reader = open(Arc::new(|| Box::new(&b"a\nb\r\n\nlast"[..])), &[]).await;
        assert_eq!(read_all(reader.as_mut()).await.unwrap(), ["a", "b", "", "last"]);
    }

    #[tokio::test]
    async fn no_input_is_no_rows() {
        let mut reader = open(Arc::new(|| Box::new(&b""[..])), &[]).await;
        assert!(read_all(reader.as_mut()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_row_is_seen_while_the_pipe_stays_open() {
        let (receive, mut send) = std::io::pipe().unwrap();
        let receive = std::sync::Mutex::new(Some(receive));
        let mut reader = open(Arc::new(move || Box::new(receive.lock().unwrap().take().unwrap())), &[]).await;
        for line in ["one", "two"] {
            io::Write::write_all(&mut send, format!("{line}\nhalf ").as_bytes()).unwrap();
            let rows = reader.next().await.unwrap().unwrap().rows;
            assert!(lines_of(&rows)[0].ends_with(line));
        }
        drop(send);
        assert_eq!(read_all(reader.as_mut()).await.unwrap(), ["half "]);
    }
}
