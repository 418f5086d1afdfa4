//! Errors a user can act on: what happened, why, and what to write instead.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A user error. Boxed, so that a `Result` stays small on hot paths.
///
/// Prints as
///
/// ```text
/// cannot group "orders" by a window
///   why: column "ts" has no watermark, so no window would ever close
///   fix: add WATERMARK FOR ts AS ts - INTERVAL '5' SECOND to CREATE TABLE orders
/// ```
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    what: String,
    why: Option<String>,
    fix: Option<String>,
    place: Option<Place>,
    operator: Option<String>,
}

/// A place in the SQL text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: u64,
    pub column: u64,
    /// How many characters the caret underlines, at least 1.
    pub width: u64,
}

impl Error {
    /// `what` is one sentence without a full stop that names the object concerned.
    pub fn new(what: impl Into<String>) -> Error {
        Error(Box::new(Details { what: what.into(), why: None, fix: None, place: None, operator: None }))
    }

    pub fn why(mut self, why: impl Into<String>) -> Error {
        self.0.why = Some(why.into());
        self
    }

    pub fn fix(mut self, fix: impl Into<String>) -> Error {
        self.0.fix = Some(fix.into());
        self
    }

    /// Where in the SQL text. The first place given wins: it is the closest to the cause.
    pub fn at(mut self, place: Place) -> Error {
        self.0.place.get_or_insert(place);
        self
    }

    /// The operator in whose task it happened; the innermost wins.
    pub fn in_operator(mut self, name: impl Into<String>) -> Error {
        self.0.operator.get_or_insert_with(|| name.into());
        self
    }

    pub fn what(&self) -> &str {
        &self.0.what
    }

    pub fn place(&self) -> Option<Place> {
        self.0.place
    }

    pub fn has_fix(&self) -> bool {
        self.0.fix.is_some()
    }

    /// "did you mean" for a name that is none of `known`: a fix if one is near enough, else the list of what there is.
    pub fn nearest<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Error {
        let mut known: Vec<&str> = known.into_iter().collect();
        known.sort_unstable();
        known.dedup();
        match nearest(name, &known) {
            Some(near) => self.fix(format!("did you mean {near}?")),
            None if known.is_empty() => self,
            None => {
                let shown = known.iter().take(20).copied().collect::<Vec<_>>().join(", ");
                let more = if known.len() > 20 { ", ..." } else { "" };
                self.fix(format!("known are: {shown}{more}"))
            }
        }
    }
}

/// The entry of `known` closest to `name` by edit distance, if it is close enough to be what was meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    known
        .iter()
        .map(|candidate| (edit_distance(&wanted, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.what)?;
        if let Some(operator) = &self.0.operator {
            write!(f, "\n  in:  operator {operator}")?;
        }
        if let Some(why) = &self.0.why {
            write!(f, "\n  why: {why}")?;
        }
        if let Some(fix) = &self.0.fix {
            write!(f, "\n  fix: {fix}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

impl From<tidemill_state::SpillError> for Error {
    fn from(error: tidemill_state::SpillError) -> Error {
        Error::new(error.to_string()).fix(
            "see to the disk, SET 'io.tmp.dirs' to a directory on another one, or 'state.backend.type' to 'memory'",
        )
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Error {
        datafusion_common::DataFusionError::from(error).into()
    }
}

impl From<datafusion_common::DataFusionError> for Error {
    /// Unwraps an [`Error`] that travelled through DataFusion; else keeps the innermost message, without its prefixes.
    fn from(error: datafusion_common::DataFusionError) -> Error {
        use datafusion_common::DataFusionError as E;
        match error {
            E::External(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => match other.downcast::<E>() {
                    Ok(nested) => (*nested).into(),
                    Err(other) => Error::new(other.to_string()),
                },
            },
            E::Context(_, inner) | E::Diagnostic(_, inner) => (*inner).into(),
            E::ArrowError(inner, _) => match *inner {
                arrow::error::ArrowError::ExternalError(external) => E::External(external).into(),
                arrow::error::ArrowError::DivideByZero => {
                    Error::new("division by zero").fix("write a / NULLIF(b, 0) to get NULL instead")
                }
                arrow::error::ArrowError::ComputeError(what)
                | arrow::error::ArrowError::CastError(what)
                | arrow::error::ArrowError::ParseError(what)
                | arrow::error::ArrowError::ArithmeticOverflow(what)
                | arrow::error::ArrowError::InvalidArgumentError(what) => Error::new(what),
                other => Error::new(other.to_string()),
            },
            E::Shared(shared) => match shared.as_ref() {
                E::External(inner) => match inner.downcast_ref::<Error>() {
                    Some(ours) => ours.clone(),
                    None => Error::new(inner.to_string()),
                },
                other => Error::new(other.strip_backtrace()),
            },
            E::Plan(what) | E::Execution(what) | E::NotImplemented(what) => Error::new(first_line(&what)),
            other => Error::new(first_line(&other.strip_backtrace())),
        }
    }
}

/// DataFusion appends backtraces after a blank line.
fn first_line(text: &str) -> String {
    text.split("\n\nbacktrace:").next().unwrap_or(text).to_string()
}

impl From<Error> for datafusion_common::DataFusionError {
    fn from(error: Error) -> Self {
        datafusion_common::DataFusionError::External(Box::new(error))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::new(error.to_string())
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Error {
        Error::new(error.to_string())
    }
}

impl From<parquet::errors::ParquetError> for Error {
    fn from(error: parquet::errors::ParquetError) -> Error {
        Error::new(error.to_string())
    }
}
