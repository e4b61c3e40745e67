//! Passes over real directories and a real index, on a clock that stands until it is moved.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::desk::Desk;
use super::driver::{Retention, Setting, Word};
use super::rules::Rules;
use super::status::Status;
use crate::index::{Index, KnownVolume};
use crate::model::{
    Camera, CameraId, Copy, CopyState, Event, Hold, HoldId, News, RunId, Seal, SegmentId, Span, Timestamp, VolumeRole,
    fixture,
};
use crate::runtime::{Clock, ManualClock, Shutdown};
use crate::storage::{Place, Volume, make_durable};

const HOUR: i64 = 3_600_000_000_000;
const SIZE: u64 = 1000;

/// Seals nothing; the index does not mind.
#[derive(Debug)]
struct Open;

impl Seal for Open {
    fn seal(&self, text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    fn unseal(&self, sealed: &[u8]) -> Option<String> {
        String::from_utf8(sealed.to_vec()).ok()
    }
}

/// Two volumes with footage of an hour a segment, which ends when the clock stands.
struct Site {
    _room: tempfile::TempDir,
    index: Index,
    clock: Arc<ManualClock>,
    primary: Arc<Volume>,
    mirror: Arc<Volume>,
}

/// A volume's task, turned by hand.
struct Task {
    desk: Desk,
    retention: Retention,
    news: UnboundedReceiver<News>,
    words: Arc<Mutex<Vec<Word>>>,
}

fn door() -> CameraId {
    CameraId::parse("door").unwrap()
}

fn id(camera: &CameraId, number: u32) -> SegmentId {
    let place = u128::from(camera.as_str().as_bytes()[0]) * 1_000_000 + u128::from(number);
    fixture::segment(place, Span::new(Timestamp::EPOCH, Timestamp::EPOCH)).id
}

impl Site {
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let index = Index::open(room.path().join("index.db"), Arc::new(Open)).unwrap();
        // One in use: a new one keeps removed cameras until it knows what lies on disks.
        index.write_blocking(|writer| writer.end_recovery()).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::BUILT.offset(10_000 * HOUR)));
        let open = |name: &str, role| {
            let volume = Volume::open(&room.path().join(name), role, Timestamp::EPOCH).unwrap();
            let row = KnownVolume {
                id: volume.id(),
                role,
                root: name.to_owned(),
                created_at: Timestamp::EPOCH,
            };
            index.write_blocking(move |writer| writer.put_volume(&row)).unwrap();
            Arc::new(volume)
        };
        let (primary, mirror) = (open("primary", VolumeRole::Primary), open("mirror", VolumeRole::Mirror));
        let site = Self {
            _room: room,
            index,
            clock,
            primary,
            mirror,
        };
        site.add_camera("door", |_| {});
        site
    }

    fn add_camera(&self, name: &str, change: impl FnOnce(&mut Camera)) -> CameraId {
        let id = CameraId::parse(name).unwrap();
        let mut camera = Camera::new(id.clone(), name.into(), Timestamp::EPOCH);
        camera.main_stream_url = Some("rtsp://127.0.0.1/1".into());
        camera.mirror_enabled = true;
        change(&mut camera);
        self.index
            .write_blocking(move |writer| match writer.camera(&camera.id)? {
                Some(_) => writer.update_camera(&camera),
                None => writer.insert_camera(&camera),
            })
            .unwrap();
        id
    }

    /// Records so many hours of a camera, the last of which ends now; on the mirror too where that is said.
    fn record(&self, camera: &CameraId, hours: u32, is_mirrored: bool) {
        let now = self.clock.now();
        for number in 0..hours {
            let start = now.offset(-i64::from(hours - number) * HOUR);
            let mut segment = fixture::segment(0, Span::new(start, start.offset(HOUR)));
            (segment.id, segment.camera) = (id(camera, number), camera.clone());
            (segment.sequence, segment.run) = (number, RunId(7));
            let path = Place::new(camera.clone(), start, segment.run, number).relative_path();
            for volume in [&self.primary, &self.mirror]
                .into_iter()
                .take(if is_mirrored { 2 } else { 1 })
            {
                let file = volume.create_new(&path).unwrap();
                fs::write(&file, vec![number as u8; SIZE as usize]).unwrap();
                segment.copies.push(Copy {
                    volume: volume.id(),
                    path: path.clone(),
                    size_bytes: SIZE,
                    sha256: Some(make_durable(&file).unwrap().sha256),
                    state: CopyState::Whole,
                });
            }
            self.index
                .write_blocking(move |writer| writer.close_segment(&segment))
                .unwrap();
        }
    }

    /// Which hours of a camera lie on a volume as files, whatever the index says.
    fn files(&self, volume: &Volume, camera: &CameraId) -> usize {
        let mut pending: Vec<PathBuf> = vec![volume.root().join(camera.as_str())];
        let mut count = 0;
        while let Some(directory) = pending.pop() {
            let entries = fs::read_dir(directory).into_iter().flatten();
            for path in entries.map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true => pending.push(path),
                    false => count += 1,
                }
            }
        }
        count
    }

    /// The hours of a camera that have a row, by number.
    fn rows(&self, camera: &CameraId, of: u32) -> Vec<u32> {
        let has_row = |number: &u32| {
            let id = id(camera, *number);
            self.index.read_blocking(|reader| reader.segment(id)).unwrap().is_some()
        };
        (0..of).filter(has_row).collect()
    }

    async fn task(&self, role: VolumeRole, rules: Rules) -> Task {
        let (tell, news) = unbounded_channel();
        let words: Arc<Mutex<Vec<Word>>> = Arc::default();
        let hears = Arc::clone(&words);
        let retention = Retention::new(role, rules);
        let setting = Setting {
            index: self.index.clone(),
            clock: self.clock.clone(),
            news: tell,
            role,
            rules,
            reserve: None,
            hears: Arc::new(move |word| hears.lock().unwrap().push(word)),
        };
        let volume = match role {
            VolumeRole::Primary => &self.primary,
            VolumeRole::Mirror => &self.mirror,
        };
        retention.use_volume(Some(Arc::clone(volume)));
        Task {
            desk: retention.desk(setting, Shutdown::new()).await,
            retention,
            news,
            words,
        }
    }
}

