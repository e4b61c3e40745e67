//! An element for packets that come inside one connection: it takes the place of `rtpjitterbuffer`, and hands each on from the
//! thread that reads it.
//!
//! A jitter buffer has a thread of its own, which is woken for every packet, because datagrams come in any order and some do
//! not come at all. Inside a connection they come in order, and waking somebody is a sixth of what receiving costs: decision 30.
//! Once packets come through it, those after them are brought to it by the courier, past all that is before it.
//! What the jitter buffer does besides, this does as well: times are the camera's ticks since the first packet (as with its
//! `mode=none`), and the camera's own time is added once its reports tell it.

use std::sync::Arc;
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

use super::doors::{Doors, is_inside_the_connection};
use super::in_order::sender_report;
use super::reception::Header;

glib::wrapper! {
    /// The element.
    pub(super) struct Straight(ObjectSubclass<imp::Straight>) @extends gst::Element, gst::Object;
}

impl Straight {
    /// One for a stream, which says at these doors that it is there. `rtpbin` sets what else it has to know.
    pub(super) fn new(doors: &Arc<Doors>) -> Self {
        let this: Self = glib::Object::new();
        this.imp().inside().doors = doors.clone();
        this
    }

    /// Takes a packet that the courier brings, as it came and with what its header says; `false` when it takes none any more.
    pub(super) fn bring(&self, packet: &[u8], header: &Header) -> bool {
        self.imp().bring(packet, header)
    }
}

/// Gives `rtpbin` this element for the streams that come inside the connection.
pub(super) fn keep_to_the_thread_that_reads(manager: &gst::Element, doors: &Arc<Doors>) {
    let doors = doors.clone();
    manager.connect("request-jitterbuffer", false, move |values| {
        let entry = |values: &[glib::Value]| {
            let manager = values.first()?.get::<gst::Element>().ok()?;
            let session = values.get(1)?.get::<u32>().ok()?;
            manager.static_pad(&format!("recv_rtp_sink_{session}"))
        };
        let is_inside = entry(values).is_some_and(|entry| is_inside_the_connection(&entry));
        // For datagrams it makes what it makes without us.
        Some(
            is_inside
                .then(|| Straight::new(&doors).upcast::<gst::Element>())
                .to_value(),
        )
    });
}

mod imp {
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

    use super::*;
    use crate::pipeline::gathering::buffer;
    use crate::pipeline::in_order::Dating;
    use crate::pipeline::inside::{Inside, Onward};
    use crate::runtime::{Clock, SystemClock};

    /// Where packets come in, where they go, and where the camera's reports come in.
    const ENTRY: &str = "sink";
    const EXIT: &str = "src";
    const REPORTS: &str = "sink_rtcp";
    /// The shortest packet: a header without anything in it.
    const HEADER: usize = 12;

    pub(in crate::pipeline) struct Straight {
        entry: gst::Pad,
        exit: gst::Pad,
        inside: Mutex<Inside>,
    }

    impl Straight {
        pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
            self.inside.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// A packet comes.
        fn chain(&self, packet: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let mut header = [0; HEADER];
            if packet.copy_to_slice(0, &mut header).is_err() {
                return Ok(gst::FlowSuccess::Ok);
            }
            let number = u16::from_be_bytes([header[2], header[3]]);
            let mut inside = self.inside();
            if inside.dating.is_none() {
                // Whoever is asked may hold something that somebody else holds who waits for us, so nothing is held meanwhile.
                drop(inside);
                let rate = self.ask_for_rate(header[1] & 0x7f);
                inside = self.inside();
                if inside.dating.is_none() {
                    inside.dating = rate.map(Dating::by);
                }
            }
            inside.open(&packet, &self.entry);
            let onward = inside.take(number, packet, SystemClock.instant());
            drop(inside);
            self.hand_on(onward)
        }

        /// The packet with this header was brought. Called by the courier; whether it is taken.
        pub(super) fn bring(&self, packet: &[u8], header: &Header) -> bool {
            // What is said of packets keeps its place among them.
            let _comes = self.entry.stream_lock();
            let onward = self.inside().bring(packet, header);
            match onward {
                Some(onward) => self.hand_on(onward).is_ok(),
                None => buffer(packet).is_some_and(|packet| self.entry.chain(packet).is_ok()),
            }
        }

        /// Called with nothing locked.
        fn hand_on(&self, onward: Onward) -> Result<gst::FlowSuccess, gst::FlowError> {
            match onward {
                Onward::Packets(packets) => packets
                    .into_iter()
                    .try_fold(gst::FlowSuccess::Ok, |_, packet| self.exit.push(packet)),
                Onward::Picture(unit, behind) => behind.push(unit),
            }
        }

        fn ask_for_rate(&self, payload: u8) -> Option<u32> {
            let known = self.entry.current_caps().as_deref().and_then(rate);
            known.or_else(|| {
                let caps = self
                    .obj()
                    .emit_by_name::<Option<gst::Caps>>("request-pt-map", &[&u32::from(payload)]);
                caps.as_deref().and_then(rate)
            })
        }

        fn hear(&self, event: gst::Event) -> bool {
            match event.view() {
                gst::EventView::Caps(caps) => {
                    let mut inside = self.inside();
                    if let (None, Some(rate)) = (&inside.dating, rate(caps.caps())) {
                        inside.dating = Some(Dating::by(rate));
                    }
                }
                gst::EventView::FlushStop(_) => self.inside().forget(),
                gst::EventView::Eos(_) => {
                    let onward = self.inside().end();
                    // Whoever does not want them any more does not want the end either, which goes on in any case.
                    let _ = self.hand_on(onward);
                }
                _ => {}
            }
            gst::Pad::event_default(&self.entry, Some(&*self.obj()), event)
        }

