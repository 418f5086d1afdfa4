//! What ARCHITECTURE promises that a crate does not know.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything `package` is built from, itself included. `edges` as for `cargo tree -e`.
fn tree(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--prefix", "none", "--format", "{p}", "--edges", "normal,build", "-p", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_string())).collect()
}

fn knows(package: &str, other: &str) -> bool {
    tree(package).iter().any(|name| name == other)
}

#[test]
fn the_crates_depend_in_one_direction() {
    let order = ["tidemill-state", "tidemill-exec", "tidemill-planner", "tidemill"];
    for (place, package) in order.iter().enumerate() {
        let known = tree(package);
        for (other_place, other) in order.iter().enumerate() {
            let knows = known.iter().any(|name| name == other);
            assert_eq!(knows, other_place <= place, "{package} and {other}");
        }
    }
}

#[test]
fn exec_sees_no_sql() {
    for other in ["sqlparser", "datafusion-sql", "datafusion"] {
        assert!(!knows("tidemill-exec", other), "tidemill-exec depends on {other}");
    }
    assert!(knows("tidemill-planner", "sqlparser"), "or this test looks for a name that nobody has");
}

#[test]
fn state_knows_no_operator_and_no_expression() {
    assert!(!tree("tidemill-state").iter().any(|name| name.starts_with("datafusion")));
}

#[test]
fn neither_exec_nor_state_names_a_logical_plan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for part in ["exec", "state"] {
        sources(&root.join(part).join("src"), &mut files);
    }
    assert!(files.len() > 20, "the sources are where this test looks");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("sources can be read");
        let mut code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let named = code.find(|line| line.contains("LogicalPlan") || line.contains("sqlparser"));
        assert_eq!(named, None, "{}", file.display());
    }
}

/// The planner opens no file and no socket, and spawns nothing.
#[test]
fn the_planner_does_no_input_or_output() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../planner/src"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("sources can be read");
        for word in ["std::fs", "TcpStream", "UdpSocket", "tokio::spawn", "thread::spawn", "tokio::fs", "tokio::net"] {
            assert!(!text.contains(word), "{} names {word}", file.display());
        }
    }
}

fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("the directory exists") {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
