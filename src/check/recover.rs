//! Cameras made again after the index was lost: from the settings that lie beside the recordings, and where there are none,
//! from the recordings themselves.

use std::fmt;
use std::fs;

use serde::Serialize;

use super::error::CheckError;
use crate::index::Index;
use crate::model::{Camera, CameraId, Fingerprint, Schedule, Seal, Segment, Timestamp};
use crate::storage::{Identity, Place, SavedCamera, Volume};

/// The cameras that came back, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Recovered {
    /// With all their settings.
    pub whole: Vec<CameraId>,
    /// With their settings, but for secrets that were sealed with another key.
    pub without_secrets: Vec<CameraId>,
    /// From their recordings: nothing but their ids is known.
    pub from_files: Vec<CameraId>,
    /// Why the settings that lie there could not be read.
    pub damaged: Option<String>,
    /// Whether another key than before signs clips.
    pub has_other_box_key: bool,
}

impl Recovered {
    /// Whether there is nothing to tell.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a person has to do something.
    pub fn needs_somebody(&self) -> bool {
        !(self.without_secrets.is_empty() && self.from_files.is_empty() && self.damaged.is_none())
            || self.has_other_box_key
    }

    /// Takes over what came back from another volume.
    pub fn add(&mut self, other: Self) {
        self.whole.extend(other.whole);
        self.without_secrets.extend(other.without_secrets);
        self.from_files.extend(other.from_files);
        self.damaged = self.damaged.take().or(other.damaged);
        self.has_other_box_key |= other.has_other_box_key;
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(reason) = &self.damaged {
            parts.push(format!("the settings beside the recordings cannot be read ({reason})"));
        }
        if !self.whole.is_empty() {
            parts.push(format!("back with all settings: {}", list(&self.whole)));
        }
        if !self.without_secrets.is_empty() {
            parts.push(format!(
                "the key secret.key is another one than before, so passwords and URLs of {} cannot be opened, and they are not \
                 recorded: put the former key back and start again, or give each camera its URL and password",
                list(&self.without_secrets)
            ));
        }
        if !self.from_files.is_empty() {
            parts.push(format!(
                "made from recordings alone, and not recorded until each is given its URL: {}",
                list(&self.from_files)
            ));
        }
        if self.has_other_box_key {
            parts.push(
                "clips are signed with another key than before; put the former box.key back if that was not meant"
                    .to_owned(),
            );
        }
        f.write_str(&parts.join("; "))
    }
}

fn list(ids: &[CameraId]) -> String {
    let ids: Vec<&str> = ids.iter().map(CameraId::as_str).collect();
    ids.join(", ")
}

/// Makes the cameras again of which a volume tells. It does so while an index that took the place of a lost one is made
/// whole, and at any time for cameras that wait for their secrets and have them again.
pub fn recover_cameras(
    index: &Index,
    volume: &Volume,
    seal: &dyn Seal,
    box_key: Option<Fingerprint>,
    now: Timestamp,
) -> Result<Recovered, CheckError> {
    let (is_recovering, is_waiting) = index.read_blocking(|reader| {
        let is_waiting = reader.cameras()?.iter().any(|camera| camera.recovered);
        Ok((reader.is_recovering()?, is_waiting))
    })?;
    let mut recovered = Recovered::default();
    if !is_recovering && !is_waiting {
        return Ok(recovered);
    }
    let settings = match volume.read_settings(seal) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!(%error, "the settings beside the recordings cannot be read");
            recovered.damaged = Some(error.to_string());
            None
        }
    };
    if let Some(settings) = settings {
        recovered.has_other_box_key = is_recovering && box_key.is_some() && settings.box_key != box_key;
        for saved in settings.cameras {
            restore(index, saved, is_recovering, &mut recovered)?;
        }
        if is_recovering {
            let holds = settings.holds;
            index.write_blocking(move |writer| holds.iter().try_for_each(|hold| writer.insert_hold(hold)))?;
        }
    }
    if is_recovering {
        for id in cameras_with_files(volume)? {
            let made = id.clone();
            if index.write_blocking(move |writer| writer.recover_camera(&made, now))? {
                recovered.from_files.push(id);
            }
        }
    }
    Ok(recovered)
}

