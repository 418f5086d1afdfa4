//! Calling functions in tests: values in, one value as text out.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility};
use tidemill_exec::Error;

/// Runs `name` of `functions` over one row of constants, and again over a column of the same values; both must
/// agree. NULL prints as `NULL`.
pub fn eval(functions: &[Arc<ScalarUDF>], name: &str, args: &[ScalarValue]) -> String {
    match try_eval(functions, name, args) {
        Ok(value) => value,
        Err(error) => panic!("{name}: {error}"),
    }
}

pub fn try_eval(functions: &[Arc<ScalarUDF>], name: &str, args: &[ScalarValue]) -> Result<String, Error> {
    let value = try_value(functions, name, args)?;
    Ok(if value.is_null() { "NULL".to_string() } else { value.to_string() })
}

pub fn try_value(functions: &[Arc<ScalarUDF>], name: &str, args: &[ScalarValue]) -> Result<ScalarValue, Error> {
    let function = functions
        .iter()
        .find(|f| f.name() == name || f.aliases().iter().any(|alias| alias == name))
        .unwrap_or_else(|| panic!("no function {name}"));
    let arg_fields: Vec<FieldRef> =
        args.iter().map(|value| Arc::new(Field::new("a", value.data_type(), value.is_null()))).collect();
    let scalar_arguments: Vec<_> = args.iter().map(Some).collect();
    let return_field = function
        .return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalar_arguments })?;
    let run = |values: Vec<ColumnarValue>, rows| {
        function.invoke_with_args(ScalarFunctionArgs {
            args: values,
            arg_fields: arg_fields.clone(),
            number_rows: rows,
            return_field: Arc::clone(&return_field),
            config_options: Arc::new(ConfigOptions::default()),
        })
    };
    let constant = run(args.iter().cloned().map(ColumnarValue::Scalar).collect(), 3)?.to_array(3)?;
    let columns: Result<Vec<_>> =
        args.iter().map(|value| Ok(ColumnarValue::Array(value.to_array_of_size(3)?))).collect();
    assert_eq!(constant.data_type(), return_field.data_type(), "{name} returns what it declared");
    let value = ScalarValue::try_from_array(&constant, 2)?;
    assert!(return_field.is_nullable() || !value.is_null(), "{name} is declared NOT NULL");
    if function.signature().volatility == Volatility::Immutable {
        let column = run(columns?, 3)?.to_array(3)?;
        assert_eq!(value, ScalarValue::try_from_array(&column, 2)?, "{name}: constants and columns agree");
    }
    Ok(value)
}

pub fn text(value: &str) -> ScalarValue {
    ScalarValue::from(value)
}

pub fn int(value: i32) -> ScalarValue {
    ScalarValue::from(value)
}

pub fn long(value: i64) -> ScalarValue {
    ScalarValue::from(value)
}

pub fn double(value: f64) -> ScalarValue {
    ScalarValue::from(value)
}

pub fn no_text() -> ScalarValue {
    ScalarValue::Utf8(None)
}
