//! The third proof: the members' own hash of the keys against that of the file.
//!
//! A member answers `HashKV` for a revision together with the compaction it has done, and the file
//! holds every entry that any later compaction keeps: so a member that compacted after the snapshot
//! is still compared exactly. Only one that compacted the revision itself away cannot be, nor one
//! that has not done the compaction yet which the file has been through.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::blocking;
use crate::catalog::Outcome;
use crate::error::Error;
use crate::etcd::{self, Client, Endpoint, LiveHash, Settings};
use crate::snapshot::{CompactedDeletion, Head, Inspection};

/// How often a follower that has not applied the revision yet is asked again, and how long after.
const CATCH_UP_TRIES: usize = 50;
const CATCH_UP_PAUSE: Duration = Duration::from_millis(100);

/// What the members were asked, and said.
pub(super) enum Answers {
    /// `live_hash` is off.
    NotAsked,
    /// The file has no revision to ask about.
    NoRevision,
    /// Each member's answer.
    Given(u64, Vec<(Endpoint, Result<Answer, etcd::Error>)>),
}

impl Answers {
    /// Why there is nothing to compare.
    fn why_none(&self) -> &'static str {
        match self {
            Answers::NotAsked => "live_hash is off",
            Answers::NoRevision => "the store is empty",
            Answers::Given(..) => "the newest revision is not where etcd writes it",
        }
    }
}

/// One member's hash at the file's revision.
pub(super) struct Answer {
    member: String,
    rule: CompactedDeletion,
    hash: etcd::KvHash,
}

/// Asks every configured member at once.
pub(super) async fn ask(settings: &Settings, head: Option<Head>) -> Answers {
    if settings.live_hash == LiveHash::Off {
        return Answers::NotAsked;
    }
    let Some(head) = head.filter(|head| head.revision > 0) else {
        return Answers::NoRevision;
    };
    let mut asked = tokio::task::JoinSet::new();
    for (place, endpoint) in settings.endpoints.iter().cloned().enumerate() {
        let settings = settings.clone();
        asked.spawn(async move {
            (
                place,
                ask_member(&settings, &endpoint, head).await,
                endpoint,
            )
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(place, ..)| *place);
    Answers::Given(
        head.revision,
        answers
            .into_iter()
            .map(|(_, answer, endpoint)| (endpoint, answer))
            .collect(),
    )
}

async fn ask_member(
    settings: &Settings,
    endpoint: &Endpoint,
    head: Head,
) -> Result<Answer, etcd::Error> {
    let mut client = Client::connect(settings, endpoint).await?;
    let status = client.status().await?;
    let mut tries = 0..CATCH_UP_TRIES;
    let hash = loop {
        match hash_at(&mut client, head).await {
            Err(etcd::Error::FutureRevision { .. }) if tries.next().is_some() => {
                tokio::time::sleep(CATCH_UP_PAUSE).await;
            }
            answer => break answer?,
        }
    };
    Ok(Answer {
        member: format!("{:x} at {endpoint}", status.member_id),
        rule: CompactedDeletion::in_version(&status.version),
        hash,
    })
}

/// A member's hash at the file's head, with at least the compaction that the file has been through:
/// of the entries that it removed, the file knows nothing.
async fn hash_at(client: &mut Client, head: Head) -> Result<etcd::KvHash, etcd::Error> {
    let number = |revision| i64::try_from(revision).unwrap_or(i64::MAX);
    let (asked, compacted) = (number(head.revision), number(head.compact_revision));
    let is_usable = |hash: &etcd::KvHash| hash.compact_revision.max(0) >= compacted;
    let answer = match client.hash_kv(asked).await {
        Ok(hash) if is_usable(&hash) => return Ok(hash),
        Err(other) if !matches!(other, etcd::Error::Compacted { .. }) => return Err(other),
        answer => answer,
    };
    // a store compacted to its newest revision refuses to hash that, or (since etcd 3.5.5) repeats
    // the hash from before the compaction; unnamed, the revision is hashed as it is now
    let newest = client.hash_kv(0).await?;
    if newest.revision == asked && is_usable(&newest) {
        return Ok(newest);
    }
    answer?;
    let (endpoint, revision) = (client.endpoint().clone(), asked);
    Err(if asked == compacted && is_usable(&newest) {
        etcd::Error::Compacted { endpoint, revision }
    } else {
        // it has yet to do the compaction
        etcd::Error::FutureRevision { endpoint, revision }
    })
}

/// How the members' answers stand to the file.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    revision: Option<u64>,
    hash: u32,
    agreeing: Vec<String>,
    differing: Vec<String>,
    /// Who could not be compared, and why.
    silent: Vec<String>,
    compacted: usize,
}

/// Compares each answer with the file, hashed as if it were compacted as far as that member is.
pub(super) async fn compare(
    answers: Answers,
    inspection: &Arc<Inspection>,
    file: &Arc<File>,
    length: u64,
) -> Result<Agreement, Error> {
    let mut agreement = Agreement::default();
    let own = inspection.facts.kv_hash;
    let (revision, answers) = match answers {
        Answers::Given(revision, answers) if revision == own.revision => (revision, answers),
        other => {
            agreement.silent.push(other.why_none().into());
            return Ok(agreement);
        }
    };
    agreement.revision = Some(revision);
    agreement.hash = own.hash;
    let mut hashes =
        HashMap::from([((own.compact_revision, CompactedDeletion::Skipped), own.hash)]);
    for (endpoint, answer) in answers {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                agreement.compacted += usize::from(matches!(error, etcd::Error::Compacted { .. }));
                agreement.silent.push(format!("{endpoint}: {error}"));
                continue;
            }
        };
        let compaction = (
            u64::try_from(answer.hash.compact_revision).unwrap_or(0),
            answer.rule,
        );
        let hash = match hashes.get(&compaction) {
            Some(hash) => *hash,
            None => *hashes
                .entry(compaction)
                .or_insert(hash_of(inspection, file, length, compaction).await?),
        };
        let side = if hash == answer.hash.hash {
            &mut agreement.agreeing
        } else {
            &mut agreement.differing
        };
        // two endpoints of one member are one voice
        if !side.contains(&answer.member) {
            side.push(answer.member);
        }
    }
    Ok(agreement)
}

