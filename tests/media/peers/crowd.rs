//! A recorder of many cameras, and all it has said.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use camkeep::model::{Camera, CameraHealth, CameraId, GapCause, Loss, News, Segment, Timestamp};

use crate::kit::desk::Desk;
use crate::kit::wait::wait_for;

pub(super) struct Crowd(Desk);

impl Deref for Crowd {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.0
    }
}

impl DerefMut for Crowd {
    fn deref_mut(&mut self) -> &mut Desk {
        &mut self.0
    }
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self(Desk::new())
    }

    pub(super) fn record(&self, name: &str, url: &str) -> CameraId {
        self.record_as(name, url, |_| {})
    }

    pub(super) fn record_as(&self, name: &str, url: &str, change: impl FnOnce(&mut Camera)) -> CameraId {
        let id = CameraId::from_name(name).unwrap();
        let mut camera = Camera::new(id.clone(), name.into(), Timestamp::EPOCH);
        camera.main_stream_url = Some(url.into());
        camera.segment_seconds = 4;
        change(&mut camera);
        let _inside = self.runtime.enter();
        self.recorder.apply(camera);
        id
    }

    pub(super) fn health(&self, id: &CameraId) -> CameraHealth {
        self.recorder.camera_health(id).unwrap()
    }

    /// Waits until a camera is as it should be, and says how it was when it never is.
    #[track_caller]
    pub(super) fn wait_for(
        &mut self,
        id: &CameraId,
        within: Duration,
        what: &str,
        is_so: impl Fn(&CameraHealth) -> bool,
    ) -> CameraHealth {
        wait_for(within, &format!("{id} {what}"), || {
            self.listen();
            let health = self.health(id);
            if is_so(&health) { Ok(health) } else { Err(health) }
        })
    }

    pub(super) fn closed(&mut self, id: &CameraId) -> Vec<Segment> {
        self.listen();
        let closed = self.news.iter().filter_map(|news| match news {
            News::Closed(segment) if segment.camera == *id => Some(segment.clone()),
            _ => None,
        });
        let mut closed: Vec<Segment> = closed.collect();
        closed.sort_by_key(|segment| segment.span.start);
        closed
    }

    #[track_caller]
    pub(super) fn wait_for_closed(&mut self, id: &CameraId, count: usize, within: Duration) -> Vec<Segment> {
        wait_for(within, &format!("{count} segments of {id} are closed"), || {
            let closed = self.closed(id);
            if closed.len() >= count {
                Ok(closed)
            } else {
                Err((closed.len(), self.health(id)))
            }
        })
    }

    /// How many frames of the segments that are open or were.
    pub(super) fn frames(&self, id: &CameraId) -> u64 {
        let opened = self.news.iter().filter_map(|news| match news {
            News::Opened(segment) if segment.camera == *id => Some(segment.id),
            _ => None,
        });
        let own: BTreeSet<_> = opened.collect();
        let mut frames = BTreeMap::new();
        for news in &self.news {
            match news {
                News::Grew { id, frames: now, .. } if own.contains(id) => frames.insert(*id, *now),
                News::Closed(segment) if own.contains(&segment.id) => frames.insert(segment.id, segment.frames),
                _ => None,
            };
        }
        frames.values().sum()
    }

    /// How often a camera was lost, and why.
    pub(super) fn losses(&self, id: &CameraId) -> Vec<Loss> {
        let losses = self.news.iter().filter_map(|news| match news {
            News::Lost {
                camera,
                cause: GapCause::Lost(loss),
                ..
            } if camera == id => Some(*loss),
            _ => None,
        });
        losses.collect()
    }

    pub(super) fn remove(&mut self, id: &CameraId) {
        self.runtime.block_on(self.recorder.remove(id));
        self.listen();
    }
}
