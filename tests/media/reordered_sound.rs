//! Pictures that come in another order than they are shown in, with sound: none is missing where one file ends and the next begins.

use std::time::Duration;

use camkeep::pipeline::demo::{AudioCodec, FakeCamera, StreamOptions};
use serde_json::json;

use crate::daemon_site::{Site, lost_frames};
use crate::kit::referee;

#[test]
fn with_sound_no_picture_is_missing_where_one_file_ends_and_the_next_begins() {
    let site = Site::start();
    let cameras: Vec<(String, FakeCamera)> = [(10, 1), (10, 2), (25, 2), (8, 3)]
        .into_iter()
        .map(|(fps, bframes)| {
            let options = StreamOptions {
                fps,
                bframes,
                audio: AudioCodec::Aac,
                ..StreamOptions::small()
            };
            let camera = FakeCamera::start(options.with_gop(Duration::from_secs(2))).unwrap();
            let id = format!("fps-{fps}-b-{bframes}");
            let body = json!({
                "id": id, "name": id, "main_stream_url": camera.url(), "segment_seconds": 4, "record_audio": true,
            });
            site.daemon().post("/api/v1/cameras", &body).ok();
            (id, camera)
        })
        .collect();
    for (id, camera) in &cameras {
        let rows = site.wait_closed(id, 4, Duration::from_secs(60));
        let stamps = site.stamps(id, &rows);
        let wrong = referee::missing_or_doubled(&stamps);
        assert!(wrong.is_nothing(), "{id}: {wrong:?}");
        let (first, last) = (stamps[0].time_ns, stamps[stamps.len() - 1].time_ns);
        assert_eq!(
            lost_frames(&camera.sent_frames(), &stamps, first, last),
            Vec::<u32>::new(),
            "{id}"
        );
        for row in &rows {
            let seen = referee::read_stamps(&site.path(id, row)).len() as u64;
            assert_eq!(seen, row.frames, "{id}: {row:?}");
        }
    }
}
