//! The arguments of `TUMBLE`, `HOP`, `CUMULATE` and `SESSION` in FROM, by position or by name.

use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Ident, TableFactor};
use tidemill_exec::window::Shape;
use tidemill_exec::{Error, Result};

use super::{Windowing, aligned, sessions};
use crate::dialect::{Interval, interval, marker};

/// A window function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

impl Function {
    /// By its name in any case.
    pub fn named(name: &str) -> Option<Function> {
        [Function::Tumble, Function::Hop, Function::Cumulate, Function::Session]
            .into_iter()
            .find(|function| function.name().eq_ignore_ascii_case(name))
    }

    pub fn name(self) -> &'static str {
        match self {
            Function::Tumble => "TUMBLE",
            Function::Hop => "HOP",
            Function::Cumulate => "CUMULATE",
            Function::Session => "SESSION",
        }
    }

    /// Its parameters in order. `OFFSET` may be left out.
    fn parameters(self) -> &'static [&'static str] {
        match self {
            Function::Tumble => &["DATA", "TIMECOL", "SIZE", "OFFSET"],
            Function::Hop => &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
            Function::Cumulate => &["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
            Function::Session => &["DATA", "TIMECOL", "GAP"],
        }
    }

    fn example(self) -> &'static str {
        match self {
            Function::Tumble => "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))",
            Function::Hop => "TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))",
            Function::Cumulate => "TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY))",
            Function::Session => "TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '10' SECOND))",
        }
    }

    /// The windows of these lengths, in the order of the parameters, with the offset.
    ///
    /// # Errors
    /// Lengths that make no windows.
    pub fn windows(self, lengths: &[i64], offset: i64) -> Result<Windowing> {
        match (self, lengths) {
            (Function::Tumble, &[size]) => aligned(Shape::Tumble { size }, offset),
            (Function::Hop, &[slide, size]) => aligned(Shape::Hop { slide, size }, offset),
            (Function::Cumulate, &[step, max]) => aligned(Shape::Cumulate { step, max }, offset),
            (Function::Session, &[gap]) => sessions(gap),
            _ => Err(self.misused("it takes other intervals")),
        }
    }

    fn misused(self, why: impl Into<String>) -> Error {
        Error::new(format!("cannot read the arguments of {}", self.name()))
            .why(why)
            .fix(format!("write {}", self.example()))
    }
}

/// What a call was given for each parameter of its function.
pub struct Arguments {
    function: Function,
    values: Vec<Option<Expr>>,
}

/// The rows that windows are made of.
pub struct Data {
    pub relation: TableFactor,
    pub partition_by: Vec<Ident>,
}

impl Arguments {
    /// # Errors
    /// Too many, too few, an unknown name.
    pub fn new(function: Function, given: Vec<FunctionArg>) -> Result<Arguments> {
        let parameters = function.parameters();
        let mut values: Vec<Option<Expr>> = vec![None; parameters.len()];
        for (n, argument) in given.into_iter().enumerate() {
            let (at, expr) = match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if n < parameters.len() => (n, expr),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    let at = parameters.iter().position(|parameter| parameter.eq_ignore_ascii_case(&name.value));
                    let unknown = || {
                        Error::new(format!("{} has no parameter {}", function.name(), name.value))
                            .nearest(&name.value.to_uppercase(), parameters.iter().copied())
                    };
                    (at.ok_or_else(unknown)?, expr)
                }
                FunctionArg::Unnamed(_) => {
                    return Err(function.misused(format!("it takes {} at most", parameters.join(", "))));
                }
                other => return Err(function.misused(format!("{other} is no value"))),
            };
            if values[at].replace(expr).is_some() {
                return Err(function.misused(format!("{} is given twice", parameters[at])));
            }
        }
        Ok(Arguments { function, values })
    }

    fn value(&self, parameter: &str) -> Result<&Expr> {
        let at = self.function.parameters().iter().position(|known| *known == parameter);
        at.and_then(|at| self.values[at].as_ref())
            .ok_or_else(|| self.function.misused(format!("{parameter} is missing")))
    }

    /// # Errors
    /// An interval that is missing, none, or not of fixed length; lengths that make no windows.
    pub fn windows(&self) -> Result<Windowing> {
        let parameters = &self.function.parameters()[2..];
        let lengths = parameters.iter().filter(|parameter| **parameter != "OFFSET");
        let lengths =
            lengths.map(|parameter| length(parameter, self.value(parameter)?)).collect::<Result<Vec<i64>>>()?;
        let offset = match self.value("OFFSET") {
            Ok(offset) => length("OFFSET", offset)?,
            Err(_) => 0,
        };
        self.function.windows(&lengths, offset)
    }

    /// The name of the column that the windows are over.
    pub fn time(&self) -> Result<Ident> {
        let given = self.value("TIMECOL")?;
        match marker::descriptor(given).as_deref() {
            Some([column]) => Ok(column.clone()),
            Some(_) => Err(self.function.misused("windows are over one column")),
            None => Err(self.function.misused(format!("{given} does not name a column"))),
        }
    }

    pub fn data(&self) -> Result<Data> {
        let given = self.value("DATA")?;
        let Some(table) = marker::table_argument(given) else {
            return Err(self.function.misused(format!("{given} is no table")));
        };
        if !table.order_by.is_empty() {
            return Err(self.function.misused("windows do not depend on an order of rows"));
        }
        if self.function != Function::Session && !table.partition_by.is_empty() {
            return Err(Error::new(format!("{} takes no PARTITION BY", self.function.name()))
                .why("its windows are the same for all keys")
                .fix("leave it out, and GROUP BY the key"));
        }
        Ok(Data { relation: table.relation, partition_by: table.partition_by })
    }
}

/// The milliseconds of a literal interval.
pub fn length(what: &str, expr: &Expr) -> Result<i64> {
    let wrong = |why: String| {
        Error::new(format!("{what} of a window cannot be {expr}"))
            .why(why)
            .fix("write an interval of days, hours, minutes or seconds, such as INTERVAL '10' SECOND")
    };
    match interval(expr) {
        Some(Interval::Milliseconds(length)) => Ok(length),
        Some(Interval::Months(_)) => Err(wrong("months and years are not all equally long".to_string())),
        None => Err(wrong("it is no literal interval".to_string())),
    }
}
