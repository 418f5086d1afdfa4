//! A view's rows, for a job that may have seen some of them before it was started again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tidemill_state::checkpoint::Distribution;

use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::view::{Net, Rows, Shape, only_appearing};

/// Stands behind a source that begins with all its rows ([`Follow`](crate::view::Follow)), wherever its reader was before. In a job that takes
/// checkpoints it keeps what has come so far, and passes of the first batch on only what is different. In others it passes all on.
#[derive(Debug)]
pub struct Resync {
    pub shape: Arc<Shape>,
    /// Rows only ever appear.
    pub appends: bool,
}

impl OperatorSpec for Resync {
    fn name(&self) -> &'static str {
        "resync"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shape.schema)
    }

    fn explain(&self, _: &mut ExplainLine) {}

    fn meaning(&self) -> Option<String> {
        Some(format!("{}({})", self.name(), self.shape.meaning()))
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("the rows of the view")
    }

    fn open(&self, context: &ShardContext) -> Result<Box<dyn Operator>> {
        let known = match context.durable {
            Some(_) => Some(Rows::new(&self.shape, true)?),
            None => None,
        };
        Ok(Box::new(Resyncing { shape: Arc::clone(&self.shape), appends: self.appends, known, resumes: false }))
    }
}

struct Resyncing {
    shape: Arc<Shape>,
    appends: bool,
    /// What has been passed on, if that is to be known.
    known: Option<Rows>,
    /// The next batch has all rows, and some may be known.
    resumes: bool,
}

impl Operator for Resyncing {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let Some(known) = &mut self.known else {
            out.send(batch);
            return Ok(());
        };
        let batch = match std::mem::take(&mut self.resumes) {
            false => batch,
            true => news(&self.shape, known, &batch, self.appends)?,
        };
        let weights: Vec<i64> = (0..batch.len()).map(|row| batch.weight(row)).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.shape.schema), batch.rows().columns().to_vec())?;
        known.apply(&rows, &weights)?;
        out.send(batch);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        // One shard reads the view.
        self.known.iter_mut().map(|known| known.snapshot("rows", Distribution::ToFirst)).collect()
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        self.resumes = true;
        let Some(known) = &mut self.known else { return Ok(()) };
        tables.iter().try_for_each(|table| known.restore(table))
    }
}

/// What is different between all rows and those that are known.
fn news(shape: &Shape, known: &Rows, all: &Batch, appends: bool) -> Result<Batch> {
    let mut net = Net::new(&shape.schema)?;
    let columns: Vec<usize> = (0..shape.schema.fields().len()).collect();
    for rows in known.now().batches(&columns) {
        let rows = rows?;
        net.add(&rows, std::iter::repeat_n(-1, rows.num_rows()))?;
    }
    net.add_batch(all)?;
    let news = net.take_changes(shape.identity.as_deref())?;
    if appends { only_appearing(news) } else { Ok(news) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::operator::JobToken;
    use crate::testing::rows;
    use arrow::array::Int64Array;
    use tidemill_state::CheckpointId;

    fn run(operator: &mut dyn Operator, words: &[&str], weights: Option<Vec<i64>>) -> Vec<(String, i64)> {
        let mut out = Output::default();
        let batch = Batch::new(rows(words), weights.map(Int64Array::from));
        operator.on_batch(Input(0), batch, &mut out).expect("words are passed on");
        let mut passed = Vec::new();
        for message in out.drain() {
            let Message::Batch(batch) = message else { panic!("only rows come out") };
            let words = arrow::array::AsArray::as_string::<i32>(batch.rows().column(0)).clone();
            passed.extend((0..batch.len()).map(|row| (words.value(row).to_string(), batch.weight(row))));
        }
        passed
    }

    fn open(appends: bool) -> Box<dyn Operator> {
        let shape = Arc::new(Shape::new(&rows(&[]).schema(), None));
        let durable = Some(JobToken { job: 1, first: CheckpointId(1), part: 0 });
        let context = ShardContext { durable, ..ShardContext::SINGLE };
        Resync { shape, appends }.open(&context).expect("words can be kept")
    }

    fn resumed(from: &mut dyn Operator, appends: bool) -> Box<dyn Operator> {
        let mut to = open(appends);
        let tables = from.snapshot().expect("there is a snapshot");
        assert!(tables.iter().all(|table| table.is_whole));
        // As files have them: without the mark of those that went.
        let whole = |table: &TableSnapshot| {
            let columns: Vec<usize> = (0..table.rows.num_columns() - 1).collect();
            let rows = table.rows.project(&columns).expect("there are columns");
            TableSnapshot { replaces_by: None, rows, ..table.clone() }
        };
        to.restore(tables.iter().map(whole).collect()).expect("the rows are taken over");
        to
    }

    #[test]
    fn of_the_first_rows_after_a_restart_only_what_is_new_is_passed_on() {
        let mut operator = open(false);
        assert_eq!(run(operator.as_mut(), &["a", "b"], Some(vec![1, 2])).len(), 2);
        let mut operator = resumed(operator.as_mut(), false);
        let news = run(operator.as_mut(), &["b", "c"], None);
        assert_eq!(news, [("a".to_string(), -1), ("b".to_string(), -1), ("c".to_string(), 1)]);
        assert_eq!(run(operator.as_mut(), &["b"], Some(vec![-1])), [("b".to_string(), -1)]);
        let mut operator = resumed(operator.as_mut(), false);
        let nothing = run(operator.as_mut(), &["x", "x"], Some(vec![1, -1]));
        assert_eq!(nothing, [("c".to_string(), -1)], "a view without rows says so by one that comes and goes");
    }

    #[test]
    fn rows_that_only_appear_are_not_taken_back() {
        let mut operator = open(true);
        run(operator.as_mut(), &["a", "b"], None);
        let mut operator = resumed(operator.as_mut(), true);
        assert_eq!(run(operator.as_mut(), &["b", "c"], None), [("c".to_string(), 1)]);
    }
}
