//! Random changes against a plain model, and when which version is shown.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use futures::FutureExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tidemill_state::checkpoint::Distribution;

use super::*;
use crate::connect::{Offset, Reader, Source};
use crate::operator::TableSnapshot;

/// Key and value, and how often such a row is there.
type Model = BTreeMap<(String, i64), i64>;

fn schema() -> Schema {
    Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("key", DataType::Utf8, true)])
}

fn shape(is_keyed: bool) -> Arc<Shape> {
    Arc::new(Shape::new(&schema(), is_keyed.then_some(&[1])))
}

fn rows(rows: &[(String, i64)]) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(rows.iter().map(|(_, n)| Some(*n)).collect::<Int64Array>());
    let keys: ArrayRef = Arc::new(rows.iter().map(|(key, _)| Some(key.as_str())).collect::<StringArray>());
    RecordBatch::try_new(Arc::new(schema()), vec![numbers, keys]).expect("two columns of one length")
}

fn add(rows: &RecordBatch, weight: impl Fn(usize) -> i64, model: &mut Model) {
    let (numbers, keys) = (rows.column(0).as_primitive::<Int64Type>(), rows.column(1).as_string::<i32>());
    for row in 0..rows.num_rows() {
        count(model, (keys.value(row).to_string(), numbers.value(row)), weight(row));
    }
}

fn count(model: &mut Model, row: (String, i64), weight: i64) {
    let of_row = model.entry(row.clone()).or_default();
    *of_row += weight;
    if *of_row == 0 {
        model.remove(&row);
    }
}

fn seen(rows: &ShardRows) -> Model {
    let mut model = Model::new();
    for batch in rows.batches(&[0, 1]) {
        add(&batch.expect("rows can be read"), |_| 1, &mut model);
    }
    model
}

/// Changes that turn `model` into something else, which it then is.
fn change(model: &mut Model, is_keyed: bool, random: &mut StdRng) -> (RecordBatch, Vec<i64>) {
    let mut net = Model::new();
    for _ in 0..random.random_range(0..400) {
        let row = (format!("key {}", random.random_range(0..2_000)), random.random_range(0..3));
        let there: Vec<(String, i64)> = match is_keyed {
            true => {
                model.range((row.0.clone(), i64::MIN)..=(row.0.clone(), i64::MAX)).map(|(row, _)| row.clone()).collect()
            }
            false => model.get_key_value(&row).map(|(row, _)| row.clone()).into_iter().collect(),
        };
        let goes = random.random_bool(0.4) || is_keyed;
        for row in there.into_iter().filter(|_| goes) {
            *net.entry(row.clone()).or_default() -= 1;
            count(model, row, -1);
        }
        if random.random_bool(0.6) {
            *net.entry(row.clone()).or_default() += 1;
            count(model, row, 1);
        }
    }
    net.retain(|_, weight| *weight != 0);
    let (changed, weights): (Vec<_>, Vec<_>) = net.into_iter().unzip();
    (rows(&changed), weights)
}

fn cell(column: &ArrayRef, row: usize) -> String {
    match column.as_primitive_opt::<Int64Type>() {
        Some(numbers) => numbers.value(row).to_string(),
        None => column.as_string::<i32>().value(row).to_string(),
    }
}

/// What files hold after an incremental snapshot.
fn merge(state: &mut BTreeMap<String, (RecordBatch, usize)>, table: &TableSnapshot, keys: usize) {
    if table.is_whole {
        state.clear();
    }
    let deleted = table.rows.column(table.rows.num_columns() - 1).as_boolean();
    for row in 0..table.rows.num_rows() {
        let key: Vec<String> = (0..keys).map(|column| cell(table.rows.column(column), row)).collect();
        let key = key.join(", ");
        if deleted.value(row) {
            state.remove(&key);
        } else {
            state.insert(key, (table.rows.clone(), row));
        }
    }
}

