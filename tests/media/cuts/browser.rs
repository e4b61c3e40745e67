//! What a browser shows of a clip, frame by frame: Chromium without a window plays it from a server of this test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use camkeep::export::{Extras, Part, plan, the_one};
use camkeep::model::{ClipMode, Span};
use camkeep::pipeline::demo::{LEVELS, STAMP_COLUMNS, STAMP_HEIGHT_DIVISOR, STAMP_ROWS, Stamp, StreamOptions};

use super::{GROUP, Roll, Shot};

/// Steps through a clip, then plays it to its end, and reports the brightness of each block of the stamp in each picture
/// that it showed.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><video id="film" muted preload="auto" src="/clip.mp4"></video>
<script>
const film = document.getElementById('film'), canvas = document.createElement('canvas');
const tell = what => fetch('/seen', { method: 'POST', body: JSON.stringify(what) });
const once = name => new Promise((done, fail) => {
  film.addEventListener(name, done, { once: true });
  film.addEventListener('error', () => fail(new Error(film.error.message)), { once: true });
});
// What the film shows; nothing while it has not got a picture to show yet, which a busy machine may take a moment for.
function measure() {
  const [columns, rows, divisor] = [COLUMNS, ROWS, DIVISOR];
  canvas.width = film.videoWidth; canvas.height = film.videoHeight;
  const paper = canvas.getContext('2d', { willReadFrequently: true });
  paper.drawImage(film, 0, 0);
  if (paper.getImageData(0, 0, 1, 1).data[3] === 0) return null;
  const levels = [];
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
    // The middle half of a block: a single pixel may be one that the encoder spoilt.
    const [wide, high] = [canvas.width / columns, canvas.height / rows / divisor];
    const [x, y] = [Math.floor((column + 0.25) * wide), Math.floor((row + 0.25) * high)];
    const { data } = paper.getImageData(x, y, Math.max(1, Math.floor(wide / 2)), Math.max(1, Math.floor(high / 2)));
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) sum += 0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2];
    levels.push(Math.round(sum / (data.length / 4)));
  }
  return levels;
}
async function look() {
  for (;;) {
    const levels = measure();
    if (levels) return levels;
    await new Promise(requestAnimationFrame);
  }
}
async function run() {
  await (film.readyState >= 2 ? null : once('loadeddata'));
  const seen = [await look()], length = film.duration;
  // In the middle of each frame, and in even steps between: whatever else there is would be seen, too. Who names no middles
  // asks for the first and the last only.
  const middles = MIDDLES, steps = middles.length ? Math.ceil(length * 50) : 0;
  const even = Array.from({ length: steps }, (_, n) => n / 50);
  for (const at of [...even, ...middles]) {
    const there = once('seeked');
    film.currentTime = at;
    await there;
    seen.push(await look());
  }
  const back = once('seeked');
  film.currentTime = 0;
  await back;
  const end = once('ended');
  await film.play();
  await end;
  await tell({ length: Number.isFinite(length) ? length : 0, seen, last: await look() });
}
run().catch(error => tell({ error: String(error) }));
</script>"#;

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Told {
    Seen {
        length: f64,
        seen: Vec<Vec<u8>>,
        last: Vec<u8>,
    },
    Failed {
        error: String,
    },
}

/// A server that knows a page and a clip, and listens to what the page has to say.
fn serve(clip: Vec<u8>, middles: &[f64], told: Sender<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let clip = Arc::new(clip);
    let page = PAGE
        .replace("COLUMNS", &STAMP_COLUMNS.to_string())
        .replace("ROWS", &STAMP_ROWS.to_string())
        .replace("DIVISOR", &STAMP_HEIGHT_DIVISOR.to_string())
        .replace("MIDDLES", &serde_json::to_string(middles).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (page, clip, told) = (page.clone(), clip.clone(), told.clone());
            // A browser that hangs up in the middle of an answer is nothing to fail for.
            std::thread::spawn(move || drop(answer(stream, &page, &clip, &told)));
        }
    });
    port
}

fn answer(stream: TcpStream, page: &str, clip: &[u8], told: &Sender<Vec<u8>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (mut length, mut range) = (0, None);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if let Some(value) = header.strip_prefix("range: bytes=") {
                let (from, to) = value.split_once('-').unwrap_or((value, ""));
                range = Some((from.parse::<usize>().unwrap_or(0), to.parse::<usize>().ok()));
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (status, kind, more, bytes) = match line.split(' ').nth(1).unwrap_or("") {
            "/" => ("200 OK", "text/html", String::new(), page.as_bytes()),
            "/clip.mp4" => {
                let last = clip.len() - 1;
                let (from, to) = range.map_or((0, last), |(from, to)| (from.min(last), to.unwrap_or(last).min(last)));
                let told = format!(
                    "Accept-Ranges: bytes\r\nContent-Range: bytes {from}-{to}/{}\r\n",
                    clip.len()
                );
                ("206 Partial Content", "video/mp4", told, &clip[from..=to])
            }
            "/seen" => {
                let _ = told.send(body);
                ("204 No Content", "text/plain", String::new(), &b""[..])
            }
            _ => ("404 Not Found", "text/plain", String::new(), &b""[..]),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{more}\r\n",
            bytes.len()
        );
        writer.write_all(head.as_bytes())?;
        writer.write_all(bytes)?;
    }
}

