//! Segments that arrive whole: laid out first and written in one go, under a name that nobody takes for footage until all of
//! it is on the disk.

use std::fs;
use std::io::{self, Read, Write};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::durable::{make_durable, parent, sync_directory};
use super::error::StorageError;
use super::identity::Identity;
use super::layout::Place;
use super::reel::Reel;
use super::volume::Volume;
use crate::model::{Copy, CopyState, Segment};

/// What the name of a file ends with while it is being written.
pub const UNFINISHED: &str = ".unfinished";

/// Most bytes that are copied at a time.
const STEP: usize = 1 << 20;

impl Volume {
    /// Writes a segment that is laid out, labels it, brings it to the disk, hashes it, and only then gives it its name. The
    /// copy comes back as the index is to know it. `goes_on` is asked between two steps; when it says no, nothing is left.
    pub fn lay_down(
        &self,
        reel: &Reel,
        segment: &Segment,
        goes_on: &dyn Fn(u64) -> bool,
    ) -> Result<Option<Copy>, StorageError> {
        let (relative, unfinished, file) = self.begin(segment)?;
        let written = self.write_out(reel, segment, &unfinished, file, goes_on);
        let outcome = match written {
            Ok(Some(copy)) => self.give_name(&unfinished, &relative).map(|()| {
                Some(Copy {
                    path: relative.clone(),
                    ..copy
                })
            }),
            other => other,
        };
        if !matches!(outcome, Ok(Some(_)))
            && let Err(error) = self.remove(&unfinished)
        {
            tracing::warn!(path = unfinished, %error, "a file that was not finished stays until the next start");
        }
        outcome
    }

    /// The first place that is free, a millisecond after another.
    fn begin(&self, segment: &Segment) -> Result<(String, String, fs::File), StorageError> {
        let mut start = segment.span.start;
        loop {
            let place = Place::new(segment.camera.clone(), start, segment.run, segment.sequence);
            let relative = place.relative_path();
            let unfinished = format!("{relative}{UNFINISHED}");
            match self.create_open(&unfinished) {
                Ok(_) if self.absolute(&relative).exists() => {
                    self.remove(&unfinished)?;
                }
                Ok(file) => return Ok((relative, unfinished, file)),
                Err(StorageError::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
            start = start.offset(1_000_000);
        }
    }

    fn write_out(
        &self,
        reel: &Reel,
        segment: &Segment,
        unfinished: &str,
        mut file: fs::File,
        goes_on: &dyn Fn(u64) -> bool,
    ) -> Result<Option<Copy>, StorageError> {
        let path = self.absolute(unfinished);
        let failed = |error: io::Error| StorageError::io("write", &path, error);
        let mut reader = reel.reader(0..reel.size_bytes());
        let mut buffer = vec![0; STEP];
        loop {
            let count = reader.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            if !goes_on(count as u64) {
                return Ok(None);
            }
            file.write_all(buffer.get(..count).unwrap_or_default())
                .map_err(failed)?;
        }
        drop(file);
        Identity::append(&path, segment)?;
        let durable = make_durable(&path)?;
        Ok(Some(Copy {
            volume: self.id(),
            path: unfinished.to_owned(),
            size_bytes: durable.size_bytes,
            sha256: Some(durable.sha256),
            state: CopyState::Whole,
        }))
    }

    fn give_name(&self, unfinished: &str, relative: &str) -> Result<(), StorageError> {
        let (from, to) = (self.absolute(unfinished), self.absolute(relative));
        self.check_present()?;
        match renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
            // A file system that cannot promise it; the name was free when the file was begun, and holds a run of our own.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !to.exists() => {
                fs::rename(&from, &to).map_err(|error| StorageError::io("rename", &from, error))?;
            }
            done => done.map_err(|errno| StorageError::errno("rename", &from, errno))?,
        }
        sync_directory(parent(&to))
    }
}
