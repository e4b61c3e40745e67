//! A camera with storage and one beside it, both recorded by the real program; the first one is cut off.

use std::path::PathBuf;
use std::time::Duration;

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{FakeCamera, Storage, StorageOptions};
use serde_json::{Value, json};

use crate::daemon_site::{Row, SOON, Site, assert_none_lost, now_ns, tiny};
use crate::kit::proxy::Proxy;
use crate::kit::referee::{self, Stamp};
use crate::kit::storage::{camera_with, storage};
use crate::kit::wait::{pause, wait_for};

/// The camera whose gaps come back.
pub(crate) const GATE: &str = "gate";
/// The one that is recorded beside it.
const BESIDE: &str = "beside";
/// How long what comes back in real time may take on a machine that does much else.
pub(crate) const LONG: Duration = Duration::from_secs(90);

/// By which of its addresses a camera is asked for what it kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Onvif,
    Hikvision,
    Dahua,
    Template,
}

/// A kept gap, as the API tells it.
#[derive(Debug, Clone)]
pub(crate) struct Gap {
    pub(crate) id: i64,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) seconds: f64,
    pub(crate) state: String,
    pub(crate) attempts: u64,
    pub(crate) recovered: f64,
    pub(crate) filled_ns: Option<i64>,
}

pub(crate) struct RefillSite {
    pub(crate) site: Site,
    pub(crate) camera: FakeCamera,
    _beside: FakeCamera,
}

fn time(value: &Value) -> i64 {
    Timestamp::parse(value.as_str().expect("a time")).unwrap().as_nanos()
}

impl RefillSite {
    #[track_caller]
    pub(crate) fn new(form: Form, options: StorageOptions) -> Self {
        Self::with(form, options, 3, true)
    }

    /// One whose gaps are tried so often, by themselves or only when a person says so.
    #[track_caller]
    pub(crate) fn with(form: Form, options: StorageOptions, attempts: u32, by_itself: bool) -> Self {
        let camera = camera_with(options);
        let url = camera.url();
        Self::of(camera, &url, form, attempts, by_itself)
    }

    /// One whose live view comes through a network that can be made slow.
    #[track_caller]
    pub(crate) fn behind_a_proxy(form: Form, options: StorageOptions) -> (Self, Proxy) {
        let camera = camera_with(options);
        let proxy = Proxy::start(camera.port());
        let url = camera
            .url()
            .replace(&format!(":{}/", camera.port()), &format!(":{}/", proxy.port()));
        (Self::of(camera, &url, form, 3, true), proxy)
    }

    #[track_caller]
    fn of(camera: FakeCamera, url: &str, form: Form, attempts: u32, by_itself: bool) -> Self {
        let beside = FakeCamera::start(tiny()).unwrap();
        let mut site = Site::empty();
        site.boot_with(|command| {
            command.env("CAMKEEP_REFILL_ATTEMPTS", attempts.to_string());
        });
        let keeps = storage(&camera);
        let mut body = json!({
            "id": GATE, "name": "Gate", "main_stream_url": url, "segment_seconds": 4, "anr_enabled": by_itself,
            "address": "127.0.0.1", "rtsp_port": camera.port(), "http_port": keeps.onvif_port(),
        });
        match form {
            Form::Onvif => body["vendor"] = "onvif".into(),
            Form::Hikvision => body["vendor"] = "hikvision".into(),
            Form::Dahua => body["vendor"] = "dahua".into(),
            Form::Template => body["anr_replay_url_template"] = keeps.template().into(),
        }
        site.daemon().post("/api/v1/cameras", &body).ok();
        site.add_camera(BESIDE, &beside, 4);
        site.wait_closed(GATE, 1, SOON + Duration::from_secs(10));
        Self {
            site,
            camera,
            _beside: beside,
        }
    }

    pub(crate) fn storage(&self) -> &Storage {
        storage(&self.camera)
    }

    /// Cuts the live view for a while; returns when the camera is recorded again.
    #[track_caller]
    pub(crate) fn cut_for(&self, time: Duration) {
        self.camera.cut_live(true).unwrap();
        pause(time);
        self.camera.cut_live(false).unwrap();
        let back = now_ns();
        // Tries come ever less often while it is away.
        wait_for(LONG, "the camera to be recorded again", || {
            let rows = self.site.rows(GATE);
            let is_back = rows.iter().any(|row| row.open && row.end_ns > back);
            if is_back { Ok(()) } else { Err(rows.last().cloned()) }
        });
    }

