//! The engine on real directories and a real index.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;

use super::{Engine, Limits, Mirror, MirrorError, Setting, Stand, Status};
use crate::index::{Index, KnownVolume, LetGo};
use crate::model::{
    Camera, CameraId, Copy, CopyState, Event, EventKind, Fault, News, Seal, Segment, SegmentId, Span, Timestamp,
    VolumeId, VolumeRole, fixture,
};
use crate::runtime::{Clock, Shutdown, SystemClock, Tasks, pause};
use crate::storage::{MirrorWriter, Place, Volume, make_durable};

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

/// What retention leaves a mirror of which it wants nothing.
fn no_limits() -> Limits {
    Limits {
        floor_bytes: 0,
        max_bytes: None,
        cutoff: Timestamp::MIN,
        let_go: None,
        is_changed: false,
        problem: None,
        is_stuck: false,
    }
}

/// A running engine.
struct Run {
    mirror: Mirror,
    shutdown: Shutdown,
    tasks: Tasks,
}

/// A box with a primary and a place for a mirror.
struct Site {
    room: tempfile::TempDir,
    index: Index,
    primary: Arc<Volume>,
    events: Arc<Mutex<Vec<Event>>>,
    is_busy: Arc<AtomicBool>,
    runtime: Runtime,
    run: Option<Run>,
}

#[track_caller]
fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(found) = look() {
            return found;
        }
        pause(Duration::from_millis(10));
    }
    panic!("not within 30 s: {what}")
}

fn minute(number: u32) -> Timestamp {
    SystemClock
        .now()
        .minus(Duration::from_secs(86_400))
        .offset(i64::from(number) * 60_000_000_000)
}

fn id(number: u32) -> SegmentId {
    fixture::segment(u128::from(number), Span::new(Timestamp::EPOCH, Timestamp::EPOCH)).id
}

impl Site {
    fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let index = Index::open(room.path().join("index.db"), Arc::new(Open)).unwrap();
        let primary = Volume::open(&room.path().join("primary"), VolumeRole::Primary, Timestamp::EPOCH).unwrap();
        let row = KnownVolume {
            id: primary.id(),
            role: VolumeRole::Primary,
            root: "primary".into(),
            created_at: Timestamp::EPOCH,
        };
        index
            .write_blocking(move |writer| {
                writer.put_volume(&row)?;
                let mut camera = Camera::new(CameraId::parse("door").unwrap(), "Door".into(), Timestamp::EPOCH);
                camera.mirror_enabled = true;
                camera.main_stream_url = Some("rtsp://127.0.0.1/1".into());
                writer.insert_camera(&camera)
            })
            .unwrap();
        Self {
            primary: Arc::new(primary),
            index,
            events: Arc::default(),
            is_busy: Arc::default(),
            runtime: Runtime::new().unwrap(),
            run: None,
            room,
        }
    }

    fn root(&self) -> PathBuf {
        self.room.path().join("mirror")
    }

    /// Starts the engine; what it tells is written as the timeline would.
    fn start(&mut self, root: &Path, bytes_per_second: u64) {
        let (news, mut hears) = unbounded_channel();
        let (tell, told) = unbounded_channel();
        let clock = SystemClock::shared();
        let is_busy = Arc::clone(&self.is_busy);
        let setting = Setting {
            root: root.to_owned(),
            index: self.index.clone(),
            primary: Arc::clone(&self.primary),
            writer: Arc::new(MirrorWriter::start(1 << 20, clock.clone(), tell).unwrap()),
            news,
            clock,
            bytes_per_second,
            is_busy: Arc::new(move || is_busy.load(Ordering::Relaxed)),
            opened: Arc::new(|_| {}),
            make_room: Arc::new(|_| {}),
        };
        let (engine, mirror) = Engine::new(setting, told);
        mirror.follow(no_limits());
        let (shutdown, mut tasks) = (Shutdown::new(), Tasks::new());
        let (index, events) = (self.index.clone(), Arc::clone(&self.events));
        let _inside = self.runtime.enter();
        tasks.spawn("news", async move {
            while let Some(one) = hears.recv().await {
                match one {
                    News::Copied { segment, copy } => {
                        index
                            .write(move |writer| writer.put_copy(segment, &copy))
                            .await
                            .unwrap();
                    }
                    News::Happened(event) => events.lock().unwrap().push(event),
                    other => panic!("{other:?} is nothing that a mirror tells"),
                }
            }
        });
        tasks.spawn("mirror", engine.run(shutdown.clone(), shutdown.clone()));
        self.run = Some(Run {
            mirror,
            shutdown,
            tasks,
        });
    }

    fn stop(&mut self) {
        let run = self.run.take().unwrap();
        run.shutdown.ask();
        assert!(self.runtime.block_on(run.tasks.join_all(Duration::from_secs(10))));
    }

    fn mirror(&self) -> &Mirror {
        &self.run.as_ref().unwrap().mirror
    }

    #[track_caller]
    fn wait_until_status(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        wait_until(what, || Some(self.mirror().status()).filter(&is_so))
    }

    #[track_caller]
    fn wait_until_caught_up(&self) -> Status {
        self.wait_until_status("the mirror to catch up", |status| status.stand == Stand::CaughtUp)
    }

    /// Footage of a minute on the primary.
    fn record(&self, number: u32) -> String {
        let span = Span::new(minute(number), minute(number + 1));
        let mut segment = fixture::segment(u128::from(number), span);
        let path = Place::new(segment.camera.clone(), span.start, segment.run, number).relative_path();
        let file = self.primary.create_new(&path).unwrap();
        fs::write(&file, vec![number as u8; 1000]).unwrap();
        let durable = make_durable(&file).unwrap();
        segment.sequence = number;
        segment.copies.push(Copy {
            volume: self.primary.id(),
            path: path.clone(),
            size_bytes: durable.size_bytes,
            sha256: Some(durable.sha256),
            state: CopyState::Whole,
        });
        self.index
            .write_blocking(move |writer| writer.close_segment(&segment))
            .unwrap();
        path
    }

    fn segment(&self, number: u32) -> Segment {
        let found = self.index.read_blocking(|reader| reader.segment(id(number)));
        found.unwrap().unwrap()
    }

    /// How far a segment's copies can be believed: the primary's and the mirror's.
    fn states(&self, number: u32) -> (Option<CopyState>, Option<CopyState>) {
        let copies = self.segment(number).copies;
        let state =
            |is_ours: &dyn Fn(VolumeId) -> bool| copies.iter().find(|copy| is_ours(copy.volume)).map(|copy| copy.state);
        let primary = self.primary.id();
        (state(&|id| id == primary), state(&|id| id != primary))
    }

    #[track_caller]
    fn wait_until_states(&self, number: u32, states: (CopyState, CopyState)) {
        wait_until(&format!("segment {number} to be {states:?}"), || {
            (self.states(number) == (Some(states.0), Some(states.1))).then_some(())
        });
    }

    fn told(&self, kind: EventKind) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let of_kind = events.iter().filter(|event| event.kind == kind);
        of_kind.map(|event| event.message.clone()).collect()
    }

    #[track_caller]
    fn assert_same(&self, path: &str) {
        let (ours, theirs) = (self.primary.absolute(path), self.root().join(path));
        assert_eq!(fs::read(ours).unwrap(), fs::read(theirs).unwrap(), "{path}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            run.shutdown.ask();
            self.runtime.block_on(run.tasks.join_all(Duration::from_secs(10)));
        }
    }
}

