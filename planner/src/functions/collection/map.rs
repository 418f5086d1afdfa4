//! Maps: from pairs, arrays or text, and back to arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringBuilder, StructArray};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Fields};
use regex::Regex;
use tidemill_exec::{Error, Result};

use crate::functions::cast::Cast;
use crate::functions::function::{Call, Function, Rows};
use crate::functions::lists::{self, Picks, as_list, common_item, item_of, keys, range};
use crate::types::{SqlType, array_of, item_field, map_of, map_types};

pub fn all() -> Vec<Function> {
    vec![
        Function::new("__map", 0, usize::MAX, map_type, make_map),
        Function::new("map_keys", 1, 1, |call| part_type(call, |key, _| key), |rows| part(rows, 0)),
        Function::new("map_values", 1, 1, |call| part_type(call, |_, value| value), |rows| part(rows, 1)),
        Function::new("map_entries", 1, 1, |call| part_type(call, entry), entries),
        Function::new("map_from_arrays", 2, 2, from_arrays_type, from_arrays),
        Function::new("map_union", 1, usize::MAX, union_type, union),
        Function::new("str_to_map", 1, 3, str_to_map_type, str_to_map),
    ]
}

fn map_type(call: &Call<'_>) -> Result<SqlType> {
    let count = call.fields.len();
    if !count.is_multiple_of(2) {
        return Err(Error::new(format!("MAP[..] got {count} values")).why("it takes pairs of a key and a value"));
    }
    let side = |start: usize| -> Result<SqlType> {
        let types: Vec<SqlType> = (start..count).step_by(2).map(|argument| call.argument(argument)).collect();
        if types.is_empty() { Ok(SqlType::new(DataType::Null, true)) } else { common_item(call, &types) }
    };
    Ok(SqlType::new(map_of(&side(0)?, &side(1)?), false))
}

fn make_map(rows: &Rows<'_>) -> Result<ArrayRef> {
    let (key, value) = fields(rows.result)?;
    let side = |start: usize, to: &Field| -> Result<ArrayRef> {
        let columns: Result<Vec<ArrayRef>> = (start..rows.arguments())
            .step_by(2)
            .map(|argument| lists::cast_to(rows, argument, &to.clone().with_nullable(true)))
            .collect();
        let columns = columns?;
        let columns: Vec<&dyn Array> = columns.iter().map(|column| column.as_ref()).collect();
        if columns.is_empty() {
            Ok(arrow::array::new_empty_array(to.data_type()))
        } else {
            Ok(compute::concat(&columns)?)
        }
    };
    let (map_keys, values) = (side(0, &key)?, side(1, &value)?);
    let places = |row: usize| (0..rows.arguments() / 2).map(move |pair| pair * rows.len + row);
    last_of_each_key(rows, &map_keys, &values, |row| Some(places(row).collect()))
}

/// Puts maps together from the pairs at the given places; of equal keys the last counts.
fn last_of_each_key(
    rows: &Rows<'_>,
    map_keys: &ArrayRef,
    values: &ArrayRef,
    places: impl Fn(usize) -> Option<Vec<usize>>,
) -> Result<ArrayRef> {
    let [comparable] = keys([map_keys])?;
    let mut picks = Picks::new(rows.len);
    for row in 0..rows.len {
        let Some(places) = places(row) else {
            picks.null();
            continue;
        };
        for (order, at) in places.iter().enumerate() {
            let replaced = places[order + 1..].iter().any(|later| comparable.row(*later) == comparable.row(*at));
            if !replaced {
                picks.pick(*at);
            }
        }
        picks.close();
    }
    picks.map(map_keys, values, rows.result)
}

fn fields(result: &Field) -> Result<(Field, Field)> {
    if let DataType::Map(entries, _) = result.data_type()
        && let DataType::Struct(fields) = entries.data_type()
        && let [key, value] = &fields[..]
    {
        return Ok((key.as_ref().clone(), value.as_ref().clone()));
    }
    Err(Error::new("the result is a map"))
}

fn part_type(call: &Call<'_>, part: fn(SqlType, SqlType) -> SqlType) -> Result<SqlType> {
    let (key, value) = map_types(call.data_type(0)).ok_or_else(|| call.wrong(0, "a map"))?;
    call.plain(array_of(&part(key, value)))
}

fn entry(key: SqlType, value: SqlType) -> SqlType {
    SqlType::new(DataType::Struct(Fields::from(vec![key.field("key"), value.field("value")])), false)
}

/// All keys or all values.
fn part(rows: &Rows<'_>, part: usize) -> Result<ArrayRef> {
    let array = rows.array(0)?;
    let map = array.as_map();
    let Some(item) = item_field(rows.result.data_type()) else { return Err(Error::new("the result is an array")) };
    let values = Arc::clone(map.entries().column(part));
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), map.offsets().clone(), values, map.nulls().cloned())?))
}

fn entries(rows: &Rows<'_>) -> Result<ArrayRef> {
    let array = rows.array(0)?;
    let map = array.as_map();
    let Some(item) = item_field(rows.result.data_type()) else { return Err(Error::new("the result is an array")) };
    let DataType::Struct(fields) = item.data_type() else { return Err(Error::new("an entry is a row")) };
    let pairs = StructArray::try_new(fields.clone(), map.entries().columns().to_vec(), None)?;
    let pairs: ArrayRef = Arc::new(pairs);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), map.offsets().clone(), pairs, map.nulls().cloned())?))
}

