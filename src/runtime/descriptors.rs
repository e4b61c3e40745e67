//! Open files: how many there may be, and whether there are enough for one thing more.
//!
//! GLib ends the whole process when it wants a descriptor and gets none, so a box that runs out of them would lose every
//! camera to the one that was too many. Whoever begins something that needs several asks here first.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::clock::{Clock, Instant, SystemClock};

/// Kept for what already runs: the next segments of each camera, the index, and whoever asks over HTTP.
const RESERVE: u64 = 20;
/// Most things open their files within this time after they begin; until then they are counted as if still to come.
const BEGINNING: Duration = Duration::from_secs(10);

/// What was begun of late, and how many files it may still open.
static BEGUN: Mutex<Vec<(Instant, u64)>> = Mutex::new(Vec::new());

/// Fewer files can be opened than something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{open} files are open and {limit} may be; raise the limit of open files (LimitNOFILE in the unit, ulimit -n)")]
pub struct TooFewFiles {
    /// How many are open, with those that were promised to others a moment ago.
    pub open: u64,
    /// How many may be.
    pub limit: u64,
}

/// Lets the process open as many files as whoever started it allows at most. Tells how many that are.
pub fn raise_file_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // As many as there were before is no reason not to start.
        let _ = setrlimit(Resource::Nofile, limit);
    }
    file_limit()
}

/// How many files may be open, when that is limited.
pub fn file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Promises so many files to something that begins now, unless there would be too few for what runs already.
pub fn claim_files(files: u64) -> Result<(), TooFewFiles> {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return Ok(());
    };
    // A directory that cannot be opened is the answer too.
    let open = std::fs::read_dir("/proc/self/fd").map_or(limit, |files| files.count() as u64);
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    claim(&mut begun, SystemClock.instant(), open, limit, files)
}

fn claim(begun: &mut Vec<(Instant, u64)>, now: Instant, open: u64, limit: u64, files: u64) -> Result<(), TooFewFiles> {
    begun.retain(|(at, _)| now.since(*at) < BEGINNING);
    let open = open + begun.iter().map(|(_, files)| files).sum::<u64>();
    if open + files + RESERVE > limit {
        return Err(TooFewFiles { open, limit });
    }
    begun.push((now, files));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_promised_a_moment_ago_is_not_promised_twice() {
        let (mut begun, now) = (Vec::new(), Instant(1));
        assert_eq!(claim(&mut begun, now, 20, 64, 16), Ok(()));
        let refused = claim(&mut begun, now, 20, 64, 16).unwrap_err();
        assert_eq!(refused, TooFewFiles { open: 36, limit: 64 });
        assert!(refused.to_string().contains("LimitNOFILE"), "{refused}");
        // Ten seconds on the first has opened what it needed, or never will.
        assert_eq!(claim(&mut begun, now.plus(BEGINNING), 24, 64, 16), Ok(()));
    }

    #[test]
    fn what_runs_keeps_a_reserve() {
        let mut begun = Vec::new();
        assert!(claim(&mut begun, Instant(1), 64 - RESERVE, 64, 1).is_err());
        assert!(claim(&mut begun, Instant(1), 63 - RESERVE, 64, 1).is_ok());
    }

    #[test]
    fn this_process_may_open_a_file() {
        assert!(raise_file_limit().is_none_or(|limit| limit > RESERVE));
        assert_eq!(claim_files(1), Ok(()));
    }
}
