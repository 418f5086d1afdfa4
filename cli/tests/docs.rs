//! Writes the parts of `docs/` that the code knows best: connectors, formats, settings and functions.
//!
//! The test fails when a page is not what the code says; `UPDATE_EXPECT=1 cargo test -p tidemill --test docs` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::logical_expr::{ScalarUDF, Volatility};
use expect_test::expect_file;
use tidemill_exec::connect::{
    CHANGELOG_OPTIONS, DELIVERY_OPTIONS, LOOKUP_OPTIONS, OptionKind, OptionSpec, Registry, WATERMARK_OPTIONS,
};
use tidemill_planner::functions::{self, Function, Zone};
use tidemill_planner::settings::{SETTINGS, Settings};
use tidemill_planner::{engine, functions as f};

/// What the option lists do not say: which way rows go, what it is for, and a table to begin with.
struct Prose {
    name: &'static str,
    goes: &'static str,
    about: &'static str,
    example: &'static str,
}

const CONNECTORS: &[Prose] = &[
    Prose {
        name: "filesystem",
        goes: "source and sink",
        about: "Files, directories and globs. A table ends with its files, unless it watches for new ones \
                (`source.monitor-interval`) or follows files as they grow (`source.follow`). Files whose name ends in \
                `.gz` are unpacked. Names that begin with `_` or `.` are passed over. With `PARTITIONED BY`, \
                directories are called `column=value`. A sink writes part files, which appear under their names when \
                they are complete.",
        example: "CREATE TABLE orders (id INT, amount DECIMAL(10, 2))\n\
                  WITH ('connector' = 'filesystem', 'path' = 'orders.csv', 'format' = 'csv');",
    },
    Prose {
        name: "socket",
        goes: "source and sink",
        about: "A TCP connection: each line is a record. As a source it connects to a server and reads, or listens and \
                reads from everyone who connects. A line cut in two by the network is one line. As a sink it connects \
                and writes.",
        example: "CREATE TABLE typed (line STRING)\n\
                  WITH ('connector' = 'socket', 'hostname' = 'localhost', 'port' = '9999', 'format' = 'raw');",
    },
    Prose {
        name: "datagen",
        goes: "source",
        about: "Makes rows up: random ones, or sequences. `#` stands for the name of a column. It ends after \
                `number-of-rows`, or with its shortest sequence.",
        example: "CREATE TABLE readings (id INT, level DOUBLE) WITH (\n  \
                  'connector' = 'datagen', 'rows-per-second' = '10',\n  \
                  'fields.id.min' = '1', 'fields.id.max' = '5');",
    },
    Prose {
        name: "nexmark",
        goes: "source",
        about: "The persons, auctions and bids of the Nexmark benchmark. Options, defaults and schema are those of its Flink \
                connector; `base-time` is ours. An event is the same in every run and at any parallelism: what event n is \
                depends on n and the options alone. `event_type` is 0 for a person, 1 for an auction, 2 for a bid, and \
                the column of that name is filled, the others are NULL. Of the columns `event_type`, `person`, `auction` and \
                `bid`, and of the fields in them, a table may declare those it needs; their types are fixed. Events come as \
                fast as they are taken, whether the table ends or not, unless `max-emit-speed` is false. Event time does \
                not follow the clock: event n happens n / `first-event.rate` seconds after `base-time`. There are 16 \
                splits, which advance together. A table of all columns, the views and the benchmark's queries are in \
                [sql-tests/nexmark](../sql-tests/nexmark).",
        example: "CREATE TABLE bids (event_type INT, bid ROW<auction BIGINT, bidder BIGINT, price BIGINT>)\n\
                  WITH ('connector' = 'nexmark', 'events.num' = '100000');",
    },
    Prose {
        name: "values",
        goes: "source",
        about: "A few rows written into the table itself, for examples and tests.",
        example: "CREATE TABLE fruit (name STRING, price INT) WITH ('connector' = 'values', 'data' =\n\
                  '{\"name\": \"apple\", \"price\": 3}\n{\"name\": \"pear\", \"price\": 4}');",
    },
    Prose {
        name: "stdin",
        goes: "source",
        about: "What is piped into the process.",
        example: "CREATE TABLE log (line STRING) WITH ('connector' = 'stdin', 'format' = 'raw');",
    },
    Prose {
        name: "stdout",
        goes: "sink",
        about: "Writes rows to standard output in a format that other programs read. It cannot take rows back.",
        example: "CREATE TABLE out (k STRING, n BIGINT) WITH ('connector' = 'stdout', 'format' = 'json');",
    },
    Prose {
        name: "print",
        goes: "sink",
        about: "A line for each change, `+I[a, 1]`, in the text of Flink's connector of this name.",
        example: "CREATE TABLE out (k STRING, n BIGINT) WITH ('connector' = 'print');",
    },
    Prose {
        name: "blackhole",
        goes: "sink",
        about: "Takes everything and keeps nothing: to measure how fast the rest is.",
        example: "CREATE TABLE out (k STRING, n BIGINT) WITH ('connector' = 'blackhole');",
    },
];

