//! Clips and exports as far as they need no media: what is refused, in which order and words, and what becomes of jobs.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::desk::Desk;
use crate::model::{Clip, ClipId, ClipMode, GapCause, Hole, JobId, Span};
use crate::timeline::fixture::{at, door, segment};

fn clip(desk: &Desk, camera: &str, body: Value) -> (u16, String) {
    let answer = desk.send("POST", &format!("/api/v1/cameras/{camera}/clip"), &body.to_string());
    (answer.status, answer.problem())
}

fn window(from: i64, to: i64) -> Value {
    json!({"from": at(from), "to": at(to)})
}

#[test]
fn what_cannot_be_cut_is_refused_in_order_and_in_the_words_that_clients_know() {
    let desk = Desk::new();
    desk.add_segments(vec![segment(0, 60, 1, 0)]);
    for (camera, body, status, words) in [
        ("nobody", window(10, 10), 400, "`to` must be after `from`"),
        ("nobody", window(10, 9), 400, "`to` must be after `from`"),
        ("nobody", window(0, 3601), 400, "clip too long (3601s); max 3600s"),
        ("nobody", window(0, 3600), 404, "camera nobody not found"),
        (
            "door",
            window(7200, 7260),
            404,
            "no recorded footage in the requested range",
        ),
        (
            "door",
            window(60, 70),
            404,
            "no recorded footage in the requested range",
        ),
    ] {
        assert_eq!(clip(&desk, camera, body.clone()), (status, words.to_owned()), "{body}");
        let (from, to) = (body["from"].as_str().unwrap(), body["to"].as_str().unwrap());
        let streamed = desk.get(&format!("/api/v1/cameras/{camera}/clip.mp4?from={from}&to={to}"));
        assert_eq!(
            (streamed.status, streamed.problem().as_str()),
            (status, words),
            "{body}"
        );
    }
    let half = json!({"from": at(0), "to": at(3600).offset(1_000_000)});
    assert_eq!(clip(&desk, "door", half).1, "clip too long (3601s); max 3600s");
}

#[test]
fn where_nothing_is_recorded_the_gap_says_why() {
    let desk = Desk::new();
    let mut row = segment(0, 60, 1, 0);
    row.holes = vec![Hole {
        span: Span::new(at(20), at(40)),
        cause: GapCause::Silent,
    }];
    desk.add_segments(vec![row]);
    let streamed = desk.get(&format!("/api/v1/cameras/door/clip.mp4?from={}&to={}", at(25), at(30)));
    let made = desk.send("POST", "/api/v1/cameras/door/clip", &window(25, 30).to_string());
    for answer in [streamed, made] {
        assert_eq!(answer.status, 404);
        let gap = &answer.json()["gaps"][0];
        let told = [&gap["start"], &gap["end"], &gap["cause"]].map(|field| field.as_str().unwrap().to_owned());
        assert_eq!(told, [at(25).to_string(), at(30).to_string(), "silent".to_owned()]);
    }
}

