//! The jobs: every operator that keeps state, and some whole ones.

use std::path::Path;

pub struct Job {
    pub name: &'static str,
    /// The columns of the table `out`.
    columns: &'static str,
    /// Its rows.
    query: &'static str,
    /// Rows of the result change.
    pub changes: bool,
    /// What is in every line that can ever be seen.
    pub always: &'static str,
    /// Statements before the table `out`.
    views: &'static str,
    /// Further settings, and options of the table `out` behind its format.
    settings: &'static str,
    options: &'static str,
}

const fn append(name: &'static str, columns: &'static str, query: &'static str) -> Job {
    Job { name, columns, query, changes: false, always: "", views: "", settings: "", options: "" }
}

const fn changing(name: &'static str, columns: &'static str, query: &'static str) -> Job {
    Job { name, columns, query, changes: true, always: "", views: "", settings: "", options: "" }
}

/// There is room for a part of 20 000 keys.
const ON_DISK: &str = "SET 'state.backend.type' = 'disk'; SET 'state.memory' = '1 mb';";

/// So much changes between two checkpoints that a snapshot is handed over in several pieces, most of them behind the barrier.
const fn many_groups(name: &'static str, settings: &'static str) -> Job {
    Job {
        settings,
        views: "CREATE TABLE quick (k INT, v INT) WITH (
                  'connector' = 'datagen', 'rows-per-second' = '200000', 'number-of-rows' = '300000', 'seed' = '11',
                  'fields.k.min' = '0', 'fields.k.max' = '20000', 'fields.v.min' = '-100', 'fields.v.max' = '100');",
        ..changing(
            name,
            "many BIGINT, squares BIGINT, products BIGINT",
            "SELECT COUNT(*), SUM(n * n), SUM(n * s) FROM \
             (SELECT k, COUNT(*) AS n, SUM(CAST(v AS BIGINT)) AS s FROM quick GROUP BY k)",
        )
    }
}

/// Barriers pass a loop while rows are under way in it.
const LOOPS_DO_NOT_WAIT: &str = "SET 'table.exec.recursion.rounds' = '0';";

