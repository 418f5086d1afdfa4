//! Finding the next interesting byte, a block at a time.
//!
//! Fields are short (five to forty bytes), so a call into a vectorised search costs more than it saves. A block is tested for all
//! needles with a handful of instructions, inlined at the place of use: sixteen bytes where every processor can do that, eight in
//! a plain word elsewhere. On 250-byte lines the former reads JSON a fifth faster.

#[cfg(target_arch = "x86_64")]
pub use wide::Block;
#[cfg(not(target_arch = "x86_64"))]
pub use word::Block;

/// What a search passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index of the first hit, or the length if there is none.
    pub at: usize,
    /// No byte before it is above 127.
    pub ascii: bool,
}

/// The first byte from `from` on that `hits` marks in a block and `is_hit` accepts alone; both must mean the same.
#[inline(always)]
pub fn find(bytes: &[u8], from: usize, hits: impl Fn(Block) -> Block, is_hit: impl Fn(u8) -> bool) -> Found {
    let mut at = from;
    let mut others = 0;
    while let Some(block) = bytes.get(at..).and_then(Block::first_of) {
        match hits(block).first_hit() {
            Some(before) => return Found { at: at + before, ascii: others | block.above_127(before) == 0 },
            None => {
                others |= block.above_127(Block::LEN);
                at += Block::LEN;
            }
        }
    }
    let mut ascii = others == 0;
    while let Some(&byte) = bytes.get(at) {
        if is_hit(byte) {
            break;
        }
        ascii &= byte.is_ascii();
        at += 1;
    }
    Found { at, ascii }
}

/// Sixteen bytes in a vector register.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub struct Block(__m128i);

    // SAFETY of every block below: the instructions are SSE2, which each x86_64 processor has, and work on registers only; the one
    // load reads from an array reference of its full width.
    impl Block {
        pub const LEN: usize = 16;

        #[inline(always)]
        pub fn first_of(bytes: &[u8]) -> Option<Block> {
            let chunk = bytes.first_chunk::<16>()?;
            Some(Block(unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) }))
        }

        /// Marks the bytes that are `byte`.
        #[inline(always)]
        pub fn equal(self, byte: u8) -> Block {
            Block(unsafe { _mm_cmpeq_epi8(self.0, _mm_set1_epi8(byte.cast_signed())) })
        }

        /// Marks the bytes below `limit`, which is not 0.
        #[inline(always)]
        pub fn below(self, limit: u8) -> Block {
            Block(unsafe { _mm_cmpeq_epi8(_mm_min_epu8(self.0, _mm_set1_epi8((limit - 1).cast_signed())), self.0) })
        }

        /// Marks what either marks.
        #[inline(always)]
        pub fn or(self, other: Block) -> Block {
            Block(unsafe { _mm_or_si128(self.0, other.0) })
        }

        #[inline(always)]
        pub fn first_hit(self) -> Option<usize> {
            let mask = self.highs();
            (mask != 0).then(|| mask.trailing_zeros() as usize)
        }

        /// Zero if the first `count` bytes are ASCII.
        #[inline(always)]
        pub fn above_127(self, count: usize) -> u32 {
            self.highs() & ((1 << count) - 1)
        }

        #[inline(always)]
        fn highs(self) -> u32 {
            unsafe { _mm_movemask_epi8(self.0) }.cast_unsigned()
        }
    }
}

/// Eight bytes in a word. Marks are high bits; they are exact up to and including the lowest, and above it a borrow may set more,
/// which does not matter to who looks for the first.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[cfg_attr(target_arch = "x86_64", allow(dead_code))]
mod word {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    #[derive(Clone, Copy)]
    pub struct Block(u64);

    impl Block {
        pub const LEN: usize = 8;

        #[inline(always)]
        pub fn first_of(bytes: &[u8]) -> Option<Block> {
            bytes.first_chunk::<8>().map(|chunk| Block(u64::from_le_bytes(*chunk)))
        }

        #[inline(always)]
        pub fn equal(self, byte: u8) -> Block {
            let difference = self.0 ^ (ONES * u64::from(byte));
            Block(difference.wrapping_sub(ONES) & !difference & HIGHS)
        }

        /// `limit` is at most 128.
        #[inline(always)]
        pub fn below(self, limit: u8) -> Block {
            Block(self.0.wrapping_sub(ONES * u64::from(limit)) & !self.0 & HIGHS)
        }

        #[inline(always)]
        pub fn or(self, other: Block) -> Block {
            Block(self.0 | other.0)
        }

        #[inline(always)]
        pub fn first_hit(self) -> Option<usize> {
            (self.0 != 0).then(|| self.0.trailing_zeros() as usize / 8)
        }

        #[inline(always)]
        pub fn above_127(self, count: usize) -> u64 {
            if count == 0 { 0 } else { self.0 & (HIGHS >> (8 * (8 - count))) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of many lengths with one needle at every place, between bytes next to the needles in value, high ones included.
    fn texts() -> impl Iterator<Item = (Vec<u8>, usize)> {
        let fill =
            |length: usize| (0..length).map(|i| [b'!', b'#', b' ', 0xa2, 0x80, b'x'][i % 6]).collect::<Vec<u8>>();
        (1..50usize).flat_map(move |length| {
            (0..length).flat_map(move |at| {
                [b'"', b'\n', 0].map(|hit| {
                    let mut text = fill(length);
                    text[at] = hit;
                    (text, at)
                })
            })
        })
    }

    #[test]
    fn the_first_of_several_needles_is_found_at_every_place() {
        let search = |bytes: &[u8], from| {
            find(bytes, from, |block| block.equal(b'"').or(block.below(b' ')), |byte| byte == b'"' || byte < b' ')
        };
        for (text, at) in texts() {
            for from in 0..=at {
                assert_eq!(search(&text, from), Found { at, ascii: text[from..at].is_ascii() }, "{text:?} {from}");
            }
            assert_eq!(search(&text[..at], 0).at, at);
        }
    }

    #[test]
    fn words_find_what_vectors_find() {
        for (text, _) in texts() {
            let Some(block) = word::Block::first_of(&text) else { continue };
            let expected = text[..8].iter().position(|&byte| byte == b'"' || byte < b' ');
            assert_eq!(block.equal(b'"').or(block.below(b' ')).first_hit(), expected, "{text:?}");
            for count in 0..=8 {
                assert_eq!(block.above_127(count) == 0, text[..count].is_ascii(), "{text:?} {count}");
            }
        }
    }
}
