//! Java's regular expressions on the `regex` crate.
//!
//! The two syntaxes are near, and where they differ in spelling the pattern is rewritten: ASCII `\d \w \s \b`, `\Q..\E`,
//! `\h \R \Z`, POSIX classes such as `\p{Alpha}`, octal and control escapes. What the crate has no way to do (it never
//! backtracks, so its time is linear in the text) is refused with an error, never misread: look-around, back
//! references, possessive and atomic groups. One difference remains: `$` is the very end of the text, where Java also
//! lets it stand before a last line break.

use std::cell::RefCell;
use std::collections::HashMap;
use std::iter::Peekable;
use std::rc::Rc;
use std::str::Chars;

use regex::{Captures, Match, Regex, RegexBuilder};
use tidemill_exec::Error;

/// A pattern as a row presents it.
#[derive(Clone)]
pub enum Pattern {
    Valid(Rc<Regex>),
    /// Not a regular expression in Java either; Flink's functions then mostly return NULL.
    Invalid(Rc<str>),
}

const CACHED_MAX: usize = 64;

thread_local! {
    /// Compiling takes microseconds to milliseconds and streams have small batches, so patterns outlive the batch.
    static COMPILED: RefCell<HashMap<String, Pattern>> = RefCell::new(HashMap::new());
}

/// The compiled form of a Java pattern.
///
/// # Errors
/// If the pattern uses what only a backtracking engine can do.
pub fn compile(java: &str) -> Result<Pattern, Error> {
    COMPILED.with_borrow_mut(|compiled| {
        if let Some(pattern) = compiled.get(java) {
            return Ok(pattern.clone());
        }
        let pattern = match translate(java)? {
            // `crlf` lets `.` stop at \r too, as in Java.
            Some(text) => match RegexBuilder::new(&text).crlf(true).build() {
                Ok(regex) => Pattern::Valid(Rc::new(regex)),
                Err(error) => Pattern::Invalid(error.to_string().into()),
            },
            None => Pattern::Invalid("the pattern ends in the middle of an escape".into()),
        };
        if compiled.len() >= CACHED_MAX {
            compiled.clear();
        }
        compiled.insert(java.to_string(), pattern.clone());
        Ok(pattern)
    })
}

/// Matches in Java's order: after an empty match the search moves on by one character, after any other it starts at the
/// match's end, where an empty match may follow.
pub fn find_all<'t>(regex: &Regex, text: &'t str) -> impl Iterator<Item = Match<'t>> {
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let found = regex.find_at(text, from?)?;
        from = after(text, found);
        Some(found)
    })
}

/// [`find_all`], with groups.
pub fn captures_all<'t>(regex: &Regex, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let found = regex.captures_at(text, from?)?;
        from = after(text, found.get(0)?);
        Some(found)
    })
}

fn after(text: &str, found: Match) -> Option<usize> {
    if !found.is_empty() {
        return Some(found.end());
    }
    text[found.end()..].chars().next().map(|c| found.end() + c.len_utf8())
}