        fn hear_report(&self, packet: &gst::Buffer) {
            if let Ok(reports) = packet.map_readable()
                && let Some((ticks, time)) = sender_report(&reports)
                && let Some(dating) = self.inside().dating.as_mut()
            {
                dating.hear_report(ticks, time);
            }
        }
    }

    /// Ticks of a second.
    fn rate(caps: &gst::CapsRef) -> Option<u32> {
        let rate = caps.structure(0)?.get::<i32>("clock-rate").ok()?;
        u32::try_from(rate).ok().filter(|rate| *rate > 0)
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Straight {
        const NAME: &'static str = "CamkeepStraight";
        type Type = super::Straight;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let pad = |name: &str| class.pad_template(name).map(|of| gst::Pad::builder_from_template(&of));
            let entry = pad(ENTRY).map(|pad| {
                pad.chain_function(|_, parent, packet| {
                    Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |this| this.chain(packet))
                })
                .event_function(|_, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.hear(event))
                })
                .iterate_internal_links_function(|_, parent| beside(parent, |this| &this.exit))
                .build()
            });
            let exit = pad(EXIT).map(|pad| {
                pad.iterate_internal_links_function(|_, parent| beside(parent, |this| &this.entry))
                    .build()
            });
            Self {
                entry: entry.unwrap_or_else(|| gst::Pad::new(gst::PadDirection::Sink)),
                exit: exit.unwrap_or_else(|| gst::Pad::new(gst::PadDirection::Src)),
                inside: Mutex::default(),
            }
        }
    }

    /// What a pad belongs with: packets and what is said of them go from one to the other, and reports to neither.
    fn beside(parent: Option<&gst::Object>, other: impl Fn(&Straight) -> &gst::Pad) -> gst::Iterator<gst::Pad> {
        let this = parent.and_then(|parent| parent.downcast_ref::<super::Straight>());
        gst::Iterator::from_vec(this.map(|this| other(this.imp()).clone()).into_iter().collect())
    }

    impl ObjectImpl for Straight {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                let latency = glib::ParamSpecUInt::builder("latency")
                    .nick("Latency")
                    .blurb("For how many milliseconds packets that are missing are waited for")
                    .build();
                vec![latency]
            });
            &PROPERTIES
        }

        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
                let ask = glib::subclass::Signal::builder("request-pt-map")
                    .param_types([u32::static_type()])
                    .return_type::<gst::Caps>()
                    .build();
                vec![ask]
            });
            &SIGNALS
        }

        fn set_property(&self, _id: usize, value: &glib::Value, _pspec: &glib::ParamSpec) {
            if let Ok(millis) = value.get::<u32>() {
                self.inside().patience = Duration::from_millis(millis.into());
            }
        }

        fn property(&self, _id: usize, _pspec: &glib::ParamSpec) -> glib::Value {
            u32::try_from(self.inside().patience.as_millis())
                .unwrap_or(u32::MAX)
                .to_value()
        }

        fn constructed(&self) {
            self.parent_constructed();
            for pad in [&self.entry, &self.exit] {
                // A new element has no pad of these names yet.
                let _ = self.obj().add_pad(pad);
            }
        }
    }

    impl GstObjectImpl for Straight {}

    impl ElementImpl for Straight {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new(
                    "Packets of one connection",
                    "Filter/Network/RTP",
                    "Puts packets in order and dates them, on the thread that brings them",
                    "the authors of camkeep",
                )
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            use gst::PadDirection::{Sink, Src};
            use gst::PadPresence::{Always, Request};
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let pads = [
                    (ENTRY, Sink, Always, "application/x-rtp"),
                    (EXIT, Src, Always, "application/x-rtp"),
                    (REPORTS, Sink, Request, "application/x-rtcp"),
                ];
                let template = |(name, direction, presence, media): (&str, _, _, &str)| {
                    gst::PadTemplate::new(name, direction, presence, &gst::Caps::new_empty_simple(media)).ok()
                };
                pads.into_iter().filter_map(template).collect()
            });
            &TEMPLATES
        }

        fn request_new_pad(
            &self,
            template: &gst::PadTemplate,
            _name: Option<&str>,
            _caps: Option<&gst::Caps>,
        ) -> Option<gst::Pad> {
            let pad = gst::Pad::builder_from_template(template)
                .name(REPORTS)
                .chain_function(|_, parent, packet| {
                    Self::catch_panic_pad_function(
                        parent,
                        || Err(gst::FlowError::Error),
                        |this| {
                            this.hear_report(&packet);
                            Ok(gst::FlowSuccess::Ok)
                        },
                    )
                })
                .event_function(|_, _, _| true)
                .query_function(|_, _, _| false)
                .build();
            // There is one of them, and it is asked for once.
            pad.set_active(true).ok()?;
            self.obj().add_pad(&pad).ok()?;
            Some(pad)
        }

        fn release_pad(&self, pad: &gst::Pad) {
            // Going for good; one that is not ours any more is gone already.
            let _ = self.obj().remove_pad(pad);
        }

        fn change_state(&self, transition: gst::StateChange) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
            let changed = self.parent_change_state(transition);
            if transition == gst::StateChange::PausedToReady {
                self.inside().forget();
            }
            changed
        }
    }
}
