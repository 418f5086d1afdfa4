//! Every connector, one file or folder each.
//!
//! What they share: [`records`] turns bytes into rows with offsets, [`pump`] reads ahead beside the task, [`terminal`] is the
//! process's own input and output.

use std::sync::Arc;

use crate::connect::Connector;

mod blackhole;
mod datagen;
mod filesystem;
mod print;
mod pump;
mod records;
mod socket;
mod stdin;
mod stdout;
pub mod terminal;
#[cfg(test)]
mod testing;
mod values;

pub use blackhole::Blackhole;
pub use datagen::Datagen;
pub use filesystem::{Filesystem, FilesystemSink};
pub use print::Print;
pub use socket::Socket;
pub use stdin::Stdin;
pub use stdout::Stdout;
pub use values::Values;

/// Every built-in connector, in the order the documentation shows them.
pub fn all() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(Filesystem),
        Arc::new(Socket),
        Arc::new(Datagen),
        Arc::new(Values),
        Arc::new(Stdin::default()),
        Arc::new(Stdout::default()),
        Arc::new(Print::default()),
        Arc::new(Blackhole),
    ]
}
