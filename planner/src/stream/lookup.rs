//! Lookup joins: `JOIN t FOR SYSTEM_TIME AS OF` a processing time, where t is a table that can be asked.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::physical_expr::PhysicalExpr;
use tidemill_exec::connect::{Options, TableDefinition};
use tidemill_exec::lookup::{LookupJoin, LookupTable};
use tidemill_exec::{Changes, Error, Result};

use super::lower::{Lowering, nullable};
use super::plan::{Distribution, PlanOp, Props, StreamPlan};
use super::temporal::given;
use super::window::keyed;
use crate::lookup::{Asked, Of};
use crate::temporal::TemporalNode;

/// By column of the table, its value, over the left; and what else must be true of a pair.
pub(super) struct Key {
    columns: Vec<usize>,
    values: Vec<Expr>,
    others: Vec<Expr>,
}

impl Key {
    /// `None` if the table is a view, of which only whole keys can be asked for, and some of its key is left open.
    pub fn of(node: &TemporalNode, asked: &Asked<'_>) -> Result<Option<Key>> {
        let mut key = Key { columns: Vec::new(), values: Vec::new(), others: Vec::new() };
        for condition in split_conjunction(&node.condition) {
            let equal = match condition {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    key.equality(node, asked, right, left)? || key.equality(node, asked, left, right)?
                }
                _ => false,
            };
            if !equal {
                key.others.push(condition.clone());
            }
        }
        let is_whole = asked.only_key().is_none_or(|of_view| key.columns.len() == of_view.len());
        Ok(is_whole.then_some(key))
    }

    /// Takes `column = value` in, if the one is a column of the table as it is stored, and the other is known by the left.
    fn equality(&mut self, node: &TemporalNode, asked: &Asked<'_>, column: &Expr, value: &Expr) -> Result<bool> {
        let (left, right) = (node.left.schema(), node.right.schema());
        let is_known = value.column_refs().into_iter().all(|column| left.has_column(column)) && !value.is_volatile();
        let is_asked = matches!(column, Expr::Column(column) if right.has_column(column));
        if !is_known || !is_asked {
            return Ok(false);
        }
        let Expr::Column(stored) = asked.over_table(column, right)? else { return Ok(false) };
        let stored = asked.schema.index_of_column(&stored)?;
        let is_of_type = value.get_type(left)? == *asked.schema.field(stored).data_type();
        let may_be_asked = asked.only_key().is_none_or(|of_view| of_view.contains(&asked.stored(stored)));
        if !is_of_type || !may_be_asked || self.columns.contains(&stored) {
            return Ok(false);
        }
        self.columns.push(stored);
        self.values.push(value.clone());
        Ok(true)
    }
}

impl Lowering<'_> {
    pub(super) fn lookup_join(
        &self,
        node: &TemporalNode,
        left: StreamPlan,
        asked: &Asked<'_>,
        key: Key,
    ) -> Result<StreamPlan> {
        let table = self.asked_table(asked, &key.columns)?;
        if key.columns.is_empty() {
            return Err(Error::new(format!("the lookup join with table {} has no key", table.name))
                .why("ON has no equality with a column of it, as it is stored and of the same type")
                .fix("write ON o.k = d.k; where the types differ, CAST the column of the other side"));
        }
        let over_left = |expr: &Expr| self.expression(expr, node.left.schema());
        let over_table = |expr: &Expr| self.expression(expr, asked.schema);
        let condition = key.others.into_iter().reduce(Expr::and);
        let both = node.left.schema().join(node.right.schema())?;
        let columns = asked.columns.iter().map(over_table).collect::<Result<Vec<Arc<dyn PhysicalExpr>>>>()?;
        let of_right = columns.iter().zip(node.right.schema().fields()).map(|(column, field)| {
            Ok(Arc::new(Field::new(field.name(), column.data_type(asked.schema.as_arrow())?, true)))
        });
        let fields: Vec<_> =
            left.props.schema.fields().iter().cloned().chain(of_right.collect::<Result<Vec<_>>>()?).collect();
        let join = LookupJoin {
            table,
            keys: key.values.iter().map(over_left).collect::<Result<_>>()?,
            filter: asked.filters.iter().cloned().reduce(Expr::and).as_ref().map(over_table).transpose()?,
            columns,
            outer: node.outer,
            is_marked: !left.props.changes.is_append(),
            condition: condition.map(|condition| self.expression(&condition, &both)).transpose()?,
            limits: self.settings.lookup_limits(),
            left: Arc::clone(&left.props.schema),
            schema: nullable(&Arc::new(Schema::new(fields))),
        };
        // A row must be taken back where it has come.
        let key = match &left.props.changes {
            Changes::Append => None,
            Changes::Retract { key: Some(key) } => Some(key.clone()),
            Changes::Retract { key: None } => {
                let is_known = |column: &usize| !left.props.times.processing.contains(column);
                Some((0..left.props.schema.fields().len()).filter(is_known).collect::<Vec<_>>())
            }
        };
        let required = key.as_deref().map_or(Distribution::Any, keyed);
        let distribution = if key.is_some() { required.clone() } else { left.props.distribution.clone() };
        let props = Props { schema: join.output(), distribution, ..left.props.clone() };
        let (outer, schema, width) = (node.outer, Arc::clone(&join.schema), join.left.fields().len());
        let op = PlanOp::Lookup(Arc::new(join));
        let joined = StreamPlan { op, inputs: vec![left], required: vec![required], props };
        Ok(match key {
            None => joined,
            Some(_) => given(joined, width, outer, schema),
        })
    }

    /// The table, asked by these columns of its rows.
    fn asked_table(&self, asked: &Asked<'_>, key: &[usize]) -> Result<LookupTable> {
        match asked.of {
            Of::Table(node, scan) => {
                let all = || (0..scan.definition.schema.fields().len()).collect();
                let read = node.projection.clone().unwrap_or_else(all);
                let key: Vec<usize> = key.iter().map(|&column| asked.stored(column)).collect();
                let table = LookupTable::new(&scan.definition, &key, &read, &scan.registry)?;
                Ok(table)
            }
            Of::Rows(node) => {
                let rows = self.values(node)?;
                let PlanOp::Source { table, source, .. } = rows.op else { unreachable!("VALUES is a source") };
                let definition = TableDefinition {
                    name: table.clone(),
                    schema: rows.props.schema,
                    metadata: Vec::new(),
                    key: Vec::new(),
                    partitioned_by: Vec::new(),
                    options: Options::default(),
                    time_zone: self.settings.time_zone().to_string(),
                    unread: Default::default(),
                };
                Ok(LookupTable::inline(&table, source, definition, key))
            }
        }
    }
}
