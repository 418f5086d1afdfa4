//! Views over tables that end and such that do not, through a session.

use std::path::Path;

use tidemill_exec::text::{ColumnText, TextStyle};
use tidemill_planner::dialect;

use crate::session::{Event, Outcome, Session};

/// What a script gives last: rows of a query as they are in the end, sorted; of SHOW and DESCRIBE; or a text.
async fn ask(session: &mut Session, script: &str) -> Vec<String> {
    match try_to_ask(session, script).await {
        Ok(lines) => lines,
        Err(error) => panic!("{script}: {error}"),
    }
}

async fn try_to_ask(session: &mut Session, script: &str) -> Result<Vec<String>, String> {
    let mut last = Vec::new();
    for statement in dialect::statements(script, &|_| None) {
        let statement = statement.map_err(|error| error.to_string())?;
        let outcome = session.execute(&statement).await.map_err(|error| error.to_string())?;
        last = match outcome {
            Outcome::Rows(rows) => lines(&rows),
            Outcome::Text(text) => text.lines().map(str::to_string).collect(),
            Outcome::Query(mut query) => {
                let mut rows: Vec<String> = Vec::new();
                while let Some(event) = query.next().await.map_err(|error| error.to_string())? {
                    let Event::Changes(changes) = event else { continue };
                    for (row, line) in lines(&changes.rows).into_iter().enumerate() {
                        match changes.kind(row).is_positive() {
                            true => rows.push(line),
                            false => {
                                let place = rows.iter().position(|known| *known == line);
                                rows.swap_remove(place.expect("only what is there goes"));
                            }
                        }
                    }
                }
                rows.sort();
                rows
            }
            _ => Vec::new(),
        };
    }
    Ok(last)
}

fn lines(rows: &arrow::array::RecordBatch) -> Vec<String> {
    let columns: Vec<_> = rows.columns().iter().map(|column| ColumnText::new(column, TextStyle::Print)).collect();
    let line = |row| columns.iter().map(|column| column.text(row)).collect::<Vec<_>>().join(", ");
    (0..rows.num_rows()).map(line).collect()
}

/// What a statement fails with.
async fn refused(session: &mut Session, script: &str, parts: &[&str]) {
    let error = try_to_ask(session, script).await.map(|rows| panic!("{script} gives {rows:?}")).unwrap_err();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

fn session(settings: &[(&str, &str)]) -> Session {
    let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    Session::new([("parallelism.default".to_string(), "2".to_string())].into_iter().chain(settings))
        .expect("the settings exist")
}

const SALES: &str = r#"CREATE TABLE sales (item STRING, amount INT) WITH ('connector' = 'values', 'data' =
    '{"item": "tea", "amount": 1} {"item": "tea", "amount": 2} {"item": "salt", "amount": 5}');"#;

/// A table of the files in a directory, which may become more.
fn endless(directory: &Path) -> String {
    format!(
        "CREATE TABLE sales (item STRING, amount INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
         'source.monitor-interval' = '5 ms');",
        directory.display()
    )
}

/// A file that is there at once.
fn add(directory: &Path, name: &str, text: &str) {
    let hidden = directory.join(format!(".{name}"));
    std::fs::write(&hidden, text).expect("the file is written");
    std::fs::rename(hidden, directory.join(name)).expect("the file is renamed");
}

