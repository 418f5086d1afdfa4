//! Jobs that are killed, stopped, altered or run twice, and what becomes of their state.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Process, run, tidemill};

/// A directory with a script and the file it reads.
struct Place(tempfile::TempDir);

impl Place {
    /// `query` counts what is in the table `lines`.
    fn new(query: &str) -> Place {
        let place = Place(tempfile::tempdir().expect("there is room for a directory"));
        std::fs::write(place.path("words.txt"), "").expect("the file is made");
        place.script(query);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, query: &str) {
        let sql = format!(
            "SET 'execution.checkpointing.interval' = '10 ms';
             CREATE TABLE lines (line STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'raw',
               'source.follow' = 'true');
             CREATE TABLE counts (word STRING, times BIGINT) WITH ('connector' = 'print');
             INSERT INTO counts {query};",
            self.path("words.txt").display()
        );
        std::fs::write(self.path("count.sql"), sql).expect("the script is written");
    }

    fn append(&self, text: &str) {
        let mut file = std::fs::File::options().append(true).open(self.path("words.txt")).expect("the file is there");
        file.write_all(text.as_bytes()).expect("the file grows");
    }

    fn command(&self, more: &[&str]) -> Command {
        let script = self.path("count.sql").display().to_string();
        tidemill(&[&["run", &script], more].concat())
    }

    fn run(&self, more: &[&str]) -> Process {
        Process::start(&mut self.command(more))
    }

    fn state(&self) -> PathBuf {
        self.path("count.state/insert-into-counts")
    }
}

const COUNT: &str = "SELECT line, COUNT(*) FROM lines GROUP BY line";

/// Reads what the job prints, until this is among it.
fn until(process: &mut Process, wanted: &str) {
    while process.line() != wanted {}
}

#[test]
fn the_words_of_a_growing_file_are_counted_right_however_often_the_job_is_killed() {
    let place = Place::new(COUNT);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for run in 0..6 {
        let mut process = place.run(&["-p", &(1 + run % 3).to_string()]);
        // Each word this run adds is seen, and with it those of the runs before.
        for n in 0..200 {
            let word = format!("w{}", n % 7);
            place.append(&format!("{word}\n"));
            *expected.entry(word).or_default() += 1;
        }
        let mut missing: Vec<String> = expected.iter().map(|(word, times)| format!("{word}, {times}]")).collect();
        while !missing.is_empty() {
            let line = process.line();
            missing.retain(|last| !line.ends_with(last));
        }
        process.signal("KILL");
    }
}

#[test]
fn a_stopped_job_goes_on_where_it_was() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let place = Place::new(COUNT);
        place.append("tide\ntide\n");
        let mut process = place.run(&[]);
        until(&mut process, "+I[tide, 2]");
        process.signal(signal);
        let ended = process.end();
        assert_eq!(ended.code, Some(code));
        assert!(ended.err.contains("job 1 stopped: "), "{}", ended.err);
        place.append("tide\n");
        let mut process = place.run(&[]);
        until(&mut process, "+U[tide, 3]");
        process.until_error("job 1: goes on from checkpoint");
    }
}

#[test]
fn a_second_process_is_refused_and_told_of_the_first() {
    let place = Place::new(COUNT);
    let mut first = place.run(&[]);
    first.until_error("keeps checkpoints in");
    place.run(&[]).end().failed_saying(&["this job is run by another process", "is held by process", "--state-dir"]);
    assert!(first.is_running());
    place.append("tide\n");
    until(&mut first, "+I[tide, 1]");
}

#[test]
fn another_query_is_refused_unless_its_state_may_be_lost() {
    let place = Place::new(COUNT);
    place.append("tide\n");
    let mut process = place.run(&[]);
    until(&mut process, "+I[tide, 1]");
    process.signal("INT");
    process.end();
    place.script("SELECT UPPER(line), COUNT(*) FROM lines GROUP BY UPPER(line)");
    place.run(&[]).end().failed_saying(&[
        "the job is not the one whose checkpoint there is",
        "there is the state of: aggregate(keys=[line]",
        "--allow-non-restored-state",
    ]);
    place.append("mill\n");
    let mut process = place.run(&["--allow-non-restored-state"]);
    until(&mut process, "+I[MILL, 1]");
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let place = Place::new(COUNT);
    for change in ["+I[tide, 1]", "+U[tide, 2]"] {
        place.append("tide\n");
        let mut process = place.run(&[]);
        until(&mut process, change);
        process.signal("INT");
        process.end();
    }
    let newest = checkpoints(&place.state()).pop().expect("there is a checkpoint");
    for entry in std::fs::read_dir(&newest).expect("it is a directory").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "parquet") {
            std::fs::write(entry.path(), "rubbish").expect("the file is written over");
        }
    }
    place.append("tide\n");
    let mut process = place.run(&[]);
    until(&mut process, "+U[tide, 3]");
    process.until_error("a checkpoint cannot be used");
    process.until_error("is damaged: it has 7 bytes");
}

