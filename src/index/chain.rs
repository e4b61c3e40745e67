//! The chain of each run, and the keys that signed clips: what a later reader holds recordings against.
//!
//! A segment is linked when it and all before it in its run are closed, in the transaction that closes the last of them.
//! Once set, a value stays: whatever is written over a row later shows as a value that does not fit. The one exception is
//! footage of a box that did not know the time, whose files get their true dates: its run is linked anew.

use rusqlite::{Row, params};

use super::columns::{camera_id, count, maybe_time, segment_id, span, time, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{
    CameraId, ChainLink, ClockSource, CopyState, Fingerprint, RunId, Segment, SegmentId, Span, Timestamp, VolumeId,
};

const CAMERAS: &str = "SELECT id FROM cameras ORDER BY id";
const LINK: &str = "SELECT chain_previous, chain FROM segments WHERE id = ?1";
const TOP: &str = "
    SELECT sequence, chain FROM segments WHERE camera_id = ?1 AND run_id = ?2 AND chain IS NOT NULL
    ORDER BY sequence DESC LIMIT 1";
const TOP_REMOVED: &str = "
    SELECT last_sequence AS sequence, chain FROM chain_removals WHERE camera_id = ?1 AND run_id = ?2
    ORDER BY first_sequence DESC LIMIT 1";
const FIRST_OPEN: &str = "
    SELECT min(sequence) FROM segments INDEXED BY segments_open
    WHERE camera_id = ?1 AND run_id = ?2 AND state = 'open'";
/// The hash is the primary's, where there is one: a segment's copies hold the same bytes.
const WAITING: &str = "
    SELECT id, sequence, (
        SELECT sha256 FROM copies JOIN volumes ON volumes.id = volume_id
        WHERE segment_id = segments.id AND state = 'whole' AND sha256 IS NOT NULL ORDER BY role DESC, volume_id LIMIT 1
    ) AS sha256
    FROM segments WHERE camera_id = ?1 AND run_id = ?2 AND sequence > ?3 AND sequence < ?4 AND state = 'closed'
    ORDER BY sequence";
const SET: &str = "UPDATE segments SET chain_previous = ?2, chain = ?3 WHERE id = ?1";
const WAS_UNDATED: &str = "SELECT 1 FROM segments WHERE id = ?1 AND clock = 'unsynced' AND chain IS NOT NULL";
const UNLINK: &str = "
    UPDATE segments SET chain_previous = NULL, chain = NULL WHERE camera_id = ?1 AND run_id = ?2 AND sequence >= ?3";
const PLACE: &str = "SELECT camera_id, run_id, sequence, chain FROM segments WHERE id = ?1";
const RUN_IS_EMPTY: &str = "
    SELECT NOT EXISTS (SELECT 1 FROM segments WHERE camera_id = ?1 AND run_id = ?2)";
const FORGET_REMOVALS: &str = "DELETE FROM chain_removals WHERE camera_id = ?1 AND run_id = ?2";
const REMOVALS: &str = "
    SELECT run_id, first_sequence, last_sequence, chain FROM chain_removals WHERE camera_id = ?1
    ORDER BY run_id, first_sequence";
const FORGET_REMOVAL: &str = "
    DELETE FROM chain_removals WHERE camera_id = ?1 AND run_id = ?2 AND first_sequence = ?3";
const PUT_REMOVAL: &str = "
    INSERT INTO chain_removals (camera_id, run_id, first_sequence, last_sequence, chain) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (camera_id, run_id, first_sequence) DO UPDATE SET last_sequence = ?4, chain = ?5";
const REMOVAL_BEFORE: &str = "
    SELECT run_id, first_sequence, last_sequence, chain FROM chain_removals
    WHERE camera_id = ?1 AND run_id = ?2 AND first_sequence < ?3 AND last_sequence = ?3 - 1";
const REMOVAL_AFTER: &str = "
    SELECT run_id, first_sequence, last_sequence, chain FROM chain_removals
    WHERE camera_id = ?1 AND run_id = ?2 AND first_sequence = ?3 + 1";
const CHAINED: &str = "
    SELECT segments.id, run_id, sequence, start_ns, end_ns, segments.state AS row_state, chain_previous, chain,
        path, size_bytes, sha256, copies.state AS copy_state
    FROM segments LEFT JOIN copies ON segment_id = segments.id AND volume_id = ?4
    WHERE camera_id = ?1 AND (run_id, sequence) > (?2, ?3) ORDER BY run_id, sequence LIMIT ?5";
const KEYS: &str =
    "SELECT id, public_key, made_at_ns, first_used_at_ns FROM box_keys ORDER BY first_used_at_ns DESC, id";
const ADD_KEY: &str = "
    INSERT INTO box_keys (id, public_key, made_at_ns, first_used_at_ns) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (id) DO NOTHING";

/// A segment as the chain sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chained {
    /// The segment.
    pub id: SegmentId,
    /// Its run.
    pub run: RunId,
    /// Its place in the run.
    pub sequence: u32,
    /// Its time.
    pub span: Span,
    /// Whether it still grows.
    pub is_open: bool,
    /// Its place in the chain, when it is chained.
    pub link: Option<ChainLink>,
    /// Its file on the primary volume.
    pub file: Option<ChainedFile>,
}

