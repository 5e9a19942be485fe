//! The processes of this host, those in containers included, as `/proc` shows them.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::Error;
use super::moving::unreadable;

const PROC: &str = "/proc";
/// How deep below a member's directory its files lie: `member/wal/….wal`.
const DEPTH: usize = 4;
/// How often a process that refuses to be looked at is looked at again.
const LOOKS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// What it was started as, without its arguments: they may hold secrets.
    pub program: String,
}

impl Process {
    /// One that holds a lock and is not to be seen.
    #[must_use]
    pub fn unseen() -> Self {
        Process {
            id: 0,
            program: "a process that cannot be seen from here".into(),
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.id == 0 {
            return f.write_str(&self.program);
        }
        write!(f, "{} (process {})", self.program, self.id)
    }
}

/// The processes that have a regular file open which lies below `directory`. Files are told by
/// their numbers, since a container has other paths for them.
///
/// # Errors
/// [`Error::Read`], also where another user's processes may not be looked at: then nobody knows.
pub fn open_below(directory: &Path) -> Result<Vec<Process>, Error> {
    let mut files = HashSet::new();
    collect(directory, DEPTH, &mut files)?;
    processes(|path| {
        let mut descriptors = match fs::read_dir(path.join("fd")) {
            Ok(descriptors) => descriptors,
            Err(error) if has_ended(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(!files.is_empty()
            && descriptors.any(|descriptor| {
                // a descriptor that was closed in between is open no more
                let file = descriptor.and_then(|descriptor| fs::metadata(descriptor.path()));
                file.is_ok_and(|file| files.contains(&(file.dev(), file.ino())))
            }))
    })
}

/// A command as the kernel shows that of a process: every word, and a zero byte behind each.
#[must_use]
pub fn command_line(words: &[String]) -> Vec<u8> {
    let words = words.iter().map(|word| [word.as_bytes(), &[0]].concat());
    words.collect::<Vec<_>>().concat()
}

/// The processes whose [`command_line`] is wanted.
///
/// # Errors
/// [`Error::Read`].
pub fn running(is_wanted: &dyn Fn(&[u8]) -> bool) -> Result<Vec<Process>, Error> {
    processes(|path| match fs::read(path.join("cmdline")) {
        // a thread of the kernel has none
        Ok(line) => Ok(!line.is_empty() && is_wanted(&line)),
        Err(error) if has_ended(&error) => Ok(false),
        Err(error) => Err(error),
    })
}

/// The processes that fit, this one aside.
fn processes(fits: impl Fn(&Path) -> io::Result<bool>) -> Result<Vec<Process>, Error> {
    let entries = fs::read_dir(PROC).map_err(|source| unreadable(Path::new(PROC), source))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let path = entry.path();
        if id == std::process::id() {
            continue;
        }
        if look(&fits, &path).map_err(|source| unreadable(&path, source))? {
            let program = program(&path);
            found.push(Process { id, program });
        }
    }
    Ok(found)
}

/// A process that just begins or ends may refuse to be looked at for a moment. Only one that goes on
/// refusing leaves the question open.
fn look(fits: &impl Fn(&Path) -> io::Result<bool>, path: &Path) -> io::Result<bool> {
    for _ in 0..LOOKS {
        if let Ok(answer) = fits(path) {
            return Ok(answer);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    fits(path)
}

fn program(path: &Path) -> String {
    let line = fs::read(path.join("cmdline")).unwrap_or_default();
    let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = Path::new(std::ffi::OsStr::from_bytes(first)).file_name();
    // a process that is just replacing its program has no command line for a moment, but a name
    let name = name.map_or_else(
        || fs::read(path.join("comm")).unwrap_or_default(),
        |name| name.as_bytes().to_vec(),
    );
    let name = String::from_utf8_lossy(&name);
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    if name.is_empty() {
        return "a process".into();
    }
    name
}

fn collect(directory: &Path, depth: usize, files: &mut HashSet<(u64, u64)>) -> Result<(), Error> {
    let failed = |source| unreadable(directory, source);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry: DirEntry = entry.map_err(failed)?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(failed)?,
        };
        if metadata.is_file() {
            files.insert((metadata.dev(), metadata.ino()));
        } else if metadata.is_dir() && depth > 0 {
            collect(&entry.path(), depth - 1, files)?;
        }
    }
    Ok(())
}

/// `/proc` loses an entry between two looks when its process ends.
fn has_ended(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::SRCH)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// What comes to be found. A child that another test starts has this program's files open until
    /// it replaces its program, and one that is replacing its program is not yet called by its name.
    fn comes_to(expected: &[&str], find: impl Fn() -> Vec<Process>) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let found: Vec<String> = find().iter().map(ToString::to_string).collect();
            if found == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn a_process_is_found_by_a_file_that_it_has_open() {
        let dir = tempfile::tempdir().unwrap();
        let wal = dir.path().join("member/wal");
        fs::create_dir_all(&wal).unwrap();
        fs::File::create(wal.join("0.wal")).unwrap();
        let holders = || open_below(dir.path()).unwrap();
        comes_to(&[], holders);
        let input = fs::File::open(wal.join("0.wal")).unwrap();
        let mut sleep = Command::new("sleep");
        let child = Ended(sleep.arg("1000").stdin(input).spawn().unwrap());
        comes_to(&[&format!("sleep (process {})", child.0.id())], holders);
        drop(child);
        comes_to(&[], holders);
        assert_eq!(open_below(&dir.path().join("missing")).unwrap(), []);
    }

    #[test]
    fn a_process_is_found_by_its_whole_command() {
        // as no other run of this test has it
        let command = ["sleep".to_owned(), format!("1000.{}", std::process::id())];
        let of = |words: &[String]| {
            let wanted = command_line(words);
            running(&move |line| line == wanted).unwrap()
        };
        assert_eq!(of(&command), []);
        let mut sleep = Command::new(&command[0]);
        let child = Ended(sleep.arg(&command[1]).stdin(Stdio::null()).spawn().unwrap());
        // between fork and exec it still is this program
        comes_to(&[&format!("sleep (process {})", child.0.id())], || {
            of(&command)
        });
        assert_eq!(of(&command[..1]), []);
        drop(child);
        assert_eq!(of(&command), []);
        assert_eq!(of(&[]), []);
    }
}
