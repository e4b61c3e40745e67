//! Binds an `rtspsrc` to a camera: where it is, which of its streams is taken, and what is never said to it.

use std::sync::Arc;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_rtsp::RTSPMethod;
use gstreamer_rtsp::rtsp_message::RTSPMessage;

use crate::model::{Address, Codec};

use super::property::Property;
use super::record::{Feed, RecordSpec};
use super::rtsp;

/// What is set on the source of `record.gst` for a camera.
pub fn source_properties(spec: &RecordSpec) -> Vec<Property> {
    let address = &spec.address;
    let mut properties = vec![Property::open("source", "location", address.location())];
    if let Some(username) = address.username() {
        properties.push(match address.password() {
            Some(_) => Property::open("source", "user-id", username),
            // A name without a password is often a token in its place.
            None => Property::hidden("source", "user-id", username),
        });
        let password = address.password().map_or("", |password| password.reveal());
        properties.push(Property::hidden("source", "user-pw", password));
    }
    properties
}

/// Tells the source where the camera is, and hears what it is about to ask of it.
pub(super) fn bind_source(source: &gst::Element, spec: &RecordSpec, feed: &Arc<dyn Feed>) {
    for property in source_properties(spec) {
        source.set_property(property.name, property.reveal());
    }
    let (expected, hear) = (spec.codec, feed.clone());
    source.connect("select-stream", false, move |values| {
        let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
        let wanted = caps
            .and_then(|caps| select(&caps, expected, hear.as_ref()))
            .unwrap_or(false);
        Some(wanted.to_value())
    });
    let place = (spec.address.host().to_owned(), spec.address.port());
    let hear = feed.clone();
    source.connect("before-send", false, move |values| {
        let message = values.get(1).and_then(|value| value.get::<RTSPMessage>().ok());
        let request = message.as_ref().and_then(rtsp::request);
        let send = match &request {
            // Going down sends PAUSE first, which some cameras answer by dropping the session; TEARDOWN says it all.
            Some((RTSPMethod::PAUSE, _)) => false,
            Some((_, url)) if leads_elsewhere(url, &place) => {
                hear.redirect_refused(crate::model::scrub(url));
                false
            }
            _ => true,
        };
        Some(send.to_value())
    });
}

/// Whether a request goes to another host or port than the camera's. A camera that redirects is not followed: it could
/// point at anything on the box's own network.
fn leads_elsewhere(url: &str, (host, port): &(String, u16)) -> bool {
    match Address::parse(url) {
        Ok(address) => address.host() != host || address.port() != *port,
        // `*` and relative URLs stay with the connection.
        Err(_) => url.contains("://"),
    }
}

fn select(caps: &gst::CapsRef, expected: Codec, feed: &dyn Feed) -> Option<bool> {
    let structure = caps.structure(0)?;
    if structure.get::<&str>("media").ok()? != "video" {
        return Some(false);
    }
    let codec = match structure.get::<&str>("encoding-name").ok()? {
        "H264" => Some(Codec::H264),
        "H265" => Some(Codec::H265),
        _ => None,
    };
    if codec != Some(expected) {
        feed.other_codec(codec);
    }
    Some(codec == Some(expected))
}
