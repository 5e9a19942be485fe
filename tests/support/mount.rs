//! Small file systems that a test mounts, to be full, read-only or gone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{DEADLINE, run};
use super::poll_until;

/// A file system of its own; gone with the value. Drop it before the directory that it lies in.
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
}

impl Mount {
    /// In memory.
    pub(crate) fn tmpfs(point: &Path, size: &str) -> Self {
        Self::of(
            point,
            &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"],
        )
    }

    /// In a file, and unable to reserve space.
    pub(crate) fn ext2(point: &Path, image: &Path, size: u64) -> Self {
        File::create(image).unwrap().set_len(size).unwrap();
        run(Command::new("mkfs.ext2")
            .args(["-q", "-F", "-m", "0"])
            .arg(image))
        .expect_success();
        Self::of(point, &["-o", "loop", image.to_str().unwrap()])
    }

    fn of(point: &Path, args: &[&str]) -> Self {
        fs::create_dir_all(point).unwrap();
        let output = run(Command::new("mount").args(args).arg(point));
        assert!(
            output.code == Some(0),
            "this proof needs a root that may mount: {output}"
        );
        Self {
            point: point.to_owned(),
        }
    }

    pub(crate) fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        // a file that this process had open for writing is still open in a copy of it that becomes a command of
        // another test
        poll_until("the disk can be mounted anew", DEADLINE, || {
            let output = run(Command::new("mount").args(["-o", &option]).arg(&self.point));
            output.code == Some(0)
        });
    }

    pub(crate) fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.point).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Takes all the space that is left, until the file is removed; nothing of this process has it open.
    pub(crate) fn fill(&self) {
        let filler = format!("of={}", self.point.join("filler").display());
        let output =
            run(Command::new("dd")
                .env("LC_ALL", "C")
                .args(["if=/dev/zero", "bs=4096", &filler]));
        assert!(
            output.stderr.contains("No space left on device"),
            "{output}"
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}
