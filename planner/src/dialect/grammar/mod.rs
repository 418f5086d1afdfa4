//! The grammar of statements, over sqlparser's for queries and expressions.

mod alter;
mod create;
mod insert;
mod show;

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};
use tidemill_exec::{Error, Place, Result};

use super::desugar::{Pending, desugar, text_as_name};
use super::flink::FlinkDialect;
use super::hints::Hint;
use super::report;
use super::reserved::is_reserved;
use super::shown::shown;
use super::source::{Source, is_word};
use super::statement::*;
use super::type_text::{self, TypeText};

/// Nesting of expressions and queries beyond which a statement is refused, as the planner recurses over them too.
const NESTING: usize = 200;

/// Parses a statement, and gives the hints that nothing has used.
///
/// # Errors
/// What is wrong with the text, with its place.
pub(super) fn parse(source: &Source) -> Result<(Statement, Vec<Hint>)> {
    let parser =
        Parser::new(&FlinkDialect).with_recursion_limit(NESTING).with_tokens_with_locations(source.tokens.clone());
    let mut hints = Pending::default();
    for (after, hint, _) in &source.hints {
        let after = source.tokens.get(*after).map_or(Location::new(0, 0), |token| token.span.start);
        hints.push(after, hint.clone());
    }
    let mut grammar = Grammar { parser, source, hints };
    let statement = grammar.statement()?;
    if *grammar.peek(0) != Token::EOF {
        return grammar.expected("the end of the statement");
    }
    Ok((statement, grammar.hints.rest()))
}

fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&FlinkDialect).with_recursion_limit(NESTING).with_tokens_with_locations(tokens)
}

/// The first words of statements, for "did you mean".
pub(super) const HEADS: [&str; 26] = [
    "SELECT", "WITH", "VALUES", "INSERT", "CREATE", "DROP", "ALTER", "EXPLAIN", "DESCRIBE", "DESC", "SHOW", "SET",
    "RESET", "USE", "EXECUTE", "BEGIN", "STOP", "HELP", "QUIT", "EXIT", "CLEAR", "UPDATE", "DELETE", "TRUNCATE",
    "CALL", "ANALYZE",
];

struct Grammar<'a> {
    parser: Parser<'a>,
    source: &'a Source,
    hints: Pending,
}

