//! Backups that were made long ago: a directory full of them, without an etcd for each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::command::Host;
use super::fake::{Fake, Script};
use super::kept::golden;

/// The shape of a backup, taken from a real one.
pub(crate) struct History {
    template: Value,
}

impl History {
    /// The manifest of a backup that the real binary made for this purpose, on another host.
    pub(crate) fn new() -> Self {
        let host = Host::new();
        let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
        host.configure(&[server.endpoint()]);
        let mut template = host.backup();
        template["pki"] = Value::Null;
        Self { template }
    }

    /// Lays a backup of ten bytes, begun then; its id.
    pub(crate) fn lay(&self, directory: &Path, started: &str) -> String {
        self.lay_as(directory, started, |_| ())
    }

    /// The same with another manifest; `stored.size` bytes are its data.
    pub(crate) fn lay_as(
        &self,
        directory: &Path,
        started: &str,
        change: impl FnOnce(&mut Value),
    ) -> String {
        let time: Timestamp = started.parse().expect("a time");
        let id = time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut manifest = self.template.clone();
        manifest["id"] = json!(id);
        manifest["file"] = json!(format!("etcd-{id}.db"));
        manifest["started"] = json!(time);
        manifest["finished"] = json!(time);
        manifest["stored"]["size"] = json!(10);
        change(&mut manifest);
        let size = manifest["stored"]["size"].as_u64().expect("a size");
        let data = vec![b'd'; usize::try_from(size).expect("a small size")];
        fs::write(directory.join(format!("etcd-{id}.db")), data).expect("data");
        let path = directory.join(format!("etcd-{id}.json"));
        fs::write(path, manifest.to_string()).expect("a manifest");
        id
    }
}

/// What is no backup and looks much like one; each says so itself.
const FOREIGN: [&str; 16] = [
    "notes.txt",
    "etcd-by-hand.db",
    "etcd-by-hand.json",
    "etcd-20200101T000000Z.db",
    "etcd-20200102T000000Z.json",
    "etcd-20200103T000000Z.db.part",
    "etcd-20200104T000000Z",
    "etcd-node-2-20200105T000000Z.db",
    ".etcd-by-hand.removing",
    "pki/notes.txt",
    "pki/ca.key",
    "etcd-backups/etcd-20200106T000000Z.db",
    "etcd-backups/etcd-20200106T000000Z.json",
    "other-host/etcd-20200107T000000Z.db",
    "other-host/etcd-20200107T000000Z.json",
    "other-host/.etcd-20200108T000000Z.removing",
];

/// Lays foreign files beside the backups, and gives what they hold.
pub(crate) fn lay_foreign(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    for name in FOREIGN {
        let path = directory.join(name);
        let parent = path.parent().expect("a parent");
        fs::create_dir_all(parent).expect("a directory");
        fs::write(&path, format!("this is {name}")).expect("a file");
    }
    foreign(directory)
}

/// What the foreign files hold now.
pub(crate) fn foreign(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |name: &&str| Some(((*name).to_owned(), fs::read(directory.join(name)).ok()?));
    FOREIGN.iter().filter_map(read).collect()
}

/// The ids of the whole backups, oldest first; panics where a half of one lies about.
#[track_caller]
pub(crate) fn whole(directory: &Path) -> Vec<String> {
    let ids = |suffix: &str| {
        let entries = fs::read_dir(directory).expect("the directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut ids: Vec<String> = names
            .filter_map(|name| name.into_string().ok())
            .filter(|name| !FOREIGN.contains(&name.as_str()))
            .filter_map(|name| {
                let id = name.strip_prefix("etcd-")?.strip_suffix(suffix)?;
                Some(id.to_owned())
            })
            .collect();
        ids.sort();
        ids
    };
    let (manifests, data) = (ids(".json"), ids(".db"));
    assert_eq!(
        manifests,
        data,
        "half a backup lies in {}",
        directory.display()
    );
    manifests
}
