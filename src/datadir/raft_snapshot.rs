//! The raft snapshot beside the log: the members once more, as the version 2 store of etcd 3.4 and
//! 3.5 has them. etcd 3.7 no longer reads it.
//!
//! Formats: etcd `server/etcdserver/api/snap/snappb`, `server/etcdserver/api/v2store`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::membership::Membership;
use super::wal::{TERM, configuration};
use super::wire::{Message, go_json};

/// Events that the version 2 store remembers.
const HISTORY: usize = 1000;

/// The file's name: its term and its index.
pub(super) fn name(membership: &Membership) -> String {
    let index = membership.members().len();
    format!("{TERM:016x}-{index:016x}.snap")
}

/// The file.
pub(super) fn file(membership: &Membership) -> serde_json::Result<Vec<u8>> {
    let metadata = Message::default()
        .bytes(1, &configuration(membership))
        .number(2, membership.members().len() as u64)
        .number(3, TERM);
    let snapshot = Message::default()
        .bytes(1, go_json(&store(membership)?)?.as_bytes())
        .bytes(2, &metadata.finish())
        .finish();
    let crc = crc32c::crc32c(&snapshot);
    Ok(Message::default()
        .number(1, crc.into())
        .bytes(2, &snapshot)
        .finish())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Store {
    root: Node,
    watcher_hub: WatcherHub,
    current_index: u64,
    stats: Stats,
    current_version: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    path: String,
    #[serde(rename = "CreatedIndex")]
    created: u64,
    #[serde(rename = "ModifiedIndex")]
    modified: u64,
    expire_time: &'static str,
    value: String,
    /// None of a leaf.
    children: Option<BTreeMap<String, Node>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WatcherHub {
    event_history: EventHistory,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventHistory {
    queue: Queue,
    start_index: u64,
    last_index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Queue {
    events: Vec<Option<Event>>,
    size: usize,
    front: usize,
    back: usize,
    capacity: usize,
}

#[derive(Clone, Serialize)]
struct Event {
    action: &'static str,
    node: Extern,
}

#[derive(Clone, Serialize)]
struct Extern {
    key: String,
    value: String,
    #[serde(rename = "modifiedIndex")]
    modified: u64,
    #[serde(rename = "createdIndex")]
    created: u64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    gets_success: u64,
    gets_fail: u64,
    sets_success: u64,
    sets_fail: u64,
    delete_success: u64,
    delete_fail: u64,
    update_success: u64,
    update_fail: u64,
    create_success: u64,
    create_fail: u64,
    compare_and_swap_success: u64,
    compare_and_swap_fail: u64,
    compare_and_delete_success: u64,
    compare_and_delete_fail: u64,
    expire_count: u64,
    watchers: u64,
}

impl Node {
    fn new(path: &str, index: u64) -> Self {
        Node {
            path: path.to_owned(),
            created: index,
            modified: index,
            expire_time: "0001-01-01T00:00:00Z",
            value: String::new(),
            children: None,
        }
    }

    fn directory(path: &str, index: u64, children: BTreeMap<String, Node>) -> Self {
        Node {
            children: Some(children),
            ..Node::new(path, index)
        }
    }
}

/// The store after each member has joined.
fn store(membership: &Membership) -> serde_json::Result<Store> {
    let count = membership.members().len();
    let last_index = count as u64;
    let mut members = BTreeMap::new();
    let mut events = Vec::new();
    for (index, member) in (1..).zip(membership.members()) {
        let name = member.id.to_string();
        let path = format!("/0/members/{name}");
        let key = format!("{path}/raftAttributes");
        let value = go_json(&BTreeMap::from([("peerURLs", &member.peer_urls)]))?;
        let attributes = Node {
            value: value.clone(),
            ..Node::new(&key, index)
        };
        events.push(Some(Event {
            action: "create",
            node: Extern {
                key,
                value,
                modified: index,
                created: index,
            },
        }));
        let children = BTreeMap::from([("raftAttributes".to_owned(), attributes)]);
        members.insert(name, Node::directory(&path, index, children));
    }
    events.resize(HISTORY, None);
    let members = Node::directory("/0/members", 1, members);
    let own = Node::directory("/0", 0, BTreeMap::from([("members".to_owned(), members)]));
    let users = Node::directory("/1", 0, BTreeMap::new());
    let top = BTreeMap::from([("0".to_owned(), own), ("1".to_owned(), users)]);
    Ok(Store {
        root: Node::directory("/", 0, top),
        watcher_hub: WatcherHub {
            event_history: EventHistory {
                queue: Queue {
                    events,
                    size: count,
                    front: 0,
                    back: count,
                    capacity: HISTORY,
                },
                start_index: 1,
                last_index,
            },
        },
        current_index: last_index,
        stats: Stats {
            create_success: last_index,
            ..Stats::default()
        },
        current_version: 2,
    })
}
