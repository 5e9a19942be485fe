//! All configured members asked at once, and the order in which to prefer them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Alarm, Client, Endpoint, Error, MemberStatus, Settings};

/// How many raft entries a member may be behind before it counts as lagging: the number that etcd
/// itself keeps for slow followers (`DefaultSnapshotCatchUpEntries`); beyond it, it sends a snapshot.
pub const LAG_LIMIT: u64 = 5_000;

/// What the configured members said when all were asked at once.
#[derive(Debug)]
pub struct Survey {
    /// Every configured endpoint, in the operator's order, with its answer.
    pub members: Vec<(Endpoint, Result<MemberStatus, Error>)>,
    /// The alarms of the cluster, from the first member that could tell, or the last one's reason;
    /// `None` where no voting member answered.
    pub alarms: Option<Result<Vec<Alarm>, Error>>,
}

impl Survey {
    /// Asks every configured endpoint at the same time, each within its own `connect_timeout`s.
    pub async fn take(settings: &Settings) -> Self {
        let shared = Arc::new(settings.clone());
        let mut asked = JoinSet::new();
        for (index, endpoint) in settings.endpoints.iter().cloned().enumerate() {
            let settings = Arc::clone(&shared);
            asked.spawn(async move { (index, ask(&settings, &endpoint).await) });
        }
        let mut answers: Vec<_> = settings.endpoints.iter().map(|_| None).collect();
        while let Some(answer) = asked.join_next().await {
            if let Ok((index, answer)) = answer {
                answers[index] = Some(answer);
            }
        }
        let mut survey = Self {
            members: Vec::new(),
            alarms: None,
        };
        for (endpoint, answer) in settings.endpoints.iter().zip(answers) {
            let status = match answer.unwrap_or_else(|| Err(abandoned(endpoint))) {
                Ok((status, client)) => {
                    survey.ask_for_alarms(&status, client).await;
                    Ok(status)
                }
                Err(error) => Err(error),
            };
            survey.members.push((endpoint.clone(), status));
        }
        survey
    }

    /// The alarms are the cluster's, so the first answer is enough; a learner does not give one.
    async fn ask_for_alarms(&mut self, status: &MemberStatus, mut client: Client) {
        if !status.is_learner && !matches!(self.alarms, Some(Ok(_))) {
            self.alarms = Some(client.alarms().await);
        }
    }

    /// The endpoints in the order in which to try them; see [`preference`].
    #[must_use]
    pub fn preference(&self) -> Vec<Endpoint> {
        match &self.alarms {
            Some(Ok(alarms)) => preference(&self.members, alarms),
            _ => preference(&self.members, &[]),
        }
    }

    /// The clusters that answered; more than one means that the endpoints are mixed up.
    #[must_use]
    pub fn cluster_ids(&self) -> BTreeSet<u64> {
        self.members
            .iter()
            .filter_map(|(_, answer)| answer.as_ref().ok())
            .map(|status| status.cluster_id)
            .collect()
    }
}

async fn ask(settings: &Settings, endpoint: &Endpoint) -> Result<(MemberStatus, Client), Error> {
    let mut client = Client::connect(settings, endpoint).await?;
    Ok((client.status().await?, client))
}

/// The answer of a task that was torn down with its runtime.
fn abandoned(endpoint: &Endpoint) -> Error {
    Error::Lost {
        endpoint: endpoint.clone(),
        call: "Status",
        cause: "the question was abandoned".to_owned(),
    }
}

/// How gladly a member is asked for a snapshot; the smaller, the sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A follower in good health: the leader is spared.
    Follower,
    Leader,
    /// It has an alarm, knows no leader, or lags by more than [`LAG_LIMIT`].
    Doubtful,
    /// etcd 3.4 refuses a snapshot from a learner, later versions serve it; its data may be old.
    Learner,
    /// It did not answer, but may by the time it is tried.
    Unreachable,
}