#[test]
fn fields_that_lack_are_wrong_or_unknown_are_named() {
    let desk = Desk::new();
    for (body, words) in [
        (json!({"to": at(1)}), "from: give it"),
        (json!({"from": at(0), "to": null}), "to: give it"),
        (
            json!({"from": "yesterday", "to": at(1)}),
            "from: `yesterday` is not a time",
        ),
        (json!({"from": 5, "to": at(1)}), "from: expected a time, got a number"),
        (
            json!({"from": at(0), "to": at(1), "mode": "fast"}),
            "mode: `fast` is none of exact, keyframe, reencode_head",
        ),
        (
            json!({"from": at(0), "to": at(1), "form": 1}),
            "form: unknown field; known are from, to, mode, captions",
        ),
    ] {
        let (status, problem) = clip(&desk, "door", body);
        assert_eq!(status, 400);
        assert!(problem.starts_with(words), "{problem}");
    }
    for (query, words) in [
        ("", "from: give it"),
        ("?from=2026-11-20T10:00:00Z", "to: give it"),
        (
            "?from=2026-11-20T10:00:00Z&to=2026-11-20T10:00:01Z&mode=x",
            "mode: one of exact, keyframe, reencode_head",
        ),
        (
            "?from=2026-11-20T10:00:00Z&to=2026-11-20T10:00:01Z&x=1",
            "x: unknown parameter",
        ),
    ] {
        let answer = desk.get(&format!("/api/v1/cameras/door/clip.mp4{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.problem().starts_with(words), "{query}");
    }
    for (body, words) in [
        (json!({"from": at(0), "to": at(1)}), "cameras: name them"),
        (
            json!({"cameras": [], "from": at(0), "to": at(1)}),
            "cameras: name 1 to 64 of them",
        ),
        (
            json!({"cameras": "door", "from": at(0), "to": at(1)}),
            "cameras: expected a list of texts, got a text",
        ),
        (
            json!({"cameras": ["door"], "from": at(1), "to": at(1)}),
            "`to` must be after `from`",
        ),
        (
            json!({"cameras": ["door"], "from": at(0), "to": at(1), "name": "{x}"}),
            "name: `{x}` is no word; there are {camera}",
        ),
        (
            json!({"cameras": ["door"], "from": at(0), "to": at(1), "burn_in": 1}),
            "burn_in: expected true or false",
        ),
    ] {
        let answer = desk.send("POST", "/api/v1/exports", &body.to_string());
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.problem().starts_with(words), "{body}");
    }
    let answer = desk.send(
        "POST",
        "/api/v1/exports",
        &json!({"cameras": ["door", "nobody"], "from": at(0), "to": at(1)}).to_string(),
    );
    assert_eq!(
        (answer.status, answer.problem()),
        (404, "camera nobody not found".to_owned())
    );
    assert_eq!(desk.get("/api/v1/exports").json(), json!([]), "nothing of it was kept");
}

#[test]
fn footage_whose_files_are_gone_is_no_server_error_and_stays_locked_by_nobody() {
    let desk = Desk::new();
    desk.add_segments(vec![segment(0, 60, 1, 0)]);
    let (status, problem) = clip(&desk, "door", window(10, 20));
    assert_eq!(status, 404);
    assert!(problem.contains("damaged or gone"), "{problem}");
    wait(|| {
        desk.app
            .index
            .read_blocking(|reader| reader.locked_segments())
            .unwrap()
            .is_empty()
    });
    let clips = std::fs::read_dir(desk.app.exporter.shelf().root()).unwrap().count();
    assert_eq!(clips, 0, "no unfinished file is left");
}

fn wait(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "it never came");
        std::thread::yield_now();
    }
}

#[test]
fn a_job_that_comes_to_nothing_says_why_and_is_forgotten_when_asked() {
    let desk = Desk::new();
    let body = json!({"cameras": ["door"], "from": at(0), "to": at(7200), "name": "case {camera}"});
    let ordered = desk.send("POST", "/api/v1/exports", &body.to_string());
    assert_eq!(ordered.status, 202);
    let job = ordered.json();
    assert_eq!((&job["state"], &job["progress"]), (&json!("queued"), &json!(0.0)));
    let place = format!("/api/v1/exports/{}", job["id"].as_str().unwrap());
    assert_eq!(ordered.header("location"), Some(place.as_str()));
    wait(|| desk.get(&place).json()["state"] == "failed");
    let job = desk.get(&place).json();
    assert_eq!(job["error"], "door: no recorded footage in the requested range");
    assert_eq!((&job["clips"], &job["name"]), (&json!([]), &json!("case {camera}")));
    assert!(job["ended_at"].is_string());
    wait(|| {
        desk.get("/api/v1/events?type=clip_failed")
            .json()
            .as_array()
            .unwrap()
            .len()
            == 1
    });
    assert_eq!(desk.send("DELETE", &place, "").status, 204);
    assert_eq!(desk.get(&place).status, 404);
    assert_eq!(desk.send("DELETE", &place, "").status, 404);
}

/// A clip as if it had been made, with its file and what lies beside it.
fn put_clip(desk: &Desk, number: u128, made: i64, expires: Option<i64>) -> Clip {
    let clip = Clip {
        id: ClipId(Uuid::from_u128(number)),
        camera: door(),
        file: format!("door_{number}.mp4"),
        window: Span::new(at(0), at(10)),
        requested_to: None,
        shown: Span::new(at(0), at(9)),
        covered: Duration::from_secs(9),
        size_bytes: 10,
        sha256: [1; 32],
        frames: 225,
        segment_count: 1,
        holes: vec![Span::new(at(9), at(10))],
        mode: ClipMode::Exact,
        asked_by: "administrator at 127.0.0.1".into(),
        job: None,
        created_at: at(made),
        expires_at: expires.map(at),
    };
    let row = clip.clone();
    desk.app
        .index
        .write_blocking(move |writer| writer.insert_clip(&row))
        .unwrap();
    let place = desk.app.exporter.shelf().place(&clip.file).unwrap();
    for suffix in ["", ".manifest.json", ".manifest.sig"] {
        std::fs::write(format!("{}{suffix}", place.display()), b"0123456789").unwrap();
    }
    clip
}

