//! The process's own input and output, and what stands in for them in tests and in a shell that captures them.

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::error::Error;

/// Where `print` and `stdout` write: called with whole lines, each with its newline.
pub type Output = Arc<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// What `stdin` reads: opened once per reader.
pub type Input = Arc<dyn Fn() -> Box<dyn Read + Send> + Send + Sync>;

/// The process's standard output. Locked per call, so lines of several writers do not mix.
pub fn stdout() -> Output {
    Arc::new(|text| {
        let mut out = io::stdout().lock();
        out.write_all(text)?;
        out.flush()
    })
}

/// The process's standard error.
pub fn stderr() -> Output {
    Arc::new(|text| io::stderr().lock().write_all(text))
}

/// The process's standard input.
pub fn stdin() -> Input {
    Arc::new(|| Box::new(io::stdin()))
}

const CLOSED: &str = "standard output was closed";

/// Turns a failure to write there into the error of a writer.
pub(super) fn output_error(table: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(CLOSED).why("whoever read it has gone"),
        _ => Error::new(format!("cannot print the rows of table {table}")).why(error.to_string()),
    }
}

/// Whether a job ended only because nobody reads its output any more (`tidemill ... | head`): not worth a message.
pub fn is_output_closed(error: &Error) -> bool {
    error.what() == CLOSED
}
