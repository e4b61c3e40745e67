//! The branches of a recording: the one that is on, those that are closing their files, and the sound on its way to them.

use gstreamer as gst;

use crate::model::Unit;

use super::branch::Branch;
use super::sound_track::{Piece, SoundTrack};

/// How long the first branch waits for the first sound, in running time: the first is heard out before it is placed.
const WAIT_FOR_SOUND: i64 = 1_900_000_000;
/// How long a branch that is over waits for the last of its sound.
const WAIT_FOR_REST: i64 = 1_000_000_000;
/// A branch that is over has closed its file by then.
const CLOSED: i64 = 10_000_000_000;

/// All of them, behind one lock.
#[derive(Default)]
pub(super) struct Branches {
    /// The branch that is on; nothing between two.
    pub(super) on: Option<Branch>,
    /// Those before, which may still be closing their files, and when they were exchanged.
    pub(super) closing: Vec<(Branch, i64)>,
    /// What the pictures are like that it takes.
    pub(super) caps: Option<gst::Caps>,
    /// The camera has promised sound of which nothing has come yet.
    pub(super) is_sound_promised: bool,
    /// When the first picture came, in running time, whatever became of it.
    pub(super) pictures_since: Option<i64>,
    /// What sound is like that comes at present.
    pub(super) sound_caps: Option<gst::Caps>,
    /// The sound that the feed knows of: that of the branch that is on.
    pub(super) announced: Option<String>,
    pub(super) track: SoundTrack,
    /// Sound that is in the branch already, whose segment the feed begins with the next picture.
    pub(super) untold: Vec<Unit>,
    /// Where the last branch ended, while none is on.
    pub(super) stopped_at: Option<i64>,
    pub(super) over: bool,
}

/// What the feed is to be told, once nobody holds a lock.
#[derive(Default)]
pub(super) struct Telling {
    pub(super) caps: Option<Option<String>>,
    pub(super) units: Vec<Unit>,
}

impl Branches {
    /// What sound is like, unless it has fallen silent.
    pub(super) fn sound_that_lives(&self, now: i64) -> Option<&gst::Caps> {
        self.sound_caps.as_ref().filter(|_| self.track.is_alive(now))
    }

    /// Sound that the branch that is on cannot take.
    pub(super) fn sound_that_joins(&self, now: i64) -> Option<gst::Caps> {
        let on = self.on.as_ref().filter(|branch| branch.held.is_none())?;
        on.from?;
        let caps = self.sound_that_lives(now)?;
        (self.announced.as_deref() != Some(caps.to_string().as_str())).then(|| caps.clone())
    }

    /// Since when sound is waited for that was promised; nothing when there is nothing to wait for, or no longer. It is the first
    /// picture from which on the wait counts, not the first that is wanted: whoever was silent so long is not about to speak, and
    /// what is held of long ago does not fit into a branch that waits.
    pub(super) fn sound_is_due_since(&self, now: i64) -> Option<i64> {
        let is_due = self.is_sound_promised && !self.over;
        let since = self.pictures_since.filter(|_| is_due)?;
        (now.saturating_sub(since) < WAIT_FOR_SOUND).then_some(since)
    }

    /// Decides whether the first branch has sound, as soon as that can be known.
    pub(super) fn decide(&mut self, now: i64, telling: &mut Telling) {
        let Some(branch) = &mut self.on else { return };
        let Some((from, since)) = branch.from.zip(branch.held.as_ref().and_then(|held| held.since)) else {
            return;
        };
        match &self.sound_caps {
            Some(caps) => {
                let takes_sound = branch.add_sound(caps);
                if let Some(sound) = &branch.sound {
                    sound.file_begins(from);
                }
                branch.let_go();
                if takes_sound {
                    self.announced = Some(caps.to_string());
                    telling.caps = Some(self.announced.clone());
                }
                let pieces = self.track.begin(takes_sound, from, now);
                self.feed_sound(pieces, telling);
            }
            None if now.saturating_sub(since) >= WAIT_FOR_SOUND => branch.let_go(),
            None => {}
        }
    }

    pub(super) fn feed_sound(&self, pieces: Vec<Piece>, telling: &mut Telling) {
        let Some(sound) = self.on.as_ref().and_then(|branch| branch.sound.as_ref()) else {
            return;
        };
        for piece in pieces {
            sound.push(&piece);
            if let Piece::Unit(unit) = piece {
                telling.units.push(unit);
            }
        }
    }

    /// The branch that is on is over: it still writes what it has.
    pub(super) fn put_off(&mut self, now: i64) {
        for (branch, _) in self
            .closing
            .extract_if(.., |(_, since)| now.saturating_sub(*since) >= CLOSED)
        {
            branch.remove();
        }
        // Only the last of them may still wait for sound.
        self.end_closing();
        self.closing.iter_mut().for_each(|(branch, _)| branch.end_sound());
        let Some(mut branch) = self.on.take() else { return };
        branch.take_off();
        if branch.from.is_none() {
            return branch.remove();
        }
        self.closing.push((branch, now));
        // Whoever changes so fast that three files are being closed gives the oldest no more time.
        while self.closing.len() > 2 {
            self.closing.remove(0).0.remove();
        }
    }

    /// Tells branches that are over so. Not before the feed knows of what follows: it goes by the order of things.
    pub(super) fn end_closing(&mut self) {
        self.closing.iter_mut().for_each(|(branch, _)| branch.end());
    }

    /// The sound of a branch that is over comes late, but not for ever.
    pub(super) fn end_rests(&mut self, now: i64) {
        for (branch, since) in &mut self.closing {
            if now.saturating_sub(*since) >= WAIT_FOR_REST {
                branch.end_sound();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_waited_for_once_and_from_the_first_picture_on() {
        let mut branches = Branches::default();
        assert_eq!(branches.sound_is_due_since(0), None, "nobody promised any");
        branches.is_sound_promised = true;
        assert_eq!(branches.sound_is_due_since(0), None, "nothing came yet that could wait");
        branches.pictures_since = Some(7);
        assert_eq!(branches.sound_is_due_since(8), Some(7));
        assert_eq!(branches.sound_is_due_since(7 + WAIT_FOR_SOUND), None);
        branches.over = true;
        assert_eq!(branches.sound_is_due_since(8), None, "nobody would end the wait");
    }
}
