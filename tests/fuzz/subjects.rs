//! What is fuzzed: for any input the readers return (no panic, no loop, no memory beyond what the
//! file holds), and what they accept obeys the laws that are asserted here.
//!
//! The fuzz targets run these functions on inputs that grow, `tests/fuzz_replay.rs` runs them on
//! the kept ones. Each returns whether its input was accepted.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use hypercloud_etcd::catalog::Manifest;
use hypercloud_etcd::datadir::{self, Error, Layout, Membership, Recipe};
use hypercloud_etcd::kubeadm::{ApiServerPod, EtcdPod, Image, Mounted};
use hypercloud_etcd::snapshot::{self, CompactedDeletion, Inspection, Trailer, Verified};
use rustix::fs::MemfdFlags;

/// Any bytes as a snapshot.
pub(super) fn snapshot_file(bytes: &[u8]) -> bool {
    let file = memory_file(bytes).expect("memory for a file");
    let length = bytes.len() as u64;
    let head = snapshot::head(&file, length).unwrap_or_default();
    let digests = snapshot::digest(&file).expect("a file in memory reads");
    assert_eq!(digests.length, length);
    let Ok(inspection) = Inspection::walk(&file, length, &scratch) else {
        return false;
    };
    let facts = &inspection.facts;
    // of a compaction that no etcd could have written, the quick look may see less
    let known = facts.revision..=facts.kv_hash.revision;
    assert!(known.contains(&head.revision), "the quick look errs");
    assert!(facts.total_size <= length, "larger than its file");
    assert!(
        facts.total_key <= facts.total_entries,
        "more keys live than were written"
    );
    let by_type: u64 = facts.types.values().map(|count| count.keys).sum();
    assert_eq!(by_type, facts.total_key, "the types do not add up");

    let hash = |compacted, rule| {
        inspection
            .kv_hash(&file, length, compacted, rule)
            .expect("a file that was walked walks again")
    };
    let own = hash(facts.compact_revision, CompactedDeletion::Skipped);
    assert_eq!(own, facts.kv_hash, "the first walk and the second differ");
    let half = facts.revision / 2;
    for rule in [CompactedDeletion::Skipped, CompactedDeletion::Counted] {
        let hash = hash(half, rule);
        assert_eq!(
            (hash.revision, hash.compact_revision),
            (facts.kv_hash.revision, half)
        );
    }
    let again = Inspection::walk(&file, length, &scratch).expect("walks again");
    assert_eq!(&again.facts, facts, "two walks see two databases");
    true
}

/// A snapshot of a real etcd with patches of the input's choosing, its metas made to fit again:
/// what a bit that fell over behind every checksum looks like, and what a forger can do.
pub(super) fn page_mutations(input: &[u8]) -> bool {
    snapshot_file(&mutated(input))
}

/// Such a snapshot, restored: what is proven can be written, in both layouts, and is then proven.
pub(super) fn restore(input: &[u8]) -> bool {
    let bytes = mutated(input);
    let file = memory_file(&bytes).expect("memory for a file");
    let Ok(source) = Verified::prove(file, Trailer::Waived, &scratch) else {
        return false;
    };
    let bump = u64::from(bytes[bytes.len() - 1]);
    for (layout, bump) in [(Layout::Copy, Some(bump)), (Layout::Compact, None)] {
        let recipe = Recipe {
            membership: Membership::parse("m=http://h:1", "t").expect("a membership"),
            name: "m".into(),
            etcd: None,
            bump,
            clear_alarms: true,
            layout,
            wal_dir: None,
            ownership: None,
        };
        let target = scratch().expect("memory for a file");
        let at = (&target, Path::new("memory"));
        let written = match datadir::write_database(&source, &recipe, at, &mut |_| {}) {
            Ok(written) => written,
            Err(error @ (Error::Written(_) | Error::Differs(_) | Error::Io { .. })) => {
                panic!("{error:?}")
            }
            Err(_) => return false,
        };
        let again = Verified::prove(target, Trailer::Waived, &scratch).expect("what was written");
        assert_eq!(again.facts().hash, written.hash, "another database");
        assert_eq!(again.facts().members.len(), 1, "other members");
        assert_eq!(again.length(), written.size, "another size");
    }
    true
}

