//! The last door before the network: nothing leaves that was taken before a client said PLAY.
//!
//! gst-rtsp-server runs a live pipeline from DESCRIBE on and holds it up at its exit until PLAY. What waited
//! there is old when it is let go, and a recorder that trusts arrival times would date it wrongly; no real
//! camera sends it. So it is thrown away here, and the RTP sequence numbers behind it are moved up, because a
//! client knows from the reply to PLAY which number comes first and would wait for the missing ones.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

use super::options::Microphone;
use super::stream::SentFrame;

/// So many frames may be on their way through the encoder; older ones will not come out any more.
const MOST_UNDER_WAY: usize = 256;

/// What is known about a frame from its picture to its first packet.
struct UnderWay {
    at: gst::ClockTime,
    frame: SentFrame,
}

#[derive(Default)]
struct Inner {
    play_from: Option<gst::ClockTime>,
    under_way: VecDeque<UnderWay>,
    exits: Vec<Exit>,
}

/// One RTP stream out of the door.
#[derive(Default, Clone, Copy)]
struct Exit {
    open: bool,
    thrown_away: u16,
    last: Option<gst::ClockTime>,
}

/// What becomes of a packet.
enum Verdict {
    ThrowAway,
    /// The same, and it was the keyframe that the client waits for: it was under way when PLAY came.
    MissKey,
    /// Let go, with the sequence number moved up by so many.
    LetGo(u16),
}

/// The door of one media pipeline, for its video (exit 0) and its sound (exit 1).
#[derive(Default)]
pub(super) struct Gate {
    inner: Mutex<Inner>,
    /// Whether the first frame a client sees has to be a keyframe.
    wait_for_key: bool,
    microphone: Microphone,
}

impl Gate {
    pub(super) fn new(wait_for_key: bool, microphone: Microphone) -> Self {
        Self {
            wait_for_key,
            microphone,
            ..Self::default()
        }
    }

    /// A door that nobody has to open: behind an encoder that runs for no client.
    pub(super) fn open() -> Self {
        let open = Exit {
            open: true,
            ..Exit::default()
        };
        let gate = Self::default();
        gate.lock().exits.push(open);
        gate
    }

    /// A client said PLAY: what is taken from now on may leave.
    pub(super) fn play_from(&self, now: gst::ClockTime) {
        let mut inner = self.lock();
        inner.play_from.get_or_insert(now);
    }

    /// Whether video leaves.
    pub(super) fn is_open(&self) -> bool {
        self.lock().exits.first().is_some_and(|exit| exit.open)
    }

    /// A frame was taken and goes into the encoder.
    pub(super) fn taken(&self, at: gst::ClockTime, frame: SentFrame) {
        let mut inner = self.lock();
        if inner.under_way.len() == MOST_UNDER_WAY {
            inner.under_way.pop_front();
        }
        inner.under_way.push_back(UnderWay { at, frame });
    }

    /// Takes out what is known about a frame that came out of the encoder.
    pub(super) fn take_out(&self, at: gst::ClockTime) -> Option<SentFrame> {
        let mut inner = self.lock();
        let found = inner.under_way.iter().position(|it| it.at == at)?;
        inner.under_way.remove(found).map(|it| it.frame)
    }

    /// Learns at the exit of the encoder which frames became keyframes.
    pub(super) fn watch_encoder(self: &std::sync::Arc<Self>, pad: &gst::Pad) {
        let gate = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer() {
                let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                if let (true, Some(at)) = (key, running_time(pad, buffer)) {
                    let mut inner = gate.lock();
                    if let Some(found) = inner.under_way.iter_mut().find(|it| it.at == at) {
                        found.frame.keyframe = true;
                    }
                }
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Stands at the exit of one RTP stream; `sent` hears of each video frame whose first packet leaves.
    pub(super) fn watch_exit(
        self: &std::sync::Arc<Self>,
        number: usize,
        pad: &gst::Pad,
        sent: impl Fn(SentFrame) + Send + Sync + 'static,
        ask_key: impl Fn() + Send + Sync + 'static,
    ) {
        let gate = self.clone();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |pad, info| {
            let (first, packets) = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => (running_time(pad, buffer), 1),
                Some(gst::PadProbeData::BufferList(list)) => {
                    (list.get(0).and_then(|buffer| running_time(pad, buffer)), list.len())
                }
                _ => return gst::PadProbeReturn::Ok,
            };
            let (verdict, left) = gate.judge(number, first, packets as u16);
            left.into_iter().for_each(&sent);
            match verdict {
                // `Drop` would have GStreamer 1.22 free what the binding has freed already, and complain each time.
                Verdict::ThrowAway => gst::PadProbeReturn::Handled,
                Verdict::MissKey => {
                    ask_key();
                    gst::PadProbeReturn::Handled
                }
                Verdict::LetGo(by) => {
                    let spoil = (number == 1).then_some(gate.microphone);
                    let change = |packet: &mut gst::BufferRef| {
                        move_up(packet, by);
                        spoil.into_iter().for_each(|microphone| damage(packet, microphone));
                    };
                    match &mut info.data {
                        Some(gst::PadProbeData::Buffer(buffer)) => change(buffer.make_mut()),
                        Some(gst::PadProbeData::BufferList(list)) => {
                            let list = list.make_mut();
                            (0..list.len()).for_each(|n| {
                                if let Some(buffer) = list.get_mut(n) {
                                    change(buffer);
                                }
                            });
                        }
                        _ => {}
                    }
                    gst::PadProbeReturn::Ok
                }
            }
        });
    }

