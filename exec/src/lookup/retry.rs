//! Asks again what has failed.

use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::batch::Notes;
use crate::connect::{Finder, Found};
use crate::error::Result;

/// Before the first question that is asked again; each later delay is twice the one before.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct Retry {
    pub table: String,
    pub retries: u32,
    pub notes: Notes,
}

impl Retry {
    /// Asks until there is an answer, or it has failed once more than it may. `what` cannot be done with the table.
    pub async fn ask<'a, T>(&self, what: &str, question: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        let mut delay = FIRST_DELAY;
        let mut left = self.retries;
        loop {
            let error = match question().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error.in_operator(format!("lookup {}", self.table)),
            };
            if left == 0 {
                return Err(error);
            }
            left -= 1;
            (self.notes)(format!(
                "table {} could not {what}, and is tried again in {delay:?}: {}",
                self.table,
                error.what()
            ));
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }
}

/// Asks again for the rows of keys.
pub(super) struct Retrying {
    pub finder: Box<dyn Finder>,
    pub retry: Retry,
}

#[async_trait]
impl Finder for Retrying {
    async fn find(&self, keys: &RecordBatch) -> Result<Found> {
        self.retry.ask("be asked", || self.finder.find(keys)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::testing::{Shelf, found, keys};
    use super::*;

    fn retrying(failures: usize, retries: u32) -> (Retrying, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let notes: Notes = Arc::new(move |note| heard.lock().unwrap().push(note));
        let shelf = Shelf::new(&[("a", 1), ("b", 2)]).failing(failures);
        (Retrying { finder: Box::new(shelf), retry: Retry { table: "dim".to_string(), retries, notes } }, told)
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_asked_again_each_time_later_and_said() {
        let begun = tokio::time::Instant::now();
        let (asking, told) = retrying(3, 3);
        let answer = asking.find(&keys(&["b"])).await.expect("the fourth time it answers");
        assert_eq!(found(&answer), ["0: b 2"]);
        assert_eq!(begun.elapsed(), Duration::from_millis(100 + 200 + 400));
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 3);
        assert_eq!(told[1], "table dim could not be asked, and is tried again in 200ms: the shelf is locked");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_once_more_than_it_may_fails_by_the_name_of_its_table() {
        let (asking, _) = retrying(3, 2);
        let error = asking.find(&keys(&["b"])).await.expect_err("it fails three times");
        assert_eq!(error.to_string(), "the shelf is locked\n  in:  operator lookup dim");
    }
}
