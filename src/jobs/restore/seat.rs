//! The cluster that a restore begins, and which of its members this host is: the options of
//! etcdutl, with its defaults where they fit. Where nobody says anything, a kubeadm host does.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Request;
use crate::datadir::{Member, Membership, PeerUrl, Version};
use crate::error::{Error, Refusal};
use crate::jobs::manifests;
use crate::kubeadm::EtcdPod;
use crate::recovery;
use crate::snapshot;

/// The member as the operator describes it.
#[derive(Debug, Clone, Default)]
pub struct Seat {
    /// Its name.
    pub name: Option<String>,
    /// All members, as `--initial-cluster` takes them; this one alone where it is not given.
    pub initial_cluster: Option<String>,
    /// What sets the new cluster apart from the old one; a fresh one where it is not given.
    pub token: Option<String>,
    /// Where the peers of this one reach it, by commas; as `initial_cluster` says where it is not given.
    pub advertised: Option<String>,
}

/// The name of a member of which nothing is said, as with etcdutl.
const DEFAULT_NAME: &str = "default";
/// Where such a one is reached.
const DEFAULT_URL: &str = "http://localhost:2380";

/// The cluster and the member of it that are made.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) membership: Membership,
    pub(super) member: Member,
    /// The manifest that says so, where nobody else did.
    pub(super) from: Option<PathBuf>,
    /// What people should know of it.
    pub(super) warnings: Vec<String>,
}

/// What this host says of its etcd.
#[derive(Debug)]
pub(super) struct Host {
    manifest: PathBuf,
    pod: Option<EtcdPod>,
    /// Why its manifest says nothing.
    unusable: Option<String>,
}

impl Host {
    /// Reads the manifest. One that cannot be used is in the way only where the version of etcd is
    /// to be had from it.
    pub(super) fn read(request: &Request) -> Result<Self, Error> {
        let (pod, unusable) = match manifests::etcd(&request.kubernetes_dir) {
            Ok(pod) => (pod, None),
            Err(error) if request.etcd_version.is_some() => (None, Some(error.in_a_line())),
            Err(error) => return Err(error),
        };
        Ok(Host {
            manifest: manifests::etcd_path(&request.kubernetes_dir),
            pod,
            unusable,
        })
    }

    /// The etcd that is to start.
    pub(super) fn etcd_version(&self) -> Option<Version> {
        let version = self.pod.as_ref()?.image.version()?;
        Version::parse(&version.to_string())
    }

    /// The data directory that etcd has now.
    pub(super) fn data_dir(&self) -> Option<&Path> {
        let mounted = self.pod.as_ref()?.data_dir.as_ref()?;
        mounted.host.as_deref()
    }

    /// `name=url` of its member, which has to be one of the snapshot's; else why it is none.
    fn member(&self, members: &[snapshot::Member]) -> Option<Result<String, String>> {
        let Some(pod) = &self.pod else {
            return self.unusable.clone().map(Err);
        };
        let Some(name) = pod.name.as_ref().filter(|_| pod.config_file.is_none()) else {
            return Some(Err("it has no --name".into()));
        };
        let Some(member) = members.iter().find(|member| member.name == *name) else {
            return Some(Err(format!("the snapshot has no member {name}")));
        };
        let sorted = |urls: &[String]| {
            let mut urls = urls.to_vec();
            urls.sort();
            urls.join(",")
        };
        let (own, recorded) = (sorted(&pod.advertise_peer_urls), sorted(&member.peer_urls));
        if own != recorded {
            return Some(Err(format!(
                "{name} is at {own} there, and at {recorded} in the snapshot"
            )));
        }
        Some(Ok(at_each(name, &own)))
    }
}

impl Seat {
    /// The cluster and this member of it, where anything of them was said.
    pub(super) fn said(&self, now: Timestamp) -> Result<Option<Taken>, Error> {
        let said = [&self.name, &self.initial_cluster, &self.advertised];
        if said.iter().all(|it| it.is_none()) {
            return Ok(None);
        }
        self.take(now).map(Some)
    }

    /// The same where nothing was said: this host's member, alone, if it is one of the snapshot's.
    pub(super) fn follow(
        &self,
        host: &Host,
        members: &[snapshot::Member],
        now: Timestamp,
    ) -> Result<Taken, Error> {
        let manifest = host.manifest.display();
        let why = match host.member(members) {
            None => return self.take(now),
            Some(Ok(cluster)) => {
                let seat = Seat {
                    name: cluster.split('=').next().map(str::to_owned),
                    initial_cluster: Some(cluster),
                    ..self.clone()
                };
                let mut taken = seat.take(now)?;
                taken.from = Some(host.manifest.clone());
                taken.warnings.extend(left_out(&taken.member, members));
                return Ok(taken);
            }
            Some(Err(why)) => why,
        };
        let mut taken = self.take(now)?;
        taken.warnings.push(format!(
            "the member is named {DEFAULT_NAME}, at {DEFAULT_URL}, as by etcdutl, and not as in {manifest}: {why} \
             (--name and --initial-advertise-peer-urls name it)"
        ));
        Ok(taken)
    }

