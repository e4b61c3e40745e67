//! The errors of this room: each says where, what, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::{Fault, VolumeId};

/// What can go wrong with files and volumes.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file or directory is not there.
    #[error("cannot {doing} {}: it is not there", path.display())]
    Missing {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// No room is left.
    #[error("cannot {doing} {}: no room is left on its file system; free some, or lower the retention", path.display())]
    Full {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The file exists already; nothing is ever written over a recording.
    #[error("{} exists already and is not written over; use the next millisecond", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {doing} {}: {source}; check that the user of camkeep owns it and that its file system is mounted for writing", path.display())]
    Refused {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This process, or the whole machine, has as many files open as it may.
    #[error("cannot {doing} {}: {source}; raise the limit of open files (LimitNOFILE in the unit, ulimit -n)", path.display())]
    NoFiles {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk failed in some other way.
    #[error("cannot {doing} {}: {source}; check the disk and its cable", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A sync failed. What the file holds is unknown from now on, and a second sync that succeeds would prove nothing.
    #[error("{} could not be brought to the disk ({source}): treat it as suspect and check the disk", path.display())]
    SyncFailed {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A volume is not where it was, or what is there is not it.
    #[error("the volume {} is not there: {reason}; nothing was written. Mount it again", root.display())]
    VolumeLost {
        /// Its root.
        root: PathBuf,
        /// How that is known.
        reason: String,
    },
    /// Another volume lies where one was expected.
    #[error("{} holds the volume {found}, but {expected} was expected; nothing was written. Mount the right disk, or correct the path", root.display(), found = found.0, expected = expected.0)]
    OtherVolume {
        /// Its root.
        root: PathBuf,
        /// What lies there.
        found: VolumeId,
        /// What should.
        expected: VolumeId,
    },
    /// A volume serves for something else already.
    #[error("{} is a {found} volume and cannot be the {wanted}; give the {wanted} a directory of its own", root.display())]
    OtherRole {
        /// Its root.
        root: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// Another daemon works with this data directory.
    #[error("camkeep is running already{} with this data directory (lock {}); stop it first, or give this one another with --data", pid.map(|pid| format!(" as process {pid}")).unwrap_or_default(), path.display())]
    AlreadyRunning {
        /// Its process id, when it could be read.
        pid: Option<u32>,
        /// The lock file.
        path: PathBuf,
    },
    /// The key may be read by others.
    #[error("{} may be read by others (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    KeyTooOpen {
        /// The key file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The key file is no key.
    #[error("{} is no key of camkeep (it has {size} bytes, a key has 32); restore it from a backup, or delete it and enter the cameras' passwords again", path.display())]
    KeyDamaged {
        /// The key file.
        path: PathBuf,
        /// How long it is.
        size: u64,
    },
    /// The file of the key that signs clips is no such key. It is never replaced: clips that it signed name it.
    #[error("{} is not the key that signs clips ({reason}); restore it from a backup. To go on with a new one, move it away and keep it: clips that were signed with it still verify with its public key", path.display())]
    BoxKeyDamaged {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for {}: {reason}", path.display())]
    NoRandom {
        /// What they were for.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The system gave no thread.
    #[error("the thread {name} could not be started: {source}; raise the limit of tasks (TasksMax, ulimit -u)")]
    NoThread {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// More than one file can hold.
    #[error("this is too much for one file: {what}; ask for a shorter span")]
    TooLong {
        /// What does not fit.
        what: String,
    },
    /// A path that could lead out of its volume.
    #[error("`{}` is no path inside a volume", path.display())]
    Outside {
        /// The path as it was given.
        path: PathBuf,
    },
    /// What was read cannot be believed.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
}

impl StorageError {
    /// Sorts what the system said into what a person can do about it.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        // These two have no kind of their own.
        let errno = rustix::io::Errno::from_io_error(&source);
        if matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) {
            return Self::NoFiles { doing, path, source };
        }
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { doing, path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { doing, path },
            io::ErrorKind::AlreadyExists => Self::Exists { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Refused { doing, path, source }
            }
            _ => Self::Io { doing, path, source },
        }
    }

    /// The same for what rustix says.
    pub(super) fn errno(doing: &'static str, path: &Path, source: rustix::io::Errno) -> Self {
        Self::io(doing, path, source.into())
    }

    /// What kind of trouble this is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Missing { .. } => Fault::NotFound,
            Self::Full { .. } => Fault::Full,
            Self::Exists { .. } | Self::AlreadyRunning { .. } | Self::OtherRole { .. } => Fault::Conflict,
            Self::Refused { .. } | Self::KeyTooOpen { .. } => Fault::Forbidden,
            Self::Io { .. }
            | Self::NoFiles { .. }
            | Self::SyncFailed { .. }
            | Self::VolumeLost { .. }
            | Self::OtherVolume { .. }
            | Self::NoRandom { .. }
            | Self::NoThread { .. } => Fault::Unavailable,
            Self::Outside { .. } | Self::TooLong { .. } => Fault::Invalid,
            Self::KeyDamaged { .. } | Self::BoxKeyDamaged { .. } | Self::Damaged { .. } => Fault::Corrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_becomes_what_a_person_can_do() {
        let path = Path::new("/srv/x");
        for (kind, fault, word) in [
            (io::ErrorKind::NotFound, Fault::NotFound, "not there"),
            (io::ErrorKind::StorageFull, Fault::Full, "free some"),
            (io::ErrorKind::AlreadyExists, Fault::Conflict, "not written over"),
            (
                io::ErrorKind::ReadOnlyFilesystem,
                Fault::Forbidden,
                "mounted for writing",
            ),
            (io::ErrorKind::Other, Fault::Unavailable, "check the disk"),
        ] {
            let error = StorageError::io("write", path, kind.into());
            assert_eq!(error.fault(), fault);
            let text = error.to_string();
            assert!(text.contains(word) && text.contains("/srv/x"), "{text}");
        }
        let error = StorageError::errno("open", path, rustix::io::Errno::MFILE);
        assert_eq!(error.fault(), Fault::Unavailable);
        assert!(error.to_string().contains("LimitNOFILE"), "{error}");
    }
}
