//! Between tasks: bounded channels, routing by key, barrier alignment and watermark merge.

pub mod align;
pub mod channel;
pub mod partition;

pub use align::{Align, Aligned, LaneId, LaneStart};
pub use channel::{Closed, Inbox, Sender, inbox};
pub use partition::Router;
