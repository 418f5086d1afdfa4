//! The directory that a job keeps its checkpoints in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tidemill_state::checkpoint::Store;

use crate::connect::Options;
use crate::connectors::filesystem::providers;
use crate::error::{Error, Result};

/// `job` within `directory`: a path, or a URL of an object store. Performs no I/O but to make a local directory.
///
/// # Errors
/// The scheme is unknown or not in this build, or a setting of the store is missing; the directory cannot be made.
pub fn place(directory: &str, job: &str) -> Result<Store> {
    within(directory, &slug(job))
}

/// The same, and makes nothing: if there is no such local directory, an empty store stands for it.
///
/// # Errors
/// As `place`.
pub fn place_as_found(directory: &str, job: &str) -> Result<Store> {
    match local(directory) {
        Some(path) if !path.join(slug(job)).is_dir() => Ok(in_memory()),
        _ => place(directory, job),
    }
}

/// The directory of one job, such as `place` has named, or of a savepoint.
///
/// # Errors
/// There is none; else as `place`.
pub fn place_of(directory: &str) -> Result<Store> {
    if local(directory).is_some_and(|path| !path.is_dir()) {
        return Err(Error::new(format!("there is no directory {directory}"))
            .fix("give the one that a job has named when it began, or that of a savepoint"));
    }
    within(directory, "")
}

/// A directory for a savepoint. As `place`.
pub fn place_for(directory: &str) -> Result<Store> {
    within(directory, "")
}

/// The directories of jobs in `directory`, which may be one itself.
///
/// # Errors
/// There is none.
pub fn places(directory: &str) -> Result<Vec<Store>> {
    let Some(path) = local(directory).filter(|path| !path.join("latest").exists()) else {
        return Ok(vec![place_of(directory)?]);
    };
    let entries = std::fs::read_dir(&path).map_err(|error| unusable(directory, &error))?;
    let mut jobs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    jobs.retain(|job| job.join("latest").exists());
    jobs.sort();
    if jobs.is_empty() {
        return Err(Error::new(format!("there are no checkpoints in {directory}"))
            .fix("give the directory that a job has named when it began"));
    }
    jobs.iter().map(|job| place_of(&job.display().to_string())).collect()
}

fn within(directory: &str, job: &str) -> Result<Store> {
    let directory = directory.trim_end_matches('/');
    match local(directory) {
        Some(path) => {
            let path = if job.is_empty() { path } else { path.join(job) };
            let path = std::path::absolute(path).map_err(|error| unusable(directory, &error))?;
            let objects =
                LocalFileSystem::new_with_prefix(existing(&path).map_err(|error| unusable(directory, &error))?);
            let objects = objects.map_err(|error| unusable(directory, &error))?;
            let name = path.display().to_string();
            Ok(Store::new(Arc::new(objects), object_store::path::Path::default(), name, Some(path)))
        }
        None => {
            let (root, key) = providers::split(directory);
            let objects = providers::store(&root, "the state directory", &Options::default())?;
            let key = object_store::path::Path::from(key);
            let key = if job.is_empty() { key } else { key.join(job) };
            Ok(Store::new(objects, key, format!("{directory}/{job}").trim_end_matches('/').to_string(), None))
        }
    }
}

/// Checkpoints that live as long as the process: for a job that starts again by itself.
pub fn in_memory() -> Store {
    let root = object_store::path::Path::default();
    Store::new(Arc::new(InMemory::new()), root, "memory, as long as it runs".to_string(), None)
}

fn local(directory: &str) -> Option<PathBuf> {
    match directory.split_once(':') {
        Some(("file", rest)) => Some(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest))),
        _ if directory.contains("://") => None,
        _ => Some(PathBuf::from(directory)),
    }
}

fn existing(path: &Path) -> std::io::Result<&Path> {
    std::fs::create_dir_all(path)?;
    Ok(path)
}

fn unusable(directory: &str, error: &dyn std::error::Error) -> Error {
    Error::new(format!("cannot keep checkpoints in {directory}"))
        .why(error.to_string())
        .fix("give a directory that can be written, or an object store such as s3://bucket/path")
}

/// A name as part of a path.
fn slug(name: &str) -> String {
    let kept = name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' });
    let slug: String = kept.collect();
    match slug.trim_matches(['-', '.']) {
        "" => "job".to_string(),
        slug => slug.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_a_directory_of_its_own_whatever_its_name() {
        let root = tempfile::tempdir().unwrap();
        let at = |job: &str| place(&format!("file://{}/", root.path().display()), job).unwrap().name().to_string();
        assert_eq!(at("insert into t, ../u"), format!("{}/insert-into-t--..-u", root.path().display()));
        assert_eq!(at("../.."), format!("{}/job", root.path().display()));
        assert_eq!(place("memory://a/b", "x y").unwrap().name(), "memory://a/b/x-y");
        assert!(place("ftp://a", "x").unwrap_err().to_string().contains("cannot use ftp://a/ as the state directory"));
    }
}
