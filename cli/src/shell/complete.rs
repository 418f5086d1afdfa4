//! What may follow where the cursor stands.

use std::collections::BTreeMap;

use super::words;
use crate::connection::Names;
use crate::tokens::{Kind, Token, tokens};

/// The names of a session, as they were when the prompt appeared.
#[derive(Default)]
pub struct Vocabulary {
    /// Tables and views with their columns.
    tables: BTreeMap<String, Vec<String>>,
    functions: Vec<String>,
    settings: Vec<String>,
    options: Vec<String>,
}

impl Vocabulary {
    pub fn of(names: &impl Names) -> Vocabulary {
        let tables = names.tables().into_iter().map(|table| {
            let columns = names.columns(&table);
            (table, columns)
        });
        Vocabulary {
            tables: tables.collect(),
            functions: names.functions(),
            settings: names.settings(),
            options: names.options(),
        }
    }
}

/// Texts that may replace what stands between `start` and the cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct Completion {
    /// Byte offset.
    pub start: usize,
    pub candidates: Vec<String>,
}

/// Completes `text` at byte offset `position`.
pub fn complete(text: &str, position: usize, vocabulary: &Vocabulary) -> Completion {
    let before: Vec<Token<'_>> = tokens(&text[..position]).collect();
    let none = Completion { start: position, candidates: Vec::new() };
    let typed = match before.last() {
        Some(token) if token.kind == Kind::Comment => return none,
        Some(token) if token.kind == Kind::Word || !token.closed => Some(*token),
        _ => None,
    };
    let start = typed.map_or(position, |token| token.start);
    let after_last =
        |tokens: &[Token<'_>]| tokens.iter().rposition(|t| t.kind == Kind::Semicolon).map_or(0, |at| at + 1);
    let done: Vec<Token<'_>> = before[after_last(&before)..]
        .iter()
        .filter(|token| token.is_significant() && token.start < start)
        .copied()
        .collect();
    // The tables of `SELECT | FROM t` stand behind the cursor.
    let rest = tokens(&text[position..]).take_while(|t| t.kind != Kind::Semicolon).filter(Token::is_significant);
    let statement = Statement { done: &done, all: done.iter().copied().chain(rest).collect(), vocabulary };
    let prefix = typed.map_or("", |token| token.unquoted());
    let mut candidates: Vec<String> = match typed.map(|token| token.kind) {
        Some(Kind::String) => statement.quoted().map(|name| format!("'{name}'")).collect(),
        Some(Kind::QuotedName) => statement.names().map(|name| format!("`{name}`")).collect(),
        _ => statement.unquoted(prefix),
    };
    let matches = |candidate: &String| {
        let bare = candidate.trim_start_matches(['\'', '`']);
        bare.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    candidates.retain(matches);
    candidates.sort();
    candidates.dedup();
    Completion { start, candidates }
}

/// The statement around the cursor.
struct Statement<'a> {
    /// The tokens before what is being typed.
    done: &'a [Token<'a>],
    /// Those, and the ones behind the cursor.
    all: Vec<Token<'a>>,
    vocabulary: &'a Vocabulary,
}

impl<'a> Statement<'a> {
    /// Names that stand in quotes `'...'` here.
    fn quoted(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        let names: &'a [String] = match self.done {
            [first] if first.is_word("SET") || first.is_word("RESET") => &self.vocabulary.settings,
            [.., last] if last.text == "(" || last.text == "," => match self.is_in_with() {
                true => &self.vocabulary.options,
                false => &[],
            },
            _ => &[],
        };
        names.iter()
    }

    /// Tables where a table stands, else columns.
    fn names(&self) -> Box<dyn Iterator<Item = &'a String> + 'a> {
        match self.done {
            [.., table, dot] if dot.text == "." => Box::new(self.columns_of(table.unquoted())),
            [.., last] if wants_table(last) => Box::new(self.vocabulary.tables.keys()),
            _ => Box::new(self.columns()),
        }
    }

    fn unquoted(&self, prefix: &str) -> Vec<String> {
        let quoted: Vec<String> = self.quoted().map(|name| format!("'{name}'")).collect();
        if !quoted.is_empty() {
            return quoted;
        }
        let names = self.names().map(|name| in_backticks(name));
        match self.done {
            [] => words::STARTERS.iter().map(|word| in_case_of(prefix, word)).collect(),
            [.., last] if last.text == "." || wants_table(last) => names.collect(),
            // Everything is possible: wait for a letter rather than list it all.
            _ if prefix.is_empty() => names.collect(),
            _ => {
                let keywords = words::keywords().iter().map(|word| in_case_of(prefix, word));
                let functions = self.vocabulary.functions.iter().map(|name| in_case_of(prefix, name) + "(");
                names.chain(keywords).chain(functions).collect()
            }
        }
    }

    /// Whether the cursor is between the parentheses of `WITH (...)`.
    fn is_in_with(&self) -> bool {
        let mut depth = 0;
        for pair in self.done.windows(2).rev() {
            match pair[1].text {
                ")" => depth += 1,
                "(" if depth > 0 => depth -= 1,
                "(" => return pair[0].is_word("WITH"),
                _ => {}
            }
        }
        false
    }

    /// Columns of all tables the statement names.
    fn columns(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        let vocabulary = self.vocabulary;
        let tables: Vec<&str> = self.tables().map(|(table, _)| table).collect();
        tables.into_iter().filter_map(|table| vocabulary.tables.get(table)).flatten()
    }

    /// Columns of a table, or of the table that has this alias.
    fn columns_of(&self, name: &str) -> impl Iterator<Item = &'a String> + use<'a> {
        let aliased = self.tables().find(|(_, alias)| *alias == Some(name)).map(|(table, _)| table);
        self.vocabulary.tables.get(aliased.unwrap_or(name)).into_iter().flatten()
    }

    /// The tables behind `FROM`, `JOIN`, ..., each with its alias.
    fn tables(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        (1..self.all.len()).filter(|at| wants_table(&self.all[at - 1])).map(|at| {
            let as_word = usize::from(self.all.get(at + 1).is_some_and(|token| token.is_word("AS")));
            let alias = self.all.get(at + 1 + as_word).filter(|token| match token.kind {
                Kind::Word => !words::is_keyword(token.text),
                kind => kind == Kind::QuotedName,
            });
            (self.all[at].unquoted(), alias.map(|token| token.unquoted()))
        })
    }
}

