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
        verification: vec![Step {
            step: Proof::Trailer,
            result: Outcome::Passed,
            detail: "equal".into(),
        }],
        contradicting_members: Vec::new(),
        pki: Some(copies(sha256)),
        pki_problems: Vec::new(),
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
        .list()
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
    let (note, data, json, removing) = (
        ".etcd-20261122T060000Z.publishing",
        "etcd-20261122T060000Z.db",
        "etcd-20261122T060000Z.json",
        ".etcd-20261122T060000Z.removing",
    );
    let foreign = "etcd-20261101T000000Z.db";
    let states: [(&[&str], &[&str]); 7] = [
        (&[removing, data], &[removing]),
        (&[removing], &[removing]),
        (&[removing, data, json], &[removing, data, json]),
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
        assert_eq!(catalog.list().unwrap().backups, [backup.clone()]);
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
    assert_eq!(told[0].manifest, Some(manifest(goes, 1)));
    assert_eq!(catalog.list().unwrap().backups.len(), 1);
    catalog.end_removal(&told[0].id).unwrap();
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
        catalog.end_removal(&removed.id).unwrap();
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
        let listing = Catalog::of(&directory).list().unwrap();
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
