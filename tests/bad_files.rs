//! What a file may turn out to be, and what is said of it: never that it is good, and never nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::command::{Host, Output, run};
use crate::support::etcd::versions;
use crate::support::fake::{Fake, Script};
use crate::support::kept::{golden, golden_path, seal_meta, told, with_trailer};

const PAGE: usize = 4096;
const DIGEST: usize = 32;

/// The database of a golden snapshot, to be damaged page by page.
struct Database {
    bytes: Vec<u8>,
}

impl Database {
    fn new() -> Self {
        let mut bytes = golden("3.5.30");
        bytes.truncate(bytes.len() - DIGEST);
        Self { bytes }
    }

    fn page(&mut self, id: usize) -> &mut [u8] {
        &mut self.bytes[id * PAGE..][..PAGE]
    }

    /// The number of a page, its flags, its elements and its overflow.
    fn head(&self, id: usize) -> (u64, u16, u16, u32) {
        let page = &self.bytes[id * PAGE..];
        (
            u64::from_le_bytes(page[..8].try_into().unwrap()),
            u16::from_le_bytes(page[8..10].try_into().unwrap()),
            u16::from_le_bytes(page[10..12].try_into().unwrap()),
            u32::from_le_bytes(page[12..16].try_into().unwrap()),
        )
    }

