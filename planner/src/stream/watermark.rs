//! What a table's options and the session's settings say of its watermark.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, ExprSchemable};
use tidemill_exec::connect::{TableDefinition, WATERMARK_OPTIONS};
use tidemill_exec::graph::{Alignment, Over, WatermarkStrategy};
use tidemill_exec::{Error, Result};

use super::lower::{Lowering, unqualified};
use crate::fields::{Hoisted, hoist};
use crate::scan::ScanWatermark;
use crate::settings::Settings;

/// Stands for the event time in what a watermark is computed from.
const EVENT_TIME: &str = "__time";

impl Lowering<'_> {
    /// How event time is read off rows of this schema.
    pub(super) fn watermark(&self, watermark: &ScanWatermark, schema: &SchemaRef) -> Result<WatermarkStrategy> {
        let read = DFSchema::try_from(schema.as_ref().clone())?;
        let exprs = vec![unqualified(&watermark.time)?, unqualified(&watermark.expression)?];
        let Hoisted { columns, exprs } = hoist(exprs, &read)?;
        let [time, expression] = exprs.as_slice() else { unreachable!("as many expressions as before") };
        let mut over: Vec<Field> = Vec::with_capacity(columns.len() + 1);
        let mut physical = Vec::with_capacity(columns.len());
        for (column, name) in columns {
            over.push(Field::new(name, column.get_type(&read)?, column.nullable(&read)?));
            physical.push(self.expression(&column, &read)?);
        }
        let of_columns = DFSchema::try_from(Schema::new(over.clone()))?;
        over.push(Field::new(EVENT_TIME, DataType::Int64, true));
        let schema = Arc::new(Schema::new(over));
        // The watermark is mostly some time behind the event time, which need not be computed twice.
        let behind_time = expression.clone().transform_down(|expr| {
            Ok(match expr == *time {
                true => {
                    Transformed::new(Expr::Column(Column::new_unqualified(EVENT_TIME)), true, TreeNodeRecursion::Jump)
                }
                false => Transformed::no(expr),
            })
        })?;
        let time = self.expression(time, &of_columns)?;
        let expression = self.expression(&behind_time.data, &DFSchema::try_from(Arc::clone(&schema))?)?;
        let strategy = WatermarkStrategy::new(&watermark.column, &watermark.text, time, expression);
        Ok(WatermarkStrategy { over: Some(Over { columns: physical, schema }), ..strategy })
    }
}

/// `strategy` with what is configured: the table's options win over the settings.
///
/// # Errors
/// Options that need others, a share of rows that is none.
pub(super) fn configured(
    strategy: WatermarkStrategy,
    table: &TableDefinition,
    settings: &Settings,
) -> Result<WatermarkStrategy> {
    let options = &table.options;
    let text = |name: &str| options.text(WATERMARK_OPTIONS, name).map(str::to_string);
    let duration = |name: &str| options.duration(WATERMARK_OPTIONS, name);
    let on_event = text("scan.watermark.emit.strategy").is_some_and(|how| how.eq_ignore_ascii_case("on-event"));
    let by_percentile = text("scan.watermark.strategy").is_some_and(|how| how.eq_ignore_ascii_case("percentile"));
    let share_in_time = match (by_percentile, text("scan.watermark.percentile")) {
        (false, None) => None,
        (false, Some(_)) => {
            return Err(Error::new(format!(
                "table {} has a 'scan.watermark.percentile' that nothing uses",
                table.name
            ))
            .fix("add 'scan.watermark.strategy' = 'percentile', or leave it out"));
        }
        (true, None) => Some(0.99),
        (true, Some(share)) => Some(share_of(&share, &table.name)?),
    };
    let alignment = match (text("scan.watermark.alignment.group"), duration("scan.watermark.alignment.max-drift")) {
        (None, None) => None,
        (Some(group), Some(max_drift)) => Some(Alignment { group, max_drift }),
        _ => {
            return Err(Error::new(format!("the watermark alignment of table {} is not complete", table.name))
                .fix("give both 'scan.watermark.alignment.group' and 'scan.watermark.alignment.max-drift'"));
        }
    };
    let idle_timeout = duration("scan.watermark.idle-timeout").filter(|timeout| !timeout.is_zero());
    Ok(WatermarkStrategy {
        interval: if on_event { 0 } else { settings.watermark_interval() },
        idle_timeout: idle_timeout.or(settings.idle_timeout()),
        share_in_time,
        alignment,
        ..strategy
    })
}

fn share_of(text: &str, table: &str) -> Result<f64> {
    match text.trim().parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err(Error::new(format!("'scan.watermark.percentile' of table {table} cannot be '{text}'"))
            .fix("write a share between 0 and 1, such as '0.99'")),
    }
}
