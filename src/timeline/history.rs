//! What segments lack, told through the real index: every view says the same.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio::sync::mpsc;

use super::fixture::{self, IndexBox, at, hole, segment, volume};
use super::{coverage, gaps, ingest, timeline};
use crate::index::{EventFilter, GapFilter};
use crate::model::{Copy, CopyState, GapCause, GapFate, News, Origin, Segment, SegmentState, Span};
use crate::runtime::Shutdown;

async fn tell(place: &IndexBox, news: Vec<News>) {
    let (tell, told) = mpsc::unbounded_channel();
    for one in news {
        tell.send(one).unwrap();
    }
    drop(tell);
    ingest(place.index.clone(), told, Shutdown::new(), Arc::default()).await;
}

/// What every view says of the first two minutes, once it is known that they agree: gaps in seconds, with causes.
#[track_caller]
fn seen(place: &IndexBox) -> Vec<(i64, i64, &'static str)> {
    let camera = fixture::camera("door");
    let window = Span::new(at(0), at(120));
    let now = at(500);
    let read = |reader: &crate::index::Reader<'_>| {
        let line = timeline(reader, &camera, window)?;
        let missing = gaps(reader, &camera, window, now)?;
        let day = coverage(reader, &camera, window, now)?;
        Ok((line, missing, day))
    };
    let (line, missing, day) = place.index.read_blocking(read).unwrap();
    let lacking: std::time::Duration = missing.iter().map(|gap| gap.span.duration()).sum();
    assert_eq!(line.recorded + lacking, window.duration(), "{line:?} {missing:?}");
    assert_eq!(
        (day.recorded, day.missing.iter().map(|(_, length)| *length).sum()),
        (line.recorded, lacking)
    );
    let seconds = |moment: crate::model::Timestamp| moment.nanos_since(at(0)) / 1_000_000_000;
    let row = |gap: &super::Missing| (seconds(gap.span.start), seconds(gap.span.end), gap.why.as_str());
    missing.iter().map(row).collect()
}

fn kept(place: &IndexBox) -> Vec<(i64, i64, &'static str, GapFate)> {
    let gaps = place
        .index
        .read_blocking(|reader| reader.gaps(&GapFilter::default(), 100))
        .unwrap();
    let seconds = |moment: crate::model::Timestamp| moment.nanos_since(at(0)) / 1_000_000_000;
    let row = |gap: &crate::model::Gap| {
        (
            seconds(gap.span.start),
            seconds(gap.span.end),
            gap.cause.as_str(),
            gap.fate,
        )
    };
    let mut rows: Vec<_> = gaps.iter().map(row).collect();
    rows.sort_by_key(|row| row.0);
    rows
}

const SILENT: GapCause = GapCause::Silent;
const PENDING: GapFate = GapFate::Pending;

#[tokio::test]
async fn what_a_segment_lacks_is_a_gap_in_every_view_and_goes_when_it_is_there_again() {
    let place = fixture::index();
    let mut open = Segment {
        state: SegmentState::Open,
        ..segment(0, 30, 1, 0)
    };
    open.copies[0].state = CopyState::Open;
    let grew = |end, holes| News::Grew {
        id: open.id,
        span: Span::new(at(0), at(end)),
        holes,
        frames: 100,
        size_bytes: 5000,
        lost_packets: 0,
    };
    let first = hole(10, 20, SILENT);
    let news = vec![News::Opened(open.clone()), grew(30, vec![first]), grew(31, vec![first])];
    tell(&place, news).await;
    assert_eq!(
        kept(&place),
        [(10, 20, "silent", PENDING)],
        "kept while the segment is open, and once"
    );
    // A pause of 2.5 s is a gap and is not kept; the segment goes on, and another follows after a pause between the two.
    let short = crate::model::Hole {
        span: Span::new(at(40), at(42).offset(500_000_000)),
        cause: SILENT,
    };
    let whole = Segment {
        holes: vec![first, short],
        ..segment(0, 60, 1, 0)
    };
    tell(
        &place,
        vec![News::Closed(whole.clone()), News::Closed(segment(64, 120, 1, 1))],
    )
    .await;
    let with_seam = [(10, 20, "silent"), (40, 42, "silent"), (60, 64, "unknown")];
    assert_eq!(seen(&place), with_seam);
    let events = place
        .index
        .read_blocking(|reader| reader.events(0, &EventFilter::default(), 10))
        .unwrap();
    assert_eq!(events.len(), 1);
    assert!(events[0].1.message.contains("no frame"), "{}", events[0].1.message);
    while place.index.write_blocking(|writer| writer.sum_up(10)).unwrap() > 0 {}
    assert_eq!(seen(&place), with_seam, "the same from sums");
    // What came back lies in the hole, and the rest of it stays.
    let refill = Segment {
        origin: Origin::Refill,
        ..segment(10, 20, 9, 0)
    };
    tell(&place, vec![News::Closed(refill)]).await;
    assert_eq!(
        seen(&place),
        [(40, 42, "silent"), (60, 64, "unknown")],
        "2 s are a seam"
    );
    // The file of the first is cut; then it is whole again.
    let holed = |holes| News::Holed {
        segment: whole.id,
        holes,
    };
    let damaged = hole(30, 60, GapCause::Damaged);
    tell(&place, vec![holed(vec![first, damaged])]).await;
    assert_eq!(kept(&place)[1..], [(30, 60, "damaged", PENDING)]);
    assert_eq!(seen(&place), [(30, 60, "damaged"), (60, 64, "unknown")]);
    tell(&place, vec![News::Closed(whole.clone())]).await;
    assert_eq!((seen(&place), kept(&place).len()), (with_seam[1..].to_vec(), 1));
    // Its file is gone; then it is there again.
    let copy = |state| News::Copied {
        segment: whole.id,
        copy: Copy {
            volume: volume(),
            state,
            ..whole.copies[0].clone()
        },
    };
    tell(&place, vec![copy(CopyState::Missing)]).await;
    let gone = [
        (0, 10, "missing"),
        (20, 40, "missing"),
        (40, 42, "silent"),
        (42, 60, "missing"),
        (60, 64, "unknown"),
    ];
    assert_eq!(seen(&place), gone);
    assert_eq!(
        kept(&place),
        [
            (0, 10, "missing", PENDING),
            (10, 20, "silent", PENDING),
            (20, 40, "missing", PENDING),
            (42, 60, "missing", PENDING)
        ]
    );
    tell(&place, vec![copy(CopyState::Whole)]).await;
    assert_eq!((seen(&place), kept(&place).len()), (with_seam[1..].to_vec(), 1));
}
