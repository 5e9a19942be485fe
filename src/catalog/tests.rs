use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::pki::{Copies, FileCopy, Name};
use crate::snapshot::{Facts, KvHash, Sha256};

pub(crate) fn manifest(id: &str, revision: u64) -> Manifest {
    let id = BackupId::try_from(id.to_owned()).unwrap();
    let sha256 = Sha256::try_from("ab".repeat(32)).unwrap();
    Manifest {
        format: FORMAT,
        verified: true,
        pinned: false,
        trigger: Trigger::Command,
        file: id.data_name(),
        size: 4,
        sha256,
        stored: Stored {
            size: 4,
            sha256,
            seal: Vec::new(),
        },
        facts: Facts {
            hash: 1,
            revision,
            total_key: 1,
            total_size: 4096,
            version: String::new(),
            total_entries: 2,
            page_size: 4096,
            compact_revision: 0,
            consistent_index: 9,
            cluster_version: "3.5.0".into(),
            kv_hash: KvHash {
                hash: 2,
                revision,
                compact_revision: 0,
            },
            members: Vec::new(),
            types: std::collections::BTreeMap::new(),
        },
        source: Source {
            endpoint: "https://127.0.0.1:2379".into(),
            cluster_id: "1".into(),
            member_id: "2".into(),
            etcd_version: "3.5.1".into(),
        },
        succeeds: Vec::new(),
        verification: vec![Step {
            step: Proof::Trailer,
            result: Outcome::Passed,
            detail: "equal".into(),
        }],
        contradicting_members: Vec::new(),
        pki: Some(copies(sha256)),
        pki_problems: Vec::new(),
        suspicions: Vec::new(),
        accepted: None,
        released: None,
        last_verified: None,
        started: id.time(),
        finished: id.time(),
        tool_version: "0".into(),
        id,
    }
}

fn copies(sha256: Sha256) -> Copies {
    Copies {
        fingerprint: sha256,
        files: vec![FileCopy {
            path: "/etc/kubernetes/pki/ca.crt".into(),
            name: Name::try_from("ca.crt".to_owned()).unwrap(),
            size: 4,
            sha256: Some(sha256),
            public_key_sha256: None,
        }],
    }
}

fn directory() -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    (dir, directory)
}

fn publish(directory: &Directory, manifest: &Manifest) -> Result<(), Error> {
    let draft = directory.draft()?;
    draft.file()?.write_all(b"data").unwrap();
    Catalog::of(directory).publish(draft, manifest)
}

fn names(directory: &Directory) -> Vec<String> {
    let mut names = directory.names().unwrap();
    names.sort();
    names
}

#[test]
fn a_published_backup_is_listed_and_found_as_it_was_written() {
    let (_dir, directory) = directory();
    let catalog = Catalog::of(&directory);
    let ids = ["20261120T060000Z", "20261121T060000Z", "20261122T060000Z"];
    for (age, id) in ids.iter().enumerate() {
        publish(&directory, &manifest(id, 100 + age as u64)).unwrap();
    }
    let listed: Vec<String> = catalog
        .list_present()
        .unwrap()
        .backups
        .iter()
        .map(|backup| backup.id.to_string())
        .collect();
    assert_eq!(listed, [ids[2], ids[1], ids[0]]);
    let find = |text: &str| {
        catalog
            .find(&text.parse().unwrap())
            .map(|found| found.id.to_string())
    };
    assert_eq!(find("latest").unwrap(), ids[2]);
    assert_eq!(find("latest~2").unwrap(), ids[0]);
    assert_eq!(find("20261121").unwrap(), ids[1]);
    assert_eq!(find("@2026-11-21T23:00:00Z").unwrap(), ids[1]);
    assert_eq!(find("r101").unwrap(), ids[1]);
    for missing in [
        "latest~3",
        "@2026-01-01T00:00:00Z",
        "r99",
        "2025",
        "2026112",
    ] {
        assert!(
            matches!(find(missing), Err(Error::NotFound { .. })),
            "{missing}"
        );
    }
    assert_eq!(
        catalog.find(&Selector::Latest(0)).unwrap(),
        manifest(ids[2], 102)
    );
}

