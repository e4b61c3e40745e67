//! Writing: one thread, one transaction at a time, answers after the commit.
//!
//! Whoever asks waits in a queue without bound, because a recorder may never fail for want of room in it. What has
//! gathered while the last commit was on its way to the disk goes into one transaction, each ask under its own savepoint:
//! sixteen cameras cost one sync, and one ask that fails takes only itself back.

use std::collections::VecDeque;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Params};

use super::error::IndexError;
use super::reader::Reader;
use crate::model::Seal;
use crate::runtime::pause;

/// Most asks in one transaction, so that the first of a long queue need not wait for the last.
const GROUP: usize = 256;
/// How long SQLite itself waits for somebody else's lock before it says so.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often the lock is waited for again once the index is being closed; before that, without end.
const CLOSING_TRIES: u32 = 12;

/// Typed writes within one transaction, and the reads that see them.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a>(Reader<'a>);

impl<'a> Deref for Writer<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Writer<'_> {
    /// Executes one statement and says how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, IndexError> {
        Ok(self.connection().prepare_cached(sql)?.execute(params)?)
    }
}

/// One ask in the queue.
pub(super) trait Ask: Send {
    /// Does the work within the transaction and keeps the outcome; an error comes back as well.
    fn run(&mut self, writer: &Writer<'_>) -> Result<(), IndexError>;
    /// Tells whoever asked: the outcome, if the transaction is on the disk, else why it is not.
    fn answer(self: Box<Self>, transaction: Result<(), IndexError>);
}

/// An ask made of a closure and of how its outcome travels back.
pub(super) struct Question<F, T, R> {
    work: Option<F>,
    outcome: Option<Result<T, IndexError>>,
    reply: R,
}

impl<F, T, R> Question<F, T, R> {
    pub(super) fn new(work: F, reply: R) -> Self {
        Self {
            work: Some(work),
            outcome: None,
            reply,
        }
    }
}

impl<F, T, R> Ask for Question<F, T, R>
where
    F: FnOnce(&Writer<'_>) -> Result<T, IndexError> + Send,
    T: Send,
    R: FnOnce(Result<T, IndexError>) + Send,
{
    fn run(&mut self, writer: &Writer<'_>) -> Result<(), IndexError> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        // A mistake in one ask may not end the thread that everybody's recording needs.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(writer))).unwrap_or_else(|_| {
            Err(IndexError::Internal {
                path: PathBuf::new(),
                reason: "a write panicked".into(),
            })
        });
        let error = outcome.as_ref().err().cloned();
        self.outcome = Some(outcome);
        error.map_or(Ok(()), Err)
    }

    fn answer(self: Box<Self>, transaction: Result<(), IndexError>) {
        let answer = match (self.outcome, transaction) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(IndexError::Internal {
                path: PathBuf::new(),
                reason: "a write was answered before it was done".into(),
            }),
        };
        (self.reply)(answer);
    }
}

/// The writer thread's own things.
pub(super) struct Desk {
    pub(super) connection: Connection,
    pub(super) seal: Arc<dyn Seal>,
    pub(super) path: PathBuf,
    pub(super) closing: Arc<AtomicBool>,
}

impl Desk {
    /// Serves the queue until everybody who could ask is gone, then folds the journal into the file.
    pub(super) fn serve(self, queue: &Receiver<Box<dyn Ask>>) {
        while let Ok(first) = queue.recv() {
            let mut waiting: VecDeque<_> = std::iter::once(first).chain(queue.try_iter().take(GROUP - 1)).collect();
            while !waiting.is_empty() {
                self.commit_group(&mut waiting);
            }
        }
        let checkpoint = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = checkpoint {
            // Nothing is lost by it: the journal is read again at the next start.
            tracing::warn!(path = %self.path.display(), %error, "the index keeps its journal");
        }
    }

    /// One transaction for as many as it lasts: an error that makes SQLite take the whole transaction back (a full disk)
    /// ends it early, and the rest goes into the next.
    fn commit_group(&self, waiting: &mut VecDeque<Box<dyn Ask>>) {
        if let Err(error) = self.begin() {
            for ask in waiting.drain(..) {
                ask.answer(Err(error.clone()));
            }
            return;
        }
        let writer = Writer(Reader::new(&self.connection, self.seal.as_ref()));
        let (mut done, mut broken) = (Vec::new(), None);
        while broken.is_none() {
            let Some(mut ask) = waiting.pop_front() else {
                break;
            };
            broken = self.run_one(ask.as_mut(), &writer).err();
            done.push(ask);
        }
        let end = match broken {
            Some(error) => Err(error),
            None => self.connection.execute_batch("COMMIT").map_err(IndexError::from),
        };
        if end.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        let end = end.map_err(|error| error.at(&self.path));
        for ask in done {
            ask.answer(end.clone());
        }
    }

    /// Runs one ask under a savepoint. An error here is the whole transaction's, not only the ask's.
    fn run_one(&self, ask: &mut dyn Ask, writer: &Writer<'_>) -> Result<(), IndexError> {
        self.connection.execute_batch("SAVEPOINT ask")?;
        let outcome = ask.run(writer);
        match outcome {
            Err(error) if self.connection.is_autocommit() => Err(error),
            Err(_) => Ok(self.connection.execute_batch("ROLLBACK TO ask; RELEASE ask")?),
            Ok(()) => Ok(self.connection.execute_batch("RELEASE ask")?),
        }
    }

    /// Begins a transaction, and waits for it as long as somebody else holds the file.
    fn begin(&self) -> Result<(), IndexError> {
        let mut tries = 0;
        loop {
            let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") else {
                return Ok(());
            };
            tries += 1;
            let locked = matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            );
            let closing = self.closing.load(Ordering::Relaxed);
            if !locked || (closing && tries >= CLOSING_TRIES) {
                return Err(IndexError::from(error).at(&self.path));
            }
            warn_of_lock(&self.path, tries);
            // SQLite has waited already; this only keeps a lock that it does not wait for from burning a processor.
            pause(Duration::from_millis(50));
        }
    }
}

fn warn_of_lock(path: &Path, tries: u32) {
    if tries % CLOSING_TRIES == 1 {
        tracing::warn!(
            path = %path.display(), waited_s = LOCK_WAIT.as_secs() * u64::from(tries),
            "another program has locked the index; recording goes on, rows follow when the lock is gone"
        );
    }
}
