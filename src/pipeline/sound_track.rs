//! Which packet of sound goes into the branch that writes, and what is told in place of one that does not come.
//!
//! splitmuxsink waits for every track to reach the end of a group of pictures. Pictures must never wait for sound, so
//! sound that is silent is stood in for by gaps that follow the pictures. All of it is arithmetic on running times.

use std::collections::VecDeque;

use crate::model::Unit;

const SECOND: i64 = 1_000_000_000;
/// So long nothing may come before it is looked at closely; a stalled network brings sound and pictures again together.
const QUIET: i64 = SECOND;
/// And so long while pictures come.
const PATIENCE: i64 = SECOND / 2;
/// A gap ends so long before where sound would be by now, so that sound that comes back finds its place.
const MARGIN: i64 = SECOND / 2;
/// Sound that was not heard for so long has ended.
const DEAD: i64 = 10 * SECOND;
/// Sound that was heard within this goes on.
const ALIVE: i64 = 2 * SECOND;
/// Pictures wait at most so long for sound that comes late.
const MOST_BEHIND: i64 = 3 * SECOND;
/// Packets may overlap by so much; times of packets are rounded.
const OVERLAP: i64 = SECOND / 200;
/// A packet's length when nobody says it.
const UNKNOWN_PACKET: i64 = SECOND / 50;
/// Bytes that wait for a branch that takes sound: the longest pre-roll of good sound.
const MOST_WAITING: usize = 12 << 20;

/// What goes into the branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Sound.
    Unit(Unit),
    /// There is no sound from here, for so long.
    Gap(i64, i64),
}

/// The sound of a recording on its way into the branch that is on.
#[derive(Debug, Default)]
pub(super) struct SoundTrack {
    /// Whether the branch takes sound.
    wired: bool,
    /// Pictures go into the branch since this time; nothing while none are wanted.
    open_from: Option<i64>,
    waiting: VecDeque<Unit>,
    waiting_bytes: usize,
    /// Up to here the branch has sound, or was told that there is none.
    fed_to: i64,
    /// The newest unit that it has.
    last_pts: Option<i64>,
    /// Where the newest that came ended, also one that was too late, and how far the pictures were then.
    last_end: i64,
    video_at_last: i64,
    /// By the clock of the pipeline: when a unit last went in, when sound was last heard at all, and since when its
    /// absence is watched.
    fed_at: i64,
    heard_at: Option<i64>,
    watched_from: Option<i64>,
    video: i64,
}

impl SoundTrack {
    /// Sound came. What goes into the branch at once is given.
    pub(super) fn unit(&mut self, unit: Unit, now: i64) -> Option<Piece> {
        self.heard_at = Some(now);
        if self.wired && self.open_from.is_some() {
            return self.accept(unit, now);
        }
        self.waiting_bytes += unit.payload.len();
        self.waiting.push_back(unit);
        while self.waiting_bytes > MOST_WAITING {
            let gone = self.waiting.pop_front().map_or(0, |unit| unit.payload.len());
            self.waiting_bytes -= gone;
        }
        None
    }

    /// Another branch is on, whose pictures begin at `from`; it takes sound or does not. What waited for it is given.
    pub(super) fn begin(&mut self, takes_sound: bool, from: i64, now: i64) -> Vec<Piece> {
        self.wired = takes_sound;
        self.fed_to = from;
        self.last_pts = None;
        self.last_end = from;
        self.video_at_last = self.video.max(from);
        self.fed_at = now;
        self.watched_from = None;
        self.open_from = Some(self.open_from.map_or(from, |open| open.max(from)));
        self.release(now)
    }

    /// A picture went into the branch. What waited for it is given, and what stands in for sound that does not come.
    pub(super) fn picture_passed(&mut self, pts: i64, dts: i64, now: i64) -> Vec<Piece> {
        self.video = dts;
        let mut pieces = Vec::new();
        if self.open_from.is_none() {
            self.open_from = Some(pts);
            self.fed_to = self.fed_to.max(pts);
            self.last_end = self.fed_to;
            (self.video_at_last, self.fed_at, self.watched_from) = (dts, now, None);
            pieces = self.release(now);
        }
        pieces.extend(self.stand_in(now));
        pieces
    }

    /// A picture came that is not wanted: neither is the sound from here on.
    pub(super) fn picture_dropped(&mut self, dts: i64) {
        self.video = dts;
        self.open_from = None;
    }

    /// Sound from before this is not wanted any more: the oldest picture that is held is newer.
    pub(super) fn forget_before(&mut self, pts: i64) {
        while let Some(unit) = self.waiting.front().filter(|unit| unit.pts < pts) {
            self.waiting_bytes -= unit.payload.len();
            self.waiting.pop_front();
        }
    }

