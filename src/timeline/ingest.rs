//! The one door in: news of engines becomes rows of the index, in the order of sending, and none is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::index::{Index, IndexError, Writer};
use crate::model::{CameraId, CopyState, Event, EventKind, Fault, Gap, GapCause, KEPT_FROM, News, Origin, Timestamp};
use crate::runtime::{Backoff, SegmentTimings, Shutdown};

use super::untold::untold_end;

/// Most news in one transaction.
const BATCH: usize = 256;
/// Most slots to sum up at a time; more than two are there only after an upgrade or a rebuild.
const SLOTS: u32 = 8;

/// Writes news until the last sender is gone, or until the end is asked for and what was sent before is written. Ask
/// when no engine has anything to tell any more. `stir` is notified when a gap may have ended or changed, once that is
/// written.
///
/// While the index cannot be written (locked, its disk full or gone) the news waits here and the engines go on: what
/// was recorded is in its files, and its rows follow.
pub async fn ingest(index: Index, news: mpsc::UnboundedReceiver<News>, end: Shutdown, stir: Arc<Notify>) {
    ingest_timed(index, news, end, stir, SegmentTimings::default()).await;
}

/// The same, and it is counted how long closed segments waited for their rows.
pub async fn ingest_timed(
    index: Index,
    mut news: mpsc::UnboundedReceiver<News>,
    end: Shutdown,
    stir: Arc<Notify>,
    timings: SegmentTimings,
) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            biased;
            count = news.recv_many(&mut batch, BATCH) => count,
            () = end.asked(), if !news.is_closed() => {
                news.close();
                continue;
            }
        };
        if count == 0 {
            return;
        }
        let items: Arc<[News]> = std::mem::take(&mut batch).into();
        let closed = items
            .iter()
            .any(|news| matches!(news, News::Closed(_) | News::Refilled { .. }));
        let stirs = items.iter().any(|news| match news {
            News::Regained { .. } | News::Refilled { .. } => true,
            // A hole that is over is a gap that can be filled.
            News::Grew { holes, .. } => !holes.is_empty(),
            News::Closed(segment) => !segment.holes.is_empty(),
            News::Holed { .. } => true,
            // A file that is gone leaves a gap as well.
            News::Copied { copy, .. } => copy.state != CopyState::Whole,
            _ => false,
        });
        store(&index, items.clone()).await;
        for news in items.iter() {
            if let News::Closed(segment) = news {
                timings.end(segment.id);
            }
        }
        if stirs {
            stir.notify_one();
        }
        if closed {
            sum_up(&index).await;
        }
    }
}

/// Sums up what is past, for timelines of any length. In a transaction of its own: what cannot be summed up now is read
/// from the segments, and no news waits for it.
async fn sum_up(index: &Index) {
    if let Err(error) = index.write(|writer| writer.sum_up(SLOTS)).await {
        tracing::warn!(%error, "footage cannot be summed up; long timelines take longer until it is");
    }
}

/// Writes a batch, together if that can be, else one by one so that only what is refused is left out.
async fn store(index: &Index, items: Arc<[News]>) {
    match write(index, &items, 0..items.len()).await {
        Ok(()) => return,
        Err(error) if items.len() > 1 => {
            tracing::warn!(%error, news = items.len(), "the index refused news together; they are written one by one");
        }
        Err(error) => return give_up(&error, &items[0]),
    }
    for at in 0..items.len() {
        if let Err(error) = write(index, &items, at..at + 1).await {
            give_up(&error, &items[at]);
        }
    }
}

/// Writes some of a batch; as long as it is the index that cannot, and not the news that is wrong, it is tried again.
async fn write(index: &Index, items: &Arc<[News]>, which: std::ops::Range<usize>) -> Result<(), IndexError> {
    let mut patience = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let (work, which) = (Arc::clone(items), which.clone());
        let outcome = index
            .write(move |writer| work[which].iter().try_for_each(|news| apply(writer, news)))
            .await;
        match outcome {
            Err(error) if may_pass(&error) => {
                tracing::error!(%error, waiting = items.len(), "news cannot be written; it waits and is tried again");
                tokio::time::sleep(patience.next_wait(0.5)).await;
            }
            other => return other,
        }
    }
}

/// Whether the same write may succeed later.
fn may_pass(error: &IndexError) -> bool {
    // A closed index opens no more.
    !matches!(error, IndexError::Closed { .. })
        && matches!(
            error.fault(),
            Fault::Unavailable | Fault::Full | Fault::Forbidden | Fault::Corrupt
        )
}

/// Says what is left out. The files are there and name themselves: the next check finds what a row is missing for.
fn give_up(error: &IndexError, news: &News) {
    tracing::error!(%error, ?news, "the index refuses this; it is left out");
}

