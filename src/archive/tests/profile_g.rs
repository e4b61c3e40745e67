//! Profile G in the ways of several vendors: prefixes, spaces, authentication and habits differ.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::camera::{Asked, FakeCamera, PASSWORD, Reply, USER, now};
use crate::archive::{Archive, ArchiveError, ClockOffset, Holdings, LocalTime, ToldBy};
use crate::model::{Span, Timestamp, Vendor};

/// The camera's clock is so far ahead.
const AHEAD: i64 = 37;

fn clock() -> ClockOffset {
    ClockOffset {
        ahead_ns: AHEAD * 1_000_000_000,
        within: Duration::from_millis(20),
        told_by: ToldBy::Onvif,
        local: LocalTime::East(0),
    }
}

/// A moment by the camera's clock, as it writes it.
fn written(moment: Timestamp) -> String {
    clock().to_camera(moment).to_string()
}

fn noon() -> Timestamp {
    Timestamp::parse("2026-11-27T12:00:00Z").unwrap()
}

fn gap() -> Span {
    Span::new(noon(), noon().plus(Duration::from_secs(12)))
}

/// How a vendor writes.
#[derive(Debug, Clone, Copy)]
struct Manner {
    envelope: &'static str,
    prefix: &'static str,
    schema: &'static str,
}

const HIKVISION: Manner = Manner {
    envelope: "env",
    prefix: "tse:",
    schema: "tt:",
};
const AXIS: Manner = Manner {
    envelope: "SOAP-ENV",
    prefix: "ns7:",
    schema: "ns2:",
};
const DAHUA: Manner = Manner {
    envelope: "s",
    prefix: "",
    schema: "",
};

impl Manner {
    fn say(self, body: &str) -> Reply {
        let Self {
            envelope,
            prefix,
            schema,
        } = self;
        let mut body = body.to_owned();
        for (open, prefix) in [("<p:", prefix), ("<q:", schema)] {
            let close = open.replace('<', "</");
            body = body
                .replace(open, &format!("<{prefix}"))
                .replace(&close, &format!("</{prefix}"));
        }
        Reply::ok(format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{envelope}:Envelope \
             xmlns:{envelope}=\"http://www.w3.org/2003/05/soap-envelope\">\n<{envelope}:Header/><{envelope}:Body>{body}\
             </{envelope}:Body></{envelope}:Envelope>"
        ))
    }

    fn fault(self, subcode: &str, reason: &str, status: u16) -> Reply {
        let e = self.envelope;
        let Reply::Whole(_, headers, body) = self.say(&format!(
            "<{e}:Fault><{e}:Code><{e}:Value>{e}:Sender</{e}:Value><{e}:Subcode><{e}:Value>{subcode}</{e}:Value></{e}:Subcode>\
             </{e}:Code><{e}:Reason><{e}:Text xml:lang=\"en\">{reason}</{e}:Text></{e}:Reason></{e}:Fault>"
        )) else {
            unreachable!()
        };
        Reply::Whole(status, headers, body)
    }
}

fn recording(token: &str, source: &str, span: Span, status: &str) -> String {
    let (from, to) = (written(span.start), written(span.end));
    format!(
        "<q:RecordingInformation><q:RecordingToken>{token}</q:RecordingToken><q:Source><q:SourceId>{source}</q:SourceId>\
         <q:Name>IPC</q:Name></q:Source><q:EarliestRecording>1970-01-01T00:00:00Z</q:EarliestRecording>\
         <q:Content>all</q:Content><q:Track><q:TrackToken>V1</q:TrackToken><q:TrackType>Video</q:TrackType>\
         <q:DataFrom>{from}</q:DataFrom><q:DataTo>{to}</q:DataTo></q:Track><q:Track><q:TrackToken>A1</q:TrackToken>\
         <q:TrackType>Audio</q:TrackType></q:Track><q:RecordingStatus>{status}</q:RecordingStatus></q:RecordingInformation>"
    )
}

