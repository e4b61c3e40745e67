//! Files that a killed recording leaves behind: what of them can be read, and what they become.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use camkeep::check::{Check, Mode, Report, Survey};
use camkeep::index::Index;
use camkeep::model::*;
use camkeep::pipeline::Catalog;
use camkeep::runtime::{Shutdown, SystemClock};
use camkeep::storage::*;
use uuid::Uuid;

use crate::left::*;

#[test]
fn what_the_walk_reads_is_what_was_recorded() {
    for kind in [H264, H264_B, H264_SOUND, H265] {
        let left = record(kind);
        let truth = of(&left.units, Track::Video);
        assert_eq!(truth.len(), FRAMES);
        let closed = Movie::read(&left.closed).unwrap();
        assert!(closed.is_whole(), "{:?}", closed.shape);
        let read_back = read(&left.closed, Track::Video);
        assert!(payloads(&read_back) == payloads(&truth), "{}", kind.encoder);
        assert_eq!(closed.duration(), 4_400_000_000);
        assert_eq!(referee(&left.closed), FRAMES as u64);
        for (is, was) in read_back.iter().zip(&truth) {
            assert!((is.pts - (was.pts - truth[0].pts)).abs() < 1_000_000, "{is:?} {was:?}");
            assert_eq!(is.keyframe, was.keyframe);
        }
        let open = Movie::read(&left.open).unwrap();
        assert_eq!(open.shape, FileShape::Fragmented);
        let part = read(&left.open, Track::Video);
        assert!(payloads(&part) == payloads(&truth[..part.len()]));
        if kind.sound {
            let sound = of(&left.units, Track::Audio);
            let read_back = read(&left.closed, Track::Audio);
            assert!(
                payloads(&read_back) == payloads(&sound),
                "{} {}",
                read_back.len(),
                sound.len()
            );
        }
    }
}

#[test]
fn units_become_a_plain_file_with_every_frame() {
    for kind in [H264, H264_B, H264_SOUND, H265] {
        let left = record(kind);
        let target = left.open.with_file_name("mended.mp4");
        let mended = mend_units(&left.caps, &left.units, &target);
        assert_eq!(mended.frames, FRAMES as u64);
        assert!(Movie::read(&target).unwrap().is_whole());
        assert_eq!(referee(&target), FRAMES as u64);
        let truth = of(&left.units, Track::Video);
        let read_back = read(&target, Track::Video);
        assert!(payloads(&read_back) == payloads(&truth));
        for (is, was) in read_back.iter().zip(&truth) {
            assert!(
                (is.pts - (was.pts - truth[0].pts)).abs() < 30_000,
                "{} {}",
                is.pts,
                was.pts - truth[0].pts
            );
        }
        if kind.sound {
            assert!(payloads(&read(&target, Track::Audio)) == payloads(&of(&left.units, Track::Audio)));
        }
    }
}

/// A box after a kill: a data directory with one segment of one camera in it.
struct Killed {
    directory: tempfile::TempDir,
    index: Index,
    volume: Arc<Volume>,
    segment: Segment,
    path: String,
}

const START: &str = "2026-11-20T10:30:00.125Z";

