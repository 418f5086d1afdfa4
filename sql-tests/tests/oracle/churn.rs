//! A random table, and a connector that reads it: as it is, or as a stream of inserts and deletes that ends in it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch,
    RecordBatchOptions, StringArray, StringBuilder, TimestampMillisecondArray,
};
use arrow::datatypes::{Field, SchemaRef};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tidemill_exec::connect::{
    Connector, Offset, OptionSpec, Reader, Registry, Source, SplitBatch, SplitId, TableDefinition,
};
use tidemill_exec::{Batch, Result};

/// Few values per column, so that groups have several rows and rows repeat.
#[derive(Clone, Debug, Default)]
struct Row {
    /// Only in the way [`Way::Upserts`].
    id: i64,
    k: Option<String>,
    g: Option<i32>,
    v: Option<i64>,
    d: Option<i128>,
    /// A multiple of 1/4: sums are exact, whatever their order.
    f: Option<f64>,
    b: Option<bool>,
    at: Option<i64>,
    tags: Option<Vec<Option<String>>>,
}

impl Row {
    fn random(random: &mut StdRng) -> Row {
        fn sometimes<T>(random: &mut StdRng, make: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
            random.random_bool(0.85).then(|| make(random))
        }
        let word = |random: &mut StdRng| ["ann", "bob", "cid", "dora", ""][random.random_range(0..5)].to_string();
        Row {
            id: 0,
            k: sometimes(random, word),
            g: sometimes(random, |random| random.random_range(0..4)),
            v: sometimes(random, |random| random.random_range(-3..10)),
            d: sometimes(random, |random| random.random_range(-500..2000)),
            f: sometimes(random, |random| f64::from(random.random_range(-40..40)) / 4.0),
            b: sometimes(random, |random| random.random_bool(0.5)),
            at: sometimes(random, |random| random.random_range(0..20) * 3_600_000),
            tags: sometimes(random, |random| (0..random.random_range(0..4)).map(|_| sometimes(random, word)).collect()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// 1 to 60 rows.
    pub fn random(seed: u64) -> Table {
        let mut random = StdRng::seed_from_u64(seed);
        let rows = (0..random.random_range(1..60)).map(|id| Row { id, ..Row::random(&mut random) }).collect();
        Table { rows }
    }
}

/// `'connector' = 'churn'`
pub struct Churn {
    pub table: Table,
    /// How the stream is made; `None` reads the rows as they are.
    pub seed: Option<u64>,
    pub way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Rows come, and are taken back as they came.
    Changes,
    /// Rows only come.
    OnlyComes,
    /// There is a column `id` more, the primary key: rows replace each other by it, and are removed by it.
    Upserts,
}

impl Churn {
    /// `t`, and `u`, which reads the same rows as another table.
    pub fn create_tables(&self) -> String {
        let [key, constraint, option] = match (self.way, self.seed) {
            (Way::Upserts, Some(_)) => {
                ["id BIGINT, ", ", PRIMARY KEY (id) NOT ENFORCED", ", 'changelog.mode' = 'upsert'"]
            }
            (Way::Upserts, None) => ["id BIGINT, ", ", PRIMARY KEY (id) NOT ENFORCED", ""],
            _ => [""; 3],
        };
        let create = |name: &str| {
            format!(
                "CREATE TABLE {name} ({key}k STRING, g INT, v BIGINT, d DECIMAL(10, 2), f DOUBLE, b BOOLEAN, at_ TIMESTAMP(3), \
                 tags ARRAY<STRING>{constraint}) WITH ('connector' = 'churn'{option})"
            )
        };
        format!("{}; {}", create("t"), create("u"))
    }
}

impl Connector for Churn {
    fn name(&self) -> &'static str {
        "churn"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn source(&self, table: &TableDefinition, projection: &[usize], _: &Registry) -> Result<Arc<dyn Source>> {
        let schema = Arc::new(table.schema.project(projection)?);
        let splits = match self.seed {
            None => vec![vec![self.table.rows.iter().map(|row| (row.clone(), 1)).collect()]],
            Some(seed) => match self.way {
                Way::Changes => churned(&self.table.rows, seed),
                Way::OnlyComes => scattered(&self.table.rows, seed),
                Way::Upserts => replaced(&self.table.rows, seed),
            },
        };
        Ok(Arc::new(Splits { schema, splits, retracts: self.seed.is_some() && self.way != Way::OnlyComes }))
    }
}

/// Rows with their weights, per split and batch.
type Changes = Vec<Vec<Vec<(Row, i64)>>>;

/// Changes that end in `rows`: each row of it appears in one of the splits, among others that appear and go again; a row that is taken
/// back comes later in the same split.
fn churned(rows: &[Row], seed: u64) -> Changes {
    let mut random = StdRng::seed_from_u64(seed ^ 0x7e11);
    let mut splits: Vec<Vec<(Row, i64)>> = vec![Vec::new(); random.random_range(1..=3)];
    let count = splits.len();
    for row in rows {
        let split = &mut splits[random.random_range(0..count)];
        match random.random_range(0..4) {
            0 => split.extend([(row.clone(), 1), (row.clone(), -1), (row.clone(), 1)]),
            1 => split.extend([(row.clone(), 2), (row.clone(), -1)]),
            _ => split.push((row.clone(), 1)),
        }
        if random.random_bool(0.6) {
            let mut passing = Row::random(&mut random);
            if random.random_bool(0.5) {
                passing.k = row.k.clone();
            }
            split.extend([(passing.clone(), 1), (passing, -1)]);
        }
    }
    splits.into_iter().map(|split| batches(apart(split, &mut random), &mut random)).collect()
}

/// Rows that replace others, and are removed of which only the key is known, until `rows` are there.
fn replaced(rows: &[Row], seed: u64) -> Changes {
    let mut random = StdRng::seed_from_u64(seed ^ 0x0b5e);
    let mut splits: Vec<Vec<(Row, i64)>> = vec![Vec::new(); random.random_range(1..=3)];
    let count = splits.len();
    let passing = rows.len() as i64..rows.len() as i64 + 5;
    for id in (0..passing.end).rev() {
        let split = &mut splits[random.random_range(0..count)];
        for _ in 0..random.random_range(0..3) {
            split.push((Row { id, ..Row::random(&mut random) }, 1));
            if random.random_bool(0.3) {
                split.push((Row { id, ..Row::default() }, -1));
            }
        }
        match rows.get(id as usize) {
            Some(row) => split.push((row.clone(), 1)),
            None => split.push((Row { id, ..Row::default() }, -1)),
        }
    }
    for split in &mut splits {
        for _ in 0..split.len() * 4 {
            let at = random.random_range(0..split.len());
            if at + 1 < split.len() && split[at].0.id != split[at + 1].0.id {
                split.swap(at, at + 1);
            }
        }
    }
    splits.into_iter().map(|split| batches(split, &mut random)).collect()
}

/// The rows over one to three splits, in random batches.
fn scattered(rows: &[Row], seed: u64) -> Changes {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5ca7);
    let mut splits: Vec<Vec<(Row, i64)>> = vec![Vec::new(); random.random_range(1..=3)];
    let count = splits.len();
    rows.iter().for_each(|row| splits[random.random_range(0..count)].push((row.clone(), 1)));
    splits.into_iter().map(|split| batches(split, &mut random)).collect()
}

/// Moves changes about, but never two of the same row past each other.
fn apart(mut changes: Vec<(Row, i64)>, random: &mut StdRng) -> Vec<(Row, i64)> {
    let same = |a: &Row, b: &Row| format!("{a:?}") == format!("{b:?}");
    for _ in 0..changes.len() * 4 {
        let at = random.random_range(0..changes.len().max(1));
        if at + 1 < changes.len() && !same(&changes[at].0, &changes[at + 1].0) {
            changes.swap(at, at + 1);
        }
    }
    changes
}

fn batches(changes: Vec<(Row, i64)>, random: &mut StdRng) -> Vec<Vec<(Row, i64)>> {
    let mut batches = vec![Vec::new()];
    for change in changes {
        if random.random_bool(0.2) {
            batches.push(Vec::new());
        }
        batches.last_mut().expect("it begins with one").push(change);
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

#[derive(Debug)]
struct Splits {
    schema: SchemaRef,
    splits: Changes,
    retracts: bool,
}

#[async_trait::async_trait]
impl Source for Splits {
    fn bounded(&self) -> bool {
        true
    }

    fn retracts(&self) -> bool {
        self.retracts
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok((0..self.splits.len()).map(|split| SplitId::new(split.to_string())).collect())
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        let mut batches = Vec::new();
        for (id, _) in splits {
            let split: usize = id.0.parse().expect("splits() gave the names");
            for changes in &self.splits[split] {
                batches.push((id.clone(), batch(&self.schema, changes, self.retracts)?));
            }
        }
        // Splits are read in turns, each in its order.
        let mut order: Vec<SplitId> = batches.iter().map(|(split, _)| split.clone()).collect();
        order.shuffle(&mut StdRng::seed_from_u64(batches.len() as u64));
        let mut queue = VecDeque::new();
        for split in order {
            let next = batches.iter().position(|(of, _)| *of == split).expect("as many turns as batches");
            queue.push_back(batches.remove(next));
        }
        Ok(Box::new(Reading { queue }))
    }
}

struct Reading {
    queue: VecDeque<(SplitId, Batch)>,
}

#[async_trait::async_trait]
impl Reader for Reading {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        // Seen to have nothing for a moment, so that epochs end between batches.
        if self.queue.len().is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
        let Some((split, rows)) = self.queue.pop_front() else { return Ok(None) };
        Ok(Some(SplitBatch { split, rows, resume_at: Offset(Vec::new().into()), skipped: None, ended: false }))
    }
}

fn batch(schema: &SchemaRef, changes: &[(Row, i64)], weighted: bool) -> Result<Batch> {
    let rows: Vec<&Row> = changes.iter().map(|(row, _)| row).collect();
    let columns = schema.fields().iter().map(|field| column(field, &rows)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let rows = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
    let weights = changes.iter().map(|(_, weight)| *weight).collect::<Int64Array>();
    Ok(Batch::new(rows, weighted.then_some(weights)))
}

fn column(field: &Field, rows: &[&Row]) -> Result<ArrayRef> {
    let rows = rows.iter();
    let array: ArrayRef = match field.name().as_str() {
        "id" => Arc::new(rows.map(|row| row.id).collect::<Int64Array>()),
        "k" => Arc::new(rows.map(|row| row.k.as_deref()).collect::<StringArray>()),
        "g" => Arc::new(rows.map(|row| row.g).collect::<Int32Array>()),
        "v" => Arc::new(rows.map(|row| row.v).collect::<Int64Array>()),
        "d" => Arc::new(rows.map(|row| row.d).collect::<Decimal128Array>().with_precision_and_scale(10, 2)?),
        "f" => Arc::new(rows.map(|row| row.f).collect::<Float64Array>()),
        "b" => Arc::new(rows.map(|row| row.b).collect::<BooleanArray>()),
        "at_" => Arc::new(rows.map(|row| row.at).collect::<TimestampMillisecondArray>()),
        _ => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            rows.for_each(|row| lists.append_option(row.tags.clone()));
            Arc::new(lists.finish())
        }
    };
    Ok(arrow::compute::cast(&array, field.data_type())?)
}
