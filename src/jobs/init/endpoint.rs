//! The client URLs of a manifest as endpoints of the configuration.

use std::net::IpAddr;

use super::shown;
use crate::etcd::Endpoint;
use crate::kubeadm::EtcdPod;

/// The best way to the member on this host, and the flag that names it: over TLS if there is one,
/// and then by the loopback, which stays when addresses change.
pub(super) fn own(pod: &EtcdPod) -> Option<(Endpoint, &'static str)> {
    const LISTEN: &str = "--listen-client-urls";
    let listening = || pod.listen_client_urls.iter().filter_map(|url| read(url));
    let advertised = pod.advertise_client_urls.iter().filter_map(|url| read(url));
    let candidates: Vec<_> = listening()
        .filter(is_loopback)
        .map(|endpoint| (endpoint, LISTEN))
        .chain(advertised.map(|endpoint| (endpoint, "--advertise-client-urls")))
        .chain(listening().map(|endpoint| (endpoint, LISTEN)))
        .collect();
    let is_tls = |(endpoint, _): &&(Endpoint, &str)| endpoint.is_tls();
    candidates
        .iter()
        .find(is_tls)
        .or(candidates.first())
        .cloned()
}

/// A client URL as an endpoint; an address that means all of the host's becomes its loopback.
pub(super) fn read(url: &str) -> Option<Endpoint> {
    let endpoint = Endpoint::parse(url.trim_end_matches('/')).ok()?;
    let scheme = if endpoint.is_tls() { "https" } else { "http" };
    let own = match endpoint.host().parse() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1",
        Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]",
        _ => return Some(endpoint),
    };
    Endpoint::parse(&format!("{scheme}://{own}:{}", endpoint.port())).ok()
}

/// The members that the API server names.
pub(super) struct Elsewhere {
    /// Those that can be used, each once.
    pub(super) endpoints: Vec<String>,
    /// Whether they are reached over TLS; also where there is none, since that is what is missing then.
    pub(super) is_tls: bool,
    /// What was left out, and why.
    pub(super) notes: Vec<String>,
}

impl Elsewhere {
    /// Reads `--etcd-servers`. Where one has TLS, those without it are left out: a configuration may
    /// not mix them.
    pub(super) fn read(urls: &[String]) -> Self {
        let read: Vec<_> = urls.iter().map(|url| (url, read(url))).collect();
        let usable: Vec<&Endpoint> = read.iter().filter_map(|(_, it)| it.as_ref()).collect();
        let is_tls = usable.is_empty() || usable.into_iter().any(Endpoint::is_tls);
        let (mut endpoints, mut notes) = (Vec::new(), Vec::new());
        for (url, endpoint) in read {
            match endpoint.map(|endpoint| (endpoint.is_tls(), endpoint.to_string())) {
                Some((own, endpoint)) if own == is_tls => {
                    if !endpoints.contains(&endpoint) {
                        endpoints.push(endpoint);
                    }
                }
                Some(_) => notes.push(format!(
                    "{} in --etcd-servers is without TLS and was left out, since others have it.",
                    shown(url)
                )),
                None => notes.push(format!(
                    "{} in --etcd-servers cannot be used and was left out; add it to etcd.endpoints as https://host:port.",
                    shown(url)
                )),
            }
        }
        Self {
            endpoints,
            is_tls,
            notes,
        }
    }
}

fn is_loopback(endpoint: &Endpoint) -> bool {
    let address = endpoint.host().parse::<IpAddr>();
    address.map_or(endpoint.host() == "localhost", |address| {
        address.is_loopback()
    })
}
