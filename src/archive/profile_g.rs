//! ONVIF Profile G: which recordings there are (search), and where they are played (replay).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono_tz::Tz;
use url::Url;

use crate::model::{Address, Span, scrub};
use crate::runtime::pause;

use super::error::ArchiveError;
use super::history;
use super::keeping::{Archive, Holdings, Replay};
use super::line::{Line, Place};
use super::offset::ClockOffset;
use super::recordings::{Read, Recording, by_capabilities, by_services, read_recording};
use super::soap::{Soap, moment};
use super::telling::{self, DEVICE};
use super::xml::{Element, escaped};

pub(super) const DEVICE_SPACE: &str = "http://www.onvif.org/ver10/device/wsdl";
pub(super) const SEARCH_SPACE: &str = "http://www.onvif.org/ver10/search/wsdl";
pub(super) const REPLAY_SPACE: &str = "http://www.onvif.org/ver10/replay/wsdl";
const SCHEMA: &str = "http://www.onvif.org/ver10/schema";
/// Most answers to one search.
const ROUNDS: u32 = 20;
/// More recordings than a camera has.
const MOST: usize = 4096;
/// Between two answers of a search that is not over.
const BREATH: Duration = Duration::from_millis(200);

/// What a camera with Profile G keeps.
#[derive(Debug)]
pub(super) struct ProfileG {
    line: Line,
    channel: u32,
    zone: Tz,
    by_digest: AtomicBool,
    services: Mutex<Option<Services>>,
}

/// Where a camera's services are.
#[derive(Debug, Clone)]
struct Services {
    search: Place,
    replay: Place,
}

/// A search: how it is begun, how its results are fetched, and what each of them is called.
#[derive(Debug, Clone, Copy)]
struct Search<'a> {
    begin: &'a str,
    inside: &'a str,
    results: &'a str,
    item: &'a str,
}

impl ProfileG {
    pub(super) fn new(line: Line, channel: u32, zone: Tz) -> Self {
        Self {
            line,
            channel,
            zone,
            by_digest: AtomicBool::new(false),
            services: Mutex::default(),
        }
    }

    fn ask(
        &self,
        place: &Place,
        space: &str,
        name: &str,
        inside: &str,
        clock: &ClockOffset,
    ) -> Result<Element, ArchiveError> {
        let soap = Soap {
            line: &self.line,
            by_digest: &self.by_digest,
        };
        let body = format!("<{name} xmlns=\"{space}\" xmlns:tt=\"{SCHEMA}\">{inside}</{name}>");
        let now = clock.to_camera(self.line.clock.now());
        soap.ask(place, &format!("{space}/{name}"), &body, now)
    }

    fn services(&self, clock: &ClockOffset) -> Result<Services, ArchiveError> {
        let known = self.services.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let device = Place {
            port: self.line.http_port,
            path: DEVICE.to_owned(),
        };
        let inside = "<IncludeCapability>false</IncludeCapability>";
        let told = match self.ask(&device, DEVICE_SPACE, "GetServices", inside, clock) {
            Ok(answer) => by_services(&answer),
            Err(error @ (ArchiveError::Unauthorised(_) | ArchiveError::Unreachable(_))) => return Err(error),
            Err(_) => None,
        };
        let told = match told {
            Some(told) => Some(told),
            // Older cameras know only this.
            None => {
                let inside = "<Category>All</Category>";
                by_capabilities(&self.ask(&device, DEVICE_SPACE, "GetCapabilities", inside, clock)?)
            }
        };
        let Some((search, replay)) = told else {
            return Err(ArchiveError::Unsupported(format!(
                "the camera at {} keeps nothing that ONVIF could give (it has no Profile G); put a card into it, or give \
                 `anr_replay_url_template`",
                self.line.host_in_url()
            )));
        };
        let services = Services {
            search: self.line.place(&search),
            replay: self.line.place(&replay),
        };
        *self.services.lock().unwrap_or_else(PoisonError::into_inner) = Some(services.clone());
        Ok(services)
    }

