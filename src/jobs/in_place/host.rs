//! What this host says of its etcd, and whether that can be exchanged in place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::pods;
use crate::certificate;
use crate::datadir::Version;
use crate::error::{Error, Refusal};
use crate::etcd::{Endpoint, Settings};
use crate::host::{is_mount_point, is_on_one_file_system};
use crate::jobs::manifests;
use crate::jobs::restore::Chosen;
use crate::kubeadm::{EtcdPod, Mounted};
use crate::recovery::{self, Host, Journal, Plan};
use crate::snapshot::Facts;
use crate::store::{self, Directory};

/// This host.
pub(super) struct Found {
    pub(super) member: Host,
    /// The etcd that is to start from the data.
    pub(super) etcd: Option<Version>,
    /// What people should know of it.
    pub(super) warnings: Vec<String>,
}

/// Reads the manifests.
pub(super) fn read(kubernetes: &Path) -> Result<Found, Error> {
    if let Ok(false) = kubernetes.join("manifests").try_exists() {
        return Err(no_etcd(&kubernetes.join("manifests")));
    }
    // as paths that mean the same from everywhere
    let kubernetes = fs::canonicalize(kubernetes).map_err(|source| Error::Read {
        path: kubernetes.into(),
        source,
    })?;
    let directory = kubernetes.join("manifests");
    let pods = pods::scan(&directory)?;
    let path = pods
        .etcd
        .unwrap_or_else(|| manifests::etcd_path(&kubernetes));
    let Some(pod) = manifests::read(path.clone(), EtcdPod::parse)? else {
        return Err(no_etcd(&directory));
    };
    let data_dir = data_dir(&pod, &path)?;
    let is_mount_point = data_dir.exists() && is_mount_point(&data_dir)?;
    let live = if is_mount_point {
        data_dir.join("member")
    } else {
        data_dir.clone()
    };
    let no_name = || missing(&path, "--name");
    let member = Host {
        name: pod.name.clone().ok_or_else(no_name)?,
        peer_urls: pod.advertise_peer_urls.clone(),
        endpoint: endpoint(&pod, &path)?,
        is_mount_point,
        has_data: live.symlink_metadata().is_ok(),
        data_dir,
        pods: pods.stopped,
        kubernetes,
    };
    let etcd = pod.image.version();
    Ok(Found {
        member,
        etcd: etcd.and_then(|version| Version::parse(&version.to_string())),
        warnings: pods.warnings,
    })
}

fn no_etcd(manifests: &Path) -> Error {
    unfit(
        format!("there is no manifest of etcd in {}", manifests.display()),
        "Run this on a control-plane node whose etcd is a static pod, or name its files with --kubernetes-dir. For any other etcd, restore to a directory: hypercloud-etcd restore SELECTOR --data-dir DIR",
    )
}

/// The data directory on the host, where it and nothing else holds the member's data.
fn data_dir(pod: &EtcdPod, manifest: &Path) -> Result<PathBuf, Error> {
    if let Some(file) = &pod.config_file {
        return Err(unfit(
            format!("it is configured by {}", file.inside.display()),
            "Restore to a directory, and move that in place by hand: hypercloud-etcd restore SELECTOR --data-dir DIR",
        ));
    }
    if let Some(wal) = &pod.wal_dir {
        return Err(unfit(
            format!(
                "its log has a place of its own, --wal-dir={}",
                wal.inside.display()
            ),
            "Restore to directories, and move these in place by hand: hypercloud-etcd restore SELECTOR --data-dir DIR --wal-dir DIR",
        ));
    }
    let Some(Mounted { inside, host }) = &pod.data_dir else {
        return Err(missing(manifest, "--data-dir"));
    };
    let Some(host) = host else {
        return Err(unfit(
            format!(
                "its data directory {} is in no hostPath volume",
                inside.display()
            ),
            "Data that is not on the host ends with the pod. Mount a hostPath volume there.",
        ));
    };
    match fs::canonicalize(host) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(host.clone()),
        Err(source) => Err(Error::Read {
            path: host.clone(),
            source,
        }),
    }
}

