//! Why a camera cannot be received, in words that a person understands.
//!
//! GStreamer's own kinds of error decide first, the number of an RTSP answer next, and words last: only those that
//! `rtspsrc` has in its source, which no language setting translates.

use std::io::ErrorKind;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use gstreamer as gst;

use crate::model::{Address, Loss, Transport, scrub};

/// How long one address of a camera may take to answer when it is asked why it could not be reached.
const ASKING: Duration = Duration::from_secs(3);

/// Why a conversation with a camera ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For this reason.
    Because(Loss, String),
    /// It never began; the network knows why.
    NoConnection,
}

/// What pictures a camera offered before it was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer<'a> {
    /// None.
    Nothing,
    /// Some in this codec, which cannot be recorded.
    Foreign(&'a str),
    /// Some that were asked for.
    Taken,
}

/// What is told when the connection ends, in order or not.
pub(super) const CLOSED: &str = "the camera closed the connection";

/// What is told when nobody knows which connection is whose.
pub(super) const SEVERAL: &str = "several connections to this address began at once and cannot be told apart";

/// What an error of `rtspsrc` means.
pub(super) fn of(error: &gst::message::Error, camera: &Address, asked: Transport, offer: Offer<'_>) -> Refusal {
    let status = status(error);
    let (error, debug) = (error.error(), error.debug().unwrap_or_default());
    judge(&error, status, &debug, (camera, asked), offer)
}

/// Whether it means that no stream of the camera is served.
pub(super) fn is_of_all_streams(error: &gst::message::Error) -> bool {
    error.error().kind::<gst::StreamError>() == Some(gst::StreamError::CodecNotFound) || status(error) == Some(461)
}

/// The number that the camera answered with.
pub(super) fn status(error: &gst::message::Error) -> Option<u32> {
    let details = error.details();
    details
        .and_then(|details| details.get::<u32>("rtsp-status-code").ok())
        .or_else(|| status_in(&error.debug()?))
}

/// The same where it stands in words only, as when one of several streams is refused.
fn status_in(debug: &str) -> Option<u32> {
    let (_, rest) = debug.lines().last()?.split_once("Error (")?;
    rest.split_once(')')?.0.parse().ok()
}

fn judge(
    error: &gst::glib::Error,
    status: Option<u32>,
    debug: &str,
    (camera, asked): (&Address, Transport),
    offer: Offer<'_>,
) -> Refusal {
    use gst::ResourceError as Kind;
    let answered = |status| answered(status, camera, asked);
    if let Some(status) = status {
        return answered(status);
    }
    let detail = debug.lines().last().unwrap_or_default().trim();
    let says = |words: &str| detail.contains(words);
    let because = |loss, message: &str| Refusal::Because(loss, message.to_owned());
    match error.kind::<Kind>() {
        Some(Kind::NotAuthorized) => answered(401),
        Some(Kind::NotFound) => answered(404),
        Some(Kind::OpenReadWrite) => Refusal::NoConnection,
        Some(Kind::Settings) => because(
            Loss::Broken,
            "the camera describes no stream at all; check the path in its URL",
        ),
        Some(_) if says("Timeout") => because(Loss::Unreachable, &silent(camera)),
        Some(_) if says("Parse error") => because(
            Loss::Broken,
            "the camera sent something that is not RTSP; check that the port is that of its RTSP server",
        ),
        Some(_) if says("end-of-file") || says("System error") => because(Loss::Ended, CLOSED),
        Some(_) if says("does not support") => because(
            Loss::Broken,
            "the camera does not know the requests that every RTSP server must; check its URL and port",
        ),
        Some(_) => Refusal::Because(
            Loss::Broken,
            format!("the conversation with the camera broke: {}", scrub(detail)),
        ),
        None if error.kind::<gst::StreamError>() == Some(gst::StreamError::CodecNotFound) => match offer {
            Offer::Foreign(codec) => Refusal::Because(
                Loss::Broken,
                format!(
                    "the camera sends {}, which camkeep does not record: switch it to H.264 or H.265",
                    known(&clean(codec))
                ),
            ),
            Offer::Taken => answered(461),
            Offer::Nothing => because(
                Loss::Broken,
                "the camera offers no picture under this URL; check its path",
            ),
        },
        None => Refusal::Because(
            Loss::Broken,
            format!("what the camera sent could not be used: {}", scrub(detail)),
        ),
    }
}

