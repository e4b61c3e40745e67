//! A daemon's HTTP side on a port of its own, and a client that sends exactly what it is told.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedSender;

use crate::archive::Surroundings;
use crate::config::Config;
use crate::export::{Exporter, Means, Snapshots, Turns};
use crate::http::serve::{Limits, serve_within};
use crate::http::{App, Engines};
use crate::model::{Edges, News, Segment, VolumeRole};
use crate::pipeline::Catalog;
use crate::record::{Recorder, Setting};
use crate::refill::{Needs, Refiller};
use crate::retain::Purger;
use crate::runtime::{ManualClock, Shutdown, Tasks};
use crate::storage::{BoxKey, Shelf, Syncer, Volume, Volumes};
use crate::timeline::fixture::{self, IndexBox, at};

pub(super) struct Desk {
    pub(super) app: App,
    pub(super) clock: Arc<ManualClock>,
    pub(super) place: IndexBox,
    /// Where the primary volume's files lie.
    pub(super) recordings: PathBuf,
    pub(super) address: SocketAddr,
    runtime: Runtime,
    shutdown: Shutdown,
    tasks: Option<Tasks>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The problem's detail, after seeing that it is told as problems are.
    pub(super) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.head
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"));
        assert_eq!(problem["error"], problem["detail"]);
        assert!(!problem["title"].as_str().unwrap().is_empty());
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// What clips are made with.
fn means(
    place: &IndexBox,
    volumes: &Volumes,
    clock: Arc<ManualClock>,
    edges: Arc<dyn Edges>,
    key: Arc<BoxKey>,
) -> Means {
    Means {
        index: place.index.clone(),
        volumes: volumes.clone(),
        shelf: Shelf::open(&place.root.path().join("clips")).unwrap(),
        catalog: Arc::new(Catalog::built_in().unwrap()),
        clock,
        edges,
        key,
        turns: Turns::new(3),
        longest: Duration::from_secs(3600),
        retention: Duration::from_secs(48 * 3600),
    }
}

/// What gaps are filled with. Nobody fills them.
fn needs(
    place: &IndexBox,
    clock: &Arc<ManualClock>,
    recorder: &Recorder,
    recordings: &Path,
    news: UnboundedSender<News>,
) -> Needs {
    Needs {
        clock: clock.clone(),
        catalog: Arc::new(Catalog::built_in().unwrap()),
        index: place.index.clone(),
        volume: Arc::new(Volume::open(recordings, VolumeRole::Primary, at(0)).unwrap()),
        data: place.root.path().to_owned(),
        edges: Arc::new(recorder.clone()),
        news,
        surroundings: Surroundings {
            clock: clock.clone(),
            zone: chrono_tz::Tz::UTC,
        },
        connect: Duration::from_secs(10),
        latency: Duration::from_millis(200),
        config: Config::default().refill,
    }
}

impl Desk {
    /// One camera, `door`; ten o'clock and a quarter.
    pub(super) fn new() -> Self {
        Self::within(Limits::of_this_box())
    }

    /// The same, with other limits for clients.
    pub(super) fn within(limits: Limits) -> Self {
        Self::put_together(limits, true, |app, _, _| app)
    }

    /// The same, where nobody makes the jobs that are ordered.
    pub(super) fn that_makes_nothing() -> Self {
        Self::put_together(Limits::of_this_box(), false, |app, _, _| app)
    }

    /// The same, with something that not every box has.
    pub(super) fn changed(change: impl FnOnce(App, &IndexBox, Arc<ManualClock>) -> App) -> Self {
        Self::put_together(Limits::of_this_box(), true, change)
    }

