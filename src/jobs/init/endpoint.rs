//! The client URLs of a manifest as endpoints of the configuration.

use std::net::IpAddr;

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

fn is_loopback(endpoint: &Endpoint) -> bool {
    let address = endpoint.host().parse::<IpAddr>();
    address.map_or(endpoint.host() == "localhost", |address| {
        address.is_loopback()
    })
}
