use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;

use super::super::Report;
use super::*;
use crate::coordinator::TaskId;

/// Gives nothing for now; `backlog` says whether more is on its way.
struct Silent {
    backlog: watch::Receiver<bool>,
}

#[async_trait]
impl Reader for Silent {
    async fn next(&mut self) -> Result<Option<SplitBatch>> {
        pending().await
    }

    fn backlog(&self) -> Option<watch::Receiver<bool>> {
        Some(self.backlog.clone())
    }
}

/// While a file is being decoded its reader has nothing now and then: no reason for an epoch to end.
#[tokio::test]
async fn who_is_still_given_the_backlog_has_not_caught_up() {
    let (given, backlog) = watch::channel(false);
    let (signals, mut told) = mpsc::unbounded_channel();
    let reports = Reports { task: TaskId(0), signals, metrics: Arc::default(), checkpoints: false };
    let (_coordinator, mut barriers) = mpsc::unbounded_channel();
    let mut reader = Silent { backlog };
    let mut backlog = Backlog { is_read: true, given: reader.backlog() };
    let mut skips = Skips::new("t", |_| {});
    let mut active = true;
    let waits = Waits { barriers: &mut barriers, skips: &mut skips, watermarks: None, backlog: &mut backlog };
    let mut event = Box::pin(next_event(&mut reader, None, waits, &mut active, &reports));
    assert!(event.as_mut().now_or_never().is_none());
    assert!(told.try_recv().is_err(), "rows are on their way");
    given.send_replace(true);
    assert!(event.as_mut().now_or_never().is_none());
    assert!(matches!(told.try_recv(), Ok(Report::Signal(Signal::CaughtUp(TaskId(0))))));
    for _ in 0..3 {
        assert!(event.as_mut().now_or_never().is_none());
    }
    assert!(told.try_recv().is_err(), "it is told once");
}
