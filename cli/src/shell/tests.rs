//! The shell in a pseudo-terminal, typed into.

use super::*;

#[test]
fn the_shells_own_words_need_no_semicolon() {
    for complete in ["quit", "EXIT;", " help ", "SELECT 1;", ""] {
        assert!(is_complete(complete), "{complete}");
    }
    for open in ["SELECT 1", "quit now", "help 'x"] {
        assert!(!is_complete(open), "{open}");
    }
}
