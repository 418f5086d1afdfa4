//! What the line editor asks while a statement is typed.

use std::borrow::Cow;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Result};
use tidemill_planner::dialect::is_complete;

use super::complete::{Vocabulary, complete};
use super::highlight::{FAINT, highlight};
use crate::tokens::{Kind, tokens};

#[derive(Default)]
pub struct Helper {
    /// What can be completed; renewed before each prompt.
    pub vocabulary: Vocabulary,
}

impl rustyline::Helper for Helper {}

impl Validator for Helper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        Ok(match is_complete(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let mut completion = complete(line, position, &self.vocabulary);
        // What can only be this is done; at the end of the line the next word can follow at once.
        if let [only] = completion.candidates.as_mut_slice()
            && position == line.len()
            && !only.ends_with(['(', '.'])
        {
            only.push(' ');
        }
        let pairs = completion
            .candidates
            .into_iter()
            .map(|candidate| Pair { display: candidate.clone(), replacement: candidate });
        Ok((completion.start, pairs.collect()))
    }
}

impl Highlighter for Helper {
    fn highlight<'l>(&self, line: &'l str, _position: usize) -> Cow<'l, str> {
        Cow::Owned(highlight(line))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        Cow::Owned(format!("\u{1b}[1;34m{prompt}\u{1b}[0m"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("{FAINT}{hint}\u{1b}[0m"))
    }

    fn highlight_char(&self, _line: &str, _position: usize, _kind: CmdKind) -> bool {
        true
    }
}

/// Says on an empty line what a statement still lacks; never typed for the user.
pub struct Advice(&'static str);

impl Hint for Advice {
    fn display(&self) -> &str {
        self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Helper {
    type Hint = Advice;

    fn hint(&self, line: &str, position: usize, _: &Context<'_>) -> Option<Advice> {
        (position == line.len() && line.ends_with('\n')).then(|| advice(line)).flatten().map(Advice)
    }
}

fn advice(text: &str) -> Option<&'static str> {
    match tokens(text).last().filter(|token| !token.closed).map(|token| token.kind) {
        Some(Kind::String) => Some("  the quote ' is open"),
        Some(Kind::Comment) => Some("  the comment /* is open"),
        Some(_) => Some("  a quote is open"),
        None if !is_complete(text) => Some("  ; runs it, Ctrl-C drops it"),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_what_is_missing() {
        assert_eq!(advice("SELECT 'a\n"), Some("  the quote ' is open"));
        assert_eq!(advice("SELECT 1\n"), Some("  ; runs it, Ctrl-C drops it"));
        assert_eq!(advice("SELECT 1;\n"), None);
        assert_eq!(advice("quit"), None);
    }
}