/// The directories of checkpoints, the newest last.
fn checkpoints(state: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(state).expect("the job keeps checkpoints here").flatten();
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter(|entry| entry.path().join("manifest.json").exists())
        .filter_map(|entry| Some((entry.file_name().to_str()?.strip_prefix("chk-")?.parse().ok()?, entry.path())))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

#[test]
fn a_job_that_comes_to_its_end_leaves_its_rows_and_no_state() {
    let place = Place::new(COUNT);
    let sql = format!(
        "CREATE TABLE n (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '5', 'fields.n.kind' = 'sequence',
           'fields.n.start' = '1', 'fields.n.end' = '5');
         CREATE TABLE o (n INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         INSERT INTO o SELECT n FROM n;",
        place.path("out").display()
    );
    std::fs::write(place.path("count.sql"), sql).expect("the script is written");
    let state = place.path("kept").display().to_string();
    assert_eq!(place.run(&["--state-dir", &state]).end().code, Some(0));
    assert!(!Path::new(&state).join("insert-into-o").exists());
    let files = std::fs::read_dir(place.path("out")).expect("the table is a directory").flatten();
    let rows: String = files.map(|file| std::fs::read_to_string(file.path()).expect("a file of text")).collect();
    assert_eq!(rows.lines().count(), 5, "{rows}");
}

#[test]
fn a_check_says_what_would_become_of_the_state_and_changes_nothing() {
    let place = Place::new(COUNT);
    place.append("tide\n");
    let check_with = |more: &[&str], wanted: &[&str]| {
        let mut command = place.command(&[&["--check", "--format", "csv"], more].concat());
        let ended = Process::start(&mut command).end();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let lines: Vec<&str> = ended.out.lines().skip(1).collect();
        assert_eq!(lines, wanted);
    };
    let check = |wanted: &[&str]| check_with(&[], wanted);
    check(&[
        "insert into counts,source lines,begins anew",
        "insert into counts,\"aggregate(keys=[line], aggregates=[count(Int64(1))])\",begins anew",
    ]);
    assert!(!place.path("count.state").exists(), "nothing is made");
    let mut process = place.run(&[]);
    until(&mut process, "+I[tide, 1]");
    process.signal("INT");
    process.end();
    let kept = [
        "insert into counts,source lines,kept",
        "insert into counts,\"aggregate(keys=[line], aggregates=[count(Int64(1))])\",kept",
    ];
    check(&kept);
    let elsewhere = place.path("elsewhere").display().to_string();
    check_with(&["--state-dir", &elsewhere, "--from-savepoint", &place.state().display().to_string()], &kept);
    place.script("SELECT line, SUM(1) FROM lines GROUP BY line");
    check(&[
        "insert into counts,source lines,kept",
        "insert into counts,\"aggregate(keys=[line], aggregates=[sum(Int32(1))])\",begins anew",
        "insert into counts,\"aggregate(keys=[line], aggregates=[count(Int64(1))])\",lost",
    ]);
}

#[test]
fn a_savepoint_is_another_beginning_for_the_same_job() {
    let place = Place::new(COUNT);
    place.append("tide\n");
    let mut process = place.run(&[]);
    until(&mut process, "+I[tide, 1]");
    process.signal("INT");
    process.end();
    let (state, savepoint) = (place.state().display().to_string(), place.path("saved").display().to_string());
    let said = Process::start(&mut tidemill(&["savepoint", &state, &savepoint])).end().succeeded();
    assert!(said.starts_with("savepoint of checkpoint "), "{said}");
    Process::start(&mut tidemill(&["savepoint", &state, &savepoint])).end().failed_saying(&["there is a savepoint"]);
    // The job goes on, and so does another that begins with the savepoint, at another parallelism.
    place.append("tide\n");
    for (more, change) in [
        (vec![], "+U[tide, 2]"),
        (vec!["--state-dir", "other", "--from-savepoint", savepoint.as_str(), "-p", "3"], "+U[tide, 2]"),
    ] {
        let other = place.path("other").display().to_string();
        let more: Vec<&str> =
            more.into_iter().map(|word| if word == "other" { other.as_str() } else { word }).collect();
        let mut process = place.run(&more);
        until(&mut process, change);
    }
    let sql = format!("SELECT line, `rows` FROM state('{savepoint}', 'aggregate') WHERE `rows` > 0");
    assert_eq!(super::process::run(&sql).succeeded(), "line,rows\ntide,1\n");
    let sql = format!("SELECT * FROM TABLE(state('{savepoint}', 'join'))");
    super::process::run(&sql).failed_saying(&["no operator join has state in", "known are: aggregate-"]);
    let sql = format!("SHOW CHECKPOINTS FROM '{savepoint}'");
    let shown = super::process::run(&sql).succeeded();
    assert!(shown.lines().nth(1).is_some_and(|line| line.contains("savepoint,")), "{shown}");
}

#[test]
fn a_star_of_four_keeps_the_rows_of_its_inputs_and_not_what_they_make() {
    let input = |name: &str| format!("(SELECT SPLIT_INDEX(line, ' ', 0) AS k, line AS l FROM lines) {name}");
    let place = Place::new(&format!(
        "SELECT a.k, COUNT(DISTINCT CONCAT(a.l, b.l, c.l, d.l)) FROM {} JOIN {} ON a.k = b.k JOIN {} ON b.k = c.k JOIN {} ON a.k = d.k GROUP BY a.k",
        input("a"),
        input("b"),
        input("c"),
        input("d"),
    ));
    (0..5).for_each(|n| place.append(&format!("tide {n}\n")));
    let mut process = place.run(&["-p", "2"]);
    while !process.line().ends_with("[tide, 625]") {}
    process.signal("INT");
    process.end();
    let state = place.state().display().to_string();
    for input in 1..=4 {
        let sql = format!(
            "SELECT k, COUNT(*) AS n, SUM(weight) AS s FROM state('{state}', 'multi-join.input-{input}') GROUP BY k"
        );
        assert_eq!(super::process::run(&sql).succeeded(), "k,n,s\ntide,5,5\n");
    }
}

#[test]
fn a_job_is_stopped_with_a_savepoint_and_drained() {
    let place = Place::new(COUNT);
    let (saved, kept) = (place.path("saved").display().to_string(), place.path("kept").display().to_string());
    let sql = |then: &str| {
        format!(
            "SET 'execution.checkpointing.interval' = '1 h'; SET 'execution.checkpointing.savepoint-dir' = '{saved}';
             SET 'execution.checkpointing.dir' = '{kept}';
             SET 'execution.checkpointing.externalized-checkpoint-retention' = 'DELETE_ON_CANCELLATION';
             CREATE TABLE n (n INT, ts AS TO_TIMESTAMP_LTZ(n * 1000, 3), WATERMARK FOR ts AS ts) WITH (
               'connector' = 'datagen', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '100000',
               'rows-per-second' = '10');
             CREATE TABLE o (n BIGINT) WITH ('connector' = 'print');
             INSERT INTO o SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE n, DESCRIPTOR(ts), INTERVAL '1' HOUR))
             GROUP BY window_start, window_end;
             {then}"
        )
    };
    // The window is an hour long: it only closes because the job is drained.
    let drained = super::process::run(&sql("STOP JOB '1' WITH SAVEPOINT WITH DRAIN;"));
    // Nothing may have been read by then.
    assert!(drained.out.lines().all(|line| line.starts_with("+I[")), "{}", drained.out);
    assert_eq!(drained.code, Some(0), "{}", drained.err);
    let stopped = super::process::run(&sql("STOP JOB '1' WITH SAVEPOINT;"));
    assert_eq!((stopped.out.as_str(), stopped.code), ("", Some(0)));
    assert_eq!(std::fs::read_dir(&saved).expect("savepoints are here").count(), 2);
    let left = super::process::run(&format!("SHOW CHECKPOINTS FROM '{kept}'"));
    left.failed_saying(&["there are no checkpoints in"]);
}

