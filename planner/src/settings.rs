//! `SET 'key' = 'value'`: what a session can be told, with Flink's names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tidemill_exec::checkpoint::{Durability, RestartStrategy, Retention};
use tidemill_exec::connect::{OptionKind, OptionSpec, Options};
use tidemill_exec::coordinator::Rhythm;
use tidemill_exec::lookup::LookupLimits;
use tidemill_exec::operators::{Emit, Firing, Ttl};
use tidemill_exec::text::Zone;
use tidemill_exec::window::LocalClock;
use tidemill_exec::{Error, JobOptions, Result, StateBackend};
use tidemill_state::checkpoint::Store;

use OptionKind::{Boolean, Bytes, Duration as Time, Integer, OneOf, Text};

/// Every setting that does something here, in alphabetical order.
pub const SETTINGS: &[OptionSpec] = &[
    OptionSpec::optional(
        "execution.checkpointing.dir",
        Text,
        "where jobs keep checkpoints: a directory or `s3://`, `gs://`, `az://`",
    ),
    OptionSpec::with_default(
        "execution.checkpointing.externalized-checkpoint-retention",
        OneOf(&["RETAIN_ON_CANCELLATION", "DELETE_ON_CANCELLATION", "NO_EXTERNALIZED_CHECKPOINTS"]),
        "RETAIN_ON_CANCELLATION",
        "whether checkpoints stay when the job is stopped; when its input has ended they go",
    ),
    OptionSpec::optional(
        "execution.checkpointing.interval",
        Time,
        "time between checkpoints, 10 s for a job that keeps any; 0 ms: none are taken",
    ),
    OptionSpec::with_default(
        "execution.checkpointing.min-pause",
        Time,
        "0 ms",
        "time between the end of a checkpoint and the beginning of the next, at least",
    ),
    OptionSpec::with_default("execution.checkpointing.num-retained", Integer, "2", "how many checkpoints stay"),
    OptionSpec::optional(
        "execution.checkpointing.savepoint-dir",
        Text,
        "where STOP JOB ... WITH SAVEPOINT puts savepoints; also written `state.savepoints.dir`",
    ),
    OptionSpec::with_default(
        "execution.checkpointing.timeout",
        Time,
        "10 min",
        "a checkpoint that takes longer is given up",
    ),
    OptionSpec::optional(
        "execution.checkpointing.tolerable-failed-checkpoints",
        Integer,
        "so many in a row may fail before the job does; default: any number",
    ),
    OptionSpec::with_default(
        "execution.epoch.interval",
        Time,
        "100 ms",
        "how long an epoch lasts under load; longer, up to ten times, if the changes of one take more than a tenth of it to go out",
    ),
    OptionSpec::with_default(
        "execution.runtime-mode",
        OneOf(&["automatic", "batch", "streaming"]),
        "automatic",
        "how queries run; automatic: SELECT over bounded tables in batch, everything else as a stream",
    ),
    OptionSpec::with_default(
        "execution.state-recovery.ignore-unclaimed-state",
        Boolean,
        "false",
        "a job goes on without the state that no part of it takes",
    ),
    OptionSpec::optional(
        "execution.state-recovery.path",
        Text,
        "the savepoint that a job without checkpoints of its own begins with",
    ),
    OptionSpec::optional(
        "io.tmp.dirs",
        Text,
        "directory for state that does not fit into memory; default: the system's for temporary files",
    ),
    OptionSpec::optional("parallelism.default", Integer, "shards per stage; default: the number of cores"),
    OptionSpec::with_default(
        "pipeline.auto-watermark-interval",
        Time,
        "200 ms",
        "a watermark is sent when event time has advanced by more than this; 0 ms: with every row that advances it",
    ),
    OptionSpec::optional("pipeline.name", Text, "name of the next job in SHOW JOBS"),
    OptionSpec::with_default(
        "sql-client.execution.result-mode",
        OneOf(&["table", "changelog", "tableau"]),
        "table",
        "how the shell shows an updating result",
    ),
    OptionSpec::with_default(
        "restart-strategy.exponential-delay.backoff-multiplier",
        Text,
        "1.5",
        "by how much longer each delay is than the last",
    ),
    OptionSpec::with_default("restart-strategy.exponential-delay.initial-backoff", Time, "1 s", "the first delay"),
    OptionSpec::with_default("restart-strategy.exponential-delay.max-backoff", Time, "1 min", "the longest delay"),
    OptionSpec::with_default(
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        Time,
        "1 h",
        "a job that has run for so long begins with the first delay again",
    ),
    OptionSpec::with_default("restart-strategy.failure-rate.delay", Time, "1 s", "time before a job starts again"),
    OptionSpec::with_default(
        "restart-strategy.failure-rate.failure-rate-interval",
        Time,
        "1 min",
        "over which failures are counted",
    ),
    OptionSpec::with_default(
        "restart-strategy.failure-rate.max-failures-per-interval",
        Integer,
        "1",
        "a job that fails more often ends",
    ),
    OptionSpec::with_default("restart-strategy.fixed-delay.attempts", Integer, "1", "how often a job starts again"),
    OptionSpec::with_default("restart-strategy.fixed-delay.delay", Time, "1 s", "time before a job starts again"),
    OptionSpec::with_default(
        "restart-strategy.type",
        OneOf(&[
            "none",
            "off",
            "disable",
            "fixed-delay",
            "fixeddelay",
            "exponential-delay",
            "exponentialdelay",
            "failure-rate",
            "failurerate",
        ]),
        "none",
        "whether a job with checkpoints starts again by itself when it has failed",
    ),
    OptionSpec::with_default(
        "state.backend.type",
        OneOf(&["memory", "hashmap", "disk", "rocksdb", "forst"]),
        "memory",
        "where keyed state is while a job runs: in memory, or on local disk as far as `state.memory` does not hold it; Flink's names mean memory \
         (`hashmap`) and disk (`rocksdb`, `forst`)",
    ),
    OptionSpec::with_default("state.memory", Bytes, "512 mb", "memory for the state of a job whose backend is `disk`"),
    OptionSpec::optional("state.savepoints.dir", Text, "the same as execution.checkpointing.savepoint-dir, which wins"),
    OptionSpec::with_default("table.dml-sync", Boolean, "false", "INSERT waits until its job has finished"),
    OptionSpec::with_default(
        "table.exec.async-lookup.buffer-capacity",
        Integer,
        "100",
        "lookups under way at once, per shard; each asks for the rows of a batch",
    ),
    OptionSpec::with_default(
        "table.exec.async-lookup.timeout",
        Time,
        "3 min",
        "a lookup that takes longer, with all it takes to ask again, fails the job; 0 ms: none does",
    ),
    OptionSpec::with_default(
        "table.exec.emit",
        OneOf(&["epoch", "each-row"]),
        "epoch",
        "updating results change once per epoch, or once per input row as in Flink without mini-batch",
    ),
    OptionSpec::with_default(
        "table.exec.emit.allow-lateness",
        Time,
        "0 ms",
        "how long windows take late rows after they have closed; their results then change",
    ),
    OptionSpec::optional(
        "table.exec.emit.early-fire.delay",
        Time,
        "time between early results of a window, by the wall clock; 0 ms: with every change",
    ),
    OptionSpec::with_default(
        "table.exec.emit.early-fire.enabled",
        Boolean,
        "false",
        "windows give results before they close",
    ),
    OptionSpec::optional(
        "table.exec.emit.late-fire.delay",
        Time,
        "time between results of a window that late rows have changed; 0 ms: with every change",
    ),
    OptionSpec::with_default(
        "table.exec.emit.late-fire.enabled",
        Boolean,
        "false",
        "late-fire.delay counts; without it every change by a late row is a result",
    ),
    OptionSpec::with_default(
        "table.exec.recursion.memory",
        Bytes,
        "256 mb",
        "rows of a WITH RECURSIVE that wait for their next round, per shard; with more of them the query fails",
    ),
    OptionSpec::with_default(
        "table.exec.recursion.rounds",
        Integer,
        "1000",
        "after so many rounds of a WITH RECURSIVE an epoch ends without its last results; 0: epochs do not wait for it",
    ),
    OptionSpec::optional(
        "table.exec.resource.default-parallelism",
        Integer,
        "the same as parallelism.default, which wins",
    ),
    OptionSpec::with_default(
        "table.exec.sink.not-null-enforcer",
        OneOf(&["ERROR", "DROP"]),
        "ERROR",
        "what happens to a null for a NOT NULL column of a sink",
    ),
    OptionSpec::with_default(
        "table.exec.sink.upsert-materialize",
        OneOf(&["AUTO", "FORCE"]),
        "AUTO",
        "FORCE: a table with a primary key gets the last of the rows that have it, as if ON CONFLICT DO DEDUPLICATE were said everywhere",
    ),
    OptionSpec::with_default(
        "table.exec.source.cdc-events-duplicate",
        Boolean,
        "false",
        "changes that a table reads may come twice: the last row of each primary key counts",
    ),
    OptionSpec::with_default(
        "table.exec.source.idle-timeout",
        Time,
        "0 ms",
        "a source or split that gives nothing for so long no longer holds event time back; 0 ms: it always does",
    ),
    OptionSpec::with_default(
        "table.exec.state.ttl",
        Time,
        "0 ms",
        "keys and rows that are not used for so long are forgotten by GROUP BY, DISTINCT, joins, top-N and OVER; 0 ms: never",
    ),
    OptionSpec::with_default("table.local-time-zone", Text, "UTC", "time zone of TIMESTAMP_LTZ, such as Europe/Berlin"),
    OptionSpec::with_default(
        "table.optimizer.multi-join.enabled",
        Boolean,
        "true",
        "joins above each other that compare one key run as one operator, which keeps nothing in between",
    ),
];

