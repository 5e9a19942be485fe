//! A step that fails, each in its own way: what was there is there, the hint says what to do, and it is gone on with or
//! undone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Story, await_step};
use crate::support::command::{DEADLINE, Output, run};
use crate::support::node::Node;

/// Mounted onto itself, so that nobody can move it; let go when dropped.
struct Pinned(PathBuf);

impl Pinned {
    fn new(path: &Path) -> Self {
        let mounted = run(Command::new("mount").arg("--bind").args([path, path]));
        assert!(
            mounted.code == Some(0),
            "this proof needs a root that may mount: {mounted}"
        );
        Self(path.to_owned())
    }

    /// Nothing in it can be changed, either.
    fn read_only(path: &Path) -> Self {
        let pinned = Self::new(path);
        run(Command::new("mount")
            .args(["-o", "remount,bind,ro"])
            .arg(path))
        .expect_success();
        pinned
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What keeps a step from being done, as long as it is there.
enum Fault {
    Pinned(#[expect(dead_code, reason = "it is let go when dropped")] Pinned),
    /// A manifest that etcd cannot start by, and the right one.
    Manifest(PathBuf, String),
    Asleep,
}

impl Fault {
    /// Called while the restore waits for the kubelet.
    fn at(step: &str, node: &Node) -> Self {
        let parked = |name: &str| node.place("parked").join(name);
        let pinned = |path: &Path| Self::Pinned(Pinned::new(path));
        match step {
            "stop" => Self::Asleep,
            "set-aside" => pinned(&node.data_dir),
            "swap-in" => pinned(&node.place("fresh")),
            "start-etcd" => pinned(&parked("etcd.yaml")),
            "start-control-plane" => pinned(&parked("kube-apiserver.yaml")),
            "await-etcd" => {
                let path = parked("etcd.yaml");
                let right = fs::read_to_string(&path).unwrap();
                fs::write(&path, right.replace("--cert-file=", "--cert-file=/nowhere")).unwrap();
                Self::Manifest(node.manifests.join("etcd.yaml"), right)
            }
            other => panic!("{other} has a proof of its own"),
        }
    }

    fn end(self, node: &Node) {
        if let Self::Manifest(path, right) = &self {
            // a file that begins with a dot is not looked at
            let whole = node.manifests.join(".etcd.yaml");
            fs::write(&whole, right).unwrap();
            fs::rename(whole, path).unwrap();
        }
        node.kubelet.wake();
    }
}

/// How long a restore waits that is to fail in this step: no longer than the test has to, where nothing else ends the
/// wait, and as long as a busy machine needs for the steps before.
fn patience(step: &str) -> &'static str {
    match step {
        "stop" => "5s",
        "await-etcd" => "20s",
        _ => "2m",
    }
}

/// A restore that fails in this step; what it says, and the fault that is still there.
fn failed_at(story: &Story, step: &str) -> (Output, Fault) {
    let node = &story.node;
    node.kubelet.sleep();
    let args = ["latest", "--in-place", "--yes", "--wait", patience(step)];
    let running = node.start_restore(&args);
    await_step(node, "stop");
    let fault = Fault::at(step, node);
    if !matches!(fault, Fault::Asleep) {
        node.kubelet.wake();
    }
    let failed = running.output(2 * DEADLINE);
    assert_ne!(failed.code, Some(0), "{step}: {failed}");
    for hint in ["restore --resume", "restore --rollback"] {
        assert!(failed.stderr.contains(hint), "{step}: {failed}");
    }
    let journal = node.journal().unwrap();
    let last = journal["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(last["step"], step, "{failed}");
    assert!(last["error"].is_string(), "{last:#}");
    story.assert_old_data_is_there(step);
    (failed, fault)
}

const STEPS: [&str; 6] = [
    "stop",
    "set-aside",
    "swap-in",
    "start-etcd",
    "await-etcd",
    "start-control-plane",
];

#[test]
fn a_restore_that_failed_in_any_step_is_gone_on_with() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    for step in STEPS {
        story.go_on(step);
        let (failed, fault) = failed_at(&story, step);
        if matches!(fault, Fault::Asleep | Fault::Manifest(..)) {
            failed.clone().expect_code(69);
            assert!(
                failed.stderr.contains("systemctl status kubelet"),
                "{failed}"
            );
        }
        fault.end(&story.node);
        story.node.restore(&["--resume"]).expect_success();
        story.assert_restored(step);
    }
}

#[test]
fn a_restore_that_failed_in_any_step_is_undone() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    for step in STEPS {
        story.go_on(step);
        let (_, fault) = failed_at(&story, step);
        fault.end(&story.node);
        story
            .node
            .restore(&["--rollback", "--yes"])
            .expect_success();
        story.assert_returned(step);
    }
}

/// A restore that stopped because something lies where the old data was to go.
fn stopped_by_what_lies_there(story: &Story) -> PathBuf {
    let node = &story.node;
    node.kubelet.sleep();
    let running = node.start_restore(&["latest", "--in-place", "--yes", "--wait", "2m"]);
    await_step(node, "stop");
    let in_the_way = node.place("aside");
    fs::create_dir(&in_the_way).unwrap();
    node.kubelet.wake();
    let failed = running.output(2 * DEADLINE);
    assert_ne!(failed.code, Some(0), "{failed}");
    in_the_way
}

#[test]
fn what_lies_where_the_old_data_was_to_go_is_not_returned_to() {
    let Some(story) = Story::newest() else { return };
    let in_the_way = stopped_by_what_lies_there(&story);
    story
        .node
        .restore(&["--rollback", "--yes"])
        .expect_success();
    story.assert_returned("in the way");
    assert_eq!(fs::read_dir(in_the_way).unwrap().count(), 0);
}

/// Who brings the cluster back by hand and goes on later does not lose what was written meanwhile: it is set aside, and
/// never from under the etcd that writes it.
#[test]
fn a_cluster_that_was_brought_back_meanwhile_is_stopped_again() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    let in_the_way = stopped_by_what_lies_there(&story);
    fs::remove_dir(in_the_way).unwrap();
    let parked = story.node.place("parked");
    for file in fs::read_dir(&parked).unwrap() {
        let file = file.unwrap();
        fs::rename(file.path(), story.node.manifests.join(file.file_name())).unwrap();
    }
    story.node.await_all();
    story.go_on("meanwhile");
    let done = story.node.restore(&["--resume"]).expect_success();
    assert!(done.stderr.contains("wait until"), "{done}");
    story.assert_restored("brought back");
    // all of it is in the old data, the writes of the last moment included
    story
        .node
        .restore(&["--rollback", "--yes"])
        .expect_success();
    story.assert_returned("brought back");
}

