//! A store that lost its keys: the backup is kept and marked, nothing is pruned, `status` says no, until somebody
//! accepts what the cluster has become.

use serde_json::{Value, json};

use super::support::backup::{assert_proven, text};
use super::support::command::Host;
use super::support::etcd::{Etcd, versions};

const CONFIGMAPS: usize = 80;

fn key(number: usize) -> String {
    format!("/registry/configmaps/default/settings-{number}")
}

/// A host with an etcd that holds eighty objects, and a good backup of them.
fn eighty_objects() -> (Etcd, Host, Value) {
    let host = Host::new();
    let etcd = Etcd::start(*versions().last().expect("an etcd"), &host.pki);
    host.configure(&[etcd.endpoint()]);
    for number in 0..CONFIGMAPS {
        etcd.put(&key(number), b"value");
    }
    let good = host.backup();
    assert_eq!(
        good["suspicions"],
        json!([]),
        "a first backup has nothing before it"
    );
    (etcd, host, good)
}

fn delete_most(etcd: &Etcd) {
    for number in 10..CONFIGMAPS {
        etcd.delete(&key(number));
    }
}

fn status(host: &Host, code: i32) -> Value {
    host.run(&["status", "--json"]).expect_code(code).json()
}

/// What people see who type, without colour.
fn assert_told_to_people(host: &Host, id: &str) {
    let told = host.run(&["status"]).expect_code(1).stdout;
    assert!(
        told.contains(&format!(
            "until it is accepted: hypercloud-etcd accept {id}"
        )),
        "{told}"
    );
    let listed = host.run(&["list"]).expect_success().stdout;
    assert!(
        listed
            .lines()
            .nth(1)
            .unwrap()
            .contains("SUSPECT, holds pruning"),
        "{listed}"
    );
    let shown = host.run(&["show", id]).expect_success().stdout;
    assert!(
        shown.contains("SUSPECT") && shown.contains("the keys fell from 80 to 10"),
        "{shown}"
    );
}

/// What nobody has accepted is not what `latest` brings back on the day that everything is gone.
fn assert_restored_only_on_purpose(host: &Host, suspect: &str, good: &str) {
    let target = host.directory().join("restored");
    let target = target.to_str().unwrap();
    let arguments = ["restore", "latest", "--data-dir", target];
    let refused = host.run(&arguments).expect_code(65).stderr;
    let said = format!("the backup {suspect} is suspect");
    for said in [&said, good, "from 80 to 10", "--allow-suspect"] {
        assert!(refused.contains(said), "{refused}");
    }
    let arguments = [&arguments[..], &["--allow-suspect", "--json"]].concat();
    let restored = host.run(&arguments).expect_success().json();
    assert_eq!(restored["backup"], suspect);
    let warnings = restored["warnings"].to_string();
    assert!(warnings.contains("is suspect"), "{restored:#}");
}

#[test]
fn a_store_that_lost_most_keys_makes_a_suspect_backup_until_it_is_accepted() {
    let (etcd, host, good) = eighty_objects();
    delete_most(&etcd);
    // proven and kept, so the command has done what was asked; what nobody must miss is on stderr
    let made = host.run(&["backup", "--json"]).expect_success();
    let suspect = made.json();
    assert_proven(&suspect);
    let id = text(&suspect, "id");
    let why = "the keys fell from 80 to 10; keys are gone: /registry/configmaps from 80 to 10";
    assert_eq!(
        suspect["suspicions"],
        json!(why.split("; ").collect::<Vec<_>>())
    );
    for said in [why, "is SUSPECT", &format!("hypercloud-etcd accept {id}")] {
        assert!(made.stderr.contains(said), "{made}");
    }
    let no = status(&host, 1);
    assert_eq!(no["newestVerified"]["id"], good["id"], "{no:#}");
    assert_eq!((&no["verified"], &no["suspect"]), (&json!(1), &json!(1)));
    assert_eq!(no["hold"]["backups"], json!([id]));
    assert_told_to_people(&host, id);
    assert_restored_only_on_purpose(&host, id, text(&good, "id"));

    // it is compared with what was good, not with what was suspect
    let next = host.run(&["backup", "--json"]).expect_success().json();
    assert_eq!(next["suspicions"], suspect["suspicions"]);
    assert_eq!(status(&host, 1)["hold"]["backups"], json!([next["id"], id]));

    // accepting the newest ends it for all; the one before stays what it was
    let accepted = host
        .run(&["accept", "latest", "--json"])
        .expect_success()
        .json();
    assert_eq!(
        (&accepted["id"], accepted["accepted"].is_string()),
        (&next["id"], true)
    );
    let yes = status(&host, 0);
    assert_eq!(
        (&yes["verified"], &yes["suspect"], &yes["hold"]),
        (&json!(2), &json!(1), &Value::Null)
    );
    assert_eq!(yes["newestVerified"]["id"], next["id"]);
    let again = host.run(&["accept", "latest"]).expect_success().stdout;
    assert!(again.contains("was accepted already"), "{again}");

    // and it is the new measure
    etcd.put("/registry/configmaps/default/one", b"more");
    let later = host.run(&["backup", "--json"]).expect_success().json();
    assert_eq!(later["suspicions"], json!([]));
    status(&host, 0);
}

