//! Export jobs: what was ordered, and how far it is.

use rusqlite::{Row, params};
use uuid::Uuid;

use super::columns::{maybe_time, time, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, ClipMode, Job, JobId, JobState, Order, Span, Timestamp};

macro_rules! select_exports {
    ($rest:literal) => {
        concat!(
            "SELECT id, cameras, from_ns, to_ns, mode, name, burn_in, captions, asked_by, state, progress, error, ",
            "created_at_ns, started_at_ns, ended_at_ns FROM exports ",
            $rest
        )
    };
}

const PAGE: &str =
    select_exports!("WHERE (created_at_ns, id) < (?1, ?2) ORDER BY created_at_ns DESC, id DESC LIMIT ?3");
const ONE: &str = select_exports!("WHERE id = ?1");
/// The state in the words of the index that serves it.
const FIRST_WAITING: &str =
    select_exports!("WHERE state IN ('queued', 'running') AND state = 'queued' ORDER BY created_at_ns, id LIMIT 1");
const LEFT_RUNNING: &str =
    select_exports!("WHERE state IN ('queued', 'running') AND state = 'running' ORDER BY created_at_ns, id");
const COUNT_WAITING: &str = "SELECT count(*) FROM exports WHERE state IN ('queued', 'running')";
/// Jobs that are over are forgotten after a while, so that there are few rows.
const COUNT_BY_STATE: &str = "SELECT state, count(*) FROM exports GROUP BY state";
const INSERT: &str = "
    INSERT INTO exports (id, cameras, from_ns, to_ns, mode, name, burn_in, captions, asked_by, state, progress, error,
        created_at_ns, started_at_ns, ended_at_ns)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
const START: &str = "UPDATE exports SET state = 'running', started_at_ns = ?2 WHERE id = ?1 AND state = 'queued'";
const REQUEUE: &str = "
    UPDATE exports SET state = 'queued', progress = 0, started_at_ns = NULL WHERE id = ?1 AND state = 'running'";
const END: &str = "
    UPDATE exports SET state = ?2, progress = ?3, error = ?4, ended_at_ns = ?5
    WHERE id = ?1 AND state IN ('queued', 'running')";
const REMOVE: &str = "DELETE FROM exports WHERE id = ?1 AND state NOT IN ('queued', 'running')";
const REMOVE_OLD: &str = "DELETE FROM exports WHERE state NOT IN ('queued', 'running') AND ended_at_ns < ?1";

impl Reader<'_> {
    /// Jobs, the newest first. For the next page give the place of the last one.
    pub fn jobs(&self, limit: u32, before: Option<(Timestamp, JobId)>) -> Result<Vec<Job>, IndexError> {
        let (at, id) = before.unwrap_or((Timestamp::MAX, JobId(Uuid::max())));
        self.rows(PAGE, params![at.as_nanos(), id.0.as_bytes(), limit], read)
    }

    /// One job.
    pub fn job(&self, id: JobId) -> Result<Option<Job>, IndexError> {
        self.row(ONE, [id.0.as_bytes()], read)
    }

    /// Jobs that were being made when the process that made them died.
    pub fn running_jobs(&self) -> Result<Vec<Job>, IndexError> {
        self.rows(LEFT_RUNNING, [], read)
    }

    /// How many jobs there are in each state in which there are any.
    pub fn count_jobs(&self) -> Result<Vec<(JobState, u64)>, IndexError> {
        self.rows(COUNT_BY_STATE, [], |row| {
            Ok((
                word(row, "state", JobState::parse)?,
                row.get::<_, i64>(1)?.unsigned_abs(),
            ))
        })
    }

    /// How many jobs are not over.
    pub fn count_unfinished_jobs(&self) -> Result<u64, IndexError> {
        let found = self.row(COUNT_WAITING, [], |row| row.get::<_, i64>(0))?;
        Ok(found.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
    }
}

impl Writer<'_> {
    /// Remembers a job.
    pub fn insert_job(&self, job: &Job) -> Result<(), IndexError> {
        let cameras: Vec<&str> = job.order.cameras.iter().map(CameraId::as_str).collect();
        self.execute(
            INSERT,
            params![
                job.id.0.as_bytes(),
                serde_json::json!(cameras).to_string(),
                job.order.window.start.as_nanos(),
                job.order.window.end.as_nanos(),
                job.order.mode.as_str(),
                job.order.name,
                job.order.burn_in,
                job.order.captions,
                job.order.asked_by,
                job.state.as_str(),
                job.progress,
                job.error,
                job.created_at.as_nanos(),
                job.started_at.map(Timestamp::as_nanos),
                job.ended_at.map(Timestamp::as_nanos),
            ],
        )?;
        Ok(())
    }

    /// Takes the job that has waited longest: it runs from this moment on.
    pub fn start_next_job(&self, now: Timestamp) -> Result<Option<Job>, IndexError> {
        let Some(job) = self.row(FIRST_WAITING, [], read)? else {
            return Ok(None);
        };
        self.execute(START, params![job.id.0.as_bytes(), now.as_nanos()])?;
        self.job(job.id)
    }

    /// Has a job that was running begin anew; `false` when it was not.
    pub fn requeue_job(&self, id: JobId) -> Result<bool, IndexError> {
        Ok(self.execute(REQUEUE, [id.0.as_bytes()])? > 0)
    }

    /// Ends a job; `false` when it is over already, or was never there.
    pub fn end_job(
        &self,
        id: JobId,
        state: JobState,
        progress: f64,
        error: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, IndexError> {
        let row = params![
            id.0.as_bytes(),
            state.as_str(),
            progress.clamp(0.0, 1.0),
            error,
            now.as_nanos()
        ];
        Ok(self.execute(END, row)? > 0)
    }

    /// Forgets a job that is over; `false` when it is not, or was never there. Its clips stay.
    pub fn remove_job(&self, id: JobId) -> Result<bool, IndexError> {
        Ok(self.execute(REMOVE, [id.0.as_bytes()])? > 0)
    }

    /// Forgets jobs that were over before a moment, and says how many.
    pub fn remove_old_jobs(&self, before: Timestamp) -> Result<usize, IndexError> {
        self.execute(REMOVE_OLD, [before.as_nanos()])
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get("id").map(|bytes| JobId(Uuid::from_bytes(bytes)))?,
        order: Order {
            cameras: word(row, "cameras", cameras)?,
            window: Span::new(time(row, "from_ns")?, time(row, "to_ns")?),
            mode: word(row, "mode", ClipMode::parse)?,
            name: row.get("name")?,
            burn_in: row.get("burn_in")?,
            captions: row.get("captions")?,
            asked_by: row.get("asked_by")?,
        },
        state: word(row, "state", JobState::parse)?,
        progress: row.get("progress")?,
        error: row.get("error")?,
        created_at: time(row, "created_at_ns")?,
        started_at: maybe_time(row, "started_at_ns")?,
        ended_at: maybe_time(row, "ended_at_ns")?,
    })
}

