//! The streaming plan: a tree of operators, with the properties that make it a correct stream.

use std::any::Any;
use std::fmt::{self, Display};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use tidemill_exec::connect::{Sink, Source, Unread};
use tidemill_exec::exchange::Limits;
use tidemill_exec::graph::WatermarkStrategy;
use tidemill_exec::lookup::LookupJoin;
use tidemill_exec::operators::{Filter, Project, TimeKind, Unnest};
use tidemill_exec::{Changes, ExplainLine, OperatorSpec};

/// There is no enum of operators here: a node holds the operator it will run, so lowering is the only place that knows them all.
#[derive(Debug)]
pub struct StreamPlan {
    pub op: PlanOp,
    pub inputs: Vec<StreamPlan>,
    /// By input, how its rows must be spread over shards before this node; `compile` inserts an exchange where they are not.
    pub required: Vec<Distribution>,
    pub props: Props,
}

#[derive(Debug)]
pub enum PlanOp {
    Source {
        table: String,
        source: Arc<dyn Source>,
        watermark: Option<Box<WatermarkStrategy>>,
        /// What it may leave out of its columns.
        unread: Unread,
    },
    Operator(Arc<dyn OperatorSpec>),
    /// Rows of its input with what is looked up for them.
    Lookup(Arc<LookupJoin>),
    /// All rows of all inputs.
    Union,
    /// The rows of a recursive query. Its inputs are the seed and the step; somewhere in the step there are references.
    Recursion(Recursion),
    /// The rows of the recursive query that this is a part of.
    Reference {
        id: usize,
        name: String,
    },
    Sink {
        table: String,
        sink: Arc<dyn Sink>,
    },
}

/// How a loop runs.
#[derive(Debug)]
pub struct Recursion {
    /// By which references know it.
    pub id: usize,
    /// What rows that come in and rows that come back go through.
    pub head: Vec<Arc<dyn OperatorSpec>>,
    pub limits: Limits,
}

/// What is known about the rows a node emits.
#[derive(Clone, Debug)]
pub struct Props {
    pub schema: SchemaRef,
    pub changes: Changes,
    pub distribution: Distribution,
    pub times: Times,
    pub bounded: bool,
}

/// Which columns are time attributes. Only columns that are passed on as they are stay so; what is computed from one is an ordinary value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// No row comes whose value here is at or before a watermark that came before it, unless it is late.
    pub event: Vec<usize>,
    /// `PROCTIME()`
    pub processing: Vec<usize>,
    /// The window a row belongs to.
    pub window: Option<WindowColumns>,
}

/// Which columns say what window a row belongs to. At the latest when the window closes, all its rows have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowColumns {
    pub start: Vec<usize>,
    pub end: Vec<usize>,
    pub time: Vec<usize>,
    /// What closes it.
    pub kind: TimeKind,
    /// That of its time, if that is a `TIMESTAMP_LTZ`.
    pub zone: Option<Arc<str>>,
}

impl Times {
    /// Of rows whose column n is the column `from[n]` of rows with these times.
    pub fn moved(&self, from: &[Option<usize>]) -> Times {
        let moved = |columns: &[usize]| {
            let is_one = |column: &Option<usize>| column.is_some_and(|column| columns.contains(&column));
            (0..from.len()).filter(|&n| is_one(&from[n])).collect::<Vec<usize>>()
        };
        let window = self.window.as_ref().map(|window| WindowColumns {
            start: moved(&window.start),
            end: moved(&window.end),
            time: moved(&window.time),
            ..window.clone()
        });
        Times {
            event: moved(&self.event),
            processing: moved(&self.processing),
            window: window.filter(|window| !(window.start.is_empty() && window.end.is_empty())),
        }
    }

    /// Of rows that have either these times or those.
    pub fn common(&self, other: &Times) -> Times {
        let common = |a: &[usize], b: &[usize]| a.iter().copied().filter(|column| b.contains(column)).collect();
        let window = match (&self.window, &other.window) {
            (Some(a), Some(b)) if a.kind == b.kind && a.zone == b.zone => Some(WindowColumns {
                start: common(&a.start, &b.start),
                end: common(&a.end, &b.end),
                time: common(&a.time, &b.time),
                ..a.clone()
            }),
            _ => None,
        };
        Times {
            event: common(&self.event, &other.event),
            processing: common(&self.processing, &other.processing),
            window,
        }
    }

    /// What kind of time a column holds.
    pub fn kind(&self, column: usize) -> Option<TimeKind> {
        if self.event.contains(&column) {
            Some(TimeKind::Event)
        } else {
            self.processing.contains(&column).then_some(TimeKind::Processing)
        }
    }

    /// Whether a column says what window a row belongs to.
    pub fn is_window(&self, column: usize) -> bool {
        let of =
            |window: &WindowColumns| [&window.start, &window.end, &window.time].iter().any(|of| of.contains(&column));
        self.window.as_ref().is_some_and(of)
    }

    /// With one more.
    pub fn with(mut self, column: usize, kind: TimeKind) -> Times {
        match kind {
            TimeKind::Event => self.event.push(column),
            TimeKind::Processing => self.processing.push(column),
        }
        self
    }
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
    /// As many in each shard as in any other.
    Even,
}

impl StreamPlan {
    /// A node that runs `operator` over `input`, wherever its rows are. None of its columns is a time attribute.
    pub fn operator(
        operator: impl OperatorSpec + 'static,
        input: StreamPlan,
        changes: Changes,
        distribution: Distribution,
    ) -> StreamPlan {
        let (times, bounded) = (Times::default(), input.props.bounded);
        let props = Props { schema: operator.schema(), changes, distribution, times, bounded };
        let required = vec![Distribution::Any];
        StreamPlan { op: PlanOp::Operator(Arc::new(operator)), inputs: vec![input], required, props }
    }

