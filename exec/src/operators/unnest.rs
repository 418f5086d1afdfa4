//! One row per element of an array, map or multiset.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, RecordBatch, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;

use crate::error::{Error, Result};
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};

/// `CROSS JOIN UNNEST(collection)`: each row in, once per element of its collection.
///
/// An element that is a row becomes one column per field; a map gives key and value. Weights are kept.
#[derive(Debug)]
pub struct Unnest {
    /// A list or map, over the input's schema.
    pub collection: Arc<dyn PhysicalExpr>,
    /// Columns of the input that come out too, before the element's.
    pub keep: Vec<usize>,
    /// The collection is a multiset: a map from elements to how often they are in it.
    pub multiset: bool,
    /// `WITH ORDINALITY`: a last column counts the elements of each row from 1.
    pub ordinality: bool,
    /// `LEFT JOIN`: a row without elements comes out once, with nulls.
    pub outer: bool,
    pub schema: SchemaRef,
}

impl OperatorSpec for Unnest {
    fn name(&self) -> &'static str {
        "unnest"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        line.field("collection", &self.collection);
        line.list("select", self.schema.fields().iter().map(|field| field.name()));
        if self.outer {
            line.field("join", "left");
        }
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Unnesting {
            collection: Arc::clone(&self.collection),
            keep: self.keep.clone(),
            multiset: self.multiset,
            ordinality: self.ordinality,
            outer: self.outer,
            schema: self.schema(),
        }))
    }
}

struct Unnesting {
    collection: Arc<dyn PhysicalExpr>,
    keep: Vec<usize>,
    multiset: bool,
    ordinality: bool,
    outer: bool,
    schema: SchemaRef,
}

impl Operator for Unnesting {
    fn keeps_marks(&self) -> bool {
        true
    }

    fn on_batch(&mut self, _: Input, batch: Batch, out: &mut Output) -> Result<()> {
        let array = self.collection.evaluate(batch.rows())?.into_array(batch.len())?;
        let mut elements = Elements::of(&array)?;
        if self.multiset {
            elements.counts = elements.values.pop();
        }
        let run = elements.run(self.outer);
        if let Some(run) = &run
            && self.keep.is_empty()
            && !self.ordinality
            && batch.weights().is_none()
            && batch.marks().is_empty()
        {
            // The words of lines: nothing of the row goes with them, so there is nothing to do per element.
            if !run.is_empty() {
                let columns = elements.values.iter().map(|values| values.slice(run.start, run.len())).collect();
                out.send(Batch::append(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
            }
            return Ok(());
        }
        let (origin, index) = elements.indices(self.outer);
        if origin.is_empty() && batch.marks().is_empty() {
            return Ok(());
        }
        let origin = UInt32Array::from(origin);
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for &column in &self.keep {
            columns.push(compute::take(batch.rows().column(column), &origin, None)?);
        }
        for values in &elements.values {
            columns.push(match &run {
                Some(run) => values.slice(run.start, run.len()),
                None => compute::take(values, &index, None)?,
            });
        }
        if self.ordinality {
            columns.push(Arc::new(ordinals(&origin, &index)));
        }
        out.send(batch.derived(RecordBatch::try_new(Arc::clone(&self.schema), columns)?, &origin)?);
        Ok(())
    }
}

/// 1, 2, 3 ... within each row; null where the row had no element.
fn ordinals(origin: &UInt32Array, index: &UInt32Array) -> Int32Array {
    let mut ordinal = 0;
    (0..origin.len())
        .map(|row| {
            ordinal = if row > 0 && origin.value(row) == origin.value(row - 1) { ordinal + 1 } else { 1 };
            index.is_valid(row).then_some(ordinal)
        })
        .collect()
}

/// The elements of all rows of a collection column.
struct Elements {
    /// One array per column an element becomes.
    values: Vec<ArrayRef>,
    offsets: OffsetBuffer<i32>,
    nulls: Option<arrow::buffer::NullBuffer>,
    /// Of a multiset: how often each element is in it.
    counts: Option<ArrayRef>,
}

impl Elements {
    fn of(array: &ArrayRef) -> Result<Elements> {
        let elements = |values: ArrayRef, offsets: &OffsetBuffer<i32>| {
            Ok(Elements {
                values: fields(values)?,
                offsets: offsets.clone(),
                nulls: array.nulls().cloned(),
                counts: None,
            })
        };
        match array.data_type() {
            DataType::List(_) => {
                let list: &ListArray = array.as_list();
                elements(Arc::clone(list.values()), list.offsets())
            }
            DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
                let list = compute::cast(array, &DataType::List(Arc::clone(field)))?;
                Elements::of(&list)
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                elements(Arc::new(map.entries().clone()), map.offsets())
            }
            other => {
                Err(Error::new(format!("cannot UNNEST a value of type {other}"))
                    .why("it takes an ARRAY, MAP or MULTISET"))
            }
        }
    }

    /// The elements that come out, if they lie one after the other, as they do unless nulls, empty rows or
    /// counts of a multiset intervene.
    fn run(&self, outer: bool) -> Option<Range<usize>> {
        if self.counts.is_some() {
            return None;
        }
        let leaves_no_gap = |row: usize, bounds: &[i32]| {
            let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            if outer { !is_null && bounds[0] < bounds[1] } else { !is_null || bounds[0] == bounds[1] }
        };
        let all = (!outer && self.nulls.as_ref().is_none_or(|nulls| nulls.null_count() == 0))
            || self.offsets.windows(2).enumerate().all(|(row, bounds)| leaves_no_gap(row, bounds));
        all.then(|| self.offsets[0] as usize..self.offsets[self.offsets.len() - 1] as usize)
    }

    /// Per row out: the row in, and the index of the element (null for none).
    fn indices(&self, outer: bool) -> (Vec<u32>, UInt32Array) {
        let elements = self.offsets.last().copied().unwrap_or(0) as usize;
        let counts = self.counts.as_ref().map(|counts| counts.as_primitive::<Int32Type>());
        let mut origin = Vec::with_capacity(elements);
        let mut index = UInt32Array::builder(elements);
        for (row, bounds) in self.offsets.windows(2).enumerate() {
            let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            if is_null || bounds[0] == bounds[1] {
                if outer {
                    origin.push(row as u32);
                    index.append_null();
                }
                continue;
            }
            for element in bounds[0]..bounds[1] {
                let times = counts.map_or(1, |counts| counts.value(element as usize));
                for _ in 0..times {
                    origin.push(row as u32);
                    index.append_value(element as u32);
                }
            }
        }
        (origin, index.finish())
    }
}

/// The columns an element becomes: the fields of a row (null where the row is), else the element itself.
fn fields(values: ArrayRef) -> Result<Vec<ArrayRef>> {
    let Some(row) = values.as_struct_opt() else { return Ok(vec![values]) };
    if row.null_count() == 0 {
        return Ok(row.columns().to_vec());
    }
    let is_null = compute::is_null(row)?;
    row.columns().iter().map(|column| Ok(compute::nullif(column, &is_null)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListBuilder, StringBuilder, StructArray};
    use arrow::datatypes::{Field, Schema};
    use datafusion_physical_expr::expressions::col;

    /// ids 1 to 4 with the lists [x, y], [], null, [z, null].
    fn tags() -> RecordBatch {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("x"), Some("y")]);
        lists.append_value(Vec::<Option<&str>>::new());
        lists.append_null();
        lists.append_value([Some("z"), None]);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        RecordBatch::try_from_iter([("id", ids), ("tags", Arc::new(lists.finish()) as ArrayRef)])
            .expect("equal lengths")
    }

