//! One of our aggregates as a DataFusion aggregate.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use tidemill_exec::aggregate::{self, AggregateCall, AggregateFunction, Sorted};

use super::accumulators::{Grouped, Single};
use crate::types;

#[derive(Debug)]
pub(super) struct Udaf {
    function: Arc<dyn AggregateFunction>,
    /// Lower-case: that is how DataFusion looks for a function, and how its rules name those they know.
    name: String,
    aliases: Vec<String>,
    signature: Signature,
}

impl Udaf {
    pub fn new(function: Arc<dyn AggregateFunction>) -> Udaf {
        Udaf {
            name: function.name().to_lowercase(),
            aliases: aggregate::aliases(function.name()).iter().map(|alias| alias.to_lowercase()).collect(),
            signature: Signature::user_defined(Volatility::Immutable),
            function,
        }
    }

    pub fn function(&self) -> &Arc<dyn AggregateFunction> {
        &self.function
    }

    /// The call that a physical plan makes. Where the order of rows counts and one is given, the columns to sort by are fed too,
    /// after the arguments.
    fn call(&self, args: &AccumulatorArgs, retracting: bool) -> Result<AggregateCall> {
        let mut call = AggregateCall {
            function: Arc::clone(&self.function),
            arguments: args.expr_fields.to_vec(),
            distinct: args.is_distinct,
            ignore_nulls: args.ignore_nulls,
            result: Arc::clone(&args.return_field),
            retracting,
        };
        if self.function.is_ordered() && !args.order_bys.is_empty() {
            let options = args.order_bys.iter().map(|sort| sort.options).collect();
            call.function = Arc::new(Sorted::new(call.function, options));
            for sort in args.order_bys {
                call.arguments.push(sort.expr.return_field(args.schema)?);
            }
        }
        Ok(call)
    }
}

// Aggregates are told apart by name: the list has each once.
impl PartialEq for Udaf {
    fn eq(&self, other: &Udaf) -> bool {
        self.name == other.name
    }
}

impl Eq for Udaf {}

impl Hash for Udaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Udaf {
    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.function.resolve(arguments)?.arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(self.function.resolve(arguments)?.result)
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<DataType> = arguments.iter().map(|field| field.data_type().clone()).collect();
        let resolved = self.function.resolve(&types)?;
        let field = Field::new(&self.name, resolved.result, resolved.nullable);
        Ok(Arc::new(match self.name.as_str() {
            "collect" => types::as_multiset(field),
            _ => field,
        }))
    }

    fn is_nullable(&self) -> bool {
        let typical = [vec![DataType::Int64], vec![DataType::Utf8], vec![DataType::Utf8, DataType::Int64]];
        typical.iter().find_map(|types| self.function.resolve(types).ok()).is_none_or(|resolved| resolved.nullable)
    }

    /// What an empty input gives: needed where a subquery becomes a join.
    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.name.as_str() {
            "count" | "approx_count_distinct" => Ok(ScalarValue::Int64(Some(0))),
            "$sum0" => ScalarValue::new_zero(data_type),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let ordered = self.function.is_ordered() && !args.ordering_fields.is_empty();
        let mut call = AggregateCall {
            function: Arc::clone(&self.function),
            arguments: args.input_fields.to_vec(),
            distinct: args.is_distinct,
            ignore_nulls: false,
            result: args.return_field,
            retracting: false,
        };
        if ordered {
            // The directions do not matter for the types.
            let options = vec![SortOptions::default(); args.ordering_fields.len()];
            call.function = Arc::new(Sorted::new(call.function, options));
            call.arguments.extend(args.ordering_fields.iter().cloned());
        }
        let types = call.function.accumulator(&call)?.state_types();
        let name = |n: usize| format_state_name(args.name, &n.to_string());
        let fields = types.into_iter().enumerate().map(|(n, data_type)| Arc::new(Field::new(name(n), data_type, true)));
        Ok(fields.collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single::new(self.call(&args, false)?)?))
    }

    /// For window frames that move: rows leave them.
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single::new(self.call(&args, true)?)?))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Grouped::new(self.call(&args, false)?)?))
    }

    /// [`Sorted`] sorts by itself; no input needs to be sorted for it.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        match self.function.is_ordered() {
            true => AggregateOrderSensitivity::Beneficial,
            false => AggregateOrderSensitivity::Insensitive,
        }
    }

    fn with_beneficial_ordering(self: Arc<Self>, _is_sorted: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    /// The others leave nulls out anyway, and could not keep them.
    fn supports_null_handling_clause(&self) -> bool {
        self.name == "array_agg"
    }
}
