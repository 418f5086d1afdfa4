//! Syntax errors in our own words, and errors with the line they are about.

use std::fmt::Write;

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use tidemill_exec::{Error, Place};

use super::grammar::HEADS;
use super::reserved::{is_reserved, is_structure};
use super::source::Source;

/// The error with the line of the script it is about:
///
/// ```text
/// error: did not expect "FROM" here
///   1 | SELECT FROM WHERE
///     |        ^^^^
///   why: expected an expression
/// ```
pub fn render(error: &Error, script: &str) -> String {
    let printed = error.to_string();
    let details = printed.strip_prefix(error.what()).unwrap_or("");
    let mut text = format!("error: {}", error.what());
    let shown = error
        .place()
        .and_then(|place| Some((place, script.lines().nth(usize::try_from(place.line.checked_sub(1)?).ok()?)?)));
    if let Some((place, line)) = shown {
        let (line, column) = shortened(line, place.column);
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        // A tab stays one under a tab, so that the caret is below its place however wide tabs are shown.
        let indent: String = line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let rest = line.chars().count().saturating_sub(column - 1).max(1);
        let carets = "^".repeat(usize::try_from(place.width).unwrap_or(1).clamp(1, rest));
        let indent = format!("{indent:<width$}", width = column - 1);
        let _ = write!(text, "\n  {number} | {line}\n  {margin} | {indent}{carets}");
    }
    text + details
}

/// Long lines are cut around the place, so that the caret stays in view.
fn shortened(line: &str, column: u64) -> (String, usize) {
    const WIDTH: usize = 160;
    let column = usize::try_from(column).unwrap_or(1).max(1);
    if line.chars().count() <= WIDTH {
        return (line.to_string(), column);
    }
    let from = column.saturating_sub(WIDTH / 2);
    let cut: String = line.chars().skip(from).take(WIDTH).collect();
    let more = if line.chars().count() > from + WIDTH { "..." } else { "" };
    if from == 0 { (cut + more, column) } else { (format!("...{cut}{more}"), column - from + 3) }
}

/// Something else was expected where token `index` is.
pub(super) fn expected(source: &Source, index: usize, what: &str) -> Error {
    let Some(found) = source.tokens.get(index) else {
        let error = Error::new("the statement ends too early").why(format!("expected {what}")).at(source.place(index));
        return match misspelt(source, index) {
            Some((word, keyword, place)) => misspelling(&word, keyword, place),
            None => error,
        };
    };
    if let Some((word, keyword, place)) = misspelt(source, index) {
        return misspelling(&word, keyword, place);
    }
    let error = Error::new(format!("did not expect {} here", quoted(&found.token)))
        .why(format!("expected {what}"))
        .at(source.place(index));
    match &found.token {
        Token::Word(word) if word.quote_style.is_none() && is_reserved(&word.value) && !is_structure(&word.value) => {
            error.fix(format!("if it is meant as a name, quote it with backticks: `{}`", word.value))
        }
        _ => error,
    }
}

fn quoted(token: &Token) -> String {
    let text = token.to_string();
    if text.starts_with(['\'', '`', '"']) { text } else { format!("\"{text}\"") }
}

/// A reserved word where a name should be.
pub(super) fn reserved(word: &str, place: Place) -> Error {
    if is_structure(word) {
        return Error::new(format!("did not expect \"{word}\" here")).why("expected a name").at(place);
    }
    Error::new(format!("\"{word}\" is a reserved word and cannot be a name as it is"))
        .fix(format!("quote it with backticks: `{word}`"))
        .at(place)
}

fn misspelling(word: &str, keyword: &str, place: Place) -> Error {
    Error::new(format!("\"{word}\" is not a keyword")).fix(format!("did you mean {keyword}?")).at(place)
}

/// Keywords that a parse goes wrong behind if they are misspelt, as they are then read as a name.
const CLAUSES: [&str; 40] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "ORDER",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "INNER",
    "OUTER",
    "CROSS",
    "LEFT",
    "RIGHT",
    "JOIN",
    "VALUES",
    "INTO",
    "PARTITION",
    "PARTITIONED",
    "DISTINCT",
    "BETWEEN",
    "INTERVAL",
    "WINDOW",
    "TABLE",
    "VIEW",
    "DATABASE",
    "TEMPORARY",
    "MATERIALIZED",
    "PRIMARY",
    "WATERMARK",
    "METADATA",
    "COMMENT",
    "LATERAL",
    "MATCH_RECOGNIZE",
    "OVERWRITE",
    "COLUMNS",
    "TABLES",
];

