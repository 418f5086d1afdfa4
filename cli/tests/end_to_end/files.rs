//! Tables in files: written, read back in both modes, missing, unreadable, full.

use std::path::Path;

use crate::process::{run, tidemill};

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

fn table(name: &str, columns: &str, path: &Path, format: &str) -> String {
    let path = text(path);
    format!(
        "CREATE TABLE {name} ({columns}) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = '{format}');"
    )
}

/// The lines of a result without its header, in order: files of a directory are read in any.
fn sorted(out: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = out.lines().skip(1).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_insert_writes_is_read_back_in_both_modes() {
    for format in ["csv", "json", "parquet"] {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        // Flink writes a NULL as an empty CSV field, and reads that as NULL only if told to.
        let options = if format == "csv" { "csv', 'csv.null-literal' = '" } else { format };
        let columns = "k STRING, n INT, d DECIMAL(5, 2), ts TIMESTAMP(3)";
        let create = table("t", columns, &directory.path().join("t"), options);
        let rows = "('a', 1, 1.5, TIMESTAMP '2024-02-29 12:34:56.789'), ('b,\"', CAST(NULL AS INT), 2, NULL)";
        run(&format!("{create} INSERT INTO t VALUES {rows}")).succeeded();
        for mode in ["batch", "streaming"] {
            let out = run(&format!("SET 'execution.runtime-mode' = '{mode}'; {create} SELECT * FROM t")).succeeded();
            let expected = ["\"b,\"\"\",,2.00,", "a,1,1.50,2024-02-29 12:34:56.789"];
            assert_eq!(sorted(&out), expected, "{format} in {mode} mode");
        }
    }
}

#[test]
fn a_partitioned_table_has_a_directory_per_value_and_reads_it_back() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = text(directory.path());
    let create = format!(
        "CREATE TABLE t (n INT, k STRING) PARTITIONED BY (k) \
         WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'csv');"
    );
    run(&format!("{create} INSERT INTO t VALUES (1, 'a'), (2, 'b/c'), (3, 'a'), (4, CAST(NULL AS STRING))"))
        .succeeded();
    let mut names: Vec<_> =
        std::fs::read_dir(directory.path()).expect("it was made").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["k=__DEFAULT_PARTITION__", "k=a", "k=b%2Fc"]);
    for mode in ["batch", "streaming"] {
        let out = run(&format!("SET 'execution.runtime-mode' = '{mode}'; {create} SELECT * FROM t")).succeeded();
        assert_eq!(sorted(&out), ["1,a", "2,b/c", "3,a", "4,"], "{mode}");
    }
}

#[test]
fn create_table_as_makes_the_table_and_fills_it() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = text(directory.path());
    let out = run(&format!(
        "SET 'table.dml-sync' = 'true'; \
         CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json') \
         AS SELECT a AS x, a * 2 AS y FROM (VALUES (1), (2)) AS v(a); SELECT SUM(x) AS x, SUM(y) AS y FROM t"
    ));
    assert_eq!(out.succeeded(), "x,y\n3,6\n");
}

#[test]
fn a_file_that_is_not_there_is_named_with_the_operator() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().join("none").join("t.csv");
    for mode in ["batch", "streaming"] {
        let sql =
            format!("SET 'execution.runtime-mode' = '{mode}'; {} SELECT * FROM t", table("t", "a INT", &path, "csv"));
        let (what, fix) = (format!("cannot read {} of table t", text(&path)), "fix: check the path");
        run(&sql).failed_saying(&[&what, "operator source t", "there is no such file or directory", fix]);
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_named_with_the_reason() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().join("t.csv");
    std::fs::write(&path, "1\n").expect("there is room for a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("the file is ours");
    if std::fs::read(&path).is_ok() {
        return; // Root may read everything.
    }
    let what = format!("cannot read file {}", text(&path));
    let ended = run(&format!("{} SELECT * FROM t", table("t", "a INT", &path, "csv")));
    ended.failed_saying(&[&what, "Permission denied", "fix: make it readable"]);
}

#[test]
fn a_damaged_file_is_named() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    for (name, format, why) in [("t.parquet", "parquet", "Invalid Parquet file"), ("t.csv.gz", "csv", "gzip")] {
        let path = directory.path().join(name);
        std::fs::write(&path, "nothing of the kind").expect("there is room for a file");
        let what = format!("cannot read file {}", text(&path));
        run(&format!("{} SELECT * FROM t", table("t", "a INT", &path, format))).failed_saying(&[&what, why]);
    }
}

#[test]
fn a_table_cannot_be_written_where_a_file_is() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().join("t");
    std::fs::write(&path, "1\n").expect("there is room for a file");
    let ended = run(&format!("{} INSERT INTO t VALUES (1)", table("t", "a INT", &path, "csv")));
    ended.failed_saying(&["cannot write table t into", "operator sink t", "fix: give the path of a directory"]);
    assert_eq!(std::fs::read(&path).expect("it is there"), b"1\n");
}

/// A file size limit stands in for a full disk: both fail a write half way, and this one needs no privileges.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_fails_the_job_and_says_which_file() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let sql = format!(
        "CREATE TABLE g (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '200000'); {} \
         INSERT INTO t SELECT * FROM g",
        table("t", "n INT", &directory.path().join("t"), "csv")
    );
    let mut command = std::process::Command::new("sh");
    // Beyond the limit comes SIGXFSZ, which a shell may ignore for its children; then the write itself fails.
    command.args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tidemill"), "-c", &sql]);
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let ended = crate::process::Process::start(&mut command).end();
    ended.failed_saying(&["error: job 1 failed: could not write file", "operator sink t", "fix:"]);
}

#[test]
fn a_table_of_files_has_metadata_and_computed_columns() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let path = directory.path().join("t.csv");
    std::fs::write(&path, "1\n2\n").expect("there is room for a file");
    let columns = "n INT, twice AS n * 2, name STRING METADATA FROM 'file.name' VIRTUAL, now AS PROCTIME()";
    for mode in ["batch", "streaming"] {
        let create = table("t", columns, &path, "csv");
        let query = "SELECT n, twice, name, now IS NOT NULL AS is_set FROM t";
        let out = run(&format!("SET 'execution.runtime-mode' = '{mode}'; {create} {query}")).succeeded();
        assert_eq!(out, "n,twice,name,is_set\n1,2,t.csv,TRUE\n2,4,t.csv,TRUE\n", "{mode}");
    }
}

#[test]
fn variables_stand_for_paths() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    std::fs::write(directory.path().join("t.csv"), "7\n").expect("there is room for a file");
    let sql = "CREATE TABLE t (n INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/${FILE:-t.csv}', 'format' = 'csv'); \
               SELECT * FROM t WHERE n > ${LEAST}";
    let mut command = tidemill(&["--format", "csv", "-D", "LEAST=5", "-c", sql]);
    let ended = crate::process::Process::start(command.env("DIR", directory.path())).end();
    assert_eq!(ended.succeeded(), "n\n7\n");
    run(sql).failed_saying(&["variable DIR is not defined", "fix: define DIR, or give a default: ${DIR:-value}"]);
}
