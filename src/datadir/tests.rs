//! The bytes that etcd's own tool writes, texts that it does not take, and databases of any shape,
//! written in both layouts and read back entry by entry.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::wire::Message;
use super::*;
use crate::snapshot::Trailer;
use crate::snapshot::bolt::Database;
use crate::snapshot::bolt::specimen::{self, Buckets, Layout as Specimen};

fn membership(text: &str) -> Membership {
    Membership::parse(text, "newtok").unwrap()
}

#[test]
fn ids_are_those_that_etcd_gives() {
    let one = membership("m1=http://127.0.0.1:23791");
    assert_eq!(one.member("m1").unwrap().id.to_string(), "618cc147ae1484fd");
    assert_eq!(one.cluster_id().to_string(), "faed5a06fcdbdcaf");
    assert_eq!(Id(0x00ab).to_string(), "ab", "no leading zeroes");
}

#[test]
fn a_log_is_the_one_that_etcdutl_writes() {
    let membership = membership("m1=http://127.0.0.1:23791");
    let log = wal::log(&membership, membership.member("m1").unwrap().id).unwrap();
    let json = br#"{"id":7029205632025920765,"peerURLs":["http://127.0.0.1:23791"],"name":"m1"}"#;
    let expected: [&[u8]; 13] = [
        b"\x04\0\0\0\0\0\0\x84\x08\x04\x10\0\0\0\0\0",
        b"\x1f\0\0\0\0\0\0\x81\x08\x01\x10\xdd\xf6\xd3\xc6\x0c\x1a\x15",
        b"\x08\xfd\x89\xd2\xf0\xfa\xa8\xb0\xc6\x61\x10\xaf\xb9\xef\xe6\xef\xc0\xd6\xf6\xfa\x01\0",
        b"\x0e\0\0\0\0\0\0\x82\x08\x05\x10\xce\xa5\xce\x80\x0a\x1a\x04\x08\0\x10\0\0\0",
        b"\x6e\0\0\0\0\0\0\x82\x08\x02\x10\xb7\xa1\x94\xed\x06\x1a\x64\x08\x01\x10\x01\x18\x01",
        b"\x22\x5c\x08\0\x10\0\x18\xfd\x89\xd2\xf0\xfa\xa8\xb0\xc6\x61\x22\x4c",
        json,
        b"\0\0",
        b"\x18\0\0\0\0\0\0\0\x08\x03\x10\xc8\xfb\xc0\xab\x06\x1a\x0e",
        b"\x08\x01\x10\xfd\x89\xd2\xf0\xfa\xa8\xb0\xc6\x61\x18\x01",
        b"\x1c\0\0\0\0\0\0\x84\x08\x05\x10\xe6\xec\xe3\xf1\x06\x1a\x12\x08\x01\x10\x01\x1a\x0c",
        b"\x08\xfd\x89\xd2\xf0\xfa\xa8\xb0\xc6\x61\x28\0",
        b"\0\0\0\0",
    ];
    assert_eq!(log, expected.concat());
    // the file goes on with zeroes: a frame of no length is its end
    assert_eq!(log.len() + 8, 280);
}

#[test]
fn a_name_may_come_again_and_its_urls_are_sorted() {
    let both = membership("m1=http://h:2,m2=https://[::1]:3,m1=HTTP://h:1");
    assert_eq!(
        both,
        membership("m2=https://[::1]:3,m1=http://h:1,m1=http://h:2,")
    );
    let m1 = both.member("m1").unwrap();
    assert_eq!(
        m1.peer_urls,
        PeerUrl::parse_list("http://h:2,http://h:1").unwrap()
    );
    let ids: Vec<_> = both.members().iter().map(|member| member.id).collect();
    assert!(ids.is_sorted() && ids.len() == 2);
    assert_eq!(
        Membership::parse(&both.to_string(), both.token()).unwrap(),
        both
    );
}

#[test]
fn what_no_member_could_be_reached_at_is_refused_by_name() {
    for (text, part) in [
        ("", "names no member"),
        ("m1", "NAME=URL"),
        ("=http://h:1", "name"),
        ("m1=h:1", "scheme"),
        ("m1=ftp://h:1", "scheme"),
        ("m1=http://h", "host:port"),
        ("m1=http://h:0", "port"),
        ("m1=http://h:65536", "port"),
        ("m1=http://h:+1", "port"),
        ("m1=http://:1", "host"),
        ("m1=http://::1:1", "host"),
        ("m1=http://a<b:1", "host"),
        ("m1=http://u@h:1", "host"),
        ("m1=http://h:1/", "path"),
        ("m1=http://h:1,m2=http://h:1", "twice"),
        ("m1=http://h:1,m1=http://h:1", "twice"),
    ] {
        let error = Membership::parse(text, "t").unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(error.hint().is_some(), "{text}");
    }
    let error = membership("a=http://h:1,b=http://h:2")
        .member("c")
        .unwrap_err();
    assert!(error.to_string().ends_with("which has: a, b"), "{error}");
}

