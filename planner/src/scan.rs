//! A table as DataFusion's planner sees it: what can be scanned, and what is computed on top.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableSource};
use tidemill_exec::connect::{ChangelogMode, Options, Registry, Source, TableDefinition, Unread};
use tidemill_exec::lookup::LookupTable;
use tidemill_exec::view::{Followed, View};
use tidemill_exec::{Error, Result};

use crate::view_keys;

/// The columns a connector delivers. Everything the optimizer may scan is one of these.
#[derive(Clone)]
pub struct Scan {
    pub definition: TableDefinition,
    pub registry: Registry,
    pub watermark: Option<ScanWatermark>,
    pub bounded: bool,
    /// Its rows may be taken back, or replaced.
    pub retracts: bool,
    /// A record may remove a row of which it tells only the key.
    pub removes_by_key: bool,
    /// A lookup join can ask for its rows.
    pub offers_lookups: bool,
    /// It is this materialized view.
    pub view: Option<Arc<View>>,
    /// What the query does not look at; see [`crate::fields`].
    pub unread: Unread,
}

/// How event time is read off scanned rows.
#[derive(Clone, Debug)]
pub struct ScanWatermark {
    /// The column it speaks about; it may be a computed one.
    pub column: String,
    /// The expression as the user wrote it.
    pub text: String,
    /// What it holds, as milliseconds since 1970 (BIGINT), over the columns of the definition.
    pub time: Expr,
    /// Milliseconds since 1970 (BIGINT), over the columns of the definition.
    pub expression: Expr,
}

impl Scan {
    /// # Errors
    /// The connector only writes, or its options do not fit.
    pub fn new(definition: TableDefinition, registry: &Registry, watermark: Option<ScanWatermark>) -> Result<Scan> {
        let (registry, bounded, retracts, removes_by_key) = (registry.clone(), true, false, false);
        let (offers_lookups, view, unread) = (false, None, Unread::default());
        let mut scan =
            Scan { definition, registry, watermark, bounded, retracts, removes_by_key, offers_lookups, view, unread };
        let source = scan.open(&scan.all())?;
        scan.definition.check_changelog_mode(source.retracts())?;
        if source.retracts() && scan.definition.changelog_mode() == Some(ChangelogMode::Append) {
            return Err(Error::new(format!("table {} cannot have 'changelog.mode' = 'append'", scan.definition.name))
                .why("its records take rows back")
                .fix("leave it out, or write 'retract', or 'upsert' with a primary key"));
        }
        let (retracts, is_upsert) = (source.retracts(), scan.definition.is_upsert());
        scan.bounded = source.bounded();
        (scan.retracts, scan.removes_by_key) = (retracts || is_upsert, retracts && is_upsert);
        scan.offers_lookups = LookupTable::is_offered(&scan.definition, source.as_ref(), &scan.registry)?;
        Ok(scan)
    }

    /// A materialized view.
    pub fn of_view(view: &Arc<View>) -> Result<Scan> {
        let mut registry = Registry::default();
        registry.add_connector(Arc::new(Followed(Arc::clone(view))));
        let definition = TableDefinition {
            name: view.name().to_string(),
            schema: Arc::clone(view.schema()),
            metadata: Vec::new(),
            key: view.key().unwrap_or_default().to_vec(),
            partitioned_by: Vec::new(),
            options: Options::new([("connector".to_string(), "view".to_string())]),
            time_zone: "UTC".to_string(),
            unread: Default::default(),
        };
        let scan = Scan::new(definition, &registry, None)?;
        Ok(Scan { view: Some(Arc::clone(view)), ..scan })
    }

    /// A source for the columns `projection`, in that order.
    pub fn open(&self, projection: &[usize]) -> Result<Arc<dyn Source>> {
        let definition = TableDefinition { unread: self.unread.clone(), ..self.read().into_owned() };
        self.registry.connector(&definition)?.source(&definition, projection, &self.registry)
    }

    /// The table as its source gives it.
    pub fn read(&self) -> Cow<'_, TableDefinition> {
        match self.removes_by_key {
            true => Cow::Owned(self.definition.with_keys_alone()),
            false => Cow::Borrowed(&self.definition),
        }
    }

    /// Whether the other reads the same table in the same way.
    pub fn is_same(&self, other: &Scan) -> bool {
        let watermark = |scan: &Scan| scan.watermark.as_ref().map(|of| (of.column.clone(), of.text.clone()));
        let view = |scan: &Scan| scan.view.as_ref().map(Arc::as_ptr);
        self.definition == other.definition && watermark(self) == watermark(other) && view(self) == view(other)
    }

    /// The columns that tell rows apart, if that is known; none at all where there is one row.
    pub fn identity(&self) -> Option<&[usize]> {
        match &self.view {
            Some(view) => view.identity(),
            None => Some(self.definition.key.as_slice()).filter(|key| !key.is_empty()),
        }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.definition.schema.fields().len()).collect()
    }

    /// The scan behind a table of a logical plan.
    pub fn of(source: &Arc<dyn TableSource>) -> Result<&Scan> {
        let any: &dyn Any = source.as_ref();
        any.downcast_ref()
            .ok_or_else(|| Error::new("this table cannot be read").why("it is not a table of this session"))
    }
}

impl TableSource for Scan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.definition.schema)
    }

    /// Conditions on the key of a view say which rows to look up; the filter stays.
    fn supports_filters_pushdown(
        &self,
        conditions: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        let names_keys = |condition: &&Expr| match &self.view {
            Some(view) if view_keys::names_keys(view, condition) => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(conditions.iter().map(names_keys).collect())
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scan({})", self.definition.name)
    }
}

/// A name that stands for a plan: a view, or a table with computed columns.
pub struct Derived {
    plan: LogicalPlan,
}

impl Derived {
    pub fn new(plan: LogicalPlan) -> Derived {
        Derived { plan }
    }
}

impl TableSource for Derived {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
