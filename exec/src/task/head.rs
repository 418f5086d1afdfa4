//! A task at the head of a loop: rows come in from outside, and back from the loop. `Rounds` decides; this waits, feeds and sends.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use tidemill_state::EventTime;
use tidemill_state::checkpoint::Distribution;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::chain::in_flight;
use super::{Chain, Next, Reports, Shard, Tail};
use crate::coordinator::Signal;
use crate::error::{Error, Result};
use crate::exchange::channel::Delivery;
use crate::exchange::{Align, Aligned, Inbox, LaneId, LaneStart, Limits, Rounds, Step};
use crate::graph::Exchange;
use crate::message::{Barrier, Batch, Message};
use crate::operator::{Input, TableSnapshot};

/// While so many bytes have come back and wait, nothing is read from outside.
const BYTES_BEFORE_INPUTS_WAIT: usize = 1 << 20;

/// What one head reads.
pub struct HeadTask {
    pub inputs: Inbox,
    pub lanes: Vec<LaneStart>,
    pub feedback: Inbox,
    pub feedback_lanes: usize,
    /// The coordinator's: its inputs may have ended long before the loop does, and barriers go on.
    pub barriers: mpsc::UnboundedReceiver<Barrier>,
    /// How rows find the head that they come back to.
    pub exchange: Exchange,
    /// Of the rows.
    pub schema: SchemaRef,
    pub limits: Limits,
}

/// Runs the head until the loop has ended, nobody wants its rows, or the job stops.
pub async fn run_head(task: HeadTask, chain: Chain, tail: Tail, reports: &Reports) -> Result<()> {
    let shard = Shard::new(chain, tail, reports);
    Head::new(task, shard, reports).run().await
}

struct Head<'a> {
    task: HeadTask,
    shard: Shard<'a>,
    reports: &'a Reports,
    rounds: Rounds,
    /// Of the inputs, and behind them the coordinator, which is a lane as they are.
    align: Align<Option<Delivery>>,
    /// Inputs that have not sent their end. One that has may be gone before the end is released, which waits behind a barrier.
    sending: usize,
    /// What the inputs have released, as it waits behind a barrier.
    released: VecDeque<Aligned>,
    /// What has come back behind a barrier that this head has not passed.
    held: VecDeque<Delivery>,
    is_drained: bool,
    /// It has taken in rows since the last barrier, or since it had nothing to do.
    is_active: bool,
    /// Whose turn it is.
    inputs_first: bool,
}

enum Event {
    Barrier(Option<Barrier>),
    /// `None`: nobody is there to send.
    Input(Option<Delivery>),
    Feedback(Option<Delivery>),
}

