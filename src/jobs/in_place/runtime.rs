//! What the container runtime of this host has left of the pods that were taken away: a witness beside
//! `/proc` and the lock on the database, where there is one and it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::{Progress, Run};
use crate::host::{self, Container, containers};
use crate::jobs::manifests;
use crate::kubeadm::{self, Flags, socket_of_config};
use crate::recovery::{Journal, Pod};

/// Where container runtimes listen, in the order in which they are looked for.
const SOCKETS: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/var/run/cri-dockerd.sock",
    "/var/run/dockershim.sock",
];
/// How long one that has answered is asked again where it fails: it may be starting anew.
const GRACE: Duration = Duration::from_secs(30);

/// The runtime, and the pods that it is asked about.
pub(super) struct Runtime<'r> {
    /// The first is asked; the others are guesses in its place.
    sockets: Vec<PathBuf>,
    pods: Pods,
    /// When the first has answered.
    answered: Option<Instant>,
    grace: Duration,
    warn: &'r dyn Fn(&Progress),
}

/// What a runtime has left.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) socket: PathBuf,
    containers: Vec<Container>,
    /// Why it does not tell just now, though it has told before.
    silence: Option<String>,
    /// Whether a container of an etcd runs.
    pub(super) is_etcd: bool,
}

impl Listed {
    pub(super) fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.silence.is_none()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let silence = self.silence.iter();
        let silence = silence.map(|why| format!("what is not known just now, for {why}"));
        self.containers
            .iter()
            .map(Container::to_string)
            .chain(silence)
    }
}

impl<'r> Runtime<'r> {
    /// The runtime of this host's kubelet.
    pub(super) fn find(journal: &Journal, run: &Run<'r>) -> Self {
        let kubelet = Kubelet::read(run.kubelet_dir, &SOCKETS.map(Path::new));
        for warning in kubelet.warnings {
            (run.progress)(&Progress::Warning(warning));
        }
        let host = run.host_name.to_owned();
        let nodes = [journal.goal.name.clone(), host];
        let nodes: Vec<String> = nodes.into_iter().chain(kubelet.node).collect();
        Runtime {
            sockets: kubelet.sockets,
            pods: Pods::of(&journal.pods, &nodes),
            answered: None,
            grace: GRACE.min(run.wait / 2),
            warn: run.progress,
        }
    }

    /// The containers of the pods that run, or are made and may. A runtime that does not answer is given
    /// up: that it is dead must not keep anybody from a restore. One that has answered is given time.
    pub(super) async fn left(&mut self) -> Listed {
        while let Some(socket) = self.sockets.first().cloned() {
            let error = match self.ask(&socket).await {
                Ok(listed) => {
                    self.answered = Some(Instant::now());
                    return listed;
                }
                Err(error) => error,
            };
            if self
                .answered
                .is_some_and(|then| then.elapsed() < self.grace)
            {
                return Listed {
                    silence: Some(error.to_string()),
                    socket,
                    ..Listed::default()
                };
            }
            let hint = error.hint().unwrap_or_default();
            (self.warn)(&Progress::Warning(format!(
                "{error}; that all has ended is told by the processes and by the lock on the database alone. {hint}"
            )));
            self.sockets.remove(0);
            self.answered = None;
        }
        Listed::default()
    }

    async fn ask(&self, socket: &Path) -> Result<Listed, host::Error> {
        let mut left = Vec::new();
        for namespace in self.pods.namespaces() {
            let found = containers(socket, namespace).await?.into_iter();
            left.extend(found.filter(|it| self.pods.has(it)));
        }
        // in an order of their own, so that the same is said again
        left.sort_by(|one, other| (&one.pod, &one.id).cmp(&(&other.pod, &other.id)));
        Ok(Listed {
            is_etcd: left.iter().any(|it| it.is_running && self.pods.is_etcd(it)),
            socket: socket.into(),
            containers: left,
            silence: None,
        })
    }
}

/// The pods that were taken away, as the kubelet calls them, namespace and name, and whether each is an
/// etcd's.
struct Pods(BTreeMap<(String, String), bool>);

impl Pods {
    /// A static pod is called by its manifest's name, a dash, and the node's name in small letters: see
    /// `generatePodName` of the kubelet. kubeadm names the etcd member after the node, and the node
    /// after the host, unless it was told otherwise.
    fn of(pods: &[Pod], nodes: &[String]) -> Self {
        let objects = pods
            .iter()
            .filter_map(|pod| Some((pod.object.as_ref()?, pod.etcd)));
        let names = objects.flat_map(|(object, is_etcd)| {
            nodes.iter().map(move |node| {
                let name = format!("{}-{}", object.name, node.to_lowercase());
                ((object.namespace.clone(), name), is_etcd)
            })
        });
        Pods(names.collect())
    }

    fn namespaces(&self) -> BTreeSet<&str> {
        self.0
            .keys()
            .map(|(namespace, _)| namespace.as_str())
            .collect()
    }

    fn has(&self, container: &Container) -> bool {
        self.find(container).is_some()
    }

    fn is_etcd(&self, container: &Container) -> bool {
        self.find(container) == Some(true)
    }

    fn find(&self, container: &Container) -> Option<bool> {
        let pod = (container.namespace.clone(), container.pod.clone());
        self.0.get(&pod).copied()
    }
}

/// What the kubelet's files say, as far as they can be read.
#[derive(Default)]
struct Kubelet {
    /// The one that they name, or else all that may be it.
    sockets: Vec<PathBuf>,
    node: Option<String>,
    /// What cannot be understood, a sentence each.
    warnings: Vec<String>,
}

