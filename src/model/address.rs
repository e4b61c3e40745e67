//! Where a stream is, and how credentials travel without being seen.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

/// Text that must not be seen: a password, or a URL that may hold one. It prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Whoever calls this answers for where it goes.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a stream has no usable address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("this is not a URL; write it like rtsp://192.168.1.20:554/stream1")]
    NotAUrl,
    /// A URL of something else.
    #[error("the scheme must be rtsp or rtsps, like rtsp://192.168.1.20:554/stream1")]
    Scheme,
    /// Something that has no place in a URL.
    #[error("a URL may not hold white space or control characters; write a space as %20")]
    Characters,
    /// Nobody to ask.
    #[error("the camera's address is missing; give a host name or an IP address")]
    NoHost,
    /// No rule gives the URL.
    #[error("this vendor has no fixed stream path; give the stream's URL, like rtsp://192.168.1.20:554/stream1")]
    NoUrl,
}

/// Where a stream is: a location without credentials, and the credentials beside it.
///
/// They are kept apart because a location is printed, logged and shown, and GStreamer's own messages repeat it. Some cameras
/// want credentials in the path or the query: those stay in the location, and are masked where it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    location: String,
    host: String,
    port: u16,
    username: Option<String>,
    password: Option<Secret>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Address {
    /// Reads a URL; user and password in it are taken out of the location.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(AddressError::Characters);
        }
        let mut url = Url::parse(text).map_err(|_| AddressError::NotAUrl)?;
        let default_port = match url.scheme() {
            "rtsp" => 554,
            "rtsps" => 322,
            _ => return Err(AddressError::Scheme),
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or(AddressError::NoHost)?
            .to_owned();
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let username = Some(decode(url.username())).filter(|name| !name.is_empty());
        let password = url.password().map(|password| Secret(decode(password)));
        // Both fail only for URLs that cannot have a host, which were refused above.
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return Err(AddressError::NotAUrl);
        }
        let port = url.port().unwrap_or(default_port);
        Ok(Self {
            location: url.into(),
            host,
            port,
            username,
            password,
        })
    }

    /// Makes an address from its parts, as a vendor's rule gives them.
    pub fn build(host: &str, port: u16, path: &str) -> Result<Self, AddressError> {
        let bare_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        let location = if bare_v6 {
            format!("rtsp://[{host}]:{port}{path}")
        } else {
            format!("rtsp://{host}:{port}{path}")
        };
        if host.contains(['/', '@', '?', '#']) {
            return Err(AddressError::NoHost);
        }
        Self::parse(&location).map(|address| Self { location, ..address })
    }

    /// The same place asked as somebody. What the URL itself says wins, because it is the more explicit.
    #[must_use]
    pub fn with_credentials(mut self, username: Option<&str>, password: Option<&Secret>) -> Self {
        if self.username.is_none() {
            self.username = username.filter(|name| !name.is_empty()).map(str::to_owned);
            self.password = password.cloned();
        }
        self
    }

    /// The URL without credentials.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.location.starts_with("rtsps:")
    }

    /// The URL as it may be shown: secrets in its query hidden, and a mark where credentials are used.
    pub fn shown(&self) -> String {
        let shown = scrub(&self.location);
        match (&self.username, shown.split_once("://")) {
            (Some(_), Some((scheme, rest))) => format!("{scheme}://***@{rest}"),
            _ => shown,
        }
    }

    /// Host name or IP address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whom the camera is asked as.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// With which password.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }
}

/// Hides user information and secrets in queries wherever a URL stands in a text: for logs, messages and pictures of
/// pipelines that others wrote.
pub fn scrub(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '/' | '?' | '#'))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str("***@");
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    scrub_query(&out)
}

/// Names whose values are secrets in a query, or in a path such as `/user=admin_password=X_channel=1`.
const SECRET_NAMES: [&str; 18] = [
    "user",
    "username",
    "usr",
    "loginuse",
    "password",
    "passwd",
    "pass",
    "pwd",
    "psw",
    "pw",
    "loginpas",
    "authbasic",
    "auth",
    "token",
    "access_token",
    "secret",
    "key",
    "apikey",
];
/// Names after which a path goes on with what is no secret.
const PATH_NAMES: [&str; 6] = ["channel", "stream", "subtype", "type", "profile", "onvif"];

/// Whether a secret's value ends before this text, which begins with an underscore: another name and its `=` follow.
fn is_next_name(text: &str) -> bool {
    let Some((name, _)) = text.trim_start_matches('_').split_once('=') else {
        return false;
    };
    let bare = name.trim_end_matches('\\');
    let known = SECRET_NAMES.iter().chain(&PATH_NAMES);
    known.into_iter().any(|known| bare.eq_ignore_ascii_case(known))
}

