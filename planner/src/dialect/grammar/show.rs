//! SHOW, DESCRIBE, USE, SET, RESET, STOP JOB.

use datafusion::sql::sqlparser::tokenizer::Token;
use tidemill_exec::{Error, Result};

use super::Grammar;
use crate::dialect::statement::*;

impl Grammar<'_> {
    pub(super) fn show(&mut self) -> Result<Statement> {
        self.expect("SHOW")?;
        let show = if self.word("CATALOGS") {
            Show::Catalogs(self.filter()?)
        } else if self.word("DATABASES") {
            Show::Databases { catalog: self.from("a catalog's name")?, filter: self.filter()? }
        } else if self.word("TABLES") {
            Show::Tables { database: self.from("a database's name")?, filter: self.filter()? }
        } else if self.word("VIEWS") {
            Show::Views { database: self.from("a database's name")?, filter: self.filter()? }
        } else if self.words(&["MATERIALIZED", "VIEWS"]) {
            Show::MaterializedViews { database: self.from("a database's name")?, filter: self.filter()? }
        } else if self.word("COLUMNS") {
            match self.from("a table's name")? {
                Some(table) => Show::Columns { table, filter: self.filter()? },
                None => return self.expected("FROM and a table's name"),
            }
        } else if self.words(&["USER", "FUNCTIONS"]) {
            Show::Functions { user_defined: true, filter: self.functions()? }
        } else if self.word("FUNCTIONS") {
            Show::Functions { user_defined: false, filter: self.functions()? }
        } else if self.word("CREATE") {
            self.show_create()?
        } else if self.word("PARTITIONS") {
            Show::Partitions(self.name("a table's name")?)
        } else if self.words(&["CURRENT", "CATALOG"]) {
            Show::CurrentCatalog
        } else if self.words(&["CURRENT", "DATABASE"]) {
            Show::CurrentDatabase
        } else if self.word("MODULES") || self.words(&["FULL", "MODULES"]) {
            Show::Modules
        } else if self.word("PROCEDURES") {
            Show::Procedures
        } else if self.word("JARS") {
            Show::Jars
        } else if self.word("JOBS") {
            Show::Jobs
        } else if self.words(&["CHECKPOINTS", "FROM"]) {
            Show::Checkpoints(self.text("a state directory in quotes")?)
        } else {
            return self.expected(
                "TABLES, VIEWS, COLUMNS FROM, CREATE TABLE, FUNCTIONS, DATABASES, CATALOGS, CURRENT DATABASE, MODULES, JOBS or CHECKPOINTS FROM behind SHOW",
            );
        };
        Ok(Statement::Show(show))
    }

    fn show_create(&mut self) -> Result<Show> {
        if self.word("TABLE") {
            Ok(Show::CreateTable(self.name("a table's name")?))
        } else if self.words(&["MATERIALIZED", "VIEW"]) {
            Ok(Show::CreateMaterializedView(self.name("a view's name")?))
        } else if self.word("VIEW") {
            Ok(Show::CreateView(self.name("a view's name")?))
        } else if self.word("CATALOG") {
            Ok(Show::CreateCatalog(self.name("a catalog's name")?))
        } else {
            self.expected("TABLE or VIEW behind SHOW CREATE")
        }
    }

    fn from(&mut self, what: &str) -> Result<Option<Name>> {
        if self.word("FROM") || self.word("IN") { self.name(what).map(Some) } else { Ok(None) }
    }

    fn functions(&mut self) -> Result<Option<Filter>> {
        // All functions are those of every database.
        self.from("a database's name")?;
        self.filter()
    }

    fn filter(&mut self) -> Result<Option<Filter>> {
        let negated = self.word("NOT");
        let ignore_case = self.word("ILIKE");
        if ignore_case || self.word("LIKE") {
            return Ok(Some(Filter { pattern: self.text("a pattern in quotes, such as 'a%'")?, negated, ignore_case }));
        }
        if negated { self.expected("LIKE") } else { Ok(None) }
    }

    pub(super) fn describe(&mut self) -> Result<Statement> {
        self.parser.advance_token();
        if self.is(0, "JOB") && matches!(self.peek(1), Token::SingleQuotedString(_)) {
            self.parser.advance_token();
            return Ok(Statement::Describe(Describe::Job(self.text("the job's id in quotes")?)));
        }
        let mut of = |keyword: &str| !matches!(self.peek(1), Token::EOF | Token::Period) && self.word(keyword);
        let kind = ["CATALOG", "DATABASE", "FUNCTION", "TABLE"].into_iter().find(|keyword| of(keyword));
        let extended = !matches!(self.peek(1), Token::EOF | Token::Period) && self.word("EXTENDED");
        let name = self.name("a table's name")?;
        Ok(Statement::Describe(match kind {
            Some("CATALOG") => Describe::Catalog { name, extended },
            Some("DATABASE") => Describe::Database { name, extended },
            Some("FUNCTION") => Describe::Function { name, extended },
            _ => Describe::Table { name, extended },
        }))
    }

    pub(super) fn use_object(&mut self) -> Result<Statement> {
        self.expect("USE")?;
        if self.is(0, "MODULES") {
            return Err(Error::new("USE MODULES is not supported")
                .why("there is one module, core, and it is always used")
                .fix("leave the statement out")
                .at(self.place()));
        }
        if self.is(0, "CATALOG") && *self.peek(1) != Token::EOF {
            self.parser.advance_token();
            return Ok(Statement::Use(Use::Catalog(self.name("a catalog's name")?)));
        }
        Ok(Statement::Use(Use::Database(self.name("a database's name")?)))
    }

    /// `SET`, `SET 'key' = 'value'`, `SET key = anything up to the end`
    pub(super) fn set(&mut self) -> Result<Statement> {
        self.expect("SET")?;
        if *self.peek(0) == Token::EOF {
            return Ok(Statement::Set(None));
        }
        let (key, _) = self.option_key()?;
        if !self.token(&Token::Eq) {
            return Err(self.missing_equals(&key));
        }
        let value = match (self.peek(0).clone(), self.peek(1)) {
            (Token::EOF, _) => return self.expected("a value in quotes"),
            (Token::SingleQuotedString(value), Token::EOF) => value,
            _ => self.source.slice(self.at(), self.source.tokens.len()).to_string(),
        };
        while *self.peek(0) != Token::EOF {
            self.parser.advance_token();
        }
        Ok(Statement::Set(Some((key, value))))
    }

    fn missing_equals(&self, key: &str) -> Error {
        let error = crate::dialect::report::expected(self.source, self.at(), &format!("= behind '{key}'"));
        error.fix(format!("write SET '{key}' = 'value'"))
    }

    pub(super) fn reset(&mut self) -> Result<Statement> {
        self.expect("RESET")?;
        if *self.peek(0) == Token::EOF {
            return Ok(Statement::Reset(None));
        }
        Ok(Statement::Reset(Some(self.option_key()?.0)))
    }

    /// `STOP JOB 'id' [WITH SAVEPOINT] [WITH DRAIN]`
    pub(super) fn stop_job(&mut self) -> Result<Statement> {
        self.expect("STOP")?;
        self.expect("JOB")?;
        let mut stop = StopJob { id: self.text("the job's id in quotes")?, savepoint: false, drain: false };
        while self.word("WITH") {
            if self.word("SAVEPOINT") {
                stop.savepoint = true;
            } else if self.word("DRAIN") {
                stop.drain = true;
            } else {
                return self.expected("SAVEPOINT or DRAIN");
            }
        }
        Ok(Statement::StopJob(stop))
    }
}