/// What an RTSP answer other than yes means.
fn answered(status: u32, camera: &Address, asked: Transport) -> Refusal {
    let (loss, message) = match (status, camera.username()) {
        (401, None) => (
            Loss::Unauthorised,
            "the camera wants a user name and a password".to_owned(),
        ),
        (401, Some(_)) => (
            Loss::Unauthorised,
            "the camera does not accept this user name and password".to_owned(),
        ),
        (403, _) => (
            Loss::Unauthorised,
            "the camera forbids this stream to this user (403)".to_owned(),
        ),
        (404, _) => (
            Loss::Refused,
            "the camera has no stream at this path (404); check the path in its URL".to_owned(),
        ),
        (453 | 503, _) => (
            Loss::Refused,
            format!("the camera serves as many viewers as it can ({status}); close another one"),
        ),
        (461, _) => (Loss::Refused, not_served_over(asked).to_owned()),
        (454, _) => (Loss::Ended, "the camera forgot the session (454)".to_owned()),
        (500.., _) => (Loss::Refused, format!("the camera has an error of its own ({status})")),
        _ => (Loss::Refused, format!("the camera refuses the stream ({status})")),
    };
    Refusal::Because(loss, message)
}

fn not_served_over(asked: Transport) -> &'static str {
    match asked {
        Transport::Tcp => {
            "the camera does not serve its stream over TCP (461 Unsupported Transport); its transport has to be udp or auto"
        }
        Transport::Udp => {
            "the camera does not serve its stream over UDP (461 Unsupported Transport); its transport has to be tcp or auto"
        }
        Transport::Auto => {
            "the camera serves its stream neither over TCP nor over UDP (461 Unsupported Transport); look for another stream \
             of it"
        }
    }
}

fn silent(camera: &Address) -> String {
    format!("the camera at {} does not answer", place(camera))
}

fn place(camera: &Address) -> String {
    format!("{}:{}", camera.host(), camera.port())
}

/// Asks the network why a camera could not be connected to. Waits.
pub(super) fn of_connecting(camera: &Address) -> (Loss, String) {
    let host = camera.host().trim_start_matches('[').trim_end_matches(']');
    let addresses = match (host, camera.port()).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(_) => {
            let message =
                format!("the name {host} is not known on this network; check it, or give the camera's IP address");
            return (Loss::Unreachable, message);
        }
    };
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, ASKING) {
            Ok(_) if camera.location().starts_with("rtsps:") => {
                return (
                    Loss::Broken,
                    format!(
                        "no encrypted connection can be made with {}; check its certificate",
                        place(camera)
                    ),
                );
            }
            Ok(_) => {
                return (
                    Loss::Unreachable,
                    format!("the camera at {} could not be reached a moment ago", place(camera)),
                );
            }
            Err(error) => last = Some(error.kind()),
        }
    }
    connecting(last, camera)
}

fn connecting(error: Option<ErrorKind>, camera: &Address) -> (Loss, String) {
    match error {
        Some(ErrorKind::ConnectionRefused) => (
            Loss::Refused,
            format!("the camera refuses the connection at {}; check its port", place(camera)),
        ),
        Some(ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable) => (
            Loss::Unreachable,
            format!(
                "there is no way to {}; check the address and the network",
                place(camera)
            ),
        ),
        _ => (Loss::Unreachable, silent(camera)),
    }
}

/// What people call a codec.
fn known(codec: &str) -> &str {
    match codec {
        "JPEG" => "MJPEG",
        "MP2T" => "an MPEG transport stream (MP2T)",
        other => other,
    }
}

/// A word of the camera's, fit to be shown.
fn clean(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ')
        .take(48)
        .collect()
}

