//! Where files lie: a path says what a file is, and what a file is says its path.
//!
//! ```text
//! <volume>/front-door/2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4
//! <volume>/.quarantine/front-door/2026-11-20/….mp4 and ….mp4.reason
//! <data>/tail/front-door/00c0ffee_000042.tail
//! ```
//!
//! Times in paths are UTC: a name must not change its meaning twice a year. Run and sequence stand beside the time, so
//! that a clock that is set back meets no file of its own.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use chrono::NaiveDateTime;

use crate::model::{CameraId, RunId, Timestamp};

/// The directory on each volume for files that cannot be used and are not thrown away.
pub const QUARANTINE: &str = ".quarantine";

/// What a segment's path says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Whose video it is.
    pub camera: CameraId,
    /// Its first frame, in whole milliseconds.
    pub start: Timestamp,
    /// The run it belongs to.
    pub run: RunId,
    /// Its place in the run.
    pub sequence: u32,
}

impl Place {
    /// The place of a segment; the start is rounded down to the millisecond that the path can say.
    pub fn new(camera: CameraId, start: Timestamp, run: RunId, sequence: u32) -> Self {
        Self {
            camera,
            start: Timestamp::from_millis(start.as_millis()),
            run,
            sequence,
        }
    }

    /// The path below a volume's root, as the index stores it.
    pub fn relative_path(&self) -> String {
        let time = self.start.to_utc();
        format!(
            "{}/{}/{}Z_{}_{:06}.mp4",
            self.camera,
            time.format("%Y-%m-%d"),
            time.format("%Y%m%d_%H%M%S%.3f"),
            self.run,
            self.sequence
        )
    }

    /// Reads a path below a volume's root. Names that are not ours give nothing.
    pub fn parse(relative: &str) -> Option<Self> {
        let (camera, rest) = relative.split_once('/')?;
        let (_day, name) = rest.split_once('/')?;
        let (time, rest) = name.strip_suffix(".mp4")?.split_once("Z_")?;
        let (run, sequence) = rest.split_once('_')?;
        let time = NaiveDateTime::parse_from_str(time, "%Y%m%d_%H%M%S%.3f").ok()?;
        let place = Self {
            camera: CameraId::parse(camera).ok()?,
            start: Timestamp::from_millis(time.and_utc().timestamp_millis()),
            run: RunId::parse(run)?,
            sequence: sequence.parse().ok()?,
        };
        // One file, one name: whatever reads alike but is not written alike (a wrong day, `+42`, `0000042`) is foreign.
        (place.relative_path() == relative).then_some(place)
    }

    /// Where the same file would lie in the quarantine of its volume.
    pub fn quarantined(&self) -> String {
        quarantine_path(&self.relative_path())
    }
}

/// Where a file goes in the quarantine of its volume, relative to the volume's root.
pub fn quarantine_path(relative: &str) -> String {
    format!("{QUARANTINE}/{relative}")
}

/// Where the text lies that says why a file is in the quarantine.
pub fn reason_path(quarantined: &Path) -> PathBuf {
    let mut name = quarantined.as_os_str().to_owned();
    name.push(".reason");
    name.into()
}

/// Whose journal a tail file is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TailPlace {
    /// Whose video it is.
    pub camera: CameraId,
    /// The run.
    pub run: RunId,
    /// The segment's place in the run.
    pub sequence: u32,
}

impl TailPlace {
    /// The directory of all journals below the data directory.
    pub const DIRECTORY: &'static str = "tail";

    /// The journal's path.
    pub fn path(&self, data: &Path) -> PathBuf {
        let mut name = String::with_capacity(24);
        // Writing into a string cannot fail.
        let _ = write!(name, "{}_{:06}.tail", self.run, self.sequence);
        data.join(Self::DIRECTORY).join(self.camera.as_str()).join(name)
    }

    /// Reads a path below the data directory's `tail`: `front-door/00c0ffee_000042.tail`.
    pub fn parse(relative: &str) -> Option<Self> {
        let (camera, name) = relative.split_once('/')?;
        let (run, sequence) = name.strip_suffix(".tail")?.split_once('_')?;
        let place = Self {
            camera: CameraId::parse(camera).ok()?,
            run: RunId::parse(run)?,
            sequence: sequence.parse().ok()?,
        };
        let written = place.path(Path::new(""));
        (written.strip_prefix(Self::DIRECTORY).ok()? == Path::new(relative)).then_some(place)
    }
}

