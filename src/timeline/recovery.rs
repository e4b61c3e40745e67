//! Kept gaps made again after the index was lost: what lies on the disk says where footage is missing, and no more.

use crate::index::{Index, IndexError, Reader, Writer};
use crate::model::coverage::holes;
use crate::model::{Camera, CameraId, Gap, GapCause, KEPT_FROM, SEAM, Schedule, Span, Timestamp};

/// Says which parts of a time without footage were to be recorded.
pub type Divide = fn(&Camera, &[Schedule], Span) -> Vec<(Span, bool)>;

/// What was made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FoundGaps {
    /// So many gaps are kept from now on.
    pub gaps: usize,
    /// Whether it is known of every camera when its newest footage is missing; else look again when it has come back or was
    /// told to be lost.
    pub is_all: bool,
}

/// Keeps a gap for everything that is missing without anybody having said why, once all footage is in the index.
pub fn recover_gaps(index: &Index, now: Timestamp, divide: Divide) -> Result<FoundGaps, IndexError> {
    let cameras = index.read_blocking(|reader| {
        let mut cameras = reader.cameras()?;
        cameras.extend(reader.deleted_cameras()?);
        Ok(cameras)
    })?;
    let mut found = FoundGaps { gaps: 0, is_all: true };
    for camera in cameras {
        // In one transaction with the look, so that nothing that is told meanwhile is told twice.
        let of_camera = index.write_blocking(move |writer| recover_of(writer, &camera, now, divide))?;
        found.gaps += of_camera.gaps;
        found.is_all &= of_camera.is_all;
    }
    Ok(found)
}

fn recover_of(writer: &Writer<'_>, camera: &Camera, now: Timestamp, divide: Divide) -> Result<FoundGaps, IndexError> {
    let schedules = writer.schedules(&camera.id)?;
    let mut found = FoundGaps { gaps: 0, is_all: true };
    for hole in unexplained(writer, &camera.id, now)? {
        let lasts = hole.end == now;
        let is_to_be_recorded = camera.enabled && camera.record_enabled;
        if lasts && (camera.removed_at.is_some() || is_to_be_recorded && !camera.recovered) {
            // Whoever records it says soon whether it is there.
            found.is_all &= camera.removed_at.is_some();
            continue;
        }
        for (part, is_missing) in divide(camera, &schedules, hole) {
            if !is_missing || lasts && !is_to_be_recorded {
                writer.insert_rest(&camera.id, part)?;
            } else if lasts && part.end == now {
                writer.begin_gap(&camera.id, part.start, GapCause::Unknown)?;
                found.gaps += 1;
            } else if part.duration() > KEPT_FROM {
                writer.insert_gap(&Gap::pending(&camera.id, part, GapCause::Unknown))?;
                found.gaps += 1;
            }
        }
    }
    Ok(found)
}

/// Where footage is missing from the first there is up to now, and neither a gap nor a rest is kept.
fn unexplained(reader: &Reader<'_>, camera: &CameraId, now: Timestamp) -> Result<Vec<Span>, IndexError> {
    let Some(first) = reader.next_footage(camera, Timestamp::MIN)? else {
        return Ok(Vec::new());
    };
    let life = Span::new(first.start, now.max(first.start));
    let mut known: Vec<Span> = reader
        .stretches(camera, life)?
        .iter()
        .map(|stretch| stretch.span)
        .collect();
    let kept = reader.gaps_within(camera, life)?;
    known.extend(kept.iter().map(|gap| match gap.open {
        true => Span::new(gap.span.start, now.max(gap.span.end)),
        false => gap.span,
    }));
    known.extend(reader.rests_within(camera, life)?);
    let mut found = holes(life, known, SEAM);
    found.retain(|hole| hole.duration() > KEPT_FROM);
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::index::GapFilter;
    use crate::model::SegmentState;
    use crate::timeline::fixture::{at, door, index, segment};

    const ALWAYS: Divide = |_, _, hole| vec![(hole, true)];
    const NEVER: Divide = |_, _, hole| vec![(hole, false)];

    fn kept(index: &Index) -> Vec<(Span, bool, GapCause)> {
        let mut gaps = index
            .read_blocking(|reader| reader.gaps(&GapFilter::default(), 100))
            .unwrap();
        gaps.sort_by_key(|gap| gap.span);
        gaps.into_iter().map(|gap| (gap.span, gap.open, gap.cause)).collect()
    }

    fn span(start: i64, end: i64) -> Span {
        Span::new(at(start), at(end))
    }

    #[test]
    fn what_is_missing_between_files_is_kept_again_once_and_what_was_explained_stays_as_it_was() {
        let place = index();
        place
            .index
            .write_blocking(|writer| {
                for (number, (start, end)) in [(0, 10), (12, 20), (30, 40), (50, 60), (70, 80)]
                    .into_iter()
                    .enumerate()
                {
                    writer.close_segment(&segment(start, end, 1 + number as u32, 0))?;
                }
                writer.insert_gap(&Gap::pending(&door(), span(40, 50), GapCause::Killed))?;
                writer.insert_rest(&door(), span(60, 70))
            })
            .unwrap();
        for _ in 0..2 {
            recover_gaps(&place.index, at(81), ALWAYS).unwrap();
            assert_eq!(
                kept(&place.index),
                [
                    (span(20, 30), false, GapCause::Unknown),
                    (span(40, 50), false, GapCause::Killed)
                ]
            );
        }
    }

    #[test]
    fn what_was_not_to_be_recorded_is_a_rest_and_no_gap() {
        let place = index();
        place
            .index
            .write_blocking(|writer| {
                writer.close_segment(&segment(0, 10, 1, 0))?;
                writer.close_segment(&segment(30, 40, 2, 0))
            })
            .unwrap();
        assert_eq!(recover_gaps(&place.index, at(41), NEVER).unwrap().gaps, 0);
        let rests = place
            .index
            .read_blocking(|reader| reader.rests_within(&door(), span(0, 100)));
        assert_eq!(rests.unwrap(), [span(10, 30)]);
        assert_eq!(kept(&place.index), []);
    }

    #[test]
    fn what_is_missing_up_to_now_is_told_by_the_recorder_unless_the_camera_cannot_be_reached() {
        let place = index();
        place
            .index
            .write_blocking(|writer| writer.close_segment(&segment(0, 10, 1, 0)))
            .unwrap();
        let recovered = recover_gaps(&place.index, at(100), ALWAYS).unwrap();
        assert_eq!((recovered.is_all, kept(&place.index)), (false, vec![]));
        // It has come back.
        let mut open = segment(50, 99, 2, 0);
        open.state = SegmentState::Open;
        place
            .index
            .write_blocking(move |writer| writer.open_segment(&open))
            .unwrap();
        assert!(recover_gaps(&place.index, at(100), ALWAYS).unwrap().is_all);
        assert_eq!(kept(&place.index), [(span(10, 50), false, GapCause::Unknown)]);
        // One that nobody can reach is missing for as long as that.
        let place = index();
        place
            .index
            .write_blocking(|writer| {
                let mut camera = writer.camera(&door())?.unwrap();
                camera.recovered = true;
                writer.update_camera(&camera)?;
                writer.close_segment(&segment(0, 10, 1, 0))
            })
            .unwrap();
        assert!(recover_gaps(&place.index, at(100), ALWAYS).unwrap().is_all);
        assert_eq!(kept(&place.index), [(span(10, 10), true, GapCause::Unknown)]);
    }
}
