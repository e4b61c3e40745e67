//! Opening the file: is it ours, is it whole, is it of this version, and may it be written?

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::error::IndexError;
use crate::model::Timestamp;

/// How the schema came to be, in order. A released one is never changed; the next one is added.
const MIGRATIONS: &[M<'static>] = &[
    M::up(include_str!("../../migrations/0001_first.sql")),
    M::up(include_str!("../../migrations/0002_rests.sql")),
    M::up(include_str!("../../migrations/0003_clips.sql")),
    M::up(include_str!("../../migrations/0004_stretches.sql")),
    M::up(include_str!("../../migrations/0005_damage.sql")),
    M::up(include_str!("../../migrations/0006_chain.sql")),
    M::up(include_str!("../../migrations/0007_triggers.sql")),
    M::up(include_str!("../../migrations/0008_mirror.sql")),
    M::up(include_str!("../../migrations/0009_http_port.sql")),
    M::up(include_str!("../../migrations/0010_holes.sql")),
    M::up(include_str!("../../migrations/0011_retention.sql")),
    M::up(include_str!("../../migrations/0012_recovery.sql")),
    M::up(include_str!("../../migrations/0013_clips_cut_to_now.sql")),
    M::up(include_str!("../../migrations/0014_purge.sql")),
    M::up(include_str!("../../migrations/0015_holds.sql")),
];
/// The version of the schema after the last migration.
const KNOWN_VERSION: i64 = MIGRATIONS.len() as i64;

/// Readers that can work at the same time.
const READERS: u32 = 4;
/// How long a read waits for a lock or a free reader.
const READ_WAIT: Duration = Duration::from_secs(5);
/// Statements kept ready on each connection; more than the room has.
const STATEMENTS: usize = 128;

/// What both kinds of connection are told. A page that lies about its cells is noticed where it is read.
const PRAGMAS: &str = "
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA cache_size = -8000;
    PRAGMA temp_store = MEMORY;";
/// FULL: a commit is on the disk when it is answered, so that a power cut takes nothing that was told as kept.
const WRITER_PRAGMAS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA journal_size_limit = 67108864;";

/// Opens the writing connection: looks before it changes anything, checks the pages, brings the schema up to date.
pub(super) fn open_writer(path: &Path, lock_wait: Duration) -> Result<Connection, IndexError> {
    create_private(path)?;
    let found = look_at_version(path, lock_wait)?;
    if found > KNOWN_VERSION {
        return Err(IndexError::NewerDatabase {
            path: path.to_owned(),
            found,
            known: KNOWN_VERSION,
        });
    }
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(lock_wait)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(IndexError::Unwritable {
            path: path.to_owned(),
            reason: format!("its file system allows no write-ahead log, only `{mode}`; a network share?"),
        });
    }
    connection.execute_batch(PRAGMAS)?;
    connection.execute_batch(WRITER_PRAGMAS)?;
    check_pages(&connection, path)?;
    if found < KNOWN_VERSION {
        Migrations::from_slice(MIGRATIONS)
            .to_latest(&mut connection)
            .map_err(|error| migration_error(error, path))?;
        tracing::info!(path = %path.display(), from = found, to = KNOWN_VERSION, "the index has a new schema");
    }
    Ok(connection)
}

/// Opens the pool of reading connections. The file must be open for writing already: that made its journal.
pub(super) fn open_readers(path: &Path) -> Result<Pool<SqliteConnectionManager>, IndexError> {
    open_readers_of(path, false)
}

