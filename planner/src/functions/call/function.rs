//! The declaration of a function, and its adapter to DataFusion.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidemill_exec::Error;

use super::Call;
use super::kind::{Kind, sql_name};
use crate::functions::zone::Zone;

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
    /// What a call with arguments is simplified to, if that is another function.
    with_arguments: Option<Arc<ScalarUDF>>,
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
            with_arguments: None,
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

    /// Asks the clock if it is called without arguments, and depends on nothing else if it has some.
    pub fn volatile_without_arguments(mut self) -> Function {
        self.with_arguments = Some(self.clone().build());
        self.volatile()
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

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match &self.with_arguments {
            Some(other) if !args.is_empty() => {
                let call = ScalarFunction::new_udf(Arc::clone(other), args);
                ExprSimplifyResult::Simplified(Expr::ScalarFunction(call))
            }
            _ => ExprSimplifyResult::Original(args),
        })
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

/// A function's name as users write it: `__extract` stands for `EXTRACT(.. FROM ..)`, `floor_to` for `FLOOR(.. TO ..)`.
pub fn shown(name: &str) -> String {
    let name = name.trim_start_matches('_');
    name.strip_suffix("_to").unwrap_or(name).to_uppercase()
}
