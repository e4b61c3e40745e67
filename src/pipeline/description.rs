//! Whether a description is of something that a camera could be, before `rtspsrc` makes something of each part of it.

use gstreamer_sdp::{SDPMediaRef, SDPMessageRef};

/// A camera has a picture or three, sound, and data about them. A description of more than this is an attack or broken.
const MOST_MEDIA: u32 = 100;
/// Each is looked for among all those of its stream, so that ten times as many cost a hundred times as much.
const MOST_ATTRIBUTES: usize = 10_000;
const MOST_PARAMETERS: usize = 1_000;

/// Why a description is not read, if it is not.
pub(super) fn excess(description: &SDPMessageRef) -> Option<String> {
    let media = description.medias_len();
    if media > MOST_MEDIA {
        return Some(format!(
            "the camera describes {media} streams, which no camera has; {MOST_MEDIA} are read at most"
        ));
    }
    let attributes = || {
        let of_streams = description.medias().flat_map(|media| media.attributes());
        description.attributes().chain(of_streams)
    };
    let count = attributes().count();
    if count > MOST_ATTRIBUTES {
        return Some(format!(
            "the camera describes its streams in {count} attributes; {MOST_ATTRIBUTES} are read at most"
        ));
    }
    let of_formats = attributes().filter(|attribute| attribute.key() == "fmtp");
    let parameters: usize = of_formats
        .filter_map(|attribute| attribute.value().map(|value| value.split(';').count()))
        .sum();
    (parameters > MOST_PARAMETERS).then(|| {
        format!("the camera describes its streams by {parameters} parameters; {MOST_PARAMETERS} are read at most")
    })
}

/// What a description calls pictures that it does not name by an attribute: of those `rtspsrc` does not even ask whether they are
/// wanted. Some have a number of their own (RFC 3551).
pub(super) fn nameless(description: &SDPMessageRef) -> Option<&'static str> {
    let is_nameless = |media: &&SDPMediaRef| media.media() == Some("video") && media.attribute_val("rtpmap").is_none();
    let media = description.medias().find(is_nameless)?;
    Some(match media.format(0) {
        Some("26") => "JPEG",
        Some("31") => "H.261",
        Some("32") => "MPEG video",
        Some("33") => "MP2T",
        Some("34") => "H.263",
        _ => "pictures in a codec that it does not name",
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use gstreamer_sdp::SDPMessage;

    use super::*;

    fn read(body: &str) -> SDPMessage {
        gstreamer::init().unwrap();
        let text = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n{body}");
        SDPMessage::parse_buffer(text.as_bytes()).unwrap()
    }

    fn refused(body: &str) -> Option<String> {
        excess(&read(body))
    }

    #[test]
    fn pictures_without_a_name_are_named_by_their_number() {
        let named = |body: &str| nameless(&read(body));
        let sound = "m=audio 0 RTP/AVP 0\r\n";
        assert_eq!(
            named(&format!("{sound}m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n")),
            None
        );
        assert_eq!(named("m=video 0 RTP/AVP 26\r\n"), Some("JPEG"));
        assert_eq!(named(&format!("{sound}m=video 0 RTP/AVP 33\r\n")), Some("MP2T"));
        let unknown = named("m=video 0 RTP/AVP 96\r\n").unwrap();
        assert!(unknown.contains("does not name"), "{unknown}");
    }

    #[test]
    fn what_is_too_much_is_named_and_what_is_not_is_read() {
        let video = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
        assert_eq!(refused(&video.repeat(100)), None);
        assert!(refused(&video.repeat(101)).unwrap().contains("describes 101 streams"));
        let attributes = |count: usize| video.to_owned() + &"a=x\r\n".repeat(count);
        assert_eq!(refused(&attributes(9_999)), None);
        assert!(refused(&attributes(10_000)).unwrap().contains("10001 attributes"));
        let parameters = |count: usize| format!("{video}a=fmtp:96 x=1{}\r\n", ";x=1".repeat(count - 1));
        assert_eq!(refused(&parameters(1_000)), None);
        assert!(refused(&parameters(1_001)).unwrap().contains("1001 parameters"));
    }
}