const FORMATS: &[Prose] = &[
    Prose {
        name: "csv",
        goes: "read and written",
        about: "A line per record, fields by position. An empty number is an error unless `csv.null-literal` is the \
                empty text, as in Flink.",
        example: "",
    },
    Prose {
        name: "json",
        goes: "read and written",
        about: "One JSON object per line, fields by name. A field that is missing is NULL.",
        example: "",
    },
    Prose {
        name: "debezium-json",
        goes: "read and written",
        about: "Changes as Debezium writes them: `{\"before\": {..}, \"after\": {..}, \"op\": \"u\"}`, where `op` is c (or r, for what was there \
                before), u or d. A row that changes is taken back as `before` and comes again as `after`. Written, each change is a \
                c or a d, as in Flink. Only streams can read them. Of an [upsert table](#changes-of-a-table), a record need not have the row \
                as it was.",
        example: "",
    },
    Prose {
        name: "ogg-json",
        goes: "read and written",
        about: "The same as Oracle GoldenGate writes it: the kind of change is in `op_type`, and is I, U or D.",
        example: "",
    },
    Prose {
        name: "maxwell-json",
        goes: "read and written",
        about: "Changes as Maxwell writes them: `{\"type\": \"update\", \"data\": {..}, \"old\": {..}}`, where `type` is insert, update or \
                delete. `old` has only the fields that were different; the row as it was is `data` with these put in. Written, each \
                change is an insert or a delete, as in Flink.",
        example: "",
    },
    Prose {
        name: "canal-json",
        goes: "read and written",
        about: "Changes as Canal writes them: `{\"type\": \"UPDATE\", \"data\": [{..}], \"old\": [{..}]}`, where `type` is INSERT, UPDATE or \
                DELETE, and `data` and `old` are arrays of as many rows as the statement changed. `old` has only the fields that were \
                different. A CREATE is passed over; any other statement that is not about rows is a bad record, as in Flink. \
                Written, each change is an INSERT or a DELETE of one row. With `canal-json.table.include`, the columns of other \
                tables do not matter. Metadata columns have what the record says that brings a change, also in the row it takes back.",
        example: "CREATE TABLE people (\n  id INT, name STRING,\n  origin STRING METADATA FROM 'value.table' VIRTUAL,\n  \
                  PRIMARY KEY (id) NOT ENFORCED\n) WITH ('connector' = 'socket', 'hostname' = 'localhost', 'port' = '9999',\n        \
                  'format' = 'canal-json', 'canal-json.table.include' = 'people(_\\d+)?');",
    },
    Prose {
        name: "raw",
        goes: "read and written",
        about: "The record is the value of the table's one column: a line of text, bytes, or a number.",
        example: "",
    },
    Prose {
        name: "parquet",
        goes: "read and written, files only",
        about: "Whole files, read column by column. Columns are found by name; one that a file lacks is NULL.",
        example: "",
    },
];

fn kind(kind: OptionKind) -> String {
    match kind {
        OptionKind::Text => "text".to_string(),
        OptionKind::Boolean => "boolean".to_string(),
        OptionKind::Integer => "integer".to_string(),
        OptionKind::Duration => "duration".to_string(),
        OptionKind::Bytes => "size".to_string(),
        OptionKind::OneOf(choices) => choices.join(", "),
    }
}

