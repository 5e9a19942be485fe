//! What the containers of any static pod run: by that a pod is known, whatever its file is called.

use super::{Error, container, pod};

/// What one container of a pod starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    container: String,
    /// Program and arguments, as the kubelet starts it. What the kubelet would fill in, `$(NAME)`, is
    /// left as it is; a container that leaves the program to its image has none.
    pub command: Vec<String>,
}

impl Launch {
    /// All containers of a pod.
    ///
    /// # Errors
    /// [`Error`], where it is not the manifest of a pod.
    pub fn all(manifest: &[u8]) -> Result<Vec<Self>, Error> {
        let pod = pod::read(manifest)?;
        let containers = pod.spec.and_then(|spec| spec.containers);
        let launches = containers.iter().flatten().map(|container| Self {
            container: container.name.clone(),
            command: container::words(container).map(str::to_owned).collect(),
        });
        Ok(launches.collect())
    }

    /// Whether that is this program: by its command, else by the name of the container.
    #[must_use]
    pub fn is_of(&self, program: &str) -> bool {
        let first = self.command.first();
        let runs = first.is_some_and(|word| word.rsplit('/').next() == Some(program));
        runs || self.container == program
    }
}
