//! One container of a pod: what it runs, and where its paths lie on the host.

use std::path::{Component, Path, PathBuf};

use super::argument::Arguments;
use super::pod::{Container, Pod, Volume};
use super::{Error, Image, expansion, shown};

/// A path that a container's argument names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// As the program in the container sees it.
    pub inside: PathBuf,
    /// Where it lies on the host; `None` where it is in no volume of the host.
    pub host: Option<PathBuf>,
}

/// The container of a pod that runs a program.
pub(super) struct Program<'p> {
    container: &'p Container,
    volumes: &'p [Volume],
    pub(super) arguments: Arguments,
}

impl<'p> Program<'p> {
    /// Finds the container whose command is `program` or ends in `/program`, else the one of that
    /// name; of several with that command, the one of that name.
    pub(super) fn find(pod: &'p Pod, program: &'static str) -> Result<Self, Error> {
        let spec = pod.spec.as_ref();
        let containers = spec
            .and_then(|spec| spec.containers.as_deref())
            .unwrap_or_default();
        let runs = |container: &&Container| {
            let word = words(container).next().unwrap_or_default();
            word.rsplit('/').next() == Some(program)
        };
        let is_named = |container: &&Container| container.name == program;
        let mut candidates = containers.iter();
        let found = candidates
            .clone()
            .find(|container| runs(container) && is_named(container))
            .or_else(|| candidates.clone().find(runs))
            .or_else(|| candidates.find(is_named));
        let container = found.ok_or_else(|| Error::NoContainer {
            wanted: program,
            found: containers.iter().map(|it| shown(&it.name)).collect(),
        })?;
        let variables = expansion::variables(container);
        let words: Vec<String> = words(container)
            .map(|word| expansion::filled_in(word, &variables))
            .collect();
        let arguments = Arguments::read(words.iter().map(String::as_str), variables);
        Ok(Self {
            container,
            volumes: spec
                .and_then(|spec| spec.volumes.as_deref())
                .unwrap_or_default(),
            arguments,
        })
    }

    /// Its name in the pod.
    pub(super) fn name(&self) -> &str {
        &self.container.name
    }

    /// The image that it runs.
    pub(super) fn image(&self) -> Result<Image, Error> {
        let field = || format!("spec.containers[{}].image", shown(self.name()));
        let Some(text) = &self.container.image else {
            return Err(Error::Field {
                field: field(),
                message: "is missing".to_owned(),
            });
        };
        Image::parse(text).map_err(|error| Error::Field {
            field: field(),
            message: error.to_string(),
        })
    }

    /// The path that a flag names.
    pub(super) fn path(&self, flag: &str) -> Result<Option<Mounted>, Error> {
        let Some(text) = self.arguments.value_or_variable(flag) else {
            return Ok(None);
        };
        let inside = PathBuf::from(text);
        let is_plain = |part: Component| matches!(part, Component::RootDir | Component::Normal(_));
        if !inside.is_absolute() || !inside.components().all(is_plain) || text.contains('\0') {
            return Err(Error::Field {
                field: format!("spec.containers[{}]: --{flag}", shown(self.name())),
                message: format!("{} is no absolute path without `..`", shown(text)),
            });
        }
        let host = self.on_host(&inside);
        Ok(Some(Mounted { inside, host }))
    }

    /// Where a path of the container lies on the host: by the deepest mount that holds it.
    fn on_host(&self, inside: &Path) -> Option<PathBuf> {
        let mounts = self.container.volume_mounts.iter().flatten();
        let (mount, rest) = mounts
            .filter_map(|mount| Some((mount, inside.strip_prefix(&mount.mount_path).ok()?)))
            .max_by_key(|(mount, _)| mount.mount_path.components().count())?;
        let mut volumes = self.volumes.iter();
        let volume = volumes.find(|volume| volume.name == mount.name)?;
        let parts = [mount.sub_path.as_deref().unwrap_or(Path::new("")), rest];
        let mut path = volume.host_path.as_ref()?.path.clone();
        for part in parts.into_iter().flat_map(Path::components) {
            match part {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                // a subPath that leads out of its volume is refused by the kubelet too
                _ => return None,
            }
        }
        path.is_absolute().then_some(path)
    }
}

/// The words of its command line.
pub(super) fn words(container: &Container) -> impl Iterator<Item = &str> {
    let command = container.command.iter().flatten();
    command
        .chain(container.args.iter().flatten())
        .map(String::as_str)
}
