//! What every scalar function shares: how it is declared, how its arguments are checked, how a body reads them.
//!
//! A [`Function`] is a declaration: name, accepted argument lists, result type, and a body that computes a whole batch.
//! The body sees a [`Call`]: a constant argument stays one value, however many rows the batch has, so patterns, units
//! and formats are read once. If all arguments are constant, so is the result, and the body runs over one row.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanBufferBuilder, Float64Array, Int64Array, StringArray, cast::AsArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidemill_exec::Error;

use super::datetime::zone::Zone;

/// What an argument may be. `NULL` without a type is accepted everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// An integer of any width.
    Int,
    /// An integer, a decimal or a floating point number.
    Number,
    Bytes,
    /// A date or a timestamp, with or without time zone.
    Date,
    /// A date, a timestamp or a time of day.
    Point,
    Interval,
    Any,
}

impl Kind {
    pub fn accepts(self, of: &DataType) -> bool {
        use DataType::*;
        match (self, of) {
            (Kind::Any, _) | (_, Null) => true,
            (Kind::Text, Dictionary(_, values)) => matches!(**values, Utf8 | LargeUtf8 | Utf8View),
            (Kind::Text, _) => matches!(of, Utf8 | LargeUtf8 | Utf8View),
            (Kind::Int, _) => of.is_integer(),
            (Kind::Number, _) => of.is_numeric(),
            (Kind::Bytes, _) => matches!(of, Binary | LargeBinary | BinaryView | FixedSizeBinary(_)),
            (Kind::Date, _) => matches!(of, Date32 | Date64 | Timestamp(..)),
            (Kind::Point, _) => matches!(of, Date32 | Date64 | Timestamp(..) | Time32(_) | Time64(_)),
            (Kind::Interval, _) => matches!(of, Interval(_) | Duration(_)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Text => "STRING",
            Kind::Int => "INT",
            Kind::Number => "a number",
            Kind::Bytes => "BYTES",
            Kind::Date => "a date or timestamp",
            Kind::Point => "a date, time or timestamp",
            Kind::Interval => "INTERVAL",
            Kind::Any => "anything",
        }
    }
}

/// One accepted argument list.
#[derive(Clone, Debug)]
struct Form {
    kinds: &'static [Kind],
    /// The last kind may be repeated any number of times.
    open: bool,
}

impl Form {
    fn accepts(&self, types: &[&DataType]) -> bool {
        let enough = if self.open { types.len() + 1 >= self.kinds.len() } else { types.len() == self.kinds.len() };
        let last = self.kinds.len().saturating_sub(1);
        enough && types.iter().enumerate().all(|(i, of)| self.kinds.get(i.min(last)).is_some_and(|k| k.accepts(of)))
    }

    fn describe(&self) -> String {
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
        format!("({}{})", kinds.join(", "), if self.open { ", ..." } else { "" })
    }
}

/// The arguments as planning knows them: types always, values where they are literals.
pub struct Arguments<'a> {
    pub name: &'static str,
    pub types: Vec<&'a DataType>,
    pub constants: &'a [Option<&'a ScalarValue>],
    pub zone: &'a Zone,
}

impl Arguments<'_> {
    /// The integer literal at `i`, if that is what stands there.
    pub fn int(&self, i: usize) -> Option<i64> {
        let value = self.constants.get(i).copied().flatten()?;
        match value.cast_to(&DataType::Int64).ok()? {
            ScalarValue::Int64(value) => value,
            _ => None,
        }
    }

    /// The text literal at `i`, if that is what stands there.
    pub fn text(&self, i: usize) -> Option<&str> {
        self.constants.get(i).copied().flatten()?.try_as_str().flatten()
    }
}

type Returns = Arc<dyn Fn(&Arguments) -> Result<DataType> + Send + Sync>;
type Body = Arc<dyn Fn(&Call) -> Result<ArrayRef> + Send + Sync>;

