//! The steps themselves. Each looks at what is there, and does what is left of it.

use std::fs;
use std::path::Path;

use super::{Progress, Run, is_forward, restoring, told, wait};
use crate::config::Config;
use crate::datadir::{self, Layout, Membership, Ownership, Recipe};
use crate::error::Error;
use crate::host::{open_below, settle};
use crate::jobs::restore::{self, Chosen, Origin, Pick};
use crate::recovery::{self, Journal, Pod, Step};

/// Does one step, or what is left of it.
pub(super) async fn perform(
    config: &Config,
    journal: &mut Journal,
    step: Step,
    run: &Run<'_>,
) -> Result<(), Error> {
    let places = &journal.places;
    match step {
        Step::Build => {
            build(config, journal, run)?;
            // nothing has been stopped yet
            run.require_undisturbed()
        }
        Step::Park => park(journal),
        Step::Stop => wait::until_stopped(journal, run).await,
        Step::SetAside => {
            if journal.had_data {
                settle(&places.live, &places.aside)?;
            }
            Ok(())
        }
        Step::SwapIn => {
            settle(&places.fresh, &places.live)?;
            if places.staging != places.fresh {
                // empty by now; one that stays does no harm
                let _ = fs::remove_dir(&places.staging);
            }
            Ok(())
        }
        Step::TakeBack => take_back(journal),
        Step::StartEtcd => give_back(journal, |pod| pod.etcd),
        Step::AwaitEtcd => match wait::until_etcd_answers(config, journal, run).await {
            // the old data is in place, whether it serves or not: that is all that was asked for
            Err(error) if is_borne(journal, &error) => {
                let error = error.in_a_line();
                (run.progress)(&Progress::Warning(format!(
                    "the old data is back in place, and etcd does not answer with it: {error}"
                )));
                Ok(())
            }
            Ok(()) if is_forward(journal) => {
                wait::tell_alarms(config, journal, run).await;
                Ok(())
            }
            answered => answered,
        },
        Step::StartControlPlane => {
            give_back(journal, |pod| !pod.etcd)?;
            match wait::until_running(journal, run).await {
                Err(error) if is_borne(journal, &error) => {
                    (run.progress)(&Progress::Warning(error.in_a_line()));
                    Ok(())
                }
                running => running,
            }
        }
        Step::Discard => discard(journal),
    }
}

/// On the way back, what does not come up is told and stops nothing.
fn is_borne(journal: &Journal, error: &Error) -> bool {
    !is_forward(journal) && !matches!(error, Error::Interrupted)
}

/// The new data, from nothing: what an interrupted build has left is not looked at.
fn build(config: &Config, journal: &Journal, run: &Run<'_>) -> Result<(), Error> {
    discard(journal)?;
    let goal = &journal.goal;
    let pick = Pick {
        origin: Origin::File(goal.file.clone()),
        allow_unverified: goal.options.allow_unverified,
        allow_suspect: goal.options.allow_suspect,
        allow_other_cluster: goal.options.allow_other_cluster,
        skip_hash_check: goal.options.skip_hash_check,
    };
    let chosen = Chosen::find(Some(config), &pick, &restoring(run, &told(run)))?;
    if chosen.verified().file_sha256().to_string() != goal.sha256 {
        let (path, sha256) = (goal.file.clone(), goal.sha256.clone());
        return Err(recovery::Error::Changed { path, sha256 }.into());
    }
    let (staging, live) = (&journal.places.staging, journal.places.data_dir());
    let ownership = live.exists().then(|| Ownership::of(live)).transpose()?;
    datadir::build(
        chosen.verified(),
        &recipe(journal, ownership)?,
        staging,
        &mut |making| {
            let progress = restore::Progress::Making(making);
            (run.progress)(&Progress::Restoring(progress));
        },
    )?;
    Ok(())
}

/// What was planned, and said yes to.
pub(super) fn recipe(journal: &Journal, ownership: Option<Ownership>) -> Result<Recipe, Error> {
    let goal = &journal.goal;
    let membership = Membership::parse(&goal.initial_cluster, &goal.initial_cluster_token)?;
    Ok(Recipe {
        membership,
        name: goal.name.clone(),
        etcd: None,
        bump: (goal.bump_revision > 0).then_some(goal.bump_revision),
        clear_alarms: goal.options.clear_alarms,
        layout: if goal.options.compact {
            Layout::Compact
        } else {
            Layout::Copy
        },
        wal_dir: None,
        ownership,
    })
}

/// The manifests out of the kubelet's sight, etcd's last.
fn park(journal: &mut Journal) -> Result<(), Error> {
    let (from, to) = (&journal.places.manifests, &journal.places.parked);
    let mut moved = false;
    for pod in in_order(&journal.pods, false) {
        moved |= settle(&from.join(&pod.file), &to.join(&pod.file))?;
    }
    // seen now, it can only be seen to end: what ran before the manifest went may be about to crash,
    // and to be started once more. An interrupted try has seen it run already
    let is_running = !open_below(&journal.places.live)?.is_empty();
    journal.was_running = is_running || (journal.was_running && !moved);
    Ok(())
}

fn give_back(journal: &Journal, which: impl Fn(&Pod) -> bool) -> Result<(), Error> {
    let (from, to) = (&journal.places.parked, &journal.places.manifests);
    for pod in in_order(&journal.pods, true).filter(|pod| which(pod)) {
        settle(&from.join(&pod.file), &to.join(&pod.file))?;
    }
    Ok(())
}

fn in_order(pods: &[Pod], etcd_first: bool) -> impl Iterator<Item = &Pod> {
    let of = move |etcd: bool| pods.iter().filter(move |pod| pod.etcd == etcd);
    of(etcd_first).chain(of(!etcd_first))
}

/// The old data back in place. What took its place is moved aside, too: an etcd may have run on it.
fn take_back(journal: &Journal) -> Result<(), Error> {
    let places = &journal.places;
    if journal.had_data && is_there(&places.live) && !journal.has_exchanged_data() {
        // it never left, whatever else lies where it would have gone
        return Ok(());
    }
    let is_aside = is_there(&places.aside);
    if is_there(&places.live) && (is_aside || !journal.had_data) {
        settle(&places.live, &places.undone)?;
    }
    if is_aside {
        settle(&places.aside, &places.live)?;
    }
    // a kubelet would start an empty cluster
    if journal.had_data && !is_there(&places.live) {
        let path = places.aside.clone();
        return Err(recovery::Error::NoOldData { path }.into());
    }
    Ok(())
}

/// What was built and has never been in place, whole or in the making.
pub(super) fn discard(journal: &Journal) -> Result<(), Error> {
    let staging = &journal.places.staging;
    let failed = |source| Error::Create {
        path: staging.clone(),
        source,
    };
    let (Some(above), Some(name)) = (staging.parent(), staging.file_name()) else {
        return Ok(());
    };
    for entry in fs::read_dir(above).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // its name has the time of this restore in it: nobody else's begins so
        let bytes = entry.file_name();
        if bytes
            .as_encoded_bytes()
            .starts_with(name.as_encoded_bytes())
        {
            fs::remove_dir_all(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