    /// Sets the 32 bits at this place of an element (0: flags, 4: position, 8: key, 12: value size; in a branch 0:
    /// position, 4: key size, 8: child).
    fn element(&mut self, id: usize, index: usize, at: usize, value: u32) {
        let at = 16 + index * 16 + at;
        self.page(id)[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn child(&self, id: usize, index: usize) -> usize {
        let at = id * PAGE + 16 + index * 16 + 8;
        usize::try_from(u64::from_le_bytes(
            self.bytes[at..at + 8].try_into().unwrap(),
        ))
        .unwrap()
    }

    fn set_child(&mut self, id: usize, index: usize, child: u64) {
        let at = 16 + index * 16 + 8;
        self.page(id)[at..at + 8].copy_from_slice(&child.to_le_bytes());
    }

    /// The page that holds the buckets.
    fn root(&self) -> usize {
        usize::try_from(u64::from_le_bytes(self.bytes[32..40].try_into().unwrap())).unwrap()
    }

    /// A branch page that is in use, with the most children: the root page of some bucket.
    fn branch(&self) -> usize {
        let count = |id: &usize| usize::from(self.head(*id).2);
        let root = self.root();
        let roots = (0..usize::from(self.head(root).2)).filter_map(|index| {
            let element = &self.bytes[root * PAGE + 16 + index * 16..];
            let field = |at: usize| u32::from_le_bytes(element[at..at + 4].try_into().unwrap());
            let value = &element[(field(4) + field(8)) as usize..];
            usize::try_from(u64::from_le_bytes(value[..8].try_into().unwrap())).ok()
        });
        let branches = roots.filter(|id| *id != 0 && self.head(*id).1 == 1);
        branches.max_by_key(count).expect("a bucket with a branch")
    }

    /// A leaf of that branch.
    fn leaf(&self) -> usize {
        self.child(self.branch(), 0)
    }

    /// Changes a field of both metas, which stay valid.
    fn metas(&mut self, at: usize, value: &[u8]) {
        for id in 0..2 {
            let meta = &mut self.page(id)[16..];
            meta[at..at + value.len()].copy_from_slice(value);
            seal_meta(meta);
        }
    }
}

/// A harm, the damage that it does, and words of what is said of it.
type Harm = (&'static str, fn(&mut Database), &'static str);

/// Proves a file alone, and expects it to fall.
#[track_caller]
fn fallen(path: &Path, why: &str) -> Output {
    let host = Host::new();
    let before = fs::read(path).unwrap();
    let args = ["verify", "--file", path.to_str().unwrap()];
    let output = host.run(&args).expect_code(65);
    let name = path.to_str().unwrap();
    let told = format!("{}{}", output.stdout, output.stderr);
    assert!(told.contains(name), "{why}: {output}");
    let json = host
        .run(&["verify", "--json", "--file", name])
        .expect_code(65);
    let verdict = &json.json()[0];
    assert_eq!(verdict["verified"], false, "{why}: {json}");
    assert_ne!(verdict["problems"], json!([]), "{why}: {json}");
    assert!(fs::read(path).unwrap() == before, "{why}: it was changed");
    output
}

/// Shows and restores a file, and expects that nothing of it is believed.
#[track_caller]
fn unsound(path: &Path, why: &str) {
    let host = Host::new();
    let args = ["show", "--file", path.to_str().unwrap()];
    let output = told(host.run(&args), 65);
    assert!(
        output.stderr.contains(path.to_str().unwrap()),
        "{why}: {output}"
    );
    let target = path.with_file_name("restored");
    let args = [
        "restore",
        "--data-dir",
        target.to_str().unwrap(),
        "--file",
        path.to_str().unwrap(),
    ];
    host.run(&args).expect_code(65);
    assert!(!target.exists(), "{why}: it was restored");
}

fn written(directory: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join("snapshot.db");
    fs::write(&path, bytes).unwrap();
    path
}

/// Bytes without any order, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    });
    next.take(length).collect()
}

#[test]
fn what_is_no_snapshot_at_all_is_not_taken_for_one() {
    let directory = TempDir::new().unwrap();
    for length in [0, 1, 31, 32, 33, 512, 544, PAGE, 2 * PAGE, 100_000, 1 << 20] {
        let path = written(&directory, &noise(length));
        fallen(&path, &format!("{length} bytes of noise"));
        unsound(&path, &format!("{length} bytes of noise"));
        let path = written(&directory, &vec![0; length]);
        fallen(&path, &format!("{length} zeroes"));
        let path = written(&directory, &with_trailer(noise(length)));
        fallen(&path, &format!("{length} bytes of noise with their digest"));
    }
}

#[test]
fn a_snapshot_that_was_cut_falls_at_every_length() {
    let directory = TempDir::new().unwrap();
    let whole = golden("3.5.30");
    let end = whole.len();
    let dense = (1..40).chain([DIGEST + PAGE, DIGEST + 512, 5 * PAGE]);
    let lengths = dense
        .map(|less| end - less)
        .chain((0..end).step_by(3 * PAGE - 7));
    for length in lengths {
        let path = written(&directory, &whole[..length]);
        fallen(&path, &format!("{length} of {end} bytes"));
        if length < end - DIGEST {
            unsound(&path, &format!("{length} of {end} bytes"));
        }
    }
}

#[test]
fn what_the_tools_of_etcd_let_through_falls() {
    let directory = TempDir::new().unwrap();
    let mut wrong_trailer = golden("3.5.30");
    let last = wrong_trailer.len() - 1;
    wrong_trailer[last] ^= 1;
    // the last page is a free one, so that no page that is in use is missing
    let mut database = Database::new();
    let pages = (database.bytes.len() / PAGE + 1) as u64;
    database.metas(40, &pages.to_le_bytes());
    let cut_at_free_page = with_trailer(database.bytes);
    for (why, bytes) in [
        ("a wrong trailer", wrong_trailer),
        ("cut at a free page", cut_at_free_page),
    ] {
        let path = written(&directory, &bytes);
        for version in versions() {
            version.snapshot_status(&path);
        }
        fallen(&path, why);
    }
}

#[test]
fn a_wrong_trailer_is_told_apart_from_none() {
    let directory = TempDir::new().unwrap();
    let host = Host::new();
    let mut bytes = golden("3.5.30");
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    let path = written(&directory, &bytes);
    let output = fallen(&path, "a wrong trailer");
    assert!(
        output.stdout.contains("etcd appended the SHA-256"),
        "{output}"
    );
    let show = ["show", "--json", "--file", path.to_str().unwrap()];
    let facts = host.run(&show).expect_code(65).json();
    assert_eq!(facts["verification"][0]["result"], "failed");
    // a database out of a data directory has none, and can be shown
    bytes.truncate(end - DIGEST);
    let path = written(&directory, &bytes);
    let output = fallen(&path, "no trailer");
    assert!(output.stdout.contains("no SHA-256 trailer"), "{output}");
    let facts = host.run(&show).expect_success().json();
    assert_eq!(facts["verification"][0]["result"], "skipped");
    assert_eq!(facts["revision"], 38);
}

/// Pages that are not where, or what, they should be.
const PAGES: &[Harm] = &[
    (
        "a branch that is its own child",
        |db| {
            let branch = db.branch();
            db.set_child(branch, 0, branch as u64);
        },
        "is referenced twice",
    ),
    (
        "a child that is the parent",
        |db| {
            let (branch, root) = (db.branch(), db.root());
            db.set_child(branch, 0, root as u64);
        },
        "is referenced twice",
    ),
    (
        "one leaf twice",
        |db| {
            let branch = db.branch();
            let other = db.child(branch, 1) as u64;
            db.set_child(branch, 0, other);
        },
        "page ",
    ),
    (
        "the last leaf twice",
        |db| {
            let branch = db.branch();
            let last = usize::from(db.head(branch).2) - 1;
            let other = db.child(branch, 0) as u64;
            db.set_child(branch, last, other);
        },
        "is referenced twice",
    ),
    (
        "a meta page for a child",
        |db| {
            let branch = db.branch();
            db.set_child(branch, 0, 1);
        },
        "page 1",
    ),
    (
        "a child beyond the end",
        |db| {
            let branch = db.branch();
            db.set_child(branch, 0, 26);
        },
        "beyond the high-water mark",
    ),
    (
        "a child beyond everything",
        |db| {
            let branch = db.branch();
            db.set_child(branch, 0, u64::MAX);
        },
        "beyond the high-water mark",
    ),
    (
        "another number",
        |db| {
            let leaf = db.leaf();
            db.page(leaf)[0] ^= 1;
        },
        "carries the number",
    ),
    ("swapped pages", |db| swap(db, false), "carries the number"),
    (
        "swapped pages, renumbered",
        |db| swap(db, true),
        "the key of element",
    ),
    (
        "no type",
        |db| {
            let leaf = db.leaf();
            db.page(leaf)[8] = 0;
        },
        "is neither a branch nor a leaf",
    ),
    (
        "a leaf that calls itself a branch",
        |db| {
            let leaf = db.leaf();
            db.page(leaf)[8] = 1;
        },
        "page ",
    ),
    (
        "a branch that calls itself a leaf",
        |db| {
            let branch = db.branch();
            db.page(branch)[8] = 2;
        },
        "",
    ),
    (
        "an empty branch",
        |db| {
            let branch = db.branch();
            db.page(branch)[10] = 0;
        },
        "is an empty branch",
    ),
    (
        "an empty leaf",
        |db| {
            let leaf = db.leaf();
            db.page(leaf)[10] = 0;
        },
        "is an empty leaf",
    ),
];

#[test]
fn pages_that_do_not_fit_together_fall() {
    assert_fall(PAGES);
}

/// Swaps the content of two leaves, and their numbers back where asked.
fn swap(db: &mut Database, renumber: bool) {
    let branch = db.branch();
    let (one, other) = (db.child(branch, 0), db.child(branch, 1));
    let (a, b) = (db.page(one).to_vec(), db.page(other).to_vec());
    db.page(one).copy_from_slice(&b);
    db.page(other).copy_from_slice(&a);
    if renumber {
        db.page(one)[..8].copy_from_slice(&(one as u64).to_le_bytes());
        db.page(other)[..8].copy_from_slice(&(other as u64).to_le_bytes());
    }
}

/// Counts, places and sizes that lead out of their page.
const ELEMENTS: &[Harm] = &[
    (
        "more elements than fit",
        |db| {
            let leaf = db.leaf();
            db.page(leaf)[10..12].fill(0xFF);
        },
        "page ",
    ),
    (
        "more children than fit",
        |db| {
            let branch = db.branch();
            db.page(branch)[10..12].fill(0xFF);
        },
        "page ",
    ),
    (
        "a key out of the page",
        |db| {
            let leaf = db.leaf();
            db.element(leaf, 0, 4, 4096);
        },
        "reaches beyond the page",
    ),
    (
        "a key out of everything",
        |db| {
            let leaf = db.leaf();
            db.element(leaf, 0, 4, u32::MAX);
        },
        "reaches beyond the page",
    ),
    (
        "a key that is too long",
        |db| {
            let leaf = db.leaf();
            db.element(leaf, 0, 8, u32::MAX);
        },
        "reaches beyond the page",
    ),
    (
        "a value that is too long",
        |db| {
            let leaf = db.leaf();
            db.element(leaf, 0, 12, u32::MAX - 5);
        },
        "reaches beyond the page",
    ),
    (
        "a child's key out of the page",
        |db| {
            let branch = db.branch();
            db.element(branch, 1, 0, 60_000);
        },
        "reaches beyond the page",
    ),
    (
        "no key",
        |db| {
            let leaf = db.leaf();
            db.element(leaf, 0, 8, 0);
        },
        "",
    ),
    (
        "overflow beyond the end",
        |db| {
            let leaf = db.leaf();
            db.page(leaf)[12..16].fill(0xFF);
        },
        "reach beyond the high-water mark",
    ),
    (
        "overflow over the whole file",
        |db| {
            let leaf = db.leaf();
            let pages = u32::try_from(db.bytes.len() / PAGE - leaf - 1).unwrap();
            db.page(leaf)[12..16].copy_from_slice(&pages.to_le_bytes());
        },
        "is referenced twice",
    ),
    (
        "a bucket without a header",
        |db| {
            let root = db.root();
            db.element(root, 0, 12, 3);
        },
        "its header is too short",
    ),
    (
        "an entry among the buckets",
        |db| {
            let root = db.root();
            db.element(root, 0, 0, 0);
        },
        "an entry that is not a bucket",
    ),
];

#[test]
fn elements_that_reach_too_far_fall() {
    assert_fall(ELEMENTS);
}

/// Meta pages that lie, under a right checksum unless that is the harm.
const METAS: &[Harm] = &[
    (
        "one damaged meta",
        |db| db.page(0)[16 + 56] ^= 1,
        "meta page 0 is damaged",
    ),
    (
        "the other damaged meta",
        |db| db.page(1)[16 + 56] ^= 1,
        "meta page 1 is damaged",
    ),
    (
        "both damaged metas",
        |db| {
            db.page(0)[20] ^= 1;
            db.page(1)[20] ^= 1;
        },
        "neither of its two meta pages is valid",
    ),
    (
        "a big-endian host",
        |db| {
            for id in 0..2 {
                db.page(id)[16..20].reverse();
            }
        },
        "big-endian",
    ),
    (
        "another format version",
        |db| db.metas(4, &3_u32.to_le_bytes()),
        "meta",
    ),
    (
        "a page size of nothing",
        |db| db.metas(8, &0_u32.to_le_bytes()),
        "",
    ),
    (
        "a page size that is none",
        |db| db.metas(8, &4097_u32.to_le_bytes()),
        "",
    ),
    (
        "an enormous page size",
        |db| db.metas(8, &(1_u32 << 31).to_le_bytes()),
        "",
    ),
    (
        "a root beyond the end",
        |db| db.metas(16, &26_u64.to_le_bytes()),
        "beyond the high-water mark",
    ),
    (
        "a root that is a meta",
        |db| db.metas(16, &0_u64.to_le_bytes()),
        "page 0",
    ),
    (
        "a free list beyond the end",
        |db| db.metas(32, &1000_u64.to_le_bytes()),
        "beyond the high-water mark",
    ),
    (
        "a leaf for a free list",
        |db| {
            let leaf = db.leaf() as u64;
            db.metas(32, &leaf.to_le_bytes());
        },
        "is not the list of free pages",
    ),
    (
        "more pages than there are",
        |db| db.metas(40, &27_u64.to_le_bytes()),
        "the file is cut",
    ),
    (
        "more pages than there can be",
        |db| db.metas(40, &(u64::MAX / 2).to_le_bytes()),
        "the file is cut",
    ),
    (
        "no page at all",
        |db| db.metas(40, &0_u64.to_le_bytes()),
        "high-water mark",
    ),
];

#[test]
fn metas_that_are_wrong_fall() {
    assert_fall(METAS);
}

/// Each harm falls for its own reason: the digest is right, as if the member's own disk had done it.
#[track_caller]
fn assert_fall(cases: &[Harm]) {
    let directory = TempDir::new().unwrap();
    let sound = written(&directory, &with_trailer(Database::new().bytes));
    let args = ["verify", "--file", sound.to_str().unwrap()];
    Host::new().run(&args).expect_success();
    for (why, harm, said) in cases {
        let mut database = Database::new();
        harm(&mut database);
        assert!(
            database.bytes != Database::new().bytes,
            "{why}: no harm was done"
        );
        let path = written(&directory, &with_trailer(database.bytes));
        let output = fallen(&path, why);
        let told = format!("{}{}", output.stdout, output.stderr);
        assert!(told.contains(said), "{why}: {output}");
        unsound(&path, why);
    }
}

#[test]
fn what_is_no_file_is_refused_and_waited_for_by_nobody() {
    let directory = TempDir::new().unwrap();
    let host = Host::new();
    let fifo = directory.path().join("fifo");
    run(Command::new("mkfifo").arg(&fifo)).expect_success();
    let missing = directory.path().join("missing");
    let looped = directory.path().join("loop");
    symlink(&looped, &looped).unwrap();
    for path in [
        directory.path(),
        &fifo,
        Path::new("/dev/zero"),
        Path::new("/dev/null"),
        &missing,
        &looped,
        Path::new(""),
        Path::new("/proc/self/mem"),
    ] {
        for command in ["verify", "show"] {
            let output = host.run(&[command, "--file", path.to_str().unwrap()]);
            let code = output.code;
            // an empty path is a mistake on the command line
            assert!(
                code == Some(74) || code == Some(64) || code == Some(65),
                "{output}"
            );
            assert!(
                output.stderr.contains("error: "),
                "{}: {output}",
                path.display()
            );
            assert!(output.stdout.is_empty(), "{}: {output}", path.display());
        }
    }
    // a link to a snapshot is one: the operator chose it
    let link = directory.path().join("link");
    symlink(golden_path("3.5.30"), &link).unwrap();
    host.run(&["verify", "--file", link.to_str().unwrap()])
        .expect_success();
}

/// A host with three backups, and their ids, newest first.
fn three() -> (Host, [String; 3]) {
    let host = Host::new();
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    host.configure(&[server.endpoint()]);
    let backup = || {
        let output = host.run(&["backup", "--json"]).expect_success();
        output.json()["id"].as_str().unwrap().to_owned()
    };
    let oldest_first = [backup(), backup(), backup()];
    let [a, b, c] = oldest_first;
    (host, [c, b, a])
}

fn data(host: &Host, id: &str) -> PathBuf {
    host.backups.join(format!("etcd-{id}.db"))
}

fn manifest(host: &Host, id: &str) -> PathBuf {
    host.backups.join(format!("etcd-{id}.json"))
}

/// What was done to a stored snapshot, how, and words of what is said of it.
type Alteration = (&'static str, fn(&Path), &'static str);

/// What may have become of a stored snapshot.
const ALTERATIONS: &[Alteration] = &[
    ("a flipped byte", |path| flip(path, 70_000), "SHA-256"),
    (
        "a flipped byte in the trailer",
        |path| flip(path, 106_500),
        "SHA-256",
    ),
    (
        "a cut",
        |path| fs::write(path, &golden("3.5.30")[..90_000]).unwrap(),
        "the manifest says",
    ),
    (
        "nothing left",
        |path| fs::write(path, "").unwrap(),
        "0 bytes",
    ),
    (
        "another snapshot",
        |path| fs::write(path, golden("3.5.1")).unwrap(),
        "the database says something else",
    ),
    (
        "no file",
        |path| fs::remove_file(path).unwrap(),
        "cannot be read",
    ),
    (
        "a link",
        |path| {
            fs::remove_file(path).unwrap();
            symlink(golden_path("3.5.30"), path).unwrap();
        },
        "cannot be read",
    ),
    (
        "a directory",
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        "cannot be read",
    ),
    (
        "a pipe",
        |path| {
            fs::remove_file(path).unwrap();
            run(Command::new("mkfifo").arg(path)).expect_success();
        },
        "cannot be read",
    ),
];

#[test]
fn a_stored_backup_that_was_altered_is_named_and_the_others_are_not() {
    for (why, harm, said) in ALTERATIONS {
        let (host, [newest, middle, oldest]) = three();
        harm(&data(&host, &newest));
        let output = host.run(&["verify", "latest"]).expect_code(65);
        let line = output.stdout.lines().find(|line| line.starts_with(&newest));
        let failed = line.is_some_and(|line| line.contains("FAILED") && line.contains(said));
        assert!(failed, "{why}: {output}");
        host.run(&["verify"]).expect_code(65);
        host.run(&["verify", &newest]).expect_code(65);
        host.run(&["verify", &middle]).expect_success();
        let verdicts = host
            .run(&["verify", "--all", "--json"])
            .expect_code(65)
            .json();
        let verified = |id: &str| {
            let verdicts = verdicts.as_array().unwrap();
            let of = verdicts.iter().find(|verdict| verdict["name"] == id);
            of.unwrap()["verified"].as_bool().unwrap()
        };
        let seen = [&newest, &middle, &oldest].map(|id| verified(id));
        assert_eq!(seen, [false, true, true], "{why}");
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// What was done to a manifest, how (given its path and its text), and words of what is said of it.
type Forgery = (&'static str, fn(&Path, &str), &'static str);

/// What may stand in a manifest's place.
const FORGERIES: &[Forgery] = &[
    (
        "cut",
        |path, text| rewrite(path, &text[..text.len() / 2]),
        "it is not a manifest",
    ),
    (
        "cut behind its format",
        |path, text| rewrite(path, &text[..text.len() - 3]),
        "it is not a manifest",
    ),
    ("empty", |path, _| rewrite(path, ""), "it is not a manifest"),
    (
        "no JSON",
        |path, _| rewrite(path, "backup: yes\n"),
        "it is not a manifest",
    ),
    (
        "not text",
        |path, _| fs::write(path, noise(3000)).unwrap(),
        "it is not a manifest",
    ),
    (
        "of a newer format",
        |path, text| rewrite(path, &text.replace("\"format\": 1", "\"format\": 2")),
        "it is of format 2",
    ),
    (
        "a file outside",
        |path, text| rewrite(path, &text.replace("\"file\": \"", "\"file\": \"../")),
        "which is not its own",
    ),
    (
        "an absolute file",
        |path, text| rewrite(path, &text.replace("\"file\": \"", "\"file\": \"/etc/")),
        "which is not its own",
    ),
    (
        "another id",
        |path, text| rewrite(path, &text.replace("\"id\": \"20", "\"id\": \"19")),
        "it belongs to another backup",
    ),
    (
        "an id that is a path",
        |path, text| rewrite(path, &text.replace("\"id\": \"", "\"id\": \"../")),
        "it is damaged",
    ),
    (
        "a size below nothing",
        |path, text| rewrite(path, &text.replace("\"size\": ", "\"size\": -")),
        "it is damaged",
    ),
    (
        "a key twice",
        |path, text| rewrite(path, &text.replacen('{', "{\"format\": 1,", 1)),
        "duplicate field",
    ),
    (
        "huge",
        |path, text| rewrite(path, &format!("{}{text}", " ".repeat(4 << 20))),
        "larger than",
    ),
    (
        "nested without end",
        |path, _| rewrite(path, &"[".repeat(1 << 20)),
        "it is not a manifest",
    ),
    (
        "a link",
        |path, text| {
            let real = path.with_extension("real");
            fs::write(&real, text).unwrap();
            fs::remove_file(path).unwrap();
            symlink(real, path).unwrap();
        },
        "symbolic link",
    ),
    (
        "a link to a device",
        |path, _| {
            fs::remove_file(path).unwrap();
            symlink("/dev/zero", path).unwrap();
        },
        "symbolic link",
    ),
    (
        "a directory",
        |path, _| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        "not a regular file",
    ),
    (
        "a pipe",
        |path, _| {
            fs::remove_file(path).unwrap();
            run(Command::new("mkfifo").arg(path)).expect_success();
        },
        "not a regular file",
    ),
];

#[test]
fn a_manifest_that_cannot_be_trusted_is_named_and_hides_no_other() {
    let (host, [newest, middle, oldest]) = three();
    let path = manifest(&host, &newest);
    let text = fs::read_to_string(&path).unwrap();
    for (why, forge, said) in FORGERIES {
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        rewrite(&path, &text);
        forge(&path, &text);
        let name = path.to_str().unwrap();
        let list = host.run(&["list"]).expect_success();
        assert!(!list.stdout.contains(&newest), "{why}: {list}");
        for id in [&middle, &oldest] {
            assert!(list.stdout.contains(id.as_str()), "{why}: {list}");
        }
        let warned = |line: &str| line.contains(name) && line.contains(said);
        assert!(list.stderr.lines().any(warned), "{why}: {list}");
        let all = host
            .run(&["verify", "--all", "--json"])
            .expect_code(65)
            .json();
        let verdicts: Vec<(&str, bool)> = all.as_array().unwrap().iter().map(verdict).collect();
        let expected = [(middle.as_str(), true), (&oldest, true), (name, false)];
        assert_eq!(verdicts, expected, "{why}");
        let status = host.run(&["status"]).expect_code(1);
        assert!(status.stdout.contains(name), "{why}: {status}");
        let latest = host
            .run(&["show", "latest", "--json"])
            .expect_success()
            .json();
        assert_eq!(latest["id"], middle, "{why}");
    }
}

#[test]
fn damage_that_a_list_passes_over_is_named_by_whoever_needs_that_manifest() {
    let (host, [newest, middle, oldest]) = three();
    let path = manifest(&host, &newest);
    let name = path.to_str().unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let deep = format!(
        "{{\"more\": {}{},",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    for (why, forged, said) in [
        (
            "nested without end",
            text.replacen('{', &deep, 1),
            "recursion limit",
        ),
        (
            "a type that has no count",
            text.replacen("\"keys\": ", "\"keys\": -", 1),
            "it is damaged",
        ),
    ] {
        assert_ne!(forged, text);
        rewrite(&path, &forged);
        let list = host.run(&["list"]).expect_success();
        for id in [&newest, &middle, &oldest] {
            assert!(list.stdout.contains(id.as_str()), "{why}: {list}");
        }
        // no other backup is taken for the latest in silence
        let latest = told(host.run(&["show", "latest"]), 74);
        assert!(
            latest.stderr.contains(name) && latest.stderr.contains(said),
            "{why}: {latest}"
        );
        let all = host.run(&["verify", "--all"]).expect_code(65);
        assert!(
            all.stdout.contains(name) && all.stdout.contains(said),
            "{why}: {all}"
        );
    }
}

fn verdict(verdict: &Value) -> (&str, bool) {
    (
        verdict["name"].as_str().unwrap(),
        verdict["verified"].as_bool().unwrap(),
    )
}

fn rewrite(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn a_manifest_that_tells_lies_about_its_backup_is_caught_by_a_proof() {
    let (host, [newest, ..]) = three();
    let path = manifest(&host, &newest);
    let true_one: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (field, lie) in [
        ("size", json!(5)),
        ("sha256", json!("ab".repeat(32))),
        ("revision", json!(1)),
        ("totalKey", json!(1_000_000)),
        ("hash", json!(7)),
        ("members", json!([])),
        ("verified", json!(false)),
    ] {
        let mut manifest = true_one.clone();
        assert!(manifest.get(field).is_some(), "{field}");
        manifest[field] = lie;
        rewrite(&path, &manifest.to_string());
        let output = host.run(&["verify", "latest"]).expect_code(65);
        assert!(output.stdout.starts_with(&newest), "{field}: {output}");
    }
    rewrite(&path, &true_one.to_string());
    host.run(&["verify", "--all"]).expect_success();
}
