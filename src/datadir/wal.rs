//! The write-ahead log that a restored member starts from: the new members join, one by one, and
//! the snapshot stands at the end.
//!
//! Formats: etcd `server/storage/wal/encoder.go`, `api/raftpb`, `server/storage/wal/walpb`; the
//! records and their order are those that `etcdutl snapshot restore` of 3.5 and 3.6 writes, which
//! 3.4 and 3.7 start from too.

use super::Id;
use super::membership::Membership;
use super::wire::{Message, go_json};

/// The name of the log's first file: its number, and the first index in it.
pub(super) const NAME: &str = "0000000000000000-0000000000000000.wal";
/// What etcd preallocates for each file of the log.
pub(super) const SEGMENT: u64 = 64_000_000;
/// The raft term that a restored cluster begins with.
pub(super) const TERM: u64 = 1;

const METADATA: u64 = 1;
const ENTRY: u64 = 2;
const STATE: u64 = 3;
const CRC: u64 = 4;
const SNAPSHOT: u64 = 5;
const CONFIGURATION_CHANGE: u64 = 1;
const ADD_NODE: u64 = 0;

/// The log of `member`, without the zeroes behind it.
pub(super) fn log(membership: &Membership, member: Id) -> serde_json::Result<Vec<u8>> {
    let mut log = Log::default();
    let members = membership.members();
    let commit = members.len() as u64;
    log.record(CRC, None);
    let metadata = Message::default()
        .number(1, member.0)
        .number(2, membership.cluster_id().0);
    log.record(METADATA, Some(metadata));
    log.record(SNAPSHOT, Some(Message::default().number(1, 0).number(2, 0)));
    for (index, member) in (1..).zip(members) {
        let change = Message::default()
            .number(1, 0)
            .number(2, ADD_NODE)
            .number(3, member.id.0)
            .bytes(4, go_json(&member.stored())?.as_bytes());
        let entry = Message::default()
            .number(1, CONFIGURATION_CHANGE)
            .number(2, TERM)
            .number(3, index)
            .bytes(4, &change.finish());
        log.record(ENTRY, Some(entry));
    }
    let vote = members.first().map_or(0, |member| member.id.0);
    let state = Message::default()
        .number(1, TERM)
        .number(2, vote)
        .number(3, commit);
    log.record(STATE, Some(state));
    let snapshot = Message::default()
        .number(1, commit)
        .number(2, TERM)
        .bytes(3, &configuration(membership));
    log.record(SNAPSHOT, Some(snapshot));
    Ok(log.bytes)
}

/// A `raftpb.ConfState`: who votes; there is no other kind of member, and no change under way.
pub(super) fn configuration(membership: &Membership) -> Vec<u8> {
    let voters = membership.members().iter().map(|member| member.id.0);
    let state = voters.fold(Message::default(), |state, id| state.number(1, id));
    state.number(5, 0).finish()
}

#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    /// Runs on over the data of all records.
    crc: u32,
}

impl Log {
    /// Adds a record in its frame: the length, and in the highest byte how many zeroes follow.
    fn record(&mut self, kind: u64, data: Option<Message>) {
        let data = data.map(Message::finish);
        self.crc = crc32c::crc32c_append(self.crc, data.as_deref().unwrap_or_default());
        let mut record = Message::default()
            .number(1, kind)
            .number(2, u64::from(self.crc));
        if let Some(data) = data {
            record = record.bytes(3, &data);
        }
        let record = record.finish();
        let padding = record.len().next_multiple_of(8) - record.len();
        let mark = if padding == 0 {
            0
        } else {
            0x80 | padding as u64
        };
        let head = record.len() as u64 | mark << 56;
        self.bytes.extend(head.to_le_bytes());
        self.bytes.extend(record);
        self.bytes.extend(std::iter::repeat_n(0, padding));
    }
}
