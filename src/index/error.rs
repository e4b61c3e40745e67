//! What can go wrong with the index, and what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::model::{CameraId, Fault};

/// Why the index could not be opened, read or written. Clones, because one failed commit is told to everybody in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A later version of camkeep wrote the file. Nothing was changed.
    #[error(
        "{path}: this index has version {found}, this camkeep knows up to version {known}; start the newer camkeep that wrote it, or restore an older index.db from a backup"
    )]
    NewerDatabase {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
    /// An earlier version of camkeep wrote the file, and it was opened only to be looked at.
    #[error("{path}: an earlier camkeep wrote this index; start this one once with it, or look at it with that one")]
    OlderDatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is no database, or its pages contradict one another.
    #[error(
        "{path}: the index is damaged ({reason}); set it aside and rebuild it from the recordings, which all name themselves"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file, or the directory for its journal, cannot be created or written.
    #[error(
        "{path}: the index cannot be written ({reason}); its directory must exist and belong to the user that runs camkeep"
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another program holds the lock.
    #[error("{path}: another program has locked the index; end it (a sqlite3 shell? a backup?) and try again")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// No reader became free in time.
    #[error("{path}: all readers of the index are busy; try again in a few seconds")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// No room for a write.
    #[error("{path}: no room is left for the index; free space on its volume")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The disk below does not do what it should.
    #[error("{path}: the disk of the index fails ({reason}); look at the kernel's log and replace the disk")]
    Failing {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// What was named is not there.
    #[error("{0} not found")]
    NotFound(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be stored.
    #[error("{0}")]
    Invalid(String),
    /// A stored secret does not open.
    #[error(
        "the {field} of camera {camera} cannot be unsealed; put back the key file that belongs to this index, or set the index and its backup aside: cameras come back without passwords and URLs then, and footage is found again by its files"
    )]
    Unsealable {
        /// Whose secret it is.
        camera: CameraId,
        /// Which field.
        field: &'static str,
    },
    /// The index was closed.
    #[error("{path}: the index is closed; camkeep is shutting down")]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// Our own mistake.
    #[error("{path}: {reason}; this is a bug in camkeep, please report it with this line")]
    Internal {
        /// The file.
        path: PathBuf,
        /// What SQLite or the program said.
        reason: String,
    },
}

impl IndexError {
    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NewerDatabase { .. } | Self::OlderDatabase { .. } | Self::Conflict(_) => Fault::Conflict,
            Self::Damaged { .. } | Self::Unsealable { .. } => Fault::Corrupt,
            Self::Unwritable { .. }
            | Self::Locked { .. }
            | Self::Busy { .. }
            | Self::Failing { .. }
            | Self::Closed { .. } => Fault::Unavailable,
            Self::Full { .. } => Fault::Full,
            Self::NotFound(_) => Fault::NotFound,
            Self::Invalid(_) => Fault::Invalid,
            Self::Internal { .. } => Fault::Internal,
        }
    }

    /// Names the file, where SQLite's error was turned into ours without knowing it.
    pub(super) fn at(mut self, file: &Path) -> Self {
        match &mut self {
            Self::NewerDatabase { path, .. }
            | Self::OlderDatabase { path }
            | Self::Damaged { path, .. }
            | Self::Unwritable { path, .. }
            | Self::Locked { path }
            | Self::Busy { path }
            | Self::Full { path }
            | Self::Failing { path, .. }
            | Self::Closed { path }
            | Self::Internal { path, .. } => {
                if path.as_os_str().is_empty() {
                    *path = file.to_owned();
                }
            }
            Self::NotFound(_) | Self::Conflict(_) | Self::Invalid(_) | Self::Unsealable { .. } => {}
        }
        self
    }
}

impl From<rusqlite::Error> for IndexError {
    fn from(error: rusqlite::Error) -> Self {
        let (path, reason) = (PathBuf::new(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { path, reason },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Unwritable { path, reason }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::SystemIoFailure) => Self::Failing { path, reason },
            Some(ErrorCode::ConstraintViolation) => Self::Conflict(format!("the index refuses it: {reason}")),
            Some(_) => Self::Internal { path, reason },
            // Not SQLite's: a column that does not hold what it must, so something else wrote it.
            None => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Damaged { path, reason },
                _ => Self::Internal { path, reason },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> IndexError {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        IndexError::from(error).at(Path::new("/data/index.db"))
    }

    #[test]
    fn what_sqlite_says_becomes_a_fault_with_the_file_named() {
        for (code, fault) in [
            (rusqlite::ffi::SQLITE_BUSY, Fault::Unavailable),
            (rusqlite::ffi::SQLITE_CORRUPT, Fault::Corrupt),
            (rusqlite::ffi::SQLITE_NOTADB, Fault::Corrupt),
            (rusqlite::ffi::SQLITE_CANTOPEN, Fault::Unavailable),
            (rusqlite::ffi::SQLITE_READONLY, Fault::Unavailable),
            (rusqlite::ffi::SQLITE_FULL, Fault::Full),
            (rusqlite::ffi::SQLITE_IOERR, Fault::Unavailable),
            (rusqlite::ffi::SQLITE_MISUSE, Fault::Internal),
        ] {
            let error = failure(code);
            assert_eq!(error.fault(), fault, "{error}");
            assert!(error.to_string().starts_with("/data/index.db: "), "{error}");
        }
    }

    #[test]
    fn a_file_once_named_stays_named() {
        let error = failure(rusqlite::ffi::SQLITE_BUSY).at(Path::new("/other"));
        assert!(error.to_string().starts_with("/data/index.db: "));
    }
}
