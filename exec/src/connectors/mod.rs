//! Every connector, one file or folder each.
//!
//! What they share: [`records`] turns bytes into rows with offsets, [`pump`] reads ahead beside the task, [`terminal`] is the
//! process's own input and output; [`chance`] and [`pace`] are what made-up rows are made of, and when.

pub mod inline;

use std::sync::Arc;

use crate::connect::Connector;

mod blackhole;
mod chance;
mod datagen;
pub(crate) mod filesystem;
mod nexmark;
mod pace;
mod print;
mod pump;
mod records;
mod socket;
mod stdin;
mod stdout;
pub mod terminal;
#[cfg(test)]
pub(crate) mod testing;
mod values;

pub use blackhole::Blackhole;
pub use datagen::Datagen;
pub use filesystem::{Filesystem, FilesystemSink};
pub use nexmark::Nexmark;
pub use print::Print;
pub use socket::Socket;
pub use stdin::Stdin;
pub use stdout::Stdout;
pub use values::Values;

/// Every built-in connector, in the order the documentation shows them.
pub fn all() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(Filesystem),
        Arc::new(Socket),
        Arc::new(Datagen),
        Arc::new(Nexmark),
        Arc::new(Values),
        Arc::new(Stdin::default()),
        Arc::new(Stdout::default()),
        Arc::new(Print::default()),
        Arc::new(Blackhole),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::connect::{OptionSpec, Options, Registry};

    fn check(name: &str, specs: &[OptionSpec]) {
        let mut names = BTreeSet::new();
        for spec in specs {
            assert!(names.insert(spec.name), "{name} has {} twice", spec.name);
            assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{name}: help of {}", spec.name);
            assert!(!(spec.required && spec.default.is_some()), "{name}: {} is never missing", spec.name);
            if let Some(default) = spec.default {
                let options = Options::new([(spec.name.replace('#', "a"), default.to_string())]);
                options.check(name, &[*spec]).unwrap();
            }
        }
    }

    #[test]
    fn every_option_has_a_name_of_its_own_a_line_of_help_and_a_default_of_its_kind() {
        let registry = Registry::default();
        for connector in registry.connectors() {
            check(connector.name(), connector.options());
            let own: BTreeSet<&str> = connector.options().iter().map(|spec| spec.name).collect();
            for format in registry.formats() {
                let clash = format.options().iter().find(|spec| own.contains(spec.name)).map(|spec| spec.name);
                assert_eq!(clash, None, "{} and {}", connector.name(), format.name());
            }
        }
        registry.formats().for_each(|format| check(format.name(), format.options()));
    }

    #[test]
    fn the_connectors_are_these() {
        let registry = Registry::default();
        let names: Vec<&str> = registry.connectors().map(|connector| connector.name()).collect();
        let expected =
            ["blackhole", "datagen", "filesystem", "nexmark", "print", "socket", "stdin", "stdout", "values"];
        assert_eq!(names, expected);
    }
}
