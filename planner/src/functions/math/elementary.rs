//! Powers, logarithms, angles: DOUBLE in, DOUBLE out, as `java.lang.Math` answers (NaN outside the domain, no error).

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::DataType::Float64;
use datafusion::error::Result;

use crate::functions::call::{Call, Function, Kind::*};

pub fn all() -> Vec<Function> {
    type OfOne = fn(f64) -> f64;
    let of_one: [(&str, OfOne); 19] = [
        ("sqrt", f64::sqrt),
        ("exp", f64::exp),
        ("ln", f64::ln),
        ("log10", f64::log10),
        ("log2", |x| x.ln() / std::f64::consts::LN_2),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("cot", |x| 1.0 / x.tan()),
        ("asin", f64::asin),
        ("acos", f64::acos),
        ("atan", f64::atan),
        ("sinh", f64::sinh),
        ("cosh", f64::cosh),
        ("tanh", f64::tanh),
        ("degrees", f64::to_degrees),
        ("radians", f64::to_radians),
        ("cbrt", f64::cbrt),
        ("expm1", f64::exp_m1),
    ];
    let mut functions: Vec<Function> = of_one
        .into_iter()
        .map(|(name, of)| Function::new(name, Float64, move |call| one(call, of)).takes(&[Number]))
        .collect();
    functions.extend([
        Function::new("power", Float64, |call| two(call, f64::powf)).takes(&[Number, Number]),
        Function::new("atan2", Float64, |call| two(call, f64::atan2)).takes(&[Number, Number]),
        // LOG(x) is natural; LOG(base, x) has the base first.
        Function::new("log", Float64, |call| match call.count() {
            1 => one(call, f64::ln),
            _ => two(call, |base, x| x.ln() / base.ln()),
        })
        .takes(&[Number])
        .takes(&[Number, Number]),
        Function::new("pi", Float64, |call| constant(call, std::f64::consts::PI)).takes(&[]),
        Function::new("e", Float64, |call| constant(call, std::f64::consts::E)).takes(&[]),
    ]);
    functions
}

fn one(call: &Call, of: impl Fn(f64) -> f64) -> Result<ArrayRef> {
    let x = call.double(0)?;
    Ok(Arc::new(x.array.unary::<_, arrow::datatypes::Float64Type>(of)))
}

fn two(call: &Call, of: impl Fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (x, y) = (call.double(0)?, call.double(1)?);
    Ok(Arc::new((0..call.rows).map(|row| Some(of(x.get(row)?, y.get(row)?))).collect::<Float64Array>()))
}

fn constant(call: &Call, value: f64) -> Result<ArrayRef> {
    Ok(Arc::new(Float64Array::from_value(value, call.rows)))
}
