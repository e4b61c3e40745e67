//! The ONVIF service, asked by curl, with tokens made by openssl.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{CameraOptions, FakeCamera, Misbehaviour, StorageOptions, StreamOptions};

use crate::kit::storage::{camera, storage, wait_kept};

/// Asks for an operation; the whole answer with its headers.
fn ask(camera: &FakeCamera, body: &str, header: &str, options: &[&str]) -> String {
    let url = storage(camera).onvif_url();
    let message = format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Header>{header}</s:Header>\
         <s:Body>{body}</s:Body></s:Envelope>"
    );
    let output = Command::new("curl")
        .args([
            "-s",
            "-i",
            "--max-time",
            "10",
            "-H",
            "Content-Type: application/soap+xml",
            "-d",
            &message,
        ])
        .args(options)
        .arg(url)
        .output()
        .expect("curl has to be installed");
    String::from_utf8(output.stdout).expect("text")
}

fn text_of(answer: &str, name: &str) -> String {
    let (_, rest) = answer
        .split_once(&format!("{name}>"))
        .unwrap_or_else(|| panic!("no {name} in {answer}"));
    rest.split('<').next().unwrap().to_owned()
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} has to be installed: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A `UsernameToken`, its digest by openssl.
fn token(user: &str, password: &str, created: &str) -> String {
    let nonce = b"sixteen letters.";
    let sum = [nonce, created.as_bytes(), password.as_bytes()].concat();
    let digest = Command::new("sh")
        .args(["-c", "openssl dgst -sha1 -binary | openssl base64"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = digest.expect("openssl has to be installed");
    child.stdin.take().unwrap().write_all(&sum).unwrap();
    let digest = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let nonce = run("openssl", &["base64"], nonce);
    format!(
        "<wsse:Security xmlns:wsse=\"urn:w\" xmlns:wsu=\"urn:u\"><wsse:UsernameToken><wsse:Username>{user}</wsse:Username>\
         <wsse:Password Type=\"PasswordDigest\">{}</wsse:Password><wsse:Nonce>{nonce}</wsse:Nonce>\
         <wsu:Created>{created}</wsu:Created></wsse:UsernameToken></wsse:Security>",
        digest.trim()
    )
}

#[test]
fn a_recording_is_found_and_its_replay_address_is_given() {
    let camera = camera();
    wait_kept(&camera, Duration::from_secs(2));
    let services = ask(&camera, "<tds:GetServices/>", "", &[]);
    assert!(services.contains("/onvif/search_service") && services.contains("/onvif/replay_service"));
    let search = text_of(&ask(&camera, "<tse:FindRecordings/>", "", &[]), "SearchToken");
    let results = format!(
        "<tse:GetRecordingSearchResults><tse:SearchToken>{search}</tse:SearchToken></tse:GetRecordingSearchResults>"
    );
    let before = storage(&camera).extent().unwrap();
    let found = ask(&camera, &results, "", &[]);
    let after = storage(&camera).extent().unwrap();
    assert_eq!(text_of(&found, "SearchState"), "Completed");
    let told = |name| Timestamp::parse(&text_of(&found, name)).unwrap();
    assert_eq!(told("EarliestRecording").as_millis(), before.start.as_millis());
    let latest = told("LatestRecording").as_millis();
    assert!((before.end.as_millis()..=after.end.as_millis()).contains(&latest));
    let recording = text_of(&found, "RecordingToken");
    let replay = |token: &str| format!("<GetReplayUri><RecordingToken>{token}</RecordingToken></GetReplayUri>");
    let uri = text_of(&ask(&camera, &replay(&recording), "", &[]), "Uri");
    assert_eq!(uri, storage(&camera).replay_url());
    let unknown = ask(&camera, &replay("REC_9"), "", &[]);
    assert!(
        unknown.starts_with("HTTP/1.1 400") && unknown.contains("Fault"),
        "{unknown}"
    );
    let asked = [
        "GetServices",
        "FindRecordings",
        "GetRecordingSearchResults",
        "GetReplayUri",
        "GetReplayUri",
    ];
    assert_eq!(storage(&camera).requests(), asked.map(|name| format!("POST {name}")));
}

#[test]
fn a_camera_without_footage_finds_no_recording() {
    let camera = camera();
    wait_kept(&camera, Duration::from_secs(1));
    let summary = |camera: &FakeCamera| {
        let answer = ask(camera, "<tse:GetRecordingSummary/>", "", &[]);
        text_of(&answer, "NumberRecordings")
    };
    assert_eq!(summary(&camera), "1");
    storage(&camera).misbehave(&[Misbehaviour::Nothing]);
    assert_eq!(summary(&camera), "0");
}

#[test]
fn the_date_is_told_by_the_cameras_own_clock() {
    let camera = camera();
    for ahead in [0, 37, -3600] {
        storage(&camera).set_clock_ahead_ms(ahead * 1000);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        let answer = ask(&camera, "<tds:GetSystemDateAndTime/>", "", &[]);
        let utc = answer.split("UTCDateTime>").nth(1).unwrap();
        let [hour, minute, second, year, month, day] =
            ["Hour", "Minute", "Second", "Year", "Month", "Day"].map(|name| text_of(utc, name).parse::<u32>().unwrap());
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        let told = Timestamp::parse(&text).unwrap().as_millis() / 1000;
        assert!((0..5).contains(&(told - now - ahead)), "{told} at {now}, {ahead} ahead");
        let date = answer
            .lines()
            .find_map(|line| line.strip_prefix("Date: "))
            .expect("a Date");
        let date: i64 = run("date", &["-u", "-d", date, "+%s"], b"").parse().unwrap();
        assert!((0..5).contains(&(date - now - ahead)), "{date} at {now}, {ahead} ahead");
    }
}

#[test]
fn whoever_asks_logs_in_by_token_or_by_digest() {
    let options = CameraOptions::from(StreamOptions::small())
        .with_storage(StorageOptions {
            clock_ahead_ms: 3_600_000,
            ..StorageOptions::default()
        })
        .with_login("guard", "secret");
    let camera = FakeCamera::start(options).unwrap();
    let summary = "<tse:GetRecordingSummary/>";
    let refused = ask(&camera, summary, "", &[]);
    assert!(
        refused.starts_with("HTTP/1.1 401") && refused.contains("ter:NotAuthorized"),
        "{refused}"
    );
    assert!(ask(&camera, "<tds:GetSystemDateAndTime/>", "", &[]).starts_with("HTTP/1.1 200"));
    let digest = |login: &str| ask(&camera, summary, "", &["--digest", "-u", login]);
    assert!(digest("guard:secret").contains("HTTP/1.1 200"));
    assert!(!digest("guard:wrong").contains("HTTP/1.1 200"));
    let now = Timestamp::from_nanos(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as i64);
    let told = storage(&camera).tell(now).to_string();
    let by_token = |password: &str, created: &str| ask(&camera, summary, &token("guard", password, created), &[]);
    assert!(by_token("secret", &told).starts_with("HTTP/1.1 200"));
    assert!(by_token("wrong", &told).starts_with("HTTP/1.1 401"));
    let by_our_clock = by_token("secret", &now.to_string());
    assert!(
        by_our_clock.starts_with("HTTP/1.1 401"),
        "a token dated an hour away: {by_our_clock}"
    );
}
