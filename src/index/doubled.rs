//! Recordings of one camera that show the same time.

use std::time::Duration;

use super::columns::{camera_id, segment_id, span};
use super::error::IndexError;
use super::reader::Reader;
use crate::model::coverage::covered;
use crate::model::{Segment, VolumeId};

/// Recordings that begin before one ends that begins before them.
const OVERLAPPING: &str = "
    SELECT * FROM (
        SELECT id, camera_id, start_ns, end_ns, max(end_ns) OVER (
            PARTITION BY camera_id ORDER BY start_ns, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before_ns
        FROM segments WHERE state = 'closed' AND playable = 1
    ) WHERE start_ns < before_ns";
/// So many recordings of one time are looked at.
const MOST: u32 = 100;
/// Rows may overlap by less without a frame that lies in both.
const LEAST: Duration = Duration::from_millis(50);

/// A recording, and another that shows the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubled {
    /// The file of the one that begins later.
    pub path: String,
    /// The file of the one before.
    pub other: String,
    /// How much of the time both show.
    pub overlap: Duration,
}

impl Reader<'_> {
    /// Recordings on a volume that show a time which one that begins before them shows too.
    pub fn doubled_on(&self, volume: VolumeId) -> Result<Vec<Doubled>, IndexError> {
        let suspects = self.rows(OVERLAPPING, [], |row| {
            Ok((segment_id(row, "id")?, camera_id(row, "camera_id")?, span(row)?))
        })?;
        let mut doubled = Vec::new();
        for (id, camera, span) in suspects {
            let together = self.segments(&camera, Some(span), MOST, None)?;
            let Some(place) = together.iter().position(|segment| segment.id == id) else {
                continue;
            };
            let (before, own) = (&together[..place], &together[place]);
            let path = |segment: &Segment| {
                let copy = segment.copies.iter().find(|copy| copy.volume == volume);
                copy.map(|copy| copy.path.clone())
            };
            for other in before {
                let shown = other.covered();
                let overlap = own.covered().iter().map(|piece| covered(*piece, shown.clone())).sum();
                if let Some((path, other)) = path(own).zip(path(other)).filter(|_| overlap > LEAST) {
                    doubled.push(Doubled { path, other, overlap });
                }
            }
        }
        Ok(doubled)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, closed, copy, index, span};
    use super::*;
    use crate::model::{Camera, CopyState, GapCause, Hole};

    #[test]
    fn what_was_recorded_twice_is_named_and_what_fills_a_hole_is_not() {
        let (_directory, index) = index();
        let hole = Hole {
            span: span(20, 40),
            cause: GapCause::Silent,
        };
        index
            .write_blocking(move |w| {
                w.insert_camera(&Camera::new(camera_id("door"), "Door".into(), at(1)))?;
                let mut first = closed(1, 0, 60);
                first.holes = vec![hole];
                // 2 came into the hole, 3 begins two seconds before 1 ends, 4 goes on after 3.
                let rows = [first, closed(2, 20, 40), closed(3, 58, 90), closed(4, 90, 100)];
                rows.iter().try_for_each(|row| w.close_segment(row))
            })
            .unwrap();
        let volume = copy(1, 1, CopyState::Whole).volume;
        let found = index.read_blocking(move |r| r.doubled_on(volume)).unwrap();
        let path = |number| closed(number, 0, 1).copies[0].path.clone();
        assert_eq!(
            found,
            [Doubled {
                path: path(3),
                other: path(1),
                overlap: Duration::from_secs(2),
            }]
        );
    }
}
