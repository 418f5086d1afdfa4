//! Our sources, operators and sinks inside a DataFusion batch plan, so that batch and stream read and write through the same code.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::DataFusionError;
use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion_physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion_physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use tidemill_state::{Epoch, EventTime};
use tokio::time::Instant;

use crate::changelog::ChangeBatch;
use crate::connect::{Sink, Source, SplitId};
use crate::error::{Error, Result};
use crate::message::{Barrier, Batch, Message};
use crate::operator::{ExplainLine, Input, Operator, OperatorSpec, Output, ShardContext};
use crate::runtime::catch_panic;
use crate::task::Skips;

type DataFusionResult<T> = std::result::Result<T, DataFusionError>;

/// Told what the user should know: skipped records.
pub type Notes = Arc<dyn Fn(String) + Send + Sync>;

/// Reads a bounded source, its splits dealt out over partitions.
pub struct SourceExec {
    table: String,
    source: Arc<dyn Source>,
    partitions: Vec<Vec<SplitId>>,
    notes: Notes,
    properties: Arc<PlanProperties>,
    /// What `EXPLAIN` says beside the table's name.
    details: Option<String>,
}

impl SourceExec {
    /// At most `partitions` partitions. Lists the splits now.
    pub async fn new(
        table: String,
        source: Arc<dyn Source>,
        schema: SchemaRef,
        partitions: usize,
        notes: Notes,
    ) -> Result<SourceExec> {
        let splits = source.splits().await.map_err(|error| error.in_operator(format!("source {table}")))?;
        let partitions = partitions.min(splits.len()).max(1);
        let mut shares = vec![Vec::new(); partitions];
        splits.into_iter().enumerate().for_each(|(n, split)| shares[n % partitions].push(split));
        let properties = properties(schema, partitions);
        Ok(SourceExec { table, source, partitions: shares, notes, properties, details: None })
    }

    /// The same, of which `EXPLAIN` says this.
    pub fn with_details(self, details: Option<String>) -> SourceExec {
        SourceExec { details, ..self }
    }
}

/// Properties of a plan that promises nothing about its rows.
fn properties(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl ExecutionPlan for SourceExec {
    fn name(&self) -> &str {
        "SourceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let splits = self.partitions[partition].iter().cloned().map(|split| (split, None)).collect();
        let (source, table, notes) = (Arc::clone(&self.source), self.table.clone(), Arc::clone(&self.notes));
        let rows = stream::once(async move {
            let reader = source.open(splits).await?;
            let skips = Skips::new(&table, move |note| notes(note));
            Ok::<_, Error>(stream::try_unfold((reader, skips), |(mut reader, mut skips)| async move {
                let Some(read) = catch_panic(reader.next()).await?? else { return Ok(None) };
                if let Some(skipped) = read.skipped {
                    skips.add(skipped, Instant::now());
                }
                Ok(Some((read.rows.into_rows(), (reader, skips))))
            }))
        })
        .try_flatten();
        let table = format!("source {}", self.table);
        let rows = rows.map_err(move |error: Error| DataFusionError::from(error.in_operator(table.clone())));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

impl DisplayAs for SourceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceExec: table={}", self.table)?;
        self.details.iter().try_for_each(|details| write!(f, ", {details}"))
    }
}

impl fmt::Debug for SourceExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceExec({})", self.table)
    }
}

/// Runs an operator over append-only rows, partition by partition.
#[derive(Debug)]
pub struct OperatorExec {
    operator: Arc<dyn OperatorSpec>,
    input: Arc<dyn ExecutionPlan>,
    /// All rows must be in one partition.
    single: bool,
    properties: Arc<PlanProperties>,
}

impl OperatorExec {
    /// `operator` must give the same answer for each partition on its own.
    pub fn new(operator: Arc<dyn OperatorSpec>, input: Arc<dyn ExecutionPlan>) -> OperatorExec {
        let properties = properties(operator.schema(), input.output_partitioning().partition_count());
        OperatorExec { operator, input, single: false, properties }
    }

    /// With all rows of `input` in one partition.
    pub fn single(operator: Arc<dyn OperatorSpec>, input: Arc<dyn ExecutionPlan>) -> OperatorExec {
        let input = Arc::new(CoalescePartitionsExec::new(input));
        OperatorExec { single: true, ..OperatorExec::new(operator, input) }
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// What it runs, if that is a `T`.
    pub fn operator<T: OperatorSpec>(&self) -> Option<&T> {
        (self.operator.as_ref() as &dyn Any).downcast_ref()
    }

    fn over(&self, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Arc<dyn ExecutionPlan> {
        let over = OperatorExec::new(Arc::clone(&self.operator), children.swap_remove(0));
        Arc::new(OperatorExec { single: self.single, ..over })
    }
}

impl ExecutionPlan for OperatorExec {
    fn name(&self) -> &str {
        "OperatorExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self.over(children))
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![if self.single { Distribution::SinglePartition } else { Distribution::UnspecifiedDistribution }]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let parallelism = self.input.output_partitioning().partition_count() as u16;
        let operator =
            self.operator.open(&ShardContext { shard: partition as u16, parallelism, durable: None, spill: None })?;
        let input = self.input.execute(partition, context)?;
        let rows = stream::try_unfold((Some(operator), input), |(operator, mut input)| async move {
            let Some(mut operator) = operator else { return Ok(None) };
            match input.next().await {
                Some(rows) => {
                    let emitted = run(operator.as_mut(), Some(rows?))?;
                    Ok(Some((stream::iter(emitted.into_iter().map(Ok)), (Some(operator), input))))
                }
                None => {
                    let emitted = run(operator.as_mut(), None)?;
                    Ok::<_, DataFusionError>(Some((stream::iter(emitted.into_iter().map(Ok)), (None, input))))
                }
            }
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// Feeds rows, or the end of input.
fn run(operator: &mut dyn Operator, rows: Option<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let mut output = Output::default();
    match rows {
        Some(rows) => operator.on_batch(Input(0), Batch::append(rows), &mut output)?,
        None => {
            operator.on_watermark(EventTime::MAX, &mut output)?;
            operator.on_barrier(&Barrier::at_end(Epoch(1)), &mut output)?;
            operator.on_end(&mut output)?;
        }
    }
    let emitted = output.drain().filter_map(|message| match message {
        Message::Batch(batch) => Some(batch.into_rows()),
        _ => None,
    });
    Ok(emitted.collect())
}

impl DisplayAs for OperatorExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = ExplainLine::default();
        self.operator.explain(&mut line);
        write!(f, "OperatorExec: {}({line})", self.operator.name())
    }
}

/// Writes all rows of a batch plan to a sink. Returns how many there were.
pub async fn write(mut rows: SendableRecordBatchStream, sink: &dyn Sink) -> Result<u64> {
    let mut writer = sink.open(&ShardContext::SINGLE).await?;
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        if batch.num_rows() > 0 {
            writer.write(ChangeBatch::inserts(batch)).await?;
        }
    }
    writer.flush(Epoch(1)).await?;
    writer.finish().await?;
    Ok(count)
}
