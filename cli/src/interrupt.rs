//! Ctrl-C while statements run.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// The exit code of a program that SIGINT ended.
pub const INTERRUPTED: u8 = 130;

/// That of one that SIGTERM ended.
pub const TERMINATED: u8 = 143;

/// Ctrl-C, to be awaited beside the work it ends. At the prompt the line editor reads it as a key, so it never gets here.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// How often it was pressed since the last `clear`.
    presses: AtomicU32,
    pressed: Notify,
    terminated: AtomicBool,
}

/// Two may be impatience; a third says that nothing happened.
const PRESSES_MAX: u32 = 3;

impl Interrupts {
    /// Begins to listen, before it returns; call inside a runtime. The third Ctrl-C before [`clear`](Self::clear) ends the
    /// process: work that does not yield must not make the program unstoppable. With `terminates`, SIGTERM counts as a press too.
    ///
    /// # Errors
    /// The system refuses the signal handler.
    pub fn listen(terminates: bool) -> io::Result<Interrupts> {
        let interrupts = Interrupts::default();
        let listener = interrupts.clone();
        #[cfg(unix)]
        let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        #[cfg(windows)]
        let mut signals = tokio::signal::windows::ctrl_c()?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if listener.press() >= PRESSES_MAX {
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
        #[cfg(unix)]
        if terminates {
            let listener = interrupts.clone();
            let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    listener.0.terminated.store(true, Ordering::SeqCst);
                    if listener.press() >= PRESSES_MAX {
                        std::process::exit(TERMINATED.into());
                    }
                }
            });
        }
        Ok(interrupts)
    }

    /// Whether SIGTERM has come.
    pub fn is_terminated(&self) -> bool {
        self.0.terminated.load(Ordering::SeqCst)
    }

    /// Says how often it was pressed by now.
    pub fn press(&self) -> u32 {
        let before = self.0.presses.fetch_add(1, Ordering::SeqCst);
        self.0.pressed.notify_one();
        before + 1
    }

    /// Returns once Ctrl-C was pressed after the last [`clear`](Self::clear).
    pub async fn pressed(&self) {
        while self.0.presses.load(Ordering::SeqCst) == 0 {
            self.0.pressed.notified().await;
        }
    }

    /// Forgets earlier presses: a new statement begins.
    pub fn clear(&self) {
        self.0.presses.store(0, Ordering::SeqCst);
    }
}