    /// A node that brings several inputs together, each distributed so.
    pub fn of_inputs(
        operator: impl OperatorSpec + 'static,
        inputs: impl IntoIterator<Item = (StreamPlan, Distribution)>,
        changes: Changes,
        distribution: Distribution,
    ) -> StreamPlan {
        let (inputs, required): (Vec<StreamPlan>, _) = inputs.into_iter().unzip();
        let bounded = inputs.iter().all(|input| input.props.bounded);
        let props = Props { schema: operator.schema(), changes, distribution, times: Times::default(), bounded };
        StreamPlan { op: PlanOp::Operator(Arc::new(operator)), inputs, required, props }
    }

    /// The same, with these time attributes.
    pub fn with_times(mut self, times: Times) -> StreamPlan {
        self.props.times = times;
        self
    }

    /// The same, with its only input distributed so.
    pub fn requires(mut self, required: Distribution) -> StreamPlan {
        self.required = vec![required];
        self
    }

    /// The same, with the rows of its table spread evenly where each becomes many on the way here: a table may have fewer splits than there are
    /// shards, and what it is read as is less to hand over than what becomes of it. For who does not mind in which order rows come.
    pub fn spread(mut self) -> StreamPlan {
        self.spread_source(false);
        self
    }

    fn spread_source(&mut self, become_many: bool) {
        let PlanOp::Operator(operator) = &self.op else { return };
        let operator: &dyn Any = operator.as_ref();
        let multiplies = operator.is::<Unnest>();
        let by_row = multiplies || operator.is::<Project>() || operator.is::<Filter>();
        let ([input], [Distribution::Any], true) = (&mut self.inputs[..], &self.required[..], by_row) else { return };
        if !input.props.changes.is_append() {
            return;
        }
        match &input.op {
            PlanOp::Source { .. } if become_many || multiplies => self.required = vec![Distribution::Even],
            _ => input.spread_source(become_many || multiplies),
        }
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
            Distribution::Even => f.write_str("even"),
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
    /// Tables whose rows are gone once they are read.
    fn lossy_sources(&self) -> Vec<&str> {
        let own = match &self.op {
            PlanOp::Source { table, source, .. } if !source.can_be_replayed() => Some(table.as_str()),
            _ => None,
        };
        own.into_iter().chain(self.inputs.iter().flat_map(StreamPlan::lossy_sources)).collect()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{:indent$}", "", indent = depth * 2)?;
        let columns =
            || self.props.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        match &self.op {
            PlanOp::Source { table, watermark, unread, .. } => {
                let columns: Vec<String> = self.props.schema.fields().iter().map(|field| unread.shown(field)).collect();
                write!(f, "source(table={table}, columns=[{}]", columns.join(", "))?;
                if let Some(watermark) = watermark {
                    write!(f, ", watermark={watermark}")?;
                }
                f.write_str(if self.props.bounded { ", bounded)" } else { ", endless)" })?;
            }
            PlanOp::Operator(operator) => {
                let mut line = ExplainLine::default();
                operator.explain(&mut line);
                write!(f, "{}({line})", operator.name())?;
            }
            PlanOp::Recursion(Recursion { head, .. }) => {
                let names: Vec<&str> = head.iter().map(|operator| operator.name()).collect();
                let mut line = ExplainLine::default();
                head.iter().for_each(|operator| operator.explain(&mut line));
                write!(f, "{}({line})", names.join("-"))?;
            }
            PlanOp::Lookup(join) => write!(f, "{join}")?,
            PlanOp::Reference { name, .. } => write!(f, "again(name={name}, columns=[{}])", columns())?,
            PlanOp::Union => write!(f, "union(columns=[{}])", columns())?,
            PlanOp::Sink { table, sink } => {
                let lossy = self.lossy_sources();
                write!(f, "sink(table={table}")?;
                match sink.guarantee() {
                    None => {}
                    Some(guarantee) if lossy.is_empty() => write!(f, ", delivery={guarantee}")?,
                    Some(_) => write!(f, ", delivery=at most once from {}", lossy.join(", "))?,
                }
                f.write_str(if sink.write_ahead().is_some() { ", write-ahead)" } else { ")" })?;
            }
        }
        write!(f, " changes={}", changes_text(&self.props.changes, &self.props.schema))?;
        if self.required.iter().any(|required| *required != Distribution::Any) {
            let required: Vec<String> = self.required.iter().map(ToString::to_string).collect();
            write!(f, " input={}", required.join(" and "))?;
        }
        let names = |columns: &[usize]| {
            columns.iter().map(|&n| self.props.schema.field(n).name().as_str()).collect::<Vec<_>>().join(", ")
        };
        let Times { event, processing, .. } = &self.props.times;
        for (what, columns) in [("event-time", event), ("processing-time", processing)] {
            if !columns.is_empty() {
                write!(f, " {what}=({})", names(columns))?;
            }
        }
        let operators = match &self.op {
            PlanOp::Operator(operator) => std::slice::from_ref(operator),
            PlanOp::Recursion(recursion) => &recursion.head,
            _ => &[],
        };
        for bound in operators.iter().filter_map(|operator| operator.state_bound()) {
            write!(f, " state=({bound})")?;
        }
        writeln!(f)?;
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
