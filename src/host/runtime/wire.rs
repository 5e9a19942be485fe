//! The messages of the interface, as far as they are used: the fields and their numbers are those of
//! `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`, and of `v1alpha2` alike. The labels are those that the
//! kubelet gives every container, in `k8s.io/kubernetes/pkg/kubelet/types/labels.go`.

use std::collections::HashMap;

use prost::{Enumeration, Message};

const NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD: &str = "io.kubernetes.pod.name";
const NAME: &str = "io.kubernetes.container.name";

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainersRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<Filter>,
}

/// What is listed at all.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Filter {
    /// Labels that a container has to have.
    #[prost(map = "string, string", tag = "4")]
    label_selector: HashMap<String, String>,
}

impl Filter {
    /// The containers of the pods of a namespace.
    pub(super) fn namespace(namespace: &str) -> Self {
        Self {
            label_selector: [(NAMESPACE.to_owned(), namespace.to_owned())].into(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(enumeration = "State", tag = "6")]
    state: i32,
    #[prost(map = "string, string", tag = "8")]
    labels: HashMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
enum State {
    Created = 0,
    Running = 1,
    Exited = 2,
    /// The runtime has lost sight of it: its processes tell.
    Unknown = 3,
}

impl Container {
    /// It, if it runs or is about to, and if a kubelet has made it.
    pub(super) fn alive(self) -> Option<super::Container> {
        let is_running = match State::try_from(self.state) {
            Ok(State::Running) => true,
            Ok(State::Created) => false,
            Ok(State::Exited | State::Unknown) | Err(_) => return None,
        };
        let label = |name: &str| self.labels.get(name).cloned();
        Some(super::Container {
            name: label(NAME)?,
            namespace: label(NAMESPACE)?,
            pod: label(POD)?,
            id: self.id,
            is_running,
        })
    }
}
