//! Finding the next interesting byte, eight at a time.
//!
//! Fields are short (five to forty bytes), so a call into a vectorised search costs more than it saves. A word of eight bytes is
//! tested for all needles with a handful of instructions, inlined at the place of use.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The same byte eight times.
#[inline]
pub const fn spread(byte: u8) -> u64 {
    ONES * byte as u64
}

/// The high bit of each byte of `word` that equals the spread byte. Exact up to and including the lowest such byte; above it a
/// borrow may set more, which does not matter to who looks for the first.
#[inline]
pub fn equal(word: u64, spread: u64) -> u64 {
    let difference = word ^ spread;
    difference.wrapping_sub(ONES) & !difference & HIGHS
}

/// The high bit of each byte below `limit` (at most 128), exact up to and including the lowest.
#[inline]
pub fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(spread(limit)) & !word & HIGHS
}

/// What a search passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index of the first hit, or the length if there is none.
    pub at: usize,
    /// No byte before it is above 127.
    pub ascii: bool,
}

/// The first byte from `from` on that `hits` marks in a word and `is_hit` accepts alone; both must mean the same.
#[inline(always)]
pub fn find(bytes: &[u8], from: usize, hits: impl Fn(u64) -> u64, is_hit: impl Fn(u8) -> bool) -> Found {
    let mut at = from;
    let mut seen = 0u64;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let hit = hits(word);
        if hit != 0 {
            let before = hit.trailing_zeros() / 8;
            // Only what comes before the hit was passed over. `before` is at most 7, so the shift is in range.
            seen |= word & !(u64::MAX << (before * 8));
            return Found { at: at + before as usize, ascii: seen & HIGHS == 0 };
        }
        seen |= word;
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if is_hit(byte) {
            break;
        }
        seen |= u64::from(byte);
        at += 1;
    }
    Found { at, ascii: seen & HIGHS == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_needles_is_found_at_every_place() {
        let quote = spread(b'"');
        let search = |bytes: &[u8], from| {
            find(bytes, from, |word| equal(word, quote) | below(word, 0x20), |byte| byte == b'"' || byte < 0x20)
        };
        for length in 0..40 {
            for at in 0..length {
                for hit in [b'"', b'\n', 0] {
                    // Bytes next to the needles in value, high ones included, must not be mistaken for them.
                    let mut bytes: Vec<u8> = (0..length).map(|i| [b'!', b'#', b' ', 0xa2, 0x80][i % 5]).collect();
                    bytes[at] = hit;
                    for from in 0..=at {
                        let passed = &bytes[from..at];
                        assert_eq!(search(&bytes, from), Found { at, ascii: passed.is_ascii() }, "{bytes:?} {from}");
                    }
                }
            }
            assert_eq!(search(&vec![b'x'; length], 0), Found { at: length, ascii: true });
        }
    }
}
