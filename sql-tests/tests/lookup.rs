//! Lookup joins of tables that are asked by key, and of files that change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{Int32Type, Int64Type};
use async_trait::async_trait;
use tidemill::{Event, Outcome, Session};
use tidemill_exec::connect::{
    Connector, Finder, Found, Lookup, Lookups, Offset, OptionSpec, Reader, Registry, Source, SplitBatch, SplitId,
    TableDefinition,
};
use tidemill_exec::connectors::inline::Inline;
use tidemill_exec::{Batch, Error, Result};
use tidemill_planner::dialect;
use tidemill_sql_tests::script::{Gave, Run, folded};
use tokio::sync::mpsc;

/// `'connector' = 'shelf'`: rows `(n INT, k STRING)` that are asked for by k, or by both.
#[derive(Clone, Debug)]
struct Shelf {
    rows: Vec<(i32, &'static str)>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each key was asked for.
    asked: BTreeMap<String, usize>,
    /// So many questions fail.
    failures: usize,
}

impl Shelf {
    fn new(failures: usize) -> Shelf {
        let rows = vec![(1, "apple"), (2, "pear"), (3, "apple"), (4, "quince")];
        Shelf { rows, state: Arc::new(Mutex::new(State { failures, ..State::default() })) }
    }

    fn batch(&self, rows: &[(i32, &str)]) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int32Array>());
        let words: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>());
        RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("k", words, true)]).expect("equal lengths")
    }
}

impl Connector for Shelf {
    fn name(&self) -> &'static str {
        "shelf"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn source(&self, _: &TableDefinition, projection: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Inline::new(self.batch(&self.rows).project(projection)?)))
    }

    fn lookups(&self, _: &TableDefinition, _: &Registry) -> Result<Option<Lookups>> {
        Ok(Some(Lookups::ByKey(Arc::new(self.clone()))))
    }
}

#[async_trait]
impl Lookup for Shelf {
    async fn open(&self, key: &[usize], projection: &[usize]) -> Result<Box<dyn Finder>> {
        Ok(Box::new(Asked { shelf: self.clone(), key: key.to_vec(), projection: projection.to_vec() }))
    }
}

struct Asked {
    shelf: Shelf,
    key: Vec<usize>,
    projection: Vec<usize>,
}

#[async_trait]
impl Finder for Asked {
    async fn find(&self, keys: &RecordBatch) -> Result<Found> {
        tokio::task::yield_now().await;
        let mut state = self.shelf.state.lock().expect("nobody panics while asking");
        if state.failures > 0 {
            state.failures -= 1;
            return Err(Error::new("the shelf is locked"));
        }
        let (mut rows, mut of) = (Vec::new(), Vec::new());
        for n in 0..keys.num_rows() {
            let mut wanted = (None, None);
            for (column, place) in keys.columns().iter().zip(&self.key) {
                assert!(column.is_valid(n), "no key is null");
                match place {
                    0 => wanted.0 = Some(column.as_primitive::<Int32Type>().value(n)),
                    _ => wanted.1 = Some(column.as_string::<i32>().value(n)),
                }
            }
            *state.asked.entry(format!("{wanted:?}")).or_default() += 1;
            let is_it = |row: &&(i32, &'static str)| {
                wanted.0.is_none_or(|number| number == row.0) && wanted.1.is_none_or(|word| word == row.1)
            };
            for row in self.shelf.rows.iter().filter(is_it) {
                rows.push(*row);
                of.push(n as u32);
            }
        }
        Ok(Found { rows: self.shelf.batch(&rows).project(&self.projection)?, keys: UInt32Array::from(of) })
    }
}

const TABLES: &str = "
    CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), p AS PROCTIME())
    WITH ('connector' = 'filesystem', 'path' = '{data}/bids.csv', 'format' = 'csv', 'csv.null-literal' = '');
    CREATE TABLE shelf (n INT, k STRING) WITH ('connector' = 'shelf'{options});
    CREATE VIEW fruit AS SELECT CASE item WHEN 'fig' THEN 'quince' ELSE item END AS k, price, p FROM bids;";

