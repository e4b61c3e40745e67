//! HTTP digest authentication, and the digest in SOAP's UsernameToken: a password is proved and never sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha1::Sha1;

use crate::model::{Fingerprint, Secret};

/// What a camera asks to have proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Option<String>,
    hash: Hash,
    is_session: bool,
    has_qop: bool,
    /// How often it was answered.
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
}

impl Hash {
    fn of(self, text: &str) -> String {
        match self {
            Self::Md5 => hexadecimal(&Md5::digest(text.as_bytes())),
            Self::Sha256 => Fingerprint::of(text.as_bytes()).to_string(),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Random bytes, as text.
fn fresh(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // Should the kernel have none, a weaker one protects the password as well: only a nonce that comes again is lost.
    if getrandom::fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    bytes
}

impl Challenge {
    /// The strongest challenge among the `WWW-Authenticate` headers of an answer that can be answered.
    pub(super) fn strongest<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        headers
            .flat_map(challenges)
            .filter_map(|fields| Self::read(&fields))
            .max_by_key(|challenge| challenge.hash)
    }

    fn read(fields: &[(String, String)]) -> Option<Self> {
        let field = |name: &str| {
            let found = fields.iter().find(|(is, _)| is.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let algorithm = field("algorithm");
        let named = algorithm.as_deref().unwrap_or("MD5").to_ascii_uppercase();
        let (name, is_session) = named
            .strip_suffix("-SESS")
            .map_or((&*named, false), |name| (name, true));
        let hash = match name {
            "MD5" => Hash::Md5,
            "SHA-256" => Hash::Sha256,
            _ => return None,
        };
        let qop = field("qop");
        let has_auth = |qop: &String| qop.split(',').any(|word| word.trim().eq_ignore_ascii_case("auth"));
        if qop.as_ref().is_some_and(|qop| !has_auth(qop)) {
            return None;
        }
        Some(Self {
            realm: field("realm")?,
            nonce: field("nonce")?,
            opaque: field("opaque"),
            algorithm,
            hash,
            is_session,
            has_qop: qop.is_some(),
            count: 0,
        })
    }

    /// The `Authorization` header for a request. A count goes up with each, so an answer is good once.
    pub(super) fn answer(&mut self, username: &str, password: &Secret, method: &str, path: &str) -> String {
        self.count += 1;
        let nonce = hexadecimal(&fresh(8));
        self.answer_with(username, password, method, path, &nonce)
    }

    fn answer_with(&self, username: &str, password: &Secret, method: &str, path: &str, own: &str) -> String {
        let Self { realm, nonce, hash, .. } = self;
        let count = format!("{:08x}", self.count);
        let mut who = hash.of(&format!("{username}:{realm}:{}", password.reveal()));
        if self.is_session {
            who = hash.of(&format!("{who}:{nonce}:{own}"));
        }
        let what = hash.of(&format!("{method}:{path}"));
        let response = if self.has_qop {
            hash.of(&format!("{who}:{nonce}:{count}:{own}:auth:{what}"))
        } else {
            hash.of(&format!("{who}:{nonce}:{what}"))
        };
        let username = username.replace('\\', "\\\\").replace('"', "\\\"");
        let mut header = format!(
            "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{path}\", response=\"{response}\""
        );
        if let Some(algorithm) = &self.algorithm {
            header.push_str(&format!(", algorithm={algorithm}"));
        }
        if self.has_qop || self.is_session {
            header.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{own}\""));
        }
        if let Some(opaque) = &self.opaque {
            header.push_str(&format!(", opaque=\"{opaque}\""));
        }
        header
    }
}

/// The digest challenges of one header, each as its fields. One header may hold several, also of other schemes.
fn challenges(header: &str) -> Vec<Vec<(String, String)>> {
    let mut found: Vec<Option<Vec<(String, String)>>> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() && after.is_empty() {
            break;
        }
        let Some(value) = after.trim_start().strip_prefix('=') else {
            // A word without a value names the next scheme.
            found.push(word.eq_ignore_ascii_case("digest").then(Vec::new));
            rest = after;
            continue;
        };
        let value = value.trim_start();
        let value = if let Some(quoted) = value.strip_prefix('"') {
            let end = closing_quote(quoted);
            rest = quoted[end..].strip_prefix('"').unwrap_or_default();
            // Escapes stay as they are: they are hashed and sent back as they came.
            &quoted[..end]
        } else {
            let end = value.find([',', ' ', '\t']).unwrap_or(value.len());
            rest = &value[end..];
            &value[..end]
        };
        if let Some(Some(fields)) = found.last_mut() {
            fields.push((word.to_owned(), value.to_owned()));
        }
    }
    found.into_iter().flatten().collect()
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// What a UsernameToken holds besides the user's name.
pub(super) struct Proof {
    pub(super) nonce: String,
    pub(super) digest: String,
}

/// Proves a password at a moment, which has to be one of the camera's clock: it refuses what is old.
pub(super) fn prove(password: &Secret, created: &str) -> Proof {
    prove_with(password, created, &fresh(16))
}

fn prove_with(password: &Secret, created: &str, nonce: &[u8]) -> Proof {
    let mut digest = Sha1::new();
    digest.update(nonce);
    digest.update(created.as_bytes());
    digest.update(password.reveal().as_bytes());
    Proof {
        nonce: STANDARD.encode(nonce),
        digest: STANDARD.encode(digest.finalize()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn strongest(headers: &[&str]) -> Option<Challenge> {
        Challenge::strongest(headers.iter().copied())
    }

    #[test]
    fn the_answers_are_those_of_the_standard() {
        // RFC 7616, 3.9.1.
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let opaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS";
        let own = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let password = Secret::new("Circle of Life");
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let header = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, nonce=\"{nonce}\", \
                 opaque=\"{opaque}\""
            );
            let mut challenge = strongest(&[&header]).unwrap();
            challenge.count = 1;
            let answer = challenge.answer_with("Mufasa", &password, "GET", "/dir/index.html", own);
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(answer.contains("nc=00000001") && answer.contains(opaque));
        }
        // The ONVIF Application Programmer's Guide, 6.1.1.3.
        let nonce = STANDARD.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap();
        let proof = prove_with(&Secret::new("userpassword"), "2010-09-16T07:50:45Z", &nonce);
        assert_eq!(proof.digest, "tuOSpGlFlIXsozq4HFNeeGeFLEI=");
    }

    #[test]
    fn the_strongest_of_several_challenges_is_answered_and_basic_never() {
        let md5 = r#"Digest realm="a", nonce="m""#;
        let both = r#"Basic realm="a, b=c", Digest realm="a\"b", nonce="s", algorithm=SHA-256, qop="auth""#;
        assert_eq!(strongest(&[md5, both]).unwrap().nonce, "s");
        assert_eq!(strongest(&[both]).unwrap().realm, r#"a\"b"#);
        assert!(!strongest(&[md5]).unwrap().has_qop);
        for none in [
            r#"Basic realm="a""#,
            r#"Digest realm="a""#,
            r#"Digest realm="a", nonce="n", algorithm=SHA-512-256"#,
            r#"Digest realm="a", nonce="n", qop="auth-int""#,
            "",
            "Digest",
        ] {
            assert_eq!(strongest(&[none]), None, "{none}");
        }
    }

    #[test]
    fn each_answer_counts_and_none_holds_the_password() {
        let mut challenge = strongest(&[r#"digest Realm="r", NONCE="n", qop=auth"#]).unwrap();
        let password = Secret::new("hunter2");
        let first = challenge.answer("adm\"in", &password, "GET", "/");
        let second = challenge.answer("adm\"in", &password, "GET", "/");
        assert!(first.contains("nc=00000001") && second.contains("nc=00000002"));
        assert!(first.contains(r#"username="adm\"in""#) && !first.contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_header_at_all_is_read_without_a_panic(header in "(Digest )?[a-z=,\" \\\\]{0,30}\\PC{0,30}") {
            let _ = strongest(&[&header]);
        }
    }
}
