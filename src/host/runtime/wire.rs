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
    /// It, if it runs or may yet, and if a kubelet has made it.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn container(labels: &[(&str, &str)], state: i32) -> Container {
        let label = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Container {
            id: "0123456789abcdef".into(),
            state,
            labels: labels.iter().map(label).collect(),
        }
    }

    const ALL: [(&str, &str); 3] = [(NAMESPACE, "kube-system"), (POD, "etcd-n1"), (NAME, "etcd")];

    #[test]
    fn what_runs_or_is_about_to_is_alive_and_nothing_else_is() {
        for (state, is_running) in [(0, Some(false)), (1, Some(true)), (2, None), (3, None)] {
            let alive = container(&ALL, state).alive();
            assert_eq!(alive.map(|it| it.is_running), is_running, "{state}");
        }
        // what no kubelet has made is nobody's pod
        for missing in 0..ALL.len() {
            let mut labels = ALL.to_vec();
            labels.remove(missing);
            assert_eq!(container(&labels, 1).alive(), None, "{labels:?}");
        }
    }

    #[test]
    fn the_question_and_the_answer_have_the_bytes_of_the_interface() {
        let request = ListContainersRequest {
            filter: Some(Filter::namespace("ns")),
        };
        let label = b"\x0a\x1bio.kubernetes.pod.namespace\x12\x02ns";
        let mut expected = vec![0x0a, 35, 0x22, 33];
        expected.extend(label);
        assert_eq!(request.encode_to_vec(), expected);

        // with fields that are passed over: the sandbox, and the time of creation
        let answer = b"\x0a\x0c\x0a\x02id\x12\x01s\x30\x01\x38\x80\x01";
        let answer = ListContainersResponse::decode(&answer[..]).unwrap();
        let [found] = &answer.containers[..] else {
            panic!("{answer:?}")
        };
        assert_eq!((&*found.id, found.state), ("id", 1));
    }

    fn is_one_short_line(container: &super::super::Container) -> bool {
        let text = container.to_string();
        text.chars().all(|c| !c.is_control()) && text.len() < 10_000
    }

    proptest! {
        #[test]
        fn no_answer_is_more_than_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(answer) = ListContainersResponse::decode(&bytes[..]) {
                let mut alive = answer.containers.into_iter().filter_map(Container::alive);
                prop_assert!(alive.all(|it| is_one_short_line(&it)));
            }
        }

        #[test]
        fn whatever_a_container_is_called_is_shown_in_one_line(
            id in any::<String>(),
            names in prop::array::uniform3(".{0,300}"),
            state in 0..2,
        ) {
            let labels = [NAMESPACE, POD, NAME].map(str::to_owned);
            let labels = labels.into_iter().zip(names).collect();
            let listed = Container { id, state, labels };
            let written = ListContainersResponse { containers: vec![listed] }.encode_to_vec();
            let read = ListContainersResponse::decode(&written[..]).unwrap();
            let alive: Vec<_> = read.containers.into_iter().filter_map(Container::alive).collect();
            prop_assert_eq!(alive.len(), 1);
            prop_assert!(is_one_short_line(&alive[0]));
        }
    }
}
