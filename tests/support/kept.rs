//! A host that holds one good backup already, and the promise that nothing bad touches it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use etcd_client::proto::PbResponseHeader;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::command::{Host, Output};
use super::etcd::{Etcd, Version};
use super::fake::{Behaviour, Fake, Script};
use super::pki::Pki;

/// The member that misbehaves, where there are two: a follower, which is asked first.
pub(crate) const FOLLOWER: u64 = 0xbad;
/// The member that is healthy, where there are two.
pub(crate) const LEADER: u64 = 0x900d;

/// A small real snapshot with its trailer: 26 pages, branches among them.
pub(crate) fn golden(version: &str) -> Vec<u8> {
    fs::read(golden_path(version)).expect("a golden snapshot")
}

/// Where that snapshot lies.
pub(crate) fn golden_path(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/snapshots")
        .join(format!("{version}.db"))
}

/// A larger real snapshot: more than a megabyte, in more messages than a window holds.
pub(crate) fn large() -> &'static [u8] {
    static LARGE: OnceLock<Vec<u8>> = OnceLock::new();
    LARGE.get_or_init(|| {
        let (pki, directory) = (Pki::new(), TempDir::new().expect("a directory"));
        let etcd = Etcd::start(Version::V3_5, &pki);
        etcd.fill(1 << 20);
        let file = directory.path().join("snapshot.db");
        etcd.snapshot_save(&file);
        fs::read(file).expect("the snapshot")
    })
}

/// A database with the digest that etcd would append.
pub(crate) fn with_trailer(mut database: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&database);
    database.extend_from_slice(&digest);
    database
}

/// The smallest database that is one, without its trailer: three pages of 512 bytes, no key.
pub(crate) fn tiny() -> Vec<u8> {
    let mut database = vec![0; 3 * 512];
    for number in 0..2 {
        let page = &mut database[number * 512..][..512];
        page[0] = u8::try_from(number).expect("a small number");
        page[8] = 0x04;
        let meta = &mut page[16..];
        meta[..4].copy_from_slice(&0xED0C_DAED_u32.to_le_bytes());
        meta[4] = 2;
        meta[8..12].copy_from_slice(&512_u32.to_le_bytes());
        meta[16] = 2;
        meta[32..40].fill(0xFF);
        meta[40] = 3;
        meta[48] = page_txid(number);
        seal_meta(meta);
    }
    let root = &mut database[2 * 512..];
    (root[0], root[8], root[10]) = (2, 0x02, 1);
    // one entry, a bucket of the name "key", whose own page lies in its value and is empty
    (root[16], root[20], root[24], root[28]) = (0x01, 16, 3, 32);
    root[32..35].copy_from_slice(b"key");
    root[35 + 16 + 8] = 0x02;
    database
}

fn page_txid(number: usize) -> u8 {
    if number == 0 { 2 } else { 1 }
}

/// Gives a meta its checksum.
pub(crate) fn seal_meta(meta: &mut [u8]) {
    let sum = meta[..56]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    meta[56..64].copy_from_slice(&sum.to_le_bytes());
}

/// One of the members of a cluster of which [`LEADER`] leads.
pub(crate) fn member(id: u64, file: &[u8], script: Script) -> Behaviour {
    let mut behaviour = Behaviour::new(file, script);
    let header = behaviour.status.header.unwrap_or_default();
    behaviour.status.header = Some(PbResponseHeader {
        member_id: id,
        ..header
    });
    behaviour.status.leader = LEADER;
    behaviour
}

/// What a person is told of a failure: the code, an object, a cause and a hint; nothing on stdout.
#[track_caller]
pub(crate) fn told(output: Output, code: i32) -> Output {
    let output = output.expect_code(code);
    for word in ["error: ", "cause: ", " hint: "] {
        let is_there = output.stderr.lines().any(|line| line.starts_with(word));
        assert!(is_there, "no line begins with {word:?}: {output}");
    }
    assert!(output.stdout.is_empty(), "{output}");
    output
}

/// A host with an earlier good backup.
pub(crate) struct Kept {
    pub(crate) host: Host,
    before: BTreeMap<String, Vec<u8>>,
}

impl Kept {
    /// A new host with a backup of [`golden`] 3.4.23.
    pub(crate) fn new() -> Self {
        Self::on(Host::new())
    }

    /// The same on a host that is there already.
    pub(crate) fn on(host: Host) -> Self {
        let healthy = Fake::start(&host.pki, &golden("3.4.23"), Script::Faithful);
        host.configure(&[healthy.endpoint()]);
        host.reserve("0");
        host.run(&["backup"]).expect_success();
        let before = contents(&host.backups);
        assert_eq!(before.len(), 2, "{:?}", before.keys());
        Self { host, before }
    }

    /// Takes a backup from these servers, `more` being added to `[etcd]`.
    pub(crate) fn backup(&self, servers: &[&Fake], more: &str) -> Output {
        let endpoints: Vec<String> = servers.iter().map(|server| server.endpoint()).collect();
        self.host
            .configure_as(&endpoints, &self.host.pki.client, more);
        self.host.run(&["backup", "--json"])
    }

    /// A file that the next look expects, too.
    pub(crate) fn put(&mut self, name: &str, content: &[u8]) {
        fs::write(self.host.backups.join(name), content).expect("a file");
        self.before.insert(name.to_owned(), content.to_vec());
    }

    /// Panics unless every file is there as it was, and no other.
    #[track_caller]
    pub(crate) fn assert_untouched(&self, why: &str) {
        let now = contents(&self.host.backups);
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&now), names(&self.before), "{why}");
        assert!(now == self.before, "{why}: a file has changed");
    }

    /// Panics unless every file is there as it was; new ones may stand beside them.
    #[track_caller]
    pub(crate) fn assert_still_there(&self, why: &str) {
        let now = contents(&self.host.backups);
        for (name, content) in &self.before {
            assert!(now.get(name) == Some(content), "{why}: {name} has changed");
        }
    }

    /// Panics unless all backups prove good again.
    #[track_caller]
    pub(crate) fn assert_still_proven(&self) {
        self.host.run(&["verify", "--all"]).expect_success();
    }
}

/// Every file of a directory but the lock, and the copies of the CA, which have a test of their own.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("the backup directory");
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != ".lock" && name != "pki" {
            let bytes = fs::read(entry.path()).unwrap_or_default();
            files.insert(name, bytes);
        }
    }
    files
}
