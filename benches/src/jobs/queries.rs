//! The tables and the jobs, in Flink's words and in those of the peers.

use std::path::{Path, PathBuf};

use super::{Format, Jobs};
use crate::number::Chance;
use crate::{Failure, text};

const GENERATED: &str = include_str!("../../../sql-tests/nexmark/ddl.sql");

/// A table that jobs read.
pub struct Table {
    pub name: &'static str,
    /// Names and types; `TIMESTAMP(3)` is the only one with a parameter.
    pub columns: &'static [(&'static str, &'static str)],
    /// The query over the generator's views that makes it; none: it is written by hand.
    made_by: Option<&'static str>,
    /// Of how many generated events one is a row of it.
    share: f64,
}

const TABLES: [Table; 5] = [
    Table {
        name: "bids",
        columns: &[
            ("auction", "BIGINT"),
            ("bidder", "BIGINT"),
            ("price", "BIGINT"),
            ("channel", "STRING"),
            ("url", "STRING"),
            ("ts", "TIMESTAMP(3)"),
            ("extra", "STRING"),
        ],
        made_by: Some("SELECT auction, bidder, price, channel, url, `dateTime`, extra FROM bid"),
        share: 46.0 / 50.0,
    },
    Table {
        name: "persons",
        columns: &[("id", "BIGINT"), ("name", "STRING"), ("ts", "TIMESTAMP(3)")],
        made_by: Some("SELECT id, name, `dateTime` FROM person"),
        share: 1.0 / 50.0,
    },
    Table {
        name: "auctions",
        columns: &[
            ("id", "BIGINT"),
            ("seller", "BIGINT"),
            ("category", "BIGINT"),
            ("ts", "TIMESTAMP(3)"),
            ("expires", "TIMESTAMP(3)"),
        ],
        made_by: Some("SELECT id, seller, category, `dateTime`, expires FROM auction"),
        share: 3.0 / 50.0,
    },
    Table { name: "numbers", columns: &[("k", "BIGINT"), ("v", "BIGINT")], made_by: None, share: 0.0 },
    Table { name: "lines", columns: &[("line", "STRING")], made_by: None, share: 0.0 },
];

impl Table {
    pub fn named(name: &str) -> &'static Table {
        TABLES.iter().find(|table| table.name == name).expect("jobs read tables that there are")
    }

    pub fn is_text(&self) -> bool {
        self.name == "lines"
    }

    pub fn path(&self, format: Format, directory: &Path) -> PathBuf {
        directory.join(match self.is_text() {
            true => "lines.txt".to_string(),
            false => format!("{}-{}", self.name, format.name()),
        })
    }

    /// The table as a script declares it.
    pub fn declared(&self, format: Format, directory: &Path) -> String {
        let columns = self.columns.iter().map(|(name, kind)| format!("{name} {kind}"));
        let timed = self.columns.iter().any(|(name, _)| *name == "ts");
        let watermark = timed.then(|| "WATERMARK FOR ts AS ts - INTERVAL '4' SECOND".to_string());
        format!(
            "CREATE TABLE {} ({}) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = '{}');\n",
            self.name,
            columns.chain(watermark).collect::<Vec<_>>().join(", "),
            self.path(format, directory).display(),
            if self.is_text() { "raw" } else { format.name() },
        )
    }

    /// Writes it as one file, in the order of time.
    pub fn write(&self, format: Format, directory: &Path, jobs: &Jobs) -> Result<(), Failure> {
        const ONE_BATCH: &str =
            "SET 'table.dml-sync' = 'true'; SET 'parallelism.default' = '1'; SET 'execution.runtime-mode' = 'batch';";
        const LARGE: &str = "'sink.rolling-policy.file-size' = '1tb', 'format'";
        let declared = self.declared(format, directory).replace("'format'", LARGE);
        match self.made_by {
            _ if self.is_text() => {
                text::write(&self.path(format, directory), (jobs.megabytes * 1e6) as u64)?;
            }
            Some(query) => {
                let generated = GENERATED.replace("${EVENTS_NUM:-100000}", &jobs.events.to_string());
                jobs.runs.once(&format!("{generated}\n{ONE_BATCH} {declared} INSERT INTO {} {query}", self.name))?;
            }
            None => {
                let (mut chance, keys) = (Chance::new(7), (jobs.rows / 10).max(1));
                let csv: String =
                    (0..jobs.rows).map(|_| format!("{},{}\n", chance.below(keys), chance.below(1000))).collect();
                let plain = directory.join("numbers.csv");
                std::fs::write(&plain, csv)?;
                jobs.runs.once(&format!(
                    "{ONE_BATCH} {declared} CREATE TABLE plain (k BIGINT, v BIGINT)
                     WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
                     INSERT INTO {} SELECT * FROM plain",
                    plain.display(),
                    self.name
                ))?;
                std::fs::remove_file(plain)?;
            }
        }
        Ok(())
    }

    /// How many rows it has; of a text, about how many words.
    pub fn rows(&self, jobs: &Jobs) -> u64 {
        match self.made_by {
            Some(_) => (jobs.events as f64 * self.share) as u64,
            None if self.is_text() => (jobs.megabytes * 1e6 / 6.6) as u64,
            None => jobs.rows,
        }
    }
}

