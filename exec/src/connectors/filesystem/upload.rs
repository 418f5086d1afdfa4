//! A part file on its way into an object store, which shows nothing of it before it is complete.

use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use super::object::{answer, begin};
use super::store::PartFile;

/// Larger files go up in pieces of this size. S3 takes 10 000 pieces: 80 GB; and none but the last below 5 MB.
const PIECE_BYTES: usize = 8 << 20;

pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Not handed to the store yet.
    kept: Vec<u8>,
    /// From the first piece on.
    pieces: Option<Box<dyn MultipartUpload>>,
    /// The piece under way: there is one at a time, so that memory is bounded.
    pending: Option<Receiver<object_store::Result<()>>>,
}

impl Upload {
    /// Performs no I/O.
    pub fn new(store: Arc<dyn ObjectStore>, path: Path, name: String) -> Upload {
        Upload { store, path, name, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_piece(&self, state: &mut State, piece: Bytes) -> io::Result<()> {
        state.wait()?;
        if state.pieces.is_none() {
            let (store, path) = (Arc::clone(&self.store), self.path.clone());
            state.pieces = Some(answer(&begin(async move { store.put_multipart(&path).await })?)?);
        }
        if let Some(pieces) = &mut state.pieces {
            state.pending = Some(begin(pieces.put_part(PutPayload::from_bytes(piece)))?);
        }
        Ok(())
    }
}

impl State {
    fn wait(&mut self) -> io::Result<()> {
        self.pending.take().map_or(Ok(()), |pending| answer(&pending))
    }
}

impl PartFile for Upload {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.kept.extend_from_slice(bytes);
        if state.kept.len() < PIECE_BYTES {
            return Ok(());
        }
        let mut full = Bytes::from(std::mem::take(&mut state.kept));
        while full.len() >= PIECE_BYTES {
            let piece = full.split_to(PIECE_BYTES);
            self.send_piece(&mut state, piece)?;
        }
        state.kept.extend_from_slice(&full);
        Ok(())
    }

    fn can_be_cut(&self) -> bool {
        false
    }

    fn cut(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A small file stays in memory until it is published: there is no other place for it.
    fn seal(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.pieces.is_some() && !state.kept.is_empty() {
            let last = Bytes::from(std::mem::take(&mut state.kept));
            self.send_piece(&mut state, last)?;
        }
        state.wait()
    }

    fn publish(&self) -> io::Result<()> {
        let mut state = self.state();
        let whole = Bytes::from(std::mem::take(&mut state.kept));
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        answer(&match state.pieces.take() {
            Some(mut pieces) => begin(async move { pieces.complete().await }),
            None => begin(async move { store.put(&path, PutPayload::from_bytes(whole)).await }),
        }?)?;
        Ok(())
    }

    /// Pieces are paid for until they are given up.
    fn discard(&self) {
        let mut state = self.state();
        let _ = state.wait();
        if let Some(mut pieces) = state.pieces.take() {
            let _ = begin(async move { pieces.abort().await }).and_then(|pending| answer(&pending));
        }
    }
}

impl Drop for Upload {
    /// Writing failed, unless the file was published or discarded.
    fn drop(&mut self) {
        self.discard();
    }
}