/// A snapshot of a real etcd, patched as the input says.
fn mutated(input: &[u8]) -> Vec<u8> {
    let mut input = Input(input);
    let chosen = usize::from(input.byte().unwrap_or(0)) % GOLDEN.len();
    let mut bytes = GOLDEN[chosen].to_vec();
    let pages = bytes.len() / PAGE;
    while let Some(kind) = input.byte() {
        let page = usize::from(input.byte().unwrap_or(0)) % pages;
        match kind % 4 {
            // some bytes anywhere on the page
            0 => {
                let at = page * PAGE + usize::from(input.word()) % PAGE;
                let length = 1 + usize::from(input.byte().unwrap_or(0)) % 8;
                patch(&mut bytes, at, input.take(length));
            }
            // one field of the header or of an element
            1 => {
                let at = page * PAGE + usize::from(input.byte().unwrap_or(0)) * 4;
                patch(&mut bytes, at, input.take(4));
            }
            // another page takes its place, and its number
            2 => {
                let from = usize::from(input.byte().unwrap_or(0)) % pages;
                bytes.copy_within(from * PAGE..(from + 1) * PAGE, page * PAGE);
                patch(&mut bytes, page * PAGE, &(page as u64).to_le_bytes());
            }
            // an element points elsewhere
            _ => {
                let element = 16 + 16 * usize::from(input.byte().unwrap_or(0));
                let target = u64::from(input.byte().unwrap_or(0)) % (pages as u64 + 2);
                patch(&mut bytes, page * PAGE + element + 8, &target.to_le_bytes());
            }
        }
    }
    for meta in [0, 1] {
        let at = meta * PAGE + 16;
        let checksum = fnv1a(&bytes[at..at + 56]);
        patch(&mut bytes, at + 56, &checksum.to_le_bytes());
    }
    bytes
}

/// Any bytes as a manifest.
pub(super) fn manifest(bytes: &[u8]) -> bool {
    const NAME: &str = "etcd-20261122T060000Z.json";
    let Ok(manifest) = Manifest::parse(NAME, bytes) else {
        return false;
    };
    assert_eq!(manifest.id.manifest_name(), NAME);
    assert_eq!(
        manifest.file, "etcd-20261122T060000Z.db",
        "a file that is not its own"
    );
    let json = manifest.to_json().expect("every manifest has a JSON form");
    let again = Manifest::parse(NAME, &json).expect("what is written can be read");
    assert_eq!(again, manifest, "writing it changed it");
    true
}

/// Any bytes as the manifest of a static pod.
pub(super) fn pod_manifest(bytes: &[u8]) -> bool {
    let are_absolute = |paths: &[&Option<Mounted>]| {
        for path in paths.iter().copied().flatten() {
            assert!(path.inside.is_absolute(), "{path:?}");
            assert!(path.host.as_ref().is_none_or(|host| host.is_absolute()));
        }
    };
    if let Ok(pod) = ApiServerPod::parse(bytes) {
        are_absolute(&[&pod.etcd_ca_file, &pod.etcd_cert_file, &pod.etcd_key_file]);
    }
    let Ok(pod) = EtcdPod::parse(bytes) else {
        return false;
    };
    are_absolute(&[&pod.data_dir, &pod.wal_dir, &pod.config_file]);
    are_absolute(&[&pod.trusted_ca_file, &pod.cert_file, &pod.key_file]);
    let again = Image::parse(&pod.image.to_string()).expect("an image is what it is written as");
    assert_eq!(again, pod.image);
    assert!(pod.listen_client_urls.iter().all(|url| !url.is_empty()));
    assert_eq!(EtcdPod::parse(bytes), Ok(pod), "two readings see two pods");
    true
}

/// One snapshot of each etcd that the tests run; all have pages of this size.
pub(super) const GOLDEN: [&[u8]; 3] = [
    include_bytes!("../golden/snapshots/3.4.23.db"),
    include_bytes!("../golden/snapshots/3.5.1.db"),
    include_bytes!("../golden/snapshots/3.5.30.db"),
];
const PAGE: usize = 4096;

fn patch(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (old, new) in bytes.iter_mut().skip(at).zip(with) {
        *old = *new;
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn memory_file(bytes: &[u8]) -> io::Result<File> {
    let mut file = scratch()?;
    file.write_all(bytes)?;
    Ok(file)
}

fn scratch() -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(
        "fuzz",
        MemfdFlags::CLOEXEC,
    )?))
}

/// The input, taken piece by piece.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte().unwrap_or(0), self.byte().unwrap_or(0)])
    }
}