/// A scalar function: declaration and body.
#[derive(Clone)]
pub struct Function {
    name: &'static str,
    aliases: Vec<String>,
    forms: Vec<Form>,
    returns: Returns,
    /// The result may be NULL even if no argument is.
    nullable: bool,
    signature: Signature,
    zone: Zone,
    body: Body,
}

impl Function {
    pub fn new(
        name: &'static str,
        returns: DataType,
        body: impl Fn(&Call) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Function {
        Function {
            name,
            aliases: Vec::new(),
            forms: Vec::new(),
            returns: Arc::new(move |_| Ok(returns.clone())),
            nullable: false,
            signature: Signature::user_defined(Volatility::Immutable),
            zone: Zone::utc(),
            body: Arc::new(body),
        }
    }

    /// Accepts this argument list (besides those named before).
    pub fn takes(mut self, kinds: &'static [Kind]) -> Function {
        self.forms.push(Form { kinds, open: false });
        self
    }

    /// Accepts this argument list, its last kind any number of times, also none.
    pub fn takes_many(mut self, kinds: &'static [Kind]) -> Function {
        self.forms.push(Form { kinds, open: true });
        self
    }

    pub fn alias(mut self, name: &str) -> Function {
        self.aliases.push(name.to_string());
        self
    }

    pub fn returns(mut self, rule: impl Fn(&Arguments) -> Result<DataType> + Send + Sync + 'static) -> Function {
        self.returns = Arc::new(rule);
        self
    }

    /// The result has the type of the first argument.
    pub fn keeps_type(self) -> Function {
        self.returns(|arguments| Ok(arguments.types[0].clone()))
    }

    /// May be NULL for arguments that are not.
    pub fn nullable(mut self) -> Function {
        self.nullable = true;
        self
    }

    pub fn volatile(mut self) -> Function {
        self.signature = Signature::user_defined(Volatility::Volatile);
        self
    }

    /// The zone in which wall-clock times are read and written.
    pub fn zone(mut self, zone: &Zone) -> Function {
        self.zone = zone.clone();
        self
    }

    pub fn build(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }

    fn check(&self, types: &[&DataType]) -> Result<()> {
        if self.forms.iter().any(|form| form.accepts(types)) || (types.is_empty() && self.forms.is_empty()) {
            return Ok(());
        }
        let shown = shown(self.name);
        let given: Vec<_> = types.iter().map(|of| sql_name(of)).collect();
        let forms: Vec<_> = self.forms.iter().map(Form::describe).collect();
        let takes = if forms.is_empty() { "no arguments".to_string() } else { forms.join(" or ") };
        let error = Error::new(format!("{shown} cannot be called with ({})", given.join(", ")))
            .why(format!("{shown} takes {takes}"));
        let countable = |form: &Form| form.open || form.kinds.len() == types.len();
        Err(match self.forms.iter().find(|form| countable(form)) {
            Some(form) if form.kinds.contains(&Kind::Text) => error.fix("convert with CAST(... AS STRING)").into(),
            Some(_) => error.fix("convert the arguments with CAST").into(),
            None => error.fix(format!("give {shown} the arguments listed above, not {}", types.len())).into(),
        })
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name && self.zone.name() == other.zone.name() && self.signature == other.signature
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.zone.name().hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Leaves the arguments as they are: bodies convert what they need, and a literal stays visible as one, which is
    /// what result types like that of `ROUND(decimal, 2)` depend on. Errors are left to `return_field_from_args`,
    /// because DataFusion would bury ours in its own text here.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let types: Vec<_> = types.iter().collect();
        self.check(&types)?;
        let constants = vec![None; types.len()];
        (self.returns)(&Arguments { name: self.name, types, constants: &constants, zone: &self.zone })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type()).collect();
        self.check(&types)?;
        let nullable =
            self.nullable || args.arg_fields.iter().any(|f| f.is_nullable() || f.data_type() == &DataType::Null);
        let arguments = Arguments { name: self.name, types, constants: args.scalar_arguments, zone: &self.zone };
        let of = (self.returns)(&arguments)?;
        let nullable = nullable || of == DataType::Null;
        Ok(Arc::new(Field::new(self.name, of, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let volatile = self.signature.volatility == Volatility::Volatile;
        let constant = !volatile && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let call = Call { name: self.name, rows, zone: &self.zone, args: &args };
        if args.return_field.data_type() == &DataType::Null {
            // Only NULL without a type went in.
            return Ok(ColumnarValue::Scalar(ScalarValue::Null));
        }
        let mut result = (self.body)(&call)?;
        if result.data_type() != args.return_field.data_type() {
            result = arrow::compute::cast(&result, args.return_field.data_type())?;
        }
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// One batch's worth of calls, as a body sees it.
pub struct Call<'a> {
    pub name: &'static str,
    /// How many results are wanted; 1 if every argument is constant.
    pub rows: usize,
    pub zone: &'a Zone,
    pub args: &'a ScalarFunctionArgs,
}

impl Call<'_> {
    pub fn count(&self) -> usize {
        self.args.args.len()
    }

    pub fn data_type(&self, i: usize) -> DataType {
        self.args.args[i].data_type()
    }

    pub fn is_constant(&self, i: usize) -> bool {
        matches!(self.args.args[i], ColumnarValue::Scalar(_))
    }

    /// The result type that was planned.
    pub fn result_type(&self) -> &DataType {
        self.args.return_field.data_type()
    }

    /// Argument `i` as it is, and 0 if it is one constant value, else 1.
    pub fn raw(&self, i: usize) -> Result<(ArrayRef, usize)> {
        Ok(match &self.args.args[i] {
            ColumnarValue::Array(array) => (Arc::clone(array), 1),
            ColumnarValue::Scalar(value) => (value.to_array()?, 0),
        })
    }

    /// Argument `i` in type `to`.
    pub fn cast(&self, i: usize, to: &DataType) -> Result<(ArrayRef, usize)> {
        let (array, step) = self.raw(i)?;
        let array = if array.data_type() == to { array } else { arrow::compute::cast(&array, to)? };
        Ok((array, step))
    }

    /// Argument `i`, one value per row.
    pub fn expanded(&self, i: usize) -> Result<ArrayRef> {
        self.args.args[i].to_array(self.rows)
    }

    pub fn text(&self, i: usize) -> Result<Column<StringArray>> {
        let (array, step) = self.cast(i, &DataType::Utf8)?;
        Ok(Column { array: array.as_string().clone(), step })
    }

    pub fn long(&self, i: usize) -> Result<Column<Int64Array>> {
        let (array, step) = self.cast(i, &DataType::Int64)?;
        Ok(Column { array: array.as_primitive::<Int64Type>().clone(), step })
    }

    pub fn double(&self, i: usize) -> Result<Column<Float64Array>> {
        let (array, step) = self.cast(i, &DataType::Float64)?;
        Ok(Column { array: array.as_primitive::<Float64Type>().clone(), step })
    }

    /// Bytes, or the UTF-8 bytes of a text.
    pub fn bytes(&self, i: usize) -> Result<Column<BinaryArray>> {
        let (array, step) = self.cast(i, &DataType::Binary)?;
        Ok(Column { array: array.as_binary().clone(), step })
    }

    /// The function's name as users write it.
    pub fn shown(&self) -> String {
        shown(self.name)
    }
}

/// A function's name as users write it: `__extract` stands for `EXTRACT(.. FROM ..)`, `floor_to` for `FLOOR(.. TO ..)`.
pub fn shown(name: &str) -> String {
    let name = name.trim_start_matches('_');
    name.strip_suffix("_to").unwrap_or(name).to_uppercase()
}

/// One argument: a value per row, or one value for all of them.
pub struct Column<A> {
    pub array: A,
    step: usize,
}

impl Column<StringArray> {
    pub fn get(&self, row: usize) -> Option<&str> {
        let at = row * self.step;
        self.array.is_valid(at).then(|| self.array.value(at))
    }

    /// The value, if it is the same for all rows.
    pub fn constant(&self) -> Option<&str> {
        if self.step == 0 { self.get(0) } else { None }
    }
}

impl Column<BinaryArray> {
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let at = row * self.step;
        self.array.is_valid(at).then(|| self.array.value(at))
    }
}

impl Column<Int64Array> {
    pub fn get(&self, row: usize) -> Option<i64> {
        let at = row * self.step;
        self.array.is_valid(at).then(|| self.array.value(at))
    }

    pub fn constant(&self) -> Option<i64> {
        if self.step == 0 { self.get(0) } else { None }
    }
}

impl Column<Float64Array> {
    pub fn get(&self, row: usize) -> Option<f64> {
        let at = row * self.step;
        self.array.is_valid(at).then(|| self.array.value(at))
    }
}

/// A text column built by appending each row's characters to one buffer; `None` makes the row NULL.
///
/// # Errors
/// The texts of one batch must stay below 2 GiB, which is what Arrow's 32 bit offsets hold.
pub fn texts(rows: usize, mut write: impl FnMut(usize, &mut String) -> Option<()>) -> Result<ArrayRef> {
    try_texts(rows, |row, out| Ok(write(row, out)))
}

/// [`texts`], for bodies that can fail.
pub fn try_texts(rows: usize, mut write: impl FnMut(usize, &mut String) -> Result<Option<()>>) -> Result<ArrayRef> {
    let mut buffer = String::new();
    let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
    let mut valid = BooleanBufferBuilder::new(rows);
    offsets.push(0);
    for row in 0..rows {
        let start = buffer.len();
        let present = write(row, &mut buffer)?.is_some();
        if !present {
            buffer.truncate(start);
        }
        valid.append(present);
        offsets.push(i32::try_from(buffer.len()).map_err(|_| too_long())?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let nulls = NullBuffer::new(valid.finish());
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(buffer.into_bytes()), Some(nulls))?))
}

/// No single text may be longer than this; a wild length argument should be an error, not an exhausted machine.
pub const TEXT_BYTES_MAX: usize = 256 << 20;

/// Refuses a result of `bytes` that would exceed [`TEXT_BYTES_MAX`].
pub fn check_text_bytes(call: &Call, bytes: usize) -> Result<()> {
    if bytes <= TEXT_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(format!("{} would make a text of {bytes} bytes", call.shown()))
        .why(format!("one text may have {TEXT_BYTES_MAX} bytes"))
        .fix("use a smaller length")
        .into())
}