#[test]
fn a_pin_accepts_a_suspect_backup_and_a_later_good_one_ends_what_is_over() {
    let (etcd, host, _) = eighty_objects();
    delete_most(&etcd);
    host.backup();
    status(&host, 1);
    // all comes back by itself: still somebody has to look
    for number in 10..CONFIGMAPS {
        etcd.put(&key(number), b"value");
    }
    let well = host.backup();
    assert_eq!(well["suspicions"], json!([]));
    assert_eq!(status(&host, 1)["newestVerified"]["id"], well["id"]);
    let ended = host.run(&["accept", "latest"]).expect_success().stdout;
    assert!(
        ended.contains("all is well again") && ended.contains("1 earlier backup stays suspect"),
        "{ended}"
    );
    status(&host, 0);

    delete_most(&etcd);
    host.backup();
    status(&host, 1);
    let pinned = host
        .run(&["pin", "latest", "--json"])
        .expect_success()
        .json();
    assert!(pinned["accepted"].is_string(), "{pinned:#}");
    status(&host, 0);
}

#[test]
fn a_backup_whose_snapshot_is_lost_is_no_measure_and_cannot_be_accepted() {
    let (etcd, host, good) = eighty_objects();
    std::fs::remove_file(host.snapshot_of(&good)).unwrap();
    delete_most(&etcd);
    let next = host.backup();
    assert_eq!(
        next["suspicions"],
        json!([]),
        "there is nothing left to compare with"
    );
    let refused = host.run(&["accept", text(&good, "id")]).expect_code(74);
    assert!(refused.stderr.contains(text(&good, "file")), "{refused}");
    host.run(&["accept", "19700101T000000Z"]).expect_code(64);
}

#[test]
fn a_suspect_backup_holds_pruning_although_its_snapshot_is_lost() {
    let (etcd, host, good) = eighty_objects();
    delete_most(&etcd);
    let suspect = host.backup();
    std::fs::remove_file(host.snapshot_of(&suspect)).unwrap();
    let id = text(&suspect, "id");
    let told = status(&host, 1);
    assert_eq!(told["hold"]["backups"], json!([id]), "{told:#}");
    let why = told["problems"][0].as_str().unwrap();
    assert!(why.contains("a later one is accepted"), "{why}");
    // somebody looked, and all is as it should be
    host.run(&["accept", text(&good, "id")]).expect_success();
    assert_eq!(status(&host, 1)["hold"]["backups"], json!([id]));
    let later = host.backup();
    host.run(&["accept", text(&later, "id")]).expect_success();
    assert_eq!(status(&host, 1)["hold"], Value::Null);
}

#[test]
fn what_the_operator_does_not_want_to_hear_is_not_said() {
    let (etcd, host, _) = eighty_objects();
    host.configure_as(
        &[etcd.endpoint()],
        &host.pki.client,
        "[anomaly]\nenabled = false\n",
    );
    delete_most(&etcd);
    assert_eq!(host.backup()["suspicions"], json!([]));
    status(&host, 0);
}
