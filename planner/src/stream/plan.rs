//! The streaming plan: a tree of operators, with the properties that make it a correct stream.

use std::fmt::{self, Display};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tidemill_exec::connect::{Sink, Source};
use tidemill_exec::graph::WatermarkStrategy;
use tidemill_exec::{Changes, ExplainLine, OperatorSpec};

/// There is no enum of operators here: a node holds the operator it will run, so lowering is the only place that knows them all.
#[derive(Debug)]
pub struct StreamPlan {
    pub op: PlanOp,
    pub inputs: Vec<StreamPlan>,
    /// How the rows must be spread over shards before this node; `compile` inserts an exchange where they are not.
    pub required: Distribution,
    pub props: Props,
}

#[derive(Debug)]
pub enum PlanOp {
    Source {
        table: String,
        source: Arc<dyn Source>,
        watermark: Option<WatermarkStrategy>,
    },
    Operator(Arc<dyn OperatorSpec>),
    /// All rows of all inputs.
    Union,
    /// The rows of its input; the side plans get them too, each at its [`Tap`](PlanOp::Tap), and end in sinks of their own.
    Tee(Vec<StreamPlan>),
    /// Where a side plan gets its rows.
    Tap,
    Sink {
        table: String,
        sink: Arc<dyn Sink>,
    },
}

/// What is known about the rows a node emits.
#[derive(Clone, Debug)]
pub struct Props {
    pub schema: SchemaRef,
    pub changes: Changes,
    pub distribution: Distribution,
    pub bounded: bool,
}

/// How rows are spread over the shards of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Anyhow.
    Any,
    /// All in one shard.
    Single,
    /// Rows with equal values in these columns in the same shard.
    Hash(Vec<usize>),
}

impl StreamPlan {
    /// A node that runs `operator` over `input`, wherever its rows are.
    pub fn operator(
        operator: impl OperatorSpec + 'static,
        input: StreamPlan,
        changes: Changes,
        distribution: Distribution,
    ) -> StreamPlan {
        let props = Props { schema: operator.schema(), changes, distribution, bounded: input.props.bounded };
        StreamPlan { op: PlanOp::Operator(Arc::new(operator)), inputs: vec![input], required: Distribution::Any, props }
    }

    /// The same, with its input distributed so.
    pub fn requires(mut self, required: Distribution) -> StreamPlan {
        self.required = required;
        self
    }
}

impl Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Any => f.write_str("any"),
            Distribution::Single => f.write_str("single"),
            Distribution::Hash(columns) => {
                let columns: Vec<String> = columns.iter().map(|column| format!("#{column}")).collect();
                write!(f, "hash({})", columns.join(", "))
            }
        }
    }
}

impl Display for StreamPlan {
    /// One line per node, inputs indented below: name, details, and what kinds of change come out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl StreamPlan {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{:indent$}", "", indent = depth * 2)?;
        let columns =
            || self.props.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        match &self.op {
            PlanOp::Source { table, watermark, .. } => {
                write!(f, "source(table={table}, columns=[{}]", columns())?;
                if let Some(watermark) = watermark {
                    write!(f, ", watermark={}", watermark.expression)?;
                }
                f.write_str(if self.props.bounded { ", bounded)" } else { ", endless)" })?;
            }
            PlanOp::Operator(operator) => {
                let mut line = ExplainLine::default();
                operator.explain(&mut line);
                write!(f, "{}({line})", operator.name())?;
            }
            PlanOp::Tee(sides) => write!(f, "tee(side-outputs={})", sides.len())?,
            PlanOp::Tap => f.write_str("tap()")?,
            PlanOp::Union => write!(f, "union(columns=[{}])", columns())?,
            PlanOp::Sink { table, .. } => write!(f, "sink(table={table})")?,
        }
        write!(f, " changes={}", changes_text(&self.props.changes, &self.props.schema))?;
        if self.required != Distribution::Any {
            write!(f, " input={}", self.required)?;
        }
        if let PlanOp::Operator(operator) = &self.op
            && let Some(bound) = operator.state_bound()
        {
            write!(f, " state=({bound})")?;
        }
        writeln!(f)?;
        if let PlanOp::Tee(sides) = &self.op {
            sides.iter().try_for_each(|side| side.write(f, depth + 1))?;
        }
        self.inputs.iter().try_for_each(|input| input.write(f, depth + 1))
    }
}

/// `append`, `retract`, `retract by key (a, b)`
fn changes_text(changes: &Changes, schema: &SchemaRef) -> String {
    match changes {
        Changes::Append => "append".to_string(),
        Changes::Retract { key: None } => "retract".to_string(),
        Changes::Retract { key: Some(key) } => {
            let names: Vec<&str> = key.iter().map(|&column| schema.field(column).name().as_str()).collect();
            format!("retract by key ({})", names.join(", "))
        }
    }
}
