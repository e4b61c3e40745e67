//! Cameras: one configured source each, and what may be said about it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::address::{Address, AddressError, Secret};
use super::time::Timestamp;

/// A camera's name in URLs, files and the index: `[a-z0-9_-]`, 1 to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CameraId(String);

/// Why a text is no camera id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a camera id has 1 to 64 of the characters a-z, 0-9, `-` and `_`")]
pub struct CameraIdError;

impl CameraId {
    /// Longest id, so that paths stay within what file systems allow.
    pub const MAX_LENGTH: usize = 64;

    /// Checks an id. What passes is safe as one part of a path.
    pub fn parse(text: &str) -> Result<Self, CameraIdError> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len());
        let clean = text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if fits && clean {
            Ok(Self(text.to_owned()))
        } else {
            Err(CameraIdError)
        }
    }

    /// Makes an id from a name: `Front door (2)` becomes `front-door-2`. A name without a usable character gives
    /// nothing, and the person is asked for an id.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut slug = String::new();
        for character in name.chars().flat_map(char::to_lowercase) {
            match character {
                'a'..='z' | '0'..='9' | '_' => slug.push(character),
                'ä' | 'à' | 'á' | 'â' | 'å' | 'ã' => slug.push('a'),
                'ö' | 'ò' | 'ó' | 'ô' | 'ø' | 'õ' => slug.push('o'),
                'ü' | 'ù' | 'ú' | 'û' => slug.push('u'),
                'è' | 'é' | 'ê' | 'ë' => slug.push('e'),
                'ì' | 'í' | 'î' | 'ï' => slug.push('i'),
                'ñ' => slug.push('n'),
                'ç' => slug.push('c'),
                'ß' => slug.push_str("ss"),
                _ if slug.ends_with('-') || slug.is_empty() => {}
                _ => slug.push('-'),
            }
        }
        slug.truncate(Self::MAX_LENGTH);
        Self::parse(slug.trim_end_matches('-')).ok()
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CameraId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Declares an enum whose variants are words: on the wire, in the index and on the command line alike.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value a word names.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }
    };
}

words! {
    /// Who made the camera, as far as it decides how its streams are addressed.
    Vendor {
        /// No vendor's rules: the stream URL is given.
        Generic = "generic",
        /// Hikvision and those who build its cameras for others.
        Hikvision = "hikvision",
        /// Dahua and those who build its cameras for others.
        Dahua = "dahua",
        /// Axis.
        Axis = "axis",
        /// Any camera found by ONVIF.
        Onvif = "onvif",
    }
}

words! {
    /// Which of a camera's streams is recorded.
    RecordStream {
        /// The large one.
        Main = "main",
        /// The small one.
        Sub = "sub",
    }
}

words! {
    /// How media travels from the camera.
    Transport {
        /// Inside the RTSP connection: nothing is lost on the way.
        Tcp = "tcp",
        /// Datagrams.
        Udp = "udp",
        /// TCP first, then UDP.
        Auto = "auto",
    }
}

words! {
    /// When a camera is recorded.
    RecordMode {
        /// Always.
        Continuous = "continuous",
        /// By its schedules.
        Scheduled = "scheduled",
        /// Around events.
        Event = "event",
        /// Around events, within its schedules.
        ScheduledEvent = "scheduled_event",
    }
}

words! {
    /// Whose clock places footage in time.
    TimeSource {
        /// Arrival at this box.
        Arrival = "arrival",
        /// The camera's clock, from RTCP sender reports.
        Camera = "camera",
    }
}

/// A field that cannot be accepted, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The field as clients spell it.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

