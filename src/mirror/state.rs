//! How the mirror stands, and what people are told of it. Pure.
//!
//! ```text
//!            opened                nothing owed
//!   Absent ---------> Behind <--------------------> CaughtUp
//!     ^                 |        something owed         |
//!     +-----------------+---------------------------------+   lost, refused, does not answer
//! ```
//!
//! *Trouble* begins when the mirror is lost or misses something, and ends when nothing is owed any more. People are told
//! once when it begins and once when it is over, however often the disk comes and goes between.

use std::time::Duration;

use crate::model::Timestamp;

/// How the mirror is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// None is configured.
    Off,
    /// It is not there, or takes nothing.
    Absent,
    /// It is there and lacks something.
    Behind,
    /// It has all that it should have.
    CaughtUp,
}

impl Stand {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Absent => "absent",
            Self::Behind => "behind",
            Self::CaughtUp => "caught_up",
        }
    }
}

/// Something that people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tell {
    /// The mirror is lost, or misses something.
    Lost(String),
    /// It has everything again.
    CaughtUp {
        /// So much was copied.
        segments: u64,
        /// So many bytes.
        bytes: u64,
        /// From the beginning of the trouble on.
        took: Duration,
    },
}

/// What is wrong, until nothing is owed any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trouble {
    since: Timestamp,
    is_told: bool,
    segments: u64,
    bytes: u64,
}

/// What is copied afterwards for so long is told when it is over, though nobody was told that it began.
const LONG: Duration = Duration::from_secs(60);

/// How the mirror stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    is_present: bool,
    reason: Option<String>,
    /// Why it cannot hold what its rules say.
    limit: Option<String>,
    since: Timestamp,
    /// Segments that are owed, as far as is known.
    owed: Option<u64>,
    trouble: Option<Trouble>,
    /// Whether it had everything at any time since this start.
    has_caught_up: bool,
}

