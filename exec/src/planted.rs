//! Defects that tests plant, to see that they are found. Without the feature `planted-defects` there are none.

#[cfg(feature = "planted-defects")]
use std::sync::atomic::{AtomicU8, Ordering};

/// What is wrong with the program, all over the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Defect {
    /// A task lets a barrier pass that has come on one of its lanes only.
    SkippedAlignment = 1,
    /// Sinks commit before there is a manifest.
    EarlyCommit = 2,
    /// Rows that are under way in a loop at a checkpoint are not in it.
    LostInFlight = 3,
}

#[cfg(feature = "planted-defects")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// From now on the program has this defect.
#[cfg(feature = "planted-defects")]
pub fn plant(defect: Defect) {
    PLANTED.store(defect as u8, Ordering::Relaxed);
}

#[cfg(feature = "planted-defects")]
pub(crate) fn has(defect: Defect) -> bool {
    PLANTED.load(Ordering::Relaxed) == defect as u8
}

#[cfg(not(feature = "planted-defects"))]
pub(crate) fn has(_: Defect) -> bool {
    false
}
