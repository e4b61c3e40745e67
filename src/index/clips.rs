//! Clips: files made for people.

use std::time::Duration;

use rusqlite::{Row, params};
use uuid::Uuid;

use super::columns::{camera_id, count, maybe_time, stored, time, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, Clip, ClipId, ClipMode, JobId, Span, Timestamp};

macro_rules! select_clips {
    ($rest:literal) => {
        concat!(
            "SELECT id, camera_id, path, from_ns, to_ns, start_ns, end_ns, covered_ns, size_bytes, sha256, frames, ",
            "segment_count, holes, mode, asked_by, job_id, created_at_ns, expires_at_ns, requested_to_ns FROM clips ",
            $rest
        )
    };
}

const PAGE: &str = select_clips!("WHERE (created_at_ns, id) < (?1, ?2) ORDER BY created_at_ns DESC, id DESC LIMIT ?3");
const OF_CAMERA: &str = select_clips!(
    "WHERE camera_id = ?4 AND (created_at_ns, id) < (?1, ?2) ORDER BY created_at_ns DESC, id DESC LIMIT ?3"
);
const OF_JOB: &str = select_clips!("WHERE job_id = ?1 ORDER BY created_at_ns, id");
const ONE: &str = select_clips!("WHERE id = ?1");
const BY_FILE: &str = select_clips!("WHERE path = ?1");
const EXPIRED: &str = select_clips!("WHERE expires_at_ns <= ?1 ORDER BY expires_at_ns LIMIT ?2");
const INSERT: &str = "
    INSERT INTO clips (id, camera_id, path, from_ns, to_ns, start_ns, end_ns, covered_ns, size_bytes, sha256, frames,
        segment_count, holes, mode, asked_by, job_id, created_at_ns, expires_at_ns, requested_to_ns)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
const REMOVE: &str = "DELETE FROM clips WHERE id = ?1";

impl Reader<'_> {
    /// Clips, the newest first: of one camera, or all. For the next page give the place of the last one.
    pub fn clips(
        &self,
        camera: Option<&CameraId>,
        limit: u32,
        before: Option<(Timestamp, ClipId)>,
    ) -> Result<Vec<Clip>, IndexError> {
        let (at, id) = before.unwrap_or((Timestamp::MAX, ClipId(Uuid::max())));
        let (at, id) = (at.as_nanos(), id.0.as_bytes());
        match camera {
            Some(camera) => self.rows(OF_CAMERA, params![at, id, limit, camera.as_str()], read),
            None => self.rows(PAGE, params![at, id, limit], read),
        }
    }

    /// The clips that a job made, in the order of making.
    pub fn clips_of(&self, job: JobId) -> Result<Vec<Clip>, IndexError> {
        self.rows(OF_JOB, [job.0.as_bytes()], read)
    }

    /// One clip.
    pub fn clip(&self, id: ClipId) -> Result<Option<Clip>, IndexError> {
        self.row(ONE, [id.0.as_bytes()], read)
    }

    /// The clip whose file has this name.
    pub fn clip_by_file(&self, file: &str) -> Result<Option<Clip>, IndexError> {
        self.row(BY_FILE, [file], read)
    }

    /// Clips whose time is over, the oldest first.
    pub fn expired_clips(&self, now: Timestamp, limit: u32) -> Result<Vec<Clip>, IndexError> {
        self.rows(EXPIRED, params![now.as_nanos(), limit], read)
    }
}

