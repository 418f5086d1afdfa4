//! Values by chance that depend on nothing but where they stand: what generators draw.
//!
//! Each value is drawn from a cell: 64 bits mixed from a seed and the place of the value. The mixing is SplitMix64's finalizer, whose
//! output over consecutive inputs passes the usual test batteries; here it replaces a generator with state, which could not resume
//! at any row.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Draw number `n` of a cell, also the cell of its part number `n`.
pub(super) fn draw(cell: u64, n: u64) -> u64 {
    mix(cell.wrapping_add((n + 1).wrapping_mul(GOLDEN)))
}

/// From 0 up to, not including, 1.
pub(super) fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// From 0 to `most`, each equally likely as far as 64 bits can tell.
pub(super) fn up_to(bits: u64, most: u64) -> u64 {
    match most {
        u64::MAX => bits,
        _ => ((u128::from(bits) * (u128::from(most) + 1)) >> 64) as u64,
    }
}
