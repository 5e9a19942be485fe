//! What can go wrong with the journal, or is refused because of what it says.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Way, commands};
use crate::datadir;

/// Why a restore in place cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An earlier one is not over.
    #[error("the {way} that began at {id} is not finished")]
    Unfinished {
        /// When it began.
        id: String,
        /// In which direction it goes.
        way: Way,
        /// What a command that goes on with it needs on this host.
        flags: String,
    },
    /// There is none to go on with.
    #[error("no restore in place was begun on this host: there is no {}", path.display())]
    NoJournal {
        /// Where it would be remembered.
        path: PathBuf,
    },
    /// It is over already.
    #[error("the {way} that began at {id} is finished")]
    Finished {
        /// When it began.
        id: String,
        /// In which direction it went.
        way: Way,
        /// What a command about it needs on this host.
        flags: String,
    },
    /// The journal cannot be read or written.
    #[error("the journal {} cannot be used", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The journal says something that this version does not act on.
    #[error("the journal {} is not valid: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is nothing to return to.
    #[error("there is no data from before the restore in {}", path.display())]
    NoOldData {
        /// Where it would be.
        path: PathBuf,
    },
    /// This host's etcd is not one that can be exchanged.
    #[error("the etcd of this host cannot be restored in place: {why}")]
    Unfit {
        /// What about it.
        why: String,
        /// What to do.
        hint: String,
    },
    /// The new cluster would not have this host's member.
    #[error(
        "this host is the member {name} at {urls}, and the cluster to restore has no such member: {initial_cluster}"
    )]
    OtherHost {
        /// This host's member.
        name: String,
        /// Its peer URLs.
        urls: String,
        /// The members of the new cluster.
        initial_cluster: String,
    },
    /// The backup was made under another CA.
    #[error("the backup is of a cluster whose CA is {backup}; the CA of this host is {host}")]
    OtherCa {
        /// The backup's, by its fingerprint.
        backup: String,
        /// The host's.
        host: String,
        /// Where the backup's copy is.
        copies: PathBuf,
    },
    /// What runs on this host is another cluster than the backup's.
    #[error("etcd runs here as cluster {now}, and the backup is of cluster {backup}")]
    OtherCluster {
        /// The one that runs.
        now: String,
        /// The backup's.
        backup: String,
    },
    /// The members of the new cluster.
    #[error("the initial cluster cannot be used")]
    Membership(#[source] datadir::Error),
    /// Hosts that would each find a token or a bump of their own never become one cluster.
    #[error("all {members} members need the same options, which were not given: {missing}")]
    Apart {
        /// How many.
        members: usize,
        /// What this host has found, as it is to be given.
        missing: String,
    },
    /// Members that are left out serve the old data.
    #[error("{members} still serves the old data, and is left out of the cluster to restore")]
    StillServing {
        /// They.
        members: String,
    },
    /// There is something where data would be moved to.
    #[error("{} is in the way", path.display())]
    InTheWay {
        /// It.
        path: PathBuf,
    },
    /// The snapshot's file is another one by now.
    #[error("{} has changed since the restore began: its SHA-256 is no longer {sha256}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What it was when the restore began.
        sha256: String,
    },
    /// etcd does not answer, or not what it should.
    #[error("etcd at {endpoint} does not serve the restored data after {after:?}: {why}")]
    Silent {
        /// Where it was asked.
        endpoint: String,
        /// How long was waited.
        after: Duration,
        /// What came of it last.
        why: String,
        /// The members of the new cluster.
        members: usize,
    },
    /// The keys are not those of the snapshot.
    #[error("etcd has {found} keys at revision {revision}, the snapshot has {expected}")]
    Differs {
        /// What etcd counts.
        found: u64,
        /// What the snapshot has.
        expected: u64,
        /// Where both are counted.
        revision: u64,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Unfinished { way: Way::Forward, flags, .. } => format!(
                "Go on with: hypercloud-etcd restore --resume{flags}; or return to the old data with: hypercloud-etcd restore --rollback{flags}"
            ),
            Error::Unfinished { way: Way::Back, flags, .. } => {
                format!("Go on with: hypercloud-etcd restore --rollback{flags}")
            }
            Error::NoJournal { .. } => {
                "Name another Kubernetes directory with --kubernetes-dir, or begin one with: hypercloud-etcd restore SELECTOR --in-place".into()
            }
            Error::Finished { way: Way::Forward, flags, .. } => format!(
                "To return to the data from before it: hypercloud-etcd restore --rollback{flags}"
            ),
            Error::Finished { way: Way::Back, .. } => {
                "See the backups with: hypercloud-etcd list".into()
            }
            Error::NoOldData { .. } => "It was removed, or there was none. Restore another backup: hypercloud-etcd list".into(),
            Error::Damaged { path, .. } => format!(
                "See what is where with: cat {}; its fields `places` and `steps` say what was moved.",
                path.display()
            ),
            Error::Unfit { hint, .. } => hint.clone(),
            Error::OtherHost { .. } => {
                "Choose a backup of this cluster with: hypercloud-etcd list; or, where hosts were renamed or moved, or fewer are to be restored, name the members with --initial-cluster NAME=URL,NAME=URL".into()
            }
            Error::OtherCa { copies, .. } => format!(
                "Certificates and tokens in the data are of that CA. Put its files back first, they are in {}; or go on with --allow-other-cluster",
                copies.display()
            ),
            Error::OtherCluster { .. } => {
                "Nothing on this host tells that the one came of the other. See which cluster a backup is of with: hypercloud-etcd show SELECTOR; if this is the host and the backup that you mean, go on with --allow-other-cluster".into()
            }
            Error::Membership(error) => return error.hint(),
            Error::Apart { .. } => {
                "Give them to each, on its host. On kubeadm hosts, take the whole command of each from: hypercloud-etcd restore SELECTOR --plan".into()
            }
            Error::StillServing { .. } => format!(
                "There would be two clusters, each with API servers. Stop them first, on each of their hosts: {}",
                commands::out_of_sight(None, &["kube-apiserver.yaml", "etcd.yaml"])
            ),
            Error::InTheWay { path } => format!(
                "See what it is, and move it elsewhere: mv {0} {0}.old",
                path.display()
            ),
            Error::Changed { .. } => {
                "Put the same file back, or return to the old data with: hypercloud-etcd restore --rollback".into()
            }
            Error::Silent { members: 2.., .. } => {
                "It answers once most members run: restore the other hosts, then: hypercloud-etcd restore --resume. See what it says: crictl logs $(crictl ps -aq --name etcd | head -n 1)".into()
            }
            Error::Silent { .. } => {
                "See what it says: crictl logs $(crictl ps -aq --name etcd | head -n 1); and whether the kubelet runs: systemctl status kubelet".into()
            }
            Error::Differs { .. } => {
                "Something writes to etcd that is not stopped, or it runs on other data. Return to the old data with: hypercloud-etcd restore --rollback".into()
            }
            Error::Journal { source, .. } => return journal_hint(source),
        })
    }
}

fn journal_hint(source: &io::Error) -> Option<String> {
    let is_denied = source.kind() == io::ErrorKind::PermissionDenied;
    is_denied.then(|| "Run as root: it stops and starts what belongs to root.".into())
}