fn restore(
    index: &Index,
    mut saved: SavedCamera,
    is_recovering: bool,
    recovered: &mut Recovered,
) -> Result<(), CheckError> {
    let id = saved.camera.id.clone();
    saved.camera.recovered = saved.has_lost_secrets || saved.camera.stream_address().is_err();
    let asked = id.clone();
    let known = index.read_blocking(move |reader| {
        let camera = reader.camera_or_deleted(&asked)?;
        Ok(camera.zip(Some(reader.schedules(&asked)?)))
    })?;
    if !is_wanted(&saved, known.as_ref(), is_recovering) {
        return Ok(());
    }
    let SavedCamera {
        camera,
        schedules,
        has_lost_secrets,
    } = saved;
    let (is_removed, is_whole) = (camera.removed_at.is_some(), !camera.recovered);
    index.write_blocking(move |writer| writer.restore_camera(&camera, &schedules))?;
    match (is_removed, has_lost_secrets, is_whole) {
        (true, ..) => {}
        (_, true, _) => recovered.without_secrets.push(id),
        (_, _, true) => recovered.whole.push(id),
        _ => recovered.from_files.push(id),
    }
    Ok(())
}

/// Whether what was saved of a camera is more, or newer, than what the index knows of it.
fn is_wanted(saved: &SavedCamera, known: Option<&(Camera, Vec<Schedule>)>, is_recovering: bool) -> bool {
    let Some((camera, schedules)) = known else {
        return is_recovering;
    };
    if camera.recovered && !saved.camera.recovered {
        return true;
    }
    let last_change = |camera: &Camera| camera.removed_at.unwrap_or(camera.updated_at);
    let is_newer = last_change(&saved.camera) > last_change(camera);
    let is_same = last_change(&saved.camera) == last_change(camera);
    is_recovering && (is_newer || is_same && !is_alike(&saved.schedules, schedules))
}

/// The same schedules, whatever their numbers.
fn is_alike(saved: &[Schedule], known: &[Schedule]) -> bool {
    let same = |(one, other): (&Schedule, &Schedule)| {
        let id = other.id;
        Schedule { id, ..one.clone() } == *other
    };
    saved.len() == known.len() && saved.iter().zip(known).all(same)
}

/// The cameras that have a recording on a volume.
fn cameras_with_files(volume: &Volume) -> Result<Vec<CameraId>, CheckError> {
    let entries = fs::read_dir(volume.root()).map_err(|error| CheckError::reading(volume.root(), error))?;
    let mut ids = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| CameraId::parse(name).ok());
        ids.extend(id.filter(|id| days(volume, id).iter().any(|day| !places(volume, day).is_empty())));
    }
    ids.sort();
    Ok(ids)
}

/// The newest segment of a camera of which its file says what it holds; nothing of what was still being written.
pub fn newest_on(volume: &Volume, camera: &CameraId, now: Timestamp) -> Option<Segment> {
    let mut days = days(volume, camera);
    days.sort_unstable_by(|one, other| other.cmp(one));
    days.iter().find_map(|day| {
        let mut places = places(volume, day);
        places.sort_unstable_by_key(|place| std::cmp::Reverse(place.start));
        places.iter().find_map(|place| {
            let identity = Identity::read(&volume.absolute(&place.relative_path())).ok()??;
            Some(identity.into_segment(now, Vec::new())).filter(|segment| segment.camera == *camera)
        })
    })
}

/// The directories of a camera's days.
fn days(volume: &Volume, camera: &CameraId) -> Vec<String> {
    let Ok(entries) = fs::read_dir(volume.absolute(camera.as_str())) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names.map(|name| format!("{camera}/{name}")).collect()
}

/// The recordings in a directory.
fn places(volume: &Volume, directory: &str) -> Vec<Place> {
    let Ok(entries) = fs::read_dir(volume.absolute(directory)) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| Place::parse(&format!("{directory}/{name}")))
        .collect()
}

#[cfg(test)]
mod tests;
