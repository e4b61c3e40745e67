//! Which archive a camera has.

use std::sync::Arc;

use chrono_tz::Tz;

use crate::model::{Address, Camera, Span, Timestamp, Vendor};
use crate::runtime::Clock;

use super::by_url::{DAHUA, HIKVISION, UrlArchive};
use super::error::NoArchive;
use super::keeping::Archive;
use super::line::{Line, bare};
use super::offset::LocalTime;
use super::profile_g::ProfileG;
use super::template::Template;

/// What an archive needs besides its camera.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// This box's clock.
    pub clock: Arc<dyn Clock>,
    /// This box's zone: that of a camera's local times, where the camera does not say.
    pub zone: Tz,
}

/// Which archive a camera has: a template that a person wrote wins, else the vendor decides. A camera that has none says
/// what would give it one.
pub fn archive_of(camera: &Camera, surroundings: &Surroundings) -> Result<Arc<dyn Archive>, NoArchive> {
    let channel = camera.channel;
    let zone = surroundings.zone;
    if let Some(template) = &camera.anr_replay_url_template {
        let wrong = |error: &dyn std::fmt::Display| NoArchive(format!("anr_replay_url_template: {error}"));
        let template = Template::parse(template.reveal()).map_err(|error| wrong(&error))?;
        let moment = Span::new(Timestamp::BUILT, Timestamp::BUILT);
        let place = template
            .fill(moment, LocalTime::East(0), channel)
            .map_err(|error| wrong(&error))?;
        let place = known(camera, place);
        let line = Line::new(&place, camera.http_port, surroundings.clock.clone());
        return Ok(Arc::new(UrlArchive {
            line,
            template,
            channel,
            zone,
            is_dahua: camera.vendor == Vendor::Dahua,
        }));
    }
    let rule = match camera.vendor {
        Vendor::Hikvision => Some(HIKVISION),
        Vendor::Dahua => Some(DAHUA),
        Vendor::Axis | Vendor::Onvif => None,
        Vendor::Generic => {
            return Err(NoArchive(
                "it is not known how this camera is asked for what it kept; set `vendor` to what it is (`onvif`, if it has \
                 Profile G), or give `anr_replay_url_template`"
                    .to_owned(),
            ));
        }
    };
    let stream = camera.stream_address().map_err(|error| NoArchive(error.to_string()))?;
    let place = match camera.address.as_deref().filter(|host| !host.is_empty()) {
        // The port of the stream that is recorded is the one that is known to work.
        Some(host) if !host.eq_ignore_ascii_case(bare(stream.host())) => {
            let place = Address::build(host, camera.rtsp_port, "/");
            known(camera, place.map_err(|error| NoArchive(format!("address: {error}")))?)
        }
        _ => stream.clone(),
    };
    let line = Line::new(&place, camera.http_port, surroundings.clock.clone());
    let Some(rule) = rule else {
        return Ok(Arc::new(ProfileG::new(line, channel, zone)));
    };
    let scheme = if stream.location().starts_with("rtsps:") {
        "rtsps"
    } else {
        "rtsp"
    };
    let template = Template::parse(&format!("{scheme}://{}:{}{rule}", line.host_in_url(), line.rtsp_port));
    Ok(Arc::new(UrlArchive {
        template: template.map_err(|error| NoArchive(format!("address: {error}")))?,
        line,
        channel,
        zone,
        is_dahua: camera.vendor == Vendor::Dahua,
    }))
}

/// A place at the camera, asked as whoever its stream is asked as. Credentials in a stream's URL are for that host only.
fn known(camera: &Camera, place: Address) -> Address {
    let place = place.with_credentials(camera.username.as_deref(), camera.password.as_ref());
    match camera.stream_address() {
        Ok(stream) if stream.host().eq_ignore_ascii_case(place.host()) => {
            place.with_credentials(stream.username(), stream.password())
        }
        _ => place,
    }
}
