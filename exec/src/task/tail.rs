//! Where a task's rows go: along an exchange, or into a sink.

use std::sync::Arc;

use bytes::Bytes;
use tidemill_state::{CheckpointId, Epoch};

use crate::changelog;
use crate::connect::Writer;
use crate::error::{Error, Result};
use crate::exchange::{Router, Sender};
use crate::message::Message;
use crate::operator::Output;
use crate::runtime::{Metrics, catch_panic};

pub enum Tail {
    /// Along each edge that leaves the stage: every one gets everything.
    Exchange(Vec<Outgoing>),
    Sink {
        table: String,
        writer: Box<dyn Writer>,
        metrics: Arc<Metrics>,
        /// Up to the last barrier that was a checkpoint: what the sink is to commit.
        prepared: Vec<Bytes>,
        /// The same from there to the end.
        last: Vec<Bytes>,
        /// The next checkpoint, if the job takes any.
        next: Option<CheckpointId>,
    },
}

/// One edge, as one sender sees it.
pub struct Outgoing {
    pub router: Router,
    /// `senders[n]` leads to shard n of the next stage; `None` if this task never sends there, or that shard has all it needs.
    pub senders: Vec<Option<Sender>>,
    /// It stays in the loop that this task belongs to.
    pub in_loop: bool,
}

/// Whether anybody still wants rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    More,
    Nothing,
}

impl Tail {
    /// Lets go of rows that a sink still holds although the epoch is not complete: the job is failing, and they were read before what
    /// it fails of.
    pub async fn abandon(&mut self, epoch: Epoch) -> Result<()> {
        match self {
            Tail::Exchange(_) => Ok(()),
            Tail::Sink { writer, .. } => writer.flush(epoch).await,
        }
    }

    /// What a sink has prepared at its end.
    pub fn take_last(&mut self) -> Vec<Bytes> {
        match self {
            Tail::Exchange(_) => Vec::new(),
            Tail::Sink { last, .. } => std::mem::take(last),
        }
    }

    /// What a sink has prepared up to the last checkpoint, since the last call.
    pub fn take_prepared(&mut self) -> Vec<Bytes> {
        match self {
            Tail::Exchange(_) => Vec::new(),
            Tail::Sink { prepared, .. } => std::mem::take(prepared),
        }
    }

    /// Delivers everything in `output`, waiting where there is no room.
    pub async fn deliver(&mut self, output: &mut Output) -> Result<Demand> {
        let mut wanted = Demand::More;
        for message in output.drain() {
            match self {
                Tail::Exchange(edges) => {
                    let mut demand = Demand::Nothing;
                    // What goes round is wanted for what comes out.
                    let comes_out = edges.iter().any(|edge| !edge.in_loop);
                    for Outgoing { router, senders, in_loop } in edges {
                        if !*in_loop && matches!(message, Message::Round(_)) {
                            demand = Demand::More;
                            continue;
                        }
                        let of_edge = exchange(router, senders, message.clone()).await?;
                        if of_edge == Demand::More && *in_loop != comes_out {
                            demand = Demand::More;
                        }
                    }
                    // A loop whose rows nobody wants still has to learn that it ends.
                    if demand == Demand::Nothing {
                        wanted = Demand::Nothing;
                    }
                }
                Tail::Sink { table, writer, metrics, prepared, last, next } => {
                    // The end may follow a barrier in one go, and belongs to a later checkpoint.
                    let prepared = if matches!(message, Message::End) { last } else { prepared };
                    let writing = catch_panic(write(writer.as_mut(), message, metrics, next)).await;
                    let written = writing.and_then(|written| written);
                    prepared.extend(written.map_err(|error| error.in_operator(format!("sink {table}")))?);
                }
            }
        }
        Ok(wanted)
    }
}

async fn exchange(router: &mut Router, senders: &mut [Option<Sender>], message: Message) -> Result<Demand> {
    match message {
        Message::Batch(batch) => {
            let mut parts = Vec::with_capacity(senders.len());
            router.route(batch, |shard, part| parts.push((shard, part)))?;
            for (shard, part) in parts {
                let message = match part.last_mark() {
                    Some(time) if part.is_empty() => Message::Watermark(time),
                    _ => Message::Batch(part),
                };
                send(&mut senders[usize::from(shard)], message).await;
            }
        }
        control => {
            for sender in senders.iter_mut() {
                send(sender, control.clone()).await;
            }
        }
    }
    Ok(if senders.iter().any(Option::is_some) { Demand::More } else { Demand::Nothing })
}

/// A receiver that is gone has ended before us (`LIMIT`) or failed (then the job is being torn down): either way it wants nothing more.
async fn send(sender: &mut Option<Sender>, message: Message) {
    if let Some(open) = sender
        && open.send(message).await.is_err()
    {
        *sender = None;
    }
}

/// Gives what the writer has prepared, if the message asks for that.
async fn write(
    writer: &mut dyn Writer,
    message: Message,
    metrics: &Metrics,
    next: &mut Option<CheckpointId>,
) -> Result<Vec<Bytes>, Error> {
    match message {
        Message::Batch(batch) => {
            let changes = changelog::fold(&batch)?;
            metrics.rows_written.fetch_add(changes.rows.num_rows() as u64, std::sync::atomic::Ordering::Relaxed);
            writer.write(changes).await?;
        }
        Message::Barrier(barrier) => {
            writer.flush(barrier.epoch).await?;
            if let Some(checkpoint) = barrier.checkpoint {
                *next = Some(CheckpointId(checkpoint.0 + 1));
                return writer.prepare(checkpoint).await;
            }
        }
        Message::End => {
            writer.finish().await?;
            if let Some(next) = *next {
                return writer.prepare(next).await;
            }
        }
        Message::Watermark(_) | Message::Idle | Message::Round(_) => {}
    }
    Ok(Vec::new())
}