/// Where the member is asked from here: on loopback, if it listens there.
fn endpoint(pod: &EtcdPod, manifest: &Path) -> Result<String, Error> {
    let own = pod.listen_client_urls.iter();
    let urls = own.chain(&pod.advertise_client_urls);
    let endpoints: Vec<Endpoint> = urls.filter_map(|url| Endpoint::parse(url).ok()).collect();
    let is_local = |endpoint: &&Endpoint| {
        let address = endpoint.host().parse::<std::net::IpAddr>();
        address.is_ok_and(|address| address.is_loopback())
    };
    let found = endpoints.iter().find(is_local).or(endpoints.first());
    found
        .map(ToString::to_string)
        .ok_or_else(|| missing(manifest, "--listen-client-urls"))
}

impl Found {
    /// Whether the etcd of this host starts from the data, and whether there is room for it.
    pub(super) fn require_fit(&self, plan: &Plan, facts: &Facts) -> Result<(), Error> {
        let journal = plan.journal();
        let mut recipe = super::perform::recipe(&journal, None)?;
        recipe.etcd = self.etcd;
        recipe.check(facts)?;
        let staging = &journal.places.staging;
        let above = staging.parent().unwrap_or(staging);
        let space = Directory::open(above)?.space()?;
        let needed = recipe.space(facts);
        if space.free < needed {
            return Err(Refusal::Space {
                path: above.into(),
                needed,
                free: space.free,
            }
            .into());
        }
        Ok(())
    }

    /// The certificates and tokens in the data are of the CA of their time.
    pub(super) fn require_its_ca(&self, chosen: &Chosen) -> Result<(), Error> {
        let Some(copies) = chosen.manifest().and_then(|manifest| manifest.pki.as_ref()) else {
            return Ok(());
        };
        let path = self.member.kubernetes.join("pki/ca.crt");
        let found = certificate::read(&path).unwrap_or_default();
        let Some(ca) = found.first() else {
            return Ok(());
        };
        let backup = copies.fingerprint.to_string();
        if ca.fingerprint == backup {
            return Ok(());
        }
        let above = chosen.path().parent().unwrap_or(Path::new("."));
        Err(recovery::Error::OtherCa {
            host: ca.fingerprint.clone(),
            copies: above.join(crate::pki::DIRECTORY).join(&backup),
            backup,
        }
        .into())
    }
}

/// At the end etcd is asked whether it serves: what that takes is looked for before the beginning.
pub(super) fn require_access(settings: &Settings, endpoint: &str) -> Result<(), Error> {
    if !Endpoint::parse(endpoint)?.is_tls() {
        return Ok(());
    }
    for path in [&settings.ca_file, &settings.cert_file, &settings.key_file] {
        if let Err(error) = store::open_file(path) {
            return Err(unfit(
                format!(
                    "{} cannot be read, so nobody could tell afterwards whether etcd serves: {error}",
                    path.display()
                ),
                "Name the files of a client of etcd in [etcd] of the configuration, and see whether they are right: hypercloud-etcd check",
            ));
        }
    }
    Ok(())
}

/// Nothing may be in the way of what is moved, and all of it has to be on one file system.
pub(super) fn require_room(journal: &Journal) -> Result<(), Error> {
    let places = &journal.places;
    let parked = journal.pods.iter().map(|pod| places.parked.join(&pod.file));
    let moved = [&places.aside, &places.staging, &places.undone];
    for path in moved.into_iter().cloned().chain(parked) {
        if path.symlink_metadata().is_ok() {
            return Err(recovery::Error::InTheWay { path }.into());
        }
    }
    let kubernetes = places.kubernetes();
    if !is_on_one_file_system(&places.manifests, kubernetes)? {
        return Err(unfit(
            format!("{} is a file system of its own", places.manifests.display()),
            "The manifests are moved to a directory beside it, which has to be on the same one.",
        ));
    }
    Ok(())
}

fn missing(manifest: &Path, flag: &str) -> Error {
    unfit(
        format!("{} has no {flag}", manifest.display()),
        "kubeadm writes it. See what it would write: kubeadm init phase etcd local --dry-run",
    )
}

pub(super) fn unfit(why: String, hint: &str) -> Error {
    recovery::Error::Unfit {
        why,
        hint: hint.into(),
    }
    .into()
}
