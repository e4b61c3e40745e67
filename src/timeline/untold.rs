//! An end of a gap that nobody told: a kill may come before a run is sure where its footage began.

use crate::index::{IndexError, Writer};
use crate::model::{CameraId, Timestamp};

/// The moment before `before` at which footage began after the start of the gap that lasts, if there is such a moment:
/// then the gap ended there, whatever is missing now.
pub(super) fn untold_end(
    writer: &Writer<'_>,
    camera: &CameraId,
    before: Timestamp,
) -> Result<Option<Timestamp>, IndexError> {
    let Some(gap) = writer.open_gap(camera)? else {
        return Ok(None);
    };
    let mut from = gap.span.start;
    while let Some(footage) = writer.next_footage(camera, from)? {
        if footage.start >= gap.span.start {
            return Ok(Some(footage.start).filter(|start| *start < before));
        }
        // What the gap's own start lies in was there before it.
        from = footage.end.max(from.offset(1));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{GapCause, SegmentState};
    use crate::timeline::fixture::{at, door, index, segment};

    #[test]
    fn an_end_that_was_never_told_is_where_footage_begins() {
        let place = index();
        let begun = segment(0, 10, 1, 0);
        place
            .index
            .write_blocking(move |writer| {
                writer.close_segment(&begun)?;
                writer.begin_gap(&door(), at(10), GapCause::Killed)
            })
            .unwrap();
        let untold = |before: i64| {
            let find = move |writer: &Writer<'_>| untold_end(writer, &door(), at(before));
            place.index.write_blocking(find).unwrap()
        };
        assert_eq!(untold(100), None);
        let mut open = segment(14, 15, 2, 0);
        open.state = SegmentState::Open;
        let write = move |writer: &Writer<'_>| writer.open_segment(&open);
        place.index.write_blocking(write).unwrap();
        assert_eq!(untold(15), Some(at(14)));
        assert_eq!(untold(14), None, "what begins later has ended nothing yet");
    }
}
