//! A column that has been downcast once, all the way down, so that its values can be read row by row at no cost.

use std::sync::LazyLock;

use arrow::array::{
    Array, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray,
    LargeStringArray, StringArray, StringViewArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// One column, borrowed, with its type resolved.
pub struct Cells<'a> {
    nulls: Option<&'a NullBuffer>,
    pub kind: CellKind<'a>,
}

/// What the values are. Times and timestamps keep their unit, which is also their precision.
pub enum CellKind<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128], i8),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    Utf8View(&'a StringViewArray),
    Binary(&'a BinaryArray),
    LargeBinary(&'a LargeBinaryArray),
    BinaryView(&'a BinaryViewArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    /// Days since 1970.
    Date(&'a [i32]),
    Time32(&'a [i32], TimeUnit),
    Time64(&'a [i64], TimeUnit),
    /// `TIMESTAMP`, or `TIMESTAMP_LTZ` if the last is true.
    Timestamp(&'a [i64], TimeUnit, bool),
    /// `INTERVAL YEAR TO MONTH`, in months.
    Months(&'a [i32]),
    DayTime(&'a [IntervalDayTime]),
    MonthDayNano(&'a [IntervalMonthDayNano]),
    Duration(&'a [i64], TimeUnit),
    List(Offsets<'a>, Box<Cells<'a>>),
    Map(Offsets<'a>, Box<Cells<'a>>, Box<Cells<'a>>),
    Row(Vec<(&'a str, Cells<'a>)>),
    /// Anything Flink has no type for; as Arrow prints it.
    Other(Option<ArrayFormatter<'a>>),
}

/// Where the elements of each row are among the children.
pub enum Offsets<'a> {
    Small(&'a [i32]),
    Large(&'a [i64]),
    Fixed(usize),
}

impl Offsets<'_> {
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        match self {
            Offsets::Small(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Offsets::Large(offsets) => offsets[row] as usize..offsets[row + 1] as usize,
            Offsets::Fixed(size) => row * size..(row + 1) * size,
        }
    }
}

static DISPLAY: LazyLock<FormatOptions<'static>> = LazyLock::new(FormatOptions::default);

impl<'a> Cells<'a> {
    pub fn new(array: &'a dyn Array) -> Cells<'a> {
        use CellKind::*;
        let kind = match array.data_type() {
            DataType::Null => Null,
            DataType::Boolean => Boolean(array.as_boolean()),
            DataType::Int8 => Int8(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => Int64(array.as_primitive::<Int64Type>().values()),
            DataType::UInt8 => UInt8(array.as_primitive::<UInt8Type>().values()),
            DataType::UInt16 => UInt16(array.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => UInt32(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => UInt64(array.as_primitive::<UInt64Type>().values()),
            DataType::Float32 => Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Decimal128(_, scale) => Decimal(array.as_primitive::<Decimal128Type>().values(), *scale),
            DataType::Utf8 => Utf8(array.as_string()),
            DataType::LargeUtf8 => LargeUtf8(array.as_string()),
            DataType::Utf8View => Utf8View(array.as_string_view()),
            DataType::Binary => Binary(array.as_binary()),
            DataType::LargeBinary => LargeBinary(array.as_binary()),
            DataType::BinaryView => BinaryView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => FixedBinary(array.as_fixed_size_binary()),
            DataType::Date32 => Date(array.as_primitive::<Date32Type>().values()),
            DataType::Time32(TimeUnit::Second) => {
                Time32(array.as_primitive::<Time32SecondType>().values(), TimeUnit::Second)
            }
            DataType::Time32(_) => {
                Time32(array.as_primitive::<Time32MillisecondType>().values(), TimeUnit::Millisecond)
            }
            DataType::Time64(TimeUnit::Microsecond) => {
                Time64(array.as_primitive::<Time64MicrosecondType>().values(), TimeUnit::Microsecond)
            }
            DataType::Time64(_) => Time64(array.as_primitive::<Time64NanosecondType>().values(), TimeUnit::Nanosecond),
            DataType::Timestamp(unit, zone) => {
                let values: &[i64] = match unit {
                    TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
                    TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
                    TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
                    TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
                };
                Timestamp(values, *unit, zone.is_some())
            }
            DataType::Duration(unit) => {
                let values: &[i64] = match unit {
                    TimeUnit::Second => array.as_primitive::<DurationSecondType>().values(),
                    TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().values(),
                    TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().values(),
                    TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().values(),
                };
                Duration(values, *unit)
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                Months(array.as_primitive::<IntervalYearMonthType>().values())
            }
            DataType::Interval(IntervalUnit::DayTime) => DayTime(array.as_primitive::<IntervalDayTimeType>().values()),
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                MonthDayNano(array.as_primitive::<IntervalMonthDayNanoType>().values())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                List(Offsets::Small(list.value_offsets()), Box::new(Cells::new(list.values().as_ref())))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                List(Offsets::Large(list.value_offsets()), Box::new(Cells::new(list.values().as_ref())))
            }
            DataType::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list();
                let size = usize::try_from(*size).unwrap_or(0);
                List(Offsets::Fixed(size), Box::new(Cells::new(list.values().as_ref())))
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                Map(
                    Offsets::Small(map.value_offsets()),
                    Box::new(Cells::new(map.keys().as_ref())),
                    Box::new(Cells::new(map.values().as_ref())),
                )
            }
            DataType::Struct(fields) => {
                let row = array.as_struct();
                Row(fields
                    .iter()
                    .zip(row.columns())
                    .map(|(field, column)| (field.name().as_str(), Cells::new(column.as_ref())))
                    .collect())
            }
            _ => Other(ArrayFormatter::try_new(array, &DISPLAY).ok()),
        };
        Cells { nulls: array.nulls(), kind }
    }

    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        matches!(self.kind, CellKind::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// The bytes of a `BYTES` or `BINARY` value; `None` for other columns.
    pub fn bytes(&self, row: usize) -> Option<&'a [u8]> {
        match &self.kind {
            CellKind::Binary(array) => Some(array.value(row)),
            CellKind::LargeBinary(array) => Some(array.value(row)),
            CellKind::BinaryView(array) => Some(array.value(row)),
            CellKind::FixedBinary(array) => Some(array.value(row)),
            _ => None,
        }
    }

    /// The text of a `STRING`, `CHAR` or `VARCHAR` value; `None` for other columns.
    pub fn text(&self, row: usize) -> Option<&'a str> {
        match &self.kind {
            CellKind::Utf8(array) => Some(array.value(row)),
            CellKind::LargeUtf8(array) => Some(array.value(row)),
            CellKind::Utf8View(array) => Some(array.value(row)),
            _ => None,
        }
    }

    /// A whole number; `None` for other columns.
    pub fn integer(&self, row: usize) -> Option<i128> {
        Some(match &self.kind {
            CellKind::Int8(values) => i128::from(values[row]),
            CellKind::Int16(values) => i128::from(values[row]),
            CellKind::Int32(values) => i128::from(values[row]),
            CellKind::Int64(values) => i128::from(values[row]),
            CellKind::UInt8(values) => i128::from(values[row]),
            CellKind::UInt16(values) => i128::from(values[row]),
            CellKind::UInt32(values) => i128::from(values[row]),
            CellKind::UInt64(values) => i128::from(values[row]),
            _ => return None,
        })
    }

    /// Second of the day and nanosecond of the second of a `TIME`; `None` for other columns.
    pub fn time(&self, row: usize) -> Option<(u32, u32, TimeUnit)> {
        let (value, unit) = match &self.kind {
            CellKind::Time32(values, unit) => (i64::from(values[row]), *unit),
            CellKind::Time64(values, unit) => (values[row], *unit),
            _ => return None,
        };
        let (second, nanos) = super::split_time(value, unit);
        Some((second.rem_euclid(86400) as u32, nanos, unit))
    }

    /// An interval, whatever its representation; `None` for other columns.
    pub fn interval(&self, row: usize) -> Option<Interval> {
        Some(match &self.kind {
            CellKind::Months(values) => Interval::Months(i64::from(values[row])),
            CellKind::DayTime(values) => {
                let value = values[row];
                let millis = i128::from(value.days) * 86_400_000 + i128::from(value.milliseconds);
                Interval::Nanos(millis * 1_000_000)
            }
            CellKind::MonthDayNano(values) => {
                let value = values[row];
                if value.days == 0 && value.nanoseconds == 0 && value.months != 0 {
                    Interval::Months(i64::from(value.months))
                } else {
                    let days = i128::from(value.months) * 30 + i128::from(value.days);
                    Interval::Nanos(days * 86_400_000_000_000 + i128::from(value.nanoseconds))
                }
            }
            CellKind::Duration(values, unit) => {
                let nanos = match unit {
                    TimeUnit::Second => 1_000_000_000,
                    TimeUnit::Millisecond => 1_000_000,
                    TimeUnit::Microsecond => 1_000,
                    TimeUnit::Nanosecond => 1,
                };
                Interval::Nanos(i128::from(values[row]) * nanos)
            }
            _ => return None,
        })
    }
}

/// An interval of one of Flink's two kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    Months(i64),
    Nanos(i128),
}
