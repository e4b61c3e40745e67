//! `camkeep camera`: add, list, show, set, remove.

use crate::model::counted;
use std::io::{BufRead, IsTerminal};

use serde::Serialize;
use serde_json::{Map, Value};

use super::client::{Client, part};
use super::command::{AddArgs, ServerArgs};
use super::entry::say;
use super::failure::Failure;
use super::timeline::style;
use super::words::{bytes, plain};
use crate::http::CAMERA_FIELDS;

const CAMERAS: &str = "/api/v1/cameras";

pub(super) fn path(id: &str) -> String {
    format!("{CAMERAS}/{}", part(id))
}

pub(super) fn add(args: AddArgs) -> Result<(), Failure> {
    let mut body = pairs(&args.set)?;
    let mut give = |field: &str, value: Option<String>| {
        if let Some(value) = value {
            body.insert(field.to_owned(), Value::String(value));
        }
    };
    give("name", Some(args.name));
    give("main_stream_url", args.url);
    give("id", args.id);
    give("vendor", args.vendor);
    give("address", args.address);
    give("username", args.username);
    if args.password_stdin {
        give("password", Some(read_password()?));
    }
    let client = Client::new(&args.server.server)?;
    let camera: Value = client.post(CAMERAS, &Value::Object(body))?;
    let id = text(&camera, "id");
    say(&format!("added camera {id}; see it with `camkeep timeline {id}`"))
}

pub(super) fn read_password() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::other(format!("cannot read the password from standard input: {error}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage("--password-stdin: nothing came in on standard input"));
    }
    Ok(password.to_owned())
}

pub(super) fn list(removed: bool, server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let client = Client::new(&server.server)?;
    if removed {
        return list_removed(&client.get(&format!("{CAMERAS}?removed=true"))?, json);
    }
    let cameras: Value = client.get(CAMERAS)?;
    if json {
        return say_json(&cameras);
    }
    let health: Value = client.get("/api/v1/health/cameras")?;
    let state = |id: &str| {
        let rows = health.as_array().map(Vec::as_slice).unwrap_or_default();
        let row = rows.iter().find(|row| row["camera_id"] == id);
        row.map(|row| text(row, "state")).unwrap_or_default()
    };
    let rows: Vec<[String; 4]> = cameras
        .as_array()
        .into_iter()
        .flatten()
        .map(|camera| {
            let source = match text(camera, "main_stream_url") {
                url if url.is_empty() => format!("{} at {}", text(camera, "vendor"), text(camera, "address")),
                url => url,
            };
            let id = text(camera, "id");
            [id.clone(), state(&id), text(camera, "name"), source]
        })
        .collect();
    if rows.is_empty() {
        return say("no cameras yet; add one with `camkeep camera add NAME URL`");
    }
    let lines = table(&["ID", "STATE", "NAME", "SOURCE"], &rows);
    match std::io::stdout().is_terminal() {
        true => say(&fitted(&lines, style().columns)),
        false => say(&lines),
    }
}

/// Lines cut to the width of a terminal, with a sign where one was longer.
fn fitted(text: &str, columns: usize) -> String {
    let fit = |line: &str| match line.chars().count() > columns {
        true => line.chars().take(columns.saturating_sub(1)).chain(['…']).collect(),
        false => line.to_owned(),
    };
    text.lines().map(fit).collect::<Vec<_>>().join("\n")
}

fn list_removed(cameras: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return say_json(cameras);
    }
    let rows: Vec<[String; 3]> = cameras
        .as_array()
        .into_iter()
        .flatten()
        .map(|camera| [text(camera, "id"), text(camera, "name"), footage(&camera["footage"])])
        .collect();
    if rows.is_empty() {
        return say("no footage of removed cameras");
    }
    say(&table(&["ID", "NAME", "FOOTAGE"], &rows))
}

/// How much footage there is, in words.
fn footage(footage: &Value) -> String {
    let Some(segments) = footage["segments"].as_u64() else {
        return "none".to_owned();
    };
    let size = bytes(footage["size_bytes"].as_f64().unwrap_or_default());
    let (from, to) = (text(footage, "from"), text(footage, "to"));
    let segments = counted(segments, "segment", "segments");
    format!("{segments}, {size}, {from} to {to}")
}

pub(super) fn show(id: &str, server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let camera: Value = Client::new(&server.server)?.get(&path(id))?;
    if json {
        return say_json(&camera);
    }
    let fields = camera
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null());
    let rows: Vec<[String; 2]> = fields.map(|(name, _)| [name.clone(), text(&camera, name)]).collect();
    say(&table(&["FIELD", "VALUE"], &rows))
}

pub(super) fn set(id: &str, fields: &[String], password_stdin: bool, server: &ServerArgs) -> Result<(), Failure> {
    let mut body = pairs(fields)?;
    if password_stdin {
        body.insert("password".to_owned(), Value::String(read_password()?));
    }
    let _: Value = Client::new(&server.server)?.patch(&path(id), &Value::Object(body))?;
    say(&format!("changed camera {}", plain(id)))
}

pub(super) fn remove(id: &str, purge: bool, server: &ServerArgs) -> Result<(), Failure> {
    let place = format!("{}{}", path(id), if purge { "?purge=true" } else { "" });
    let done: Value = Client::new(&server.server)?.delete_and_tell(&place)?;
    say(&removed(&plain(id), &done))
}

