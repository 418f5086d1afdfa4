//! Upper and lower case, lengths, and characters as numbers.

use std::sync::Arc;

use arrow::array::Int32Array;
use arrow::datatypes::DataType::{Int32, Utf8};
use datafusion::logical_expr::ColumnarValue;

use super::char_len;
use crate::functions::call::{Function, Kind::*, texts};

pub fn all() -> Vec<Function> {
    vec![
        from_datafusion("upper", datafusion::functions::string::upper),
        from_datafusion("lower", datafusion::functions::string::lower),
        Function::new("initcap", Utf8, |call| {
            let text = call.text(0)?;
            texts(call.rows, |row, out| {
                initcap(text.get(row)?, out);
                Some(())
            })
        })
        .takes(&[Text]),
        Function::new("char_length", Int32, |call| {
            let text = call.text(0)?;
            let lengths = (0..call.rows).map(|row| Some(char_len(text.get(row)?) as i32));
            Ok(Arc::new(lengths.collect::<Int32Array>()))
        })
        .takes(&[Text])
        .alias("character_length")
        .alias("length"),
        Function::new("octet_length", Int32, |call| {
            let bytes = call.bytes(0)?;
            let lengths = (0..call.rows).map(|row| Some(bytes.get(row)?.len() as i32));
            Ok(Arc::new(lengths.collect::<Int32Array>()))
        })
        .takes(&[Text])
        .takes(&[Bytes]),
        Function::new("ascii", Int32, |call| {
            let text = call.text(0)?;
            // Flink reads the first byte as a signed number, so 'é' gives -61.
            let code = |row| Some(text.get(row)?.as_bytes().first().map_or(0, |byte| i32::from(*byte as i8)));
            Ok(Arc::new((0..call.rows).map(code).collect::<Int32Array>()))
        })
        .takes(&[Text]),
        Function::new("chr", Utf8, |call| {
            let code = call.long(0)?;
            texts(call.rows, |row, out| {
                let code = code.get(row)?;
                if code >= 0 {
                    out.push(char::from((code & 0xFF) as u8));
                }
                Some(())
            })
        })
        .takes(&[Int]),
    ]
}

/// A function that DataFusion has with exactly Flink's meaning, behind our argument checks.
fn from_datafusion(name: &'static str, function: fn() -> Arc<datafusion::logical_expr::ScalarUDF>) -> Function {
    Function::new(name, Utf8, move |call| {
        let mut args = call.args.clone();
        args.args = vec![ColumnarValue::Array(Arc::new(call.text(0)?.array))];
        args.number_rows = call.rows;
        function().invoke_with_args(args)?.to_array(call.rows)
    })
    .takes(&[Text])
}

/// A word is a run of ASCII letters and digits; every other character, accented letters included, ends it unchanged.
fn initcap(text: &str, out: &mut String) {
    let mut in_word = false;
    for c in text.chars() {
        out.push(if in_word { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() });
        in_word = c.is_ascii_alphanumeric();
    }
}