    /// Everything that a search finds.
    fn search(
        &self,
        services: &Services,
        clock: &ClockOffset,
        what: &Search<'_>,
    ) -> Result<Vec<Element>, ArchiveError> {
        let ask = |name: &str, inside: &str| self.ask(&services.search, SEARCH_SPACE, name, inside, clock);
        let begun = ask(what.begin, what.inside)?;
        let token = begun
            .text_at(&["SearchToken"])
            .ok_or_else(|| self.broken("no search"))?;
        let token = format!("<SearchToken>{}</SearchToken>", escaped(token));
        let mut told: Vec<Element> = Vec::new();
        for round in 0..ROUNDS {
            if round > 0 {
                pause(BREATH);
            }
            let mut answer = ask(what.results, &format!("{token}<WaitTime>PT2S</WaitTime>"))?;
            let list = answer.children.iter_mut().find(|child| child.name == "ResultList");
            let list = list.ok_or_else(|| self.broken("no list of what it found"))?;
            let is_over = list.text_at(&["SearchState"]) == Some("Completed");
            let found = std::mem::take(&mut list.children).into_iter();
            told.extend(found.filter(|child| child.name == what.item));
            if is_over {
                return Ok(told);
            }
            if told.len() > MOST {
                break;
            }
        }
        // Searches are few in a camera. One that cannot be ended ends by itself.
        let _ = ask("EndSearch", &token);
        Err(self.broken("a search that does not end"))
    }

    /// The recordings of this camera's channel.
    fn recordings(&self, services: &Services, clock: &ClockOffset) -> Result<Vec<Recording>, ArchiveError> {
        let told = self.search(
            services,
            clock,
            &Search {
                begin: "FindRecordings",
                inside: "<Scope/><KeepAliveTime>PT30S</KeepAliveTime>",
                results: "GetRecordingSearchResults",
                item: "RecordingInformation",
            },
        )?;
        let now = clock.to_camera(self.line.clock.now());
        let mut recordings = Vec::new();
        for recording in &told {
            recordings.extend(match read_recording(recording, now) {
                Read::Recording(recording) => Some(recording),
                Read::Undated(token) => {
                    let inside = format!("<RecordingToken>{}</RecordingToken>", escaped(&token));
                    let more = self.ask(
                        &services.search,
                        SEARCH_SPACE,
                        "GetRecordingInformation",
                        &inside,
                        clock,
                    )?;
                    match more.child("RecordingInformation").map(|more| read_recording(more, now)) {
                        Some(Read::Recording(recording)) => Some(recording),
                        _ => None,
                    }
                }
                Read::Other => None,
            });
        }
        self.of_channel(recordings)
    }

    /// What of a recording's time is there, as far as the camera tells of holes in it; many do not.
    fn present(&self, services: &Services, clock: &ClockOffset, recording: &Recording, asked: Span) -> Vec<Span> {
        let Some(asked) = recording.span.intersect(&asked) else {
            return Vec::new();
        };
        let inside = format!(
            "<StartPoint>{}</StartPoint><EndPoint>{}</EndPoint><Scope><tt:IncludedRecordings>{}</tt:IncludedRecordings></Scope>\
             <SearchFilter><wsnt:TopicExpression xmlns:wsnt=\"http://docs.oasis-open.org/wsn/b-2\" \
             xmlns:tns1=\"http://www.onvif.org/ver10/topics\" \
             Dialect=\"http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet\">tns1:RecordingHistory/Track/State\
             </wsnt:TopicExpression></SearchFilter><IncludeStartState>true</IncludeStartState>\
             <KeepAliveTime>PT30S</KeepAliveTime>",
            moment(asked.start),
            moment(asked.end.plus(Duration::from_secs(1))),
            escaped(&recording.token)
        );
        let told = self.search(
            services,
            clock,
            &Search {
                begin: "FindEvents",
                inside: &inside,
                results: "GetEventSearchResults",
                item: "Result",
            },
        );
        match told {
            Ok(told) => history::present(asked, &recording.token, &recording.video, &told),
            Err(_) => vec![asked],
        }
    }

