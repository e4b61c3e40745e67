//! A disk of a test's own: an ext4 image on a loop device over memory, which can be frozen, filled, taken away and brought
//! back. It mounts, so it needs root.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A command that has to work; what it said otherwise.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} has to be installed: {error}"));
    assert!(
        output.status.success(),
        "{program} {} failed; these tests mount file systems and have to run as root with loop devices at hand: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

/// An ext4 file system in memory. Unfrozen and unmounted when dropped.
pub(crate) struct Disk {
    image: PathBuf,
    pub(crate) mounted: PathBuf,
    _room: TempDir,
}

impl Disk {
    #[track_caller]
    pub(crate) fn make() -> Self {
        Self::of(192)
    }

    /// One of so many megabytes.
    #[track_caller]
    pub(crate) fn of(megabytes: u64) -> Self {
        let room = Self::room();
        let image = room.path().join("disk.ext4");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(megabytes * 1024 * 1024).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        Self::mount(room, image)
    }

    /// In memory, where a copy is made in no time.
    fn room() -> TempDir {
        TempDir::new_in("/dev/shm").unwrap()
    }

    #[track_caller]
    fn mount(room: TempDir, image: PathBuf) -> Self {
        let mounted = room.path().join("mounted");
        std::fs::create_dir(&mounted).unwrap();
        run(
            "mount",
            &["-o", "loop", image.to_str().unwrap(), mounted.to_str().unwrap()],
        );
        Self {
            image,
            mounted,
            _room: room,
        }
    }

    /// What another machine would find on this disk if the power went now.
    #[track_caller]
    pub(crate) fn cut(&self) -> Self {
        let room = Self::room();
        let image = room.path().join("disk.ext4");
        std::fs::copy(&self.image, &image).unwrap();
        Self::mount(room, image)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.mounted.join("data")
    }

    #[track_caller]
    pub(crate) fn freeze(&self) {
        run("fsfreeze", &["--freeze", self.mounted.to_str().unwrap()]);
    }

    /// Thaws it at the latest when what comes back goes.
    pub(crate) fn thaws(&self) -> Thaws {
        Thaws(self.mounted.clone())
    }

    #[track_caller]
    pub(crate) fn thaw(&self) {
        run("fsfreeze", &["--unfreeze", self.mounted.to_str().unwrap()]);
    }
}

/// Thaws a disk before what hangs on it is waited for, also when a test fails.
pub(crate) struct Thaws(PathBuf);

impl Drop for Thaws {
    fn drop(&mut self) {
        Command::new("fsfreeze").arg("--unfreeze").arg(&self.0).output().ok();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("fsfreeze")
            .arg("--unfreeze")
            .arg(&self.mounted)
            .output()
            .ok();
        Command::new("umount").arg("--lazy").arg(&self.mounted).output().ok();
    }
}

impl Disk {
    /// Makes every write fail as a disk does that the kernel has given up.
    #[track_caller]
    pub(crate) fn make_read_only(&self) {
        run("mount", &["-o", "remount,ro", self.mounted.to_str().unwrap()]);
    }

    #[track_caller]
    pub(crate) fn make_writable(&self) {
        run("mount", &["-o", "remount,rw", self.mounted.to_str().unwrap()]);
    }

    /// Takes it away under whatever uses it, as a cable that is pulled.
    #[track_caller]
    pub(crate) fn unmount(&self) {
        run("umount", &["--lazy", self.mounted.to_str().unwrap()]);
    }

    /// Brings it back.
    #[track_caller]
    pub(crate) fn mount_again(&self) {
        run(
            "mount",
            &[
                "-o",
                "loop",
                self.image.to_str().unwrap(),
                self.mounted.to_str().unwrap(),
            ],
        );
    }
}
