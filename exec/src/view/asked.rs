//! A view as a lookup join asks it: by its key, as of the epoch that it shows then.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use async_trait::async_trait;

use super::View;
use crate::connect::{Finder, Found, Lookup};
use crate::error::{Error, Result};

/// The rows of keys of a view.
#[derive(Debug)]
pub struct Asked(pub Arc<View>);

#[async_trait]
impl Lookup for Asked {
    /// Waits until the view shows something.
    async fn open(&self, key: &[usize], projection: &[usize]) -> Result<Box<dyn Finder>> {
        let of_view = self.0.key().unwrap_or_default();
        let places = of_view.iter().map(|column| key.iter().position(|asked| asked == column)).collect::<Option<_>>();
        let Some(places) = places.filter(|_| !of_view.is_empty() && key.len() == of_view.len()) else {
            return Err(Error::new(format!("view {} is not asked by its key", self.0.name()))
                .why("only whole keys are found without looking at every row"));
        };
        self.0.version().await?;
        Ok(Box::new(Asking { view: Arc::clone(&self.0), places, projection: projection.to_vec() }))
    }
}

struct Asking {
    view: Arc<View>,
    /// Where in a question each column of the view's key is.
    places: Vec<usize>,
    projection: Vec<usize>,
}

#[async_trait]
impl Finder for Asking {
    async fn find(&self, keys: &RecordBatch) -> Result<Found> {
        let columns: Vec<ArrayRef> = self.places.iter().map(|&place| Arc::clone(keys.column(place))).collect();
        let (keys, rows) = self.view.lookup(&columns)?;
        Ok(Found { rows: rows.project(&self.projection)?, keys })
    }
}
