//! Ctrl-C while statements run.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The exit code of a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

/// Ctrl-C, to be awaited beside the work it ends. At the prompt the line editor reads it as a key, so it never gets here.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    pending: AtomicBool,
    pressed: Notify,
}

impl Interrupts {
    /// Begins to listen, before it returns; call inside a runtime. The second Ctrl-C before [`clear`](Self::clear) ends the
    /// process: work that does not yield must not make the program unstoppable.
    ///
    /// # Errors
    /// The system refuses the signal handler.
    pub fn listen() -> io::Result<Interrupts> {
        let interrupts = Interrupts::default();
        let listener = interrupts.clone();
        #[cfg(unix)]
        let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        #[cfg(windows)]
        let mut signals = tokio::signal::windows::ctrl_c()?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if listener.press() {
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
        Ok(interrupts)
    }

    /// Says whether an earlier press is still pending.
    pub fn press(&self) -> bool {
        let again = self.0.pending.swap(true, Ordering::SeqCst);
        self.0.pressed.notify_one();
        again
    }

    /// Returns once Ctrl-C was pressed after the last [`clear`](Self::clear).
    pub async fn pressed(&self) {
        while !self.0.pending.load(Ordering::SeqCst) {
            self.0.pressed.notified().await;
        }
    }

    /// Forgets earlier presses: a new statement begins.
    pub fn clear(&self) {
        self.0.pending.store(false, Ordering::SeqCst);
    }
}
