//! What rtspsrc is about to say to a camera, read before it is said, and the socket over which it does.
//!
//! The bindings have no accessor for a request's method, URL and body, and the standard library none for a descriptor that
//! another library opened, so this file reaches below them. It is one of two exceptions to the house's rule against
//! unsafe code; the other is `runtime/heap.rs`.
#![allow(unsafe_code, reason = "what rtspsrc says and where it reads has no safe binding")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use gstreamer::glib;
use gstreamer::glib::prelude::StaticType;
use gstreamer::glib::translate::{FromGlib, ToGlibPtr};
use gstreamer_rtsp::rtsp_message::RTSPMessage;
use gstreamer_rtsp::{RTSPMethod, ffi};
use gstreamer_sdp::SDPMessage;

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

/// Takes the body out of a request that a signal of rtspsrc shows before it is sent, so that a question about a parameter
/// becomes the bare one that RFC 2326 (10.8) has for "are you there".
pub(super) fn empty(shown: &glib::Value) {
    if shown.type_() != RTSPMessage::static_type() {
        return;
    }
    // SAFETY: the value holds a GstRTSPMessage, which was just checked; rtspsrc shows its own (G_SIGNAL_TYPE_STATIC_SCOPE)
    // on its own thread and waits for the handler, so nobody else reads or writes it meanwhile. Both functions accept a
    // request without a body or such a header.
    unsafe {
        let message = glib::gobject_ffi::g_value_get_boxed(shown.to_glib_none().0).cast::<ffi::GstRTSPMessage>();
        if !message.is_null() {
            ffi::gst_rtsp_message_take_body(message, ptr::null_mut(), 0);
            ffi::gst_rtsp_message_remove_header(message, ffi::GST_RTSP_HDR_CONTENT_TYPE, -1);
        }
    }
}

/// Says a header in a request that a signal of rtspsrc shows before it is sent, in place of what it said of it.
pub(super) fn say(shown: &glib::Value, header: &CStr, value: &CStr) {
    if shown.type_() != RTSPMessage::static_type() {
        return;
    }
    // SAFETY: as above; both functions copy the texts, which are terminated, and a header that is not there is not removed.
    unsafe {
        let message = glib::gobject_ffi::g_value_get_boxed(shown.to_glib_none().0).cast::<ffi::GstRTSPMessage>();
        if !message.is_null() {
            ffi::gst_rtsp_message_remove_header_by_name(message, header.as_ptr(), -1);
            ffi::gst_rtsp_message_add_header_by_name(message, header.as_ptr(), value.as_ptr());
        }
    }
}

/// Makes a description that a signal of rtspsrc shows before it is read one of nothing.
pub(super) fn forget_description(shown: &glib::Value) {
    if shown.type_() != SDPMessage::static_type() {
        return;
    }
    // SAFETY: as above, for a GstSDPMessage. Freeing what it holds and initialising it anew leaves a valid, empty one.
    unsafe {
        let message =
            glib::gobject_ffi::g_value_get_boxed(shown.to_glib_none().0).cast::<gstreamer_sdp::ffi::GstSDPMessage>();
        if !message.is_null() {
            gstreamer_sdp::ffi::gst_sdp_message_uninit(message);
            gstreamer_sdp::ffi::gst_sdp_message_init(message);
        }
    }
}

/// Another descriptor for what a number stands for, if it still stands for anything.
pub(super) fn duplicate(number: RawFd) -> Option<OwnedFd> {
    if number < 0 {
        return None;
    }
    // SAFETY: the number is not -1, and the borrow ends with this call, which only asks the kernel to duplicate it: a number
    // that was closed meanwhile is answered with EBADF. Whether it is still the wanted socket is for the caller to check.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned().ok()
}

/// Makes a number stand for something else, in one step: whoever uses it goes on with that. Whether it stands for what the
/// caller thinks is for the caller to check, on the thread that would close it.
pub(super) fn put_in_place(number: RawFd, with: &OwnedFd) -> bool {
    // SAFETY: the call reads no memory. It closes what the number stood for, which has another descriptor that the caller
    // holds; whoever owns the number goes on owning it.
    number >= 0 && unsafe { libc::dup3(with.as_raw_fd(), number, libc::O_CLOEXEC) } == number
}
