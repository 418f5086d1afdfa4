//! A script cut into statements.

use crate::tokens::{Token, tokens};

/// One statement of a script, without its `;`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    pub text: &'a str,
    /// Where it starts in the script, counted from 1.
    pub line: u64,
    /// In characters, counted from 1.
    pub column: u64,
}

/// The statements of `script` in order; the last one may lack its `;`. Empty statements are left out.
///
/// `EXECUTE STATEMENT SET BEGIN ...; ...; END` is one statement.
pub fn split(script: &str) -> Vec<Statement<'_>> {
    pieces(script)
        .into_iter()
        .map(|piece| {
            let before = &script[..piece.start];
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            Statement {
                text: &script[piece.start..piece.end],
                line: before.matches('\n').count() as u64 + 1,
                column: before[line_start..].chars().count() as u64 + 1,
            }
        })
        .collect()
}

/// Whether `text` ends with a complete statement, so that Enter runs it rather than continue it. Text without any statement
/// is complete.
pub fn is_complete(text: &str) -> bool {
    tokens(text).all(|token| token.closed) && pieces(text).last().is_none_or(|piece| piece.terminated)
}

struct Piece {
    start: usize,
    end: usize,
    terminated: bool,
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut current: Vec<Token<'_>> = Vec::new();
    for token in tokens(text).filter(Token::is_significant) {
        if token.kind == crate::tokens::Kind::Semicolon && !is_inside_block(&current) {
            pieces.extend(piece(&current, true));
            current.clear();
        } else {
            current.push(token);
        }
    }
    pieces.extend(piece(&current, false));
    pieces
}

fn piece(tokens: &[Token<'_>], terminated: bool) -> Option<Piece> {
    Some(Piece { start: tokens.first()?.start, end: tokens.last()?.end(), terminated })
}

/// Whether a `;` after these tokens separates the statements of a `STATEMENT SET BEGIN` block that has not reached its `END`.
///
/// `BEGIN STATEMENT SET;` is no such block: it is a statement of its own, and so are those that follow it.
fn is_inside_block(tokens: &[Token<'_>]) -> bool {
    let opens = tokens
        .windows(3)
        .any(|three| three[0].is_word("STATEMENT") && three[1].is_word("SET") && three[2].is_word("BEGIN"));
    // The END of a CASE stands inside a statement; the END of the block is one by itself.
    let ends =
        matches!(tokens, [.., before, last] if last.is_word("END") && (before.text == ";" || before.is_word("BEGIN")));
    opens && !ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(script: &str) -> Vec<String> {
        split(script).iter().map(|s| format!("{}:{} {}", s.line, s.column, s.text)).collect()
    }

    #[test]
    fn statements_know_where_they_start() {
        assert_eq!(
            shown("-- first; comment\nSELECT ';' ; ;\n  é; SELECT 2 -- end\n"),
            ["2:1 SELECT ';'", "3:3 é", "3:6 SELECT 2"]
        );
    }

    #[test]
    fn a_statement_set_is_one_statement_up_to_its_end() {
        let script = "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT CASE WHEN x THEN 1 END; INSERT INTO b SELECT 1; END; SELECT 1;";
        let statements = split(script);
        assert_eq!(statements.len(), 2);
        assert!(statements[0].text.ends_with("; END"));
        assert_eq!(shown("BEGIN STATEMENT SET; INSERT INTO a SELECT 1; END;").len(), 3);
    }

    #[test]
    fn text_is_complete_when_nothing_is_left_open() {
        for complete in ["", "  -- only a comment", "SELECT 1;", "SELECT 1; -- done", "a; b;"] {
            assert!(is_complete(complete), "{complete}");
        }
        for open in [
            "SELECT 1",
            "SELECT 1; SELECT",
            "SELECT ';",
            "SELECT 1; /* ;",
            "EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;",
        ] {
            assert!(!is_complete(open), "{open}");
        }
    }
}
