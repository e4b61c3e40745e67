//! Which gaps are fetched, in which order, and what is left of one after what came. Pure: no clock, no disk, no camera.
//!
//! ```text
//! gap       |------------------ pending ------------------|
//! came              |=========|       |======|
//! then      pending |  filled | pending|filled| pending     each of the same cause, with as many tries behind it
//! ```
//!
//! A row that says `filled` lies over footage and over nothing else. What lacks for a second in all is a seam.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::coverage::{covered, holes};
use crate::model::{CameraId, Gap, GapFate, GapId, Span, Timestamp};

/// A gap is filled when no more than this lacks in all, and no more than half of it.
const LACKING: Duration = Duration::from_secs(1);
/// What is shorter than this is no gap: nothing could be fetched that begins and ends in it.
const SLIVER: Duration = Duration::from_millis(100);
/// So much is fetched at once.
const PORTION: Duration = Duration::from_secs(1800);
/// How long after the first try in vain the second comes; each further one waits four times as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// The longest of these waits.
const LONGEST_WAIT: Duration = Duration::from_secs(1800);

/// What decides which gaps are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Older gaps are not tried by themselves.
    pub(super) max_age: Duration,
    /// So often one is tried.
    pub(super) attempts: u32,
    /// From so many cameras at the same time.
    pub(super) at_once: usize,
}

/// Which of the pending gaps are begun now: the newest first, one of a camera. `busy` are cameras that are being asked, or
/// not to be asked yet; `by_hand` are gaps that a person asked for, however old.
pub(super) fn choose<'a>(
    pending: &'a [Gap],
    rules: Rules,
    now: Timestamp,
    running: usize,
    busy: &BTreeSet<CameraId>,
    by_hand: &BTreeSet<GapId>,
) -> Vec<&'a Gap> {
    let mut newest: Vec<&Gap> = pending
        .iter()
        .filter(|gap| is_due(gap, rules, now, by_hand.contains(&gap.id)))
        .collect();
    newest.sort_by_key(|gap| std::cmp::Reverse((gap.span.end, gap.id)));
    let mut taken = busy.clone();
    newest.retain(|gap| taken.insert(gap.camera.clone()));
    newest.truncate(rules.at_once.saturating_sub(running));
    newest
}

/// Whether a gap is to be tried now.
fn is_due(gap: &Gap, rules: Rules, now: Timestamp, by_hand: bool) -> bool {
    let is_young = now.since(gap.span.end) <= rules.max_age;
    let is_left = gap.fate == GapFate::Pending && !gap.open && gap.attempts < rules.attempts;
    // Of a last try in the future only the clock is to blame. One that a person has tried anew has none behind it, nor has the
    // rest of a long one.
    let waited = gap.attempts == 0
        || gap.last_attempt_at.is_none_or(|last| {
            let wait = wait_after(gap.attempts);
            last > now || now.since(last) >= wait
        });
    is_left && waited && (is_young || by_hand)
}

/// How long after a try the next one comes.
pub(super) fn wait_after(attempts: u32) -> Duration {
    let wait = FIRST_WAIT.saturating_mul(4u32.saturating_pow(attempts.saturating_sub(1).min(8)));
    wait.min(LONGEST_WAIT)
}

/// How long a try may take: as long as the gap is at the camera's slowest, and a minute.
pub(super) fn time_for(asked: Duration) -> Duration {
    const MOST: Duration = Duration::from_secs(4 * 3600);
    asked.saturating_add(Duration::from_secs(60)).min(MOST)
}

/// What a try does to its gap.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settled {
    /// The rows that take its place: the first is its own, and the others are new.
    pub(super) rows: Vec<Gap>,
    /// How much of it is there now that was not.
    pub(super) recovered: Duration,
    /// How much still lacks.
    pub(super) lacking: Duration,
    /// Whether what lacks will not be tried again by itself.
    pub(super) is_given_up: bool,
}

/// What becomes of a gap after a try at `now`. `footage` is all there is in it, what came included. `counts` says whether the
/// try is one of those that may be in vain.
pub(super) fn settle(gap: &Gap, footage: &[Span], counts: bool, rules: Rules, now: Timestamp) -> Settled {
    let missing = holes(gap.span, footage.to_vec(), Duration::ZERO);
    let lacking: Duration = missing.iter().map(Span::duration).sum();
    let recovered = gap.span.duration().saturating_sub(lacking);
    let filled = |span: Span| Gap {
        span,
        fate: GapFate::Filled,
        attempts: gap.attempts.saturating_add(1),
        last_attempt_at: Some(now),
        filled_at: Some(now),
        recovered_seconds: covered(span, footage.to_vec()).as_secs_f64(),
        ..gap.clone()
    };
    // Of a short gap a second may be all of it, and of that nothing came.
    if lacking <= LACKING.min(gap.span.duration() / 2) {
        return Settled {
            rows: vec![filled(gap.span)],
            recovered,
            lacking,
            is_given_up: false,
        };
    }
    let attempts = gap.attempts.saturating_add(u32::from(counts));
    let is_given_up = attempts >= rules.attempts;
    let left = |span: Span| Gap {
        span,
        fate: if is_given_up { GapFate::Failed } else { GapFate::Pending },
        attempts,
        last_attempt_at: Some(now),
        ..gap.clone()
    };
    let rests: Vec<Span> = missing.into_iter().filter(|rest| rest.duration() > SLIVER).collect();
    // What lies between two rests is there, but for what is no gap.
    let mut rows: Vec<Gap> = holes(gap.span, rests.clone(), SLIVER).into_iter().map(filled).collect();
    rows.extend(rests.into_iter().map(left));
    // The row that is known outside keeps its number over what came, or over what is left when nothing did.
    for row in rows.iter_mut().skip(1) {
        row.id = GapId(0);
    }
    if rows.is_empty() {
        rows.push(if recovered.is_zero() {
            left(gap.span)
        } else {
            filled(gap.span)
        });
    }
    Settled {
        rows,
        recovered,
        lacking,
        is_given_up,
    }
}

/// What of a gap there is to be fetched: all that has no footage, but for seams.
pub(super) fn wanted(gap: Span, footage: &[Span]) -> Vec<Span> {
    holes(gap, footage.to_vec(), SLIVER)
}

/// As much of it as is fetched at once, from its end on: what is newest is wanted first, and what comes lies on the disk twice
/// for a while.
pub(super) fn portion(wanted: &[Span]) -> Vec<Span> {
    let Some(end) = wanted.last().map(|last| last.end) else {
        return Vec::new();
    };
    let newest = Span::new(end.minus(PORTION), end);
    wanted.iter().filter_map(|span| span.intersect(&newest)).collect()
}

#[cfg(test)]
mod tests;
