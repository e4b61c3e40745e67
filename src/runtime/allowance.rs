//! Threads and memory: how much the control group allows (TasksMax and MemoryMax in a unit, or a container's limits), and
//! whether there is enough for one thing more.
//!
//! GLib ends the whole process when it cannot start a thread, and the kernel kills the whole process when memory runs out,
//! so a box at its limit would lose every camera to the one that was too many.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::clock::{Clock, Instant, SystemClock};

/// Threads kept for what already runs: each cut of a segment begins some.
const THREADS: u64 = 16;
/// Memory kept for it: a disk that hangs for a while has to be waited for.
const MEMORY: u64 = 48 << 20;
/// Most things have what they need within this time after they begin; until then it is counted as if still to come.
const BEGINNING: Duration = Duration::from_secs(10);
/// Above this a limit of memory is none: the first version of control groups writes a huge number for that.
const UNLIMITED: u64 = 1 << 60;

/// What was begun of late, with the threads and the bytes that it may still take.
static BEGUN: Mutex<Vec<(Instant, u64, u64)>> = Mutex::new(Vec::new());

/// There is less than something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLittle {
    /// Of threads.
    #[error("{running} threads run and {limit} may; raise the limit of tasks (TasksMax in the unit)")]
    Threads {
        /// How many run, with those that were promised to others a moment ago.
        running: u64,
        /// How many may.
        limit: u64,
    },
    /// Of memory.
    #[error("{} MB of memory are taken and {} may be; raise the limit of memory (MemoryMax in the unit)", used >> 20, limit >> 20)]
    Memory {
        /// Bytes that are taken, with those that were promised to others a moment ago.
        used: u64,
        /// Bytes that may be.
        limit: u64,
    },
}

/// What is taken of something, and how much may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    used: u64,
    limit: u64,
}

/// Promises threads and memory to something that begins now, unless there would be too little for what runs already.
pub fn claim_room(threads: u64, bytes: u64) -> Result<(), TooLittle> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let rooms = rooms(Path::new("/sys/fs/cgroup"), &groups);
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    claim(&mut begun, SystemClock.instant(), rooms, threads, bytes)
}

fn claim(
    begun: &mut Vec<(Instant, u64, u64)>,
    now: Instant,
    (tasks, memory): (Option<Room>, Option<Room>),
    threads: u64,
    bytes: u64,
) -> Result<(), TooLittle> {
    begun.retain(|(at, ..)| now.since(*at) < BEGINNING);
    if let Some(Room { used, limit }) = tasks {
        let running = used + begun.iter().map(|(_, threads, _)| threads).sum::<u64>();
        if running + threads + THREADS > limit {
            return Err(TooLittle::Threads { running, limit });
        }
    }
    if let Some(Room { used, limit }) = memory {
        let used = used + begun.iter().map(|(.., bytes)| bytes).sum::<u64>();
        if used + bytes + MEMORY > limit {
            return Err(TooLittle::Memory { used, limit });
        }
    }
    begun.push((now, threads, bytes));
    Ok(())
}

/// The tightest limits of threads and of memory on the way from our control group to the root of all. `groups` is what
/// the kernel says of the groups we are in; it knows two versions of them, and a box may have both.
fn rooms(root: &Path, groups: &str) -> (Option<Room>, Option<Room>) {
    let (mut tasks, mut memory) = (None, None);
    for line in groups.lines() {
        let mut words = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (words.next(), words.next()) else {
            continue;
        };
        // What only caches files is given back when it is needed, so it is not counted.
        let places: &[(&str, bool)] = match controllers {
            "" => &[("", true), ("unified", true)],
            "pids" => &[("pids", false)],
            "memory" => &[("memory", false)],
            _ => &[],
        };
        for (place, is_new) in places {
            let (limit, stat) = match is_new {
                true => ("memory.max", "anon"),
                false => ("memory.limit_in_bytes", "total_rss"),
            };
            let top = root.join(place);
            let count = |group: &Path| number(&group.join("pids.current"));
            tasks = tighter(tasks, tightest(&top, path, "pids.max", count));
            let taken = |group: &Path| entry(&group.join("memory.stat"), stat);
            memory = tighter(memory, tightest(&top, path, limit, taken));
        }
    }
    (tasks, memory)
}

