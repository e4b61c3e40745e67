//! Fetching a clip: under another name until it is whole and is what the daemon hashed, and saying how far it is.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;

use super::camera::text;
use super::client::Client;
use super::entry::unwritten;
use super::failure::Failure;
use crate::model::Hasher;

/// What lies beside a clip.
const BESIDE: [&str; 2] = [".manifest.json", ".manifest.sig"];

/// Brings a clip and what lies beside it into files, each under another name until it is whole.
pub(super) fn save(client: &Client, clip: &Value, file: &Path, force: bool, bar: &Bar) -> Result<(), Failure> {
    refuse_existing(file, force)?;
    let cannot = |error: std::io::Error| Failure::other(format!("cannot write {}: {error}", file.display()));
    let part = beside(file, ".part");
    let made = match OpenOptions::new().write(true).create_new(true).open(&part) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::other(format!(
                "{} is there already: another export writes it, or one was cut off; remove it if none does",
                part.display()
            )));
        }
        other => other.map_err(cannot)?,
    };
    let written = write_whole(client, clip, made, bar).and_then(|()| rename(&part, file, force).map_err(cannot));
    if written.is_err() {
        // It is ours and of no use.
        let _ = std::fs::remove_file(&part);
        return written;
    }
    let Some(manifest) = clip["manifest_url"].as_str() else {
        return Ok(());
    };
    for (place, suffix) in [(manifest.to_owned(), BESIDE[0]), (format!("{manifest}.sig"), BESIDE[1])] {
        if let Some(bytes) = client.find_bytes(&place)? {
            std::fs::write(beside(file, suffix), bytes).map_err(cannot)?;
        }
    }
    Ok(())
}

fn write_whole(client: &Client, clip: &Value, mut file: File, bar: &Bar) -> Result<(), Failure> {
    fetch(client, clip, &mut file, bar)?;
    file.sync_all()
        .map_err(|error| Failure::other(format!("the disk did not take the clip: {error}")))
}

/// Fetches a clip and sees that it is what the daemon hashed.
pub(super) fn fetch(client: &Client, clip: &Value, out: &mut dyn Write, bar: &Bar) -> Result<(), Failure> {
    let mut body = client.open(&text(clip, "url"))?;
    let (size, mut hasher, mut buffer, mut done) = (clip["size_bytes"].as_f64(), Hasher::new(), vec![0; 256 * 1024], 0);
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Err(Failure::other(format!("the clip broke off: {error}; try again"))),
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        hasher.update(bytes);
        out.write_all(bytes).map_err(unwritten)?;
        done += count;
        bar.show("fetching", done as f64 / size.unwrap_or(1.0).max(1.0));
    }
    bar.clear();
    if hasher.finish().to_string() != text(clip, "sha256") {
        return Err(Failure::other("the clip did not arrive as it was sent; try again"));
    }
    Ok(())
}

pub(super) fn refuse_existing(file: &Path, force: bool) -> Result<(), Failure> {
    if force || !file.exists() {
        return Ok(());
    }
    Err(Failure::other(format!(
        "{} exists; give another name with -o, or --force to write over it",
        file.display()
    )))
}

fn rename(from: &Path, to: &Path, force: bool) -> std::io::Result<()> {
    if force {
        return std::fs::rename(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !to.exists() => std::fs::rename(from, to),
        done => Ok(done?),
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// How far it is: a line that is drawn over on a terminal, and nothing in a pipe unless asked for.
pub(super) struct Bar {
    on_terminal: bool,
    asked: bool,
    last: std::cell::Cell<Option<(&'static str, u32)>>,
}

impl Bar {
    pub(super) fn new(asked: bool) -> Self {
        Self {
            on_terminal: std::io::stderr().is_terminal(),
            asked,
            last: std::cell::Cell::new(None),
        }
    }

    pub(super) fn show(&self, what: &'static str, part: f64) {
        let percent = (part.clamp(0.0, 1.0) * 100.0) as u32;
        // In a pipe a line each tenth is enough.
        let step = if self.on_terminal { percent } else { percent / 10 * 10 };
        if !(self.on_terminal || self.asked) || self.last.replace(Some((what, step))) == Some((what, step)) {
            return;
        }
        let mut err = std::io::stderr().lock();
        // Nobody who reads it any more is no reason to stop.
        let _ = if self.on_terminal {
            let full = usize::try_from(percent / 5).unwrap_or(0);
            write!(err, "\r{what:<9} [{:<20}] {percent:>3} %", "#".repeat(full))
        } else {
            writeln!(err, "{what} {step} %")
        };
        let _ = err.flush();
    }

    pub(super) fn clear(&self) {
        if self.on_terminal && self.last.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r{:40}\r", "");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_that_is_there_is_written_over_only_when_that_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&from, b"new").unwrap();
        std::fs::write(&to, b"old").unwrap();
        assert!(refuse_existing(&to, false).unwrap_err().message.contains("--force"));
        assert!(rename(&from, &to, false).is_err(), "also when it came to be meanwhile");
        assert_eq!(std::fs::read(&to).unwrap(), b"old");
        refuse_existing(&to, true).unwrap();
        rename(&from, &to, true).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"new");
    }
}
