//! Which local files a `path` means.

use std::io;
use std::path::{Path, PathBuf};

use super::location::is_glob;
use super::store;
use crate::connect::TableDefinition;
use crate::error::{Error, Result};

/// Deeper directories are taken for a loop of symbolic links.
const DEPTH_MAX: usize = 100;

/// A file, a directory or a glob.
#[derive(Debug)]
pub(super) struct Listing {
    table: String,
    /// Absolute.
    pub path: PathBuf,
    /// New files are waited for, so that there are none yet is no mistake.
    watched: bool,
}

impl Listing {
    pub fn of(path: &str, table: &TableDefinition, watched: bool) -> Result<Listing> {
        Ok(Listing { table: table.name.clone(), path: local_path(path, &table.name)?, watched })
    }

    /// Every file there is now. Blocks.
    ///
    /// # Errors
    /// The path does not exist, a directory cannot be read.
    pub fn list(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        match std::fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => self.walk(&self.path, &mut files, 0)?,
            Ok(_) => files.push(self.path.clone()),
            Err(error) => match self.path.to_str().filter(|text| is_glob(text)) {
                Some(glob) => self.expand(glob, &mut files)?,
                None => return Err(self.unreadable(&self.path, &error)),
            },
        }
        let names = files.into_iter().map(|file| {
            file.into_os_string().into_string().map_err(|name| {
                Error::new(format!("cannot read file {} of table {}", name.display(), self.table))
                    .why("its name is not valid UTF-8")
                    .fix("rename the file")
            })
        });
        names.collect()
    }

    fn walk(&self, directory: &Path, files: &mut Vec<PathBuf>, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::new(format!("cannot read directory {} of table {}", directory.display(), self.table))
                .why("it is too deep; symbolic links may form a loop"));
        }
        for entry in std::fs::read_dir(directory).map_err(|error| self.unreadable(directory, &error))? {
            let path = entry.map_err(|error| self.unreadable(directory, &error))?.path();
            if is_hidden(&path) {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() => self.walk(&path, files, depth + 1)?,
                Ok(found) if found.is_file() => files.push(path),
                // Pipes and devices never end; a file deleted meanwhile is not there any more.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.unreadable(&path, &error)),
            }
        }
        Ok(())
    }

    fn expand(&self, pattern: &str, files: &mut Vec<PathBuf>) -> Result<()> {
        let bad = |why: String| {
            Error::new(format!("cannot read table {}", self.table)).why(format!("its path {pattern}: {why}"))
        };
        for path in glob::glob(pattern).map_err(|error| bad(error.to_string()))? {
            let path = path.map_err(|error| bad(error.to_string()))?;
            if is_hidden(&path) {
                continue;
            }
            match path.is_dir() {
                true => self.walk(&path, files, 0)?,
                false => files.push(path),
            }
        }
        if files.is_empty() && !self.watched {
            return Err(bad("no file matches it".to_string())
                .fix("check the path, or set 'source.monitor-interval' to wait for files"));
        }
        Ok(())
    }

    fn unreadable(&self, path: &Path, error: &io::Error) -> Error {
        let what = format!("cannot read {} of table {}", path.display(), self.table);
        if error.kind() != io::ErrorKind::NotFound {
            return Error::new(what).why(error.to_string());
        }
        let missing = Error::new(what).why("there is no such file or directory");
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return missing;
        };
        match std::fs::read_dir(parent) {
            Err(_) => missing.fix(format!("check the path: {} does not exist either", parent.display())),
            Ok(entries) => {
                let names: Vec<String> =
                    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
                match crate::error::nearest(name, &names.iter().map(String::as_str).collect::<Vec<_>>()) {
                    Some(near) => missing.fix(format!("did you mean {}?", parent.join(near).display())),
                    None => missing.fix(format!("check the path, or put the file into {}", parent.display())),
                }
            }
        }
    }
}

