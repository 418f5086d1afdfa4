//! Watermark alignment: sources of a group wait for the slowest of them, so that what windows and joins must keep of the faster ones stays
//! bounded (Flink's FLIP-182).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidemill_state::EventTime;
use tokio::sync::watch;

use crate::coordinator::TaskId;
use crate::graph::Alignment;

/// The groups of one job.
#[derive(Default)]
pub struct Alignments(HashMap<String, Arc<watch::Sender<Watermarks>>>);

/// Where each member stands that has a watermark.
type Watermarks = BTreeMap<TaskId, EventTime>;

impl Alignments {
    pub fn join(&mut self, alignment: &Alignment, task: TaskId) -> Member {
        let group = self.0.entry(alignment.group.clone()).or_default();
        Member { task, max_drift: alignment.max_drift, group: Arc::clone(group), watermarks: group.subscribe() }
    }
}

/// A source task in a group. It leaves when it is dropped.
pub struct Member {
    task: TaskId,
    max_drift: Duration,
    group: Arc<watch::Sender<Watermarks>>,
    watermarks: watch::Receiver<Watermarks>,
}

impl Member {
    /// Tells the others how far this member has come. One that is idle, or has seen no row yet, holds nobody up.
    pub fn report(&self, watermark: Option<EventTime>) {
        self.group.send_if_modified(|all| match watermark {
            Some(watermark) => all.insert(self.task, watermark) != Some(watermark),
            None => all.remove(&self.task).is_some(),
        });
    }

    /// Waits while this member is too far ahead of the slowest. Cancel-safe.
    pub async fn aligned(&mut self) {
        let (task, max_drift) = (self.task, self.max_drift.as_millis() as i64);
        // The group outlives its members, so waiting does not fail.
        let _ = self
            .watermarks
            .wait_for(|all| {
                let Some(own) = all.get(&task) else { return true };
                all.values().min().is_none_or(|slowest| own.0.saturating_sub(slowest.0) <= max_drift)
            })
            .await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.report(None);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_source_ahead_waits_for_the_slowest_of_its_group() {
        let mut alignments = Alignments::default();
        let alignment = Alignment { group: "g".to_string(), max_drift: Duration::from_millis(100) };
        let mut fast = alignments.join(&alignment, TaskId(0));
        let mut slow = alignments.join(&alignment, TaskId(1));
        let mut stranger = alignments.join(&Alignment { group: "other".to_string(), ..alignment }, TaskId(2));
        fast.report(Some(EventTime(500)));
        assert!(fast.aligned().now_or_never().is_some(), "one that has no watermark holds nobody up");
        slow.report(Some(EventTime(399)));
        stranger.report(Some(EventTime(5000)));
        assert!(fast.aligned().now_or_never().is_none());
        assert!(slow.aligned().now_or_never().is_some());
        assert!(stranger.aligned().now_or_never().is_some());
        slow.report(Some(EventTime(400)));
        assert!(fast.aligned().now_or_never().is_some());
        fast.report(Some(EventTime(900)));
        assert!(fast.aligned().now_or_never().is_none());
        drop(slow);
        assert!(fast.aligned().now_or_never().is_some(), "one that has ended holds nobody up");
    }
}
