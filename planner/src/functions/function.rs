//! A scalar function made of plain functions: which type it gives, and what it computes.
//!
//! Everything DataFusion wants of a function besides is the same for all of ours and stands here, so that a function
//! is one line in the list of its module and one body below it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidemill_exec::{Error, Result};

use super::zone::Zone;
use crate::types::{SqlType, flink_type};

/// What is known of a call when it is planned.
pub struct Call<'a> {
    pub name: &'a str,
    pub fields: &'a [FieldRef],
    /// The value of each argument that is a literal.
    pub literals: &'a [Option<&'a ScalarValue>],
    pub zone: &'a Zone,
}

impl Call<'_> {
    pub fn data_type(&self, argument: usize) -> &DataType {
        self.fields[argument].data_type()
    }

    /// Type of an argument, with literals typed as Flink does (`'abc'` is `CHAR(3)`).
    pub fn argument(&self, argument: usize) -> SqlType {
        SqlType::of_argument(&self.fields[argument], self.literals[argument])
    }

    /// Whether any argument may be null.
    pub fn any_nullable(&self) -> bool {
        self.fields.iter().any(|field| field.is_nullable())
    }

    /// A plain type that is null only if an argument is.
    pub fn plain(&self, data_type: DataType) -> Result<SqlType> {
        Ok(SqlType::new(data_type, self.any_nullable()))
    }

    /// The text of a literal argument.
    ///
    /// # Errors
    /// It is not a literal.
    pub fn text(&self, argument: usize) -> Result<&str> {
        self.literals
            .get(argument)
            .and_then(|literal| literal.and_then(|value| value.try_as_str().flatten()))
            .ok_or_else(|| self.wrong(argument, "a literal text"))
    }

    /// Argument `argument` (from 0) is not `wanted`.
    pub fn wrong(&self, argument: usize, wanted: &str) -> Error {
        let found = self.fields.get(argument).map_or("nothing".to_string(), |field| flink_type(field));
        Error::new(format!("argument {} of {} is {found}", argument + 1, self.name.to_uppercase()))
            .why(format!("it has to be {wanted}"))
    }
}

/// The arguments of one evaluation.
pub struct Rows<'a> {
    args: &'a [ColumnarValue],
    pub fields: &'a [FieldRef],
    /// Rows that the result has to have.
    pub len: usize,
    pub result: &'a FieldRef,
    pub zone: &'a Zone,
}

impl Rows<'_> {
    pub fn arguments(&self) -> usize {
        self.args.len()
    }

    /// A column of `len` rows; a constant is repeated.
    pub fn array(&self, argument: usize) -> Result<ArrayRef> {
        Ok(self.args[argument].to_array(self.len)?)
    }

    /// A text column in the one representation the functions handle.
    pub fn strings(&self, argument: usize) -> Result<StringArray> {
        let array = self.array(argument)?;
        Ok(match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().clone(),
            _ => arrow::compute::cast(&array, &DataType::Utf8)?.as_string::<i32>().clone(),
        })
    }

    /// The value of an argument that is the same for all rows.
    pub fn constant(&self, argument: usize) -> Option<&ScalarValue> {
        match self.args.get(argument) {
            Some(ColumnarValue::Scalar(value)) => Some(value),
            _ => None,
        }
    }

    /// The text of an argument that is the same for all rows and not null.
    pub fn text(&self, argument: usize) -> Option<&str> {
        self.constant(argument).and_then(|value| value.try_as_str().flatten())
    }
}