fn options(page: &mut String, specs: &[OptionSpec]) {
    if specs.is_empty() {
        page.push_str("It has no options.\n\n");
        return;
    }
    page.push_str("| option | type | default | |\n|---|---|---|---|\n");
    for spec in specs {
        let default = match spec.default {
            Some(default) => format!("`{default}`"),
            None if spec.required => "required".to_string(),
            None => String::new(),
        };
        let _ = writeln!(page, "| `{}` | {} | {default} | {} |", spec.name, kind(spec.kind), spec.help);
    }
    page.push('\n');
}

fn metadata(page: &mut String, columns: &[(&str, &str, &str)]) {
    if columns.is_empty() {
        return;
    }
    page.push_str("| metadata column | type | |\n|---|---|---|\n");
    for (key, about, data_type) in columns {
        let _ = writeln!(page, "| `{key}` | {data_type} | {about} |");
    }
    page.push('\n');
}

/// A section per entry of `known`, which must have prose each.
fn section<'a>(page: &mut String, prose: &'a [Prose], name: &str) -> &'a Prose {
    let prose = prose.iter().find(|prose| prose.name == name);
    let prose = prose.unwrap_or_else(|| panic!("say in this file what '{name}' is for"));
    let _ = writeln!(page, "### {} ({})\n\n{}\n", prose.name, prose.goes, prose.about);
    if !prose.example.is_empty() {
        let _ = writeln!(page, "```sql\n{}\n```\n", prose.example);
    }
    prose
}

const CONNECTORS_HEAD: &str = "\
# Connectors and formats

A table says where its rows come from or go to, and in which form:

```sql
CREATE TABLE t (...) WITH ('connector' = 'filesystem', 'path' = 'logs/*.json', 'format' = 'json');
```

Keys may be written with or without quotes. An option that is not in these lists is an error, with the nearest one that is.
Durations are written `500 ms`, `10 s`, `1 min`, `2 h`; sizes `64 kb`, `128 mb`, `1 gb`. For one query, options are
changed by a hint: `SELECT * FROM t /*+ OPTIONS('path' = 'other.json') */`.

This page is written from the lists the program checks against (`cli/tests/docs.rs`).

";

const CHANGELOG: &str = "\
## Changes of a table

Every table can have this besides; name and values are those of Confluent's Flink. What it means to queries: [Changes](sql.md#changes).

| mode | read | written |
|---|---|---|
| `append` | each record is a row more: all formats but those of changes, and what these do if nothing is said | takes no query that changes its rows |
| `upsert` | each record replaces the row of its primary key; one of a format of changes may also remove it, and need not say what was before | gets for each key the row that is there, or that it goes: formats of changes write an update without `before` (or `old`), others take only rows that come |
| `retract` | a row is taken back as it came, all of it: formats of changes, and what these do if nothing is said | the same: an update is what was before, taken back, and what is now |

```sql
CREATE TABLE stock (item STRING, pieces INT, PRIMARY KEY (item) NOT ENFORCED) WITH (
  'connector' = 'filesystem', 'path' = 'stock.json', 'format' = 'json', 'source.follow' = 'true',
  'changelog.mode' = 'upsert');
```

";

const WATERMARKS: &str = "\
## Watermarks