/// The file of a segment, as it was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainedFile {
    /// Where it lies, relative to the volume.
    pub path: String,
    /// How long it is.
    pub size_bytes: u64,
    /// Its hash, when it is known.
    pub sha256: Option<Fingerprint>,
    /// How far it can be believed.
    pub state: CopyState,
}

/// Chained segments of a run that camkeep let go, one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// Their run.
    pub run: RunId,
    /// The first of them.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// The value of the last.
    pub chain: Fingerprint,
}

/// A key that signs, or signed, clips here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Its id.
    pub id: Fingerprint,
    /// The public half, in PEM.
    pub public_key: String,
    /// When it was made, where that is known.
    pub made_at: Option<Timestamp>,
    /// Since when it signs here.
    pub first_used_at: Timestamp,
}

/// Where a segment stands in its run.
#[derive(Debug)]
pub(super) struct PlaceInRun {
    pub(super) camera: CameraId,
    pub(super) run: RunId,
    sequence: u32,
    chain: Option<Fingerprint>,
}

impl Reader<'_> {
    /// A segment's place in the chain of its run; nothing when it is not chained or not there.
    pub fn chain_link(&self, id: SegmentId) -> Result<Option<ChainLink>, IndexError> {
        Ok(self.row(LINK, [id.0.as_bytes()], link)?.flatten())
    }

    /// Every camera of which something may be there, also those that were deleted.
    pub fn camera_ids(&self) -> Result<Vec<CameraId>, IndexError> {
        self.rows(CAMERAS, [], |row| camera_id(row, "id"))
    }

    /// A camera's segments run by run, in the order of each run, those after a place in it, with their files on a volume.
    pub fn chain_of(
        &self,
        camera: &CameraId,
        volume: VolumeId,
        after: Option<(RunId, u32)>,
        limit: u32,
    ) -> Result<Vec<Chained>, IndexError> {
        let (run, sequence) = after.map_or((-1, -1), |(run, sequence)| (i64::from(run.0), i64::from(sequence)));
        let place = params![camera.as_str(), run, sequence, volume.0.as_bytes(), limit];
        self.rows(CHAINED, place, chained)
    }

    /// What camkeep let go of runs of a camera of which something is still there.
    pub fn removals(&self, camera: &CameraId) -> Result<Vec<Removal>, IndexError> {
        self.rows(REMOVALS, [camera.as_str()], removal)
    }

    /// The keys that sign and signed clips here, the newest first.
    pub fn box_keys(&self) -> Result<Vec<KnownKey>, IndexError> {
        self.rows(KEYS, [], |row| {
            Ok(KnownKey {
                id: Fingerprint(row.get("id")?),
                public_key: row.get("public_key")?,
                made_at: maybe_time(row, "made_at_ns")?,
                first_used_at: time(row, "first_used_at_ns")?,
            })
        })
    }
}

