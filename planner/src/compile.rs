//! Streaming plan to job graph: exchanges inserted, neighbours chained into stages.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidemill_exec::connect::Source;
use tidemill_exec::graph::{Edge, Exchange, Feedback, Head, JobGraph, SourceHead, Stage, StageId, Tail};
use tidemill_exec::{Changes, Error, Input, Result};

use crate::stream::{Distribution, PlanOp, Recursion, StreamPlan};

/// Lays plans out as one job. Each plan ends in a sink.
pub fn compile(plans: Vec<StreamPlan>, parallelism: u16) -> Result<JobGraph> {
    let mut sources = Vec::new();
    plans.iter().for_each(|plan| count_sources(plan, &mut sources));
    let mut compiler = Compiler { graph: JobGraph::default(), parallelism, sources, heads: BTreeMap::new() };
    for plan in plans {
        compiler.sink(plan)?;
    }
    Ok(compiler.graph)
}

struct Compiler {
    graph: JobGraph,
    parallelism: u16,
    sources: Vec<Reads>,
    /// The stages that recursive queries of the plan begin with.
    heads: BTreeMap<usize, StageId>,
}

/// A source, how often it is read, and if that is several times, the stage that it is.
struct Reads {
    source: Arc<dyn Source>,
    times: usize,
    stage: Option<StageId>,
}

/// How rows get to another number of shards, wherever each is to go. Changes of one row go the same way, so that it is not taken back before it has
/// come.
fn spread(plan: &StreamPlan, shards: u16) -> Exchange {
    match &plan.props.changes {
        _ if shards == 1 => Exchange::Spread,
        Changes::Append => Exchange::Spread,
        Changes::Retract { key: Some(key) } if !key.is_empty() => Exchange::Hash(key.clone()),
        Changes::Retract { .. } => Exchange::Hash((0..plan.props.schema.fields().len()).collect()),
    }
}

fn count_sources(plan: &StreamPlan, reads: &mut Vec<Reads>) {
    if let PlanOp::Source { source, .. } = &plan.op {
        match reads.iter_mut().find(|known| Arc::ptr_eq(&known.source, source)) {
            Some(known) => known.times += 1,
            None => reads.push(Reads { source: Arc::clone(source), times: 1, stage: None }),
        }
    }
    plan.inputs.iter().for_each(|input| count_sources(input, reads));
}

impl Compiler {
    fn sink(&mut self, mut plan: StreamPlan) -> Result<()> {
        let (PlanOp::Sink { table, sink }, Some(input)) = (plan.op, plan.inputs.pop()) else {
            return Err(Error::new("a job must end in a sink").fix("write INSERT INTO a table"));
        };
        let spread = spread(&input, sink.max_parallelism().unwrap_or(self.parallelism));
        let stage = self.node(input)?;
        let stage = match sink.max_parallelism() {
            Some(most) if most < stage.parallelism => self.exchange(stage, spread, most),
            _ => stage,
        };
        self.close(stage, Tail::Sink { table, sink });
        Ok(())
    }

