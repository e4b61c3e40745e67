//! Tasks and threads: each has a name, each is joined, and one that dies is noticed.

use std::future::Future;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::JoinSet;

/// A set of named tasks that end together. Dropping the set ends them.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<&'static str>,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. A panic in it is logged when it is joined; it takes nobody with it.
    #[allow(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits for the next task to end and gives its name; nothing when none is left.
    pub async fn next_end(&mut self) -> Option<Result<&'static str, String>> {
        let end = self.set.join_next().await?;
        Some(end.map_err(|error| error.to_string()))
    }

    /// Waits for all to end; those that are not done by the deadline are cut off, and `false` says so.
    pub async fn join_all(mut self, deadline: Duration) -> bool {
        let all = async {
            while let Some(end) = self.next_end().await {
                if let Err(error) = end {
                    tracing::error!(error, "a task died");
                }
            }
        };
        tokio::time::timeout(deadline, all).await.is_ok()
    }
}

/// Starts a named thread, which its owner joins.
pub fn spawn_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    // The kernel shows 15 bytes of a name; a longer one would be refused by some of them.
    let name: String = name.chars().take(15).collect();
    std::thread::Builder::new().name(name).spawn(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_noticed_and_takes_nobody_with_it() {
        let mut tasks = Tasks::new();
        tasks.spawn("dies", async { panic!("on purpose") });
        assert!(matches!(tasks.next_end().await, Some(Err(error)) if error.contains("panic")));
        tasks.spawn("lives", async {});
        assert_eq!(tasks.next_end().await, Some(Ok("lives")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_cut_off_at_the_deadline() {
        let mut tasks = Tasks::new();
        tasks.spawn("stays", std::future::pending());
        assert!(!tasks.join_all(Duration::from_secs(5)).await);
    }
}
