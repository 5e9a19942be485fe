//! The runbooks of README.md for kubeadm nodes, each command as it stands there, with a person at a terminal.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use super::Story;
use crate::support::command::{Output, Running, binary};
use crate::support::node::{KUBELET, Node};
use crate::support::readme::blocks;

/// Runs a command of the README on this node, at a terminal at which this is typed.
fn at_a_terminal(node: &Node, command: &str, typed: &str) -> Output {
    let words = command.strip_prefix("hypercloud-etcd ").unwrap();
    let line = format!(
        "{} {words} --kubernetes-dir {} --kubelet-dir {} --config {}",
        binary().display(),
        node.host.directory().display(),
        node.host.directory().join(KUBELET).display(),
        node.host.config.display()
    );
    let keyboard = node.host.directory().join("typed");
    fs::write(&keyboard, typed).unwrap();
    // `-e`: the exit code of the command
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]);
    Running::start_with(&mut script, Stdio::from(File::open(keyboard).unwrap()))
        .output(crate::support::command::DEADLINE)
}

#[test]
fn the_runbook_for_a_kubeadm_node_brings_it_back() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    let [restore, after] = &blocks("### A kubeadm node, in place")[..] else {
        panic!("two blocks");
    };
    let [plan, in_place, kubelet] = &restore[..] else {
        panic!("three commands");
    };
    let said = at_a_terminal(node, plan, "").expect_success().stdout;
    assert!(said.contains("steps on this host"), "{said}");

    let refused = at_a_terminal(node, in_place, "no\n").expect_code(64);
    assert!(
        refused.stdout.contains("the answer was not yes"),
        "{refused}"
    );
    assert!(node.journal().is_none());
    let said = at_a_terminal(node, in_place, "yes\n")
        .expect_success()
        .stdout;
    assert!(
        said.contains("Type yes to restore this host's etcd"),
        "{said}"
    );
    story.assert_restored("by the runbook");
    assert_eq!(kubelet, "systemctl restart kubelet");
    node.kubelet.sleep();
    node.kubelet.wake();

    let [resume, rollback] = &after[..] else {
        panic!("two commands");
    };
    let over = at_a_terminal(node, resume, "").expect_code(64).stdout;
    assert!(over.contains("is finished"), "{over}");
    at_a_terminal(node, rollback, "yes\n").expect_success();
    story.assert_returned("by the runbook");
}
