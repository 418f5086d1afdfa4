//! `LISTAGG` and `ARRAY_AGG`: the rows of a group in order of arrival.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringBuilder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};

use super::distinct::Distinct;
use super::lists::{Finish, Lists};
use super::types::{plain, refuse};
use super::{Accumulator, AggregateCall, AggregateFunction, Resolved};
use crate::error::Result;

/// `LISTAGG(text)`, `LISTAGG(text, separator)`: without nulls; null where nothing is left.
#[derive(Debug)]
pub(super) struct ListAgg;

impl AggregateFunction for ListAgg {
    fn name(&self) -> &str {
        "LISTAGG"
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        let is_text = |argument: &DataType| matches!(plain(argument), DataType::Utf8 | DataType::Null);
        if !(1..=2).contains(&arguments.len()) || !arguments.iter().all(is_text) {
            return Err(refuse(self.name(), arguments, "a text and, if it is not a comma, a separator"));
        }
        Ok(Resolved { arguments: vec![DataType::Utf8; arguments.len()], result: DataType::Utf8, nullable: true })
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        Ok(Box::new(Lists::new(call.argument_types(), true, Join)?))
    }
}

/// Texts with separators between them; each brings the one that goes before it.
struct Join;

impl Finish for Join {
    fn finish(&self, lengths: &[usize], columns: &[ArrayRef]) -> Result<ArrayRef> {
        let texts = columns[0].as_string::<i32>();
        let separators = columns.get(1).map(|separators| separators.as_string::<i32>());
        let separator = |row| match separators {
            None => ",",
            Some(separators) if separators.is_null(row) => "",
            Some(separators) => separators.value(row),
        };
        let (mut result, mut joined, mut row) = (StringBuilder::new(), String::new(), 0);
        for &length in lengths {
            joined.clear();
            for i in row..row + length {
                joined.push_str(if i > row { separator(i) } else { "" });
                joined.push_str(texts.value(i));
            }
            row += length;
            result.append_option((length > 0).then_some(&joined));
        }
        Ok(Arc::new(result.finish()))
    }
}

/// `ARRAY_AGG(x)`: with nulls unless `IGNORE NULLS`; null where nothing is left.
#[derive(Debug)]
pub(super) struct ArrayAgg;

impl AggregateFunction for ArrayAgg {
    fn name(&self) -> &str {
        "ARRAY_AGG"
    }

    fn resolve(&self, arguments: &[DataType]) -> Result<Resolved> {
        match arguments {
            [argument] => {
                let item = plain(argument);
                let result = DataType::List(Arc::new(Field::new_list_field(item.clone(), true)));
                Ok(Resolved { arguments: vec![item], result, nullable: true })
            }
            _ => Err(refuse(self.name(), arguments, "one argument")),
        }
    }

    fn is_ordered(&self) -> bool {
        true
    }

    fn accumulator(&self, call: &AggregateCall) -> Result<Box<dyn Accumulator>> {
        if call.distinct {
            return Distinct::over(self, call);
        }
        let item = Arc::new(Field::new_list_field(call.argument_type().clone(), true));
        Ok(Box::new(Lists::new(call.argument_types(), call.ignore_nulls, Arrays { item })?))
    }
}

struct Arrays {
    item: Arc<Field>,
}

impl Finish for Arrays {
    fn finish(&self, lengths: &[usize], columns: &[ArrayRef]) -> Result<ArrayRef> {
        let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
        let nulls: NullBuffer = lengths.iter().map(|length| *length > 0).collect();
        let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
        Ok(Arc::new(ListArray::try_new(Arc::clone(&self.item), offsets, ArrayRef::clone(&columns[0]), nulls)?))
    }
}