/// The endpoints in the order in which to try them for a snapshot.
///
/// Healthy followers first, then the leader, then members with an alarm, without a leader, or more
/// than [`LAG_LIMIT`] entries behind the highest raft index of their cluster, then learners, then
/// those that did not answer. Equals stay in the operator's order; of several endpoints of one
/// member only the first is kept.
#[must_use]
pub fn preference(
    members: &[(Endpoint, Result<MemberStatus, Error>)],
    alarms: &[Alarm],
) -> Vec<Endpoint> {
    let answers: Vec<&MemberStatus> = members
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok())
        .collect();
    let mut seen = BTreeSet::new();
    let mut ranked: Vec<(Rank, &Endpoint)> = members
        .iter()
        .filter_map(|(endpoint, answer)| match answer {
            Ok(status) => {
                let first =
                    status.member_id == 0 || seen.insert((status.cluster_id, status.member_id));
                first.then(|| (rank(status, &answers, alarms), endpoint))
            }
            Err(_) => Some((Rank::Unreachable, endpoint)),
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked
        .into_iter()
        .map(|(_, endpoint)| endpoint.clone())
        .collect()
}

fn rank(status: &MemberStatus, answers: &[&MemberStatus], alarms: &[Alarm]) -> Rank {
    let same_cluster = answers
        .iter()
        .filter(|other| other.cluster_id == status.cluster_id);
    let newest = same_cluster
        .map(|other| other.raft_index)
        .max()
        .unwrap_or(0);
    let applied = if status.raft_applied_index > 0 {
        status.raft_applied_index
    } else {
        status.raft_index
    };
    let alarmed = alarms
        .iter()
        .any(|alarm| alarm.member_id == status.member_id);
    if status.is_learner {
        Rank::Learner
    } else if alarmed || status.leader == 0 || newest.saturating_sub(applied) > LAG_LIMIT {
        Rank::Doubtful
    } else if status.is_leader {
        Rank::Leader
    } else {
        Rank::Follower
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::AlarmKind;

    type Answer = (Endpoint, Result<MemberStatus, Error>);

    fn endpoint(id: u64) -> Endpoint {
        Endpoint::parse(&format!("https://10.0.0.{id}:2379")).unwrap()
    }

    fn member(id: u64, change: impl FnOnce(&mut MemberStatus)) -> Answer {
        let mut status = MemberStatus {
            endpoint: endpoint(id),
            cluster_id: 1,
            member_id: id,
            version: "3.5.16".to_owned(),
            db_size: 1,
            leader: 1,
            is_leader: id == 1,
            is_learner: false,
            raft_index: 100_000,
            raft_applied_index: 100_000,
            raft_term: 2,
            revision: 9,
            errors: Vec::new(),
        };
        change(&mut status);
        (endpoint(id), Ok(status))
    }

    fn dead(id: u64) -> Answer {
        (endpoint(id), Err(abandoned(&endpoint(id))))
    }

    fn order(members: &[Answer], alarms: &[Alarm]) -> Vec<u64> {
        let order = preference(members, alarms);
        order
            .iter()
            .map(|endpoint| endpoint.host().rsplit('.').next().unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn followers_come_before_the_leader_and_the_dead_last() {
        let members = [
            dead(5),
            member(1, |_| ()),
            member(3, |_| ()),
            member(2, |_| ()),
        ];
        assert_eq!(order(&members, &[]), [3, 2, 1, 5]);
    }

    #[test]
    fn a_member_with_an_alarm_or_far_behind_or_without_leader_comes_after_the_leader() {
        let alarm = Alarm {
            member_id: 2,
            kind: AlarmKind::Corrupt,
        };
        let members = [
            member(2, |_| ()),
            member(3, |status| {
                status.raft_applied_index = 100_000 - LAG_LIMIT - 1;
            }),
            member(4, |status| status.leader = 0),
            member(5, |status| status.raft_applied_index = 100_000 - LAG_LIMIT),
            member(1, |_| ()),
        ];
        assert_eq!(order(&members, &[alarm]), [5, 1, 2, 3, 4]);
    }

    #[test]
    fn a_learner_is_asked_only_after_every_voter() {
        let members = [
            member(4, |status| status.is_learner = true),
            member(2, |status| status.raft_applied_index = 1),
            dead(3),
            member(1, |_| ()),
        ];
        assert_eq!(order(&members, &[]), [1, 2, 4, 3]);
    }

    #[test]
    fn two_endpoints_of_one_member_count_once() {
        let members = [
            member(1, |_| ()),
            member(3, |status| status.member_id = 2),
            member(2, |_| ()),
        ];
        assert_eq!(order(&members, &[]), [3, 1]);
    }

    #[test]
    fn another_cluster_does_not_make_a_member_look_slow() {
        let members = [
            member(2, |status| status.raft_applied_index = 99_999),
            member(3, |status| {
                status.cluster_id = 7;
                status.raft_index = u64::MAX;
                status.raft_applied_index = u64::MAX;
            }),
        ];
        assert_eq!(order(&members, &[]), [2, 3]);
    }

    #[test]
    fn a_member_that_is_alone_is_asked_whatever_it_is() {
        assert_eq!(order(&[dead(1)], &[]), [1]);
        assert_eq!(
            order(&[member(1, |status| status.is_learner = true)], &[]),
            [1]
        );
        assert_eq!(order(&[], &[]), [0; 0]);
    }
}
