//! What a database says about its cluster: the figures of `etcdutl snapshot status`, and ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kv_hash::KvHash;

/// The figures of one snapshot.
///
/// The first five are those of `etcdutl snapshot status -w json` of etcd 3.6, by the same names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// CRC-32C over every bucket's name, keys and values.
    pub hash: u32,
    /// The store's revision: that of the newest entry.
    pub revision: u64,
    /// Keys that live at that revision.
    pub total_key: u64,
    /// Bytes of the database up to its high-water mark.
    pub total_size: u64,
    /// The storage version; empty before etcd 3.6.
    pub version: String,
    /// Entries of all buckets: what etcdctl 3.4 and 3.5 call the total keys.
    pub total_entries: u64,
    /// Bytes per page.
    pub page_size: u32,
    /// The revision that history was compacted to; 0 where it never was.
    pub compact_revision: u64,
    /// The raft index that is applied in this database.
    pub consistent_index: u64,
    /// The version that the cluster runs as (`3.5.0`); empty where it is not recorded.
    pub cluster_version: String,
    /// What the live `HashKV` answers at this revision.
    pub kv_hash: KvHash,
    /// The members, as the database records them.
    pub members: Vec<Member>,
    /// Living keys and their bytes per `/registry/<type>`.
    pub types: BTreeMap<String, TypeCount>,
}

/// How many keys of one type live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCount {
    /// Living keys.
    pub keys: u64,
    /// Bytes of their entries, key and metadata included.
    pub bytes: u64,
}

/// A member of the cluster, from the `members` bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The member's id in lower-case hex, as etcdctl prints it.
    pub id: String,
    /// Its name; empty where it never started.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it does not vote.
    pub is_learner: bool,
}

impl Member {
    /// Reads a member as etcd's `members` bucket holds it (`server/etcdserver/api/membership`).
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Stored {
            id: u64,
            #[serde(default)]
            name: String,
            #[serde(default, rename = "peerURLs")]
            peer_urls: Option<Vec<String>>,
            #[serde(default, rename = "clientURLs")]
            client_urls: Option<Vec<String>>,
            #[serde(default, rename = "isLearner")]
            is_learner: bool,
        }
        let stored: Stored = serde_json::from_slice(json).ok()?;
        Some(Member {
            id: format!("{:x}", stored.id),
            name: stored.name,
            peer_urls: stored.peer_urls.unwrap_or_default(),
            client_urls: stored.client_urls.unwrap_or_default(),
            is_learner: stored.is_learner,
        })
    }
}
