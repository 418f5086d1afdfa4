//! Batch execution is the oracle: a query over a stream of random inserts and deletes ends in what batch answers over the rows that
//! remain.
//!
//! A seed makes a table. In batch mode it is read as it is. As a stream it comes over one to three splits, cut into random batches, with
//! rows that appear and go again in between, at parallelism 1, 2 and 4 and in both emit modes.
//!
//! Beside the queries written here, some are made at random; `TIDEMILL_ORACLE_QUERIES=5000 cargo test -p tidemill-sql-tests --test oracle` runs
//! more of them, `TIDEMILL_ORACLE_SEED` begins elsewhere, `TIDEMILL_ORACLE_QUERY` runs this one instead.

mod churn;
mod random;

use churn::{Churn, Table, Way};
use tidemill_exec::connect::Registry;
use tidemill_sql_tests::script::{Gave, Run, folded};

/// Recursive queries, over rows that only come.
const RECURSIVE: &[&str] = &[
    "WITH RECURSIVE r (k, v) AS (SELECT k, v FROM t UNION ALL SELECT k, v + 1 FROM r WHERE v < 12) SELECT * FROM r",
    "WITH RECURSIVE r (k, v) AS (SELECT k, v FROM t UNION SELECT k, v - 1 FROM r WHERE v > 0) SELECT k, v FROM r",
    "WITH RECURSIVE r (a, b) AS (SELECT g, v FROM t UNION SELECT r.a, t.v FROM r JOIN t ON r.b = t.g) SELECT * FROM r",
    "WITH RECURSIVE r (a) AS (SELECT v FROM t WHERE b UNION SELECT v FROM r JOIN t ON g = a WHERE v IN (SELECT g FROM t)) SELECT a FROM r",
    "WITH RECURSIVE r (a) AS (SELECT v FROM t WHERE b UNION SELECT CAST(c.g AS BIGINT) FROM r JOIN t ON r.a = t.v JOIN u c ON c.v = t.v) \
     SELECT a FROM r",
    "WITH RECURSIVE r (a, b) AS (SELECT g, v FROM t UNION SELECT r.a, t.v FROM r JOIN t ON r.b = t.g) \
     SELECT a, COUNT(*) AS n, MIN(b) AS m FROM r GROUP BY a",
    "WITH RECURSIVE r (k, n) AS (SELECT DISTINCT k, 0 FROM t UNION ALL SELECT CONCAT(r.k, t.k), n + 1 FROM r JOIN t ON r.n = t.v WHERE n < 2) \
     SELECT k, n FROM r",
    "WITH RECURSIVE r (d, n) AS (SELECT d, 1 FROM t UNION ALL SELECT d * 2, n + 1 FROM r WHERE d < 100 AND n < 9) \
     SELECT t.k, r.d FROM r JOIN t ON t.v = r.n",
];

