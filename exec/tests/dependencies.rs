//! Crates depend in one direction, and the engine never sees SQL: as `cargo tree` has it.

use std::collections::BTreeSet;
use std::process::Command;

/// Names of everything that is compiled into `package`.
fn dependencies(package: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs the tests, so it is there");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let names = String::from_utf8(tree.stdout).expect("names of packages are text");
    names.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_string).collect()
}

fn check(package: &str, has: &[&str], lacks: &[&str]) {
    let found = dependencies(package);
    for name in has {
        assert!(found.contains(*name), "{package} depends on {name}");
    }
    for name in lacks {
        assert!(!found.contains(*name), "{package} must not depend on {name}");
    }
}

#[test]
fn crates_depend_in_one_direction() {
    check("tidemill-state", &["arrow"], &["tidemill-exec", "tidemill-planner", "tidemill"]);
    check("tidemill-exec", &["tidemill-state"], &["tidemill-planner", "tidemill"]);
    check("tidemill-planner", &["tidemill-exec"], &["tidemill"]);
}

#[test]
fn the_engine_knows_no_sql() {
    let sql = ["sqlparser", "datafusion-sql", "datafusion", "datafusion-optimizer"];
    check("tidemill-exec", &["datafusion-physical-expr"], &sql);
    check("tidemill-state", &[], &sql);
    check("tidemill-planner", &sql, &["rustyline", "clap"]);
}
