//! Finds what the configuration needs among the manifests and the PKI of a kubeadm host.

use std::path::{Path, PathBuf};

use super::candidate::{Pair, first, in_directory, is_file, listed, text, unique};
use super::endpoint::{self, Elsewhere};
use super::{Found, Missing, shown};
use crate::config::Value;
use crate::error::Error;
use crate::jobs::manifests::{self, KUBERNETES_DIR};
use crate::kubeadm::{ApiServerPod, EtcdPod, Mounted};

/// What a search has brought.
#[derive(Default)]
pub(super) struct Findings {
    /// The keys to set.
    pub(super) values: Vec<(&'static str, Value)>,
    /// The manifest that tells of etcd.
    pub(super) manifest: PathBuf,
    pub(super) found: Vec<Found>,
    pub(super) missing: Vec<Missing>,
    pub(super) notes: Vec<String>,
}

/// Why a file is taken that no manifest names.
const PLACE: &str = "where kubeadm keeps it";

/// Searches the host whose `/etc/kubernetes` is this directory.
pub(super) fn host(kubernetes: &Path) -> Result<Findings, Error> {
    let mut search = Search {
        kubernetes,
        result: Findings::default(),
    };
    if let Some(pod) = manifests::etcd(kubernetes)? {
        // it only adds a candidate here; what is wrong with it is no reason to stop
        let api_server = manifests::api_server(kubernetes).ok().flatten();
        search.stacked(&pod, api_server.as_ref())?;
    } else if let Some(pod) = manifests::api_server(kubernetes)? {
        search.external(&pod)?;
    } else {
        return Err(Error::NoEtcd {
            kubernetes: kubernetes.into(),
        });
    }
    Ok(search.result)
}

struct Search<'a> {
    kubernetes: &'a Path,
    result: Findings,
}

