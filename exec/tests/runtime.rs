//! Whole jobs without SQL: graphs built by hand, run to their end, failed and cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use tidemill_exec::aggregate::{AggregateCall, find};
use tidemill_exec::connect::{Offset, Reader, Sink, Source, SplitBatch, SplitId, Writer};
use tidemill_exec::exchange::Limits;
use tidemill_exec::graph::{Edge, Exchange, Feedback, Head, JobGraph, SourceHead, Stage, StageId, Tail};
use tidemill_exec::operators::{Aggregate, AggregateColumn, Emit, Iterate, Limit};
use tidemill_exec::{
    Batch, ChangeBatch, Error, ExplainLine, Input, JobEvent, JobOptions, Operator, OperatorSpec, Output, Result,
    ShardContext, launch,
};
use tidemill_state::Epoch;
use tokio::sync::{mpsc, watch};

const EPOCH: Duration = Duration::from_millis(20);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_new(schema(), vec![column]).expect("one column of numbers")
}

/// What a test source gives: some batches, and then the end or nothing for ever.
#[derive(Debug, Clone)]
struct Numbers {
    splits: usize,
    batches: Vec<Vec<i64>>,
    endless: Endless,
    /// Readers that are open, to see that they are dropped.
    open: Arc<AtomicUsize>,
    /// Batches handed out.
    given: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Endless {
    /// Ends after the batches.
    No,
    /// Gives nothing more, and does not end.
    Silent,
    /// Gives the batches again and again.
    Repeating,
}

impl Numbers {
    fn new(splits: usize, batches: &[&[i64]], endless: Endless) -> Numbers {
        let batches = batches.iter().map(|batch| batch.to_vec()).collect();
        Numbers { splits, batches, endless, open: Arc::default(), given: Arc::default() }
    }
}

#[async_trait]
impl Source for Numbers {
    fn bounded(&self) -> bool {
        self.endless == Endless::No
    }

    async fn splits(&self) -> Result<Vec<SplitId>> {
        Ok((0..self.splits).map(|split| SplitId::new(split.to_string())).collect())
    }