/// `t (k STRING, g INT, v BIGINT, d DECIMAL(10, 2), f DOUBLE, b BOOLEAN, at_ TIMESTAMP(3), tags ARRAY<STRING>)`, all with nulls.
const QUERIES: &[&str] = &[
    "SELECT * FROM t",
    "SELECT k, v * 2 + 1 AS w FROM t WHERE v > 3",
    "SELECT UPPER(k) AS u, COALESCE(v, -1) AS c FROM t WHERE b",
    "SELECT k FROM t WHERE v IS NULL OR g = 2",
    "SELECT CASE WHEN v > 5 THEN 'big' ELSE k END AS c, d / 2 AS h FROM t",
    "SELECT COUNT(*) AS n FROM t",
    "SELECT COUNT(*) AS n, COUNT(v) AS c, SUM(v) AS s, AVG(v) AS a, MIN(v) AS mn, MAX(v) AS mx FROM t",
    "SELECT SUM(d) AS s, AVG(d) AS a, MIN(d) AS mn, MAX(d) AS mx FROM t",
    "SELECT SUM(f) AS s, MIN(f) AS mn, MAX(f) AS mx FROM t",
    "SELECT MIN(k) AS mn, MAX(k) AS mx, MIN(at_) AS first_, MAX(at_) AS last_ FROM t",
    "SELECT COUNT(DISTINCT k) AS k, COUNT(DISTINCT v) AS v, SUM(DISTINCT v) AS s FROM t",
    "SELECT k, COUNT(*) AS n FROM t GROUP BY k",
    "SELECT k, g, COUNT(*) AS n, SUM(v) AS s FROM t GROUP BY k, g",
    "SELECT g, SUM(d) AS s, AVG(d) AS a, MIN(f) AS mn, MAX(at_) AS mx FROM t GROUP BY g",
    "SELECT k, COUNT(DISTINCT g) AS n, COUNT(DISTINCT v) AS m FROM t GROUP BY k",
    "SELECT k, COUNT(*) FILTER (WHERE b) AS yes, SUM(v) FILTER (WHERE NOT b) AS no_ FROM t GROUP BY k",
    "SELECT g, COUNT(DISTINCT k) FILTER (WHERE v > 2) AS n FROM t GROUP BY g",
    "SELECT k, COUNT(*) AS n FROM t GROUP BY k HAVING COUNT(*) > 3",
    "SELECT k FROM t GROUP BY k HAVING SUM(v) > 10 OR MAX(g) IS NULL",
    "SELECT g + 1 AS h, MAX(k) AS m FROM t WHERE v < 8 GROUP BY g + 1",
    "SELECT b, AVG(v) AS a, AVG(f) AS f FROM t GROUP BY b",
    "SELECT v, MIN(k) AS mn, MAX(k) AS mx FROM t GROUP BY v",
    "SELECT n, COUNT(*) AS groups_ FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) GROUP BY n",
    "SELECT MAX(s) AS mx, MIN(s) AS mn, COUNT(*) AS n FROM (SELECT k, SUM(v) AS s FROM t GROUP BY k)",
    "SELECT g, SUM(n) AS s, MAX(m) AS m FROM (SELECT k, g, COUNT(*) AS n, MAX(v) AS m FROM t GROUP BY k, g) GROUP BY g",
    "SELECT c, COUNT(DISTINCT s) AS n FROM (SELECT k, COUNT(DISTINCT g) AS c, SUM(v) AS s FROM t GROUP BY k) GROUP BY c",
    "SELECT DISTINCT k FROM t",
    "SELECT DISTINCT k, g FROM t WHERE v > 1",
    "SELECT DISTINCT n FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k)",
    "SELECT COUNT(*) AS n FROM (SELECT DISTINCT g, b FROM t)",
    "SELECT k FROM t WHERE b UNION ALL SELECT k FROM t WHERE v > 4",
    "SELECT k, v FROM t WHERE b UNION SELECT k, v FROM t WHERE v > 4",
    "SELECT x, COUNT(*) AS n FROM (SELECT k AS x FROM t UNION ALL SELECT CAST(g AS STRING) FROM t) GROUP BY x",
    "SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) UNION ALL SELECT 'all', COUNT(*) FROM t",
    "SELECT k, g, SUM(v) AS s FROM t GROUP BY GROUPING SETS ((k, g), (k), ())",
    "SELECT k, b, COUNT(*) AS n, COUNT(DISTINCT v) AS d FROM t GROUP BY CUBE (k, b)",
    "SELECT g, GROUPING(g) AS gr, MAX(v) AS m FROM t GROUP BY ROLLUP (g)",
    "SELECT k, tag FROM t CROSS JOIN UNNEST(tags) AS u (tag)",
    "SELECT tag, COUNT(*) AS n, SUM(v) AS s FROM t CROSS JOIN UNNEST(tags) AS u (tag) GROUP BY tag",
    "SELECT k, tag, n FROM t LEFT JOIN UNNEST(tags) WITH ORDINALITY AS u (tag, n) ON TRUE",
    "SELECT k, MAX(CHAR_LENGTH(tag)) AS m FROM t CROSS JOIN UNNEST(tags) AS u (tag) GROUP BY k HAVING COUNT(*) > 1",
    "SELECT a.k, a.v, b.v AS w FROM t a JOIN t b ON a.k = b.k AND a.g = b.g",
    "SELECT a.k, a.v, b.d FROM t a LEFT JOIN t b ON a.v = b.g AND a.d < b.d",
    "SELECT a.k, b.k AS l, b.v FROM t a RIGHT JOIN (SELECT k, g, MAX(v) AS v FROM t GROUP BY k, g) b ON a.v = b.v",
    "SELECT a.k, a.n, b.g, b.s FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) a FULL JOIN (SELECT g, SUM(v) AS s FROM t GROUP BY g) b ON a.n = b.g",
    "SELECT a.k, b.k AS l FROM t a JOIN t b ON a.v < b.g",
    "SELECT a.v, b.f FROM t a FULL JOIN t b ON a.v = b.v AND a.f > b.f",
    "SELECT a.k, b.n FROM (SELECT DISTINCT k FROM t) a CROSS JOIN (SELECT COUNT(*) AS n FROM t) b",
    "SELECT a.k, COUNT(*) AS n, SUM(b.v) AS s FROM t a JOIN t b ON a.k IS NOT DISTINCT FROM b.k GROUP BY a.k",
    "SELECT a.g, b.v, c.k FROM t a JOIN t b ON a.g = b.v JOIN t c ON b.g = c.v",
    "SELECT a.v, b.v AS w, c.d FROM t a JOIN t b ON a.k = b.k AND a.g = b.g JOIN u c ON c.g = b.g AND a.k = c.k",
    "SELECT a.k, a.v, b.n, c.m FROM t a LEFT JOIN (SELECT v, COUNT(*) AS n FROM t GROUP BY v) b ON a.v = b.v \
     LEFT JOIN (SELECT g, COUNT(*) AS m FROM t GROUP BY g) c ON b.v = c.g",
    "SELECT x.k, x.n, y.s, z.m, w.v FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) x JOIN (SELECT k, SUM(v) AS s FROM t GROUP BY k) y ON x.k = y.k \
     JOIN (SELECT k, MAX(g) AS m FROM u GROUP BY k) z ON z.k = x.k JOIN t w ON w.k = y.k AND w.v > z.m - x.n",
    "SELECT a.k, COUNT(*) AS n FROM t a JOIN (SELECT DISTINCT k FROM t) b ON a.k IS NOT DISTINCT FROM b.k \
     JOIN (SELECT DISTINCT k FROM u) c ON b.k IS NOT DISTINCT FROM c.k GROUP BY a.k",
    "SELECT a.v, p.x, p.y FROM t a JOIN (SELECT b.v AS w, b.d AS x, c.d AS y FROM t b JOIN u c ON b.v = c.v AND b.d < c.d) p ON a.v = p.w AND a.d < p.y",
    "SELECT a.v, b.d, c.d AS e, e.n FROM t a LEFT JOIN t b ON a.v = b.v JOIN (SELECT DISTINCT v, d FROM u) c ON b.v = c.v \
     LEFT JOIN (SELECT v, COUNT(*) AS n FROM u WHERE b GROUP BY v) e ON e.v = b.v",
    "SELECT k, v FROM t WHERE v IN (SELECT g FROM t WHERE b)",
    "SELECT k, v FROM t WHERE v NOT IN (SELECT g FROM t WHERE g IS NOT NULL AND NOT b)",
    "SELECT k, v FROM t WHERE v NOT IN (SELECT g FROM t WHERE b)",
    "SELECT k, v FROM t x WHERE EXISTS (SELECT 1 FROM t y WHERE y.k = x.k AND y.v > x.v)",
    "SELECT k, v FROM t x WHERE NOT EXISTS (SELECT 1 FROM t y WHERE y.g = x.g AND y.v > x.v)",
    "SELECT k, v FROM t x WHERE b OR EXISTS (SELECT 1 FROM t y WHERE y.v = x.g)",
    "SELECT k, v, (SELECT MAX(v) FROM t) AS m FROM t WHERE v > (SELECT MIN(v) FROM t)",
    "SELECT k, (SELECT SUM(y.v) FROM t y WHERE y.g = x.v) AS s FROM t x",
    "SELECT k, g FROM t INTERSECT SELECT k, v FROM t",
    "SELECT k, g FROM t EXCEPT SELECT k, v FROM t WHERE b",
    "SELECT a.k, a.m FROM (SELECT k, MAX(v) AS m FROM t GROUP BY k) a JOIN (SELECT MAX(v) AS m FROM t) b ON a.m = b.m",
    "SELECT k, g FROM t INTERSECT ALL SELECT k, v FROM t",
    "SELECT k, g FROM t EXCEPT ALL SELECT k, v FROM t WHERE b",
    "SELECT k, COUNT(*) AS n FROM (SELECT k, b FROM t EXCEPT ALL SELECT DISTINCT k, b FROM t) GROUP BY k",
    "SELECT k, v, rn FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS rn FROM t) WHERE rn <= 2",
    "SELECT k, g, v FROM (SELECT k, g, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v, g DESC) AS rn FROM t) WHERE rn <= 3",
    "SELECT k, v, rn FROM (SELECT k, v, ROW_NUMBER() OVER (ORDER BY v, k DESC) AS rn FROM t) WHERE rn BETWEEN 2 AND 5",
    "SELECT k, v, d FROM (SELECT k, v, d, RANK() OVER (PARTITION BY k ORDER BY v) AS r FROM t) WHERE r <= 2",
    "SELECT k, v, f, r FROM (SELECT k, v, f, DENSE_RANK() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM t) WHERE r < 3",
    "SELECT g, MAX(v) AS m FROM (SELECT g, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v, g) AS rn FROM t) WHERE rn = 1 GROUP BY g",
    "SELECT k, s, rn FROM (SELECT k, s, ROW_NUMBER() OVER (ORDER BY s DESC, k) AS rn FROM (SELECT k, SUM(v) AS s FROM t GROUP BY k)) WHERE rn <= 2",
    "SELECT k, v FROM t ORDER BY v DESC, k LIMIT 4",
    "SELECT k, v, SUM(v) OVER (PARTITION BY k ORDER BY v) AS s, COUNT(*) OVER (PARTITION BY k ORDER BY v) AS n FROM t",
    "SELECT g, v, LAG(v) OVER w AS p, LEAD(v, 2, 0) OVER w AS q, ROW_NUMBER() OVER w AS rn FROM t WINDOW w AS (PARTITION BY g ORDER BY v)",
    "SELECT k, n, AVG(n) OVER (ORDER BY n DESC, k ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k)",
    "SELECT b, v, k, NTILE(3) OVER (PARTITION BY b ORDER BY v, k) AS n, CUME_DIST() OVER (PARTITION BY b ORDER BY v) AS c FROM t",
    "SELECT k, v, MAX(v) OVER (PARTITION BY k) AS m, COUNT(v) OVER () AS n FROM t",
    "SELECT g, v, FIRST_VALUE(v) OVER w AS x, LAST_VALUE(v) OVER w AS y FROM t \
     WINDOW w AS (PARTITION BY g ORDER BY v ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    "SELECT m, COUNT(*) AS n FROM (SELECT MIN(v) OVER (PARTITION BY k, g) AS m FROM t) GROUP BY m",
    "SELECT k, v, SUM(v) FILTER (WHERE b) OVER (PARTITION BY k ORDER BY v RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s FROM t",
    "SELECT k, v FROM t ORDER BY v, k LIMIT 3 OFFSET 2",
    "SELECT n, k FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) ORDER BY n DESC, k LIMIT 2",
    "SELECT a.k, a.v, b.n FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS rn FROM t) a JOIN (SELECT k, COUNT(*) AS n FROM t GROUP BY k) b ON a.k = b.k WHERE a.rn <= 1",
    "SELECT x.k, x.v, c.n FROM (SELECT *, PROCTIME() AS p FROM t) x JOIN codes FOR SYSTEM_TIME AS OF x.p AS c ON x.k = c.k",
    "SELECT x.k, x.v, c.n FROM (SELECT *, PROCTIME() AS p FROM t) x LEFT JOIN codes FOR SYSTEM_TIME AS OF x.p AS c ON x.k = c.k AND x.v < c.n",
    "SELECT c.n, COUNT(*) AS m, MAX(x.v) AS v FROM (SELECT *, PROCTIME() AS p FROM t) x LEFT JOIN codes FOR SYSTEM_TIME AS OF x.p AS c \
     ON x.g = c.n AND c.k = 'ann' GROUP BY c.n",
    "SELECT x.k, x.m, c.n FROM (SELECT k, COUNT(*) AS m, PROCTIME() AS p FROM t GROUP BY k) x \
     LEFT JOIN codes FOR SYSTEM_TIME AS OF x.p AS c ON c.k = x.k AND c.n > x.m",
];

