//! Binds an `rtspsrc` to a replay: what is asked of the camera, what is never said to it, and how fast it may send.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_rtsp::RTSPMethod;
use gstreamer_rtsp::rtsp_message::RTSPMessage;
use gstreamer_sdp::SDPMessageRef;

use crate::model::{Address, Codec, Loss, Span, Timestamp, Transport, scrub};
use crate::runtime::{Clock, Instant, SystemClock, pause};

use super::bounds::Encrypted;
use super::connection::Connection;
use super::courier::{self, Brought};
use super::description;
use super::doors::Doors;
use super::endless;
use super::event::{self, PipelineEvent};
use super::numbers::Numbers;
use super::property::address_properties;
use super::refill::{RefillSpec, Replayed};
use super::refusal::{self, Offer, Refusal};
use super::rtsp;
use super::runner::{on_the_side, wait_until_down};
use super::source::MOST_CONNECTIONS;

/// How often the camera is asked whether it is there: a replay lasts longer than a session does in which nobody speaks.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often it is looked whether more may be read.
const STEP: Duration = Duration::from_millis(5);

/// The conversation about one replay.
pub(super) struct ReplaySource {
    element: gst::glib::WeakRef<gst::Element>,
    address: Address,
    transport: Transport,
    expected: Codec,
    range: Option<CString>,
    onvif: bool,
    feed: Arc<dyn Replayed>,
    pub(super) connection: Arc<Connection>,
    connections: AtomicU32,
    refused: AtomicBool,
    chosen: AtomicBool,
    /// Nothing more is wanted, so nobody waits any more.
    ended: AtomicBool,
    foreign: Mutex<Option<String>>,
    asked: AtomicU64,
    is_asking: AtomicBool,
    /// What comes out of a connection that nobody else can read.
    encrypted: Option<Arc<Encrypted>>,
}

impl ReplaySource {
    /// Tells the source where the replay is, and hears what it is about to ask of it.
    pub(super) fn bind(element: &gst::Element, spec: &RefillSpec, feed: &Arc<dyn Replayed>) -> Arc<Self> {
        for property in address_properties(&spec.address) {
            element.set_property(property.name, property.reveal());
        }
        let source = Arc::new(Self {
            element: element.downgrade(),
            address: spec.address.clone(),
            transport: spec.transport(),
            expected: spec.codec,
            range: spec.range.and_then(|span| CString::new(clock_range(span)).ok()),
            onvif: spec.onvif,
            feed: feed.clone(),
            connection: Arc::new(Connection::new(spec.address.host(), spec.address.port())),
            connections: AtomicU32::new(0),
            refused: AtomicBool::new(false),
            chosen: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            foreign: Mutex::new(None),
            asked: AtomicU64::new(0),
            is_asking: AtomicBool::new(false),
            encrypted: spec.address.is_encrypted().then(Arc::default),
        });
        let on = source.clone();
        element.connect("on-sdp", false, move |values| {
            on.read_description(values.get(1)?);
            None
        });
        let on = source.clone();
        element.connect("select-stream", false, move |values| {
            let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
            Some(caps.is_some_and(|caps| on.select(&caps)).to_value())
        });
        let on = source.clone();
        element.connect("before-send", false, move |values| {
            Some(on.may_say(values.get(1)).to_value())
        });
        let on = source.clone();
        element.connect("new-manager", false, move |values| {
            on.watch_packets(&values.get(1)?.get::<gst::Element>().ok()?);
            None
        });
        let on = source.clone();
        element.connect_pad_added(move |_, pad| {
            let (on, numbers) = (on.clone(), Numbers::default());
            pad.add_probe(
                gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
                move |pad, info| {
                    numbers.missing(pad, info, |missing| on.feed.lost(missing.packets));
                    gst::PadProbeReturn::Ok
                },
            );
        });
        source
    }

    /// Nothing more is wanted: whoever waits for room goes on.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Reads what the pipeline says; what the camera did is put in plain words.
    pub(super) fn hear(self: &Arc<Self>, message: &gst::Message) {
        match message.view() {
            gst::MessageView::Error(error) if self.is_from_here(message) => self.explain(error),
            gst::MessageView::Progress(progress) if self.is_from_here(message) => {
                let (_, code, text) = progress.get();
                if code == "connect" {
                    self.may_connect(text);
                }
            }
            _ => {
                if let Some(event) = event::read(message) {
                    self.feed.event(event);
                }
            }
        }
    }