pub const JOBS: &[Job] = &[
    append("copy", "id BIGINT, k INT", "SELECT id, k FROM events WHERE v > 0"),
    Job {
        options: "PARTITIONED BY (k)",
        ..append("partitions", "id BIGINT, k INT", "SELECT id, k FROM events WHERE k < 5")
    },
    append("union", "id BIGINT, v INT", "SELECT id, v FROM events UNION ALL SELECT id, k FROM many"),
    append("distinct", "a INT, b INT", "SELECT DISTINCT k, v FROM many"),
    Job {
        settings: LOOPS_DO_NOT_WAIT,
        ..append(
            "sequences",
            "id BIGINT, n BIGINT",
            "WITH RECURSIVE fib (id, n, after) AS (\
               SELECT id, CAST(1 AS BIGINT), CAST(MOD(k, 5) + 2 AS BIGINT) FROM many WHERE v > 50 \
               UNION ALL SELECT id, after, n + after FROM fib WHERE after < 100) \
             SELECT id, n FROM fib",
        )
    },
    Job {
        settings: LOOPS_DO_NOT_WAIT,
        ..append(
            "reachability",
            "a BIGINT, b BIGINT",
            "WITH RECURSIVE reach (a, b) AS (\
               SELECT a, b FROM links \
               UNION SELECT r.a, e.b FROM reach r JOIN links e ON r.b = e.a) \
             SELECT a, b FROM reach",
        )
    },
    append(
        "reachability_whole",
        "a BIGINT, b BIGINT",
        "WITH RECURSIVE reach (a, b) AS (\
           SELECT a, b FROM links \
           UNION SELECT r.a, e.b FROM reach r JOIN links e ON r.b = e.a) \
         SELECT a, b FROM reach",
    ),
    append("limit", "id BIGINT", "SELECT id FROM events WHERE v > 0 LIMIT 35000"),
    changing(
        "aggregate",
        "k INT, n BIGINT, s BIGINT, least INT, most INT, d BIGINT",
        "SELECT k, COUNT(*), SUM(CAST(v AS BIGINT)), MIN(v), MAX(v), COUNT(DISTINCT v) FROM many GROUP BY k",
    ),
    Job {
        settings: ON_DISK,
        ..changing(
            "aggregate_on_disk",
            "id BIGINT, n BIGINT, s BIGINT, ds BIGINT",
            "SELECT MOD(id * 7919, 20000), COUNT(*), SUM(CAST(v AS BIGINT)), COUNT(DISTINCT v) FROM many \
             GROUP BY MOD(id * 7919, 20000)",
        )
    },
    Job {
        settings: ON_DISK,
        ..append("distinct_on_disk", "id BIGINT", "SELECT DISTINCT MOD(id * 7919, 20000) FROM many")
    },
    many_groups("many_groups", "SET 'execution.checkpointing.interval' = '60 ms';"),
    many_groups(
        "many_groups_on_disk",
        "SET 'execution.checkpointing.interval' = '60 ms'; SET 'state.backend.type' = 'disk'; SET 'state.memory' = '2 mb';",
    ),
    changing("global", "n BIGINT, s BIGINT", "SELECT COUNT(*), SUM(CAST(v AS BIGINT)) FROM many"),
    // Rows of the table are spread before they become many.
    changing(
        "spread",
        "w INT, n BIGINT, s BIGINT",
        "SELECT MOD(w, 100), COUNT(*), SUM(CAST(v AS BIGINT)) FROM many \
         CROSS JOIN UNNEST(ARRAY[k, k + 1, v]) AS t (w) GROUP BY MOD(w, 100)",
    ),
    changing(
        "retractions",
        "n BIGINT, pairs BIGINT, most BIGINT",
        "SELECT MOD(n, 7), COUNT(*), MAX(s) FROM \
         (SELECT k, v, COUNT(*) AS n, SUM(id) AS s FROM many GROUP BY k, v) GROUP BY MOD(n, 7)",
    ),
    append(
        "tumble",
        "k INT, ws TIMESTAMP(3), n BIGINT, s INT, most INT",
        "SELECT k, window_start, COUNT(*), SUM(v), MAX(v) \
         FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end",
    ),
    append(
        "hop",
        "k INT, ws TIMESTAMP(3), n BIGINT, s INT, most INT",
        "SELECT k, window_start, COUNT(*), SUM(v), MAX(v) \
         FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE)) \
         GROUP BY k, window_start, window_end",
    ),
    append(
        "cumulate",
        "k INT, we TIMESTAMP(3), n BIGINT, d BIGINT",
        "SELECT k, window_end, COUNT(*), COUNT(DISTINCT v) \
         FROM TABLE(CUMULATE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE)) \
         GROUP BY k, window_start, window_end",
    ),
    append(
        "session",
        "k INT, ws TIMESTAMP(3), we TIMESTAMP(3), n BIGINT, s INT",
        "SELECT k, window_start, window_end, COUNT(*), SUM(v) \
         FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND)) \
         GROUP BY k, window_start, window_end",
    ),
    append(
        "session_rows",
        "id BIGINT, ws TIMESTAMP(3)",
        "SELECT id, window_start FROM TABLE(SESSION(TABLE events PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND))",
    ),
    append(
        "top",
        "k INT, id BIGINT, v INT, place BIGINT",
        "SELECT k, id, v, CAST(place AS BIGINT) FROM (SELECT *, ROW_NUMBER() OVER \
         (PARTITION BY window_start, window_end, k ORDER BY v DESC, id) AS place \
         FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE))) WHERE place <= 3",
    ),
    Job {
        settings: "SET 'table.exec.emit.allow-lateness' = '5 s'; SET 'table.exec.emit.early-fire.enabled' = 'true';",
        ..changing(
            "early",
            "k INT, ws TIMESTAMP(3), n BIGINT, s INT",
            "SELECT k, window_start, COUNT(*), SUM(v) \
             FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end",
        )
    },
    append(
        "cascade",
        "ws TIMESTAMP(3), ks BIGINT, n BIGINT",
        "SELECT window_start, COUNT(*), SUM(n) FROM TABLE(TUMBLE(TABLE per_key, DESCRIPTOR(t), INTERVAL '1' MINUTE)) \
         GROUP BY window_start, window_end",
    ),
    append(
        "inner_join",
        "id BIGINT, other BIGINT, v INT",
        "SELECT a.id, b.id, b.v FROM events a JOIN many b ON a.id = b.id WHERE a.v < b.v",
    ),
    changing(
        "full_join",
        "k INT, n BIGINT, m BIGINT",
        "SELECT COALESCE(a.k, b.k), a.n, b.n FROM (SELECT k, COUNT(*) AS n FROM events WHERE v > 0 GROUP BY k) a \
         FULL JOIN (SELECT k, COUNT(*) AS n FROM many GROUP BY k) b ON a.k = b.k AND a.n > b.n",
    ),
    append(
        "multi_join",
        "id BIGINT, b INT, c INT",
        "SELECT a.id, b.v, c.v FROM events a JOIN many b ON a.id = b.id JOIN many c ON b.id = c.id AND a.v < c.v",
    ),
    changing(
        "multi_join_of_changes",
        "k INT, n BIGINT, m BIGINT, s BIGINT",
        "SELECT a.k, a.n, b.m, c.s FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k) a \
         JOIN (SELECT k, COUNT(v) AS m FROM many GROUP BY k) b ON a.k = b.k \
         LEFT JOIN (SELECT k, SUM(id) AS s FROM many WHERE MOD(k, 2) = 0 GROUP BY k) c ON b.k = c.k",
    ),
    changing(
        "anti_join",
        "id BIGINT",
        "SELECT id FROM events a WHERE NOT EXISTS (SELECT 1 FROM many b WHERE b.id = a.id AND b.v > a.v)",
    ),
    append(
        "interval_join",
        "id BIGINT, other BIGINT",
        "SELECT a.id, b.id FROM timely a LEFT JOIN timely b \
         ON a.k = b.k AND a.v < b.v AND b.ts BETWEEN a.ts - INTERVAL '2' SECOND AND a.ts + INTERVAL '1' SECOND",
    ),
    append(
        "window_join",
        "k INT, ws TIMESTAMP(3), n BIGINT, m BIGINT",
        "SELECT a.k, a.window_start, a.n, b.n FROM \
         (SELECT k, window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) \
         GROUP BY k, window_start, window_end) a LEFT JOIN \
         (SELECT k, window_start, window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND)) \
         WHERE v > 50 GROUP BY k, window_start, window_end) b \
         ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end",
    ),
    append(
        "temporal_join",
        "id BIGINT, other BIGINT, v INT",
        "SELECT a.id, b.id, b.v FROM events a LEFT JOIN latest FOR SYSTEM_TIME AS OF a.ts AS b ON a.k = b.k WHERE a.v > 50",
    ),
    append(
        "lookup_join",
        "id BIGINT, name STRING, v INT",
        "SELECT e.id, n.name, e.v FROM now_ e LEFT JOIN names FOR SYSTEM_TIME AS OF e.p AS n ON MOD(e.k, 4) = n.k AND n.least < e.v",
    ),
    changing(
        "lookup_aggregate",
        "name STRING, n BIGINT, s BIGINT",
        "SELECT n.name, COUNT(*), SUM(CAST(e.v AS BIGINT)) FROM now_ e JOIN names FOR SYSTEM_TIME AS OF e.p AS n ON MOD(e.k, 4) = n.k \
         GROUP BY n.name",
    ),
    append(
        "latest_of_changes",
        "id BIGINT, first_ BIGINT",
        "SELECT e.id, f.first_ FROM now_ e JOIN firsts FOR SYSTEM_TIME AS OF e.p AS f ON e.v = f.v",
    ),
    append(
        "latest_by_key",
        "id BIGINT, v INT",
        "SELECT e.id, l.v FROM (SELECT * FROM now_ WHERE id > 40000) e LEFT JOIN last_ FOR SYSTEM_TIME AS OF e.p AS l \
         ON MOD(e.id, 201) - 100 = l.v",
    ),
    changing(
        "latest_for_changes",
        "v INT, n BIGINT, first_ BIGINT",
        "SELECT c.v, c.n, f.first_ FROM per_value c JOIN firsts FOR SYSTEM_TIME AS OF c.p AS f ON c.v = f.v",
    ),
    changing(
        "lookup_for_changes",
        "v INT, n BIGINT, name STRING",
        "SELECT c.v, c.n, m.name FROM per_value c LEFT JOIN names FOR SYSTEM_TIME AS OF c.p AS m ON ABS(MOD(c.v, 4)) = m.k",
    ),
    changing(
        "top_n",
        "k INT, id BIGINT, v INT, place BIGINT",
        "SELECT k, id, v, place FROM \
         (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, id) AS place FROM many) WHERE place <= 3",
    ),
    changing(
        "top_of_changes",
        "k INT, n BIGINT",
        "SELECT k, n FROM (SELECT k, COUNT(*) AS n FROM many GROUP BY k) ORDER BY n DESC, k LIMIT 7",
    ),
    changing(
        "over_changes",
        "k INT, n BIGINT, s BIGINT, after_it BIGINT",
        "SELECT k, n, SUM(n) OVER (PARTITION BY k / 4 ORDER BY n, k ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), \
         LEAD(n) OVER (PARTITION BY k / 4 ORDER BY n, k) FROM (SELECT k, COUNT(*) AS n FROM many GROUP BY k)",
    ),
    append(
        "over",
        "id BIGINT, n BIGINT, s INT, w BIGINT, l INT",
        "SELECT id, COUNT(*) OVER w, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW), \
         COUNT(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '2' SECOND PRECEDING AND CURRENT ROW), \
         LAG(v) OVER w FROM events WINDOW w AS (PARTITION BY k ORDER BY ts)",
    ),
    append(
        "first_rows",
        "k INT, v INT, id BIGINT",
        "SELECT k, v, id FROM \
         (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, v ORDER BY ts) AS n FROM events) WHERE n = 1",
    ),
    append("sort", "id BIGINT", "SELECT id FROM events ORDER BY ts"),
    Job {
        views: "CREATE MATERIALIZED VIEW sums AS \
                  SELECT MOD(id * 7919, 5000) AS id, k, COUNT(*) AS n, SUM(CAST(v AS BIGINT)) AS s FROM many \
                  GROUP BY MOD(id * 7919, 5000), k;
                CREATE MATERIALIZED VIEW by_n AS SELECT n, MIN(s) AS least, COUNT(*) AS times FROM sums GROUP BY n;",
        ..changing(
            "materialized_views",
            "n BIGINT, least BIGINT, times BIGINT, k INT, s BIGINT",
            "SELECT b.n, b.least, b.times, s.k, s.s FROM by_n b JOIN sums s ON b.n = s.n AND b.least = s.s",
        )
    },
    Job {
        views: "CREATE MATERIALIZED VIEW pairs AS SELECT MOD(id, 50) AS m, v FROM many;",
        settings: ON_DISK,
        ..append("materialized_view_of_equal_rows", "m BIGINT, v INT", "SELECT m, v FROM pairs WHERE v > 0")
    },
    Job {
        always: "{\"total\":0",
        ..changing(
            "balance",
            "total BIGINT, most BIGINT",
            "SELECT SUM(COALESCE(a.s, 0) - COALESCE(b.s, 0)), MAX(COALESCE(a.s, 0)) \
             FROM (SELECT k, SUM(CAST(id AS BIGINT)) AS s FROM many GROUP BY k) a FULL JOIN \
             (SELECT MOD(k + 1, 301) AS k, SUM(CAST(id AS BIGINT)) AS s FROM many GROUP BY MOD(k + 1, 301)) b ON a.k = b.k",
        )
    },
];

