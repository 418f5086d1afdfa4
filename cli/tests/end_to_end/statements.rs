//! Statements a newcomer tries in the first hour.

use crate::process::run;

const SEQUENCE: &str = "CREATE TABLE s (n INT) WITH ('connector' = 'datagen', 'fields.n.kind' = 'sequence', \
    'fields.n.start' = '1', 'fields.n.end' = '2000000000');";

const ITEMS: &str =
    "CREATE VIEW items AS SELECT * FROM (VALUES (1, 'a', 10), (2, 'b', 20), (3, 'a', 30)) AS t(id, k, v);";

#[test]
fn a_limit_ends_an_endless_query() {
    assert_eq!(run(&format!("{SEQUENCE} SELECT n FROM s LIMIT 3")).succeeded(), "n\n1\n2\n3\n");
}

#[test]
fn a_rate_slows_a_generator_down_but_it_ends() {
    let sql = "CREATE TABLE g (n INT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000', 'number-of-rows' = '5', \
               'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '9'); SELECT n FROM g";
    assert_eq!(run(sql).succeeded(), "n\n1\n2\n3\n4\n5\n");
}

#[test]
fn a_statement_set_is_one_job_with_several_sinks() {
    let sql = format!(
        "{ITEMS} CREATE TABLE p (id INT) WITH ('connector' = 'print', 'print-identifier' = 'p'); \
         CREATE TABLE q WITH ('print-identifier' = 'q') LIKE p; \
         EXECUTE STATEMENT SET BEGIN INSERT INTO p SELECT id FROM items; \
         INSERT INTO q SELECT id FROM items WHERE v > 10; END;"
    );
    let ended = run(&sql);
    assert_eq!(ended.err, "job 1 started: insert into p, q\n");
    let out = ended.succeeded();
    let of = |name: &str| out.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    assert_eq!(of("p"), ["p> +I[1]", "p> +I[2]", "p> +I[3]"]);
    assert_eq!(of("q"), ["q> +I[2]", "q> +I[3]"]);
}

#[test]
fn jobs_are_shown_and_stopped() {
    let sql = format!(
        "{SEQUENCE} CREATE TABLE b (n INT) WITH ('connector' = 'blackhole'); INSERT INTO b SELECT * FROM s; \
         SHOW JOBS; STOP JOB '1'; SHOW JOBS; STOP JOB '1'"
    );
    let ended = run(&sql).failed_saying(&["error: job 1 does not run", "why: it is CANCELED"]);
    let rows: Vec<&str> = ended.out.lines().filter(|line| line.starts_with("1,")).collect();
    assert!(rows[0].starts_with("1,insert into b,RUNNING,"), "{rows:?}");
    assert!(rows[1].starts_with("1,insert into b,CANCELED,"), "{rows:?}");
    run("STOP JOB '7'").failed_saying(&["error: unknown job 7"]);
}

#[test]
fn bounded_tables_are_sorted_joined_and_windowed() {
    let out = |query: &str| run(&format!("{ITEMS} {query}")).succeeded();
    assert_eq!(out("SELECT id, v FROM items ORDER BY v DESC LIMIT 2"), "id,v\n3,30\n2,20\n");
    let join = "SELECT a.id, b.id AS other FROM items a JOIN items b ON a.k = b.k AND a.id < b.id ORDER BY 1, 2";
    assert_eq!(out(join), "id,other\n1,3\n");
    let window = "SELECT id, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS r, SUM(v) OVER (ORDER BY id) AS s \
                  FROM items ORDER BY id";
    assert_eq!(out(window), "id,r,s\n1,1,10\n2,1,30\n3,2,60\n");
    assert_eq!(out("SELECT k FROM items EXCEPT SELECT 'a'"), "k\nb\n");
    assert_eq!(out("SELECT k, AVG(v) AS a FROM items GROUP BY k ORDER BY k"), "k,a\na,20\nb,20\n");
}

#[test]
fn a_table_of_changes_is_a_stream_unless_batch_is_asked_for() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql-tests/data/people_changes.json");
    let sql = |mode: &str| {
        format!(
            "{mode} CREATE TABLE people (id INT, age INT) WITH ('connector' = 'filesystem', 'path' = '{data}',
             'format' = 'debezium-json'); SELECT COUNT(*) AS n, MAX(age) AS oldest FROM people"
        )
    };
    assert_eq!(run(&sql("")).succeeded(), "n,oldest\n2,42\n");
    run(&sql("SET 'execution.runtime-mode' = 'batch';")).failed_saying(&[
        "error: cannot read table",
        "in batch mode",
        "fix: SET 'execution.runtime-mode' = 'streaming'",
    ]);
}

#[test]
fn hints_change_a_table_for_one_query() {
    let hinted = "SELECT n FROM s /*+ OPTIONS('number-of-rows' = '2') */";
    assert_eq!(run(&format!("{SEQUENCE} {hinted}")).succeeded(), "n\n1\n2\n");
    let misspelt = hinted.replace("number-of-rows", "number-of-row");
    run(&format!("{SEQUENCE} {misspelt}"))
        .failed_saying(&["unknown option 'number-of-row' of table s", "did you mean number-of-rows?"]);
}

#[test]
fn databases_hold_tables() {
    let out =
        run(&format!("CREATE DATABASE d; USE d; {ITEMS} USE default_database; SELECT COUNT(*) AS n FROM d.items"));
    assert_eq!(out.succeeded(), "n\n3\n");
    let ended = run(&format!("CREATE DATABASE d; USE d; {ITEMS} USE default_database; SELECT * FROM items"));
    ended.failed_saying(&["error: unknown table items"]);
}

#[test]
fn tables_are_altered_and_renamed() {
    let altered = "ALTER TABLE s SET ('number-of-rows' = '2'); ALTER TABLE s RENAME TO z;";
    assert_eq!(run(&format!("{SEQUENCE} {altered} SELECT n FROM z")).succeeded(), "n\n1\n2\n");
    run(&format!("{SEQUENCE} {altered} SELECT n FROM s")).failed_saying(&["error: unknown table s"]);
    let reset = "ALTER TABLE s RESET ('number-of-rows'); SELECT n FROM s LIMIT 3";
    let altered = "ALTER TABLE s SET ('number-of-rows' = '2');";
    assert_eq!(run(&format!("{SEQUENCE} {altered} {reset}")).succeeded(), "n\n1\n2\n3\n");
}

#[test]
fn an_updating_query_is_refused_by_a_sink_that_only_appends() {
    let sql = format!(
        "{ITEMS} CREATE TABLE o (k STRING, n BIGINT) WITH ('connector' = 'stdout', 'format' = 'csv'); \
         INSERT INTO o SELECT k, COUNT(*) FROM items GROUP BY k"
    );
    run(&sql).failed_saying(&["error: table o cannot take this query's rows", "why:", "fix:"]);
}

#[test]
fn rows_of_values_may_differ_in_precision_and_length() {
    let rows = "(TIMESTAMP '2020-01-01 00:00:00', CAST('a' AS VARCHAR(3)), 1), \
                (TIMESTAMP '2020-01-01 00:00:00.5', 'abcd', CAST(NULL AS INT)), (NULL, UPPER('b'), 2.5)";
    let out =
        run(&format!("SELECT ts > TIMESTAMP '2020-01-01 00:00:00' AS later, k, n FROM (VALUES {rows}) AS t(ts, k, n)"));
    assert_eq!(out.succeeded(), "later,k,n\nFALSE,a,1.0\nTRUE,abcd,\n,B,2.5\n");
}
