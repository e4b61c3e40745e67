//! The box over HTTP.
#![allow(clippy::unwrap_used)]

use super::desk::Desk;
use crate::storage::PublicKey;

#[test]
fn the_public_key_is_told_as_json_and_as_a_file_that_openssl_reads() {
    let desk = Desk::new();
    let told = desk.get("/api/v1/system/public-key");
    assert_eq!(
        (told.status, told.header("content-type")),
        (200, Some("application/json"))
    );
    let told = told.json();
    let key = PublicKey::from_pem(told["public_key"].as_str().unwrap()).unwrap();
    assert_eq!(told["key_id"], key.id().to_string());
    assert_eq!(
        (told["algorithm"].as_str(), told["made_at"].as_str().map(str::len)),
        (Some("ed25519"), Some(24))
    );

    let bare = desk.get("/api/v1/system/public-key?format=pem");
    assert_eq!(bare.header("content-type"), Some("application/x-pem-file"));
    assert_eq!(String::from_utf8(bare.body).unwrap(), key.to_pem());
    let asked = b"GET /api/v1/system/public-key HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/x-pem-file\r\nConnection: close\r\n\r\n";
    assert!(desk.raw(asked).body.starts_with(b"-----BEGIN PUBLIC KEY-----\n"));
    let asked = b"GET /api/v1/system/public-key HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html, */*\r\nConnection: close\r\n\r\n";
    assert_eq!(desk.raw(asked).json()["key_id"], key.id().to_string());

    let refused = desk.get("/api/v1/system/public-key?format=der");
    assert_eq!(
        (refused.status, refused.problem()),
        (400, "format: it may be json or pem".to_owned())
    );
}
