//! What a member may do to a stream, and what becomes of it: nothing.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use tonic::Code;

use crate::support::command::Host;
use crate::support::fake::{Behaviour, Fake, LiveHash, Script};
use crate::support::kept::{
    FOLLOWER, Kept, LEADER, golden, large, member, tiny, told, with_trailer,
};

/// What etcd sends of the golden snapshot: this database, then its digest.
const DATABASE: usize = 106_496;
const DIGEST: usize = 32;
/// What etcd puts into one message.
const BLOB: usize = 32 * 1024;
/// Where no member is silent: longer than a busy machine lets one wait.
const LATER: &str = "stall_timeout = \"20s\"\nconnect_timeout = \"20s\"";
/// So that a member which says nothing is given up soon.
const SOON: &str = "stall_timeout = \"2s\"\nconnect_timeout = \"20s\"";
/// What is said of it then.
const SILENT: &str = "no new byte for 2s after";

/// A way to misbehave, the exit code it ends in, and words of the reason.
type Case = (Script, i32, &'static str);

/// The timeouts for a case.
fn timeouts(script: &Script) -> &'static str {
    match script {
        Script::Silence { .. } | Script::EmptyForEver { .. } => SOON,
        _ => LATER,
    }
}

/// Each case alone is an error that leaves nothing behind; with a healthy member beside it, a backup of that one.
#[track_caller]
fn assert_refused_and_made_up_for(file: &[u8], cases: &[Case]) {
    assert_refused(file, cases);
    assert_made_up_for(file, cases);
}

#[track_caller]
fn assert_refused(file: &[u8], cases: &[Case]) {
    let kept = Kept::new();
    let bad = Fake::start(&kept.host.pki, file, Script::Faithful);
    for (script, code, said) in cases {
        bad.change(|behaviour| behaviour.script = script.clone());
        let output = told(kept.backup(&[&bad], timeouts(script)), *code);
        assert!(output.stderr.contains(said), "{script:?}: {output}");
        assert!(
            output.stderr.contains(&bad.endpoint()) || *code == 73,
            "{output}"
        );
        kept.assert_untouched(&format!("{script:?}"));
    }
    kept.assert_still_proven();
}

#[track_caller]
fn assert_made_up_for(file: &[u8], cases: &[Case]) {
    let kept = Kept::new();
    let server = &kept.host.pki.server;
    let bad = Fake::start_with(
        &kept.host.pki,
        server,
        member(FOLLOWER, file, Script::Faithful),
    );
    let healthy = Fake::start_with(
        &kept.host.pki,
        server,
        member(LEADER, file, Script::Faithful),
    );
    for (script, _, said) in cases {
        bad.change(|behaviour| behaviour.script = script.clone());
        let asked = bad.asked().snapshot;
        let output = kept
            .backup(&[&bad, &healthy], timeouts(script))
            .expect_success();
        assert_eq!(bad.asked().snapshot, asked + 1, "{script:?} was not met");
        assert!(output.stderr.contains(said), "{script:?}: {output}");
        let manifest = output.json();
        assert_eq!(
            manifest["source"]["endpoint"],
            healthy.endpoint(),
            "{script:?}"
        );
        assert_eq!(
            manifest["source"]["memberId"],
            format!("{LEADER:x}"),
            "{script:?}"
        );
        assert_eq!(manifest["verified"], true, "{script:?}");
    }
    kept.assert_still_there("backups beside it");
    kept.assert_still_proven();
}

#[test]
fn a_stream_that_is_cut_anywhere_becomes_no_backup() {
    let file = golden("3.5.30");
    let edges = [BLOB, 2 * BLOB, DATABASE, DATABASE + DIGEST];
    let around = edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]);
    let inside = [0, 1, 16, 4096, DATABASE + 16];
    let cases: Vec<Case> = around
        .chain(inside)
        .filter(|at| *at < DATABASE + DIGEST)
        .map(|at| (Script::CutAt(at), 69, "was cut off after"))
        .collect();
    assert_refused_and_made_up_for(&file, &cases);
}

