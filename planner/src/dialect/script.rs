//! Cutting a script into statements, before anything is parsed: where each ends, and what its variables stand for.
//!
//! A statement is cut off and can be executed before the next one is looked at, because a mistake further down must
//! not keep the statements before it from running.

use tidemill_exec::{Error, Place, Result};

/// What the scanner tells apart; everything else is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Word(&'a str),
    /// A quoted text or name, or any other character.
    Other,
    Semicolon,
    /// `/*+ .. */`, which belongs to what is before it.
    Hint,
    /// A quote or comment that is never closed.
    Unclosed,
}

/// Walks over a script by words, quotes and comments. Comments do not nest, as in Flink.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next piece with where it begins and ends, in bytes.
    fn next(&mut self) -> Option<(Piece<'a>, usize, usize)> {
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            let start = self.at;
            if first.is_whitespace() {
                self.at += first.len_utf8();
            } else if rest.starts_with("--") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                match comment.find("*/") {
                    Some(end) => {
                        self.at += end + 4;
                        if comment.starts_with('+') {
                            return Some((Piece::Hint, start, self.at));
                        }
                    }
                    None => {
                        self.at = self.text.len();
                        return Some((Piece::Unclosed, start, self.at));
                    }
                }
            } else {
                let piece = self.piece(first, rest);
                return Some((piece, start, self.at));
            }
        }
    }

    fn piece(&mut self, first: char, rest: &'a str) -> Piece<'a> {
        let (piece, length) = match first {
            ';' => (Piece::Semicolon, 1),
            '\'' | '"' | '`' => match quoted(rest, first) {
                Some(length) => (Piece::Other, length),
                None => (Piece::Unclosed, rest.len()),
            },
            '$' => (Piece::Other, variable(rest).map_or(1, |variable| variable.length)),
            _ if is_word(first) => {
                let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                (Piece::Word(&rest[..length]), length)
            }
            _ => (Piece::Other, first.len_utf8()),
        };
        self.at += length;
        piece
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of a quoted text with its quotes; a doubled quote is part of it.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += rest[at..].find(quote)? + 1;
        if !rest[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

/// Where the next statement of a script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// First byte that is neither blank nor comment.
    pub start: usize,
    /// Just after its last byte, before the semicolon.
    pub end: usize,
    /// Where the search goes on.
    pub next: usize,
    /// It ends with a semicolon (and `END;` if it is a statement set), rather than with the script.
    pub terminated: bool,
}

/// Finds the statement that begins at or after `from`; empty statements are passed over. `None` if there is none.
pub(super) fn cut(text: &str, from: usize) -> Option<Cut> {
    let mut scanner = Scanner { text, at: from };
    let mut start = None;
    let mut end = from;
    let mut set = Set::default();
    while let Some((piece, begin, after)) = scanner.next() {
        match piece {
            Piece::Semicolon => {
                let Some(start) = start else { continue };
                if set.ends_at_semicolon() {
                    return Some(Cut { start, end, next: after, terminated: true });
                }
                end = after;
            }
            Piece::Hint if start.is_some() => end = after,
            Piece::Hint => {}
            Piece::Unclosed => {
                let start = start.unwrap_or(begin);
                return Some(Cut { start, end: after, next: text.len(), terminated: false });
            }
            piece => {
                start.get_or_insert(begin);
                end = after;
                set.take(piece);
            }
        }
    }
    start.map(|start| Cut { start, end, next: text.len(), terminated: false })
}

/// Notices `BEGIN STATEMENT SET; ... END` and `EXECUTE STATEMENT SET BEGIN ... END`, whose semicolons do not end the
/// statement.
#[derive(Default)]
struct Set {
    /// The first words of the statement, in upper case.
    head: Vec<String>,
    inside: bool,
    /// What has been seen since the last semicolon inside: nothing, only END, or anything else.
    member: Member,
}

#[derive(Default, PartialEq, Eq)]
enum Member {
    #[default]
    Nothing,
    End,
    Something,
}

impl Set {
    fn take(&mut self, piece: Piece<'_>) {
        let word = match piece {
            Piece::Word(word) => word.to_ascii_uppercase(),
            _ => "?".to_string(),
        };
        if self.inside {
            let ends = self.member == Member::Nothing && word == "END";
            self.member = if ends { Member::End } else { Member::Something };
            return;
        }
        // EXPLAIN may have some details before the set; no statement other than a set has these three words in a row
        // at its head.
        if self.head.len() < 16 {
            self.head.push(word);
            let starts_like_one = matches!(self.head[0].as_str(), "EXECUTE" | "EXPLAIN" | "COMPILE" | "STATEMENT");
            self.inside = starts_like_one && self.head.ends_with(&["STATEMENT", "SET", "BEGIN"].map(String::from));
        }
    }

    fn ends_at_semicolon(&mut self) -> bool {
        if self.inside {
            let ended = self.member == Member::End;
            self.member = Member::Nothing;
            return ended;
        }
        self.inside = self.head == ["BEGIN", "STATEMENT", "SET"];
        !self.inside
    }
}

/// Where the quote or comment begins that is never closed.
pub(super) fn unclosed(text: &str) -> Option<usize> {
    let mut scanner = Scanner { text, at: 0 };
    while let Some((piece, begin, _)) = scanner.next() {
        if piece == Piece::Unclosed {
            return Some(begin);
        }
    }
    None
}

/// Whether a shell may run what was typed: every statement ends with a semicolon, outside of quotes, comments and
/// open statement sets. The few commands that need none (`QUIT`, `HELP`) are complete without; so is nothing at all.
pub fn is_complete(text: &str) -> bool {
    let mut from = 0;
    while let Some(found) = cut(text, from) {
        if !found.terminated {
            let last = text[found.start..found.end].to_ascii_uppercase();
            return matches!(last.as_str(), "QUIT" | "EXIT" | "HELP" | "CLEAR");
        }
        from = found.next;
    }
    // `cut` reports an open comment after the last semicolon as a statement, so what is left is blank.
    true
}

/// `${NAME}` or `${NAME:-default}` at the beginning of a text.
#[derive(Debug, PartialEq, Eq)]
struct Variable<'a> {
    name: &'a str,
    default: Option<&'a str>,
    length: usize,
}

fn variable(rest: &str) -> Option<Variable<'_>> {
    let body = rest.strip_prefix("${")?;
    let end = body.find(['}', '\n'])?;
    if !body[end..].starts_with('}') {
        return None;
    }
    let (name, default) = match body[..end].split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (&body[..end], None),
    };
    let mut chars = name.chars();
    let is_name = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    is_name.then_some(Variable { name, default, length: end + 3 })
}

