//! Which camera a pipeline is shown or played with: one that the daemon knows, or a URL.

use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::Config;
use crate::model::{Address, Camera, CameraId, Codec, RecordStream, Secret, Timestamp, Transport};
use crate::pipeline::{Filling, RecordSpec};
use crate::runtime::{Clock, SystemClock};

use super::camera::{path, read_password, text};
use super::client::{Client, part};
use super::command::ServerArgs;
use super::failure::Failure;

/// What the daemon says in place of a secret.
const HIDDEN: &str = "***";

/// How far back the daemon is asked what the camera sent.
const LATELY: i64 = 3600;

/// Where the stream is.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// A camera of the daemon, which is asked over HTTP; it keeps passwords to itself
    #[arg(long, value_name = "ID", conflicts_with = "url")]
    camera: Option<String>,
    /// A stream, like rtsp://192.168.1.20/stream1
    #[arg(long)]
    url: Option<String>,
    /// User name at the camera
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// A stream for those who gave none, with everything that can be set.
pub(super) fn sample(config: &Config, set: &Filling) -> Result<RecordSpec, Failure> {
    let address = Address::parse("rtsp://admin@192.168.1.20/stream1").map_err(Failure::other)?;
    let address = with(address.location(), Some("admin"), Some(&HIDDEN.into()))?;
    Ok(filled(config, set, address, Transport::Tcp, None, true))
}

fn with(location: &str, username: Option<&str>, password: Option<&Secret>) -> Result<Address, Failure> {
    let address = Address::parse(location).map_err(Failure::usage)?;
    Ok(address.with_credentials(username, password))
}

/// What a spec has from the configuration, and what was set by hand.
fn filled(
    config: &Config,
    set: &Filling,
    address: Address,
    transport: Transport,
    codec: Option<Codec>,
    audio: bool,
) -> RecordSpec {
    let by_hand = set.get("codec").and_then(|word| Codec::parse(word));
    RecordSpec {
        address,
        transport,
        latency: config.record.latency,
        connect: config.record.connect,
        codec: by_hand.or(codec).unwrap_or(Codec::H264),
        audio,
    }
}

/// A field of a camera, as the type that it has.
fn field<T: DeserializeOwned>(camera: &Value, name: &str) -> Option<T> {
    serde_json::from_value(camera.get(name)?.clone()).ok()
}

impl SourceArgs {
    pub(super) fn is_given(&self) -> bool {
        self.camera.is_some() || self.url.is_some()
    }

    /// How long this camera's segments are, when the daemon knows it.
    pub(super) fn segment(&self) -> Result<Option<Duration>, Failure> {
        let Some(id) = &self.camera else { return Ok(None) };
        let camera: Value = Client::new(&self.server.server)?.get(&path(id))?;
        Ok(field(&camera, "segment_seconds").map(Duration::from_secs))
    }

    /// The stream, and what files of it are called. What the daemon hides is `***` in it.
    pub(super) fn spec(&self, config: &Config, set: &Filling) -> Result<(RecordSpec, String), Failure> {
        let password = self.password_stdin.then(read_password).transpose()?.map(Secret::new);
        let Some(id) = &self.camera else {
            let url = self.url.as_deref().unwrap_or_default();
            let address = Address::parse(url).map_err(|error| Failure::usage(format!("--url: {error}")))?;
            let address = match (&self.username, &password) {
                (None, None) => address,
                // What is said beside the URL is meant.
                (name, password) => with(
                    address.location(),
                    name.as_deref().or(address.username()),
                    password.as_ref().or(address.password()),
                )?,
            };
            return Ok((
                filled(config, set, address, Transport::Tcp, None, true),
                "camera".to_owned(),
            ));
        };
        let client = Client::new(&self.server.server)?;
        let shown: Value = client.get(&path(id))?;
        let address = self.address(&shown, password)?;
        let codec = lately_sent(&client, id)?;
        let transport = field(&shown, "transport").unwrap_or(Transport::Tcp);
        let audio = field(&shown, "record_audio").unwrap_or(false);
        Ok((filled(config, set, address, transport, codec, audio), id.clone()))
    }

    /// Where a camera is, by what the daemon shows of it and what was given here.
    fn address(&self, shown: &Value, password: Option<Secret>) -> Result<Address, Failure> {
        let id = CameraId::parse(&text(shown, "id")).map_err(Failure::other)?;
        let mut camera = Camera::new(id, text(shown, "name"), Timestamp::EPOCH);
        camera.record_stream = field(shown, "record_stream").unwrap_or(camera.record_stream);
        let url = field::<String>(
            shown,
            match camera.record_stream {
                RecordStream::Main => "main_stream_url",
                RecordStream::Sub => "sub_stream_url",
            },
        );
        // The daemon takes credentials of the URL before those of the fields.
        let is_in_url = url.as_ref().is_some_and(|url| url.contains("://***@"));
        let url = url.map(|url| Secret::new(url.replacen("://***@", "://", 1)));
        match camera.record_stream {
            RecordStream::Main => camera.main_stream_url = url,
            RecordStream::Sub => camera.sub_stream_url = url,
        }
        camera.vendor = field(shown, "vendor").unwrap_or(camera.vendor);
        camera.address = field(shown, "address");
        camera.rtsp_port = field(shown, "rtsp_port").unwrap_or(camera.rtsp_port);
        camera.channel = field(shown, "channel").unwrap_or(camera.channel);
        let has_password = is_in_url || field(shown, "has_password").unwrap_or(false);
        camera.password = password.or_else(|| has_password.then(|| HIDDEN.into()));
        let stored = if is_in_url {
            Some(HIDDEN.to_owned())
        } else {
            field(shown, "username")
        };
        camera.username = self.username.clone().or(stored);
        camera.stream_address().map_err(Failure::other)
    }
}

/// A spec that can be played: nothing in it was hidden by the daemon.
pub(super) fn playable(spec: &RecordSpec) -> Result<(), Failure> {
    let address = &spec.address;
    if address.username() == Some(HIDDEN) {
        return Err(Failure::usage(
            "the daemon keeps this camera's user name and password to itself; give them with --username and --password-stdin",
        ));
    }
    if address.password().is_some_and(|password| password.reveal() == HIDDEN) {
        return Err(Failure::usage(
            "the daemon keeps this camera's password to itself; hand it over with --password-stdin",
        ));
    }
    if address.location().contains(HIDDEN) {
        return Err(Failure::usage(
            "this camera's URL holds a secret, which the daemon keeps to itself; give the whole URL with --url",
        ));
    }
    Ok(())
}

/// The codec of what was recorded lately.
fn lately_sent(client: &Client, id: &str) -> Result<Option<Codec>, Failure> {
    let from = SystemClock.now().offset(-LATELY * 1_000_000_000);
    let page = client.page(&format!(
        "{}/segments?limit=1000&from={}",
        path(id),
        part(&from.to_string())
    ))?;
    Ok(page.rows.last().and_then(|row| Codec::parse(&text(row, "codec"))))
}
