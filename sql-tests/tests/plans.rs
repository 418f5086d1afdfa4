//! Is each query of `plans/*.sql` planned as the EXPLAIN text beside it (`plans/*.txt`) says? `BLESS=1` rewrites those: read them.
//!
//! A file is a script; what its EXPLAIN statements give is compared. `-- parallelism N` sets the parallelism, which is 2 otherwise.

use std::path::Path;

use tidemill_sql_tests::script::{Gave, Run};

#[tokio::test]
async fn queries_are_planned_as_blessed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .expect("plans/ can be read")
        .map(|entry| entry.expect("plans/ can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let script = std::fs::read_to_string(&file).expect("the script can be read");
        let plan = plan(&script).await;
        let blessed = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&blessed, &plan).expect("the plan can be written");
        } else if std::fs::read_to_string(&blessed).unwrap_or_default() != plan {
            wrong.push(format!("{}:\n{plan}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "planned otherwise than blessed (BLESS=1 accepts):\n{}", wrong.join("\n"));
}

/// What each EXPLAIN gives behind the other statements, which may be an error.
async fn plan(script: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let data = data.to_string_lossy();
    let parallelism = script.lines().find_map(|line| line.strip_prefix("-- parallelism ")).unwrap_or("2");
    let settings = [("execution.runtime-mode", "streaming"), ("parallelism.default", parallelism)];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
    let script = script.replace("{data}", &data);
    let (mut before, mut plans) = (String::new(), Vec::new());
    for statement in script.split_inclusive(";\n") {
        if !statement.lines().any(|line| line.starts_with("EXPLAIN")) {
            before.push_str(statement);
            continue;
        }
        let run = Run { settings: settings.clone(), ..Run::default() };
        let transcript = run.script(&format!("{before}{statement}")).await.expect("the settings exist");
        match transcript.statements.into_iter().next_back().map(|ran| ran.gave) {
            Some(Gave::Text(text)) => plans.push(text.replace(&*data, "{data}")),
            Some(Gave::Failed(error)) => plans.push(format!("{error}\n")),
            _ => panic!("{statement} explains nothing"),
        }
    }
    assert!(!plans.is_empty(), "no line begins with EXPLAIN:\n{script}");
    plans.join("\n")
}