    fn is_from_here(&self, message: &gst::Message) -> bool {
        let Some(element) = self.element.upgrade() else {
            return false;
        };
        message
            .src()
            .is_some_and(|source| source == element.upcast_ref::<gst::Object>() || source.has_as_ancestor(&element))
    }

    fn explain(self: &Arc<Self>, error: &gst::message::Error) {
        let foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let offer = match &foreign {
            _ if self.chosen.load(Ordering::Relaxed) => Offer::Taken,
            Some(codec) => Offer::Foreign(codec),
            None => Offer::Nothing,
        };
        let busy = matches!(refusal::status(error), Some(453 | 503));
        match refusal::of(error, &self.address, self.transport, offer) {
            Refusal::Because(_, _) if busy => self.feed.busy(),
            Refusal::Because(loss, message) => self.lose(loss, message),
            Refusal::NoConnection => {
                let on = self.clone();
                on_the_side(move || {
                    let (loss, message) = refusal::of_connecting(&on.address);
                    on.lose(loss, message);
                    true
                });
            }
        }
    }

    fn lose(&self, loss: Loss, message: String) {
        let element = "source".to_owned();
        self.feed.event(PipelineEvent::Error { loss, element, message });
    }

    /// Called before each connection. One that leads elsewhere is never made: this thread waits here until the pipeline goes
    /// down.
    fn may_connect(&self, text: &str) {
        let Some(url) = text.split_whitespace().find(|word| word.contains("://")) else {
            return;
        };
        let count = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.refused.load(Ordering::Relaxed) {
            if !refusal::leads_elsewhere(url, &self.address) && count <= MOST_CONNECTIONS {
                self.connection.is_about_to_open();
                return;
            }
            self.lead_away(url);
        }
        wait_until_down(&self.element);
    }

    fn lead_away(&self, url: &str) {
        self.refused.store(true, Ordering::Relaxed);
        let message = format!(
            "the camera's replay leads to {}, which is not followed; give the camera's own address",
            scrub(url)
        );
        self.lose(Loss::Refused, message);
    }

    fn read_description(&self, shown: &gst::glib::Value) {
        let Ok(description) = shown.get::<&SDPMessageRef>() else {
            return;
        };
        if let Some(excess) = description::excess(description) {
            self.refuse(excess);
            rtsp::forget_description(shown);
        }
    }

    /// Whether a stream is wanted: the first that is a picture which can be kept.
    fn select(&self, caps: &gst::CapsRef) -> bool {
        let Some(structure) = caps.structure(0) else {
            return false;
        };
        let is_picture = structure.get::<&str>("media") == Ok("video");
        if !is_picture || self.refused.load(Ordering::Relaxed) || self.chosen.load(Ordering::Relaxed) {
            return false;
        }
        let encoding = structure
            .get::<&str>("encoding-name")
            .unwrap_or("a codec without a name");
        let codec = match encoding {
            "H264" => Codec::H264,
            "H265" => Codec::H265,
            other => {
                let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
                foreign.get_or_insert_with(|| other.to_owned());
                return false;
            }
        };
        self.chosen.store(true, Ordering::Relaxed);
        if codec != self.expected {
            self.feed.other_codec(codec);
        }
        codec == self.expected
    }

    /// Has a courier read the connection, so that the camera says no more than it may. Packets go to `rtspsrc`, as all else.
    fn send_a_courier(self: &Arc<Self>) {
        let on = Arc::downgrade(self);
        courier::send(
            &self.connection,
            self.encrypted.clone(),
            &Arc::<Doors>::default(),
            move |brought| {
                if let (Brought::TooMuch(excess), Some(on)) = (brought, on.upgrade()) {
                    on.refuse(excess.to_string());
                }
            },
        );
    }

    /// Keeps the depayloader from a picture without end.
    pub(super) fn bound(self: &Arc<Self>, depay: &gst::Element) {
        let on = self.clone();
        endless::bound(depay, self.expected, move |why| on.lose(Loss::Broken, why));
    }

    fn refuse(&self, message: String) {
        self.refused.store(true, Ordering::Relaxed);
        self.lose(Loss::Broken, message);
    }

