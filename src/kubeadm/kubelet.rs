//! What the kubelet of a kubeadm host is told: where its container runtime listens, and what it calls
//! its node. Two files of its directory, `/var/lib/kubelet`, tell it; a flag goes before the
//! configuration.

use std::path::PathBuf;

use serde::Deserialize;

use super::argument::Arguments;
use super::expansion::Variables;
use super::{Error, pod, shown};

/// The variable of `kubeadm-flags.env` that holds the flags.
const VARIABLE: &str = "KUBELET_KUBEADM_ARGS=";
const ENDPOINT: &str = "container-runtime-endpoint";
/// The same as a field of the configuration, where kubeadm puts it since it leaves the flag out.
const FIELD: &str = "containerRuntimeEndpoint";

/// The flags that kubeadm gives the kubelet, of `kubeadm-flags.env`.
#[derive(Debug, Default)]
pub struct Flags {
    arguments: Arguments,
}

impl Flags {
    /// Reads the file, an `EnvironmentFile` of systemd.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::NotUtf8`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let lines = pod::text(bytes)?.lines().map(str::trim);
        // of several lines the last counts
        let line = lines
            .filter_map(|line| line.strip_prefix(VARIABLE))
            .next_back();
        let words = line.unwrap_or_default().trim_matches(['"', '\'']);
        Ok(Self {
            arguments: Arguments::read(words.split_whitespace(), Variables::new()),
        })
    }

    /// The socket of the container runtime, where a flag names one.
    ///
    /// # Errors
    /// [`Error::Field`], where that is no socket.
    pub fn socket(&self) -> Result<Option<PathBuf>, Error> {
        let endpoint = self.arguments.value(ENDPOINT);
        endpoint
            .map(|endpoint| socket(&format!("--{ENDPOINT}"), endpoint))
            .transpose()
    }

    /// The name of the node, where it is not that of the host.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.arguments.value("hostname-override")
    }
}

/// The socket of the container runtime that the kubelet's `config.yaml` names.
///
/// # Errors
/// [`Error`], where it is no such configuration, or names no socket.
pub fn socket_of_config(bytes: &[u8]) -> Result<Option<PathBuf>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Configuration {
        container_runtime_endpoint: Option<String>,
    }
    let text = pod::text(bytes)?;
    let read: Configuration = serde_saphyr::from_str_with_options(text, pod::limits())
        .map_err(|error| pod::wrong(&error))?;
    let endpoint = read.container_runtime_endpoint;
    endpoint
        .filter(|endpoint| !endpoint.is_empty())
        .map(|endpoint| socket(FIELD, &endpoint))
        .transpose()
}

/// The path in `unix:///run/containerd/containerd.sock`; the kubelet takes one without the scheme, too.
fn socket(field: &str, endpoint: &str) -> Result<PathBuf, Error> {
    let path = endpoint.strip_prefix("unix:").unwrap_or(endpoint);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(path.into());
    }
    Err(Error::Field {
        field: field.to_owned(),
        message: format!("{} is no socket of this host", shown(endpoint)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_flags(text: &str) -> Option<PathBuf> {
        let flags = Flags::parse(text.as_bytes()).unwrap();
        flags.socket().unwrap()
    }

    fn of_config(text: &str) -> Option<PathBuf> {
        socket_of_config(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_socket_is_the_one_that_the_flags_name() {
        for (line, socket) in [
            (
                "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/containerd/containerd.sock --pod-infra-container-image=registry.k8s.io/pause:3.9\"",
                "/run/containerd/containerd.sock",
            ),
            (
                "KUBELET_KUBEADM_ARGS='--v=2 --container-runtime-endpoint unix:/run/crio/crio.sock'",
                "/run/crio/crio.sock",
            ),
            (
                "# old\nKUBELET_KUBEADM_ARGS=--container-runtime-endpoint=/run/one\nKUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=/run/two.sock\"\n",
                "/run/two.sock",
            ),
        ] {
            assert_eq!(of_flags(line), Some(socket.into()), "{line}");
        }
        for none in [
            "",
            "KUBELET_KUBEADM_ARGS=\"\"",
            "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint= --v=2\"",
            "OTHER=\"--container-runtime-endpoint=unix:///run/other.sock\"",
        ] {
            assert_eq!(of_flags(none), None, "{none}");
        }
    }

    #[test]
    fn the_node_is_called_as_the_flags_say() {
        let flags = Flags::parse(b"KUBELET_KUBEADM_ARGS=\"--hostname-override=Node-1\"").unwrap();
        assert_eq!(flags.node(), Some("Node-1"));
        assert_eq!(Flags::parse(b"").unwrap().node(), None);
    }

    #[test]
    fn the_socket_is_the_one_that_the_configuration_names() {
        let text = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nclusterDNS:\n- 10.96.0.10\ncontainerRuntimeEndpoint: unix:///var/run/crio/crio.sock\n";
        assert_eq!(of_config(text), Some("/var/run/crio/crio.sock".into()));
        for none in [
            "kind: KubeletConfiguration",
            "containerRuntimeEndpoint: \"\"",
            "containerRuntimeEndpoint: null",
        ] {
            assert_eq!(of_config(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_socket_is_named() {
        for wrong in [
            "tcp://127.0.0.1:1",
            "npipe:////./pipe/x",
            "unix://",
            "run/x.sock",
        ] {
            let line = format!("KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint={wrong}\"");
            let refused = Flags::parse(line.as_bytes()).unwrap().socket().unwrap_err();
            let said = refused.to_string();
            assert!(said.starts_with("--container-runtime-endpoint: "), "{said}");
            assert!(said.contains(wrong), "{said}");
            let text = format!("containerRuntimeEndpoint: {wrong}");
            let refused = socket_of_config(text.as_bytes()).unwrap_err();
            assert!(refused.to_string().contains(wrong), "{refused}");
        }
        assert!(socket_of_config(b"a: [").is_err());
        assert!(socket_of_config(b"\xff").is_err());
        assert!(Flags::parse(b"\xff").is_err());
    }
}
