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
use super::writer::LOCK_WAIT;
use crate::model::Timestamp;

/// How the schema came to be, in order. A released one is never changed; the next one is added.
const MIGRATIONS: &[M<'static>] = &[M::up(include_str!("../../migrations/0001_first.sql"))];
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
pub(super) fn open_writer(path: &Path) -> Result<Connection, IndexError> {
    create_private(path)?;
    let found = look_at_version(path)?;
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
    connection.busy_timeout(LOCK_WAIT)?;
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
    let connections = SqliteConnectionManager::file(path)
        .with_flags(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .with_init(|connection| {
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
fn look_at_version(path: &Path) -> Result<i64, IndexError> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(READ_WAIT)?;
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
