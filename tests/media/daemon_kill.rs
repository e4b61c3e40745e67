//! `kill -9` in the middle of everything: what is on the disk at once, and what the next start makes of it.

use std::path::Path;
use std::time::{Duration, Instant};

use camkeep::pipeline::demo::{FakeCamera, StreamOptions};

use crate::daemon_first::{is_growing, wait_for_close};
use crate::daemon_site::{KeptGap, Row, SOON, Site, lost_frames, now_ns};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_until};

/// What a kill may cost at the most.
const BAR_NS: i64 = 250_000_000;
/// From one frame to the next.
const FRAME_NS: i64 = 40_000_000;
/// How soon after its start a box knows everything again.
const CONSISTENT: Duration = Duration::from_secs(5);

/// Distances of keyframes, as the ids of the cameras that have them.
const GOPS: [(&str, u64); 3] = [("gop1", 1), ("gop4", 4), ("gop10", 10)];

/// How often is killed here, and how often when there is time.
fn rounds(few: usize, many: usize) -> usize {
    if std::env::var_os("CAMKEEP_LONG").is_some() {
        many
    } else {
        few
    }
}

/// One box whose daemon is killed again and again, and its cameras.
struct Target {
    site: Site,
    cameras: Vec<(&'static str, u64, FakeCamera)>,
    /// When the daemon was killed, and when it was there again.
    kills: Vec<(i64, i64)>,
    /// What each kill cost each camera.
    losses: Vec<i64>,
}

impl Target {
    fn new(segment_seconds: u32, gops: &[(&'static str, u64)]) -> Self {
        let site = Site::start();
        let cameras: Vec<_> = gops
            .iter()
            .map(|(id, gop)| {
                let options = StreamOptions {
                    width: 160,
                    height: 96,
                    bitrate_kbps: 128,
                    ..StreamOptions::small().with_gop(Duration::from_secs(*gop))
                };
                (*id, *gop, FakeCamera::start(options).unwrap())
            })
            .collect();
        for (id, _, camera) in &cameras {
            site.add_camera(id, camera, segment_seconds);
        }
        for (id, _, _) in &cameras {
            site.wait_recording(id);
        }
        Self {
            site,
            cameras,
            kills: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// Kills, looks at what lies there, starts again, and judges what was made of it.
    fn kill_and_judge(&mut self) {
        let closed_before: Vec<Vec<Row>> = self.cameras.iter().map(|(id, ..)| self.site.closed(id)).collect();
        let killed = self.site.kill_9();
        for (id, gop, camera) in &self.cameras {
            // A file whose keyframes are closer than its length holds whole groups of pictures long before its end.
            if *gop == 1 {
                assert_open_file_plays(&self.site, id, camera, killed);
            }
        }
        if self.kills.is_empty() {
            // Once for so long that what is missing is kept, however soon the rest goes.
            pause(Duration::from_millis(3500));
        }
        self.site.boot();
        let up = Instant::now();
        for (n, (id, _, camera)) in self.cameras.iter().enumerate() {
            let rows = self
                .site
                .wait_mended(id, killed, CONSISTENT.saturating_sub(up.elapsed()));
            for before in &closed_before[n] {
                let after = rows.iter().find(|row| row.id == before.id);
                let after = after.unwrap_or_else(|| panic!("a closed segment is gone: {before:?}"));
                assert_eq!(
                    (after.start_ns, after.end_ns, after.frames, after.state.as_str()),
                    (before.start_ns, before.end_ns, before.frames, "whole"),
                    "a closed segment changed"
                );
            }
            // What was going on when it was killed: the run that the last row of then belongs to.
            let old: Vec<Row> = rows.into_iter().filter(|row| row.start_ns < killed).collect();
            let run = &old.last().expect("footage from before").run;
            let of_run: Vec<Row> = old.iter().filter(|row| row.run == *run).cloned().collect();
            let stamps = self.site.stamps(id, &of_run);
            let wrong = referee::missing_or_doubled(&stamps);
            assert!(wrong.is_nothing(), "{id}: {wrong:?}");
            for row in &of_run {
                assert_eq!(row.state, "whole", "{row:?}");
                let path = self.site.path(id, row);
                assert_eq!(
                    referee::decode_errors(&path),
                    Vec::<String>::new(),
                    "{}",
                    path.display()
                );
            }
            let lost = lost_frames(&camera.sent_frames(), &stamps, stamps[0].time_ns, killed);
            self.losses.push(lost.len() as i64 * FRAME_NS);
            let end_off = of_run.last().unwrap().end_ns - (stamps.last().unwrap().time_ns + FRAME_NS);
            assert!(
                end_off.abs() < 60_000_000,
                "{id}: a mended segment ends {} ms off its last frame",
                end_off / 1_000_000
            );
        }
        self.kills.push((killed, now_ns()));
        for (id, ..) in &self.cameras {
            self.site.wait_recording(id);
        }
    }

    /// Nothing is lost that was there, and what is missing around each kill is a gap that says so.
    fn judge_in_the_end(mut self) -> Losses {
        self.site.stop();
        self.site.boot();
        for (id, ..) in &self.cameras {
            let gaps = self.site.gaps(id);
            let closed = self.site.closed(id);
            for (killed, _) in &self.kills {
                let before = closed.iter().rfind(|row| row.start_ns < *killed).unwrap();
                let after = closed.iter().find(|row| row.start_ns > *killed).unwrap();
                let hole = after.start_ns - before.end_ns;
                // Shorter ones are not kept but computed.
                if hole > 3_000_000_000 {
                    let overlaps = |gap: &&KeptGap| gap.start_ns < after.start_ns && gap.end_ns > before.end_ns;
                    let gap = gaps.iter().find(overlaps);
                    let gap = gap.unwrap_or_else(|| panic!("{id}: no gap for the kill at {killed}: {gaps:?}"));
                    assert_eq!((gap.cause.as_str(), gap.open), ("killed", false), "{gap:?}");
                    assert!(
                        (gap.start_ns - before.end_ns).abs() < FRAME_NS
                            && (gap.end_ns - after.start_ns).abs() < FRAME_NS,
                        "{id}: {gap:?} is not what is missing between {before:?} and {after:?}"
                    );
                }
            }
        }
        Losses {
            kills: self.kills.len(),
            each_ns: self.losses,
        }
    }
}

/// What kills cost: one figure a kill and camera.
struct Losses {
    kills: usize,
    each_ns: Vec<i64>,
}

impl Losses {
    fn judge(mut self, name: &str) {
        self.each_ns.sort_unstable();
        let worst = *self.each_ns.last().unwrap();
        eprintln!(
            "{name}: {} kills, {} measurements, lost ms: worst {}, median {}",
            self.kills,
            self.each_ns.len(),
            worst / 1_000_000,
            self.each_ns[self.each_ns.len() / 2] / 1_000_000,
        );
        assert!(
            worst <= BAR_NS,
            "a kill cost {} ms: {:?}",
            worst / 1_000_000,
            self.each_ns
        );
    }
}

/// As it lies there after the kill, without any help, a file plays up to its last whole group of pictures.
#[track_caller]
fn assert_open_file_plays(site: &Site, id: &str, camera: &FakeCamera, killed: i64) {
    let last = site.files(id).into_iter().next_back().expect("a file");
    let sent = camera.sent_frames();
    // The one just begun has no fragment yet: then the one before it is what there is to play.
    if !is_growing(&last) {
        return;
    }
    let stamps = referee::read_stamps(&last);
    let first = stamps.first().expect("frames");
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    let end = stamps.last().unwrap().time_ns + FRAME_NS;
    // Whole groups of pictures reach the file when the next one begins, half a second goes into a fragment.
    let most = 1_000_000_000 + 500_000_000 + BAR_NS + FRAME_NS;
    assert!(
        killed - end <= most,
        "{} ends {} ms before the kill; it began {} ms before it; {} frames were sent",
        last.display(),
        (killed - end) / 1_000_000,
        (killed - first.time_ns) / 1_000_000,
        sent.len()
    );
}

#[test]
fn a_kill_loses_a_quarter_of_a_second_at_the_most() {
    // Many kills are shared by boxes side by side: they take their time, and load makes them no easier.
    let boxes = rounds(1, 4);
    let kill = || {
        let mut target = Target::new(6, &GOPS);
        for _ in 0..rounds(5, 200) / boxes {
            pause(Duration::from_millis(fastrand::u64(1500..7500)));
            target.kill_and_judge();
        }
        target.judge_in_the_end()
    };
    let all = std::thread::scope(|scope| {
        let running: Vec<_> = (0..boxes).map(|_| scope.spawn(kill)).collect();
        let done = running.into_iter().map(|one| one.join().unwrap());
        done.reduce(|mut all, one| {
            all.kills += one.kills;
            all.each_ns.extend(one.each_ns);
            all
        })
    });
    all.unwrap().judge("random kills");
}

#[test]
fn a_kill_while_a_file_is_closed_loses_no_more() {
    let mut target = Target::new(2, &[("gop1", 1)]);
    for _ in 0..rounds(6, 60) {
        let closed_at = next_close(&target.site, "gop1");
        // The one after it comes a segment later, to the millisecond.
        let aim = Duration::from_millis(1995) + Duration::from_micros(fastrand::u64(0..10_000));
        pause(aim.saturating_sub(closed_at.elapsed()));
        target.kill_and_judge();
    }
    target.judge_in_the_end().judge("kills within 5 ms of a close");
}

/// Waits until a file is closed and gives the moment.
#[track_caller]
fn next_close(site: &Site, id: &str) -> Instant {
    let open: &Path = &wait_until(SOON, "a file that grows", || {
        let rows = site.rows(id);
        let open = rows.iter().find(|row| row.open && row.url.is_some())?;
        let path = site.path(id, open);
        is_growing(&path).then_some(path)
    });
    wait_for_close(open);
    Instant::now()
}

#[test]
fn a_minute_without_a_keyframe_is_one_long_segment_that_is_told_and_a_kill_costs_no_more() {
    if std::env::var_os("CAMKEEP_LONG").is_none() {
        eprintln!("it takes two minutes: ./tests/run --long");
        return;
    }
    let mut target = Target::new(4, &[("gop60", 60)]);
    pause(Duration::from_secs(45));
    target.kill_and_judge();
    // A group of pictures of its whole length.
    let camera = &target.cameras[0].2;
    let keyframes = || camera.sent_frames().iter().filter(|frame| frame.keyframe).count();
    let before = keyframes();
    wait_until(Duration::from_secs(80), "the keyframe after a minute", || {
        (keyframes() > before).then_some(())
    });
    let rows = target.site.closed("gop60");
    let longest = rows.iter().map(|row| row.end_ns - row.start_ns).max().unwrap();
    assert!(
        longest < 62_000_000_000,
        "{longest} ns: it ends with its group of pictures"
    );
    let told = target.site.events("recorder_error");
    assert!(
        told.iter().any(|message| message.contains("no keyframe for 30 s")),
        "{told:?}"
    );
    let worst = target.losses.iter().max().unwrap();
    eprintln!("killed 45 s after a keyframe: {} ms lost", worst / 1_000_000);
    assert!(*worst <= BAR_NS, "{worst}");
}
