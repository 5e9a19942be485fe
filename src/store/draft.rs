//! A file in the making, which has no name until it is whole and durable.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{Directory, Error};

/// How the unfinished files are named where the file system wants a name.
const DRAFT_PREFIX: &str = ".hypercloud-etcd-";
const DRAFT_SUFFIX: &str = ".draft";

/// A file in the making; dropped, it is gone.
#[derive(Debug)]
pub struct Draft<'d> {
    directory: &'d Directory,
    file: File,
    /// Only where the file system cannot do without.
    name: Option<String>,
}

impl Draft<'_> {
    /// The file, to write to; every handle shares one position.
    ///
    /// # Errors
    /// [`Error::Write`] where the process is out of file handles.
    pub fn file(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|source| Error::Write {
            path: self.directory.path.clone(),
            source,
        })
    }

    /// Makes the bytes durable and gives the file its name.
    ///
    /// # Errors
    /// [`Error::Exists`] where the name is taken, else [`Error::Write`]; the file is then not there.
    pub fn publish(self, name: &str) -> Result<(), Error> {
        let directory = self.directory;
        rustix::fs::fsync(&self.file).map_err(|errno| directory.unwritable(name, errno))?;
        self.link(name).map_err(|errno| match errno {
            Errno::EXIST => Error::Exists {
                path: directory.path.join(name),
            },
            other => directory.unwritable(name, other),
        })?;
        directory.sync().inspect_err(|_| {
            // the caller was told that it is not there; what failed is the news, not this
            let _ = rustix::fs::unlinkat(&directory.fd, name, AtFlags::empty());
        })
    }

    /// Makes the bytes durable and puts the file in place of the one of that name.
    ///
    /// # Errors
    /// [`Error::Write`]; there is then the earlier file or this one, and never a part of either.
    pub fn replace(mut self, name: &str) -> Result<(), Error> {
        let directory = self.directory;
        let failed = |errno| directory.unwritable(name, errno);
        rustix::fs::fsync(&self.file).map_err(failed)?;
        let fd = &directory.fd;
        if self.name.is_none() {
            // only what has a name can take the place of another
            let draft = draft_name();
            self.link_unnamed(&draft).map_err(failed)?;
            self.name = Some(draft);
        }
        if let Some(draft) = &self.name {
            rustix::fs::renameat(fd, draft, fd, name).map_err(failed)?;
        }
        directory.sync()
    }

    fn link_unnamed(&self, name: &str) -> Result<(), Errno> {
        let unnamed = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let (here, fd) = (rustix::fs::CWD, &self.directory.fd);
        rustix::fs::linkat(here, unnamed, fd, name, AtFlags::SYMLINK_FOLLOW)
    }

    fn link(&self, name: &str) -> Result<(), Errno> {
        let fd = &self.directory.fd;
        let Some(draft) = &self.name else {
            return self.link_unnamed(name);
        };
        match rustix::fs::renameat_with(fd, draft, fd, name, RenameFlags::NOREPLACE) {
            // an old kernel or a network file system: a second name says the same
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(fd, draft, fd, name, AtFlags::empty())
            }
            done => done,
        }
    }
}

/// A name that no other draft has.
fn draft_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{DRAFT_PREFIX}{process}-{count}{DRAFT_SUFFIX}")
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name
            && self
                .file
                .metadata()
                .is_ok_and(|metadata| metadata.nlink() > 0)
        {
            // gone already where it was renamed; what stays is removed by the next job
            let _ = rustix::fs::unlinkat(&self.directory.fd, name, AtFlags::empty());
        }
    }
}

impl Directory {
    /// Removes drafts that a crash has left. The caller holds the lock, so no draft is in use.
    ///
    /// # Errors
    /// [`Error::Open`] or [`Error::Write`] with the system's reason.
    pub fn remove_drafts(&self) -> Result<Vec<String>, Error> {
        let mut drafts = self.names()?;
        drafts.retain(|name| name.starts_with(DRAFT_PREFIX) && name.ends_with(DRAFT_SUFFIX));
        for draft in &drafts {
            self.remove(draft)?;
        }
        Ok(drafts)
    }

    /// A file that nobody else sees until it is published, mode 0600.
    ///
    /// # Errors
    /// [`Error::Write`] where the directory takes no file.
    pub fn draft(&self) -> Result<Draft<'_>, Error> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, ".", flags | OFlags::TMPFILE, mode) {
            Ok(fd) => Ok(Draft {
                directory: self,
                file: File::from(fd),
                name: None,
            }),
            // file systems that cannot hold a file without a name
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                self.named_draft(flags, mode)
            }
            Err(errno) => Err(self.unwritable("", errno)),
        }
    }

    pub(super) fn named_draft(&self, flags: OFlags, mode: Mode) -> Result<Draft<'_>, Error> {
        let name = draft_name();
        let fd = rustix::fs::openat(&self.fd, &name, flags | OFlags::CREATE | OFlags::EXCL, mode)
            .map_err(|errno| self.unwritable(&name, errno))?;
        Ok(Draft {
            directory: self,
            file: File::from(fd),
            name: Some(name),
        })
    }
}
