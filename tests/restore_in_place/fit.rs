//! What does not fit is refused before anything is touched; hosts that are unusual, and can be restored, are.

use std::fs;
use std::time::Duration;

use super::{Story, await_step, number_of};
use crate::support::command::DEADLINE;
use crate::support::etcd::versions;
use crate::support::mount::Mount;
use crate::support::node::{Node, names_in};
use crate::support::pki::Leaf;
use crate::support::poll_until;

/// A text of etcd's manifest and what it is replaced by; the exit code, and what is said.
const UNFIT: [(&str, &str, i32, &str); 6] = [
    ("--name=", "--name=another-", 65, "has no such member"),
    (
        "advertise-peer-urls=https://127.0.0.1",
        "advertise-peer-urls=https://10.0.0.1",
        65,
        "has no such member",
    ),
    (
        "    image",
        "    - --wal-dir=/var/lib/wal\n    image",
        78,
        "--wal-dir",
    ),
    (
        "    image",
        "    - --config-file=/etc/etcd.conf\n    image",
        78,
        "/etc/etcd.conf",
    ),
    (
        "mountPath: /var/lib/etcd",
        "mountPath: /elsewhere",
        78,
        "hostPath",
    ),
    ("kind: Pod", "kind: Service", 78, "etcd.yaml"),
];

const ARGS: [&str; 3] = ["latest", "--in-place", "--yes"];

fn assert_refused(node: &Node, args: &[&str], code: i32, said: &str) {
    let refused = node.restore(args).expect_code(code);
    for text in [said, " hint: "] {
        assert!(refused.stderr.contains(text), "{said}: {refused}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_touched() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    node.kubelet.sleep();
    let before = names_in(node.data_dir.parent().unwrap());
    let manifest = node.manifests.join("etcd.yaml");
    let right = fs::read_to_string(&manifest).unwrap();
    for (from, to, code, said) in UNFIT {
        fs::write(&manifest, right.replace(from, to)).unwrap();
        assert_refused(node, &ARGS, code, said);
    }
    fs::remove_file(&manifest).unwrap();
    assert_refused(node, &ARGS, 78, "there is no");
    fs::write(&manifest, &right).unwrap();

    // the kubelet would run the copy, too, and go on doing so
    for original in ["etcd.yaml", "kube-apiserver.yaml"] {
        let copy = format!("{original}.bak");
        let original = node.manifests.join(original);
        fs::copy(&original, node.manifests.join(&copy)).unwrap();
        let both = format!(
            "{} and {}",
            original.display(),
            node.manifests.join(&copy).display()
        );
        assert_refused(node, &ARGS, 78, &both);
        fs::remove_file(node.manifests.join(&copy)).unwrap();
    }

    let ca = node.host.directory().join("pki/ca.crt");
    let right = fs::read(&ca).unwrap();
    let another = node.host.pki.foreign("another", &Leaf::client("another"));
    fs::copy(another.cert, &ca).unwrap();
    assert_refused(node, &ARGS, 65, "whose CA is");
    fs::write(&ca, right).unwrap();

    let key = &node.host.pki.client.key;
    let away = key.with_extension("away");
    fs::rename(key, &away).unwrap();
    assert_refused(
        node,
        &ARGS,
        78,
        "nobody could tell afterwards whether etcd serves",
    );
    fs::rename(&away, key).unwrap();

    assert_refused(node, &["latest", "--in-place"], 64, "--yes");
    assert_refused(node, &["--resume"], 64, "no restore in place was begun");
    assert_refused(
        node,
        &["--rollback", "--yes"],
        64,
        "no restore in place was begun",
    );
    assert_eq!(names_in(node.data_dir.parent().unwrap()), before);
    assert!(node.journal().is_none());
    node.kubelet.wake();
    node.await_all();
    assert_eq!(node.keys(), story.lost);
    node.restore(&ARGS).expect_success();
    story.assert_restored("at last");
}

#[test]
fn a_cluster_that_runs_here_and_is_not_known_to_be_the_one_of_the_backup_is_not_stopped() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    story.node.restore(&ARGS).expect_success();
    story.assert_restored("known");
    story.go_on("another");
    // a cluster of the same name, URLs and CA, of which nothing here knows where it came from
    let journals = story.node.host.directory().join("hypercloud-etcd-restore");
    // without its journal nobody knows its id, and a second restore in the same second would be called the same
    fs::remove_dir_all(story.node.place("aside")).unwrap();
    fs::remove_file(journals.join("journal.json")).unwrap();
    assert_refused(&story.node, &ARGS, 65, "etcd runs here as cluster");
    assert_eq!(story.node.keys(), story.lost);
    let meant = [&ARGS[..], &["--allow-other-cluster"]].concat();
    let done = story.node.restore(&meant).expect_success();
    assert!(
        done.stderr.contains("WARNING   etcd runs here as"),
        "{done}"
    );
    story.assert_restored("meant");
    let told = story.node.journal().unwrap()["warnings"].to_string();
    assert!(told.contains("etcd runs here as"), "{told}");
}

#[test]
fn a_data_directory_that_is_a_mount_point_is_restored_inside() {
    let Some(&version) = versions().last() else {
        return;
    };
    let mut mount = None;
    let node = Node::prepared(version, &mut |data_dir| {
        mount = Some(Mount::tmpfs(data_dir, "500m"));
    });
    node.await_all();
    // as on every file system of its own
    fs::create_dir(node.data_dir.join("lost+found")).unwrap();
    node.fill("kept", 20);
    node.host.backup();
    let backup = node.keys();
    node.fill("lost", 10);
    let lost = node.keys();
    node.restore(&["latest", "--in-place", "--yes"])
        .expect_success();
    node.await_all();
    assert_eq!(node.keys(), backup);
    let aside = node.place("aside");
    assert!(aside.starts_with(&node.data_dir) && number_of(&aside).is_some());
    assert!(node.data_dir.join("lost+found").exists());
    node.restore(&["--rollback", "--yes"]).expect_success();
    node.await_all();
    assert_eq!(node.keys(), lost);
    node.assert_all_manifests_are_back();
    drop(node);
}

/// An etcd that nobody has seen run may be about to start once more, so that this takes half a minute.
#[test]
fn a_node_whose_data_is_lost_is_restored() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    node.kubelet.sleep();
    node.kubelet.kill("etcd.yaml");
    fs::remove_dir_all(&node.data_dir).unwrap();
    let running = node.start_restore(&["latest", "--in-place", "--yes"]);
    await_step(node, "stop");
    node.kubelet.wake();
    running.output(DEADLINE).expect_success();
    poll_until("every pod runs", Duration::from_secs(30), || {
        node.kubelet.running().len() == 4
    });
    assert_eq!(node.keys(), story.backup);
    assert!(!node.place("aside").exists());
    node.assert_all_manifests_are_back();
}
