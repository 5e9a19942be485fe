//! A pod of a rendered CronJob, run as the kubelet would run it: with its arguments and environment, on a file system
//! that can be written to only where the pod mounts it so, and without a capability. The files are the host's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The objects of a rendering.
pub(crate) fn objects(rendering: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(rendering).expect("YAML")
}

/// Runs a command without a capability, where the host's directory and the root can only be read, but for one
/// directory: `sh HOST WRITABLE COMMAND…`
const CONFINED: &str = r#"
mount --bind "$1" "$1"
mount --bind "$2" "$2"
mount -o remount,bind,ro "$1"
mount -o remount,bind,ro /
touch "$2"
! touch "$1" 2>/dev/null
shift 2
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all -- "$@"
"#;

/// The pod of one run.
pub(crate) struct Pod {
    pub(crate) name: String,
    container: Value,
    mounted: Vec<(String, PathBuf)>,
}

impl Pod {
    /// The pod of that name of the CronJob, which is the last object.
    pub(crate) fn of(objects: &[Value], name: &str) -> Self {
        let job = &objects.last().expect("a CronJob")["spec"]["jobTemplate"];
        let containers = job["spec"]["template"]["spec"]["containers"]
            .as_array()
            .expect("containers");
        assert_eq!(containers.len(), 1);
        Self {
            name: name.to_owned(),
            container: containers[0].clone(),
            mounted: Vec::new(),
        }
    }

    /// The one word of its command.
    pub(crate) fn program(&self) -> &str {
        let words = texts(&self.container["command"]);
        assert_eq!(words.len(), 1, "a program, and no shell around it");
        words[0]
    }

    /// What the container sees at this path is that directory of the host; elsewhere it sees the host's own.
    pub(crate) fn mount(&mut self, path: &str, directory: &Path) {
        self.mounted.push((path.to_owned(), directory.to_owned()));
    }

    /// The container's command with this program, in the container's environment and nothing else, confined as its
    /// security context says. `host` is the directory of the host that it runs on.
    pub(crate) fn command(&self, program: &Path, host: &Path) -> Command {
        let security = &self.container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"][0], "ALL");
        let environment = self.environment();
        let mut command = Command::new("unshare");
        command
            .env_clear()
            .envs(&environment)
            .args(["--mount", "sh", "-ec", CONFINED, "sh"])
            .args([host, &self.writable()])
            .arg(program);
        for argument in texts(&self.container["args"]) {
            let mut argument = expand(argument, &environment);
            for (path, directory) in &self.mounted {
                argument = argument.replace(path, directory.to_str().expect("a path in UTF-8"));
            }
            command.arg(argument);
        }
        command
    }

    /// The one place that can be written to.
    fn writable(&self) -> PathBuf {
        let mounts = self.container["volumeMounts"].as_array().expect("mounts");
        let writable: Vec<_> = mounts
            .iter()
            .filter(|mount| mount["readOnly"] != true)
            .map(|mount| mount["mountPath"].as_str().expect("a path"))
            .collect();
        assert_eq!(writable.len(), 1, "{writable:?}");
        writable[0].into()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let variables = self.container["env"].as_array().into_iter().flatten();
        let value = |variable: &Value| match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str()
        {
            Some("metadata.name") => self.name.clone(),
            Some(other) => panic!("the field {other}"),
            None => variable["value"].as_str().expect("a value").to_owned(),
        };
        variables
            .map(|variable| {
                (
                    variable["name"].as_str().expect("a name").to_owned(),
                    value(variable),
                )
            })
            .collect()
    }
}

fn texts(list: &Value) -> Vec<&str> {
    let items = list.as_array().expect("a list");
    items
        .iter()
        .map(|item| item.as_str().expect("text"))
        .collect()
}

/// What the kubelet makes of an argument: `$(NAME)` is the variable where there is one and stays where there is none,
/// `$$` is `$`, and any other `$` is itself.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let name = after
            .strip_prefix('(')
            .and_then(|name| name.split_once(')'));
        if let Some((name, behind)) = name {
            let unknown = format!("$({name})");
            result.push_str(variables.get(name).unwrap_or(&unknown));
            rest = behind;
        } else {
            result.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    result + rest
}

#[test]
fn arguments_are_expanded_as_kubernetes_expands_them() {
    let variables = BTreeMap::from([("A".to_owned(), "a$(B)".to_owned())]);
    for (text, expanded) in [
        ("x-$(A)-$(A).db", "x-a$(B)-a$(B).db"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$a$(B)"),
        ("$$$$(A)", "$$(A)"),
        ("$(B)", "$(B)"),
        ("$A $ $( $(A", "$A $ $( $(A"),
        ("$", "$"),
        ("$$", "$"),
    ] {
        assert_eq!(expand(text, &variables), expanded, "{text}");
    }
}