/// Settings of Flink that scripts carry along and that need nothing here: accepted, checked for their type, without effect.
const ACCEPTED: &[OptionSpec] = &[
    OptionSpec::optional("execution.checkpointing.max-concurrent-checkpoints", Integer, "one is taken at a time"),
    OptionSpec::optional("execution.checkpointing.mode", Text, "guarantee of checkpoints; it is exactly once"),
    OptionSpec::optional("execution.checkpointing.unaligned.enabled", Boolean, "barriers are always aligned"),
    OptionSpec::optional("execution.target", Text, "where a Flink job is deployed"),
    OptionSpec::optional("pipeline.max-parallelism", Integer, "number of key groups"),
    OptionSpec::optional("pipeline.object-reuse", Boolean, "a JVM matter"),
    OptionSpec::optional("pipeline.operator-chaining", Boolean, "operators always chain here"),
    OptionSpec::optional("pipeline.operator-chaining.enabled", Boolean, "operators always chain here"),
    OptionSpec::optional("sql-client.execution.max-table-result.rows", Integer, "rows kept for the table view"),
    OptionSpec::optional("sql-client.display.max-column-width", Integer, "width of columns"),
    OptionSpec::optional("sql-client.verbose", Boolean, "stack traces"),
    OptionSpec::optional("table.exec.async-lookup.output-mode", Text, "rows always keep their order"),
    OptionSpec::optional("table.exec.async-lookup.key-ordered-enabled", Boolean, "rows always keep their order"),
    OptionSpec::optional("table.exec.mini-batch.allow-latency", Time, "epochs do this here"),
    OptionSpec::optional("table.exec.mini-batch.enabled", Boolean, "epochs do this here"),
    OptionSpec::optional("table.exec.mini-batch.size", Integer, "epochs do this here"),
    OptionSpec::optional("table.optimizer.agg-phase-strategy", Text, "phases are chosen by the planner"),
    OptionSpec::optional("table.optimizer.distinct-agg.split.enabled", Boolean, "distinct counts need no split here"),
    OptionSpec::optional("taskmanager.memory.process.size", Bytes, "a JVM matter"),
    OptionSpec::optional("taskmanager.numberOfTaskSlots", Integer, "there are no slots here"),
];

