//! Runs `slt/*.slt`: every file in batch mode, and as a stream at parallelism 1, 2 and 4. All must give the same rows.
//!
//! `{data}` stands for `sql-tests/data`, `{out}` for an empty directory. Rows are in the SQL client's text, with `NULL` and `(empty)`.
//! `skipif batch`, `onlyif streaming` and so on where the modes differ on purpose. `BLESS=1` writes what batch mode gives into the
//! files: read it before you commit it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arrow::datatypes::{DataType, SchemaRef};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner, default_column_validator, default_normalizer};
use sqllogictest::{default_validator, parse_file};
use tempfile::TempDir;
use tidemill::{Event, Outcome, Session};
use tidemill_exec::Error;
use tidemill_planner::dialect;
use tidemill_sql_tests::script::{Change, folded, push_changes};

const WAYS: [(&str, &str); 4] = [("batch", "2"), ("streaming", "1"), ("streaming", "2"), ("streaming", "4")];

fn main() -> ExitCode {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut files: Vec<PathBuf> = std::fs::read_dir(home.join("slt"))
        .expect("slt/ can be read")
        .map(|entry| entry.expect("slt/ can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .filter(|path| wanted.is_empty() || wanted.iter().any(|part| path.to_string_lossy().contains(part)))
        .collect();
    files.sort();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let mut failures = 0;
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if std::env::var_os("BLESS").is_some() {
            let (validator, columns) = (default_validator, default_column_validator);
            let blessed = runtime.block_on(runner("batch", "2").update_test_file(
                file,
                " ",
                validator,
                default_normalizer,
                columns,
            ));
            blessed.unwrap_or_else(|error| panic!("{name} cannot be blessed: {error}"));
        }
        for (mode, parallelism) in WAYS {
            let mut runner = runner(mode, parallelism);
            let records = match parse_file::<DefaultColumnType>(file) {
                Ok(records) => records,
                Err(error) => {
                    println!("{name}: {error}");
                    return ExitCode::FAILURE;
                }
            };
            let mut failed = 0;
            for record in records {
                if let Err(error) = runtime.block_on(runner.run_async(record)) {
                    println!("{name} {mode} {parallelism}: {}\n", error.display(false));
                    failed += 1;
                }
            }
            println!("{name} {mode} {parallelism}: {}", if failed == 0 { "pass" } else { "FAIL" });
            failures += failed;
        }
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Connections = std::future::Ready<Result<Database, Error>>;

fn runner(mode: &'static str, parallelism: &'static str) -> Runner<Database, impl FnMut() -> Connections> {
    let mut runner = Runner::new(move || std::future::ready(Database::new(mode, parallelism)));
    runner.add_label(mode);
    runner
}

struct Database {
    session: Session,
    out: TempDir,
}

impl Database {
    fn new(mode: &str, parallelism: &str) -> Result<Database, Error> {
        let settings = [
            ("execution.runtime-mode", mode),
            ("parallelism.default", parallelism),
            ("table.dml-sync", "true"),
            ("table.local-time-zone", "UTC"),
        ];
        let session = Session::new(settings.map(|(key, value)| (key.to_string(), value.to_string())))?;
        Ok(Database { session, out: tempfile::tempdir()? })
    }

    async fn output(&mut self, outcome: Outcome) -> Result<DBOutput<DefaultColumnType>, Error> {
        let mut changes: Vec<Change> = Vec::new();
        let types = match outcome {
            Outcome::Done(_) | Outcome::Job { .. } | Outcome::Quit => return Ok(DBOutput::StatementComplete(0)),
            Outcome::Text(text) => {
                let rows = text.lines().map(|line| vec![line.to_string()]).collect();
                return Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text], rows });
            }
            Outcome::Rows(rows) => {
                push_changes(&tidemill_exec::ChangeBatch::inserts(rows.clone()), "UTC", &mut changes);
                types(&rows.schema())
            }
            Outcome::Query(mut query) => {
                while let Some(event) = query.next().await? {
                    if let Event::Changes(batch) = event {
                        push_changes(&batch, self.session.settings().time_zone(), &mut changes);
                    }
                }
                types(&query.schema)
            }
        };
        // What was appended keeps its order.
        let rows = match changes.iter().all(|change| change.kind.is_positive()) {
            true => changes.into_iter().map(|change| change.client).collect(),
            false => folded(changes.into_iter().map(|change| (change.kind.is_positive(), change.client))),
        };
        let rows = rows.iter().map(|row| row.split('\t').map(cell).collect()).collect();
        Ok(DBOutput::Rows { types, rows })
    }
}

#[async_trait::async_trait]
impl AsyncDB for Database {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let sql = sql.replace("{data}", &data.to_string_lossy()).replace("{out}", &self.out.path().to_string_lossy());
        let mut output = DBOutput::StatementComplete(0);
        for statement in dialect::parse(&sql, &|_| None)? {
            let outcome = self.session.execute(&statement).await?;
            output = self.output(outcome).await?;
        }
        Ok(output)
    }

    async fn shutdown(&mut self) {}
}

fn cell(text: &str) -> String {
    match text {
        "" => "(empty)".to_string(),
        "<NULL>" => "NULL".to_string(),
        text => text.to_string(),
    }
}

fn types(schema: &SchemaRef) -> Vec<DefaultColumnType> {
    let letter = |data_type: &DataType| match data_type {
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _) => DefaultColumnType::FloatingPoint,
        data_type if data_type.is_integer() => DefaultColumnType::Integer,
        _ => DefaultColumnType::Text,
    };
    schema.fields().iter().map(|field| letter(field.data_type())).collect()
}
