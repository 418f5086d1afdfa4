//! Text whose words are as common as those of a language: the second half as often as the first, the third a third as often.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::number::Chance;

const VOCABULARY: usize = 50_000;
const WORDS_PER_LINE: usize = 10;

/// What was written.
pub struct Text {
    pub bytes: u64,
    pub words: u64,
    /// Each word that occurs, and how often.
    pub counts: Vec<(String, u64)>,
}

/// Writes about `bytes` of text: lines of ten words out of 50 000.
pub fn write(path: &Path, bytes: u64) -> io::Result<Text> {
    let mut chance = Chance::new(42);
    let vocabulary = vocabulary(&mut chance);
    let mut counts = vec![0u64; vocabulary.len()];
    let cumulated: Vec<f64> = (0..vocabulary.len())
        .scan(0.0, |sum, rank| {
            *sum += 1.0 / (rank + 1) as f64;
            Some(*sum)
        })
        .collect();
    let total = cumulated[VOCABULARY - 1];
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut words) = (0, 0);
    while written < bytes {
        for position in 0..WORDS_PER_LINE {
            let place = chance.fraction() * total;
            let rank = cumulated.partition_point(|sum| *sum <= place).min(VOCABULARY - 1);
            let word = &vocabulary[rank];
            out.write_all(word.as_bytes())?;
            out.write_all(if position + 1 < WORDS_PER_LINE { b" " } else { b"\n" })?;
            written += word.len() as u64 + 1;
            words += 1;
            counts[rank] += 1;
        }
    }
    out.flush()?;
    let counts = vocabulary.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
    Ok(Text { bytes: written, words, counts })
}

/// Different words of one to four syllables.
fn vocabulary(chance: &mut Chance) -> Vec<String> {
    let (mut words, mut known) = (Vec::with_capacity(VOCABULARY), BTreeSet::new());
    while words.len() < VOCABULARY {
        let mut word = String::new();
        for _ in 0..=chance.below(4) {
            word.push(char::from(chance.pick(b"bcdfghjklmnpqrstvwz")));
            word.push(char::from(chance.pick(b"aeiou")));
        }
        if known.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}
