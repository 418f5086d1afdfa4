//! ALTER and DROP.

use datafusion::sql::sqlparser::tokenizer::Token;
use tidemill_exec::{Error, Result};

use super::Grammar;
use crate::dialect::statement::*;

impl Grammar<'_> {
    pub(super) fn drop(&mut self) -> Result<Statement> {
        self.expect("DROP")?;
        let temporary = self.word("TEMPORARY");
        let kind = if self.word("TABLE") {
            ObjectKind::Table
        } else if self.word("VIEW") {
            ObjectKind::View
        } else if self.words(&["MATERIALIZED", "VIEW"]) {
            ObjectKind::MaterializedView
        } else if self.word("DATABASE") {
            ObjectKind::Database
        } else if self.word("CATALOG") {
            ObjectKind::Catalog
        } else {
            return self.expected("TABLE, VIEW, MATERIALIZED VIEW, DATABASE or CATALOG behind DROP");
        };
        let if_exists = self.if_exists();
        let name = self.name("a name")?;
        let cascade = self.word("CASCADE");
        if !cascade {
            let _ = self.word("RESTRICT");
        }
        Ok(Statement::Drop(Drop { kind, name, temporary, if_exists, cascade }))
    }

    pub(super) fn alter(&mut self) -> Result<Statement> {
        self.expect("ALTER")?;
        if self.word("TABLE") {
            let if_exists = self.if_exists();
            let name = self.name("a table's name")?;
            let change = self.table_change()?;
            return Ok(Statement::AlterTable(AlterTable { name, if_exists, change }));
        }
        if self.word("VIEW") {
            let name = self.name("a view's name")?;
            let change = if self.words(&["RENAME", "TO"]) {
                ViewChange::RenameTo(self.name("the view's new name")?)
            } else if self.word("AS") {
                ViewChange::As(self.query()?)
            } else {
                return self.expected("RENAME TO or AS");
            };
            return Ok(Statement::AlterView(AlterView { name, change }));
        }
        self.expected("TABLE or VIEW behind ALTER")
    }

    fn table_change(&mut self) -> Result<TableChange> {
        if self.words(&["RENAME", "TO"]) {
            return Ok(TableChange::RenameTo(self.name("the table's new name")?));
        }
        if self.word("RENAME") {
            let _ = self.word("COLUMN");
            let from = self.ident("a column's name")?.0;
            self.expect("TO")?;
            return Ok(TableChange::RenameColumn { from, to: self.ident("the column's new name")?.0 });
        }
        if self.word("SET") {
            return Ok(TableChange::SetOptions(self.options()?));
        }
        if self.word("RESET") {
            return Ok(TableChange::ResetOptions(self.list(|grammar| Ok(grammar.option_key()?.0))?));
        }
        if self.is(0, "PARTITION") || (self.is(1, "PARTITION") && (self.is(0, "ADD") || self.is(0, "DROP"))) {
            return Err(Error::new("partitions cannot be added or dropped by a statement")
                .why("a partitioned table has the directories that are there")
                .fix("add or remove the directory")
                .at(self.place()));
        }
        if self.word("ADD") {
            return Ok(TableChange::Add(self.schema_items()?));
        }
        if self.word("MODIFY") {
            return Ok(TableChange::Modify(self.schema_items()?));
        }
        if self.word("DROP") {
            return self.dropped();
        }
        self.expected("RENAME, SET, RESET, ADD, MODIFY or DROP")
    }

    fn dropped(&mut self) -> Result<TableChange> {
        if self.words(&["PRIMARY", "KEY"]) {
            return Ok(TableChange::DropPrimaryKey);
        }
        if self.word("CONSTRAINT") {
            return Ok(TableChange::DropConstraint(self.ident("the constraint's name")?.0));
        }
        if self.word("WATERMARK") {
            return Ok(TableChange::DropWatermark);
        }
        if *self.peek(0) == Token::LParen {
            return Ok(TableChange::DropColumns(self.column_names()?));
        }
        let _ = self.word("COLUMN");
        Ok(TableChange::DropColumns(vec![self.ident("a column's name")?.0]))
    }

    /// One item, or several in parentheses.
    fn schema_items(&mut self) -> Result<Vec<SchemaItem>> {
        let items =
            if *self.peek(0) == Token::LParen { self.list(Self::schema_item)? } else { vec![self.schema_item()?] };
        Ok(items.into_iter().flatten().collect())
    }

    fn schema_item(&mut self) -> Result<Vec<SchemaItem>> {
        if self.word("WATERMARK") {
            return Ok(vec![SchemaItem::Watermark(Box::new(self.watermark()?))]);
        }
        if self.is(0, "CONSTRAINT") || (self.is(0, "PRIMARY") && self.is(1, "KEY")) {
            return Ok(vec![SchemaItem::PrimaryKey(self.table_key()?)]);
        }
        let _ = self.word("COLUMN");
        let (column, key) = self.column()?;
        if column.kind == ColumnKind::OfQuery {
            return Err(Error::new(format!("column \"{}\" has no type", column.name))
                .fix(format!("write {} STRING, or another type", column.name))
                .at(column.place));
        }
        let position = if self.word("FIRST") {
            Some(Position::First)
        } else if self.word("AFTER") {
            Some(Position::After(self.ident("a column's name")?.0))
        } else {
            None
        };
        let mut items = vec![SchemaItem::Column(column, position)];
        items.extend(key.map(SchemaItem::PrimaryKey));
        Ok(items)
    }
}
