//! The queries of `sql-tests/nexmark`: a stream at parallelism 1, 2 and 4 ends in the rows that batch mode answers, and what those are
//! does not change from version to version.
//!
//! `TIDEMILL_NEXMARK_EVENTS=1000000 cargo test -p tidemill-sql-tests --test nexmark` takes more events than the usual 100 000. `UPDATE_EXPECT=1` blesses
//! the number of rows and their hash in this file.

use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use tidemill_planner::dialect;
use tidemill_sql_tests::script::{Gave, Run, Transcript, folded};
use twox_hash::XxHash3_64;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("nexmark")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).expect("the example can be read")
}

/// Events that the tables have, if not as many as usual.
fn events() -> Option<String> {
    std::env::var("TIDEMILL_NEXMARK_EVENTS").ok()
}

fn tables() -> String {
    let usual = "${EVENTS_NUM:-100000}";
    let tables = read("ddl.sql");
    assert!(tables.contains(usual));
    tables.replace(usual, events().as_deref().unwrap_or("100000"))
}

async fn run(script: &str, mode: &str, parallelism: &str) -> Transcript {
    let settings = [("execution.runtime-mode", mode), ("parallelism.default", parallelism), ("table.dml-sync", "true")];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    Run { settings, ..Run::default() }.script(script).await.expect("the settings exist")
}

/// The query of an example.
fn query_of(name: &str) -> String {
    let script = read(name);
    let (_, query) = script.split_once("\nSELECT").expect("the INSERT has its query on the next line");
    format!("SELECT {query}")
}

/// The rows that a query ends in, sorted.
async fn answer(name: &str, query: &str, mode: &str, parallelism: &str) -> Vec<String> {
    let ran = run(&format!("{}{query}", tables()), mode, parallelism).await;
    match ran.statements.into_iter().next_back().map(|ran| ran.gave) {
        Some(Gave::Changes(changes)) => {
            folded(changes.into_iter().map(|change| (change.kind.is_positive(), change.client)))
        }
        Some(Gave::Failed(error)) => panic!("{name} in {mode} mode: {error}"),
        _ => panic!("{name} has no query"),
    }
}

/// Stream and batch agree on a query's rows.
async fn check_query(name: &str, query: &str, blessed: Expect) {
    let expected = answer(name, query, "batch", "2").await;
    for parallelism in ["1", "2", "4"] {
        let found = answer(name, query, "streaming", parallelism).await;
        assert!(found == expected, "{name} at parallelism {parallelism}: {} rows, {}", found.len(), expected.len());
    }
    let hash = expected.iter().fold(0u64, |sum, row| sum.wrapping_add(XxHash3_64::oneshot(row.as_bytes())));
    let found = format!("{} rows, hash {hash:016x}", expected.len());
    match events() {
        None => blessed.assert_eq(&found),
        Some(events) => println!("{name} over {events} events: {found}"),
    }
}

async fn check(name: &str, blessed: Expect) {
    check_query(name, &query_of(name), blessed).await;

    // The whole script, into its sink.
    for mode in ["batch", "streaming"] {
        let out = tempfile::tempdir().expect("a temporary directory");
        let script = read(name).replace("${NEXMARK_DIR:-/tmp/nexmark}", &out.path().to_string_lossy());
        for ran in run(&format!("{}{script}", tables()), mode, "2").await.statements {
            if let Gave::Failed(error) = ran.gave {
                panic!("{name} in {mode} mode: {error}");
            }
        }
    }
}

#[test]
fn every_example_can_be_parsed() {
    let mut names: Vec<PathBuf> = std::fs::read_dir(directory())
        .expect("the examples can be listed")
        .map(|entry| entry.expect("the examples can be listed").path())
        .collect();
    names.sort();
    assert!(names.len() > 10);
    for name in names {
        let script = std::fs::read_to_string(&name).expect("the example can be read");
        for statement in dialect::statements(&script, &|_| None) {
            statement.unwrap_or_else(|error| panic!("{}: {error}", name.display()));
        }
    }
}

#[tokio::test]
async fn q0_passes_bids_on() {
    check("q0.sql", expect!["92000 rows, hash 42f524bdf5699efb"]).await;
}

#[tokio::test]
async fn q1_converts_prices() {
    check("q1.sql", expect!["92000 rows, hash 3951be6868103cdb"]).await;
}

#[tokio::test]
async fn q2_selects_auctions() {
    check("q2.sql", expect!["391 rows, hash 5233e5a36544dd7e"]).await;
}

#[tokio::test]
async fn q3_finds_sellers() {
    check("q3.sql", expect!["382 rows, hash 98531f7f181dd9f6"]).await;
}

#[tokio::test]
async fn q4_averages_closing_prices() {
    check("q4.sql", expect!["5 rows, hash 67b3b82d849c3e2b"]).await;
}

#[tokio::test]
async fn q5_finds_hot_items() {
    check("q5.sql", expect!["9 rows, hash 64569e5556322436"]).await;
}

