//! What is inside a value: `tags[1]`, `attributes['k']`, `row.field`.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Column, DFSchema, Result as PlanResult, ScalarValue, TableReference};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::sqlparser::ast;
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, ScalarUDF, lit};
use tidemill_exec::{Error, Result};

use super::function::{Call, Function, Rows};
use super::lists::{as_list, cast_to, item_of, keys, range};
use super::zone::Zone;
use crate::types::{SqlType, map_types};

/// `row.field`
pub const FIELD: &str = "__field";

pub fn all() -> Vec<Function> {
    vec![Function::new("__element_at", 2, 2, element_type, element_at), Function::new(FIELD, 2, 2, field_type, field)]
}

/// `row.field`
pub fn field_of_row(row: Expr, field: &str) -> Expr {
    FieldAccess::shared().field.call(vec![row, lit(ScalarValue::from(field))])
}

/// Plans `a[1]`, `m['k']` and `a.b.c` with the functions of this module.
#[derive(Debug)]
pub struct FieldAccess {
    element_at: Arc<ScalarUDF>,
    field: Arc<ScalarUDF>,
}

impl FieldAccess {
    fn shared() -> &'static FieldAccess {
        static SHARED: LazyLock<FieldAccess> = LazyLock::new(FieldAccess::default);
        &SHARED
    }
}

impl Default for FieldAccess {
    fn default() -> FieldAccess {
        FieldAccess {
            element_at: Function::new("__element_at", 2, 2, element_type, element_at).into_udf(&Zone::utc()),
            field: Function::new(FIELD, 2, 2, field_type, field).into_udf(&Zone::utc()),
        }
    }
}

impl ExprPlanner for FieldAccess {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> PlanResult<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { expr, field_access } = access;
        Ok(match field_access {
            GetFieldAccess::ListIndex { key } => PlannerResult::Planned(self.element_at.call(vec![expr, *key])),
            // The parser makes no difference between m['k'] and a field of that name.
            GetFieldAccess::NamedStructField { name } => {
                let by_key = matches!(expr.get_type(schema)?, DataType::Map(..));
                let function = if by_key { &self.element_at } else { &self.field };
                PlannerResult::Planned(function.call(vec![expr, lit(name)]))
            }
            field_access => PlannerResult::Original(RawFieldAccessExpr { field_access, expr }),
        })
    }

    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> PlanResult<PlannerResult<Vec<Expr>>> {
        let column = Expr::Column(Column::from((qualifier, field)));
        let nested = nested_names
            .iter()
            .fold(column, |expr, name| self.field.call(vec![expr, lit(ScalarValue::from(name.as_str()))]));
        Ok(PlannerResult::Planned(nested))
    }
}

/// Makes `items[1].sku` plannable: DataFusion takes a field name behind a subscript only as a quoted text.
///
/// Names in front of the first subscript stay as they are, because they may name a table.
pub fn quote_field_names(expr: &mut ast::Expr) {
    let ast::Expr::CompoundFieldAccess { root, access_chain } = expr else { return };
    let mut of_value = !matches!(root.as_ref(), ast::Expr::Identifier(_));
    for access in access_chain {
        match access {
            ast::AccessExpr::Subscript(_) => of_value = true,
            ast::AccessExpr::Dot(name) => {
                if let ast::Expr::Identifier(identifier) = name
                    && of_value
                {
                    *name = ast::Expr::Value(ast::Value::SingleQuotedString(identifier.value.clone()).into());
                }
            }
        }
    }
}

fn element_type(call: &Call<'_>) -> Result<SqlType> {
    if let Some((_, value)) = map_types(call.data_type(0)) {
        return Ok(value.nullable(true));
    }
    let item = item_of(call, 0).map_err(|_| call.wrong(0, "an array or a map"))?;
    if !call.data_type(1).is_integer() && call.data_type(1) != &DataType::Null {
        return Err(call.wrong(1, "the place of an element, counted from 1"));
    }
    if let Some(place) = call.literals[1]
        && let Ok(ScalarValue::Int64(Some(place))) = place.cast_to(&DataType::Int64)
        && place < 1
    {
        return Err(Error::new(format!("an array has no element [{place}]"))
            .why("elements are counted from 1")
            .fix("write [1] for the first element"));
    }
    Ok(item.nullable(true))
}

/// The element at a place counted from 1, or the value of a key; null if there is none.
fn element_at(rows: &Rows<'_>) -> Result<ArrayRef> {
    let array = rows.array(0)?;
    if matches!(array.data_type(), DataType::Map(..)) {
        return value_of_key(rows, &array);
    }
    let list = as_list(&array)?;
    let places = cast_to(rows, 1, &Field::new("", DataType::Int64, true))?;
    let places = places.as_primitive::<Int64Type>();
    let indices: UInt32Array = (0..list.len())
        .map(|row| {
            let elements = range(list.value_offsets(), row);
            let place = places.is_valid(row).then(|| places.value(row))?;
            let there = list.is_valid(row) && place >= 1 && place <= elements.len() as i64;
            there.then(|| (elements.start as i64 + place - 1) as u32)
        })
        .collect();
    Ok(compute::take(list.values(), &indices, None)?)
}

