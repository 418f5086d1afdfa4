//! Text results, written row after row into one buffer.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::error::Result;
use tidemill_exec::Error;

use super::Call;

/// A text column built by appending each row's characters to one buffer; `None` makes the row NULL.
///
/// # Errors
/// The texts of one batch must stay below 2 GiB, which is what Arrow's 32 bit offsets hold.
pub fn texts(rows: usize, mut write: impl FnMut(usize, &mut String) -> Option<()>) -> Result<ArrayRef> {
    try_texts(rows, |row, out| Ok(write(row, out)))
}

/// [`texts`], for bodies that can fail.
pub fn try_texts(rows: usize, mut write: impl FnMut(usize, &mut String) -> Result<Option<()>>) -> Result<ArrayRef> {
    let mut buffer = String::with_capacity(rows * TEXT_BYTES_USUAL);
    let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
    let mut valid = BooleanBufferBuilder::new(rows);
    offsets.push(0);
    for row in 0..rows {
        let start = buffer.len();
        let present = write(row, &mut buffer)?.is_some();
        if !present {
            buffer.truncate(start);
        }
        valid.append(present);
        offsets.push(i32::try_from(buffer.len()).map_err(|_| too_long())?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let nulls = Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0);
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(buffer.into_bytes()), nulls)?))
}

/// Room for so many per row spares most of the copying of a buffer that grows.
const TEXT_BYTES_USUAL: usize = 16;

/// No single text may be longer than this; a wild length argument should be an error, not an exhausted machine.
pub const TEXT_BYTES_MAX: usize = 256 << 20;

/// Refuses a result of `bytes` that would exceed the length that one text may have.
pub fn check_text_bytes(call: &Call, bytes: usize) -> Result<()> {
    if bytes <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(format!("{} would make a text of {bytes} bytes", call.shown()))
        .why(format!("one text may have {TEXT_BYTES_MAX} bytes"))
        .fix("use a smaller length")
        .into())
}

fn too_long() -> Error {
    Error::new("the texts of one batch exceed 2 GiB").fix("make the texts shorter")
}
