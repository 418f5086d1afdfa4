//! `${NAME}` in scripts, from `-D NAME=value`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tidemill_exec::{Error, Place, Result};

use crate::tokens::{Kind, tokens};

/// What `-D` gave. Every entry can stand for `${NAME}`; those with a dot in their name are settings too, as every setting has
/// one and no shell-like variable does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Variables {
        Variables(entries.into_iter().collect())
    }

    /// The entries that are settings.
    pub fn settings(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().filter(|(key, _)| key.contains('.')).map(|(key, value)| (key.clone(), value.clone()))
    }

    /// `statement` with each `${NAME}` replaced, inside quotes too (`'${DIR}/orders.csv'`), but not in comments.
    ///
    /// # Errors
    /// A name that was not given, with its place.
    pub fn apply<'a>(&self, statement: &'a str) -> Result<Cow<'a, str>> {
        if !statement.contains("${") {
            return Ok(Cow::Borrowed(statement));
        }
        let mut applied = String::with_capacity(statement.len());
        let mut start = 0;
        for comment in tokens(statement).filter(|token| token.kind == Kind::Comment) {
            self.replace(statement, start, comment.start, &mut applied)?;
            applied.push_str(comment.text);
            start = comment.end();
        }
        self.replace(statement, start, statement.len(), &mut applied)?;
        Ok(Cow::Owned(applied))
    }

    fn replace(&self, statement: &str, start: usize, end: usize, applied: &mut String) -> Result<()> {
        let mut at = start;
        while let Some(found) = statement[at..end].find("${").map(|offset| at + offset) {
            applied.push_str(&statement[at..found]);
            let inside = &statement[found + 2..end];
            match inside.find('}').map(|length| &inside[..length]).filter(|name| is_name(name)) {
                Some(name) => {
                    let value = self.0.get(name).ok_or_else(|| self.missing(name).at(place(statement, found, name)))?;
                    applied.push_str(value);
                    at = found + name.len() + 3;
                }
                None => {
                    applied.push_str("${");
                    at = found + 2;
                }
            }
        }
        applied.push_str(&statement[at..end]);
        Ok(())
    }

    fn missing(&self, name: &str) -> Error {
        let error = Error::new(format!("variable {name} is not set")).why("the statement uses ${...}");
        match tidemill_exec::error::nearest(name, &self.0.keys().map(String::as_str).collect::<Vec<_>>()) {
            Some(near) => error.fix(format!("did you mean {near}?")),
            None => error.fix(format!("add -D {name}=... to the command line")),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c))
}

fn place(statement: &str, at: usize, name: &str) -> Place {
    let before = &statement[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.matches('\n').count() as u64 + 1,
        column: before[line_start..].chars().count() as u64 + 1,
        width: name.chars().count() as u64 + 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        Variables::new([("DIR".into(), "/tmp".into()), ("parallelism.default".into(), "2".into())])
    }

    #[test]
    fn variables_are_replaced_in_strings_but_not_in_comments() {
        let applied =
            variables().apply("SELECT '${DIR}/a', ${parallelism.default} -- ${nobody}\n, '$DIR ${}'").unwrap();
        assert_eq!(applied, "SELECT '/tmp/a', 2 -- ${nobody}\n, '$DIR ${}'");
    }

    #[test]
    fn a_missing_variable_is_named_with_its_place() {
        let error = variables().apply("SELECT\n  '${DIRR}'").unwrap_err();
        assert_eq!(error.place(), Some(Place { line: 2, column: 4, width: 7 }));
        assert!(error.to_string().contains("did you mean DIR?"));
    }

    #[test]
    fn only_names_with_a_dot_are_settings() {
        assert_eq!(variables().settings().collect::<Vec<_>>(), [("parallelism.default".to_string(), "2".to_string())]);
    }
}
