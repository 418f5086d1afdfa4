//! INSERT, statement sets, EXPLAIN.

use datafusion::sql::sqlparser::tokenizer::Token;
use tidemill_exec::{Error, Result};

use super::Grammar;
use crate::dialect::statement::*;

impl Grammar<'_> {
    pub(super) fn insert(&mut self) -> Result<Insert> {
        self.expect("INSERT")?;
        let overwrite = self.word("OVERWRITE");
        // Flink has INSERT INTO t and INSERT OVERWRITE t; the latter with an INTO reads well enough.
        if !self.word("INTO") && !overwrite {
            return self.expected("INTO or OVERWRITE behind INSERT");
        }
        let _ = self.word("TABLE");
        let table = self.name("the name of the table to write to")?;
        let last = self.source.tokens[self.at() - 1].span.start;
        let table_options = self.hints.options(last)?;
        let partition = if self.word("PARTITION") { self.list(Self::partition_value)? } else { Vec::new() };
        let lists_columns = *self.peek(0) == Token::LParen
            && !["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| self.is(1, word))
            && *self.peek(1) != Token::LParen;
        let columns = if lists_columns { self.column_names()? } else { Vec::new() };
        let query = self.query()?;
        let on_conflict = self.on_conflict()?;
        Ok(Insert { table, table_options, overwrite, partition, columns, query, on_conflict })
    }

    fn partition_value(&mut self) -> Result<(String, datafusion::sql::sqlparser::ast::Expr)> {
        let (column, _) = self.ident("a partition column's name")?;
        self.expect_token(&Token::Eq)?;
        Ok((column, self.expr()?))
    }

    fn on_conflict(&mut self) -> Result<Option<OnConflict>> {
        if !self.words(&["ON", "CONFLICT"]) {
            return Ok(None);
        }
        self.expect("DO")?;
        let choices =
            [("ERROR", OnConflict::Error), ("NOTHING", OnConflict::Nothing), ("DEDUPLICATE", OnConflict::Deduplicate)];
        match choices.into_iter().find(|(word, _)| self.word(word)) {
            Some((_, choice)) => Ok(Some(choice)),
            None => self.expected("ERROR, NOTHING or DEDUPLICATE"),
        }
    }

    /// `EXECUTE ..` and `BEGIN STATEMENT SET`.
    pub(super) fn execute(&mut self) -> Result<Statement> {
        if self.words(&["BEGIN", "STATEMENT", "SET"]) {
            self.expect_token(&Token::SemiColon)?;
            return self.members();
        }
        if self.is(0, "BEGIN") {
            return Err(Error::new("BEGIN alone begins nothing")
                .why("there are no transactions: jobs commit with their checkpoints")
                .fix("to run several inserts as one job: BEGIN STATEMENT SET; INSERT ...; INSERT ...; END;")
                .at(self.place()));
        }
        let place = self.place();
        let _ = self.word("EXECUTE");
        if self.words(&["STATEMENT", "SET"]) {
            self.expect("BEGIN")?;
            return self.members();
        }
        if self.is(0, "PLAN") {
            return Err(Error::new("EXECUTE PLAN is not supported")
                .why("plans are not kept as files: a job is its SQL text, and what changed in it is found when it is restored")
                .fix("run the INSERT itself")
                .at(place));
        }
        if self.is(0, "INSERT") {
            return Ok(Statement::Insert(Box::new(self.insert()?)));
        }
        if ["SELECT", "WITH", "VALUES"].iter().any(|word| self.is(0, word)) {
            return Ok(Statement::Query(self.query()?.query));
        }
        self.expected("INSERT, SELECT or STATEMENT SET BEGIN behind EXECUTE")
    }

    /// `INSERT ..; INSERT ..; END`
    fn members(&mut self) -> Result<Statement> {
        let mut members = Vec::new();
        while !self.word("END") {
            if *self.peek(0) == Token::EOF {
                return Err(Error::new("the statement set has no end").fix("close it with END;").at(self.place()));
            }
            if !self.is(0, "INSERT") {
                let word = self.peek(0).to_string();
                return Err(Error::new(format!("a statement set holds INSERT statements, not {word}"))
                    .why("its statements run together as one job")
                    .fix("move this statement before the set, or close the set with END;")
                    .at(self.place()));
            }
            members.push(self.insert()?);
            if !self.token(&Token::SemiColon) {
                return self.expected("; behind the INSERT");
            }
        }
        if members.is_empty() {
            return Err(Error::new("the statement set is empty")
                .fix("put INSERT statements before END")
                .at(self.source.place(self.at().saturating_sub(1))));
        }
        Ok(Statement::StatementSet(members))
    }

    pub(super) fn explain(&mut self) -> Result<Statement> {
        self.expect("EXPLAIN")?;
        let mut details = Vec::new();
        if !self.words(&["PLAN", "FOR"]) {
            let choices = [
                ("CHANGELOG_MODE", ExplainDetail::ChangelogMode),
                ("ESTIMATED_COST", ExplainDetail::EstimatedCost),
                ("JSON_EXECUTION_PLAN", ExplainDetail::JsonExecutionPlan),
                ("PLAN_ADVICE", ExplainDetail::PlanAdvice),
            ];
            while let Some((_, detail)) = choices.into_iter().find(|(word, _)| self.word(word)) {
                details.push(detail);
                if !self.token(&Token::Comma) {
                    break;
                }
            }
        }
        let place = self.place();
        let statement = self.statement()?;
        let explainable = match &statement {
            Statement::Query(_) | Statement::Insert(_) | Statement::StatementSet(_) | Statement::CreateView(_) => true,
            Statement::CreateTable(table) => table.query.is_some(),
            _ => false,
        };
        if !explainable {
            return Err(Error::new("EXPLAIN cannot explain this")
                .why("only a query has a plan")
                .fix("EXPLAIN takes SELECT, INSERT, EXECUTE STATEMENT SET, and CREATE TABLE or VIEW .. AS SELECT")
                .at(place));
        }
        Ok(Statement::Explain(Explain { details, statement: Box::new(statement) }))
    }
}
