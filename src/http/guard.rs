//! Who is let in. While there is no user, whoever sits at this machine is the administrator, and nobody else is
//! anybody: not another machine, and not a web page that a browser on this machine happens to show.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Lets a request through or refuses it.
pub(super) async fn guard(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    match check(peer.ip(), request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(peer: IpAddr, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if !peer.to_canonical().is_loopback() {
        return Err(Problem::forbidden(
            "this box has no users yet and answers only on its own machine; \
             ask from there, or through a tunnel: ssh -L 8080:127.0.0.1:8080 THIS-BOX",
        ));
    }
    // A page elsewhere can have its own name resolve to 127.0.0.1; its requests then carry that name.
    let host = host(uri, headers)?;
    if host.as_ref().is_some_and(|host| !is_this_machine(host)) {
        return Err(Problem::forbidden(
            "this name is not the machine's own; ask by localhost, 127.0.0.1 or [::1]",
        ));
    }
    if method.is_safe() {
        return Ok(());
    }
    let from_elsewhere = match (headers.get(header::ORIGIN), &host) {
        (None, _) => false,
        (Some(origin), Some(host)) => !is_same_origin(origin.as_bytes(), host),
        (Some(_), None) => true,
    };
    let fetched_from_elsewhere = headers
        .get("sec-fetch-site")
        .is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    if from_elsewhere || fetched_from_elsewhere {
        return Err(Problem::forbidden(
            "a page of another origin may not change anything here",
        ));
    }
    Ok(())
}

/// Whom the request is addressed to: its target when that names a host, which must then agree with the Host header.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, Problem> {
    let mut named = headers.get_all(header::HOST).iter();
    let host = match (named.next(), named.next()) {
        (None, _) => None,
        (Some(one), None) => Some(
            Authority::try_from(one.as_bytes())
                .map_err(|_| Problem::invalid("the Host header cannot be understood"))?,
        ),
        (Some(_), Some(_)) => return Err(Problem::invalid("two Host headers")),
    };
    match (uri.authority(), host) {
        (Some(target), Some(host)) if *target != host => {
            Err(Problem::invalid("the request's target and its Host header differ"))
        }
        (Some(target), _) => Ok(Some(target.clone())),
        (None, host) => Ok(host),
    }
}

fn is_this_machine(authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761: localhost and what is below it always mean this machine.
    name == "localhost"
        || name.ends_with(".localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_same_origin(origin: &[u8], host: &Authority) -> bool {
    std::str::from_utf8(origin)
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(scheme, authority)| {
            matches!(scheme, "http" | "https") && authority.eq_ignore_ascii_case(host.as_str())
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ask(peer: &str, method: Method, headers: &[(&'static str, &str)]) -> Result<(), String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let uri = Uri::from_static("/api/v1/cameras");
        check(peer.parse().unwrap(), &method, &uri, &map).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn only_this_machine_is_answered_while_there_is_no_user() {
        let host = [("host", "127.0.0.1:8080")];
        for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(ask(peer, Method::GET, &host), Ok(()), "{peer}");
        }
        for peer in ["192.168.1.5", "10.0.0.1", "fe80::1", "::ffff:10.0.0.1", "0.0.0.0"] {
            assert!(ask(peer, Method::GET, &host).unwrap_err().contains("ssh -L"), "{peer}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_refused() {
        for host in [
            "127.0.0.1:8080",
            "localhost",
            "LOCALHOST:1",
            "cam.localhost:80",
            "[::1]:8080",
            "127.1.2.3",
        ] {
            assert_eq!(ask("127.0.0.1", Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "192.168.1.5",
            "0.0.0.0",
            "user@evil.example",
        ] {
            assert!(ask("127.0.0.1", Method::GET, &[("host", host)]).is_err(), "{host}");
        }
        assert!(
            ask(
                "127.0.0.1",
                Method::GET,
                &[("host", "localhost"), ("host", "evil.example")]
            )
            .is_err()
        );
        // Whoever sends no Host is no browser.
        assert_eq!(ask("127.0.0.1", Method::GET, &[]), Ok(()));
    }

    #[test]
    fn a_target_that_names_another_host_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:1".parse().unwrap());
        for target in ["http://evil.example/healthz", "http://localhost:2/healthz"] {
            let uri = Uri::from_static(target);
            assert!(
                check("::1".parse().unwrap(), &Method::GET, &uri, &headers).is_err(),
                "{target}"
            );
        }
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        let host = ("host", "localhost:8080");
        for method in [Method::POST, Method::PATCH, Method::DELETE, Method::PUT] {
            assert_eq!(ask("::1", method.clone(), &[host]), Ok(()), "a program sends no origin");
            let ours = [
                host,
                ("origin", "http://localhost:8080"),
                ("sec-fetch-site", "same-origin"),
            ];
            assert_eq!(ask("::1", method.clone(), &ours), Ok(()));
            for theirs in [
                ("origin", "http://localhost:3000"),
                ("origin", "https://evil.example"),
                ("origin", "null"),
                ("origin", "file://localhost:8080"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
            ] {
                assert!(ask("::1", method.clone(), &[host, theirs]).is_err(), "{theirs:?}");
            }
            assert!(
                ask("::1", method, &[("origin", "http://localhost")]).is_err(),
                "an origin and no host"
            );
        }
        assert_eq!(
            ask("::1", Method::GET, &[host, ("sec-fetch-site", "cross-site")]),
            Ok(())
        );
    }
}