/// A statement's text with its variables replaced, which still knows where in the script each byte came from.
pub(super) struct Substituted {
    pub text: String,
    /// (from here on in `text`, byte of the script there, whether it is a variable's value and so all in one place),
    /// ascending.
    moves: Vec<(usize, usize, bool)>,
}

impl Substituted {
    /// The byte of the script that byte `at` of the text came from.
    pub fn origin(&self, at: usize) -> usize {
        let index = self.moves.partition_point(|(from, _, _)| *from <= at);
        match index.checked_sub(1).map(|index| self.moves[index]) {
            Some((_, origin, true)) => origin,
            Some((from, origin, false)) => origin + (at - from),
            None => at,
        }
    }
}

/// Replaces the variables of `script[start..end]`, outside of comments. `$${` is a literal `${`.
///
/// # Errors
/// A variable that `variables` does not know and that has no default.
pub(super) fn substitute(
    script: &str,
    start: usize,
    end: usize,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Substituted> {
    let mut text = String::with_capacity(end - start);
    let mut moves = vec![(0, start, false)];
    let mut quote = None;
    let mut at = start;
    while at < end {
        let rest = &script[at..end];
        if quote.is_none() && comment(rest) > 0 {
            text.push_str(&rest[..comment(rest)]);
            at += comment(rest);
        } else if rest.starts_with("$${") {
            text.push_str("${");
            at += 3;
            moves.push((text.len(), at, false));
        } else if let Some(variable) = variable(rest) {
            let value = variables(variable.name)
                .or_else(|| variable.default.map(str::to_string))
                .ok_or_else(|| undefined(&variable, place(script, at, at + variable.length)))?;
            moves.push((text.len(), at, true));
            text.push_str(&value);
            at += variable.length;
            moves.push((text.len(), at, false));
        } else if let Some(next) = rest.chars().next() {
            quote = match quote {
                Some(open) if open == next => None,
                None if matches!(next, '\'' | '"' | '`') => Some(next),
                unchanged => unchanged,
            };
            text.push(next);
            at += next.len_utf8();
        }
    }
    Ok(Substituted { text, moves })
}

/// Length of the comment at the beginning of `rest`, 0 if there is none. Hints are not comments: their variables count.
fn comment(rest: &str) -> usize {
    if rest.starts_with("--") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") && !rest.starts_with("/*+") {
        rest[2..].find("*/").map_or(rest.len(), |end| end + 4)
    } else {
        0
    }
}

fn undefined(variable: &Variable<'_>, place: Place) -> Error {
    let name = variable.name;
    Error::new(format!("variable {name} is not defined"))
        .why(format!("the script says ${{{name}}}, and there is neither such an environment variable nor a default"))
        .fix(format!("define {name}, or give a default: ${{{name}:-value}}; for the characters themselves write $${{"))
        .at(place)
}

/// The place of `text[start..end]`, cut off at the end of its first line.
pub(super) fn place(text: &str, start: usize, end: usize) -> Place {
    let start = start.min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let shown = text.get(start..end.min(text.len())).unwrap_or("").lines().next().unwrap_or("");
    Place {
        line: 1 + text[..start].bytes().filter(|byte| *byte == b'\n').count() as u64,
        column: 1 + text[line_start..start].chars().count() as u64,
        width: (shown.chars().count() as u64).max(1),
    }
}
