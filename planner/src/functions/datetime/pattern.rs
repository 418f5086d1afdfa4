//! Java's date patterns, such as `yyyy-MM-dd HH:mm:ss.SSS`, taken apart into pieces.
//!
//! Flink uses two of Java's classes and they read a pattern differently: `DateTimeFormatter` where timestamps are
//! formatted and parsed (`DATE_FORMAT` of a timestamp, `TO_TIMESTAMP`), `SimpleDateFormat` where texts and unix times
//! are (`FROM_UNIXTIME`, `UNIX_TIMESTAMP`, `TO_DATE` with a format, `DATE_FORMAT` of a text).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tidemill_exec::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `java.time.format.DateTimeFormatter`
    Formatter,
    /// `java.text.SimpleDateFormat`
    Simple,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    /// A letter, and how often it stands there.
    Field(char, usize),
    /// Text that may be missing; formatting writes it.
    Optional(Vec<Piece>),
}

const CACHED_MAX: usize = 64;

type Compiled = HashMap<(String, Dialect), Rc<Vec<Piece>>>;

thread_local! {
    static COMPILED: RefCell<Compiled> = RefCell::new(HashMap::new());
}

/// The pieces of a pattern.
///
/// # Errors
/// Letters without a meaning, unbalanced quotes and brackets.
pub fn compile(pattern: &str, dialect: Dialect) -> Result<Rc<Vec<Piece>>, Error> {
    COMPILED.with_borrow_mut(|compiled| {
        // Patterns are few: a scan of the cache would do, and the key is only built when one is new.
        if let Some((_, pieces)) = compiled.iter().find(|((known, of), _)| known == pattern && *of == dialect) {
            return Ok(Rc::clone(pieces));
        }
        let mut chars = pattern.chars().peekable();
        let pieces = Rc::new(read(pattern, dialect, &mut chars, false)?);
        if compiled.len() >= CACHED_MAX {
            compiled.clear();
        }
        compiled.insert((pattern.to_string(), dialect), Rc::clone(&pieces));
        Ok(pieces)
    })
}

fn read(
    pattern: &str,
    dialect: Dialect,
    chars: &mut std::iter::Peekable<std::str::Chars>,
    inside: bool,
) -> Result<Vec<Piece>, Error> {
    let bad = |why: String| {
        Error::new(format!("'{pattern}' is not a date pattern")).why(why).fix("put literal text in single quotes")
    };
    let mut pieces = Vec::new();
    let literal = |pieces: &mut Vec<Piece>, text: &str| match pieces.last_mut() {
        Some(Piece::Literal(last)) => last.push_str(text),
        _ => pieces.push(Piece::Literal(text.to_string())),
    };
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let mut quoted = String::new();
                loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => quoted.push('\''),
                        Some('\'') => break,
                        Some(c) => quoted.push(c),
                        None => return Err(bad("a quote is not closed".to_string())),
                    }
                }
                // '' is a quote itself.
                literal(&mut pieces, if quoted.is_empty() { "'" } else { &quoted });
            }
            '[' if dialect == Dialect::Formatter => pieces.push(Piece::Optional(read(pattern, dialect, chars, true)?)),
            ']' if dialect == Dialect::Formatter && inside => return Ok(pieces),
            ']' | '{' | '}' | '#' if dialect == Dialect::Formatter => return Err(bad(format!("{c} is reserved"))),
            'a'..='z' | 'A'..='Z' => {
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                let letters = match dialect {
                    Dialect::Formatter => "GuyDMLdQqYwWEecFaBhKkHmsSAnNVzOXxZ",
                    Dialect::Simple => "GyYMLwWDdFEuaHkKhmsSzZX",
                };
                if !letters.contains(c) {
                    return Err(bad(format!("the letter {c} has no meaning")));
                }
                let longest = match (dialect, c) {
                    (Dialect::Formatter, 'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's') => 2,
                    (Dialect::Formatter, 'D') => 3,
                    (Dialect::Formatter, 'M' | 'L' | 'E' | 'G' | 'Q' | 'q') => 5,
                    (Dialect::Formatter, 'S') => 9,
                    (Dialect::Formatter, 'a') => 1,
                    _ => 19,
                };
                if count > longest {
                    return Err(bad(format!("there are too many {c}")));
                }
                pieces.push(Piece::Field(c, count));
            }
            c => literal(&mut pieces, c.encode_utf8(&mut [0; 4])),
        }
    }
    // Java closes a last bracket by itself.
    Ok(pieces)
}

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Monday.
pub const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