/// `file:///a`, `file:/a`, `/a`, `a` (from the working directory), as an absolute path.
fn local_path(text: &str, table: &str) -> Result<PathBuf> {
    let path = match text.split_once(':') {
        Some(("file", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        _ => text,
    };
    std::path::absolute(path).map_err(|error| {
        Error::new(format!("cannot use path '{text}' of table {table}"))
            .why(error.to_string())
            .fix("give a file, a directory or a glob such as '/data/*.csv'")
    })
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| store::is_hidden(&name.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::table;
    use super::super::location::Location;
    use super::*;

    fn list(root: &Path, path: &str, options: &[(&str, &str)]) -> Result<Vec<String>> {
        let path = root.join(path).display().to_string();
        let mut table = table(&[], options);
        table.options.set("path", path);
        let prefix = format!("{}/", root.display());
        Ok(Location::of(&table)?.list()?.into_iter().map(|file| file.replace(&prefix, "")).collect())
    }

    fn files(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::Builder::new().prefix("listing").tempdir().unwrap();
        for name in names {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn a_directory_is_read_with_all_below_it_but_without_hidden_names() {
        let root = files(&["d/b.csv", "d/a.csv", "d/sub/c.csv", "d/_SUCCESS", "d/.part", "d/_tmp/x.csv", "d/.git/y"]);
        assert_eq!(list(root.path(), "d", &[]).unwrap(), ["d/a.csv", "d/b.csv", "d/sub/c.csv"]);
    }

    #[test]
    fn a_directory_below_a_hidden_one_is_read_when_it_is_named() {
        let root = files(&[".hidden/d/a.csv"]);
        assert_eq!(list(root.path(), ".hidden/d", &[]).unwrap(), [".hidden/d/a.csv"]);
    }

    #[test]
    fn an_empty_directory_has_no_files() {
        let root = files(&["d/_only_hidden"]);
        assert!(list(root.path(), "d", &[]).unwrap().is_empty());
    }

    #[test]
    fn a_glob_matches_files_and_directories() {
        let root = files(&["a1.csv", "a2.csv", "a3.txt", "_a4.csv", "dir.csv/x"]);
        assert_eq!(list(root.path(), "*.csv", &[]).unwrap(), ["a1.csv", "a2.csv", "dir.csv/x"]);
        let error = list(root.path(), "*.json", &[]).unwrap_err().to_string();
        assert!(error.contains("no file matches it"), "{error}");
        assert!(list(root.path(), "*.json", &[("source.monitor-interval", "1 s")]).unwrap().is_empty());
    }

    #[test]
    fn a_file_whose_name_looks_like_a_glob_is_that_file() {
        let root = files(&["a[1].csv", "a1.csv"]);
        assert_eq!(list(root.path(), "a[1].csv", &[]).unwrap(), ["a[1].csv"]);
    }

    #[test]
    fn a_regular_expression_must_match_the_whole_path() {
        let root = files(&["d/a.csv", "d/b.csv.bak"]);
        assert_eq!(list(root.path(), "d", &[("source.path.regex-pattern", ".*[.]csv")]).unwrap(), ["d/a.csv"]);
        assert!(list(root.path(), "d", &[("source.path.regex-pattern", "(")]).is_err());
    }

    #[test]
    fn a_missing_path_is_an_error_with_the_likely_name() {
        let root = files(&["orders.csv"]);
        let error = list(root.path(), "order.csv", &[]).unwrap_err().to_string();
        assert!(error.contains("order.csv of table t\n  why: there is no such file or directory"), "{error}");
        assert!(error.ends_with("orders.csv?"), "{error}");
        let error = list(root.path(), "no/such/x.csv", &[]).unwrap_err().to_string();
        assert!(error.ends_with("does not exist either"), "{error}");
    }

    #[test]
    fn a_path_through_a_file_is_unreadable() {
        let root = files(&["a.csv"]);
        let error = list(root.path(), "a.csv/x", &[]).unwrap_err().to_string();
        assert!(error.contains("Not a directory"), "{error}");
    }

    #[test]
    fn urls_of_files_are_paths() {
        assert_eq!(local_path("file:///a/b", "t").unwrap(), Path::new("/a/b"));
        assert_eq!(local_path("file:/a/b", "t").unwrap(), Path::new("/a/b"));
        assert!(local_path("a:b/c", "t").unwrap().ends_with("a:b/c"));
        assert!(local_path("relative", "t").unwrap().is_absolute());
    }
}
