//! Channels bounded in bytes, so that a slow task slows its sources down and nothing else grows.
//!
//! A task has one [`Inbox`]; every shard that sends to it has a lane of its own with its own budget. A message's bytes count until
//! the receiver is done with it, also while alignment holds it back: a lane blocked by a barrier therefore stops its sender
//! and no other.
//!
//! The lanes that close a loop have no bound: tasks that all wait for room in front of each other would wait for ever. Who reads them
//! looks at how much there is ([`Inbox::bytes`]).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::align::LaneId;
use crate::message::Message;

/// What one lane may hold. A larger batch passes alone.
const LANE_BYTES: usize = 1 << 20;

/// What a control message counts, so that a flood of them is bounded too.
const CONTROL_BYTES: usize = 64;

/// The receiver is gone: it has all it needs, or has failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed;

/// A message that has arrived. Dropping it gives its bytes back to the lane's budget.
pub struct Delivery {
    pub lane: LaneId,
    pub message: Message,
    _budget: OwnedSemaphorePermit,
}

/// The sending end of one lane.
pub struct Sender {
    lane: LaneId,
    queue: mpsc::UnboundedSender<Delivery>,
    budget: Arc<Semaphore>,
    /// What the budget is at most.
    most: usize,
}

impl Sender {
    /// Waits until the lane has room.
    ///
    /// # Errors
    /// [`Closed`] once the inbox has been dropped, also while waiting.
    pub async fn send(&self, message: Message) -> Result<(), Closed> {
        let bytes = match &message {
            Message::Batch(batch) => batch.bytes().clamp(CONTROL_BYTES, self.most.min(u32::MAX as usize)),
            _ => CONTROL_BYTES,
        };
        let permit = Arc::clone(&self.budget).acquire_many_owned(bytes as u32).await.map_err(|_| Closed)?;
        self.queue.send(Delivery { lane: self.lane, message, _budget: permit }).map_err(|_| Closed)
    }
}

/// The receiving end of all lanes of one task.
pub struct Inbox {
    queue: mpsc::UnboundedReceiver<Delivery>,
    budgets: Vec<Arc<Semaphore>>,
    most: usize,
}

impl Inbox {
    /// The next message of any lane, in arrival order; order within a lane is kept. `None` when every sender is gone.
    pub async fn receive(&mut self) -> Option<Delivery> {
        self.queue.recv().await
    }

    /// The same, if there is one already.
    pub fn try_receive(&mut self) -> Option<Delivery> {
        self.queue.try_recv().ok()
    }

    /// Bytes that have been sent and are not done with.
    pub fn bytes(&self) -> usize {
        self.budgets.iter().map(|budget| self.most - budget.available_permits()).sum()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.budgets.iter().for_each(|budget| budget.close());
    }
}

/// An inbox with `lanes` senders.
pub fn inbox(lanes: usize) -> (Vec<Sender>, Inbox) {
    lanes_of(lanes, LANE_BYTES)
}

/// An inbox with `lanes` senders that never wait.
pub fn feedback(lanes: usize) -> (Vec<Sender>, Inbox) {
    lanes_of(lanes, Semaphore::MAX_PERMITS)
}

fn lanes_of(lanes: usize, most: usize) -> (Vec<Sender>, Inbox) {
    let (queue, receiver) = mpsc::unbounded_channel();
    let budgets: Vec<Arc<Semaphore>> = (0..lanes).map(|_| Arc::new(Semaphore::new(most))).collect();
    let senders = budgets
        .iter()
        .enumerate()
        .map(|(lane, budget)| Sender { lane: LaneId(lane), queue: queue.clone(), budget: Arc::clone(budget), most })
        .collect();
    (senders, Inbox { queue: receiver, budgets, most })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tidemill_state::EventTime;

    /// Whether the message went out without waiting.
    fn try_send(sender: &Sender, message: Message) -> bool {
        // Tokio makes a task that never waits yield now and then; that is not the waiting meant here.
        tokio::task::unconstrained(sender.send(message)).now_or_never().is_some()
    }

    #[tokio::test]
    async fn a_full_lane_waits_and_the_other_does_not() {
        let (senders, mut inbox) = inbox(2);
        let mut sent = 0;
        while try_send(&senders[0], Message::Watermark(EventTime(sent))) {
            sent += 1;
        }
        assert_eq!(sent as usize, LANE_BYTES / CONTROL_BYTES);
        assert!(try_send(&senders[1], Message::Idle));
        let held = inbox.receive().await.expect("a message was sent");
        assert!(!try_send(&senders[0], Message::Idle), "held messages count");
        drop(held);
        assert!(try_send(&senders[0], Message::Idle));
    }

    #[tokio::test]
    async fn a_lane_that_closes_a_loop_never_waits_and_says_how_much_it_holds() {
        let (senders, mut inbox) = feedback(2);
        let sent = LANE_BYTES / CONTROL_BYTES + 1;
        assert!((0..sent).all(|_| try_send(&senders[1], Message::Idle)));
        assert_eq!(inbox.bytes(), sent * CONTROL_BYTES);
        while let Some(delivery) = inbox.try_receive() {
            drop(delivery);
        }
        assert_eq!(inbox.bytes(), 0);
    }

    #[tokio::test]
    async fn dropping_the_inbox_wakes_a_waiting_sender() {
        let (senders, inbox) = inbox(1);
        while try_send(&senders[0], Message::Idle) {}
        let waiting = senders[0].send(Message::Idle);
        drop(inbox);
        assert_eq!(waiting.await, Err(Closed));
    }
}
