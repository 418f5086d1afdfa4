//! JSON paths: `$.a.b[0]`, `$['a'][*]`, `strict $.*`, `lax $..name`.

use std::iter::Peekable;
use std::str::Chars;

use tidemill_exec::{Error, Result};

use super::value::Json;

/// A path made ready once for all rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Whether what is missing is empty rather than an error.
    pub lax: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    /// From the end if negative.
    Item(i64),
    /// From and to (excluded), from the end if negative.
    Slice(Option<i64>, Option<i64>),
    /// All members or items.
    All,
    /// The value and everything in it, at any depth.
    Deep,
}

/// What a path found.
#[derive(Debug, PartialEq)]
pub enum Found<'v, 'a> {
    /// What the path says is not there.
    Missing,
    One(&'v Json<'a>),
    /// A path with a wildcard finds a list, even of none.
    Many(Vec<&'v Json<'a>>),
}

impl Path {
    /// # Errors
    /// Text that is no path, or one with a filter.
    pub fn parse(text: &str) -> Result<Path> {
        let wrong = |why: &str| {
            Error::new(format!("'{text}' is not a JSON path"))
                .why(why.to_string())
                .fix("write e.g. '$.name', '$.list[0].x' or 'lax $.list[*]'")
        };
        let trimmed = text.trim();
        let (mode, path) = trimmed.split_once(char::is_whitespace).unwrap_or(("", trimmed));
        let (lax, path) = match mode.to_ascii_lowercase().as_str() {
            "lax" => (true, path.trim_start()),
            "strict" => (false, path.trim_start()),
            _ => (false, trimmed),
        };
        let Some(path) = path.strip_prefix('$') else { return Err(wrong("it has to start with $")) };
        let mut steps = Vec::new();
        let mut chars = path.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '.' => {
                    if chars.next_if_eq(&'.').is_some() {
                        steps.push(Step::Deep);
                        if chars.peek() == Some(&'[') {
                            continue;
                        }
                    }
                    if chars.next_if_eq(&'*').is_some() {
                        steps.push(Step::All);
                        continue;
                    }
                    let mut name = String::new();
                    while let Some(next) = chars.next_if(|next| !matches!(next, '.' | '[' | ' ' | '(' | ')')) {
                        name.push(next);
                    }
                    if name.is_empty() {
                        return Err(wrong("a name has to follow the point"));
                    }
                    if chars.peek() == Some(&'(') {
                        return Err(wrong("functions in paths are not supported"));
                    }
                    steps.push(Step::Member(name));
                }
                '[' => steps.push(subscript(&mut chars).map_err(wrong)?),
                ' ' => {}
                _ => return Err(wrong("a step starts with . or [")),
            }
        }
        Ok(Path { lax, steps })
    }

    /// Whether it finds one value at most.
    pub fn is_definite(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Member(_) | Step::Item(_)))
    }

    pub fn find<'v, 'a>(&self, root: &'v Json<'a>) -> Found<'v, 'a> {
        let mut found = vec![root];
        let mut definite = true;
        for step in &self.steps {
            let mut next = Vec::new();
            for value in &found {
                step.apply(value, &mut next);
            }
            definite &= matches!(step, Step::Member(_) | Step::Item(_));
            // In front of the first wildcard every step has to lead somewhere.
            if definite && next.is_empty() {
                return if self.is_definite() || !self.lax { Found::Missing } else { Found::Many(Vec::new()) };
            }
            found = next;
        }
        match (definite, found.as_slice()) {
            (true, [value]) => Found::One(value),
            _ => Found::Many(found),
        }
    }
}

impl Step {
    fn apply<'v, 'a>(&self, value: &'v Json<'a>, found: &mut Vec<&'v Json<'a>>) {
        match (self, value) {
            (Step::Member(key), value) => found.extend(value.member(key)),
            (Step::Item(place), Json::Array(items)) => {
                let place = if *place < 0 { place + items.len() as i64 } else { *place };
                found.extend(usize::try_from(place).ok().and_then(|place| items.get(place)));
            }
            (Step::Slice(from, to), Json::Array(items)) => {
                let count = items.len() as i64;
                let place = |place: i64| (if place < 0 { place + count } else { place }).clamp(0, count) as usize;
                let range = place(from.unwrap_or(0))..place(to.unwrap_or(count));
                found.extend(items.get(range).unwrap_or_default());
            }
            (Step::All, Json::Array(items)) => found.extend(items),
            (Step::All, Json::Object(members)) => found.extend(members.iter().map(|(_, value)| value)),
            (Step::Deep, value) => {
                found.push(value);
                let mut below = Vec::new();
                Step::All.apply(value, &mut below);
                below.into_iter().for_each(|value| Step::Deep.apply(value, found));
            }
            _ => {}
        }
    }
}