#[tokio::test]
async fn q6_averages_the_last_closing_prices_of_each_seller() {
    // Auctions of a seller may close at the same time: then batch takes any first.
    let query = query_of("q6.sql").replace("ORDER BY closed.`dateTime`", "ORDER BY closed.`dateTime`, closed.id");
    check_query("q6", &query, expect!["5573 rows, hash 842e5c8fa1e42123"]).await;
}

#[tokio::test]
async fn q7_finds_the_highest_bids() {
    check("q7.sql", expect!["1 rows, hash f4d35aa61c69408e"]).await;
}

#[tokio::test]
async fn q8_finds_new_sellers() {
    check("q8.sql", expect!["952 rows, hash 25eeb5270c475fca"]).await;
}

#[tokio::test]
async fn q9_finds_winning_bids() {
    check("q9.sql", expect!["5573 rows, hash 6974cecf830144bb"]).await;
}

#[tokio::test]
async fn q11_counts_bids_in_sessions() {
    check("q11.sql", expect!["1929 rows, hash d2fa72033a585ac4"]).await;
}

/// Processing time is another in each run: every bid is in some window, and the end of input closes the last.
#[tokio::test]
async fn q12_counts_every_bid_in_processing_time() {
    let script = read("q12.sql");
    let view = script.split(";\n").find(|part| part.contains("CREATE VIEW")).expect("q12 has a view");
    let query = query_of("q12.sql");
    let query =
        format!("{view}; SELECT SUM(bid_count) AS bids FROM ({}) AS counts", query.trim_end().trim_end_matches(';'));
    // Of 50 events, 46 are bids.
    let bids = events().map_or(92_000, |events| events.parse::<u64>().expect("a number") * 46 / 50);
    assert_eq!(answer("q12", &query, "streaming", "2").await, [bids.to_string()]);
}

#[tokio::test]
async fn q10_writes_files() {
    check("q10.sql", expect!["92000 rows, hash d97b3cbe11dbe87e"]).await;
}

#[tokio::test]
async fn q13_looks_bids_up_in_a_file() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let side: String = (0..10_000).map(|key| format!("{key},{key}\n")).collect();
    std::fs::write(home.path().join("side_input.csv"), side).expect("the file can be written");
    let script = read("q13.sql").replace("${NEXMARK_DIR:-/tmp/nexmark}", &home.path().to_string_lossy());
    let (table, _) = script.split_once("CREATE TABLE nexmark_q13").expect("q13 writes into its table");
    let (_, query) = script.split_once("INSERT INTO nexmark_q13").expect("q13 writes into its table");
    check_query("q13", &format!("{table}{query}"), expect!["92000 rows, hash 59fb7475430843ae"]).await;
    for mode in ["batch", "streaming"] {
        for ran in run(&format!("{}{script}", tables()), mode, "2").await.statements {
            if let Gave::Failed(error) = ran.gave {
                panic!("q13 in {mode} mode: {error}");
            }
        }
    }
}

#[tokio::test]
async fn q14_calculates() {
    check("q14.sql", expect!["25883 rows, hash 4fd4906ca1613d34"]).await;
}

#[tokio::test]
async fn q15_counts_per_day() {
    check("q15.sql", expect!["1 rows, hash 9a6a8a9c8f05810c"]).await;
}

#[tokio::test]
async fn q16_counts_per_channel() {
    check("q16.sql", expect!["9895 rows, hash 1a3f6d5cdf56c0f0"]).await;
}

#[tokio::test]
async fn q17_counts_per_auction() {
    check("q17.sql", expect!["5988 rows, hash bec98f9105dbdc0f"]).await;
}

#[tokio::test]
async fn q21_finds_the_channels_number() {
    check("q21.sql", expect!["86968 rows, hash a3cce341b08d9905"]).await;
}

#[tokio::test]
async fn q22_splits_urls() {
    check("q22.sql", expect!["92000 rows, hash 398d279b4019e47d"]).await;
}

#[tokio::test]
async fn q18_finds_last_bids() {
    // Of bids at the same time, the last to come is the last here, and any in batch.
    let query = query_of("q18.sql").replace("`dateTime` DESC", "`dateTime` DESC, price, extra");
    check_query("q18", &query, expect!["28673 rows, hash 67f1d816efb8555b"]).await;
}

#[tokio::test]
async fn q19_finds_the_ten_highest_bids() {
    // Of equal bids, the first to come is the higher here, and any in batch.
    let query = query_of("q19.sql").replace("price DESC", "price DESC, `dateTime`, bidder, extra");
    check_query("q19", &query, expect!["43965 rows, hash 3ad1fb2e4e65e1e9"]).await;
}

#[tokio::test]
async fn q20_joins_bids_with_their_auctions() {
    check("q20.sql", expect!["13763 rows, hash 8c5cff0f02540970"]).await;
}

#[tokio::test]
async fn q23_joins_three_ways() {
    check("q23.sql", expect!["164253 rows, hash 4588001034591227"]).await;
}
