//! One statement as tokens that know their place in the script.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace, Word};
use tidemill_exec::{Error, Place, Result};

use super::flink::FlinkDialect;
use super::hints::{self, Hint};
use super::script::{Cut, Substituted, place, substitute, unclosed};

/// Name of the definition that carries `WITHIN` of a `MATCH_RECOGNIZE`, which sqlparser has no place for.
pub const WITHIN: &str = "__within";

/// A statement of a script, cut into tokens.
pub(super) struct Source {
    /// The statement, variables replaced.
    pub text: String,
    /// Without blanks and comments; places are those in the script.
    pub tokens: Vec<TokenWithSpan>,
    /// Where in `text` each token is, in bytes.
    ranges: Vec<(usize, usize)>,
    /// Where in the script each token is.
    places: Vec<Place>,
    /// Each with the index of the token before it, and where in `text` it ends.
    pub hints: Vec<(usize, Hint, usize)>,
    /// Just behind the last token.
    end: Place,
}

impl Source {
    /// `first` is the place of the statement's first character.
    ///
    /// # Errors
    /// An undefined variable, a quote that is not closed, a character that means nothing, an `OPTIONS` hint that
    /// cannot be read.
    pub fn new(script: &str, cut: Cut, first: Place, variables: &dyn Fn(&str) -> Option<String>) -> Result<Source> {
        let substituted = substitute(script, cut.start, cut.end, variables)?;
        let mut script_at = Cursor { text: script, byte: cut.start, line: first.line, column: first.column };
        let mut text_at = Cursor::new(&substituted.text);
        let tokens = Tokenizer::new(&FlinkDialect, &substituted.text)
            .tokenize_with_location()
            .map_err(|error| unreadable(&error.message, error.location, &substituted, script))?;

        let mut source = Source {
            text: String::new(),
            tokens: Vec::new(),
            ranges: Vec::new(),
            places: Vec::new(),
            hints: Vec::new(),
            end: first,
        };
        for TokenWithSpan { token, span } in tokens {
            let range = (text_at.seek_location(span.start), text_at.seek_location(span.end));
            let token = match token {
                Token::Whitespace(Whitespace::MultiLineComment(comment)) if comment.starts_with('+') => {
                    let (start, end) = (substituted.origin(range.0), substituted.origin(range.1));
                    let after = source.tokens.len().checked_sub(1);
                    for hint in hints::read(&comment[1..], place(script, start, end))? {
                        source.hints.push((after.unwrap_or(0), hint, range.1));
                    }
                    continue;
                }
                Token::Whitespace(_) => continue,
                // Tokens the parser would take for a string of its own kind.
                Token::NationalStringLiteral(text) | Token::UnicodeStringLiteral(text) => {
                    Token::SingleQuotedString(text)
                }
                token => token,
            };
            let start = script_at.seek_byte(substituted.origin(range.0));
            let end = script_at.seek_byte(substituted.origin(range.1));
            let width = if end.line == start.line { end.column.saturating_sub(start.column).max(1) } else { 1 };
            let place = Place { line: start.line, column: start.column, width };
            if let Token::DoubleQuotedString(content) = &token {
                return Err(double_quoted(content).at(place));
            }
            source.places.push(place);
            source.end = Place { line: end.line, column: end.column, width: 1 };
            source.tokens.push(TokenWithSpan::new(token, Span::new(start, end)));
            source.ranges.push(range);
        }
        source.text = substituted.text;
        source.move_within();
        Ok(source)
    }

    /// `PATTERN (..) WITHIN x DEFINE ..` becomes `PATTERN (..) DEFINE __within AS x, ..`.
    fn move_within(&mut self) {
        let mut at = 1;
        while at < self.tokens.len() {
            if !(is_word(&self.tokens[at].token, "WITHIN") && self.tokens[at - 1].token == Token::RParen) {
                at += 1;
                continue;
            }
            // WITHIN GROUP (..) belongs to an aggregate; the one of a pattern is followed by an interval.
            let interval = self.tokens.get(at + 1).is_some_and(|next| is_word(&next.token, "INTERVAL"));
            let define =
                (at..self.tokens.len().min(at + 12)).find(|&index| is_word(&self.tokens[index].token, "DEFINE"));
            if let (true, Some(define)) = (interval, define) {
                let (span, place, range) = (self.tokens[at].span, self.places[at], self.ranges[at]);
                let made = |token: Token| TokenWithSpan::new(token, span);
                let mut moved = vec![self.tokens[define].clone(), made(word(WITHIN)), made(word("AS"))];
                moved.extend_from_slice(&self.tokens[at + 1..define]);
                moved.push(made(Token::Comma));
                let mut places = vec![self.places[define], place, place];
                places.extend_from_slice(&self.places[at + 1..define]);
                places.push(place);
                let mut ranges = vec![self.ranges[define], range, range];
                ranges.extend_from_slice(&self.ranges[at + 1..define]);
                ranges.push(range);
                for (after, ..) in &mut self.hints {
                    *after += if *after >= define { 2 } else { 0 };
                }
                self.tokens.splice(at..=define, moved);
                self.places.splice(at..=define, places);
                self.ranges.splice(at..=define, ranges);
            }
            at += 1;
        }
    }

