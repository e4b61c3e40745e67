//! The date that many cameras write into their RTSP answers.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::error::ArchiveError;
use super::line::Line;
use super::telling::{Told, read_date};

/// How long a camera may take to be reached, and for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// Longer than any answer to OPTIONS.
const LARGEST: usize = 16 << 10;

/// Asks for OPTIONS, which needs no user.
#[derive(Debug)]
pub(super) struct RtspDate<'a> {
    line: &'a Line,
    stream: Option<TcpStream>,
    count: u32,
}

impl<'a> RtspDate<'a> {
    pub(super) fn new(line: &'a Line) -> Self {
        Self {
            line,
            stream: None,
            count: 0,
        }
    }

    /// One question, on the same connection as those before.
    pub(super) fn ask(&mut self) -> Result<Told, ArchiveError> {
        let place = format!("{}:{}", self.line.host_in_url(), self.line.rtsp_port);
        let broke = |_| ArchiveError::Unreachable(format!("the camera at {place} does not answer RTSP"));
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect(&place)?,
        };
        self.count += 1;
        let request = format!(
            "OPTIONS rtsp://{place}/ RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: camkeep\r\n\r\n",
            self.count
        );
        let clock = &self.line.clock;
        let asked = clock.instant();
        stream.write_all(request.as_bytes()).map_err(broke)?;
        let mut answer = Vec::new();
        let mut answered = asked;
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut some = [0; 2048];
            let read = stream.read(&mut some).map_err(broke)?;
            if answer.is_empty() {
                answered = clock.instant();
            }
            answer.extend_from_slice(&some[..read]);
            // Who drips has less time than who is silent.
            if read == 0 || answer.len() > LARGEST || clock.instant().since(asked) > PATIENCE {
                return Err(ArchiveError::Broken(format!("what {place} answers is no RTSP")));
            }
        }
        let answer = String::from_utf8_lossy(&answer);
        let date = answer.lines().filter_map(|line| line.split_once(':'));
        let mut date = date.filter(|(name, _)| name.trim().eq_ignore_ascii_case("date"));
        let shown = date.next().and_then(|(_, date)| read_date(date));
        let shown = shown.ok_or_else(|| ArchiveError::Unsupported(format!("{place} dates no answer")))?;
        self.stream = Some(stream);
        Ok(Told {
            shown,
            east: None,
            asked,
            answered,
        })
    }

    fn connect(&self, place: &str) -> Result<TcpStream, ArchiveError> {
        let addresses = (self.line.host.as_str(), self.line.rtsp_port).to_socket_addrs();
        for address in addresses.into_iter().flatten().take(4) {
            let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE) else {
                continue;
            };
            let patient =
                stream.set_read_timeout(Some(PATIENCE)).is_ok() && stream.set_write_timeout(Some(PATIENCE)).is_ok();
            if patient {
                // Without it, a question may wait in the kernel, and the clock seems to.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
        }
        Err(ArchiveError::Unreachable(format!(
            "the camera at {place} cannot be reached"
        )))
    }
}
