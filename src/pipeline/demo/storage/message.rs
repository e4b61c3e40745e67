//! Requests and answers as RTSP and HTTP write them: a line, headers, an empty line, a body.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use crate::model::Timestamp;

/// Nobody asks at greater length.
const MOST_BODY: usize = 256 * 1024;
const MOST_HEADERS: usize = 100;

/// What a client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// An address in RTSP, a path in HTTP.
    pub(super) target: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Reads the next one; `None` at the end. Packets that RTSP clients send in between are left out.
    pub(super) fn read(from: &mut impl BufRead) -> Result<Option<Self>> {
        loop {
            match from.fill_buf()?.first() {
                None => return Ok(None),
                Some(b'$') => skip_packet(from)?,
                Some(b'\r' | b'\n') => from.consume(1),
                Some(_) => return Self::read_text(from).map(Some),
            }
        }
    }

    fn read_text(from: &mut impl BufRead) -> Result<Self> {
        let first = read_line(from)?;
        let mut words = first.split_whitespace().map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(Error::new(ErrorKind::InvalidData, "no request"));
        };
        let mut headers = Vec::new();
        loop {
            let line = read_line(from)?;
            if line.is_empty() {
                break;
            }
            if headers.len() == MOST_HEADERS {
                return Err(Error::new(ErrorKind::InvalidData, "too many headers"));
            }
            if let Some((key, value)) = line.split_once(':') {
                headers.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        let mut request = Self {
            method,
            target,
            headers,
            body: String::new(),
        };
        let length = request.header("Content-Length").and_then(|it| it.parse::<usize>().ok());
        if let Some(length) = length.filter(|length| *length > 0) {
            if length > MOST_BODY {
                return Err(Error::new(ErrorKind::InvalidData, "too long a body"));
            }
            let mut body = vec![0; length];
            from.read_exact(&mut body)?;
            request.body = String::from_utf8_lossy(&body).into_owned();
        }
        Ok(request)
    }
}

fn read_line(from: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    from.take(MOST_BODY as u64).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn skip_packet(from: &mut impl BufRead) -> Result<()> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
    from.read_exact(&mut packet)
}

/// What is said to it.
#[derive(Debug)]
pub(super) struct Answer {
    /// Like `200 OK`.
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub(super) fn new(status: &'static str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(super) fn ok() -> Self {
        Self::new("200 OK")
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub(super) fn with_body(self, kind: &str, body: String) -> Self {
        let mut answer = self.with("Content-Type", kind);
        answer.body = body;
        answer
    }

    pub(super) fn status(&self) -> &'static str {
        self.status
    }

    /// As it goes over the wire: `protocol` is like `RTSP/1.0`, `now` what the camera believes.
    pub(super) fn write(&self, protocol: &str, now: Timestamp) -> Vec<u8> {
        let date = now.to_utc().format("%a, %d %b %Y %H:%M:%S GMT");
        let mut text = format!("{protocol} {}\r\nDate: {date}\r\n", self.status);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() || protocol.starts_with("HTTP") {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        format!("{text}\r\n{}", self.body).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_one_after_the_other_and_packets_between_them_are_left_out() {
        let bytes = b"OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n$\0\0\x03abcPLAY rtsp://a/b RTSP/1.0\r\n\
            CSeq: 2\r\nrange: clock=x-\r\nContent-Length: 2\r\n\r\nhi";
        let mut from = &bytes[..];
        let first = Request::read(&mut from).unwrap().unwrap();
        assert_eq!((first.method.as_str(), first.header("cseq")), ("OPTIONS", Some("1")));
        let second = Request::read(&mut from).unwrap().unwrap();
        assert_eq!((second.header("Range"), second.body.as_str()), (Some("clock=x-"), "hi"));
        assert_eq!(Request::read(&mut from).unwrap(), None);
        assert!(Request::read(&mut &b"OPTIONS rtsp://a"[..]).is_err());
    }

    #[test]
    fn answers_carry_the_date_that_the_camera_believes() {
        let now = Timestamp::parse("2026-11-20T10:30:07Z").unwrap();
        let written = Answer::ok().with("CSeq", "4").write("RTSP/1.0", now);
        let wanted = "RTSP/1.0 200 OK\r\nDate: Fri, 20 Nov 2026 10:30:07 GMT\r\nCSeq: 4\r\n\r\n";
        assert_eq!(String::from_utf8(written).unwrap(), wanted);
    }
}