    /// The place of token `index`; behind the last token, the end of the statement.
    pub fn place(&self, index: usize) -> Place {
        self.places.get(index).copied().unwrap_or(self.end)
    }

    /// The index of the token that begins at a line and column of the script; the number of tokens if none does.
    pub fn index_at(&self, line: u64, column: u64) -> usize {
        self.places.iter().position(|place| (place.line, place.column) == (line, column)).unwrap_or(self.places.len())
    }

    /// Where the innermost query in parentheses begins that token `index` is in.
    pub fn inner_query(&self, index: usize) -> Option<usize> {
        let mut open = Vec::new();
        for (at, token) in self.tokens.iter().enumerate().take(index) {
            match token.token {
                Token::LParen => open.push(at + 1),
                Token::RParen => drop(open.pop()),
                _ => {}
            }
        }
        let begins = |start: &usize| {
            self.tokens
                .get(*start)
                .is_some_and(|first| ["SELECT", "WITH", "VALUES"].iter().any(|word| is_word(&first.token, word)))
        };
        open.into_iter().rev().find(begins)
    }

    /// The text of tokens `from..to` and of the hints behind them, as written.
    pub fn slice(&self, from: usize, to: usize) -> &str {
        let (Some(first), Some(last)) =
            (self.ranges.get(from), to.checked_sub(1).and_then(|last| self.ranges.get(last)))
        else {
            return "";
        };
        let hint = self.hints.iter().filter(|(after, ..)| after + 1 == to).map(|(.., end)| *end).max();
        self.text.get(first.0..hint.unwrap_or(0).max(last.1)).unwrap_or("")
    }

    /// The statement as written, without what is around it.
    pub fn whole(&self) -> &str {
        self.slice(0, self.tokens.len())
    }
}

/// Whether `token` is this word, not quoted; `expected` is in upper case.
pub(super) fn is_word(token: &Token, expected: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
}

fn word(value: &str) -> Token {
    let keyword = if value == "AS" { Keyword::AS } else { Keyword::NoKeyword };
    Token::Word(Word { value: value.to_string(), quote_style: None, keyword })
}

/// What the tokeniser refused, with its place in the script.
fn unreadable(message: &str, at: Location, substituted: &Substituted, script: &str) -> Error {
    let at = unclosed(&substituted.text).unwrap_or_else(|| Cursor::new(&substituted.text).seek_location(at));
    let byte = substituted.origin(at);
    let line_end = script[byte..].find('\n').map_or(script.len(), |end| byte + end);
    let error = match substituted.text[at..].chars().next() {
        Some('\'') => Error::new("a text that begins with ' has no end")
            .why("everything behind the opening quote belongs to the text")
            .fix("close it with '; a quote inside a text is written twice: 'it''s'"),
        Some('`') => Error::new("a name that begins with ` has no end").fix("close it with `"),
        Some('"') => double_quoted(""),
        Some('/') => Error::new("a comment that begins with /* has no end").fix("close it with */"),
        _ => {
            let width = script[byte..].chars().next().map_or(0, char::len_utf8);
            return Error::new(format!("cannot read this: {}", message.to_lowercase())).at(place(
                script,
                byte,
                byte + width,
            ));
        }
    };
    error.at(place(script, byte, line_end))
}

fn double_quoted(content: &str) -> Error {
    let content = if content.is_empty() { "..." } else { content };
    Error::new(format!("\"{content}\" is in double quotes, which mean nothing in Flink SQL"))
        .fix(format!("write '{content}' for a text, `{content}` for a name"))
}

/// Walks over a text in one direction, counting lines and columns.
pub(super) struct Cursor<'a> {
    pub text: &'a str,
    pub byte: usize,
    pub line: u64,
    pub column: u64,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, byte: 0, line: 1, column: 1 }
    }

    fn step(&mut self) -> bool {
        match self.text[self.byte..].chars().next() {
            Some(next) => {
                self.byte += next.len_utf8();
                if next == '\n' {
                    self.line += 1;
                    self.column = 1;
                } else {
                    self.column += 1;
                }
                true
            }
            None => false,
        }
    }

    /// The byte of a line and column at or after the current one.
    fn seek_location(&mut self, location: Location) -> usize {
        while (self.line, self.column) < (location.line, location.column) && self.step() {}
        self.byte
    }

    /// The line and column of a byte at or after the current one.
    pub fn seek_byte(&mut self, byte: usize) -> Location {
        while self.byte < byte && self.step() {}
        Location::new(self.line, self.column)
    }
}
