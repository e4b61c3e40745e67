//! The one RTSP port of a camera with storage: what a client asks for first decides who serves it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::runtime::pause;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long half a line is left to grow.
const MOMENT: Duration = Duration::from_millis(5);
/// No first line is longer.
const MOST_LINE: usize = 4096;

/// The path that a client asks for first. What it said stays unread.
pub(super) fn first_path(socket: &TcpStream) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    let mut bytes = [0; MOST_LINE];
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    while Instant::now() < end {
        let count = socket.peek(&mut bytes).ok().filter(|count| *count > 0)?;
        let said = String::from_utf8_lossy(&bytes[..count]);
        if let Some((line, _)) = said.split_once('\n') {
            let target = line.split_whitespace().nth(1)?;
            let behind = target.split_once("://").map_or(target, |(_, rest)| rest);
            return Some(behind.find('/').map_or_else(String::new, |at| behind[at..].to_owned()));
        }
        if count == MOST_LINE {
            return None;
        }
        pause(MOMENT);
    }
    None
}