impl<'a> Head<'a> {
    fn new(task: HeadTask, shard: Shard<'a>, reports: &'a Reports) -> Head<'a> {
        let coordinator = LaneStart { silent: true, ..LaneStart::of(Input(0)) };
        let lanes = task.lanes.iter().copied().chain([coordinator]).collect();
        Head {
            rounds: Rounds::new(task.feedback_lanes, task.limits),
            align: Align::new(lanes, EventTime::MIN),
            sending: task.lanes.len(),
            task,
            shard,
            reports,
            released: VecDeque::new(),
            held: VecDeque::new(),
            is_drained: false,
            is_active: false,
            inputs_first: false,
        }
    }

    async fn run(mut self) -> Result<()> {
        for rows in self.shard.take_in_flight() {
            if self.take_in(Batch::append(rows)).await? == Next::Ended {
                return self.end().await;
            }
        }
        loop {
            while let Some(step) = self.rounds.step() {
                match step {
                    Step::Send(round) => self.shard.feed(Aligned::Round(round))?,
                    Step::Pass(barrier) => {
                        self.is_active = false;
                        self.shard.pass(barrier, Vec::new())?;
                    }
                    Step::Complete(rows) => {
                        let rows = self.table(rows)?;
                        if self.shard.acknowledge(Some(rows)).await? == Next::Stopped {
                            return Ok(());
                        }
                    }
                    Step::End => return self.end().await,
                }
                if self.shard.send().await? == Next::Ended && !self.rounds.stops() {
                    return self.end().await;
                }
            }
            let held = self.held.pop_front_if(|held| !self.rounds.is_ahead(held.lane));
            let released = self.released.pop_front_if(|_| held.is_none() && !self.rounds.is_at_barrier());
            let next = match (held, released) {
                (Some(held), _) => self.came_back(held).await?,
                (None, Some(released)) => self.process(released).await?,
                (None, None) => match self.event().await? {
                    Event::Barrier(Some(barrier)) => self.align(Message::Barrier(barrier), None),
                    Event::Barrier(None) => {
                        self.is_drained = true;
                        self.rounds.drain();
                        self.align(Message::End, None)
                    }
                    Event::Input(Some(delivery)) => {
                        self.sending -= usize::from(matches!(delivery.message, Message::End));
                        self.align(delivery.message.clone(), Some(delivery))
                    }
                    Event::Feedback(Some(delivery)) if self.rounds.is_ahead(delivery.lane) => {
                        self.held.push_back(delivery);
                        Next::More
                    }
                    Event::Feedback(Some(delivery)) => self.came_back(delivery).await?,
                    // The job is failing.
                    Event::Input(None) | Event::Feedback(None) => return self.shard.abandon().await,
                },
            };
            if next == Next::Ended && !self.rounds.stops() {
                return self.end().await;
            }
            if self.released.is_empty() && self.align.have_ended(self.task.lanes.len()) {
                self.rounds.inputs_ended();
            }
        }
    }

    /// The next that happens; says so when there is nothing to do for now.
    async fn event(&mut self) -> Result<Event> {
        let reads =
            !self.rounds.is_at_barrier() && self.sending > 0 && self.task.feedback.bytes() < BYTES_BEFORE_INPUTS_WAIT;
        self.inputs_first = !self.inputs_first;
        let HeadTask { inputs, feedback, barriers, .. } = &mut self.task;
        if !self.is_drained {
            match barriers.try_recv() {
                Ok(barrier) => return Ok(Event::Barrier(Some(barrier))),
                Err(TryRecvError::Disconnected) => return Ok(Event::Barrier(None)),
                Err(TryRecvError::Empty) => {}
            }
        }
        let mut input = || inputs.try_receive().map(|delivery| Event::Input(Some(delivery)));
        let mut back = || feedback.try_receive().map(|delivery| Event::Feedback(Some(delivery)));
        let ready = match reads {
            true if self.inputs_first => input().or_else(back),
            true => back().or_else(input),
            false => back(),
        };
        if let Some(event) = ready {
            return Ok(event);
        }
        if std::mem::take(&mut self.is_active) {
            self.reports.signal(Signal::CaughtUp(self.reports.task)).await;
        }
        let (shard, is_drained) = (&mut self.shard, self.is_drained);
        shard
            .until(async {
                tokio::select! {
                    biased;
                    barrier = barriers.recv(), if !is_drained => Event::Barrier(barrier),
                    delivery = feedback.receive() => Event::Feedback(delivery),
                    delivery = inputs.receive(), if reads => Event::Input(delivery),
                }
            })
            .await
    }

    fn align(&mut self, message: Message, delivery: Option<Delivery>) -> Next {
        let lane = delivery.as_ref().map_or(LaneId(self.task.lanes.len()), |delivery| delivery.lane);
        let released = &mut self.released;
        let Ok(()) = self.align.push(lane, message, delivery, &mut |aligned| {
            released.push_back(aligned);
            Ok::<(), std::convert::Infallible>(())
        });
        Next::More
    }

    async fn process(&mut self, released: Aligned) -> Result<Next> {
        match released {
            Aligned::Batch(_, batch) => self.take_in(batch).await,
            Aligned::Barrier(barrier) => {
                self.rounds.arrived(barrier);
                Ok(Next::More)
            }
            // Rows that have gone round belong to no time.
            Aligned::Watermark(_) | Aligned::Idle => Ok(Next::More),
            // The loop goes on without its inputs.
            Aligned::Round(_) | Aligned::End => Ok(Next::More),
        }
    }

    async fn came_back(&mut self, delivery: Delivery) -> Result<Next> {
        self.rounds.came_back(delivery.lane, &delivery.message);
        let waiting = self.task.feedback.bytes();
        if waiting > self.task.limits.bytes {
            return Err(too_much(waiting));
        }
        match &delivery.message {
            Message::Batch(batch) if !self.rounds.stops() => self.take_in(batch.clone()).await,
            _ => Ok(Next::More),
        }
    }

    async fn take_in(&mut self, batch: Batch) -> Result<Next> {
        // Rows that come back while the barrier waits belong to its epoch.
        if !self.is_active && !self.rounds.is_at_barrier() {
            self.is_active = true;
            self.reports.signal(Signal::Active(self.reports.task)).await;
        }
        self.shard.feed(Aligned::Batch(Input(0), batch.without_marks()))?;
        self.rounds.sent(self.shard.rows());
        let next = self.shard.send().await?;
        self.shard.ask_for_barrier().await;
        Ok(next)
    }

    /// Nothing will come out again, or be wanted: whoever is behind learns it.
    async fn end(mut self) -> Result<()> {
        self.shard.finish().await?;
        let nothing = self.table(Vec::new())?;
        self.shard.close_with(Vec::new(), Some(nothing))
    }

    /// Rows in flight as a table.
    fn table(&self, rows: Vec<RecordBatch>) -> Result<TableSnapshot> {
        let distribution = match &self.task.exchange {
            Exchange::Hash(columns) => Distribution::ByKey(columns.clone()),
            Exchange::Forward | Exchange::Broadcast | Exchange::Spread => Distribution::ToFirst,
        };
        Ok(in_flight(concat_batches(&self.task.schema, &rows)?, distribution))
    }
}

