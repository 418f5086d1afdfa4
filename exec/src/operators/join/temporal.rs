//! Temporal join: each row with the version of another table's row that was there at its time.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef, TimestampMillisecondType};
use arrow::row::{RowConverter, SortField};
use datafusion_physical_expr::PhysicalExpr;
use tidemill_state::{EventTime, KeyTable};

use crate::error::Result;
use crate::message::Batch;
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext, TableSnapshot};
use crate::operators::aggregate::{key_types, send_in_pieces};
use crate::operators::dirty::state_table;
use crate::operators::in_time::{InTime, null_time};
use crate::operators::window::{restored, time_table};
use crate::progress::Waiting;

/// Emits the columns of the left, then those of the right, for each row of the left once, when the watermark has passed its time. Rows of the
/// right are versions, each from its time on, until the next of its key comes or it is taken back.
#[derive(Clone, Debug)]
pub struct TemporalJoin {
    /// Rows of the left without a version come out with nulls.
    pub outer: bool,
    /// By input, columns that must be equal; those of the right have one version at a time.
    pub keys: [Vec<usize>; 2],
    /// By input, a column of event time.
    pub times: [usize; 2],
    /// What else must be true of a pair: over the columns of both inputs.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    pub inputs: [SchemaRef; 2],
    pub schema: SchemaRef,
}

impl OperatorSpec for TemporalJoin {
    fn name(&self) -> &'static str {
        "temporal-join"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn explain(&self, line: &mut ExplainLine) {
        let name = |side: usize, column: usize| self.inputs[side].field(column).name();
        line.field("kind", if self.outer { "left" } else { "inner" });
        let pairs = self.keys[0].iter().zip(&self.keys[1]);
        line.list("on", pairs.map(|(&left, &right)| format!("{} = {}", name(0, left), name(1, right))));
        line.field("as-of", name(0, self.times[0])).field("version", name(1, self.times[1]));
        if let Some(condition) = &self.condition {
            line.field("condition", condition);
        }
    }

    fn state_bound(&self) -> Option<&'static str> {
        Some("rows ahead of the watermark, one version per key behind it")
    }

    fn open(&self, _: &ShardContext) -> Result<Box<dyn Operator>> {
        let whole = self.inputs[1].fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let both = self.inputs.iter().flat_map(|input| input.fields().iter().cloned()).collect::<Vec<_>>();
        Ok(Box::new(Versioning {
            ahead: InTime::new(&self.inputs[0], self.times[0], &[])?,
            table: KeyTable::new(&key_types(&self.inputs[1], &self.keys[1]))?,
            versions: Vec::new(),
            several: HashSet::new(),
            whole: RowConverter::new(whole)?,
            both: Arc::new(Schema::new(both)),
            watermark: EventTime::MIN,
            spec: self.clone(),
        }))
    }
}

struct Versioning {
    spec: TemporalJoin,
    /// Rows of the left.
    ahead: InTime,
    /// Keys of the right.
    table: KeyTable,
    /// By key, from when on.
    versions: Vec<BTreeMap<i64, Version>>,
    /// Keys that may have a version that nobody can ask for any more.
    several: HashSet<u32>,
    whole: RowConverter,
    both: SchemaRef,
    watermark: EventTime,
}

/// In Arrow's row format.
struct Version {
    row: Box<[u8]>,
    /// The row was taken back.
    is_gone: bool,
}

