//! Every key of the configuration: its name, its place in [`Config`] and what it may hold.
//!
//! File, environment, the merged view and the test of the example file all read the one table [`KEYS`], so that a key which
//! one of them knows is known to all.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::source::{KeySources, Source};
use super::value::{Given, Level, Slot};

/// The configuration of a box, complete: what nobody set has its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The door for people and programs.
    pub http: Http,
    /// Where things lie.
    pub storage: Storage,
    /// How cameras are received.
    pub record: Record,
    /// What happens to the second volume.
    pub mirror: Mirror,
    /// What is fetched from cameras that keep footage themselves.
    pub refill: Refill,
    /// What is made for people.
    pub clips: Clips,
    /// Where pipeline files come from.
    pub pipelines: Pipelines,
    /// What the daemon says about itself.
    pub log: Log,
    pub(super) sources: KeySources,
}

/// `[http]`: the door for people and programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// `listen`: address and port of the HTTP server.
    pub listen: SocketAddr,
}

/// `[storage]`: where things lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// `data`: directory of the index, the keys and, under `recordings`, the video.
    pub data: PathBuf,
    /// `mirror`: the second volume, on which copies of recordings lie.
    pub mirror: Option<PathBuf>,
    /// `max_recordings_gb`: how much recordings may take, in bytes here; nothing is as much as fits.
    pub max_recordings: Option<u64>,
    /// `min_free_disk_gb`: how much of the disk stays free, in bytes here; nothing is the smaller of 5 GB and a twentieth of it.
    pub min_free_disk: Option<u64>,
    /// `tail_journal`: whether each camera's newest pictures also go to a small journal, which a crash does not take.
    pub tail_journal: bool,
    /// `tail_seconds`: how much of each camera's video is held in memory.
    pub tail: Duration,
}

/// `[record]`: how cameras are received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `stall_seconds`: a camera that delivers no picture for so long is taken for lost.
    pub stall: Duration,
    /// `latency_ms`: how long packets wait for those that are late or out of order.
    pub latency: Duration,
    /// `connect_seconds`: how long a camera may take to answer.
    pub connect: Duration,
}

/// `[mirror]`: what happens to the second volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// `copy_mb_per_second`: how fast what the mirror lacks is copied to it; 0 is as fast as the disks are.
    pub copy_mb_per_second: u64,
    /// `retention_hours`: how long the mirror keeps a copy; 0 is until room is wanted.
    pub retention: Duration,
    /// `max_gb`: how much the mirror holds at the most; 0 is as much as fits.
    pub max_gb: u64,
    /// `min_free_gb`: how much of the mirror's disk stays free, in bytes here; nothing is the smaller of 5 GB and a twentieth
    /// of it.
    pub min_free: Option<u64>,
}

/// `[refill]`: what is fetched from cameras that keep footage themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refill {
    /// `max_gap_hours`: older gaps are not tried by themselves.
    pub max_gap: Duration,
    /// `attempts`: so often a gap is tried before it is given up.
    pub attempts: u64,
    /// `cameras_at_once`: from so many cameras footage is fetched at the same time.
    pub cameras_at_once: u64,
    /// `mb_per_second`: how much is fetched at the most, from all cameras together; 0 is as much as they send.
    pub mb_per_second: u64,
}

/// `[clips]`: what is made for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clips {
    /// `retention_hours`: how long a clip is kept; 0 keeps it until somebody removes it.
    pub retention: Duration,
    /// `longest_seconds`: the longest clip that is made while somebody waits, or streamed. Jobs may be of any length.
    pub longest: Duration,
}

/// `[pipelines]`: where pipeline files come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pipelines {
    /// `directory`: its `.gst` files are used in place of the built-in ones of the same name.
    pub directory: Option<PathBuf>,
}

/// `[log]`: what the daemon says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    /// `level`: the least severe kind of line that is written.
    pub level: Level,
}

impl Default for Http {
    fn default() -> Self {
        // Loopback only: whoever opens the box to a network does so knowingly.
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./camkeep-data"),
            mirror: None,
            max_recordings: None,
            min_free_disk: None,
            tail_journal: true,
            tail: Duration::from_secs(3),
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(5),
            latency: Duration::from_millis(200),
            connect: Duration::from_secs(8),
        }
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            copy_mb_per_second: 20,
            retention: Duration::ZERO,
            max_gb: 0,
            min_free: None,
        }
    }
}

