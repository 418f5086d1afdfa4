//! Records that are none, and values that break an expression.

use crate::process::{run_with_input, tidemill};

fn read(columns: &str, options: &str, input: &[u8]) -> crate::process::Ended {
    let sql = format!("CREATE TABLE t ({columns}) WITH ('connector' = 'stdin', {options}); SELECT * FROM t");
    run_with_input(&sql, input)
}

#[test]
fn a_json_value_of_the_wrong_type_is_shown_with_its_record() {
    let ended = read("k STRING, n INT", "'format' = 'json'", b"{\"k\":\"a\",\"n\":1}\n{\"k\":\"b\",\"n\":\"two\"}\n");
    let ended = ended.failed_saying(&[
        "error: cannot decode a json record of table t",
        "operator source t",
        "why: column n: 'two' is not a value of type INT, in the record: {\"k\":\"b\",\"n\":\"two\"}",
        "'json.ignore-parse-errors' = 'true'",
    ]);
    assert_eq!(ended.out, "k,n\na,1\n", "the record before it is not lost");
}

#[test]
fn a_csv_value_of_the_wrong_type_is_shown_with_its_record() {
    read("k STRING, n INT", "'format' = 'csv'", b"a,1\nb,two\n").failed_saying(&[
        "why: column n: 'two' is not a value of type INT, in the record: b,two",
        "'csv.ignore-parse-errors' = 'true'",
    ]);
}

#[test]
fn records_that_are_left_out_are_counted_with_an_example() {
    let options = "'format' = 'json', 'json.ignore-parse-errors' = 'true'";
    let ended = read("k STRING, n INT", options, b"{\"k\":\"a\",\"n\":1}\nnonsense\n{\"k\":\"c\",\"n\":3}\n");
    assert!(ended.err.contains("t: skipped 1 bad record, such as ") && ended.err.contains("nonsense"), "{}", ended.err);
    assert_eq!(ended.succeeded(), "k,n\na,1\nc,3\n");

    let options = "'format' = 'csv', 'csv.ignore-parse-errors' = 'true'";
    let ended = read("k STRING, n INT", options, b"a,1\nb,2,3\nc,3\n");
    assert!(ended.err.contains("t: skipped 1 bad record, such as ") && ended.err.contains("b,2,3"), "{}", ended.err);
    assert_eq!(ended.succeeded(), "k,n\na,1\nc,3\n");
}

#[test]
fn many_bad_records_are_told_in_few_notes_whose_counts_add_up() {
    let input: String =
        (0..200_000).map(|n| if n % 100 == 0 { "x,y,z\n".to_string() } else { format!("{n},1\n") }).collect();
    let sql = |mode: &str| {
        format!(
            "SET 'execution.runtime-mode' = '{mode}'; CREATE TABLE t (a INT, b INT) WITH ('connector' = 'stdin', \
             'bounded' = 'true', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true'); SELECT COUNT(*) AS n FROM t"
        )
    };
    for mode in ["batch", "streaming"] {
        let ended = run_with_input(&sql(mode), input.as_bytes());
        let counts = ended.err.lines().map(|line| {
            let count = line.strip_prefix("t: skipped ").and_then(|rest| rest.split(' ').next());
            count.and_then(|count| count.parse::<u64>().ok()).unwrap_or_else(|| panic!("{line}"))
        });
        assert_eq!(counts.sum::<u64>(), 2_000, "{mode}: {}", ended.err);
        // A note per batch would be one per 80 KB.
        assert!(ended.err.lines().count() < 15, "{mode}: {}", ended.err);
        assert_eq!(ended.succeeded(), "n\n198000\n", "{mode}");
    }
}

#[test]
fn with_ignore_parse_errors_a_bad_field_is_null_as_in_flink() {
    let options = "'format' = 'csv', 'csv.ignore-parse-errors' = 'true'";
    assert_eq!(read("k STRING, n INT", options, b"a,1\nb,two\nc,3\n").succeeded(), "k,n\na,1\nb,\nc,3\n");
}

#[test]
fn bytes_that_are_no_text_fail_json_and_are_replaced_in_raw_lines() {
    let ended = read("k STRING", "'format' = 'json'", b"{\"k\":\"a\"}\n{\"k\":\"\xff\"}\n");
    ended.failed_saying(&["column k:", "is not UTF-8"]);
    assert_eq!(read("k STRING", "'format' = 'raw'", b"a\n\xff\n").succeeded(), "k\na\n\u{fffd}\n");
}

#[test]
fn a_division_by_zero_in_the_middle_of_a_stream_comes_after_the_rows_before_it() {
    let sql = "CREATE TABLE t (n INT) WITH ('connector' = 'stdin', 'format' = 'csv'); SELECT 10 / n AS q FROM t";
    let mut process =
        crate::process::Process::start(tidemill(&["--format", "csv", "-c", sql]).stdin(std::process::Stdio::piped()));
    process.input("1\n2\n");
    assert_eq!([process.line(), process.line(), process.line()], ["q", "10", "5"]);
    process.input("0\n5\n");
    process.end().failed_saying(&["error: division by zero", "operator project", "fix: write a / NULLIF(b, 0)"]);
}
