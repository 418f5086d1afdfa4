//! Names for the parts of a job that outlive it.
//!
//! State belongs to an operator by what it means: what the operator computes, out of what, however many shards it has and whatever
//! is behind it. So an edited query keeps the state of everything that did not change.

use std::collections::BTreeMap;

use tidemill_state::checkpoint::fingerprint;

use crate::graph::{Feedback, Head, JobGraph, StageId, Tail};

/// What a part of a job is called in checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Unique within the job.
    pub uid: String,
    /// As `EXPLAIN` shows it.
    pub text: String,
}

/// The names of a job's parts, by stage.
#[derive(Clone, Debug, Default)]
pub struct Meaning {
    pub sources: BTreeMap<usize, Identity>,
    pub sinks: BTreeMap<usize, Identity>,
    /// By place in the chain. `None`: has no state.
    pub operators: Vec<Vec<Option<Identity>>>,
}

/// Names the parts of a job.
pub fn meaning(graph: &JobGraph) -> Meaning {
    // What comes back to the head of a loop means what the loop makes of what comes in.
    let (_, once_round) = named(graph, None);
    named(graph, Some(&once_round)).0
}

/// The names, and what each stage's rows mean: with what they mean without anything that comes back, also of what does.
fn named(graph: &JobGraph, once_round: Option<&[u64]>) -> (Meaning, Vec<u64>) {
    let mut meaning = Meaning::default();
    let mut unique = Unique::default();
    // Edges lead from lower to higher stages.
    let mut outputs: Vec<u64> = Vec::with_capacity(graph.stages.len());
    for (id, stage) in graph.stages.iter().enumerate() {
        let mut rows = match &stage.head {
            Head::Source(head) => {
                let uid = unique.name(head.table.clone());
                meaning.sources.insert(id, Identity { uid, text: head.table.clone() });
                fingerprint(&format!("source {}", head.table))
            }
            Head::Inputs | Head::Lookup(_) | Head::Loop(_) => {
                let inputs = graph.edges.iter().filter(|edge| edge.to == StageId(id));
                let inputs: Vec<_> = inputs.map(|edge| (edge.input, outputs[edge.from.0])).collect();
                let rows = match inputs.as_slice() {
                    [(_, only)] => *only,
                    several => fingerprint(&format!("{several:?}")),
                };
                match (&stage.head, once_round) {
                    (Head::Lookup(join), _) => fingerprint(&format!("{} of {rows:016x}", join.meaning())),
                    (Head::Loop(Feedback { from, .. }), Some(once_round)) => {
                        fingerprint(&format!("{rows:016x} and {:016x} again", once_round[from.0]))
                    }
                    _ => rows,
                }
            }
        };
        let mut operators = Vec::with_capacity(stage.chain.len());
        for operator in &stage.chain {
            operators.push(operator.meaning().map(|text| {
                rows = fingerprint(&format!("{text} of {rows:016x}"));
                Identity { uid: unique.name(format!("{}-{rows:016x}", operator.name())), text }
            }));
        }
        meaning.operators.push(operators);
        outputs.push(rows);
        if let Tail::Sink { table, .. } = &stage.tail {
            let uid = unique.name(table.clone());
            meaning.sinks.insert(id, Identity { uid, text: table.clone() });
        }
    }
    (meaning, outputs)
}

#[derive(Default)]
struct Unique(BTreeMap<String, usize>);

impl Unique {
    fn name(&mut self, name: String) -> String {
        let times = self.0.entry(name.clone()).or_default();
        *times += 1;
        if *times == 1 { name } else { format!("{name}-{times}") }
    }
}
