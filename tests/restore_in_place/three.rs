//! Three control-plane nodes, restored by the commands that the plan gives for each.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{await_step, open_step, own_words};
use crate::support::command::{DEADLINE, run};
use crate::support::etcd::versions;
use crate::support::node::Node;
use crate::support::poll_until;
use crate::support::readme::blocks;

/// The words of the restore that a plan gives for a host.
fn words(plan: &Value, host: usize) -> Vec<String> {
    let commands = plan["hosts"][host]["commands"].as_array().unwrap();
    let mut words = own_words(commands.last().unwrap().as_str().unwrap());
    words.push("--yes".into());
    words
}

fn node_named<'n>(nodes: &'n [Node], plan: &Value, host: usize) -> &'n Node {
    let name = &plan["hosts"][host]["member"];
    nodes.iter().find(|node| *name == *node.name).unwrap()
}

fn cluster() -> Option<Vec<Node>> {
    let nodes = Node::cluster(*versions().last()?, 3);
    nodes.iter().for_each(Node::await_all);
    Some(nodes)
}

#[test]
fn three_nodes_find_each_other_by_the_commands_of_the_plan() {
    let Some(nodes) = cluster() else { return };
    nodes[0].fill("kept", 20);
    nodes[0].host.backup();
    let backup = nodes[0].keys();
    nodes[1].fill("lost", 10);
    let lost = nodes[1].keys();

    // alone, without what all have to be told, none begins
    let apart = nodes[0]
        .restore(&["latest", "--in-place", "--yes"])
        .expect_code(64);
    assert!(apart.stderr.contains("--plan"), "{apart}");
    let [block] = &blocks("### Three kubeadm nodes, in place")[..] else {
        panic!("one block");
    };
    assert_eq!(block[..], ["hypercloud-etcd restore latest --plan"]);
    let plan = nodes[0]
        .restore(&["latest", "--plan", "--json"])
        .expect_success()
        .json();
    assert_eq!(plan["hosts"].as_array().unwrap().len(), 3);
    let check = plan["hosts"][1]["commands"][0].as_str().unwrap();
    run(Command::new("sh").args(["-c", check])).expect_success();

    let arguments: Vec<Vec<String>> = (0..3).map(|host| words(&plan, host)).collect();
    let start = |host: usize, more: &[&str]| {
        let words: Vec<&str> = arguments[host]
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        node_named(&nodes, &plan, host).start_restore(&words)
    };
    // the first cannot serve alone; it says so, and leaves its control plane stopped
    let first = start(0, &["--wait", "20s"])
        .output(DEADLINE)
        .expect_code(69);
    assert!(first.stderr.contains("restore the other hosts"), "{first}");
    let here = node_named(&nodes, &plan, 0);
    assert_eq!(here.kubelet.running(), ["etcd.yaml"]);
    let second = start(1, &[]);
    await_step(node_named(&nodes, &plan, 1), "await-etcd");
    here.restore(&["--resume"]).expect_success();
    second.output(DEADLINE).expect_success();
    start(2, &[]).output(DEADLINE).expect_success();

    nodes.iter().for_each(Node::await_all);
    for node in &nodes {
        assert_eq!(node.keys(), backup);
        assert_eq!(node.members().len(), 3);
        node.assert_all_manifests_are_back();
    }

    // and all of them return
    let back: Vec<_> = nodes
        .iter()
        .map(|node| node.start_restore(&["--rollback", "--yes"]))
        .collect();
    for back in back {
        back.output(DEADLINE).expect_success();
    }
    nodes.iter().for_each(Node::await_all);
    for node in &nodes {
        assert_eq!(node.keys(), lost);
    }
}

#[test]
fn one_of_three_goes_on_alone_when_the_others_are_stopped() {
    let Some(nodes) = cluster() else { return };
    let node = &nodes[0];
    node.fill("kept", 20);
    node.host.backup();
    let backup = node.keys();
    let alone = format!("{}={}", node.name, node.peer_url());
    let args = ["latest", "--initial-cluster", &alone];
    let plan = node
        .restore(&[&args[..], &["--plan", "--json"]].concat())
        .expect_success()
        .json();
    let before = plan["before"][0].as_str().unwrap();
    assert!(
        before.contains(&nodes[1].name) && before.contains(&nodes[2].name),
        "{before}"
    );
    // two clusters at a time are refused
    let refused = node
        .restore(&[&args[..], &["--in-place", "--yes"]].concat())
        .expect_code(65);
    assert!(
        refused.stderr.contains("still serves the old data"),
        "{refused}"
    );
    for other in &nodes[1..] {
        std::fs::rename(&other.manifests, other.host.directory().join("stopped")).unwrap();
        poll_until("it has stopped", Duration::from_secs(30), || {
            other.kubelet.running().is_empty()
        });
    }
    node.restore(&[&args[..], &["--in-place", "--yes"]].concat())
        .expect_success();
    node.await_all();
    assert_eq!(node.keys(), backup);
    assert_eq!(node.members().join(","), node.name);
    assert_eq!(open_step(node, "forward"), None);
}
