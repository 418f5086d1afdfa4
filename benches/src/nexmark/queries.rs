//! The queries, as `sql-tests/nexmark` has them.

use std::path::Path;

use crate::Failure;

macro_rules! queries {
    ($($name:literal),*) => {
        pub const NAMES: [&str; 23] = [$($name),*];
        const SCRIPTS: [&str; 23] = [$(include_str!(concat!("../../../sql-tests/nexmark/", $name, ".sql"))),*];
    };
}

queries!(
    "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15", "q16", "q17",
    "q18", "q19", "q20", "q21", "q22"
);

pub struct Query {
    pub name: &'static str,
    /// Its script: its tables, and an `INSERT` into a blackhole (of q10: into files).
    pub insert: String,
    /// Its tables and the query, if its rows depend on neither the clock nor the order of bids of one moment.
    pub select: Option<String>,
}

impl Query {
    /// # Errors
    /// There is none of this name, or a file that it looks things up in cannot be written to `directory`.
    pub fn of(name: &str, directory: &Path) -> Result<Query, Failure> {
        let index = NAMES.iter().position(|known| *known == name).ok_or("there is no such query")?;
        let (name, script) = (NAMES[index], SCRIPTS[index]);
        let own = directory.join(name);
        std::fs::create_dir_all(&own)?;
        if name == "q13" {
            let side: String = (0..10_000).map(|key| format!("{key},{key}\n")).collect();
            std::fs::write(own.join("side_input.csv"), side)?;
        }
        let insert = script.replace("${NEXMARK_DIR:-/tmp/nexmark}", &own.to_string_lossy());
        let (tables, query) = insert.split_once("\nINSERT INTO ").ok_or("the script has no INSERT")?;
        let (_, query) = query.split_once("\nSELECT").ok_or("the INSERT has no query")?;
        let select = (!matches!(name, "q6" | "q12")).then(|| format!("{tables}\nSELECT{query}"));
        Ok(Query { name, insert, select })
    }
}