#[test]
fn rows_are_what_changes_make_of_them_and_earlier_versions_stay_as_they_were() {
    for (seed, is_keyed) in (0..3).flat_map(|seed| [(seed, true), (seed, false)]) {
        let mut random = StdRng::seed_from_u64(seed);
        let shape = shape(is_keyed);
        let mut kept = Rows::new(&shape, true).expect("such rows can be kept");
        let (mut model, mut state) = (Model::new(), BTreeMap::new());
        let mut versions: Vec<(ShardRows, Model)> = Vec::new();
        for epoch in 0..40 {
            let (changed, weights) = change(&mut model, is_keyed, &mut random);
            kept.apply(&changed, &weights).expect("changes apply");
            assert_eq!(seen(kept.now()), model, "seed {seed}, keyed {is_keyed}, epoch {epoch}");
            let counted = kept.now().batches(&[]).map(|rows| rows.expect("rows can be read").num_rows()).sum::<usize>();
            assert_eq!(counted as i64, model.values().sum::<i64>(), "without columns");
            if random.random_bool(0.3) {
                let table = kept.snapshot("rows", Distribution::ByKey(vec![0])).expect("there is a snapshot");
                merge(&mut state, &table, shape.key.len());
                let stored: Vec<RecordBatch> = state.values().map(|(rows, row)| rows.slice(*row, 1)).collect();
                if let Some(first) = stored.first() {
                    let rows = arrow::compute::concat_batches(&first.schema(), &stored).expect("rows of one table");
                    let mut restored = Rows::new(&shape, true).expect("such rows can be kept");
                    restored.restore(&TableSnapshot { rows, ..table }).expect("rows are taken over");
                    assert_eq!(seen(restored.now()), model, "restored, seed {seed}, keyed {is_keyed}, epoch {epoch}");
                }
                if random.random_bool(0.5) {
                    kept.apply(&rows(&[]), &[]).expect("nothing applies");
                }
            }
            versions.push((kept.now().clone(), model.clone()));
            let (earlier, of_earlier) = &versions[random.random_range(0..versions.len())];
            assert_eq!(seen(earlier), *of_earlier, "an earlier version does not change");
            let mut net = Net::new(&shape.schema).expect("such rows can be compared");
            kept.now().changes_since(earlier, &[0, 1], &mut net).expect("versions can be compared");
            let (changed, weights) = net.take().expect("rows come out");
            let mut reached = of_earlier.clone();
            add(&changed, |row| weights[row], &mut reached);
            assert_eq!(reached, model, "seed {seed}, keyed {is_keyed}, epoch {epoch}");
        }
        let keys: ArrayRef = Arc::new((0..2_000).map(|n| Some(format!("key {n}"))).collect::<StringArray>());
        if is_keyed {
            let (of, found) = kept.now().lookup(&[keys], &shape.schema).expect("keys can be looked up");
            let mut looked_up = Model::new();
            add(&found, |_| 1, &mut looked_up);
            assert_eq!(looked_up, model);
            let names = found.column(1).as_string::<i32>();
            assert!(of.iter().enumerate().all(|(row, key)| names.value(row) == format!("key {key}")));
        }
    }
}

#[test]
fn changes_that_do_not_fit_do_no_harm() {
    let row = |key: &str, n| (key.to_string(), n);
    let mut keyed = Rows::new(&shape(true), true).expect("such rows can be kept");
    // Nothing to take back, twice; and two rows of one key.
    keyed.apply(&rows(&[row("a", 1), row("a", 2), row("b", 1), row("b", 2)]), &[-1, -1, 1, 1]).expect("it applies");
    assert_eq!(seen(keyed.now()), Model::from([(row("b", 2), 1)]));
    keyed.apply(&rows(&[row("a", 3)]), &[1]).expect("it applies");
    assert_eq!(seen(keyed.now()).len(), 2);
    // Taken back before it came.
    let mut bag = Rows::new(&shape(false), true).expect("such rows can be kept");
    bag.apply(&rows(&[row("a", 1)]), &[-1]).expect("it applies");
    assert!(seen(bag.now()).is_empty());
    bag.apply(&rows(&[row("a", 1)]), &[3]).expect("it applies");
    assert_eq!(seen(bag.now()), Model::from([(row("a", 1), 2)]));
}

fn view(bounded: bool) -> Arc<View> {
    let shape = Shape::new(&schema(), Some(&[1]));
    Arc::new(View::new("v", shape, false, bounded).expect("such rows can be kept"))
}