/// The settings of a session.
#[derive(Clone, Debug, Default)]
pub struct Settings(Options);

impl Settings {
    /// # Errors
    /// An unknown key (with the nearest known one), or a value that is not of its type.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let specs: Vec<OptionSpec> = SETTINGS.iter().chain(ACCEPTED).copied().collect();
        let one = Options::new([(key.to_string(), value.to_string())]);
        one.check("the session", &specs).map_err(|error| match specs.iter().any(|spec| spec.name == key) {
            true => Error::new(format!("cannot set '{key}' to '{value}'")).why(expected(&specs, key)),
            false => error,
        })?;
        if key == "table.local-time-zone" {
            value
                .parse::<chrono_tz::Tz>()
                .map(drop)
                .or_else(|_| value.parse::<arrow::array::timezone::Tz>().map(drop))
                .map_err(|_| {
                    Error::new(format!("unknown time zone '{value}'"))
                        .fix("use a name such as Europe/Berlin, or an offset such as +02:00")
                })?;
        }
        self.0.set(key, value);
        Ok(())
    }

    /// Whether the key does something here, or is only accepted because scripts carry it along.
    pub fn has_effect(key: &str) -> bool {
        SETTINGS.iter().any(|spec| spec.name == key)
    }

    /// Back to the default.
    pub fn reset(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Back to all defaults.
    pub fn reset_all(&mut self) {
        self.0 = Options::default();
    }

    /// What was set, in order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter()
    }

    /// What was set, and the defaults of the rest.
    pub fn all(&self) -> BTreeMap<&str, &str> {
        let defaults = SETTINGS.iter().filter_map(|spec| Some((spec.name, spec.default?)));
        defaults.chain(self.0.iter()).collect()
    }

    fn text(&self, key: &str) -> &str {
        self.0.text(SETTINGS, key).unwrap_or_default()
    }

    pub fn runtime_mode(&self) -> RuntimeMode {
        match self.text("execution.runtime-mode").to_lowercase().as_str() {
            "batch" => RuntimeMode::Batch,
            "streaming" => RuntimeMode::Streaming,
            _ => RuntimeMode::Automatic,
        }
    }

    pub fn emit(&self) -> Emit {
        if self.text("table.exec.emit").eq_ignore_ascii_case("each-row") { Emit::EachRow } else { Emit::Epoch }
    }

    /// Joins of one key are one operator.
    pub fn multi_join(&self) -> bool {
        self.0.boolean(SETTINGS, "table.optimizer.multi-join.enabled")
    }

    pub fn parallelism(&self) -> u16 {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from) as i64;
        let keys = ["parallelism.default", "table.exec.resource.default-parallelism"];
        let wanted = keys.iter().find_map(|key| self.0.integer(SETTINGS, key)).filter(|&shards| shards > 0);
        wanted.unwrap_or_else(cores).clamp(1, i64::from(tidemill_state::KEY_GROUPS)) as u16
    }

    /// Rounds of a recursion that an epoch waits for.
    pub fn recursion_rounds(&self) -> u64 {
        let rounds = self.0.integer(SETTINGS, "table.exec.recursion.rounds");
        rounds.map_or(1000, |rounds| rounds.max(0) as u64)
    }

    /// Bytes of rows that wait for their next round, per shard.
    pub fn recursion_memory(&self) -> usize {
        self.0.bytes(SETTINGS, "table.exec.recursion.memory").unwrap_or(256 << 20) as usize
    }

    /// How lookup joins ask.
    pub fn lookup_limits(&self) -> LookupLimits {
        let capacity = self.0.integer(SETTINGS, "table.exec.async-lookup.buffer-capacity");
        LookupLimits {
            capacity: capacity.map_or(100, |capacity| usize::try_from(capacity.max(1)).unwrap_or(usize::MAX)),
            timeout: self.duration("table.exec.async-lookup.timeout").filter(|timeout| !timeout.is_zero()),
        }
    }

    /// How jobs run.
    pub fn job_options(&self) -> JobOptions {
        let epoch_interval = self.0.duration(SETTINGS, "execution.epoch.interval");
        let state = match self.text("state.backend.type").to_lowercase().as_str() {
            "memory" | "hashmap" => StateBackend::Memory,
            _ => StateBackend::Disk {
                directory: self.0.get("io.tmp.dirs").map_or_else(std::env::temp_dir, PathBuf::from),
                memory: self.0.bytes(SETTINGS, "state.memory").unwrap_or(512 << 20) as usize,
            },
        };
        JobOptions { state, ..JobOptions::new(epoch_interval.unwrap_or(Duration::from_millis(100))) }
    }

    /// Time between checkpoints, if it was said.
    pub fn checkpoint_interval(&self) -> Option<Duration> {
        self.duration("execution.checkpointing.interval")
    }

    /// Where jobs keep checkpoints, if it was said.
    pub fn checkpoint_dir(&self) -> Option<&str> {
        self.0.get("execution.checkpointing.dir")
    }

    fn restart_strategy(&self) -> RestartStrategy {
        let time = |key: &str| self.duration(&format!("restart-strategy.{key}")).unwrap_or_default();
        let number = |key: &str| {
            let number = self.0.integer(SETTINGS, &format!("restart-strategy.{key}"));
            number.and_then(|number| u32::try_from(number.max(0)).ok()).unwrap_or(u32::MAX)
        };
        match self.text("restart-strategy.type").to_lowercase().as_str() {
            "fixed-delay" | "fixeddelay" => RestartStrategy::FixedDelay {
                attempts: number("fixed-delay.attempts"),
                delay: time("fixed-delay.delay"),
            },
            "failure-rate" | "failurerate" => RestartStrategy::FailureRate {
                failures: number("failure-rate.max-failures-per-interval"),
                interval: time("failure-rate.failure-rate-interval"),
                delay: time("failure-rate.delay"),
            },
            "exponential-delay" | "exponentialdelay" => RestartStrategy::ExponentialDelay {
                initial: time("exponential-delay.initial-backoff"),
                max: time("exponential-delay.max-backoff"),
                multiplier: self
                    .text("restart-strategy.exponential-delay.backoff-multiplier")
                    .trim()
                    .parse()
                    .ok()
                    .filter(|multiplier: &f64| multiplier.is_finite() && *multiplier >= 1.0)
                    .unwrap_or(1.5),
                reset_after: time("exponential-delay.reset-backoff-threshold"),
            },
            _ => RestartStrategy::None,
        }
    }

    /// Where savepoints go, if it was said.
    pub fn savepoint_dir(&self) -> Option<&str> {
        self.0.get("execution.checkpointing.savepoint-dir").or_else(|| self.0.get("state.savepoints.dir"))
    }

    /// The savepoint that jobs begin with.
    pub fn savepoint(&self) -> Option<&str> {
        self.0.get("execution.state-recovery.path")
    }

    /// How a job keeps checkpoints there.
    pub fn durability(&self, store: Store, statement: String) -> Durability {
        let number = |key: &str| self.0.integer(SETTINGS, key).and_then(|number| u32::try_from(number.max(0)).ok());
        let durability = Durability::new(store);
        let rhythm = Rhythm {
            interval: self.checkpoint_interval().unwrap_or(durability.rhythm.interval),
            min_pause: self.duration("execution.checkpointing.min-pause").unwrap_or_default(),
            timeout: self.duration("execution.checkpointing.timeout").unwrap_or(durability.rhythm.timeout),
        };
        let retention = self.text("execution.checkpointing.externalized-checkpoint-retention");
        Durability {
            rhythm,
            tolerable_failures: number("execution.checkpointing.tolerable-failed-checkpoints"),
            retained: number("execution.checkpointing.num-retained").unwrap_or(2).max(1) as usize,
            retention: Retention::new(retention.eq_ignore_ascii_case("RETAIN_ON_CANCELLATION")),
            restart: self.restart_strategy(),
            statement,
            allow_non_restored: self.0.boolean(SETTINGS, "execution.state-recovery.ignore-unclaimed-state"),
            ..durability
        }
    }

    pub fn time_zone(&self) -> &str {
        self.text("table.local-time-zone")
    }

    /// The clock on the wall of that zone: what windows over `TIMESTAMP_LTZ` follow.
    pub fn clock(&self) -> LocalClock {
        LocalClock(Zone::parse(self.time_zone()).unwrap_or(Zone::UTC))
    }

    /// By how many milliseconds a watermark rises before it is sent.
    pub fn watermark_interval(&self) -> i64 {
        self.duration("pipeline.auto-watermark-interval").unwrap_or_default().as_millis() as i64
    }

    /// How long a split may be silent before it no longer holds time back.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.duration("table.exec.source.idle-timeout").filter(|timeout| !timeout.is_zero())
    }

    /// How windows give results early and again, if they do.
    pub fn firing(&self) -> Option<WindowFiring> {
        let enabled = |what: &str| self.0.boolean(SETTINGS, &format!("table.exec.emit.{what}-fire.enabled"));
        let firing = |what: &str| match self.duration(&format!("table.exec.emit.{what}-fire.delay")) {
            Some(delay) if !delay.is_zero() => Firing::Every(delay),
            _ => Firing::EachChange,
        };
        let lateness = self.duration("table.exec.emit.allow-lateness").unwrap_or_default();
        let early = enabled("early").then(|| firing("early"));
        let late = if enabled("late") { firing("late") } else { Firing::EachChange };
        (early.is_some() || !lateness.is_zero()).then_some(WindowFiring { lateness, early, late })
    }

    /// How long state stays that is not used, if not for good.
    pub fn ttl(&self) -> Option<Ttl> {
        self.duration("table.exec.state.ttl").filter(|ttl| !ttl.is_zero()).map(Ttl)
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        self.0.duration(SETTINGS, key)
    }

    pub fn result_mode(&self) -> &str {
        self.text("sql-client.execution.result-mode")
    }

    pub fn is_dml_sync(&self) -> bool {
        self.0.boolean(SETTINGS, "table.dml-sync")
    }

    /// Rows with a null for a NOT NULL column are dropped, rather than failing the job.
    pub fn drops_nulls(&self) -> bool {
        self.text("table.exec.sink.not-null-enforcer").eq_ignore_ascii_case("DROP")
    }

    /// A sink with a primary key is given one row per key whatever its query looks like.
    pub fn always_materializes_upserts(&self) -> bool {
        self.text("table.exec.sink.upsert-materialize").eq_ignore_ascii_case("FORCE")
    }

    /// Changes that are read may come twice.
    pub fn cdc_events_duplicate(&self) -> bool {
        self.0.boolean(SETTINGS, "table.exec.source.cdc-events-duplicate")
    }

    pub fn job_name(&self) -> Option<&str> {
        self.0.get("pipeline.name")
    }
}

fn expected(specs: &[OptionSpec], key: &str) -> String {
    match specs.iter().find(|spec| spec.name == key).map(|spec| spec.kind) {
        Some(Boolean) => "it must be true or false".to_string(),
        Some(Integer) => "it must be a whole number".to_string(),
        Some(Time) => "it must be a duration such as 500 ms, 10 s or 1 min".to_string(),
        Some(Bytes) => "it must be a size such as 64 kb or 128 mb".to_string(),
        Some(OneOf(choices)) => format!("it must be one of {}", choices.join(", ")),
        Some(Text) | None => "it is not a value it can have".to_string(),
    }
}

/// `table.exec.emit.*`: when windows give results, beside when they close.
#[derive(Clone, Copy, Debug)]
pub struct WindowFiring {
    pub lateness: Duration,
    pub early: Option<Firing>,
    pub late: Firing,
}

/// `execution.runtime-mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeMode {
    Automatic,
    Batch,
    Streaming,
}