impl Task {
    /// A minute passes, and every rule is applied.
    async fn minute(&mut self, site: &Site) -> Status {
        site.clock.advance(Duration::from_secs(60));
        self.desk.turn().await;
        self.retention.status()
    }

    fn told(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Ok(News::Happened(event)) = self.news.try_recv() {
            told.push(event);
        }
        told
    }
}

fn cap(bytes: u64) -> Rules {
    Rules {
        max_bytes: Some(bytes),
        min_free_bytes: Some(0),
        keep: None,
    }
}

#[tokio::test]
async fn a_cap_takes_the_oldest_of_who_holds_the_most_and_what_is_held_stays() {
    let site = Site::new();
    let yard = site.add_camera("yard", |_| {});
    site.record(&door(), 300, false);
    site.record(&yard, 20, false);
    let (first, eleventh) = (id(&door(), 0), id(&door(), 10));
    site.index
        .write_blocking(move |writer| {
            let start = writer.segment(first)?.unwrap().span;
            writer.lock_segments(&door(), Span::new(start.start, start.start.offset(1)))?;
            writer.hold_for_tests(eleventh)
        })
        .unwrap();
    let mut task = site.task(VolumeRole::Primary, cap(50 * SIZE)).await;
    let status = task.minute(&site).await;
    let kept: Vec<u32> = [0, 10].into_iter().chain(272..300).collect();
    assert_eq!(site.rows(&door(), 300), kept);
    assert_eq!(site.rows(&yard, 20).len(), 20, "who holds less keeps its own");
    assert_eq!(
        (site.files(&site.primary, &door()), site.files(&site.primary, &yard)),
        (30, 20)
    );
    assert_eq!(
        (status.held_segments, status.held_bytes, status.deleted_segments),
        (50, 50 * SIZE, 270)
    );
    assert_eq!(status.problem, None);
    let told = task.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("let 270 segments"), "{told:?}");
    task.minute(&site).await;
    assert_eq!((site.rows(&door(), 300).len(), task.told().len()), (30, 0));
}

#[tokio::test]
async fn a_quota_is_its_cameras_and_a_removed_camera_goes_with_its_last_footage() {
    let site = Site::new();
    let yard = site.add_camera("yard", |camera| {
        camera.storage_quota_bytes = Some(5 * SIZE);
        camera.minimum_hours = 100;
    });
    site.record(&door(), 30, false);
    site.record(&yard, 20, false);
    let mut task = site.task(VolumeRole::Primary, Rules::default()).await;
    task.minute(&site).await;
    assert_eq!(
        (site.rows(&door(), 30).len(), site.rows(&yard, 20)),
        (30, vec![15, 16, 17, 18, 19])
    );
    let now = site.clock.now();
    site.index
        .write_blocking(move |writer| writer.delete_camera(&door(), now))
        .unwrap();
    task.retention.set_rules(cap(0));
    for _ in 0..2 {
        task.minute(&site).await;
    }
    let index = site.index.clone();
    index.write_blocking(|_| Ok(())).unwrap();
    let left = index.read_blocking(|reader| reader.camera_ids()).unwrap();
    assert_eq!((site.files(&site.primary, &door()), left), (0, vec![yard]));
}