fn from_arrays_type(call: &Call<'_>) -> Result<SqlType> {
    call.plain(map_of(&item_of(call, 0)?, &item_of(call, 1)?))
}

fn from_arrays(rows: &Rows<'_>) -> Result<ArrayRef> {
    let (map_keys, values) = (as_list(&rows.array(0)?)?, as_list(&rows.array(1)?)?);
    let (mut key_picks, mut value_picks) = (Vec::new(), Vec::new());
    let mut offsets = vec![0];
    let mut valid = Vec::with_capacity(rows.len);
    for row in 0..rows.len {
        let present = map_keys.is_valid(row) && values.is_valid(row);
        if present {
            let (of_keys, of_values) = (range(map_keys.value_offsets(), row), range(values.value_offsets(), row));
            if of_keys.len() != of_values.len() {
                let (keys, values) = (of_keys.len(), of_values.len());
                return Err(Error::new(format!("MAP_FROM_ARRAYS got {keys} keys and {values} values"))
                    .why("the arrays have to be of the same length"));
            }
            key_picks.extend(of_keys.map(|at| at as u32));
            value_picks.extend(of_values.map(|at| at as u32));
        }
        offsets.push(key_picks.len() as i32);
        valid.push(present);
    }
    let (key_picks, value_picks) = (key_picks.into(), value_picks.into());
    let columns = vec![
        compute::take(map_keys.values(), &arrow::array::UInt32Array::new(key_picks, None), None)?,
        compute::take(values.values(), &arrow::array::UInt32Array::new(value_picks, None), None)?,
    ];
    lists::map(columns, offsets, Some(valid.into()), rows.result)
}

fn union_type(call: &Call<'_>) -> Result<SqlType> {
    let (mut map_keys, mut values) = (Vec::new(), Vec::new());
    for argument in 0..call.fields.len() {
        let (key, value) = map_types(call.data_type(argument)).ok_or_else(|| call.wrong(argument, "a map"))?;
        map_keys.push(key);
        values.push(value);
    }
    call.plain(map_of(&common_item(call, &map_keys)?, &common_item(call, &values)?))
}

/// All entries; of equal keys the one of the last map counts.
fn union(rows: &Rows<'_>) -> Result<ArrayRef> {
    let cast = Cast { zone: rows.zone, strict: true };
    let maps: Result<Vec<ArrayRef>> = (0..rows.arguments())
        .map(|argument| cast.apply(&rows.array(argument)?, &rows.fields[argument], rows.result))
        .collect();
    let maps = maps?;
    let side = |part: usize| -> Result<ArrayRef> {
        let columns: Vec<&dyn Array> = maps.iter().map(|map| map.as_map().entries().column(part).as_ref()).collect();
        Ok(compute::concat(&columns)?)
    };
    let (map_keys, values) = (side(0)?, side(1)?);
    last_of_each_key(rows, &map_keys, &values, |row| {
        let mut start = 0;
        let mut places = Vec::new();
        for map in &maps {
            if map.is_null(row) {
                return None;
            }
            places.extend(range(map.as_map().value_offsets(), row).map(|at| start + at));
            start += map.as_map().entries().len();
        }
        Some(places)
    })
}

fn str_to_map_type(call: &Call<'_>) -> Result<SqlType> {
    let string = SqlType::new(DataType::Utf8, true);
    for argument in 1..call.fields.len() {
        delimiter(call.text(argument)?)?;
    }
    call.plain(map_of(&string, &string))
}

/// `'k1=v1,k2=v2'`; a pair without the second delimiter has a null value. Delimiters are regular expressions.
fn str_to_map(rows: &Rows<'_>) -> Result<ArrayRef> {
    let strings = rows.strings(0)?;
    let between_pairs = delimiter(rows.text(1).unwrap_or(","))?;
    let in_pair = delimiter(rows.text(2).unwrap_or("="))?;
    let (mut map_keys, mut values) = (StringBuilder::new(), StringBuilder::new());
    let mut ends = vec![0];
    let mut count = 0;
    for text in strings.iter() {
        for pair in between_pairs.split(text.unwrap_or("")).filter(|_| text.is_some_and(|text| !text.is_empty())) {
            let mut parts = in_pair.splitn(pair, 2);
            map_keys.append_value(parts.next().unwrap_or(""));
            values.append_option(parts.next());
            count += 1;
        }
        ends.push(count);
    }
    let (map_keys, values): (ArrayRef, ArrayRef) = (Arc::new(map_keys.finish()), Arc::new(values.finish()));
    last_of_each_key(rows, &map_keys, &values, |row| {
        strings.is_valid(row).then(|| (ends[row]..ends[row + 1]).collect())
    })
}

fn delimiter(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| {
        Error::new(format!("delimiter '{pattern}' of STR_TO_MAP is not a regular expression"))
            .why(error.to_string())
            .fix(format!("escape it: '{}'", regex::escape(pattern)))
    })
}
