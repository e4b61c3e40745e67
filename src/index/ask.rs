//! One ask in the writer's queue: a closure, what came of it, and how that travels back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::error::IndexError;
use super::writer::Writer;

/// What the writer knows of an ask.
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