impl Killed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let start = Timestamp::parse(START).unwrap();
        let volume = Volume::open(&directory.path().join("recordings"), VolumeRole::Primary, start).unwrap();
        let index = open_index(directory.path());
        let known = camkeep::index::KnownVolume {
            id: volume.id(),
            role: VolumeRole::Primary,
            root: volume.root().to_str().unwrap().to_owned(),
            created_at: start,
        };
        index.write_blocking(move |writer| writer.put_volume(&known)).unwrap();
        let segment = Segment {
            id: SegmentId(Uuid::new_v4()),
            camera: CameraId::parse("yard").unwrap(),
            run: RunId(0x00c0_ffee),
            sequence: 3,
            span: Span::new(start, start.offset(2_000_000_000)),
            holes: Vec::new(),
            format: VideoFormat {
                codec: Codec::H264,
                width: 192,
                height: 128,
                fps: Some(25.0),
            },
            has_audio: false,
            container: Container::Mp4,
            state: SegmentState::Open,
            origin: Origin::Live,
            clock: ClockSource::Arrival,
            camera_clock: None,
            lost_packets: 0,
            frames: 50,
            created_at: start,
            copies: vec![],
        };
        let path = Place::new(segment.camera.clone(), start, segment.run, segment.sequence).relative_path();
        Self {
            directory,
            index,
            volume: Arc::new(volume),
            segment,
            path,
        }
    }

    fn put_row(&mut self, with_copy: bool) {
        if with_copy {
            self.segment.copies = vec![Copy {
                volume: self.volume.id(),
                path: self.path.clone(),
                size_bytes: 1000,
                sha256: None,
                state: CopyState::Open,
            }];
        }
        let segment = self.segment.clone();
        self.index
            .write_blocking(move |writer| writer.open_segment(&segment))
            .unwrap();
    }

    fn put_file(&self, bytes: &[u8]) {
        fs::write(self.volume.create_new(&self.path).unwrap(), bytes).unwrap();
    }

    fn put_journal(&self, caps: &TrackCaps, units: &[Unit]) -> PathBuf {
        let place = TailPlace {
            camera: self.segment.camera.clone(),
            run: self.segment.run,
            sequence: self.segment.sequence,
        };
        let path = place.path(self.directory.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let header = header_of(&self.segment, caps, units[0].pts);
        let mut journal = JournalWriter::create(&path, &header).unwrap();
        let mut expected = 0;
        for unit in units {
            // A hole is where the distance says that frames are missing, as the recorder would tell it.
            if unit.track == Track::Video {
                if expected != 0 && unit.dts > expected + 60_000_000 {
                    journal.append_hole(1).unwrap();
                }
                expected = unit.dts;
            }
            journal.append(unit).unwrap();
        }
        path
    }

    /// What a start does; the timeline's part, writing the news down, is done here by hand.
    fn check(&self, mode: Mode) -> Report {
        check(&self.index, &self.volume, self.directory.path(), mode)
    }

    fn row(&self) -> Option<Segment> {
        let id = self.segment.id;
        self.index.read_blocking(move |reader| reader.segment(id)).unwrap()
    }

    fn absolute(&self) -> PathBuf {
        self.volume.absolute(&self.path)
    }

    /// The one segment is closed, whole, says who it is, and the second look finds nothing to do.
    #[track_caller]
    fn assert_mended(&self, frames: u64) -> Segment {
        let row = self.assert_stored(frames);
        let again = self.check(Mode::Mend);
        assert!(again.is_well() && again.findings.is_empty(), "{again:?}");
        row
    }

    /// The row says what the file is, and the file whose it is.
    fn assert_stored(&self, frames: u64) -> Segment {
        let row = self.row().expect("the row stays");
        assert_eq!((row.state, row.frames), (SegmentState::Closed, frames));
        let [copy] = &row.copies[..] else {
            panic!("{:?}", row.copies);
        };
        let durable = measure(&self.absolute()).unwrap();
        assert_eq!(copy.state, CopyState::Whole);
        assert_eq!(
            (copy.size_bytes, copy.sha256),
            (durable.size_bytes, Some(durable.sha256))
        );
        assert_eq!(referee(&self.absolute()), frames);
        let identity = Identity::read(&self.absolute()).unwrap().expect("it says whose it is");
        assert_eq!(identity.into_segment(row.created_at, row.copies.clone()), row);
        let names = fs::read_dir(self.absolute().parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "nothing is left beside it");
        row
    }
}

fn header_of(segment: &Segment, caps: &TrackCaps, first_pts: i64) -> JournalHeader {
    JournalHeader {
        camera: segment.camera.clone(),
        segment: segment.id,
        run: segment.run,
        sequence: segment.sequence,
        format: segment.format,
        caps: caps.clone(),
        anchor: Anchor {
            wall: segment.span.start.offset(-first_pts),
            clock: ClockSource::Arrival,
        },
        takes_over: None,
    }
}

fn open_index(data: &Path) -> Index {
    let seal = SealKey::load_or_make(&data.join("key")).unwrap();
    Index::open(data.join("index.db"), Arc::new(seal)).unwrap()
}

fn check(index: &Index, volume: &Arc<Volume>, data: &Path, mode: Mode) -> Report {
    let survey = Survey::take(index, data, &SystemClock).unwrap();
    let ingest = index.clone();
    let check = Check {
        index: index.clone(),
        volume: Arc::clone(volume),
        catalog: Arc::new(Catalog::built_in().unwrap()),
        clock: SystemClock::shared(),
        shutdown: Shutdown::new(),
        mode,
        tell: Box::new(move |news| {
            ingest
                .write_blocking(move |writer| match &news {
                    News::Closed(segment) => writer.close_segment(segment),
                    News::Vanished(id) => writer.remove_open_segment(*id).map(drop),
                    _ => Ok(()),
                })
                .unwrap();
        }),
    };
    check.run(survey)
}