    fn put_together(
        limits: Limits,
        makes_jobs: bool,
        change: impl FnOnce(App, &IndexBox, Arc<ManualClock>) -> App,
    ) -> Self {
        let place = fixture::index();
        let recordings = place.root.path().join("recordings");
        std::fs::create_dir(&recordings).unwrap();
        let volumes = Volumes::new(fixture::volume(), recordings.clone());
        let clock = Arc::new(ManualClock::at(at(900)));
        let (news, _) = tokio::sync::mpsc::unbounded_channel();
        let setting = Setting {
            clock: clock.clone(),
            catalog: Arc::new(Catalog::built_in().unwrap()),
            volume: Arc::new(Volume::open(&recordings, VolumeRole::Primary, at(0)).unwrap()),
            tail: None,
            mirror: None,
            syncer: Arc::new(Syncer::start("sync", Syncer::PERIOD, Arc::new(|_| {})).unwrap()),
            suspects: Arc::default(),
            timings: Default::default(),
            news,
            remember: Duration::from_secs(15),
            stall: Duration::from_secs(5),
            connect: Duration::from_secs(10),
            latency: Duration::from_millis(200),
        };
        let key = BoxKey::load_or_make(&place.root.path().join("box.key"), at(0)).unwrap();
        let recorder = Recorder::new(setting);
        let snapshots = Snapshots::new(
            place.index.clone(),
            Arc::new(recorder.clone()),
            volumes.clone(),
            Arc::new(Catalog::built_in().unwrap()),
            clock.clone(),
            Turns::new(3),
        );
        let exporter = Exporter::open(means(
            &place,
            &volumes,
            clock.clone(),
            Arc::new(recorder.clone()),
            Arc::new(key.clone()),
        ))
        .unwrap();
        let (news, _) = tokio::sync::mpsc::unbounded_channel();
        let refiller = Refiller::new(needs(&place, &clock, &recorder, &recordings, news), Arc::default());
        let app = App::new(
            place.index.clone(),
            Engines {
                recorder,
                snapshots,
                exporter: exporter.clone(),
                refiller,
                purger: Purger::new(
                    place.index.clone(),
                    Arc::new(Volume::open(&recordings, VolumeRole::Primary, at(0)).unwrap()),
                    volumes.clone(),
                    None,
                ),
            },
            clock.clone(),
            volumes,
            key.public(),
        );
        let app = change(app, &place, clock.clone());
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, mut tasks) = (Shutdown::new(), Tasks::new());
        let (served, end) = (app.clone(), shutdown.clone());
        {
            let _inside = runtime.enter();
            tasks.spawn("http", async move {
                serve_within(listener, served, end, limits).await.unwrap()
            });
            if makes_jobs {
                tasks.spawn("exports", exporter.run(shutdown.clone()));
            }
        }
        Self {
            app,
            clock,
            place,
            recordings,
            address,
            runtime,
            shutdown,
            tasks: Some(tasks),
        }
    }

    /// What a start does to what an exporter before it left.
    pub(super) fn open_exporter_again(&self) {
        let key = BoxKey::load_or_make(&self.place.root.path().join("box.key"), at(0)).unwrap();
        let edges = Arc::new(self.app.recorder.clone());
        Exporter::open(means(
            &self.place,
            &self.app.volumes,
            self.clock.clone(),
            edges,
            Arc::new(key),
        ))
        .unwrap();
    }

    /// Waits for something that the daemon would wait for.
    pub(super) fn wait_for<T>(&self, work: impl std::future::Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Sends bytes as they are and reads to the end.
    pub(super) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let split = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("an answer");
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body: bytes[split + 4..].to_vec(),
            head,
        }
    }

    pub(super) fn with_headers(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.raw(request.as_bytes())
    }

    pub(super) fn send(&self, method: &str, target: &str, body: &str) -> Answer {
        self.with_headers(method, target, "Content-Type: application/json\r\n", body)
    }

    pub(super) fn get(&self, target: &str) -> Answer {
        self.with_headers("GET", target, "", "")
    }

    pub(super) fn add_segments(&self, segments: Vec<Segment>) {
        self.app
            .index
            .write_blocking(move |writer| segments.iter().try_for_each(|segment| writer.close_segment(segment)))
            .unwrap();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shutdown.ask();
        let tasks = self.tasks.take().unwrap_or_default();
        let recorder = self.app.recorder.clone();
        self.runtime.block_on(async {
            recorder.stop(Duration::from_secs(5)).await;
            tasks.join_all(Duration::from_secs(5)).await
        });
    }
}

#[test]
fn the_end_is_reached_while_a_client_holds_its_connection() {
    let desk = Desk::new();
    let mut held = TcpStream::connect(desk.address).unwrap();
    held.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    held.read_exact(&mut [0; 12]).unwrap();
    let begun = std::time::Instant::now();
    drop(desk);
    assert!(begun.elapsed() < Duration::from_secs(5));
}
