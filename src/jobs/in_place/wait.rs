//! Waiting for what others do: the kubelet, etcd, the other hosts. Always with a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Progress, Run, is_forward};
use crate::config::Config;
use crate::datadir;
use crate::error::Error;
use crate::etcd::{self, Client, Endpoint, Settings};
use crate::host::{self, Process, open_below, running};
use crate::recovery::{self, Expected, Journal, Pod};
use crate::sha256::Sha256;

/// How often is looked again.
const POLL: Duration = Duration::from_millis(200);
/// How long one try to reach etcd takes at most: there is another after it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long nothing may be seen to run before an etcd counts as stopped that was never seen to run:
/// one that crashes again and again may be started once more by a kubelet that looks at its
/// manifests every 20 seconds.
const QUIET: Duration = Duration::from_secs(25);

/// Waits until no process has the data open, and none of the pods' commands runs.
pub(super) async fn until_stopped(journal: &Journal, run: &Run<'_>) -> Result<(), Error> {
    let began = Instant::now();
    let mut quiet_since = None;
    loop {
        let left = left(journal)?;
        if left.is_empty() {
            let since = *quiet_since.get_or_insert_with(Instant::now);
            if journal.was_running || since.elapsed() >= QUIET {
                return Ok(());
            }
            let waiting = "whether the kubelet starts etcd once more".to_owned();
            (run.progress)(&Progress::Waiting(waiting));
        } else {
            quiet_since = None;
            let names: Vec<String> = left.iter().map(Process::to_string).collect();
            let processes = names.join(", ");
            if began.elapsed() >= run.wait {
                let after = run.wait;
                return Err(host::Error::StillRunning { processes, after }.into());
            }
            (run.progress)(&Progress::Waiting(format!("the end of {processes}")));
        }
        sleep(POLL).await;
    }
}

/// The processes that are to end.
fn left(journal: &Journal) -> Result<Vec<Process>, Error> {
    let live = &journal.places.live;
    let mut left = open_below(live)?;
    if left.is_empty() && datadir::in_use(journal.places.data_dir())? {
        // held by somebody whom /proc does not show
        left.push(Process::unseen());
    }
    for pod in &journal.pods {
        left.extend(runs(pod)?);
    }
    left.sort_by_key(|process| process.id);
    left.dedup();
    Ok(left)
}

fn runs(pod: &Pod) -> Result<Vec<Process>, Error> {
    Ok(running(&|line| pod.commands.contains(&Sha256::of(line)))?)
}

/// Waits until the processes of the control plane are there again.
pub(super) async fn until_running(journal: &Journal, run: &Run<'_>) -> Result<(), Error> {
    let deadline = Instant::now() + run.wait;
    for pod in journal.pods.iter().filter(|pod| !pod.etcd) {
        while !pod.commands.is_empty() && runs(pod)?.is_empty() {
            if Instant::now() >= deadline {
                let (pod, after) = (pod.file.clone(), run.wait);
                return Err(host::Error::NotStarted { pod, after }.into());
            }
            (run.progress)(&Progress::Waiting(format!("the pod of {}", pod.file)));
            sleep(POLL).await;
        }
    }
    Ok(())
}

/// Waits until this host's member answers: on the way forward with the restored data, on the way
/// back with any.
pub(super) async fn until_etcd_answers(
    config: &Config,
    journal: &Journal,
    run: &Run<'_>,
) -> Result<(), Error> {
    let endpoint = Endpoint::parse(&journal.expected.endpoint)?;
    let settings = Settings {
        endpoints: vec![endpoint.clone()],
        connect_timeout: config.etcd.connect_timeout.min(PATIENCE),
        ..config.etcd.clone()
    };
    let expected = is_forward(journal).then_some(&journal.expected);
    let deadline = Instant::now() + run.wait;
    loop {
        let why = match ask(&settings, &endpoint, expected).await {
            Ok(None) => return Ok(()),
            Ok(Some(why)) => why,
            Err(Error::Etcd(error)) => error.to_string(),
            Err(error) => return Err(error),
        };
        if Instant::now() >= deadline {
            return Err(recovery::Error::Silent {
                endpoint: endpoint.to_string(),
                after: run.wait,
                why,
                members: journal.expected.members,
            }
            .into());
        }
        (run.progress)(&Progress::Waiting(waiting_for(journal, &why)?));
        sleep(POLL).await;
    }
}

/// An etcd that runs and does not serve yet waits for the others.
fn waiting_for(journal: &Journal, why: &str) -> Result<String, Error> {
    let members = journal.expected.members;
    let is_running = !open_below(&journal.places.live)?.is_empty();
    Ok(match (is_running, members) {
        (true, 2..) if is_forward(journal) => format!(
            "{} of {members} members; etcd runs here, restore the other hosts now ({why})",
            members / 2 + 1
        ),
        (true, _) => format!("an answer of etcd, which runs ({why})"),
        (false, _) => format!("etcd's process ({why})"),
    })
}

/// Asks once; why to wait on, where there is a reason.
async fn ask(
    settings: &Settings,
    endpoint: &Endpoint,
    expected: Option<&Expected>,
) -> Result<Option<String>, Error> {
    let mut client = Client::connect(settings, endpoint).await?;
    let status = client.status().await?;
    if status.leader == 0 {
        return Ok(Some("it knows no leader".into()));
    }
    let Some(expected) = expected else {
        return Ok(None);
    };
    let cluster_id = format!("{:x}", status.cluster_id);
    if cluster_id != expected.cluster_id {
        return Ok(Some(format!(
            "it is of cluster {cluster_id}, not {}",
            expected.cluster_id
        )));
    }
    let revision = u64::try_from(status.revision).unwrap_or(0);
    if revision < expected.revision {
        return Ok(Some(format!("it is at revision {revision}")));
    }
    let at = i64::try_from(expected.revision).unwrap_or(i64::MAX);
    let found = match client.count_keys(at).await {
        Ok(found) => found,
        // somebody who is not stopped has written and compacted already; the revision has told enough
        Err(etcd::Error::Compacted { .. }) => return Ok(None),
        // auth is on, and the status was all that this certificate may see
        Err(error @ etcd::Error::Denied { .. }) => {
            tracing::warn!("the keys were not counted: {error}");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if found == expected.keys {
        return Ok(None);
    }
    Err(recovery::Error::Differs {
        found,
        expected: expected.keys,
        revision: expected.revision,
    }
    .into())
}
