//! The runbooks of README.md, each command as it stands there, but for the hosts and the directories.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::source::{Source, State, log_in, quick};
use crate::support::command::{Output, binary, run};
use crate::support::etcd::{Cluster, Etcd, Version};
use crate::support::readme::blocks;

/// What stands in the runbooks, and what it stands for on the host of `member`.
fn names(cluster: &Cluster, member: usize, source: &Source) -> Vec<(String, String)> {
    let members = cluster.members.iter().zip(1..);
    let mut names: Vec<(String, String)> = members
        .flat_map(|(member, number)| {
            [
                (format!("m{number}"), member.name().to_owned()),
                (format!("https://10.0.0.{number}:2380"), member.peer_url()),
            ]
        })
        .collect();
    let data_dir = cluster.members[member].data_dir();
    names.push(("/var/lib/etcd".to_owned(), path(data_dir)));
    names.push(("/root/snapshot.db".to_owned(), source.file()));
    names
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Runs a command as a shell does, with our program in its path.
fn shell(command: &str, names: &[(String, String)], source: &Source) -> Output {
    let real = names.iter().fold(command.to_owned(), |text, (name, real)| {
        text.replace(name, real)
    });
    let directory = TempDir::new().unwrap();
    let program = directory.path().join("hypercloud-etcd");
    let config = source.host.config.display();
    let script = format!(
        "#!/bin/sh\nexec {} \"$@\" --config {config}\n",
        binary().display()
    );
    // nobody runs a file that a process has open for writing, such as a copy of this one that becomes a command of
    // another test
    let text = directory.path().join("text");
    fs::write(&text, script).unwrap();
    run(Command::new("install")
        .args(["-m", "0755"])
        .args([&text, &program]))
    .expect_success();
    let search = format!(
        "{}:/usr/sbin:/usr/bin:/sbin:/bin",
        directory.path().display()
    );
    run(Command::new("sh").args(["-euc", &real]).env("PATH", search)).expect_success()
}

#[test]
fn the_runbook_for_one_node_brings_it_back() {
    let Some(source) = Source::of(Version::V3_5) else {
        return;
    };
    let mut cluster =
        Cluster::start_prepared(Version::V3_5, 1, &source.host.pki, &quick(), &|_, _| {});
    cluster.members[0].put("/registry/lost", b"1");
    let names = names(&cluster, 0, source);
    let [block] = &blocks("### One node, without kubeadm")[..] else {
        panic!("one block");
    };
    for command in block {
        match command.split(' ').collect::<Vec<_>>()[..] {
            ["systemctl", "stop", "etcd"] => cluster.members[0].stop(),
            ["systemctl", "start", "etcd"] => {
                cluster.restart();
                log_in(&cluster.members);
            }
            ["etcdctl", ref arguments @ ..] => {
                let said = cluster.members[0].etcdctl(arguments).expect_success();
                assert!(said.stdout.contains("3.5"), "{said}");
            }
            _ => drop(shell(command, &names, source)),
        }
    }
    let etcd = &cluster.members[0];
    assert_eq!(etcd.revision(), source.revision());
    assert!(State::of(etcd, 0) == source.state);
    // and the old data is still there
    assert!(Path::new(&format!("{}.before/member/snap/db", path(etcd.data_dir()))).exists());
}

#[test]
fn the_runbook_for_three_nodes_brings_them_back() {
    let Some(source) = Source::of(Version::V3_5) else {
        return;
    };
    let mut cluster = Cluster::start(Version::V3_5, 3, &source.host.pki);
    let [restore, swap] = &blocks("### Three nodes, without kubeadm")[..] else {
        panic!("two blocks");
    };
    let first = path(cluster.members[0].data_dir());
    let said = shell(&restore.join("\n"), &names(&cluster, 0, source), source).stdout;
    let printed = said
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("hypercloud-etcd restore"));
    let printed: Vec<&str> = printed.collect();
    assert_eq!(printed.len(), 2, "{said}");
    for command in printed {
        // on the host that the command is for
        let is_its = |member: &&Etcd| command.contains(&format!("--name {} ", member.name()));
        let host = cluster.members.iter().find(is_its).unwrap();
        let there = [(first.clone(), path(host.data_dir()))];
        shell(command, &there, source);
    }
    cluster.members.iter_mut().for_each(Etcd::stop);
    for member in 0..3 {
        let names = names(&cluster, member, source);
        for command in swap
            .iter()
            .filter(|command| *command != "systemctl start etcd")
        {
            shell(command, &names, source);
        }
    }
    cluster.restart();
    log_in(&cluster.members);
    let revision = source.revision() + 1_000_000_000;
    for member in &cluster.members {
        assert_eq!(member.revision(), revision);
        assert!(member.entries(0) == source.state.entries);
        assert_eq!(member.hash_kv(0), cluster.members[0].hash_kv(0));
    }
    assert_eq!(
        cluster.members[0].put("/registry/after", b"1"),
        revision + 1
    );
}
