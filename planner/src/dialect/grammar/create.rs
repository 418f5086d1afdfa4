//! CREATE.

use datafusion::sql::sqlparser::tokenizer::Token;
use tidemill_exec::{Error, Result};

use super::Grammar;
use crate::dialect::statement::*;

impl Grammar<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        self.expect("CREATE")?;
        let or_replace = self.words(&["OR", "REPLACE"]);
        let temporary = self.word("TEMPORARY");
        let system = temporary && self.word("SYSTEM");
        if self.word("TABLE") {
            return Ok(Statement::CreateTable(Box::new(self.create_table(or_replace, temporary)?)));
        }
        let materialized = self.word("MATERIALIZED");
        if materialized && self.is(0, "TABLE") {
            return Err(Error::new("CREATE MATERIALIZED TABLE is not supported")
                .why("a materialized table is refreshed on a schedule; here results are always fresh")
                .fix("write CREATE MATERIALIZED VIEW name AS query")
                .at(self.place()));
        }
        if self.word("VIEW") {
            return Ok(Statement::CreateView(Box::new(self.create_view(or_replace, temporary, materialized)?)));
        }
        if self.word("DATABASE") {
            let (if_not_exists, name) = (self.if_not_exists(), self.name("the database's name")?);
            let (comment, options) = (self.comment()?, self.with_options()?);
            return Ok(Statement::CreateDatabase(CreateDatabase { name, if_not_exists, comment, options }));
        }
        if self.word("CATALOG") {
            let (if_not_exists, name) = (self.if_not_exists(), self.name("the catalog's name")?);
            let (comment, options) = (self.comment()?, self.with_options()?);
            return Ok(Statement::CreateCatalog(CreateCatalog { name, if_not_exists, comment, options }));
        }
        if system || self.is(0, "FUNCTION") {
            return Err(Error::new("CREATE FUNCTION is not supported")
                .why("Flink's functions are Java or Python classes, and neither runs here")
                .fix("use the built-in functions: SHOW FUNCTIONS")
                .at(self.place()));
        }
        self.expected("TABLE, VIEW, MATERIALIZED VIEW, DATABASE or CATALOG behind CREATE")
    }

    pub(super) fn with_options(&mut self) -> Result<Vec<TableOption>> {
        if self.word("WITH") { self.options() } else { Ok(Vec::new()) }
    }

    fn create_table(&mut self, or_replace: bool, temporary: bool) -> Result<CreateTable> {
        let if_not_exists = self.if_not_exists();
        let mut table = CreateTable {
            name: self.name("the table's name")?,
            or_replace,
            temporary,
            if_not_exists,
            columns: Vec::new(),
            watermark: None,
            primary_key: None,
            comment: None,
            partitioned_by: Vec::new(),
            distributed_by: Vec::new(),
            options: Vec::new(),
            like: None,
            query: None,
        };
        if *self.peek(0) == Token::LParen && *self.peek(1) == Token::RParen {
            self.parser.advance_token();
            self.parser.advance_token();
        } else if *self.peek(0) == Token::LParen {
            self.list(|grammar| grammar.table_element(&mut table))?;
        }
        loop {
            if self.is(0, "COMMENT") {
                table.comment = self.comment()?;
            } else if self.words(&["PARTITIONED", "BY"]) {
                table.partitioned_by = self.column_names()?;
            } else if self.word("DISTRIBUTED") {
                table.distributed_by = self.distribution()?;
            } else if self.word("WITH") {
                table.options = self.options()?;
            } else if self.word("LIKE") {
                table.like = Some(self.like()?);
            } else if self.word("AS") {
                table.query = Some(self.query()?);
                break;
            } else {
                break;
            }
        }
        if table.query.is_none()
            && let Some(column) = table.columns.iter().find(|column| column.kind == ColumnKind::OfQuery)
        {
            return Err(Error::new(format!("column \"{}\" has no type", column.name))
                .fix(format!("write {} STRING, or another type", column.name))
                .at(column.place));
        }
        Ok(table)
    }

    /// A column, or something about the columns.
    fn table_element(&mut self, table: &mut CreateTable) -> Result<()> {
        if self.word("WATERMARK") {
            let watermark = self.watermark()?;
            if table.watermark.is_some() {
                return Err(Error::new(format!("table \"{}\" has two watermarks", table.name))
                    .why("a table has one event time")
                    .fix("leave one of them out")
                    .at(watermark.column.place));
            }
            table.watermark = Some(watermark);
            return Ok(());
        }
        if self.is(0, "CONSTRAINT")
            || (self.is(0, "PRIMARY") && self.is(1, "KEY"))
            || (self.is(0, "UNIQUE") && *self.peek(1) == Token::LParen)
        {
            let key = self.table_key()?;
            return set_key(table, key);
        }
        let (column, key) = self.column()?;
        table.columns.push(column);
        key.map_or(Ok(()), |key| set_key(table, key))
    }

    /// Behind WATERMARK.
    pub(super) fn watermark(&mut self) -> Result<Watermark> {
        self.expect("FOR")?;
        let column = self.name("the time column's name")?;
        self.expect("AS")?;
        Ok(Watermark { column, expression: self.scalar()? })
    }

    /// `[CONSTRAINT name] PRIMARY KEY (a, b) NOT ENFORCED`
    pub(super) fn table_key(&mut self) -> Result<PrimaryKey> {
        let name = self.constraint_name()?;
        let place = self.place();
        self.primary_key()?;
        let columns = self.column_names()?;
        self.not_enforced(&columns)?;
        Ok(PrimaryKey { name, columns, place })
    }

    fn constraint_name(&mut self) -> Result<Option<String>> {
        if self.word("CONSTRAINT") { Ok(Some(self.ident("the constraint's name")?.0)) } else { Ok(None) }
    }

    fn primary_key(&mut self) -> Result<()> {
        if self.is(0, "UNIQUE") {
            return Err(Error::new("UNIQUE is not supported")
                .why("it would have to be checked against every row ever seen")
                .fix("declare the PRIMARY KEY (..) NOT ENFORCED, or leave it out")
                .at(self.place()));
        }
        self.expect("PRIMARY")?;
        self.expect("KEY")
    }

    fn not_enforced(&mut self, columns: &[String]) -> Result<()> {
        if self.words(&["NOT", "ENFORCED"]) {
            return Ok(());
        }
        let place = if self.is(0, "ENFORCED") { self.place() } else { self.source.place(self.at().saturating_sub(1)) };
        Err(Error::new("a primary key cannot be enforced")
            .why("the table's rows are kept outside, where others may write them too")
            .fix(format!("write PRIMARY KEY ({}) NOT ENFORCED", columns.join(", ")))
            .at(place))
    }

    /// A column, and the primary key if it says that it is one.
    pub(super) fn column(&mut self) -> Result<(Column, Option<PrimaryKey>)> {
        let (name, place) = self.ident("a column's name")?;
        if self.word("AS") {
            let expression = self.scalar()?;
            let comment = self.comment()?;
            return Ok((Column { name, kind: ColumnKind::Computed(Box::new(expression)), comment, place }, None));
        }
        if matches!(self.peek(0), Token::Comma | Token::RParen) {
            return Ok((Column { name, kind: ColumnKind::OfQuery, comment: None, place }, None));
        }
        let data_type = self.data_type()?;
        let mut nullable = true;
        let mut metadata = None;
        let mut comment = None;
        let mut key = None;
        loop {
            if self.words(&["NOT", "NULL"]) {
                nullable = false;
            } else if self.is(0, "NULL") {
                self.parser.advance_token();
            } else if self.word("METADATA") {
                let from = if self.word("FROM") { Some(self.text("the metadata's key in quotes")?) } else { None };
                metadata = Some((from, self.word("VIRTUAL")));
            } else if self.is(0, "COMMENT") {
                comment = self.comment()?;
            } else if self.is(0, "PRIMARY") || self.is(0, "UNIQUE") || self.is(0, "CONSTRAINT") {
                let constraint = self.constraint_name()?;
                let place = self.place();
                self.primary_key()?;
                let columns = vec![name.clone()];
                self.not_enforced(&columns)?;
                key = Some(PrimaryKey { name: constraint, columns, place });
            } else {
                break;
            }
        }
        let kind = match metadata {
            Some((key, is_virtual)) => ColumnKind::Metadata { data_type, nullable, key, is_virtual },
            None => ColumnKind::Physical { data_type, nullable },
        };
        Ok((Column { name, kind, comment, place }, key))
    }

    /// `BY [HASH|RANGE] (a, b) [INTO n BUCKETS]` or `INTO n BUCKETS`, behind DISTRIBUTED.
    fn distribution(&mut self) -> Result<Vec<String>> {
        let mut columns = Vec::new();
        if self.word("BY") {
            let _ = self.word("HASH") || self.word("RANGE");
            columns = self.column_names()?;
        } else if !self.is(0, "INTO") {
            return self.expected("BY or INTO behind DISTRIBUTED");
        }
        if self.word("INTO") {
            self.sql(|parser| parser.parse_literal_uint())?;
            self.expect("BUCKETS")?;
        }
        Ok(columns)
    }

    /// Behind LIKE.
    fn like(&mut self) -> Result<Like> {
        let table = self.name("a table's name")?;
        let mut rules = Vec::new();
        if self.token(&Token::LParen) {
            while !self.token(&Token::RParen) {
                rules.push(self.like_rule()?);
            }
        }
        Ok(Like { table, rules })
    }

    fn like_rule(&mut self) -> Result<(Merging, Feature)> {
        let merging = [
            ("INCLUDING", Merging::Including),
            ("EXCLUDING", Merging::Excluding),
            ("OVERWRITING", Merging::Overwriting),
        ];
        let features = [
            ("ALL", Feature::All),
            ("CONSTRAINTS", Feature::Constraints),
            ("DISTRIBUTION", Feature::Distribution),
            ("GENERATED", Feature::Generated),
            ("METADATA", Feature::Metadata),
            ("OPTIONS", Feature::Options),
            ("PARTITIONS", Feature::Partitions),
            ("WATERMARKS", Feature::Watermarks),
        ];
        let Some((_, merging)) = merging.into_iter().find(|(word, _)| self.word(word)) else {
            return self.expected("INCLUDING, EXCLUDING, OVERWRITING or )");
        };
        let Some((_, feature)) = features.into_iter().find(|(word, _)| self.word(word)) else {
            return self
                .expected("ALL, CONSTRAINTS, DISTRIBUTION, GENERATED, METADATA, OPTIONS, PARTITIONS or WATERMARKS");
        };
        Ok((merging, feature))
    }

    fn create_view(&mut self, or_replace: bool, temporary: bool, materialized: bool) -> Result<CreateView> {
        let if_not_exists = self.if_not_exists();
        let name = self.name("the view's name")?;
        let columns = if *self.peek(0) == Token::LParen {
            self.list(|grammar| {
                let (column, _) = grammar.ident("a column's name")?;
                grammar.comment()?;
                Ok(column)
            })?
        } else {
            Vec::new()
        };
        let comment = self.comment()?;
        let options = self.with_options()?;
        self.expect("AS")?;
        let query = self.query()?;
        Ok(CreateView { name, or_replace, temporary, materialized, if_not_exists, columns, comment, options, query })
    }
}

fn set_key(table: &mut CreateTable, key: PrimaryKey) -> Result<()> {
    if table.primary_key.is_some() {
        return Err(Error::new(format!("table \"{}\" has two primary keys", table.name))
            .fix("declare one, over all its columns: PRIMARY KEY (a, b) NOT ENFORCED")
            .at(key.place));
    }
    table.primary_key = Some(key);
    Ok(())
}