const WHOLE: (CopyState, CopyState) = (CopyState::Whole, CopyState::Whole);

#[test]
fn what_a_mirror_missed_is_copied_when_it_comes_and_both_are_told_once() {
    let mut site = Site::new();
    let paths: Vec<String> = (0..20).map(|number| site.record(number)).collect();
    // Only the last directory of a mirror is made, so this disk is not there yet.
    let disk = site.room.path().join("disk");
    let root = disk.join("mirror");
    site.start(&root, 0);
    let absent = site.wait_until_status("the mirror to be missed", |status| {
        let reason = status.reason.as_deref().unwrap_or_default();
        status.stand == Stand::Absent && status.owed.segments == 20 && reason.contains("is not there")
    });
    assert_eq!(
        (absent.owed.bytes, absent.owed.oldest),
        (20_000, Some(site.segment(0).span.start))
    );
    let refused = site.mirror().verify().unwrap_err();
    assert_eq!(refused.fault(), Fault::Unavailable);
    fs::create_dir(&disk).unwrap();
    let status = site.wait_until_caught_up();
    assert_eq!(
        (status.owed.segments, status.copied_segments, status.copied_bytes),
        (0, 20, 20_000)
    );
    assert_eq!(
        (status.held.segments, status.held.bytes, status.left_behind),
        (20, 20_000, 0)
    );
    for (number, path) in (0..).zip(&paths) {
        assert_eq!(
            fs::read(site.primary.absolute(path)).unwrap(),
            fs::read(root.join(path)).unwrap()
        );
        site.wait_until_states(number, WHOLE);
    }
    let lost = site.told(EventKind::MirrorLost);
    assert_eq!(lost.len(), 1, "{lost:?}");
    let caught_up = site.told(EventKind::MirrorCaughtUp);
    assert!(
        caught_up.len() == 1 && caught_up[0].contains("20 segments"),
        "{caught_up:?}"
    );
    assert_eq!(fs::read_dir(root.join(".camkeep-copy")).unwrap().count(), 0);
    // A segment that is recorded while all is well and was missed follows without a word.
    site.record(20);
    site.wait_until_status("the next to be copied", |status| status.copied_segments == 21);
    assert_eq!(site.told(EventKind::MirrorLost).len(), 1);
}

