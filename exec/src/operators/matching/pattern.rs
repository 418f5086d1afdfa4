//! Row patterns, and the automaton that follows one.

use std::collections::HashSet;
use std::fmt;

use crate::error::{Error, Result};

/// `A B+ (C | D)`: what the rows of a match are, one after the other. Variables by their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Pattern {
    Variable(usize),
    Concat(Vec<Pattern>),
    /// The earlier ones are preferred.
    Alternation(Vec<Pattern>),
    Repeat {
        of: Box<Pattern>,
        min: u32,
        /// `None`: any number.
        max: Option<u32>,
        greedy: bool,
    },
}

impl Pattern {
    /// As it is written in SQL.
    pub fn display<'a>(&'a self, names: &'a [String]) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| self.write(f, names, false))
    }

    /// `inner`: something stands around it that binds closer.
    fn write(&self, f: &mut fmt::Formatter<'_>, names: &[String], inner: bool) -> fmt::Result {
        let (parts, separator) = match self {
            Pattern::Variable(variable) => return f.write_str(&names[*variable]),
            Pattern::Repeat { of, min, max, greedy } => {
                of.write(f, names, true)?;
                match (min, max) {
                    (0, None) => f.write_str("*")?,
                    (1, None) => f.write_str("+")?,
                    (0, Some(1)) => f.write_str("?")?,
                    (min, None) => write!(f, "{{{min},}}")?,
                    (min, Some(max)) if min == max => write!(f, "{{{min}}}")?,
                    (min, Some(max)) => write!(f, "{{{min},{max}}}")?,
                }
                return if *greedy { Ok(()) } else { f.write_str("?") };
            }
            Pattern::Concat(parts) => (parts, " "),
            Pattern::Alternation(parts) => (parts, " | "),
        };
        let (open, close) = if inner { ("(", ")") } else { ("", "") };
        f.write_str(open)?;
        for (n, part) in parts.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { separator })?;
            part.write(f, names, matches!(part, Pattern::Alternation(_) | Pattern::Concat(_)))?;
        }
        f.write_str(close)
    }
}

/// A set of variables, a bit each.
pub(super) type Variables = u64;

/// More variables than a set can hold are refused.
pub const VARIABLES_MAX: usize = Variables::BITS as usize;

/// A pattern whose repetitions, written out, are longer is refused.
const STATES_MAX: usize = 10_000;

/// The states that a partial match can be in, the first of them without any row.
///
/// The law, which is Flink's: of the matches that begin at a row, the one is taken that is complete first; of those that are complete
/// with the same row, the preferred. Greedy quantifiers prefer further repetitions, reluctant ones fewer, and a row that could be one more
/// repetition of something greedy is taken by nothing that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Automaton {
    pub(super) states: Vec<State>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The match is complete.
    pub accepts: bool,
    /// What the next row may be, the preferred first.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub variable: usize,
    /// It must be none of these: they are greedy, and it could have been one more of them.
    pub unless: Variables,
    pub next: usize,
}

impl Automaton {
    /// # Errors
    /// The pattern matches no rows at all, ends in something greedy, has too many variables or too long repetitions.
    pub fn new(pattern: &Pattern) -> Result<Automaton> {
        let mut thompson = Thompson { nodes: vec![Node::Accept] };
        let start = thompson.add(pattern, 0)?;
        // A state is a node behind a variable; the first is that before all of them.
        let mut nodes = vec![start];
        let mut states = Vec::new();
        while let Some(&node) = nodes.get(states.len()) {
            let mut state = State::default();
            thompson.closure(node, 0, &mut HashSet::new(), &mut state)?;
            for step in &mut state.steps {
                step.next = nodes.iter().position(|&known| known == step.next).unwrap_or_else(|| {
                    nodes.push(step.next);
                    nodes.len() - 1
                });
            }
            states.push(state);
        }
        match states[0].accepts {
            false => Ok(Automaton { states }),
            true => Err(Error::new("the pattern matches no rows at all")
                .why("everything in it is optional, so there would be an empty match before each row")
                .fix("make one of its variables required, such as A+ in place of A*")),
        }
    }
}