impl Versioning {
    fn keys_of(&mut self, side: usize, rows: &RecordBatch) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.spec.keys[side].iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let mut groups = Vec::new();
        self.table.intern(&keys, rows.num_rows(), &mut groups)?;
        self.versions.resize_with(self.table.groups(), BTreeMap::new);
        Ok(groups)
    }

    fn add_versions(&mut self, rows: &RecordBatch, is_gone: impl Fn(usize) -> Option<bool>) -> Result<()> {
        let column = rows.column(self.spec.times[1]);
        if column.null_count() > 0 {
            return Err(null_time(self.spec.inputs[1].field(self.spec.times[1]).name()));
        }
        let keys = self.keys_of(1, rows)?;
        let whole = self.whole.convert_columns(rows.columns())?;
        for (row, &time) in column.as_primitive::<TimestampMillisecondType>().values().iter().enumerate() {
            if let Some(is_gone) = is_gone(row) {
                self.versions[keys[row] as usize].insert(time, Version { row: whole.row(row).data().into(), is_gone });
                self.several.insert(keys[row]);
            }
        }
        Ok(())
    }

    /// The rows of the left with their versions.
    fn joined(&mut self, rows: RecordBatch) -> Result<RecordBatch> {
        let keys = self.keys_of(0, &rows)?;
        let null = |row: usize| self.spec.keys[0].iter().any(|&key| rows.column(key).is_null(row));
        let times = rows.column(self.spec.times[0]).as_primitive::<TimestampMillisecondType>().values();
        let version = |row: usize| {
            let (_, version) = self.versions[keys[row] as usize].range(..=times[row]).next_back()?;
            (!version.is_gone && !null(row)).then_some(&version.row)
        };
        let mut found = Vec::new();
        let mut places: Vec<Option<u32>> = Vec::with_capacity(keys.len());
        for row in 0..keys.len() {
            let version = version(row);
            found.extend(version);
            places.push(version.map(|_| found.len() as u32 - 1));
        }
        let parser = self.whole.parser();
        let right = self.whole.convert_rows(found.into_iter().map(|row| parser.parse(row)))?;
        let matches = self.matches(&rows, &right, &places)?;
        places.iter_mut().zip(matches).for_each(|(place, matches)| *place = place.filter(|_| matches));

        let kept = (0u32..).zip(&places).filter(|(_, place)| self.spec.outer || place.is_some()).map(|(row, _)| row);
        let kept = UInt32Array::from(kept.collect::<Vec<_>>());
        let of_right: UInt32Array = kept.values().iter().map(|&row| places[row as usize]).collect();
        let mut columns = Vec::with_capacity(self.both.fields().len());
        for column in rows.columns() {
            columns.push(take(column, &kept, None)?);
        }
        for column in &right {
            columns.push(take(column, &of_right, None)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(kept.len()));
        self.forget_keys(&keys);
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.spec.schema), columns, &options)?)
    }

    /// Which rows fulfil the condition with the versions at these places of `right`.
    fn matches(&self, rows: &RecordBatch, right: &[ArrayRef], places: &[Option<u32>]) -> Result<Vec<bool>> {
        let Some(condition) = &self.spec.condition else { return Ok(vec![true; places.len()]) };
        let places: UInt32Array = places.iter().copied().collect();
        let mut columns = rows.columns().to_vec();
        for column in right {
            columns.push(take(column, &places, None)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        let pairs = RecordBatch::try_new_with_options(Arc::clone(&self.both), columns, &options)?;
        let matches = condition.evaluate(&pairs)?.into_array(places.len())?;
        let matches = matches.as_boolean();
        Ok((0..places.len()).map(|row| matches.is_valid(row) && matches.value(row)).collect())
    }

    /// Forgets keys of the left that have no versions.
    fn forget_keys(&mut self, keys: &[u32]) {
        for &key in keys {
            if self.versions[key as usize].is_empty() && self.table.is_live(key) {
                self.table.remove(key);
            }
        }
    }

    /// Forgets versions that were replaced before the watermark.
    fn forget_versions(&mut self) {
        let watermark = self.watermark.0;
        let mut gone = Vec::new();
        let (versions, table) = (&mut self.versions, &self.table);
        self.several.retain(|&key| {
            let of_key = &mut versions[key as usize];
            let last = of_key.range(..=watermark).next_back().map(|(&time, version)| (time, version.is_gone));
            if let Some((last, is_gone)) = last {
                // A version that was taken back is as good as none.
                *of_key = of_key.split_off(&if is_gone { last.saturating_add(1) } else { last });
            }
            if of_key.is_empty() && table.is_live(key) {
                gone.push(key);
            }
            of_key.len() > 1
        });
        gone.into_iter().for_each(|key| self.table.remove(key));
    }
}

impl Operator for Versioning {
    fn on_batch(&mut self, input: Input, batch: Batch, _: &mut Output) -> Result<()> {
        match input {
            Input(0) => self.ahead.add(batch.into_rows()),
            // The former half of an update says nothing that the latter does not.
            _ => self.add_versions(batch.rows(), |row| match batch.weight(row) > 0 {
                true => Some(false),
                false => (!batch.is_update(row)).then_some(true),
            }),
        }
    }

    fn on_watermark(&mut self, time: EventTime, out: &mut Output) -> Result<()> {
        self.watermark = time;
        if let Some(rows) = self.ahead.due(time)? {
            send_in_pieces(Batch::append(self.joined(rows)?), out);
        }
        self.forget_versions();
        out.watermark(time);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<TableSnapshot>> {
        let versions: Vec<&Version> = self.table.live().flat_map(|key| self.versions[key as usize].values()).collect();
        let parser = self.whole.parser();
        let mut columns = self.whole.convert_rows(versions.iter().map(|version| parser.parse(&version.row)))?;
        columns.push(Arc::new(versions.iter().map(|version| Some(version.is_gone)).collect::<BooleanArray>()));
        let rows = state_table(&self.spec.inputs[1], &["is_gone"], columns)?;
        Ok(vec![
            TableSnapshot::by_key("left", self.ahead.rows()?, self.spec.keys[0].iter().copied()),
            TableSnapshot::by_key("versions", rows, self.spec.keys[1].iter().copied()),
            time_table(self.watermark)?,
        ])
    }

    fn restore(&mut self, tables: Vec<TableSnapshot>) -> Result<()> {
        for table in tables {
            match table.table.as_ref() {
                "left" => {
                    let columns = table.rows.columns().to_vec();
                    self.ahead.add(RecordBatch::try_new(Arc::clone(&self.spec.inputs[0]), columns)?)?;
                }
                "versions" => {
                    let (is_gone, columns) = table.rows.columns().split_last().expect("it says which are gone");
                    let rows = RecordBatch::try_new(Arc::clone(&self.spec.inputs[1]), columns.to_vec())?;
                    let is_gone = is_gone.as_boolean();
                    self.add_versions(&rows, |row| Some(is_gone.value(row)))?;
                }
                _ => self.watermark = restored(&table),
            }
        }
        Ok(())
    }

    fn waiting(&self) -> Option<Waiting> {
        let closes = self.ahead.first()?;
        Some(Waiting { operator: "temporal-join", window: None, closes, watermark: self.watermark })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check_inputs;

    fn join(inputs: &[SchemaRef; 2], outer: bool) -> TemporalJoin {
        let schema = inputs.iter().flat_map(|input| input.fields().iter().cloned()).collect::<Vec<_>>();
        TemporalJoin {
            outer,
            keys: [vec![0], vec![0]],
            times: [1, 1],
            condition: None,
            inputs: inputs.clone(),
            schema: Arc::new(Schema::new(schema)),
        }
    }

    #[test]
    fn each_row_finds_the_version_of_its_time() {
        check_inputs(
            |inputs| join(inputs, true),
            expect![[r#"
                columns k text, ts time
                columns k text, from_ time, v int

                + x 0:05
                + x 0:02
                + null 0:03
                2nd + x 0:03 30
                2nd + x 0:05 50
                2nd + null 0:01 1       // equals nothing
                | 1
                ! crash
                ~ 0:04
                    => + x  0:02  null  null  null
                    => + null  0:03  null  null  null
                    => ~ 0:04
                2nd + x 0:04 40         // late, but nobody has asked yet
                + x 0:06
                + y 0:05.500
                ~ 0:06
                    => + x  0:05  x  0:05  50
                    => + y  0:05.500  null  null  null
                    => + x  0:06  x  0:05  50
                    => ~ 0:06
                2nd - x 0:07 50         // taken back
                + x 0:08
                | 2
                ! crash
                $
                    => + x  0:08  null  null  null
                    => $
            "#]],
        );
    }

    #[test]
    fn rows_without_a_version_are_left_out_of_an_inner_join() {
        check_inputs(
            |inputs| join(inputs, false),
            expect![[r#"
                columns k text, ts time
                columns k text, from_ time, v int

                2nd + x 0:03 30
                + x 0:02
                + x 0:03
                ~ 0:05
                    => + x  0:03  x  0:03  30
                    => ~ 0:05
                $
                    => $
            "#]],
        );
    }
}
