//! DataFusion's planning errors in our terms: what, why, the nearest name, and the place.

use datafusion::common::{Column, DataFusionError, SchemaError};
use tidemill_exec::{Error, Place};

use crate::window::legacy::is_window_function;

/// Translates an error of name resolution or type checking.
pub fn explained(error: DataFusionError) -> Error {
    let place = place_of(&error);
    let error = translate(error);
    match place {
        Some(place) => error.at(place),
        None => error,
    }
}

fn translate(error: DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => translate(*inner),
        DataFusionError::SchemaError(inner, _) => schema_error(*inner),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => translate(errors.swap_remove(0)),
        DataFusionError::Plan(what) => plan_error(&what),
        other => other.into(),
    }
}

fn schema_error(error: SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let known: Vec<String> = valid_fields.iter().map(Column::name).map(str::to_string).collect();
            Error::new(format!("unknown column {}", field.flat_name()))
                .nearest(field.name(), known.iter().map(String::as_str))
        }
        SchemaError::AmbiguousReference { field } => Error::new(format!("column {} is ambiguous", field.name()))
            .why("more than one table in FROM has it")
            .fix(format!("write the table in front: t.{}", field.name())),
        other => Error::new(other.to_string()),
    }
}

fn plan_error(what: &str) -> Error {
    let what = what.split("\n\nbacktrace:").next().unwrap_or(what);
    if let Some(error) = reworded(what).or_else(|| embedded(what)) {
        return error;
    }
    match what.strip_prefix("Invalid function '").and_then(|rest| rest.split_once("'.")) {
        Some((name, _)) if is_window_function(name) => {
            Error::new(format!("{} has no window here", name.to_uppercase()))
                .why("it is known beside GROUP BY with a window, as in GROUP BY TUMBLE(ts, INTERVAL '10' SECOND)")
                .fix("group by the window, or make windows in FROM: TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))")
        }
        Some((name, rest)) => {
            let error = Error::new(format!("unknown function {name}"));
            match rest.trim().strip_prefix("Did you mean '").and_then(|rest| rest.strip_suffix("'?")) {
                Some(near) => error.fix(format!("did you mean {}?", near.to_uppercase())),
                None => error,
            }
        }
        None => Error::new(what),
    }
}

/// Messages of DataFusion's that speak of its types or its inner workings.
fn reworded(what: &str) -> Option<Error> {
    if let Some(expression) = between(what, "Cannot coerce arithmetic expression ", " to valid types") {
        let words: Vec<&str> = expression.split(' ').map(sql_type).collect();
        return Some(
            Error::new(format!("cannot compute {}", words.join(" ")))
                .why("the operator takes no values of these types")
                .fix("CAST one of them to the type of the other"),
        );
    }
    if let Some(rest) = what.strip_prefix("Cannot create filter with non-boolean predicate '")
        && let Some((predicate, data_type)) = rest.split_once("' returning ")
    {
        return Some(
            Error::new(format!("{predicate} is no condition"))
                .why(format!("it is of type {}, and WHERE, HAVING and ON take a BOOLEAN", sql_type(data_type)))
                .fix(format!("compare it with something, such as {predicate} > 0")),
        );
    }
    if what.starts_with("Column in SELECT must be in GROUP BY") {
        let column = between(what, "column \"", "\" must appear").unwrap_or("a column");
        return Some(
            Error::new(format!("column {column} is neither grouped by nor aggregated"))
                .why("a group has many values of it")
                .fix(format!("add it to GROUP BY, or select MAX({column}), LAST_VALUE({column}) or the like")),
        );
    }
    None
}

/// An error of ours that DataFusion has put into a text of its own: the refusal of an aggregate's arguments.
fn embedded(what: &str) -> Option<Error> {
    let (_, ours) = what.split_once("coercion failed with: External error: ")?;
    let ours = ours.split(" No function matches the given name").next()?;
    let mut lines = ours.lines();
    let mut error = Error::new(lines.next()?);
    for line in lines.map(str::trim) {
        if let Some(why) = line.strip_prefix("why: ") {
            error = error.why(why);
        } else if let Some(fix) = line.strip_prefix("fix: ") {
            error = error.fix(fix.trim_end_matches('.'));
        }
    }
    Some(error)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

/// SQL's name of a type that Arrow prints so; anything else stays as it is.
fn sql_type(arrow: &str) -> &str {
    match arrow {
        "Utf8" => "STRING",
        "Binary" => "BYTES",
        "Boolean" => "BOOLEAN",
        "Int8" => "TINYINT",
        "Int16" => "SMALLINT",
        "Int32" => "INT",
        "Int64" => "BIGINT",
        "Float32" => "FLOAT",
        "Float64" => "DOUBLE",
        "Date32" => "DATE",
        other => other,
    }
}

/// The first place any layer of the error knows.
fn place_of(error: &DataFusionError) -> Option<Place> {
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => match diagnostic.span {
            Some(span) if span.start.line > 0 => Some(Place {
                line: span.start.line,
                column: span.start.column,
                width: if span.end.line == span.start.line {
                    span.end.column.saturating_sub(span.start.column).max(1)
                } else {
                    1
                },
            }),
            _ => place_of(inner),
        },
        DataFusionError::Context(_, inner) => place_of(inner),
        DataFusionError::Collection(errors) => errors.first().and_then(place_of),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(what: &str) -> String {
        explained(DataFusionError::Plan(what.to_string())).to_string()
    }

    #[test]
    fn types_are_called_as_in_sql_and_the_fix_is_named() {
        assert!(
            text("Cannot coerce arithmetic expression Utf8 + Int32 to valid types")
                .starts_with("cannot compute STRING + INT")
        );
        assert!(
            text("Cannot create filter with non-boolean predicate 't.id' returning Int32")
                .contains("it is of type INT")
        );
    }

    #[test]
    fn an_error_of_ours_comes_out_of_its_wrapping() {
        let wrapped = "Execution error: Function 'sum' user-defined coercion failed with: External error: cannot compute SUM(Utf8)\n  \
                       why: SUM takes one number\n  fix: CAST the argument to what SUM takes. No function matches the given name and \
                       argument types 'sum(Utf8)'. You might need to add explicit type casts.\n\tCandidate functions:\n\tsum(UserDefined)";
        assert_eq!(
            text(wrapped),
            "cannot compute SUM(Utf8)\n  why: SUM takes one number\n  fix: CAST the argument to what SUM takes"
        );
    }
}
