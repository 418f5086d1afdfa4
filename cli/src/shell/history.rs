//! Where the history of statements is kept.

use std::ffi::OsString;
use std::path::PathBuf;

/// `$TIDEMILL_HISTORY` (empty: no history), else `tidemill/history` under `$XDG_STATE_HOME` or `~/.local/state`. Its directory
/// exists when this returns.
pub fn path() -> Option<PathBuf> {
    let path = path_from(|name| std::env::var_os(name))?;
    if let Some(directory) = path.parent() {
        let _ = std::fs::create_dir_all(directory);
    }
    Some(path)
}

fn path_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(chosen) = variable("TIDEMILL_HISTORY") {
        return (!chosen.is_empty()).then(|| chosen.into());
    }
    let state = match variable("XDG_STATE_HOME").map(PathBuf::from) {
        // The XDG specification wants relative paths ignored.
        Some(state) if state.is_absolute() => state,
        _ => PathBuf::from(variable("HOME").filter(|home| !home.is_empty())?).join(".local/state"),
    };
    Some(state.join("tidemill/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(variables: &[(&str, &str)]) -> Option<String> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        path_from(lookup).map(|path| path.display().to_string())
    }

    #[test]
    fn the_history_is_where_state_belongs_unless_it_is_moved() {
        assert_eq!(path(&[("HOME", "/h")]).as_deref(), Some("/h/.local/state/tidemill/history"));
        assert_eq!(path(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]).as_deref(), Some("/s/tidemill/history"));
        assert_eq!(path(&[("HOME", "/h"), ("TIDEMILL_HISTORY", "/x")]).as_deref(), Some("/x"));
        assert_eq!(path(&[("HOME", "/h"), ("TIDEMILL_HISTORY", "")]), None);
        assert_eq!(path(&[]), None);
    }
}
