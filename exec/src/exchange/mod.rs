//! Between tasks: bounded channels, routing by key, barrier alignment and watermark merge, and how loops come to rest.

pub mod align;
pub mod channel;
pub mod partition;
pub mod rounds;

pub use align::{Align, Aligned, LaneId, LaneStart};
pub use channel::{Closed, Inbox, Sender, feedback, inbox};
pub use partition::Router;
pub use rounds::{Limits, Rounds, Step};