impl Writer<'_> {
    /// Remembers a key that signs from now on; `false` when it was known.
    pub fn add_box_key(&self, key: &KnownKey) -> Result<bool, IndexError> {
        let made_at = key.made_at.map(Timestamp::as_nanos);
        let row = params![key.id.0, key.public_key, made_at, key.first_used_at.as_nanos()];
        Ok(self.execute(ADD_KEY, row)? > 0)
    }

    /// Links what can be linked of a run: closed segments with a hash, after the last that is linked and before the first
    /// that is open. One without a hash never is; the next names the last that has a value.
    pub(super) fn link_run(&self, camera: &CameraId, run: RunId) -> Result<(), IndexError> {
        let place = params![camera.as_str(), run.0];
        let top = self.row(TOP, place, sequence_and_chain)?;
        let removed = self.row(TOP_REMOVED, place, sequence_and_chain)?;
        let (last, mut previous) = top.max(removed).unwrap_or((-1, ChainLink::BEGINNING));
        let open: Option<i64> = self.row(FIRST_OPEN, place, |row| row.get(0))?.flatten();
        let waiting = params![camera.as_str(), run.0, last, open.unwrap_or(i64::MAX)];
        let waiting = self.rows(WAITING, waiting, |row| {
            let sha256: Option<[u8; 32]> = row.get("sha256")?;
            Ok((segment_id(row, "id")?, row.get("sequence")?, sha256.map(Fingerprint)))
        })?;
        for (id, sequence, sha256) in waiting {
            if let Some(sha256) = sha256 {
                let link = ChainLink::new(previous, camera, run, sequence, sha256);
                self.execute(SET, params![id.0.as_bytes(), link.previous.0, link.value.0])?;
                previous = link.value;
            }
        }
        Ok(())
    }

    /// Takes the values of a run away from a segment on, when that is footage without a date which gets its date now:
    /// this changes its file, rightly.
    pub(super) fn unlink_redated(&self, segment: &Segment) -> Result<(), IndexError> {
        let id = segment.id.0.as_bytes();
        if segment.clock != ClockSource::Unsynced && self.row(WAS_UNDATED, [id], |_| Ok(()))?.is_some() {
            let from = params![segment.camera.as_str(), segment.run.0, segment.sequence];
            self.execute(UNLINK, from)?;
        }
        Ok(())
    }

    /// Where a segment stands in its run; to be asked before its row goes, and told when it went.
    pub(super) fn place_in_run(&self, id: SegmentId) -> Result<Option<PlaceInRun>, IndexError> {
        self.row(PLACE, [id.0.as_bytes()], |row| {
            let chain: Option<[u8; 32]> = row.get("chain")?;
            Ok(PlaceInRun {
                camera: camera_id(row, "camera_id")?,
                run: RunId(row.get("run_id")?),
                sequence: row.get("sequence")?,
                chain: chain.map(Fingerprint),
            })
        })
    }

    /// Notes that a segment was let go. Of a run of which nothing is left all notes go: there is nothing any more that
    /// could be held against them.
    pub(super) fn note_removal(&self, place: &PlaceInRun) -> Result<(), IndexError> {
        let PlaceInRun {
            camera, run, sequence, ..
        } = place;
        if self.row(RUN_IS_EMPTY, params![camera.as_str(), run.0], |row| row.get(0))? == Some(true) {
            self.execute(FORGET_REMOVALS, params![camera.as_str(), run.0])?;
            return Ok(());
        }
        let Some(chain) = place.chain else {
            return Ok(());
        };
        let around = params![camera.as_str(), run.0, sequence];
        let before = self.row(REMOVAL_BEFORE, around, removal)?;
        let after = self.row(REMOVAL_AFTER, around, removal)?;
        let first = before.map_or(*sequence, |before| before.first);
        let (last, chain) = after.map_or((*sequence, chain), |after| (after.last, after.chain));
        if let Some(after) = after {
            self.execute(FORGET_REMOVAL, params![camera.as_str(), run.0, after.first])?;
        }
        self.execute(PUT_REMOVAL, params![camera.as_str(), run.0, first, last, chain.0])?;
        Ok(())
    }
}

fn sequence_and_chain(row: &Row<'_>) -> rusqlite::Result<(i64, Fingerprint)> {
    Ok((row.get("sequence")?, Fingerprint(row.get("chain")?)))
}

fn link(row: &Row<'_>) -> rusqlite::Result<Option<ChainLink>> {
    let (previous, value): (Option<[u8; 32]>, Option<[u8; 32]>) = (row.get("chain_previous")?, row.get("chain")?);
    Ok(previous.zip(value).map(|(previous, value)| ChainLink {
        previous: Fingerprint(previous),
        value: Fingerprint(value),
    }))
}

fn removal(row: &Row<'_>) -> rusqlite::Result<Removal> {
    Ok(Removal {
        run: RunId(row.get("run_id")?),
        first: row.get("first_sequence")?,
        last: row.get("last_sequence")?,
        chain: Fingerprint(row.get("chain")?),
    })
}

