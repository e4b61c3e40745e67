//! Refilling by hand: a person wants what lacks in a span, whatever its age.

use std::time::Duration;

use super::driver::Refiller;
use super::error::RefillError;
use crate::archive::archive_of;
use crate::index::{IndexError, Writer};
use crate::model::coverage::holes;
use crate::model::{Camera, CameraId, Gap, GapCause, GapFate, GapId, Span};

/// The longest span that is ordered at once: a try may take as long.
pub const LONGEST_ORDER: Duration = Duration::from_secs(4 * 3600);
/// A shorter hole is none.
const SHORTEST: Duration = Duration::from_millis(500);

impl Refiller {
    /// Whether it is known how a camera is asked for what it kept; why not, if not.
    pub fn has_archive(&self, camera: &Camera) -> Result<(), RefillError> {
        archive_of(camera, &self.0.means.surroundings)?;
        Ok(())
    }

    /// Has what lacks of a camera fetched, and says which gaps that is. Those that are kept already are tried anew as they
    /// are, also where they reach beyond what was asked for; the others are kept from now on.
    pub async fn order(&self, camera: &Camera, missing: Vec<(Span, GapCause)>) -> Result<Vec<Gap>, RefillError> {
        if !camera.is_in_use() {
            let message = format!("camera {} is switched off, so it is asked for nothing", camera.id);
            return Err(RefillError::Refused(message));
        }
        self.has_archive(camera)?;
        let id = camera.id.clone();
        let gaps = self
            .0
            .means
            .index
            .write(move |writer| keep(writer, &id, &missing))
            .await?;
        if gaps.is_empty() {
            let message = "nothing is missing there that could be fetched".to_owned();
            return Err(RefillError::Refused(message));
        }
        for gap in &gaps {
            self.wish(&camera.id, gap.span);
        }
        Ok(gaps)
    }
}

fn keep(writer: &Writer<'_>, camera: &CameraId, missing: &[(Span, GapCause)]) -> Result<Vec<Gap>, IndexError> {
    let mut gaps: Vec<Gap> = Vec::new();
    for (span, cause) in missing {
        let kept = writer.gaps_within(camera, *span)?;
        for gap in &kept {
            let is_known = gaps.iter().any(|known| known.id == gap.id);
            if !gap.open && gap.fate != GapFate::Filled && !is_known {
                gaps.push(writer.retry_gap(camera, gap.id)?);
            }
        }
        let told = kept.iter().filter(|gap| gap.open || gap.fate != GapFate::Filled);
        for rest in holes(*span, told.map(|gap| gap.span).collect(), SHORTEST) {
            let gap = Gap {
                id: GapId(0),
                camera: camera.clone(),
                span: rest,
                open: false,
                cause: *cause,
                fate: GapFate::Pending,
                attempts: 0,
                last_attempt_at: None,
                filled_at: None,
                recovered_seconds: 0.0,
            };
            let id = writer.insert_gap(&gap)?;
            gaps.push(Gap { id, ..gap });
        }
    }
    Ok(gaps)
}