/// Whether a URL names another host or port than the camera's. A camera that redirects is not followed: it could point at
/// anything on the box's own network.
pub(super) fn leads_elsewhere(url: &str, camera: &Address) -> bool {
    match Address::parse(url) {
        Ok(address) => address.host() != camera.host() || address.port() != camera.port(),
        // `*` and relative URLs stay with the connection.
        Err(_) => url.contains("://"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn camera() -> Address {
        Address::parse("rtsp://10.0.0.5:8554/live").unwrap()
    }

    fn judged(kind: gst::ResourceError, status: Option<u32>, debug: &str) -> Refusal {
        // As in a German system, where the message says nothing to us.
        let error = gst::glib::Error::new(kind, "Konnte nicht aus der Ressource lesen.");
        judge(&error, status, debug, (&camera(), Transport::Tcp), Offer::Nothing)
    }

    #[track_caller]
    fn assert_lost(refusal: Refusal, loss: Loss, word: &str) {
        match refusal {
            Refusal::Because(is, message) => {
                assert_eq!(is, loss, "{message}");
                assert!(message.contains(word), "{message}");
            }
            Refusal::NoConnection => panic!("no connection"),
        }
    }

    #[test]
    fn the_number_of_an_answer_decides_whatever_the_language() {
        use gst::ResourceError as Kind;
        assert_lost(
            judged(Kind::NotAuthorized, Some(401), ""),
            Loss::Unauthorised,
            "user name",
        );
        assert_lost(judged(Kind::Read, Some(403), ""), Loss::Unauthorised, "forbids");
        assert_lost(judged(Kind::NotFound, Some(404), ""), Loss::Refused, "path");
        assert_lost(judged(Kind::Read, Some(453), ""), Loss::Refused, "viewers");
        assert_lost(judged(Kind::Read, Some(461), ""), Loss::Refused, "transport");
        assert_lost(judged(Kind::Read, Some(500), ""), Loss::Refused, "(500)");
        assert_lost(judged(Kind::Read, Some(999), ""), Loss::Refused, "(999)");
    }

    #[test]
    fn the_number_is_found_where_it_stands_in_words_only() {
        assert_eq!(status_in("a.c(7): f ():\nError (404): Not Found"), Some(404));
        for other in [
            "",
            "Error",
            "Error (",
            "Error (many): Not Found",
            "Could not send message. (Generic error)",
        ] {
            assert_eq!(status_in(other), None);
        }
    }

    #[test]
    fn rtspsrcs_own_words_decide_what_its_kinds_leave_open() {
        use gst::ResourceError as Kind;
        let read = |words: &str| {
            judged(
                Kind::Read,
                None,
                &format!("a.c(1): f ():\nCould not receive message. ({words})"),
            )
        };
        assert_lost(
            read("Timeout while waiting for server response"),
            Loss::Unreachable,
            "10.0.0.5:8554 does not answer",
        );
        assert_lost(read("Parse error"), Loss::Broken, "not RTSP");
        assert_lost(read("Received end-of-file"), Loss::Ended, "closed");
        assert_eq!(judged(Kind::OpenReadWrite, None, "anything"), Refusal::NoConnection);
        assert_lost(judged(Kind::Settings, None, ""), Loss::Broken, "no stream");
        // Saying something that fails is no fault of a disk.
        assert_lost(
            judged(Kind::Write, None, "Could not send message. (Generic error)"),
            Loss::Broken,
            "conversation",
        );
    }

    #[test]
    fn the_network_is_asked_in_its_own_terms() {
        let (loss, message) = connecting(Some(ErrorKind::ConnectionRefused), &camera());
        assert_eq!(
            (loss, message.as_str()),
            (
                Loss::Refused,
                "the camera refuses the connection at 10.0.0.5:8554; check its port"
            )
        );
        assert_eq!(
            connecting(Some(ErrorKind::HostUnreachable), &camera()).0,
            Loss::Unreachable
        );
        assert!(
            connecting(Some(ErrorKind::TimedOut), &camera())
                .1
                .contains("does not answer")
        );
        let closed = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let nobody = Address::parse(&format!("rtsp://{closed}/")).unwrap();
        assert_eq!(of_connecting(&nobody).0, Loss::Refused);
    }

    #[test]
    fn a_codec_of_the_cameras_own_making_is_shown_without_harm() {
        let error = gst::glib::Error::new(gst::StreamError::CodecNotFound, "");
        let camera = camera();
        let asked = (&camera, Transport::Udp);
        let refusal = judge(&error, None, "", asked, Offer::Foreign("JP\u{1b}[31mEG\n"));
        assert_lost(refusal, Loss::Broken, "sends JP[31mEG, which");
        for (number, name) in [
            ("JPEG", "sends MJPEG, which camkeep does not record: switch it"),
            ("MP2T", "(MP2T)"),
        ] {
            assert_lost(
                judge(&error, None, "", asked, Offer::Foreign(number)),
                Loss::Broken,
                name,
            );
        }
        let refusal = judge(&error, None, "", asked, Offer::Taken);
        assert_lost(
            refusal,
            Loss::Refused,
            "over UDP (461 Unsupported Transport); its transport has to be tcp",
        );
    }

    #[test]
    fn only_another_host_or_port_leads_elsewhere() {
        let camera = Address::parse("rtsp://cam.local/main").unwrap();
        for (url, elsewhere) in [
            ("rtsp://cam.local/other", false),
            ("rtsp://cam.local:554/main", false),
            ("*", false),
            ("track1", false),
            ("rtsp://cam.local:8554/main", true),
            ("rtsp://169.254.169.254/latest", true),
            ("http://cam.local/", true),
        ] {
            assert_eq!(leads_elsewhere(url, &camera), elsewhere, "{url}");
        }
    }
}
