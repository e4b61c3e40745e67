//! What rtspsrc is about to say to a camera, read before it is said.
//!
//! The bindings have no accessor for a request's method and URL, so this one file calls the C function. It is the only
//! exception to the house's rule against unsafe code.
#![allow(unsafe_code, reason = "gst_rtsp_message_parse_request has no safe binding")]

use std::ffi::CStr;
use std::ptr;

use gstreamer::glib::translate::{FromGlib, ToGlibPtr};
use gstreamer_rtsp::rtsp_message::RTSPMessage;
use gstreamer_rtsp::{RTSPMethod, ffi};

/// The method and URL of a request; nothing for what is not a request.
pub(super) fn request(message: &RTSPMessage) -> Option<(RTSPMethod, String)> {
    let message: *const ffi::GstRTSPMessage = message.to_glib_none().0;
    let (mut method, mut uri) = (ffi::GST_RTSP_INVALID, ptr::null());
    // SAFETY: the message is valid for as long as `message` is borrowed; the function writes at most the three places
    // given and fails on anything that is not a request. The URI stays owned by the message and is copied at once.
    unsafe {
        let result = ffi::gst_rtsp_message_parse_request(message.cast_mut(), &mut method, &mut uri, ptr::null_mut());
        if result != ffi::GST_RTSP_OK || uri.is_null() {
            return None;
        }
        Some((
            RTSPMethod::from_glib(method),
            CStr::from_ptr(uri).to_string_lossy().into_owned(),
        ))
    }
}
