//! Runs a case as Flink would (a change per row) and as we would (net changes per epoch), and compares.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use tidemill_exec::Error;

use super::{Case, Comparison};
use crate::script::{Change, Gave, Run, Transcript, folded};

pub enum Verdict {
    Pass,
    /// We give something else: one line that says what, and the details.
    Fail(String, String),
    /// It needs something this version says it lacks.
    NotYet(String),
}

/// How a case is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The changes are those of Flink, where it is certain of them.
    EachRow,
    /// The rows in the end are, in this way and the following.
    Epoch,
    Parallel,
    Batch,
}

/// Runs a case in both emit modes.
pub async fn verdict(case: &Case) -> Verdict {
    for way in [Way::EachRow, Way::Epoch] {
        match run(case, way).await {
            Verdict::Pass => {}
            Verdict::Fail(why, details) => return Verdict::Fail(format!("{why} ({way:?})"), details),
            not_yet => return not_yet,
        }
    }
    Verdict::Pass
}

/// Runs a case in this way.
pub async fn run(case: &Case, way: Way) -> Verdict {
    let Ok(out) = tempfile::tempdir() else { return fail("cannot make a directory for its output", "") };
    let settings = [
        ("execution.runtime-mode", if way == Way::Batch { "batch" } else { "streaming" }),
        ("parallelism.default", if way == Way::Parallel { "4" } else { "1" }),
        ("table.dml-sync", "true"),
        ("table.local-time-zone", "UTC"),
        ("table.exec.emit", if way == Way::EachRow { "each-row" } else { "epoch" }),
    ];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    let run = Run { settings, goes_on: case.goes_on, timeout: case.timeout };
    let directory = case.directory.to_string_lossy();
    let script = case.script.replace("{{dir}}", &directory).replace("{{out}}", &out.path().to_string_lossy());
    let transcript = match run.script(&script).await {
        Ok(transcript) => transcript,
        Err(error) => return fail(error.what(), &error.to_string()),
    };
    let compared = compare(case, way == Way::EachRow, &transcript, out.path());
    match (compared, first_not_yet(&transcript)) {
        // To fail where Flink fails, but for want of the feature, proves nothing.
        (_, Some(what)) => Verdict::NotYet(what),
        (Ok(()), None) => Verdict::Pass,
        (Err((why, details)), None) => Verdict::Fail(why, details),
    }
}

fn fail(why: &str, details: &str) -> Verdict {
    Verdict::Fail(why.to_string(), details.to_string())
}

/// The engine says "... yet" of what this version lacks.
fn first_not_yet(transcript: &Transcript) -> Option<String> {
    let lacking = |error: &Error| error.what().ends_with(" yet");
    transcript.statements.iter().find_map(|ran| match &ran.gave {
        Gave::Failed(error) if lacking(error) => Some(error.what().to_string()),
        _ => None,
    })
}

type Compared = Result<(), (String, String)>;

fn compare(case: &Case, each_row: bool, transcript: &Transcript, out: &Path) -> Compared {
    errors(case, transcript)?;
    if case.kind == "error" {
        return shown(case, transcript);
    }
    shown(case, transcript)?;
    if let Some(expected) = case.expected("sink") {
        let (ours, flink) = (sinks(out), lines(&expected));
        return match each_row {
            true => same("files", &ours, &flink),
            false => same("files in the end", &in_the_end(ours), &in_the_end(flink)),
        };
    }
    if case.kind == "text" {
        return Ok(());
    }
    let queries: Vec<&Vec<Change>> = transcript
        .statements
        .iter()
        .filter_map(|ran| match &ran.gave {
            Gave::Changes(changes) => Some(changes),
            _ => None,
        })
        .collect();
    if queries.is_empty() {
        return printed(case, each_row, &transcript.printed);
    }
    let changelogs = case.expected_queries("changelog");
    let (rows, finals) = (case.expected_queries("rows"), case.expected_queries("final"));
    let skip = queries.len().saturating_sub(changelogs.len().max(finals.len()));
    for (n, changes) in queries.into_iter().skip(skip).enumerate() {
        let of = |lists: &Vec<Vec<String>>| lists.get(n).cloned().unwrap_or_default();
        if each_row {
            let print = changes.iter().map(|change| format!("{}[{}]", change.kind, change.print)).collect();
            changelog(case, "changes", print, of(&changelogs))?;
            let client = changes.iter().map(|change| format!("{}\t{}", change.kind, change.client)).collect();
            changelog(case, "rows in the client's text", client, of(&rows))?;
        }
        if case.compare != Comparison::Nothing {
            let signed = changes.iter().map(|change| (change.kind.is_positive(), change.client.clone()));
            same("rows in the end", &folded(signed), &of(&finals))?;
        }
    }
    Ok(())
}