/// One configured source.
#[derive(Debug, Clone, PartialEq)]
pub struct Camera {
    /// Its id, made once and never changed.
    pub id: CameraId,
    /// Its name for people.
    pub name: String,
    /// The site it belongs to.
    pub site_id: Option<String>,
    /// Who made it.
    pub vendor: Vendor,
    /// Its model, for people.
    pub model: Option<String>,
    /// Host name or IP address.
    pub address: Option<String>,
    /// Port of its RTSP server.
    pub rtsp_port: u16,
    /// Port of its HTTP server, where it is asked for what it kept.
    pub http_port: u16,
    /// Channel on a recorder or a camera with several heads.
    pub channel: u32,
    /// Whom it is asked as.
    pub username: Option<String>,
    /// With which password.
    pub password: Option<Secret>,
    /// URL of the large stream, when no vendor's rule gives it. May hold credentials.
    pub main_stream_url: Option<Secret>,
    /// URL of the small stream.
    pub sub_stream_url: Option<Secret>,
    /// Which stream is recorded.
    pub record_stream: RecordStream,
    /// How media travels.
    pub transport: Transport,
    /// Whose clock places its footage.
    pub time_source: TimeSource,
    /// Switched on at all.
    pub enabled: bool,
    /// Recorded at all.
    pub record_enabled: bool,
    /// When it is recorded.
    pub record_mode: RecordMode,
    /// Seconds kept from before an event.
    pub pre_roll_seconds: u32,
    /// Seconds kept after an event.
    pub post_roll_seconds: u32,
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// Hours after which footage goes; nothing keeps it as long as there is room.
    pub retention_hours: Option<u32>,
    /// Hours in which footage is the last to go.
    pub minimum_hours: u32,
    /// Most bytes its footage may take.
    pub storage_quota_bytes: Option<u64>,
    /// Whether sound is recorded.
    pub record_audio: bool,
    /// Whether a second copy is kept.
    pub mirror_enabled: bool,
    /// Whether gaps are fetched from the camera.
    pub anr_enabled: bool,
    /// How a replay is asked for, when no vendor's rule gives it.
    pub anr_replay_url_template: Option<Secret>,
    /// Who goes first when something is scarce; higher is more important.
    pub priority: i32,
    /// Made from its recordings after the index was lost, without all that is needed to reach it: it is not recorded until
    /// somebody gives its address.
    pub recovered: bool,
    /// When it was removed; nothing unless only its footage is left.
    pub removed_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Camera {
    /// A camera as it is when nothing but its name is said.
    pub fn new(id: CameraId, name: String, now: Timestamp) -> Self {
        Self {
            id,
            name,
            site_id: None,
            vendor: Vendor::Generic,
            model: None,
            address: None,
            rtsp_port: 554,
            http_port: 80,
            channel: 1,
            username: None,
            password: None,
            main_stream_url: None,
            sub_stream_url: None,
            record_stream: RecordStream::Main,
            transport: Transport::Tcp,
            time_source: TimeSource::Arrival,
            enabled: true,
            record_enabled: true,
            record_mode: RecordMode::Continuous,
            pre_roll_seconds: 10,
            post_roll_seconds: 30,
            segment_seconds: 60,
            retention_hours: None,
            minimum_hours: 0,
            storage_quota_bytes: None,
            record_audio: false,
            mirror_enabled: false,
            anr_enabled: false,
            anr_replay_url_template: None,
            priority: 0,
            recovered: false,
            removed_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether it may be asked for anything.
    pub fn is_in_use(&self) -> bool {
        self.enabled && !self.recovered
    }

    /// Whether every field holds what it may hold; the first that does not is named.
    pub fn validate(&self) -> Result<(), FieldError> {
        let error = |field, message: &str| {
            Err(FieldError {
                field,
                message: message.to_owned(),
            })
        };
        if self.name.trim().is_empty() || self.name.chars().count() > 128 {
            return error("name", "give a name of 1 to 128 characters");
        }
        if self.name.chars().any(char::is_control) {
            return error("name", "a name may not hold control characters");
        }
        within("rtsp_port", self.rtsp_port, 1, 65_535)?;
        within("http_port", self.http_port, 1, 65_535)?;
        within("channel", self.channel, 1, 1024)?;
        within("pre_roll_seconds", self.pre_roll_seconds, 0, 300)?;
        within("post_roll_seconds", self.post_roll_seconds, 0, 3600)?;
        within("segment_seconds", self.segment_seconds, 2, 3600)?;
        if let Some(hours) = self.retention_hours {
            within("retention_hours", hours, 1, 87_600)?;
        }
        within("minimum_hours", self.minimum_hours, 0, 87_600)?;
        for (field, url) in [
            ("main_stream_url", &self.main_stream_url),
            ("sub_stream_url", &self.sub_stream_url),
        ] {
            if let Some(url) = url {
                Address::parse(url.reveal()).map_err(|reason| FieldError {
                    field,
                    message: reason.to_string(),
                })?;
            }
        }
        if self.recovered {
            return Ok(());
        }
        self.stream_address().map(|_| ()).map_err(|reason| {
            let field = match (reason, self.record_stream) {
                (AddressError::NoHost, _) => "address",
                (_, RecordStream::Main) => "main_stream_url",
                (_, RecordStream::Sub) => "sub_stream_url",
            };
            FieldError {
                field,
                message: reason.to_string(),
            }
        })
    }

    /// Where the recorded stream is: an explicit URL wins, else the vendor's rule.
    pub fn stream_address(&self) -> Result<Address, AddressError> {
        let explicit = match self.record_stream {
            RecordStream::Main => &self.main_stream_url,
            RecordStream::Sub => &self.sub_stream_url,
        };
        let address = match explicit {
            Some(url) => Address::parse(url.reveal())?,
            None => self.vendor_address()?,
        };
        Ok(address.with_credentials(self.username.as_deref(), self.password.as_ref()))
    }

    fn vendor_address(&self) -> Result<Address, AddressError> {
        let (channel, sub) = (self.channel, self.record_stream == RecordStream::Sub);
        let path = match self.vendor {
            Vendor::Hikvision => format!("/Streaming/Channels/{channel}{}", if sub { "02" } else { "01" }),
            Vendor::Dahua => format!("/cam/realmonitor?channel={channel}&subtype={}", u8::from(sub)),
            Vendor::Axis => "/axis-media/media.amp".to_owned(),
            Vendor::Generic | Vendor::Onvif => return Err(AddressError::NoUrl),
        };
        let host = self
            .address
            .as_deref()
            .filter(|host| !host.is_empty())
            .ok_or(AddressError::NoHost)?;
        Address::build(host, self.rtsp_port, &path)
    }

    /// Whether a change from `before` to this alters what is received or written, so that a new run must begin.
    pub fn needs_new_run(&self, before: &Self) -> bool {
        self.stream_address() != before.stream_address()
            || self.transport != before.transport
            || self.record_audio != before.record_audio
            || self.time_source != before.time_source
    }
}

fn within<T: PartialOrd + fmt::Display>(field: &'static str, value: T, least: T, most: T) -> Result<(), FieldError> {
    if value < least || value > most {
        return Err(FieldError {
            field,
            message: format!("{value} is out of range; it may be {least} to {most}"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn camera() -> Camera {
        Camera::new(CameraId::parse("door").unwrap(), "Door".into(), Timestamp::EPOCH)
    }

    #[test]
    fn an_id_is_made_from_a_name() {
        for (name, id) in [
            ("Front door (2)", "front-door-2"),
            ("Gebäude Süd", "gebaude-sud"),
            ("--a--", "a"),
            ("UPPER", "upper"),
        ] {
            assert_eq!(CameraId::from_name(name).unwrap().as_str(), id, "{name}");
        }
        assert_eq!(CameraId::from_name("大门"), None);
    }

    #[test]
    fn an_id_can_never_leave_its_directory() {
        for text in [
            "",
            "..",
            "a/b",
            "a\\b",
            "A",
            "a b",
            "ä",
            "a.b",
            &"x".repeat(65),
            "a\0",
            "%2e",
        ] {
            assert!(CameraId::parse(text).is_err(), "{text}");
        }
        assert!(CameraId::parse(&"x".repeat(64)).is_ok());
    }

    #[test]
    fn vendors_have_their_own_addresses() {
        let mut camera = camera();
        camera.address = Some("10.0.0.9".into());
        for (vendor, stream, url) in [
            (
                Vendor::Hikvision,
                RecordStream::Main,
                "rtsp://10.0.0.9:554/Streaming/Channels/101",
            ),
            (
                Vendor::Hikvision,
                RecordStream::Sub,
                "rtsp://10.0.0.9:554/Streaming/Channels/102",
            ),
            (
                Vendor::Dahua,
                RecordStream::Main,
                "rtsp://10.0.0.9:554/cam/realmonitor?channel=1&subtype=0",
            ),
            (
                Vendor::Dahua,
                RecordStream::Sub,
                "rtsp://10.0.0.9:554/cam/realmonitor?channel=1&subtype=1",
            ),
            (
                Vendor::Axis,
                RecordStream::Main,
                "rtsp://10.0.0.9:554/axis-media/media.amp",
            ),
        ] {
            (camera.vendor, camera.record_stream) = (vendor, stream);
            assert_eq!(camera.stream_address().unwrap().location(), url);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_field_named() {
        let mut camera = camera();
        assert_eq!(camera.validate().unwrap_err().field, "main_stream_url");
        camera.main_stream_url = Some("rtsp://cam/1".into());
        assert_eq!(camera.validate(), Ok(()));
        camera.segment_seconds = 1;
        let error = camera.validate().unwrap_err();
        assert_eq!(
            (error.field, error.message.as_str()),
            ("segment_seconds", "1 is out of range; it may be 2 to 3600")
        );
        camera.segment_seconds = 60;
        camera.sub_stream_url = Some("http://cam/1".into());
        assert_eq!(camera.validate().unwrap_err().field, "sub_stream_url");
    }

    #[test]
    fn a_new_name_needs_no_new_run_and_a_new_password_does() {
        let mut before = camera();
        before.main_stream_url = Some("rtsp://cam/1".into());
        let mut after = before.clone();
        after.name = "Other".into();
        after.retention_hours = Some(48);
        assert!(!after.needs_new_run(&before));
        after.username = Some("admin".into());
        assert!(after.needs_new_run(&before));
    }
}
