//! What the members of etcd answer.

use jiff::Timestamp;

use super::Check;
use crate::config::Config;
use crate::error::{Error, etcd_code};
use crate::etcd::{self, Client, Endpoint, MemberStatus, Survey};
use crate::jobs::prune;
use crate::report::text;
use crate::store::Directory;

pub(super) fn unreachable(endpoint: &Endpoint, error: &etcd::Error) -> Check {
    Check::failed(
        endpoint.to_string(),
        error.to_string(),
        error.hint(),
        etcd_code(error),
    )
}

pub(super) fn member(endpoint: &Endpoint, status: &MemberStatus) -> Check {
    let role = match (status.is_learner, status.is_leader) {
        (true, _) => "learner",
        (_, true) => "leader",
        _ => "follower",
    };
    let (version, revision, size) = (&status.version, status.revision, text::size(status.db_size));
    let message = format!(
        "etcd {version}, {role}, member {:x}, {size}, revision {revision}",
        status.member_id
    );
    if status.leader == 0 {
        let hint =
            "A cluster without a leader has lost its quorum: see each member's log.".to_owned();
        return Check::warning(
            endpoint.to_string(),
            format!("{message}; it knows no leader"),
            Some(hint),
        );
    }
    if !status.errors.is_empty() {
        return Check::warning(
            endpoint.to_string(),
            format!("{message}; it reports: {}", status.errors.join(", ")),
            None,
        );
    }
    Check::ok(endpoint.to_string(), message)
}

pub(super) fn alarms(survey: &Survey) -> Option<Check> {
    match survey.alarms.as_ref()? {
        Ok(alarms) if alarms.is_empty() => None,
        Ok(alarms) => {
            let raised: Vec<String> = alarms
                .iter()
                .map(|alarm| format!("{:?} of member {:x}", alarm.kind, alarm.member_id))
                .collect();
            let hint = "See them with: etcdctl alarm list".to_owned();
            Some(Check::warning("etcd alarms", raised.join(", "), Some(hint)))
        }
        Err(error) => Some(Check::failed(
            "etcd alarms",
            error.to_string(),
            error.hint(),
            etcd_code(error),
        )),
    }
}

/// Whether a snapshot of today's size would fit.
pub(super) fn room_for_next(config: &Config, survey: &Survey, now: Timestamp) -> Option<Check> {
    let answers = survey
        .members
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    let needed = answers.map(|status| status.db_size).max()?;
    let path = &config.backup.dir;
    let directory = Directory::open(path).ok()?;
    let free = directory.space().ok()?.free;
    let reserve = config.backup.reserve;
    let error = || Error::Space {
        path: path.clone(),
        needed,
        free,
        reserve,
        held: prune::held(&directory),
    };
    let is_short = needed.saturating_add(reserve) > free;
    // a backup would make itself room by what the policy removes after it anyway
    let can_make_room = || {
        let going = prune::room(config, &directory, needed, now);
        going.is_ok_and(|going| !going.is_empty())
    };
    (is_short && !can_make_room()).then(|| Check::of_error("backup.reserve", &error()))
}

/// What the member that a backup would ask first says of its cluster, and whether it gives us a
/// snapshot at all: where auth is on, every call above may be allowed and that one denied.
pub(super) async fn preferred(config: &Config, endpoint: &Endpoint) -> Vec<Check> {
    let mut client = match Client::connect(&config.etcd, endpoint).await {
        Ok(client) => client,
        Err(error) => return vec![unreachable(endpoint, &error)],
    };
    let members = match client.members().await {
        Ok(members) => known(&members),
        Err(error) => unreachable(endpoint, &error),
    };
    // only its beginning is asked for
    let snapshot = match client.snapshot(config.etcd.stall_timeout).await {
        Ok(stream) => Check::ok(
            "etcd snapshot",
            format!("{endpoint} offers {}", text::size(stream.announced())),
        ),
        Err(error) => unreachable(endpoint, &error),
    };
    vec![members, snapshot]
}

/// All members of the cluster, so that one which is not configured is seen.
fn known(members: &[etcd::Member]) -> Check {
    let told = |member: &etcd::Member| {
        let name = if member.name.is_empty() {
            "not started"
        } else {
            &member.name
        };
        let role = if member.is_learner { " (learner)" } else { "" };
        format!("{name}{role} at {}", member.client_urls.join(" "))
    };
    let all: Vec<String> = members.iter().map(told).collect();
    Check::ok(
        "etcd members",
        format!(
            "{}: {}",
            text::counted(all.len(), "member", "members"),
            all.join(", ")
        ),
    )
}