/// The print connector's lines.
fn printed(case: &Case, each_row: bool, lines: &[String]) -> Compared {
    if each_row {
        let expected = case.expected("changelog").unwrap_or_default().lines().map(str::to_string).collect();
        changelog(case, "printed lines", lines.to_vec(), expected)?;
    }
    let signed = lines.iter().filter_map(|line| {
        let (before, row) = line.split_once('[')?;
        let identifier = &before[..before.len().checked_sub(2)?];
        Some((before.ends_with("+I") || before.ends_with("+U"), format!("{identifier}{}", row.strip_suffix(']')?)))
    });
    let expected: Vec<String> = case.expected("final").unwrap_or_default().lines().map(str::to_string).collect();
    same("rows in the end", &folded(signed), &expected)
}

fn changelog(case: &Case, what: &str, mut ours: Vec<String>, mut flink: Vec<String>) -> Compared {
    match case.compare {
        Comparison::Ordered if case.has_windows() => {
            sort_within_windows(case, &mut ours);
            sort_within_windows(case, &mut flink);
        }
        Comparison::Ordered => {}
        Comparison::Unordered => {
            ours.sort();
            flink.sort();
        }
        Comparison::FinalOnly | Comparison::Nothing => return Ok(()),
    }
    same(what, &ours, &flink)
}

/// The keys of a window come in the order of Flink's hash table: rows next to each other with the same times are sorted.
fn sort_within_windows(case: &Case, lines: &mut [String]) {
    let schema = case.expected("schema").unwrap_or_default();
    let columns = |is_one: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..).zip(schema.lines()).filter(|(_, line)| is_one(line)).map(|(n, _)| n).collect()
    };
    let named = columns(&|line| line.starts_with("window_"));
    let times = if named.is_empty() { columns(&|line| line.contains("TIMESTAMP")) } else { named };
    let window = |line: &String| -> Option<Vec<String>> {
        let row = line.strip_prefix("+I")?.trim_matches(['[', ']', '\t']);
        let cells: Vec<&str> = if line.contains('\t') { row.split('\t').collect() } else { row.split(", ").collect() };
        Some(times.iter().filter_map(|&n| cells.get(n).map(|cell| cell.to_string())).collect())
    };
    lines.chunk_by_mut(|a, b| window(a).is_some() && window(a) == window(b)).for_each(<[String]>::sort);
}

/// Every statement that failed in Flink fails, and no other.
fn errors(case: &Case, transcript: &Transcript) -> Compared {
    let expected = case.expected("error").unwrap_or_default();
    let expected: Vec<String> = statements_of(&expected);
    let mut failed = Vec::new();
    let mut reasons = String::new();
    for ran in &transcript.statements {
        if let Gave::Failed(error) = &ran.gave {
            // A statement that cannot be parsed has no text; the script ends there.
            let unparsed = expected.get(failed.len()).filter(|_| ran.text.is_empty());
            failed.push(unparsed.cloned().unwrap_or_else(|| words(&ran.text)));
            let _ = writeln!(reasons, "{error}");
        }
    }
    let expected: Vec<String> =
        expected.iter().map(|text| text.replace("{{dir}}", &case.directory.to_string_lossy())).collect();
    if failed == expected {
        return Ok(());
    }
    let first = reasons.lines().next().unwrap_or("nothing failed").to_string();
    let why = if expected.is_empty() { first } else { format!("other statements fail than in Flink: {first}") };
    Err((why, format!("{reasons}ours: {failed:#?}\nflink: {expected:#?}\n")))
}

