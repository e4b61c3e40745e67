//! `camkeep trigger`: something happens at a camera, and footage of it is kept.

use serde_json::{Map, Value};

use super::camera::{path, say_json, text};
use super::client::Client;
use super::command::TriggerArgs;
use super::entry::say;
use super::failure::Failure;
use super::gaps::local;

pub(super) fn trigger(args: &TriggerArgs) -> Result<(), Failure> {
    let mut body = Map::new();
    if let Some(seconds) = args.seconds {
        body.insert("seconds".to_owned(), seconds.into());
    }
    if let Some(reason) = &args.reason {
        body.insert("reason".to_owned(), Value::String(reason.clone()));
    }
    let place = format!("{}/record-trigger", path(&args.camera));
    let done: Value = Client::new(&args.server.server)?.post(&place, &Value::Object(body))?;
    if args.json {
        return say_json(&done);
    }
    let (id, until) = (text(&done, "camera_id"), local(&done, "until"));
    if done["extended"] == true {
        return say(&format!("{id} goes on recording until {until}"));
    }
    say(&format!("{id} records from {} until {until}", local(&done, "from")))
}