#[test]
fn a_selector_is_refused_with_what_it_should_be() {
    for text in [
        "",
        "latest~",
        "latest~x",
        "latestx",
        "@yesterday",
        "r",
        "rx",
        "../x",
        "abc",
        "20261122T060000ZZ",
    ] {
        assert!(text.parse::<Selector>().is_err(), "{text}");
    }
}

#[test]
fn a_taken_second_moves_the_next_backup_on() {
    let (dir, directory) = directory();
    let catalog = Catalog::of(&directory);
    let id = BackupId::try_from("20261122T060000Z".to_owned()).unwrap();
    assert_eq!(catalog.free_id(id.clone()), id);
    publish(&directory, &manifest("20261122T060000Z", 1)).unwrap();
    std::fs::File::create(dir.path().join("etcd-20261122T060001Z.db")).unwrap();
    assert_eq!(catalog.free_id(id).to_string(), "20261122T060002Z");
}

#[test]
fn a_file_that_is_in_the_way_stays_and_no_backup_appears() {
    let (dir, directory) = directory();
    for in_the_way in ["etcd-20261122T060000Z.db", "etcd-20261122T060000Z.json"] {
        std::fs::File::create(dir.path().join(in_the_way)).unwrap();
        publish(&directory, &manifest("20261122T060000Z", 1)).unwrap_err();
        assert_eq!(names(&directory), [in_the_way]);
        std::fs::remove_file(dir.path().join(in_the_way)).unwrap();
    }
}

#[test]
fn a_crash_while_publishing_or_removing_leaves_a_whole_backup_or_nothing() {
    let (note, data, json, removing, removed) = (
        ".etcd-20261122T060000Z.publishing",
        "etcd-20261122T060000Z.db",
        "etcd-20261122T060000Z.json",
        ".etcd-20261122T060000Z.removing",
        ".etcd-20261122T060000Z.removed",
    );
    let foreign = "etcd-20261101T000000Z.db";
    let states: [(&[&str], &[&str]); 10] = [
        (&[removing, data], &[removed]),
        (&[removing], &[removed]),
        (&[removing, data, json], &[removed, data, json]),
        (&[removed], &[removed]),
        // somebody brings it back, the data first
        (&[removed, data], &[removed, data]),
        (&[removed, data, json], &[removed, data, json]),
        (&[note], &[]),
        (&[note, data], &[]),
        (&[note, data, json], &[data, json]),
        (&[data, json], &[data, json]),
    ];
    for (before, after) in states {
        let (dir, directory) = directory();
        for name in before.iter().chain([&foreign]) {
            std::fs::File::create(dir.path().join(name)).unwrap();
        }
        Catalog::of(&directory).remove_leftovers().unwrap();
        let mut expected: Vec<&str> = after.iter().copied().chain([foreign]).collect();
        expected.sort_unstable();
        assert_eq!(names(&directory), expected);
    }
}

#[test]
fn an_amended_manifest_is_whole_private_and_the_only_one() {
    let (dir, directory) = directory();
    let catalog = Catalog::of(&directory);
    let mut backup = manifest("20261122T060000Z", 1);
    let missing = catalog.amend(&backup).unwrap_err();
    assert!(matches!(missing, Error::Store(_)), "{missing}");
    assert!(names(&directory).is_empty(), "nothing is brought to life");
    publish(&directory, &backup).unwrap();
    for pinned in [true, false, true] {
        backup.pinned = pinned;
        catalog.amend(&backup).unwrap();
        assert_eq!(catalog.list_present().unwrap().backups, [backup.clone()]);
        assert_eq!(
            names(&directory),
            ["etcd-20261122T060000Z.db", "etcd-20261122T060000Z.json"]
        );
        let path = dir.path().join("etcd-20261122T060000Z.json");
        let mode = std::fs::metadata(path).unwrap().permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o600
        );
    }
}

