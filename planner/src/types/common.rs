//! The type that several types have in common: what `ARRAY[..]`, `IF` or `CASE` give.

use arrow::datatypes::{DataType, Field, Fields};

use super::{INTERVAL, Length, SqlType, TYPE_KEY, array_of, is_binary, is_text, length, map_of, map_types, precision};
use super::{item_field, unit_of};

/// The narrowest type that holds every value of all `types`; nullable if one of them is. `None` if there is no such type.
///
/// `INT` and `DECIMAL(2, 1)` give `DECIMAL(11, 1)`; `CHAR(1)` and `CHAR(2)` give `VARCHAR(2)`.
pub fn common_type(types: &[SqlType]) -> Option<SqlType> {
    let (first, rest) = types.split_first()?;
    rest.iter().try_fold(first.clone(), |common, next| {
        let nullable = common.nullable || next.nullable;
        pair(&common, next).map(|pair| pair.nullable(nullable))
    })
}

/// `INT` is `DECIMAL(10, 0)` when it meets a decimal: digits and scale of any exact number.
pub fn exact_as_decimal(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

fn pair(a: &SqlType, b: &SqlType) -> Option<SqlType> {
    use DataType as T;
    if a.data_type == b.data_type && a.metadata.get(TYPE_KEY) == b.metadata.get(TYPE_KEY) {
        return Some(a.clone());
    }
    let plain = |data_type| Some(SqlType::new(data_type, true));
    match (&a.data_type, &b.data_type) {
        (T::Null, _) => Some(b.clone()),
        (_, T::Null) => Some(a.clone()),
        (x, y) if is_text(x) && is_text(y) => Some(sized(T::Utf8, "VARCHAR", "CHAR", a, b)),
        (x, y) if is_binary(x) && is_binary(y) => Some(sized(T::Binary, "VARBINARY", "BINARY", a, b)),
        (x, y) if x.is_numeric() && y.is_numeric() => plain(number(x, y)?),
        (T::Timestamp(_, zone), T::Timestamp(_, other)) => {
            let digits = precision(&a.field("")).max(precision(&b.field("")));
            Some(timestamp(digits, zone.clone().or_else(|| other.clone())))
        }
        (T::Timestamp(..), T::Date32) => Some(a.clone()),
        (T::Date32, T::Timestamp(..)) => Some(b.clone()),
        (T::Time32(_), T::Time32(_)) => {
            Some(if precision(&a.field("")) >= precision(&b.field("")) { a.clone() } else { b.clone() })
        }
        (T::Interval(_), T::Interval(_)) => plain(INTERVAL),
        (T::Struct(xs), T::Struct(ys)) if xs.len() == ys.len() => {
            let fields: Option<Vec<Field>> = xs
                .iter()
                .zip(ys)
                .map(|(x, y)| Some(common_type(&[SqlType::of(x), SqlType::of(y)])?.field(x.name())))
                .collect();
            plain(T::Struct(Fields::from(fields?)))
        }
        (x @ T::Map(..), y @ T::Map(..)) => {
            let ((ka, va), (kb, vb)) = (map_types(x)?, map_types(y)?);
            plain(map_of(&common_type(&[ka, kb])?, &common_type(&[va, vb])?))
        }
        (x, y) => {
            let (x, y) = (item_field(x)?, item_field(y)?);
            plain(array_of(&common_type(&[SqlType::of(x), SqlType::of(y)])?))
        }
    }
}

/// Text of different lengths is text of varying length.
fn sized(data_type: DataType, varying: &str, fixed: &str, a: &SqlType, b: &SqlType) -> SqlType {
    let plain = SqlType::new(data_type, true);
    match (length(&a.field("")), length(&b.field(""))) {
        (Some(Length { fixed: true, max: x }), Some(Length { fixed: true, max: y })) if x == y => {
            plain.with_text(format!("{fixed}({x})"))
        }
        (Some(x), Some(y)) => plain.with_text(format!("{varying}({})", x.max.max(y.max))),
        _ => plain,
    }
}

fn number(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match (a, b) {
        (T::Float64, _) | (_, T::Float64) => T::Float64,
        (T::Float32, T::Decimal128(..)) | (T::Decimal128(..), T::Float32) => T::Float64,
        (T::Float32, _) | (_, T::Float32) => T::Float32,
        (T::Decimal128(..), _) | (_, T::Decimal128(..)) => {
            let ((p1, s1), (p2, s2)) = (exact_as_decimal(a)?, exact_as_decimal(b)?);
            let scale = s1.max(s2);
            let whole = (p1 as i8 - s1).max(p2 as i8 - s2);
            T::Decimal128((whole + scale).min(38) as u8, scale.min(38 - whole.min(38)).max(0))
        }
        // Integers: more digits hold the fewer.
        _ => {
            if exact_as_decimal(a)?.0 >= exact_as_decimal(b)?.0 {
                a.clone()
            } else {
                b.clone()
            }
        }
    })
}

fn timestamp(precision: u8, zone: Option<std::sync::Arc<str>>) -> SqlType {
    let unit = unit_of(precision);
    let name = if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
    let canonical = super::digits(&unit) == precision;
    let plain = SqlType::new(DataType::Timestamp(unit, zone), true);
    if canonical { plain } else { plain.with_text(format!("{name}({precision})")) }
}

#[cfg(test)]
mod tests {
    use super::super::{flink_type, parse_type};
    use super::*;

    fn common(types: &[&str]) -> Option<String> {
        let types: Vec<SqlType> = types.iter().map(|text| parse_type(text, "UTC").unwrap()).collect();
        common_type(&types).map(|common| flink_type(&common.field("c")))
    }

    #[test]
    fn the_common_type_holds_all_values() {
        for (types, expected) in [
            (["INT NOT NULL", "DECIMAL(2, 1) NOT NULL"], "DECIMAL(11, 1) NOT NULL"),
            (["TINYINT", "BIGINT NOT NULL"], "BIGINT"),
            (["FLOAT", "DECIMAL(2, 1)"], "DOUBLE"),
            (["NULL", "CHAR(1) NOT NULL"], "CHAR(1)"),
            (["CHAR(1)", "CHAR(2)"], "VARCHAR(2)"),
            (["CHAR(1)", "STRING"], "STRING"),
            (["TIMESTAMP(3)", "TIMESTAMP(9)"], "TIMESTAMP(9)"),
            (["ARRAY<INT>", "ARRAY<BIGINT NOT NULL>"], "ARRAY<BIGINT>"),
            (["ROW<a INT, b CHAR(1)>", "ROW<a DOUBLE, b CHAR(3)>"], "ROW<`a` DOUBLE, `b` VARCHAR(3)>"),
        ] {
            assert_eq!(common(&types).as_deref(), Some(expected), "{types:?}");
        }
    }

    #[test]
    fn a_number_and_text_have_nothing_in_common() {
        assert_eq!(common(&["INT", "STRING"]), None);
    }
}