pub struct Job {
    pub name: &'static str,
    pub tables: &'static [&'static str],
    /// Of the result.
    pub columns: &'static str,
    /// The one of them that is added up to compare results.
    pub summed: &'static str,
    /// In Flink's words.
    pub query: &'static str,
    /// In words that DuckDB and DataFusion share, with hand-made panes for hopping windows.
    pub peer: &'static str,
}

pub static JOBS: [Job; 6] = [
    Job {
        name: "tumble",
        tables: &["bids"],
        columns: "auction BIGINT, opens TIMESTAMP(3), n BIGINT, m BIGINT",
        summed: "m",
        query: "SELECT auction, window_start, COUNT(*) AS n, MAX(price) AS m
                FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end",
        peer: "SELECT auction, PANE(10) AS opens, COUNT(*) AS n, MAX(price) AS m FROM bids GROUP BY auction, PANE(10)",
    },
    Job {
        name: "hop",
        tables: &["bids"],
        columns: "auction BIGINT, n BIGINT",
        summed: "n",
        query: "SELECT counts.auction, counts.n FROM
                  (SELECT auction, window_start AS starts, window_end AS ends, COUNT(*) AS n
                   FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
                   GROUP BY auction, window_start, window_end) AS counts
                JOIN
                  (SELECT starts, ends, MAX(n) AS most FROM
                    (SELECT auction, window_start AS starts, window_end AS ends, COUNT(*) AS n
                     FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
                     GROUP BY auction, window_start, window_end) AS again
                   GROUP BY starts, ends) AS tops
                ON counts.starts = tops.starts AND counts.ends = tops.ends AND counts.n >= tops.most",
        peer: "WITH panes AS (SELECT auction, PANE(2) AS pane, COUNT(*) AS n FROM bids GROUP BY auction, PANE(2)),
                 counts AS (SELECT auction, pane - shift AS opens, SUM(n) AS n
                            FROM panes CROSS JOIN (VALUES (0), (1), (2), (3), (4)) AS shifts(shift) GROUP BY auction, pane - shift),
                 tops AS (SELECT opens, MAX(n) AS most FROM counts GROUP BY opens)
               SELECT auction, n FROM counts JOIN tops ON counts.opens = tops.opens AND n >= most",
    },
    Job {
        name: "join",
        tables: &["persons", "auctions"],
        columns: "id BIGINT, name STRING, opens TIMESTAMP(3)",
        summed: "id",
        query: "SELECT p.id, p.name, p.opens FROM
                  (SELECT id, name, window_start AS opens, window_end AS closes
                   FROM TABLE(TUMBLE(TABLE persons, DESCRIPTOR(ts), INTERVAL '10' SECOND))
                   GROUP BY id, name, window_start, window_end) AS p
                JOIN
                  (SELECT seller, window_start AS opens, window_end AS closes
                   FROM TABLE(TUMBLE(TABLE auctions, DESCRIPTOR(ts), INTERVAL '10' SECOND))
                   GROUP BY seller, window_start, window_end) AS a
                ON p.id = a.seller AND p.opens = a.opens AND p.closes = a.closes",
        peer: "SELECT p.id, p.name, p.opens FROM
                 (SELECT DISTINCT id, name, PANE(10) AS opens FROM persons) AS p
               JOIN (SELECT DISTINCT seller, PANE(10) AS opens FROM auctions) AS a ON p.id = a.seller AND p.opens = a.opens",
    },
    Job {
        name: "keys",
        tables: &["numbers"],
        columns: "k BIGINT, n BIGINT, s BIGINT",
        summed: "s",
        query: "SELECT k, COUNT(*) AS n, SUM(v) AS s FROM numbers GROUP BY k",
        peer: "SELECT k, COUNT(*) AS n, SUM(v) AS s FROM numbers GROUP BY k",
    },
    Job {
        name: "average",
        tables: &["auctions", "bids"],
        columns: "category BIGINT, n BIGINT, average BIGINT",
        summed: "n",
        query: "SELECT category, COUNT(*) AS n, AVG(highest) AS average FROM
                  (SELECT MAX(b.price) AS highest, a.category FROM auctions AS a JOIN bids AS b ON a.id = b.auction
                   WHERE b.ts BETWEEN a.ts AND a.expires GROUP BY a.id, a.category) AS closed
                GROUP BY category",
        peer: "SELECT category, COUNT(*) AS n, AVG(highest) AS average FROM
                 (SELECT MAX(b.price) AS highest, a.category FROM auctions AS a JOIN bids AS b ON a.id = b.auction
                  WHERE b.ts BETWEEN a.ts AND a.expires GROUP BY a.id, a.category) AS closed
               GROUP BY category",
    },
    Job {
        name: "words",
        tables: &["lines"],
        columns: "word STRING, n BIGINT",
        summed: "n",
        query: "SELECT word, COUNT(*) AS n FROM lines CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) GROUP BY word",
        peer: "SELECT word, COUNT(*) AS n FROM (SELECT WORDS(line) AS word FROM lines) AS w GROUP BY word",
    },
];
