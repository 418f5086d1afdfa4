//! A table that a query reads in several places is read once, so that all of them see the same rows of an epoch.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use tidemill_exec::Result;
use tidemill_exec::connect::{Source, Unread};

use crate::scan::Scan;

/// The tables of a plan.
pub struct Tables(Vec<Table>);

struct Table {
    /// One of those that read it.
    scan: TableScan,
    /// What they read, each with the columns of the watermark last.
    reads: Vec<Vec<usize>>,
    /// What none of them looks at.
    unread: Unread,
    source: OnceCell<Arc<dyn Source>>,
}

impl Tables {
    /// Of upsert tables their primary keys are read too; with `with_keys`, of all that give changes.
    pub fn of(plan: &LogicalPlan, with_keys: bool) -> Result<Tables> {
        let mut tables: Vec<Table> = Vec::new();
        let mut wrong = None;
        let mut add = |node: &TableScan| -> Result<()> {
            // What a recursion gives is scanned too.
            let Ok(scan) = Scan::of(&node.source) else { return Ok(()) };
            let read = read(node, with_keys)?;
            let is_it = |table: &&mut Table| Scan::of(&table.scan.source).is_ok_and(|known| known.is_same(scan));
            match tables.iter_mut().find(is_it) {
                Some(table) => {
                    table.reads.push(read);
                    table.unread = table.unread.and(&scan.unread);
                }
                None => {
                    let (reads, unread) = (vec![read], scan.unread.clone());
                    tables.push(Table { scan: node.clone(), reads, unread, source: OnceCell::new() });
                }
            }
            Ok(())
        };
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(node) = node {
                wrong = wrong.take().or(add(node).err());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        wrong.map_or(Ok(Tables(tables)), Err)
    }

    /// The source that a scan reads, the same for all scans of its table, the columns that this gives, and what it leaves unread of them.
    pub fn source(&self, node: &TableScan) -> Result<(Arc<dyn Source>, Vec<usize>, &Unread)> {
        let scan = Scan::of(&node.source)?;
        let is_it = |table: &&Table| Scan::of(&table.scan.source).is_ok_and(|known| known.is_same(scan));
        let table = self.0.iter().find(is_it).expect("all tables of the plan are known");
        let columns = match &table.reads[..] {
            [only] => only.clone(),
            several => several.iter().flatten().copied().collect::<BTreeSet<usize>>().into_iter().collect(),
        };
        let source = match table.source.get() {
            Some(source) => Arc::clone(source),
            None => Arc::clone(table.source.get_or_init({
                let source = Scan { unread: table.unread.clone(), ..scan.clone() }.open(&columns)?;
                || source
            })),
        };
        Ok((source, columns, &table.unread))
    }
}

/// The columns that a scan needs: those of its projection, then what only the watermark or the key does.
fn read(node: &TableScan, with_key: bool) -> Result<Vec<usize>> {
    let scan = Scan::of(&node.source)?;
    let stored = &scan.definition.schema;
    let mut read = node.projection.clone().unwrap_or_else(|| (0..stored.fields().len()).collect());
    // Its rows are told apart by their columns, so there must be some.
    if scan.view.is_some() && read.is_empty() {
        read.push(0);
    }
    if with_key || scan.definition.is_upsert() {
        read.extend(scan.definition.key.iter().filter(|key| !read.contains(key)).copied().collect::<Vec<_>>());
    }
    if let Some(watermark) = &scan.watermark {
        for column in watermark.expression.column_refs().into_iter().chain(watermark.time.column_refs()) {
            let index = stored.index_of(&column.name)?;
            if !read.contains(&index) {
                read.push(index);
            }
        }
    }
    Ok(read)
}