impl Standing {
    /// A mirror that nobody has seen yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            is_present: false,
            reason: Some("it is being opened".to_owned()),
            limit: None,
            since: now,
            owed: None,
            trouble: None,
            has_caught_up: false,
        }
    }

    pub(super) fn stand(&self) -> Stand {
        match (self.is_present, self.owed) {
            (false, _) => Stand::Absent,
            (true, Some(0)) if self.limit.is_none() => Stand::CaughtUp,
            (true, _) => Stand::Behind,
        }
    }

    /// Since when it stands like this.
    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    /// Why it is not there, or what it missed.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref().or(self.limit.as_deref())
    }

    /// It is there.
    pub(super) fn open(&mut self, now: Timestamp) {
        self.change(now, |standing| {
            standing.is_present = true;
            standing.reason = None;
        });
    }

    /// It is not there, or takes nothing.
    pub(super) fn lose(&mut self, now: Timestamp, reason: &str) -> Option<Tell> {
        self.change(now, |standing| {
            standing.is_present = false;
            standing.reason = Some(reason.to_owned());
        });
        self.trouble(now, reason)
    }

    /// Why it cannot hold what its rules say; nothing when it can.
    pub(super) fn limit(&mut self, now: Timestamp, limit: Option<&str>) {
        self.change(now, |standing| standing.limit = limit.map(str::to_owned));
    }

    /// It is there and missed something.
    pub(super) fn miss(&mut self, now: Timestamp, reason: &str) -> Option<Tell> {
        self.reason = Some(reason.to_owned());
        self.trouble(now, reason)
    }

    /// So many segments are owed, those not counted of which it will be known in a moment.
    pub(super) fn owe(&mut self, now: Timestamp, segments: u64) -> Option<Tell> {
        self.change(now, |standing| standing.owed = Some(segments));
        if segments > 0 {
            // Something from before this start, or something new to mirror: its end is told, its beginning is no loss.
            self.trouble.get_or_insert(Trouble {
                since: now,
                is_told: false,
                segments: 0,
                bytes: 0,
            });
            return None;
        }
        if !self.is_present || self.limit.is_some() {
            return None;
        }
        let is_first = !std::mem::replace(&mut self.has_caught_up, true);
        let trouble = self.trouble.take()?;
        self.reason = None;
        let took = now.since(trouble.since);
        // A file that was begun while the mirror was away is closed, and copied, after its return was told.
        let is_news = trouble.is_told || (trouble.segments > 0 && (is_first || took >= LONG));
        is_news.then_some(Tell::CaughtUp {
            segments: trouble.segments,
            bytes: trouble.bytes,
            took,
        })
    }

    /// A segment was copied.
    pub(super) fn copied(&mut self, bytes: u64) {
        if let Some(trouble) = &mut self.trouble {
            trouble.segments += 1;
            trouble.bytes += bytes;
        }
    }

    fn trouble(&mut self, now: Timestamp, reason: &str) -> Option<Tell> {
        let trouble = self.trouble.get_or_insert(Trouble {
            since: now,
            is_told: false,
            segments: 0,
            bytes: 0,
        });
        (!std::mem::replace(&mut trouble.is_told, true)).then(|| Tell::Lost(reason.to_owned()))
    }

    fn change(&mut self, now: Timestamp, change: impl FnOnce(&mut Self)) {
        let before = self.stand();
        change(self);
        if self.stand() != before {
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_loss_is_told_once_and_so_is_its_end() {
        let mut standing = Standing::new(at(0));
        assert_eq!(standing.stand(), Stand::Absent);
        standing.open(at(1));
        assert_eq!(standing.stand(), Stand::Behind, "nobody knows yet what it lacks");
        assert_eq!(standing.owe(at(2), 0), None);
        assert_eq!((standing.stand(), standing.since()), (Stand::CaughtUp, at(2)));

        let told = standing.lose(at(10), "it was unplugged");
        assert_eq!(told, Some(Tell::Lost("it was unplugged".into())));
        assert_eq!(standing.lose(at(11), "it does not answer"), None);
        assert_eq!(standing.reason(), Some("it does not answer"));
        assert_eq!(standing.owe(at(12), 3), None);
        standing.open(at(20));
        assert_eq!(standing.miss(at(21), "its disk does not keep up"), None);
        assert_eq!(standing.owe(at(22), 3), None);
        for _ in 0..3 {
            standing.copied(100);
        }
        let over = Tell::CaughtUp {
            segments: 3,
            bytes: 300,
            took: Duration::from_secs(20),
        };
        assert_eq!(standing.owe(at(30), 0), Some(over));
        assert_eq!((standing.owe(at(31), 0), standing.reason()), (None, None));
        assert!(standing.lose(at(40), "again").is_some());
    }

    /// A mirror came back and had everything again; the file that was begun meanwhile was closed a moment later, and people
    /// were told a second time.
    #[test]
    fn what_is_copied_a_moment_later_is_not_told_again_and_what_takes_long_is() {
        let mut standing = Standing::new(at(0));
        standing.open(at(1));
        assert_eq!(standing.owe(at(2), 0), None);
        for (from, until, is_told) in [(10, 12, false), (20, 80, true)] {
            assert_eq!(standing.owe(at(from), 1), None);
            standing.copied(100);
            assert_eq!(standing.owe(at(until), 0).is_some(), is_told, "{from}");
        }
    }

    #[test]
    fn nothing_is_caught_up_while_the_mirror_is_away() {
        let mut standing = Standing::new(at(0));
        assert!(standing.lose(at(1), "it is not there").is_some());
        assert_eq!((standing.owe(at(2), 0), standing.stand()), (None, Stand::Absent));
        standing.open(at(3));
        assert!(matches!(
            standing.owe(at(4), 0),
            Some(Tell::CaughtUp { segments: 0, .. })
        ));
    }

    #[test]
    fn what_a_former_start_left_is_no_loss_and_its_end_is_told() {
        let mut standing = Standing::new(at(0));
        standing.open(at(1));
        assert_eq!(standing.owe(at(1), 2), None);
        standing.copied(7);
        standing.copied(7);
        assert!(matches!(
            standing.owe(at(2), 0),
            Some(Tell::CaughtUp {
                segments: 2,
                bytes: 14,
                ..
            })
        ));
    }

    proptest! {
        #[test]
        fn every_loss_that_is_told_has_one_end_and_no_two_are_told_in_a_row(steps in proptest::collection::vec(0u8..6, 0..60)) {
            let mut standing = Standing::new(at(0));
            let mut is_lost = false;
            for (second, step) in (1i64..).zip(steps) {
                let told = match step {
                    0 => { standing.open(at(second)); None }
                    1 => standing.lose(at(second), "gone"),
                    2 => standing.miss(at(second), "late"),
                    3 => standing.owe(at(second), 5),
                    4 => standing.owe(at(second), 0),
                    _ => { standing.copied(1); None }
                };
                match told {
                    Some(Tell::Lost(_)) => {
                        prop_assert!(!is_lost);
                        is_lost = true;
                    }
                    Some(Tell::CaughtUp { .. }) => {
                        prop_assert_eq!(standing.stand(), Stand::CaughtUp);
                        is_lost = false;
                    }
                    None => {}
                }
            }
        }
    }
}
