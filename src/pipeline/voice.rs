//! What GStreamer itself logs when `GST_DEBUG` asks it to: it speaks through our log, without the credentials that its
//! elements repeat with every URL.

use std::sync::Once;

use gst::DebugLevel;
use gstreamer as gst;

use crate::model::scrub;

/// From here on GStreamer logs through us, and no longer to standard error by itself. Call it after [`super::init`].
pub fn log_through_us() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        gst::log::remove_default_log_function();
        gst::log::add_log_function(|category, level, _, function, line, object, message| {
            let text = message.get().map(|text| scrub(&text)).unwrap_or_default();
            let object = object.map(|object| scrub(&object.to_string())).unwrap_or_default();
            let (category, function) = (category.name(), function.as_str());
            match level {
                DebugLevel::Error | DebugLevel::Warning => {
                    tracing::warn!(target: "gstreamer", category, object, function, line, "{text}");
                }
                DebugLevel::Fixme | DebugLevel::Info => {
                    tracing::info!(target: "gstreamer", category, object, function, line, "{text}");
                }
                DebugLevel::Debug => tracing::debug!(target: "gstreamer", category, object, function, line, "{text}"),
                _ => tracing::trace!(target: "gstreamer", category, object, function, line, "{text}"),
            }
        });
    });
}