fn too_much(bytes: usize) -> Error {
    let size = bytes >> 20;
    Error::new("a recursive query makes more rows than it takes in")
        .why(format!("{size} MB of its rows wait for their next round, and each round adds to them"))
        .fix("bound it in WHERE, such as depth < 100; write UNION where the same rows come again; or raise 'table.exec.recursion.memory'")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidemill_state::Epoch;

    use super::*;
    use crate::coordinator::TaskId;
    use crate::exchange::{Router, Sender, feedback, inbox};
    use crate::operator::ShardContext;
    use crate::task::tail::Outgoing;
    use crate::testing::rows;

    #[tokio::test]
    async fn an_input_that_is_gone_before_the_barrier_in_front_of_its_end_has_passed_is_no_failure() {
        let (mut input, inputs) = inbox(1);
        let (mut out, mut body) = inbox(1);
        let (back, feedback) = feedback(1);
        let (coordinator, barriers) = mpsc::unbounded_channel();
        let task = HeadTask {
            inputs,
            lanes: vec![LaneStart::of(Input(0))],
            feedback,
            feedback_lanes: 1,
            barriers,
            exchange: Exchange::Forward,
            schema: rows(&[]).schema(),
            limits: Limits { rounds: 0, bytes: usize::MAX },
        };
        let outgoing = |sender: Option<Sender>, in_loop: bool| Outgoing {
            router: Router::new(Exchange::Forward, 0, 1),
            senders: vec![sender],
            in_loop,
        };
        let (mut out_of_loop, _reader) = inbox(1);
        let edges = vec![outgoing(out.pop(), true), outgoing(out_of_loop.pop(), false)];
        let chain = Chain::open(&[], &ShardContext::SINGLE).expect("an empty chain opens");
        let (signals, _reports) = mpsc::unbounded_channel();
        let reports = Reports { task: TaskId(0), signals, metrics: Arc::default(), checkpoints: false };
        let head = tokio::spawn(async move { run_head(task, chain, Tail::Exchange(edges), &reports).await });

        let barrier = Barrier { epoch: Epoch(1), time: EventTime(0), checkpoint: None, stops: false };
        let input = input.pop().expect("one lane");
        for message in [Message::Batch(Batch::append(rows(&["a"]))), Message::Barrier(barrier), Message::End] {
            assert!(input.send(message).await.is_ok(), "the head listens");
        }
        drop(input);
        // The head sees that nobody is there to send before it hears of the barrier.
        let mut seen = Vec::new();
        let first = body.receive().await.expect("the row goes round");
        seen.push(first.message.clone());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        coordinator.send(barrier).expect("the head is still there");
        while let Some(delivery) = body.receive().await {
            let message = delivery.message.clone();
            seen.push(message.clone());
            if matches!(message, Message::End) {
                break;
            }
            // A body that makes no rows.
            if matches!(message, Message::Barrier(_) | Message::Round(_)) {
                assert!(back[0].send(message).await.is_ok(), "the head listens");
            }
        }
        assert!(matches!(seen.last(), Some(Message::End)), "the loop ends: {} messages came", seen.len());
        assert!(seen.iter().any(|message| matches!(message, Message::Barrier(_))), "the barrier passes");
        assert!(head.await.expect("no panic").is_ok());
    }
}
