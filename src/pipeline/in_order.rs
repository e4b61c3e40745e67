//! Packets put in order, and dated by the camera's ticks. Pure: who gives packets says when it is.
//!
//! Inside one connection packets are in order, but for those of a camera, or a relay before it, that hands on what it got out
//! of order. So one that comes too early is held for a moment, until those before it came or until they will not.

use std::collections::VecDeque;
use std::time::Duration;

use crate::runtime::Instant;

use super::ntp;
use super::reception::{Head, SENDER_REPORT};

/// A number so far ahead is not one before which others are missing: the camera counts anew.
const FURTHEST: u16 = 3000;
/// A number so little behind is one that came already or too late; further behind, the camera counts anew.
const LATEST: u16 = 200;
/// More packets than this do not wait: a keyframe of a large picture, twice.
const MOST_HELD: usize = 2000;

/// Puts packets in the order of their numbers.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    /// The number of the packet that comes next.
    next: Option<u16>,
    /// Those that came too early, in order, and when.
    held: VecDeque<(u16, Instant, T)>,
    /// One whose number fits to nothing. If the next one fits to it, the camera counts anew.
    stray: Option<(u16, T)>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self {
            next: None,
            held: VecDeque::new(),
            stray: None,
        }
    }
}

impl<T> InOrder<T> {
    /// Takes a packet that came `now`, and hands on what is in order now. Those that are missing are waited for no longer
    /// than `patience`.
    pub(super) fn take(&mut self, number: u16, packet: T, now: Instant, patience: Duration, mut on: impl FnMut(T)) {
        let ahead = number.wrapping_sub(*self.next.get_or_insert(number));
        if ahead == 0 {
            self.stray = None;
            self.next = Some(number.wrapping_add(1));
            on(packet);
        } else if ahead <= FURTHEST {
            self.stray = None;
            self.hold(number, packet, now);
        } else if ahead > u16::MAX - LATEST {
            // It came already, or it is waited for no more.
            return;
        } else {
            self.begin_anew(number, packet, &mut on);
        }
        self.release(now, patience, &mut on);
    }

    /// The number that is next, when nothing is missing before it.
    pub(super) fn awaits(&self) -> Option<u16> {
        self.next.filter(|_| self.held.is_empty())
    }

    /// The packet that is next came, and goes another way.
    pub(super) fn pass(&mut self) {
        self.next = self.next.map(|next| next.wrapping_add(1));
        self.stray = None;
    }

    /// Hands on what is held: nothing more comes.
    pub(super) fn end(&mut self, mut on: impl FnMut(T)) {
        self.held.drain(..).for_each(|(_, _, packet)| on(packet));
        *self = Self::default();
    }

    fn hold(&mut self, number: u16, packet: T, now: Instant) {
        let next = self.next.unwrap_or(number);
        let place = self
            .held
            .partition_point(|(other, _, _)| other.wrapping_sub(next) < number.wrapping_sub(next));
        if self.held.get(place).is_none_or(|(other, _, _)| *other != number) {
            self.held.insert(place, (number, now, packet));
        }
    }

    fn release(&mut self, now: Instant, patience: Duration, on: &mut impl FnMut(T)) {
        while let Some((number, since, _)) = self.held.front() {
            let is_next = Some(*number) == self.next;
            if !is_next && now.since(*since) < patience && self.held.len() <= MOST_HELD {
                return;
            }
            self.next = Some(number.wrapping_add(1));
            if let Some((_, _, packet)) = self.held.pop_front() {
                on(packet);
            }
        }
    }

    fn begin_anew(&mut self, number: u16, packet: T, on: &mut impl FnMut(T)) {
        match self.stray.take() {
            Some((before, first)) if before.wrapping_add(1) == number => {
                self.held.drain(..).for_each(|(_, _, packet)| on(packet));
                self.next = Some(number.wrapping_add(1));
                on(first);
                on(packet);
            }
            _ => self.stray = Some((number, packet)),
        }
    }
}

/// Nanoseconds in a second.
const SECOND: i128 = 1_000_000_000;

/// What the camera's ticks say: when a packet is, counted from the first one, and by the camera's clock once a report of it
/// told how these go together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dating {
    /// Ticks of a second.
    rate: u32,
    /// The first packet's ticks and the last one's, without end.
    ticks: Option<(i64, i64)>,
    /// Ticks and the camera's time at them, as its last report said.
    report: Option<(i64, u64)>,
}

impl Dating {
    /// Dates by ticks of which a second has so many; at least one.
    pub(super) fn by(rate: u32) -> Self {
        Self {
            rate: rate.max(1),
            ticks: None,
            report: None,
        }
    }

    /// How many nanoseconds after the first packet the one with these ticks is, which is none of an earlier one; and what time
    /// it is at the camera, in nanoseconds as its reports count them. A camera that sets its ticks back begins again with none.
    pub(super) fn date(&mut self, ticks: u32) -> (u64, Option<u64>) {
        let (mut first, last) = self.ticks.unwrap_or_else(|| self.begin(ticks));
        let now = near(last, ticks);
        if now.saturating_sub(first) < -i64::from(self.rate) {
            first = now;
        }
        self.ticks = Some((first, now));
        let after_first = self.nanos(now - first).max(0);
        let taken = self.report.and_then(|(at, time)| {
            let taken = i128::from(time) + i128::from(self.nanos(now - at));
            u64::try_from(taken).ok()
        });
        (after_first.unsigned_abs(), taken)
    }

    /// What a report told before the first packet came is of its time now, or of none.
    fn begin(&mut self, ticks: u32) -> (i64, i64) {
        let first = i64::from(ticks);
        self.report = self
            .report
            .map(|(at, time)| (near(first, at as u32), time))
            .filter(|(at, _)| at - first <= i64::from(self.rate));
        (first, first)
    }

    /// The camera reports that at these ticks its clock shows this. Not believed when it is of a time that is still to come.
    pub(super) fn hear_report(&mut self, ticks: u32, time: u64) {
        let last = self.ticks.map(|(_, last)| last);
        let at = last.map_or(i64::from(ticks), |last| near(last, ticks));
        if last.is_none_or(|last| at - last <= i64::from(self.rate)) {
            self.report = Some((at, time));
        }
    }

    fn nanos(&self, ticks: i64) -> i64 {
        i64::try_from(i128::from(ticks) * SECOND / i128::from(self.rate)).unwrap_or(i64::MAX)
    }
}

/// The ticks without end that are nearest to `last` and end like this.
fn near(last: i64, ticks: u32) -> i64 {
    let step = ticks.wrapping_sub(last as u32) as i32;
    last.saturating_add(i64::from(step))
}

/// What the first sender report among the reports of a packet says: ticks, and the camera's time at them in nanoseconds since
/// 1900.
pub(super) fn sender_report(mut packet: &[u8]) -> Option<(u32, u64)> {
    loop {
        let word = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
        let head = Head::of(packet)?;
        if head.kind == SENDER_REPORT {
            let (seconds, fraction, ticks) = (word(8)?, word(12)?, word(16)?);
            // A camera without a clock says so with nothing.
            return (seconds != 0).then(|| (ticks, ntp::nanos(seconds, fraction)));
        }
        packet = packet.get(head.length..)?;
    }
}

#[cfg(test)]
mod tests;