#[test]
fn a_removed_backup_is_gone_with_all_that_is_its_own_and_nothing_else() {
    let (_dir, directory) = directory();
    let catalog = Catalog::of(&directory);
    let (stays, goes) = ("20261122T060000Z", "20261122T070000Z");
    for id in [stays, goes] {
        publish(&directory, &manifest(id, 1)).unwrap();
    }
    let before = names(&directory);
    catalog.remove(&manifest(goes, 1).id).unwrap();
    let told = catalog.removed().unwrap();
    assert_eq!(told.len(), 1);
    let note = ".etcd-20261122T070000Z.removed".to_owned();
    assert!(names(&directory).contains(&note));
    assert_eq!(told[0].manifest, Some(manifest(goes, 1)));
    assert_eq!(catalog.list_present().unwrap().backups.len(), 1);
    catalog.end_removal(&told[0]).unwrap();
    let expected: Vec<String> = before
        .into_iter()
        .filter(|name| !name.contains(goes))
        .collect();
    assert_eq!(names(&directory), expected);
    catalog.remove(&manifest(goes, 1).id).unwrap_err();
    assert_eq!(names(&directory), expected);
}

#[test]
fn a_backup_whose_data_cannot_be_removed_stays_whole_and_hinders_no_other() {
    let (dir, directory) = directory();
    let catalog = Catalog::of(&directory);
    let backup = manifest("20261122T060000Z", 1);
    publish(&directory, &backup).unwrap();
    // a directory in its place is what no file can be removed like
    let data = dir.path().join("etcd-20261122T060000Z.db");
    std::fs::remove_file(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    let before = names(&directory);
    catalog.remove(&backup.id).unwrap_err();
    assert_eq!(names(&directory), before);
    // nor does a removal that a crash has cut short hinder another
    directory
        .rename(
            "etcd-20261122T060000Z.json",
            ".etcd-20261122T060000Z.removing",
        )
        .unwrap();
    for name in [
        ".etcd-20261123T060000Z.removing",
        "etcd-20261123T060000Z.db",
    ] {
        std::fs::File::create(dir.path().join(name)).unwrap();
    }
    let leftovers = catalog.remove_leftovers().unwrap();
    assert_eq!(leftovers.removed, ["etcd-20261123T060000Z.db"]);
    assert_eq!(leftovers.stuck.len(), 1);
    // only what is gone may be settled
    assert_eq!(catalog.removed().unwrap().len(), 1);
    std::fs::remove_dir(&data).unwrap();
    catalog.remove_leftovers().unwrap();
    for removed in catalog.removed().unwrap() {
        catalog.end_removal(&removed).unwrap();
    }
    assert!(names(&directory).is_empty());
}

#[test]
fn a_manifest_that_cannot_be_trusted_is_named_and_hides_no_other() {
    let (dir, directory) = directory();
    publish(&directory, &manifest("20261122T060000Z", 1)).unwrap();
    let good = String::from_utf8(manifest("20261121T060000Z", 1).to_json().unwrap()).unwrap();
    let bad = [
        (good[..good.len() / 2].to_owned(), "it is not a manifest"),
        (
            good.replace("\"format\": 1", "\"format\": 2"),
            "it is of format 2",
        ),
        (
            good.replace("etcd-20261121T060000Z.db", "../../etc/passwd"),
            "which is not its own",
        ),
        (
            good.replace("20261121T060000Z", "20261121T060001Z"),
            "it belongs to another backup",
        ),
        (
            good.replace("\"2026-11-21T06:00:00Z\"", "\"2099-11-21T06:00:00Z\""),
            "it says that backup 20261121T060000Z began at 2099-11-21T06:00:00Z",
        ),
        (good.replace("\"size\": 4", "\"size\": -4"), "it is damaged"),
        (
            good.replace("\"name\": \"ca.crt\"", "\"name\": \"../ca.crt\""),
            "it is damaged",
        ),
        ("[]".into(), "it is not a manifest"),
        (String::new(), "it is not a manifest"),
    ];
    for (text, why) in bad {
        let path = dir.path().join("etcd-20261121T060000Z.json");
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let listing = Catalog::of(&directory).list_present().unwrap();
        assert_eq!(listing.backups.len(), 1);
        let [(named, reason)] = &listing.unreadable[..] else {
            panic!("{listing:?}")
        };
        assert_eq!(named, &path);
        assert!(reason.contains(why), "{reason}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_manifest_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Manifest::parse("etcd-20261121T060000Z.json", &bytes);
    }

    #[test]
    fn a_changed_byte_never_leads_outside_the_directory(at in 0usize..2500, byte in any::<u8>()) {
        let mut json = manifest("20261121T060000Z", 1).to_json().unwrap();
        let at = at % json.len();
        json[at] = byte;
        if let Ok(manifest) = Manifest::parse("etcd-20261121T060000Z.json", &json) {
            prop_assert_eq!(manifest.file, "etcd-20261121T060000Z.db");
            for copy in manifest.pki.iter().flat_map(|copies| &copies.files) {
                prop_assert!(!copy.name.as_str().contains('/') && !copy.name.as_str().starts_with('.'));
            }
        }
    }
}

#[test]
fn a_summary_says_what_its_manifest_says() {
    let mut backup = manifest("20261122T060000Z", 7);
    backup.suspicions = vec!["keys are gone".into()];
    backup.released = Some(backup.started);
    backup.last_verified = Some(Reproof {
        at: backup.started,
        result: Outcome::Failed,
        problems: vec!["the file is cut".into()],
    });
    let name = backup.id.manifest_name();
    let summary = Summary::parse(&name, &backup.to_json().unwrap()).unwrap();
    assert_eq!(summary, Summary::from(backup));
    for json in ["", "{}", "[]", "{\"format\": 2}", "{\"format\": 1}"] {
        let why = Manifest::parse(&name, json.as_bytes()).unwrap_err();
        assert_eq!(Summary::parse(&name, json.as_bytes()).unwrap_err(), why);
    }
}

/// Whether it is good, sound, suspect, held.
type Worth = (bool, bool, bool, bool);
type Case = (fn(&mut Manifest), Worth);

#[test]
fn what_a_backup_is_worth() {
    let failed = |result| Reproof {
        at: "2026-11-22T06:00:00Z".parse().unwrap(),
        result,
        problems: Vec::new(),
    };
    let now = Some("2026-11-22T06:00:00Z".parse().unwrap());
    let cases: [Case; 4] = [
        (|_| {}, (true, true, false, false)),
        (|b| b.verified = false, (false, false, false, false)),
        (|b| b.suspicions.push("x".into()), (false, true, true, true)),
        (|b| b.pinned = true, (true, true, false, false)),
    ];
    let worth = |b: &Manifest| (b.is_good(), b.is_sound(), b.is_suspect(), b.is_held());
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut backup = manifest("20261122T060000Z", 7);
        change(&mut backup);
        assert_eq!(worth(&backup), expected, "{number}");
    }
    let mut backup = manifest("20261122T060000Z", 7);
    backup.suspicions = vec!["x".into()];
    backup.released = now;
    assert_eq!(worth(&backup), (false, true, true, false), "released");
    backup.accepted = now;
    assert_eq!(worth(&backup), (true, true, false, false), "accepted");
    backup.last_verified = Some(failed(Outcome::Failed));
    assert_eq!(worth(&backup), (false, false, false, false), "decayed");
    backup.last_verified = Some(failed(Outcome::Passed));
    assert_eq!(worth(&backup), (true, true, false, false), "it came back");
}

#[test]
fn the_measure_is_the_newest_good_backup_that_is_there() {
    let (dir, directory) = directory();
    let catalog = Catalog::of(&directory);
    let now = || "2026-11-22T06:00:00Z".parse().unwrap();
    assert!(catalog.newest_good(now()).unwrap().is_none());
    for hour in 1..=5 {
        let mut backup = manifest(&format!("20261122T0{hour}0000Z"), 1);
        backup.verified = hour != 5;
        backup.suspicions = if hour == 4 {
            vec!["x".into()]
        } else {
            Vec::new()
        };
        publish(&directory, &backup).unwrap();
    }
    // a clock that was years ahead for one backup makes no measure for years
    publish(&directory, &manifest("20360101T000000Z", 1)).unwrap();
    let at = |until: &str| {
        Some(
            catalog
                .newest_good(until.parse().unwrap())
                .unwrap()?
                .id
                .to_string(),
        )
    };
    assert_eq!(
        at("2040-01-01T00:00:00Z").as_deref(),
        Some("20360101T000000Z")
    );
    assert_eq!(
        at("2026-11-22T03:00:00Z").as_deref(),
        Some("20261122T030000Z")
    );
    assert_eq!(
        at("2026-11-22T02:59:59Z").as_deref(),
        Some("20261122T020000Z")
    );
    assert_eq!(at("2026-11-22T00:00:00Z"), None);
    let found = || Some(catalog.newest_good(now()).unwrap()?.id.to_string());
    assert_eq!(found().as_deref(), Some("20261122T030000Z"));
    // neither a file's date nor a snapshot that is cut makes a measure
    let at = |name: &str| dir.path().join(name);
    let old = std::fs::File::options()
        .write(true)
        .open(at("etcd-20261122T010000Z.json"));
    old.unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(1 << 20))
        .unwrap();
    let cut = std::fs::File::options()
        .write(true)
        .open(at("etcd-20261122T030000Z.db"));
    cut.unwrap().set_len(3).unwrap();
    assert_eq!(found().as_deref(), Some("20261122T020000Z"));
    std::fs::remove_file(at("etcd-20261122T020000Z.db")).unwrap();
    assert_eq!(found().as_deref(), Some("20261122T010000Z"));
}

