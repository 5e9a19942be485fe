//! A kubeadm host is restored in place, or returned to what it was: whatever fails and wherever it is killed, no key is
//! lost, and the old data is there.

mod faults;
mod fit;
mod interrupted;
mod killed;
mod runbook;
mod runtime;
mod three;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::support::etcd::{Version, versions};
use crate::support::node::{Node, names_in};
use crate::support::wait_for;

/// The steps, by the names that the journal gives them, in order.
const STEPS: [&str; 8] = [
    "build",
    "park",
    "stop",
    "set-aside",
    "swap-in",
    "start-etcd",
    "await-etcd",
    "start-control-plane",
];

type Keys = BTreeMap<String, String>;

/// A node whose cluster went on after its backup.
struct Story {
    node: Node,
    /// What the backup holds.
    backup: Keys,
    /// What there was when it was lost.
    lost: Keys,
    /// The number of the database file that holds that.
    data: u64,
}

impl Story {
    fn of(version: Version) -> Self {
        let node = Node::start(version);
        node.await_all();
        node.fill("kept", 20);
        node.host.backup();
        let backup = node.keys();
        let mut story = Self {
            node,
            backup,
            lost: Keys::new(),
            data: 0,
        };
        story.go_on("lost");
        story
    }

    /// The newest version that there is.
    fn newest() -> Option<Self> {
        versions().last().map(|version| Self::of(*version))
    }

    /// Writes more, which the next restore loses.
    fn go_on(&mut self, what: &str) {
        self.node.fill(what, 10);
        self.lost = self.node.keys();
        self.data = number_of(&self.node.data_dir).expect("a database");
    }

    /// Asserts that the database that was there before is there now, in place or aside, and nowhere twice.
    #[track_caller]
    fn assert_old_data_is_there(&self, when: &str) {
        let places = ["live", "aside"].map(|place| self.node.place(place));
        let found = places
            .iter()
            .filter(|path| number_of(path) == Some(self.data));
        assert_eq!(found.count(), 1, "{when}: {places:?}");
    }

    #[track_caller]
    fn assert_restored(&self, when: &str) {
        self.node.await_all();
        assert_eq!(self.node.keys(), self.backup, "{when}");
        assert!(self.node.revision() > 1_000_000_000, "{when}");
        assert_eq!(
            number_of(&self.node.place("aside")),
            Some(self.data),
            "{when}"
        );
        self.assert_all_is_well(when);
    }

    #[track_caller]
    fn assert_returned(&self, when: &str) {
        self.node.await_all();
        assert_eq!(self.node.keys(), self.lost, "{when}");
        assert_eq!(number_of(&self.node.data_dir), Some(self.data), "{when}");
        self.assert_all_is_well(when);
    }

    #[track_caller]
    fn assert_all_is_well(&self, when: &str) {
        self.node.assert_all_manifests_are_back();
        let journal = self.node.journal().expect("a journal");
        assert_eq!(journal["finished"], true, "{when}: {journal:#}");
        let staging = self.node.place("staging");
        let beside = names_in(staging.parent().unwrap());
        let name = staging.file_name().unwrap().to_str().unwrap();
        assert!(
            !beside.iter().any(|other| other.starts_with(name)),
            "{when}: {beside:?}"
        );
    }
}

/// The number of a data directory's database file, or of a member directory's.
fn number_of(directory: &Path) -> Option<u64> {
    let files = ["member/snap/db", "snap/db"].map(|file| directory.join(file));
    files
        .iter()
        .find_map(|file| Some(fs::metadata(file).ok()?.ino()))
}

/// The step that was begun last on this way and is not done.
fn open_step(node: &Node, way: &str) -> Option<String> {
    let journal = node.journal()?;
    let last = journal["steps"].as_array()?.last()?;
    let is_open = last["way"] == way && last["ended"].is_null();
    is_open.then(|| last["step"].as_str().map(str::to_owned))?
}

fn await_step(node: &Node, step: &str) {
    wait_for(step, Duration::from_mins(1), || {
        (open_step(node, "forward")? == step).then_some(())
    });
}

/// What is not where it usually is, on a node in a temporary directory.
const NAMED: [&str; 3] = ["--kubernetes-dir", "--kubelet-dir", "--config"];

/// The words of a command of a plan, for `Node::restore`, which names the node's own files itself.
fn own_words(command: &str) -> Vec<String> {
    let words = command.strip_prefix("hypercloud-etcd restore ").unwrap();
    let mut words = words.split(' ');
    let mut own = Vec::new();
    let mut named = Vec::new();
    while let Some(word) = words.next() {
        if NAMED.contains(&word) {
            named.push(word);
            words.next();
        } else {
            own.push(word.to_owned());
        }
    }
    assert_eq!(named, NAMED, "{command}");
    own
}