/// Into a table that shows rows at once, and has them written ahead. Its parts are large enough for files, and small enough for manifests.
pub const PRINTED: Job = Job {
    settings: "SET 'execution.checkpointing.interval' = '50 ms';",
    ..append("printed", "id BIGINT, k INT", "SELECT id, k FROM events WHERE v > 0")
};

/// The same of rows that replace each other, into a table of which each key is told what is there now.
pub const UPSERTED: Job = Job {
    settings: "SET 'execution.checkpointing.interval' = '30 ms';",
    views: "CREATE TABLE replaced (id BIGINT, k INT, v INT, PRIMARY KEY (v) NOT ENFORCED) WITH (
              'connector' = 'datagen', 'rows-per-second' = '20000', 'number-of-rows' = '40000', 'seed' = '10',
              'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '39999', 'fields.k.min' = '0',
              'fields.k.max' = '50', 'fields.v.min' = '-100', 'fields.v.max' = '100', 'changelog.mode' = 'upsert');",
    ..changing(
        "upserted",
        "k INT, n BIGINT, most BIGINT, PRIMARY KEY (k) NOT ENFORCED",
        "SELECT k, COUNT(*), MAX(id) FROM replaced GROUP BY k HAVING COUNT(*) > 3",
    )
};

pub fn named(name: &str) -> &'static Job {
    JOBS.iter().find(|job| job.name == name).expect("a job of this name")
}