impl Search<'_> {
    /// An etcd that runs on this host.
    fn stacked(&mut self, pod: &EtcdPod, api_server: Option<&ApiServerPod>) -> Result<(), Error> {
        self.result.manifest = manifests::etcd_path(self.kubernetes);
        self.facts(pod);
        if let Some(file) = &pod.config_file {
            let file = shown(text(&file.inside));
            self.result.notes.push(format!(
                "etcd reads its settings from {file} alone, so the arguments in its manifest may not be its own."
            ));
        }
        let mut is_tls = true;
        if let Some((endpoint, flag)) = endpoint::own(pod) {
            is_tls = endpoint.is_tls();
            let value = Value::List(vec![endpoint.to_string()]);
            self.set("etcd.endpoints", value, flag);
        } else {
            let manifest = shown(text(&self.result.manifest));
            let urls = unique(
                pod.listen_client_urls
                    .iter()
                    .chain(&pod.advertise_client_urls),
            );
            let urls = if urls.is_empty() {
                String::new()
            } else {
                format!(": there is {}", urls.join(", "))
            };
            self.miss(
                "etcd.endpoints",
                format!("{manifest} names no client URL of etcd that can be used{urls}"),
                "Set it to the URL that etcd listens on; see: ss -ltnp | grep etcd",
            );
        }
        let ca = self.places(pod.trusted_ca_file.as_ref());
        let mut directories: Vec<PathBuf> = ca
            .iter()
            .filter_map(|ca| Some(ca.parent()?.to_owned()))
            .collect();
        directories.push(self.kubernetes.join("pki/etcd"));
        if is_tls {
            let of_flag = ca.into_iter().map(|ca| (ca, "--trusted-ca-file"));
            let by_name = directories
                .iter()
                .map(|directory| (directory.join("ca.crt"), PLACE));
            let candidates = of_flag.chain(by_name).collect();
            self.ca(candidates, "the CA of etcd")?;
            let pairs = self.own_pairs(pod, api_server, &directories);
            self.pair(pairs)?;
        }
        let above = directories
            .iter()
            .filter_map(|directory| directory.parent());
        self.cluster_ca(above.map(Path::to_owned).collect())
    }

    /// An etcd that runs elsewhere, as the API server knows it.
    fn external(&mut self, pod: &ApiServerPod) -> Result<(), Error> {
        let manifest = manifests::api_server_path(self.kubernetes);
        self.result.manifest.clone_from(&manifest);
        let Elsewhere {
            endpoints,
            is_tls,
            notes,
        } = Elsewhere::read(&pod.etcd_servers);
        self.result.notes.extend(notes);
        if endpoints.is_empty() {
            self.miss(
                "etcd.endpoints",
                format!(
                    "there is no {}, and {} names no URL of an etcd that can be used",
                    shown(text(&manifests::etcd_path(self.kubernetes))),
                    shown(text(&manifest))
                ),
                "Set it to the client URLs of the members, as https://host:2379.",
            );
        } else {
            self.set("etcd.endpoints", Value::List(endpoints), "--etcd-servers");
        }
        let pki = self.kubernetes.join("pki");
        if is_tls {
            let mut candidates = self.of_flag(pod.etcd_ca_file.as_ref(), "--etcd-cafile");
            candidates.push((pki.join("etcd/ca.crt"), PLACE));
            self.ca(candidates, "the CA of etcd")?;
            let mut pairs = self.pairs_of(
                pod.etcd_cert_file.as_ref(),
                pod.etcd_key_file.as_ref(),
                "--etcd-certfile",
            );
            pairs.push((in_directory(&pki, "apiserver-etcd-client"), PLACE));
            self.pair(pairs)?;
        }
        self.cluster_ca(vec![pki])
    }

    /// What is told and stands in no key of the configuration.
    fn facts(&mut self, pod: &EtcdPod) {
        let text_of = |text: &dyn ToString| Value::Text(text.to_string());
        self.tell("image", text_of(&pod.image), "image of its container");
        match pod.image.version() {
            Some(version) => self.tell("version", text_of(&version), "tag of the image"),
            None => self.result.notes.push(
                "The tag of etcd's image does not say which version it is; hypercloud-etcd check asks the member.".into(),
            ),
        }
        if let Some(name) = &pod.name {
            self.tell("member", text_of(name), "--name");
        }
        if !pod.advertise_peer_urls.is_empty() {
            let urls = Value::List(pod.advertise_peer_urls.clone());
            self.tell("peer URLs", urls, "--initial-advertise-peer-urls");
        }
        for (name, from, path) in [
            (
                "data directory",
                "--data-dir and its hostPath",
                &pod.data_dir,
            ),
            ("WAL directory", "--wal-dir and its hostPath", &pod.wal_dir),
        ] {
            match path {
                Some(Mounted {
                    host: Some(host), ..
                }) => {
                    self.tell(name, Value::Text(text(host)), from);
                }
                Some(Mounted { inside, host: None }) => self.result.notes.push(format!(
                    "The {name} {} is in no hostPath volume: what is in it is lost with the pod.",
                    shown(text(inside))
                )),
                None => {}
            }
        }
        let members = pod.initial_cluster.iter().map(|peer| &peer.name);
        let names = unique(members.filter(|name| Some(*name) != pod.name.as_ref()));
        if !names.is_empty() {
            self.result.notes.push(format!(
                "The cluster has further members ({}): add their client URLs to etcd.endpoints, and a backup is made when this one is down.",
                names.join(", ")
            ));
        }
    }

    /// The pairs by which an etcd on this host lets a client in, the least mighty first.
    fn own_pairs(
        &self,
        pod: &EtcdPod,
        api_server: Option<&ApiServerPod>,
        directories: &[PathBuf],
    ) -> Vec<(Pair, &'static str)> {
        let beside = || directories.iter().map(PathBuf::as_path);
        let above = || beside().filter_map(Path::parent);
        let named = |directory: &Path, stem| (in_directory(directory, stem), PLACE);
        let mut pairs: Vec<_> = beside()
            .map(|directory| named(directory, "healthcheck-client"))
            .collect();
        if let Some(pod) = api_server {
            let from = "kube-apiserver.yaml: --etcd-certfile";
            pairs.extend(self.pairs_of(
                pod.etcd_cert_file.as_ref(),
                pod.etcd_key_file.as_ref(),
                from,
            ));
        }
        pairs.extend(above().map(|directory| named(directory, "apiserver-etcd-client")));
        pairs.extend(self.pairs_of(pod.cert_file.as_ref(), pod.key_file.as_ref(), "--cert-file"));
        pairs.extend(beside().map(|directory| named(directory, "server")));
        pairs
    }

    fn ca(&mut self, candidates: Vec<(PathBuf, &'static str)>, what: &str) -> Result<(), Error> {
        let looked_for = listed(candidates.iter().map(|(path, _)| path));
        match first(candidates, |(path, _)| is_file(path))? {
            Some((path, from)) => self.set("etcd.ca_file", Value::Text(text(&path)), from),
            None => self.miss(
                "etcd.ca_file",
                format!("{what} was not found: there is no {looked_for}"),
                "Set it to the CA that signed etcd's server certificate.",
            ),
        }
        Ok(())
    }

    fn pair(&mut self, candidates: Vec<(Pair, &'static str)>) -> Result<(), Error> {
        let looked_for = listed(candidates.iter().map(|((certificate, _), _)| certificate));
        let is_there = |((certificate, key), _): &(Pair, &'static str)| {
            Ok(is_file(certificate)? && is_file(key)?)
        };
        let Some(((certificate, key), from)) = first(candidates, is_there)? else {
            self.miss(
                "etcd.cert_file",
                format!("no client certificate with its key was found: there is no {looked_for}"),
                "Make one with: kubeadm init phase certs etcd-healthcheck-client; or set cert_file and key_file in [etcd].",
            );
            return Ok(());
        };
        if certificate
            .file_name()
            .is_some_and(|name| name == "server.crt")
        {
            self.result.notes.push(
                "Only etcd's own server certificate was found to log in with. Make one for clients with: kubeadm init phase certs etcd-healthcheck-client".into(),
            );
        }
        self.set("etcd.cert_file", Value::Text(text(&certificate)), from);
        self.set("etcd.key_file", Value::Text(text(&key)), from);
        Ok(())
    }

    /// The CA that is kept beside the backups: with its key, or alone where that is kept elsewhere.
    fn cluster_ca(&mut self, directories: Vec<PathBuf>) -> Result<(), Error> {
        let found = first(directories, |directory| is_file(&directory.join("ca.crt")))?;
        let mut files = Vec::new();
        if let Some(directory) = found {
            files.push(directory.join("ca.crt"));
            let key = directory.join("ca.key");
            if is_file(&key)? {
                files.push(key);
            }
        }
        match files.len() {
            0 => self.result.notes.push(
                "No CA of the cluster was found, so none is kept beside the backups; name its files in pki.files if there is one.".into(),
            ),
            1 => self.result.notes.push(format!(
                "There is no key beside {}, so the CA is kept without it; keep the key safe where it is.",
                listed(files.iter())
            )),
            _ => {}
        }
        let value = Value::List(files.iter().map(|file| text(file)).collect());
        self.set("pki.files", value, PLACE);
        Ok(())
    }

    fn set(&mut self, name: &'static str, value: Value, from: &'static str) {
        self.tell(name, value.clone(), from);
        self.result.values.push((name, value));
    }

    fn tell(&mut self, name: &'static str, value: Value, from: &'static str) {
        self.result.found.push(Found { name, value, from });
    }

    fn miss(&mut self, name: &'static str, message: String, hint: &str) {
        let hint = hint.to_owned();
        self.result.missing.push(Missing {
            name,
            message,
            hint,
        });
    }

    /// Where a file that a manifest names may be: below the directory that stands for
    /// `/etc/kubernetes`, else where it says.
    fn places(&self, file: Option<&Mounted>) -> Vec<PathBuf> {
        let Some(host) = file.and_then(|file| file.host.as_ref()) else {
            return Vec::new();
        };
        let rest = host.strip_prefix(KUBERNETES_DIR).ok();
        let below = rest.map(|rest| self.kubernetes.join(rest));
        below.into_iter().chain([host.clone()]).collect()
    }

    fn of_flag(&self, file: Option<&Mounted>, from: &'static str) -> Vec<(PathBuf, &'static str)> {
        let places = self.places(file).into_iter();
        places.map(|path| (path, from)).collect()
    }

    fn pairs_of(
        &self,
        certificate: Option<&Mounted>,
        key: Option<&Mounted>,
        from: &'static str,
    ) -> Vec<(Pair, &'static str)> {
        let pairs = self.places(certificate).into_iter().zip(self.places(key));
        pairs.map(|pair| (pair, from)).collect()
    }
}
