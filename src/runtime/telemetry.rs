//! A voice: where log lines go.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

/// Sends log lines to the journal when systemd started us, else to standard error.
///
/// `level` is a level (`info`) or a filter (`camkeep::record=debug,info`). A filter that cannot be read is an error,
/// because silence in the night it was needed is worse. A second call changes nothing.
pub fn init_logging(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| format!("log level `{level}`: {error}; use error, warn, info, debug or trace"))?;
    let registry = tracing_subscriber::registry().with(filter);
    // systemd sets this to the device and inode of the stream it connected to the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let done = match journal {
        Some(journal) => registry.with(journal).try_init(),
        None => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry
                .with(
                    tracing_subscriber::fmt::layer()
                        .with_writer(std::io::stderr)
                        .with_ansi(ansi),
                )
                .try_init()
        }
    };
    // Fails only when logging is set up already, as in tests that share a process.
    let _ = done;
    Ok(())
}