impl Grammar<'_> {
    fn statement(&mut self) -> Result<Statement> {
        let Token::Word(word) = self.peek(0).clone() else {
            return match self.peek(0) {
                Token::LParen => Ok(Statement::Query(self.query()?.query)),
                _ => self.expected("a statement"),
            };
        };
        match word.value.to_ascii_uppercase().as_str() {
            "SELECT" | "WITH" | "VALUES" | "TABLE" => Ok(Statement::Query(self.query()?.query)),
            "INSERT" => Ok(Statement::Insert(Box::new(self.insert()?))),
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "ALTER" => self.alter(),
            "EXECUTE" | "BEGIN" | "STATEMENT" => self.execute(),
            "EXPLAIN" => self.explain(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "SET" => self.set(),
            "RESET" => self.reset(),
            "USE" => self.use_object(),
            "STOP" => self.stop_job(),
            "HELP" => self.command(Statement::Help),
            "QUIT" | "EXIT" => self.command(Statement::Quit),
            "CLEAR" => self.command(Statement::Clear),
            other => Err(refusal(other)
                .map(|error| error.at(self.source.place(0)))
                .unwrap_or_else(|| report::expected(self.source, 0, "a statement"))),
        }
    }

    fn command(&mut self, statement: Statement) -> Result<Statement> {
        self.parser.advance_token();
        Ok(statement)
    }

    // ── tokens ──────────────────────────────────────────────────────────────

    /// Index of the next token.
    fn at(&self) -> usize {
        self.parser.index().min(self.source.tokens.len())
    }

    fn peek(&self, nth: usize) -> &Token {
        &self.parser.peek_nth_token_ref(nth).token
    }

    fn is(&self, nth: usize, word: &str) -> bool {
        is_word(self.peek(nth), word)
    }

    /// Takes the next token if it is this word.
    fn word(&mut self, word: &str) -> bool {
        self.words(&[word])
    }

    /// Takes the next tokens if they are these words.
    fn words(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(nth, word)| self.is(nth, word));
        if all {
            words.iter().for_each(|_| self.parser.advance_token());
        }
        all
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        if self.word(word) { Ok(()) } else { self.expected(word) }
    }

    fn token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.token(token) { Ok(()) } else { self.expected(&token.to_string()) }
    }

    fn expected<T>(&self, what: &str) -> Result<T> {
        Err(report::expected(self.source, self.at(), what))
    }

    fn place(&self) -> Place {
        self.source.place(self.at())
    }

    /// Runs a rule of sqlparser.
    fn sql<T>(&mut self, rule: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T> {
        rule(&mut self.parser).map_err(|error| self.deepest(error))
    }

    /// sqlparser tries some texts in two ways and reports the failure of the second, which for a query in
    /// parentheses, and for a named argument, is always that it is none. So the part that holds the mistake is parsed
    /// again by itself, and again what is inside of it.
    fn deepest(&self, error: ParserError) -> Error {
        let (mut index, mut error) = report::syntax(error, self.source);
        for _ in 0..20 {
            let named = self.source.tokens.get(index).is_some_and(|token| token.token == Token::RArrow);
            let Some(start) = (if named { Some(index + 1) } else { self.source.inner_query(index) }) else { break };
            let mut parser = parser(self.source.tokens[start..].to_vec());
            let result = if named { parser.parse_expr().map(drop) } else { parser.parse_query().map(drop) };
            let end = start + parser.index();
            let (deeper, found) = match result {
                Err(error) => report::syntax(error, self.source),
                Ok(()) if named || self.source.tokens.get(end).is_none_or(|next| next.token == Token::RParen) => break,
                Ok(()) => (end, report::expected(self.source, end, "the ) that ends the query in parentheses")),
            };
            if deeper <= index {
                break;
            }
            (index, error) = (deeper, found);
        }
        error
    }

    // ── names and texts ─────────────────────────────────────────────────────

    /// A name of one part; `what` it names is said if there is none.
    fn ident(&mut self, what: &str) -> Result<(String, Place)> {
        let place = self.place();
        let name = match self.peek(0) {
            Token::Word(word) if word.quote_style.is_none() && is_reserved(&word.value) => {
                return Err(report::reserved(&word.value, place));
            }
            Token::Word(word) => word.value.clone(),
            _ => return self.expected(what),
        };
        self.parser.advance_token();
        Ok((name, place))
    }

    fn name(&mut self, what: &str) -> Result<Name> {
        let (first, mut place) = self.ident(what)?;
        let start = self.at() - 1;
        let mut parts = vec![first];
        while self.token(&Token::Period) {
            parts.push(self.ident(what)?.0);
        }
        if parts.len() > 1 {
            place.width = self.source.slice(start, self.at()).chars().count() as u64;
        }
        Ok(Name { parts, place })
    }

    fn text(&mut self, what: &str) -> Result<String> {
        match self.peek(0) {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                self.parser.advance_token();
                Ok(text)
            }
            _ => self.expected(what),
        }
    }

    fn comment(&mut self) -> Result<Option<String>> {
        if self.word("COMMENT") { self.text("a text in quotes").map(Some) } else { Ok(None) }
    }

    fn if_not_exists(&mut self) -> bool {
        self.words(&["IF", "NOT", "EXISTS"])
    }

    fn if_exists(&mut self) -> bool {
        self.words(&["IF", "EXISTS"])
    }

    /// `(item, item)`
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let mut items = vec![item(self)?];
        while self.token(&Token::Comma) {
            items.push(item(self)?);
        }
        if !self.token(&Token::RParen) {
            return self.expected("a comma or )");
        }
        Ok(items)
    }

    fn column_names(&mut self) -> Result<Vec<String>> {
        self.list(|grammar| Ok(grammar.ident("a column's name")?.0))
    }

    // ── options ─────────────────────────────────────────────────────────────

    /// `('key' = 'value', key.part = value)`
    fn options(&mut self) -> Result<Vec<TableOption>> {
        if *self.peek(0) == Token::LParen && *self.peek(1) == Token::RParen {
            self.parser.advance_token();
            self.parser.advance_token();
            return Ok(Vec::new());
        }
        let options = self.list(Self::option)?;
        for (index, option) in options.iter().enumerate() {
            if options[..index].iter().any(|earlier| earlier.key == option.key) {
                return Err(Error::new(format!("option '{}' is given twice", option.key))
                    .fix("leave one of them out")
                    .at(option.place));
            }
        }
        Ok(options)
    }

    fn option(&mut self) -> Result<TableOption> {
        let (key, place) = self.option_key()?;
        if !self.token(&Token::Eq) {
            return Err(report::expected(self.source, self.at(), &format!("= behind the option '{key}'"))
                .fix(format!("write '{key}' = 'value'")));
        }
        let start = self.at();
        let value = match self.peek(0).clone() {
            Token::SingleQuotedString(text) => text,
            Token::Number(number, _) => number,
            Token::Word(word) => word.value,
            Token::Minus if matches!(self.peek(1), Token::Number(..)) => {
                self.parser.advance_token();
                self.source.slice(start, start + 2).to_string()
            }
            _ => return self.expected("a value in quotes"),
        };
        self.parser.advance_token();
        Ok(TableOption { key, value, place })
    }

    /// `'key'`, or bare words joined by `.` and `-`.
    fn option_key(&mut self) -> Result<(String, Place)> {
        let place = self.place();
        if let Token::SingleQuotedString(key) = self.peek(0).clone() {
            self.parser.advance_token();
            return Ok((key, place));
        }
        let start = self.at();
        while matches!(self.peek(0), Token::Word(_) | Token::Number(..) | Token::Period | Token::Minus) {
            // Two words in a row are two things: the equals sign between them is missing.
            if self.at() > start
                && matches!((&self.source.tokens[self.at() - 1].token, self.peek(0)), (Token::Word(_), Token::Word(_)))
            {
                break;
            }
            self.parser.advance_token();
        }
        if self.at() == start {
            return self.expected("an option such as 'connector' = 'filesystem'");
        }
        let key: String = self.source.slice(start, self.at()).split_whitespace().collect();
        let width = key.chars().count() as u64;
        Ok((key, Place { width, ..place }))
    }

    // ── expressions, types, queries ─────────────────────────────────────────

    fn data_type(&mut self) -> Result<TypeText> {
        let (start, place) = (self.at(), self.place());
        let text = self.sql(type_text::parse)?;
        let width = if self.source.place(self.at() - 1).line == place.line {
            self.source.slice(start, self.at()).chars().count() as u64
        } else {
            place.width
        };
        Ok(TypeText { text, place: Place { width, ..place } })
    }

    fn expr(&mut self) -> Result<Expr> {
        let start = self.at();
        let mut expr = self.sql(|parser| parser.parse_expr())?;
        desugar(&mut expr, &mut self.hints).map_err(|error| self.placed(error, start))?;
        Ok(expr)
    }

    /// Gives a place to an error that has none: that of the text it speaks of, or the beginning of what was desugared.
    fn placed(&self, error: Error, start: usize) -> Error {
        let speaks_of = |token: &TokenWithSpan| match &token.token {
            Token::SingleQuotedString(text) => error.what() == text_as_name(text),
            _ => false,
        };
        let index = self.source.tokens.iter().position(speaks_of).unwrap_or(start);
        error.at(self.source.place(index))
    }

    fn scalar(&mut self) -> Result<Scalar> {
        let (start, place) = (self.at(), self.place());
        let expr = self.expr()?;
        let text = self.source.slice(start, self.at()).to_string();
        let shown = shown(&self.source.tokens[start..self.at()]);
        let width = text.lines().next().unwrap_or("").chars().count().max(1) as u64;
        Ok(Scalar { expr, text, shown, place: Place { width, ..place } })
    }

    fn query(&mut self) -> Result<QueryText> {
        let (start, place) = (self.at(), self.place());
        let begins =
            ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| self.is(0, word)) || *self.peek(0) == Token::LParen;
        if !begins {
            return self.expected("a query, which begins with SELECT, WITH or VALUES");
        }
        let mut query = self.sql(|parser| parser.parse_query())?;
        desugar(query.as_mut(), &mut self.hints).map_err(|error| self.placed(error, start))?;
        Ok(QueryText { query, text: self.source.slice(start, self.at()).to_string(), place })
    }
}