#[test]
fn versions_are_compared_by_their_numbers() {
    let version = |text| Version::parse(text).unwrap();
    assert!(version("3.10.0") > version("v3.6.1"));
    assert_eq!(version("3.6"), version("3.6.0-rc.1"));
    assert_eq!(Version::parse("unknown"), None);
}

/// Every bucket and entry of the database in a file, as its readers meet them.
fn contents_of(file: &File, length: u64) -> Buckets {
    let database = Database::open(file, length).unwrap();
    let mut contents = Buckets::new();
    for bucket in database.buckets().unwrap() {
        let entries = contents.entry(bucket.name.clone()).or_default();
        let mut show = |key: &[u8], value: &[u8], _| {
            entries.insert(key.to_vec(), value.to_vec());
            Ok(())
        };
        database.entries(&bucket, &mut show).unwrap();
    }
    contents
}

/// What a restore makes of these buckets, by the rules alone.
fn restored(mut buckets: Buckets, recipe: &Recipe) -> Buckets {
    let revision = |main: u64| [&main.to_be_bytes()[..], b"_", &[0; 8]].concat();
    let main = |key: &[u8]| u64::from_be_bytes(key[..8].try_into().unwrap());
    let meta = buckets.get_mut(&b"meta"[..]).unwrap();
    let compacted = meta
        .get(&b"finishedCompactRev"[..])
        .map_or(0, |rev| main(rev));
    meta.insert(b"consistent_index".to_vec(), vec![0, 0, 0, 0, 0, 0, 0, 2]);
    meta.insert(b"term".to_vec(), vec![0, 0, 0, 0, 0, 0, 0, 1]);
    if let Some(bump) = recipe.bump {
        let keys = buckets.get_mut(&b"key"[..]).unwrap();
        let newest = keys.keys().next_back().map_or(0, |key| main(key));
        let new = revision(newest.max(compacted) + bump);
        keys.insert(new.clone(), Vec::new());
        let meta = buckets.get_mut(&b"meta"[..]).unwrap();
        meta.insert(b"scheduledCompactRev".to_vec(), new);
    }
    let members = recipe.membership.members().iter().map(|member| {
        let (id, urls) = (member.id, &member.peer_urls);
        let json = format!(
            r#"{{"id":{},"peerURLs":["{}"],"name":"{}"}}"#,
            id.0, urls[0], member.name
        );
        (format!("{:x}", id.0).into_bytes(), json.into_bytes())
    });
    buckets.insert(b"members".to_vec(), members.collect());
    buckets.insert(b"members_removed".to_vec(), [].into());
    buckets.entry(b"cluster".to_vec()).or_default();
    if recipe.clear_alarms
        && let Some(alarms) = buckets.get_mut(&b"alarm"[..])
    {
        alarms.clear();
    }
    buckets
}

fn recipe() -> Recipe {
    Recipe {
        membership: membership("m1=http://127.0.0.1:1,m2=http://127.0.0.1:2"),
        name: "m2".into(),
        etcd: None,
        bump: None,
        clear_alarms: false,
        layout: Layout::Copy,
        wal_dir: None,
        ownership: None,
    }
}

fn verified(bytes: &[u8]) -> Verified {
    let no_scratch = || Err(io::Error::other("no scratch file expected"));
    Verified::prove(specimen::file(bytes), Trailer::Waived, &no_scratch).unwrap()
}

