//! Holes in a recording, from the events with which a camera tells where its pictures begin and end.

use crate::model::{Span, Timestamp};

use super::recordings::read_moment;
use super::xml::Element;

/// What of a recording is there. Pictures are taken to be there until an event says that they are not: a camera that tells too
/// little is asked for a replay rather than given up.
pub(super) fn present(asked: Span, recording: &str, video: &[String], told: &[Element]) -> Vec<Span> {
    let is_ours = |event: &&Element| {
        let token = event.text_at(&["RecordingToken"]);
        let track = event.text_at(&["TrackToken"]);
        let is_video = video.is_empty() || track.is_none_or(|track| video.iter().any(|is| is == track));
        token.is_none_or(|token| token == recording) && is_video
    };
    let mut turns: Vec<(Timestamp, bool)> = told.iter().filter(is_ours).filter_map(read).collect();
    turns.sort_by_key(|(at, _)| *at);
    let mut spans = Vec::new();
    let mut since = Some(asked.start);
    for (at, is_there) in turns {
        let at = at.max(asked.start).min(asked.end);
        match (since, is_there) {
            (None, true) => since = Some(at),
            (Some(start), false) => {
                spans.push(Span::new(start, at));
                since = None;
            }
            _ => {}
        }
    }
    spans.extend(since.map(|start| Span::new(start, asked.end)));
    spans.retain(|span| !span.is_empty());
    spans
}

/// When a track's pictures begin (`true`) or end.
fn read(event: &Element) -> Option<(Timestamp, bool)> {
    let at = read_moment(event.text_at(&["Time"])?)?;
    let items = event.at(&["Event", "Message", "Message", "Data"])?.all("SimpleItem");
    let mut items = items.filter(|item| item.attribute("Name") == Some("IsDataPresent"));
    match items.next()?.attribute("Value")? {
        "true" | "1" => Some((at, true)),
        "false" | "0" => Some((at, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn event(second: i64, track: &str, is_there: bool) -> Element {
        let at = Timestamp::from_seconds(second);
        Element::parse(&format!(
            "<Result><RecordingToken>R</RecordingToken><TrackToken>{track}</TrackToken><Time>{at}</Time><Event><Message>\
             <tt:Message><tt:Data><tt:SimpleItem Name=\"IsDataPresent\" Value=\"{is_there}\"/></tt:Data></tt:Message>\
             </Message></Event></Result>"
        ))
        .unwrap()
    }

    fn span(start: i64, end: i64) -> Span {
        Span::new(Timestamp::from_seconds(start), Timestamp::from_seconds(end))
    }

    #[test]
    fn holes_are_where_events_say_so_and_nowhere_else() {
        let video = ["V".to_owned()];
        let present = |events: &[Element]| present(span(100, 200), "R", &video, events);
        assert_eq!(present(&[]), [span(100, 200)]);
        assert_eq!(
            present(&[event(150, "V", true), event(120, "V", false)]),
            [span(100, 120), span(150, 200)]
        );
        assert_eq!(
            present(&[event(90, "V", false), event(150, "V", true)]),
            [span(150, 200)]
        );
        assert_eq!(present(&[event(90, "V", false)]), []);
        assert_eq!(present(&[event(120, "A", false)]), [span(100, 200)]);
        assert_eq!(present(&[event(250, "V", false)]), [span(100, 200)]);
    }

    proptest! {
        #[test]
        fn what_is_there_is_in_order_apart_and_inside(
            events in proptest::collection::vec((50..250i64, any::<bool>()), 0..12),
        ) {
            let events: Vec<Element> = events.into_iter().map(|(at, is_there)| event(at, "V", is_there)).collect();
            let spans = present(span(100, 200), "R", &[], &events);
            for pair in spans.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            for there in spans {
                prop_assert!(!there.is_empty() && there.intersect(&span(100, 200)) == Some(there));
            }
        }
    }
}
