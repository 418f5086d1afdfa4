//! An error with the place in the SQL text it is about.
//!
//! ```text
//! error: unknown table ordrs
//!   --> orders.sql:3:15
//!    |
//!  3 | SELECT * FROM ordrs
//!    |               ^^^^^
//!   fix: did you mean orders?
//! ```

use tidemill_exec::Error;
use unicode_width::UnicodeWidthStr;

use tidemill_planner::dialect::Piece;

/// The report of `error`, ending without a newline. `error.place()` counts within the statement; `origin` is the file it came from, if
/// it is worth naming.
pub fn render(error: &Error, statement: &Piece<'_>, origin: Option<&str>) -> String {
    let start = statement.place;
    let whole = error.to_string();
    let details = whole.strip_prefix(error.what()).unwrap_or_default();
    let mut report = format!("error: {}", error.what());
    match error.place() {
        Some(place) => {
            let first = place.line <= 1;
            let (line, indent) = (start.line + place.line - 1, if first { start.column - 1 } else { 0 });
            let source = statement.text.lines().nth(place.line as usize - 1).unwrap_or_default();
            let before: String = source.chars().take(place.column as usize - 1).collect();
            let gutter = line.to_string().len();
            if let Some(origin) = origin {
                report += &format!("\n{:gutter$} --> {origin}:{line}:{}", "", place.column + indent);
            }
            report += &format!("\n {:gutter$} |\n {line} | {}", "", source.replace('\t', " "));
            let carets = "^".repeat(place.width.max(1) as usize);
            report += &format!("\n {:gutter$} | {:indent$}{carets}", "", "", indent = before.width());
        }
        None => {
            if let Some(origin) = origin {
                report += &format!("\n  --> {origin}:{}:{}", start.line, start.column);
            }
        }
    }
    report + details
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use tidemill_exec::Place;

    use super::*;

    #[test]
    fn the_line_is_shown_with_carets_below_the_place() {
        let statement = Piece { text: "SELECT 表, x\nFROM t", place: Place { line: 9, column: 4, width: 1 } };
        let error = Error::new("unknown column x").fix("did you mean y?").at(Place { line: 1, column: 11, width: 1 });
        expect![[r#"
            error: unknown column x
              --> a.sql:9:14
               |
             9 | SELECT 表, x
               |            ^
              fix: did you mean y?"#]]
        .assert_eq(&render(&error, &statement, Some("a.sql")));
    }

    #[test]
    fn an_error_without_a_place_names_the_statement() {
        let statement = Piece { text: "DROP TABLE t", place: Place { line: 2, column: 1, width: 1 } };
        let error = Error::new("no table t").why("it was never created");
        expect![[r#"
            error: no table t
              --> a.sql:2:1
              why: it was never created"#]]
        .assert_eq(&render(&error, &statement, Some("a.sql")));
        assert_eq!(render(&error, &statement, None), "error: no table t\n  why: it was never created");
    }
}