/// Restores a database in both layouts and holds what is written to what the rules ask for.
fn restores(bytes: &[u8], buckets: &Buckets, recipe: &Recipe) {
    let source = verified(bytes);
    let work = TempDir::new().unwrap();
    for layout in [Layout::Copy, Layout::Compact] {
        let target = work.path().join(format!("{layout:?}"));
        let recipe = Recipe {
            layout,
            ..recipe.clone()
        };
        let built = build(&source, &recipe, &target, &mut |_| {}).unwrap();
        let written = File::open(target.join("member/snap/db")).unwrap();
        assert_eq!(written.metadata().unwrap().len(), built.size);
        let expected = restored(buckets.clone(), &recipe);
        assert_eq!(contents_of(&written, built.size), expected, "{layout:?}");
        // and it can be restored from again
        let no_scratch = || Err(io::Error::other("no scratch file expected"));
        let again = Verified::prove(written, Trailer::Waived, &no_scratch).unwrap();
        assert_eq!(again.facts().hash, built.hash);
        assert_eq!(
            again.facts().revision,
            source.facts().revision.max(if recipe.bump.is_some() {
                built.revision
            } else {
                0
            },)
        );
    }
    // nothing but the two directories is left
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 2);
}

/// Bytes and quarters of a page, so that some values overflow at every page size.
type Size = (usize, usize);

fn sizes() -> impl Strategy<Value = Size> {
    (0usize..60, prop_oneof![12 => Just(0usize), 1 => 1usize..10])
}