    fn may_say(self: &Arc<Self>, shown: Option<&gst::glib::Value>) -> bool {
        let message = shown.and_then(|value| value.get::<RTSPMessage>().ok());
        let (Some(shown), Some((method, url))) = (shown, message.as_ref().and_then(rtsp::request)) else {
            return true;
        };
        if !self.connection.claim() {
            self.refuse(refusal::SEVERAL.to_owned());
            return false;
        }
        self.send_a_courier();
        self.encrypted.iter().for_each(|encrypted| encrypted.go_on());
        match method {
            RTSPMethod::PAUSE => return false,
            RTSPMethod::GET_PARAMETER => rtsp::empty(shown),
            RTSPMethod::OPTIONS | RTSPMethod::DESCRIBE if refusal::leads_elsewhere(&url, &self.address) => {
                self.lead_away(&url);
                return false;
            }
            RTSPMethod::SETUP => self.require(shown),
            RTSPMethod::PLAY => {
                self.connections.store(0, Ordering::Relaxed);
                self.encrypted.iter().for_each(|encrypted| encrypted.play());
                self.require(shown);
                if let Some(range) = &self.range {
                    rtsp::say(shown, c"Range", range);
                }
                if self.onvif {
                    rtsp::say(shown, c"Rate-Control", c"no");
                }
            }
            _ => {}
        }
        true
    }

    fn require(&self, shown: &gst::glib::Value) {
        const REPLAY: &CStr = c"onvif-replay";
        if self.onvif {
            rtsp::say(shown, c"Require", REPLAY);
        }
    }

    fn watch_packets(self: &Arc<Self>, manager: &gst::Element) {
        let on = self.clone();
        manager.connect_pad_added(move |_, pad| {
            if pad.direction() != gst::PadDirection::Sink || !pad.name().starts_with("recv_rtp_sink_") {
                return;
            }
            let on = on.clone();
            pad.add_probe(
                gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
                move |pad, info| {
                    on.feed.received(size_of(info));
                    on.encrypted.iter().for_each(|encrypted| encrypted.go_on());
                    if pad.peer().is_some_and(|peer| peer.parent_element().is_none()) {
                        // Packets inside the connection: while this thread waits nothing is read, so the camera waits too. Datagrams
                        // would only be lost.
                        on.keep_alive(SystemClock.instant());
                        while !on.ended.load(Ordering::Relaxed) && !on.feed.has_room() {
                            pause(STEP);
                        }
                    }
                    gst::PadProbeReturn::Ok
                },
            );
        });
    }

    /// Asks the camera whether it is there, so that it sees that somebody is.
    fn keep_alive(self: &Arc<Self>, now: Instant) {
        let then = Instant(self.asked.load(Ordering::Relaxed));
        if then != Instant(0) && now.since(then) < KEEP_ALIVE {
            return;
        }
        self.asked.store(now.0, Ordering::Relaxed);
        if then == Instant(0) || self.is_asking.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(element) = self.element.upgrade() else { return };
        let on = self.clone();
        let promise = gst::Promise::with_change_func(move |_| on.is_asking.store(false, Ordering::Relaxed));
        if !element.emit_by_name::<bool>("get-parameter", &[&"ping", &None::<&str>, &promise]) {
            self.is_asking.store(false, Ordering::Relaxed);
        }
    }
}

fn size_of(info: &gst::PadProbeInfo<'_>) -> u64 {
    match &info.data {
        Some(gst::PadProbeData::Buffer(packet)) => packet.size() as u64,
        Some(gst::PadProbeData::BufferList(list)) => list.iter().map(|packet| packet.size() as u64).sum(),
        _ => 0,
    }
}

/// A span as PLAY wants it.
fn clock_range(span: Span) -> String {
    let moment = |at: Timestamp| at.to_utc().format("%Y%m%dT%H%M%S%.3fZ").to_string();
    format!("clock={}-{}", moment(span.start), moment(span.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_asked_for_by_the_camera_s_clock_to_the_millisecond() {
        let start = Timestamp::from_millis(1_790_000_000_125);
        let span = Span::new(start, start.plus(Duration::from_secs(12)));
        assert_eq!(clock_range(span), "clock=20260921T141320.125Z-20260921T141332.125Z");
    }
}