/// Whether a relative path stays below its root: plain names only.
pub(super) fn is_inside(relative: &Path) -> bool {
    let mut parts = relative.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn camera(text: &str) -> CameraId {
        CameraId::parse(text).unwrap()
    }

    #[test]
    fn a_path_looks_as_the_manual_shows_it() {
        let start = Timestamp::parse("2026-11-20T10:30:00.125Z").unwrap().offset(999_999);
        let place = Place::new(camera("front-door"), start, RunId(0x00c0_ffee), 42);
        let path = "front-door/2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4";
        assert_eq!(place.relative_path(), path);
        assert_eq!(Place::parse(path), Some(place.clone()));
        assert_eq!(place.quarantined(), format!(".quarantine/{path}"));
        assert_eq!(
            reason_path(Path::new(&place.quarantined())),
            Path::new(&format!(".quarantine/{path}.reason"))
        );
    }

    #[test]
    fn foreign_names_are_nobodys() {
        for path in [
            "",
            "front-door",
            "front-door/2026-11-20",
            "front-door/2026-11-20/",
            "front-door/2026-11-20/holiday.mp4",
            // Another day's directory.
            "front-door/2026-11-21/20261120_103000.125Z_00c0ffee_000042.mp4",
            // Not written as we write it.
            "front-door/2026-11-20/20261120_103000Z_00c0ffee_000042.mp4",
            "front-door/2026-11-20/20261120_103000.1Z_00c0ffee_000042.mp4",
            "front-door/2026-11-20/20261120_103000.125Z_00C0FFEE_000042.mp4",
            "front-door/2026-11-20/20261120_103000.125Z_00c0ffee_42.mp4",
            "front-door/2026-11-20/20261120_103000.125Z_00c0ffee_0000042.mp4",
            "front-door/2026-11-20/20261120_103000.125Z_00c0ffee_+00042.mp4",
            "front-door/2026-11-20/20261120_103000.125Z_00c0ffee_99999999999.mp4",
            "front-door/2026-11-20/20261120_103060.125Z_00c0ffee_000042.mp4",
            "front-door/2026-02-30/20260230_103000.125Z_00c0ffee_000042.mp4",
            "front-door/2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4.tmp",
            "../2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4",
            "/front-door/2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4",
            ".quarantine/front-door/2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4",
        ] {
            assert_eq!(Place::parse(path), None, "{path}");
        }
        for path in [
            "",
            "a",
            "a/b.tail",
            "a/00c0ffee_42.tail",
            "a/00c0ffee_000042.tail/x",
            "../00c0ffee_000042.tail",
        ] {
            assert_eq!(TailPlace::parse(path), None, "{path}");
        }
    }

    #[test]
    fn only_plain_names_stay_inside() {
        for (path, inside) in [
            ("a/b.mp4", true),
            ("a", true),
            ("", false),
            ("/a", false),
            ("../a", false),
            ("a/../../b", false),
        ] {
            assert_eq!(is_inside(Path::new(path)), inside, "{path}");
        }
    }

    fn cameras() -> impl Strategy<Value = CameraId> {
        "[a-z0-9_-]{1,64}".prop_map(|text| CameraId::parse(&text).unwrap())
    }

    proptest! {
        #[test]
        fn place_and_path_are_a_pair(camera in cameras(), nanos in any::<i64>(), run in any::<u32>(), sequence in any::<u32>()) {
            let place = Place::new(camera, Timestamp::from_nanos(nanos), RunId(run), sequence);
            let path = place.relative_path();
            prop_assert!(is_inside(Path::new(&path)));
            prop_assert_eq!(Place::parse(&path), Some(place));
        }

        #[test]
        fn tail_and_path_are_a_pair(camera in cameras(), run in any::<u32>(), sequence in any::<u32>()) {
            let place = TailPlace { camera, run: RunId(run), sequence };
            let path = place.path(Path::new("/data"));
            let relative = path.strip_prefix("/data/tail").unwrap().to_str().unwrap();
            prop_assert_eq!(TailPlace::parse(relative), Some(place));
        }

        #[test]
        fn any_text_at_all_is_read_without_a_panic(text in "\\PC*") {
            if let Some(place) = Place::parse(&text) {
                prop_assert_eq!(place.relative_path(), text.clone());
            }
            let _ = TailPlace::parse(&text);
        }

        #[test]
        fn later_segments_of_a_run_sort_later(millis in 0i64..4_000_000_000_000, step in 1i64..100_000_000, sequence in 0u32..999_998) {
            let at = |millis, sequence| Place::new(CameraId::parse("a").unwrap(), Timestamp::from_millis(millis), RunId(7), sequence);
            prop_assert!(at(millis, sequence).relative_path() < at(millis + step, sequence + 1).relative_path());
        }
    }
}
