//! A programme being played: which packets are due now.

use std::time::{Duration, Instant};

use crate::model::{Span, Timestamp};

use super::super::options::VideoCodec;
use super::clock::CameraClock;
use super::options::{ReportTimes, Speed};
use super::packets::{Extension, Packets};
use super::programme::{Break, Programme};

/// A sender report is sent after so much footage.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// How it is to be played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) codec: VideoCodec,
    pub(super) speed: Speed,
    pub(super) reports: ReportTimes,
    /// Whether packets carry the ONVIF extension, and the number of the PLAY request in it.
    pub(super) onvif: Option<u8>,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send these: RTP packets and RTCP packets, in their order.
    Send(Vec<Packet>),
    /// Nothing, for ever.
    Silence,
    /// Close the connection.
    Close,
}

/// A packet on one of the two channels.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Media(Vec<u8>),
    Report(Vec<u8>),
}

/// Plays a programme.
#[derive(Debug)]
pub(super) struct Player {
    programme: Programme,
    manner: Manner,
    packets: Packets,
    next: usize,
    started: Instant,
    reported: Option<Timestamp>,
    is_over: bool,
}

impl Player {
    /// Starts now. `fallback` is the time that an empty programme stands for.
    pub(super) fn start(programme: Programme, manner: Manner, fallback: Timestamp) -> Self {
        let origin = programme.numbers.first().map_or(fallback, |number| number.unit.taken());
        Self {
            packets: Packets::new(manner.codec, origin),
            programme,
            manner,
            next: 0,
            started: Instant::now(),
            reported: None,
            is_over: false,
        }
    }

    /// The number of the first packet and its RTP time.
    pub(super) fn first(&self) -> (u16, u32) {
        self.packets.start()
    }

    /// From its first picture to its last, in truth.
    pub(super) fn extent(&self) -> Option<Span> {
        self.programme.extent()
    }

    /// How long until something is due; `None` when nothing will be.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.is_over {
            return None;
        }
        let speed = match self.manner.speed {
            Speed::Unlimited => return Some(Duration::ZERO),
            Speed::RealTime => 1,
            Speed::Times(speed) => speed.max(1),
        };
        let numbers = &self.programme.numbers;
        let (Some(first), Some(next)) = (numbers.first(), numbers.get(self.next).or(numbers.last())) else {
            return Some(Duration::ZERO);
        };
        let at = next.unit.taken().since(first.unit.taken()) / speed;
        Some((self.started + at).saturating_duration_since(Instant::now()))
    }

    /// Does what is due.
    pub(super) fn step(&mut self, clock: &CameraClock) -> Step {
        if self.is_over {
            return Step::Silence;
        }
        if let Some((at, how)) = self.programme.breaks
            && at <= self.next
        {
            self.is_over = true;
            return match how {
                Break::Hang => Step::Silence,
                Break::Close => Step::Close,
            };
        }
        let mut sent = Vec::new();
        match self.programme.numbers.get(self.next).cloned() {
            Some(number) => {
                let is_last = self.next + 1 == self.programme.numbers.len() && self.programme.says_farewell;
                let taken = number.unit.taken();
                if self.reported.is_none_or(|last| taken.since(last) >= REPORT_EVERY) {
                    self.reported = Some(taken);
                    sent.push(self.report(taken, clock, false));
                }
                let extension = self.manner.onvif.map(|cseq| Extension {
                    time: clock.tell(taken),
                    clean: number.unit.frame.keyframe,
                    end: number.is_end && self.programme.says_farewell,
                    discontinuity: number.is_beginning,
                    terminal: is_last,
                    cseq,
                });
                let mut media = match number.unit.buffer.map_readable() {
                    Ok(bytes) => self.packets.cut(&bytes, taken, extension),
                    Err(_) => Vec::new(),
                };
                if self.programme.is_noise {
                    media.iter_mut().for_each(|packet| spoil(packet, extension.is_some()));
                }
                sent.extend(media.into_iter().map(Packet::Media));
                self.next += 1;
            }
            None => {
                self.is_over = true;
                if !self.programme.says_farewell {
                    return Step::Silence;
                }
                let last = self.programme.numbers.last();
                let taken = last.map_or_else(|| self.packets.origin(), |number| number.unit.taken());
                if let (None, Some(cseq)) = (last, self.manner.onvif) {
                    let nothing = Extension {
                        time: clock.tell(taken),
                        clean: false,
                        end: true,
                        discontinuity: false,
                        terminal: true,
                        cseq,
                    };
                    sent.push(Packet::Media(self.packets.empty(taken, nothing)));
                }
                sent.push(self.report(taken, clock, true));
            }
        }
        Step::Send(sent)
    }

    fn report(&self, taken: Timestamp, clock: &CameraClock, farewell: bool) -> Packet {
        let told = match self.manner.reports {
            ReportTimes::Recorded => clock.tell(taken),
            ReportTimes::Sent => clock.now(),
        };
        Packet::Report(self.packets.report(taken, told, farewell))
    }
}

/// Noise where the picture was; the headers stay what they are.
fn spoil(packet: &mut [u8], has_extension: bool) {
    let from = if has_extension { 28 } else { 12 };
    packet.iter_mut().skip(from).for_each(|byte| *byte = fastrand::u8(..));
}
