//! `RAND` and `RAND_INTEGER`. With a seed they repeat Java's `java.util.Random`, number for number, as Flink does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Float64Array, Int32Array};
use arrow::datatypes::DataType::{Float64, Int32};
use datafusion::error::Result;
use rand::Rng;
use tidemill_exec::Error;

use crate::functions::call::{Call, Function, Kind::*};

pub fn all() -> Vec<Function> {
    let (doubles, integers) = (Sequences::default(), Sequences::default());
    vec![
        Function::new("rand", Float64, move |call| {
            if call.count() == 0 {
                let mut random = rand::rng();
                return Ok(Arc::new(Float64Array::from_iter_values((0..call.rows).map(|_| random.random::<f64>()))));
            }
            let seed = call.long(0)?;
            let next = |row| seed.get(row).map(|seed| doubles.with(seed, 0, JavaRandom::next_double));
            Ok(Arc::new((0..call.rows).map(next).collect::<Float64Array>()))
        })
        .takes(&[])
        .takes(&[Int])
        .volatile(),
        Function::new("rand_integer", Int32, move |call| rand_integer(call, &integers))
            .takes(&[Int])
            .takes(&[Int, Int])
            .volatile(),
    ]
}

fn rand_integer(call: &Call, sequences: &Sequences) -> Result<ArrayRef> {
    let last = call.count() - 1;
    let (seed, bound) = (call.long(0)?, call.long(last)?);
    let mut random = rand::rng();
    let next = |row| {
        let (Some(seed), Some(bound)) = (seed.get(row), bound.get(row)) else { return Ok(None) };
        let Some(bound) = i32::try_from(bound).ok().filter(|bound| *bound > 0) else {
            return Err(Error::new(format!("RAND_INTEGER cannot draw below {bound}"))
                .fix("give a bound from 1 to 2147483647")
                .into());
        };
        Ok(Some(match last {
            0 => random.random_range(0..bound),
            _ => sequences.with(seed, bound, |random| random.next_int(bound)),
        }))
    };
    Ok(Arc::new((0..call.rows).map(next).collect::<Result<Int32Array>>()?))
}

/// Where each seeded sequence stands. It lives as long as the session's functions, so a sequence goes on from batch to
/// batch, and calls with the same seed and bound draw from one sequence.
#[derive(Default)]
struct Sequences(Mutex<BTreeMap<(i64, i32), JavaRandom>>);

impl Sequences {
    fn with<T>(&self, seed: i64, bound: i32, draw: impl FnOnce(&mut JavaRandom) -> T) -> T {
        let mut sequences = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        draw(sequences.entry((seed, bound)).or_insert_with(|| JavaRandom::new(seed)))
    }
}

/// The linear congruential generator that Java's documentation prescribes.
struct JavaRandom(i64);

const MULTIPLIER: i64 = 0x5_DEEC_E66D;
const MASK: i64 = (1 << 48) - 1;

impl JavaRandom {
    fn new(seed: i64) -> JavaRandom {
        JavaRandom((seed ^ MULTIPLIER) & MASK)
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        (self.0 >> (48 - bits)) as i32
    }

    fn next_double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 / (1i64 << 53) as f64
    }

    fn next_int(&mut self, bound: i32) -> i32 {
        if bound & (bound - 1) == 0 {
            return ((i64::from(bound) * i64::from(self.next(31))) >> 31) as i32;
        }
        loop {
            let bits = self.next(31);
            let value = bits % bound;
            // Negative where the last, incomplete run of `bound` numbers was hit: draw again.
            if bits.wrapping_sub(value).wrapping_add(bound - 1) >= 0 {
                return value;
            }
        }
    }
}