/// `statement: ...` of each error; a statement may go over several lines, up to the first exception.
fn statements_of(text: &str) -> Vec<String> {
    let mut statements: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some(begin) = line.strip_prefix("statement: ") {
            statements.push(begin.to_string());
            open = true;
        } else if line.starts_with("org.apache.") || line.starts_with("java.") {
            open = false;
        } else if open && let Some(statement) = statements.last_mut() {
            *statement += &format!(" {line}");
        }
    }
    statements.iter().map(|statement| words(statement)).collect()
}

/// SHOW, DESCRIBE: the same cells, whatever the lines around them; SHOW CREATE TABLE: the same lines. Views are shown as they were
/// written, and plans are our own.
fn shown(case: &Case, transcript: &Transcript) -> Compared {
    let Some(text) = case.expected("text") else { return Ok(()) };
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("-- "), blocks.last_mut()) {
            (Some(statement), _) => blocks.push((words(statement), Vec::new())),
            (None, Some((_, block))) => block.push(line),
            (None, None) => {}
        }
    }
    for ran in &transcript.statements {
        // In the order of the script, which may show the same twice.
        let Some(place) = blocks.iter().position(|(statement, _)| *statement == words(&ran.text)) else { continue };
        let (_, flink) = blocks.remove(place);
        match &ran.gave {
            Gave::Table(ours) => {
                let flink: Vec<String> = flink.iter().filter(|line| line.starts_with('|')).map(|l| cells(l)).collect();
                let ours: Vec<String> = ours.iter().map(|row| row.join(" | ")).collect();
                // Of a table without rows Flink shows nothing, not even the names of the columns.
                let ours = if ours.len() == 1 && flink.is_empty() { Vec::new() } else { ours };
                same(&ran.text, &ours, &flink)?;
            }
            Gave::Text(ours) if ran.text.to_uppercase().starts_with("SHOW CREATE TABLE") => {
                let ours = ours.replace(&*case.directory.to_string_lossy(), "{{dir}}");
                let flink = flink.join("\n");
                let sorted = |text: &str| {
                    let mut lines = lines(text);
                    lines.sort();
                    lines
                };
                same(&ran.text, &sorted(&ours), &sorted(&flink))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn cells(line: &str) -> String {
    line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" | ")
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect()
}

/// What file sinks wrote: `# directory`, then the lines of its files, sorted.
fn sinks(out: &Path) -> Vec<String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open = vec![out.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = directory.strip_prefix(out).unwrap_or(&directory).to_string_lossy().into_owned();
                let text =
                    std::fs::read_to_string(&path).unwrap_or_else(|error| format!("{}: {error}", path.display()));
                found.entry(relative).or_default().extend(text.lines().map(str::to_string));
            }
        }
    }
    let mut all = Vec::new();
    for (directory, mut lines) in found {
        all.push(format!("# {directory}"));
        lines.sort();
        all.extend(lines);
    }
    all
}

/// What the changes in files of canal-json come to: a row that goes is written like the row that came, but for its kind.
fn in_the_end(lines: Vec<String>) -> Vec<String> {
    let (comes, goes) = (r#""type":"INSERT"}"#, r#""type":"DELETE"}"#);
    folded(lines.iter().map(|line| (!line.ends_with(goes), line.replace(goes, comes))))
}

/// Line by line; says which is the first that differs.
fn same(what: &str, ours: &[String], flink: &[String]) -> Compared {
    if ours == flink {
        return Ok(());
    }
    let place = (0..ours.len().max(flink.len())).find(|&n| ours.get(n) != flink.get(n)).unwrap_or(0);
    let line = |lines: &[String]| lines.get(place).map_or("nothing".to_string(), Clone::clone);
    let why = format!("{what}, line {}: {} instead of {}", place + 1, line(ours), line(flink));
    let mut details = String::new();
    for n in 0..ours.len().max(flink.len()) {
        let (ours, flink) = (ours.get(n), flink.get(n));
        if ours == flink {
            let _ = writeln!(details, "      {}", ours.map_or("", String::as_str));
            continue;
        }
        ours.iter().for_each(|line| _ = writeln!(details, "ours  {line}"));
        flink.iter().for_each(|line| _ = writeln!(details, "flink {line}"));
    }
    Err((why, details))
}
