//! Where pictures lie that were encoded anew, until the clip is written.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use super::error::ExportError;
use crate::pipeline::PipelineError;

/// An unfinished file that somebody else made and throws away. What is added to it lies there for as long.
#[derive(Debug)]
pub(super) struct Spool {
    path: Arc<Path>,
    file: File,
    bytes: u64,
}

impl Spool {
    /// Takes a file that is there, empty.
    pub(super) fn over(path: &Path) -> Result<Self, ExportError> {
        let file = File::options()
            .write(true)
            .open(path)
            .map_err(|error| ExportError::Broken(format!("{}: {error}", path.display())))?;
        Ok(Self {
            path: path.into(),
            file,
            bytes: 0,
        })
    }

    pub(super) fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// Adds bytes and says where they lie.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<u64, PipelineError> {
        self.file.write_all(bytes).map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => PipelineError::Full {
                path: self.path.to_path_buf(),
            },
            _ => PipelineError::Failed {
                name: "retake".to_owned(),
                reason: format!("{}: {error}", self.path.display()),
            },
        })?;
        let at = self.bytes;
        self.bytes += bytes.len() as u64;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_added_lies_one_behind_the_other_and_a_full_disk_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        assert!(Spool::over(&path).is_err());
        std::fs::write(&path, "").unwrap();
        let mut spool = Spool::over(&path).unwrap();
        assert_eq!((spool.add(b"one").unwrap(), spool.add(b"three").unwrap()), (0, 3));
        assert_eq!(std::fs::read(&path).unwrap(), b"onethree");
        let mut full = Spool::over(Path::new("/dev/full")).unwrap();
        assert!(matches!(full.add(b"x"), Err(PipelineError::Full { .. })));
    }
}