#[test]
fn a_build_that_fails_stops_nothing() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    let read_only = Pinned::read_only(node.data_dir.parent().unwrap());
    let failed = node.restore(&["latest", "--in-place", "--yes"]);
    assert_ne!(failed.code, Some(0), "{failed}");
    assert!(failed.stderr.contains("read-only"), "{failed}");
    assert!(failed.stderr.contains("nothing was changed"), "{failed}");
    drop(read_only);
    story.assert_returned("built nothing");
    node.restore(&["--resume"]).expect_code(64);
    node.restore(&["latest", "--in-place", "--yes"])
        .expect_success();
    story.assert_restored("afterwards");

    // nor does it take away the way back from the restore before
    let read_only = Pinned::read_only(node.data_dir.parent().unwrap());
    node.restore(&["latest", "--in-place", "--yes"])
        .expect_code(failed.code.unwrap());
    drop(read_only);
    node.restore(&["--rollback", "--yes"]).expect_success();
    story.assert_returned("built nothing again");
}

#[test]
fn a_journal_that_cannot_be_written_in_the_middle_tells_how_it_goes_on() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    node.kubelet.sleep();
    let running = node.start_restore(&["latest", "--in-place", "--yes"]);
    await_step(node, "stop");
    let read_only = Pinned::read_only(&node.host.directory().join("hypercloud-etcd-restore"));
    node.kubelet.wake();
    let failed = running.output(DEADLINE).expect_code(74);
    for said in ["journal.json", "restore --resume", "restore --rollback"] {
        assert!(failed.stderr.contains(said), "{said}: {failed}");
    }
    drop(read_only);
    node.restore(&["--resume"]).expect_success();
    story.assert_restored("written again");
}

#[test]
fn a_manifest_that_cannot_be_moved_leaves_the_data_alone() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    let pin = |story: &Story| {
        let pinned = Pinned::new(&story.node.manifests.join("kube-scheduler.yaml"));
        let failed = story
            .node
            .restore(&["latest", "--in-place", "--yes"])
            .expect_code(73);
        assert!(failed.stderr.contains("kube-scheduler.yaml"), "{failed}");
        story.assert_old_data_is_there("park");
        pinned
    };
    // even while it still cannot be moved
    let pinned = pin(&story);
    story
        .node
        .restore(&["--rollback", "--yes"])
        .expect_success();
    drop(pinned);
    story.assert_returned("park");
    story.go_on("again");
    drop(pin(&story));
    story.node.restore(&["--resume"]).expect_success();
    story.assert_restored("park");
}
