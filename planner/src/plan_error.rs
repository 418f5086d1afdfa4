//! DataFusion's planning errors in our terms: what, why, the nearest name, and the place.

use datafusion::common::{Column, DataFusionError, SchemaError};
use tidemill_exec::{Error, Place};

use crate::unnest::windowing;

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
    match what.strip_prefix("Invalid function '").and_then(|rest| rest.split_once("'.")) {
        Some((name, _)) if name.eq_ignore_ascii_case("current_watermark") => {
            Error::new("cannot run CURRENT_WATERMARK yet")
        }
        Some((name, _)) if windowing(name).is_some() => {
            Error::new(format!("cannot run {} windows yet", name.to_uppercase()))
                .fix("leave it out, or run the script on a Flink cluster")
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
