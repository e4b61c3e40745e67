//! Binds an `rtspsrc` to a camera: where it is, which of its streams is taken, what is never said to it, and what is said
//! in time so that the camera does not hang up.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_rtsp::RTSPMethod;
use gstreamer_rtsp::rtsp_message::RTSPMessage;
use gstreamer_sdp::SDPMessageRef;

use crate::model::{Address, Codec, Loss, Transport, scrub};
use crate::runtime::{Clock, Instant, SystemClock};

use super::behind::{Behind, Last};
use super::bounds::Encrypted;
use super::connection::Connection;
use super::courier::{self, Brought};
use super::description;
use super::doors::{self, Doors};
use super::endless;
use super::event::{self, PipelineEvent};
use super::numbers::{self, AT_RANDOM, Numbers, Packets};
use super::property::source_properties;
use super::record::{Feed, RecordSpec};
use super::refusal::{self, Offer, Refusal};
use super::rtsp;
use super::runner::{on_the_side, wait_until_down};
use super::sound::{Sound, media};
use super::straight;

/// The first connection, and those that a camera's redirects to itself may ask for.
pub(super) const MOST_CONNECTIONS: u32 = 4;
/// How often the camera is asked whether it is there. Sessions last 60 s unless the camera says otherwise, which rtspsrc
/// tells nobody; none of the captured cameras says less, and this keeps one of 20 s at half its time.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The conversation with one camera.
pub(super) struct Source {
    element: gst::glib::WeakRef<gst::Element>,
    address: Address,
    transport: Transport,
    expected: Codec,
    feed: Arc<dyn Feed>,
    pub(super) connection: Arc<Connection>,
    sound: Arc<Sound>,
    /// Connections begun before anything was agreed on.
    connections: AtomicU32,
    /// It is refused; nothing of it is taken any more.
    refused: AtomicBool,
    /// A picture has been chosen.
    chosen: AtomicBool,
    /// What the pictures are encoded in that cannot be recorded.
    foreign: Mutex<Option<String>>,
    /// When the camera was last asked whether it is there, and whether it has not answered yet.
    asked: AtomicU64,
    is_asking: AtomicBool,
    packets: Arc<Packets>,
    /// What comes out of a connection that nobody else can read.
    encrypted: Option<Arc<Encrypted>>,
    doors: Arc<Doors>,
}