    /// Whether sound comes at present.
    pub(super) fn is_alive(&self, now: i64) -> bool {
        self.heard_at.is_some_and(|at| now.saturating_sub(at) <= ALIVE)
    }

    /// Whether it has ended, for all that anybody can say.
    pub(super) fn is_dead(&self, now: i64) -> bool {
        self.heard_at.is_none_or(|at| now.saturating_sub(at) > DEAD)
    }

    fn release(&mut self, now: i64) -> Vec<Piece> {
        if !self.wired {
            return Vec::new();
        }
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().filter_map(|unit| self.accept(unit, now)).collect()
    }

    fn accept(&mut self, unit: Unit, now: i64) -> Option<Piece> {
        let from = self.open_from?;
        let goes_forward = self.last_pts.is_none_or(|last| unit.pts > last);
        // Whoever believes a packet that it lasts an hour waits for nothing else in that hour.
        let lasts = unit.duration.and_then(|nanos| i64::try_from(nanos).ok());
        let lasts = lasts.filter(|lasts| *lasts <= SECOND);
        let end = unit.pts.saturating_add(lasts.unwrap_or(UNKNOWN_PACKET));
        self.video_at_last = self.video;
        self.last_end = end.max(self.video.saturating_sub(MOST_BEHIND));
        // What begins before the first picture would delay the pictures in the file.
        if unit.pts < from || unit.pts.saturating_add(OVERLAP) < self.fed_to || !goes_forward {
            return None;
        }
        self.last_pts = Some(unit.pts);
        self.fed_to = self.fed_to.max(end);
        self.fed_at = now;
        self.watched_from = None;
        Some(Piece::Unit(unit))
    }