impl Kubelet {
    /// Reads them. Where they name no socket, it is one of the usual ones that are there.
    fn read(directory: &Path, usual: &[&Path]) -> Self {
        let mut kubelet = Kubelet::default();
        let path = directory.join("kubeadm-flags.env");
        if let Some(flags) = kubelet.look(&path, |bytes| Flags::parse(bytes).map(Some)) {
            kubelet.node = flags.node().map(str::to_owned);
            let socket = flags.socket().unwrap_or_else(|error| {
                kubelet.warn(&path, &error);
                None
            });
            kubelet.sockets.extend(socket);
        }
        if kubelet.sockets.is_empty() {
            let socket = kubelet.look(&directory.join("config.yaml"), socket_of_config);
            kubelet.sockets.extend(socket);
        }
        if kubelet.sockets.is_empty() {
            let there = usual.iter().filter(|path| path.exists());
            kubelet.sockets = there.map(|path| path.to_path_buf()).collect();
        }
        kubelet
    }

    fn look<T>(
        &mut self,
        path: &Path,
        parse: impl Fn(&[u8]) -> Result<Option<T>, kubeadm::Error>,
    ) -> Option<T> {
        let parsed = match manifests::bytes(path) {
            Ok(None) => return None,
            Ok(Some(bytes)) => parse(&bytes),
            Err(error) => {
                self.warn(path, &error);
                return None;
            }
        };
        parsed.unwrap_or_else(|error| {
            self.warn(path, &error);
            None
        })
    }

    fn warn(&mut self, path: &Path, why: &dyn std::fmt::Display) {
        let path = path.display();
        self.warnings.push(format!(
            "{path} does not tell where the container runtime listens: {why}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::PodName;

    use std::fs;
    use std::io::Write as _;

    fn put(path: &Path, text: &str) {
        let mut file = fs::File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn container(namespace: &str, pod: &str) -> Container {
        Container {
            id: "0123".into(),
            name: "etcd".into(),
            namespace: namespace.into(),
            pod: pod.into(),
            is_running: true,
        }
    }

    /// The pods of a journal that an earlier version may have begun, on these nodes.
    fn pods(objects: &[Option<(&str, &str)>], nodes: &[&str]) -> Pods {
        let pods = objects.iter().map(|object| {
            let object = object.map(|(namespace, name)| PodName {
                namespace: namespace.into(),
                name: name.into(),
            });
            Pod {
                file: "etcd.yaml".into(),
                commands: Vec::new(),
                etcd: true,
                object,
            }
        });
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        Pods::of(&pods.collect::<Vec<_>>(), &nodes)
    }

    #[test]
    fn the_containers_of_the_pods_that_were_taken_away_are_known_and_no_others() {
        let both = [
            Some(("kube-system", "etcd")),
            Some(("kube-system", "kube-apiserver")),
        ];
        let pods = pods(&both, &["Node-1", "host.example"]);
        assert!(pods.namespaces().into_iter().eq(["kube-system"]));
        for name in [
            "etcd-node-1",
            "etcd-host.example",
            "kube-apiserver-node-1",
            "kube-apiserver-host.example",
        ] {
            assert!(pods.has(&container("kube-system", name)), "{name}");
        }
        for (namespace, name) in [
            ("kube-system", "etcd"),
            ("kube-system", "etcd-node-10"),
            ("kube-system", "etcd-node-1-0"),
            ("kube-system", "etcd-events-node-1"),
            ("kube-system", "kube-proxy-node-1"),
            ("etcd", "etcd-node-1"),
            ("default", "etcd-node-1"),
        ] {
            assert!(!pods.has(&container(namespace, name)), "{namespace}/{name}");
        }
    }

    #[test]
    fn a_journal_of_an_earlier_version_names_no_pod_and_nothing_is_asked_of_it() {
        assert_eq!(pods(&[None], &["node-1"]).namespaces().len(), 0);
    }

    #[test]
    fn the_kubelets_own_socket_goes_before_the_usual_ones() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let (one, other) = (at.join("one.sock"), at.join("other.sock"));
        let usual = [one.as_path(), other.as_path()];
        let sockets = || {
            let kubelet = Kubelet::read(at, &usual);
            assert_eq!(kubelet.warnings, Vec::<String>::new());
            kubelet.sockets
        };
        // nothing is asked where there is nothing
        assert_eq!(sockets(), Vec::<PathBuf>::new());
        put(&other, "");
        assert_eq!(sockets(), [other.as_path()]);
        put(&one, "");
        assert_eq!(sockets(), [one.clone(), other.clone()]);
        put(
            &at.join("config.yaml"),
            "containerRuntimeEndpoint: unix:///run/config.sock",
        );
        assert_eq!(sockets(), [Path::new("/run/config.sock")]);
        let flags = |flags: &str| {
            let text = format!("KUBELET_KUBEADM_ARGS=\"{flags}\"");
            put(&at.join("kubeadm-flags.env"), &text);
        };
        flags("--hostname-override=n1");
        assert_eq!(sockets(), [Path::new("/run/config.sock")]);
        flags("--container-runtime-endpoint=unix:///run/flag.sock");
        assert_eq!(sockets(), [Path::new("/run/flag.sock")]);
    }

    #[test]
    fn what_the_kubelets_files_do_not_tell_is_said_and_the_next_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        put(
            &at.join("kubeadm-flags.env"),
            "KUBELET_KUBEADM_ARGS=--container-runtime-endpoint=tcp://h:1",
        );
        put(&at.join("config.yaml"), "a: [");
        let there = at.join("there.sock");
        put(&there, "");
        let kubelet = Kubelet::read(at, &[&there]);
        let [flags, config] = &kubelet.warnings[..] else {
            panic!("{:?}", kubelet.warnings)
        };
        assert!(flags.contains("tcp://h:1"), "{flags}");
        assert!(config.contains("config.yaml"), "{config}");
        assert_eq!(kubelet.sockets, [there]);
    }
}
