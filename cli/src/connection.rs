//! What the command line and the shell ask of a session.
//!
//! A trait, so that both can be tried against canned answers.

use tidemill_exec::{Error, Result};
use tidemill_planner::dialect::ParsedStatement;
use tidemill_planner::settings::SETTINGS;

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

    /// Whether there are jobs to be stopped in good order, before the program ends.
    fn has_durable_jobs(&self) -> bool {
        false
    }

    /// Ends such jobs behind a last checkpoint; waits for that.
    fn stop_jobs(&mut self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
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
    /// It was told to end, and can go on from where it did.
    Stopped(String),
    Failed(Error),
}

impl Connection for Session {
    async fn execute(&mut self, statement: &ParsedStatement) -> Result<Outcome> {
        Session::execute(self, statement).await
    }

    fn setting(&self, name: &str) -> Option<String> {
        self.settings().all().get(name).map(|value| value.to_string())
    }

    async fn next_report(&mut self) -> Option<Report> {
        Session::next_report(self).await
    }

    fn has_durable_jobs(&self) -> bool {
        Session::has_durable_jobs(self)
    }

    async fn stop_jobs(&mut self) {
        Session::stop_jobs(self).await;
    }
}

impl Names for Session {
    fn tables(&self) -> Vec<String> {
        self.catalog().entries().map(|entry| entry.name().to_string()).collect()
    }

    fn columns(&self, table: &str) -> Vec<String> {
        let entry = self.catalog().get(&[table.to_string()]);
        entry.map_or_else(
            |_| Vec::new(),
            |entry| entry.schema().fields().iter().map(|field| field.name().clone()).collect(),
        )
    }

    fn functions(&self) -> Vec<String> {
        Session::functions(self)
    }

    fn settings(&self) -> Vec<String> {
        SETTINGS.iter().map(|setting| setting.name.to_string()).collect()
    }

    fn options(&self) -> Vec<String> {
        let connectors = self.registry().connectors().flat_map(|connector| connector.options());
        let formats = self.registry().formats().flat_map(|format| format.options());
        let own = ["connector".to_string()].into_iter();
        own.chain(connectors.chain(formats).map(|option| option.name.to_string())).collect()
    }
}

#[cfg(test)]
pub mod canned;
