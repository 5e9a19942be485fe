//! What members answer, in our own types.

use etcd_client::proto::PbAlarmMember;
use etcd_client::{AlarmType, HashKvResponse, ResponseHeader, StatusResponse};

use super::Endpoint;
use super::failure::printable;

/// What one member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The endpoint that was asked.
    pub endpoint: Endpoint,
    /// The cluster.
    pub cluster_id: u64,
    /// The member.
    pub member_id: u64,
    /// The server's version, as in `3.5.16`.
    pub version: String,
    /// Bytes allocated by the database file.
    pub db_size: u64,
    /// The id of the member it holds for the leader; 0 where it knows none.
    pub leader: u64,
    /// Whether it is the leader itself.
    pub is_leader: bool,
    /// Whether it is a learner, which has no vote.
    pub is_learner: bool,
    /// The raft index it knows to be committed.
    pub raft_index: u64,
    /// The raft index it has applied to its database.
    pub raft_applied_index: u64,
    /// The raft term.
    pub raft_term: u64,
    /// The newest revision of its key space.
    pub revision: i64,
    /// What it complains about: alarms of the cluster, a missing leader.
    pub errors: Vec<String>,
}

/// One member as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member.
    pub id: u64,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it, as it advertises.
    pub client_urls: Vec<String>,
    /// Whether it is a learner, which has no vote.
    pub is_learner: bool,
}

/// What is wrong with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmKind {
    /// Its database has reached the quota; the cluster takes no writes.
    NoSpace,
    /// Its data differ from the other members'.
    Corrupt,
    /// An alarm that a newer etcd knows, by its number.
    Other(i32),
}

/// An alarm that the cluster holds against a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// The member.
    pub member_id: u64,
    /// What is wrong with it.
    pub kind: AlarmKind,
}

/// The hash of a member's key space, by `HashKV`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvHash {
    /// CRC-32C over the keys and values up to the revision asked for.
    pub hash: u32,
    /// The compaction that the hash takes into account; -1 where there was none.
    pub compact_revision: i64,
    /// The revision that was hashed where the member says so (etcd 3.6 and later); before, the
    /// member's newest revision when it answered.
    pub revision: i64,
}

impl MemberStatus {
    pub(super) fn read(endpoint: &Endpoint, answer: &StatusResponse) -> Self {
        let header = answer.header();
        let member_id = header.map_or(0, ResponseHeader::member_id);
        Self {
            endpoint: endpoint.clone(),
            cluster_id: header.map_or(0, ResponseHeader::cluster_id),
            member_id,
            version: printable(answer.version()),
            db_size: u64::try_from(answer.db_size()).unwrap_or(0),
            leader: answer.leader(),
            is_leader: answer.leader() == member_id && member_id != 0,
            is_learner: answer.is_learner(),
            raft_index: answer.raft_index(),
            raft_applied_index: answer.raft_applied_index(),
            raft_term: answer.raft_term(),
            revision: header.map_or(0, ResponseHeader::revision),
            errors: texts(answer.errors()),
        }
    }
}

impl Member {
    pub(super) fn read(member: &etcd_client::Member) -> Self {
        Self {
            id: member.id(),
            name: printable(member.name()),
            peer_urls: texts(member.peer_urls()),
            client_urls: texts(member.client_urls()),
            is_learner: member.is_learner(),
        }
    }
}

impl Alarm {
    /// From the message itself: the client's own accessor takes the number for one of the enum's,
    /// whatever the server sent.
    pub(super) fn read(alarm: &PbAlarmMember) -> Option<Self> {
        let kind = match AlarmType::try_from(alarm.alarm) {
            Ok(AlarmType::None) => return None,
            Ok(AlarmType::Nospace) => AlarmKind::NoSpace,
            Ok(AlarmType::Corrupt) => AlarmKind::Corrupt,
            Err(_) => AlarmKind::Other(alarm.alarm),
        };
        Some(Self {
            member_id: alarm.member_id,
            kind,
        })
    }
}

impl KvHash {
    pub(super) fn read(answer: &HashKvResponse) -> Self {
        let newest = answer.header().map_or(0, ResponseHeader::revision);
        let hashed = answer.hash_revision();
        Self {
            hash: answer.hash(),
            compact_revision: answer.compact_version(),
            revision: if hashed > 0 { hashed } else { newest },
        }
    }
}

fn texts(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| printable(text)).collect()
}