/// What lookup joins look up.
const CREATE_CODES: &str = "CREATE VIEW codes AS SELECT * FROM \
     (VALUES ('ann', 1), ('ann', 2), ('bob', 3), ('', 4), (CAST(NULL AS STRING), 5), ('eve', 6)) AS c (k, n)";

const SEEDS: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_inserts_and_deletes_ends_in_batchs_answer() {
    agree(QUERIES, Way::Changes, &[&[("table.exec.emit", "epoch")], &[("table.exec.emit", "each-row")]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_rows_that_replace_each_other_ends_in_batchs_answer() {
    let (even, odd): (Vec<_>, Vec<_>) = QUERIES.iter().enumerate().partition(|(n, _)| n.is_multiple_of(2));
    let queries = |of: Vec<(usize, &&'static str)>| of.into_iter().map(|(_, query)| *query).collect::<Vec<&str>>();
    agree(&queries(even), Way::Upserts, &[&[("table.exec.emit", "epoch")]]).await;
    agree(&queries(odd), Way::Upserts, &[&[("table.exec.emit", "each-row")]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recursion_over_a_stream_ends_in_batchs_answer_whether_epochs_wait_for_it_or_not() {
    agree(
        RECURSIVE,
        Way::OnlyComes,
        &[&[], &[("table.exec.recursion.rounds", "1")], &[("table.exec.recursion.rounds", "0")]],
    )
    .await;
}

/// The rows that a materialized view keeps of a stream are those of batch: read once, and followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_materialized_view_of_a_stream_of_inserts_and_deletes_has_batchs_answer() {
    let mut wrong = Vec::new();
    for query in QUERIES {
        let kept = format!("CREATE MATERIALIZED VIEW kept AS {query}; SELECT * FROM kept");
        for (seed, parallelism, mode) in [(1, "1", "automatic"), (2, "3", "automatic"), (3, "4", "streaming")] {
            let table = Table::random(seed);
            let churn = |seed: Option<u64>| Churn { table: table.clone(), seed, way: Way::Changes };
            let expected = batch(query, churn(None)).await;
            let settings = [
                ("execution.runtime-mode", mode),
                ("execution.epoch.interval", "1 ms"),
                ("parallelism.default", parallelism),
            ];
            let found = answer(&kept, churn(Some(seed)), &settings).await;
            if found != expected {
                wrong.push(format!("parallelism {parallelism}, {mode}: {query}\n{}", difference(&found, &expected)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
}

/// Each query gives the same in batch and as a stream, with each of these settings.
async fn agree(queries: &[&str], rows: Way, ways: &[&[(&str, &str)]]) {
    let mut wrong = Vec::new();
    for seed in 1..=SEEDS {
        let table = Table::random(seed);
        for query in queries {
            let expected = batch(query, Churn { table: table.clone(), seed: None, way: rows }).await;
            for (parallelism, way) in ["1", "2", "4"].into_iter().flat_map(|p| ways.iter().map(move |way| (p, *way))) {
                let settings = [
                    ("execution.runtime-mode", "streaming"),
                    ("execution.epoch.interval", "1 ms"),
                    ("parallelism.default", parallelism),
                ];
                let stream = Churn { table: table.clone(), seed: Some(seed), way: rows };
                let found = answer(query, stream, &[&settings, way].concat()).await;
                if found != expected {
                    wrong.push(format!(
                        "seed {seed}, parallelism {parallelism}, {way:?}: {query}\n{}",
                        difference(&found, &expected)
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
}

/// Results with more rows than these tell no more than small ones.
const MOST_ROWS: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_end_in_batchs_answer() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, count) =
        (number("TIDEMILL_ORACLE_SEED").unwrap_or(1), number("TIDEMILL_ORACLE_QUERIES").unwrap_or(150));
    let (mut wrong, mut runs) = (Vec::new(), 0);
    for seed in first..first + count {
        let query = std::env::var("TIDEMILL_ORACLE_QUERY").unwrap_or_else(|_| random::query(seed));
        let table = Table::random(seed);
        let churn = |seed: Option<u64>| Churn { table: table.clone(), seed, way: Way::Changes };
        let expected = batch(&query, churn(None)).await;
        if expected.len() > MOST_ROWS {
            continue;
        }
        let parallelism = ["1", "2", "4"][(seed % 3) as usize];
        let kept = format!("CREATE MATERIALIZED VIEW kept AS {query}; SELECT * FROM kept");
        for (query, emit, mode) in
            [(&query, "epoch", "streaming"), (&query, "each-row", "streaming"), (&kept, "epoch", "automatic")]
        {
            let settings = [
                ("execution.runtime-mode", mode),
                ("execution.epoch.interval", "1 ms"),
                ("parallelism.default", parallelism),
                ("table.exec.emit", emit),
            ];
            let found = answer(query, churn(Some(seed)), &settings).await;
            runs += 1;
            if found != expected {
                wrong.push(format!(
                    "seed {seed}, parallelism {parallelism}, {emit}: {query}\n{}",
                    difference(&found, &expected)
                ));
            }
        }
    }
    println!("{runs} runs");
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
}

/// The rows that batch answers, sorted. It answers every query that there is.
async fn batch(query: &str, table: Churn) -> Vec<String> {
    let answer = answer(query, table, &[("execution.runtime-mode", "batch")]).await;
    assert!(!answer.first().is_some_and(|line| line.starts_with(FAILED)), "{query}\n{}", answer[0]);
    answer
}

/// How the answer of a query begins that has none.
const FAILED: &str = "it failed: ";

/// The rows a query ends in, sorted; or what went wrong.
async fn answer(query: &str, table: Churn, settings: &[(&str, &str)]) -> Vec<String> {
    let mut registry = Registry::default();
    let create_tables = table.create_tables();
    registry.add_connector(std::sync::Arc::new(table));
    let settings = settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let run = Run { settings, ..Run::default() };
    let script = format!("{create_tables}; {CREATE_CODES}; {query}");
    let transcript = run.script_with(&script, registry).await.expect("the settings exist");
    match transcript.statements.into_iter().next_back().map(|ran| ran.gave) {
        Some(Gave::Changes(changes)) => {
            folded(changes.into_iter().map(|change| (change.kind.is_positive(), change.client)))
        }
        Some(Gave::Failed(error)) => vec![format!("{FAILED}{error}")],
        _ => vec!["no query".to_string()],
    }
}

fn difference(found: &[String], expected: &[String]) -> String {
    let lines = |mark: &str, these: &[String], others: &[String]| -> String {
        let only = these.iter().filter(|line| !others.contains(line));
        only.take(8).map(|line| format!("  {mark} {line}\n")).collect()
    };
    let counts = format!("  {} rows instead of {}\n", found.len(), expected.len());
    counts + &lines("stream", found, expected) + &lines("batch ", expected, found)
}
