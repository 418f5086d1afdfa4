//! Where the files of a table are: what local directories and object stores have in common.
//!
//! Everything here may block: it is called on threads made for that. A file is named as the user knows it, by an absolute path or
//! by a URL.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use super::columns::FileProperties;
use crate::connect::FileBytes;
use crate::error::Result;

/// A file, a directory or a glob somewhere.
///
/// `directory` is one within it: `""` or `d=1/k=a/`.
pub(super) trait Store: Send + Sync + fmt::Debug {
    /// The absolute path or the URL.
    fn name(&self) -> &str;

    /// Every file there is now, in any order.
    ///
    /// # Errors
    /// There is nothing of that name, or it cannot be read.
    fn list(&self) -> Result<Vec<String>>;

    /// Opens a file that `list` named.
    fn open(&self, file: &str) -> io::Result<Box<dyn StoredFile>>;

    /// Makes the place that files are created in, as far as that is needed.
    fn create_directory(&self) -> io::Result<()>;

    /// Begins a file that nobody sees.
    fn create(&self, directory: &str, name: &str) -> io::Result<Arc<dyn PartFile>>;

    /// Begins a file that nobody sees when it is published either: it is staged, for `commit`.
    fn stage(&self, directory: &str, name: &str) -> io::Result<Arc<dyn PartFile>>;

    /// Gives a staged file its name. One that is not there any more has got it before.
    fn commit(&self, directory: &str, name: &str) -> io::Result<()>;

    /// The files whose names, without the marks of what is staged, begin like this, in whatever directory: directory, name, and whether it
    /// is staged.
    fn beginning_with(&self, prefix: &str) -> io::Result<Vec<(String, String, bool)>>;

    /// Removes a file by its name without the marks of what is staged.
    fn remove(&self, directory: &str, name: &str, staged: bool) -> io::Result<()>;

    /// Removes the files right in `directory`. Hidden ones stay: those of this job are among them.
    fn remove_files(&self, directory: &str) -> io::Result<()>;

    /// Writes an empty file.
    fn mark(&self, directory: &str, name: &str) -> io::Result<()>;
}

/// A file that is there.
pub(super) trait StoredFile: Send {
    fn properties(&self) -> FileProperties;

    /// Its bytes from `start` on.
    fn read_from(self: Box<Self>, start: u64) -> io::Result<Box<dyn Read>>;

    fn read_anywhere(self: Box<Self>) -> Arc<dyn FileBytes>;
}

/// A file being written, which nobody sees until it is published. Dropping it may leave remains: publish or discard it.
pub(super) trait PartFile: Send + Sync {
    /// The name it will have.
    fn name(&self) -> String;

    fn write(&self, bytes: &[u8]) -> io::Result<()>;

    /// Whether `cut` works. If not, bytes that may have to be taken back must not be written yet.
    fn can_be_cut(&self) -> bool;

    /// Takes back all but the first `length` bytes.
    fn cut(&self, length: u64) -> io::Result<()>;

    /// Nothing more will be written; brings everything to where it is safe.
    fn seal(&self) -> io::Result<()>;

    /// Gives the file its name, after `seal`.
    fn publish(&self) -> io::Result<()>;

    fn discard(&self);
}

/// The name of a file that is not finished, or staged.
pub(super) fn staged(name: &str) -> String {
    format!(".{name}.inprogress")
}

/// The inverse.
pub(super) fn unstaged(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".inprogress")
}

/// Hidden by their names, which start with `_` or `.`: by convention unfinished files and notes of the programs that write them.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}