/// What a camera answers that keeps these recordings and replays them under this URL.
fn play(manner: Manner, asked: &Asked, port: u16, recordings: &str, uri: &str) -> Reply {
    manner.say(&match asked.operation() {
        "GetServices" => format!(
            "<p:GetServicesResponse><p:Service><p:Namespace>http://www.onvif.org/ver10/search/wsdl</p:Namespace>\
             <p:XAddr>http://127.0.0.1:{port}/onvif/search</p:XAddr></p:Service><p:Service>\
             <p:Namespace>http://www.onvif.org/ver10/replay/wsdl</p:Namespace>\
             <p:XAddr>http://192.0.2.7:9/onvif/replay?x=1</p:XAddr></p:Service></p:GetServicesResponse>"
        ),
        "FindRecordings" => "<p:FindRecordingsResponse><p:SearchToken>S&amp;1</p:SearchToken></p:FindRecordingsResponse>".into(),
        "GetRecordingSearchResults" => {
            assert!(asked.body.contains("<SearchToken>S&amp;1</SearchToken>"), "{}", asked.body);
            format!(
                "<p:GetRecordingSearchResultsResponse><p:ResultList><q:SearchState>Completed</q:SearchState>{recordings}\
                 </p:ResultList></p:GetRecordingSearchResultsResponse>"
            )
        }
        "GetReplayUri" => format!("<p:GetReplayUriResponse><p:Uri>{uri}</p:Uri></p:GetReplayUriResponse>"),
        _ => return manner.fault("ter:ActionNotSupported", "Optional Action Not Implemented", 500),
    })
}

fn around() -> Span {
    Span::new(
        noon().minus(Duration::from_secs(3600)),
        noon().plus(Duration::from_secs(3600)),
    )
}

fn asked(archive: &dyn Archive) -> crate::archive::Replay {
    assert_eq!(archive.find(gap(), &clock()), Ok(Holdings::Spans(vec![gap()])));
    let replay = archive.replay(gap(), &clock()).unwrap();
    assert!(replay.range && replay.onvif && replay.faster);
    assert_eq!(replay.asked, clock().asking(gap()));
    assert_eq!(replay.address.username(), Some(USER));
    assert_eq!(replay.address.password().unwrap().reveal(), PASSWORD);
    replay
}

#[test]
fn each_vendors_manner_is_understood() {
    for manner in [HIKVISION, AXIS, DAHUA] {
        let list = recording("R1", "src", around(), "Stopped");
        let camera = FakeCamera::start(move |asked, port| {
            assert!(asked.has_token(now(AHEAD)), "{manner:?} {}", asked.body);
            play(
                manner,
                asked,
                port,
                &list,
                "rtsp://127.0.0.1:8554/replay?rec=R1&amp;t=1",
            )
        });
        let archive = camera.archive(Vendor::Onvif, |_| {});
        let replay = asked(&*archive);
        assert_eq!(replay.address.location(), "rtsp://127.0.0.1:8554/replay?rec=R1&t=1");
        // The services of one host are found once; the one that is said to be elsewhere is asked for at the camera.
        let operations = camera.operations();
        assert_eq!(operations.iter().filter(|name| *name == "GetServices").count(), 1);
        let replay = camera
            .asked()
            .into_iter()
            .find(|asked| asked.operation() == "GetReplayUri")
            .unwrap();
        assert_eq!(replay.path, "/onvif/replay?x=1");
        assert!(replay.body.contains("<RecordingToken>R1</RecordingToken>"));
    }
}

#[test]
fn a_camera_that_wants_http_digest_gets_it_and_no_token_beside_it() {
    let list = recording("R1", "src", around(), "Stopped");
    let camera = FakeCamera::start(move |asked, port| {
        if asked.has_digest() && !asked.body.contains("Username") {
            play(AXIS, asked, port, &list, "rtsp://127.0.0.1:5554/r")
        } else {
            Reply::challenge()
        }
    });
    asked(&*camera.archive(Vendor::Axis, |_| {}));
    let refused = camera.asked().iter().filter(|asked| !asked.has_digest()).count();
    assert_eq!(refused, 2, "a token, and a question for the challenge");
}

