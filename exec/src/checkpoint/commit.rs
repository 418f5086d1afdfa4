//! The second phase of a commit: sinks make visible what they have prepared for a checkpoint that is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidemill_state::CheckpointId;
use tidemill_state::checkpoint::{Manifest, SinkState, Store, hex};

use super::meaning::{Identity, Meaning};
use super::recovery::unhexed;
use crate::connect::Sink;
use crate::error::{Error, Result};
use crate::write_ahead::WriteAhead;

/// Has the sinks, by stage, commit what they have `prepared` for a checkpoint, in order. What is committed is taken out.
///
/// # Errors
/// A sink refuses.
pub(super) async fn commit(
    store: &Store,
    checkpoint: CheckpointId,
    meaning: &Meaning,
    sinks: &BTreeMap<usize, Arc<dyn Sink>>,
    prepared: &mut BTreeMap<usize, Vec<Bytes>>,
    notes: &mut Vec<String>,
) -> Result<()> {
    for (place, (stage, identity)) in meaning.sinks.iter().enumerate() {
        let Some(prepared) = prepared.get_mut(stage).filter(|prepared| !prepared.is_empty()) else { continue };
        let sink = &sinks[stage];
        let committed = match sink.write_ahead() {
            None => sink.commit(prepared).await.map(|()| prepared.clear()),
            Some(log) => one_by_one(log, prepared, Record { store, checkpoint, place }, notes).await,
        };
        committed.map_err(|error| error.in_operator(format!("sink {}", identity.text)))?;
    }
    Ok(())
}

/// Where it is recorded what a sink, of this place in the manifest, has committed.
struct Record<'a> {
    store: &'a Store,
    checkpoint: CheckpointId,
    place: usize,
}

/// The parts of a log, each of which is recorded when it is committed.
async fn one_by_one(
    log: &WriteAhead,
    prepared: &mut Vec<Bytes>,
    record: Record<'_>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let (mut count, mut unrecorded) = (0, None);
    while let Some(part) = prepared.first() {
        log.commit(std::slice::from_ref(part)).await?;
        prepared.remove(0);
        count += 1;
        // The record of a later part says the same of this one.
        unrecorded = record.store.record_committed(record.checkpoint.0, record.place, count).await.err();
    }
    notes.extend(unrecorded.map(|error| {
        format!(
            "what is written could not be recorded, and would be written again if the job went on from here: {error}"
        )
    }));
    Ok(())
}

/// What the manifest says of a sink.
pub(super) fn sink_state(identity: &Identity, sink: &dyn Sink, prepared: &[Bytes]) -> Result<SinkState> {
    let is_recorded = sink.write_ahead().is_some();
    let mut files = Vec::new();
    for part in prepared.iter().filter(|_| is_recorded) {
        files.extend(WriteAhead::file_of(part)?);
    }
    let prepared = prepared.iter().map(|part| hex(part)).collect();
    Ok(SinkState { uid: identity.uid.clone(), table: identity.text.clone(), prepared, files, is_recorded })
}

/// What the newest checkpoint has prepared for a sink of a job that begins.
///
/// # Errors
/// It is for another kind of sink.
pub(super) fn prepared_for(identity: &Identity, sink: &dyn Sink, manifest: &Manifest) -> Result<Vec<Bytes>> {
    let states = || manifest.sinks.iter().filter(|state| state.uid == identity.uid && !state.prepared.is_empty());
    if states().any(|state| state.is_recorded != sink.write_ahead().is_some()) {
        return Err(Error::new(format!("table {} has rows that wait to be written", identity.text))
            .why("its checkpoint was taken with another 'sink.delivery-guarantee'")
            .fix("run the statement once more as it was, until it ends or is stopped"));
    }
    states().flat_map(|state| &state.prepared).map(|text| unhexed(text)).collect()
}
