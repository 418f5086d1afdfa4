//! Materialized views in scripts: what they answer, and that they go on where they were.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::process::{Process, run, tidemill};

/// A directory with a script and the file it reads.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("there is room for a directory"));
        std::fs::write(place.path("words.txt"), "").expect("the file is made");
        let sql = format!(
            "SET 'execution.checkpointing.interval' = '10 ms';
             CREATE TABLE words (word STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'raw',
               'source.follow' = 'true');
             CREATE MATERIALIZED VIEW counts AS SELECT word, COUNT(*) AS times FROM words GROUP BY word;
             CREATE MATERIALIZED VIEW everything AS SELECT COUNT(*) AS words, SUM(times) AS times FROM counts;
             SELECT SUM(times) AS total FROM counts;
             SELECT times FROM counts WHERE word = 'w3';
             SELECT words, times FROM everything;
             CREATE TABLE changes (words BIGINT, times BIGINT) WITH ('connector' = 'print');
             INSERT INTO changes SELECT * FROM everything;",
            place.path("words.txt").display()
        );
        std::fs::write(place.path("words.sql"), sql).expect("the script is written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn append(&self, words: &[String]) {
        let mut file = std::fs::File::options().append(true).open(self.path("words.txt")).expect("the file is there");
        file.write_all(words.concat().as_bytes()).expect("the file grows");
    }

    fn run(&self, parallelism: usize) -> Process {
        let script = self.path("words.sql").display().to_string();
        Process::start(&mut tidemill(&["run", &script, "--format", "csv", "-p", &parallelism.to_string()]))
    }
}

#[test]
fn a_view_answers_for_all_that_was_there_however_often_its_process_is_killed() {
    let place = Place::new();
    let mut words: Vec<String> = Vec::new();
    let mut add = |count: usize| {
        let more: Vec<String> = (words.len()..words.len() + count).map(|n| format!("w{}\n", n % 7)).collect();
        place.append(&more);
        words.extend(more);
        (words.len(), words.iter().filter(|word| *word == "w3\n").count())
    };
    for parallelism in [1, 3, 2, 4, 1] {
        // What came while nothing ran.
        let (all, of_three) = add(50);
        let mut process = place.run(parallelism);
        let answers: Vec<String> = (0..6).map(|_| process.line()).collect();
        let wanted = ["total", &all.to_string(), "times", &of_three.to_string(), "words,times", &format!("7,{all}")];
        assert_eq!(answers, wanted, "with {parallelism} shards");
        // What comes while it does, through two views into a table.
        let (all, _) = add(70);
        while !process.line().ends_with(&format!("[7, {all}]")) {}
        process.signal("KILL");
    }
}

#[test]
fn views_that_are_stopped_go_on_and_those_that_are_dropped_do_not() {
    let place = Place::new();
    place.append(&["w3\n".to_string(), "w4\n".to_string()]);
    let mut process = place.run(2);
    while process.line() != "+I[2, 2]" {}
    process.signal("INT");
    let ended = process.end();
    assert_eq!(ended.code, Some(130), "{}", ended.err);
    for job in ["job 1 stopped", "job 2 stopped", "job 3 stopped"] {
        assert!(ended.err.contains(job), "{}", ended.err);
    }
    place.append(&["w3\n".to_string()]);
    let mut process = place.run(2);
    while process.line() != "+U[2, 3]" {}
    process.until_error("job 1: goes on from checkpoint");
    process.until_error("job 2: goes on from checkpoint");
    process.signal("INT");
    process.end();
    // Without the jobs that read it, a view can be dropped, and what it kept is gone.
    let script = std::fs::read_to_string(place.path("words.sql")).expect("the script is there");
    let (tables, _) = script.split_once("CREATE MATERIALIZED VIEW everything").expect("it makes two views");
    std::fs::write(place.path("words.sql"), format!("{tables} DROP MATERIALIZED VIEW counts;")).expect("it is written");
    let ended = place.run(1).end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let state = |name: &str| Path::new(&place.path("words.state")).join(name).exists();
    assert!(!state("materialized-view-counts") && state("materialized-view-everything"));
}

#[test]
fn a_view_of_other_columns_does_not_take_the_state_of_one_before() {
    let place = Place::new();
    std::fs::write(place.path("words.csv"), "tide,1,10\n").expect("the file is written");
    let script = |column: &str| {
        let sql = format!(
            "SET 'execution.checkpointing.interval' = '10 ms';
             CREATE TABLE words (word STRING, a INT, b INT) WITH ('connector' = 'filesystem', 'path' = '{}',
               'format' = 'csv', 'source.follow' = 'true');
             CREATE MATERIALIZED VIEW v (word, n) AS SELECT word, {column} FROM words;
             SELECT n FROM v;",
            place.path("words.csv").display()
        );
        std::fs::write(place.path("words.sql"), sql).expect("the script is written");
    };
    script("a");
    let mut process = place.run(1);
    assert_eq!([process.line(), process.line()], ["n", "1"]);
    process.signal("INT");
    process.end();
    script("b");
    place.run(1).end().failed_saying(&["the job is not the one whose checkpoint there is"]);
}

#[test]
fn a_view_that_cannot_be_kept_fails_whoever_reads_it() {
    let ended = run("CREATE TABLE t (n INT) WITH ('connector' = 'values', 'data' = '{\"n\": 1} {\"n\": \"one\"}');
         CREATE MATERIALIZED VIEW v AS SELECT SUM(n) AS n FROM t;
         SELECT * FROM v;");
    ended.failed_saying(&["cannot read the materialized view v", "its job has failed", "one"]);
}
