//! Which units in memory belong to a segment whose file is open.

use crate::model::{Edge, Track, TrackCaps, Unit};

use super::clockmap::ClockMap;
use super::piece::Piece;
use super::run::Run;
use super::tail::{Part, begins};

impl Run {
    /// What is in memory of the segments whose files are open, the oldest first.
    pub(super) fn edges(&self) -> Vec<Edge> {
        let inner = self.lock();
        // Under the run's own lock, so that no segment begins between the two.
        let parts = self.tail.parts();
        let audio = &inner.caps.audio;
        let edges = inner.pieces.iter().map(|piece| {
            let mut edge = edge_of(piece, &inner.map, &parts, &inner.caps);
            // The tap knows of pictures only; what writes sound tells of it.
            edge.caps.audio.clone_from(audio);
            edge
        });
        edges.collect()
    }
}

fn edge_of(piece: &Piece, map: &ClockMap, parts: &[Part], caps: &TrackCaps) -> Edge {
    let found = cut_out(parts, piece.first_pts, piece.last_pts);
    let (mut units, caps) = found.unwrap_or_else(|| (Vec::new(), caps.clone()));
    if let Some(end) = piece.ends_before {
        units.retain(|unit| unit.pts < end);
    }
    Edge {
        segment: piece.id,
        run: piece.origins.run,
        start: piece.start(map),
        first_pts: piece.first_pts,
        format: piece.format,
        caps,
        units,
        row: piece.segment(map),
        grows: !piece.is_finished(),
    }
}

/// The units of a segment whose first picture has the one time and whose last shown so far the other. The next segment
/// begins with a keyframe that is shown after all of this one, whether or not the segment has been told of it yet.
fn cut_out(parts: &[Part], first_pts: i64, last_pts: i64) -> Option<(Vec<Unit>, TrackCaps)> {
    let from = parts
        .iter()
        .position(|part| begins(&part.unit) && part.unit.pts >= first_pts)?;
    let next = |part: &&Part| begins(&part.unit) && part.unit.pts > last_pts;
    if parts.get(from).as_ref().is_some_and(next) {
        return None;
    }
    let end = parts.iter().find(next).map(|part| part.unit.pts);
    let until = parts.iter().position(|part| next(&part)).unwrap_or(parts.len());
    let caps = parts.get(from)?.looks.caps.clone();
    // Sound may come before or after the picture that it belongs to.
    let is_of_it = |at: usize, unit: &Unit| match unit.track {
        Track::Video => (from..until).contains(&at),
        Track::Audio => at > from && unit.pts >= first_pts && end.is_none_or(|end| unit.pts < end),
    };
    let units = parts.iter().enumerate().filter(|(at, part)| is_of_it(*at, &part.unit));
    Some((units.map(|(_, part)| part.unit.clone()).collect(), caps))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Codec, Timestamp, VideoFormat};
    use crate::record::tail::Looks;
    use std::sync::Arc;

    /// `K` is a keyframe, `p` another picture, `b` one that is shown before the one in front of it, `s` sound; a unit each
    /// 10 ns, the first at 0.
    fn parts(kinds: &str) -> Vec<Part> {
        let format = VideoFormat {
            codec: Codec::H264,
            width: 320,
            height: 180,
            fps: None,
        };
        let caps = TrackCaps::default();
        let looks = Arc::new(Looks { format, caps });
        let part = |(at, kind): (usize, char)| {
            let pts = at as i64 * 10;
            let unit = Unit {
                track: if kind == 's' { Track::Audio } else { Track::Video },
                pts: if kind == 'b' { pts - 15 } else { pts },
                dts: pts,
                duration: None,
                keyframe: kind == 'K' || kind == 's',
                payload: bytes::Bytes::new(),
            };
            let (number, session, wall) = (at as u64, 1, Timestamp::EPOCH);
            let looks = looks.clone();
            Part {
                number,
                session,
                wall,
                looks,
                unit,
            }
        };
        kinds.chars().enumerate().map(part).collect()
    }

    fn times(kinds: &str, first: i64, last: i64) -> Option<Vec<i64>> {
        let (units, _) = cut_out(&parts(kinds), first, last)?;
        Some(units.iter().map(|unit| unit.pts).collect())
    }

    #[test]
    fn a_segment_that_grows_is_taken_from_its_first_keyframe_on() {
        assert_eq!(times("KppKpp", 30, 50).unwrap(), [30, 40, 50]);
        assert_eq!(times("KppKpp", 0, 50).unwrap(), [0, 10, 20, 30, 40, 50]);
    }

    #[test]
    fn a_segment_whose_first_keyframes_are_not_in_memory_any_more_is_taken_from_the_oldest_that_is() {
        assert_eq!(times("KppKpp", -500, 50).unwrap(), [0, 10, 20, 30, 40, 50]);
    }

    #[test]
    fn a_segment_ends_before_the_keyframe_of_the_next_even_if_it_is_not_told_yet() {
        assert_eq!(times("KppKpp", 0, 20).unwrap(), [0, 10, 20]);
        // The last picture has come and is not counted yet.
        assert_eq!(times("Kpp", 0, 10).unwrap(), [0, 10, 20]);
        assert_eq!(times("KppKpp", 60, 60), None, "nothing of it is in memory");
        assert_eq!(times("KppKpp", -90, -30), None, "nothing of it is in memory any more");
        assert_eq!(times("", 0, 0), None);
    }

    #[test]
    fn pictures_that_are_shown_before_their_keyframe_belong_to_it() {
        assert_eq!(times("KpbKbp", 0, 10).unwrap(), [0, 10, 5]);
        assert_eq!(times("KpbKbp", 30, 50).unwrap(), [30, 25, 50]);
    }

    #[test]
    fn sound_belongs_to_the_pictures_of_its_time_whenever_it_came() {
        assert_eq!(times("KspsKsps", 0, 20).unwrap(), [0, 10, 20, 30]);
        assert_eq!(times("KspsKsps", 40, 60).unwrap(), [40, 50, 60, 70]);
    }
}