impl Source {
    /// Tells the source where the camera is, and hears what it is about to ask of it.
    pub(super) fn bind(
        element: &gst::Element,
        spec: &RecordSpec,
        feed: &Arc<dyn Feed>,
        sound: &Arc<Sound>,
    ) -> Arc<Self> {
        for property in source_properties(spec) {
            element.set_property(property.name, property.reveal());
        }
        let source = Arc::new(Self {
            element: element.downgrade(),
            address: spec.address.clone(),
            transport: spec.transport,
            expected: spec.codec,
            feed: feed.clone(),
            connection: Arc::new(Connection::new(spec.address.host(), spec.address.port())),
            sound: sound.clone(),
            connections: AtomicU32::new(0),
            refused: AtomicBool::new(false),
            chosen: AtomicBool::new(false),
            foreign: Mutex::new(None),
            asked: AtomicU64::new(0),
            is_asking: AtomicBool::new(false),
            packets: Arc::default(),
            encrypted: spec.address.is_encrypted().then(Arc::default),
            doors: Arc::default(),
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
            let manager = values.get(1)?.get::<gst::Element>().ok()?;
            straight::keep_to_the_thread_that_reads(&manager, &on.doors);
            on.watch_packets(&manager);
            None
        });
        let on = source.clone();
        element.connect_no_more_pads(move |_| on.sound.all_is_agreed());
        let on = source.clone();
        element.connect_pad_added(move |_, pad| {
            on.watch_stream(pad);
            on.sound.listen(pad);
        });
        source
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
                self.feed
                    .event(PipelineEvent::Progress(scrub(&format!("{code}: {text}"))));
            }
            // The pipeline's own end-of-stream comes when every branch that writes is done, which is also so for a moment
            // while one is exchanged for the next. The end of the camera's stream is heard at the tap.
            gst::MessageView::Eos(_) => {}
            _ => event::read(message)
                .into_iter()
                .for_each(|event| self.feed.event(event)),
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
        // When no stream is served at all it is not the sound that is refused.
        if !refusal::is_of_all_streams(error) && self.sound.is_refused(refusal::status(error)) {
            return;
        }
        let foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let offer = match &foreign {
            _ if self.chosen.load(Ordering::Relaxed) => Offer::Taken,
            Some(codec) => Offer::Foreign(codec),
            None => Offer::Nothing,
        };
        match refusal::of(error, &self.address, self.transport, offer) {
            Refusal::Because(loss, message) => self.lose(loss, message),
            Refusal::NoConnection => {
                // GStreamer does not say why, so the network is asked, which may take a while.
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

    /// Called before each connection, on the thread that makes it, which waits to be cancelled when that leads elsewhere.
    fn may_connect(&self, text: &str) {
        let Some(url) = text.split_whitespace().find(|word| word.contains("://")) else {
            return;
        };
        let count = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        if self.refused.load(Ordering::Relaxed) {
            // It tries again by itself when a connection ends.
        } else if refusal::leads_elsewhere(url, &self.address) {
            self.feed.redirect_refused(scrub(url));
        } else if count > MOST_CONNECTIONS {
            let message = "the camera redirects in a circle; give the URL of its stream itself";
            self.lose(Loss::Refused, message.to_owned());
        } else {
            self.connection.is_about_to_open();
            return;
        }
        self.refused.store(true, Ordering::Relaxed);
        wait_until_down(&self.element);
    }

    fn read_description(&self, shown: &gst::glib::Value) {
        let Ok(description) = shown.get::<&SDPMessageRef>() else {
            return;
        };
        self.sound.read_description(description);
        if let Some(excess) = description::excess(description) {
            self.refuse(excess);
            // Making something of each part of it would take rtspsrc seconds in which nothing can stop it.
            rtsp::forget_description(shown);
            return;
        }
        if let Some(codec) = description::nameless(description) {
            self.is_foreign(codec);
        }
    }

    fn is_foreign(&self, codec: &str) {
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.get_or_insert_with(|| codec.to_owned());
    }

    /// Whether a stream is wanted: the first that is a picture which can be recorded, and the first such sound.
    fn select(&self, caps: &gst::CapsRef) -> bool {
        if self.refused.load(Ordering::Relaxed) {
            return false;
        }
        let Some(structure) = caps.structure(0) else {
            return false;
        };
        if media(caps) == Some("audio") {
            return self.sound.select(caps);
        }
        if media(caps) != Some("video") || self.chosen.load(Ordering::Relaxed) {
            return false;
        }
        let encoding = structure
            .get::<&str>("encoding-name")
            .unwrap_or("a codec without a name");
        let codec = match encoding {
            "H264" => Codec::H264,
            "H265" => Codec::H265,
            other => {
                self.is_foreign(other);
                return false;
            }
        };
        self.chosen.store(true, Ordering::Relaxed);
        if codec != self.expected {
            self.sound.forget();
            self.feed.other_codec(Some(codec));
        }
        codec == self.expected
    }

    fn may_say(self: &Arc<Self>, shown: Option<&gst::glib::Value>) -> bool {
        let message = shown.and_then(|value| value.get::<RTSPMessage>().ok());
        let Some((method, url)) = message.as_ref().and_then(rtsp::request) else {
            return true;
        };
        if !self.connection.claim() {
            self.refuse(refusal::SEVERAL.to_owned());
            return false;
        }
        self.send_a_courier();
        self.encrypted.iter().for_each(|encrypted| encrypted.go_on());
        self.sound.hear_request(method, &url);
        match method {
            // Going down sends PAUSE first, which some cameras answer by dropping the session; TEARDOWN says it all.
            RTSPMethod::PAUSE => false,
            RTSPMethod::GET_PARAMETER => {
                if let Some(shown) = shown {
                    rtsp::empty(shown);
                }
                true
            }
            // Behind a NAT cameras name streams by addresses of their own, which is only text on the same connection. But
            // nobody begins a conversation with another.
            RTSPMethod::OPTIONS | RTSPMethod::DESCRIBE if refusal::leads_elsewhere(&url, &self.address) => {
                self.feed.redirect_refused(scrub(&url));
                false
            }
            RTSPMethod::PLAY => {
                self.connections.store(0, Ordering::Relaxed);
                self.encrypted.iter().for_each(|encrypted| encrypted.play());
                true
            }
            _ => true,
        }
    }

    /// Has a courier read the connection, so that the camera says no more than it may, and its packets come the short way.
    fn send_a_courier(self: &Arc<Self>) {
        let on = Arc::downgrade(self);
        courier::send(&self.connection, self.encrypted.clone(), &self.doors, move |brought| {
            let Some(on) = on.upgrade() else { return };
            match brought {
                Brought::Packets(now, packets) => on.count(now, packets),
                Brought::Broke => on.lose(Loss::Ended, refusal::CLOSED.to_owned()),
                Brought::TooMuch(excess) => on.refuse(excess.to_string()),
                Brought::First(source) => {
                    let progress = format!("short-way: packets of {source:08x} pass rtspsrc by");
                    on.feed.event(PipelineEvent::Progress(progress));
                }
            }
        });
    }

    /// Keeps the depayloader from a picture without end.
    pub(super) fn bound(self: &Arc<Self>, depay: &gst::Element) {
        let on = self.clone();
        endless::bound(depay, self.expected, move |why| on.lose(Loss::Broken, why));
    }

    /// Nothing of the conversation is taken any more.
    fn refuse(&self, message: String) {
        self.refused.store(true, Ordering::Relaxed);
        self.lose(Loss::Broken, message);
    }

    fn count(&self, now: Instant, packets: u64) {
        self.encrypted.iter().for_each(|encrypted| encrypted.go_on());
        if self.packets.are_at_random(now, packets) {
            self.lose(Loss::Broken, AT_RANDOM.to_owned());
        }
    }

    /// Counts the packets of one stream, and says what stands behind them.
    fn watch_stream(self: &Arc<Self>, pad: &gst::Pad) {
        let (on, numbers, last) = (self.clone(), Arc::new(Numbers::default()), Last::default());
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let is_of_pictures = media(&caps) == Some("video");
        pad.add_probe(
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
            move |pad, info| {
                on.packets.are_in_order(numbers::count(info));
                if is_of_pictures {
                    on.sound.picture_begins(pad, info);
                }
                numbers.missing(pad, info, |missing| on.feed.lost(missing));
                if let Some((source, payload)) = last.other(info)
                    && let Some(behind) = Behind::of(pad, &numbers, &on.packets)
                {
                    on.doors.stands_behind(source, payload, behind);
                }
                gst::PadProbeReturn::Ok
            },
        );
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
                    let now = SystemClock.instant();
                    on.count(now, numbers::count(info));
                    // Those are brought by the thread that reads the connection.
                    if doors::is_inside_the_connection(pad) {
                        on.keep_alive(now);
                    }
                    gst::PadProbeReturn::Ok
                },
            );
        });
    }

    /// Asks the camera whether it is there, so that it sees that somebody is: rtspsrc 1.22 does so only when nothing comes.
    /// Said from the thread that reads, between two packets.
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
        // The name is taken out again before it is sent. `false` is the answer when it is not playing any more.
        let is_asked = element.emit_by_name::<bool>("get-parameter", &[&"ping", &None::<&str>, &promise]);
        if !is_asked {
            self.is_asking.store(false, Ordering::Relaxed);
        }
    }
}