Every table with a `WATERMARK` can have these besides. With strategy `percentile` the delay is a quantile of the lateness observed so far
(after Ji et al., \"Quality-Driven Continuous Query Execution over Out-of-Order Data Streams\", SIGMOD 2015): the share that
`scan.watermark.percentile` says, 0.99 if it says nothing, is in time. It follows a stream that changes, gives no watermark before it has seen
256 rows of a split, and takes no account of the expression in `WATERMARK FOR`.

";

const LOOKUPS: &str = "\
## Lookups

Every table that a [lookup join](sql.md#lookup-joins) asks can have these besides. Tables of `filesystem` (unless they are watched or followed) and of
`values` are read as a whole: their cache is `FULL`. A connector of your own that can be asked by key begins without a cache; with `FULL` it is read
as a whole too. While rows are read again, the former ones answer.

";

const DELIVERY: &str = "\
## Delivery

Every table that is written can have these besides. What is seen of a job that fails and goes on depends on its sinks (`EXPLAIN` says it, `delivery=`).
`filesystem` shows each row once anyway. `print`, `stdout`, `socket` and a connector of your own that writes at once show rows since the last
checkpoint again; with `exactly-once` they get a write-ahead log, as with Flink's GenericWriteAheadSink: rows wait in the job's checkpoint directory, and are
written, in order, when the checkpoint that has them is there. How far that has come is recorded after each part (8 MB, or what is there at the
checkpoint), so after a crash at most one part is written again: the one that was being written, or was not recorded yet. The same if
a part cannot be written, and the connector does not tell what of it was. A job without checkpoints is refused, and so is batch mode. Rows are seen
when a checkpoint is taken (`execution.checkpointing.interval`), not before. A table whose reader keeps the last row of each primary key does not need
it: to it, a row that comes twice is one.

";

fn connectors() -> String {
    let registry = Registry::default();
    let mut page = CONNECTORS_HEAD.to_string();
    page.push_str("## Connectors\n\n");
    for prose in CONNECTORS {
        assert!(registry.connectors().any(|connector| connector.name() == prose.name), "{} is gone", prose.name);
    }
    for connector in registry.connectors() {
        section(&mut page, CONNECTORS, connector.name());
        options(&mut page, connector.options());
        metadata(&mut page, connector.metadata());
    }
    page.push_str(CHANGELOG);
    options(&mut page, CHANGELOG_OPTIONS);
    page.push_str(WATERMARKS);
    options(&mut page, WATERMARK_OPTIONS);
    page.push_str(LOOKUPS);
    options(&mut page, LOOKUP_OPTIONS);
    page.push_str(DELIVERY);
    options(&mut page, DELIVERY_OPTIONS);
    page.push_str("## Formats\n\n");
    for format in registry.formats() {
        section(&mut page, FORMATS, format.name());
        options(&mut page, format.options());
        metadata(&mut page, &format.metadata());
    }
    format!("{}\n", page.trim_end())
}

const SETTINGS_HEAD: &str = "\
# Settings

`SET 'key' = 'value'` in the shell or a script, `-D key=value` on the command line; `SET;` shows all, `RESET 'key'` goes
back to the default. Further settings of Flink that scripts carry along (`execution.checkpointing.mode`,
`table.exec.mini-batch.enabled` and the like) are accepted without effect; a key that nobody knows is an error.

This page is written from the list the program checks against (`cli/tests/docs.rs`).

";

fn settings() -> String {
    let mut page = SETTINGS_HEAD.to_string();
    options(&mut page, SETTINGS);
    format!("{}\n", page.trim_end())
}

const FUNCTIONS_HEAD: &str = "\
# Functions

Names do not care about case. Functions that Flink has mean here what they mean in Flink (its documentation describes
them one by one); what DataFusion has besides can be used too. `SHOW FUNCTIONS;` lists them all.

This page is written from what a session registers (`cli/tests/docs.rs`).

";

fn functions() -> String {
    let zone = Zone::utc();
    let udfs = |functions: Vec<Function>| -> Vec<Arc<ScalarUDF>> {
        functions.into_iter().map(|function| function.into_udf(&zone)).collect()
    };
    let groups = [
        ("Text", f::string::all()),
        ("Numbers", f::math::all()),
        ("Dates and times", f::datetime::all("UTC", Volatility::Volatile)),
        ("Conditions", udfs(f::conditional::all())),
        (
            "Arrays, maps and rows",
            udfs([f::collection::all(), f::split::all(), f::row::all(), f::access::all()].concat()),
        ),
        ("JSON", udfs(f::json::all())),
        ("Types", udfs(f::cast::all())),
        ("Event time", udfs(f::window::all())),
    ];
    let mut page = FUNCTIONS_HEAD.to_string();
    let mut known = BTreeSet::new();
    let registered = functions::all("UTC", true).expect("UTC is a time zone");
    let is_public = |name: &&str| !name.starts_with("__") && !name.starts_with('$');
    for (title, group) in groups {
        let names: BTreeSet<&str> = group
            .iter()
            .flat_map(|function| std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)))
            .filter(is_public)
            .collect();
        known.extend(names.iter().map(|name| name.to_string()));
        if !names.is_empty() {
            list(&mut page, title, names);
        }
    }
    for function in &registered {
        assert!(
            known.contains(function.name()) || !is_public(&function.name()),
            "{} is in no group of this page",
            function.name()
        );
    }
    page.push_str(SPELLED);
    let aggregates = tidemill_exec::aggregate::all();
    let ours: BTreeSet<&str> = aggregates
        .iter()
        .flat_map(|function| {
            let aliases = tidemill_exec::aggregate::aliases(function.name());
            std::iter::once(function.name()).chain(aliases.iter().copied())
        })
        .filter(|name| is_public(name) && !name.contains("_ON_NULL"))
        .collect();
    list(&mut page, "Aggregates", ours.iter().copied());
    page.push_str(
        "All take `DISTINCT` and `FILTER (WHERE ...)`, and all take rows back, so they work over updating input as well.\n\n",
    );
    known.extend(aggregates.iter().map(|function| function.name().to_lowercase()));
    known.extend(ours.iter().map(|name| name.to_lowercase()));

    let state = engine::state(&Settings::default(), true, Arc::new(|_| {})).expect("the defaults are right");
    let more = |names: Vec<String>| -> Vec<String> { names.into_iter().filter(|name| !known.contains(name)).collect() };
    let scalars = more(engine::public_names(state.scalar_functions().keys()));
    list(&mut page, "From DataFusion", scalars.iter().map(String::as_str));
    let aggregates = more(engine::public_names(state.aggregate_functions().keys()));
    list(&mut page, "Aggregates from DataFusion", aggregates.iter().map(String::as_str));
    page.push_str("In streams these take only input that never takes a row back.\n\n");
    let windows = engine::public_names(state.window_functions().keys());
    list(&mut page, "Over windows, in batch queries", windows.iter().map(String::as_str));
    page.push_str("Aggregates too can be followed by `OVER (...)` there.\n");
    page
}