#[test]
fn the_manifest_of_a_clip_is_given_as_it_lies_there_with_its_signature() {
    let desk = Desk::new();
    let clip = put_clip(&desk, 1, 100, None);
    let place = desk.app.exporter.shelf().place(&clip.file).unwrap();
    let beside = |ending: &str| format!("{}{ending}", place.display());
    let row = desk.get(&format!("/api/v1/clips/{}", clip.id)).json();
    let target = row["manifest_url"].as_str().unwrap().to_owned();

    let damaged = desk.get(&target);
    assert_eq!(damaged.status, 500);
    assert!(damaged.problem().contains("make the clip again"));
    std::fs::write(beside(".manifest.sig"), [0xab; 64]).unwrap();
    let told = desk.get(&target);
    assert_eq!((told.status, told.body.as_slice()), (200, &b"0123456789"[..]));
    assert_eq!(told.header("content-type"), Some("application/json"));
    assert_eq!(told.header("x-camkeep-signature"), Some("ab".repeat(64).as_str()));
    assert_eq!(
        told.header("content-disposition"),
        Some("inline; filename=\"door_1.mp4.manifest.json\"")
    );
    let signature = desk.get(&format!("{target}.sig"));
    assert_eq!((signature.status, signature.body.as_slice()), (200, &[0xab; 64][..]));
    assert_eq!(signature.header("content-type"), Some("application/octet-stream"));

    std::fs::remove_file(beside(".manifest.json")).unwrap();
    let gone = desk.get(&target);
    assert_eq!(
        (gone.status, gone.problem().contains("no longer on the disk")),
        (404, true)
    );
    let nobody = desk.get(&format!("/api/v1/clips/{}/manifest", Uuid::from_u128(9)));
    assert_eq!((nobody.status, nobody.problem().contains("no such clip")), (404, true));
    assert_eq!(desk.get("/api/v1/clips/x/manifest.sig").status, 404);
}

#[test]
fn clips_are_listed_fetched_in_parts_and_removed_with_all_that_belongs_to_them() {
    let desk = Desk::new();
    for number in 1..=3 {
        put_clip(&desk, number, 100 + i64::try_from(number).unwrap(), None);
    }
    let page = desk.get("/api/v1/clips?limit=2&camera=door");
    let names = |rows: &Value| {
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["filename"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&page.json()), ["door_3.mp4", "door_2.mp4"]);
    let link = page.header("link").unwrap().to_owned();
    let next = link.strip_prefix('<').unwrap().split_once('>').unwrap().0;
    assert_eq!(names(&desk.get(next).json()), ["door_1.mp4"]);
    let row = desk.get(&format!("/api/v1/clips/{}", Uuid::from_u128(2))).json();
    assert_eq!(row["url"], "/media/clips/door_2.mp4");
    assert_eq!(row["gaps"], json!([{"from": at(9), "to": at(10)}]));
    assert_eq!(
        (&row["requested_seconds"], &row["covered_seconds"]),
        (&json!(10.0), &json!(9.0))
    );
    assert_eq!(row["sha256"], "01".repeat(32));
    let part = desk.with_headers("GET", "/media/clips/door_2.mp4", "Range: bytes=2-4\r\n", "");
    assert_eq!((part.status, part.body.as_slice()), (206, b"234".as_slice()));
    assert_eq!(part.header("content-type"), Some("video/mp4"));
    assert_eq!(
        part.header("content-disposition"),
        Some("inline; filename=\"door_2.mp4\"")
    );
    let place = format!("/api/v1/clips/{}", Uuid::from_u128(2));
    assert_eq!(desk.send("DELETE", &place, "").status, 204);
    for gone in ["/media/clips/door_2.mp4", place.as_str()] {
        assert_eq!(desk.get(gone).status, 404, "{gone}");
    }
    assert_eq!(desk.send("DELETE", &place, "").status, 404);
    let left = std::fs::read_dir(desk.app.exporter.shelf().root()).unwrap().count();
    assert_eq!(left, 6, "two clips with what lies beside them");
}