    /// Sound that does not come must not hold up the pictures.
    fn stand_in(&mut self, now: i64) -> Option<Piece> {
        if !self.wired || now.saturating_sub(self.fed_at) < QUIET {
            return None;
        }
        let since = *self.watched_from.get_or_insert(now);
        if now.saturating_sub(since) < PATIENCE {
            return None;
        }
        let passed = self.video.saturating_sub(self.video_at_last);
        let until = self
            .last_end
            .saturating_add(passed)
            .min(self.video)
            .saturating_sub(MARGIN);
        // Not one for every picture.
        if until.saturating_sub(self.fed_to) < MARGIN / 2 {
            return None;
        }
        let from = std::mem::replace(&mut self.fed_to, until);
        Some(Piece::Gap(from, until - from))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Track;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn unit(ms: i64) -> Unit {
        Unit {
            track: Track::Audio,
            pts: ms * MS,
            dts: ms * MS,
            duration: Some(64_000_000),
            keyframe: true,
            payload: vec![0; 100].into(),
        }
    }

    /// Up to where a branch knows of its sound.
    fn reached(pieces: &[Piece]) -> Option<i64> {
        pieces.last().map(|piece| match piece {
            Piece::Unit(unit) => unit.pts + 64 * MS,
            Piece::Gap(from, lasts) => from + lasts,
        })
    }

    #[test]
    fn a_packet_that_is_said_to_last_for_hours_keeps_nothing_waiting() {
        let mut track = SoundTrack::default();
        track.begin(true, 0, 0);
        let mut wild = unit(0);
        wild.duration = Some(5 * 3_600_000_000_000);
        assert!(track.unit(wild, 0).is_some());
        assert_eq!(track.unit(unit(64), 64 * MS), Some(Piece::Unit(unit(64))));
        let pictures = (100..6000).step_by(40);
        let pieces: Vec<Piece> = pictures
            .flat_map(|ms| track.picture_passed(ms * MS, ms * MS, ms * MS))
            .collect();
        assert!(reached(&pieces).is_some_and(|to| to > 4500 * MS), "{pieces:?}");
    }

    #[test]
    fn what_came_before_the_branch_waits_and_what_came_before_its_pictures_is_left_out() {
        let mut track = SoundTrack::default();
        for ms in [100, 164, 228] {
            assert_eq!(track.unit(unit(ms), ms), None);
        }
        assert_eq!(track.begin(false, 150 * MS, 300 * MS), []);
        let pieces = track.begin(true, 150 * MS, 300 * MS);
        assert_eq!(pieces, [Piece::Unit(unit(164)), Piece::Unit(unit(228))]);
        assert_eq!(track.unit(unit(228), 310 * MS), None, "no packet goes twice");
        assert_eq!(track.unit(unit(292), 320 * MS), Some(Piece::Unit(unit(292))));
    }

    #[test]
    fn sound_that_ends_is_stood_in_for_and_finds_its_place_when_it_comes_back() {
        let mut track = SoundTrack::default();
        track.begin(true, 0, 0);
        for ms in (0..2000).step_by(64) {
            assert!(track.unit(unit(ms), ms * MS).is_some());
        }
        let mut pieces = Vec::new();
        for ms in (2000..6000).step_by(40) {
            pieces.extend(track.picture_passed(ms * MS, ms * MS, ms * MS));
            if ms > 4000 {
                let behind = ms * MS - reached(&pieces).unwrap();
                assert!(behind < 1_000 * MS, "{behind}");
            }
        }
        assert!(pieces.iter().all(|piece| matches!(piece, Piece::Gap(..))));
        assert!(pieces.len() < 20, "not one for every picture: {}", pieces.len());
        assert_eq!(track.unit(unit(2100), 6_000 * MS), None);
        assert!(track.unit(unit(6000), 6_010 * MS).is_some());
        assert!(track.is_alive(7_000 * MS) && !track.is_dead(7_000 * MS));
        assert!(track.is_dead(17_000 * MS));
    }

    #[test]
    fn sound_that_comes_later_than_it_used_to_is_back_after_a_moment() {
        let mut track = SoundTrack::default();
        track.begin(true, 0, 0);
        let (mut lost, mut late) = (0, 0);
        for step in 0..400 {
            let ms = step * 64;
            track.picture_passed(ms * MS, ms * MS, ms * MS);
            late = if step < 100 { 0 } else { 1500 };
            lost += i64::from(track.unit(unit(ms - late), ms * MS).is_none() && step > 0);
        }
        assert!(late > 0 && lost < 80, "{lost} of 400 packets were lost");
    }

    #[test]
    fn a_network_that_stood_still_for_both_costs_no_sound() {
        let mut track = SoundTrack::default();
        track.begin(true, 0, 0);
        track.picture_passed(0, 0, 0);
        assert!(track.unit(unit(0), 0).is_some());
        // Three seconds later everything comes at once, pictures first.
        for ms in (40..3000).step_by(40) {
            assert_eq!(track.picture_passed(ms * MS, ms * MS, 3_000 * MS), []);
        }
        for ms in (64..3000).step_by(64) {
            assert!(track.unit(unit(ms), 3_010 * MS).is_some());
        }
    }

    #[test]
    fn no_more_sound_waits_than_pictures() {
        let mut track = SoundTrack::default();
        track.picture_dropped(0);
        for ms in (0..600_000).step_by(64) {
            assert_eq!(track.unit(unit(ms), ms * MS), None);
            track.forget_before((ms - 10_000) * MS);
            assert!(track.waiting.len() <= 158 && track.waiting_bytes == 100 * track.waiting.len());
        }
        let pieces = track.begin(true, 590_000 * MS, 600_000 * MS);
        assert_eq!((track.waiting_bytes, pieces.len()), (0, 156));
    }

    #[test]
    fn sound_of_pictures_that_are_not_wanted_is_kept_for_those_that_are() {
        let mut track = SoundTrack::default();
        track.begin(true, 0, 0);
        track.picture_dropped(1_000 * MS);
        for ms in (1000..3000).step_by(64) {
            assert_eq!(track.unit(unit(ms), ms * MS), None);
        }
        let pieces = track.picture_passed(2_000 * MS, 2_000 * MS, 3_000 * MS);
        assert_eq!(pieces.first(), Some(&Piece::Unit(unit(2024))));
        assert_eq!(pieces.len(), 16);
    }

    proptest! {
        #[test]
        fn whatever_comes_goes_forward_and_no_picture_waits_for_long(
            sound in proptest::collection::vec((0i64..10_000, -20_000i64..20_000), 0..400)
        ) {
            let mut track = SoundTrack::default();
            let (mut pieces, mut sound) = (track.begin(true, 0, 0), sound.into_iter());
            let mut next = sound.next();
            let mut clock = 0;
            for ms in (0..20_000).step_by(40) {
                pieces.extend(track.picture_passed(ms * MS, ms * MS, ms * MS));
                while let Some((wait, off)) = next.filter(|(wait, _)| clock + wait <= ms) {
                    clock += wait;
                    pieces.extend(track.unit(unit((clock + off).max(0)), ms * MS));
                    next = sound.next();
                }
                let reached = pieces.iter().map(|piece| reached(std::slice::from_ref(piece)).unwrap()).max().unwrap_or(0);
                prop_assert!(ms * MS - reached < 6_000 * MS);
            }
            let starts: Vec<i64> = pieces.iter().filter_map(|piece| match piece {
                Piece::Unit(unit) => Some(unit.pts),
                Piece::Gap(..) => None,
            }).collect();
            prop_assert!(starts.is_sorted_by(|a, b| a < b));
        }
    }
}
