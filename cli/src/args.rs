//! The command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::render::Format;
use crate::variables::Variables;

const EXAMPLES: &str = "\
Examples:
  tidemill                                    the shell
  tidemill -c \"SELECT 1 + 1\"                  one statement, or several
  tidemill run orders.sql -D DIR=/data -p 4   a script, with ${DIR} replaced
  tidemill --format json < query.sql          a script from standard input
  cat a.csv | tidemill -c \"CREATE TABLE a (k STRING, v INT) WITH ('connector' = 'stdin', 'format' = 'csv');
                           SELECT k, SUM(v) FROM a GROUP BY k\"

Results go to standard output, everything else to standard error.
Exit codes: 0 all statements succeeded, 1 one failed, 2 wrong usage, 130 stopped with Ctrl-C, 143 with SIGTERM.";

/// Streaming SQL in one binary.
///
/// Without arguments it is a shell; if standard input is no terminal, that is run as a script.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    /// Run these statements, then exit; may be repeated
    #[arg(short = 'c', long = "command", value_name = "SQL", allow_hyphen_values = true)]
    statements: Vec<String>,

    /// Set a variable for ${KEY} in statements; a KEY with a dot is a setting too
    #[arg(short = 'D', long = "define", value_name = "KEY=VALUE", global = true, value_parser = definition)]
    definitions: Vec<(String, String)>,

    /// How many shards a job runs as; the default is one per core
    #[arg(short, long, value_name = "N", global = true, value_parser = clap::value_parser!(u16).range(1..))]
    parallelism: Option<u16>,

    /// Keep the checkpoints of jobs here: a directory, or s3://, gs://, az://
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<String>,

    /// Go on from a checkpoint although the job has changed, without the state that nothing takes any more
    #[arg(long, global = true)]
    allow_non_restored_state: bool,

    /// How results are printed
    #[arg(long, value_name = "FORMAT", global = true, default_value = "table")]
    format: Format,

    #[command(subcommand)]
    subcommand: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Run a script; waits until its jobs have ended
    ///
    /// Jobs over endless tables keep checkpoints beside the script, in a directory that ends in .state, and go on from the newest one
    /// when the script is run again.
    Run {
        /// File of statements separated by `;`, or - for standard input
        script: PathBuf,

        /// Begin with this savepoint where a job has no checkpoints of its own
        #[arg(long, value_name = "DIR")]
        from_savepoint: Option<String>,

        /// Start no job, and say what would become of the state of each
        #[arg(long)]
        check: bool,
    },
    /// Copy the newest checkpoint of a job, be it running or not, to where it stays
    Savepoint {
        /// The directory of the job, as it was named when the job began
        job: String,
        /// A directory for the savepoint
        to: String,
    },
}

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    pub task: Task,
    pub format: Format,
    pub variables: Variables,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// The shell; a script if standard input is no terminal.
    Shell,
    /// Statements from the command line. Standard input is data.
    Statements(Vec<String>),
    Script(PathBuf),
    /// What would become of the state of its jobs.
    Check(PathBuf),
    Savepoint {
        job: String,
        to: String,
    },
    /// `run -`
    StandardInput,
}

impl Args {
    /// # Errors
    /// Arguments that contradict each other.
    pub fn command(self) -> Result<Command, clap::Error> {
        let mut savepoint = None;
        let task = match self.subcommand {
            Some(_) if !self.statements.is_empty() => {
                let why = "-c cannot be used with run or savepoint: they know what to do already";
                return Err(<Args as CommandFactory>::command().error(ErrorKind::ArgumentConflict, why));
            }
            Some(Sub::Savepoint { job, to }) => Task::Savepoint { job, to },
            Some(Sub::Run { script, check: true, .. }) if script.as_os_str() == "-" => {
                let why = "--check needs a file: beside it are the checkpoints";
                return Err(<Args as CommandFactory>::command().error(ErrorKind::ArgumentConflict, why));
            }
            Some(Sub::Run { script, from_savepoint, check }) => {
                savepoint = from_savepoint.map(|from| ("execution.state-recovery.path".to_string(), from));
                match check {
                    true => Task::Check(script),
                    false if script.as_os_str() == "-" => Task::StandardInput,
                    false => Task::Script(script),
                }
            }
            None if self.statements.is_empty() => Task::Shell,
            None => Task::Statements(self.statements),
        };
        let parallelism = self.parallelism.map(|shards| ("parallelism.default".to_string(), shards.to_string()));
        let state_dir = self.state_dir.map(|directory| ("execution.checkpointing.dir".to_string(), directory));
        let allow = ("execution.state-recovery.ignore-unclaimed-state".to_string(), "true".to_string());
        let allow = self.allow_non_restored_state.then_some(allow);
        let given = self.definitions.into_iter().chain(parallelism).chain(state_dir).chain(allow).chain(savepoint);
        let variables = Variables::new(given);
        Ok(Command { task, format: self.format, variables })
    }
}

fn definition(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.to_string())),
        _ => Err("write it as KEY=VALUE".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &[&str]) -> Result<Command, clap::Error> {
        Args::try_parse_from(std::iter::once(&"tidemill").chain(line))?.command()
    }

    fn variables(entries: &[(&str, &str)]) -> Variables {
        Variables::new(entries.iter().map(|(key, value)| (key.to_string(), value.to_string())))
    }

    #[test]
    fn options_stand_before_or_after_run() {
        let expected = Command {
            task: Task::Script("a.sql".into()),
            format: Format::Csv,
            variables: variables(&[("DIR", "/a=b"), ("parallelism.default", "4")]),
        };
        assert_eq!(command(&["-D", "DIR=/a=b", "--format", "csv", "run", "a.sql", "-p4"]).unwrap(), expected);
        assert_eq!(command(&["run", "-p", "4", "a.sql", "-DDIR=/a=b", "--format=csv"]).unwrap(), expected);
    }

    #[test]
    fn statements_may_repeat_and_begin_with_a_comment() {
        let task = command(&["-c", "SELECT 1", "-c", "-- two\nSELECT 2"]).unwrap().task;
        assert_eq!(task, Task::Statements(vec!["SELECT 1".into(), "-- two\nSELECT 2".into()]));
        assert_eq!(command(&[]).unwrap().task, Task::Shell);
        assert_eq!(command(&["run", "-"]).unwrap().task, Task::StandardInput);
    }

    #[test]
    fn options_about_checkpoints_are_settings() {
        let command =
            command(&["run", "a.sql", "--state-dir", "s", "--from-savepoint", "b", "--allow-non-restored-state"]);
        let expected = [
            ("execution.checkpointing.dir", "s"),
            ("execution.state-recovery.ignore-unclaimed-state", "true"),
            ("execution.state-recovery.path", "b"),
        ];
        assert_eq!(command.unwrap().variables, variables(&expected));
    }

    #[test]
    fn wrong_usage_exits_with_2_and_help_with_0() {
        let wrong: [&[&str]; 8] = [
            &["-D", "x"],
            &["-p", "0"],
            &["--format", "xml"],
            &["run"],
            &["-c", "SELECT 1", "run", "a.sql"],
            &["-c", "SELECT 1", "savepoint", "a", "b"],
            &["run", "-", "--check"],
            &["frob"],
        ];
        for line in wrong {
            assert_eq!(command(line).unwrap_err().exit_code(), 2, "{line:?}");
        }
        assert_eq!(command(&["--help"]).unwrap_err().exit_code(), 0);
        assert_eq!(command(&["--version"]).unwrap_err().exit_code(), 0);
    }
}