#[tokio::test]
async fn nobody_chose_a_time_so_nothing_goes_by_age_and_a_chosen_time_counts_from_the_newest_footage() {
    let site = Site::new();
    let yard = site.add_camera("yard", |camera| camera.retention_hours = Some(10));
    let kept = site.add_camera("kept", |camera| {
        camera.retention_hours = Some(1);
        camera.minimum_hours = 15;
    });
    for camera in [&door(), &yard, &kept] {
        site.record(camera, 20, false);
    }
    let mut task = site.task(VolumeRole::Primary, Rules::default()).await;
    // A box that was switched off and on: nothing newer is recorded.
    site.clock.advance(Duration::from_secs(3 * 3600));
    let status = task.minute(&site).await;
    assert_eq!(site.rows(&door(), 20).len(), 20);
    assert_eq!((site.rows(&yard, 20).len(), site.rows(&kept, 20).len()), (10, 15));
    assert_eq!(
        (status.deleted_segments, status.lag),
        (15, Duration::from_secs(10 * 3600))
    );
    assert_eq!(task.minute(&site).await.lag, Duration::ZERO);
}

#[tokio::test]
async fn a_clock_that_is_set_forward_deletes_nothing_and_much_that_is_too_old_at_once_waits_a_day() {
    let site = Site::new();
    let yard = site.add_camera("yard", |camera| camera.retention_hours = Some(100));
    site.record(&yard, 100, false);
    let mut task = site.task(VolumeRole::Primary, Rules::default()).await;
    task.minute(&site).await;
    site.clock.step(2400 * HOUR);
    // Something is recorded by the new time.
    let mut later = fixture::segment(99, Span::new(site.clock.now(), site.clock.now().offset(HOUR)));
    later.camera = yard.clone();
    site.index
        .write_blocking(move |writer| writer.close_segment(&later))
        .unwrap();
    for _ in 0..70 {
        task.minute(&site).await;
    }
    assert_eq!(site.rows(&yard, 100).len(), 100);
    let told = task.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("look whether the clock is right"), "{told:?}");
    // A restart goes on waiting; what is written later is written by then.
    site.index.write_blocking(|_| Ok(())).unwrap();
    let mut task = site.task(VolumeRole::Primary, Rules::default()).await;
    assert!(task.desk.ages.waited() >= Some(Duration::from_secs(300)));
    for _ in 0..1420 {
        task.minute(&site).await;
    }
    assert_eq!(site.rows(&yard, 100).len(), 100);
    for _ in 0..20 {
        task.minute(&site).await;
    }
    assert!(
        task.desk.ages.waited().is_none(),
        "{:?} {:?}",
        task.desk.ages,
        task.retention.status()
    );
    assert_eq!(site.rows(&yard, 100), Vec::<u32>::new(), "a person had a day to look");
}

#[tokio::test]
async fn a_mirror_lets_the_oldest_go_but_not_the_last_copy_unless_its_time_is_over() {
    let site = Site::new();
    site.record(&door(), 20, true);
    let (own, lost) = (site.primary.id(), id(&door(), 2));
    site.index
        .write_blocking(move |writer| writer.set_copy_state(lost, own, CopyState::Missing))
        .unwrap();
    let mut task = site.task(VolumeRole::Mirror, cap(15 * SIZE)).await;
    task.minute(&site).await;
    let on_mirror = |number: &u32| {
        let id = id(&door(), *number);
        let row = site.index.read_blocking(|reader| reader.segment(id)).unwrap();
        row.is_some_and(|row| row.copies.iter().any(|copy| copy.volume == site.mirror.id()))
    };
    let held: Vec<u32> = (0..20).filter(on_mirror).collect();
    let expected: Vec<u32> = [2].into_iter().chain(6..20).collect();
    assert_eq!(held, expected);
    assert_eq!(
        (site.rows(&door(), 20).len(), site.files(&site.mirror, &door())),
        (20, 15)
    );
    {
        let words = task.words.lock().unwrap();
        let first = id(&door(), 5);
        let start = site
            .index
            .read_blocking(|reader| reader.segment(first))
            .unwrap()
            .unwrap()
            .span
            .start;
        assert_eq!(
            (words[0].let_go, words[0].is_changed, words[0].is_stuck),
            (Some(start), true, false)
        );
    }
    // Whatever the primary let go by its rules is no last copy any more.
    let mut primary = site.task(VolumeRole::Primary, cap(12 * SIZE)).await;
    primary.minute(&site).await;
    assert_eq!(site.files(&site.primary, &door()), 12);
    task.retention.set_rules(cap(13 * SIZE));
    task.minute(&site).await;
    assert_eq!(site.files(&site.mirror, &door()), 13);
    // Its own age rule takes the last copy too, and that is told.
    let old = Rules {
        keep: Some(Duration::from_secs(10 * 3600)),
        ..Rules::default()
    };
    let number = id(&door(), 8);
    site.index
        .write_blocking(move |writer| writer.set_copy_state(number, own, CopyState::Missing))
        .unwrap();
    task.told();
    task.retention.set_rules(old);
    task.minute(&site).await;
    assert_eq!(site.files(&site.mirror, &door()), 10);
    let told = task.told();
    assert!(
        told.iter()
            .any(|event| event.message.contains("of 1 no other copy is left")),
        "{told:?}"
    );
}

