//! Who may ask the storage: digest for RTSP and HTTP, and the tokens that ONVIF puts into its messages.

use std::sync::{Mutex, PoisonError};

use gstreamer::glib;

use crate::model::Timestamp;

use super::super::options::Login;
use super::message::{Answer, Request};
use super::xml;

const REALM: &str = "camkeep demo camera";
/// A token that is dated further from the camera's own clock is refused, as real cameras do.
const MOST_AWAY_NS: u64 = 300 * 1_000_000_000;

/// Knows the one login, which may change.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    login: Mutex<Option<Login>>,
    nonce: String,
}

impl Doorkeeper {
    pub(super) fn new(login: Option<Login>) -> Self {
        Self {
            login: Mutex::new(login),
            nonce: format!("{:032x}", fastrand::u128(..)),
        }
    }

    pub(super) fn set(&self, login: Option<Login>) {
        *self.login.lock().unwrap_or_else(PoisonError::into_inner) = login;
    }

    fn login(&self) -> Option<Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the request carries a right digest, or none is asked for.
    pub(super) fn admits(&self, request: &Request) -> bool {
        let Some(login) = self.login() else {
            return true;
        };
        let Some(digest) = request
            .header("Authorization")
            .and_then(|it| it.strip_prefix("Digest "))
        else {
            return false;
        };
        let part = |name: &str| part_of(digest, name).unwrap_or_default();
        let known = md5(&format!("{}:{REALM}:{}", login.user, login.password));
        let asked = md5(&format!("{}:{}", request.method, part("uri")));
        let wanted = match part("qop") {
            "" => md5(&format!("{known}:{}:{asked}", self.nonce)),
            qop => md5(&format!(
                "{known}:{}:{}:{}:{qop}:{asked}",
                self.nonce,
                part("nc"),
                part("cnonce")
            )),
        };
        part("username") == login.user && part("nonce") == self.nonce && part("response") == wanted
    }

    /// Whether the SOAP message carries a right `UsernameToken`. `now` is what the camera believes.
    pub(super) fn admits_token(&self, message: &str, now: Timestamp) -> bool {
        let Some(login) = self.login() else {
            return true;
        };
        let part = |name| xml::text_of(message, name).unwrap_or_default();
        let (nonce, created) = (part("Nonce"), part("Created"));
        let Ok(dated) = Timestamp::parse(&created) else {
            return false;
        };
        let mut sum = glib::base64_decode(&nonce);
        sum.extend(created.bytes());
        sum.extend(login.password.bytes());
        let digest = glib::Checksum::new(glib::ChecksumType::Sha1).map(|mut checksum| {
            checksum.update(&sum);
            glib::base64_encode(&checksum.digest())
        });
        part("Username") == login.user
            && digest.is_some_and(|digest| part("Password") == digest.as_str())
            && dated.nanos_since(now).unsigned_abs() < MOST_AWAY_NS
    }

    /// Asks for a login.
    pub(super) fn refuse(&self, with_qop: bool) -> Answer {
        let qop = if with_qop { ", qop=\"auth\"" } else { "" };
        Answer::new("401 Unauthorized").with(
            "WWW-Authenticate",
            format!("Digest realm=\"{REALM}\", nonce=\"{}\"{qop}", self.nonce),
        )
    }
}

/// One `name="value"` of a digest; the value may stand without its quotes.
fn part_of<'a>(digest: &'a str, name: &str) -> Option<&'a str> {
    digest.split(',').find_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

fn md5(text: &str) -> String {
    let sum = glib::compute_checksum_for_string(glib::ChecksumType::Md5, text);
    sum.map(|sum| sum.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Request {
        Request::read(&mut text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn without_a_login_everybody_is_welcome() {
        let keeper = Doorkeeper::new(None);
        assert!(keeper.admits(&read("PLAY rtsp://a/b RTSP/1.0\r\n\r\n")));
        assert!(keeper.admits_token("<a/>", Timestamp::EPOCH));
    }

    #[test]
    fn a_token_is_right_by_its_digest_and_its_date() {
        // The worked example of the WS-UsernameToken chapter in ONVIF's programmer's guide.
        let keeper = Doorkeeper::new(Some(Login {
            user: "user".into(),
            password: "userpassword".into(),
        }));
        let token = |password: &str| {
            format!(
                "<wsse:Username>user</wsse:Username><wsse:Password Type=\"d\">{password}</wsse:Password>\
                 <wsse:Nonce>LKqI6G/AikKCQrN0zqZFlg==</wsse:Nonce><wsu:Created>2010-09-16T07:50:45Z</wsu:Created>"
            )
        };
        let then = Timestamp::parse("2010-09-16T07:51:00Z").unwrap();
        assert!(keeper.admits_token(&token("tuOSpGlFlIXsozq4HFNeeGeFLEI="), then));
        assert!(!keeper.admits_token(&token("tuOSpGlFlIXsozq4HFNeeGeFLEJ="), then));
        let hour_later = then.offset(3_600_000_000_000);
        assert!(!keeper.admits_token(&token("tuOSpGlFlIXsozq4HFNeeGeFLEI="), hour_later));
    }
}