/// Why a statement of Flink or of other databases is not for us; `None` if nobody knows the word.
fn refusal(head: &str) -> Option<Error> {
    let error = |what: &str, why: &str, fix: &str| Some(Error::new(what).why(why).fix(fix));
    match head {
        "UPDATE" | "DELETE" | "MERGE" => error(
            &format!("{head} cannot be run on a stream"),
            "rows of a stream change when their source changes them",
            "change the source, or write a query whose result is what you want and INSERT it",
        ),
        "TRUNCATE" => {
            error("TRUNCATE is not supported", "tables are kept outside, by their connectors", "empty the table there")
        }
        "ADD" | "REMOVE" => error(
            &format!("{head} JAR is not supported"),
            "there is no Java here, so a jar could not be run",
            "use the built-in connectors and functions: SHOW FUNCTIONS",
        ),
        "LOAD" | "UNLOAD" => error(
            &format!("{head} MODULE is not supported"),
            "there is one module, core, and it is always loaded",
            "leave the statement out",
        ),
        "COMPILE" => error(
            "COMPILE PLAN is not supported",
            "plans are not kept as files",
            "run the INSERT itself, or EXPLAIN it",
        ),
        "CALL" => error("CALL is not supported", "there are no procedures", "SHOW FUNCTIONS lists what there is"),
        "ANALYZE" => error("ANALYZE is not supported", "plans do not depend on statistics", "leave the statement out"),
        "END" => error("END closes nothing", "no statement set is open", "begin one with BEGIN STATEMENT SET;"),
        "GRANT" | "REVOKE" => {
            error(&format!("{head} is not supported"), "there are no users", "leave the statement out")
        }
        "COMMIT" | "ROLLBACK" | "START" => error(
            &format!("{head} is not supported"),
            "there are no transactions: jobs commit with their checkpoints",
            "leave the statement out",
        ),
        _ => None,
    }
}
