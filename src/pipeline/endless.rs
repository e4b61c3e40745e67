//! A picture without end: a depayloader keeps what it gets until it has all of a picture, however much that is.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use crate::model::Codec;

use super::assembly;
use super::reception::Header;

/// No picture is larger.
pub(super) const MOST: usize = 16 << 20;
/// What a packet takes beside its bytes.
const BESIDE: usize = 256;

/// What a depayloader may hold at most, by what it got.
#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    is_too_much: bool,
}

impl Held {
    /// It gets a packet. `false` when it may not.
    fn take(&mut self, codec: Codec, packet: &[u8]) -> bool {
        self.bytes += packet.len() + BESIDE;
        self.is_too_much |= self.bytes > MOST;
        if ends(codec, packet) {
            self.bytes = 0;
        }
        !self.is_too_much
    }
}

/// Whether a depayloader that gets this packet has nothing left: it hands the picture on, or drops it when it does not know yet
/// what it is of.
fn ends(codec: Codec, packet: &[u8]) -> bool {
    let Some(header) = Header::of(packet).filter(|header| header.is_last) else {
        return false;
    };
    let carried = packet.get(header.carries.0..header.carries.1).unwrap_or_default();
    let is_open = assembly::fragment(codec, carried).is_some_and(|(_, is_last)| !is_last);
    !is_open && assembly::completes(codec, carried)
}

/// Keeps a depayloader from more than a picture. `tell` hears, once, why it gets nothing more.
pub(super) fn bound(depay: &gst::Element, codec: Codec, tell: impl Fn(String) + Send + Sync + 'static) {
    let held = Arc::<Mutex<Held>>::default();
    let (Some(entry), Some(exit)) = (depay.static_pad("sink"), depay.static_pad("src")) else {
        return;
    };
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    let inside = held.clone();
    entry.add_probe(kinds, move |_, info| {
        let mut held = inside.lock().unwrap_or_else(PoisonError::into_inner);
        let was_too_much = held.is_too_much;
        let mut take = |packet: &gst::BufferRef| packet.map_readable().is_ok_and(|bytes| held.take(codec, &bytes));
        let is_taken = match &info.data {
            Some(gst::PadProbeData::Buffer(packet)) => take(packet),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().all(take),
            _ => true,
        };
        drop(held);
        if is_taken {
            return gst::PadProbeReturn::Ok;
        }
        if !was_too_much {
            tell(format!(
                "the camera sent a picture of more than {} MB, or one without end; set it to a lower bit rate, or restart it",
                MOST >> 20
            ));
        }
        gst::PadProbeReturn::Handled
    });
    exit.add_probe(kinds, move |_, _| {
        held.lock().unwrap_or_else(PoisonError::into_inner).bytes = 0;
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;

    const SIZE: usize = 1400;

    /// A packet of a picture in H.264 that carries this.
    fn packet(number: u16, is_last: bool, carried: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, 96 | u8::from(is_last) << 7];
        packet.extend_from_slice(&number.to_be_bytes());
        // Each of another moment, which is of no help to a depayloader in the middle of a picture.
        packet.extend_from_slice(&u32::from(number).to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 1]);
        packet.extend_from_slice(carried);
        packet.resize(SIZE, 0x55);
        packet
    }

    /// The first packet that is refused of so many like this one.
    fn refused_at(like: impl Fn(u16) -> Vec<u8>) -> Option<u16> {
        let mut held = Held::default();
        (0..30_000u16).find(|number| !held.take(Codec::H264, &like(*number)))
    }

    #[test]
    fn a_picture_without_end_is_refused_where_it_is_larger_than_any_is() {
        let most = u16::try_from(MOST / (SIZE + BESIDE)).unwrap();
        let without_a_marker = |number| packet(number, false, &[0x41, 0x02]);
        assert_eq!(refused_at(without_a_marker), Some(most));
        let within_a_part = |number| packet(number, true, &[0x7c, 0x05]);
        assert_eq!(refused_at(within_a_part), Some(most));
        let of_parameter_sets = |number| packet(number, true, &[0x67, 0x42]);
        assert_eq!(refused_at(of_parameter_sets), Some(most));
    }

    #[test]
    fn pictures_that_end_are_none_however_many_they_are() {
        assert_eq!(
            refused_at(|number| packet(number, number % 5 == 4, &[0x41, 0x9a])),
            None
        );
        let in_parts = |number: u16| {
            let head = [0x85, 0x05, 0x45][usize::from(number % 3)];
            packet(number, number % 3 == 2, &[0x7c, head])
        };
        assert_eq!(refused_at(in_parts), None);
    }

    #[test]
    fn a_depayloader_that_gets_a_picture_without_end_holds_no_more_of_it_than_may_be() {
        crate::pipeline::init().unwrap();
        let text = "appsrc name=camera format=time caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=H264 \
                    ! rtph264depay name=depay ! video/x-h264,stream-format=avc,alignment=au ! fakesink sync=false async=false";
        let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let (send, told) = std::sync::mpsc::channel();
        let send = Mutex::new(send);
        bound(&pipeline.by_name("depay").unwrap(), Codec::H264, move |why| {
            send.lock().unwrap().send(why).unwrap();
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let camera = pipeline.by_name("camera").unwrap();
        let camera = camera.downcast_ref::<gstreamer_app::AppSrc>().unwrap();
        for number in 0..20_000 {
            let packet = packet(number, false, &[0x41, 0x02]);
            camera.push_buffer(gst::Buffer::from_mut_slice(packet)).unwrap();
        }
        let why = told.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        assert!(why.contains("more than 16 MB"), "{why}");
        pipeline.set_state(gst::State::Null).unwrap();
        assert!(told.try_recv().is_err(), "told once");
    }
}