/// The pattern in the crate's spelling; `None` if it ends too early.
fn translate(java: &str) -> Result<Option<String>, Error> {
    let refuse = |what: &str| {
        Err(Error::new(format!("the regular expression {java:?} uses {what}"))
            .why("expressions are matched without backtracking, so that no pattern can stall a job")
            .fix("rewrite it without, for instance with a capturing group and REGEXP_EXTRACT"))
    };
    let mut out = String::with_capacity(java.len() + 16);
    let mut chars = java.chars().peekable();
    let mut class_depth = 0usize;
    // Whether the last thing written was a quantifier: a `+` after it makes it possessive.
    let mut quantified = false;
    while let Some(c) = chars.next() {
        let was_quantified = std::mem::take(&mut quantified);
        match c {
            '\\' => match chars.next() {
                None => return Ok(None),
                Some('1'..='9') | Some('k') if class_depth == 0 => return refuse("a back reference"),
                Some('G') => return refuse("\\G"),
                Some('Q') => quote(&mut chars, &mut out),
                Some(escaped) => {
                    if escape(escaped, &mut chars, class_depth > 0, &mut out).is_none() {
                        return Ok(None);
                    }
                }
            },
            '[' => {
                class_depth += 1;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
                // In Java `[]a]` and `[[:x]` hold plain characters resp. nested classes; keep the crate from reading
                // a POSIX class.
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str("\\]");
                }
            }
            ']' if class_depth > 0 => {
                class_depth -= 1;
                out.push(']');
            }
            // Set difference operators of the crate, plain characters in Java.
            '-' | '~' if class_depth > 0 && chars.peek() == Some(&c) => {
                out.push('\\');
                out.push(c);
            }
            ':' if class_depth > 1 && out.ends_with('[') => out.push_str("\\:"),
            '(' if class_depth == 0 && chars.peek() == Some(&'?') => {
                out.push('(');
                out.extend(chars.next());
                match chars.peek() {
                    Some('=' | '!') => return refuse("look-ahead"),
                    Some('>') => return refuse("an atomic group"),
                    Some('<') => {
                        out.extend(chars.next());
                        if matches!(chars.peek(), Some('=' | '!')) {
                            return refuse("look-behind");
                        }
                    }
                    _ => {}
                }
            }
            '*' | '+' | '?' | '}' if class_depth == 0 => {
                if was_quantified && c == '+' {
                    return refuse("a possessive quantifier");
                }
                out.push(c);
                // After `+?` comes nothing; after `+` may come `?` (lazy) or `+` (possessive).
                quantified = !(was_quantified && c == '?');
            }
            c => out.push(c),
        }
    }
    Ok(Some(out))
}

/// `\Q...\E`: everything between is literal.
fn quote(chars: &mut Peekable<Chars>, out: &mut String) {
    let mut quoted = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek() == Some(&'E') {
            chars.next();
            break;
        }
        quoted.push(c);
    }
    out.push_str(&regex::escape(&quoted));
}