#[test]
fn a_replay_is_always_at_the_camera_and_asked_as_we_say() {
    for (uri, location) in [
        ("rtsp://192.0.2.7:9/r?x=1", "rtsp://127.0.0.1:5554/r?x=1"),
        ("rtsp://root:toor@169.254.169.254/r", "rtsp://127.0.0.1:5554/r"),
        ("rtsp://root:toor@127.0.0.1/r", "rtsp://127.0.0.1/r"),
    ] {
        let list = recording("R1", "src", around(), "Stopped");
        let camera = FakeCamera::start(move |asked, port| play(DAHUA, asked, port, &list, uri));
        let replay = asked(&*camera.archive(Vendor::Onvif, |_| {}));
        assert_eq!(replay.address.location(), location);
    }
    for (uri, word) in [
        ("file:///etc/passwd", "by file only"),
        ("http://127.0.0.1/r", "by http only"),
        ("r", "no URL"),
    ] {
        let list = recording("R1", "src", around(), "Stopped");
        let camera = FakeCamera::start(move |asked, port| play(DAHUA, asked, port, &list, uri));
        let archive = camera.archive(Vendor::Onvif, |_| {});
        let error = archive.replay(gap(), &clock()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_recording_of_the_channel_that_has_most_of_the_span_is_played() {
    let at = |from: i64, to: i64| {
        let moment = |seconds: i64| noon().offset(seconds * 1_000_000_000);
        Span::new(moment(from), moment(to))
    };
    let list = [
        recording("other", "one", at(-100, 100), "Stopped"),
        recording("before", "two", at(-100, 2), "Stopped"),
        recording("most", "two", at(4, 100), "Stopped"),
    ]
    .concat();
    let camera = FakeCamera::start(move |asked, port| play(AXIS, asked, port, &list, "rtsp://127.0.0.1/r"));
    let archive = camera.archive(Vendor::Onvif, |camera| camera.channel = 2);
    let there = archive.find(gap(), &clock()).unwrap();
    assert_eq!(there, Holdings::Spans(vec![at(0, 2), at(4, 12)]));
    archive.replay(gap(), &clock()).unwrap();
    let last = camera.asked().pop().unwrap();
    assert!(
        last.body.contains("<RecordingToken>most</RecordingToken>"),
        "{}",
        last.body
    );
    let none = camera
        .archive(Vendor::Onvif, |camera| camera.channel = 3)
        .find(gap(), &clock());
    assert!(matches!(none, Err(ArchiveError::NoFootage(text)) if text.contains("channel 3")));
}

#[test]
fn a_recording_that_goes_on_reaches_to_now_whatever_it_says() {
    let list = recording(
        "R1",
        "src",
        Span::new(noon(), noon().plus(Duration::from_secs(1))),
        "Recording",
    );
    let camera = FakeCamera::start(move |asked, port| play(HIKVISION, asked, port, &list, "rtsp://127.0.0.1/r"));
    let archive = camera.archive(Vendor::Onvif, |_| {});
    let lately = Span::new(now(-60), now(-50));
    assert_eq!(archive.find(lately, &clock()), Ok(Holdings::Spans(vec![lately])));
}

#[test]
fn what_the_camera_does_not_have_is_told_from_what_it_cannot_do() {
    let replay = |play: fn(&Asked, u16) -> Reply| {
        let camera = FakeCamera::start(play);
        camera
            .archive(Vendor::Onvif, |_| {})
            .replay(gap(), &clock())
            .unwrap_err()
    };
    let error = replay(|asked, port| play(AXIS, asked, port, "", "rtsp://127.0.0.1/r"));
    assert!(matches!(error, ArchiveError::NoFootage(_)), "{error:?}");
    let error = replay(|asked, _| {
        AXIS.say(&format!(
            "<p:{0}Response><p:Capabilities/></p:{0}Response>",
            asked.operation()
        ))
    });
    assert!(
        matches!(&error, ArchiveError::Unsupported(text) if text.contains("Profile G")),
        "{error:?}"
    );
    for (subcode, reason, status, is_it) in [
        ("ter:NotAuthorized", "Sender not Authorized", 400, 0),
        ("wsse:FailedAuthentication", "", 500, 0),
        ("ter:NoRecording", "The recording token does not exist.", 400, 1),
        ("ter:MaxSearches", "too many", 500, 2),
        ("ter:Action", "hunter &amp;\u{7}", 500, 3),
    ] {
        let camera = FakeCamera::start(move |asked, port| match asked.operation() {
            "GetReplayUri" => HIKVISION.fault(subcode, reason, status),
            _ => play(HIKVISION, asked, port, &recording("R", "s", around(), "Stopped"), ""),
        });
        let error = camera
            .archive(Vendor::Onvif, |_| {})
            .replay(gap(), &clock())
            .unwrap_err();
        let kind = match &error {
            ArchiveError::Unauthorised(_) => 0,
            ArchiveError::NoFootage(_) => 1,
            ArchiveError::Busy(_) => 2,
            _ => 3,
        };
        assert_eq!(kind, is_it, "{error:?}");
        assert!(!error.to_string().contains('\u{7}'));
    }
}

#[test]
fn an_older_camera_is_found_by_its_capabilities_and_asked_for_what_it_left_out() {
    let camera = FakeCamera::start(|asked, port| match asked.operation() {
        "GetServices" => HIKVISION.fault("ter:ActionNotSupported", "no", 500),
        "GetCapabilities" => HIKVISION.say(
            "<p:GetCapabilitiesResponse><p:Capabilities><q:Extension><q:Search><q:XAddr>/onvif/s</q:XAddr></q:Search>\
             <q:Replay><q:XAddr>https://10.0.0.1/onvif/r</q:XAddr></q:Replay></q:Extension></p:Capabilities>\
             </p:GetCapabilitiesResponse>",
        ),
        "GetRecordingInformation" => HIKVISION.say(&format!(
            "<p:GetRecordingInformationResponse>{}</p:GetRecordingInformationResponse>",
            recording("R9", "s", around(), "Stopped")
        )),
        _ => {
            let bare = "<q:RecordingInformation><q:RecordingToken>R9</q:RecordingToken></q:RecordingInformation>";
            play(HIKVISION, asked, port, bare, "rtsp://127.0.0.1:554/R9")
        }
    });
    asked(&*camera.archive(Vendor::Onvif, |_| {}));
    let paths: Vec<String> = camera.asked().into_iter().map(|asked| asked.path).collect();
    assert!(
        paths.contains(&"/onvif/s".to_owned()) && paths.contains(&"/onvif/r".to_owned()),
        "{paths:?}"
    );
}

#[test]
fn holes_that_the_camera_tells_of_are_no_holdings() {
    let state = |at: Timestamp, is_there: bool| {
        format!(
            "<q:Result><q:RecordingToken>R1</q:RecordingToken><q:TrackToken>V1</q:TrackToken><q:Time>{}</q:Time><q:Event>\
             <w:Message><q:Message><q:Data><q:SimpleItem Value=\"{is_there}\" Name=\"IsDataPresent\"/></q:Data></q:Message>\
             </w:Message></q:Event></q:Result>",
            written(at)
        )
    };
    let at = |seconds: u64| noon().plus(Duration::from_secs(seconds));
    let events = [state(at(3), false), state(at(5), true)].concat();
    let camera = FakeCamera::start(move |asked, port| {
        match asked.operation() {
        "FindEvents" => AXIS.say("<p:FindEventsResponse><p:SearchToken>E1</p:SearchToken></p:FindEventsResponse>"),
        "GetEventSearchResults" => AXIS.say(&format!(
            "<p:GetEventSearchResultsResponse><p:ResultList><q:SearchState>Completed</q:SearchState>{events}</p:ResultList>\
             </p:GetEventSearchResultsResponse>"
        )),
        _ => play(AXIS, asked, port, &recording("R1", "s", around(), "Stopped"), ""),
    }
    });
    let archive = camera.archive(Vendor::Onvif, |_| {});
    assert_eq!(
        archive.find(gap(), &clock()),
        Ok(Holdings::Spans(vec![
            Span::new(noon(), at(3)),
            Span::new(at(5), at(12))
        ]))
    );
}

#[test]
fn a_search_that_never_ends_is_ended() {
    let camera = FakeCamera::start(|asked, port| match asked.operation() {
        "GetRecordingSearchResults" => AXIS.say(
            "<p:GetRecordingSearchResultsResponse><p:ResultList><q:SearchState>Searching</q:SearchState></p:ResultList>\
             </p:GetRecordingSearchResultsResponse>",
        ),
        _ => play(AXIS, asked, port, "", ""),
    });
    let error = camera.archive(Vendor::Onvif, |_| {}).find(gap(), &clock()).unwrap_err();
    assert!(
        matches!(&error, ArchiveError::Broken(text) if text.contains("does not end")),
        "{error:?}"
    );
    assert_eq!(camera.operations().last().unwrap(), "EndSearch");
    assert!(camera.asked().len() < 30);
}