/// What stands between brackets.
fn subscript(chars: &mut Peekable<Chars<'_>>) -> Result<Step, &'static str> {
    let blank = |chars: &mut Peekable<Chars<'_>>| while chars.next_if_eq(&' ').is_some() {};
    blank(chars);
    let step = match chars.peek() {
        Some('*') => {
            chars.next();
            Step::All
        }
        Some('?') => return Err("filters are not supported"),
        Some(quote @ ('\'' | '"')) => {
            let quote = *quote;
            chars.next();
            let mut name = String::new();
            loop {
                match chars.next() {
                    Some('\\') => name.extend(chars.next()),
                    Some(c) if c == quote => break,
                    Some(c) => name.push(c),
                    None => return Err("a quote is not closed"),
                }
            }
            Step::Member(name)
        }
        _ => {
            let number = |chars: &mut Peekable<Chars<'_>>| -> Result<Option<i64>, &'static str> {
                let mut text = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == '-') {
                    text.push(c);
                }
                if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| "a number was expected") }
            };
            let from = number(chars)?;
            blank(chars);
            match (from, chars.next_if_eq(&':')) {
                (from, Some(_)) => Step::Slice(from, number(chars)?),
                (Some(place), None) => Step::Item(place),
                (None, None) => return Err("brackets hold a number, a quoted name or *"),
            }
        }
    };
    blank(chars);
    if chars.next() == Some(']') { Ok(step) } else { Err("a bracket is not closed, or holds more than one thing") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str, text: &str) -> String {
        let json = Json::parse(text).unwrap();
        match Path::parse(path).unwrap().find(&json) {
            Found::Missing => "missing".to_string(),
            Found::One(value) => show(&[value]),
            Found::Many(values) => format!("[{}]", show(&values)),
        }
    }

    fn show(values: &[&Json<'_>]) -> String {
        let text = |value: &&Json<'_>| {
            let mut out = String::new();
            value.push(&mut out);
            out
        };
        values.iter().map(text).collect::<Vec<_>>().join(",")
    }

    const DOCUMENT: &str = r#"{"a":{"b":[1,2,3]},"c d":null,"e":[{"x":1},{"x":2},{"y":3}]}"#;

    #[test]
    fn definite_paths_find_one_value() {
        assert_eq!(find("$", "7"), "7");
        assert_eq!(find("$.a.b[1]", DOCUMENT), "2");
        assert_eq!(find("$['a'][\"b\"][-1]", DOCUMENT), "3");
        assert_eq!(find("strict $['c d']", DOCUMENT), "null");
        assert_eq!(find("$.a.z", DOCUMENT), "missing");
        assert_eq!(find("$.a[0]", DOCUMENT), "missing");
        assert_eq!(find("lax $.a.b[7]", DOCUMENT), "missing");
    }

    #[test]
    fn wildcards_find_lists() {
        assert_eq!(find("$.e[*].x", DOCUMENT), "[1,2]");
        assert_eq!(find("$.a.*", DOCUMENT), "[[1,2,3]]");
        assert_eq!(find("$..x", DOCUMENT), "[1,2]");
        assert_eq!(find("$.a.b[1:]", DOCUMENT), "[2,3]");
        assert_eq!(find("$.a.b[*].z", DOCUMENT), "[]");
        assert_eq!(find("$.z[*]", DOCUMENT), "missing");
        assert_eq!(find("lax $.z[*]", DOCUMENT), "[]");
    }

    #[test]
    fn what_is_no_path_is_an_error_with_the_reason() {
        let why = |path: &str| Path::parse(path).unwrap_err().to_string();
        assert!(why("a.b").contains("it has to start with $"), "{}", why("a.b"));
        assert!(why("$.a[").contains("brackets hold"), "{}", why("$.a["));
        assert!(why("$.a[?(@.x > 1)]").contains("filters are not supported"));
    }
}