fn bytes_of(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn a_kill_loses_nothing_that_the_journal_has() {
    for kind in [H264, H264_B, H264_SOUND, H265] {
        let left = record(kind);
        let mut killed = Killed::new();
        killed.put_row(true);
        killed.put_file(&bytes_of(&left.open));
        let journal = killed.put_journal(&left.caps, &left.units);
        let report = killed.check(Mode::Mend);
        assert_eq!(report.mended_from_journal, 1, "{report:?}");
        assert!(report.is_well());
        let row = killed.assert_mended(FRAMES as u64);
        assert_eq!(row.span.start, killed.segment.span.start);
        assert_eq!(row.span.duration().as_millis(), 4400);
        assert_eq!(row.has_audio, kind.sound);
        assert!(!journal.exists());
        assert!(payloads(&read(&killed.absolute(), Track::Video)) == payloads(&of(&left.units, Track::Video)));
    }
}

#[test]
fn a_kill_before_the_file_had_a_name_or_a_frame_loses_nothing_that_the_journal_has() {
    let left = record(H264);
    for with_file in [false, true] {
        let mut killed = Killed::new();
        killed.put_row(false);
        if with_file {
            killed.put_file(&bytes_of(&left.open)[..48]);
        }
        killed.put_journal(&left.caps, &left.units[..30]);
        let report = killed.check(Mode::Mend);
        assert_eq!(report.mended_from_journal, 1, "{report:?}");
        assert_eq!(killed.assert_mended(30).span.duration().as_millis(), 1200);
    }
}

#[test]
fn without_a_journal_a_kill_loses_what_was_not_in_the_file_yet_and_no_more() {
    for kind in [H264, H264_B, H264_SOUND, H265] {
        let left = record(kind);
        let frames = Movie::read(&left.open).unwrap().frames();
        assert!(frames >= 75, "{frames}");
        let mut killed = Killed::new();
        killed.put_row(true);
        killed.put_file(&bytes_of(&left.open));
        let report = killed.check(Mode::Mend);
        assert_eq!(report.mended_from_file, 1, "{report:?}");
        let row = killed.assert_mended(frames);
        // Cut between B-frames, a frame more is shown than was decoded before it.
        let length = row.span.duration().as_millis() as u64;
        assert!(
            (frames * 40..=frames * 40 + 80).contains(&length),
            "{length} ms, {frames} frames"
        );
        let truth = of(&left.units, Track::Video);
        let mended = read(&killed.absolute(), Track::Video);
        assert!(payloads(&mended) == payloads(&truth[..mended.len()]));
        for (is, was) in mended.iter().zip(&truth) {
            assert!((is.pts - (was.pts - truth[0].pts)).abs() < 1_000_000, "{is:?} {was:?}");
        }
    }
}

/// The closed file as it is in the middle of being closed: the first index renamed, the media said to reach over it,
/// the final index not there yet.
fn half_closed(closed: &Path, with_media_size: bool) -> Vec<u8> {
    let mut bytes = bytes_of(closed);
    let moov = bytes.windows(4).rposition(|four| four == b"moov").unwrap() - 4;
    bytes.truncate(moov);
    if !with_media_size {
        let hoov = bytes.windows(4).position(|four| four == b"hoov").unwrap() - 4;
        let mdat = bytes.windows(4).position(|four| four == b"mdat").unwrap() - 4;
        bytes[mdat..mdat + 4].copy_from_slice(&((hoov - mdat) as u32).to_be_bytes());
    }
    bytes
}

#[test]
fn a_kill_in_the_middle_of_closing_loses_no_frame() {
    for kind in [H264, H264_B, H265] {
        let left = record(kind);
        for (with_media_size, with_journal) in [(false, false), (true, false), (true, true)] {
            let mut killed = Killed::new();
            killed.put_row(true);
            killed.put_file(&half_closed(&left.closed, with_media_size));
            if with_journal {
                killed.put_journal(&left.caps, &left.units);
            }
            assert_eq!(Movie::read(&killed.absolute()).unwrap().shape, FileShape::HalfFinalised);
            let report = killed.check(Mode::Mend);
            assert!(report.is_well(), "{report:?}");
            // Of the very last frame only the final index tells, which is not there: without a journal it is lost.
            let row = killed.assert_mended(FRAMES as u64 - u64::from(!with_journal));
            let truth = of(&left.units, Track::Video);
            let mended = read(&killed.absolute(), Track::Video);
            assert!(payloads(&mended) == payloads(&truth[..row.frames as usize]));
        }
    }
}

#[test]
fn a_file_that_was_closed_before_the_kill_only_gets_its_row_closed() {
    let left = record(H264_B);
    let mut killed = Killed::new();
    killed.put_row(true);
    killed.put_file(&bytes_of(&left.closed));
    let journal = killed.put_journal(&left.caps, &left.units);
    let report = killed.check(Mode::Mend);
    assert_eq!((report.closed, report.findings.len()), (1, 1), "{report:?}");
    assert!(!journal.exists());
    killed.assert_mended(FRAMES as u64);
    assert!(bytes_of(&killed.absolute()).starts_with(&bytes_of(&left.closed)));
}

#[test]
fn what_journal_and_file_each_lack_the_other_gives() {
    for kind in [H264, H264_B, H264_SOUND] {
        let left = record(kind);
        let in_file = Movie::read(&left.open).unwrap().frames();
        let truth = of(&left.units, Track::Video);
        // A journal that a power cut shortened, and one that missed frames in the middle.
        let until = truth[60].dts;
        let short: Vec<Unit> = left.units.iter().filter(|unit| unit.dts < until).cloned().collect();
        let (from, to) = (truth[30].dts, truth[40].dts);
        let holed: Vec<Unit> = left
            .units
            .iter()
            .filter(|unit| unit.dts < from || unit.dts >= to)
            .cloned()
            .collect();
        for (units, frames) in [(short, in_file), (holed, FRAMES as u64)] {
            let mut killed = Killed::new();
            killed.put_row(true);
            killed.put_file(&bytes_of(&left.open));
            killed.put_journal(&left.caps, &units);
            let report = killed.check(Mode::Mend);
            assert_eq!(report.mended_from_both, 1, "{report:?}");
            killed.assert_mended(frames);
            let mended = read(&killed.absolute(), Track::Video);
            assert!(payloads(&mended) == payloads(&truth[..mended.len()]));
        }
    }
}

#[test]
fn a_file_cut_or_damaged_anywhere_gives_every_frame_before_that_or_is_put_aside() {
    let left = record(H264_B);
    let truth = of(&left.units, Track::Video);
    let truth = payloads(&truth);
    let mut luck = fastrand::Rng::with_seed(7);
    for source in [&left.open, &left.closed] {
        let whole = bytes_of(source);
        for round in 0..400 {
            let mut bytes = whole.clone();
            if round % 2 == 0 {
                bytes.truncate(luck.usize(..bytes.len()));
            } else {
                let at = luck.usize(..bytes.len());
                let end = (at + luck.usize(1..2000)).min(bytes.len());
                bytes[at..end].iter_mut().for_each(|byte| *byte = luck.u8(..));
            }
            let path = left.open.with_file_name("damaged.mp4");
            fs::write(&path, &bytes).unwrap();
            let movie = Movie::read(&path).unwrap();
            if round % 2 == 0 {
                let found = read(&path, Track::Video);
                assert!(payloads(&found) == truth[..found.len()], "round {round}");
                let lost = truth.len() - found.len();
                // Cut bytes cost the fragment they lay in, and at most the group of pictures that was held back.
                let allowed = truth.len() * (whole.len() - bytes.len()) / whole.len() + 2 * 25 + 15;
                assert!(lost <= allowed, "round {round}: {lost} of {allowed}, {:?}", movie.shape);
            }
        }
    }
    // A few of them all the way through.
    for part in [0, 10, 40, 60, 2000, 20_000, 60_000] {
        let mut killed = Killed::new();
        killed.put_row(true);
        let whole = bytes_of(&left.open);
        killed.put_file(&whole[..part.min(whole.len())]);
        let frames = Movie::read(&killed.absolute()).unwrap().frames();
        let report = killed.check(Mode::Mend);
        assert!(report.is_well(), "{part}: {report:?}");
        if frames > 0 {
            killed.assert_mended(frames);
        } else {
            assert_eq!(killed.row(), None, "{part}");
            assert!(!killed.absolute().exists());
            assert_eq!(report.quarantined + report.dropped, 1);
        }
    }
}

#[test]
fn what_cannot_be_played_is_kept_aside_with_its_reason() {
    let mut killed = Killed::new();
    killed.put_row(true);
    killed.put_file(&[7; 5000]);
    let report = killed.check(Mode::Mend);
    assert_eq!((report.quarantined, report.is_well()), (1, true), "{report:?}");
    assert_eq!(killed.row(), None);
    let kept = killed.volume.absolute(&quarantine_path(&killed.path));
    assert_eq!(bytes_of(&kept), [7; 5000]);
    assert!(fs::read_to_string(reason_path(&kept)).unwrap().contains("no MP4 file"));
}

#[test]
fn looking_changes_nothing() {
    let left = record(H264);
    let mut killed = Killed::new();
    killed.put_row(true);
    killed.put_file(&bytes_of(&left.open));
    let journal = killed.put_journal(&left.caps, &left.units);
    let row = killed.row();
    let report = killed.check(Mode::Look);
    assert_eq!((report.mended_from_journal, report.is_well()), (1, false));
    assert_eq!(killed.row(), row);
    assert!(journal.exists());
    assert_eq!(bytes_of(&killed.absolute()), bytes_of(&left.open));
}

#[test]
fn a_new_index_is_filled_from_the_files_and_the_timeline_is_the_same() {
    let left = record(H264_SOUND);
    let mut killed = Killed::new();
    killed.put_row(true);
    killed.put_file(&bytes_of(&left.open));
    killed.put_journal(&left.caps, &left.units);
    killed.check(Mode::Mend);
    let row = killed.assert_mended(FRAMES as u64);
    // Beside it one that does not say whose it is, and two that are nobody's.
    let bare = Place::new(killed.segment.camera.clone(), row.span.end, killed.segment.run, 4);
    fs::write(
        killed.volume.create_new(&bare.relative_path()).unwrap(),
        bytes_of(&left.closed),
    )
    .unwrap();
    let holiday = killed.volume.create_new("yard/holiday.mp4").unwrap();
    fs::write(&holiday, bytes_of(&left.closed)).unwrap();
    let second = killed.volume.create_new("yard/2026-11-20/copy.mp4").unwrap();
    fs::copy(killed.absolute(), &second).unwrap();
    killed.index.close();
    fs::remove_file(killed.directory.path().join("index.db")).unwrap();

    let index = open_index(killed.directory.path());
    let volume = &killed.volume;
    let known = camkeep::index::KnownVolume {
        id: volume.id(),
        role: VolumeRole::Primary,
        root: volume.root().to_str().unwrap().to_owned(),
        created_at: row.created_at,
    };
    index.write_blocking(move |writer| writer.put_volume(&known)).unwrap();
    let report = check(&index, volume, killed.directory.path(), Mode::Mend);
    assert_eq!(
        (report.indexed, report.foreign, report.is_well()),
        (2, 2, true),
        "{report:?}"
    );
    let id = row.id;
    let again = index.read_blocking(move |reader| reader.segment(id)).unwrap().unwrap();
    assert_eq!((again.span, again.frames, again.run), (row.span, row.frames, row.run));
    let path = bare.relative_path();
    let volume_id = volume.id();
    let bare = index
        .read_blocking(move |reader| reader.segment_by_path(volume_id, &path))
        .unwrap()
        .unwrap();
    assert_eq!(
        (bare.span.start, bare.frames),
        (Timestamp::from_millis(row.span.end.as_millis()), 110)
    );
    assert!(holiday.exists() && second.exists());
}

#[test]
fn files_that_are_gone_or_changed_are_told_and_come_back() {
    let left = record(H264);
    let mut killed = Killed::new();
    killed.put_row(true);
    killed.put_file(&bytes_of(&left.closed));
    killed.check(Mode::Mend);
    let row = killed.assert_mended(FRAMES as u64);
    let state = || killed.row().unwrap().copies[0].state;
    let whole = bytes_of(&killed.absolute());

    fs::remove_file(killed.absolute()).unwrap();
    let report = killed.check(Mode::Mend);
    assert_eq!((report.missing, report.is_well()), (1, false));
    assert_eq!(state(), CopyState::Missing);
    assert!(killed.check(Mode::Mend).is_well(), "it is told once");

    fs::write(killed.absolute(), &whole).unwrap();
    let report = killed.check(Mode::Mend);
    assert_eq!((report.closed, state()), (1, CopyState::Whole), "{report:?}");
    killed.assert_mended(FRAMES as u64);

    // A box more at its end: it plays, and is not what was recorded.
    let changed = [&whole[..], b"\0\0\0\x0cfreeabcd"].concat();
    fs::write(killed.absolute(), &changed).unwrap();
    let report = killed.check(Mode::Mend);
    assert_eq!(
        (report.suspect, report.is_well(), state()),
        (1, false, CopyState::Suspect)
    );
    assert_eq!(bytes_of(&killed.absolute()), changed);
    assert_eq!(killed.row().unwrap().copies[0].sha256, row.copies[0].sha256);

    // Cut short: what is left is made whole.
    fs::write(killed.absolute(), &whole[..whole.len() * 2 / 3]).unwrap();
    let report = killed.check(Mode::Mend);
    assert_eq!((report.mended_from_file, report.is_well()), (1, true), "{report:?}");
    let frames = killed.row().unwrap().frames;
    assert!((50..FRAMES as u64).contains(&frames), "{frames}");
    let cut = killed.assert_stored(frames);
    // What is lost of it is told, and stays told.
    assert_eq!((cut.span, cut.holes.len()), (row.span, 1));
    assert_eq!(
        (cut.holes[0].cause, cut.holes[0].span.end),
        (GapCause::Damaged, row.span.end)
    );
    let again = killed.check(Mode::Mend);
    assert_eq!((again.damaged, again.findings.len()), (1, 1), "{again:?}");
}

const CHILD: &str = "CAMKEEP_KILL_TEST";

#[test]
fn a_process_that_is_killed_loses_at_most_a_quarter_of_a_second() {
    for (index, after) in [37usize, 61, 88].into_iter().enumerate() {
        let mut killed = Killed::new();
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "check::the_child_of_the_test_above", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut said = lines.filter_map(|line| line.rsplit_once("frame ")?.1.parse::<i64>().ok());
        let first = said.next().expect("the child records");
        let last_before = said.nth(after).expect("it goes on recording");
        child.kill().unwrap();
        child.wait().unwrap();
        let last = said.last().unwrap_or(last_before);
        killed.put_row(true);
        killed.put_file(&bytes_of(&directory.path().join("killed.mp4")));
        // The row of the child is this one: its journal has the same segment, run and sequence.
        let journal = read_journal(&directory.path().join("killed.tail")).unwrap();
        let units: Vec<Unit> = journal.units().unwrap().map(|unit| unit.unwrap()).collect();
        killed.put_journal(&journal.caps, &units);
        let report = killed.check(Mode::Mend);
        assert!(report.is_well(), "kill {index}: {report:?}");
        let frames = killed.row().unwrap().frames;
        let row = killed.assert_mended(frames);
        let came = last + 40_000_000 - first;
        let lost = came - i64::try_from(row.span.duration().as_nanos()).unwrap();
        assert!(lost <= 250_000_000, "kill {index}: {} ms are lost", lost / 1_000_000);
    }
}

#[test]
fn the_child_of_the_test_above() {
    if let Some(directory) = std::env::var_os(CHILD) {
        let segment = Killed::new().segment;
        record_until_killed(
            Path::new(&directory),
            header_of(&segment, &TrackCaps::default(), 0),
            H264,
        );
    }
}

#[test]
fn sound_that_comes_late_or_pauses_neither_blocks_nor_moves_the_pictures() {
    let left = record(H264_SOUND);
    let video = of(&left.units, Track::Video);
    // The pictures again and again, so that far more waits for the sound than may be on its way at a time.
    let rounds = 60;
    let length = 4_400_000_000i64;
    let mut units = Vec::new();
    for round in 0..rounds {
        units.extend(video.iter().map(|unit| {
            Unit {
                pts: unit.pts + round * length,
                dts: unit.dts + round * length,
                payload: [&unit.payload[..], &[0, 0, 0x40, 0, 12], &vec![0x80; 16_384 - 1]]
                    .concat()
                    .into(),
                ..unit.clone()
            }
        }));
    }
    let sound = of(&left.units, Track::Audio);
    for round in [20, 58] {
        units.extend(sound.iter().map(|unit| Unit {
            pts: unit.pts + round * length,
            dts: unit.dts + round * length,
            ..unit.clone()
        }));
    }
    let target = left.open.with_file_name("mended.mp4");
    let mended = mend_units(&left.caps, &units, &target);
    assert_eq!(
        (mended.frames, mended.packets),
        (FRAMES as u64 * 60, sound.len() as u64 * 2)
    );
    let movie = Movie::read(&target).unwrap();
    assert!(
        movie.is_whole() && movie.size_bytes > 100 << 20,
        "{} bytes",
        movie.size_bytes
    );
    let (pictures, packets) = (movie.video.unwrap(), movie.audio.unwrap());
    let first = packets.pts(&packets.samples[0]) - pictures.pts(&pictures.samples[0]);
    let expected = sound[0].pts + 20 * length - video[0].pts;
    assert!((first - expected).abs() < 25_000_000, "{first} {expected}");
}

#[test]
fn a_file_is_found_whole_wherever_its_path_begins() {
    let left = record(H264);
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let relative = up.join(left.closed.strip_prefix("/").unwrap());
    assert!(relative.is_relative() && relative.exists());
    let patience = std::time::Duration::from_secs(20);
    let found = camkeep::pipeline::discover(&relative, patience).unwrap();
    assert_eq!(found, camkeep::pipeline::discover(&left.closed, patience).unwrap());
}

#[test]
fn sound_that_cannot_be_mended_costs_no_picture() {
    let left = record(H264_SOUND);
    let mut killed = Killed::new();
    killed.put_row(true);
    let caps = TrackCaps {
        audio: Some("audio/x-nothing-that-a-file-holds, rate=(int)8000".into()),
        ..left.caps.clone()
    };
    killed.put_journal(&caps, &left.units);
    let report = killed.check(Mode::Mend);
    assert_eq!((report.mended_from_journal, report.is_well()), (1, true), "{report:?}");
    assert!(!killed.assert_mended(FRAMES as u64).has_audio);
    assert_eq!(Movie::read(&killed.absolute()).unwrap().audio, None);
}

#[test]
fn what_cannot_be_mended_today_stays_on_the_timeline_and_is_mended_tomorrow() {
    let left = record(H264);
    let mut killed = Killed::new();
    killed.put_row(true);
    killed.put_file(&bytes_of(&left.open));
    let journal = killed.put_journal(&left.caps, &left.units);
    let frames = Movie::read(&killed.absolute()).unwrap().frames();
    // Something lies where the new file would be written: as good as a full disk.
    let in_the_way = PathBuf::from(format!("{}.mending", killed.absolute().display()));
    fs::create_dir(&in_the_way).unwrap();
    let report = killed.check(Mode::Mend);
    assert_eq!((report.failed, report.is_well()), (1, false), "{report:?}");
    let row = killed.row().unwrap();
    assert_eq!((row.state, row.frames), (SegmentState::Closed, frames));
    assert_eq!(row.copies[0].state, CopyState::Suspect);
    assert_eq!(bytes_of(&killed.absolute()), bytes_of(&left.open));
    assert!(journal.exists());
    fs::remove_dir(&in_the_way).unwrap();
    let report = killed.check(Mode::Mend);
    assert_eq!((report.mended_from_journal, report.is_well()), (1, true), "{report:?}");
    killed.assert_mended(FRAMES as u64);
    assert!(!journal.exists());
}

#[test]
fn the_end_of_one_segment_is_the_start_of_the_next_of_its_run() {
    let left = record(H264);
    let mut killed = Killed::new();
    killed.put_row(true);
    killed.put_file(&bytes_of(&left.closed));
    // The recorder dated the next one 3 ms earlier than the frames of this one add up to.
    let start = killed.segment.span.start.offset(4_397_000_000);
    let next = Segment {
        id: SegmentId(Uuid::new_v4()),
        sequence: killed.segment.sequence + 1,
        span: Span::new(start, start.offset(1_000_000_000)),
        copies: vec![],
        ..killed.segment.clone()
    };
    killed
        .index
        .write_blocking(move |writer| writer.open_segment(&next))
        .unwrap();
    let report = killed.check(Mode::Mend);
    assert_eq!((report.closed, report.dropped), (1, 1), "{report:?}");
    assert_eq!(killed.row().unwrap().span.end, start);
}