/// A shard of a view's job.
struct Job {
    rows: Rows,
    publisher: Publisher,
    epoch: u64,
}

impl Job {
    fn shards(view: &Arc<View>, count: u16) -> Vec<Job> {
        let rows = || Rows::new(view.shape(), false).expect("such rows can be kept");
        let publisher = |shard| view.publisher(shard, count).expect("such rows can be kept");
        (0..count).map(|shard| Job { rows: rows(), publisher: publisher(shard), epoch: 0 }).collect()
    }

    fn barrier(&mut self, key: &str, n: i64) {
        self.epoch += 1;
        self.rows.apply(&rows(&[(key.to_string(), n)]), &[1]).expect("changes apply");
        self.publisher.passed(Epoch(self.epoch), self.rows.now().clone());
    }
}

fn shown(view: &View) -> Vec<String> {
    let mut shown = Model::new();
    for batch in view.shown().batches(&[0, 1]).expect("rows can be read") {
        add(&batch, |_| 1, &mut shown);
    }
    shown.into_keys().map(|(key, n)| format!("{key} {n}")).collect()
}

#[test]
fn an_epoch_is_shown_when_all_shards_have_passed_it() {
    let view = view(false);
    let [a, b] = &mut Job::shards(&view, 2)[..] else { panic!("two shards") };
    a.barrier("a", 1);
    b.barrier("b", 1);
    assert!(shown(&view).is_empty(), "the job has not caught up");
    view.caught_up();
    assert_eq!(shown(&view), ["a 1", "b 1"]);
    a.barrier("a", 2);
    assert_eq!(shown(&view), ["a 1", "b 1"]);
    b.barrier("b", 2);
    assert_eq!(shown(&view), ["a 2", "b 2"]);
    // One that has ended holds nobody up, and is not ahead either.
    a.barrier("a", 3);
    a.publisher.ended();
    assert_eq!(shown(&view), ["a 2", "b 2"]);
    b.barrier("b", 3);
    b.barrier("b", 4);
    assert_eq!(shown(&view), ["a 3", "b 4"]);
}

#[test]
fn a_job_that_begins_again_is_shown_once_it_has_caught_up_again() {
    let view = view(false);
    let [a] = &mut Job::shards(&view, 1)[..] else { panic!("one shard") };
    a.barrier("a", 1);
    view.caught_up();
    let [again] = &mut Job::shards(&view, 1)[..] else { panic!("one shard") };
    a.barrier("a", 2);
    again.barrier("b", 1);
    assert_eq!(shown(&view), ["a 1"], "neither the job that is gone nor the one that is behind is shown");
    view.caught_up();
    assert_eq!(shown(&view), ["b 1"]);
}

#[test]
fn what_ends_is_shown_at_its_end() {
    let view = view(true);
    let [a] = &mut Job::shards(&view, 1)[..] else { panic!("one shard") };
    a.barrier("a", 1);
    view.caught_up();
    assert!(view.version().now_or_never().is_none());
    a.publisher.ended();
    view.ended();
    assert!(view.version().now_or_never().is_some_and(|version| version.is_ok()));
    assert_eq!(shown(&view), ["a 1"]);
}

#[test]
fn keys_are_looked_up_in_the_shards_they_belong_to() {
    let view = view(false);
    let mut shards = Job::shards(&view, 3);
    let names: Vec<String> = (0..20).map(|n| format!("key {n}")).collect();
    let column: ArrayRef = Arc::new(names.iter().map(Some).collect::<StringArray>());
    let hashes = tidemill_state::hash_rows(std::slice::from_ref(&column)).expect("texts are keys");
    for (name, hash) in names.iter().zip(hashes).take(10) {
        let owner = usize::from(tidemill_state::KeyGroup::of(hash).shard(3));
        shards[owner].rows.apply(&rows(&[(name.clone(), 1)]), &[1]).expect("changes apply");
    }
    shards.iter().for_each(|shard| shard.publisher.passed(Epoch(1), shard.rows.now().clone()));
    view.caught_up();
    let (of, found) = view.lookup(&[column]).expect("texts are keys");
    assert_eq!(of.len(), 10);
    let found = found.column(1).as_string::<i32>();
    assert!(of.values().iter().enumerate().all(|(row, &key)| found.value(row) == names[key as usize]));
    let bag = View::new("bag", Shape::new(&schema(), None), false, false).expect("such rows can be kept");
    assert!(bag.lookup(&[]).is_err());
}

