//! How far the rows of one partition have been matched.

use super::navigation::Path;
use super::pattern::{Step, Variables};
use super::rows::{RowRef, RowStore, is_true};
use super::{MatchRecognize, Skip};
use crate::error::{Error, Result};

/// The rows from the first with which a match may begin, and the partial matches that begin with it.
///
/// One row after the other is taken for the first of a match; which matches a later row begins is only known when it is known of the
/// earlier one, as that may skip rows. So the partial matches follow from the rows, and need not be saved.
#[derive(Default)]
pub(super) struct Partition {
    rows: Vec<RowRef>,
    /// The first of `rows` that is needed.
    start: usize,
    /// How many rows from `start` on the partial matches have.
    matched: usize,
    partial: Vec<Partial>,
    /// Rows that wait for the watermark.
    pub waiting: usize,
    /// When, for lack of time, no match can begin with the first row any more, if the watermark may say so.
    pub deadline: Option<i64>,
}

struct Partial {
    state: usize,
    /// By row from the start.
    variables: Vec<u8>,
}

/// A match, to be emitted.
pub(super) struct Found {
    pub rows: Vec<RowRef>,
    pub variables: Vec<u8>,
}

impl Partition {
    pub fn push(&mut self, row: RowRef) {
        self.rows.push(row);
    }

    /// The rows that may be part of a match yet.
    pub fn rows(&self) -> &[RowRef] {
        &self.rows[self.start..]
    }

    pub fn rows_mut(&mut self) -> &mut [RowRef] {
        &mut self.rows[self.start..]
    }

    pub fn is_empty(&self) -> bool {
        self.rows().is_empty() && self.waiting == 0
    }

    /// Matches the rows that have not been looked at.
    pub fn run(&mut self, spec: &MatchRecognize, store: &mut RowStore, found: &mut Vec<Found>) -> Result<()> {
        while let Some(&row) = self.rows().get(self.matched) {
            let too_late =
                spec.within.is_some_and(|within| store.time(row).saturating_sub(store.time(self.rows()[0])) >= within);
            let complete = if too_late { None } else { self.step(spec, store, row)? };
            match complete {
                Some(variables) => {
                    let rows = self.rows()[..variables.len()].to_vec();
                    let skipped = spec.skip.rows(&variables, spec)?;
                    found.push(Found { rows, variables });
                    self.skip(skipped, store);
                }
                None if too_late || self.partial.is_empty() => self.skip(1, store),
                None => self.matched += 1,
            }
        }
        Ok(())
    }

    /// No match begins with the first row.
    pub fn give_up(&mut self, spec: &MatchRecognize, store: &mut RowStore, found: &mut Vec<Found>) -> Result<()> {
        self.skip(1, store);
        self.run(spec, store, found)
    }

    /// Forgets rows, and begins anew behind them.
    fn skip(&mut self, rows: usize, store: &mut RowStore) {
        self.rows()[..rows].iter().for_each(|row| store.release(*row));
        self.start += rows;
        self.matched = 0;
        self.partial.clear();
        if self.start * 2 > self.rows.len() {
            self.rows.drain(..self.start);
            self.start = 0;
        }
    }

    /// The partial matches with one more row. If one of them is complete, which variables its rows are.
    fn step(&mut self, spec: &MatchRecognize, store: &RowStore, row: RowRef) -> Result<Option<Vec<u8>>> {
        let before = match self.matched {
            0 => vec![Partial { state: 0, variables: Vec::new() }],
            _ => std::mem::take(&mut self.partial),
        };
        let states = &spec.automaton.states;
        for mut partial in before {
            let steps = self.possible(spec, store, row, &mut partial)?;
            for (n, step) in steps.iter().enumerate() {
                let is_last = n + 1 == steps.len();
                let variables = &mut partial.variables;
                let mut variables = if is_last { std::mem::take(variables) } else { variables.clone() };
                variables.push(step.variable as u8);
                if states[step.next].accepts {
                    return Ok(Some(variables));
                }
                // What has come so far does not matter for what comes: the preferred one stays ahead.
                let is_behind = !spec.looks_back && self.partial.iter().any(|known| known.state == step.next);
                if !is_behind {
                    self.partial.push(Partial { state: step.next, variables });
                }
            }
        }
        Ok(None)
    }

    /// What the next row can be for a partial match.
    fn possible<'a>(
        &self,
        spec: &'a MatchRecognize,
        store: &RowStore,
        row: RowRef,
        partial: &mut Partial,
    ) -> Result<Vec<&'a Step>> {
        let (mut known, mut true_of): (Variables, Variables) = (0, 0);
        let mut holds = |variable: usize, partial: &mut Partial| -> Result<bool> {
            let bit = 1 << variable;
            if known & bit == 0 {
                known |= bit;
                true_of |= if self.holds(spec, store, row, variable, partial)? { bit } else { 0 };
            }
            Ok(true_of & bit != 0)
        };
        let mut steps = Vec::new();
        'steps: for step in &spec.automaton.states[partial.state].steps {
            if !holds(step.variable, partial)? {
                continue;
            }
            for variable in (0..spec.variables.len()).filter(|variable| step.unless & 1 << variable != 0) {
                if holds(variable, partial)? {
                    continue 'steps;
                }
            }
            steps.push(step);
        }
        Ok(steps)
    }

    /// Whether the condition of a variable is true of the next row, if that is taken for one.
    fn holds(
        &self,
        spec: &MatchRecognize,
        store: &RowStore,
        row: RowRef,
        variable: usize,
        partial: &mut Partial,
    ) -> Result<bool> {
        if !store.holds(spec, variable, row)? {
            return Ok(false);
        }
        let Some((condition, navigations)) = &spec.variables[variable].path else { return Ok(true) };
        partial.variables.push(variable as u8);
        let path = Path { rows: &self.rows()[..=self.matched], variables: &partial.variables };
        let columns = navigations.evaluate(store, &[path]);
        partial.variables.pop();
        is_true(&condition.evaluate(&columns?)?.into_array(1)?)
    }
}

impl Skip {
    /// How many rows from the first row of a match on are not where the next one begins.
    fn rows(self, variables: &[u8], spec: &MatchRecognize) -> Result<usize> {
        let (row, variable) = match self {
            Skip::PastLastRow => return Ok(variables.len()),
            Skip::ToNextRow => return Ok(1),
            Skip::ToFirst(variable) => (variables.iter().position(|of| usize::from(*of) == variable), variable),
            Skip::ToLast(variable) => (variables.iter().rposition(|of| usize::from(*of) == variable), variable),
        };
        let cannot = |why: String| {
            Err(Error::new(format!("cannot go on at {} after a match", spec.names[variable])).why(why).fix(
                "write AFTER MATCH SKIP PAST LAST ROW, or skip to a variable that every match has behind its first row",
            ))
        };
        match row {
            Some(0) => cannot("the match begins with it, and would be found for ever".to_string()),
            Some(row) => Ok(row),
            None => cannot("no row of the match is one".to_string()),
        }
    }
}