#[test]
fn nothing_but_a_known_clip_is_ever_served() {
    let desk = Desk::new();
    put_clip(&desk, 1, 100, None);
    let shelf = desk.app.exporter.shelf().root().to_owned();
    std::fs::write(shelf.join("stranger.mp4"), b"SECRET").unwrap();
    std::fs::write(shelf.join("draft.mp4.part"), b"SECRET").unwrap();
    std::fs::write(shelf.parent().unwrap().join("secret.mp4"), b"SECRET").unwrap();
    for target in [
        "/media/clips/stranger.mp4",
        "/media/clips/draft.mp4",
        "/media/clips/draft.mp4.part",
        "/media/clips/../secret.mp4",
        "/media/clips/%2e%2e%2fsecret.mp4",
        "/media/clips/..%5csecret.mp4",
        "/media/clips/door_1.mp4%00",
        "/media/clips/door_1.mp4/",
        "/media/clips//etc/passwd",
        "/media/clips/",
        "/api/v1/clips/x",
        "/api/v1/clips/../exports",
        "/api/v1/exports/00000000-0000-0000-0000-000000000000",
    ] {
        let answer = desk.get(target);
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.head);
        assert!(!answer.body.windows(6).any(|six| six == b"SECRET"), "{target}");
    }
}

#[test]
fn a_clip_goes_with_its_files_when_its_time_is_over_and_one_without_a_time_stays() {
    let desk = Desk::new();
    // The daemon looks by its own clock too, by which it is a quarter past ten.
    put_clip(&desk, 1, 0, Some(1500));
    put_clip(&desk, 2, 0, None);
    let let_go = |seconds| desk.wait_for(desk.app.exporter.let_go(at(seconds))).unwrap();
    assert_eq!((let_go(1499), let_go(1500), let_go(1501)), (0, 1, 0));
    let left = std::fs::read_dir(desk.app.exporter.shelf().root()).unwrap().count();
    assert_eq!(left, 3);
    assert_eq!(desk.get("/media/clips/door_2.mp4").status, 200);
    assert_eq!(desk.get("/media/clips/door_1.mp4").status, 404);
}

#[test]
fn what_a_dead_process_left_is_tidied_up_and_its_jobs_begin_anew() {
    let desk = Desk::that_makes_nothing();
    desk.add_segments(vec![segment(0, 60, 1, 0)]);
    let mut half_made = put_clip(&desk, 1, 100, None);
    half_made.id = ClipId(Uuid::from_u128(9));
    half_made.file = "half.mp4".to_owned();
    half_made.job = Some(JobId(Uuid::from_u128(5)));
    let shelf = desk.app.exporter.shelf().clone();
    std::fs::write(shelf.root().join("half.mp4"), b"1").unwrap();
    std::fs::write(shelf.root().join("draft.mp4.part"), b"1").unwrap();
    let known = put_clip(&desk, 3, 100, None);
    let place = shelf.place(&known.file).unwrap();
    std::fs::rename(&place, format!("{}.part", place.display())).unwrap();
    desk.app
        .index
        .write_blocking(move |writer| {
            writer.insert_clip(&half_made)?;
            writer.lock_segments(&door(), Span::new(at(0), at(60)))?;
            writer.insert_job(&crate::model::Job {
                id: JobId(Uuid::from_u128(5)),
                order: crate::model::Order {
                    cameras: vec![door()],
                    window: Span::new(at(0), at(60)),
                    mode: ClipMode::Exact,
                    name: None,
                    burn_in: false,
                    captions: false,
                    asked_by: "somebody".into(),
                },
                state: crate::model::JobState::Running,
                progress: 0.5,
                error: None,
                created_at: at(1),
                started_at: Some(at(2)),
                ended_at: None,
            })
        })
        .unwrap();
    desk.open_exporter_again();
    let index = &desk.app.index;
    assert!(
        index
            .read_blocking(|reader| reader.locked_segments())
            .unwrap()
            .is_empty()
    );
    let job = index
        .read_blocking(|reader| reader.job(JobId(Uuid::from_u128(5))))
        .unwrap()
        .unwrap();
    assert_eq!((job.state, job.started_at), (crate::model::JobState::Queued, None));
    let names: std::collections::BTreeSet<String> = std::fs::read_dir(shelf.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains("manifest"))
        .collect();
    assert_eq!(names, ["door_1.mp4", "door_3.mp4"].map(str::to_owned).into());
    assert_eq!(desk.get("/api/v1/clips").json().as_array().unwrap().len(), 2);
}
