//! SQL text cut into tokens, as far as splitting, highlighting and completion need it.

/// One token. Tokens follow each other without gaps, so their texts joined give the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Byte offset in the input.
    pub start: usize,
    /// False for a quote or comment that the input ends in.
    pub closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Space,
    /// `-- ...` and `/* ... */`, hints (`/*+ ... */`) too.
    Comment,
    /// `'...'`
    String,
    /// `` `...` `` and `"..."`
    QuotedName,
    /// A keyword or a name.
    Word,
    Number,
    Semicolon,
    Symbol,
}

impl<'a> Token<'a> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it means something to the parser.
    pub fn is_significant(&self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment)
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// The text without its quotes; doubled quotes inside are left doubled.
    pub fn unquoted(&self) -> &'a str {
        match self.kind {
            Kind::String | Kind::QuotedName => {
                &self.text[1..self.text.len() - usize::from(self.closed && self.text.len() > 1)]
            }
            _ => self.text,
        }
    }
}

/// The tokens of `text`, in order. Never fails: what it does not know is a symbol.
pub fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &text[start..];
        let (kind, length, closed) = first(rest)?;
        let token = Token { kind, text: &rest[..length], start, closed };
        start += length;
        Some(token)
    })
}

/// Kind, length in bytes and closedness of the first token.
fn first(rest: &str) -> Option<(Kind, usize, bool)> {
    let head = rest.chars().next()?;
    let run = |accept: fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
    Some(match head {
        _ if rest.starts_with("--") => (Kind::Comment, rest.find('\n').unwrap_or(rest.len()), true),
        _ if rest.starts_with("/*") => match rest[2..].find("*/") {
            Some(end) => (Kind::Comment, end + 4, true),
            None => (Kind::Comment, rest.len(), false),
        },
        '\'' => quoted(rest, '\'', Kind::String),
        '`' | '"' => quoted(rest, head, Kind::QuotedName),
        ';' => (Kind::Semicolon, 1, true),
        _ if head.is_whitespace() => (Kind::Space, run(char::is_whitespace), true),
        _ if head.is_ascii_digit() => (Kind::Number, number(rest), true),
        _ if head.is_alphabetic() || head == '_' => {
            (Kind::Word, run(|c| c.is_alphanumeric() || c == '_' || c == '$'), true)
        }
        _ => (Kind::Symbol, head.len_utf8(), true),
    })
}

fn quoted(rest: &str, quote: char, kind: Kind) -> (Kind, usize, bool) {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return (kind, at + 1, true);
        }
    }
    (kind, rest.len(), false)
}

/// Digits, a fraction, an exponent.
fn number(rest: &str) -> usize {
    let digits = |from: usize| rest[from..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |n| from + n);
    let mut end = digits(0);
    if rest[end..].starts_with('.') {
        end = digits(end + 1);
    }
    let exponent = rest[end..].strip_prefix(['e', 'E']).map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    match exponent {
        Some(power) if power.starts_with(|c: char| c.is_ascii_digit()) => digits(rest.len() - power.len()),
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> String {
        assert_eq!(tokens(text).map(|t| t.text).collect::<String>(), text);
        let shown = tokens(text).filter(|t| t.kind != Kind::Space);
        shown
            .map(|t| format!("{:?}{} {}", t.kind, if t.closed { "" } else { "?" }, t.text))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn quotes_and_comments_hide_what_is_inside() {
        let text = "SELECT 'it''s; --' AS `a;b` /* ; */ -- ; x\n, 1.5e-3 + é_1;";
        expect_test::expect![[r#"
            Word SELECT
            String 'it''s; --'
            Word AS
            QuotedName `a;b`
            Comment /* ; */
            Comment -- ; x
            Symbol ,
            Number 1.5e-3
            Symbol +
            Word é_1
            Semicolon ;"#]]
        .assert_eq(&kinds(text));
    }

    #[test]
    fn an_open_quote_or_comment_is_said_to_be_open() {
        assert_eq!(kinds("'a; b"), "String? 'a; b");
        assert_eq!(kinds("/* a;"), "Comment? /* a;");
        assert_eq!(kinds("'a''"), "String? 'a''");
        assert_eq!(kinds("'"), "String? '");
        assert_eq!(tokens("'").next().map(|t| t.unquoted()), Some(""));
    }
}
