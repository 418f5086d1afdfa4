//! What `-D KEY=VALUE` gave: variables for `${KEY}` in statements, and settings.

use std::collections::BTreeMap;

/// Every entry can stand for `${KEY}`; those with a dot in their key are settings too, as every setting has one and no
/// shell-like variable does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Variables {
        Variables(entries.into_iter().collect())
    }

    /// The entries that are settings.
    pub fn settings(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().filter(|(key, _)| key.contains('.')).map(|(key, value)| (key.clone(), value.clone()))
    }

    /// The value of `${name}`: what the command line says, else the environment, which is where secrets come from.
    pub fn value(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned().or_else(|| std::env::var(name).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_with_a_dot_are_settings_but_all_are_variables() {
        let entries = [("DIR", "/tmp"), ("parallelism.default", "2"), ("PATH", "mine")];
        let variables = Variables::new(entries.map(|(key, value)| (key.to_string(), value.to_string())));
        assert_eq!(variables.settings().collect::<Vec<_>>(), [("parallelism.default".to_string(), "2".to_string())]);
        assert_eq!(variables.value("parallelism.default").as_deref(), Some("2"));
        assert_eq!(variables.value("PATH").as_deref(), Some("mine"));
        assert_eq!(variables.value("HOME"), std::env::var("HOME").ok());
        assert_eq!(variables.value("TIDEMILL_NOBODY_SETS_THIS"), None);
    }
}
