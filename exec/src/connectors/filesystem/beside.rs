//! Decodes the chunks of a large file beside each other; their rows come out in the order of the file.
//!
//! Only who has decoded all before it knows where a record begins, since a record may span lines. So a chunk from one line's start to another's end is decoded as if it were
//! made of whole records. It was, if the chunk before it was, and if it was decoded to its last byte: decoders give the same rows wherever their bytes are cut
//! ([`Decoder`](crate::connect::Decoder)). If not, or if anything is wrong in it, its rows are thrown away, and it is decoded again behind the bytes before it.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use memchr::memrchr;

use crate::connect::SplitBatch;
use crate::connectors::records::Records;
use crate::error::{Error, Result};

/// Chunks given to a worker before the first is taken back: one that it decodes, and the next.
const CHUNKS_EACH: usize = 2;

/// A file whose chunks turn out not to be whole records is not for this.
const WRONG_MAX: usize = 3;

/// Bytes of a file from one line's start to another's end.
pub(super) struct Chunk {
    start: u64,
    bytes: Vec<u8>,
}

/// A chunk, and its rows if it is made of whole records with nothing wrong in them.
pub(super) struct Decoded {
    chunk: Chunk,
    rows: Option<Vec<SplitBatch>>,
}

/// Threads that decode, each chunk on the one whose turn it is.
pub(super) struct Workers {
    workers: Vec<(SyncSender<Chunk>, Receiver<Decoded>)>,
    given: usize,
    taken: usize,
    /// Chunks in a row that were not whole records.
    wrong: usize,
}

impl Workers {
    /// A thread for each of `decoders`, which read the split from anywhere but its start.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, decoders: Vec<Records>) -> io::Result<Workers> {
        let worker = |mut decoder: Records| {
            let (give, chunks) = sync_channel::<Chunk>(CHUNKS_EACH);
            let (done, take) = sync_channel(CHUNKS_EACH);
            let work = move || {
                for mut chunk in chunks {
                    let rows = decoder.decode_whole(chunk.start, &mut chunk.bytes);
                    if done.send(Decoded { chunk, rows }).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new().name("decode".to_string()).spawn_scoped(scope, work)?;
            Ok((give, take))
        };
        let workers = decoders.into_iter().map(worker).collect::<io::Result<_>>()?;
        Ok(Workers { workers, given: 0, taken: 0, wrong: 0 })
    }

    /// Whether a chunk can be given without waiting.
    pub fn has_room(&self) -> bool {
        self.given - self.taken < CHUNKS_EACH * self.workers.len()
    }

    /// Whether what was given so far was of use.
    pub fn help(&self) -> bool {
        self.wrong < WRONG_MAX
    }

    pub fn give(&mut self, chunk: Chunk) -> Result<()> {
        let (give, _) = &self.workers[self.given % self.workers.len()];
        self.given += 1;
        give.send(chunk).map_err(|_| died())
    }

    /// The first chunk not taken yet.
    pub fn take(&mut self) -> Result<Option<Decoded>> {
        if self.given == self.taken {
            return Ok(None);
        }
        let (_, take) = &self.workers[self.taken % self.workers.len()];
        self.taken += 1;
        take.recv().map(Some).map_err(|_| died())
    }

    /// The rows of a chunk if `records` stands where it begins, and it is whole: then `records` goes on behind it. If not, `records` has its bytes now.
    /// The chunk's memory can be used again.
    pub fn merge(&mut self, decoded: Decoded, records: &mut Records) -> (Vec<SplitBatch>, Vec<u8>) {
        let Decoded { chunk: Chunk { start, bytes }, rows } = decoded;
        match rows {
            Some(rows) if records.is_between_records_at(start) => {
                self.wrong = 0;
                records.go_on_at(start + bytes.len() as u64);
                (rows, bytes)
            }
            _ => {
                self.wrong += 1;
                records.push(&bytes);
                (Vec::new(), bytes)
            }
        }
    }
}

fn died() -> Error {
    Error::new("reading stopped without a reason").why("a thread that decodes has died")
}

/// Cuts the bytes of a file into chunks.
pub(super) struct Cutter<'a> {
    reader: &'a mut dyn Read,
    chunk_bytes: usize,
    delimiter: u8,
    /// Of the next chunk in the file.
    start: u64,
    /// What was read behind the last end of a line.
    rest: Vec<u8>,
}

impl<'a> Cutter<'a> {
    /// `reader` goes on behind what `records` has.
    pub fn new(reader: &'a mut dyn Read, chunk_bytes: usize, records: &mut Records) -> Cutter<'a> {
        Cutter {
            reader,
            chunk_bytes,
            delimiter: records.delimiter(),
            start: records.position(),
            rest: records.take_rest(),
        }
    }

    /// The next chunk, in the memory given; none at the end of the file.
    pub fn next(&mut self, mut bytes: Vec<u8>) -> io::Result<Option<Chunk>> {
        bytes.clear();
        bytes.reserve(self.rest.len() + self.chunk_bytes + 64);
        bytes.append(&mut self.rest);
        if (&mut *self.reader).take(self.chunk_bytes as u64).read_to_end(&mut bytes)? == 0 {
            self.rest = bytes;
            return Ok(None);
        }
        let end = memrchr(self.delimiter, &bytes).map_or(bytes.len(), |at| at + 1);
        self.rest.extend_from_slice(&bytes[end..]);
        bytes.truncate(end);
        let start = self.start;
        self.start += bytes.len() as u64;
        Ok(Some(Chunk { start, bytes }))
    }

    /// What no chunk has.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }
}