#[test]
fn a_job_that_fails_starts_again_from_its_checkpoint_as_often_as_its_strategy_says() {
    let place = Place::new(COUNT);
    let sql = format!(
        "SET 'execution.checkpointing.interval' = '10 ms'; SET 'restart-strategy.type' = 'fixed-delay';
         SET 'restart-strategy.fixed-delay.attempts' = '2'; SET 'restart-strategy.fixed-delay.delay' = '0 ms';
         CREATE TABLE lines (n INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
           'source.follow' = 'true');
         CREATE TABLE counts (n INT) WITH ('connector' = 'print');
         INSERT INTO counts SELECT SUM(n) FROM lines;",
        place.path("words.txt").display()
    );
    std::fs::write(place.path("count.sql"), sql).expect("the script is written");
    let mut process = place.run(&[]);
    place.append("1\n2\n");
    until_any(&mut process, &["+I[3]", "+U[3]"]);
    place.append("rubbish\n");
    let ended = process.end().failed_saying(&["starts again in 0ns", "goes on from checkpoint", "rubbish"]);
    assert_eq!(ended.err.matches("starts again in").count(), 2, "{}", ended.err);
    assert!(ended.err.contains("error: job 1 failed"), "{}", ended.err);
}

fn until_any(process: &mut Process, wanted: &[&str]) {
    while !wanted.contains(&process.line().as_str()) {}
}