#[test]
fn a_restart_goes_on_where_it_was_and_takes_what_is_there() {
    let mut site = Site::new();
    let paths: Vec<String> = (0..6).map(|number| site.record(number)).collect();
    let root = site.root();
    site.start(&root, 0);
    site.wait_until_caught_up();
    site.stop();
    // As a kill leaves things: a copy of which no row tells, half a copy under its name, half a copy under a hidden one.
    let volume = self::volume_of(&site);
    for number in [2, 3] {
        site.index
            .write_blocking(move |writer| writer.let_go(LetGo::OfMirror(id(number), volume, false)))
            .unwrap();
    }
    fs::write(root.join(&paths[3]), [3; 400]).unwrap();
    fs::write(root.join(".camkeep-copy/torn"), b"x").unwrap();
    let adopted = fs::metadata(root.join(&paths[2])).unwrap().ino();
    site.start(&root, 0);
    let status = site.wait_until_status("both to be there again", |status| status.copied_segments == 2);
    assert_eq!(status.volume, Some(volume));
    for (number, path) in (0..).zip(&paths) {
        site.wait_until_states(number, WHOLE);
        site.assert_same(path);
    }
    assert_eq!(
        fs::metadata(root.join(&paths[2])).unwrap().ino(),
        adopted,
        "what is right is not written anew"
    );
    assert!(!root.join(".camkeep-copy/torn").exists());
    assert_eq!(site.told(EventKind::MirrorLost), Vec::<String>::new());
}

fn volume_of(site: &Site) -> VolumeId {
    let known = site.index.read_blocking(|reader| reader.volumes()).unwrap();
    known
        .iter()
        .find(|volume| volume.role == VolumeRole::Mirror)
        .unwrap()
        .id
}

#[test]
fn verifying_finds_what_changed_on_either_side_and_heals_it() {
    let mut site = Site::new();
    let paths: Vec<String> = (0..6).map(|number| site.record(number)).collect();
    let root = site.root();
    site.start(&root, 0);
    site.wait_until_caught_up();
    fs::write(root.join(&paths[0]), [9; 1000]).unwrap();
    fs::remove_file(root.join(&paths[1])).unwrap();
    fs::write(site.primary.absolute(&paths[2]), [9; 1000]).unwrap();
    fs::remove_file(site.primary.absolute(&paths[3])).unwrap();
    // Of this one nothing is left that could be believed.
    fs::write(root.join(&paths[4]), [9; 1000]).unwrap();
    fs::write(site.primary.absolute(&paths[4]), [8; 1000]).unwrap();
    let begun = site.mirror().verify().unwrap();
    assert!(begun.verify.unwrap().is_running());
    let again = site.mirror().verify();
    assert!(matches!(again, Err(MirrorError::Running { .. })) || !site.mirror().status().verify.unwrap().is_running());
    let status = site.wait_until_status("the end of it", |status| {
        status.verify.is_some_and(|tour| !tour.is_running())
    });
    let tour = status.verify.unwrap();
    assert_eq!((tour.segments, tour.done), (6, 6), "{tour:?}");
    assert_eq!(
        (tour.mirror_wrong, tour.primary_wrong, tour.healed),
        (3, 3, 4),
        "{tour:?}"
    );
    assert_eq!((tour.lost, tour.failed), (1, 0), "{tour:?}");
    for number in [0, 1, 2, 3, 5] {
        site.wait_until_states(number, WHOLE);
        site.assert_same(&paths[number as usize]);
        assert_eq!(
            fs::read(root.join(&paths[number as usize])).unwrap(),
            vec![number as u8; 1000]
        );
    }
    site.wait_until_states(4, (CopyState::Suspect, CopyState::Suspect));
    let quarantined = site.primary.absolute(&format!(".quarantine/{}", paths[2]));
    assert_eq!(fs::read(&quarantined).unwrap(), [9; 1000]);
    let reason = fs::read_to_string(
        quarantined.with_file_name(format!("{}.reason", quarantined.file_name().unwrap().to_str().unwrap())),
    );
    assert!(reason.unwrap().contains("from the mirror"));
}

