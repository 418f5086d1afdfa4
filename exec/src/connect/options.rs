//! Typed connector options: parsing, "did you mean", help and docs derive from one list.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};

/// One option of a connector or format.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// As users write it: `json.ignore-parse-errors`. A name ending in `.#` followed by more, such as `fields.#.kind`, stands
    /// for one option per column.
    pub name: &'static str,
    pub kind: OptionKind,
    /// As users would write it; `None` means there is none.
    pub default: Option<&'static str>,
    /// The table cannot be used without it.
    pub required: bool,
    /// One line, no full stop.
    pub help: &'static str,
}

impl OptionSpec {
    pub const fn optional(name: &'static str, kind: OptionKind, help: &'static str) -> OptionSpec {
        OptionSpec { name, kind, default: None, required: false, help }
    }

    pub const fn required(name: &'static str, kind: OptionKind, help: &'static str) -> OptionSpec {
        OptionSpec { name, kind, default: None, required: true, help }
    }

    pub const fn with_default(
        name: &'static str,
        kind: OptionKind,
        default: &'static str,
        help: &'static str,
    ) -> OptionSpec {
        OptionSpec { name, kind, default: Some(default), required: false, help }
    }

    fn matches(&self, name: &str) -> bool {
        match self.name.split_once('#') {
            None => self.name == name,
            Some((before, after)) => {
                name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    Text,
    Boolean,
    Integer,
    /// `10 s`, `500ms`, `1 min`, `2 h`, `1 d`; a bare number is milliseconds, as in Flink.
    Duration,
    /// `64 kb`, `128mb`, `1 gb`; a bare number is bytes.
    Bytes,
    OneOf(&'static [&'static str]),
}

/// The `WITH (...)` of a table, or any other `key = value` list. Ordered, so that prints are stable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Options {
        Options(entries.into_iter().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Checks names and values against `specs`; `of` says whose options these are ("table t").
    ///
    /// # Errors
    /// An unknown option (with the nearest known one), a missing required one, a value that is not of its kind.
    pub fn check(&self, of: &str, specs: &[OptionSpec]) -> Result<()> {
        for (name, value) in self.iter() {
            let Some(spec) = specs.iter().find(|spec| spec.matches(name)) else {
                return Err(Error::new(format!("unknown option '{name}' of {of}"))
                    .nearest(name, specs.iter().map(|spec| spec.name)));
            };
            check_value(spec, value).map_err(|why| {
                Error::new(format!("option '{name}' of {of} has the value '{value}'")).why(why).fix(spec.help)
            })?;
        }
        match specs.iter().find(|spec| spec.required && self.get(spec.name).is_none()) {
            None => Ok(()),
            Some(spec) => Err(Error::new(format!("option '{}' of {of} is missing", spec.name))
                .why(spec.help)
                .fix(format!("add '{}' = '...' to WITH (...)", spec.name))),
        }
    }

    /// The text of an option, or its default in `specs`. Options passed [`check`](Self::check) before, so the typed getters
    /// below do not fail.
    pub fn text<'a>(&'a self, specs: &[OptionSpec], name: &str) -> Option<&'a str> {
        self.get(name).or_else(|| specs.iter().find(|spec| spec.name == name).and_then(|spec| spec.default))
    }

    pub fn boolean(&self, specs: &[OptionSpec], name: &str) -> bool {
        self.text(specs, name).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    pub fn integer(&self, specs: &[OptionSpec], name: &str) -> Option<i64> {
        self.text(specs, name).and_then(|value| value.trim().parse().ok())
    }

    pub fn duration(&self, specs: &[OptionSpec], name: &str) -> Option<Duration> {
        self.text(specs, name).and_then(|value| parse_duration(value).ok())
    }

    pub fn bytes(&self, specs: &[OptionSpec], name: &str) -> Option<u64> {
        self.text(specs, name).and_then(|value| parse_bytes(value).ok())
    }
}

fn check_value(spec: &OptionSpec, value: &str) -> Result<(), String> {
    match spec.kind {
        OptionKind::Text => Ok(()),
        OptionKind::Boolean if ["true", "false"].contains(&value.trim().to_lowercase().as_str()) => Ok(()),
        OptionKind::Boolean => Err("it must be true or false".to_string()),
        OptionKind::Integer => {
            value.trim().parse::<i64>().map(drop).map_err(|_| "it must be a whole number".to_string())
        }
        OptionKind::Duration => parse_duration(value).map(drop),
        OptionKind::Bytes => parse_bytes(value).map(drop),
        OptionKind::OneOf(choices) if choices.iter().any(|choice| choice.eq_ignore_ascii_case(value)) => Ok(()),
        OptionKind::OneOf(choices) => Err(format!("it must be one of {}", choices.join(", "))),
    }
}

/// `10 s`, `500ms`, `1 min`; a bare number is milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let nanos_per_unit: u64 = match unit.to_lowercase().as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        other => return Err(format!("'{other}' is no unit of time: use ms, s, min, h or d")),
    };
    let number: u64 = number.parse().map_err(|_| "it must be a duration such as 500 ms, 10 s or 1 min".to_string())?;
    let nanos = u128::from(number) * u128::from(nanos_per_unit);
    Ok(Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32))
}

/// `64 kb`, `128mb`, `1 gb`; a bare number is bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let shift = match unit.to_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        other => return Err(format!("'{other}' is no unit of size: use kb, mb, gb")),
    };
    let number: u64 = number.parse().map_err(|_| "it must be a size such as 64 kb or 128 mb".to_string())?;
    number.checked_mul(1 << shift).ok_or_else(|| "it is too large".to_string())
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[OptionSpec] = &[
        OptionSpec::required("path", OptionKind::Text, "file or directory"),
        OptionSpec::optional("source.monitor-interval", OptionKind::Duration, "how often to look for new files"),
        OptionSpec::optional("fields.#.kind", OptionKind::OneOf(&["random", "sequence"]), "how values are made"),
    ];

    fn check(entries: &[(&str, &str)]) -> String {
        let options = Options::new(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        options.check("table t", SPECS).map_or_else(|error| error.to_string(), |()| "ok".to_string())
    }

    #[test]
    fn unknown_missing_and_ill_typed_options_are_named_with_the_fix() {
        assert_eq!(check(&[("path", "x"), ("fields.a.kind", "random")]), "ok");
        assert!(check(&[("path", "x"), ("pth", "y")]).contains("did you mean path?"));
        assert!(check(&[]).contains("option 'path' of table t is missing"));
        assert!(check(&[("path", "x"), ("source.monitor-interval", "soon")]).contains("no unit of time"));
        assert!(check(&[("path", "x"), ("fields.a.kind", "odd")]).contains("one of random, sequence"));
    }

    #[test]
    fn durations_and_sizes_read_as_in_flink() {
        assert_eq!(parse_duration("5"), Ok(Duration::from_millis(5)));
        assert_eq!(parse_duration("1 min"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_bytes("64 kb"), Ok(65536));
        assert!(parse_bytes("99999999999 tb").is_err());
    }
}
