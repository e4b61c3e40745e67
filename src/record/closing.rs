//! A file is closed: it is labelled, brought to the disk, hashed, and then told to the timeline. In this order.

use std::path::{Path, PathBuf};

use crate::model::{Copy, CopyState, Event, EventKind, News, Segment, SegmentState, counted};
use crate::runtime::Timing;
use crate::storage::{Identity, MirrorLane, Movie, TailLane, holes_left, measure, sync_whole};

use super::setting::{Setting, Suspects};

/// Who has parts of a segment beside its file.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Has it until the file is on the disk.
    pub(super) tail: Option<TailLane>,
    /// Has its second copy.
    pub(super) mirror: Option<MirrorLane>,
}

/// Does all of it on a thread that may wait for the disk.
pub(super) async fn close_segment(setting: Setting, lanes: Lanes, segment: Segment, path: PathBuf) {
    let (camera, id, suspects) = (segment.camera.clone(), segment.id, setting.suspects.clone());
    let timings = setting.timings.clone();
    timings.begin(id);
    let file = path.clone();
    let (segment, trouble) = match tokio::task::spawn_blocking(move || {
        timings
            .close
            .time(|| make_whole(segment, &file, &suspects, &timings.sync))
    })
    .await
    {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%camera, segment = %id, %error, "a closed segment could not be looked at; the next start mends it");
            return;
        }
    };
    // Sending fails only when the timeline has ended, which it does after everybody who sends.
    if let Some(message) = trouble {
        tracing::error!(%camera, segment = %id, message, "a closed segment is in trouble");
        let (at, kind) = (setting.clock.now(), EventKind::RecorderError);
        let _ = setting.news.send(News::Happened(Event {
            at,
            kind,
            camera: Some(camera),
            message,
        }));
    }
    // The journal goes last: until the file is on the disk it is the better copy.
    let whole = segment.copies.iter().all(|copy| copy.state == CopyState::Whole);
    let _ = setting.news.send(News::Closed(segment.clone()));
    if let Some(mirror) = lanes.mirror {
        // Told after the segment itself, so that the second copy's row finds it.
        match whole {
            true => mirror.finish(&segment, &path),
            false => segment.copies.iter().for_each(|copy| mirror.give_up(&copy.path)),
        }
    }
    if let Some(lane) = lanes.tail.filter(|_| whole) {
        lane.finish(id);
    }
}

/// Labels a closed file, brings it to the disk and hashes it. Trouble makes it suspect, never absent.
fn make_whole(mut segment: Segment, path: &Path, suspects: &Suspects, sync: &Timing) -> (Segment, Option<String>) {
    let cut_short = keep_to_what_is_there(&mut segment, path);
    // Nothing is put behind what is to be mended.
    let labelled = match &cut_short {
        Some(_) => Ok(()),
        None => Identity::append(path, &segment),
    };
    let durable = sync.time(|| sync_whole(path)).and_then(|()| measure(path));
    let unsynced = suspects
        .take(path)
        .then(|| "a segment is suspect: a sync failed while it was written".to_owned());
    let (size_bytes, sha256, state, trouble) = match durable {
        Ok(durable) => {
            let (state, trouble) = match cut_short.or(unsynced) {
                Some(doubt) => (CopyState::Suspect, Some(doubt)),
                None => {
                    let unlabelled = |error| format!("a segment's file does not say whose it is: {error}");
                    (CopyState::Whole, labelled.err().map(unlabelled))
                }
            };
            (Some(durable.size_bytes), Some(durable.sha256), state, trouble)
        }
        // What the kernel could not write it may have forgotten: a second try that succeeds would prove nothing.
        Err(error) => (
            None,
            None,
            CopyState::Suspect,
            Some(format!("a segment is suspect: {error}")),
        ),
    };
    for copy in &mut segment.copies {
        *copy = Copy {
            size_bytes: size_bytes.unwrap_or(copy.size_bytes),
            sha256,
            state,
            ..copy.clone()
        };
    }
    segment.state = SegmentState::Closed;
    (segment, trouble)
}

/// A file that the disk did not take to its end tells of more than it holds: the segment is told as what is there, and what
/// is wrong is given. Its journal stays, from which the next start mends it.
fn keep_to_what_is_there(segment: &mut Segment, path: &Path) -> Option<String> {
    let movie = match Movie::read(path) {
        Ok(movie) if movie.is_whole() => return None,
        Ok(movie) => movie,
        Err(error) => return Some(format!("a segment is suspect: it cannot be read: {error}")),
    };
    let (came, kept) = (segment.frames, movie.frames());
    if kept < came {
        segment.holes = holes_left(&movie, segment);
        segment.frames = kept;
    }
    let came = counted(came, "frame", "frames");
    Some(format!(
        "a segment is suspect: the disk took {kept} of {came}; the next start of camkeep mends it from its journal, \
         as far as that was written"
    ))
}