    /// The stage that `plan` ends in, still open for operators.
    fn node(&mut self, mut plan: StreamPlan) -> Result<Stage> {
        match plan.op {
            PlanOp::Source { table, source, watermark, .. } => {
                let watermark = watermark.map(|watermark| *watermark);
                Ok(self.source(SourceHead { table, source, watermark }))
            }
            PlanOp::Operator(operator) => {
                let mut stage = match plan.inputs.len() {
                    1 => self.chained(plan.inputs.remove(0), plan.required.remove(0))?,
                    _ => self.joined(plan.inputs, plan.required)?,
                };
                stage.name = operator.name().to_string();
                stage.chain.push(operator);
                Ok(stage)
            }
            PlanOp::Union => {
                let mut from = Vec::new();
                for input in plan.inputs {
                    let spread = spread(&input, self.parallelism);
                    let stage = self.closed(input)?;
                    from.push((stage, self.shards(stage), spread));
                }
                let parallelism = from.iter().map(|(_, parallelism, _)| *parallelism).max().unwrap_or(1);
                let to = StageId(self.graph.stages.len());
                for (stage, shards, spread) in from {
                    let exchange = if shards == parallelism { Exchange::Forward } else { spread };
                    self.graph.edges.push(Edge { from: stage, to, input: Input(0), exchange });
                }
                Ok(open(parallelism))
            }
            PlanOp::Lookup(join) => {
                let (input, required) = (plan.inputs.remove(0), plan.required.remove(0));
                let is_so = input.props.distribution == required;
                let from = self.closed(input)?;
                let shards = self.shards(from);
                let stage = match required {
                    Distribution::Single if shards > 1 => self.behind(from, Exchange::Spread, 1),
                    Distribution::Hash(columns) if !is_so => {
                        self.behind(from, Exchange::Hash(columns), self.parallelism)
                    }
                    _ => self.behind(from, Exchange::Forward, shards),
                };
                Ok(Stage { name: "lookup-join".to_string(), head: Head::Lookup(join), ..stage })
            }
            PlanOp::Recursion(_) | PlanOp::Reference { .. } => {
                let from = self.closed(plan)?;
                let parallelism = self.shards(from);
                Ok(self.behind(from, Exchange::Forward, parallelism))
            }
            PlanOp::Sink { .. } => unreachable!("sinks are the roots of plans"),
        }
    }

    /// A stage that reads a source, or one behind that which does for all.
    fn source(&mut self, head: SourceHead) -> Stage {
        let of_source = |reads: &&Reads| Arc::ptr_eq(&reads.source, &head.source);
        let place = self.sources.iter().position(|reads| of_source(&reads)).expect("all sources are counted");
        let (times, stage) = (self.sources[place].times, self.sources[place].stage);
        let own = |head: SourceHead| Stage {
            name: head.table.clone(),
            head: Head::Source(head),
            chain: Vec::new(),
            tail: Tail::Exchange,
            parallelism: self.parallelism,
        };
        if times == 1 {
            return own(head);
        }
        let name = head.table.clone();
        let from = match stage {
            Some(stage) => stage,
            None => {
                let stage = own(head);
                self.close(stage, Tail::Exchange)
            }
        };
        self.sources[place].stage = Some(from);
        let to = StageId(self.graph.stages.len());
        self.graph.edges.push(Edge { from, to, input: Input(0), exchange: Exchange::Forward });
        Stage { name, ..open(self.parallelism) }
    }

    /// The stage that `plan` ends in, which others follow.
    fn closed(&mut self, mut plan: StreamPlan) -> Result<StageId> {
        match plan.op {
            PlanOp::Recursion(recursion) => {
                let (Some(step), Some(seed)) = (plan.inputs.pop(), plan.inputs.pop()) else {
                    return Err(Error::new("a recursive query has two parts"));
                };
                self.recursion(recursion, seed, step, &plan.props.distribution)
            }
            PlanOp::Reference { id, .. } => {
                Ok(*self.heads.get(&id).expect("a reference stands within its recursive query"))
            }
            _ => {
                let stage = self.node(plan)?;
                Ok(self.close(stage, Tail::Exchange))
            }
        }
    }

    fn shards(&self, stage: StageId) -> u16 {
        self.graph.stages[stage.0].parallelism
    }

    /// A loop. Its head is open to what follows once the stages between it and its feedback are there.
    fn recursion(
        &mut self,
        Recursion { id, head: chain, limits }: Recursion,
        seed: StreamPlan,
        step: StreamPlan,
        distribution: &Distribution,
    ) -> Result<StageId> {
        let parallelism = self.parallelism;
        let exchange = |from: u16| match distribution {
            // Also into one shard: the rows in flight belong to their keys when there are more.
            Distribution::Hash(columns) => Exchange::Hash(columns.clone()),
            _ if from == parallelism => Exchange::Forward,
            _ => Exchange::Spread,
        };
        let seed = self.closed(seed)?;
        let into_head = exchange(self.shards(seed));
        let mut head = self.behind(seed, into_head, parallelism);
        head.name = "iterate".to_string();
        head.chain = chain;
        let head = self.close(head, Tail::Exchange);
        self.heads.insert(id, head);
        // The step is a stage of its own, so that what comes out of the head goes two ways.
        let step = self.node(step)?;
        let back = exchange(step.parallelism);
        let from = self.close(step, Tail::Exchange);
        self.graph.stages[head.0].head = Head::Loop(Feedback { from, exchange: back, limits });
        Ok(head)
    }