    fn take(&self, now: Timestamp) -> Result<Taken, Error> {
        let name = self.name.as_deref().unwrap_or(DEFAULT_NAME);
        let alone = || at_each(name, self.advertised.as_deref().unwrap_or(DEFAULT_URL));
        let cluster = self.initial_cluster.clone().unwrap_or_else(alone);
        let fresh = fresh_token(now);
        let token = self.token.as_deref().unwrap_or(&fresh);
        let membership = Membership::parse(&cluster, token)?;
        let member = membership.member(name)?.clone();
        if let Some(advertised) = &self.advertised {
            let advertised = PeerUrl::parse_list(advertised)?;
            if advertised != member.peer_urls {
                return Err(Refusal::Advertised {
                    name: name.to_owned(),
                    advertised: listed(&advertised),
                    expected: listed(&member.peer_urls),
                }
                .into());
            }
        }
        Ok(Taken {
            membership,
            member,
            from: None,
            warnings: Vec::new(),
        })
    }

    /// Several members have to be told the same token, and a bump that was not `reckoned`.
    pub(super) fn require_agreement(
        &self,
        membership: &Membership,
        reckoned: Option<u64>,
    ) -> Result<(), recovery::Error> {
        let token = self.token.is_none().then_some(membership.token());
        let missing = recovery::shared(token, reckoned);
        recovery::require_agreement(membership.members().len(), &missing)
    }
}

/// The one member at each of its URLs, as `--initial-cluster` takes it.
fn at_each(name: &str, urls: &str) -> String {
    let parts: Vec<String> = urls.split(',').map(|url| format!("{name}={url}")).collect();
    parts.join(",")
}

/// Says which members of the snapshot are none of the new cluster.
fn left_out(own: &Member, members: &[snapshot::Member]) -> Option<String> {
    let names = members.iter().map(|member| member.name.as_str());
    let others: Vec<&str> = names
        .filter(|name| !name.is_empty() && *name != own.name)
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "{} is the only member of the new cluster; the snapshot has {}, too (--initial-cluster names them all)",
            own.name,
            others.join(" and ")
        )
    })
}

fn listed(urls: &[PeerUrl]) -> String {
    let urls: Vec<&str> = urls.iter().map(PeerUrl::as_str).collect();
    urls.join(",")
}

/// A token that no other restore has: with the old cluster's, a member of it that still runs could
/// join the new one.
fn fresh_token(now: Timestamp) -> String {
    format!("etcd-{}", now.strftime("%Y%m%dT%H%M%S.%9fZ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_763_800_000 + seconds).unwrap()
    }

    fn seat(name: &str) -> Seat {
        Seat {
            name: Some(name.into()),
            ..Seat::default()
        }
    }

    #[test]
    fn a_member_of_which_nothing_is_said_is_the_one_that_etcdutl_makes() {
        let taken = Seat::default().take(at(0)).unwrap();
        assert_eq!(
            taken.membership.to_string(),
            "default=http://localhost:2380"
        );
        assert_eq!(taken.member.name, "default");
        let other = Seat::default().take(at(1)).unwrap();
        assert_ne!(taken.membership.cluster_id(), other.membership.cluster_id());
        assert!(Seat::default().said(at(0)).unwrap().is_none());
    }

    #[test]
    fn what_is_not_said_follows_from_what_is() {
        let alone = Seat {
            advertised: Some("https://10.0.0.1:2380,https://h:2380".into()),
            ..seat("m1")
        };
        let taken = alone.said(at(0)).unwrap().unwrap();
        assert_eq!(
            taken.membership.to_string(),
            "m1=https://10.0.0.1:2380,m1=https://h:2380"
        );
        let one_of_two = Seat {
            initial_cluster: Some("m1=https://a:1,m2=https://b:1".into()),
            token: Some("t".into()),
            ..seat("m2")
        };
        let taken = one_of_two.take(at(0)).unwrap();
        assert_eq!(listed(&taken.member.peer_urls), "https://b:1");
    }

    #[test]
    fn members_that_would_not_find_each_other_are_refused() {
        let mut trio = Seat {
            initial_cluster: Some("m1=https://a:1,m2=https://b:1,m3=https://c:1".into()),
            advertised: Some("https://b:1".into()),
            ..seat("m1")
        };
        let refused = trio.take(at(0)).unwrap_err();
        assert!(matches!(
            refused,
            Error::Refused(Refusal::Advertised { .. })
        ));
        trio.advertised = None;
        let membership = trio.take(at(0)).unwrap().membership;
        let options = |seat: &Seat, reckoned| match seat.require_agreement(&membership, reckoned) {
            Err(recovery::Error::Apart { missing, .. }) => missing,
            other => panic!("{other:?}"),
        };
        let token = format!("--initial-cluster-token {}", membership.token());
        assert_eq!(options(&trio, None), token);
        let both = format!("{token} --bump-revision 7 --mark-compacted");
        assert_eq!(options(&trio, Some(7)), both);
        trio.token = Some("t".into());
        assert_eq!(
            options(&trio, Some(7)),
            "--bump-revision 7 --mark-compacted"
        );
        assert!(trio.require_agreement(&membership, None).is_ok());
    }
}