fn tightest(top: &Path, path: &str, limit: &str, used: impl Fn(&Path) -> Option<u64>) -> Option<Room> {
    let own = top.join(path.trim_start_matches('/'));
    let up = own.ancestors().take_while(|group| group.starts_with(top));
    up.filter_map(|group| {
        let limit = number(&group.join(limit)).filter(|limit| *limit < UNLIMITED)?;
        Some(Room {
            used: used(group)?,
            limit,
        })
    })
    .fold(None, |tightest, room| tighter(tightest, Some(room)))
}

fn tighter(one: Option<Room>, other: Option<Room>) -> Option<Room> {
    one.into_iter()
        .chain(other)
        .min_by_key(|room| room.limit.saturating_sub(room.used))
}

/// The number in a file; nothing for `max`, or when there is no such file.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn entry(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn group(root: &Path, path: &str, files: &[(&str, &str)]) {
        let group = root.join(path);
        std::fs::create_dir_all(&group).unwrap();
        for (name, text) in files {
            std::fs::write(group.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_tightest_limit_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let stat = "anon 100\nfile 900\n";
        let unlimited = [
            ("pids.max", "max\n"),
            ("pids.current", "50\n"),
            ("memory.max", "max\n"),
            ("memory.stat", stat),
        ];
        group(root.path(), "", &unlimited);
        group(
            root.path(),
            "system.slice",
            &[("pids.max", "60\n"), ("pids.current", "50\n")],
        );
        let own = [
            ("pids.max", "100\n"),
            ("pids.current", "20\n"),
            ("memory.max", "1000\n"),
            ("memory.stat", stat),
        ];
        group(root.path(), "system.slice/camkeep.service", &own);
        let (tasks, memory) = rooms(root.path(), "0::/system.slice/camkeep.service\n");
        assert_eq!(tasks, Some(Room { used: 50, limit: 60 }));
        assert_eq!(memory, Some(Room { used: 100, limit: 1000 }));
    }

    #[test]
    fn the_older_version_of_control_groups_is_read_too() {
        let root = tempfile::tempdir().unwrap();
        group(
            root.path(),
            "pids/box",
            &[("pids.max", "64\n"), ("pids.current", "12\n")],
        );
        let memory = [
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.stat", "total_rss 5\n"),
        ];
        group(root.path(), "memory", &memory);
        let groups = "9:name=systemd:/\n8:pids:/box\n4:memory:/\n0::/\n";
        assert_eq!(rooms(root.path(), groups), (Some(Room { used: 12, limit: 64 }), None));
    }

    #[test]
    fn without_limits_everything_may_begin() {
        let root = tempfile::tempdir().unwrap();
        let mut begun = Vec::new();
        let none = rooms(root.path(), "0::/\n");
        assert_eq!(none, (None, None));
        assert_eq!(
            claim(&mut begun, Instant(1), none, u64::MAX >> 1, u64::MAX >> 1),
            Ok(())
        );
    }

    #[test]
    fn what_was_promised_a_moment_ago_is_not_promised_twice() {
        let (mut begun, now) = (Vec::new(), Instant(1));
        let tasks = Some(Room { used: 20, limit: 60 });
        assert_eq!(claim(&mut begun, now, (tasks, None), 16, 0), Ok(()));
        let refused = claim(&mut begun, now, (tasks, None), 16, 0).unwrap_err();
        assert_eq!(refused, TooLittle::Threads { running: 36, limit: 60 });
        assert!(refused.to_string().contains("TasksMax"), "{refused}");
        assert_eq!(claim(&mut begun, now.plus(BEGINNING), (tasks, None), 16, 0), Ok(()));
        let memory = Some(Room {
            used: 100 << 20,
            limit: 160 << 20,
        });
        let refused = claim(&mut Vec::new(), now, (None, memory), 0, 32 << 20).unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("100 MB of memory are taken and 160 may be"),
            "{refused}"
        );
    }
}