#[tokio::test]
async fn room_for_something_is_made_of_what_is_older_than_it_and_of_nothing_else() {
    let site = Site::new();
    site.record(&door(), 20, true);
    let mut task = site.task(VolumeRole::Mirror, cap(20 * SIZE)).await;
    task.minute(&site).await;
    let start_of = |number| {
        let id = id(&door(), number);
        site.index
            .read_blocking(|reader| reader.segment(id))
            .unwrap()
            .unwrap()
            .span
            .start
    };
    task.retention.make_room_for(start_of(3), 6 * SIZE);
    task.desk.turn().await;
    assert_eq!(site.files(&site.mirror, &door()), 17);
    assert!(task.words.lock().unwrap().last().unwrap().is_stuck);
    task.retention.make_room_for(start_of(19), 6 * SIZE);
    task.desk.turn().await;
    assert_eq!(site.files(&site.mirror, &door()), 14);
    assert!(!task.words.lock().unwrap().last().unwrap().is_stuck);
}

#[tokio::test]
async fn footage_that_is_all_held_is_told_once_and_stays() {
    let site = Site::new();
    site.record(&door(), 4, false);
    for number in 0..4 {
        let held = id(&door(), number);
        site.index
            .write_blocking(move |writer| writer.hold_for_tests(held))
            .unwrap();
    }
    let mut task = site.task(VolumeRole::Primary, cap(SIZE)).await;
    for _ in 0..3 {
        let status = task.minute(&site).await;
        assert!(status.problem.unwrap().contains("nothing on it may go"));
    }
    let told = task.told();
    assert_eq!((told.len(), site.files(&site.primary, &door())), (1, 4), "{told:?}");
    assert!(told[0].message.contains("release what is held"), "{told:?}");
}

#[tokio::test]
async fn a_held_time_stays_until_its_hold_is_over() {
    let site = Site::new();
    site.record(&door(), 10, false);
    let now = site.clock.now();
    let third = now.offset(-8 * HOUR);
    let hold = Hold {
        id: HoldId(uuid::Uuid::from_u128(1)),
        cameras: vec![door()],
        span: Span::new(third.offset(1), third.offset(2)),
        segment: None,
        reason: "theft".into(),
        owner: "somebody".into(),
        incident: None,
        created_at: now,
        expires_at: Some(now),
    };
    let later = Hold {
        expires_at: Some(now.offset(HOUR / 2)),
        ..hold
    };
    site.index
        .write_blocking(move |writer| writer.insert_hold(&later))
        .unwrap();
    let mut task = site.task(VolumeRole::Primary, cap(3 * SIZE)).await;
    task.minute(&site).await;
    assert_eq!(site.rows(&door(), 10), [2, 8, 9]);
    // Nothing is recorded any more: what the wall clock says alone ends no hold.
    site.clock.advance(Duration::from_secs(3600));
    task.minute(&site).await;
    assert_eq!(site.rows(&door(), 10), [2, 8, 9]);
    let newest = site.clock.now();
    let mut segment = fixture::segment(77, Span::new(newest.offset(-HOUR), newest));
    (segment.camera, segment.run) = (door(), RunId(8));
    site.index
        .write_blocking(move |writer| writer.close_segment(&segment))
        .unwrap();
    task.minute(&site).await;
    assert_eq!(site.index.read_blocking(|reader| reader.holds()).unwrap(), []);
    task.retention.set_rules(cap(2 * SIZE));
    task.minute(&site).await;
    assert!(!site.rows(&door(), 10).contains(&2), "it goes by the rules again");
}