async fn reader(view: &Arc<View>, offset: Option<Offset>) -> Box<dyn Reader> {
    let source = Followed(Arc::clone(view)).source(&[0, 1]);
    let split = source.splits().await.expect("there are splits").remove(0);
    source.open(vec![(split, offset)]).await.expect("it opens")
}

/// What is there to read now.
fn read(reader: &mut dyn Reader) -> Option<Vec<String>> {
    let batch = reader.next().now_or_never()?.expect("it can be read")?.rows;
    let (numbers, keys) =
        (batch.rows().column(0).as_primitive::<Int64Type>(), batch.rows().column(1).as_string::<i32>());
    let row = |row| {
        let update = if batch.is_update(row) { " (update)" } else { "" };
        format!("{:+} {} {}{update}", batch.weight(row), keys.value(row), numbers.value(row))
    };
    Some((0..batch.len()).map(row).collect())
}

#[tokio::test]
async fn who_follows_a_view_gets_its_rows_and_then_the_changes_of_whole_epochs() {
    let view = view(false);
    let mut reader = reader(&view, None).await;
    let backlog = reader.backlog().expect("it waits for the view");
    let [a, b] = &mut Job::shards(&view, 2)[..] else { panic!("two shards") };
    a.barrier("a", 1);
    b.barrier("b", 1);
    assert_eq!(read(reader.as_mut()), None);
    assert!(!*backlog.borrow());
    view.caught_up();
    assert_eq!(read(reader.as_mut()), Some(vec!["+1 a 1".to_string(), "+1 b 1".to_string()]));
    assert!(*backlog.borrow());
    a.barrier("a", 2);
    assert_eq!(read(reader.as_mut()), None, "half an epoch is none");
    b.barrier("b", 1);
    b.barrier("c", 1);
    a.barrier("a", 3);
    let changes = ["-1 a 1 (update)", "+1 a 3 (update)", "+1 c 1"].map(str::to_string);
    assert_eq!(read(reader.as_mut()), Some(changes.to_vec()), "of two epochs at once");
    view.has_failed(Error::new("it broke"));
    let error = reader.next().await.map(|_| ()).expect_err("the view has failed");
    assert!(error.to_string().contains("it broke"), "{error}");
}

#[tokio::test]
async fn a_view_without_rows_says_so_to_who_knew_some() {
    let view = view(true);
    view.ended();
    Job::shards(&view, 1).remove(0).publisher.ended();
    let (mut anew, mut again) = (reader(&view, None).await, reader(&view, Some(Offset(Default::default()))).await);
    assert_eq!(read(anew.as_mut()), None, "it has not ended again");
    let job = Job::shards(&view, 1).remove(0);
    job.publisher.passed(Epoch(1), job.rows.now().clone());
    view.ended();
    assert_eq!(read(anew.as_mut()), Some(vec![]));
    assert_eq!(read(anew.as_mut()), None);
    assert_eq!(read(again.as_mut()).map(|rows| rows.len()), Some(2));
}

#[tokio::test]
async fn rows_that_only_appear_stay_with_who_follows_when_the_view_has_forgotten_them() {
    let view = Arc::new(View::new("v", Shape::new(&schema(), None), true, false).expect("such rows can be kept"));
    let mut reader = reader(&view, None).await;
    let [job] = &mut Job::shards(&view, 1)[..] else { panic!("one shard") };
    job.barrier("a", 1);
    job.barrier("b", 1);
    view.caught_up();
    assert_eq!(read(reader.as_mut()), Some(vec!["+1 a 1".to_string(), "+1 b 1".to_string()]));
    let [job] = &mut Job::shards(&view, 1)[..] else { panic!("one shard") };
    job.barrier("b", 1);
    job.barrier("c", 1);
    view.caught_up();
    assert_eq!(read(reader.as_mut()), Some(vec!["+1 c 1".to_string()]));
}
