//! One recorded case: a directory with `job.sql`, input files and what Flink gave (`flink/README.md` describes the files).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Case {
    pub name: String,
    pub directory: PathBuf,
    /// `job.sql`, with its placeholders.
    pub script: String,
    /// `append`, `updating`, `sink`, `text`, `error`, `empty`
    pub kind: String,
    pub compare: Comparison,
    pub timeout: Option<Duration>,
    pub goes_on: bool,
}

/// How much of the changelog is certain in Flink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The sequence of changes.
    Ordered,
    /// The changes, in any order.
    Unordered,
    /// Only the rows that remain.
    FinalOnly,
    /// Nothing.
    Nothing,
}

/// The cases below `directory`, by name.
pub fn cases(directory: &Path) -> io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.join("job.sql").exists() {
            cases.push(Case::read(path)?);
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// The cases that a file names: `name` or `name: why` per line.
pub fn listed(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .map(|(name, why)| (name.to_string(), why.to_string()))
        .collect()
}

impl Case {
    fn read(directory: PathBuf) -> io::Result<Case> {
        let script = std::fs::read_to_string(directory.join("job.sql"))?;
        let meta = std::fs::read_to_string(directory.join("expected.meta"))?;
        let meta: BTreeMap<&str, &str> = meta.lines().filter_map(|line| line.split_once('=')).collect();
        let directive = |name: &str| script.lines().find_map(|line| line.strip_prefix("-- @")?.strip_prefix(name));
        let seconds = directive("timeout").and_then(|seconds| seconds.trim().parse().ok());
        Ok(Case {
            name: directory.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            kind: meta.get("kind").copied().unwrap_or_default().to_string(),
            compare: match meta.get("compare").copied() {
                Some("ordered") => Comparison::Ordered,
                Some("unordered") => Comparison::Unordered,
                Some("final-only") => Comparison::FinalOnly,
                _ => Comparison::Nothing,
            },
            timeout: seconds.map(Duration::from_secs),
            goes_on: directive("continue").is_some(),
            script,
            directory,
        })
    }

    /// Whether it is about windows.
    pub fn has_windows(&self) -> bool {
        let script = self.script.to_uppercase();
        ["TUMBLE", "HOP", "CUMULATE", "SESSION"].iter().any(|window| script.contains(&format!("{window}(")))
    }

    /// `expected.<what>`, if the case has it.
    pub fn expected(&self, what: &str) -> Option<String> {
        std::fs::read_to_string(self.directory.join(format!("expected.{what}"))).ok()
    }

    /// The lines of `expected.<what>`, one list per query of the script. No file: one query without rows.
    pub fn expected_queries(&self, what: &str) -> Vec<Vec<String>> {
        let text = self.expected(what).unwrap_or_default();
        let mut queries = vec![Vec::new()];
        for line in text.lines() {
            match line.strip_prefix("# query ") {
                Some(_) => queries.push(Vec::new()),
                None => queries.last_mut().expect("it begins with one").push(line.to_string()),
            }
        }
        queries
    }
}
