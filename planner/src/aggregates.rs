use datafusion::common::DFSchema;
use datafusion::logical_expr::*;
use std::sync::Arc;
use tidemill_exec::Result;
pub struct Call {
    pub call: tidemill_exec::aggregate::AggregateCall,
    pub arguments: Vec<Expr>,
    pub filter: Option<Expr>,
}
pub fn udafs() -> Vec<Arc<AggregateUDF>> {
    vec![]
}
pub fn call_of(_e: &Expr, _s: &DFSchema) -> Result<Call> {
    unimplemented!()
}
