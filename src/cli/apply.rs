//! `camkeep camera apply`: cameras as a file says.

use std::path::Path;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::camera::{path, text};
use super::client::Client;
use super::command::ServerArgs;
use super::entry::say;
use super::failure::Failure;
use super::words::plain;
use crate::http::CAMERA_FIELDS;
use crate::model::{CameraId, counted};

/// One camera of the file.
#[derive(Debug, PartialEq)]
struct Wanted {
    id: String,
    line: usize,
    fields: Map<String, Value>,
}

pub(super) fn apply(file: &Path, server: &ServerArgs) -> Result<(), Failure> {
    let name = file.display();
    let content = std::fs::read_to_string(file)
        .map_err(|error| Failure::configuration(format!("cannot read {name}: {error}")))?;
    let cameras = read(&content).map_err(|mistake| Failure::configuration(format!("{name}, {mistake}")))?;
    let client = Client::new(&server.server)?;
    let mut refused = 0;
    for wanted in &cameras {
        match bring(&client, wanted) {
            Ok(outcome) => say(&format!("{}: {outcome}", wanted.id))?,
            // A value the daemon refuses is one camera's trouble; the others are still brought to what the file says.
            Err(failure) if failure.code == 1 && !failure.message.starts_with("no camkeep") => {
                refused += 1;
                say(&format!(
                    "{}: refused, line {}: {}",
                    wanted.id, wanted.line, failure.message
                ))?;
            }
            Err(failure) => return Err(failure),
        }
    }
    match refused {
        0 if cameras.is_empty() => say("no [[camera]] in the file; nothing to do"),
        0 => Ok(()),
        _ => Err(Failure::other(format!(
            "{refused} of {} refused",
            counted(cameras.len(), "camera was", "cameras were")
        ))),
    }
}

fn bring(client: &Client, wanted: &Wanted) -> Result<&'static str, Failure> {
    let place = path(&wanted.id);
    let mut body = wanted.fields.clone();
    let Some(before) = client.find::<Value>(&place)? else {
        body.insert("id".to_owned(), Value::String(wanted.id.clone()));
        let _: Value = client.post("/api/v1/cameras", &Value::Object(body))?;
        return Ok("created");
    };
    let after: Value = client.patch(&place, &Value::Object(body))?;
    // The daemon keeps the time of the last change when nothing changes, secrets included.
    Ok(if text(&before, "updated_at") == text(&after, "updated_at") {
        "unchanged"
    } else {
        "changed"
    })
}

/// Reads the file; a mistake comes with its line.
fn read(content: &str) -> Result<Vec<Wanted>, String> {
    let line = |at: usize| content[..at.min(content.len())].matches('\n').count() + 1;
    let document = DeTable::parse(content).map_err(|error| {
        let at = error.span().map_or(1, |span| line(span.start));
        format!("line {at}: {}", error.message())
    })?;
    let mut cameras: Vec<Wanted> = Vec::new();
    for (key, value) in document.get_ref() {
        if key.get_ref() != "camera" {
            let known = "the file holds [[camera]] tables and nothing else";
            return Err(format!(
                "line {}: unknown key `{}`; {known}",
                line(key.span().start),
                plain(key.get_ref())
            ));
        }
        let place = line(value.span().start);
        let DeValue::Array(tables) = value.get_ref() else {
            return Err(format!("line {place}: write [[camera]] with two brackets"));
        };
        for table in tables.iter() {
            let place = line(table.span().start);
            let DeValue::Table(table) = table.get_ref() else {
                return Err(format!("line {place}: write a table, [[camera]], for each camera"));
            };
            let wanted = camera(table, place, &line)?;
            if let Some(before) = cameras.iter().find(|before| before.id == wanted.id) {
                return Err(format!(
                    "line {place}: camera `{}` stands in line {} already",
                    wanted.id, before.line
                ));
            }
            cameras.push(wanted);
        }
    }
    Ok(cameras)
}

fn camera(table: &DeTable<'_>, place: usize, line: &impl Fn(usize) -> usize) -> Result<Wanted, String> {
    let mut fields = Map::new();
    for (key, value) in table {
        let (name, at) = (key.get_ref(), line(key.span().start));
        if !CAMERA_FIELDS.contains(&name.as_ref()) {
            let known = CAMERA_FIELDS.join(", ");
            return Err(format!("line {at}: unknown key `{}`; known are {known}", plain(name)));
        }
        let value =
            json(value).ok_or_else(|| format!("line {at}: `{name}` is a text, a whole number, true or false"))?;
        fields.insert(name.to_string(), value);
    }
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let id = match (text("id"), text("name")) {
        (Some(id), _) => CameraId::parse(id).map_err(|error| format!("line {place}: id: {error}"))?,
        (None, Some(name)) => CameraId::from_name(name)
            .ok_or_else(|| format!("line {place}: no id can be made from this name; give one"))?,
        (None, None) => return Err(format!("line {place}: a camera needs a name")),
    };
    fields.remove("id");
    Ok(Wanted {
        id: id.to_string(),
        line: place,
        fields,
    })
}

fn json(value: &Spanned<DeValue<'_>>) -> Option<Value> {
    match value.get_ref() {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Boolean(truth) => Some(Value::Bool(*truth)),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).ok().map(Value::from)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_names_its_cameras() {
        let cameras = read("# two\n[[camera]]\nname = \"Front door\"\nsegment_seconds = 5\n\n[[camera]]\nid = \"b\"\nname = \"B\"\nrecord_audio = true\n").unwrap();
        assert_eq!(cameras.len(), 2);
        assert_eq!((cameras[0].id.as_str(), cameras[0].line), ("front-door", 2));
        assert_eq!(
            Value::Object(cameras[0].fields.clone()),
            serde_json::json!({"name": "Front door", "segment_seconds": 5})
        );
        assert_eq!((cameras[1].id.as_str(), cameras[1].line), ("b", 6));
        assert_eq!(read("").unwrap(), vec![]);
    }

    #[test]
    fn a_mistake_comes_with_its_line() {
        for (content, mistake) in [
            (
                "[[camera]]\nname = \"A\"\nsegment_second = 5\n",
                "line 3: unknown key `segment_second`; known are id, name",
            ),
            (
                "\n[server]\n",
                "line 2: unknown key `server`; the file holds [[camera]] tables",
            ),
            ("[camera]\nname = \"A\"\n", "line 1: write [[camera]] with two brackets"),
            ("camera = [1]\n", "line 1: write a table"),
            (
                "[[camera]]\nname = \"A\"\npriority = 1.5\n",
                "line 3: `priority` is a text",
            ),
            ("[[camera]]\nid = \"A B\"\n", "line 1: id: a camera id has"),
            ("[[camera]]\nvendor = \"axis\"\n", "line 1: a camera needs a name"),
            (
                "[[camera]]\nname = \"A\"\n[[camera]]\nname = \"a\"\n",
                "line 3: camera `a` stands in line 1 already",
            ),
            ("[[camera]]\nname = \"A\n", "line 2: "),
        ] {
            let told = read(content).unwrap_err();
            assert!(told.starts_with(mistake), "{told}");
        }
    }
}