    fn run(rows: RecordBatch, outer: bool, weights: Option<Vec<i64>>) -> String {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("tag", DataType::Utf8, true),
            Field::new("n", DataType::Int32, true),
        ]);
        let collection = col("tags", &rows.schema()).expect("a column");
        let unnest =
            Unnest { collection, keep: vec![0], multiset: false, ordinality: true, outer, schema: Arc::new(schema) };
        let mut operator = unnest.open(&ShardContext::SINGLE).expect("it opens");
        let mut out = Output::default();
        operator.on_batch(Input(0), Batch::new(rows, weights.map(Into::into)), &mut out).expect("lists unnest");
        let mut text = String::new();
        for message in out.drain() {
            let crate::Message::Batch(batch) = message else { continue };
            for row in 0..batch.len() {
                let show = |n: usize| {
                    arrow::util::display::array_value_to_string(batch.rows().column(n), row).expect("printable")
                };
                text.push_str(&format!("{:+} {} {} {}; ", batch.weight(row), show(0), show(1), show(2)));
            }
        }
        text
    }

    #[test]
    fn elements_alone_are_the_same_elements_whatever_row_they_came_from() {
        let alone = |rows: RecordBatch, outer| {
            let collection = col("tags", &rows.schema()).expect("a column");
            let schema = Arc::new(Schema::new(vec![Field::new("tag", DataType::Utf8, true)]));
            let unnest = Unnest { collection, keep: vec![], multiset: false, ordinality: false, outer, schema };
            let mut operator = unnest.open(&ShardContext::SINGLE).expect("it opens");
            let mut out = Output::default();
            operator.on_batch(Input(0), Batch::append(rows), &mut out).expect("lists unnest");
            let batches = out.drain().filter_map(|message| match message {
                crate::Message::Batch(batch) => Some(batch),
                _ => None,
            });
            let tags = batches.flat_map(|batch| {
                let tags = batch.rows().column(0).as_string::<i32>().clone();
                tags.iter().map(|tag| tag.unwrap_or("null").to_string()).collect::<Vec<_>>()
            });
            tags.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(alone(tags(), false), "x y z null");
        assert_eq!(alone(tags(), true), "x y null null z null");
        assert_eq!(alone(tags().slice(1, 3), false), "z null");
        assert_eq!(alone(tags().slice(3, 1), true), "z null");
        assert_eq!(alone(tags().slice(1, 2), false), "");
    }

    #[test]
    fn rows_without_elements_vanish_or_come_once_with_nulls() {
        assert_eq!(run(tags(), false, None), "+1 1 x 1; +1 1 y 2; +1 4 z 1; +1 4  2; ");
        assert_eq!(run(tags(), true, None), "+1 1 x 1; +1 1 y 2; +1 2  ; +1 3  ; +1 4 z 1; +1 4  2; ");
    }

    #[test]
    fn a_retracted_row_retracts_its_elements_and_slices_are_right() {
        let rows = tags();
        assert_eq!(run(rows.slice(3, 1), false, Some(vec![-1])), "-1 4 z 1; -1 4  2; ");
    }

    #[test]
    fn a_null_row_as_element_gives_null_fields() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let fields = vec![Arc::new(Field::new("q", DataType::Int64, true))];
        let rows = StructArray::new(fields.into(), vec![numbers], Some(vec![true, false].into()));
        let columns = super::fields(Arc::new(rows)).expect("structs come apart");
        assert_eq!(columns[0].as_ref(), &Int64Array::from(vec![Some(1), None]));
    }
}
