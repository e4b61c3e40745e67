//! Writes a journal.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::reader::{Entry, JournalReader};
use super::record::{self, Anchor, JournalHeader};
use crate::model::{SegmentId, Track, TrackCaps, Unit};
use crate::storage::durable::{parent, sync_directory};
use crate::storage::error::StorageError;

/// Of so many units it is known where they begin, so that they can be taken back: some seconds of any camera.
const KNOWN: usize = 2048;

/// A journal that grows. Nothing is buffered: what was appended survives a kill of the process at once, and a power
/// cut from the next [`JournalWriter::sync`] on.
#[derive(Debug)]
pub struct JournalWriter {
    file: File,
    path: PathBuf,
    seed: u32,
    /// How long it is with whole records only.
    length: u64,
    buffer: Vec<u8>,
    name_synced: bool,
    /// Where the last units begin, and the times of those that are pictures.
    units: VecDeque<(u64, Option<i64>)>,
    /// Where that begins which was lost before the next unit: it belongs to it.
    lost: Option<u64>,
}

impl JournalWriter {
    /// Makes a segment's journal. Its directories are made too; a file that exists is an error.
    pub fn create(path: &Path, header: &JournalHeader) -> Result<Self, StorageError> {
        make_directories(parent(path))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(path)
            .map_err(|error| StorageError::io("create", path, error))?;
        let mut writer = Self::over(file, path, header.segment);
        let begun = writer.put(&[], |buffer, _| record::put_header(buffer, header));
        if begun.is_err() {
            // A journal without a header says nothing; the error is what counts.
            let _ = fs::remove_file(path);
        }
        begun.map(|()| writer)
    }

    fn over(file: File, path: &Path, segment: SegmentId) -> Self {
        Self {
            file,
            path: path.to_owned(),
            seed: record::seed(segment),
            length: 0,
            buffer: Vec::new(),
            name_synced: false,
            units: VecDeque::new(),
            lost: None,
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a unit.
    pub fn append(&mut self, unit: &Unit) -> Result<(), StorageError> {
        let begins = self.lost.take().unwrap_or(self.length);
        self.put(&unit.payload, |buffer, seed| record::put_unit(buffer, seed, unit))?;
        if self.units.len() == KNOWN {
            self.units.pop_front();
        }
        let pictures = (unit.track == Track::Video).then_some(unit.pts);
        self.units.push_back((begins, pictures));
        Ok(())
    }

    /// Takes back the last units, as far as all pictures among them are shown at `at` or later: another journal has them.
    pub fn take_back(&mut self, at: i64) -> Result<(), StorageError> {
        let mut length = self.length;
        while let Some((begins, _)) = self.units.pop_back_if(|(_, pts)| pts.is_none_or(|pts| pts >= at)) {
            length = begins;
        }
        if length < self.length {
            let cut = self.file.set_len(length);
            cut.map_err(|error| StorageError::io("shorten the journal", &self.path, error))?;
            self.length = length;
        }
        Ok(())
    }

    /// Appends a better anchor: from now on this one counts, for the units before it as well.
    pub fn append_anchor(&mut self, anchor: Anchor) -> Result<(), StorageError> {
        self.put(&[], |buffer, seed| record::put_anchor(buffer, seed, anchor))
    }

    /// Appends how the units from here on are to be read.
    pub fn append_caps(&mut self, caps: &TrackCaps) -> Result<(), StorageError> {
        self.put(&[], |buffer, seed| record::put_caps(buffer, seed, caps))
    }

    /// Appends that units are missing here: the journal alone is not all that came.
    pub fn append_hole(&mut self, missed_units: u64) -> Result<(), StorageError> {
        self.put(&[], |buffer, seed| record::put_hole(buffer, seed, missed_units))
    }

    /// Appends that so many packets never came before the next unit.
    pub fn append_lost(&mut self, packets: u64) -> Result<(), StorageError> {
        let begins = self.length;
        self.put(&[], |buffer, seed| record::put_lost(buffer, seed, packets))?;
        self.lost = self.lost.or(Some(begins));
        Ok(())
    }

    /// Brings what was appended to the disk.
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|source| StorageError::SyncFailed {
            path: self.path.clone(),
            source,
        })?;
        if !self.name_synced {
            sync_directory(parent(&self.path))?;
            self.name_synced = true;
        }
        Ok(())
    }

    /// Ends the journal and removes it: its segment is durable.
    pub fn remove(self) -> Result<(), StorageError> {
        fs::remove_file(&self.path).map_err(|error| StorageError::io("remove", &self.path, error))
    }

    /// Appends a record, of which `fill` makes what stands before the payload.
    fn put(
        &mut self,
        payload: &[u8],
        fill: impl FnOnce(&mut Vec<u8>, u32) -> Result<(), String>,
    ) -> Result<(), StorageError> {
        fill(&mut self.buffer, self.seed).map_err(|reason| StorageError::Damaged {
            path: self.path.clone(),
            reason,
        })?;
        match write_both(&self.file, &self.buffer, payload, self.length) {
            Ok(()) => {
                self.length += (self.buffer.len() + payload.len()) as u64;
                Ok(())
            }
            Err(error) => {
                // Half a record must not stand before the next whole one. Should this fail as well, the next record
                // is written over it all the same, because every write says where it goes.
                let _ = self.file.set_len(self.length);
                Err(StorageError::io("write to the journal", &self.path, error))
            }
        }
    }
}

