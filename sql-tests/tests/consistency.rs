//! Whatever a sink sees is the answer over a prefix of the input. Money goes from account to account: credits and debits, each summed per
//! account, joined, and summed in total give nothing, in every row that comes out. (A stream processor without consistent epochs shows totals that
//! never were.)

use tidemill_sql_tests::script::{Gave, Run};

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