fn scrub_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // In a query an underscore is part of a value; in a path it may stand before the next name.
    let mut in_query = false;
    while let Some(at) = rest.find(|c: char| matches!(c, '?' | '&' | ';' | '/' | '_') || c.is_whitespace()) {
        let length = rest[at..].chars().next().map_or(1, char::len_utf8);
        let (before, after) = rest.split_at(at + length);
        out.push_str(before);
        rest = after;
        in_query = match before[at..].chars().next() {
            Some('?') => true,
            Some(c) if c.is_whitespace() => false,
            _ => in_query,
        };
        let Some((name, value)) = after.split_once('=') else {
            continue;
        };
        // GStreamer prints its structures with a backslash before each sign.
        let bare = name.trim_end_matches('\\');
        if !SECRET_NAMES.iter().any(|secret| bare.eq_ignore_ascii_case(secret)) {
            continue;
        }
        let ends = |(at, c): (usize, char)| {
            c.is_whitespace()
                || matches!(c, '&' | ';' | '"' | '\'' | '<' | '>' | '#')
                || (!in_query && (matches!(c, '/' | '?') || (c == '_' && is_next_name(&value[at..]))))
        };
        let end = value.char_indices().find(|found| ends(*found));
        out.push_str(name);
        out.push_str("=***");
        rest = &value[end.map_or(value.len(), |(at, _)| at)..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_are_taken_out_of_the_location() {
        let address = Address::parse("rtsp://ad%40min:p%3Ass@cam.local/live?x=1").unwrap();
        assert_eq!(address.location(), "rtsp://cam.local/live?x=1");
        assert_eq!((address.host(), address.port()), ("cam.local", 554));
        assert_eq!(address.username(), Some("ad@min"));
        assert_eq!(address.password().unwrap().reveal(), "p:ss");
        assert_eq!(address.shown(), "rtsp://***@cam.local/live?x=1");
    }

    #[test]
    fn what_is_no_stream_is_refused_with_a_reason() {
        for (text, reason) in [
            ("rtsp://cam/a b", AddressError::Characters),
            ("rtsp://cam/a\n", AddressError::Characters),
            ("cam/stream", AddressError::NotAUrl),
            ("http://cam/stream", AddressError::Scheme),
            ("file:///etc/passwd", AddressError::Scheme),
            ("", AddressError::NotAUrl),
        ] {
            assert_eq!(Address::parse(text).unwrap_err(), reason, "{text}");
        }
        assert!(Address::build("a@b", 554, "/x").is_err());
        assert_eq!(
            Address::build("fe80::1", 554, "/x").unwrap().location(),
            "rtsp://[fe80::1]:554/x"
        );
    }

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
        let address = Address::parse("rtsp://u:hunter2@cam/1").unwrap();
        assert!(!format!("{address:?}").contains("hunter2"));
        let address = Address::parse("rtsp://cam/user=admin_password=hunter2_channel=1").unwrap();
        assert!(!format!("{address:?}").contains("hunter2"));
        assert_eq!(address.shown(), "rtsp://cam/user=***_password=***_channel=1");
    }

    #[test]
    fn a_text_of_others_is_scrubbed() {
        for (text, clean) in [
            ("opening rtsp://u:p@h/x failed", "opening rtsp://***@h/x failed"),
            (
                "rtsp://h/x?user=a&password=b&channel=1",
                "rtsp://h/x?user=***&password=***&channel=1",
            ),
            ("rtsp://h/x?channel=1;PWD=b", "rtsp://h/x?channel=1;PWD=***"),
            ("a rtsp://u:p@ss@h b rtsp://v:q@i/", "a rtsp://***@h b rtsp://***@i/"),
            (
                r"rtsp://h/x\?user\=a\&password\=b\&n\=1",
                r"rtsp://h/x\?user\=***&password\=***&n\=1",
            ),
            ("no url at all? really & truly", "no url at all? really & truly"),
            (
                "rtsp://h/user=admin_password=X_1_channel=1_stream=0.sdp?real_stream",
                "rtsp://h/user=***_password=***_channel=1_stream=0.sdp?real_stream",
            ),
            ("rtsp://h/live/token=abc/0", "rtsp://h/live/token=***/0"),
            (
                "rtsp://h/x?loginuse=a&loginpas=b&pw=c&psw=d&authbasic=e&secret=f_channel=1&key=g#t",
                "rtsp://h/x?loginuse=***&loginpas=***&pw=***&psw=***&authbasic=***&secret=***&key=***#t",
            ),
            ("rtsp://h/keyframe=1/monkey=2", "rtsp://h/keyframe=1/monkey=2"),
        ] {
            assert_eq!(scrub(text), clean);
        }
    }

    proptest! {
        #[test]
        fn no_password_survives_scrubbing(password in "[a-zA-Z0-9]{6,20}", before in "[ -~]{0,20}", path in "[a-z/]{0,10}") {
            let text = format!("{before} rtsp://user:{password}@host/{path}/password={password}_channel=1?pwd={password}&x=1");
            let needle = format!(":{password}@");
            let clean = scrub(&text);
            prop_assert!(!clean.contains(&needle));
            let pwd = format!("pwd={password}");
            prop_assert!(!clean.contains(&pwd));
        }

        #[test]
        fn any_text_at_all_is_scrubbed_without_a_panic(text in "\\PC*") {
            let _ = scrub(&text);
            let _ = Address::parse(&text);
        }
    }
}
