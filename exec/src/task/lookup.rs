//! A task whose rows are joined with what is looked up for them. It waits for answers while it asks for the next rows; what comes out keeps
//! the order of what came in, so that a barrier passes when all lookups before it are done, and nothing is under way in a checkpoint.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use futures::stream::{FuturesOrdered, StreamExt};

use super::{Chain, Next, Reports, Shard, Tail};
use crate::connect::{Finder, Found};
use crate::error::{Error, Result};
use crate::exchange::channel::Delivery;
use crate::exchange::{Align, Aligned, Inbox, LaneStart};
use crate::lookup::{Answering, LookupJoin, Question, length};
use crate::message::Batch;
use crate::operator::Input;

/// While rows of so many bytes wait for their answers, no more are taken.
const BYTES_UNDER_WAY: usize = 8 << 20;

/// What one lookup task reads, and whom it asks.
pub struct LookupTask {
    pub inbox: Inbox,
    pub lanes: Vec<LaneStart>,
    pub join: Arc<LookupJoin>,
    /// Of all shards.
    pub finder: Arc<dyn Finder>,
}

/// Runs until the input ends, the chain has all it needs, nobody wants its rows, or the job stops.
pub async fn run_lookup(task: LookupTask, chain: Chain, tail: Tail, reports: &Reports) -> Result<()> {
    let LookupTask { mut inbox, lanes, join, finder } = task;
    let mut align = Align::new(lanes, chain.watermark());
    let mut shard = Shard::new(chain, tail, reports);
    shard.resume();
    shard.deliver().await?;
    let capacity = join.limits.capacity;
    let mut lookups =
        Lookups { answering: join.open()?, join, finder, queue: FuturesOrdered::new(), count: 0, bytes: 0 };
    let mut is_open = true;
    loop {
        let has_room = lookups.count < capacity && lookups.bytes < BYTES_UNDER_WAY;
        let event = shard.until(async {
            tokio::select! {
                biased;
                Some(step) = lookups.queue.next() => Event::Done(step),
                delivery = inbox.receive(), if is_open && has_room => Event::Came(delivery),
                else => Event::Gone,
            }
        });
        let step = match event.await? {
            Event::Done(step) => step,
            Event::Came(Some(delivery)) => {
                lookups.take(&mut align, delivery)?;
                continue;
            }
            Event::Came(None) => {
                is_open = false;
                continue;
            }
            Event::Gone => return shard.abandon().await,
        };
        let ended = matches!(step, Ok(Step::Pass(Aligned::End)));
        match step.and_then(|step| lookups.done(step, &mut shard)) {
            Ok(()) => {}
            Err(error) => {
                shard.abandon().await?;
                return Err(error);
            }
        }
        match shard.deliver().await? {
            Next::Stopped => return Ok(()),
            _ if ended => return shard.close(Vec::new()),
            Next::More if shard.is_finished() => {
                shard.finish().await?;
                return shard.close(Vec::new());
            }
            Next::More => {}
            Next::Ended => return shard.close(Vec::new()),
        }
    }
}

enum Event {
    Done(Result<Step>),
    /// `None`: nobody is there to send.
    Came(Option<Delivery>),
    /// The senders are gone without an end: the job is failing.
    Gone,
}

/// What has come in and not gone out, in order.
struct Lookups {
    join: Arc<LookupJoin>,
    answering: Answering,
    finder: Arc<dyn Finder>,
    queue: FuturesOrdered<BoxFuture<'static, Result<Step>>>,
    /// Of those under way, and of the rows that wait for them.
    count: usize,
    bytes: usize,
}

enum Step {
    /// Waits for what is before it and for nothing else.
    Pass(Aligned),
    Found(Batch, Question, Found),
}

impl Lookups {
    fn take(&mut self, align: &mut Align<Delivery>, delivery: Delivery) -> Result<()> {
        let (lane, message) = (delivery.lane, delivery.message.clone());
        align.push(lane, message, delivery, &mut |aligned| match aligned {
            Aligned::Batch(_, batch) => self.ask(batch),
            other => {
                self.queue.push_back(ready(Ok(Step::Pass(other))).boxed());
                Ok(())
            }
        })
    }

    fn ask(&mut self, batch: Batch) -> Result<()> {
        let question = self.answering.question(&batch)?;
        self.count += 1;
        self.bytes += batch.bytes();
        if question.keys.num_rows() == 0 {
            let found = self.join.table.nothing()?;
            self.queue.push_back(ready(Ok(Step::Found(batch, question, found))).boxed());
            return Ok(());
        }
        let (finder, join) = (Arc::clone(&self.finder), Arc::clone(&self.join));
        let asked = async move {
            let found = match join.limits.timeout {
                None => finder.find(&question.keys).await,
                Some(timeout) => match tokio::time::timeout(timeout, finder.find(&question.keys)).await {
                    Ok(found) => found,
                    Err(_) => Err(Error::new(format!("a lookup in table {} took too long", join.table.name))
                        .why(format!("it had no answer after {}", length(timeout)))
                        .fix("see to the system behind the table, or raise 'table.exec.async-lookup.timeout'")),
                },
            };
            let found = found.map_err(|error| error.in_operator(format!("lookup {}", join.table.name)))?;
            Ok(Step::Found(batch, question, found))
        };
        self.queue.push_back(asked.boxed());
        Ok(())
    }