    /// The stage that `input` ends in, or one behind it where its rows are distributed as `required`.
    fn chained(&mut self, input: StreamPlan, required: Distribution) -> Result<Stage> {
        let have = input.props.distribution.clone();
        if matches!(input.op, PlanOp::Recursion(_) | PlanOp::Reference { .. }) {
            return self.behind_loop(input, required);
        }
        let stage = self.node(input)?;
        Ok(match required {
            required if required == have => stage,
            Distribution::Any => stage,
            Distribution::Single if stage.parallelism == 1 => stage,
            Distribution::Single => self.exchange(stage, Exchange::Spread, 1),
            // One shard holds all keys: nothing to exchange.
            Distribution::Hash(_) if stage.parallelism == 1 && self.parallelism == 1 => stage,
            Distribution::Even if self.parallelism == 1 => stage,
            Distribution::Hash(columns) => {
                let parallelism = self.parallelism;
                self.exchange(stage, Exchange::Hash(columns), parallelism)
            }
            Distribution::Even => {
                let parallelism = self.parallelism;
                self.exchange(stage, Exchange::Spread, parallelism)
            }
        })
    }

    /// A stage behind several, each an input of its own.
    fn joined(&mut self, inputs: Vec<StreamPlan>, required: Vec<Distribution>) -> Result<Stage> {
        let parallelism = if required.contains(&Distribution::Single) { 1 } else { self.parallelism };
        let mut from = Vec::with_capacity(inputs.len());
        for (input, required) in inputs.into_iter().zip(required) {
            let is_so = input.props.distribution == required;
            let stage = self.closed(input)?;
            let exchange = match required {
                _ if self.shards(stage) == parallelism && (is_so || parallelism == 1) => Exchange::Forward,
                Distribution::Hash(columns) => Exchange::Hash(columns),
                Distribution::Any | Distribution::Single | Distribution::Even => Exchange::Spread,
            };
            from.push((stage, exchange));
        }
        let to = StageId(self.graph.stages.len());
        for (n, (from, exchange)) in (0..).zip(from) {
            self.graph.edges.push(Edge { from, to, input: Input(n), exchange });
        }
        Ok(open(parallelism))
    }

    /// Ends `stage` in an exchange and begins the next one behind it.
    fn exchange(&mut self, stage: Stage, exchange: Exchange, parallelism: u16) -> Stage {
        let from = self.close(stage, Tail::Exchange);
        self.behind(from, exchange, parallelism)
    }

    /// Begins a stage behind one that is closed.
    fn behind(&mut self, from: StageId, exchange: Exchange, parallelism: u16) -> Stage {
        let to = StageId(self.graph.stages.len());
        self.graph.edges.push(Edge { from, to, input: Input(0), exchange });
        open(parallelism)
    }

    /// Begins a stage behind the head of a loop, with its rows as `required`.
    fn behind_loop(&mut self, input: StreamPlan, required: Distribution) -> Result<Stage> {
        let is_so = input.props.distribution == required;
        let from = self.closed(input)?;
        let shards = self.shards(from);
        Ok(match required {
            Distribution::Single => self.behind(from, Exchange::Spread, 1),
            Distribution::Hash(columns) if !is_so => self.behind(from, Exchange::Hash(columns), self.parallelism),
            Distribution::Any | Distribution::Even | Distribution::Hash(_) => {
                self.behind(from, Exchange::Forward, shards)
            }
        })
    }

    fn close(&mut self, mut stage: Stage, tail: Tail) -> StageId {
        stage.tail = tail;
        self.graph.stages.push(stage);
        StageId(self.graph.stages.len() - 1)
    }
}

/// A stage behind an exchange. Stages are numbered as they are closed, and none is closed while this one is open, so it gets the
/// next number: the edges that lead to it may name it already.
fn open(parallelism: u16) -> Stage {
    Stage { name: "union".to_string(), head: Head::Inputs, chain: Vec::new(), tail: Tail::Exchange, parallelism }
}