    fn judge(&self, number: usize, at: Option<gst::ClockTime>, packets: u16) -> (Verdict, Option<SentFrame>) {
        let mut inner = self.lock();
        if inner.exits.len() <= number {
            inner.exits.resize(number + 1, Exit::default());
        }
        let mut exit = inner.exits[number];
        let mut missed = false;
        let found = inner.under_way.iter().position(|it| number == 0 && Some(it.at) == at);
        if !exit.open {
            let late_enough = matches!((at, inner.play_from), (Some(at), Some(from)) if at >= from);
            let is_key = found.is_some_and(|n| inner.under_way[n].frame.keyframe);
            exit.open = late_enough && (number != 0 || is_key || !self.wait_for_key);
            missed = self.wait_for_key && is_key && !late_enough && inner.play_from.is_some() && exit.last != at;
        }
        let played = at.zip(inner.play_from).and_then(|(at, from)| at.checked_sub(from));
        let is_silent = number == 1 && played.is_some_and(|played| self.microphone.is_silent(played.into()));
        let mut left = None;
        let verdict = if exit.open && !is_silent {
            if exit.last != at {
                left = found.and_then(|n| inner.under_way.remove(n)).map(|it| it.frame);
            }
            exit.last = at;
            Verdict::LetGo(exit.thrown_away)
        } else {
            exit.thrown_away = exit.thrown_away.wrapping_add(packets);
            exit.last = at;
            if missed { Verdict::MissKey } else { Verdict::ThrowAway }
        };
        inner.exits[number] = exit;
        (verdict, left)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Encoders may move timestamps and segment together; only the running time stays what it was at the source.
fn running_time(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(buffer.pts()?)
}

/// Makes of a packet what a broken microphone makes of it: its timestamp stands in bytes 4 to 7, its sound behind 12.
fn damage(packet: &mut gst::BufferRef, microphone: Microphone) {
    let (from, length) = match microphone {
        Microphone::Noise => (12, packet.size().saturating_sub(12)),
        Microphone::Wild => (4, 4),
        _ => return,
    };
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect();
    if packet.copy_from_slice(from, &noise).is_err() {
        tracing::debug!("the demo camera sent a packet that is too short to be damaged");
    }
}

/// The sequence number stands in bytes 2 and 3 of an RTP packet.
fn move_up(packet: &mut gst::BufferRef, by: u16) {
    if by == 0 {
        return;
    }
    let mut number = [0; 2];
    if packet.copy_to_slice(2, &mut number).is_ok() {
        let moved = u16::from_be_bytes(number).wrapping_sub(by).to_be_bytes();
        if packet.copy_from_slice(2, &moved).is_err() {
            tracing::debug!("the demo camera sent a packet that is too short for RTP");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(gate: &Gate, ms: u64, keyframe: bool) {
        gate.taken(
            gst::ClockTime::from_mseconds(ms),
            SentFrame {
                counter: ms as u32,
                time_us: ms * 1000,
                keyframe,
            },
        );
    }

    fn leave(gate: &Gate, ms: u64) -> Option<(u16, Option<u32>)> {
        match gate.judge(0, Some(gst::ClockTime::from_mseconds(ms)), 3) {
            (Verdict::ThrowAway | Verdict::MissKey, _) => None,
            (Verdict::LetGo(by), frame) => Some((by, frame.map(|it| it.counter))),
        }
    }

    #[test]
    fn only_a_keyframe_taken_after_play_opens_the_gate() {
        let gate = Gate::new(true, Microphone::Works);
        for (ms, key) in [(0, true), (40, false), (80, false), (120, true), (160, false)] {
            taken(&gate, ms, key);
        }
        assert_eq!(leave(&gate, 0), None, "before PLAY");
        gate.play_from(gst::ClockTime::from_mseconds(50));
        assert_eq!(leave(&gate, 40), None, "taken before PLAY");
        assert_eq!(leave(&gate, 80), None, "not a keyframe");
        assert_eq!(
            leave(&gate, 120),
            Some((9, Some(120))),
            "three times three packets were thrown away"
        );
        assert_eq!(
            leave(&gate, 120),
            Some((9, None)),
            "the second packet of a frame is no second frame"
        );
        assert_eq!(leave(&gate, 160), Some((9, Some(160))));
    }

    #[test]
    fn a_keyframe_that_was_under_way_when_play_came_is_asked_for_again_once() {
        let gate = Gate::new(true, Microphone::Works);
        for ms in [0, 40] {
            taken(&gate, ms, true);
        }
        let judge = |ms| gate.judge(0, Some(gst::ClockTime::from_mseconds(ms)), 1).0;
        assert!(matches!(judge(0), Verdict::ThrowAway), "nobody waits for it yet");
        gate.play_from(gst::ClockTime::from_mseconds(50));
        assert!(matches!(judge(40), Verdict::MissKey));
        assert!(matches!(judge(40), Verdict::ThrowAway), "its second packet");
    }

    #[test]
    fn a_camera_that_makes_no_keyframe_for_a_client_starts_where_it_is() {
        let gate = Gate::new(false, Microphone::Works);
        gate.play_from(gst::ClockTime::from_mseconds(50));
        taken(&gate, 80, false);
        assert_eq!(leave(&gate, 80), Some((0, Some(80))));
    }
}
