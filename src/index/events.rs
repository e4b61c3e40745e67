//! Events, in the order of writing, and the few words that the index keeps about itself.

use rusqlite::{Row, params};

use super::columns::{camera_id, time, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, Event, EventKind, Span, Timestamp};

macro_rules! select_events {
    ($rest:literal) => {
        concat!("SELECT seq, at_ns, kind, camera_id, message FROM events ", $rest)
    };
}

// One statement for each index that can be used. A span has none: events are told in the order of writing, and a wall
// clock that is set back would break any shortcut from times to numbers.
pub(super) const SINCE: &str = select_events!("WHERE seq > ?1 AND at_ns >= ?2 AND at_ns < ?3 ORDER BY seq LIMIT ?4");
pub(super) const OF_CAMERA: &str = select_events!(
    "WHERE camera_id = ?5 AND (?6 IS NULL OR kind = ?6) AND seq > ?1 AND at_ns >= ?2 AND at_ns < ?3
     ORDER BY seq LIMIT ?4"
);
pub(super) const OF_KIND: &str =
    select_events!("WHERE kind = ?5 AND seq > ?1 AND at_ns >= ?2 AND at_ns < ?3 ORDER BY seq LIMIT ?4");
const LAST: &str = "SELECT max(seq) FROM events";
const INSERT: &str = "INSERT INTO events (at_ns, kind, camera_id, message) VALUES (?1, ?2, ?3, ?4)";
const META: &str = "SELECT value FROM meta WHERE key = ?1";
const SET_META: &str = "
    INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// Which events are wanted; what is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this camera.
    pub camera: Option<CameraId>,
    /// Of this kind.
    pub kind: Option<EventKind>,
    /// Within this span.
    pub window: Option<Span>,
}

impl Reader<'_> {
    /// Events after a sequence number (0: from the first), in the order of writing, each with its own number. The number
    /// of the last one asks for the next page.
    pub fn events(&self, since: i64, filter: &EventFilter, limit: u32) -> Result<Vec<(i64, Event)>, IndexError> {
        let window = filter.window.unwrap_or(Span {
            start: Timestamp::MIN,
            end: Timestamp::MAX,
        });
        let (from, to) = (window.start.as_nanos(), window.end.as_nanos());
        let kind = filter.kind.map(EventKind::as_str);
        match (&filter.camera, kind) {
            (Some(camera), kind) => self.rows(OF_CAMERA, params![since, from, to, limit, camera.as_str(), kind], read),
            (None, Some(kind)) => self.rows(OF_KIND, params![since, from, to, limit, kind], read),
            (None, None) => self.rows(SINCE, params![since, from, to, limit], read),
        }
    }

    /// The number of the last event, 0 when there was none yet.
    pub fn last_event(&self) -> Result<i64, IndexError> {
        let last = self.row(LAST, [], |row| row.get::<_, Option<i64>>(0))?;
        Ok(last.flatten().unwrap_or(0))
    }

    /// What is kept under a key.
    pub fn meta(&self, key: &str) -> Result<Option<String>, IndexError> {
        self.row(META, [key], |row| row.get(0))
    }
}