async fn answer(query: &str, shelf: &Shelf, mode: &str, parallelism: &str, options: &str) -> Result<Vec<String>> {
    let mut registry = Registry::default();
    registry.add_connector(Arc::new(shelf.clone()));
    let settings = [("execution.runtime-mode", mode), ("parallelism.default", parallelism)];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/data");
    let tables = TABLES.replace("{data}", data).replace("{options}", options);
    let ran = Run { settings, ..Run::default() }.script_with(&format!("{tables}{query}"), registry).await?;
    match ran.statements.into_iter().next_back().map(|ran| ran.gave) {
        Some(Gave::Changes(changes)) => {
            Ok(folded(changes.into_iter().map(|change| (change.kind.is_positive(), change.client))))
        }
        Some(Gave::Failed(error)) => Err(error),
        Some(Gave::Text(text)) => Ok(vec![text]),
        _ => panic!("it is a query"),
    }
}

const QUERIES: &[&str] = &[
    "SELECT f.k, f.price, s.n FROM fruit f JOIN shelf FOR SYSTEM_TIME AS OF f.p AS s ON f.k = s.k",
    "SELECT f.k, f.price, s.n FROM fruit f LEFT JOIN shelf FOR SYSTEM_TIME AS OF f.p AS s ON f.k = s.k AND s.n = 3",
    "SELECT f.k, f.price, s.k AS l FROM fruit f LEFT JOIN shelf FOR SYSTEM_TIME AS OF f.p AS s ON f.price = s.n AND f.k < s.k",
    "SELECT s.n, COUNT(*) AS c FROM fruit f JOIN shelf FOR SYSTEM_TIME AS OF f.p AS s ON f.k = s.k GROUP BY s.n",
];

