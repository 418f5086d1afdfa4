//! What the command line and the shell ask of a session.
//!
//! A trait, so that both can be tried against canned answers.

use tidemill_exec::{Error, Result};
use tidemill_planner::dialect::ParsedStatement;

use crate::session::{Outcome, Session};

/// Takes statements one by one.
pub trait Connection: Names {
    /// Runs one statement. Dropping the future, or a [`Query`](crate::Query) it gave, cancels the statement.
    fn execute(&mut self, statement: &ParsedStatement) -> impl Future<Output = Result<Outcome>>;

    /// The value in force of a setting.
    fn setting(&self, name: &str) -> Option<String>;

    /// The next thing a background job reports; waits for it. `None` once no job runs and everything was reported.
    /// Cancel-safe: the shell polls it once before each prompt, a script awaits it at its end.
    fn next_report(&mut self) -> impl Future<Output = Option<Report>>;
}

/// The names a user may want completed. Asked before each prompt.
pub trait Names {
    fn tables(&self) -> Vec<String>;
    /// Columns of a table or view in their order; empty if there is no such table.
    fn columns(&self, table: &str) -> Vec<String>;
    fn functions(&self) -> Vec<String>;
    fn settings(&self) -> Vec<String>;
    /// Option names of all connectors and formats.
    fn options(&self) -> Vec<String>;
}

/// What a background job has to say.
pub struct Report {
    /// Id of the job.
    pub job: String,
    pub news: News,
}

pub enum News {
    /// Something worth knowing: skipped records, a reconnect.
    Note(String),
    /// It came to its end; the text says with what ("12 rows written").
    Finished(String),
    Failed(Error),
}

impl Connection for Session {
    async fn execute(&mut self, statement: &ParsedStatement) -> Result<Outcome> {
        Session::execute(self, &statement.text).await
    }

    fn setting(&self, _name: &str) -> Option<String> {
        None
    }

    async fn next_report(&mut self) -> Option<Report> {
        None
    }
}

impl Names for Session {
    fn tables(&self) -> Vec<String> {
        Vec::new()
    }

    fn columns(&self, _table: &str) -> Vec<String> {
        Vec::new()
    }

    fn functions(&self) -> Vec<String> {
        Vec::new()
    }

    fn settings(&self) -> Vec<String> {
        Vec::new()
    }

    fn options(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
pub mod canned;