type Rule = fn(&Call<'_>) -> Result<SqlType>;
type Body = fn(&Rows<'_>) -> Result<ArrayRef>;
type Coercion = fn(&[DataType]) -> Result<Vec<DataType>>;
type Rewrite = fn(Vec<Expr>) -> Result<Expr>;

/// One line of a module's list of functions.
#[derive(Clone)]
pub struct Function {
    name: &'static str,
    arity: (usize, usize),
    rule: Rule,
    body: Body,
    coercion: Option<Coercion>,
    rewrite: Option<Rewrite>,
    infix: Option<&'static str>,
    signature: Signature,
    zone: Zone,
}

impl Function {
    /// `name` in lower case; at least and at most so many arguments; its type; its values.
    pub fn new(name: &'static str, least: usize, most: usize, rule: Rule, body: Body) -> Function {
        Function {
            name,
            arity: (least, most),
            rule,
            body,
            coercion: None,
            rewrite: None,
            infix: None,
            signature: Signature::user_defined(Volatility::Immutable),
            zone: Zone::utc(),
        }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The types that DataFusion casts the arguments to beforehand.
    pub fn coerced(mut self, coercion: Coercion) -> Function {
        self.coercion = Some(coercion);
        self
    }

    /// The optimizer replaces a call by this expression of the same type. For what must not compute all its arguments.
    pub fn rewritten(mut self, rewrite: Rewrite) -> Function {
        self.rewrite = Some(rewrite);
        self
    }

    /// Shown as an operator between two arguments.
    pub fn infix(mut self, symbol: &'static str) -> Function {
        self.infix = Some(symbol);
        self
    }

    pub fn into_udf(mut self, zone: &Zone) -> Arc<ScalarUDF> {
        self.zone = zone.clone();
        Arc::new(ScalarUDF::new_from_impl(self))
    }

    fn shown(&self, args: &[Expr], show: impl Fn(&Expr) -> PlanResult<String>) -> PlanResult<String> {
        let shown: PlanResult<Vec<String>> = args.iter().map(show).collect();
        Ok(match (self.infix, shown?.as_slice()) {
            (Some(symbol), [left, right]) => format!("({left} {symbol} {right})"),
            (_, shown) => format!("{}({})", self.name, shown.join(", ")),
        })
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Two functions of the same name and time zone are the same function: names are unique.
impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name && self.zone == other.zone
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

    fn display_name(&self, args: &[Expr]) -> PlanResult<String> {
        self.shown(args, |arg| Ok(arg.to_string()))
    }

    fn schema_name(&self, args: &[Expr]) -> PlanResult<String> {
        self.shown(args, |arg| Ok(arg.schema_name().to_string()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        let (least, most) = self.arity;
        if types.len() < least || types.len() > most {
            let wanted = match (least, most) {
                (1, 1) => "1 argument".to_string(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, usize::MAX) => format!("{least} or more arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            let error = Error::new(format!("{} takes {wanted}, not {}", self.name.to_uppercase(), types.len()));
            return Err(error.into());
        }
        match self.coercion {
            Some(coercion) => Ok(coercion(types)?),
            None => Ok(types.to_vec()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Err(DataFusionError::Internal("the type of a function follows from the fields of its arguments".to_string()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> PlanResult<FieldRef> {
        let call = Call { name: self.name, fields: args.arg_fields, literals: args.scalar_arguments, zone: &self.zone };
        Ok(Arc::new((self.rule)(&call)?.field(self.name)))
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> PlanResult<ExprSimplifyResult> {
        match self.rewrite {
            Some(rewrite) => Ok(ExprSimplifyResult::Simplified(rewrite(args)?)),
            None => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn short_circuits(&self) -> bool {
        self.rewrite.is_some()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let constant = !args.args.is_empty() && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = Rows {
            args: &args.args,
            fields: &args.arg_fields,
            len: if constant { 1 } else { args.number_rows },
            result: &args.return_field,
            zone: &self.zone,
        };
        let array = (self.body)(&rows)?;
        debug_assert_eq!(array.data_type(), args.return_field.data_type(), "{} gives the type it announced", self.name);
        debug_assert_eq!(array.len(), rows.len, "{} gives a value for every row", self.name);
        if constant {
            return Ok(ColumnarValue::Scalar(only(&array)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// The only value of `array`. DataFusion's own conversion would lose the metadata of fields inside the type.
fn only(array: &ArrayRef) -> PlanResult<ScalarValue> {
    Ok(match array.data_type() {
        DataType::List(_) => ScalarValue::List(Arc::new(array.as_list().clone())),
        DataType::Map(..) => ScalarValue::Map(Arc::new(array.as_map().clone())),
        DataType::Struct(_) => ScalarValue::Struct(Arc::new(array.as_struct().clone())),
        _ => ScalarValue::try_from_array(array, 0)?,
    })
}

/// Helpers for the tests of the function modules.
#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::types::parse_type;
    use arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;

    /// One argument: a literal, or a column of a type.
    pub enum Arg {
        Literal(ScalarValue),
        Column(&'static str, ArrayRef),
    }

    pub fn text(value: &str) -> Arg {
        Arg::Literal(ScalarValue::from(value))
    }

    pub fn int(value: i32) -> Arg {
        Arg::Literal(ScalarValue::from(value))
    }

    pub fn null() -> Arg {
        Arg::Literal(ScalarValue::Null)
    }

    /// A nullable column of text that is cast to `data_type`; `None` is null.
    pub fn column(data_type: &'static str, values: &[Option<&str>]) -> Arg {
        let strings: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        let to = parse_type(data_type, "UTC").unwrap();
        let from = Field::new("", DataType::Utf8, true);
        let cast = crate::functions::cast::Cast { zone: &Zone::utc(), strict: true };
        Arg::Column(data_type, cast.apply(&strings, &from, &to.field("")).unwrap())
    }

    /// The value of a call of literals, to pass to another.
    pub fn value(functions: Vec<Function>, name: &str, args: &[Arg]) -> Arg {
        let (_, array) = evaluate(functions, name, args).unwrap();
        Arg::Literal(only(&array).unwrap())
    }

    /// Calls a function as a plan would: type first, then values; gives the type and the column.
    pub fn evaluate(functions: Vec<Function>, name: &str, args: &[Arg]) -> Result<(FieldRef, ArrayRef)> {
        evaluate_in("UTC", functions, name, args)
    }

    pub fn evaluate_in(zone: &str, functions: Vec<Function>, name: &str, args: &[Arg]) -> Result<(FieldRef, ArrayRef)> {
        let function = functions.into_iter().find(|function| function.name == name).expect("the function is listed");
        let udf = function.into_udf(&Zone::named(zone)?);
        let fields: Vec<FieldRef> = args
            .iter()
            .map(|arg| {
                Arc::new(match arg {
                    Arg::Literal(value) => Field::new("", value.data_type(), value.is_null()),
                    Arg::Column(data_type, _) => parse_type(data_type, zone).unwrap().field(""),
                })
            })
            .collect();
        let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        let coerced = udf.coerce_types(&types)?;
        let fields: Vec<FieldRef> = fields
            .iter()
            .zip(&coerced)
            .map(|(field, data_type)| Arc::new(field.as_ref().clone().with_data_type(data_type.clone())))
            .collect();
        let values: Vec<ColumnarValue> = args
            .iter()
            .zip(&coerced)
            .map(|(arg, data_type)| match arg {
                Arg::Literal(value) => ColumnarValue::Scalar(value.cast_to(data_type).unwrap()),
                Arg::Column(_, array) => ColumnarValue::Array(arrow::compute::cast(array, data_type).unwrap()),
            })
            .collect();
        let rows = values.iter().find_map(|v| if let ColumnarValue::Array(a) = v { Some(a.len()) } else { None });
        let literals: Vec<Option<ScalarValue>> = values
            .iter()
            .map(|value| if let ColumnarValue::Scalar(value) = value { Some(value.clone()) } else { None })
            .collect();
        let literals: Vec<Option<&ScalarValue>> = literals.iter().map(Option::as_ref).collect();
        let result =
            udf.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &literals })?;
        let value = udf.invoke_with_args(ScalarFunctionArgs {
            args: values,
            arg_fields: fields,
            number_rows: rows.unwrap_or(1),
            return_field: Arc::clone(&result),
            config_options: Arc::new(ConfigOptions::default()),
        })?;
        Ok((result, value.into_array(rows.unwrap_or(1))?))
    }

    /// `TYPE: value, value` of a call, the values as `CAST(.. AS STRING)` shows them.
    pub fn show(functions: Vec<Function>, name: &str, args: &[Arg]) -> String {
        match evaluate(functions, name, args) {
            Ok((field, array)) => format!("{}: {}", flink_type(&field), values(&field, &array).join(", ")),
            Err(error) => error.what().to_string(),
        }
    }

    pub fn values(field: &FieldRef, array: &ArrayRef) -> Vec<String> {
        let zone = Zone::utc();
        let push = crate::functions::cast::to_text(array.as_ref(), field, &zone).unwrap();
        (0..array.len())
            .map(|row| {
                let mut text = String::new();
                push(row, &mut text);
                text
            })
            .collect()
    }
}
