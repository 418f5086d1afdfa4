//! `PATTERN (A B+ C)`, as sqlparser reads it, to the engine's.

use datafusion::sql::sqlparser::ast::{MatchRecognizePattern, MatchRecognizeSymbol, RepetitionQuantifier};
use tidemill_exec::operators::{Pattern, VARIABLES_MAX};
use tidemill_exec::{Error, Result};

/// The pattern, and the names of its variables.
///
/// # Errors
/// Anchors and exclusions, which Flink does not have either; quantifiers that say nothing.
pub fn translate(pattern: &MatchRecognizePattern) -> Result<(Pattern, Vec<String>)> {
    let mut names = Vec::new();
    let pattern = translated(pattern, &mut names)?;
    match names.len() <= VARIABLES_MAX {
        true => Ok((pattern, names)),
        false => Err(Error::new(format!("the pattern has {} variables", names.len()))
            .why(format!("there may be {VARIABLES_MAX}"))),
    }
}

fn translated(pattern: &MatchRecognizePattern, names: &mut Vec<String>) -> Result<Pattern> {
    Ok(match pattern {
        MatchRecognizePattern::Symbol(symbol) => variable(symbol, names)?,
        MatchRecognizePattern::Group(inner) => translated(inner, names)?,
        MatchRecognizePattern::Concat(parts) => Pattern::Concat(all(parts, names)?),
        MatchRecognizePattern::Alternation(parts) => Pattern::Alternation(all(parts, names)?),
        MatchRecognizePattern::Permute(symbols) => {
            let parts = symbols.iter().map(|symbol| variable(symbol, names)).collect::<Result<Vec<_>>>()?;
            if parts.len() > PERMUTED_MAX {
                return Err(Error::new(format!("PERMUTE of {} variables", parts.len()))
                    .why(format!("there may be {PERMUTED_MAX}: every order is a pattern of its own")));
            }
            Pattern::Alternation(permutations(&parts).into_iter().map(Pattern::Concat).collect())
        }
        // `A+?`: sqlparser takes the question mark for a quantifier of its own. That of `(A+)?` is one.
        MatchRecognizePattern::Repetition(inner, RepetitionQuantifier::AtMostOne)
            if matches!(**inner, MatchRecognizePattern::Repetition(..)) =>
        {
            match translated(inner, names)? {
                Pattern::Repeat { of, min, max, .. } => Pattern::Repeat { of, min, max, greedy: false },
                other => other,
            }
        }
        MatchRecognizePattern::Repetition(inner, quantifier) => {
            let (min, max) = match *quantifier {
                RepetitionQuantifier::ZeroOrMore => (0, None),
                RepetitionQuantifier::OneOrMore => (1, None),
                RepetitionQuantifier::AtMostOne => (0, Some(1)),
                RepetitionQuantifier::Exactly(n) => (n, Some(n)),
                RepetitionQuantifier::AtLeast(n) => (n, None),
                RepetitionQuantifier::AtMost(n) => (0, Some(n)),
                RepetitionQuantifier::Range(n, m) => (n, Some(m)),
            };
            if max.is_some_and(|max| max == 0 || max < min) {
                return Err(Error::new(format!("the quantifier {quantifier} allows nothing"))
                    .fix("write {n,m} with n at most m, and m at least 1"));
            }
            Pattern::Repeat { of: Box::new(translated(inner, names)?), min, max, greedy: true }
        }
        MatchRecognizePattern::Exclude(_) => {
            return Err(Error::new("{- and -} in a pattern have no effect here")
                .why("they leave rows out of ALL ROWS PER MATCH")
                .fix("write the variable alone"));
        }
    })
}

/// 120 orders.
const PERMUTED_MAX: usize = 5;

fn all(parts: &[MatchRecognizePattern], names: &mut Vec<String>) -> Result<Vec<Pattern>> {
    parts.iter().map(|part| translated(part, names)).collect()
}

fn variable(symbol: &MatchRecognizeSymbol, names: &mut Vec<String>) -> Result<Pattern> {
    let MatchRecognizeSymbol::Named(name) = symbol else {
        return Err(Error::new(format!("the anchor {symbol} in a pattern is not supported"))
            .why("the rows of a partition have no end in a stream"));
    };
    let known = names.iter().position(|known| *known == name.value);
    Ok(Pattern::Variable(known.unwrap_or_else(|| {
        names.push(name.value.clone());
        names.len() - 1
    })))
}

/// In the order of their places: A B C, A C B, B A C ...
fn permutations(parts: &[Pattern]) -> Vec<Vec<Pattern>> {
    if parts.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (n, first) in parts.iter().enumerate() {
        let others = [&parts[..n], &parts[n + 1..]].concat();
        all.extend(permutations(&others).into_iter().map(|rest| [vec![first.clone()], rest].concat()));
    }
    all
}