/// Databases as an etcd could have written them, but for their sizes and shapes.
fn databases() -> impl Strategy<Value = (Specimen, Buckets)> {
    let fanout = prop_oneof![Just(2usize), 3usize..8, Just(1000)];
    let specimen = (10u32..=16, fanout, any::<bool>(), any::<bool>());
    let history = prop::collection::vec((1u64..3, sizes()), 0..120);
    let other =
        prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..30), sizes(), 0..40);
    let name = prop_oneof![
        Just(b"lease".to_vec()),
        Just(b"alarm".to_vec()),
        Just(b"authUsers".to_vec()),
        Just(b"cluster".to_vec()),
        prop::collection::vec(any::<u8>(), 1..12)
    ];
    let others = prop::collection::btree_map(name, other, 0..5);
    (specimen, history, others, any::<bool>()).prop_map(|(shape, history, others, is_compacted)| {
        let (shift, fanout, inlines, lists_free) = shape;
        let specimen = Specimen {
            page_size: 1 << shift,
            fanout,
            inlines,
            lists_free,
        };
        let value = |(bytes, quarters): Size| vec![7; bytes + quarters * specimen.page_size / 4];
        let mut buckets: Buckets = others
            .into_iter()
            .map(|(name, entries)| {
                let entries = entries.into_iter().map(|(key, size)| (key, value(size)));
                (name, entries.collect())
            })
            .collect();
        let mut main = 1;
        let keys = history.into_iter().map(|(step, size)| {
            main += step;
            let stored = Message::default()
                .bytes(1, b"/registry/pods/a")
                .number(2, 2)
                .number(3, main)
                .number(4, 1)
                .bytes(5, &value(size));
            let key = [&main.to_be_bytes()[..], b"_", &[0; 8]].concat();
            (key, stored.finish())
        });
        buckets.insert(b"key".to_vec(), keys.collect());
        let mut meta: std::collections::BTreeMap<_, _> =
            [(b"consistent_index".to_vec(), vec![0, 0, 0, 0, 0, 1, 2, 3])].into();
        if is_compacted {
            let revision = [&(main + 5).to_be_bytes()[..], b"_", &[0; 8]].concat();
            meta.insert(b"finishedCompactRev".to_vec(), revision);
        }
        buckets.insert(b"meta".to_vec(), meta);
        let old = br#"{"id":1,"peerURLs":["http://old:1"],"name":"old"}"#.to_vec();
        buckets.insert(b"members".to_vec(), [(b"1".to_vec(), old)].into());
        (specimen, buckets)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_database_of_any_shape_is_written_entry_by_entry(
        (specimen, buckets) in databases(),
        bump in prop_oneof![Just(None), (1u64..2_000_000_000).prop_map(Some)],
        clear_alarms in any::<bool>(),
    ) {
        let recipe = Recipe { bump, clear_alarms, ..recipe() };
        restores(&specimen.build(&buckets), &buckets, &recipe);
    }
}

/// The least that is a database of etcd.
fn least() -> Buckets {
    let index = [(b"consistent_index".to_vec(), vec![0; 8])].into();
    [(b"key".to_vec(), [].into()), (b"meta".to_vec(), index)].into()
}

#[test]
fn a_page_has_no_more_elements_than_the_format_can_count() {
    let numbers = (0u32..150_000).map(|number| (number.to_be_bytes().to_vec(), Vec::new()));
    let mut buckets = least();
    buckets.insert(b"other".to_vec(), numbers.collect());
    let specimen = Specimen {
        page_size: 4 << 20,
        fanout: 0xFFFE,
        ..Specimen::ETCD
    };
    restores(&specimen.build(&buckets), &buckets, &recipe());
}

#[test]
fn a_restore_begins_only_where_it_can_end() {
    let work = TempDir::new().unwrap();
    let refusal = |buckets: &Buckets, recipe: &Recipe| {
        let source = verified(&Specimen::ETCD.build(buckets));
        let target = work.path().join("refused");
        let error = build(&source, recipe, &target, &mut |_| {}).unwrap_err();
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
        error.to_string()
    };
    for bucket in ["key", "meta"] {
        let mut buckets = least();
        buckets.remove(bucket.as_bytes());
        let text = refusal(&buckets, &recipe());
        assert!(text.contains(&format!("no bucket \"{bucket}\"")), "{text}");
    }

    let of = |version: &str, bucket: &str, key: &str| {
        let mut buckets = least();
        let entries = buckets.entry(bucket.into()).or_default();
        entries.insert(key.into(), version.into());
        buckets
    };
    let on = |version| Recipe {
        etcd: Version::parse(version),
        ..recipe()
    };
    let storage = of("3.7.0", "meta", "storageVersion");
    let text = refusal(&storage, &on("3.6.13"));
    assert!(text.contains("storage version 3.7.0, newer than"), "{text}");
    let cluster = of("3.7.0", "cluster", "clusterVersion");
    assert!(refusal(&cluster, &on("3.6.13")).contains("cluster version 3.7.0"));
    for (buckets, version) in [
        (&storage, "3.7.0"),
        (&cluster, "3.7.1"),
        (&cluster, "unknown"),
    ] {
        let source = verified(&Specimen::ETCD.build(buckets));
        assert_eq!(on(version).check(source.facts()).unwrap(), 0);
    }

    let raised = Recipe {
        bump: Some(u64::MAX),
        ..recipe()
    };
    assert!(refusal(&least(), &raised).contains("cannot be raised"));
    let stranger = Recipe {
        name: "m3".into(),
        ..recipe()
    };
    assert!(refusal(&least(), &stranger).contains("\"m3\" is not a member"));
    let mut bloated = least();
    let meta = bloated.get_mut(&b"meta"[..]).unwrap();
    meta.insert(b"more".to_vec(), vec![0; 1 << 20]);
    assert!(refusal(&bloated, &recipe()).contains("larger than any"));
}

#[test]
fn a_source_that_changes_after_its_proof_leaves_nothing() {
    use std::os::unix::fs::FileExt as _;

    let mut buckets = least();
    let filler = (0u32..500).map(|number| (number.to_be_bytes().to_vec(), vec![1; 100]));
    buckets.insert(b"other".to_vec(), filler.collect());
    let bytes = Specimen::ETCD.build(&buckets);
    let work = TempDir::new().unwrap();
    for layout in [Layout::Copy, Layout::Compact] {
        for at in [4096 * 3 + 3000, 4096 * 2 + 5, 0] {
            let file = specimen::file(&bytes);
            let same = file.try_clone().unwrap();
            let no_scratch = || Err(io::Error::other("no scratch file expected"));
            let source = Verified::prove(file, Trailer::Waived, &no_scratch).unwrap();
            same.write_all_at(b"x", at).unwrap();
            let recipe = Recipe { layout, ..recipe() };
            let made = build(&source, &recipe, &work.path().join("new"), &mut |_| {});
            // what is on a page that is free does not matter
            if at == 4096 * 2 + 5 {
                fs::remove_dir_all(made.unwrap().data_dir).unwrap();
            } else {
                assert!(made.unwrap_err().hint().is_some());
            }
            assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
        }
    }
}

/// Makes of `left` what a crash leaves: the directory of an attempt, whose process and lock are gone.
fn left_by_a_crash(left: &Path, whole: &Path) {
    let place = place::Place::look(left).unwrap();
    let staging = staging::Staging::beside(place, None, whole).unwrap();
    staging.directory("member").unwrap();
    staging.directory("member/snap").unwrap();
    staging.file(DATABASE).unwrap();
    fs::rename(staging.path(), left).unwrap();
}

#[test]
fn what_a_crash_has_left_is_removed_unless_it_is_in_use() {
    use rustix::fs::{FlockOperation, flock};

    let work = TempDir::new().unwrap();
    let target = work.path().join("etcd");
    let source = verified(&Specimen::ETCD.build(&least()));
    let [left, locked, in_use, unmarked] =
        [1, 2, 3, 4].map(|number| work.path().join(format!("etcd.hypercloud-etcd-{number}")));
    for path in [&left, &locked, &in_use] {
        left_by_a_crash(path, &target);
    }
    fs::create_dir_all(unmarked.join("member/snap")).unwrap();
    let lock = File::open(&locked).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let database = File::open(in_use.join(DATABASE)).unwrap();
    flock(&database, FlockOperation::LockExclusive).unwrap();

    let built = build(&source, &recipe(), &target, &mut |_| {}).unwrap();
    assert!(!left.exists());
    assert!(locked.exists() && in_use.exists() && unmarked.exists());
    // and no marker is left in what is in place
    assert_eq!(fs::read_dir(&built.data_dir).unwrap().count(), 1);
    fs::remove_dir_all(&target).unwrap();
    drop((lock, database));
    build(&source, &recipe(), &target, &mut |_| {}).unwrap();
    assert!(!locked.exists() && !in_use.exists() && unmarked.exists());
}

#[test]
fn a_log_whose_data_never_came_is_known_by_the_next_attempt() {
    let work = TempDir::new().unwrap();
    let [target, logs] = ["etcd", "logs"].map(|name| work.path().join(name));
    let source = verified(&Specimen::ETCD.build(&least()));
    left_by_a_crash(&logs, &target);
    let apart = Recipe {
        wal_dir: Some(logs.clone()),
        ..recipe()
    };
    let error = build(&source, &apart, &target, &mut |_| {}).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::UnfinishedLog { .. }), "{text}");
    assert!(
        text.contains(&format!("a restore to {}", target.display())),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("rm -r"), "{text}");
    fs::remove_dir_all(&logs).unwrap();
    build(&source, &apart, &target, &mut |_| {}).unwrap();
    let files = fs::read_dir(&logs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), [wal::NAME]);
}