impl Writer<'_> {
    /// Remembers a clip whose file is whole.
    pub fn insert_clip(&self, clip: &Clip) -> Result<(), IndexError> {
        let holes: Vec<[i64; 2]> = clip
            .holes
            .iter()
            .map(|hole| [hole.start.as_nanos(), hole.end.as_nanos()])
            .collect();
        let covered = i64::try_from(clip.covered.as_nanos()).unwrap_or(i64::MAX);
        self.execute(
            INSERT,
            params![
                clip.id.0.as_bytes(),
                clip.camera.as_str(),
                clip.file,
                clip.window.start.as_nanos(),
                clip.window.end.as_nanos(),
                clip.shown.start.as_nanos(),
                clip.shown.end.as_nanos(),
                covered,
                stored(clip.size_bytes),
                clip.sha256,
                stored(clip.frames),
                stored(clip.segment_count),
                serde_json::json!(holes).to_string(),
                clip.mode.as_str(),
                clip.asked_by,
                clip.job.map(|job| job.0.as_bytes().to_vec()),
                clip.created_at.as_nanos(),
                clip.expires_at.map(Timestamp::as_nanos),
                clip.requested_to.map(Timestamp::as_nanos),
            ],
        )?;
        Ok(())
    }

    /// Forgets a clip; `false` when there is none of this id. Its file goes after the row.
    pub fn remove_clip(&self, id: ClipId) -> Result<bool, IndexError> {
        Ok(self.execute(REMOVE, [id.0.as_bytes()])? > 0)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Clip> {
    Ok(Clip {
        id: row.get("id").map(|bytes| ClipId(Uuid::from_bytes(bytes)))?,
        camera: camera_id(row, "camera_id")?,
        file: row.get("path")?,
        window: Span::new(time(row, "from_ns")?, time(row, "to_ns")?),
        requested_to: maybe_time(row, "requested_to_ns")?,
        shown: Span::new(time(row, "start_ns")?, time(row, "end_ns")?),
        covered: Duration::from_nanos(count(row, "covered_ns")?),
        size_bytes: count(row, "size_bytes")?,
        sha256: row.get("sha256")?,
        frames: count(row, "frames")?,
        segment_count: count(row, "segment_count")?,
        holes: word(row, "holes", holes)?,
        mode: word(row, "mode", ClipMode::parse)?,
        asked_by: row.get("asked_by")?,
        job: row
            .get::<_, Option<[u8; 16]>>("job_id")?
            .map(|bytes| JobId(Uuid::from_bytes(bytes))),
        created_at: time(row, "created_at_ns")?,
        expires_at: maybe_time(row, "expires_at_ns")?,
    })
}

fn holes(text: &str) -> Option<Vec<Span>> {
    let pairs: Vec<[i64; 2]> = serde_json::from_str(text).ok()?;
    let moment = Timestamp::from_nanos;
    Some(
        pairs
            .into_iter()
            .map(|[start, end]| Span::new(moment(start), moment(end)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, index, span};
    use super::*;

    fn clip(number: u128, camera: &str, made: i64) -> Clip {
        Clip {
            id: ClipId(Uuid::from_u128(number)),
            camera: camera_id(camera),
            file: format!("{camera}_{number}.mp4"),
            window: span(0, 60),
            requested_to: number.is_multiple_of(2).then(|| at(75)),
            shown: span(1, 59),
            covered: Duration::from_millis(57_960),
            size_bytes: 1_000_000,
            sha256: [9; 32],
            frames: 1449,
            segment_count: 6,
            holes: vec![span(0, 1), span(59, 60)],
            mode: ClipMode::Exact,
            asked_by: "127.0.0.1".into(),
            job: number.is_multiple_of(2).then_some(JobId(Uuid::from_u128(77))),
            created_at: at(made),
            expires_at: number.is_multiple_of(3).then(|| at(made + 100)),
        }
    }

    #[test]
    fn clips_are_listed_newest_first_page_by_page_and_found_by_their_names() {
        let (_directory, index) = index();
        for (number, camera, made) in [(1, "door", 10), (2, "door", 20), (3, "yard", 20), (4, "yard", 30)] {
            index
                .write_blocking(move |w| w.insert_clip(&clip(number, camera, made)))
                .unwrap();
        }
        let numbers = |clips: Vec<Clip>| clips.iter().map(|clip| clip.id.0.as_u128()).collect::<Vec<_>>();
        let page = index.read_blocking(|r| r.clips(None, 2, None)).unwrap();
        let last = page.last().map(|clip| (clip.created_at, clip.id));
        assert_eq!(numbers(page), [4, 3]);
        assert_eq!(
            numbers(index.read_blocking(|r| r.clips(None, 2, last)).unwrap()),
            [2, 1]
        );
        let door = camera_id("door");
        assert_eq!(
            numbers(index.read_blocking(|r| r.clips(Some(&door), 9, None)).unwrap()),
            [2, 1]
        );
        let of_job = index.read_blocking(|r| r.clips_of(JobId(Uuid::from_u128(77)))).unwrap();
        assert_eq!(numbers(of_job), [2, 4]);
        let found = index.read_blocking(|r| r.clip_by_file("yard_3.mp4")).unwrap();
        assert_eq!(found, Some(clip(3, "yard", 20)));
        assert_eq!(
            index.read_blocking(|r| r.clip(ClipId(Uuid::from_u128(2)))).unwrap(),
            Some(clip(2, "door", 20))
        );
        let error = index
            .write_blocking(|w| {
                w.insert_clip(&Clip {
                    file: "yard_3.mp4".into(),
                    ..clip(9, "yard", 1)
                })
            })
            .unwrap_err();
        assert_eq!(error.fault(), crate::model::Fault::Conflict, "one name, one clip");
    }

    #[test]
    fn a_clip_expires_and_is_forgotten_once() {
        let (_directory, index) = index();
        for number in 1..=3 {
            index
                .write_blocking(move |w| w.insert_clip(&clip(number, "door", 10)))
                .unwrap();
        }
        assert_eq!(index.read_blocking(|r| r.expired_clips(at(109), 9)).unwrap(), []);
        let gone = index.read_blocking(|r| r.expired_clips(at(110), 9)).unwrap();
        assert_eq!(gone, [clip(3, "door", 10)]);
        let id = gone[0].id;
        assert!(index.write_blocking(move |w| w.remove_clip(id)).unwrap());
        assert!(!index.write_blocking(move |w| w.remove_clip(id)).unwrap());
        assert_eq!(index.read_blocking(|r| r.expired_clips(at(110), 9)).unwrap(), []);
    }
}
