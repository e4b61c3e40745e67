//! Writing: one thread, one transaction at a time, answers after the commit.
//!
//! Whoever asks waits in a queue without bound, because a recorder may never fail for want of room in it. What has
//! gathered while the last commit was on its way to the disk goes into one transaction, each ask under its own savepoint:
//! sixteen cameras cost one sync, and one ask that fails takes only itself back.

use std::collections::VecDeque;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Params};

use super::ask::Ask;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::ask::Question;
    use super::super::fixture::{closed, index, seal};
    use super::super::{Index, open};
    use super::*;
    use crate::model::Fault;
    use crate::runtime::spawn_thread;
    use std::sync::mpsc::{Sender, channel};

    type Answers = std::sync::mpsc::Receiver<Result<(), IndexError>>;

    /// Another program's connection.
    fn raw(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    fn metas(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT count(*) FROM meta", [], |row| row.get(0))
            .unwrap()
    }

    fn ask(
        queue: &Sender<Box<dyn Ask>>,
        work: impl FnOnce(&Writer<'_>) -> Result<(), IndexError> + Send + 'static,
    ) -> Answers {
        let (tell, told) = channel();
        let reply = move |answer| tell.send(answer).unwrap();
        queue.send(Box::new(Question::new(work, reply))).unwrap();
        told
    }

    /// A writer without its thread: what is asked before it serves is one group.
    fn desk(lock_wait: Duration) -> (tempfile::TempDir, Desk) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.db");
        let desk = Desk {
            connection: open::open_writer(&path, lock_wait).unwrap(),
            seal: seal(),
            path,
            closing: Arc::default(),
        };
        (directory, desk)
    }

    #[test]
    fn a_write_that_fails_does_not_undo_its_group() {
        let (directory, desk) = desk(LOCK_WAIT);
        let other = raw(&desk.path);
        let (queue, asks) = channel();
        let first = ask(&queue, |w| w.set_meta("first", "1"));
        let refused = ask(&queue, |w| {
            w.set_meta("refused", "1")?;
            Err(IndexError::Conflict("on purpose".into()))
        });
        let panics = ask(&queue, |w| {
            w.set_meta("panics", "1")?;
            panic!("on purpose");
        });
        let last = ask(&queue, move |w| {
            assert_eq!(w.meta("first")?.as_deref(), Some("1"));
            assert_eq!(
                metas(&other),
                0,
                "the group is one transaction, and nobody sees it before it ends"
            );
            w.set_meta("last", "1")
        });
        drop(queue);
        desk.serve(&asks);
        assert_eq!(first.recv().unwrap(), Ok(()));
        assert_eq!(refused.recv().unwrap(), Err(IndexError::Conflict("on purpose".into())));
        assert_eq!(panics.recv().unwrap().unwrap_err().fault(), Fault::Internal);
        assert_eq!(last.recv().unwrap(), Ok(()));
        assert_eq!(metas(&raw(&directory.path().join("index.db"))), 2);
    }

    #[test]
    fn who_was_in_a_transaction_that_was_lost_is_told_so() {
        let (directory, desk) = desk(LOCK_WAIT);
        let (queue, asks) = channel();
        let before = ask(&queue, |w| w.set_meta("before", "1"));
        // What SQLite does by itself when the disk is full.
        let loses = ask(&queue, |w| Ok(w.connection().execute_batch("ROLLBACK")?));
        let after = ask(&queue, |w| w.set_meta("after", "1"));
        drop(queue);
        desk.serve(&asks);
        assert!(before.recv().unwrap().is_err());
        assert!(loses.recv().unwrap().is_err());
        assert_eq!(after.recv().unwrap(), Ok(()));
        assert_eq!(metas(&raw(&directory.path().join("index.db"))), 1);
    }

    #[test]
    fn a_full_disk_is_told_and_survived() {
        let (_directory, index) = index();
        let limit = |pages: u32| {
            move |w: &Writer<'_>| {
                Ok(w.connection()
                    .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?)
            }
        };
        index.write_blocking(limit(1)).unwrap();
        let long = "x".repeat(1 << 20);
        let text = long.clone();
        let error = index.write_blocking(move |w| w.set_meta("long", &text)).unwrap_err();
        assert_eq!(error.fault(), Fault::Full, "{error}");
        index.write_blocking(limit(100_000)).unwrap();
        index.write_blocking(move |w| w.set_meta("long", &long)).unwrap();
        assert_eq!(
            index.read_blocking(|r| r.meta("long")).unwrap().map(|text| text.len()),
            Some(1 << 20)
        );
    }

    #[test]
    fn an_answer_means_that_everybody_can_see_it() {
        let (_directory, index) = index();
        let other = raw(index.path());
        for number in 1..=50 {
            index
                .write_blocking(move |w| w.set_meta(&number.to_string(), "1"))
                .unwrap();
            assert_eq!(metas(&other), number);
        }
    }

    /// Somebody who holds the file for a while, whatever happens meanwhile.
    fn hold_lock(path: &Path, time: Duration) -> std::thread::JoinHandle<()> {
        let other = raw(path);
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        spawn_thread("locks", move || {
            let (_nobody, calls) = channel::<()>();
            assert!(calls.recv_timeout(time).is_err());
            other.execute_batch("COMMIT").unwrap();
        })
        .unwrap()
    }

    #[test]
    fn a_write_waits_for_somebody_elses_lock_while_others_read() {
        let (_directory, index) = index();
        let holder = hold_lock(index.path(), Duration::from_secs(2));
        let writer = index.clone();
        let writing = spawn_thread("writes", move || {
            writer.write_blocking(|w| w.close_segment(&closed(1, 0, 60)))
        })
        .unwrap();
        while !holder.is_finished() {
            assert_eq!(index.read_blocking(|r| r.volumes()).unwrap().len(), 2);
        }
        writing.join().unwrap().unwrap();
        holder.join().unwrap();
        assert_eq!(index.read_blocking(|r| r.count_segments(None)).unwrap(), 1);
    }

    #[test]
    fn a_lock_that_outlasts_every_patience_of_sqlite_only_delays_a_write() {
        let (_directory, desk) = desk(Duration::from_millis(10));
        let holder = hold_lock(&desk.path, Duration::from_millis(700));
        let (queue, asks) = channel();
        let write = ask(&queue, |w| w.set_meta("late", "1"));
        drop(queue);
        desk.serve(&asks);
        assert_eq!(write.recv().unwrap(), Ok(()));
        holder.join().unwrap();
    }

    #[test]
    fn closing_does_not_wait_for_a_foreign_lock_for_ever() {
        let (_directory, desk) = desk(Duration::from_millis(10));
        let other = raw(&desk.path);
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        desk.closing.store(true, Ordering::Relaxed);
        let (queue, asks) = channel();
        let write = ask(&queue, |w| w.set_meta("never", "1"));
        drop(queue);
        desk.serve(&asks);
        assert!(matches!(write.recv().unwrap(), Err(IndexError::Locked { .. })));
        drop(other);
    }

    #[test]
    fn sixteen_cameras_that_write_at_once_all_get_their_rows() {
        let (_directory, index) = index();
        let writers: Vec<_> = (0..16u128)
            .map(|camera| {
                let index: Index = index.clone();
                spawn_thread("camera", move || {
                    for number in 0..20 {
                        let id = camera * 1000 + number + 1;
                        index
                            .write_blocking(move |w| w.close_segment(&closed(id, 0, 60)))
                            .unwrap();
                    }
                })
                .unwrap()
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(index.read_blocking(|r| r.count_segments(None)).unwrap(), 320);
    }
}