#[test]
fn nothing_is_put_into_the_data_directory_of_an_etcd() {
    let work = TempDir::new().unwrap();
    let data_dir = work.path().join("etcd");
    let source = verified(&Specimen::ETCD.build(&least()));
    build(&source, &recipe(), &data_dir, &mut |_| {}).unwrap();
    let beside = work.path().join("beside");
    for inside in ["new", "member/new", "member/snap/new"] {
        let inside = data_dir.join(inside);
        for (target, wal_dir) in [(&inside, None), (&beside, Some(inside.as_path()))] {
            let site = Site::look(target, wal_dir).unwrap();
            let error = site.require_apart().unwrap_err();
            assert!(matches!(error, Error::InData { .. }), "{error}");
            assert!(error.hint().unwrap().contains(".restored"), "{error}");
        }
    }
    let site = Site::look(&beside, Some(&work.path().join("logs"))).unwrap();
    site.require_apart().unwrap();
}

/// What a crash leaves in a data directory: etcd starts from it, and so does a restore.
#[test]
fn a_copied_database_needs_one_of_its_two_metas_and_a_snapshot_both() {
    let buckets = least();
    let whole = Specimen::ETCD.build(&buckets);
    let no_scratch = || Err(io::Error::other("no scratch file expected"));
    let prove =
        |bytes: &[u8], trailer| Verified::prove(specimen::file(bytes), trailer, &no_scratch);
    assert_eq!(verified(&whole).harm(), None);
    for (meta, at) in [(0, 0), (0, 16), (0, 40), (1, 24), (1, 72)] {
        let mut harmed = whole.clone();
        harmed[meta * 4096 + at] ^= 1;
        let source = verified(&harmed);
        let harm = source.harm().unwrap();
        let named = format!("meta page {meta} is damaged");
        assert!(harm.starts_with(&named), "{harm}");
        assert_eq!(source.facts(), verified(&whole).facts());
        // what is made of it is whole
        restores(&harmed, &buckets, &recipe());

        let digest = crate::sha256::Sha256::of(&harmed);
        let snapshot = [harmed.as_slice(), digest.as_bytes()].concat();
        for trailer in [Trailer::Required, Trailer::Waived] {
            let refused = prove(&snapshot, trailer).unwrap_err().to_string();
            assert!(refused.contains(&named), "{refused}");
        }
        let mut both = harmed;
        both[(1 - meta) * 4096 + 40] ^= 1;
        assert!(prove(&both, Trailer::Waived).is_err());
    }
}
