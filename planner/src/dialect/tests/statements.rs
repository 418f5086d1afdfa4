//! Every statement of the language.

use expect_test::expect;

use super::super::*;
use super::*;

fn table(sql: &str) -> CreateTable {
    match one(sql) {
        Statement::CreateTable(table) => *table,
        other => panic!("{other:?} creates no table"),
    }
}

/// A table definition in a form short enough to read.
fn outline(table: &CreateTable) -> String {
    let mut lines = vec![format!("{} {}", table.name, table.comment.as_deref().unwrap_or("-"))];
    for column in &table.columns {
        let not_null = |nullable: bool| if nullable { "" } else { " NOT NULL" };
        let kind = match &column.kind {
            ColumnKind::Physical { data_type, nullable } => format!("{}{}", data_type.text, not_null(*nullable)),
            ColumnKind::Computed(scalar) => format!("AS {} = {}", scalar.shown, scalar.expr),
            ColumnKind::Metadata { data_type, nullable, key, is_virtual } => {
                format!("{}{} METADATA {key:?} {is_virtual}", data_type.text, not_null(*nullable))
            }
            ColumnKind::OfQuery => "of the query".to_string(),
        };
        let comment = column.comment.as_ref().map_or(String::new(), |comment| format!(" -- {comment}"));
        lines.push(format!("  {}: {kind}{comment}", column.name));
    }
    lines.extend(table.watermark.as_ref().map(|w| format!("  watermark {}: {}", w.column, w.expression.shown)));
    lines.extend(table.primary_key.as_ref().map(|key| format!("  key {:?} {}", key.name, key.columns.join(", "))));
    if !table.partitioned_by.is_empty() {
        lines.push(format!("  partitioned by {}", table.partitioned_by.join(", ")));
    }
    lines.extend(table.options.iter().map(|option| format!("  {} = {}", option.key, option.value)));
    lines.extend(table.like.as_ref().map(|like| format!("  like {} {:?}", like.table, like.rules)));
    lines.extend(table.query.as_ref().map(|query| format!("  as {}", query.text)));
    lines.join("\n")
}

