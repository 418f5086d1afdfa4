//! An error with the place in the script it is about.
//!
//! ```text
//! error: unknown table ordrs
//!   --> orders.sql:3:15
//!   3 | SELECT * FROM ordrs
//!     |               ^^^^^
//!   fix: did you mean orders?
//! ```

use tidemill_exec::Error;
use tidemill_planner::dialect;

use crate::run::Script;

/// The report of `error`, which happened in `script`; ends without a newline. An editor can jump to the place it names.
pub fn render(error: &Error, script: &Script) -> String {
    let report = dialect::render(error, &script.text);
    let (Some(origin), Some(place)) = (&script.origin, error.place()) else { return report };
    let head = format!("error: {}", error.what());
    let rest = report.strip_prefix(&head).unwrap_or_default();
    format!("{head}\n  --> {origin}:{}:{}{rest}", place.line, place.column)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use tidemill_exec::Place;

    use super::*;

    #[test]
    fn a_report_names_the_file_and_shows_the_line() {
        let script = |origin| Script { origin, text: "SELECT x\nFROM t".to_string() };
        let error = Error::new("unknown table t").fix("create it").at(Place { line: 2, column: 6, width: 1 });
        expect![[r#"
            error: unknown table t
              --> a.sql:2:6
              2 | FROM t
                |      ^
              fix: create it"#]]
        .assert_eq(&render(&error, &script(Some("a.sql".to_string()))));
        expect![[r#"
            error: unknown table t
              2 | FROM t
                |      ^
              fix: create it"#]]
        .assert_eq(&render(&error, &script(None)));
        assert_eq!(render(&Error::new("no"), &script(Some("a.sql".to_string()))), "error: no");
    }
}
