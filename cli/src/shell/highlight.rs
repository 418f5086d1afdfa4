//! SQL in colors.

use super::words;
use crate::tokens::{Kind, Token, tokens};

const RESET: &str = "\u{1b}[0m";
pub const FAINT: &str = "\u{1b}[2m";

/// `text` with keywords, strings, numbers and comments colored. As wide as `text`. The colors are the terminal's own, so that
/// they are readable on its background.
pub fn highlight(text: &str) -> String {
    let mut colored = String::with_capacity(text.len() * 2);
    for token in tokens(text) {
        match color(&token) {
            Some(color) => {
                colored.push_str(color);
                colored.push_str(token.text);
                colored.push_str(RESET);
            }
            None => colored.push_str(token.text),
        }
    }
    colored
}

fn color(token: &Token<'_>) -> Option<&'static str> {
    match token.kind {
        Kind::Word if words::is_keyword(token.text) => Some("\u{1b}[1m"),
        Kind::String => Some("\u{1b}[32m"),
        Kind::Number => Some("\u{1b}[36m"),
        Kind::Comment => Some(FAINT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_inside_a_string_is_a_string() {
        let shown = highlight("select 'from', x2 -- 1").replace('\u{1b}', "^");
        assert_eq!(shown, "^[1mselect^[0m ^[32m'from'^[0m, x2 ^[2m-- 1^[0m");
    }
}
