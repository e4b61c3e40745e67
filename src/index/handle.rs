//! The handle that everybody holds: reads on a pool, writes through the queue.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;

use super::error::IndexError;
use super::open;
use super::reader::Reader;
use super::writer::{Ask, Desk, Question, Writer};
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
        let connection = open::open_writer(&path).map_err(|error| error.at(&path))?;
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