#[test]
fn a_table_has_columns_of_all_kinds() {
    expect![[r#"
        orders all of them
          id: BIGINT NOT NULL -- the key
          item: ROW<`name` STRING, tags ARRAY<STRING>>
          total: AS `price` * `quantity` = price * quantity
          upper name: AS UPPER(CAST(`a`.`b` AS STRING) || 'x') = upper(__cast(a.b, 'STRING') || 'x') -- shouted
          path: STRING NOT NULL METADATA Some("file.path") true
          offset: INT METADATA None false
          ts: TIMESTAMP(3)
          watermark ts: `ts` - INTERVAL '5' SECOND
          key Some("pk") id, item
          partitioned by id
          connector = filesystem
          source.monitor-interval = 10"#]]
    .assert_eq(&outline(&table(
        "CREATE TABLE orders (
            id BIGINT NOT NULL COMMENT 'the key',
            item ROW<`name` STRING, tags ARRAY<STRING>>,
            total AS price*quantity,
            `upper name` AS upper(CAST(a.b AS STRING)||'x') COMMENT 'shouted',
            path STRING NOT NULL METADATA FROM 'file.path' VIRTUAL,
            `offset` INT METADATA,
            ts TIMESTAMP(3),
            WATERMARK FOR ts AS ts - INTERVAL '5' SECONDS,
            CONSTRAINT pk PRIMARY KEY (id, item) NOT ENFORCED
         ) COMMENT 'all of them' DISTRIBUTED BY HASH(id) INTO 4 BUCKETS PARTITIONED BY (id)
         WITH ('connector' = 'filesystem', source.monitor-interval = 10)",
    )));
}

#[test]
fn a_column_may_be_the_key() {
    expect![[r#"
        o -
          k: STRING
          c: BIGINT
          key None k
          connector = print"#]]
    .assert_eq(&outline(&table(
        "CREATE TABLE o (k STRING PRIMARY KEY NOT ENFORCED, c BIGINT) WITH (connector = 'print')",
    )));
}

#[test]
fn a_table_may_be_like_another_or_come_from_a_query() {
    expect![[r#"
        b -
          y: INT
          like c.a [(Excluding, Options), (Overwriting, Watermarks), (Including, All)]"#]]
    .assert_eq(&outline(&table(
        "CREATE TABLE b (y INT) LIKE c.a (EXCLUDING OPTIONS OVERWRITING WATERMARKS INCLUDING ALL)",
    )));
    expect![[r#"
        o -
          v: of the query
          k: of the query
          connector = print
          as SELECT k, v * 2 AS v FROM ev"#]]
    .assert_eq(&outline(&table("CREATE TABLE o (v, k) WITH ('connector'='print') AS SELECT k, v * 2 AS v FROM ev")));
}

#[test]
fn flags_of_create_and_drop_are_kept() {
    let created = table("CREATE TEMPORARY TABLE IF NOT EXISTS `a b`.t (x INT)");
    assert!(created.temporary && created.if_not_exists && !created.or_replace);
    assert_eq!(created.name.parts, ["a b", "t"]);
    let Statement::Drop(dropped) = one("DROP TEMPORARY TABLE IF EXISTS t") else { panic!() };
    assert!(dropped.temporary && dropped.if_exists && dropped.kind == ObjectKind::Table);
    let Statement::Drop(dropped) = one("DROP DATABASE d CASCADE") else { panic!() };
    assert!(dropped.cascade && dropped.kind == ObjectKind::Database);
    let Statement::Drop(dropped) = one("DROP MATERIALIZED VIEW v") else { panic!() };
    assert_eq!(dropped.kind, ObjectKind::MaterializedView);
}

#[test]
fn a_view_keeps_the_text_of_its_query() {
    let Statement::CreateView(view) =
        one("CREATE OR REPLACE MATERIALIZED VIEW v (a COMMENT 'x', b) COMMENT 'y' AS\n  SELECT 1, -- one\n 2 ;")
    else {
        panic!()
    };
    assert!(view.materialized && view.or_replace && !view.temporary);
    assert_eq!(
        (view.columns.as_slice(), view.comment.as_deref()),
        (["a".to_string(), "b".to_string()].as_slice(), Some("y"))
    );
    assert_eq!(view.query.text, "SELECT 1, -- one\n 2");
    assert_eq!(view.query.place, Place { line: 2, column: 3, width: 6 });
}

#[test]
fn databases_and_catalogs_are_created_with_options() {
    let Statement::CreateDatabase(database) = one("CREATE DATABASE IF NOT EXISTS c.d COMMENT 'x' WITH ('a'='b')")
    else {
        panic!()
    };
    assert!(database.if_not_exists && database.name.to_string() == "c.d" && database.options[0].key == "a");
    let Statement::CreateCatalog(catalog) = one("CREATE CATALOG c WITH ('type'='generic_in_memory')") else { panic!() };
    assert_eq!(catalog.options[0].value, "generic_in_memory");
}

#[test]
fn tables_are_altered_in_many_ways() {
    let change = |sql: &str| match one(sql) {
        Statement::AlterTable(alter) => alter.change,
        other => panic!("{other:?}"),
    };
    assert!(matches!(change("ALTER TABLE a RENAME TO b"), TableChange::RenameTo(name) if name.last() == "b"));
    assert!(
        matches!(change("ALTER TABLE a RENAME x TO y"), TableChange::RenameColumn { from, to } if from == "x" && to == "y")
    );
    assert!(
        matches!(change("ALTER TABLE a SET ('k'='v', l = 2)"), TableChange::SetOptions(options) if options.len() == 2)
    );
    assert!(matches!(change("ALTER TABLE a RESET ('k')"), TableChange::ResetOptions(keys) if keys == ["k"]));
    assert!(matches!(change("ALTER TABLE a DROP (x, y)"), TableChange::DropColumns(columns) if columns == ["x", "y"]));
    assert!(matches!(change("ALTER TABLE a DROP x"), TableChange::DropColumns(columns) if columns == ["x"]));
    assert!(matches!(change("ALTER TABLE a DROP PRIMARY KEY"), TableChange::DropPrimaryKey));
    assert!(matches!(change("ALTER TABLE a DROP WATERMARK"), TableChange::DropWatermark));
    let TableChange::Add(items) = change(
        "ALTER TABLE a ADD (x INT COMMENT 'new' FIRST, y AS x + 1 AFTER x, WATERMARK FOR ts AS ts, PRIMARY KEY (x) NOT ENFORCED)",
    ) else {
        panic!()
    };
    assert!(
        matches!(&items[0], SchemaItem::Column(column, Some(Position::First)) if column.comment.as_deref() == Some("new"))
    );
    assert!(matches!(&items[1], SchemaItem::Column(_, Some(Position::After(column))) if column == "x"));
    assert!(matches!((&items[2], &items[3]), (SchemaItem::Watermark(_), SchemaItem::PrimaryKey(_))));
    assert!(matches!(change("ALTER TABLE a MODIFY v DOUBLE"), TableChange::Modify(items) if items.len() == 1));
    assert!(matches!(
        one("ALTER VIEW v RENAME TO w"),
        Statement::AlterView(AlterView { change: ViewChange::RenameTo(_), .. })
    ));
}

#[test]
fn an_insert_has_a_table_columns_and_a_query() {
    let insert = |sql: &str| match one(sql) {
        Statement::Insert(insert) => *insert,
        other => panic!("{other:?}"),
    };
    let full = insert("INSERT OVERWRITE db.t PARTITION (d = '2020', h = 7) (a, b) SELECT 1, 2 ON CONFLICT DO NOTHING");
    assert!(full.overwrite && full.table.to_string() == "db.t" && full.on_conflict == Some(OnConflict::Nothing));
    assert_eq!(full.columns, ["a", "b"]);
    let partition: Vec<String> = full.partition.iter().map(|(column, value)| format!("{column}={value}")).collect();
    assert_eq!(partition, ["d='2020'", "h=EXTRACT(INT FROM '7')"]);
    assert_eq!(full.query.text, "SELECT 1, 2");
    for sql in [
        "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO t (SELECT 1)",
        "INSERT INTO t WITH a AS (SELECT 1 AS x) SELECT * FROM a",
        "EXECUTE INSERT INTO t SELECT 1",
    ] {
        assert!(insert(sql).columns.is_empty(), "{sql}");
    }
}

#[test]
fn explain_takes_details() {
    let Statement::Explain(explain) = one("EXPLAIN CHANGELOG_MODE, JSON_EXECUTION_PLAN SELECT 1") else { panic!() };
    assert_eq!(explain.details, [ExplainDetail::ChangelogMode, ExplainDetail::JsonExecutionPlan]);
    for sql in ["EXPLAIN SELECT 1", "EXPLAIN PLAN FOR INSERT INTO t SELECT 1", "EXPLAIN CREATE TABLE t AS SELECT 1"] {
        assert!(matches!(one(sql), Statement::Explain(explain) if explain.details.is_empty()), "{sql}");
    }
}

#[test]
fn show_shows_everything() {
    let filter = |pattern: &str| Some(Filter { pattern: pattern.to_string(), negated: false, ignore_case: false });
    let show = |sql: &str| match one(sql) {
        Statement::Show(show) => show,
        other => panic!("{other:?}"),
    };
    assert_eq!(show("SHOW TABLES"), Show::Tables { database: None, filter: None });
    assert_eq!(show("show tables like 'e%'"), Show::Tables { database: None, filter: filter("e%") });
    assert_eq!(show("SHOW CATALOGS"), Show::Catalogs(None));
    assert_eq!(show("SHOW CURRENT DATABASE"), Show::CurrentDatabase);
    assert_eq!(show("SHOW USER FUNCTIONS"), Show::Functions { user_defined: true, filter: None });
    assert_eq!(show("SHOW FULL MODULES"), Show::Modules);
    assert!(
        matches!(show("SHOW VIEWS FROM d NOT ILIKE 'x'"), Show::Views { database: Some(_), filter: Some(f) } if f.negated && f.ignore_case)
    );
    assert!(
        matches!(show("SHOW COLUMNS FROM a.t LIKE 'x'"), Show::Columns { table, .. } if table.to_string() == "a.t")
    );
    assert!(matches!(show("SHOW CREATE TABLE t"), Show::CreateTable(name) if name.last() == "t"));
    assert!(matches!(show("SHOW CREATE VIEW v"), Show::CreateView(_)));
    assert_eq!(show("SHOW JOBS"), Show::Jobs);
}

#[test]
fn describe_knows_tables_and_jobs() {
    let describe = |sql: &str| match one(sql) {
        Statement::Describe(describe) => describe,
        other => panic!("{other:?}"),
    };
    assert!(matches!(describe("DESC t"), Describe::Table { name, extended: false } if name.last() == "t"));
    assert!(matches!(describe("DESCRIBE EXTENDED d.t"), Describe::Table { extended: true, .. }));
    assert!(matches!(describe("DESCRIBE catalog"), Describe::Table { name, .. } if name.last() == "catalog"));
    assert!(matches!(describe("DESCRIBE DATABASE d"), Describe::Database { .. }));
    assert_eq!(describe("DESCRIBE JOB 'a1'"), Describe::Job("a1".to_string()));
}

#[test]
fn settings_may_be_quoted_or_bare() {
    let set = |sql: &str| match one(sql) {
        Statement::Set(Some((key, value))) => format!("{key}={value}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(set("SET 'a.b-c' = 'it''s'"), "a.b-c=it's");
    assert_eq!(set("SET sql-client.execution.result-mode=tableau;"), "sql-client.execution.result-mode=tableau");
    assert_eq!(set("SET table.local-time-zone = Asia/Shanghai"), "table.local-time-zone=Asia/Shanghai");
    assert_eq!(set("SET 'x' = 10 min"), "x=10 min");
    assert_eq!(one("SET"), Statement::Set(None));
    assert_eq!(one("RESET;"), Statement::Reset(None));
    assert_eq!(one("RESET 'a.b'"), Statement::Reset(Some("a.b".to_string())));
}

#[test]
fn sessions_are_steered_by_short_commands() {
    assert!(matches!(one("USE d"), Statement::Use(Use::Database(_))));
    assert!(matches!(one("USE CATALOG c"), Statement::Use(Use::Catalog(_))));
    let stop = StopJob { id: "1".to_string(), savepoint: true, drain: true };
    assert_eq!(one("STOP JOB '1' WITH SAVEPOINT WITH DRAIN"), Statement::StopJob(stop));
    assert_eq!(
        [one("help"), one("QUIT;"), one("exit"), one("CLEAR")],
        [Statement::Help, Statement::Quit, Statement::Quit, Statement::Clear]
    );
}

#[test]
fn what_is_parsed_from_its_own_text_is_the_same() {
    let script = "CREATE VIEW v AS SELECT a, COUNT(*) FROM t GROUP BY a; SELECT /*+ X */ CAST(a AS INT) FROM v /*+ OPTIONS('k'='v') */;
        CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('x'='${y:-z}'); INSERT INTO t SELECT 1, LOCALTIMESTAMP";
    let without_places = |parsed: &ParsedStatement| {
        let text = format!("{:?}", parsed.statement);
        let digits = |text: &str| {
            text.split("Location(").map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)).collect::<String>()
        };
        let place = |text: &str| {
            text.split("Place {").map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect::<String>()
        };
        place(&digits(&text))
    };
    for first in parsed(script) {
        let again = parsed(&first.text).remove(0);
        assert_eq!(without_places(&first), without_places(&again));
    }
}
