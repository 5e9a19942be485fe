use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::*;

fn directory() -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    (dir, directory)
}

/// Both ways to draft a file keep the same promises.
fn each_draft(check: impl Fn(&Path, &Directory, Draft<'_>)) {
    let (dir, directory) = directory();
    check(dir.path(), &directory, directory.draft().unwrap());
    let (dir, directory) = self::directory();
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    check(
        dir.path(),
        &directory,
        directory
            .named_draft(flags, Mode::RUSR | Mode::WUSR)
            .unwrap(),
    );
}

#[test]
fn a_published_file_is_whole_and_private() {
    each_draft(|dir, directory, draft| {
        draft.file().unwrap().write_all(b"bytes").unwrap();
        draft.publish("a").unwrap();
        assert_eq!(directory.read("a", 10).unwrap(), b"bytes");
        assert_eq!(
            std::fs::metadata(dir.join("a"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        assert_eq!(directory.names().unwrap(), ["a"]);
    });
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    each_draft(|_, directory, draft| {
        draft.file().unwrap().write_all(b"bytes").unwrap();
        drop(draft);
        assert!(directory.names().unwrap().is_empty());
    });
}

#[test]
fn a_file_whose_name_cannot_be_made_durable_does_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    // files can be made through such a handle, but it cannot be synced
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = Directory {
        fd: rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap(),
        path: dir.path().into(),
    };
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    for draft in [
        directory.draft(),
        directory.named_draft(flags, Mode::RUSR | Mode::WUSR),
    ] {
        let error = draft.unwrap().publish("a").unwrap_err();
        assert_eq!(error.errno(), Some(Errno::BADF), "{error}");
        assert!(!dir.path().join("a").exists());
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_is_never_overwritten() {
    each_draft(|dir, directory, draft| {
        std::fs::File::create(dir.join("a"))
            .unwrap()
            .write_all(b"old")
            .unwrap();
        assert!(matches!(draft.publish("a"), Err(Error::Exists { .. })));
        assert_eq!(directory.read("a", 10).unwrap(), b"old");
        assert_eq!(directory.names().unwrap(), ["a"]);
    });
}

#[test]
fn a_file_is_replaced_only_where_that_is_asked_for_and_leaves_no_draft() {
    each_draft(|dir, directory, draft| {
        std::fs::File::create(dir.join("a")).unwrap();
        draft.file().unwrap().write_all(b"new").unwrap();
        draft.replace("a").unwrap();
        assert_eq!(directory.read("a", 10).unwrap(), b"new");
        assert_eq!(directory.names().unwrap(), ["a"]);
    });
    each_draft(|dir, directory, draft| {
        // what is no file cannot be replaced by one
        std::fs::create_dir(dir.join("a")).unwrap();
        draft.replace("a").unwrap_err();
        assert_eq!(directory.names().unwrap(), ["a"]);
    });
}

#[test]
fn drafts_of_a_crash_are_removed_and_nothing_else() {
    let (dir, directory) = directory();
    for name in [
        ".hypercloud-etcd-1-0.draft",
        ".hypercloud-etcd-notes",
        "x.draft",
    ] {
        std::fs::File::create(dir.path().join(name)).unwrap();
    }
    assert_eq!(
        directory.remove_drafts().unwrap(),
        [".hypercloud-etcd-1-0.draft"]
    );
    let mut names = directory.names().unwrap();
    names.sort();
    assert_eq!(names, [".hypercloud-etcd-notes", "x.draft"]);
}

#[test]
fn a_link_a_pipe_and_a_large_file_are_not_read() {
    let (dir, directory) = directory();
    std::os::unix::fs::symlink("/etc/hostname", dir.path().join("link")).unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        Mode::RUSR,
        0,
    )
    .unwrap();
    std::fs::File::create(dir.path().join("large"))
        .unwrap()
        .set_len(11)
        .unwrap();
    for name in ["link", "pipe", "large", "missing"] {
        assert!(
            matches!(directory.read(name, 10), Err(Error::Read { .. })),
            "{name}"
        );
    }
}

#[test]
fn a_second_taker_of_the_lock_learns_who_has_it() {
    let (_dir, directory) = directory();
    let lock = Lock::take(&directory, "process 1: backup").unwrap();
    let second = Lock::take(&directory, "process 2: backup").unwrap_err();
    let Error::Locked { source, .. } = &second else {
        panic!("{second}")
    };
    assert_eq!(source.to_string(), "it is held by process 1: backup");
    drop(lock);
    // a command that another test starts begins as a copy of this process, and holds it for a moment
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = Lock::take(&directory, "process 2") {
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        assert!(Instant::now() < deadline, "{error}");
        std::thread::yield_now();
    }
}

#[test]
fn a_subdirectory_is_private_and_no_link() {
    let (dir, directory) = directory();
    assert!(matches!(
        directory.subdirectory("a"),
        Err(Error::Read { .. })
    ));
    for _ in 0..2 {
        let made = directory.make_subdirectory("a").unwrap();
        assert_eq!(made.path(), dir.path().join("a"));
    }
    let mode = std::fs::metadata(dir.path().join("a"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("link")).unwrap();
    std::fs::File::create(dir.path().join("file")).unwrap();
    for name in ["link", "file"] {
        assert!(directory.subdirectory(name).is_err(), "{name}");
        assert!(directory.make_subdirectory(name).is_err(), "{name}");
    }
}

#[test]
fn a_rename_that_is_refused_names_what_is_in_the_way() {
    let (dir, directory) = directory();
    std::fs::File::create(dir.path().join("manifest")).unwrap();
    std::fs::create_dir(dir.path().join("note")).unwrap();
    let error = directory.rename("manifest", "note").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ISDIR));
    assert!(error.to_string().contains("/note "), "{error}");
    let error = directory.rename("note", "manifest").unwrap_err();
    assert!(error.to_string().contains("/manifest "), "{error}");
    let error = directory.rename("missing", "other").unwrap_err();
    assert!(error.to_string().contains("/missing "), "{error}");
}