fn wants_table(before: &Token<'_>) -> bool {
    ["FROM", "JOIN", "INTO", "TABLE", "VIEW", "DESCRIBE", "DESC"].iter().any(|word| before.is_word(word))
}

/// Keywords and functions in lower case for those who type in lower case.
fn in_case_of(prefix: &str, word: &str) -> String {
    match prefix.chars().any(char::is_lowercase) {
        true => word.to_lowercase(),
        false => word.to_string(),
    }
}

/// The name as SQL text.
fn in_backticks(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !words::is_keyword(name);
    if is_plain { name.to_string() } else { format!("`{}`", name.replace('`', "``")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::canned::Canned;

    /// The candidates where `|` stands, and what they replace.
    fn at(text: &str) -> String {
        let position = text.find('|').expect("the text has a cursor");
        let text = text.replacen('|', "", 1);
        let completion = complete(&text, position, &Vocabulary::of(&Canned::default()));
        format!("{} -> {}", &text[completion.start..position], completion.candidates.join(" "))
    }

    #[test]
    fn a_statement_begins_with_a_verb_in_the_users_case() {
        assert_eq!(at("SELECT 1; se|"), "se -> select set");
        assert_eq!(at("EX|"), "EX -> EXECUTE EXIT EXPLAIN");
    }

    #[test]
    fn tables_follow_from_and_join() {
        assert_eq!(at("SELECT * FROM o|"), "o -> `order lines` orders");
        assert_eq!(at("SELECT * FROM orders JOIN |"), " -> `order lines` orders users");
        assert_eq!(at("SELECT * FROM `or|"), "`or -> `order lines` `orders`");
    }

    #[test]
    fn columns_come_from_the_tables_of_the_statement() {
        assert_eq!(at("SELECT am| FROM orders"), "am -> amount");
        assert_eq!(at("SELECT | FROM orders"), " -> amount id user_id");
        assert_eq!(at("SELECT u.| FROM orders AS o JOIN users u ON o.id = u.id"), " -> id name");
        assert_eq!(at("SELECT orders.i| FROM orders; SELECT 1 FROM users"), "i -> id");
        assert_eq!(at("SELECT * FROM users; SELECT na|"), "na -> natural");
    }

    #[test]
    fn functions_are_completed_with_their_parenthesis() {
        assert_eq!(at("SELECT COU|"), "COU -> COUNT(");
        assert_eq!(at("SELECT coa|"), "coa -> coalesce(");
    }

    #[test]
    fn settings_follow_set_and_options_follow_with() {
        assert_eq!(at("SET |"), " -> 'parallelism.default' 'sql-client.execution.result-mode'");
        assert_eq!(at("SET 'par|"), "'par -> 'parallelism.default'");
        assert_eq!(at("SET par|"), "par -> 'parallelism.default'");
        assert_eq!(at("CREATE TABLE t (a INT) WITH ('conn|"), "'conn -> 'connector'");
        assert_eq!(at("CREATE TABLE t (a INT) WITH ('connector' = 'print', |"), " -> 'connector' 'format' 'path'");
        assert_eq!(at("CREATE TABLE t (a INT) WITH ('connector' = 'pa|"), "'pa -> ");
    }

    #[test]
    fn comments_are_left_alone() {
        assert_eq!(at("SELECT 1 -- FROM o|"), " -> ");
    }
}
