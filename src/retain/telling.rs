//! What people are told of retention: each thing once, and what goes again and again in sums.

use std::time::Duration;

use super::ages::WAIT;
use super::desk::Desk;
use super::pass::Went;
use super::rules::{Rules, Trouble, gigabytes};
use crate::model::{Event, EventKind, News, VolumeRole};
use crate::runtime::Instant;
use crate::storage::StorageError;

/// What goes is told in one sum, so often at the most.
const EVERY: Duration = Duration::from_secs(3600);

/// What was told, and what is still to be told.
#[derive(Debug, Default)]
pub(super) struct Told {
    rules: Option<Rules>,
    problem: Option<Trouble>,
    is_stuck: bool,
    is_waiting: bool,
    unseen: Option<String>,
    went: Went,
    went_at: Option<Instant>,
}

impl Desk {
    fn place(&self) -> String {
        let root = self.volume.as_ref().map(|volume| volume.root().display().to_string());
        format!("the {} {}", self.setting.role.as_str(), root.unwrap_or_default())
    }

    fn happened(&self, kind: EventKind, message: String) {
        // The ingest task lives until all is told.
        let _ = self.setting.news.send(News::Happened(Event {
            at: self.setting.clock.now(),
            kind,
            camera: None,
            message,
        }));
    }

    /// The disk cannot be looked at.
    pub(super) fn tell_unseen(&mut self, error: &StorageError) {
        let error = error.to_string();
        if self.told.unseen.as_ref() != Some(&error) {
            tracing::warn!(
                error,
                role = self.setting.role.as_str(),
                "nothing can be let go while the disk cannot be looked at"
            );
            self.told.unseen = Some(error);
        }
    }

    /// What a pass did, and how the disk stands after it.
    pub(super) async fn tell_pass(&mut self, went: Went) {
        self.told.unseen = None;
        self.tell_rules();
        let sum = &mut self.told.went;
        sum.segments += went.segments;
        sum.bytes += went.bytes;
        sum.by_age += went.by_age;
        sum.last_copies += went.last_copies;
        let instant = self.setting.clock.instant();
        let is_time = self.told.went_at.is_none_or(|then| instant.since(then) >= EVERY);
        if self.told.went.segments > 0 && (is_time || self.told.went.last_copies > 0) {
            self.told.went_at = Some(instant);
            let went = std::mem::take(&mut self.told.went);
            let message = format!("{} let {}", self.place(), sentence(went));
            tracing::info!(message, "retention");
            self.happened(EventKind::RetentionDelete, message);
        }
        if self.is_stuck && !self.told.is_stuck {
            let (place, left) = (self.place(), gigabytes(self.space.available_bytes));
            let message = format!(
                "{place} should have more room, and nothing on it may go: it is held as evidence, read, or the last copy; \
                 {left} are left, and when they are used up nothing is written any more; release what is held, free the disk \
                 of other files, or use a larger one"
            );
            tracing::warn!(message, "retention");
            self.happened(EventKind::DiskPressure, message);
        }
        self.told.is_stuck = self.is_stuck;
        if !went.is_nothing() && self.setting.role == VolumeRole::Primary {
            self.setting.index.write_later("which cameras are left", |writer| {
                writer.forget_empty_cameras().map(|_| ())
            });
        }
    }

    /// What the rules are, at the start and whenever they change; and once, when the disk is too small for them.
    fn tell_rules(&mut self) {
        let rules = self.setting.rules;
        if self.told.rules != Some(rules) {
            self.told.rules = Some(rules);
            let most = rules.max_bytes.map_or("as much as fits".to_owned(), gigabytes);
            let floor = gigabytes(self.measure.floor_bytes);
            let keep = match (self.setting.role, rules.keep) {
                (VolumeRole::Primary, _) => {
                    "each camera's retention_hours, and as long as there is room where it has none"
                }
                (VolumeRole::Mirror, Some(_)) => "mirror.retention_hours",
                (VolumeRole::Mirror, None) => "as long as there is room",
            };
            tracing::info!(
                role = self.setting.role.as_str(),
                most,
                free = floor,
                keep,
                "footage is kept by these rules"
            );
        }
        let trouble = self.measure.problem.as_ref().map(|problem| problem.trouble);
        if let Some(problem) = self.measure.problem.as_ref().filter(|_| trouble != self.told.problem) {
            let message = format!("{}: {}", self.place(), problem.text);
            tracing::warn!(message, "retention");
            self.happened(EventKind::DiskPressure, message);
        }
        self.told.problem = trouble;
    }

    /// More than a day's worth is too old at once.
    pub(super) fn tell_waiting(&mut self, waited: Option<Duration>) {
        let is_waiting = waited.is_some_and(|waited| waited < WAIT);
        if is_waiting && !std::mem::replace(&mut self.told.is_waiting, is_waiting) {
            let lag = self.shared.status().lag.as_secs_f64() / 3600.0;
            let message = format!(
                "{}: {lag:.0} hours of footage are older than they may be, all at once; they go in a day, or as soon as room is \
                 wanted; look whether the clock is right and retention_hours is meant",
                self.place()
            );
            tracing::warn!(message, "retention");
            self.happened(EventKind::RetentionDelete, message);
        }
        self.told.is_waiting = is_waiting;
    }

    /// Puts what is known where everybody can see it.
    pub(super) fn show(&self) {
        let mut status = self.shared.status();
        status.total_bytes = self.space.total_bytes;
        status.available_bytes = self.space.available_bytes;
        status.floor_bytes = self.measure.floor_bytes;
        let stuck = self
            .is_stuck
            .then(|| "room is wanted, and nothing on it may go".to_owned());
        let problem = self.measure.problem.as_ref().map(|problem| problem.text.clone());
        status.problem = problem.or(stuck);
    }
}

impl Went {
    fn is_nothing(&self) -> bool {
        self.segments == 0
    }
}

fn sentence(went: Went) -> String {
    let word = if went.segments == 1 { "segment" } else { "segments" };
    let mut text = format!("{} {word} ({}) go", went.segments, gigabytes(went.bytes));
    match went.by_age {
        0 => text.push_str(" for room"),
        old if old == went.segments => text.push_str(" whose time was over"),
        old => text.push_str(&format!(", {old} whose time was over and the rest for room")),
    }
    if went.last_copies > 0 {
        text.push_str(&format!("; of {} no other copy is left", went.last_copies));
    }
    text
}