fn apply(writer: &Writer<'_>, news: &News) -> Result<(), IndexError> {
    match news {
        News::Opened(segment) => writer.open_segment(segment),
        News::Grew {
            id,
            span,
            holes,
            frames,
            size_bytes,
            lost_packets,
        } => writer
            .grow_segment(*id, *span, holes, (*frames, *lost_packets), *size_bytes)
            .map(|_| ()),
        News::Closed(segment) => {
            writer.close_segment(segment)?;
            // What a kill left behind reaches farther than its row said, and the gap behind it was opened by the row.
            match segment.origin {
                // What was fetched has settled its gap, unless the index that knew of it is lost.
                Origin::Refill if !writer.is_recovering()? => Ok(()),
                Origin::Live | Origin::Refill => {
                    let mut pieces = segment.covered().into_iter();
                    pieces.try_for_each(|piece| writer.trim_gaps(&segment.camera, piece, KEPT_FROM))
                }
            }
        }
        News::Refilled {
            before,
            after,
            segments,
        } => {
            segments.iter().try_for_each(|segment| writer.close_segment(segment))?;
            settle_gap(writer, before, after)
        }
        // What was removed meanwhile needs no copy.
        News::Copied { segment, copy } => match writer.segment(*segment)? {
            Some(_) => writer.put_copy(*segment, copy),
            None => Ok(()),
        },
        News::Holed { segment, holes } => writer.set_holes(*segment, holes),
        News::Vanished(id) => writer.remove_open_segment(*id).map(|_| ()),
        News::Lost { camera, at, cause } => begin_gap(writer, camera, *at, *cause),
        News::Regained { camera, at } => {
            writer.end_rest(camera, *at)?;
            end_gap(writer, camera, *at)
        }
        News::Wanted { camera, at } => writer.end_rest(camera, *at),
        News::Unwanted { camera, at } => {
            end_gap(writer, camera, *at)?;
            begin_rest(writer, camera, *at)
        }
        News::Happened(event) => writer.add_event(event).map(|_| ()),
    }
}

/// Writes what became of a gap, when it is still the one that was tried: a person may have had it tried anew meanwhile, or
/// footage of it may have been found, and then it is looked at again.
fn settle_gap(writer: &Writer<'_>, before: &Gap, after: &[Gap]) -> Result<(), IndexError> {
    if writer.gap(before.id)?.as_ref() != Some(before) {
        return Ok(());
    }
    for (number, row) in after.iter().enumerate() {
        match number {
            0 => writer.update_gap(row)?,
            _ => writer.insert_gap(row).map(|_| ())?,
        }
    }
    Ok(())
}

/// A loss of a camera that was removed meanwhile is nobody's.
fn begin_gap(writer: &Writer<'_>, camera: &CameraId, at: Timestamp, cause: GapCause) -> Result<(), IndexError> {
    if writer.camera(camera)?.is_some() {
        writer.end_rest(camera, at)?;
        if let Some(end) = untold_end(writer, camera, at)? {
            end_gap(writer, camera, end)?;
        }
        writer.begin_gap(camera, at, cause)?;
    }
    Ok(())
}

fn begin_rest(writer: &Writer<'_>, camera: &CameraId, at: Timestamp) -> Result<(), IndexError> {
    if writer.camera(camera)?.is_some() {
        writer.begin_rest(camera, at)?;
    }
    Ok(())
}