async fn hash_of(
    inspection: &Arc<Inspection>,
    file: &Arc<File>,
    length: u64,
    (compact_revision, rule): (u64, CompactedDeletion),
) -> Result<u32, Error> {
    let (inspection, file) = (Arc::clone(inspection), Arc::clone(file));
    let hash = blocking(move || inspection.kv_hash(&file, length, compact_revision, rule)).await?;
    // the same bytes were walked a moment ago
    hash.map(|hash| hash.hash)
        .map_err(|damage| Error::Bug(damage.to_string()))
}

impl Agreement {
    /// The proof holds where more members confirm the file than contradict it.
    pub(super) fn outcome(&self) -> Outcome {
        match (self.agreeing.len(), self.differing.len()) {
            (0, 0) => Outcome::Skipped,
            (agreeing, differing) if agreeing > differing => Outcome::Passed,
            _ => Outcome::Failed,
        }
    }

    /// The members that contradict the file.
    pub(super) fn differing(&self) -> Vec<String> {
        self.differing.clone()
    }

    /// Whether nobody could be compared, and a compaction is why.
    pub(super) fn is_prevented_by_compaction(&self) -> bool {
        self.outcome() == Outcome::Skipped && self.compacted > 0
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(revision) = self.revision {
            let (hash, members) = (self.hash, self.agreeing.len());
            parts.push(format!(
                "{members} of {} members confirm hash {hash} at revision {revision}",
                members + self.differing.len() + self.silent.len()
            ));
        }
        if !self.differing.is_empty() {
            parts.push(format!(
                "different data in member {}",
                self.differing.join(" and ")
            ));
        }
        if !self.silent.is_empty() {
            parts.push(format!("not compared: {}", self.silent.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(agreeing: usize, differing: usize, compacted: usize) -> Agreement {
        let members = |count| (0..count).map(|member| format!("m{member}")).collect();
        Agreement {
            revision: Some(7),
            agreeing: members(agreeing),
            differing: members(differing),
            silent: vec!["m9: gone".into(); compacted],
            compacted,
            ..Agreement::default()
        }
    }

    #[test]
    fn more_members_must_confirm_than_contradict() {
        for (agreeing, differing, outcome) in [
            (1, 0, Outcome::Passed),
            (3, 0, Outcome::Passed),
            (2, 1, Outcome::Passed),
            (1, 1, Outcome::Failed),
            (1, 2, Outcome::Failed),
            (0, 1, Outcome::Failed),
            (0, 0, Outcome::Skipped),
        ] {
            assert_eq!(
                agreement(agreeing, differing, 0).outcome(),
                outcome,
                "{agreeing} against {differing}"
            );
        }
    }

    #[test]
    fn a_compaction_is_told_apart_from_a_difference() {
        assert!(agreement(0, 0, 1).is_prevented_by_compaction());
        assert!(!agreement(0, 1, 1).is_prevented_by_compaction());
        assert!(!agreement(0, 0, 0).is_prevented_by_compaction());
    }
}