    /// Its kept gaps, oldest first.
    #[track_caller]
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let place = format!("/api/v1/cameras/{GATE}/recording-gaps");
        let answer = self.site.daemon().get(&place).ok();
        let gaps = answer.as_array().expect("a list").iter();
        let mut gaps: Vec<Gap> = gaps
            .map(|gap| Gap {
                id: gap["id"].as_i64().unwrap(),
                start_ns: time(&gap["gap_start"]),
                end_ns: time(&gap["gap_end"]),
                seconds: gap["gap_seconds"].as_f64().unwrap(),
                state: gap["fill_state"].as_str().unwrap().to_owned(),
                attempts: gap["fill_attempts"].as_u64().unwrap(),
                recovered: gap["recovered_seconds"].as_f64().unwrap(),
                filled_ns: gap["filled_at"].as_str().map(|_| time(&gap["filled_at"])),
            })
            .collect();
        gaps.sort_by_key(|gap| gap.start_ns);
        gaps
    }

    /// Waits until nothing is tried any more, and every gap is filled or given up.
    #[track_caller]
    pub(crate) fn wait_tried(&self) -> Vec<Gap> {
        wait_for(LONG, "every gap to be tried", || {
            let gaps = self.gaps();
            let place = format!("/api/v1/cameras/{GATE}/health");
            let is_at_it = !self.site.daemon().get(&place).ok()["refilling"].is_null();
            let is_over = !is_at_it && !gaps.is_empty() && gaps.iter().all(|gap| gap.state != "pending");
            if is_over { Ok(gaps) } else { Err(gaps) }
        })
    }

    /// Has every gap that was given up tried again.
    #[track_caller]
    pub(crate) fn retry_failed(&self) {
        for gap in self.gaps().iter().filter(|gap| gap.state == "failed") {
            let place = format!("/api/v1/cameras/{GATE}/recording-gaps/{}/retry", gap.id);
            self.site.daemon().post(&place, &Value::Null).ok();
        }
    }

    /// Rows that say `filled` lie over footage, those that do not lie over none, and no two lie over each other.
    #[track_caller]
    pub(crate) fn assert_told_truly(&self) {
        let (gaps, rows) = (self.gaps(), self.site.rows(GATE));
        for pair in gaps.windows(2) {
            assert!(pair[0].end_ns <= pair[1].start_ns, "{pair:?}");
        }
        for gap in &gaps {
            let there: i64 = rows
                .iter()
                .map(|row| (row.end_ns.min(gap.end_ns) - row.start_ns.max(gap.start_ns)).max(0))
                .sum();
            let (there, seconds) = (there as f64 / 1e9, gap.seconds);
            match gap.state.as_str() {
                "filled" => {
                    assert!(there > 0.0 && there >= seconds - 1.01, "{there} s are there of {gap:?}");
                    assert!((gap.recovered - there).abs() < 0.05, "{there} s are there of {gap:?}");
                }
                _ => assert!(there < 0.05 && gap.recovered == 0.0, "{there} s are there of {gap:?}"),
            }
        }
    }

    /// How long the last try took that filled a gap, by what the daemon logged.
    #[track_caller]
    pub(crate) fn last_try_seconds(&self) -> f64 {
        let log = self.site.daemon().log();
        let last = |what: &str| {
            let line = log.lines().rfind(|line| line.contains(what));
            let line = line.unwrap_or_else(|| panic!("nothing is logged of {what}"));
            Timestamp::parse(line.split_whitespace().next().unwrap()).unwrap()
        };
        last("a gap is filled").since(last("a gap is tried")).as_secs_f64()
    }

    /// Waits until every gap that is kept is filled, and there are so many.
    #[track_caller]
    pub(crate) fn wait_filled(&self, count: usize) -> Vec<Gap> {
        wait_for(LONG, "every gap to be filled", || {
            let gaps = self.gaps();
            let is_filled = gaps.len() == count && gaps.iter().all(|gap| gap.state == "filled");
            if is_filled { Ok(gaps) } else { Err(gaps) }
        })
    }

    /// The closed segments of the camera from the beginning to well behind its gaps.
    #[track_caller]
    pub(crate) fn settled_rows(&self) -> Vec<Row> {
        let behind = self.gaps().iter().map(|gap| gap.end_ns).max().unwrap_or(0);
        wait_for(
            SOON + Duration::from_secs(10),
            "a closed segment behind the gap",
            || {
                let closed = self.site.closed(GATE);
                match closed.iter().any(|row| row.start_ns >= behind) {
                    true => Ok(closed),
                    false => Err(closed.len()),
                }
            },
        )
    }

    /// Every frame is there once, over all files, and no two segments overlap.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        self.assert_whole_until(i64::MAX);
    }

    /// The same for what began before a moment; and each frame stands where its time says, by a clock that is this box's own.
    #[track_caller]
    pub(crate) fn assert_whole_until(&self, moment_ns: i64) {
        for row in self.assert_each_once_until(moment_ns) {
            let shown = referee::read_stamps(&self.site.path(GATE, &row));
            for stamp in &shown {
                let off = row.start_ns as f64 / 1e9 + (stamp.pts - shown[0].pts) - stamp.time_ns as f64 / 1e9;
                assert!(off.abs() < 0.15, "frame {} of {row:?} is {off} s off", stamp.counter);
            }
        }
    }

    /// Every frame before a moment is there once, and no two segments overlap.
    #[track_caller]
    pub(crate) fn assert_each_once_until(&self, moment_ns: i64) -> Vec<Row> {
        let mut rows = self.settled_rows();
        rows.retain(|row| row.start_ns < moment_ns);
        for pair in rows.windows(2) {
            let apart = pair[1].start_ns - pair[0].end_ns;
            assert!(
                apart >= 0,
                "{:?} overlaps {:?} by {} us",
                pair[0],
                pair[1],
                -apart / 1000
            );
            assert!(apart <= 40_000_000, "{} ms lack between {pair:?}", apart / 1_000_000);
        }
        let stamps = self.site.stamps(GATE, &rows);
        let wrong = referee::missing_or_doubled(&stamps);
        assert!(wrong.is_nothing(), "{wrong:?} in {rows:?}");
        for row in &rows {
            let file = self.site.path(GATE, row);
            assert_eq!(referee::decode_errors(&file), Vec::<String>::new(), "{row:?}");
            let shown = referee::read_stamps(&file);
            assert_eq!(shown.len() as u64, row.frames, "{row:?}");
        }
        rows
    }

    /// A clip over a gap shows every frame once, each as long after the other as they were taken.
    #[track_caller]
    pub(crate) fn assert_a_clip_is_exact(&self, gap: &Gap) {
        let [from, to] =
            [gap.start_ns - 2_300_000_000, gap.end_ns + 1_700_000_000].map(|ns| Timestamp::from_nanos(ns).to_string());
        let body = json!({ "from": from, "to": to });
        let place = format!("/api/v1/cameras/{GATE}/clip");
        let clip = self.site.daemon().post(&place, &body).ok();
        assert_eq!(clip["gaps"], json!([]), "{clip}");
        let file: PathBuf = self.site.data().join("clips").join(clip["filename"].as_str().unwrap());
        let stamps: Vec<Stamp> = referee::read_stamps(&file);
        let wrong = referee::missing_or_doubled(&stamps);
        assert!(wrong.is_nothing(), "{wrong:?} in a clip of {} frames", stamps.len());
        let wanted = (gap.seconds + 4.0) * 25.0;
        assert!(
            (stamps.len() as f64 - wanted).abs() <= 2.0,
            "{} frames instead of {wanted}",
            stamps.len()
        );
        assert_eq!(referee::decode_errors(&file), Vec::<String>::new());
        for pair in stamps.windows(2) {
            let [shown, taken] = [
                pair[1].pts - pair[0].pts,
                (pair[1].time_ns - pair[0].time_ns) as f64 / 1e9,
            ];
            assert!(
                (shown - taken).abs() < 0.06,
                "frame {} comes {shown} s after the one before",
                pair[1].counter
            );
        }
    }

    /// No file that was on its way is left.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        let left = std::fs::read_dir(self.site.data().join("refill")).into_iter().flatten();
        let left: Vec<_> = left.flatten().map(|entry| entry.path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
        let files = self.site.files(GATE);
        let odd = files
            .iter()
            .find(|file| file.extension().is_none_or(|end| end != "mp4"));
        assert_eq!(odd, None);
    }

    /// The camera beside lost nothing, and the live view had no more sessions than it needed.
    #[track_caller]
    pub(crate) fn assert_live_was_left_alone(&self) {
        assert_none_lost(&self.site, BESIDE);
    }
}