#[test]
fn a_restored_node_is_backed_up_and_restored_again() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    story
        .node
        .restore(&["latest", "--in-place", "--yes"])
        .expect_success();
    story.assert_restored("the first time");
    // what a restore with a bump leaves in the data is in the next backup, too
    story.node.fill("since", 10);
    story.node.host.backup();
    story.backup = story.node.keys();
    story.go_on("lost again");
    let args = ["latest", "--in-place", "--yes", "--allow-suspect"];
    story.node.restore(&args).expect_success();
    story.assert_restored("the second time");
}

#[test]
fn an_alarm_that_comes_back_with_the_data_is_told() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    let alarm = |action| {
        node.access().with_client(async |mut client| {
            let kind = etcd_client::AlarmType::Nospace;
            client.alarm(action, kind, None).await.expect("an alarm");
        });
    };
    alarm(etcd_client::AlarmAction::Activate);
    node.host.backup();
    alarm(etcd_client::AlarmAction::Deactivate);
    let args = ["latest", "--in-place", "--yes"];
    let done = node.restore(&args).expect_success();
    for said in [
        "WARNING",
        "NoSpace",
        "etcdctl alarm disarm",
        "--clear-alarms",
    ] {
        assert!(done.stderr.contains(said), "{said}: {done}");
    }
    let clear = [&args[..], &["--clear-alarms"]].concat();
    let done = node.restore(&clear).expect_success();
    assert!(!done.stderr.contains("NoSpace"), "{done}");
}

#[test]
fn a_node_of_every_version_is_restored_and_returned() {
    for version in versions() {
        let story = Story::of(version);
        let node = &story.node;
        let done = node
            .restore(&["latest", "--in-place", "--yes"])
            .expect_success();
        story.assert_restored(version.label());
        for said in ["set the old data aside", "wait until etcd answers"] {
            assert!(done.stderr.contains(said), "{done}");
        }
        assert!(done.stdout.contains("systemctl restart kubelet"), "{done}");
        // what it had is what an etcd wrote, and belongs to whom it belonged
        let (old, new) = (node.place("aside"), &node.data_dir);
        let owner = |path: &Path| fs::metadata(path).map(|it| (it.uid(), it.mode())).unwrap();
        assert_eq!(owner(&old), owner(new));

        node.fill("new", 5);
        let new = node.keys();
        let returned = node.restore(&["--rollback", "--yes"]).expect_success();
        assert!(
            returned.stdout.contains("the revision went back"),
            "{returned}"
        );
        story.assert_returned(version.label());
        // an etcd has run on the new data, so that it is kept, too
        assert!(number_of(&node.place("undone")).is_some());
        assert_ne!(new, story.lost);
        // that it is over is told before anybody is asked
        let over = node.restore(&["--rollback"]).expect_code(64);
        assert!(over.stderr.contains("is finished"), "{over}");
        node.restore(&["--resume"]).expect_code(64);
    }
}

#[test]
fn nobody_is_returned_to_data_that_was_removed() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    node.restore(&["latest", "--in-place", "--yes"])
        .expect_success();
    fs::remove_dir_all(node.place("aside")).unwrap();
    let refused = node.restore(&["--rollback", "--yes"]).expect_code(73);
    assert!(
        refused.stderr.contains("there is no data from before"),
        "{refused}"
    );
    node.await_all();
    assert_eq!(node.keys(), story.backup);
    // by another name of the same directory
    let link = node.host.directory().join("kubernetes");
    std::os::unix::fs::symlink(".", &link).unwrap();
    let over = [
        "restore",
        "--resume",
        "--kubernetes-dir",
        link.to_str().unwrap(),
    ];
    let over = node.host.run(&over).expect_code(64);
    assert!(over.stderr.contains("is finished"), "{over}");
}

#[test]
fn a_plan_changes_nothing_and_the_restore_does_what_it_says() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    let before = names_in(node.data_dir.parent().unwrap());
    let text = node.restore(&["latest", "--plan"]).expect_success().stdout;
    let plan = node
        .restore(&["latest", "--plan", "--json"])
        .expect_success()
        .json();
    assert_eq!(names_in(node.data_dir.parent().unwrap()), before);
    assert!(node.journal().is_none());
    assert_eq!(node.keys(), story.lost);

    assert_eq!(
        plan["goal"]["initialCluster"],
        format!("{}={}", node.name, node.peer_url())
    );
    assert_eq!(plan["expected"]["keys"], story.backup.len());
    assert_eq!(plan["before"], serde_json::json!([]));
    let steps: Vec<&str> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(steps, STEPS);
    for said in [
        "1,000,000,000",
        &node.peer_url(),
        "before-restore-",
        "--rollback",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let command = plan["hosts"][0]["commands"][0].as_str().unwrap();
    let words = own_words(command);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend(["--yes", "--json"]);
    let done = node.restore(&words).expect_success().json();
    story.assert_restored("as planned");
    let done: Vec<&str> = done["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(done, STEPS);
}
