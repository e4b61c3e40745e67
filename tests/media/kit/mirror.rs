//! A site with a mirror on which everything lies that was recorded: copied by hand, so that what is read from there is
//! judged without the one who writes there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use camkeep::index::{Index, KnownVolume};
use camkeep::model::{Copy, CopyState, SegmentState, Timestamp, VolumeId, VolumeRole};
use camkeep::pipeline::demo::FakeCamera;
use camkeep::runtime::{Clock, SystemClock};
use camkeep::storage::{SealKey, Volume, measure};

use crate::daemon_site::{Row, SOON, Site, tiny};
use crate::kit::referee::{self, Stamp};

/// A site whose camera `door` was recorded, and the rows of that; stopped, with all of it on a mirror.
pub(crate) struct Mirrored {
    pub(crate) site: Site,
    pub(crate) mirror: PathBuf,
    pub(crate) rows: Vec<Row>,
    pub(crate) camera: FakeCamera,
}

pub(crate) fn open_index(data: &Path) -> Index {
    let key = SealKey::load_or_make(&data.join("secret.key")).unwrap();
    Index::open(data.join("index.db"), Arc::new(key)).unwrap()
}

impl Mirrored {
    #[track_caller]
    pub(crate) fn record(segments: usize) -> Self {
        let camera = FakeCamera::start(tiny()).unwrap();
        let mut site = Site::start();
        site.add_camera("door", &camera, 2);
        site.wait_closed("door", segments, SOON);
        site.stop();
        let mirror = site.data().with_file_name("mirror");
        fs::create_dir_all(&mirror).unwrap();
        copy_all(site.data(), &mirror);
        site.boot();
        let rows = site.closed("door");
        site.stop();
        // What the second run recorded is of no interest.
        let rows: Vec<Row> = rows.into_iter().take(segments).collect();
        assert_eq!(rows.len(), segments);
        Self {
            site,
            mirror,
            rows,
            camera,
        }
    }

    #[track_caller]
    pub(crate) fn boot(&mut self) {
        let mirror = self.mirror.clone();
        self.site.boot_with(|command| {
            command.arg("--mirror").arg(mirror);
        });
    }

    /// The row's file on the primary.
    pub(crate) fn primary_file(&self, row: &Row) -> PathBuf {
        self.site.path("door", row)
    }

    /// The row's file on the mirror.
    pub(crate) fn mirror_file(&self, row: &Row) -> PathBuf {
        let primary = self.primary_file(row);
        let relative = primary.strip_prefix(self.site.data().join("recordings")).unwrap();
        self.mirror.join(relative)
    }

    /// What is known of the copies of a row: the primary's, then the mirror's.
    #[track_caller]
    pub(crate) fn states(&self, row: &Row) -> Vec<String> {
        let from = Timestamp::from_nanos(row.start_ns).to_string();
        let to = Timestamp::from_nanos(row.end_ns).to_string();
        let rows = self
            .site
            .daemon()
            .get(&format!("/api/v1/cameras/door/segments?from={from}&to={to}&limit=100"))
            .ok();
        let found = rows.as_array().unwrap().iter().find(|found| found["id"] == row.id);
        let copies = found.unwrap()["copies"].as_array().unwrap().iter();
        copies.map(|copy| copy["state"].as_str().unwrap().to_owned()).collect()
    }

    /// The stamps of a clip over all rows, in order.
    #[track_caller]
    pub(crate) fn clip(&self) -> Vec<Stamp> {
        let (from, to) = (self.rows[0].start_ns, self.rows[self.rows.len() - 1].end_ns);
        let text = |ns| Timestamp::from_nanos(ns).to_string();
        let bytes = self.fetch(&format!(
            "/api/v1/cameras/door/clip.mp4?from={}&to={}",
            text(from),
            text(to)
        ));
        let file = self.site.data().with_file_name("clip.mp4");
        fs::write(&file, bytes).unwrap();
        referee::read_stamps(&file)
    }

    /// The body of an answer that has to be a success.
    #[track_caller]
    pub(crate) fn fetch(&self, path: &str) -> Vec<u8> {
        let mut answer = ureq::get(format!("{}{path}", self.site.daemon().address()))
            .call()
            .unwrap();
        answer.body_mut().read_to_vec().unwrap()
    }

    /// `camkeep` with arguments and the directories of this site.
    pub(crate) fn camkeep(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_camkeep"))
            .args(arguments)
            .arg("--data")
            .arg(self.site.data())
            .arg("--mirror")
            .arg(&self.mirror)
            .output()
            .unwrap()
    }
}

/// Makes a mirror of everything that is closed.
pub(crate) fn copy_all(data: &Path, mirror: &Path) {
    let index = open_index(data);
    let now = SystemClock.now();
    let volume = Volume::open(mirror, VolumeRole::Mirror, now).unwrap();
    let known = KnownVolume {
        id: volume.id(),
        role: VolumeRole::Mirror,
        root: mirror.to_str().unwrap().to_owned(),
        created_at: now,
    };
    let primary = primary_of(&index);
    let copies = index
        .read_blocking(|reader| reader.copies_on(primary, None, 5000))
        .unwrap();
    index.write_blocking(move |writer| writer.put_volume(&known)).unwrap();
    for (id, copy) in copies {
        let segment = index.read_blocking(move |reader| reader.segment(id)).unwrap().unwrap();
        if segment.state != SegmentState::Closed {
            continue;
        }
        let target = volume.create_new(&copy.path).unwrap();
        fs::copy(data.join("recordings").join(&copy.path), &target).unwrap();
        assert_eq!(Some(measure(&target).unwrap().sha256), copy.sha256);
        let copy = Copy {
            volume: volume.id(),
            state: CopyState::Whole,
            ..copy
        };
        index.write_blocking(move |writer| writer.put_copy(id, &copy)).unwrap();
    }
    index.close();
}

pub(crate) fn primary_of(index: &Index) -> VolumeId {
    let volumes = index.read_blocking(|reader| reader.volumes()).unwrap();
    let primary = volumes
        .into_iter()
        .rev()
        .find(|volume| volume.role == VolumeRole::Primary);
    primary.unwrap().id
}

/// Flips one bit in the middle of a file, as a bad disk does.
pub(crate) fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(file, bytes).unwrap();
}
