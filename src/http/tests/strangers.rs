use super::desk::Desk;

#[test]
fn a_name_that_was_made_to_point_here_reads_nothing() {
    let desk = Desk::new();
    for request in [
        "GET /api/v1/cameras HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example:8080\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /media/recordings/door/x HTTP/1.1\r\nHost: 192.168.1.5\r\nConnection: close\r\n\r\n",
    ] {
        let answer = desk.raw(request.as_bytes());
        assert!(matches!(answer.status, 400 | 403), "{request}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(!answer.problem().is_empty());
    }
}

#[test]
fn a_page_of_another_origin_adds_and_removes_no_camera() {
    let desk = Desk::new();
    let json = "Content-Type: application/json\r\n";
    for header in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let add = desk.with_headers(
            "POST",
            "/api/v1/cameras",
            &format!("{json}{header}"),
            r#"{"name": "A"}"#,
        );
        assert_eq!(add.status, 403, "{header}");
        let remove = desk.with_headers("DELETE", "/api/v1/cameras/door", header, "");
        assert_eq!(remove.status, 403, "{header}");
    }
    assert_eq!(desk.get("/api/v1/cameras/door").status, 200);
    let ours = desk.with_headers("DELETE", "/api/v1/cameras/door", "Origin: http://localhost\r\n", "");
    assert_eq!(ours.status, 200);
}

#[test]
fn garbage_is_answered_and_ends_nothing() {
    let desk = Desk::new();
    for garbage in [
        b"GARBAGE\r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ] {
        assert_eq!(desk.raw(garbage).status, 400, "{garbage:?}");
    }
    assert_eq!(desk.get("/healthz").status, 200);
}