fn too_long() -> Error {
    Error::new("the texts of one batch exceed 2 GiB").fix("make the texts shorter")
}

/// A type as Flink's DDL spells it.
pub fn sql_name(of: &DataType) -> String {
    use DataType::*;
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match of {
        Null => "NULL".to_string(),
        Boolean => "BOOLEAN".to_string(),
        Int8 => "TINYINT".to_string(),
        Int16 => "SMALLINT".to_string(),
        Int32 => "INT".to_string(),
        Int64 => "BIGINT".to_string(),
        Float32 => "FLOAT".to_string(),
        Float64 => "DOUBLE".to_string(),
        Utf8 | LargeUtf8 | Utf8View => "STRING".to_string(),
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "BYTES".to_string(),
        Date32 | Date64 => "DATE".to_string(),
        Time32(_) | Time64(_) => "TIME".to_string(),
        Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        Interval(_) | Duration(_) => "INTERVAL".to_string(),
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => format!("DECIMAL({p}, {s})"),
        List(item) | LargeList(item) | FixedSizeList(item, _) => format!("ARRAY<{}>", sql_name(item.data_type())),
        Map(..) => "MAP".to_string(),
        Struct(_) => "ROW".to_string(),
        other => other.to_string().to_uppercase(),
    }
}

#[cfg(test)]
pub mod testing {
    //! Calling functions in tests: values in, one value as text out.

    use super::*;
    use datafusion::config::ConfigOptions;

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
}