impl Job {
    pub fn script(&self, directory: &Path) -> String {
        let Job { columns, query, views, settings, options, .. } = self;
        let format = if self.changes { "debezium-json" } else { "csv" };
        let out = directory.join("out").display().to_string();
        let into = match self.name == PRINTED.name {
            true => "'connector' = 'print', 'print-identifier' = 'out', 'sink.delivery-guarantee' = 'exactly-once'"
                .to_string(),
            false => format!("'connector' = 'filesystem', 'path' = '{out}', 'format' = '{format}'"),
        };
        format!(
            "SET 'execution.checkpointing.interval' = '20 ms';
             SET 'execution.epoch.interval' = '10 ms';
             {settings}
             CREATE TABLE events (
               id BIGINT, k INT, v INT,
               ts AS TO_TIMESTAMP_LTZ(id * 50 + v * 4, 3), WATERMARK FOR ts AS ts - INTERVAL '0.5' SECOND
             ) WITH (
               'connector' = 'datagen', 'rows-per-second' = '20000', 'number-of-rows' = '80000', 'seed' = '7',
               'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '79999',
               'fields.k.min' = '0', 'fields.k.max' = '50', 'fields.v.min' = '-100', 'fields.v.max' = '100'
             );
             CREATE TABLE many (id BIGINT, k INT, v INT) WITH (
               'connector' = 'datagen', 'rows-per-second' = '20000', 'number-of-rows' = '80000', 'seed' = '8',
               'scan.parallelism' = '3', 'fields.id.kind' = 'sequence', 'fields.id.start' = '0',
               'fields.id.end' = '79999', 'fields.k.min' = '0', 'fields.k.max' = '300', 'fields.v.min' = '-100',
               'fields.v.max' = '100', 'fields.v.null-rate' = '0.1'
             );
             -- In the order of id, and the last row of a value stands for it. Half of them hold all values.
             CREATE TABLE last_ (id BIGINT, k INT, v INT, PRIMARY KEY (v) NOT ENFORCED) WITH (
               'connector' = 'datagen', 'rows-per-second' = '20000', 'number-of-rows' = '80000', 'seed' = '9',
               'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '79999',
               'fields.k.min' = '0', 'fields.k.max' = '50', 'fields.v.min' = '-100', 'fields.v.max' = '100'
             );
             CREATE VIEW per_key AS
               SELECT k, window_time AS t, COUNT(*) AS n
               FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
               GROUP BY k, window_start, window_end, window_time;
             -- Of two inputs, no row may be late: what it meets then is chance.
             CREATE VIEW timely AS SELECT * FROM events WHERE v > -30;
             CREATE VIEW latest AS
               SELECT k, v, id, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM timely)
               WHERE n = 1;
             CREATE VIEW now_ AS SELECT *, PROCTIME() AS p FROM last_;
             CREATE TABLE names (k INT, name STRING, least INT) WITH ('connector' = 'values', 'data' =
               '{{\"k\": 0, \"name\": \"a\", \"least\": 0}}
                {{\"k\": 1, \"name\": \"b\", \"least\": 10}}
                {{\"k\": 1, \"name\": \"c\", \"least\": 20}}
                {{\"k\": 2, \"name\": \"a\"}}');
             -- Of a value, where it came first, which does not change once it is known.
             CREATE VIEW firsts AS SELECT v, MIN(id) AS first_ FROM last_ GROUP BY v;
             CREATE VIEW per_value AS SELECT v, COUNT(*) AS n, PROCTIME() AS p FROM last_ GROUP BY v;
             -- Chains of ten, whose links come in another order than they lie in.
             CREATE VIEW links AS
               SELECT MOD(id * 7919, 20000) AS a, MOD(id * 7919, 20000) + 1 AS b FROM many
               WHERE id < 20000 AND MOD(MOD(id * 7919, 20000), 10) <> 9;
             {views}
             CREATE TABLE `out` ({columns}) {options} WITH ({into});
             INSERT INTO `out` {query};"
        )
    }
}