    /// Those of one source. Where there are several, they are counted in the order in which the camera names them.
    fn of_channel(&self, recordings: Vec<Recording>) -> Result<Vec<Recording>, ArchiveError> {
        let mut order: Vec<String> = Vec::new();
        let mut by_source: BTreeMap<String, Vec<Recording>> = BTreeMap::new();
        for recording in recordings {
            if !by_source.contains_key(&recording.source) {
                order.push(recording.source.clone());
            }
            by_source.entry(recording.source.clone()).or_default().push(recording);
        }
        let wanted = match order.len() {
            0 => return Ok(Vec::new()),
            1 => 0,
            _ => usize::try_from(self.channel.saturating_sub(1)).unwrap_or(usize::MAX),
        };
        let source = order.get(wanted).ok_or_else(|| {
            ArchiveError::NoFootage(format!(
                "the camera at {} keeps {} sources, and channel {} is none of them",
                self.line.host_in_url(),
                order.len(),
                self.channel
            ))
        })?;
        Ok(by_source.remove(source).unwrap_or_default())
    }

    /// A replay's URL as the camera names it, at the camera that we know.
    fn replay_address(&self, uri: &str) -> Result<Address, ArchiveError> {
        let mut url = Url::parse(uri).map_err(|_| self.broken("no URL for a replay"))?;
        if !matches!(url.scheme(), "rtsp" | "rtsps") {
            return Err(ArchiveError::Unsupported(format!(
                "the camera at {} replays by {} only, which is not spoken here",
                self.line.host_in_url(),
                scrub(url.scheme())
            )));
        }
        if !self.line.is_host(url.host_str()) {
            let host = self.line.host_in_url();
            let moved = url.set_host(Some(&host)).is_ok() && url.set_port(Some(self.line.rtsp_port)).is_ok();
            if !moved {
                return Err(self.broken("no URL for a replay"));
            }
        }
        // Whom it is asked as is ours to say.
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return Err(self.broken("no URL for a replay"));
        }
        let address = Address::parse(url.as_str()).map_err(|_| self.broken("no URL for a replay"))?;
        Ok(address.with_credentials(self.line.username.as_deref(), self.line.password.as_ref()))
    }

    fn broken(&self, what: &str) -> ArchiveError {
        ArchiveError::Broken(format!("the camera at {} answers with {what}", self.line.host_in_url()))
    }
}

impl Archive for ProfileG {
    fn find(&self, span: Span, clock: &ClockOffset) -> Result<Holdings, ArchiveError> {
        let services = self.services(clock)?;
        let asked = Span::new(clock.to_camera(span.start), clock.to_camera(span.end));
        let mut spans = Vec::new();
        for recording in self.recordings(&services, clock)? {
            let there = self.present(&services, clock, &recording, asked);
            let there = there
                .into_iter()
                .map(|there| Span::new(clock.to_box(there.start), clock.to_box(there.end)));
            spans.extend(there);
        }
        spans.sort_unstable();
        let mut joined: Vec<Span> = Vec::new();
        for span in spans {
            match joined.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => joined.push(span),
            }
        }
        Ok(Holdings::Spans(joined))
    }

    fn replay(&self, span: Span, clock: &ClockOffset) -> Result<Replay, ArchiveError> {
        let services = self.services(clock)?;
        let asked = clock.asking(span);
        let recordings = self.recordings(&services, clock)?;
        let shared = |recording: &Recording| recording.span.intersect(&asked).map(|shared| shared.duration());
        let best = recordings.iter().filter(|recording| shared(recording).is_some());
        let Some(best) = best.max_by_key(|recording| shared(recording)) else {
            return Err(ArchiveError::NoFootage(format!(
                "the camera at {} keeps nothing of {span}",
                self.line.host_in_url()
            )));
        };
        let inside = format!(
            "<StreamSetup><tt:Stream>RTP-Unicast</tt:Stream><tt:Transport><tt:Protocol>RTSP</tt:Protocol></tt:Transport>\
             </StreamSetup><RecordingToken>{}</RecordingToken>",
            escaped(&best.token)
        );
        let answer = self.ask(&services.replay, REPLAY_SPACE, "GetReplayUri", &inside, clock)?;
        let uri = answer
            .text_at(&["Uri"])
            .ok_or_else(|| self.broken("no URL for a replay"))?;
        Ok(Replay {
            address: self.replay_address(uri)?,
            asked,
            range: true,
            onvif: true,
            faster: true,
            clock: *clock,
        })
    }

    fn clock(&self) -> Result<ClockOffset, ArchiveError> {
        telling::clock(&self.line, self.zone, false)
    }
}
