//! The other end of the line: a daemon, asked over HTTP.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use super::failure::Failure;

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon.
#[derive(Debug)]
pub(super) struct Client {
    server: String,
    agent: Agent,
}

/// One page of a list, and where the next begins.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<Value>,
    pub(super) next: Option<String>,
}

type Answer = Response<ureq::Body>;

impl Client {
    /// A daemon at an address like `http://127.0.0.1:8080`.
    pub(super) fn new(server: &str) -> Result<Self, Failure> {
        let server = if server.contains("://") {
            server.to_owned()
        } else {
            format!("http://{server}")
        };
        let url =
            url::Url::parse(&server).map_err(|_| Failure::usage("--server: write it like http://127.0.0.1:8080"))?;
        if url.scheme() != "http" || url.host_str().is_none() {
            return Err(Failure::usage(
                "--server: only http is spoken here, like http://127.0.0.1:8080",
            ));
        }
        let server = server.trim_end_matches('/').to_owned();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(60)))
            .max_redirects(0)
            // A proxy of the environment leads to pages of the internet, not to the daemon next door.
            .proxy(None)
            .build()
            .into();
        Ok(Self { server, agent })
    }

    /// Asks for something.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.read(self.agent.get(self.url(path)).call())
    }

    /// Asks for something that may not be there.
    pub(super) fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        let answer = self.agent.get(self.url(path)).call();
        if answer
            .as_ref()
            .is_ok_and(|answer| answer.status() == StatusCode::NOT_FOUND)
        {
            return Ok(None);
        }
        self.read(answer).map(Some)
    }

    /// Asks for one page of a list.
    pub(super) fn page(&self, path: &str) -> Result<Page, Failure> {
        let answer = self.agent.get(self.url(path)).call();
        let next = answer.as_ref().ok().and_then(|answer| {
            let link = answer.headers().get(header::LINK)?.to_str().ok()?;
            let (target, rel) = link.split_once(';')?;
            let target = target.trim().strip_prefix('<')?.strip_suffix('>')?;
            (rel.trim() == "rel=\"next\"").then(|| target.to_owned())
        });
        Ok(Page {
            rows: self.read(answer)?,
            next,
        })
    }

    /// Adds something.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.read(self.agent.post(self.url(path)).send_json(body))
    }

    /// Changes something.
    pub(super) fn patch<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.read(self.agent.patch(self.url(path)).send_json(body))
    }

    /// Removes something.
    pub(super) fn delete(&self, path: &str) -> Result<(), Failure> {
        let answer = self.agent.delete(self.url(path)).call();
        self.checked(answer).map(|_| ())
    }

    /// Removes something that says what became of it.
    pub(super) fn delete_and_tell<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.read(self.agent.delete(self.url(path)).call())
    }

    /// Asks for a file, with one of the headers that come with it.
    pub(super) fn file(&self, path: &str, told: &str) -> Result<(Vec<u8>, String), Failure> {
        let mut answer = self.checked(self.agent.get(self.url(path)).call())?;
        let header = answer.headers().get(told).and_then(|value| value.to_str().ok());
        let header = header.ok_or_else(|| self.stranger())?.to_owned();
        let body = answer.body_mut().with_config().limit(256 << 20).read_to_vec();
        Ok((body.map_err(|error| self.unanswered(&error))?, header))
    }

    /// Asks for a file that may be of any length, to be read as it comes.
    pub(super) fn open(&self, path: &str) -> Result<impl std::io::Read + use<>, Failure> {
        let request = self.agent.get(self.url(path)).config();
        // However long all of it takes, as long as something comes.
        let request = request.timeout_global(None).timeout_recv_response(Some(PATIENCE));
        let answer = self.checked(request.build().call())?;
        Ok(answer.into_body().into_reader())
    }

    /// Asks for a small file that may not be there.
    pub(super) fn find_bytes(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let answer = self.agent.get(self.url(path)).call();
        if answer
            .as_ref()
            .is_ok_and(|answer| answer.status() == StatusCode::NOT_FOUND)
        {
            return Ok(None);
        }
        let mut answer = self.checked(answer)?;
        let bytes = answer.body_mut().with_config().limit(256 << 20).read_to_vec();
        bytes.map(Some).map_err(|error| self.unanswered(&error))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn read<T: DeserializeOwned>(&self, answer: Result<Answer, ureq::Error>) -> Result<T, Failure> {
        let text = self.text(self.checked(answer)?)?;
        serde_json::from_str(&text).map_err(|_| self.stranger())
    }

    fn checked(&self, answer: Result<Answer, ureq::Error>) -> Result<Answer, Failure> {
        let answer = answer.map_err(|error| self.unanswered(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let problem: Option<Value> = serde_json::from_str(&self.text(answer)?).ok();
        let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
        match detail {
            Some(detail) => Err(Failure::other(super::words::plain(detail))),
            None => Err(self.stranger()),
        }
    }

    fn text(&self, mut answer: Answer) -> Result<String, Failure> {
        answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .map_err(|error| self.unanswered(&error))
    }

    fn stranger(&self) -> Failure {
        Failure::other(format!(
            "what answers at {} is no camkeep; name the right one with --server",
            self.server
        ))
    }

    fn unanswered(&self, error: &ureq::Error) -> Failure {
        let server = &self.server;
        match error {
            ureq::Error::Timeout(_) => Failure::other(format!("camkeep at {server} did not answer in time")),
            ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => nobody(server),
            ureq::Error::Io(cause) if cause.kind() == std::io::ErrorKind::ConnectionRefused => nobody(server),
            error => Failure::other(format!("no answer from camkeep at {server}: {error}")),
        }
    }
}

fn nobody(server: &str) -> Failure {
    Failure::other(format!("no camkeep answers at {server}; start it with `camkeep run`"))
}

/// One part of a path or query, escaped.
pub(super) fn part(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn who_cannot_be_asked_is_said_in_words() {
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = Client::new(&format!("127.0.0.1:{port}/")).unwrap();
        let failure = client.get::<Value>("/healthz").unwrap_err();
        assert_eq!(
            failure,
            Failure::other(format!(
                "no camkeep answers at http://127.0.0.1:{port}; start it with `camkeep run`"
            ))
        );
        for server in ["https://127.0.0.1", "ftp://x", "http://", "http://a b"] {
            assert_eq!(Client::new(server).expect_err(server).code, 2, "{server}");
        }
    }

    fn answered_with(answer: &'static str) -> Result<Value, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let server = crate::runtime::spawn_thread("server", move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0; 4096];
            let _ = stream.read(&mut seen).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        })
        .unwrap();
        let answer = client.get("/x");
        server.join().unwrap();
        answer
    }

    #[test]
    fn a_problem_is_said_as_the_daemon_says_it_and_a_stranger_is_recognised() {
        let problem = "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n{\"detail\": \"camera door not found\"}";
        assert_eq!(answered_with(problem).unwrap_err().message, "camera door not found");
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<htm>";
        assert!(answered_with(page).unwrap_err().message.contains("is no camkeep"));
        let moved =
            "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert!(answered_with(moved).unwrap_err().message.contains("is no camkeep"));
    }
}
