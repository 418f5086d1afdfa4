//! What a job has left in files: its rows, and whether it can go on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every file that can be seen, with what is in it.
///
/// # Panics
/// One of them cannot be read.
pub fn files(directory: &Path) -> BTreeSet<(PathBuf, String)> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            _ if entry.file_name().to_string_lossy().starts_with(['.', '_']) => {}
            true => files.extend(self::files(&path)),
            false => {
                let text = std::fs::read_to_string(&path).expect("a file that can be seen can be read");
                files.insert((path, text));
            }
        }
    }
    files
}

/// There is something to go on from in a directory with the state of jobs.
pub fn has_checkpoint(state: &Path) -> bool {
    let jobs = std::fs::read_dir(state).into_iter().flatten().flatten();
    jobs.into_iter().any(|job| job.path().join("latest").exists())
}

/// The lines of all these files, sorted; of `changes` as debezium-json and canal-json write them, what is left of them.
///
/// # Panics
/// What can be seen is no whole lines.
pub fn rows(directory: &Path, changes: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, text) in files(directory) {
        assert!(text.ends_with('\n'), "{} is cut off: {text:?}", path.display());
        let partition = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let partition = if partition.contains('=') { format!("{partition}: ") } else { String::new() };
        lines.extend(text.lines().map(|line| format!("{partition}{line}")));
    }
    if changes {
        lines = left(&lines);
    }
    lines.sort_unstable();
    lines
}

/// The rows that are there after all changes. A row that is there less than once shows as such.
fn left(lines: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in lines {
        let (row, weight) = debezium(line).or_else(|| canal(line)).unwrap_or_else(|| panic!("no change: {line}"));
        *counts.entry(row).or_default() += weight;
    }
    counts.into_iter().filter(|(_, count)| *count != 0).map(|(row, count)| format!("{count} x {row}")).collect()
}

fn debezium(line: &str) -> Option<(&str, i64)> {
    match line.split_once(r#","after":null"#) {
        Some((before, _)) => Some((before.strip_prefix(r#"{"before":"#)?, -1)),
        None => Some((line.split_once(r#""after":"#)?.1.rsplit_once(r#","op""#)?.0, 1)),
    }
}

fn canal(line: &str) -> Option<(&str, i64)> {
    let (row, kind) = line.rsplit_once(r#","type":"#)?;
    Some((row, if kind == r#""DELETE"}"# { -1 } else { 1 }))
}

/// # Errors
/// What is missing, and what is too much.
pub fn compare(expected: &[String], got: &[String]) -> Result<(), String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    expected.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    got.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    counts.retain(|_, count| *count != 0);
    if counts.is_empty() {
        return Ok(());
    }
    let some: Vec<String> = counts.iter().take(10).map(|(row, count)| format!("{count:+} {row}")).collect();
    let (of, wanted) = (got.len(), expected.len());
    Err(format!("{} of {of} rows differ from the {wanted} wanted, such as:\n{}", counts.len(), some.join("\n")))
}