impl Writer<'_> {
    /// Remembers an event and gives its number, which is higher than that of every event before it.
    pub fn add_event(&self, event: &Event) -> Result<i64, IndexError> {
        let camera = event.camera.as_ref().map(CameraId::as_str);
        let row = params![event.at.as_nanos(), event.kind.as_str(), camera, event.message];
        self.execute(INSERT, row)?;
        Ok(self.connection().last_insert_rowid())
    }

    /// Keeps a text under a key, in place of what was there.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<(), IndexError> {
        self.execute(SET_META, [key, value])?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(i64, Event)> {
    let camera = match row.get_ref("camera_id")? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(camera_id(row, "camera_id")?),
    };
    let event = Event {
        at: time(row, "at_ns")?,
        kind: word(row, "kind", EventKind::parse)?,
        camera,
        message: row.get("message")?,
    };
    Ok((row.get("seq")?, event))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Index;
    use super::super::fixture::{at, camera_id, index, seal, span};
    use super::*;

    fn event(second: i64, kind: EventKind, camera: Option<&str>) -> Event {
        Event {
            at: at(second),
            kind,
            camera: camera.map(camera_id),
            message: format!("{} happened", kind.as_str()),
        }
    }

    #[test]
    fn every_kind_of_event_comes_back_in_order_with_a_growing_number() {
        let (directory, index) = index();
        assert_eq!(index.read_blocking(|r| r.last_event()).unwrap(), 0);
        let sent: Vec<Event> = EventKind::ALL
            .iter()
            .map(|&kind| event(5, kind, Some("door")))
            .collect();
        for (number, event) in (1..).zip(sent.clone()) {
            assert_eq!(index.write_blocking(move |w| w.add_event(&event)).unwrap(), number);
        }
        index.close();
        let index = Index::open(directory.path().join("index.db"), seal()).unwrap();
        let found = index
            .read_blocking(|r| r.events(0, &EventFilter::default(), 100))
            .unwrap();
        assert_eq!(found, (1..).zip(sent.clone()).collect::<Vec<_>>());
        let later = index
            .write_blocking(|w| w.add_event(&event(1, EventKind::ClockStep, None)))
            .unwrap();
        assert_eq!(later, 1 + i64::try_from(sent.len()).unwrap());
        assert_eq!(index.read_blocking(|r| r.last_event()).unwrap(), later);
    }

    #[test]
    fn a_reader_of_events_gets_what_it_asked_for_and_no_event_twice() {
        let (_directory, index) = index();
        index
            .write_blocking(|w| {
                for second in 0..10 {
                    let kind = if second % 2 == 0 {
                        EventKind::CameraOffline
                    } else {
                        EventKind::CameraOnline
                    };
                    w.add_event(&event(second, kind, Some(if second < 5 { "door" } else { "yard" })))?;
                }
                w.add_event(&event(3, EventKind::DiskPressure, None))?;
                Ok(())
            })
            .unwrap();
        let list = |filter: EventFilter| {
            let mut numbers: Vec<i64> = Vec::new();
            loop {
                let since = numbers.last().copied().unwrap_or(0);
                let page = index.read_blocking(|r| r.events(since, &filter, 2)).unwrap();
                if page.is_empty() {
                    return numbers;
                }
                numbers.extend(page.iter().map(|(number, _)| number));
            }
        };
        let all = EventFilter::default;
        let (door, online) = (Some(camera_id("door")), Some(EventKind::CameraOnline));
        assert_eq!(list(all()), (1..=11).collect::<Vec<_>>());
        assert_eq!(
            list(EventFilter {
                camera: door.clone(),
                ..all()
            }),
            [1, 2, 3, 4, 5]
        );
        assert_eq!(list(EventFilter { kind: online, ..all() }), [2, 4, 6, 8, 10]);
        assert_eq!(
            list(EventFilter {
                camera: door.clone(),
                kind: online,
                ..all()
            }),
            [2, 4]
        );
        assert_eq!(
            list(EventFilter {
                window: Some(span(2, 5)),
                ..all()
            }),
            [3, 4, 5, 11]
        );
        assert_eq!(
            list(EventFilter {
                camera: door,
                kind: online,
                window: Some(span(2, 5))
            }),
            [4]
        );
    }

    #[test]
    fn a_word_of_the_index_is_replaced() {
        let (_directory, index) = index();
        assert_eq!(index.read_blocking(|r| r.meta("colour")).unwrap(), None);
        for colour in ["green", "red"] {
            index.write_blocking(move |w| w.set_meta("colour", colour)).unwrap();
            assert_eq!(
                index.read_blocking(|r| r.meta("colour")).unwrap().as_deref(),
                Some(colour)
            );
        }
    }
}
