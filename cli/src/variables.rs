//! What `-D NAME=value` gave.

use std::collections::BTreeMap;

/// Every entry can stand for `${NAME}` in a statement; those with a dot in their name are settings too, as every setting has
/// one and no shell-like variable does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Variables {
        Variables(entries.into_iter().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// The entries that are settings.
    pub fn settings(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().filter(|(key, _)| key.contains('.')).map(|(key, value)| (key.clone(), value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_dot_are_settings() {
        let entries =
            [("DIR", "/tmp"), ("parallelism.default", "2")].map(|(key, value)| (key.to_string(), value.to_string()));
        assert_eq!(
            Variables::new(entries).settings().collect::<Vec<_>>(),
            [("parallelism.default".to_string(), "2".to_string())]
        );
    }
}