/// Functions with a grammar of their own, which no list of names shows.
const SPELLED: &str = "\
## With a grammar of their own

`CAST(x AS t)`, `TRY_CAST(x AS t)`, `x::t`, `EXTRACT(unit FROM t)`, `CEIL(t TO unit)`, `FLOOR(t TO unit)`,
`TIMESTAMPADD(unit, n, t)`, `TIMESTAMPDIFF(unit, a, b)`, `POSITION(a IN b)`, `SUBSTRING(s FROM i FOR n)`,
`TRIM([LEADING | TRAILING | BOTH] c FROM s)`, `OVERLAY(s PLACING r FROM i FOR n)`, `a [NOT] LIKE b ESCAPE c`,
`a [NOT] SIMILAR TO b`, `a BETWEEN [SYMMETRIC] b AND c`, `(a, b) OVERLAPS (c, d)`, `x IS [NOT] JSON`, `JSON_VALUE`,
`JSON_QUERY`, `JSON_EXISTS`, `JSON_OBJECT`, `JSON_ARRAY`, `JSON_OBJECTAGG`, `JSON_ARRAYAGG`, `ARRAY[...]`, `MAP[...]`,
`ROW(...)`, `a[i]`, `m['key']`, `r.field`, `CASE`, `CURRENT_TIMESTAMP` and its kin.

";

fn list<'a>(page: &mut String, title: &str, names: impl IntoIterator<Item = &'a str>) {
    let _ = writeln!(page, "## {title}\n");
    let mut line = String::new();
    for name in names {
        let name = format!("`{}`", name.to_uppercase());
        if line.len() + name.len() > 117 {
            let _ = writeln!(page, "{line},");
            line.clear();
        }
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push_str(&name);
    }
    let _ = writeln!(page, "{line}\n");
}

#[test]
fn the_page_of_connectors_is_what_the_registry_says() {
    expect_file!["../../docs/connectors.md"].assert_eq(&connectors());
}

#[test]
fn the_page_of_settings_is_what_the_session_takes() {
    expect_file!["../../docs/settings.md"].assert_eq(&settings());
}

#[test]
fn the_page_of_functions_is_what_a_session_registers() {
    expect_file!["../../docs/functions.md"].assert_eq(&functions());
}