/// A word at token `index`, or just before it, that is one slip away from a keyword.
fn misspelt(source: &Source, index: usize) -> Option<(String, &'static str, Place)> {
    [Some(index), index.checked_sub(1)].into_iter().flatten().find_map(|index| {
        let Token::Word(word) = &source.tokens.get(index)?.token else { return None };
        let upper = word.value.to_ascii_uppercase();
        let known = CLAUSES.contains(&upper.as_str()) || HEADS.contains(&upper.as_str()) || is_reserved(&upper);
        if word.quote_style.is_some() || known {
            return None;
        }
        let heads: &[&str] = if index == 0 { &HEADS } else { &[] };
        let (slips, keyword) = heads.iter().chain(&CLAUSES).map(|keyword| (slips(&upper, keyword), *keyword)).min()?;
        let allowed = match keyword.len() {
            0..=3 => 0,
            4..=6 => 1,
            _ => 2,
        };
        (slips <= allowed).then(|| (word.value.clone(), keyword, source.place(index)))
    })
}

/// How many slips of the hand lead from one word to the other: a letter too many, missing, wrong, or swapped with its
/// neighbour.
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

/// Between the parts of an error of ours that travels through sqlparser as text.
const SEPARATOR: char = '\u{1}';

/// An error with its parts, for rules that run inside of sqlparser. Empty parts are left out.
pub(super) fn explained(token: &TokenWithSpan, what: String, why: &str, fix: String) -> ParserError {
    ParserError::ParserError(format!("{SEPARATOR}{what}{SEPARATOR}{why}{SEPARATOR}{fix}{}", token.span.start))
}

/// sqlparser's error in our words, with the index of the token it is about.
pub(super) fn syntax(error: ParserError, source: &Source) -> (usize, Error) {
    let message = match error {
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        ParserError::RecursionLimitExceeded => {
            let error = Error::new("this statement is nested too deeply")
                .fix("split it: put inner queries into views, or into WITH")
                .at(source.place(0));
            return (source.tokens.len(), error);
        }
    };
    let (message, index) = located(&message, source);
    let place = source.place(index);
    if let Some(parts) = message.strip_prefix(SEPARATOR) {
        let mut parts = parts.split(SEPARATOR);
        let mut error = Error::new(parts.next().unwrap_or("")).at(place);
        if let Some(why) = parts.next().filter(|why| !why.is_empty()) {
            error = error.why(why);
        }
        if let Some(fix) = parts.next().filter(|fix| !fix.is_empty()) {
            error = error.fix(fix);
        }
        return (index, error);
    }
    let Some((what, _)) = message.strip_prefix("Expected: ").and_then(|rest| rest.split_once(", found: ")) else {
        return (index, Error::new(format!("cannot read this: {message}")).at(place));
    };
    let found = source.tokens.get(index).map(|token| &token.token);
    let error = match (what, found) {
        ("identifier", Some(Token::Word(word))) if word.quote_style.is_none() && is_reserved(&word.value) => {
            reserved(&word.value, place)
        }
        ("identifier", _) => expected(source, index, "a name"),
        ("joined table", _) => expected(source, index, "a JOIN between the parentheses"),
        ("end of statement", _) => expected(source, index, "the end of the statement"),
        ("SELECT, VALUES, or a subquery in the query body", _) => expected(source, index, "SELECT or VALUES"),
        (what, _) => expected(source, index, what),
    };
    (index, error)
}

/// Splits ` at Line: 1, Column: 8` off a message. Without it, the error is at the end of the statement.
fn located<'a>(message: &'a str, source: &Source) -> (&'a str, usize) {
    let end = source.tokens.len();
    let Some((text, place)) = message.rsplit_once(" at Line: ") else { return (message, end) };
    let numbers = place
        .split_once(", Column: ")
        .and_then(|(line, column)| Some((line.parse().ok()?, column.trim().parse().ok()?)));
    match numbers {
        Some((line, column)) => (text, source.index_at(line, column)),
        None => (message, end),
    }
}