/// One escape, its backslash already read.
fn escape(escaped: char, chars: &mut Peekable<Chars>, in_class: bool, out: &mut String) -> Option<()> {
    let mut class = |members: &str, negated: bool| match (in_class, negated) {
        (true, false) => out.push_str(members),
        (true, true) => out.push_str(&format!("[^{members}]")),
        (false, false) => out.push_str(&format!("[{members}]")),
        (false, true) => out.push_str(&format!("[^{members}]")),
    };
    match escaped {
        'd' | 'D' => class("0-9", escaped == 'D'),
        'w' | 'W' => class("a-zA-Z0-9_", escaped == 'W'),
        's' | 'S' => class(" \\t\\n\\x0B\\f\\r", escaped == 'S'),
        'h' | 'H' => {
            class(" \\t\\u{A0}\\u{1680}\\u{180e}\\u{2000}-\\u{200a}\\u{202f}\\u{205f}\\u{3000}", escaped == 'H')
        }
        'v' | 'V' => class("\\n\\x0B\\f\\r\\u{85}\\u{2028}\\u{2029}", escaped == 'V'),
        'R' => out.push_str("(?:\\r\\n|[\\n\\x0B\\f\\r\\u{85}\\u{2028}\\u{2029}])"),
        // The end, or the end before a last line break.
        'Z' => out.push_str("(?:\\r?\\n)?\\z"),
        'e' => out.push_str("\\x1B"),
        'c' => push_code(out, chars.next()? as u32 ^ 64),
        '0' => {
            let mut code = 0;
            for _ in 0..3 {
                let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else { break };
                if code * 8 + digit > 0o377 {
                    break;
                }
                code = code * 8 + digit;
                chars.next();
            }
            push_code(out, code);
        }
        'p' | 'P' => property(escaped, chars, in_class, out)?,
        // Word boundaries of the crate, plain characters in Java.
        '<' | '>' => out.push(escaped),
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    Some(())
}

fn push_code(out: &mut String, code: u32) {
    out.push_str(&format!("\\u{{{code:X}}}"));
}

/// `\p{..}`: Java's names for POSIX classes and character methods, else a Unicode property as it stands.
fn property(escaped: char, chars: &mut Peekable<Chars>, in_class: bool, out: &mut String) -> Option<()> {
    if chars.peek() != Some(&'{') {
        out.push('\\');
        out.push(escaped);
        out.push(chars.next()?);
        return Some(());
    }
    chars.next();
    let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
    let posix = match name.as_str() {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => "\\x00-\\x7F",
        "Alpha" => "a-zA-Z",
        "Digit" => "0-9",
        "Alnum" => "a-zA-Z0-9",
        "Punct" => "!-/:-@\\[-`{-\\~",
        "Graph" => "!-\\~",
        "Print" => " -\\~",
        "Blank" => " \\t",
        "Cntrl" => "\\x00-\\x1F\\x7F",
        "XDigit" => "0-9a-fA-F",
        "Space" => " \\t\\n\\x0B\\f\\r",
        "javaLowerCase" | "IsLowercase" => "\\p{Lowercase}",
        "javaUpperCase" | "IsUppercase" => "\\p{Uppercase}",
        "javaWhitespace" | "IsWhite_Space" => "\\p{White_Space}",
        _ => "",
    };
    if posix.is_empty() {
        // \p{IsGreek} and \p{InGreek} are scripts and blocks in Java.
        let name = name.strip_prefix("Is").unwrap_or(&name);
        out.push_str(&format!("\\{escaped}{{{name}}}"));
    } else if escaped == 'P' {
        out.push_str(&format!("[^{posix}]"));
    } else if in_class {
        out.push_str(posix);
    } else {
        out.push_str(&format!("[{posix}]"));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(pattern: &str, text: &str) -> Option<String> {
        match compile(pattern).unwrap() {
            Pattern::Valid(regex) => find_all(&regex, text).next().map(|found| found.as_str().to_string()),
            Pattern::Invalid(why) => panic!("{pattern}: {why}"),
        }
    }

    #[test]
    fn character_classes_are_ascii_as_in_java() {
        assert_eq!(first(r"\d+", "٣3").as_deref(), Some("3"));
        assert_eq!(first(r"\w+", "éa_1").as_deref(), Some("a_1"));
        assert_eq!(first(r"[\w-]+", "é a-b").as_deref(), Some("a-b"));
        assert_eq!(first(r"[^\d]", "12x").as_deref(), Some("x"));
        assert_eq!(first(r"\p{Alpha}+", "1ab2").as_deref(), Some("ab"));
        assert_eq!(first(r"[\p{Upper}\p{Digit}]+", "ab1Cd").as_deref(), Some("1C"));
        assert_eq!(first(r"\p{L}+", "1éa").as_deref(), Some("éa"));
    }

    #[test]
    fn java_spellings_are_understood() {
        assert_eq!(first(r"\Qa.b\E+", "aXb a.bb").as_deref(), Some("a.bb"));
        assert_eq!(first(r"\<a\>", "x<a>").as_deref(), Some("<a>"));
        assert_eq!(first(r"[a-z&&[^b]]+", "bacd").as_deref(), Some("acd"));
        assert_eq!(first(r"[--a]+", "x-").as_deref(), Some("-"));
        assert_eq!(first(r"\u0041\x42\0103", "ABC").as_deref(), Some("ABC"));
        assert_eq!(first(r"(?<year>\d{4})", "in 2020").as_deref(), Some("2020"));
        assert_eq!(first(r"(?i)ABC", "xabc").as_deref(), Some("abc"));
        assert_eq!(first(r"a+?", "aa").as_deref(), Some("a"));
    }

    #[test]
    fn what_needs_backtracking_is_refused_not_misread() {
        for pattern in [r"a(?=b)", r"(?<!a)b", r"(a)\1", r"a++", r"a{2}+", r"(?>a)", r"(?<n>a)\k<n>"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        assert!(matches!(compile(r"a+\+"), Ok(Pattern::Valid(_))));
        assert!(matches!(compile("(a"), Ok(Pattern::Invalid(_))));
        assert!(matches!(compile("a\\"), Ok(Pattern::Invalid(_))));
    }

    #[test]
    fn an_empty_match_may_follow_a_match_as_in_java() {
        let Ok(Pattern::Valid(regex)) = compile("b*") else { panic!() };
        let found: Vec<_> = find_all(&regex, "abc").map(|m| (m.start(), m.end())).collect();
        assert_eq!(found, [(0, 0), (1, 2), (2, 2), (3, 3)]);
    }
}