/// Takes back the last units of a journal that somebody left, as [`JournalWriter::take_back`] does.
pub fn shorten_journal(path: &Path, at: i64) -> Result<(), StorageError> {
    let (_, mut reader) = JournalReader::open(path)?;
    let mut length = None;
    loop {
        let begins = reader.whole_bytes();
        match reader.next_entry()? {
            Some(Entry::Unit(unit)) if unit.track == Track::Video && unit.pts < at => length = None,
            // What was lost before a unit goes with it.
            Some(Entry::Unit(_) | Entry::Lost(_)) => length = length.or(Some(begins)),
            Some(_) => {}
            None => break,
        }
    }
    let Some(length) = length else { return Ok(()) };
    let cut = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(length).and_then(|()| file.sync_data()));
    cut.map_err(|error| StorageError::io("shorten the journal", path, error))
}

/// Writes two pieces one behind the other, as a rule in one call.
fn write_both(file: &File, head: &[u8], rest: &[u8], at: u64) -> io::Result<()> {
    let written = loop {
        match rustix::io::pwritev(file, &[IoSlice::new(head), IoSlice::new(rest)], at) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let of_head = written.min(head.len());
    let of_rest = written - of_head;
    file.write_all_at(head.get(of_head..).unwrap_or_default(), at + of_head as u64)?;
    let behind = (head.len() + of_rest) as u64;
    file.write_all_at(rest.get(of_rest..).unwrap_or_default(), at + behind)
}

/// Makes a directory and those above it, each name on the disk for certain.
fn make_directories(path: &Path) -> Result<(), StorageError> {
    if path.is_dir() {
        return Ok(());
    }
    make_directories(parent(path))?;
    match fs::create_dir(path) {
        Ok(()) => sync_directory(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StorageError::io("make the directory", path, error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::reader::tests::{header, unit};
    use super::*;
    use crate::model::Fault;

    #[test]
    fn a_journal_gets_its_directories_and_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tail/yard/00c0ffee_000042.tail");
        let mut journal = JournalWriter::create(&path, &header()).unwrap();
        journal.append(&unit(1)).unwrap();
        journal.sync().unwrap();
        let error = JournalWriter::create(&path, &header()).unwrap_err();
        assert_eq!(error.fault(), Fault::Conflict);
        assert_eq!(journal.path(), path);
        journal.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_full_disk_and_a_failed_sync_are_told_apart() {
        // The kernel's own full disk; it cannot be synced either.
        let path = Path::new("/dev/full");
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let mut journal = JournalWriter::over(file, path, header().segment);
        assert_eq!(journal.append(&unit(1)).unwrap_err().fault(), Fault::Full);
        assert_eq!(journal.length, 0);
        assert!(matches!(journal.sync().unwrap_err(), StorageError::SyncFailed { .. }));
    }

    #[test]
    fn a_unit_that_is_too_large_leaves_the_journal_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tail");
        let mut journal = JournalWriter::create(&path, &header()).unwrap();
        let mut large = unit(1);
        large.payload = vec![0; record::PAYLOAD_LIMIT + 1].into();
        assert!(journal.append(&large).is_err());
        journal.append(&unit(2)).unwrap();
        let contents = crate::storage::read_journal(&path).unwrap();
        assert_eq!((contents.units, contents.left_bytes), (1, 0));
    }

    const CHILD: &str = "CAMKEEP_JOURNAL_TEST";

    #[test]
    fn a_kill_takes_no_unit_that_was_appended() {
        use std::io::{BufRead, BufReader};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tail");
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "storage::journal::writer::tests::the_child_of_the_test_above",
                "--nocapture",
            ])
            .env(CHILD, &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The child says each unit that it has appended; after the five hundredth it is killed in the midst of more.
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut said = said.filter(|line| line.starts_with("appended "));
        assert_eq!(said.by_ref().nth(499).as_deref(), Some("appended 499"));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = 500 + said.count();
        let contents = crate::storage::read_journal(&path).unwrap();
        assert!(
            contents.units >= acknowledged as u64,
            "{} of {acknowledged}",
            contents.units
        );
        let units: Vec<Unit> = contents.units().unwrap().map(Result::unwrap).collect();
        assert!(
            units
                .iter()
                .enumerate()
                .all(|(number, read)| *read == unit(number as i64))
        );
    }

    #[test]
    fn the_child_of_the_test_above() {
        let Some(path) = std::env::var_os(CHILD) else {
            return;
        };
        let mut journal = JournalWriter::create(Path::new(&path), &header()).unwrap();
        for number in 0..i64::MAX {
            journal.append(&unit(number)).unwrap();
            // On a line of its own, whatever the test harness has begun to say.
            println!("\nappended {number}");
        }
    }
}
