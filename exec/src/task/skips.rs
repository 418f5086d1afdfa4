//! Tells of records a source leaves out: the first at once, the rest in sums.
//!
//! A file of which every hundredth line is bad would otherwise fill the screen with a note per batch.

use std::time::Duration;

use tokio::time::Instant;

use crate::connect::Skipped;

/// How long notes about one table are apart at least.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the skipped records of one reader. Dropping it tells the rest, so that the sum is right however reading ends.
pub struct Skips<F: Fn(String)> {
    table: String,
    note: F,
    /// Not told yet.
    held: Option<Skipped>,
    /// No note before then.
    due: Option<Instant>,
}

impl<F: Fn(String)> Skips<F> {
    pub fn new(table: &str, note: F) -> Skips<F> {
        Skips { table: table.to_string(), note, held: None, due: None }
    }

    pub fn add(&mut self, skipped: Skipped, now: Instant) {
        match &mut self.held {
            Some(held) => held.records += skipped.records,
            None => self.held = Some(skipped),
        }
        if self.due.is_none_or(|due| due <= now) {
            self.tell();
            self.due = Some(now + PAUSE);
        }
    }

    /// When to call [`tell`](Self::tell), if nothing more is skipped until then.
    pub fn due(&self) -> Option<Instant> {
        self.held.as_ref().and(self.due)
    }

    /// Tells what is held.
    pub fn tell(&mut self) {
        self.due = None;
        if let Some(Skipped { records, example }) = self.held.take() {
            let plural = if records == 1 { "record" } else { "records" };
            (self.note)(format!("{}: skipped {records} bad {plural}, such as {example}", self.table));
        }
    }
}

impl<F: Fn(String)> Drop for Skips<F> {
    fn drop(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_in_sums() {
        let told = RefCell::new(Vec::new());
        let mut skips = Skips::new("t", |note| told.borrow_mut().push(note));
        let skipped = |records, example: &str| Skipped { records, example: example.to_string() };
        let now = Instant::now();
        skips.add(skipped(1, "a"), now);
        assert_eq!(told.take(), ["t: skipped 1 bad record, such as a"]);
        assert_eq!(skips.due(), None, "nothing is held");
        skips.add(skipped(2, "b"), now);
        skips.add(skipped(3, "c"), now);
        assert_eq!(told.take(), [""; 0]);
        assert_eq!(skips.due(), Some(now + PAUSE));
        skips.add(skipped(1, "d"), now + PAUSE);
        assert_eq!(told.take(), ["t: skipped 6 bad records, such as b"]);
        skips.add(skipped(1, "e"), now + PAUSE);
        drop(skips);
        assert_eq!(told.take(), ["t: skipped 1 bad record, such as e"]);
    }
}
