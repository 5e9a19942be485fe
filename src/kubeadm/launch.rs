//! Any static pod: what it is called, and what its containers run. By the latter it is known, whatever
//! its file is called.

use super::{Error, container, pod};

/// The namespace of a pod whose manifest names none.
const NAMESPACE: &str = "default";

/// A static pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticPod {
    /// `metadata.name`, to which the kubelet adds a dash and the name of the node.
    pub name: Option<String>,
    /// `metadata.namespace`; `default` where it is absent, as with the kubelet.
    pub namespace: String,
    /// What its containers start.
    pub launches: Vec<Launch>,
}

impl StaticPod {
    /// Reads its manifest.
    ///
    /// # Errors
    /// [`Error`], where it is not the manifest of a pod.
    pub fn parse(manifest: &[u8]) -> Result<Self, Error> {
        let pod = pod::read(manifest)?;
        let metadata = pod.metadata.unwrap_or_default();
        let is_given = |text: &String| !text.is_empty();
        let containers = pod.spec.and_then(|spec| spec.containers);
        let launches = containers.iter().flatten().map(|container| Launch {
            container: container.name.clone(),
            command: container::words(container).map(str::to_owned).collect(),
        });
        Ok(Self {
            name: metadata.name.filter(is_given),
            namespace: metadata
                .namespace
                .filter(is_given)
                .unwrap_or_else(|| NAMESPACE.to_owned()),
            launches: launches.collect(),
        })
    }
}

/// What one container of a pod starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    container: String,
    /// Program and arguments, as the kubelet starts it. What the kubelet would fill in, `$(NAME)`, is
    /// left as it is; a container that leaves the program to its image has none.
    pub command: Vec<String>,
}

impl Launch {
    /// Whether that is this program: by its command, else by the name of the container.
    #[must_use]
    pub fn is_of(&self, program: &str) -> bool {
        let first = self.command.first();
        let runs = first.is_some_and(|word| word.rsplit('/').next() == Some(program));
        runs || self.container == program
    }
}