#[test]
fn a_job_with_state_on_disk_says_what_stays_in_memory() {
    let sql = |query: &str| {
        format!(
            "SET 'state.backend.type' = 'disk';
             CREATE TABLE n (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '10');
             CREATE TABLE o (n BIGINT) WITH ('connector' = 'blackhole');
             INSERT INTO o {query};"
        )
    };
    let said = "state of join stays in memory: only that of GROUP BY and DISTINCT goes to disk";
    let joined = super::process::run(&sql("SELECT COUNT(*) FROM n a JOIN n b ON a.n = b.n GROUP BY a.n"));
    assert!(joined.code == Some(0) && joined.err.contains(said), "{}", joined.err);
    let counted = super::process::run(&sql("SELECT COUNT(*) FROM n GROUP BY n"));
    assert!(counted.code == Some(0) && !counted.err.contains("stays in memory"), "{}", counted.err);
}

/// Each format that was ever released has its fixture.
#[test]
fn checkpoints_of_every_format_can_be_gone_on_from() {
    for format in [1] {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"));
        let place = tempfile::tempdir().expect("there is room for a directory");
        copy(&fixture, place.path());
        let (script, state) = (place.path().join("job.sql"), place.path().join("state"));
        let (script, state) = (script.display().to_string(), state.display().to_string());
        let ended = Process::start(&mut tidemill(&["run", &script, "--state-dir", &state, "-p", "3"])).end();
        assert!(ended.err.contains("goes on from checkpoint 6"), "{}", ended.err);
        let printed = ended.succeeded();
        for row in ["counts> +U[0, 667]", "counts> +U[1, 667]", "counts> +U[2, 666]"] {
            assert!(printed.lines().any(|line| line == row), "{row} is not in {printed}");
        }
        let mut windows: Vec<&str> = printed.lines().filter(|line| line.starts_with("windows>")).collect();
        windows.sort_unstable();
        assert_eq!(windows, ["windows> +I[0, 1000, 999000]", "windows> +I[1, 1000, 1000000]"]);
        assert!(!printed.contains("counts> +I["), "every key had its first row before: {printed}");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the directory is made");
    for entry in std::fs::read_dir(from).expect("the fixture is there").flatten() {
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).expect("the file is copied")),
        }
    }
}

