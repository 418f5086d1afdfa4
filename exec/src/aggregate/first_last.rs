//! `FIRST_VALUE` and `LAST_VALUE`, in order of arrival and without nulls, as in Flink.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute;
use arrow::datatypes::DataType;

use super::chosen::{Chosen, First, Last};
use super::distinct::Distinct;
use super::domain::with_domain;
use super::lists::{Finish, Lists, Wanted};
use super::types::{plain, refuse};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

#[derive(Debug)]
pub(super) struct FirstLast {
    pub last: bool,
}

impl AggregateFunction for FirstLast {
    fn name(&self) -> &str {
        if self.last { "LAST_VALUE" } else { "FIRST_VALUE" }
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        match arguments {
            [argument] => {
                let result = plain(argument);
                Ok(Resolved { arguments: vec![result.clone()], result, nullable: true })
            }
            _ => Err(refuse(self.name(), arguments, "one argument")),
        }
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        // Not idle: the last of the values that are told apart is the one that appeared last, not the one that came last.
        if call.distinct {
            return Distinct::over(self, call);
        }
        if call.retracting {
            let end = if self.last { Wanted::Last } else { Wanted::First };
            return Ok(Box::new(Lists::new(call.argument_types(), true, End(end))?));
        }
        Ok(with_domain!(call.argument_type(), domain => match self.last {
            false => Box::new(Chosen::<_, First>::new(domain)),
            true => Box::new(Chosen::<_, Last>::new(domain)),
        }))
    }
}

/// The one row that was wanted, or null.
struct End(Wanted);

impl Finish for End {
    fn wants(&self) -> Wanted {
        self.0
    }

    fn finish(&self, lengths: &[usize], columns: &[ArrayRef]) -> Result<ArrayRef> {
        if lengths.len() == columns[0].len() {
            return Ok(ArrayRef::clone(&columns[0]));
        }
        let mut row = 0;
        let rows = lengths.iter().map(|length| {
            let this = (*length > 0).then_some(row);
            row += *length as u32;
            this
        });
        Ok(compute::take(&columns[0], &rows.collect::<UInt32Array>(), None)?)
    }
}
