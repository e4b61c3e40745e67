//! The handle that everybody holds: reads on a pool, writes through the queue.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;

use super::ask::{Ask, Question};
use super::error::IndexError;
use super::open;
use super::reader::Reader;
use super::writer::{Desk, LOCK_WAIT, Writer};
use crate::model::{Seal, Timestamp};
use crate::runtime::spawn_thread;

/// The index of this box. Clones share it.
#[derive(Clone)]
pub struct Index(Arc<Shared>);

struct Shared {
    path: PathBuf,
    seal: Arc<dyn Seal>,
    closing: Arc<AtomicBool>,
    readers: Mutex<Option<Pool<SqliteConnectionManager>>>,
    writer: Mutex<Option<WriterThread>>,
}

/// For whoever has no key: seals nothing and unseals nothing.
#[derive(Debug)]
struct Blind;

impl Seal for Blind {
    fn seal(&self, _: &str) -> Vec<u8> {
        Vec::new()
    }

    fn unseal(&self, _: &[u8]) -> Option<String> {
        None
    }
}

struct WriterThread {
    queue: Sender<Box<dyn Ask>>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Index").field(&self.0.path).finish()
    }
}

impl Index {
    /// Opens the index, or makes it; its directory must exist. Takes as long as checking the pages does: call it where
    /// a thread may wait. Secrets in it are sealed and unsealed with `seal`.
    pub fn open(path: impl AsRef<Path>, seal: Arc<dyn Seal>) -> Result<Self, IndexError> {
        let path = path.as_ref().to_owned();
        let connection = open::open_writer(&path, LOCK_WAIT).map_err(|error| error.at(&path))?;
        let readers = open::open_readers(&path)?;
        let closing = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            connection,
            seal: Arc::clone(&seal),
            path: path.clone(),
            closing: Arc::clone(&closing),
        };
        let (queue, asks) = mpsc::channel();
        let thread = spawn_thread("index-writer", move || desk.serve(&asks)).map_err(|error| IndexError::Internal {
            path: path.clone(),
            reason: format!("no thread for writing: {error}"),
        })?;
        Ok(Self(Arc::new(Shared {
            path,
            seal,
            closing,
            readers: Mutex::new(Some(readers)),
            writer: Mutex::new(Some(WriterThread { queue, thread })),
        })))
    }

    /// Opens an index that is there only to look at it, beside whoever works with it: nothing of it is changed, and every
    /// write is refused. Secrets in it stay sealed. On a medium that takes no writes it is taken as it lies there.
    pub fn open_to_read(path: impl AsRef<Path>) -> Result<Self, IndexError> {
        let path = path.as_ref().to_owned();
        let readers = open::open_only_to_read(&path).map_err(|error| error.at(&path))?;
        Ok(Self(Arc::new(Shared {
            path,
            seal: Arc::new(Blind),
            closing: Arc::new(AtomicBool::new(true)),
            readers: Mutex::new(Some(readers)),
            writer: Mutex::new(None),
        })))
    }

    /// Moves a damaged index and its journals out of the way, to `<file>.damaged-<time>`, and says where it lies now, so
    /// that a new one can be made and filled from the recordings. Nothing is deleted. It must not be open.
    pub fn set_aside(path: impl AsRef<Path>, at: Timestamp) -> Result<PathBuf, IndexError> {
        let path = path.as_ref();
        open::set_aside(path, at).map_err(|error| IndexError::Unwritable {
            path: path.to_owned(),
            reason: format!("it cannot be set aside: {error}"),
        })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Reads from one moment of the index, on a thread that may wait.
    pub async fn read<T, F>(&self, work: F) -> Result<T, IndexError>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, IndexError> + Send + 'static,
        T: Send + 'static,
    {
        let index = self.clone();
        match tokio::task::spawn_blocking(move || index.read_blocking(work)).await {
            Ok(outcome) => outcome,
            Err(error) => Err(self.internal(format!("a read died: {error}"))),
        }
    }

    /// Reads from one moment of the index, on this thread.
    pub fn read_blocking<T>(&self, work: impl FnOnce(&Reader<'_>) -> Result<T, IndexError>) -> Result<T, IndexError> {
        let path = &self.0.path;
        let pool = lock(&self.0.readers).clone().ok_or_else(|| self.closed())?;
        let connection = pool.get().map_err(|_| IndexError::Busy { path: path.clone() })?;
        // A transaction, so that a page of segments and the copies of each come from the same moment.
        let picture = connection
            .unchecked_transaction()
            .map_err(|error| IndexError::from(error).at(path))?;
        work(&Reader::new(&picture, self.0.seal.as_ref())).map_err(|error| error.at(path))
    }

    /// Reads outside any transaction, which is what copying the whole file needs.
    pub(super) fn read_outside<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        let path = &self.0.path;
        let pool = lock(&self.0.readers).clone().ok_or_else(|| self.closed())?;
        let connection = pool.get().map_err(|_| IndexError::Busy { path: path.clone() })?;
        work(&connection).map_err(|error| IndexError::from(error).at(path))
    }

    /// Writes in one transaction; the answer comes when it is on the disk. An error takes back all of it. The work may
    /// wait for others and for a foreign lock, so it must not wait for another write itself. Once asked for, it is done
    /// even when nobody waits for the answer any more.
    pub async fn write<T, F>(&self, work: F) -> Result<T, IndexError>
    where
        F: FnOnce(&Writer<'_>) -> Result<T, IndexError> + Send + 'static,
        T: Send + 'static,
    {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.ask(work, move |answer| {
            // Nobody waits any more: it is written all the same.
            let _ = tell.send(answer);
        })?;
        let answer = told.await.unwrap_or_else(|_| Err(self.closed()));
        answer.map_err(|error| error.at(&self.0.path))
    }

    /// [`Self::write`] for a thread that is not a task's.
    pub fn write_blocking<T, F>(&self, work: F) -> Result<T, IndexError>
    where
        F: FnOnce(&Writer<'_>) -> Result<T, IndexError> + Send + 'static,
        T: Send + 'static,
    {
        let (tell, told) = mpsc::sync_channel(1);
        self.ask(work, move |answer| {
            let _ = tell.send(answer);
        })?;
        let answer = told.recv().unwrap_or_else(|_| Err(self.closed()));
        answer.map_err(|error| error.at(&self.0.path))
    }

    /// [`Self::write`] for somebody who cannot wait, as when something is let go of: it is done in its turn, and a failure
    /// only reaches the log.
    pub fn write_later<F>(&self, what: &'static str, work: F)
    where
        F: FnOnce(&Writer<'_>) -> Result<(), IndexError> + Send + 'static,
    {
        let asked = self.ask(work, move |answer| {
            if let Err(error) = answer {
                tracing::warn!(%error, what, "the index did not take something that nobody waits for");
            }
        });
        if let Err(error) = asked {
            tracing::debug!(%error, what, "the index is closed already");
        }
    }

    /// Writes what is queued, folds the journal into the file and ends the writer. Waits for it: call it where a thread
    /// may wait. Whoever asks afterwards is told that it is closed; a second call does nothing.
    pub fn close(&self) {
        self.0.close();
    }

    fn ask<T, F, R>(&self, work: F, reply: R) -> Result<(), IndexError>
    where
        F: FnOnce(&Writer<'_>) -> Result<T, IndexError> + Send + 'static,
        T: Send + 'static,
        R: FnOnce(Result<T, IndexError>) + Send + 'static,
    {
        let writer = lock(&self.0.writer);
        let writer = writer.as_ref().ok_or_else(|| self.closed())?;
        let ask = Box::new(Question::new(work, reply));
        writer.queue.send(ask).map_err(|_| self.closed())
    }

    fn closed(&self) -> IndexError {
        IndexError::Closed {
            path: self.0.path.clone(),
        }
    }

    fn internal(&self, reason: String) -> IndexError {
        IndexError::Internal {
            path: self.0.path.clone(),
            reason,
        }
    }
}

impl Shared {
    fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        // Readers first: the last connection to close folds the journal in, and only the writer's can.
        drop(lock(&self.readers).take());
        let Some(WriterThread { queue, thread }) = lock(&self.writer).take() else {
            return;
        };
        drop(queue);
        // An ask that held the last handle ends it from the writer thread, which cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!(path = %self.path.display(), "the index writer died");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{closed, index};
    use super::*;
    use crate::model::Fault;

    #[tokio::test]
    async fn tasks_read_what_tasks_wrote() {
        let (_directory, index) = index();
        let index = &index;
        index.write(|w| w.set_meta("colour", "green")).await.unwrap();
        assert_eq!(
            index.read(|r| r.meta("colour")).await.unwrap().as_deref(),
            Some("green")
        );
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_is_done_all_the_same() {
        let (_directory, index) = index();
        let (go, wait) = mpsc::channel::<()>();
        let held = index.write(move |_| {
            let _ = wait.recv();
            Ok(())
        });
        // Polled once, so that it is asked for, and then given up.
        assert!(tokio::time::timeout(std::time::Duration::ZERO, held).await.is_err());
        let given_up = index.write(|w| w.set_meta("colour", "green"));
        assert!(tokio::time::timeout(std::time::Duration::ZERO, given_up).await.is_err());
        go.send(()).unwrap();
        index.write(|_| Ok(())).await.unwrap();
        assert_eq!(
            index.read(|r| r.meta("colour")).await.unwrap().as_deref(),
            Some("green")
        );
    }

    #[test]
    fn a_reader_looks_at_one_moment() {
        let (_directory, index) = index();
        let other = index.clone();
        let seen = index
            .read_blocking(|r| {
                let before = r.count_segments(None)?;
                other.write_blocking(|w| w.close_segment(&closed(1, 0, 60)))?;
                Ok((before, r.count_segments(None)?))
            })
            .unwrap();
        assert_eq!(seen, (0, 0));
        assert_eq!(index.read_blocking(|r| r.count_segments(None)).unwrap(), 1);
    }

    #[test]
    fn closing_writes_what_is_queued_and_refuses_what_comes_later() {
        let (directory, index) = index();
        let (go, wait) = mpsc::channel::<()>();
        index
            .ask(
                move |_| {
                    let _ = wait.recv();
                    Ok(())
                },
                |_| {},
            )
            .unwrap();
        for number in 1..=600 {
            index
                .ask(
                    move |w| w.close_segment(&closed(number, 0, 60)),
                    |answer| answer.unwrap(),
                )
                .unwrap();
        }
        go.send(()).unwrap();
        index.close();
        index.close();
        let error = index.write_blocking(|_| Ok(())).unwrap_err();
        assert!(matches!(error, IndexError::Closed { .. }), "{error}");
        assert_eq!(index.read_blocking(|_| Ok(())).unwrap_err().fault(), Fault::Unavailable);
        let again = Index::open(directory.path().join("index.db"), super::super::fixture::seal()).unwrap();
        assert_eq!(again.read_blocking(|r| r.count_segments(None)).unwrap(), 600);
    }

    #[test]
    fn a_handle_that_the_writer_itself_drops_last_harms_nobody() {
        let (directory, index) = index();
        let (done, ended) = mpsc::channel();
        let held = index.clone();
        index
            .ask(
                move |w| {
                    w.set_meta("colour", "green")?;
                    drop(held);
                    Ok(())
                },
                move |answer| done.send(answer).unwrap(),
            )
            .unwrap();
        drop(index);
        ended.recv().unwrap().unwrap();
        let again = Index::open(directory.path().join("index.db"), super::super::fixture::seal()).unwrap();
        assert_eq!(
            again.read_blocking(|r| r.meta("colour")).unwrap().as_deref(),
            Some("green")
        );
    }
}
