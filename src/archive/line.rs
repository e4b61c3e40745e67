//! The line to one camera: HTTP with deadlines, a limit on what is taken, and no way to anywhere else.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::Agent;
use ureq::http::{Response, header};
use url::Url;

use crate::model::{Address, Secret};
use crate::runtime::{Clock, Instant};

use super::digest::Challenge;
use super::error::ArchiveError;

/// How long a camera may take to be reached.
const CONNECT: Duration = Duration::from_secs(4);
/// How long a request may take with everything, however slowly its answer drips.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any answer that is meant well.
const LARGEST: u64 = 1 << 20;

/// A camera, and as whom it is asked.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) host: String,
    pub(super) http_port: u16,
    pub(super) rtsp_port: u16,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) clock: Arc<dyn Clock>,
    agent: Agent,
    challenge: Mutex<Option<Challenge>>,
}

/// What is asked for at the camera: a port of it, and a path. The host is never anybody's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) port: u16,
    pub(super) path: String,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask<'a> {
    /// For what lies there.
    Get,
    /// With a body of a kind.
    Post {
        /// Its media type.
        kind: &'a str,
        /// The body.
        body: &'a str,
    },
}

/// Whether a request says who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Not at all.
    None,
    /// By HTTP digest, when the camera asks for it.
    Digest,
}

/// An answer whose body was not taken yet.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// When the request that was answered was sent.
    pub(super) asked: Instant,
    /// When the answer began.
    pub(super) answered: Instant,
    response: Response<ureq::Body>,
    place: String,
}

impl Line {
    /// The line to the camera at a place, asked as the place says.
    pub(super) fn new(place: &Address, http_port: u16, clock: Arc<dyn Clock>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(PATIENCE))
            // Wherever a camera sends us, it could be anything on the box's own network.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_response_header_size(64 << 10)
            .build()
            .into();
        Self {
            host: bare(place.host()).to_owned(),
            http_port,
            rtsp_port: place.port(),
            username: place.username().map(str::to_owned),
            password: place.password().cloned(),
            clock,
            agent,
            challenge: Mutex::default(),
        }
    }

    /// The host as it stands in a URL.
    pub(super) fn host_in_url(&self) -> String {
        match self.host.parse::<std::net::Ipv6Addr>() {
            Ok(_) => format!("[{}]", self.host),
            Err(_) => self.host.clone(),
        }
    }

    /// Where a URL of the camera's leads on the camera itself. Its port counts where it names the host that we know; behind a
    /// router, or from another network, cameras name addresses and ports that are nobody's, or somebody else's.
    pub(super) fn place(&self, url: &str) -> Place {
        let parsed = Url::parse(url).ok();
        let path = match &parsed {
            Some(url) => {
                let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
                format!("{}{query}", url.path())
            }
            None => url.chars().filter(char::is_ascii_graphic).collect(),
        };
        let told = parsed.filter(|url| url.scheme() == "http" && self.is_host(url.host_str()));
        Place {
            port: told
                .and_then(|url| url.port_or_known_default())
                .unwrap_or(self.http_port),
            path: format!("/{}", path.trim_start_matches('/')),
        }
    }

    /// Whether a host is the camera's.
    pub(super) fn is_host(&self, host: Option<&str>) -> bool {
        host.is_some_and(|host| host.eq_ignore_ascii_case(&self.host_in_url()))
    }

    /// Asks, and once more with proof when the camera wants that. A password that it refuses is not tried twice.
    pub(super) fn ask(&self, place: &Place, ask: Ask<'_>, proof: Proof) -> Result<Answer, ArchiveError> {
        let known = match proof {
            Proof::None => None,
            Proof::Digest => self.authorisation(place, ask),
        };
        let answer = self.send(place, ask, known.as_deref())?;
        if answer.status != 401 || proof == Proof::None {
            return Ok(answer);
        }
        let headers = answer.response.headers().get_all(header::WWW_AUTHENTICATE);
        let headers = headers.iter().filter_map(|value| value.to_str().ok());
        let Some(challenge) = Challenge::strongest(headers) else {
            return Err(ArchiveError::Unauthorised(format!(
                "the camera at {} wants its password in a way that would show it to everybody on the network; switch digest \
                 authentication on in the camera",
                answer.place
            )));
        };
        if known.is_some() && !is_stale(&answer.response) {
            return Err(self.unauthorised(&answer.place));
        }
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge);
        let Some(header) = self.authorisation(place, ask) else {
            return Err(ArchiveError::Unauthorised(format!(
                "the camera at {} wants a user name and a password; give them to the camera's settings here",
                answer.place
            )));
        };
        let answer = self.send(place, ask, Some(&header))?;
        if answer.status == 401 {
            *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return Err(self.unauthorised(&answer.place));
        }
        Ok(answer)
    }

    /// What is said when the camera refuses whom it is asked as.
    pub(super) fn unauthorised(&self, place: &str) -> ArchiveError {
        ArchiveError::Unauthorised(format!(
            "the camera at {place} refuses the user name or the password for what it kept; check them, and that this user \
             may play recordings"
        ))
    }

    fn authorisation(&self, place: &Place, ask: Ask<'_>) -> Option<String> {
        let username = self.username.as_deref()?;
        let nothing = Secret::new("");
        let password = self.password.as_ref().unwrap_or(&nothing);
        let method = match ask {
            Ask::Get => "GET",
            Ask::Post { .. } => "POST",
        };
        let mut challenge = self.challenge.lock().unwrap_or_else(PoisonError::into_inner);
        Some(challenge.as_mut()?.answer(username, password, method, &place.path))
    }

    fn send(&self, place: &Place, ask: Ask<'_>, authorisation: Option<&str>) -> Result<Answer, ArchiveError> {
        let shown = format!("{}:{}", self.host_in_url(), place.port);
        let url = format!("http://{shown}{}", place.path);
        let asked = self.clock.instant();
        let response = match ask {
            Ask::Get => {
                let request = self.agent.get(&url);
                match authorisation {
                    Some(value) => request.header(header::AUTHORIZATION, value).call(),
                    None => request.call(),
                }
            }
            Ask::Post { kind, body } => {
                let request = self.agent.post(&url).header(header::CONTENT_TYPE, kind);
                match authorisation {
                    Some(value) => request.header(header::AUTHORIZATION, value).send(body),
                    None => request.send(body),
                }
            }
        };
        let answered = self.clock.instant();
        let response = response.map_err(|error| unanswered(&error, &shown))?;
        Ok(Answer {
            status: response.status().as_u16(),
            asked,
            answered,
            response,
            place: shown,
        })
    }
}