fn value_of_key(rows: &Rows<'_>, array: &ArrayRef) -> Result<ArrayRef> {
    let map = array.as_map();
    let offsets = map.value_offsets();
    let found: UInt32Array = match (map.keys().data_type(), rows.text(1)) {
        // Nearly always a literal name among a few.
        (DataType::Utf8, Some(name)) => {
            let names = map.keys().as_string::<i32>();
            let find = |row| range(offsets, row).rfind(|at| map.is_valid(row) && names.value(*at) == name);
            (0..map.len()).map(|row| find(row).map(|at| at as u32)).collect()
        }
        (data_type, _) => {
            let wanted = cast_to(rows, 1, &Field::new("", data_type.clone(), true))?;
            let [map_keys, wanted] = keys([map.keys(), &wanted])?;
            let find = |row| range(offsets, row).rfind(|at| map.is_valid(row) && map_keys.row(*at) == wanted.row(row));
            (0..map.len()).map(|row| find(row).map(|at| at as u32)).collect()
        }
    };
    Ok(compute::take(map.values(), &found, None)?)
}

fn field_type(call: &Call<'_>) -> Result<SqlType> {
    let name = call.text(1)?;
    let DataType::Struct(fields) = call.data_type(0) else {
        return Err(call.wrong(0, &format!("a row, to have a field {name}")));
    };
    match fields.iter().find(|field| field.name() == name) {
        Some(field) => {
            Ok(SqlType::of_argument(field, None).nullable(field.is_nullable() || call.fields[0].is_nullable()))
        }
        None => Err(Error::new(format!("field {name} is unknown"))
            .nearest(name, fields.iter().map(|field| field.name().as_str()))),
    }
}

/// A field of a row; null where the row is.
fn field(rows: &Rows<'_>) -> Result<ArrayRef> {
    let array = rows.array(0)?;
    let row = array.as_struct();
    let column = rows.text(1).and_then(|name| row.column_by_name(name));
    let Some(column) = column else { return Err(Error::new("the field was there when the query was planned")) };
    if row.null_count() == 0 {
        return Ok(Arc::clone(column));
    }
    let nulls = NullBuffer::union(row.nulls(), column.nulls());
    Ok(arrow::array::make_array(column.to_data().into_builder().nulls(nulls).build()?))
}

#[cfg(test)]
mod tests {
    use super::super::function::testing::*;
    use super::super::{collection, row};
    use super::*;

    fn call(name: &str, args: &[Arg]) -> String {
        show(all(), name, args)
    }

    #[test]
    fn elements_are_counted_from_one() {
        let array = || value(collection::all(), "__array", &[text("x"), text("y")]);
        assert_eq!(call("__element_at", &[array(), int(1)]), "CHAR(1): x");
        assert_eq!(call("__element_at", &[array(), int(5)]), "CHAR(1): NULL");
        assert_eq!(call("__element_at", &[array(), int(0)]), "an array has no element [0]");
        assert_eq!(
            call("__element_at", &[array(), column("INT", &[Some("2"), Some("-1"), None])]),
            "CHAR(1): y, NULL, NULL"
        );
    }

    #[test]
    fn maps_give_the_value_of_a_key() {
        let map = || value(collection::all(), "__map", &[text("a"), int(1), text("b"), int(2)]);
        assert_eq!(call("__element_at", &[map(), text("b")]), "INT: 2");
        assert_eq!(call("__element_at", &[map(), text("z")]), "INT: NULL");
        assert_eq!(call("__element_at", &[map(), column("STRING", &[Some("a"), None])]), "INT: 1, NULL");
    }

    #[test]
    fn a_field_of_a_null_row_is_null() {
        let (_, rows) = evaluate(row::all(), "__row", &[column("INT NOT NULL", &[Some("1"), Some("2")])]).unwrap();
        let rows = rows.as_struct();
        let nulls = Some(NullBuffer::from(vec![true, false]));
        let rows = arrow::array::StructArray::new(rows.fields().clone(), rows.columns().to_vec(), nulls);
        let rows = || Arg::Column("ROW<`EXPR$0` INT NOT NULL>", Arc::new(rows.clone()));
        assert_eq!(call("__field", &[rows(), text("EXPR$0")]), "INT: 1, NULL");
        let error = evaluate(all(), "__field", &[rows(), text("EXPR$1")]).unwrap_err();
        assert_eq!(error.to_string(), "field EXPR$1 is unknown\n  fix: did you mean EXPR$0?");
    }
}