/// Chromium, gone when dropped.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn watch(clip: Vec<u8>, middles: &[f64]) -> (f64, Vec<Option<Stamp>>, Option<Stamp>) {
    let (send, told) = channel();
    let port = serve(clip, middles, send);
    let profile = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(profile.path().join("log")).unwrap();
    let child = Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-sync",
        ])
        .args([
            "--disable-component-update",
            "--disable-background-networking",
            "--disable-extensions",
        ])
        .args([
            "--autoplay-policy=no-user-gesture-required",
            "--remote-debugging-port=0",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://127.0.0.1:{port}/"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("chromium has to be installed; on Debian: apt install chromium");
    let browser = Browser(child);
    let heard = told.recv_timeout(Duration::from_secs(120));
    drop(browser);
    let said = || std::fs::read_to_string(profile.path().join("log")).unwrap_or_default();
    let heard = heard.unwrap_or_else(|_| panic!("chromium told nothing: {}", said()));
    match serde_json::from_slice(&heard).unwrap() {
        Told::Seen { length, seen, last } => {
            let read = |levels: &Vec<u8>| Stamp::read(<&[u8; LEVELS]>::try_from(levels.as_slice()).unwrap());
            (length, seen.iter().map(read).collect(), read(&last))
        }
        Told::Failed { error } => panic!("chromium cannot play it: {error}; {}", said()),
    }
}

/// Which picture it shows last of a file that it plays to its end.
#[track_caller]
pub(crate) fn last_shown(file: Vec<u8>) -> Option<u32> {
    let (_, _, last) = watch(file, &[]);
    last.map(|stamp| stamp.counter)
}

#[track_caller]
fn assert_shown(roll: &Roll, offset: i64, length: i64, bframes: u32) {
    let window = roll.window(offset, length);
    let part = the_one(plan(roll.footage(), window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
    assert_shows_of(&part, roll, window, bframes);
}

/// A browser shows of a clip the frames of the window and no other.
#[track_caller]
pub(super) fn assert_shows(part: &Part, roll: &Roll, window: Span) {
    assert_shows_of(part, roll, window, 0);
}

#[track_caller]
fn assert_shows_of(part: &Part, roll: &Roll, window: Span, bframes: u32) {
    let mut clip = Vec::new();
    part.reel
        .reader(0..part.reel.size_bytes())
        .read_to_end(&mut clip)
        .unwrap();
    let inside = roll.inside(window);
    let expected: Vec<u32> = inside.iter().map(|shot: &Shot| shot.counter).collect();
    let starts = inside.iter().map(|shot| shot.wall - inside[0].wall);
    let ends = starts.clone().skip(1).chain([part.covered.as_nanos() as i64]);
    let middles: Vec<f64> = starts
        .zip(ends)
        .map(|(start, end)| (start + end) as f64 / 2e9)
        .collect();
    let (plays, seen, last) = watch(clip, &middles);
    let mut shown: Vec<u32> = seen
        .iter()
        .map(|stamp| stamp.expect("a stamp that can be read").counter)
        .collect();
    assert_eq!(shown.first(), expected.first(), "{window}: the first that is shown");
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown, expected, "{window}");
    assert_eq!(
        last.map(|stamp| stamp.counter),
        expected.last().copied(),
        "{window}: the last that is shown"
    );
    let covered = part.covered.as_secs_f64();
    // What the last B-frames are made from has its place behind them. The browser does not show it, and counts up to it.
    let counted = f64::from(bframes) * 0.04;
    assert!(
        (-0.001..0.001 + counted).contains(&(plays - covered)),
        "{window}: {plays} s instead of {covered}"
    );
}

#[test]
fn a_browser_shows_the_frames_of_the_window_and_no_other() {
    let roll = Roll::record(StreamOptions::small().with_gop(GROUP), 2);
    for (offset, length) in [(1_010, 2_000), (0, 300), (3_970, 500), (6_900, 2_500)] {
        assert_shown(&roll, offset, length, 0);
    }
}

#[test]
fn a_browser_shows_pictures_that_come_in_another_order_exactly_too() {
    let options = StreamOptions {
        bframes: 2,
        ..StreamOptions::small().with_gop(GROUP)
    };
    let roll = Roll::record(options, 2);
    for (offset, length) in [(1_010, 1_500), (1_050, 700), (3_970, 540)] {
        assert_shown(&roll, offset, length, 2);
    }
}
