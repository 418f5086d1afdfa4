//! The current time, under its many names.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType::{self, Date32, Int64, Time32};
use arrow::datatypes::TimeUnit;
use chrono::Utc;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidemill_exec::Error;

use super::moment::{Moment, column, instant, timestamp};
use crate::functions::zone::Zone;

pub fn all(zone: &Zone, volatility: Volatility) -> Vec<Arc<ScalarUDF>> {
    use Shape::*;
    let per_row = Volatility::Volatile;
    [
        ("current_date", Day, volatility),
        ("current_time", Time, volatility),
        ("localtime", Time, volatility),
        ("localtimestamp", Clock, volatility),
        ("current_timestamp", Instant, volatility),
        ("now", Instant, volatility),
        ("current_row_timestamp", Instant, per_row),
        ("proctime", Instant, per_row),
    ]
    .into_iter()
    .map(|(name, shape, volatility)| {
        let signature = Signature::user_defined(volatility);
        Arc::new(ScalarUDF::new_from_impl(Now { name, shape, zone: zone.clone(), signature }))
    })
    .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Day,
    /// `TIME(0)`: whole seconds.
    Time,
    /// `TIMESTAMP(3)` of the session's clock.
    Clock,
    /// `TIMESTAMP_LTZ(3)`.
    Instant,
}

/// One of the functions of the current time. Stable ones become a literal when a query is planned, so that all its rows
/// see one time; volatile ones look at the clock for each batch.
#[derive(Clone)]
pub struct Now {
    name: &'static str,
    shape: Shape,
    zone: Zone,
    signature: Signature,
}

impl Now {
    fn data_type(&self) -> DataType {
        match self.shape {
            Shape::Day => Date32,
            Shape::Time => Time32(TimeUnit::Millisecond),
            Shape::Clock => timestamp(),
            Shape::Instant => instant(&self.zone),
        }
    }

    /// The value at an instant, in milliseconds since 1970.
    fn at(&self, millis: i64) -> Result<ScalarValue> {
        let millis = match self.shape {
            Shape::Instant => millis,
            Shape::Time => self.zone.to_local(millis).div_euclid(1000) * 1000,
            _ => self.zone.to_local(millis),
        };
        ScalarValue::try_from_array(&column(&self.data_type(), std::iter::once(Some(Moment::new(millis)))), 0)
    }
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

impl PartialEq for Now {
    fn eq(&self, other: &Now) -> bool {
        self.name == other.name && self.zone.name() == other.zone.name() && self.signature == other.signature
    }
}

impl Eq for Now {}

impl std::hash::Hash for Now {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // CURRENT_TIMESTAMP(3) and its like name a precision; ours is 3 in any case, as in Flink.
        if types.len() > 1 || types.iter().any(|of| !of.is_integer()) {
            let shown = self.name.to_uppercase();
            return Err(Error::new(format!("{shown} takes no arguments")).fix(format!("write {shown}")).into());
        }
        Ok(self.data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<arrow::datatypes::FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(arrow::datatypes::Field::new(self.name, self.return_type(&types)?, false)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.at(Utc::now().timestamp_millis())?))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match info.query_execution_start_time() {
            Some(start) if self.signature.volatility == Volatility::Stable => {
                let value = self.at(start.timestamp_millis())?;
                Ok(ExprSimplifyResult::Simplified(Expr::Literal(value, None)))
            }
            _ => Ok(ExprSimplifyResult::Original(args)),
        }
    }
}

/// Seconds since 1970.
pub fn unix_seconds() -> i64 {
    Utc::now().timestamp()
}

/// The type of [`unix_seconds`].
pub const UNIX_SECONDS: DataType = Int64;
