//! A primary made whole, or anew, from the mirror; and the mirror held against the index.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use camkeep::model::{Copy, CopyState, SegmentId, Timestamp, VolumeId, VolumeRole};
use camkeep::storage::{Volume, measure};
use serde_json::Value;

use crate::daemon_site::SOON;
use crate::kit::daemon::Daemon;
use crate::kit::mirror::{Mirrored, flip, open_index, primary_of};
use crate::kit::referee;
use crate::kit::wait::{wait_for, wait_until};

const RESTORE: &[&str] = &["mirror", "restore", "--offline"];

/// Every recording below a volume, with its hash.
fn hashes(root: &Path) -> BTreeMap<String, [u8; 32]> {
    let volume = Volume::open_to_read(root, role_of(root)).unwrap();
    let files = volume.files().unwrap().map(Result::unwrap);
    files
        .map(|file| {
            let sha256 = measure(&volume.absolute(&file.relative)).unwrap().sha256;
            (file.relative, sha256)
        })
        .collect()
}

fn role_of(root: &Path) -> VolumeRole {
    if root.ends_with("recordings") {
        VolumeRole::Primary
    } else {
        VolumeRole::Mirror
    }
}

#[track_caller]
fn assert_done(done: &Output, code: i32, words: &[&str]) {
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(done.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

/// The primary's disk dies: an empty directory is where it was.
fn lose_primary(mirrored: &Mirrored) {
    let recordings = mirrored.site.data().join("recordings");
    let gone = mirrored.site.data().join("gone");
    fs::rename(&recordings, &gone).unwrap();
    fs::create_dir(&recordings).unwrap();
    // A daemon that runs may be writing a file into it at this moment.
    wait_for(SOON, "nothing to be left of the disk", || fs::remove_dir_all(&gone));
}

#[test]
fn a_dead_primary_is_made_anew_from_the_mirror_and_recording_goes_on_there() {
    let mut mirrored = Mirrored::record(3);
    mirrored.boot();
    let before = mirrored.clip();
    let running = mirrored.camkeep(RESTORE);
    assert_done(&running, 1, &["running already"]);
    mirrored.site.stop();
    // What the last runs recorded is not on the mirror and is not what this is about.
    let rows: Vec<String> = mirrored.rows.iter().map(|row| row.id.clone()).collect();
    forget_all_but(&mirrored, &rows);
    let recordings = mirrored.site.data().join("recordings");
    let old = hashes(&recordings);
    assert_done(&mirrored.camkeep(RESTORE), 1, &["nothing is missing"]);

    lose_primary(&mirrored);
    let looked = mirrored.camkeep(&[RESTORE, &["--dry-run"]].concat());
    assert_done(
        &looked,
        0,
        &["3 files", "would become a new primary", "Nothing was changed"],
    );
    assert_eq!(fs::read_dir(&recordings).unwrap().count(), 0);

    assert_done(
        &mirrored.camkeep(RESTORE),
        0,
        &["3  files restored", "Everything is on the primary again"],
    );
    assert_eq!(hashes(&recordings), old);
    assert_done(&mirrored.camkeep(RESTORE), 1, &["nothing is missing"]);

    mirrored.site.boot();
    assert_eq!(mirrored.clip(), before, "without the mirror");
    mirrored.site.wait_recording("door");
    mirrored.site.stop();
    let index = open_index(mirrored.site.data());
    let volumes = index.read_blocking(|reader| reader.volumes()).unwrap();
    assert_eq!(volumes.len(), 2, "the lost volume is forgotten: {volumes:?}");
}

/// The whole disk at once, under a camkeep that runs: what people look at comes from the mirror, recording says why it cannot go
/// on, and whoever starts camkeep on the empty mount point is told how it all comes back.
#[test]
fn a_primary_that_dies_under_a_running_camkeep_leaves_timeline_and_clips_to_the_mirror() {
    let mut mirrored = Mirrored::record(3);
    mirrored.boot();
    let before = mirrored.clip();
    lose_primary(&mirrored);
    assert_eq!(mirrored.clip(), before, "to the frame");
    for row in &mirrored.rows {
        let url = row.url.as_deref().unwrap();
        assert_eq!(mirrored.site.daemon().get(url).status, 200);
    }
    wait_for(SOON, "the loss to be told", || {
        let told = mirrored.site.events("volume_lost");
        if told.is_empty() { Err(told) } else { Ok(()) }
    });
    assert_eq!(
        fs::read_dir(mirrored.site.data().join("recordings")).unwrap().count(),
        0,
        "nothing is written where the disk was"
    );
    mirrored.site.stop();

    let mut refused = Daemon::launch(mirrored.site.data(), |_| {});
    assert_eq!(refused.wait_for_end(SOON).code, Some(1));
    assert!(
        refused.log().contains("camkeep mirror restore --offline"),
        "{}",
        refused.log()
    );
    let restored = mirrored.camkeep(RESTORE);
    // What was recorded meanwhile was on no mirror; of what was, nothing is missing.
    let said = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(said.contains("files restored"), "{said}");
    mirrored.site.boot();
    assert_eq!(mirrored.clip(), before, "and from the new primary");
}

/// Removes rows and primary files of what the mirror does not have.
fn forget_all_but(mirrored: &Mirrored, rows: &[String]) {
    let index = open_index(mirrored.site.data());
    let primary = primary_of(&index);
    let copies = index
        .read_blocking(|reader| reader.copies_on(primary, None, 5000))
        .unwrap();
    for (id, copy) in copies {
        if !rows.contains(&id.to_string()) {
            index.write_blocking(move |writer| writer.remove_segment(id)).unwrap();
            fs::remove_file(mirrored.site.data().join("recordings").join(&copy.path)).unwrap();
            // What the last runs recorded is not on the mirror.
            let _ = fs::remove_file(mirrored.mirror.join(&copy.path));
        }
    }
    let mirror = Volume::open_to_read(&mirrored.mirror, VolumeRole::Mirror).unwrap();
    let copies = index
        .read_blocking(|reader| reader.copies_on(mirror.id(), None, 5000))
        .unwrap();
    assert_eq!(copies.len(), rows.len());
    index.close();
}

#[test]
fn a_restore_that_was_cut_off_goes_on_and_what_is_damaged_on_the_mirror_is_named() {
    let mut mirrored = Mirrored::record(4);
    mirrored.boot();
    let before = mirrored.clip();
    mirrored.site.stop();
    let rows: Vec<String> = mirrored.rows.iter().map(|row| row.id.clone()).collect();
    forget_all_but(&mirrored, &rows);
    let recordings = mirrored.site.data().join("recordings");
    let old = hashes(&recordings);
    lose_primary(&mirrored);
    // Killed when the new volume was made, and nobody knew of it yet.
    Volume::open(&recordings, VolumeRole::Primary, Timestamp::EPOCH).unwrap();
    let damaged = mirrored.mirror_file(&mirrored.rows[1]);
    flip(&damaged);
    let name = damaged.file_name().unwrap().to_str().unwrap().to_owned();
    let done = mirrored.camkeep(RESTORE);
    assert_done(&done, 1, &[&name, "3  files restored", "1  files that could not"]);

    // Killed between the name of a file and its row; one is half written; one was deleted by somebody; and what was wrong
    // with the mirror's file was put right.
    flip(&damaged);
    let index = open_index(mirrored.site.data());
    let states = |id: &str| {
        let id = SegmentId(id.parse().unwrap());
        let row = index.read_blocking(move |reader| reader.segment(id)).unwrap().unwrap();
        row.copies.iter().map(|copy| copy.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&rows[0]), [CopyState::Whole, CopyState::Whole]);
    assert_eq!(states(&rows[1]), [CopyState::Missing, CopyState::Suspect]);
    let primary = primary_of(&index);
    let copies = index
        .read_blocking(|reader| reader.copies_on(primary, None, 5000))
        .unwrap();
    let (id, copy) = copies[0].clone();
    let missing = Copy {
        state: CopyState::Missing,
        ..copy.clone()
    };
    index
        .write_blocking(move |writer| writer.put_copy(id, &missing))
        .unwrap();
    index.close();
    fs::create_dir_all(recordings.join(".camkeep-copy")).unwrap();
    fs::write(recordings.join(".camkeep-copy/half"), b"half").unwrap();
    fs::remove_file(mirrored.primary_file(&mirrored.rows[3])).unwrap();
    assert_done(
        &mirrored.camkeep(RESTORE),
        0,
        &["3  files restored", "Everything is on the primary"],
    );
    assert_eq!(hashes(&recordings), old);
    assert_eq!(fs::read_dir(recordings.join(".camkeep-copy")).unwrap().count(), 0);
    mirrored.site.boot();
    assert_eq!(mirrored.clip(), before);
}

#[test]
fn an_index_that_went_with_the_disk_is_made_anew_from_the_mirror() {
    let mut mirrored = Mirrored::record(3);
    let data = mirrored.site.data().to_owned();
    mirrored.boot();
    let before = mirrored.clip();
    let settings = mirrored.mirror.join(".camkeep/settings.jsonl");
    wait_until(SOON, "settings on the mirror", || settings.exists().then_some(()));
    mirrored.site.stop();
    let kept = hashes(&mirrored.mirror);
    let count = kept.len();
    // Of a box that burnt down its owner has the mirror and the key.
    let key = fs::read(data.join("secret.key")).unwrap();
    fs::remove_dir_all(&data).unwrap();
    assert_done(&mirrored.camkeep(RESTORE), 1, &["is not there"]);
    fs::create_dir(&data).unwrap();
    fs::write(data.join("secret.key"), key).unwrap();
    fs::set_permissions(data.join("secret.key"), Permissions::from_mode(0o600)).unwrap();
    let looked = mirrored.camkeep(&[RESTORE, &["--dry-run"]].concat());
    assert_done(&looked, 0, &["index is gone", &format!("{count} files")]);
    assert_eq!(
        fs::read_dir(&data).unwrap().count(),
        2,
        "only the key and the lock lie there"
    );
    assert_done(
        &mirrored.camkeep(RESTORE),
        0,
        &[
            &format!("{count}  recordings on the mirror"),
            &format!("{count}  files restored"),
            "back with all settings: door",
            "Everything",
        ],
    );
    assert_eq!(hashes(&data.join("recordings")), kept);
    mirrored.site.boot();
    mirrored.site.wait_recording("door");
    let rows = mirrored.site.closed("door");
    for (now, was) in rows.iter().zip(&mirrored.rows) {
        assert_eq!(
            (&now.id, now.start_ns, now.end_ns, now.frames),
            (&was.id, was.start_ns, was.end_ns, was.frames)
        );
    }
    assert_eq!(mirrored.clip(), before);
}

#[test]
fn nothing_is_restored_where_it_could_do_harm() {
    let mirrored = Mirrored::record(1);
    let recordings = mirrored.site.data().join("recordings");
    let aside = mirrored.site.data().with_file_name("aside");
    fs::rename(&recordings, &aside).unwrap();
    fs::create_dir(&recordings).unwrap();
    fs::write(recordings.join("holiday.mp4"), b"somebody's").unwrap();
    assert_done(&mirrored.camkeep(RESTORE), 1, &["is no volume of camkeep"]);
    fs::remove_file(recordings.join("holiday.mp4")).unwrap();
    let mirror = mirrored.mirror.with_file_name("mirror-aside");
    fs::rename(&mirrored.mirror, &mirror).unwrap();
    assert_done(&mirrored.camkeep(RESTORE), 1, &["mirror"]);
    fs::create_dir(&mirrored.mirror).unwrap();
    assert_done(&mirrored.camkeep(RESTORE), 1, &["is no mirror of camkeep"]);
    Volume::open(&mirrored.mirror, VolumeRole::Mirror, Timestamp::EPOCH).unwrap();
    assert_done(&mirrored.camkeep(RESTORE), 1, &["was expected"]);
    assert_eq!(fs::read_dir(&recordings).unwrap().count(), 0, "nothing was written");
}

/// What `camkeep check --json` says.
fn check(mirrored: &Mirrored, mend: bool) -> (i32, Value) {
    let arguments: &[&str] = if mend {
        &["check", "--json", "--mend"]
    } else {
        &["check", "--json"]
    };
    let done = mirrored.camkeep(arguments);
    let said =
        serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    (done.status.code().unwrap(), said)
}

#[test]
fn the_mirror_is_held_against_the_index_and_what_it_has_is_known_again() {
    let mut mirrored = Mirrored::record(4);
    let (code, said) = check(&mirrored, false);
    assert_eq!((code, &said["findings"]), (0, &serde_json::json!([])));
    let rows = mirrored.rows.clone();
    let [gone, unknown, cut, alone] = &rows[..] else {
        panic!("{:?}", mirrored.rows);
    };
    let index = open_index(mirrored.site.data());
    let mirror = Volume::open_to_read(&mirrored.mirror, VolumeRole::Mirror).unwrap();
    // A copy whose row was lost, one of which a kill left half without a row, one that is gone; and one whose segment is
    // gone altogether with the primary's file.
    let path_of = |row| {
        let file = mirrored.mirror_file(row);
        file.strip_prefix(&mirrored.mirror)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    for row in [unknown, cut, alone] {
        forget_copy(mirrored.site.data(), &path_of(row), mirror.id());
    }
    let id = SegmentId(alone.id.parse().unwrap());
    index.write_blocking(move |writer| writer.remove_segment(id)).unwrap();
    index.close();
    fs::remove_file(mirrored.primary_file(alone)).unwrap();
    fs::remove_file(mirrored.mirror_file(gone)).unwrap();
    let length = fs::metadata(mirrored.mirror_file(cut)).unwrap().len();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(mirrored.mirror_file(cut))
        .unwrap();
    file.set_len(length * 2 / 3).unwrap();
    fs::write(mirrored.mirror.join("holiday.mp4"), b"somebody's").unwrap();

    let (code, said) = check(&mirrored, false);
    assert_eq!(code, 1, "{said}");
    assert!(mirrored.mirror_file(cut).exists(), "to look changes nothing");
    let (_, said) = check(&mirrored, true);
    for (count, number) in [
        ("missing", 1),
        ("adopted", 1),
        ("leftovers", 1),
        ("indexed", 1),
        ("foreign", 1),
    ] {
        assert_eq!(said[count], number, "{count}: {said}");
    }
    assert!(
        !mirrored.mirror_file(cut).exists(),
        "its segment is whole on the primary"
    );
    assert!(mirrored.mirror.join("holiday.mp4").exists());
    mirrored.boot();
    let shown = |row| mirrored.states(row);
    assert_eq!(shown(gone), ["whole", "missing"]);
    assert_eq!(shown(unknown), ["whole", "whole"]);
    assert_eq!(shown(cut), ["whole"]);
    assert_eq!(shown(alone), ["whole"]);
    assert!(referee::missing_or_doubled(&mirrored.clip()).is_nothing());
}

/// Takes the row of a copy away, as an index does that was put back from its backup.
fn forget_copy(data: &Path, path: &str, volume: VolumeId) {
    let done = std::process::Command::new("sqlite3")
        .arg(data.join("index.db"))
        .arg(format!(
            "DELETE FROM copies WHERE path = '{path}' AND hex(volume_id) = '{}'",
            volume.0.simple().to_string().to_uppercase()
        ))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_only_the_mirror_has_is_kept_though_a_kill_cut_it() {
    let mut mirrored = Mirrored::record(2);
    let row = &mirrored.rows[0];
    let index = open_index(mirrored.site.data());
    let id = SegmentId(row.id.parse().unwrap());
    index.write_blocking(move |writer| writer.remove_segment(id)).unwrap();
    index.close();
    fs::remove_file(mirrored.primary_file(row)).unwrap();
    let file = mirrored.mirror_file(row);
    // As the muxer leaves it without a close: the index of the frames at its end is not there, the identity neither.
    let bytes = fs::read(&file).unwrap();
    let end = bytes.len() - 300;
    fs::write(&file, &bytes[..end]).unwrap();
    let frames = referee::try_probe(&file).map(|_| ());
    let (_, said) = check(&mirrored, true);
    let kept = file.exists() || mirrored.mirror.join(".quarantine").exists();
    assert!(kept, "{frames:?} {said}");
    assert_eq!(said["leftovers"], 0, "{said}");
    mirrored.boot();
}
