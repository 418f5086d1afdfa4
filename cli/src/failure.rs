//! Why showing a result ended early.

use std::io;

use tidemill_exec::Error;
use tidemill_exec::connectors::terminal::is_output_closed;

/// A statement that failed, or an output that does not take more: the first is reported, the second ends the program.
#[derive(Debug)]
pub enum Failure {
    Statement(Error),
    /// Standard output could not be written. `BrokenPipe` is the reader's way of saying "enough" (`| head`).
    Output(io::Error),
}

pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<Error> for Failure {
    /// A sink that finds standard output closed fails like any other; to the program it is the end, as for a SELECT.
    fn from(error: Error) -> Failure {
        match is_output_closed(&error) {
            true => Failure::Output(io::ErrorKind::BrokenPipe.into()),
            false => Failure::Statement(error),
        }
    }
}

impl From<arrow::error::ArrowError> for Failure {
    fn from(error: arrow::error::ArrowError) -> Failure {
        Failure::Statement(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}
