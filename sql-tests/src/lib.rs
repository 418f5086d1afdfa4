//! What the end-to-end tests share: running SQL through a [`Session`](tidemill::Session) and looking at what it gave.
//!
//! | test | asks |
//! |---|---|
//! | `tests/flink.rs` | does a script give what Flink gave? (`flink/<case>/`) |
//! | `tests/recorded.rs` | does such a script end in the same rows in batch mode, in parallel, and when it is killed? |
//! | `tests/slt.rs` | do queries give the rows written beside them, in batch and as streams? (`slt/*.slt`) |
//! | `tests/plans.rs` | is a query planned as expected? (`plans/*.sql`) |
//! | `tests/oracle.rs` | does a stream of random inserts and deletes end in batch's answer? |
//! | `tests/architecture.rs` | does each crate see only what it may? |

pub mod drip;
pub mod flink;
pub mod output;
pub mod script;