#[test]
fn two_statements_that_write_into_one_table_keep_their_files_apart() {
    let place = Place::new(COUNT);
    let sql = format!(
        "CREATE TABLE n (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '5', 'fields.n.kind' = 'sequence',
           'fields.n.start' = '1', 'fields.n.end' = '5');
         CREATE TABLE o (n INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         EXECUTE STATEMENT SET BEGIN INSERT INTO o SELECT n FROM n; INSERT INTO o SELECT n + 10 FROM n; END;",
        place.path("out").display()
    );
    std::fs::write(place.path("count.sql"), sql).expect("the script is written");
    let state = place.path("kept").display().to_string();
    assert_eq!(place.run(&["--state-dir", &state]).end().code, Some(0));
    let files = std::fs::read_dir(place.path("out")).expect("the table is a directory").flatten();
    let rows: String = files.map(|file| std::fs::read_to_string(file.path()).expect("a file of text")).collect();
    let mut rows: Vec<i64> = rows.lines().map(|row| row.parse().expect("a number")).collect();
    rows.sort_unstable();
    assert_eq!(rows, [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]);
}

/// What is recorded as written, in the checkpoints that there are.
fn records(state: &Path) -> BTreeSet<PathBuf> {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let of = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("committed-"));
    entries(state).flat_map(|checkpoint| entries(&checkpoint).filter(of).collect::<Vec<_>>()).collect()
}

#[test]
fn a_socket_with_a_write_ahead_log_gets_each_row_once() {
    let place = Place::new(COUNT);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let sql = format!(
        "SET 'execution.checkpointing.interval' = '10 ms';
         CREATE TABLE lines (line STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'raw',
           'source.follow' = 'true');
         CREATE TABLE counts (line STRING) WITH ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{}',
           'sink.delivery-guarantee' = 'exactly-once');
         INSERT INTO counts SELECT line FROM lines;",
        place.path("words.txt").display(),
        listener.local_addr().expect("it is bound").port()
    );
    std::fs::write(place.path("count.sql"), sql).expect("the script is written");
    for (n, end) in ["KILL", "KILL", "INT", "KILL"].into_iter().enumerate() {
        let before = records(&place.state());
        let process = place.run(&[]);
        let (peer, _) = listener.accept().expect("the table connects");
        place.append(&format!("line {n}\n"));
        let mut line = String::new();
        BufReader::new(peer).read_line(&mut line).expect("it sends");
        assert_eq!(line, format!("line {n}\n"));
        while records(&place.state()).is_subset(&before) {
            std::thread::yield_now();
        }
        process.signal(end);
        process.end();
    }
}

#[test]
fn rows_written_ahead_come_with_the_last_checkpoint_and_not_without_any() {
    let sql = "CREATE TABLE o (n INT) WITH ('connector' = 'print', 'sink.delivery-guarantee' = 'exactly-once');
               INSERT INTO o VALUES (1), (2);";
    run(sql).failed_saying(&[
        "cannot write to table o exactly once",
        "this job takes none",
        "SET 'execution.checkpointing.interval' = '10 s'",
    ]);
    run(&format!("SET 'execution.runtime-mode' = 'batch'; {sql}")).failed_saying(&["in streaming mode"]);
    let rows = run(&format!("SET 'execution.checkpointing.interval' = '1 h'; {sql}")).succeeded();
    assert_eq!(rows, "+I[1]\n+I[2]\n");
}

#[test]
fn rows_that_wait_to_be_written_need_the_log_that_has_them() {
    let place = Place::new(COUNT);
    let script = |guarantee: &str, port: u16| {
        let sql = format!(
            "SET 'execution.checkpointing.interval' = '10 ms';
             CREATE TABLE lines (line STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'raw',
               'source.follow' = 'true');
             CREATE TABLE counts (line STRING) WITH ('connector' = 'socket', 'hostname' = '127.0.0.1', 'port' = '{port}',
               'connect.max-retries' = '0', 'sink.delivery-guarantee' = '{guarantee}');
             INSERT INTO counts SELECT line FROM lines;",
            place.path("words.txt").display(),
        );
        std::fs::write(place.path("count.sql"), sql).expect("the script is written");
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    script("exactly-once", port);
    let mut process = place.run(&[]);
    let peer = listener.accept().expect("the table connects").0;
    // Whoever listens is gone: rows cannot be written any more.
    drop((peer, listener));
    while process.is_running() {
        place.append("tide\n");
        if process.has_said("checkpoint") && process.has_said("failed") {
            process.signal("KILL");
        }
    }
    process.end();
    script("at-least-once", port);
    place.run(&[]).end().failed_saying(&["table counts has rows that wait to be written", "'sink.delivery-guarantee'"]);
}