fn end_gap(writer: &Writer<'_>, camera: &CameraId, at: Timestamp) -> Result<(), IndexError> {
    for gap in writer.end_gap(camera, at, KEPT_FROM)? {
        writer.add_event(&Event {
            at,
            kind: EventKind::RecordingGap,
            camera: Some(camera.clone()),
            message: gap.to_string(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::index::{EventFilter, GapFilter};
    use crate::model::{Loss, SegmentState};
    use crate::timeline::fixture::{self, at};

    async fn tell(index: &Index, news: Vec<News>) {
        let (tell, told) = mpsc::unbounded_channel();
        for one in news {
            tell.send(one).unwrap();
        }
        drop(tell);
        ingest(index.clone(), told, Shutdown::new(), Arc::default()).await;
    }

    fn lost(seconds: i64) -> News {
        News::Lost {
            camera: fixture::door(),
            at: at(seconds),
            cause: GapCause::Lost(Loss::Stalled),
        }
    }

    fn regained(seconds: i64) -> News {
        News::Regained {
            camera: fixture::door(),
            at: at(seconds),
        }
    }

    #[tokio::test]
    async fn a_segment_opens_grows_and_closes() {
        let place = fixture::index();
        let mut segment = fixture::segment(0, 10, 1, 0);
        segment.state = SegmentState::Open;
        segment.copies[0].state = CopyState::Open;
        let grown = News::Grew {
            id: segment.id,
            span: crate::model::Span::new(at(0), at(5)),
            holes: Vec::new(),
            frames: 125,
            size_bytes: 5000,
            lost_packets: 0,
        };
        tell(&place.index, vec![News::Opened(segment.clone()), grown]).await;
        let read = |index: &Index| {
            index
                .read_blocking(|reader| reader.segment(segment.id))
                .unwrap()
                .unwrap()
        };
        let open = read(&place.index);
        assert_eq!(
            (open.state, open.span.end, open.frames),
            (SegmentState::Open, at(5), 125)
        );
        assert_eq!(open.copies[0].size_bytes, 5000);
        segment.state = SegmentState::Closed;
        tell(&place.index, vec![News::Closed(segment.clone())]).await;
        assert_eq!(read(&place.index).state, SegmentState::Closed);
        assert_eq!(read(&place.index).span.end, at(10));
    }

    #[tokio::test]
    async fn a_gap_of_more_than_three_seconds_is_kept_and_told_and_a_shorter_one_is_not() {
        let place = fixture::index();
        tell(&place.index, vec![lost(100), lost(101), regained(103)]).await;
        let gaps = |index: &Index| index.read_blocking(|r| r.gaps(&GapFilter::default(), 10)).unwrap();
        assert_eq!(gaps(&place.index), vec![]);
        tell(&place.index, vec![lost(200), lost(202), regained(203), regained(300)]).await;
        assert_eq!(gaps(&place.index), vec![], "exactly three seconds are not kept");
        let unwanted = News::Unwanted {
            camera: fixture::door(),
            at: at(304),
        };
        tell(&place.index, vec![lost(300), unwanted]).await;
        let kept = gaps(&place.index);
        assert_eq!((kept.len(), kept[0].span.seconds(), kept[0].open), (1, 4.0, false));
        let events = place
            .index
            .read_blocking(|r| r.events(0, &EventFilter::default(), 10))
            .unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].1.kind, EventKind::RecordingGap);
        assert!(
            events[0].1.message.ends_with("the camera sent nothing"),
            "{}",
            events[0].1.message
        );
    }

    #[tokio::test]
    async fn a_rest_begins_when_nothing_is_wanted_and_ends_when_footage_is_or_is_missing() {
        let place = fixture::index();
        let camera = fixture::door;
        let unwanted = |seconds| News::Unwanted {
            camera: camera(),
            at: at(seconds),
        };
        let wanted = |seconds| News::Wanted {
            camera: camera(),
            at: at(seconds),
        };
        let news = vec![
            unwanted(0),
            unwanted(5),
            regained(10),
            unwanted(20),
            wanted(30),
            lost(30),
            unwanted(60),
            lost(70),
            regained(80),
            unwanted(90),
        ];
        tell(&place.index, news).await;
        let window = crate::model::Span::new(at(-10), at(1000));
        let rests = place
            .index
            .read_blocking(|r| r.rests_within(&camera(), window))
            .unwrap();
        let starts: Vec<_> = rests.iter().map(|rest| (rest.start, rest.end)).collect();
        assert_eq!(
            starts,
            [
                (at(0), at(10)),
                (at(20), at(30)),
                (at(60), at(70)),
                (at(90), Timestamp::MAX)
            ]
        );
        let gaps = place
            .index
            .read_blocking(|r| r.gaps(&GapFilter::default(), 10))
            .unwrap();
        let gaps: Vec<_> = gaps.iter().map(|gap| (gap.span.start, gap.span.end)).collect();
        assert_eq!(gaps, [(at(70), at(80)), (at(30), at(60))]);
    }

    #[tokio::test]
    async fn one_piece_of_news_that_is_refused_takes_no_other_with_it() {
        let place = fixture::index();
        let closed = fixture::segment(0, 10, 1, 0);
        let mut again = closed.clone();
        again.state = SegmentState::Open;
        let next = fixture::segment(10, 20, 1, 1);
        let news = vec![
            News::Closed(closed.clone()),
            // A closed segment is never opened again.
            News::Opened(again),
            News::Closed(next.clone()),
        ];
        tell(&place.index, news).await;
        let count = place.index.read_blocking(|r| r.count_segments(None)).unwrap();
        assert_eq!(count, 2);
    }

    #[tokio::test]
    async fn the_loss_of_a_camera_that_is_gone_is_nobodys() {
        let place = fixture::index();
        let gone = CameraId::parse("gone").unwrap();
        let news = News::Lost {
            camera: gone.clone(),
            at: at(1),
            cause: GapCause::Unknown,
        };
        tell(&place.index, vec![news]).await;
        assert_eq!(place.index.read_blocking(|r| r.open_gap(&gone)).unwrap(), None);
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_is_written_though_a_sender_lives_on() {
        let place = fixture::index();
        let (tell, told) = mpsc::unbounded_channel();
        let end = Shutdown::new();
        for n in 0..1000 {
            let segment = fixture::segment(i64::from(n), i64::from(n) + 1, 1, n);
            tell.send(News::Closed(segment)).unwrap();
        }
        end.ask();
        ingest(place.index.clone(), told, end, Arc::default()).await;
        assert_eq!(place.index.read_blocking(|r| r.count_segments(None)).unwrap(), 1000);
        assert!(
            tell.send(lost(1)).is_err(),
            "nobody listens any more, and the sender is told"
        );
    }

    #[tokio::test]
    async fn an_index_that_is_closed_ends_the_waiting() {
        let place = fixture::index();
        place.index.close();
        tell(&place.index, vec![lost(1), lost(2)]).await;
    }
}