#[test]
fn what_is_remembered_is_what_is_there() {
    let (dir, directory) = directory();
    let catalog = Catalog::of(&directory);
    let mut memory = Memory::default();
    let ids = |memory: &mut Memory| -> Vec<(String, bool)> {
        let listing = catalog.present_again(memory).unwrap();
        let backups = listing.backups.iter();
        backups.map(|b| (b.id.to_string(), b.pinned)).collect()
    };
    let (first, second) = ("20261122T060000Z", "20261122T070000Z");
    let mut backup = manifest(first, 1);
    publish(&directory, &backup).unwrap();
    assert_eq!(ids(&mut memory), [(first.to_owned(), false)]);
    backup.pinned = true;
    catalog.amend(&backup).unwrap();
    publish(&directory, &manifest(second, 1)).unwrap();
    let both = [(second.to_owned(), false), (first.to_owned(), true)];
    assert_eq!(ids(&mut memory), both);
    assert_eq!(ids(&mut memory), both);
    // a snapshot that shrinks is noticed, though its manifest stays as it was
    let data = dir.path().join(manifest(second, 1).file);
    std::fs::File::options()
        .write(true)
        .open(data)
        .unwrap()
        .set_len(1)
        .unwrap();
    assert_eq!(ids(&mut memory), [(first.to_owned(), true)]);
    assert_eq!(
        catalog.present_again(&mut memory).unwrap().unreadable.len(),
        1
    );
    catalog.remove(&backup.id).unwrap();
    assert!(ids(&mut memory).is_empty());
}

#[test]
fn many_manifests_are_listed_in_order_and_each_once() {
    let (_dir, directory) = directory();
    let catalog = Catalog::of(&directory);
    let mut id = BackupId::at("2026-01-01T00:00:00Z".parse().unwrap());
    for _ in 0..600 {
        id = id.following();
        let backup = manifest(&id.to_string(), 1);
        let draft = catalog.draft_of(&backup).unwrap();
        draft.publish(&id.manifest_name()).unwrap();
    }
    let listed = catalog.summaries().unwrap();
    assert_eq!((listed.backups.len(), listed.unreadable.len()), (600, 0));
    let newest_first = |pair: &[Summary]| pair[0].started > pair[1].started;
    assert!(listed.backups.windows(2).all(newest_first));
    assert_eq!(listed.backups[0].id, id);
}