fn open_readers_of(path: &Path, immutable: bool) -> Result<Pool<SqliteConnectionManager>, IndexError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let manager = if immutable {
        SqliteConnectionManager::file(immutable_uri(path)).with_flags(flags | OpenFlags::SQLITE_OPEN_URI)
    } else {
        SqliteConnectionManager::file(path).with_flags(flags)
    };
    let connections = manager.with_init(|connection| {
        connection.busy_timeout(READ_WAIT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch(PRAGMAS)
    });
    Pool::builder()
        .max_size(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_on_check_out(false)
        .connection_timeout(READ_WAIT)
        .build(connections)
        .map_err(|error| IndexError::Unwritable {
            path: path.to_owned(),
            reason: error.to_string(),
        })
}

/// Opens the pool for somebody who only looks, beside a writer or without one.
pub(super) fn open_only_to_read(path: &Path) -> Result<Pool<SqliteConnectionManager>, IndexError> {
    if !path.exists() {
        return Err(IndexError::NotFound(format!("the index {}", path.display())));
    }
    let (found, immutable) = match look_at_version(path, READ_WAIT) {
        Ok(found) => (found, false),
        // Beside the file nothing can be written, not even what SQLite shares with other readers.
        Err(IndexError::Unwritable { .. }) if !has_journal(path) => (version_of_immutable(path)?, true),
        Err(error) => return Err(error),
    };
    if found > KNOWN_VERSION {
        return Err(IndexError::NewerDatabase {
            path: path.to_owned(),
            found,
            known: KNOWN_VERSION,
        });
    }
    if found < KNOWN_VERSION {
        return Err(IndexError::OlderDatabase { path: path.to_owned() });
    }
    open_readers_of(path, immutable)
}

fn has_journal(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    fs::metadata(PathBuf::from(name)).is_ok_and(|found| found.len() > 0)
}

/// How SQLite is told that a file never changes.
fn immutable_uri(path: &Path) -> String {
    let escaped: String = path
        .to_string_lossy()
        .chars()
        .map(|c| match c {
            '%' => "%25".to_owned(),
            '?' => "%3f".to_owned(),
            '#' => "%23".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("file:{escaped}?immutable=1")
}

fn version_of_immutable(path: &Path) -> Result<i64, IndexError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(immutable_uri(path), flags)?;
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Moves a damaged index and its journals out of the way, to `index.db.damaged-<time>`, and says where it lies now.
/// Nothing is deleted: somebody may still want to look into it. The index must not be open.
pub(super) fn set_aside(path: &Path, at: Timestamp) -> std::io::Result<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let stamp = at.to_utc().format("%Y%m%dT%H%M%S%.3fZ");
    let aside = beside(&format!(".damaged-{stamp}"));
    // The journals first: a journal that stayed behind alone could be taken for that of the new file.
    for suffix in ["-wal", "-shm", ""] {
        let mut to = aside.as_os_str().to_owned();
        to.push(suffix);
        match fs::rename(beside(suffix), to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    if let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        File::open(directory)?.sync_all()?;
    }
    Ok(aside)
}

/// Makes the file when it is not there, readable by its owner only; SQLite gives its journals the same rights.
fn create_private(path: &Path) -> Result<(), IndexError> {
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    opened.map(|_| ()).map_err(|error| IndexError::Unwritable {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// The version of the schema, read through a connection that can change nothing, not even fold the journal in.
fn look_at_version(path: &Path, lock_wait: Duration) -> Result<i64, IndexError> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(lock_wait)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

fn check_pages(connection: &Connection, path: &Path) -> Result<(), IndexError> {
    let damaged = |reason: String| IndexError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match found.map_err(IndexError::from) {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(damaged(answer)),
        // A schema that cannot even be read is not told apart from a wrong statement.
        Err(IndexError::Internal { reason, .. }) => Err(damaged(reason)),
        Err(error) => Err(error),
    }
}

fn migration_error(error: rusqlite_migration::Error, path: &Path) -> IndexError {
    match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
        other => IndexError::Internal {
            path: path.to_owned(),
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, closed, index, seal};
    use super::super::{Index, IndexError};
    use super::*;
    use crate::model::Fault;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    fn raw(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .unwrap();
        connection
    }

    fn error_of(path: &Path) -> IndexError {
        Index::open(path, seal()).unwrap_err()
    }

    #[test]
    fn the_migrations_are_sound() {
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }

    #[test]
    fn what_was_written_is_there_when_it_is_opened_again() {
        let (directory, index) = index();
        index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
        let volumes = index.read_blocking(|r| r.volumes()).unwrap();
        index.close();
        let path = directory.path().join("index.db");
        assert!(
            !directory.path().join("index.db-wal").exists(),
            "closing folds the journal in"
        );
        let again = Index::open(&path, seal()).unwrap();
        let id = closed(1, 0, 60).id;
        assert_eq!(again.read_blocking(|r| r.segment(id)).unwrap(), Some(closed(1, 0, 60)));
        assert_eq!(again.read_blocking(|r| r.volumes()).unwrap(), volumes);
    }

    #[test]
    fn what_a_killed_process_left_in_the_journal_is_there() {
        let (directory, index) = index();
        index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
        // What a disk holds after kill -9: the file and its journal, folded by nobody.
        let copy = tempfile::tempdir().unwrap();
        for name in ["index.db", "index.db-wal"] {
            fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
        }
        let again = Index::open(copy.path().join("index.db"), seal()).unwrap();
        assert_eq!(again.read_blocking(|r| r.count_segments(None)).unwrap(), 1);
    }

    #[test]
    fn only_the_owner_may_read_the_files() {
        let (directory, _index) = index();
        for name in ["index.db", "index.db-wal"] {
            let rights = fs::metadata(directory.path().join(name)).unwrap().permissions();
            assert_eq!(rights.mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_newer_schema_is_refused_and_not_a_byte_changes() {
        let (directory, index) = index();
        index.close();
        let path = directory.path().join("index.db");
        // In the journal only, so that looking for it in the file alone would miss it.
        raw(&path).execute_batch("PRAGMA user_version = 99").unwrap();
        let bytes = |suffix| fs::read(directory.path().join(format!("index.db{suffix}"))).unwrap();
        let before = (bytes(""), bytes("-wal"));
        let error = error_of(&path);
        assert_eq!(
            error,
            IndexError::NewerDatabase {
                path,
                found: 99,
                known: KNOWN_VERSION
            }
        );
        assert!(error.to_string().contains("start the newer camkeep"), "{error}");
        assert_eq!((bytes(""), bytes("-wal")), before);
    }

    /// An index with a few hundred pages, closed.
    fn filled() -> (tempfile::TempDir, PathBuf) {
        let (directory, index) = index();
        index
            .write_blocking(|w| (1..=500).try_for_each(|n| w.close_segment(&closed(n, n as i64, n as i64 + 1))))
            .unwrap();
        index.close();
        let path = directory.path().join("index.db");
        (directory, path)
    }

    #[test]
    fn damage_is_named_and_set_aside_for_a_new_index() {
        let (directory, path) = filled();
        let length = fs::metadata(&path).unwrap().len();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xA5; 8 * 4096], length / 2 / 4096 * 4096).unwrap();
        let error = error_of(&path);
        assert!(matches!(error, IndexError::Damaged { .. }), "{error}");
        assert_eq!(error.fault(), Fault::Corrupt);
        fs::write(directory.path().join("index.db-wal"), b"left behind").unwrap();

        let aside = Index::set_aside(&path, at(1_700_000_000)).unwrap();
        assert_eq!(aside.file_name().unwrap(), "index.db.damaged-20231114T221320.000Z");
        assert_eq!(fs::metadata(&aside).unwrap().len(), length);
        let journal = directory.path().join("index.db.damaged-20231114T221320.000Z-wal");
        assert_eq!(fs::read(journal).unwrap(), b"left behind");
        let fresh = Index::open(&path, seal()).unwrap();
        assert_eq!(fresh.read_blocking(|r| r.count_segments(None)).unwrap(), 0);
    }

    #[test]
    fn every_kind_of_broken_file_is_damage_and_never_a_panic() {
        let (_directory, path) = filled();
        let whole = fs::read(&path).unwrap();
        let mut schema = whole.clone();
        schema[100..4096].fill(0xFF);
        for (name, bytes) in [
            (
                "another file",
                b"This is a letter to somebody, and no database at all.".repeat(100),
            ),
            ("its header", [&[0u8; 100], &whole[100..]].concat()),
            ("its schema", schema),
            ("half of it", whole[..whole.len() / 2].to_vec()),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = error_of(&path);
            assert!(matches!(error, IndexError::Damaged { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn an_empty_file_is_a_new_index() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.db");
        fs::write(&path, b"").unwrap();
        let index = Index::open(&path, seal()).unwrap();
        assert_eq!(index.read_blocking(|r| r.cameras()).unwrap(), []);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"x").unwrap();
        for path in [file.join("index.db"), directory.path().join("missing/index.db")] {
            let error = error_of(&path);
            assert!(matches!(error, IndexError::Unwritable { .. }), "{error}");
            assert!(error.to_string().starts_with(path.to_str().unwrap()), "{error}");
        }
        let error = error_of(directory.path());
        assert!(matches!(error, IndexError::Unwritable { .. }), "{error}");
    }

    #[test]
    fn a_lock_on_a_file_that_is_still_to_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.db");
        let other = raw(&path);
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let error = open_writer(&path, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, IndexError::Locked { .. }), "{error}");
    }

    #[test]
    fn a_lock_of_somebody_else_does_not_keep_an_index_from_opening() {
        let (directory, index) = index();
        index.close();
        let path = directory.path().join("index.db");
        let other = raw(&path);
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let index = Index::open(&path, seal()).unwrap();
        assert_eq!(index.read_blocking(|r| r.volumes()).unwrap().len(), 2);
        other.execute_batch("COMMIT").unwrap();
    }

    #[test]
    fn an_index_is_looked_at_beside_its_writer_and_never_changed() {
        let (_directory, index) = index();
        index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
        let looking = Index::open_to_read(index.path()).unwrap();
        assert_eq!(looking.read_blocking(|r| r.count_segments(None)).unwrap(), 1);
        index.write_blocking(|w| w.close_segment(&closed(2, 60, 90))).unwrap();
        assert_eq!(looking.read_blocking(|r| r.count_segments(None)).unwrap(), 2);
        let refused = looking.write_blocking(|w| w.set_meta("x", "1")).unwrap_err();
        assert!(matches!(refused, IndexError::Closed { .. }), "{refused}");
        looking.close();
        index.write_blocking(|w| w.set_meta("x", "1")).unwrap();
    }

    #[test]
    fn an_index_to_look_at_is_not_made_and_one_of_another_version_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.db");
        let missing = Index::open_to_read(&path).unwrap_err();
        assert_eq!(missing.fault(), Fault::NotFound);
        assert!(!path.exists());
        Index::open(&path, seal()).unwrap().close();
        for (version, word) in [(1, "an earlier camkeep"), (1000, "newer camkeep")] {
            raw(&path).pragma_update(None, "user_version", version).unwrap();
            let refused = Index::open_to_read(&path).unwrap_err();
            assert!(refused.to_string().contains(word), "{refused}");
        }
    }

    #[test]
    fn a_name_with_signs_in_it_is_one_name() {
        let uri = immutable_uri(Path::new("/mnt/50% off?/a#b.db"));
        assert_eq!(uri, "file:/mnt/50%25 off%3f/a%23b.db?immutable=1");
        let (_directory, index) = index();
        index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
        index.close();
        assert!(version_of_immutable(index.path()).unwrap() > 0);
        let pool = open_readers_of(index.path(), true).unwrap();
        let count = |c: &Connection| c.query_row("SELECT count(*) FROM segments", [], |row| row.get::<_, i64>(0));
        assert_eq!(count(&pool.get().unwrap()).unwrap(), 1);
    }
}