/// What became of a camera and its footage.
fn removed(id: &str, done: &Value) -> String {
    let mut lines = vec![format!("removed camera {id}")];
    if done["purge"] == true {
        let size = bytes(done["purged_bytes"].as_f64().unwrap_or_default());
        let segments = done["purged_segments"].as_u64().unwrap_or_default();
        let gone = counted(segments, "segment is", "segments are");
        lines.push(format!("{gone} gone, {size}"));
    }
    if !done["footage"].is_null() {
        lines.push(format!("its footage stays: {}", footage(&done["footage"])));
        if done["purge"] != true {
            lines.push(format!(
                "see it with `camkeep timeline {id} --removed`, remove it with `camkeep camera remove {id} --purge`"
            ));
        }
    }
    let waits_for = text(done, "waits_for");
    if !waits_for.is_empty() {
        lines.push(format!("not yet gone: {waits_for}"));
    }
    lines.join("\n")
}

pub(super) fn test(id: &str, server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let done: Value = Client::new(&server.server)?.post(&format!("{}/test", path(id)), &Value::Null)?;
    if json {
        say_json(&done)?;
    } else if done["ok"] == true {
        let shown = |field| text(&done, field);
        let seconds = done["seconds"].as_f64().unwrap_or_default();
        let (codec, width, height) = (shown("codec"), shown("width"), shown("height"));
        say(&format!(
            "{} works: {codec} {width}x{height}, the first picture came after {seconds:.1} s",
            plain(id)
        ))?;
    }
    match &done["ok"] {
        Value::Bool(true) => Ok(()),
        _ => Err(Failure::other(format!("{}: {}", plain(id), text(&done, "message")))),
    }
}

/// `field=value` pairs. What reads as a number or as true and false is one, unless the field holds text.
fn pairs(given: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    for pair in given {
        let (field, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`{}`: write it like segment_seconds=30", plain(pair))))?;
        if !CAMERA_FIELDS.contains(&field) {
            return Err(Failure::usage(format!(
                "`{}` is no field of a camera; known are {}",
                plain(field),
                CAMERA_FIELDS.join(", ")
            )));
        }
        let value = match value {
            "" => Value::Null,
            _ if TEXTS.contains(&field) => Value::String(value.to_owned()),
            value => match serde_json::from_str(value) {
                Ok(parsed @ (Value::Bool(_) | Value::Number(_))) => parsed,
                _ => Value::String(value.to_owned()),
            },
        };
        body.insert(field.to_owned(), value);
    }
    Ok(body)
}

/// Fields that hold text even when it looks like a number.
const TEXTS: [&str; 10] = [
    "id",
    "name",
    "site_id",
    "model",
    "address",
    "username",
    "password",
    "main_stream_url",
    "sub_stream_url",
    "anr_replay_url_template",
];

/// A field of an answer as text, empty when it is not there.
pub(super) fn text(row: &Value, field: &str) -> String {
    match row.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => plain(text),
        Some(other) => other.to_string(),
    }
}

/// What `--json` prints: a list a row a line, anything else on one line.
pub(super) fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    match serde_json::to_value(value).map_err(Failure::other)? {
        Value::Array(rows) => rows.iter().try_for_each(|row| say(&row.to_string())),
        value => say(&value.to_string()),
    }
}

/// Columns as wide as what is in them.
pub(super) fn table<const N: usize>(head: &[&str; N], rows: &[[String; N]]) -> String {
    let head = head.map(str::to_owned);
    let lines: Vec<&[String; N]> = std::iter::once(&head).chain(rows).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line.iter()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let text: Vec<String> = lines
        .iter()
        .map(|line| {
            let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    text.join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_that_is_longer_than_the_terminal_is_cut_and_says_so() {
        assert_eq!(fitted("abcdef\nabcde", 5), "abcd…\nabcde");
    }

    #[test]
    fn pairs_become_the_json_that_the_daemon_reads() {
        let given = [
            "segment_seconds=30",
            "record_audio=true",
            "name=7",
            "username=",
            "vendor=axis",
            "password=a=b",
        ];
        let body = pairs(&given.map(str::to_owned)).unwrap();
        let expected = serde_json::json!({
            "segment_seconds": 30, "record_audio": true, "name": "7", "username": null, "vendor": "axis", "password": "a=b",
        });
        assert_eq!(Value::Object(body), expected);
        let unknown = pairs(&["segment_second=1".to_owned()]).unwrap_err();
        assert!(unknown.code == 2 && unknown.message.contains("known are id, name"));
        assert_eq!(pairs(&["segment_seconds".to_owned()]).unwrap_err().code, 2);
    }

    #[test]
    fn every_text_field_is_a_field() {
        for field in TEXTS {
            assert!(CAMERA_FIELDS.contains(&field), "{field}");
        }
    }

    #[test]
    fn a_table_is_as_wide_as_what_is_in_it() {
        let rows = [["a".to_owned(), "ü".to_owned()], ["bbb".to_owned(), String::new()]];
        assert_eq!(table(&["ID", "NAME"], &rows), "ID   NAME\na    ü\nbbb");
    }
}
