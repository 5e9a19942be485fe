//! The static pods that are stopped while the data is exchanged. The kubelet runs every file of its
//! directory whose name does not begin with a dot, so they are known by what they run, not by name.

use std::fs;
use std::path::{Path, PathBuf};

use super::host::unfit;
use crate::error::Error;
use crate::host::command_line;
use crate::jobs::manifests;
use crate::kubeadm::StaticPod;
use crate::recovery::{Pod, PodName};
use crate::sha256::Sha256;

/// What is stopped. etcd comes last.
const PROGRAMS: [&str; 4] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    ETCD,
];
const ETCD: &str = "etcd";

/// The static pods of this host.
pub(super) struct Pods {
    /// Those that are stopped.
    pub(super) stopped: Vec<Pod>,
    /// The manifest of etcd.
    pub(super) etcd: Option<PathBuf>,
    /// What lies beside them and says nothing, a sentence each.
    pub(super) warnings: Vec<String>,
}

/// A manifest, and what it says.
struct Found {
    path: PathBuf,
    pod: StaticPod,
}

impl Found {
    fn runs(&self, program: &str) -> bool {
        let mut launches = self.pod.launches.iter();
        launches.any(|launch| launch.is_of(program))
    }

    fn pod(&self) -> Result<Pod, Error> {
        let name = self.path.file_name().and_then(|name| name.to_str());
        let Some(name) = name else {
            return Err(unfit(
                format!("the name of {} is no text", self.path.display()),
                "Give the manifest another name.",
            ));
        };
        let commands = self.pod.launches.iter().map(|launch| &launch.command);
        let namespace = &self.pod.namespace;
        Ok(Pod {
            file: name.into(),
            // what the kubelet fills in cannot be told from here
            commands: commands
                .filter(|words| !words.is_empty() && !words.iter().any(|word| word.contains("$(")))
                .map(|words| Sha256::of(&command_line(words)))
                .collect(),
            etcd: self.runs(ETCD),
            object: self.pod.name.as_ref().map(|name| PodName {
                namespace: namespace.clone(),
                name: name.clone(),
            }),
        })
    }
}

/// Looks through the kubelet's directory.
pub(super) fn scan(directory: &Path) -> Result<Pods, Error> {
    let mut warnings = Vec::new();
    let mut all = Vec::new();
    for path in files(directory)? {
        match manifests::read(path.clone(), StaticPod::parse) {
            Ok(Some(pod)) => all.push(Found { path, pod }),
            // gone in between
            Ok(None) => {}
            Err(error) if is_usual(&path) => return Err(error),
            Err(error) => warnings.push(format!(
                "{}: what it runs, if anything, goes on",
                error.in_a_line()
            )),
        }
    }
    let mut stopped: Vec<Pod> = Vec::new();
    let mut etcd = None;
    for program in PROGRAMS {
        let mut ones = all.iter().filter(|found| found.runs(program));
        let (one, other) = (ones.next(), ones.next());
        if let (Some(one), Some(other)) = (one, other) {
            return Err(two_of(program, &one.path, &other.path));
        }
        let Some(one) = one else { continue };
        let pod = one.pod()?;
        // one pod may run several of them
        if stopped.iter().all(|stopped| stopped.file != pod.file) {
            stopped.push(pod);
        }
        if program == ETCD {
            etcd = Some(one.path.clone());
        }
    }
    Ok(Pods {
        stopped,
        etcd,
        warnings,
    })
}

/// What the kubelet would take for a manifest, in the order of the names; links are followed.
fn files(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read {
        path: directory.into(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if !is_hidden && fs::metadata(&path).is_ok_and(|found| found.is_file()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What kubeadm calls so is to be understood, or nothing is stopped.
fn is_usual(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    PROGRAMS
        .iter()
        .any(|program| *name == *format!("{program}.yaml"))
}

fn two_of(program: &str, one: &Path, other: &Path) -> Error {
    unfit(
        format!(
            "{} and {} both run {program}, and the kubelet runs them both, whatever they are called",
            one.display(),
            other.display()
        ),
        "Move the copy out of that directory.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write as _;

    fn put(directory: &Path, name: &str, text: &str) {
        let mut file = fs::File::create(directory.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn manifest(container: &str, command: &str) -> String {
        format!(
            "kind: Pod\nspec:\n  containers:\n  - name: {container}\n    command: [{command}]\n"
        )
    }

    fn names(pods: &Pods) -> Vec<&str> {
        pods.stopped.iter().map(|pod| pod.file.as_str()).collect()
    }

    #[test]
    fn what_runs_is_told_by_the_programs_and_not_by_the_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        put(at, "a.yaml", &manifest("etcd", "etcd, --name=a"));
        put(at, "b.json", &manifest("api", "/usr/bin/kube-apiserver"));
        // the program that its image starts
        put(
            at,
            "c",
            "kind: Pod\nspec: {containers: [{name: kube-scheduler}]}",
        );
        put(at, "d.yaml", &manifest("proxy", "haproxy"));
        put(at, ".e.yaml", &manifest("etcd", "etcd"));
        put(at, "f.yaml", "kind: Service");
        fs::create_dir(at.join("g.yaml")).unwrap();
        let pods = scan(at).unwrap();
        assert_eq!(names(&pods), ["b.json", "c", "a.yaml"]);
        assert_eq!(pods.etcd, Some(at.join("a.yaml")));
        let etcd: Vec<bool> = pods.stopped.iter().map(|pod| pod.etcd).collect();
        assert_eq!(etcd, [false, false, true]);
        let commands: Vec<usize> = pods.stopped.iter().map(|pod| pod.commands.len()).collect();
        assert_eq!(commands, [1, 0, 1]);
        put(at, "kube-scheduler.yaml", "kind: Service");
        assert!(scan(at).is_err());
        let [warning] = &pods.warnings[..] else {
            panic!("{:?}", pods.warnings)
        };
        assert!(warning.contains("f.yaml"), "{warning}");
    }

    #[test]
    fn two_of_a_kind_are_refused_and_both_are_named() {
        for program in PROGRAMS {
            let dir = tempfile::tempdir().unwrap();
            for name in ["one.yaml", "one.yaml.bak"] {
                put(dir.path(), name, &manifest("any", program));
            }
            let refused = scan(dir.path()).map(|pods| pods.stopped).unwrap_err();
            let said = refused.to_string();
            for name in ["one.yaml and", "one.yaml.bak both", program] {
                assert!(said.contains(name), "{said}");
            }
        }
    }

    #[test]
    fn a_pod_that_runs_several_is_moved_once() {
        let dir = tempfile::tempdir().unwrap();
        let all = PROGRAMS.map(|program| format!("{{name: {program}}}"));
        let text = format!("kind: Pod\nspec: {{containers: [{}]}}", all.join(", "));
        put(dir.path(), "all.yaml", &text);
        let pods = scan(dir.path()).unwrap();
        assert_eq!(names(&pods), ["all.yaml"]);
        assert!(pods.stopped[0].etcd);
    }
}
