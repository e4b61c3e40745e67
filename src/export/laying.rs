//! Laying out: footage is held, read, and decided on; where pictures are encoded anew, that is done here.

use std::cell::Cell;

use super::driver::Desk;
use super::error::ExportError;
use super::gathering::{Held, Patience};
use super::making::{ROOM, Wanted};
use super::plan::{Part, plan, plan_anew};
use super::retake::{Anew, Retaker};
use super::stop::Stop;
use crate::model::{Camera, ClipMode};
use crate::storage::Draft;

/// Footage that was laid out, and held.
pub(super) struct LaidOut {
    pub(super) held: Held,
    pub(super) camera: Camera,
    pub(super) parts: Vec<Part>,
    /// Where pictures lie that were encoded anew. It is thrown away with this.
    pub(super) spool: Option<Draft>,
}

impl Desk {
    /// Holds what there is, reads where its frames are, and decides on them. `tell` hears how much of what has to be
    /// encoded is, from 0 to 1.
    pub(super) fn lay_out(&self, wanted: &Wanted, stop: &Stop, tell: &dyn Fn(f64)) -> Result<LaidOut, ExportError> {
        let patience = Patience::of(wanted.job.is_some(), stop);
        let (window, mode, extras) = (wanted.window, wanted.mode, wanted.extras);
        let (mut held, camera) = Held::take(&self.means, &wanted.camera, window, patience)?;
        let mut reading = held.footage(&self.means, window, patience);
        let anew = match (wanted.burn_in, mode) {
            (true, _) => Some(Anew::Burnt {
                name: camera.name.clone(),
            }),
            (false, ClipMode::ReencodeHead) => Some(Anew::Head),
            (false, _) => None,
        };
        let mut spool = None;
        let planned = match anew {
            None => plan(reading.by_ref(), window, mode, extras),
            Some(anew) => {
                let draft = spool.insert(self.means.shelf.begin("spool")?);
                let is_full = Cell::new(false);
                let is_wanted = || {
                    let space = self.means.shelf.free_space();
                    is_full.set(space.is_ok_and(|space| space.available_bytes < ROOM));
                    !stop.is_stopped() && !is_full.get()
                };
                let retaker = Retaker::new(&self.means.catalog, window, anew, draft.part(), &is_wanted, tell)?;
                let planned = plan_anew(reading.by_ref(), window, mode, extras, retaker);
                if is_full.get() {
                    let path = self.means.shelf.root().to_owned();
                    return Err(ExportError::Full { path });
                }
                planned
            }
        };
        let (trouble, used) = (reading.trouble.take(), std::mem::take(&mut reading.used));
        let not_yet = reading.not_yet.take();
        held.was_read(used);
        if stop.is_stopped() {
            return Err(ExportError::Cancelled);
        }
        if let Some(not_yet) = not_yet {
            return Err(not_yet);
        }
        let parts = planned.map_err(|error| match (error, trouble) {
            // There is footage by the index, and it is the disk that does not give it.
            (ExportError::NothingThere, Some(trouble)) => trouble,
            (error, _) => error,
        })?;
        Ok(LaidOut {
            held,
            camera,
            parts,
            spool,
        })
    }
}