#[test]
fn a_stream_that_ends_at_any_offset_in_any_way_becomes_no_backup() {
    let kept = Kept::new();
    let bad = Fake::start(&kept.host.pki, &golden("3.5.1"), Script::Faithful);
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let ways = (0..DATABASE + DIGEST, 0..3);
    let outcome = TestRunner::new(config).run(&ways, |(at, way)| {
        let script = match way {
            0 => Script::CutAt(at),
            1 => Script::ResetAt(at),
            _ => Script::ErrorAt {
                after: at,
                code: Code::Internal,
                message: "the disk is gone",
            },
        };
        bad.change(|behaviour| behaviour.script = script);
        let output = kept.backup(&[&bad], LATER);
        prop_assert_eq!(output.code, Some(69), "{}", output);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    kept.assert_untouched("after all of them");
    kept.assert_still_proven();
}

#[test]
fn a_flipped_bit_in_any_blob_or_a_wrong_digest_becomes_no_backup() {
    let said = "it is not what etcd sent";
    let blobs = |file: &[u8]| (file.len() - DIGEST).div_ceil(BLOB);
    let flipped = |file: &[u8]| -> Vec<Case> {
        (0..blobs(file))
            .map(|blob| (Script::FlipBit { blob }, 65, said))
            .collect()
    };
    let small = golden("3.5.30");
    let mut cases = flipped(&small);
    cases.push((Script::WrongDigest, 65, said));
    assert_refused_and_made_up_for(&small, &cases);
    assert_refused(large(), &flipped(large()));
}

#[test]
fn a_size_that_lies_becomes_no_backup() {
    let cases = [
        (Script::RemainingTooHigh(1), 69, "contradicts itself"),
        (Script::RemainingTooHigh(31), 69, "contradicts itself"),
        (Script::RemainingTooHigh(32), 69, "contradicts itself"),
        (Script::RemainingTooHigh(33), 69, "contradicts itself"),
        (Script::RemainingTooHigh(1 << 20), 69, "contradicts itself"),
        (Script::RemainingTooHigh(u64::MAX), 69, "contradicts itself"),
        (Script::RemainingTooLow(1), 69, "is longer than announced"),
        (Script::RemainingTooLow(32), 69, "is longer than announced"),
        (
            Script::RemainingTooLow(4096),
            69,
            "is longer than announced",
        ),
        (
            Script::RemainingTooLow(u64::MAX),
            69,
            "is longer than announced",
        ),
        (Script::RemainingTooHigh(1 << 50), 73, "does not fit"),
        (Script::RemainingAbsurd, 73, "does not fit"),
    ];
    assert_refused_and_made_up_for(&golden("3.5.30"), &cases);
}

#[test]
fn a_member_that_goes_silent_is_given_up() {
    let cases: Vec<Case> = [0, BLOB, DATABASE]
        .into_iter()
        .map(|after| (Script::Silence { after }, 69, SILENT))
        .collect();
    assert_refused_and_made_up_for(&golden("3.5.30"), &cases);
}

#[test]
fn a_member_that_sends_nothing_for_ever_is_given_up() {
    let cases: Vec<Case> = [0, BLOB, DATABASE]
        .into_iter()
        .map(|after| (Script::EmptyForEver { after }, 69, SILENT))
        .collect();
    assert_refused_and_made_up_for(&golden("3.5.30"), &cases);
}

#[test]
fn a_member_that_breaks_off_or_refuses_becomes_no_backup() {
    let error = |after, code| Script::ErrorAt {
        after,
        code,
        message: "the disk is gone",
    };
    let refuse = |code| Script::Refuse {
        code,
        message: "not today",
    };
    let lost = "broke during Snapshot";
    let cases = [
        (Script::ResetAt(0), 69, lost),
        (Script::ResetAt(1), 69, lost),
        (Script::ResetAt(BLOB), 69, lost),
        (Script::ResetAt(DATABASE), 69, lost),
        (error(0, Code::Internal), 69, "the disk is gone"),
        (error(1, Code::Unavailable), 69, "the disk is gone"),
        (error(BLOB, Code::ResourceExhausted), 69, "the disk is gone"),
        (error(DATABASE, Code::Unknown), 69, "the disk is gone"),
        (error(BLOB, Code::PermissionDenied), 77, "the disk is gone"),
        (refuse(Code::PermissionDenied), 77, "not today"),
        (refuse(Code::Unauthenticated), 77, "not today"),
        (refuse(Code::Unavailable), 69, "not today"),
        (refuse(Code::Unimplemented), 69, "not today"),
    ];
    assert_refused_and_made_up_for(&golden("3.5.30"), &cases);
}

#[test]
fn a_member_whose_own_database_is_damaged_becomes_no_backup() {
    let mut database = golden("3.5.30");
    database.truncate(DATABASE);
    // the root page is another: the digest is right all the same, as it would be with such a disk
    database[25 * 4096] ^= 1;
    let kept = Kept::new();
    let server = &kept.host.pki.server;
    let bad = Fake::start_with(
        &kept.host.pki,
        server,
        member(FOLLOWER, &with_trailer(database), Script::Faithful),
    );
    let output = told(kept.backup(&[&bad], LATER), 65);
    assert!(
        output.stderr.contains("its database is damaged"),
        "{output}"
    );
    kept.assert_untouched("a damaged database");

    let healthy = Fake::start_with(
        &kept.host.pki,
        server,
        member(LEADER, &golden("3.5.30"), Script::Faithful),
    );
    let output = kept.backup(&[&bad, &healthy], LATER).expect_success();
    assert_eq!(output.json()["source"]["endpoint"], healthy.endpoint());
    kept.assert_still_proven();
}

#[test]
fn when_every_member_fails_each_one_is_named() {
    let kept = Kept::new();
    let server = &kept.host.pki.server;
    let file = golden("3.5.30");
    let first = Fake::start_with(
        &kept.host.pki,
        server,
        member(FOLLOWER, &file, Script::CutAt(5)),
    );
    let second = Fake::start_with(
        &kept.host.pki,
        server,
        member(LEADER, &file, Script::WrongDigest),
    );
    let output = told(kept.backup(&[&first, &second], LATER), 65);
    for server in [&first, &second] {
        assert!(output.stderr.contains(&server.endpoint()), "{output}");
    }
    kept.assert_untouched("two bad members");
}

#[test]
fn a_trickle_below_the_stall_limit_arrives() {
    let kept = Kept::new();
    let trickle = |blob, millis| Script::Trickle {
        blob,
        pause: Duration::from_millis(millis),
    };
    let tiny = with_trailer(tiny());
    // each takes longer in all than the limit allows without a byte, and no pause comes near it
    let limit = "stall_timeout = \"4s\"\nconnect_timeout = \"20s\"";
    for (file, script) in [
        (&tiny, trickle(1, 3)),
        (&tiny, trickle(64, 200)),
        (&golden("3.5.30"), trickle(4096, 200)),
    ] {
        let slow = Fake::start(&kept.host.pki, file, script.clone());
        let output = kept.backup(&[&slow], limit).expect_success();
        assert!(output.took > Duration::from_secs(4), "{script:?}: {output}");
        assert_eq!(output.json()["size"], file.len(), "{script:?}");
        assert_eq!(slow.asked().snapshot, 1);
    }
    kept.assert_still_proven();
}

#[test]
fn endpoints_of_different_clusters_are_a_mistake_in_the_configuration() {
    let kept = Kept::new();
    let file = golden("3.5.30");
    let ours = Fake::start(&kept.host.pki, &file, Script::Faithful);
    let theirs = Fake::start(&kept.host.pki, &file, Script::Faithful);
    theirs.change(|behaviour| {
        if let Some(header) = &mut behaviour.status.header {
            header.cluster_id += 1;
        }
    });
    let output = kept.backup(&[&ours, &theirs], LATER).expect_code(78);
    for words in ["2 different clusters", "hint: ", "etcd.endpoints"] {
        assert!(output.stderr.contains(words), "{output}");
    }
    assert_eq!(ours.asked().snapshot + theirs.asked().snapshot, 0);
    kept.assert_untouched("mixed clusters");
    let output = kept.host.run(&["check", "--json"]).expect_code(78);
    assert_eq!(output.json()["ok"], false);
}

/// The true hash of the golden snapshot, as its etcd answered it; see its facts.
const TRUE_HASH: LiveHash = LiveHash::Answer {
    hash: 296_794_848,
    compact_revision: 24,
    hash_revision: 0,
};
const OTHER_HASH: LiveHash = LiveHash::Answer {
    hash: 296_794_849,
    compact_revision: 24,
    hash_revision: 0,
};

fn live(manifest: &Value) -> (&str, &str) {
    let steps = manifest["verification"].as_array().unwrap();
    let step = steps.iter().find(|step| step["step"] == "live").unwrap();
    (
        step["result"].as_str().unwrap(),
        step["detail"].as_str().unwrap(),
    )
}

#[test]
fn a_member_that_holds_other_data_than_its_snapshot_gives_an_unverified_backup() {
    for kept in [None, Some(Kept::new())] {
        let earlier = kept.is_some();
        let host = kept.map_or_else(Host::new, |kept| kept.host);
        let behaviour = Behaviour::new(&golden("3.5.30"), Script::Faithful).hash_kv(OTHER_HASH);
        let corrupt = Fake::start_with(&host.pki, &host.pki.server, behaviour);
        host.configure(&[corrupt.endpoint()]);
        let output = host.run(&["backup", "--json"]).expect_code(65);
        let manifest = output.json();
        assert_eq!(manifest["verified"], false);
        assert_eq!(live(&manifest).0, "failed");
        assert!(output.stderr.contains("is contradicted"), "{output}");
        let contradicting = manifest["contradictingMembers"].to_string();
        assert!(
            contradicting.contains(&corrupt.endpoint()),
            "{contradicting}"
        );
        assert!(
            host.backups
                .join(manifest["file"].as_str().unwrap())
                .exists()
        );

        let id = manifest["id"].as_str().unwrap();
        let output = host.run(&["list"]).expect_success();
        let line = output.stdout.lines().find(|line| line.starts_with(id));
        assert!(
            line.is_some_and(|line| line.contains("NOT VERIFIED")),
            "{output}"
        );
        let output = host.run(&["status"]).expect_code(1);
        let said = if earlier {
            format!("1 newer backup is not verified, the last of them {id}")
        } else {
            "there is no verified backup".to_owned()
        };
        assert!(output.stdout.contains(&said), "{output}");
        let output = host.run(&["verify", "latest"]).expect_code(65);
        assert!(output.stdout.contains(id), "{output}");
        let output = host.run(&["backup"]).expect_code(65);
        assert!(output.stdout.contains("NOT VERIFIED"), "{output}");
    }
}

#[test]
fn without_a_live_hash_the_setting_decides() {
    let kept = Kept::new();
    let member = Fake::start(&kept.host.pki, &golden("3.5.30"), Script::Faithful);
    let refuse = |code, message| LiveHash::Refuse { code, message };
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    // what HashKV answers, the setting, the exit code, and the result of the step
    for (answer, setting, code, result) in [
        (TRUE_HASH, "auto", 0, "passed"),
        (TRUE_HASH, "require", 0, "passed"),
        (OTHER_HASH, "require", 65, "failed"),
        (OTHER_HASH, "off", 0, "skipped"),
        (LiveHash::Unimplemented, "auto", 0, "skipped"),
        (LiveHash::Unimplemented, "require", 65, "skipped"),
        (LiveHash::Silence, "auto", 0, "skipped"),
        (LiveHash::Silence, "require", 65, "skipped"),
        (LiveHash::Silence, "off", 0, "skipped"),
        (refuse(Code::PermissionDenied, "no"), "auto", 0, "skipped"),
        (
            refuse(Code::PermissionDenied, "no"),
            "require",
            65,
            "skipped",
        ),
        (refuse(Code::OutOfRange, compacted), "auto", 0, "skipped"),
        (
            refuse(Code::OutOfRange, compacted),
            "require",
            65,
            "skipped",
        ),
    ] {
        member.change(|behaviour| behaviour.hash_kv = answer.clone());
        let asked = member.asked().hash_kv;
        let seconds = if matches!(answer, LiveHash::Silence) {
            4
        } else {
            20
        };
        let more = format!(
            "live_hash = \"{setting}\"\nstall_timeout = \"{seconds}s\"\nconnect_timeout = \"{seconds}s\""
        );
        let output = kept.backup(&[&member], &more).expect_code(code);
        let manifest = output.json();
        assert_eq!(manifest["verified"], code == 0, "{answer:?} {setting}");
        assert_eq!(
            live(&manifest).0,
            result,
            "{answer:?} {setting}: {manifest}"
        );
        assert!(!live(&manifest).1.is_empty());
        assert_eq!(
            member.asked().hash_kv > asked,
            setting != "off",
            "{answer:?}"
        );
    }
    kept.assert_still_there("all of them");
}

#[test]
fn a_snapshot_that_a_compaction_overtook_is_taken_again() {
    let kept = Kept::new();
    let member = Fake::start(&kept.host.pki, &golden("3.5.30"), Script::Faithful);
    member.change(|behaviour| {
        behaviour.hash_kv = LiveHash::Refuse {
            code: Code::OutOfRange,
            message: "etcdserver: mvcc: required revision has been compacted",
        };
    });
    kept.backup(&[&member], "").expect_success();
    assert_eq!(member.asked().snapshot, 3);
}

#[test]
fn of_three_members_the_one_that_differs_is_named_and_not_believed() {
    let kept = Kept::new();
    let server = &kept.host.pki.server;
    let (sound, other) = (golden("3.5.30"), golden("3.5.1"));
    let start = |behaviour| Fake::start_with(&kept.host.pki, server, behaviour);
    // the corrupt one is asked first; what it sends is what it holds
    let corrupt = start(member(FOLLOWER, &other, Script::Faithful).hash_kv(OTHER_HASH));
    let second = start(member(FOLLOWER + 1, &sound, Script::Faithful).hash_kv(TRUE_HASH));
    let third = start(member(LEADER, &sound, Script::Faithful).hash_kv(TRUE_HASH));
    let output = kept
        .backup(&[&corrupt, &second, &third], LATER)
        .expect_success();
    let manifest = output.json();
    assert_eq!(manifest["source"]["endpoint"], second.endpoint());
    assert_eq!(live(&manifest).0, "passed");
    let named = manifest["contradictingMembers"].as_array().unwrap();
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].as_str().unwrap().contains(&corrupt.endpoint()));
    let listed = kept.host.run(&["list"]).expect_success();
    assert!(listed.stdout.contains("a member differs"), "{listed}");
    let status = kept.host.run(&["status"]).expect_code(1);
    assert!(status.stdout.contains(&corrupt.endpoint()), "{status}");
    kept.assert_still_proven();
}