#[test]
fn what_the_primary_lacks_is_restored_from_the_mirror() {
    let mut site = Site::new();
    let paths: Vec<String> = (0..5).map(|number| site.record(number)).collect();
    let root = site.root();
    site.start(&root, 0);
    site.wait_until_caught_up();
    let primary = site.primary.id();
    site.index
        .write_blocking(move |writer| writer.set_copy_state(id(2), primary, CopyState::Suspect))
        .unwrap();
    // Nobody has missed these yet.
    fs::remove_file(site.primary.absolute(&paths[1])).unwrap();
    fs::remove_file(site.primary.absolute(&paths[3])).unwrap();
    fs::write(site.primary.absolute(&paths[4]), b"cut").unwrap();
    // And this copy is none any more.
    fs::write(root.join(&paths[3]), b"noise").unwrap();
    site.mirror().restore().unwrap();
    let status = site.wait_until_status("the end of it", |status| {
        status.restore.is_some_and(|tour| !tour.is_running())
    });
    let tour = status.restore.unwrap();
    assert_eq!(
        (tour.segments, tour.done, tour.healed, tour.lost),
        (5, 5, 3, 1),
        "{tour:?}"
    );
    for number in [1, 2, 4] {
        site.wait_until_states(number, WHOLE);
        site.assert_same(&paths[number as usize]);
    }
    site.wait_until_states(3, (CopyState::Missing, CopyState::Suspect));
}

#[test]
fn a_recording_that_is_not_what_it_was_is_not_copied_and_not_trusted() {
    let mut site = Site::new();
    let paths: Vec<String> = (0..3).map(|number| site.record(number)).collect();
    fs::write(site.primary.absolute(&paths[0]), b"noise").unwrap();
    fs::remove_file(site.primary.absolute(&paths[1])).unwrap();
    let root = site.root();
    site.start(&root, 0);
    site.wait_until_caught_up();
    wait_until("both to be distrusted", || {
        (site.states(0).0 == Some(CopyState::Suspect) && site.states(1).0 == Some(CopyState::Missing)).then_some(())
    });
    site.wait_until_states(2, WHOLE);
    assert!(!root.join(&paths[0]).exists() && !root.join(&paths[1]).exists());
}

#[test]
fn copying_waits_while_clips_are_made() {
    let mut site = Site::new();
    site.record(0);
    site.is_busy.store(true, Ordering::Relaxed);
    let root = site.root();
    site.start(&root, 0);
    let status = site.wait_until_status("the mirror to be there and to wait", |status| {
        status.stand == Stand::Behind && status.is_paused && status.volume.is_some()
    });
    assert_eq!((status.owed.segments, status.copied_segments), (1, 0));
    site.is_busy.store(false, Ordering::Relaxed);
    site.wait_until_caught_up();
}

#[test]
fn copying_goes_no_faster_than_it_may() {
    let mut site = Site::new();
    (0..4).for_each(|number| drop(site.record(number)));
    let root = site.root();
    let begun = SystemClock.instant();
    site.start(&root, 2000);
    site.wait_until_caught_up();
    let took = SystemClock.instant().since(begun);
    assert!(took >= Duration::from_secs(2), "4000 bytes took {took:?}");
}

#[test]
fn an_unplugged_mirror_is_noticed_in_five_seconds_and_nothing_lands_beneath_it() {
    let mut site = Site::new();
    site.record(0);
    let root = site.root();
    site.start(&root, 0);
    site.wait_until_caught_up();
    let unplugged = site.room.path().join("unplugged");
    fs::rename(&root, &unplugged).unwrap();
    fs::create_dir(&root).unwrap();
    let at = SystemClock.instant();
    let status = site.wait_until_status("it to be missed", |status| status.stand == Stand::Absent);
    let took = SystemClock.instant().since(at);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(status.reason.unwrap().contains("unmounted or moved"));
    let path = site.record(1);
    site.wait_until_status("it to be owed", |status| status.owed.segments == 1);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    fs::remove_dir(&root).unwrap();
    fs::rename(&unplugged, &root).unwrap();
    site.wait_until_caught_up();
    site.assert_same(&path);
    assert_eq!(site.told(EventKind::MirrorLost).len(), 1);
    assert_eq!(
        site.told(EventKind::MirrorCaughtUp).len(),
        2,
        "once for each time that it had something to do"
    );
}

#[test]
fn a_disk_that_replaces_a_dead_one_is_taken_when_a_person_says_so_and_gets_everything() {
    let mut site = Site::new();
    let paths: Vec<String> = (0..3).map(|number| site.record(number)).collect();
    let root = site.root();
    site.start(&root, 0);
    let first = site.wait_until_caught_up().volume;
    assert_eq!(site.mirror().replace().unwrap_err().fault(), Fault::Conflict);
    site.stop();
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
    site.start(&root, 0);
    let status = site.wait_until_status("it to be refused", |status| {
        status
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("empty mount point"))
    });
    assert_eq!(status.stand, Stand::Absent);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    site.mirror().replace().unwrap();
    let status = site.wait_until_caught_up();
    assert!(status.volume.is_some() && status.volume != first);
    assert_eq!((status.copied_segments, status.held.segments), (3, 3));
    paths.iter().for_each(|path| site.assert_same(path));
}