impl Default for Refill {
    fn default() -> Self {
        Self {
            max_gap: Duration::from_secs(24 * 3600),
            attempts: 3,
            cameras_at_once: 3,
            mb_per_second: 0,
        }
    }
}

impl Default for Clips {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(48 * 3600),
            longest: Duration::from_secs(3600),
        }
    }
}

/// One key of the configuration.
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// The place of its value.
    pub(super) slot: fn(&mut Config) -> Slot<'_>,
}

/// Every key, in the order of the example file.
pub(super) const KEYS: &[Key] = &[
    Key {
        section: "http",
        name: "listen",
        slot: |c| Slot::Address(&mut c.http.listen),
    },
    Key {
        section: "storage",
        name: "data",
        slot: |c| Slot::Path(&mut c.storage.data),
    },
    Key {
        section: "storage",
        name: "mirror",
        slot: |c| Slot::OptionalPath(&mut c.storage.mirror),
    },
    Key {
        section: "storage",
        name: "max_recordings_gb",
        slot: |c| Slot::Gigabytes(&mut c.storage.max_recordings),
    },
    Key {
        section: "storage",
        name: "min_free_disk_gb",
        slot: |c| Slot::Gigabytes(&mut c.storage.min_free_disk),
    },
    Key {
        section: "storage",
        name: "tail_journal",
        slot: |c| Slot::Truth(&mut c.storage.tail_journal),
    },
    Key {
        section: "storage",
        name: "tail_seconds",
        slot: |c| Slot::seconds(&mut c.storage.tail, 1, 600),
    },
    Key {
        section: "record",
        name: "stall_seconds",
        slot: |c| Slot::seconds(&mut c.record.stall, 2, 60),
    },
    Key {
        section: "record",
        name: "latency_ms",
        slot: |c| Slot::millis(&mut c.record.latency, 0, 10_000),
    },
    Key {
        section: "record",
        name: "connect_seconds",
        slot: |c| Slot::seconds(&mut c.record.connect, 1, 120),
    },
    Key {
        section: "mirror",
        name: "copy_mb_per_second",
        slot: |c| Slot::number(&mut c.mirror.copy_mb_per_second, 0, 10_000),
    },
    Key {
        section: "mirror",
        name: "retention_hours",
        slot: |c| Slot::hours(&mut c.mirror.retention, 0, 87_600),
    },
    Key {
        section: "mirror",
        name: "max_gb",
        slot: |c| Slot::number(&mut c.mirror.max_gb, 0, 1_000_000),
    },
    Key {
        section: "mirror",
        name: "min_free_gb",
        slot: |c| Slot::Gigabytes(&mut c.mirror.min_free),
    },
    Key {
        section: "refill",
        name: "max_gap_hours",
        slot: |c| Slot::hours(&mut c.refill.max_gap, 1, 8_760),
    },
    Key {
        section: "refill",
        name: "attempts",
        slot: |c| Slot::number(&mut c.refill.attempts, 1, 100),
    },
    Key {
        section: "refill",
        name: "cameras_at_once",
        slot: |c| Slot::number(&mut c.refill.cameras_at_once, 1, 64),
    },
    Key {
        section: "refill",
        name: "mb_per_second",
        slot: |c| Slot::number(&mut c.refill.mb_per_second, 0, 10_000),
    },
    Key {
        section: "clips",
        name: "retention_hours",
        slot: |c| Slot::hours(&mut c.clips.retention, 0, 87_600),
    },
    Key {
        section: "clips",
        name: "longest_seconds",
        slot: |c| Slot::seconds(&mut c.clips.longest, 1, 86_400),
    },
    Key {
        section: "pipelines",
        name: "directory",
        slot: |c| Slot::OptionalPath(&mut c.pipelines.directory),
    },
    Key {
        section: "log",
        name: "level",
        slot: |c| Slot::Level(&mut c.log.level),
    },
];

impl Key {
    /// `section.name`, as it is spoken of.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("CAMKEEP_{}_{}", self.section, self.name).to_uppercase()
    }

    /// Puts a value in its place, or says what is wrong with it.
    pub(super) fn set(&self, config: &mut Config, given: &Given<'_>, source: Source) -> Result<(), String> {
        let slot = (self.slot)(config);
        let allowed = slot.allowed();
        if !slot.set(given) {
            return Err(format!("`{}` is {}; give {allowed}", self.path(), given.describe()));
        }
        config.sources.put(self.path(), source);
        Ok(())
    }
}
