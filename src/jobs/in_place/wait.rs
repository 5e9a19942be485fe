//! Waiting for what others do: the kubelet, etcd, the other hosts. Always with a deadline.
//!
//! That a pod is gone is told by three witnesses, and all have to say so. `/proc` shows every process of
//! every container, whichever runtime started it, and the lock on the database who is not seen there. The
//! container runtime knows what `/proc` cannot tell: a container that is made and not started yet, and one
//! whose command no manifest names. It may say that something is left, never that all is gone while a
//! process is there; and where it does not answer, the other two decide.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::runtime::{Listed, Runtime};
use super::{Progress, Run, is_forward};
use crate::config::Config;
use crate::datadir;
use crate::error::Error;
use crate::etcd::{self, Alarm, Client, Endpoint, Settings};
use crate::host::{self, Process, open_below, running};
use crate::recovery::{self, Expected, Journal, Pod};
use crate::sha256::Sha256;

/// How often is looked again.
const POLL: Duration = Duration::from_millis(200);
/// How long one try to reach etcd takes at most: there is another after it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long nothing may be seen to run before an etcd counts as stopped that was not seen to end: one
/// that crashes again and again may be started once more by a kubelet that looks at its
/// manifests every 20 seconds.
const QUIET: Duration = Duration::from_secs(25);

/// Waits until no process has the data open, none of the pods' commands runs, and the container runtime
/// has none of their containers, as far as it answers.
pub(super) async fn until_stopped(journal: &Journal, run: &Run<'_>) -> Result<(), Error> {
    let began = Instant::now();
    let mut quiet = Quiet {
        is_seen: journal.was_running,
        since: None,
    };
    let mut runtime = Runtime::find(journal, run);
    loop {
        run.require_undisturbed()?;
        let left = Left::look(journal, &mut runtime).await?;
        quiet.is_seen |= left.is_etcd;
        if quiet.is_certain(left.is_empty(), Instant::now()) {
            return Ok(());
        }
        if left.is_empty() {
            let waiting = "whether the kubelet starts etcd once more".to_owned();
            (run.progress)(&Progress::Waiting(waiting));
        } else {
            if began.elapsed() >= run.wait {
                return Err(left.after(run.wait).into());
            }
            (run.progress)(&Progress::Waiting(format!("the end of {}", left.names())));
        }
        sleep(POLL).await;
    }
}

/// Whether all that ran has ended for good.
struct Quiet {
    /// An etcd was seen to run. Of the end of another pod nothing follows for it.
    is_seen: bool,
    /// Since when nothing runs.
    since: Option<Instant>,
}

impl Quiet {
    fn is_certain(&mut self, is_quiet: bool, now: Instant) -> bool {
        if !is_quiet {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        self.is_seen || now.duration_since(since) >= QUIET
    }
}

/// What is to end.
#[derive(Default)]
struct Left {
    processes: Vec<Process>,
    listed: Listed,
    /// Whether an etcd is among it that runs.
    is_etcd: bool,
}

impl Left {
    async fn look(journal: &Journal, runtime: &mut Runtime<'_>) -> Result<Self, Error> {
        let left = Self::processes(journal)?;
        if !left.is_empty() {
            return Ok(left);
        }
        // what it has started by now was not there for the others to see
        let listed = runtime.left().await;
        if listed.is_empty() {
            // and what has started while it answered, which may take seconds, was not there for it
            return Self::processes(journal);
        }
        Ok(Left {
            is_etcd: listed.is_etcd,
            listed,
            ..left
        })
    }

    fn processes(journal: &Journal) -> Result<Self, Error> {
        let live = &journal.places.live;
        let mut processes = open_below(live)?;
        if processes.is_empty() && datadir::in_use(journal.places.data_dir())? {
            // held by somebody whom /proc does not show
            processes.push(Process::unseen());
        }
        let mut is_etcd = !processes.is_empty();
        for pod in &journal.pods {
            let runs = runs(pod)?;
            is_etcd |= pod.etcd && !runs.is_empty();
            processes.extend(runs);
        }
        processes.sort_by_key(|process| process.id);
        processes.dedup();
        Ok(Left {
            processes,
            is_etcd,
            ..Left::default()
        })
    }

    fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.listed.is_empty()
    }

    fn names(&self) -> String {
        let processes = self.processes.iter().map(Process::to_string);
        let names: Vec<String> = processes.chain(self.listed.names()).collect();
        names.join(", ")
    }

    /// That it is still there after so long.
    fn after(&self, after: Duration) -> host::Error {
        let names = self.names();
        if self.processes.is_empty() {
            return host::Error::StillListed {
                socket: self.listed.socket.clone(),
                containers: names,
                after,
            };
        }
        let processes = names;
        host::Error::StillRunning { processes, after }
    }
}

fn runs(pod: &Pod) -> Result<Vec<Process>, Error> {
    Ok(running(&|line| pod.commands.contains(&Sha256::of(line)))?)
}

/// Waits until the processes of the control plane are there again.
pub(super) async fn until_running(journal: &Journal, run: &Run<'_>) -> Result<(), Error> {
    let deadline = Instant::now() + run.wait;
    for pod in journal.pods.iter().filter(|pod| !pod.etcd) {
        while !pod.commands.is_empty() && runs(pod)?.is_empty() {
            run.require_undisturbed()?;
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
    let (settings, endpoint) = member(config, journal)?;
    let expected = is_forward(journal).then_some(&journal.expected);
    let deadline = Instant::now() + run.wait;
    loop {
        run.require_undisturbed()?;
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

/// How this host's member is asked, again and again.
fn member(config: &Config, journal: &Journal) -> Result<(Settings, Endpoint), Error> {
    let endpoint = Endpoint::parse(&journal.expected.endpoint)?;
    let settings = Settings {
        endpoints: vec![endpoint.clone()],
        connect_timeout: config.etcd.connect_timeout.min(PATIENCE),
        ..config.etcd.clone()
    };
    Ok((settings, endpoint))
}

/// Tells of the alarms that have come back with the data: etcd serves, and refuses to write.
pub(super) async fn tell_alarms(config: &Config, journal: &Journal, run: &Run<'_>) {
    let warn = |text: String| (run.progress)(&Progress::Warning(text));
    match alarms(config, journal).await {
        Ok(alarms) if alarms.is_empty() => {}
        Ok(alarms) => {
            let kinds = alarms.iter().map(|alarm| format!("{:?}", alarm.kind));
            let kinds: Vec<String> = kinds.collect();
            warn(format!(
                "the alarm {} was in the backup and goes on: until it is ended, etcd may refuse to write. End it with: \
                 etcdctl alarm disarm; the next restore leaves it behind with --clear-alarms",
                kinds.join(" and ")
            ));
        }
        // auth is on, and this certificate may not see them
        Err(Error::Etcd(error @ etcd::Error::Denied { .. })) => {
            tracing::warn!("nobody looked for alarms: {error}");
        }
        Err(error) => warn(format!(
            "nobody knows whether an alarm came back with the data: {}",
            error.in_a_line()
        )),
    }
}

async fn alarms(config: &Config, journal: &Journal) -> Result<Vec<Alarm>, Error> {
    let (settings, endpoint) = member(config, journal)?;
    let mut client = Client::connect(&settings, &endpoint).await?;
    Ok(client.alarms().await?)
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
        (true, _) => format!("etcd, which runs and does not answer yet ({why})"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_to_end_has_to_be_quiet_for_a_while() {
        let begin = Instant::now();
        let mut unseen = Quiet {
            is_seen: false,
            since: None,
        };
        assert!(!unseen.is_certain(true, begin));
        assert!(!unseen.is_certain(true, begin + QUIET / 2));
        assert!(unseen.is_certain(true, begin + QUIET));
        // another pod that ends is no etcd that has ended
        let later = begin + QUIET * 2;
        assert!(!unseen.is_certain(false, later));
        assert!(!unseen.is_certain(true, later));
        assert!(unseen.is_certain(true, later + QUIET));

        let mut seen = Quiet {
            is_seen: true,
            since: None,
        };
        assert!(!seen.is_certain(false, begin + QUIET));
        assert!(seen.is_certain(true, begin + QUIET));
    }
}