const CACHES: &[&str] = &[
    "",
    ", 'lookup.cache' = 'NONE'",
    ", 'lookup.cache' = 'PARTIAL'",
    ", 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '1', 'lookup.partial-cache.cache-missing-key' = 'false'",
    ", 'lookup.cache' = 'FULL'",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_any_cache_a_lookup_join_gives_what_batch_joins() {
    for query in QUERIES {
        let expected = answer(query, &Shelf::new(0), "batch", "2", "").await.expect("batch answers");
        assert!(expected.len() > 1);
        for (options, parallelism) in CACHES.iter().flat_map(|options| ["1", "2", "4"].map(|p| (options, p))) {
            let found = answer(query, &Shelf::new(0), "streaming", parallelism, options).await;
            assert_eq!(found.expect("the stream answers"), expected, "{query} at {parallelism} with {options}");
        }
    }
}

#[tokio::test]
async fn constants_are_part_of_the_key_and_a_cache_asks_once() {
    let shelf = Shelf::new(0);
    answer(QUERIES[1], &shelf, "streaming", "1", CACHES[2]).await.expect("the stream answers");
    let asked = std::mem::take(&mut shelf.state.lock().expect("nobody panics").asked);
    let asked: Vec<(&str, usize)> = asked.iter().map(|(key, times)| (key.as_str(), *times)).collect();
    assert_eq!(asked, [("(Some(3), Some(\"apple\"))", 1), ("(Some(3), Some(\"quince\"))", 1)]);
    let plan = answer(&format!("EXPLAIN {}", QUERIES[1]), &shelf, "streaming", "1", CACHES[3]).await;
    let plan = plan.expect("it is planned").remove(0);
    assert!(plan.contains("kind=left, on=[k = k@0, n = 3], cache=partial, max-rows=1)"), "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_that_fails_too_often_fails_the_job_by_the_name_of_its_table() {
    let retries = ", 'lookup.max-retries' = '1'";
    let found =
        answer(QUERIES[0], &Shelf::new(1), "streaming", "1", retries).await.expect("the second time it answers");
    assert_eq!(found, answer(QUERIES[0], &Shelf::new(0), "batch", "1", "").await.expect("batch answers"));
    let failed = answer(QUERIES[0], &Shelf::new(100), "streaming", "2", retries).await.expect_err("it never answers");
    assert_eq!(failed.to_string(), "the shelf is locked\n  in:  operator lookup shelf");
}

/// `'connector' = 'tap'`: the words that somebody says.
struct Tap(Arc<Mutex<Option<mpsc::UnboundedReceiver<&'static str>>>>);

impl Connector for Tap {
    fn name(&self) -> &'static str {
        "tap"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn source(&self, _: &TableDefinition, _: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Running(Arc::clone(&self.0))))
    }
}

#[derive(Debug)]
struct Running(Arc<Mutex<Option<mpsc::UnboundedReceiver<&'static str>>>>);

#[async_trait]
impl Source for Running {
    fn bounded(&self) -> bool {
        false
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok(vec![SplitId::new("tap")])
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let words = match splits.is_empty() {
            true => None,
            false => self.0.lock().expect("nobody panics").take(),
        };
        Ok(Box::new(Words(words)))
    }
}

struct Words(Option<mpsc::UnboundedReceiver<&'static str>>);

#[async_trait]
impl Reader for Words {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        let Some(words) = &mut self.0 else { return Ok(None) };
        let Some(word) = words.recv().await else { return Ok(None) };
        let word: ArrayRef = Arc::new(StringArray::from(vec![word]));
        let rows = Batch::append(RecordBatch::try_from_iter_with_nullable([("k", word, true)])?);
        let (split, resume_at) = (SplitId::new("tap"), Offset(Vec::new().into()));
        Ok(Some(SplitBatch { split, rows, resume_at, skipped: None, ended: false }))
    }
}

/// What comes of the other side tells nothing of the time: neither its watermarks, which it has none of, nor that it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_close_over_what_was_joined_with_a_stream_that_has_no_time() {
    let (say, heard) = mpsc::unbounded_channel();
    let mut registry = Registry::default();
    registry.add_connector(Arc::new(Tap(Arc::new(Mutex::new(Some(heard))))));
    let mut session = Session::with_registry([], registry).expect("no settings");
    let script = format!(
        "CREATE TABLE bids (item STRING, price INT, at_ TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR at_ AS at_ - INTERVAL '1' SECOND)
         WITH ('connector' = 'filesystem', 'path' = '{}/data/bids.csv', 'format' = 'csv', 'csv.null-literal' = '');
         CREATE TABLE words (k STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'tap');
         CREATE VIEW known AS SELECT b.at_, w.k FROM bids b LEFT JOIN words FOR SYSTEM_TIME AS OF b.p AS w ON b.item = w.k;
         SELECT window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE known, DESCRIPTOR(at_), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end",
        env!("CARGO_MANIFEST_DIR")
    );
    let mut query = None;
    for statement in dialect::statements(&script, &|_| None) {
        if let Outcome::Query(started) = session.execute(&statement.expect("it can be parsed")).await.expect("it runs")
        {
            query = Some(started);
        }
    }
    let mut query = query.expect("the last statement is a query");
    let mut counts = 0;
    let closed = tokio::time::timeout(Duration::from_secs(60), async {
        while counts < 7 {
            if let Some(Event::Changes(changes)) = query.next().await.expect("the query runs") {
                counts += changes.rows.column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>();
            }
        }
    });
    closed.await.expect("windows close while the other side goes on, all but the last");
    assert_eq!(counts, 7);
    drop(say);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_has_changed_is_seen_at_the_next_load() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let write = |text: &str| {
        // As a whole: a load may come at any moment.
        std::fs::write(home.path().join("_new"), text).expect("the file is written");
        std::fs::rename(home.path().join("_new"), home.path().join("dim.csv")).expect("the file is renamed");
    };
    write("a,1\nb,2\n");
    let (say, heard) = mpsc::unbounded_channel();
    let mut registry = Registry::default();
    registry.add_connector(Arc::new(Tap(Arc::new(Mutex::new(Some(heard))))));
    let mut session = Session::with_registry([], registry).expect("no settings");
    let script = format!(
        "CREATE TABLE words (k STRING, p AS PROCTIME()) WITH ('connector' = 'tap');
         CREATE TABLE dim (k STRING, n INT) WITH ('connector' = 'filesystem', 'path' = '{}/dim.csv', 'format' = 'csv',
           'lookup.full-cache.periodic-reload.interval' = '10 ms');
         SELECT w.k, d.n FROM words w LEFT JOIN dim FOR SYSTEM_TIME AS OF w.p AS d ON w.k = d.k",
        home.path().display()
    );
    let mut query = None;
    for statement in dialect::statements(&script, &|_| None) {
        if let Outcome::Query(started) = session.execute(&statement.expect("it can be parsed")).await.expect("it runs")
        {
            query = Some(started);
        }
    }
    let mut query = query.expect("the last statement is a query");
    let mut ask = async |word: &'static str| {
        say.send(word).expect("the table is read");
        loop {
            if let Some(Event::Changes(changes)) = query.next().await.expect("the query runs") {
                let numbers = changes.rows.column(1).as_primitive::<Int32Type>();
                return numbers.is_valid(0).then(|| numbers.value(0));
            }
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), async {
        assert_eq!(ask("a").await, Some(1));
        assert_eq!(ask("x").await, None);
        write("a,7\nx,9\n");
        while ask("a").await == Some(1) {}
        assert_eq!((ask("a").await, ask("b").await, ask("x").await), (Some(7), None, Some(9)));
    });
    seen.await.expect("the file is read again");
}
