//! Whatever a sink sees is the answer over a prefix of the input. Money goes from account to account: credits and debits, each summed per
//! account, joined, and summed in total give nothing, in every row that comes out. (A stream processor without consistent epochs shows totals that
//! never were.)

use tidemill::{Event, Outcome, Query, Session};
use tidemill_planner::dialect;
use tidemill_sql_tests::script::{Change, Gave, Run, push_changes};

const TRANSFERS: &str = "
    CREATE TABLE transfers (id BIGINT, payer INT, payee INT, amount INT) WITH (
      'connector' = 'datagen', 'number-of-rows' = '{rows}', 'rows-per-second' = '100000', 'seed' = '3', 'scan.parallelism' = '4',
      'fields.payer.min' = '0', 'fields.payer.max' = '300', 'fields.payee.min' = '0', 'fields.payee.max' = '300',
      'fields.amount.min' = '1', 'fields.amount.max' = '1000'
    );
    CREATE VIEW credits AS SELECT payee AS account, SUM(amount) AS total FROM transfers GROUP BY payee;
    CREATE VIEW debits AS SELECT payer AS account, SUM(amount) AS total FROM transfers GROUP BY payer;
    CREATE VIEW balances AS
      SELECT COALESCE(c.account, d.account) AS account, COALESCE(c.total, 0) - COALESCE(d.total, 0) AS balance
      FROM credits c FULL JOIN debits d ON c.account = d.account;";

async fn changes(query: &str, rows: u32, parallelism: &str, emit: &str) -> Vec<(bool, String)> {
    let settings = [
        ("execution.runtime-mode", "streaming"),
        ("execution.epoch.interval", "1 ms"),
        ("parallelism.default", parallelism),
        ("table.exec.emit", emit),
    ];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    let run = Run { settings, ..Run::default() };
    let transcript = run
        .script(&format!("{} {query}", TRANSFERS.replace("{rows}", &rows.to_string())))
        .await
        .expect("the settings exist");
    match transcript.statements.into_iter().next_back().map(|ran| ran.gave) {
        Some(Gave::Changes(changes)) => {
            changes.into_iter().map(|change| (change.kind.is_positive(), change.client)).collect()
        }
        other => panic!("the query gives changes, not {:?}", other.is_some()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_money_is_ever_made_or_lost() {
    for parallelism in ["1", "4"] {
        let balances =
            changes("SELECT COUNT(*), SUM(balance * balance) FROM balances", 20_000, parallelism, "epoch").await;
        assert!(balances.len() > 1, "there are several epochs, and balances change in each: {balances:?}");
        let total = "SELECT SUM(balance) AS total FROM balances";
        let totals = changes(total, 20_000, parallelism, "epoch").await;
        assert_eq!(totals, [(true, "0".to_string())], "with {parallelism} shards");
        // A change at a time, as Flink does it, has totals that never were.
        let totals = changes(total, 500, parallelism, "each-row").await;
        assert!(totals.len() > 1 && totals.last() == Some(&(true, "0".to_string())), "{:?}", totals.last());
    }
}

/// Of inputs that are joined at once too: an account's credits, computed twice, are the same in every row that comes out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_of_one_join_have_come_equally_far() {
    let difference = "SELECT SUM(a.total - b.total) AS difference FROM credits a JOIN debits d ON a.account = d.account \
         JOIN (SELECT payee AS account, SUM(CAST(amount AS BIGINT)) AS total FROM transfers GROUP BY payee) b \
         ON b.account = d.account";
    for parallelism in ["1", "4"] {
        let differences = changes(difference, 20_000, parallelism, "epoch").await;
        assert_eq!(differences, [(true, "0".to_string())], "with {parallelism} shards");
        let differences = changes(difference, 5_000, parallelism, "each-row").await;
        assert!(differences.len() > 1 && differences.last() == Some(&(true, "0".to_string())), "{differences:?}");
    }
}

async fn execute(session: &mut Session, statement: &str) -> Outcome {
    let parsed = dialect::statements(statement, &|_| None).next().expect("it is a statement").expect("it parses");
    session.execute(&parsed).await.unwrap_or_else(|error| panic!("{statement}: {error}"))
}

async fn changes_of(query: &mut Query) -> Option<Vec<Change>> {
    loop {
        match query.next().await.expect("the query runs") {
            None => return None,
            Some(Event::Changes(batch)) => {
                let mut changes = Vec::new();
                push_changes(&batch, "UTC", &mut changes);
                return Some(changes);
            }
            Some(_) => {}
        }
    }
}

/// A view that goes on shows whole epochs: whoever reads it once, by key, as a stream, or through another view.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_money_is_ever_made_or_lost_in_a_materialized_view() {
    let settings = [("execution.epoch.interval", "1 ms"), ("parallelism.default", "4")];
    let mut session =
        Session::new(settings.map(|(key, value)| (key.to_string(), value.to_string()))).expect("the settings exist");
    let endless = TRANSFERS.replace("'number-of-rows' = '{rows}', ", "").replace("'100000'", "'20000'");
    for statement in endless.split_inclusive(';').filter(|text| text.contains("CREATE")) {
        execute(&mut session, statement).await;
    }
    execute(&mut session, "CREATE MATERIALIZED VIEW kept AS SELECT * FROM balances").await;
    let over = "CREATE MATERIALIZED VIEW halves AS SELECT MOD(account, 2) AS half, SUM(balance) AS total FROM kept GROUP BY MOD(account, 2)";
    execute(&mut session, over).await;
    let mut squares = std::collections::BTreeSet::new();
    while squares.len() < 20 {
        for (name, column) in [("kept", "balance"), ("halves", "total")] {
            let query = format!("SELECT COALESCE(SUM({column}), 0) AS s, SUM({column} * {column}) AS q FROM {name}");
            let Outcome::Query(mut query) = execute(&mut session, &query).await else { panic!("it is a query") };
            while let Some(changes) = changes_of(&mut query).await {
                for change in changes {
                    let (sum, square) = change.client.split_once('\t').expect("two columns");
                    assert_eq!(sum, "0", "of {name}");
                    squares.insert(square.to_string());
                }
            }
        }
    }
    execute(&mut session, "SET 'execution.runtime-mode' = 'streaming'").await;
    let followed = "SELECT COUNT(*) AS n, SUM(balance) AS s, SUM(balance * balance) AS q FROM kept";
    let Outcome::Query(mut query) = execute(&mut session, followed).await else { panic!("it is a query") };
    let mut seen = 0;
    while seen < 40 {
        for change in changes_of(&mut query).await.expect("the view goes on") {
            assert_eq!(change.client.split('\t').nth(1), Some("0"), "{change:?}");
            seen += 1;
        }
    }
}
