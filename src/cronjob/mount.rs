//! Which directories of the node the pod sees, each in the place that it has on the node.

use std::path::{Component, Path, PathBuf};

use super::object::{VolumeMount, VolumeSource};
use super::{CONFIG_DIRECTORY, Error, Name, Named, object};
use crate::store::Settings;

/// Where the backups go, when not to `backup.dir` of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// Another directory of the node.
    HostPath(PathBuf),
    /// A persistent volume claim of the namespace.
    Claim(Name),
}

impl Volume {
    /// Reads `pvc:NAME` or `hostpath:DIR`.
    ///
    /// # Errors
    /// [`Error::Volume`] and [`Error::Name`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refused = |reason| Error::Volume {
            text: text.to_owned(),
            reason,
        };
        match text.split_once(':') {
            Some(("pvc", name)) => Ok(Self::Claim(Name::parse(name, Named::Claim)?)),
            Some(("hostpath", path)) => match fault(Path::new(path)) {
                None => Ok(Self::HostPath(Path::new(path).components().collect())),
                Some(reason) => Err(refused(reason)),
            },
            _ => Err(refused("it is neither pvc:NAME nor hostpath:DIR")),
        }
    }
}

/// Where kubeadm keeps the CA of the cluster with its key.
const KUBEADM_PKI: &str = "/etc/kubernetes/pki";

/// What the pod mounts, in the order in which it is rendered.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) volumes: Vec<object::Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

impl Mounts {
    /// The directory of the backups, which can be written to.
    pub(super) fn backups(
        &mut self,
        settings: &Settings,
        volume: Option<&Volume>,
    ) -> Result<(), Error> {
        let dir = mountable(&settings.dir)?;
        // what is missing because its disk is must not be made
        let kind = if settings.require_mount {
            "Directory"
        } else {
            "DirectoryOrCreate"
        };
        let source = match volume {
            Some(Volume::Claim(name)) => VolumeSource::PersistentVolumeClaim {
                claim_name: name.to_string(),
            },
            Some(Volume::HostPath(path)) => on_node(path, kind),
            None => on_node(&dir, kind),
        };
        self.add("backups", source, &dir, false)
    }

    /// The files of the connection, which can only be read: by the one directory that they are in, or
    /// each by itself where there is more than one, or where it is that of the cluster's CA, whose key
    /// etcdctl has no business with.
    pub(super) fn client_files(
        &mut self,
        files: &[&PathBuf],
        kept: &[PathBuf],
    ) -> Result<(), Error> {
        let files: Vec<PathBuf> = files
            .iter()
            .map(|file| mountable(file))
            .collect::<Result<_, _>>()?;
        let mut directories: Vec<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        directories.dedup();
        let is_own = |directory: &Path| {
            let is_below = |file: &PathBuf| file.starts_with(directory);
            fault(directory).is_none()
                && directory != Path::new(KUBEADM_PKI)
                && !kept.iter().any(is_below)
        };
        if let [directory] = directories[..]
            && is_own(directory)
        {
            return self.read_only([directory], "Directory");
        }
        let mut alone: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        alone.sort_unstable();
        alone.dedup();
        self.read_only(alone, "File")
    }

    /// The directories of these files, which can only be read; one that holds another stands for both.
    pub(super) fn directories_of<'a>(
        &mut self,
        files: impl Iterator<Item = &'a PathBuf>,
    ) -> Result<(), Error> {
        let mut directories = Vec::new();
        for file in files {
            let directory = mountable(file)?.parent().map(mountable).transpose()?;
            directories.extend(directory);
        }
        directories.sort();
        directories.dedup();
        let all = directories.clone();
        directories.retain(|inner| {
            !all.iter()
                .any(|outer| inner != outer && inner.starts_with(outer))
        });
        self.read_only(directories.iter().map(PathBuf::as_path), "Directory")
    }

    fn read_only<'a>(
        &mut self,
        paths: impl IntoIterator<Item = &'a Path>,
        kind: &'static str,
    ) -> Result<(), Error> {
        for (index, path) in paths.into_iter().enumerate() {
            let name = match index {
                0 => "pki".to_owned(),
                _ => format!("pki-{}", index + 1),
            };
            self.add(&name, on_node(path, kind), path, true)?;
        }
        Ok(())
    }

    /// The configuration, from the `ConfigMap` of this name.
    pub(super) fn config(&mut self, name: &Name) -> Result<(), Error> {
        let source = VolumeSource::ConfigMap {
            name: name.to_string(),
        };
        self.add("config", source, Path::new(CONFIG_DIRECTORY), true)
    }

    fn add(
        &mut self,
        name: &str,
        source: VolumeSource,
        at: &Path,
        read_only: bool,
    ) -> Result<(), Error> {
        let mount_path = text(at)?;
        if self
            .mounts
            .iter()
            .any(|mount| mount.mount_path == mount_path)
        {
            return Err(Error::Path {
                path: at.to_owned(),
                reason: "the pod needs that directory for two things",
            });
        }
        let name = name.to_owned();
        self.mounts.push(VolumeMount {
            name: name.clone(),
            mount_path,
            read_only,
        });
        self.volumes.push(object::Volume { name, source });
        Ok(())
    }
}

fn on_node(path: &Path, kind: &'static str) -> VolumeSource {
    VolumeSource::HostPath {
        path: path.display().to_string(),
        kind,
    }
}

/// A path that can be mounted, without doubled slashes and single dots.
fn mountable(path: &Path) -> Result<PathBuf, Error> {
    match fault(path) {
        None => Ok(path.components().collect()),
        Some(reason) => Err(Error::Path {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Why Kubernetes or a container runtime would not mount a path.
fn fault(path: &Path) -> Option<&'static str> {
    let is = |fault: bool, reason| fault.then_some(reason);
    let has = |wanted: Component| path.components().any(|part| part == wanted);
    is(!path.is_absolute(), "the path does not begin with a slash")
        .or(is(
            has(Component::ParentDir),
            "Kubernetes mounts no path with .. in it",
        ))
        .or(is(
            path.parent().is_none(),
            "it is the whole file system of the node",
        ))
        .or(is(
            path.as_os_str().as_encoded_bytes().contains(&b':'),
            "Kubernetes mounts no path with a colon in it",
        ))
}

/// The path as text, which is all that YAML can hold.
pub(super) fn text(path: &Path) -> Result<String, Error> {
    path.to_str().map(str::to_owned).ok_or(Error::Path {
        path: path.to_owned(),
        reason: "it is not UTF-8 text",
    })
}
