//! The ledger: what is known of clips and jobs, and how both go.

use std::path::PathBuf;
use std::sync::Arc;

use super::driver::{Desk, Exporter, on_a_thread};
use super::error::ExportError;
use super::manifest::{BESIDE, Sealed};
use super::stop::Stop;
use crate::index::IndexError;
use crate::model::{CameraId, Clip, ClipId, Job, JobId, JobState, Timestamp};
use crate::storage::{Shelf, StorageError};

impl Exporter {
    /// Jobs with the clips that each made, the newest first.
    pub async fn jobs(
        &self,
        limit: u32,
        before: Option<(Timestamp, JobId)>,
    ) -> Result<Vec<(Job, Vec<Clip>)>, ExportError> {
        let found = self
            .0
            .means
            .index
            .read(move |reader| {
                let jobs = reader.jobs(limit, before)?.into_iter();
                jobs.map(|job| Ok((reader.clips_of(job.id)?, job)))
                    .collect::<Result<Vec<_>, IndexError>>()
            })
            .await?;
        Ok(found
            .into_iter()
            .map(|(clips, job)| (self.as_it_stands(job), clips))
            .collect())
    }

    /// One job with its clips.
    pub async fn job(&self, id: JobId) -> Result<Option<(Job, Vec<Clip>)>, ExportError> {
        let found = self.0.means.index.read(move |reader| {
            let Some(job) = reader.job(id)? else { return Ok(None) };
            Ok(Some((job, reader.clips_of(id)?)))
        });
        Ok(found.await?.map(|(job, clips)| (self.as_it_stands(job), clips)))
    }

    /// Calls a job off, or forgets one that is over; clips that it made stay. `false` when there is none of this id.
    pub async fn cancel(&self, id: JobId) -> Result<bool, ExportError> {
        let now = self.0.means.clock.now();
        let progress = self.0.progress_of(id).unwrap_or(0.0);
        let found = self
            .0
            .means
            .index
            .write(move |writer| {
                if writer.end_job(id, JobState::Cancelled, progress, None, now)? {
                    return Ok(true);
                }
                writer.remove_job(id)
            })
            .await?;
        if let Some(stop) = self.0.running().get(&id) {
            stop.stop();
        }
        Ok(found)
    }

    /// Clips, the newest first: of one camera, or all.
    pub async fn clips(
        &self,
        camera: Option<CameraId>,
        limit: u32,
        before: Option<(Timestamp, ClipId)>,
    ) -> Result<Vec<Clip>, ExportError> {
        let found = self
            .0
            .means
            .index
            .read(move |reader| reader.clips(camera.as_ref(), limit, before));
        Ok(found.await?)
    }

    /// One clip.
    pub async fn clip_of(&self, id: ClipId) -> Result<Option<Clip>, ExportError> {
        Ok(self.0.means.index.read(move |reader| reader.clip(id)).await?)
    }

    /// The clip whose file has a name, and where the file lies.
    pub async fn clip_file(&self, file: String) -> Result<Option<(Clip, PathBuf)>, ExportError> {
        let Some(place) = self.0.means.shelf.place(&file) else {
            return Ok(None);
        };
        let found = self
            .0
            .means
            .index
            .read(move |reader| reader.clip_by_file(&file))
            .await?;
        Ok(found.map(|clip| (clip, place)))
    }

    /// The manifest of a clip and its signature, as they lie beside it.
    pub async fn manifest_of(&self, id: ClipId) -> Result<Option<(Clip, Sealed)>, ExportError> {
        let Some(clip) = self.clip_of(id).await? else {
            return Ok(None);
        };
        let Some(place) = self.0.means.shelf.place(&clip.file) else {
            return Ok(None);
        };
        let sealed = on_a_thread(move || Ok(Sealed::read_beside(&place)?)).await?;
        Ok(Some((clip, sealed)))
    }

    /// Removes a clip with its file and what lies beside it; `false` when there is none of this id.
    pub async fn remove_clip(&self, id: ClipId) -> Result<bool, ExportError> {
        let desk = Arc::clone(&self.0);
        on_a_thread(move || desk.remove_clip(id)).await
    }

    /// Where clips lie.
    pub fn shelf(&self) -> &Shelf {
        &self.0.means.shelf
    }

    /// A job as it is at this moment; its row says how far it was when it began.
    fn as_it_stands(&self, job: Job) -> Job {
        let progress = match job.state {
            JobState::Running => self.0.progress_of(job.id).unwrap_or(job.progress),
            _ => job.progress,
        };
        Job { progress, ..job }
    }
}

impl Desk {
    pub(super) fn progress_of(&self, id: JobId) -> Option<f64> {
        self.running().get(&id).map(Stop::progress)
    }

    /// Forgets a clip, then throws its file away.
    pub(super) fn remove_clip(&self, id: ClipId) -> Result<bool, ExportError> {
        let file = self.means.index.write_blocking(move |writer| {
            let Some(clip) = writer.clip(id)? else { return Ok(None) };
            writer.remove_clip(id)?;
            Ok(Some(clip.file))
        })?;
        let Some(file) = file else { return Ok(false) };
        self.throw_away(&file)?;
        Ok(true)
    }

    pub(super) fn throw_away(&self, file: &str) -> Result<(), StorageError> {
        self.means.shelf.remove(file, &BESIDE)?;
        Ok(())
    }
}