const TOTALS: &str =
    "CREATE MATERIALIZED VIEW totals (item, total) AS SELECT item, SUM(amount) FROM sales GROUP BY item;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_what_ends_has_one_answer() {
    let mut session = session(&[]);
    ask(&mut session, SALES).await;
    ask(&mut session, TOTALS).await;
    for _ in 0..2 {
        assert_eq!(ask(&mut session, "SELECT * FROM totals").await, ["salt, 5", "tea, 3"]);
    }
    assert_eq!(ask(&mut session, "SELECT total FROM totals WHERE item IN ('tea', 'tea', 'oil')").await, ["3"]);
    // A query reads one version of a view, wherever it names it.
    let twice =
        "SELECT a.item FROM totals a JOIN totals b ON a.item = b.item WHERE a.total = (SELECT MAX(total) FROM totals)";
    assert_eq!(ask(&mut session, twice).await, ["salt"]);
    // Views over views, and streams over them.
    let over = "CREATE MATERIALIZED VIEW most AS SELECT MAX(total) AS most, COUNT(*) AS n FROM totals;";
    ask(&mut session, over).await;
    assert_eq!(ask(&mut session, "SELECT * FROM most").await, ["5, 2"]);
    for mode in ["streaming", "batch"] {
        let script = format!("SET 'execution.runtime-mode' = '{mode}'; SELECT * FROM totals");
        assert_eq!(ask(&mut session, &script).await, ["salt, 5", "tea, 3"], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_what_goes_on_answers_when_it_has_read_what_was_there() {
    let place = tempfile::tempdir().expect("there is room for a directory");
    add(place.path(), "a.csv", "tea,1\ntea,2\n");
    let mut session = session(&[]);
    ask(&mut session, &endless(place.path())).await;
    ask(&mut session, TOTALS).await;
    let over = "CREATE MATERIALIZED VIEW sums AS SELECT SUM(total) AS total FROM totals";
    ask(&mut session, over).await;
    assert_eq!(ask(&mut session, "SELECT * FROM sums").await, ["3"], "it waits for the view that it reads");
    assert_eq!(ask(&mut session, "SELECT * FROM totals").await, ["tea, 3"]);
    add(place.path(), "b.csv", "salt,5\n");
    // From now on it answers at once, and some time with the new row.
    while ask(&mut session, "SELECT total FROM totals WHERE item = 'salt'").await != ["5"] {}
    while ask(&mut session, "SELECT * FROM sums").await != ["8"] {}
    let jobs = ask(&mut session, "SHOW JOBS").await;
    assert!(jobs[0].contains("materialized view totals, RUNNING"), "{jobs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_nothing_yet_a_view_is_empty() {
    let place = tempfile::tempdir().expect("there is room for a directory");
    let mut session = session(&[]);
    ask(&mut session, &endless(place.path())).await;
    ask(&mut session, TOTALS).await;
    assert!(ask(&mut session, "SELECT * FROM totals").await.is_empty());
    assert!(ask(&mut session, "SELECT * FROM totals WHERE item = 'tea'").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_is_neither_dropped_nor_stopped() {
    let place = tempfile::tempdir().expect("there is room for a directory");
    let mut session = session(&[]);
    ask(&mut session, &endless(place.path())).await;
    ask(&mut session, TOTALS).await;
    ask(&mut session, "CREATE VIEW big AS SELECT * FROM totals WHERE total > 100").await;
    let dropped = "DROP MATERIALIZED VIEW totals";
    refused(&mut session, dropped, &["cannot drop the materialized view totals", "it is read by view big"]).await;
    ask(&mut session, "DROP VIEW big; CREATE MATERIALIZED VIEW most AS SELECT MAX(total) AS most FROM totals").await;
    ask(&mut session, "CREATE TABLE o (item STRING, total INT) WITH ('connector' = 'blackhole')").await;
    ask(&mut session, "INSERT INTO o SELECT * FROM totals").await;
    refused(&mut session, dropped, &["job 2 (materialized view most), job 3 (insert into o)"]).await;
    refused(&mut session, "STOP JOB '1'", &["it keeps the materialized view totals", "read by job 2"]).await;
    refused(&mut session, "DROP DATABASE default_database CASCADE", &["its materialized views most, totals"]).await;
    // A view whose job does not run can be read no more, and still stands in the way.
    ask(&mut session, "STOP JOB '3'; STOP JOB '2'").await;
    refused(&mut session, "SELECT * FROM most", &["cannot read the materialized view most", "was stopped"]).await;
    refused(&mut session, dropped, &["it is read by materialized view most"]).await;
    ask(&mut session, "DROP MATERIALIZED VIEW most; DROP MATERIALIZED VIEW totals").await;
    refused(&mut session, "SELECT * FROM totals", &["unknown table totals"]).await;
    refused(&mut session, dropped, &["unknown table totals"]).await;
    ask(&mut session, "DROP MATERIALIZED VIEW IF EXISTS totals").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_stands_for_one_thing_of_one_kind() {
    let mut session = session(&[]);
    ask(&mut session, SALES).await;
    ask(&mut session, TOTALS).await;
    refused(&mut session, TOTALS, &["materialized view totals exists already"]).await;
    refused(&mut session, "CREATE OR REPLACE VIEW totals AS SELECT 1 AS a", &["totals is a materialized view"]).await;
    refused(&mut session, "DROP VIEW totals", &["write DROP MATERIALIZED VIEW"]).await;
    refused(&mut session, "DROP TABLE totals", &["write DROP MATERIALIZED VIEW"]).await;
    refused(&mut session, "DROP MATERIALIZED VIEW sales", &["sales is a table", "write DROP TABLE"]).await;
    refused(&mut session, "ALTER VIEW totals AS SELECT 1 AS a", &["CREATE OR REPLACE MATERIALIZED VIEW"]).await;
    refused(&mut session, "ALTER TABLE totals RENAME TO t", &["totals is a materialized view"]).await;
    refused(&mut session, "INSERT INTO totals VALUES ('a', 1)", &["cannot INSERT INTO the materialized view"]).await;
    refused(&mut session, "SHOW CREATE VIEW totals", &["write SHOW CREATE MATERIALIZED VIEW totals"]).await;
    let twice = "CREATE MATERIALIZED VIEW w (item, item) AS SELECT item, amount FROM sales";
    refused(&mut session, twice, &["two columns item"]).await;
    let options = "CREATE MATERIALIZED VIEW w WITH ('a' = 'b') AS SELECT item FROM sales";
    refused(&mut session, options, &["takes no option a"]).await;
    let flink = "CREATE MATERIALIZED TABLE w FRESHNESS = INTERVAL '1' MINUTE AS SELECT item FROM sales";
    refused(&mut session, flink, &["CREATE MATERIALIZED VIEW name AS query"]).await;
    let itself = "CREATE OR REPLACE MATERIALIZED VIEW totals AS SELECT item FROM totals";
    refused(&mut session, itself, &["cannot read itself"]).await;
    // One that cannot be begun takes no name.
    refused(&mut session, "CREATE MATERIALIZED VIEW w AS SELECT x FROM sales", &["x"]).await;
    ask(&mut session, "CREATE MATERIALIZED VIEW IF NOT EXISTS totals AS SELECT item FROM sales").await;
    assert_eq!(ask(&mut session, "SELECT * FROM totals").await, ["salt, 5", "tea, 3"]);
    ask(&mut session, "CREATE OR REPLACE MATERIALIZED VIEW totals AS SELECT COUNT(*) AS n FROM sales").await;
    assert_eq!(ask(&mut session, "SELECT * FROM totals").await, ["3"]);
    assert_eq!(ask(&mut session, "SHOW MATERIALIZED VIEWS").await, ["totals"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_whose_job_has_failed_says_why() {
    let mut session = session(&[]);
    let bad =
        r#"CREATE TABLE sales (item STRING, amount INT) WITH ('connector' = 'values', 'data' = '{"amount": "many"}')"#;
    ask(&mut session, bad).await;
    ask(&mut session, TOTALS).await;
    ask(&mut session, "CREATE MATERIALIZED VIEW most AS SELECT MAX(total) AS most FROM totals").await;
    let parts = ["cannot read the materialized view totals", "its job has failed", "many"];
    refused(&mut session, "SELECT * FROM totals", &parts).await;
    refused(&mut session, "SELECT * FROM most", &["cannot read the materialized view most", "many"]).await;
    refused(&mut session, "SET 'execution.runtime-mode' = 'streaming'; SELECT * FROM totals", &parts).await;
    // Mended, it can be created anew.
    let anew = [SALES.replace("CREATE", "CREATE OR REPLACE"), "DROP MATERIALIZED VIEW most;".to_string()].concat();
    ask(&mut session, &anew).await;
    ask(&mut session, &TOTALS.replace("CREATE", "CREATE OR REPLACE")).await;
    assert_eq!(ask(&mut session, "SELECT * FROM totals").await, ["salt, 5", "tea, 3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_view_goes_its_state() {
    let place = tempfile::tempdir().expect("there is room for a directory");
    let (files, state) = (place.path().join("files"), place.path().join("state"));
    std::fs::create_dir(&files).expect("the directory is made");
    add(&files, "a.csv", "tea,1\n");
    let directory = state.display().to_string();
    let mut session =
        session(&[("execution.checkpointing.dir", &directory), ("execution.checkpointing.interval", "10 ms")]);
    ask(&mut session, &endless(&files)).await;
    ask(&mut session, TOTALS).await;
    assert_eq!(ask(&mut session, "SELECT * FROM totals").await, ["tea, 1"]);
    assert!(state.join("materialized-view-totals").exists());
    ask(&mut session, "DROP MATERIALIZED VIEW totals").await;
    assert!(!state.join("materialized-view-totals").exists());
    // Another query by the same name begins anew.
    ask(&mut session, "CREATE MATERIALIZED VIEW totals AS SELECT COUNT(*) AS n FROM sales").await;
    assert_eq!(ask(&mut session, "SELECT * FROM totals").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_on_the_key_are_looked_up() {
    let mut session = session(&[]);
    ask(&mut session, SALES).await;
    ask(&mut session, TOTALS).await;
    let (of_key, of_none) = ("lookup=2 keys of (item)", "lookup=");
    for (condition, wanted, rows) in [
        ("item IN ('tea', 'salt')", Some(of_key), 2),
        ("item = 'tea' OR item = 'oil'", Some(of_key), 1),
        ("'salt' = item AND total > 5", Some("lookup=1 key of (item)"), 0),
        ("item > 'tea'", None, 0),
        ("item <> 'tea'", None, 1),
        ("item = NULL", None, 0),
        ("item NOT IN ('tea')", None, 1),
        ("item = 'tea' OR total = 5", None, 2),
        ("total = 5", None, 1),
    ] {
        let query = format!("SELECT total FROM totals WHERE {condition}");
        assert_eq!(ask(&mut session, &query).await.len(), rows, "{condition}");
        let plan = ask(&mut session, &format!("EXPLAIN {query}")).await.join("\n");
        assert_eq!(plan.contains(of_none), wanted.is_some(), "{plan}");
        assert!(wanted.is_none_or(|wanted| plan.contains(wanted)), "{plan}");
    }
    // A key of two columns: all combinations.
    ask(
        &mut session,
        "CREATE MATERIALIZED VIEW pairs AS SELECT item, amount, COUNT(*) AS n FROM sales GROUP BY item, amount",
    )
    .await;
    let query = "SELECT item, amount FROM pairs WHERE amount IN (1, 2, 5, 7) AND item IN ('tea', 'salt', 'oil')";
    assert_eq!(ask(&mut session, query).await, ["salt, 5", "tea, 1", "tea, 2"]);
    let plan = ask(&mut session, &format!("EXPLAIN {query}")).await.join("\n");
    assert!(plan.contains("lookup=12 keys of (item, amount)"), "{plan}");
    let half = ask(&mut session, "EXPLAIN SELECT n FROM pairs WHERE amount = 1").await.join("\n");
    assert!(!half.contains("lookup"), "{half}");
}
