//! The product from outside: the real binary, real sockets, real files, and a session as a library.
//!
//! Nothing here waits for time to pass. Whatever is waited for has a deadline, which only keeps a defect from hanging the suite.

mod bad_input;
mod command_line;
mod files;
mod interrupts;
mod materialized_views;
mod outputs;
mod panics;
mod process;
mod recovery;
mod sockets;
mod statements;