impl Answer {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Takes the body, up to the limit. What is no UTF-8 in it is replaced.
    pub(super) fn body(&mut self) -> Result<String, ArchiveError> {
        let body = self.response.body_mut().with_config().limit(LARGEST).read_to_vec();
        let body = body.map_err(|error| unanswered(&error, &self.place))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Host and port that answered.
    pub(super) fn place(&self) -> &str {
        &self.place
    }
}

/// A host as the network takes it, without the brackets that it may have in a URL.
pub(super) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_stale(response: &Response<ureq::Body>) -> bool {
    let headers = response.headers().get_all(header::WWW_AUTHENTICATE);
    let mut texts = headers.iter().filter_map(|value| value.to_str().ok());
    texts.any(|text| {
        let text = text.to_ascii_lowercase().replace(['"', ' '], "");
        text.contains("stale=true")
    })
}

fn unanswered(error: &ureq::Error, place: &str) -> ArchiveError {
    match error {
        ureq::Error::Timeout(_) => ArchiveError::Unreachable(format!(
            "the camera at {place} does not answer in time; check that it is on and that `http_port` is the port of its HTTP server"
        )),
        ureq::Error::HostNotFound => ArchiveError::Unreachable(format!(
            "the name in {place} is not known on this network; check `address`"
        )),
        ureq::Error::BodyExceedsLimit(_) => {
            ArchiveError::Broken(format!("the camera at {place} answers with more than a camera would"))
        }
        ureq::Error::ConnectionFailed => ArchiveError::Unreachable(format!("the camera at {place} cannot be reached")),
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => ArchiveError::Unreachable(format!(
            "the camera refuses the connection at {place}; check that `http_port` is the port of its HTTP server"
        )),
        ureq::Error::Io(error) if error.kind() == ErrorKind::TimedOut => {
            ArchiveError::Unreachable(format!("the camera at {place} does not answer in time"))
        }
        ureq::Error::Io(_) => ArchiveError::Unreachable(format!("the camera at {place} broke the connection off")),
        _ => ArchiveError::Broken(format!(
            "what answers at {place} does not speak HTTP; check that `http_port` is the port of the camera's HTTP server"
        )),
    }
}
