//! Flink's built-in scalar functions, with Flink's meaning.
//!
//! Each file holds one kind of function and offers `all`, the list the session registers. Names are lower case; the
//! session looks them up without regard to case.

pub mod call;
pub mod datetime;
pub mod math;
pub mod string;
pub mod syntax;