fn cameras(text: &str) -> Option<Vec<CameraId>> {
    let words: Vec<String> = serde_json::from_str(text).ok()?;
    words.iter().map(|word| CameraId::parse(word).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, index, span};
    use super::*;

    fn job(number: u128, ordered: i64) -> Job {
        Job {
            id: JobId(Uuid::from_u128(number)),
            order: Order {
                cameras: vec![camera_id("door"), camera_id("yard")],
                window: span(0, 7200),
                mode: ClipMode::Keyframe,
                name: Some("{camera}".into()),
                burn_in: false,
                captions: true,
                asked_by: "127.0.0.1".into(),
            },
            state: JobState::Queued,
            progress: 0.0,
            error: None,
            created_at: at(ordered),
            started_at: None,
            ended_at: None,
        }
    }

    #[test]
    fn a_job_waits_runs_and_ends_once() {
        let (_directory, index) = index();
        for (number, ordered) in [(1, 20), (2, 10)] {
            index
                .write_blocking(move |w| w.insert_job(&job(number, ordered)))
                .unwrap();
        }
        let next = || index.write_blocking(|w| w.start_next_job(at(30))).unwrap();
        let first = next().unwrap();
        assert_eq!(
            first,
            Job {
                state: JobState::Running,
                started_at: Some(at(30)),
                ..job(2, 10)
            },
            "who waits longest comes first"
        );
        assert_eq!(next().map(|job| job.id.0.as_u128()), Some(1));
        assert_eq!(next(), None);
        let end = |state, error: Option<&'static str>| {
            index
                .write_blocking(move |w| w.end_job(first.id, state, 1.0, error, at(40)))
                .unwrap()
        };
        assert!(!index.write_blocking(move |w| w.remove_job(first.id)).unwrap());
        assert!(end(JobState::Failed, Some("no room")));
        assert!(!end(JobState::Done, None), "what is over stays as it ended");
        let seen = index.read_blocking(|r| r.job(first.id)).unwrap().unwrap();
        assert_eq!(
            (seen.state, seen.error.as_deref(), seen.ended_at),
            (JobState::Failed, Some("no room"), Some(at(40)))
        );
        assert_eq!(index.read_blocking(|r| r.count_unfinished_jobs()).unwrap(), 1);
        assert!(index.write_blocking(move |w| w.remove_job(first.id)).unwrap());
    }

    #[test]
    fn a_job_whose_process_died_begins_anew_and_old_ones_are_forgotten() {
        let (_directory, index) = index();
        for number in 1..=3 {
            index.write_blocking(move |w| w.insert_job(&job(number, 10))).unwrap();
        }
        index.write_blocking(|w| w.start_next_job(at(30))).unwrap().unwrap();
        let left = index.read_blocking(|r| r.running_jobs()).unwrap();
        assert_eq!(left.len(), 1);
        let id = left[0].id;
        assert!(index.write_blocking(move |w| w.requeue_job(id)).unwrap());
        assert!(!index.write_blocking(move |w| w.requeue_job(id)).unwrap());
        assert_eq!(index.read_blocking(|r| r.job(id)).unwrap(), Some(job(1, 10)));
        index
            .write_blocking(move |w| w.end_job(id, JobState::Cancelled, 0.5, None, at(50)))
            .unwrap();
        assert_eq!(index.write_blocking(|w| w.remove_old_jobs(at(50))).unwrap(), 0);
        assert_eq!(index.write_blocking(|w| w.remove_old_jobs(at(51))).unwrap(), 1);
        let page = index.read_blocking(|r| r.jobs(1, None)).unwrap();
        let last = page.last().map(|job| (job.created_at, job.id));
        assert_eq!(page.iter().map(|job| job.id.0.as_u128()).collect::<Vec<_>>(), [3]);
        let rest = index.read_blocking(|r| r.jobs(9, last)).unwrap();
        assert_eq!(rest.iter().map(|job| job.id.0.as_u128()).collect::<Vec<_>>(), [2]);
    }
}