enum Node {
    Accept,
    Take(usize, usize),
    /// The first is preferred.
    Either(usize, usize),
    /// Something greedy, which begins with these variables, is left.
    Leave(Variables, usize),
}

/// The nodes of Thompson's construction, built from the end.
struct Thompson {
    nodes: Vec<Node>,
}

impl Thompson {
    fn node(&mut self, node: Node) -> Result<usize> {
        if self.nodes.len() == STATES_MAX {
            return Err(Error::new("the pattern is too long")
                .why(format!("with its repetitions written out it has more than {STATES_MAX} steps"))
                .fix("repeat fewer times, or any number of times with * or +"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// The first node of `pattern`, behind which `next` stands.
    fn add(&mut self, pattern: &Pattern, next: usize) -> Result<usize> {
        match pattern {
            Pattern::Variable(variable) => self.node(Node::Take(*variable, next)),
            Pattern::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.add(part, next)),
            Pattern::Alternation(parts) => {
                let starts = parts.iter().map(|part| self.add(part, next)).collect::<Result<Vec<_>>>()?;
                let mut starts = starts.into_iter().rev();
                let last = starts.next().unwrap_or(next);
                starts.try_fold(last, |other, preferred| self.node(Node::Either(preferred, other)))
            }
            Pattern::Repeat { of, min, max, greedy } => {
                // As in Flink, X? and X{n} keep no row from what follows.
                let keeps_rows = *greedy && *max != Some(*min) && (*min, *max) != (0, Some(1));
                let leave = if keeps_rows { self.node(Node::Leave(first(of).0, next))? } else { next };
                let either =
                    |again, leave| if *greedy { Node::Either(again, leave) } else { Node::Either(leave, again) };
                let mut start = match max {
                    None => {
                        let head = self.node(Node::Either(leave, leave))?;
                        let again = self.add(of, head)?;
                        self.nodes[head] = either(again, leave);
                        head
                    }
                    Some(_) => leave,
                };
                for _ in *min..max.unwrap_or(*min) {
                    let again = self.add(of, start)?;
                    start = self.node(either(again, leave))?;
                }
                (0..*min).try_fold(start, |start, _| self.add(of, start))
            }
        }
    }

    /// Adds to `state` what may come next at `node`, the preferred first.
    fn closure(
        &self,
        node: usize,
        unless: Variables,
        seen: &mut HashSet<(usize, Variables)>,
        state: &mut State,
    ) -> Result<()> {
        if !seen.insert((node, unless)) {
            return Ok(());
        }
        match self.nodes[node] {
            Node::Accept if unless == 0 => state.accepts = true,
            Node::Accept => {
                return Err(Error::new("a greedy quantifier is the last element of the pattern")
                    .why("when it has had its last row is only known from the row behind it")
                    .fix("end with a plain variable that says when the match is over, or with a reluctant quantifier such as A+?"));
            }
            Node::Take(variable, next) => state.steps.push(Step { variable, unless, next }),
            Node::Either(preferred, other) => {
                self.closure(preferred, unless, seen, state)?;
                self.closure(other, unless, seen, state)?;
            }
            Node::Leave(variables, next) => self.closure(next, unless | variables, seen, state)?,
        }
        Ok(())
    }
}

/// The variables that the first row of a pattern can be, and whether it can be without rows.
fn first(pattern: &Pattern) -> (Variables, bool) {
    match pattern {
        Pattern::Variable(variable) => (1 << variable, false),
        Pattern::Concat(parts) => parts.iter().fold((0, true), |(variables, empty), part| match empty {
            true => {
                let (more, empty) = first(part);
                (variables | more, empty)
            }
            false => (variables, false),
        }),
        Pattern::Alternation(parts) => parts.iter().map(first).fold((0, false), |a, b| (a.0 | b.0, a.1 || b.1)),
        Pattern::Repeat { of, min, .. } => {
            let (variables, empty) = first(of);
            (variables, empty || *min == 0)
        }
    }
}
