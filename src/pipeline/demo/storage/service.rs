//! The ONVIF service: HTTP with SOAP inside.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::message::{Answer, Request};
use super::soap;
use super::vault::Vault;
use super::xml;

/// Where clients begin.
pub(super) const DEVICE_PATH: &str = "/onvif/device_service";

/// How long a client may take for its next request.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one connection until it ends.
pub(super) fn serve(socket: TcpStream, vault: &Arc<Vault>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut to = socket.try_clone()?;
    let mut from = BufReader::new(socket);
    while let Some(request) = Request::read(&mut from)? {
        let answer = answer(&request, vault);
        to.write_all(&answer.write("HTTP/1.1", vault.clock.now()))?;
        let says_close = |value: &str| value.eq_ignore_ascii_case("close");
        if request.header("Connection").is_some_and(says_close) {
            break;
        }
    }
    Ok(())
}

fn answer(request: &Request, vault: &Vault) -> Answer {
    if !request.target.starts_with("/onvif/") {
        return Answer::new("404 Not Found");
    }
    if request.method != "POST" {
        return Answer::new("405 Method Not Allowed").with("Allow", "POST");
    }
    // A client that expects to be asked for a login leaves the message out at first.
    if request.body.is_empty() && !vault.keeper.admits(request) {
        return soap::not_authorised(vault.keeper.refuse(true));
    }
    let Some(operation) = xml::operation(&request.body) else {
        return soap::fault(
            "400 Bad Request",
            "s:Sender",
            "ter:WellFormed",
            "this is no SOAP message",
        );
    };
    vault.books.note(format!("POST {operation}"));
    // Whoever wants to date a token has to be told the time first.
    let is_public = matches!(operation, "GetSystemDateAndTime" | "GetServices" | "GetCapabilities");
    let is_admitted =
        is_public || vault.keeper.admits(request) || vault.keeper.admits_token(&request.body, vault.clock.now());
    if !is_admitted {
        return soap::not_authorised(vault.keeper.refuse(true));
    }
    let host = request.header("Host").unwrap_or("127.0.0.1");
    soap::answer(operation, &request.body, host, vault)
}