    fn done(&mut self, step: Step, shard: &mut Shard<'_>) -> Result<()> {
        let (batch, question, found) = match step {
            Step::Pass(aligned) => return shard.feed(aligned),
            Step::Found(batch, question, found) => (batch, question, found),
        };
        self.count -= 1;
        self.bytes -= batch.bytes();
        let mut fed = Ok(());
        self.answering.answer(&batch, &question, found, |rows| {
            if fed.is_ok() {
                fed = feed(shard, rows);
            }
        })?;
        fed
    }
}

/// Of rows that are none, the watermark goes on.
fn feed(shard: &mut Shard<'_>, rows: Batch) -> Result<()> {
    match rows.last_mark() {
        _ if !rows.is_empty() => shard.feed(Aligned::Batch(Input(0), rows)),
        Some(time) => shard.feed(Aligned::Watermark(time)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{Field, Int64Type, Schema};
    use datafusion_physical_expr::PhysicalExpr;
    use datafusion_physical_expr::expressions::Column;
    use tidemill_state::{Epoch, EventTime};
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::connect::{Options, TableDefinition};
    use crate::connectors::inline::Inline;
    use crate::coordinator::TaskId;
    use crate::exchange::{Router, Sender, inbox};
    use crate::graph::Exchange;
    use crate::lookup::testing::Shelf;
    use crate::lookup::{LookupLimits, LookupTable};
    use crate::message::{Barrier, Mark, Message};
    use crate::operator::ShardContext;
    use crate::task::tail::Outgoing;

    fn words(words: &[Option<&str>]) -> RecordBatch {
        let words: ArrayRef = Arc::new(StringArray::from(words.to_vec()));
        RecordBatch::try_from_iter_with_nullable([("word", words, true)]).expect("one column has one length")
    }

    fn batch(word: &str) -> Message {
        Message::Batch(Batch::append(words(&[Some(word)])))
    }

    fn barrier() -> Message {
        Message::Barrier(Barrier { epoch: Epoch(1), time: EventTime(0), checkpoint: None, stops: false })
    }

    fn join(outer: bool, limits: LookupLimits) -> LookupJoin {
        let definition = TableDefinition {
            name: "dim".to_string(),
            schema: Shelf::schema(),
            metadata: Vec::new(),
            key: Vec::new(),
            partitioned_by: Vec::new(),
            options: Options::default(),
            time_zone: "UTC".to_string(),
            unread: Default::default(),
        };
        let rows = RecordBatch::new_empty(Shelf::schema());
        let left = words(&[]).schema();
        let right = Shelf::schema();
        let fields: Vec<Arc<Field>> = left.fields().iter().chain(right.fields()).cloned().collect();
        let column = |name: &str, n: usize| Arc::new(Column::new(name, n)) as Arc<dyn PhysicalExpr>;
        LookupJoin {
            table: LookupTable::inline("dim", Arc::new(Inline::new(rows)), definition, &[0]),
            keys: vec![column("word", 0)],
            filter: None,
            columns: vec![column("k", 0), column("n", 1)],
            outer,
            is_marked: false,
            condition: None,
            limits,
            left,
            schema: Arc::new(Schema::new(fields)),
        }
    }

    struct Running {
        input: Sender,
        out: Inbox,
        task: JoinHandle<Result<()>>,
        /// Keeps the reports' other end.
        _reports: mpsc::UnboundedReceiver<crate::task::Report>,
    }

    fn run(shelf: &Shelf, outer: bool, limits: LookupLimits) -> Running {
        let (mut input, inputs) = inbox(1);
        let (mut senders, out) = inbox(1);
        let task = LookupTask {
            inbox: inputs,
            lanes: vec![LaneStart::of(Input(0))],
            join: Arc::new(join(outer, limits)),
            finder: Arc::new(shelf.clone()),
        };
        let router = Router::new(Exchange::Forward, 0, 1);
        let edges = vec![Outgoing { router, senders: vec![senders.pop()], in_loop: false }];
        let chain = Chain::open(&[], &ShardContext::SINGLE).expect("an empty chain opens");
        let (signals, _reports) = mpsc::unbounded_channel();
        let reports = Reports { task: TaskId(0), signals, metrics: Arc::default(), checkpoints: false };
        let task = tokio::spawn(async move { run_lookup(task, chain, Tail::Exchange(edges), &reports).await });
        Running { input: input.pop().expect("one lane"), out, task, _reports }
    }

    impl Running {
        /// What comes out for these messages and the end: words, keys and numbers, and everything else by its name.
        async fn gives(mut self, messages: Vec<Message>) -> (Vec<String>, Result<()>) {
            for message in messages.into_iter().chain([Message::End]) {
                assert!(self.input.send(message).await.is_ok(), "the task listens");
            }
            let mut seen = Vec::new();
            while let Some(delivery) = self.out.receive().await {
                match &delivery.message {
                    Message::Batch(batch) => {
                        let (words, numbers) = (batch.rows().column(0).as_string::<i32>(), batch.rows().column(2));
                        let numbers: &Int64Array = numbers.as_primitive::<Int64Type>();
                        for row in 0..batch.len() {
                            let number = numbers.is_valid(row).then(|| numbers.value(row));
                            seen.push(format!("{} {number:?}", words.iter().nth(row).flatten().unwrap_or("null")));
                        }
                        seen.extend(batch.marks().iter().map(|mark| format!("mark {} {}", mark.row, mark.time.0)));
                    }
                    Message::Watermark(time) if *time < EventTime::MAX => seen.push(format!("watermark {}", time.0)),
                    Message::Watermark(_) => {}
                    Message::Barrier(_) => seen.push("barrier".to_string()),
                    Message::End => seen.push("end".to_string()),
                    other => seen.push(format!("{other:?}")),
                }
            }
            (seen, self.task.await.expect("no panic"))
        }
    }

    const MANY: LookupLimits = LookupLimits { capacity: 100, timeout: None };
    const SECOND: Duration = Duration::from_secs(1);

    fn messages() -> Vec<Message> {
        vec![batch("a"), batch("b"), Message::Watermark(EventTime(5)), barrier(), batch("c")]
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_found_sooner_waits_for_what_came_before_it_and_so_does_a_barrier() {
        let shelf = Shelf::new(&[("a", 1), ("b", 2), ("c", 3)]).slow(3 * SECOND, SECOND);
        let begun = tokio::time::Instant::now();
        let (seen, ended) = run(&shelf, false, MANY).gives(messages()).await;
        assert_eq!(seen, ["a Some(1)", "b Some(2)", "watermark 5", "barrier", "c Some(3)", "end"]);
        assert!(ended.is_ok());
        assert_eq!(begun.elapsed(), 3 * SECOND, "all lookups are under way at once");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_lookups_are_under_way_than_may_be() {
        let shelf = Shelf::new(&[("a", 1), ("b", 2), ("c", 3)]).slow(SECOND, Duration::ZERO);
        let begun = tokio::time::Instant::now();
        let limits = LookupLimits { capacity: 2, timeout: None };
        let (seen, _) = run(&shelf, false, limits).gives(messages()).await;
        assert_eq!(seen.len(), 6);
        assert_eq!(begun.elapsed(), 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_is_asked_once_and_a_null_not_at_all() {
        let shelf = Shelf::new(&[("a", 1), ("a", 2)]);
        let left = words(&[Some("a"), None, Some("x"), Some("a")]);
        let marks = vec![Mark { row: 1, time: EventTime(7) }, Mark { row: 3, time: EventTime(8) }];
        let nulls = Message::Batch(Batch::append(words(&[None])));
        let asked = vec![Message::Batch(Batch::append(left).with_marks(marks)), nulls];
        let (seen, _) = run(&shelf, true, MANY).gives(asked.clone()).await;
        let rows = ["a Some(1)", "a Some(2)", "null None", "x None", "a Some(1)", "a Some(2)", "mark 2 7", "mark 4 8"];
        assert_eq!(seen[..8], rows);
        assert_eq!(seen[8..], ["null None", "end"]);
        assert_eq!(shelf.take_asked(), [["a", "x"]]);
        let (seen, _) = run(&shelf, false, MANY).gives(asked).await;
        assert_eq!(seen, ["a Some(1)", "a Some(2)", "a Some(1)", "a Some(2)", "mark 2 8", "end"]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_senders_are_gone_without_an_end_what_has_come_still_goes_out() {
        let shelf = Shelf::new(&[("a", 1)]).slow(SECOND, Duration::ZERO);
        let Running { input, mut out, task, _reports } = run(&shelf, false, MANY);
        assert!(input.send(batch("a")).await.is_ok(), "the task listens");
        drop(input);
        let mut seen = 0;
        while let Some(delivery) = out.receive().await {
            assert!(matches!(delivery.message, Message::Batch(_)), "there is no end");
            seen += 1;
        }
        assert_eq!(seen, 1);
        assert!(task.await.expect("no panic").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_takes_too_long_fails_and_so_does_one_that_fails() {
        let shelf = Shelf::new(&[("a", 1)]).slow(2 * SECOND, 2 * SECOND);
        let limits = LookupLimits { capacity: 100, timeout: Some(SECOND) };
        let (seen, ended) = run(&shelf, false, limits).gives(vec![batch("a")]).await;
        assert!(seen.is_empty());
        let error = ended.expect_err("it takes two seconds");
        assert!(
            error.to_string().starts_with("a lookup in table dim took too long\n  in:  operator lookup dim"),
            "{error}"
        );
        assert!(error.to_string().contains("after 1 s"), "{error}");
        let shelf = Shelf::new(&[("a", 1)]).failing(1);
        let (_, ended) = run(&shelf, false, MANY).gives(vec![batch("a")]).await;
        assert_eq!(ended.expect_err("it fails").to_string(), "the shelf is locked\n  in:  operator lookup dim");
    }
}
