//! Small file systems that a test mounts, to be full, read-only or gone.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::run;

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
        run(Command::new("mount").args(["-o", &option]).arg(&self.point)).expect_success();
    }

    pub(crate) fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.point).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Takes all the space that is left.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.point.join("filler")).unwrap();
        loop {
            match file.write_all(&[1; 4096]) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
                    return;
                }
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}