    async fn open(&self, splits: Vec<(SplitId, Option<Offset>)>) -> Result<Box<dyn Reader>> {
        self.open.fetch_add(1, Ordering::SeqCst);
        let pending = splits
            .into_iter()
            .flat_map(|(split, _)| self.batches.iter().map(move |batch| (split.clone(), batch.clone())))
            .collect::<Vec<_>>();
        Ok(Box::new(NumbersReader { source: self.clone(), pending, next: 0 }))
    }
}

struct NumbersReader {
    source: Numbers,
    pending: Vec<(SplitId, Vec<i64>)>,
    next: usize,
}

#[async_trait]
impl Reader for NumbersReader {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        if self.next >= self.pending.len() {
            match self.source.endless {
                _ if self.pending.is_empty() => return Ok(None),
                Endless::No => return Ok(None),
                Endless::Silent => std::future::pending().await,
                Endless::Repeating => {
                    self.next = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
        let (split, values) = self.pending[self.next].clone();
        self.next += 1;
        self.source.given.fetch_add(1, Ordering::SeqCst);
        let rows = Batch::append(numbers(values));
        Ok(Some(SplitBatch { split, rows, resume_at: Offset(Bytes::new()), skipped: None, ended: false }))
    }
}

impl Drop for NumbersReader {
    fn drop(&mut self) {
        self.source.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Hands changes to the test; while `gate` is closed, does not take any.
#[derive(Debug, Clone)]
struct Collect {
    changes: mpsc::UnboundedSender<Option<ChangeBatch>>,
    gate: watch::Receiver<bool>,
}

#[async_trait]
impl Sink for Collect {
    fn accepts_updates(&self) -> bool {
        true
    }

    async fn open(&self, _: &ShardContext) -> Result<Box<dyn Writer>> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Writer for Collect {
    async fn write(&mut self, changes: ChangeBatch) -> Result<()> {
        self.gate.wait_for(|open| *open).await.map_err(|_| Error::new("the test is over"))?;
        self.changes.send(Some(changes)).map_err(|_| Error::new("the test is over"))
    }

    async fn flush(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        let _ = self.changes.send(None);
        Ok(())
    }
}

struct Collected {
    sink: Arc<Collect>,
    changes: mpsc::UnboundedReceiver<Option<ChangeBatch>>,
    gate: watch::Sender<bool>,
}

fn collect() -> Collected {
    let (sender, changes) = mpsc::unbounded_channel();
    let (gate, opened) = watch::channel(true);
    Collected { sink: Arc::new(Collect { changes: sender, gate: opened }), changes, gate }
}

fn source(source: Numbers, parallelism: u16) -> Stage {
    let head = Head::Source(SourceHead { table: "numbers".to_string(), source: Arc::new(source), watermark: None });
    Stage { name: "source".to_string(), head, chain: vec![], tail: Tail::Exchange, parallelism }
}

fn stage(chain: Vec<Arc<dyn OperatorSpec>>, collected: &Collected, parallelism: u16) -> Stage {
    let tail = Tail::Sink { table: "result".to_string(), sink: collected.sink.clone() };
    Stage { name: "stage".to_string(), head: Head::Inputs, chain, tail, parallelism }
}

fn edge(from: usize, to: usize, exchange: Exchange) -> Edge {
    Edge { from: StageId(from), to: StageId(to), input: Input(0), exchange }
}

fn counts() -> Arc<dyn OperatorSpec> {
    let result = Arc::new(Field::new("count", DataType::Int64, true));
    let call = AggregateCall {
        function: find("COUNT").expect("COUNT exists"),
        arguments: vec![],
        distinct: false,
        ignore_nulls: false,
        result: Arc::clone(&result),
        retracting: false,
    };
    let columns = vec![AggregateColumn { call, arguments: vec![], filter: None }];
    let output = Arc::new(Schema::new(vec![schema().field(0).clone(), result.as_ref().clone()]));
    let (input, emit) = (schema(), Emit::Epoch);
    Arc::new(Aggregate {
        keys: vec![0],
        columns,
        input,
        partial: false,
        retracting: false,
        emit,
        ttl: None,
        schema: output,
    })
}

/// Misbehaves at the first row.
#[derive(Debug, Clone, Copy)]
enum Bad {
    Fails,
    Panics,
}

impl OperatorSpec for Bad {
    fn name(&self) -> &'static str {
        "bad"
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn explain(&self, _: &mut ExplainLine) {}

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(*self))
    }
}

impl Operator for Bad {
    fn on_batch(&mut self, _: Input, _: Batch, _: &mut Output) -> Result<()> {
        match self {
            Bad::Fails => Err(Error::new("division by zero")),
            Bad::Panics => panic!("every row is even"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_counted_across_shards_and_splits() {
    let mut collected = collect();
    let graph = JobGraph {
        stages: vec![
            source(Numbers::new(3, &[&[1, 2, 3], &[1, 1], &[7]], Endless::No), 2),
            stage(vec![counts()], &collected, 4),
        ],
        edges: vec![edge(0, 1, Exchange::Hash(vec![0]))],
    };
    let mut job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    job.wait(|_| {}).await.expect("the job finishes");
    let mut net = std::collections::BTreeMap::new();
    drop(collected.sink);
    while let Some(changes) = collected.changes.recv().await {
        let Some(changes) = changes else { continue };
        let (keys, counts) = (changes.rows.column(0).as_primitive::<Int64Type>(), changes.rows.column(1));
        for row in 0..changes.rows.num_rows() {
            let sign = if changes.kind(row).is_positive() { 1 } else { -1 };
            *net.entry((keys.value(row), counts.as_primitive::<Int64Type>().value(row))).or_insert(0) += sign;
        }
    }
    net.retain(|_, weight| *weight != 0);
    let expected = [((1, 9), 1), ((2, 3), 1), ((3, 3), 1), ((7, 3), 1)];
    assert_eq!(net.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(job.metrics.rows_read.load(Ordering::SeqCst), 18);
}

/// Passes rows on, when event time passes or at once.
#[derive(Debug)]
struct Passing {
    waits: bool,
}

impl OperatorSpec for Passing {
    fn name(&self) -> &'static str {
        "passing"
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn explain(&self, _: &mut ExplainLine) {}

    fn waits_for_time(&self) -> bool {
        self.waits
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        unreachable!("its jobs are only looked at")
    }
}

#[tokio::test]
async fn a_job_is_patient_if_all_that_its_sinks_get_waits_for_event_time() {
    let numbers = || source(Numbers::new(1, &[&[1]], Endless::No), 1);
    let passing = |waits| Arc::new(Passing { waits }) as Arc<dyn OperatorSpec>;
    // A source, what stands between, and a sink; a branch of it may lead to another sink.
    let waits = |between: bool, before_sink: bool, branches: bool| {
        let (first, second) = (collect(), collect());
        let middle = Stage { chain: vec![passing(between)], ..numbers() };
        let middle = Stage { head: Head::Inputs, ..middle };
        let mut edges = vec![edge(0, 1, Exchange::Forward), edge(1, 2, Exchange::Forward)];
        edges.extend(branches.then(|| edge(0, 3, Exchange::Forward)));
        let stages = vec![
            numbers(),
            middle,
            stage(vec![passing(before_sink)], &first, 1),
            stage(vec![passing(!branches)], &second, 1),
        ];
        JobGraph { stages, edges }.waits_for_time()
    };
    assert!(waits(true, false, false) && waits(false, true, false) && waits(true, true, false));
    assert!(!waits(false, false, false) && !waits(true, true, true));
}

async fn failure_of(bad: Bad) -> String {
    let collected = collect();
    let numbers = Numbers::new(2, &[&[1]], Endless::Repeating);
    let open = Arc::clone(&numbers.open);
    let graph = JobGraph {
        stages: vec![source(numbers, 2), stage(vec![Arc::new(bad)], &collected, 2)],
        edges: vec![edge(0, 1, Exchange::Spread)],
    };
    let mut job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    let error = job.wait(|_| {}).await.expect_err("the job fails");
    assert_eq!(open.load(Ordering::SeqCst), 0, "the endless readers are gone before the failure is told");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_in_one_task_fails_the_job_with_the_operators_name() {
    let text = failure_of(Bad::Fails).await;
    assert!(text.contains("division by zero") && text.contains("operator bad"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_one_task_fails_the_job_and_not_the_process() {
    let text = failure_of(Bad::Panics).await;
    assert!(text.contains("every row is even"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_source_beside_an_endless_one_does_not_hold_up_epochs() {
    let mut collected = collect();
    let graph = JobGraph {
        stages: vec![
            source(Numbers::new(1, &[&[1, 1]], Endless::No), 1),
            source(Numbers::new(1, &[&[1]], Endless::Silent), 1),
            stage(vec![counts()], &collected, 1),
        ],
        edges: vec![edge(0, 2, Exchange::Hash(vec![0])), edge(1, 2, Exchange::Hash(vec![0]))],
    };
    let _job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    let mut seen = 0;
    while seen < 3 {
        let changes = collected.changes.recv().await.flatten().expect("the endless side keeps the job running");
        let counts = changes.rows.column(1).as_primitive::<Int64Type>();
        seen = counts.value(changes.rows.num_rows() - 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_edge_of_a_stage_gets_all_its_rows_also_when_another_has_enough() {
    let (mut all, mut some) = (collect(), collect());
    let values: Vec<Vec<i64>> = (0..20).map(|n| vec![n; 10]).collect();
    let batches: Vec<&[i64]> = values.iter().map(Vec::as_slice).collect();
    let limit = Limit { skip: 0, fetch: Some(5), schema: schema() };
    let graph = JobGraph {
        stages: vec![
            source(Numbers::new(2, &batches, Endless::No), 2),
            stage(vec![], &all, 2),
            stage(vec![Arc::new(limit)], &some, 1),
        ],
        edges: vec![edge(0, 1, Exchange::Forward), edge(0, 2, Exchange::Spread)],
    };
    let mut job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    job.wait(|_| {}).await.expect("the job finishes");
    let mut rows = [0, 0];
    for (collected, rows) in [&mut all, &mut some].into_iter().zip(&mut rows) {
        while let Ok(changes) = collected.changes.try_recv() {
            *rows += changes.map_or(0, |changes| changes.rows.num_rows());
        }
    }
    assert_eq!(rows, [400, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_ends_an_endless_job() {
    let mut collected = collect();
    let limit = Limit { skip: 0, fetch: Some(5), schema: schema() };
    let graph = JobGraph {
        stages: vec![
            source(Numbers::new(2, &[&[1, 2]], Endless::Repeating), 2),
            stage(vec![Arc::new(limit)], &collected, 1),
        ],
        edges: vec![edge(0, 1, Exchange::Spread)],
    };
    let mut job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    job.wait(|_| {}).await.expect("the job finishes");
    drop(collected.sink);
    let mut rows = 0;
    while let Some(changes) = collected.changes.recv().await {
        rows += changes.map_or(0, |changes| changes.rows.num_rows());
    }
    assert_eq!(rows, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_takes_nothing_stops_the_source() {
    let collected = collect();
    collected.gate.send_replace(false);
    let values: Vec<i64> = (0..8192).collect();
    let numbers = Numbers::new(1, &[&values], Endless::Repeating);
    let given = Arc::clone(&numbers.given);
    let graph = JobGraph {
        stages: vec![source(numbers, 1), stage(vec![], &collected, 1)],
        edges: vec![edge(0, 1, Exchange::Forward)],
    };
    let _job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    // The source stands still once the channel is full: its count does not change over many turns of the scheduler.
    let mut before = usize::MAX;
    loop {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let now = given.load(Ordering::SeqCst);
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    assert!(before < 64, "{before} batches of 64 KB are far more than a channel holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_job_closes_its_readers() {
    let collected = collect();
    let numbers = Numbers::new(2, &[&[1]], Endless::Silent);
    let open = Arc::clone(&numbers.open);
    let graph = JobGraph {
        stages: vec![source(numbers, 2), stage(vec![], &collected, 2)],
        edges: vec![edge(0, 1, Exchange::Forward)],
    };
    let job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    assert_eq!(open.load(Ordering::SeqCst), 2);
    drop(job);
    while open.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn notes_and_the_end_are_reported_in_order() {
    let collected = collect();
    let graph = JobGraph {
        stages: vec![source(Numbers::new(1, &[], Endless::No), 1), stage(vec![], &collected, 1)],
        edges: vec![edge(0, 1, Exchange::Forward)],
    };
    let mut job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    let mut last = None;
    while let Some(event) = job.event().await {
        last = Some(event);
    }
    assert!(matches!(last, Some(JobEvent::Finished)));
}

/// One less; of 1 and below nothing.
#[derive(Debug, Clone, Copy)]
struct CountDown;

impl OperatorSpec for CountDown {
    fn name(&self) -> &'static str {
        "count-down"
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn explain(&self, _: &mut ExplainLine) {}

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(*self))
    }
}

impl Operator for CountDown {
    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let values = batch.rows().column(0).as_primitive::<Int64Type>().values();
        out.send(Batch::append(numbers(values.iter().filter(|&&n| n > 1).map(|n| n - 1))));
        Ok(())
    }
}

/// Numbers go round and become less by one each time. The loop is cut over so many shards, `back` says how.
fn counting_down(numbers: Numbers, collected: &Collected, head: u16, body: u16, back: Exchange) -> JobGraph {
    let into_body = if head == body { Exchange::Forward } else { Exchange::Spread };
    let iterate = Iterate { name: "n".to_string(), schema: schema() };
    let feedback = Feedback { from: StageId(2), exchange: back, limits: Limits { rounds: 1000, bytes: 1 << 20 } };
    let looping = |name: &str, head: Head, operator: Arc<dyn OperatorSpec>, parallelism: u16| {
        let (name, chain) = (name.to_string(), vec![operator]);
        Stage { name, head, chain, tail: Tail::Exchange, parallelism }
    };
    JobGraph {
        stages: vec![
            source(numbers, 1),
            looping("head", Head::Loop(feedback), Arc::new(iterate), head),
            looping("body", Head::Inputs, Arc::new(CountDown), body),
            stage(vec![], collected, head),
        ],
        edges: vec![edge(0, 1, Exchange::Spread), edge(1, 2, into_body), edge(1, 3, Exchange::Forward)],
    }
}

async fn sum_of_rows(collected: Collected) -> (usize, i64) {
    let Collected { sink, mut changes, .. } = collected;
    drop(sink);
    let (mut rows, mut sum) = (0, 0);
    while let Some(changes) = changes.recv().await {
        let Some(changes) = changes else { continue };
        rows += changes.rows.num_rows();
        sum += changes.rows.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    }
    (rows, sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_ends_with_all_its_rows_at_every_parallelism_and_however_they_come_back() {
    let ways = [
        (1, 1, Exchange::Forward),
        (3, 3, Exchange::Forward),
        (3, 3, Exchange::Spread),
        (2, 4, Exchange::Hash(vec![0])),
        (4, 1, Exchange::Hash(vec![0])),
    ];
    for (head, body, back) in ways {
        let collected = collect();
        let numbers = Numbers::new(2, &[&[100, 1, 7], &[50]], Endless::No);
        let graph = counting_down(numbers, &collected, head, body, back.clone());
        let mut job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
        job.wait(|_| {}).await.expect("the job finishes");
        // Each number and all below it, twice.
        let found = sum_of_rows(collected).await;
        assert_eq!(found, (2 * 158, 2 * (5050 + 1 + 28 + 1275)), "{head} heads, {body} in the body, {back}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_pass_a_loop_that_reads_on_and_their_results_are_whole() {
    let mut collected = collect();
    let numbers = Numbers::new(1, &[&[500]], Endless::Silent);
    let graph = counting_down(numbers, &collected, 2, 2, Exchange::Hash(vec![0]));
    let mut job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    loop {
        let event = job.event().await.expect("the job goes on");
        if matches!(event, JobEvent::Epoch(_)) {
            break;
        }
    }
    let mut rows = 0;
    while let Ok(changes) = collected.changes.try_recv() {
        rows += changes.map_or(0, |changes| changes.rows.num_rows());
    }
    assert_eq!(rows, 500, "the epoch in which 500 was read has all that follows from it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_within_a_loop_fails_the_job() {
    let collected = collect();
    let mut graph = counting_down(Numbers::new(1, &[&[3]], Endless::No), &collected, 2, 2, Exchange::Spread);
    graph.stages[2].chain = vec![Arc::new(Bad::Fails)];
    let mut job = launch(graph, JobOptions::new(EPOCH), None).await.expect("the job starts");
    let error = job.wait(|_| {}).await.expect_err("the job fails");
    assert!(error.to_string().contains("operator bad"), "{error}");
}