fn chained(row: &Row<'_>) -> rusqlite::Result<Chained> {
    let path: Option<String> = row.get("path")?;
    let file = path.map(|path| {
        let sha256: Option<[u8; 32]> = row.get("sha256")?;
        Ok::<_, rusqlite::Error>(ChainedFile {
            path,
            size_bytes: count(row, "size_bytes")?,
            sha256: sha256.map(Fingerprint),
            state: word(row, "copy_state", CopyState::parse)?,
        })
    });
    Ok(Chained {
        id: segment_id(row, "id")?,
        run: RunId(row.get("run_id")?),
        sequence: row.get("sequence")?,
        span: span(row)?,
        is_open: row.get::<_, String>("row_state")? == "open",
        link: link(row)?,
        file: file.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Index;
    use super::super::fixture::{at, camera_id, closed, index};
    use super::*;
    use crate::model::{CopyState, SegmentState};

    const RUN: RunId = RunId(7);

    fn door() -> CameraId {
        camera_id("door")
    }

    fn file(sequence: u32) -> Fingerprint {
        Fingerprint::of(&sequence.to_be_bytes())
    }

    fn whole(sequence: u32) -> Segment {
        let start = i64::from(sequence) * 10;
        let mut segment = closed(u128::from(sequence) + 1, start, start + 10);
        segment.sequence = sequence;
        segment.copies[0].sha256 = Some(file(sequence).0);
        segment
    }

    fn open(sequence: u32) -> Segment {
        let mut segment = whole(sequence);
        segment.state = SegmentState::Open;
        segment.copies[0].state = CopyState::Open;
        segment.copies[0].sha256 = None;
        segment
    }

    fn close(index: &Index, segment: Segment) {
        index.write_blocking(move |w| w.close_segment(&segment)).unwrap();
    }

    fn links(index: &Index) -> Vec<(u32, Option<ChainLink>)> {
        let volume = whole(0).copies[0].volume;
        let rows = index.read_blocking(|r| r.chain_of(&door(), volume, None, 100)).unwrap();
        rows.into_iter().map(|row| (row.sequence, row.link)).collect()
    }

    /// What the chain of these segments has to be, by the definition alone.
    fn expected(sequences: impl IntoIterator<Item = u32>) -> Vec<(u32, Option<ChainLink>)> {
        let mut previous = ChainLink::BEGINNING;
        let link = |sequence| {
            let link = ChainLink::new(previous, &door(), RUN, sequence, file(sequence));
            previous = link.value;
            (sequence, Some(link))
        };
        sequences.into_iter().map(link).collect()
    }

    #[test]
    fn segments_are_linked_as_they_close_in_whatever_order() {
        let (_directory, index) = index();
        for sequence in 0..4 {
            index.write_blocking(move |w| w.open_segment(&open(sequence))).unwrap();
        }
        close(&index, whole(1));
        close(&index, whole(3));
        assert!(
            links(&index).iter().all(|(_, link)| link.is_none()),
            "the first is open"
        );
        close(&index, whole(0));
        assert_eq!(links(&index)[..2], expected(0..2)[..]);
        assert_eq!(links(&index)[3], (3, None), "the one before it is open");
        close(&index, whole(2));
        assert_eq!(links(&index), expected(0..4));
        let id = whole(2).id;
        assert_eq!(index.read_blocking(|r| r.chain_link(id)).unwrap(), expected(0..3)[2].1);
        close(&index, whole(2));
        assert_eq!(links(&index), expected(0..4), "twice is once");
    }

    #[test]
    fn one_that_came_to_nothing_holds_up_nobody_and_one_without_a_hash_is_passed_over() {
        let (_directory, index) = index();
        for sequence in 0..2 {
            index.write_blocking(move |w| w.open_segment(&open(sequence))).unwrap();
        }
        close(&index, whole(1));
        let id = open(0).id;
        assert!(index.write_blocking(move |w| w.remove_open_segment(id)).unwrap());
        let mut suspect = whole(2);
        suspect.copies[0].state = CopyState::Suspect;
        close(&index, suspect);
        close(&index, whole(3));
        let links = links(&index);
        assert_eq!(links[1], (2, None));
        let linked: Vec<_> = links.into_iter().filter(|(_, link)| link.is_some()).collect();
        assert_eq!(linked, expected([1, 3]));
    }

    #[test]
    fn a_value_stays_when_a_row_is_written_over_except_for_footage_that_gets_its_date() {
        let (_directory, index) = index();
        (0..3).for_each(|sequence| close(&index, whole(sequence)));
        let mut changed = whole(1);
        changed.copies[0].sha256 = Some([1; 32]);
        close(&index, changed.clone());
        assert_eq!(links(&index), expected(0..3), "so that the change shows");

        let (_directory, index) = super::super::fixture::index();
        for sequence in 0..3 {
            let mut undated = whole(sequence);
            undated.clock = ClockSource::Unsynced;
            undated.copies[0].sha256 = Some([9; 32]);
            close(&index, undated);
        }
        assert_ne!(links(&index), expected(0..3));
        (0..3).for_each(|sequence| close(&index, whole(sequence)));
        assert_eq!(links(&index), expected(0..3));
    }

    #[test]
    fn what_camkeep_lets_go_is_noted_as_long_as_anything_of_its_run_is_there() {
        let (_directory, index) = index();
        (0..6).for_each(|sequence| close(&index, whole(sequence)));
        let remove = |sequence| {
            let id = whole(sequence).id;
            assert!(index.write_blocking(move |w| w.remove_segment(id)).unwrap());
        };
        let noted = || {
            let removals = index.read_blocking(|r| r.removals(&door())).unwrap();
            removals
                .iter()
                .map(|gone| (gone.first, gone.last, gone.chain))
                .collect::<Vec<_>>()
        };
        let value = |sequence: usize| expected(0..6)[sequence].1.unwrap().value;
        remove(0);
        remove(4);
        assert_eq!(noted(), [(0, 0, value(0)), (4, 4, value(4))]);
        remove(2);
        remove(1);
        assert_eq!(noted(), [(0, 2, value(2)), (4, 4, value(4))]);
        remove(3);
        assert_eq!(noted(), [(0, 4, value(4))]);
        close(&index, whole(6));
        assert_eq!(links(&index), expected(0..7)[5..], "it goes on from what is there");
        remove(5);
        remove(6);
        assert_eq!(noted(), [], "and nothing is kept of what is gone wholly");
    }

    #[test]
    fn a_run_goes_on_from_what_was_let_go() {
        let (_directory, index) = index();
        (0..2).for_each(|sequence| close(&index, whole(sequence)));
        index.write_blocking(|w| w.open_segment(&open(2))).unwrap();
        for sequence in 0..2 {
            let id = whole(sequence).id;
            assert!(index.write_blocking(move |w| w.remove_segment(id)).unwrap());
        }
        close(&index, whole(2));
        assert_eq!(links(&index), expected(0..3)[2..]);
    }

    #[test]
    fn runs_of_several_cameras_are_chains_of_their_own_and_are_read_page_by_page() {
        let (_directory, index) = index();
        for (number, run) in [(1u128, 9u32), (2, 8)] {
            for sequence in 0..3u32 {
                let mut segment = whole(sequence);
                segment.id.0 = uuid::Uuid::from_u128(number * 100 + u128::from(sequence));
                segment.run = RunId(run);
                segment.copies[0].path = format!("{run}/{sequence}");
                close(&index, segment);
            }
        }
        let volume = whole(0).copies[0].volume;
        let mut found: Vec<Chained> = Vec::new();
        loop {
            let after = found.last().map(|row| (row.run, row.sequence));
            let page = index.read_blocking(|r| r.chain_of(&door(), volume, after, 2)).unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let places: Vec<_> = found.iter().map(|row| (row.run.0, row.sequence)).collect();
        assert_eq!(places, [(8, 0), (8, 1), (8, 2), (9, 0), (9, 1), (9, 2)]);
        for row in &found {
            let before = if row.sequence == 0 {
                ChainLink::BEGINNING
            } else {
                let before = found
                    .iter()
                    .find(|other| (other.run, other.sequence + 1) == (row.run, row.sequence));
                before.unwrap().link.unwrap().value
            };
            let link = ChainLink::new(before, &door(), row.run, row.sequence, file(row.sequence));
            assert_eq!(row.link, Some(link));
            assert_eq!(
                row.file.as_ref().unwrap().path,
                format!("{}/{}", row.run.0, row.sequence)
            );
        }
    }

    #[test]
    fn a_key_is_remembered_once() {
        let (_directory, index) = index();
        let key = |seconds| KnownKey {
            id: Fingerprint::of(b"a key"),
            public_key: "PEM".to_owned(),
            made_at: Some(at(1)),
            first_used_at: at(seconds),
        };
        assert!(index.write_blocking(move |w| w.add_box_key(&key(5))).unwrap());
        assert!(!index.write_blocking(move |w| w.add_box_key(&key(9))).unwrap());
        assert_eq!(index.read_blocking(|r| r.box_keys()).unwrap(), [key(5)]);
        let other = KnownKey {
            id: Fingerprint::of(b"another"),
            ..key(7)
        };
        assert!(index.write_blocking(move |w| w.add_box_key(&other)).unwrap());
        let keys = index.read_blocking(|r| r.box_keys()).unwrap();
        assert_eq!(
            keys.iter().map(|key| key.first_used_at).collect::<Vec<_>>(),
            [at(7), at(5)]
        );
    }
}
