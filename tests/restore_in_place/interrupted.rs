//! Signals in the middle of it: a terminal that is lost asks for nothing, and who asks for the end is told where it
//! stands and how it goes on.

use std::cell::Cell;
use std::time::Duration;

use hypercloud_etcd::config;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::in_place::{self, Progress, Request, Run};
use hypercloud_etcd::jobs::restore::{Changes, Layout, Origin, Pick};
use rustix::process::{Pid, Signal, kill_process};

use super::{Story, await_step};
use crate::support::command::{DEADLINE, Output, Running};
use crate::support::node::{KUBELET, Node};
use crate::support::poll_until;

fn send(running: &Running, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(running.pid()).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

/// A restore that waits for a kubelet which does not look.
fn waiting(node: &Node) -> Running {
    node.kubelet.sleep();
    let running = node.start_restore(&["latest", "--in-place", "--yes"]);
    await_step(node, "stop");
    running
}

/// Runs a command that looks at this node.
fn look(node: &Node, args: &[&str]) -> Output {
    let directory = node.host.directory().to_str().unwrap();
    node.host
        .run(&[args, &["--kubernetes-dir", directory]].concat())
}

#[test]
fn a_terminal_that_is_lost_does_not_end_it() {
    let Some(story) = Story::newest() else { return };
    let running = waiting(&story.node);
    send(&running, Signal::HUP);
    story.node.kubelet.wake();
    let done = running.output(DEADLINE).expect_success();
    // without a terminal, too, it is told what is waited for
    assert!(done.stderr.contains("waiting for the end of "), "{done}");
    story.assert_restored("hung up");
}

#[test]
fn who_interrupts_it_is_told_how_it_goes_on_and_so_is_whoever_looks_later() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    for signal in [Signal::INT, Signal::TERM] {
        story.go_on("meanwhile");
        let running = waiting(&story.node);
        send(&running, signal);
        let ended = running.output(DEADLINE).expect_code(130);
        let flags = format!("--kubernetes-dir {}", story.node.host.directory().display());
        for command in ["restore --resume ", "restore --rollback "] {
            assert!(
                ended.stderr.contains(&format!("{command}{flags}")),
                "{ended}"
            );
        }
        story.assert_old_data_is_there("interrupted");

        let status = look(&story.node, &["status"]).expect_code(1);
        assert!(
            status.stdout.contains("problem: the restore that began at"),
            "{status}"
        );
        assert!(status.stdout.contains("restore --resume"), "{status}");
        let check = look(&story.node, &["check", "--offline"]).expect_code(75);
        assert!(
            check.stdout.contains("FAILED   restore in place"),
            "{check}"
        );
        story.node.kubelet.wake();
        poll_until("all have stopped", Duration::from_secs(30), || {
            story.node.kubelet.running().is_empty()
        });
        let backup = look(&story.node, &["backup"]).expect_code(69);
        assert!(
            backup.stderr.contains("hint: the restore that began at"),
            "{backup}"
        );

        story
            .node
            .restore(&["--rollback", "--yes"])
            .expect_success();
        story.assert_returned("interrupted");
    }
    look(&story.node, &["status"]).expect_success();
    drop(waiting(&story.node));
    let running = story.node.start_restore(&["--resume"]);
    send_when_it_listens(&story.node, &running);
    running.output(DEADLINE).expect_code(130);
    story.node.kubelet.wake();
    story.node.restore(&["--resume"]).expect_success();
    story.assert_restored("interrupted twice");
}

/// Sends SIGINT once this call has begun its step.
fn send_when_it_listens(node: &Node, running: &Running) {
    let mine = format!("process {} (", running.pid());
    let lock = node.host.directory().join("hypercloud-etcd-restore/.lock");
    poll_until("it holds the lock", Duration::from_secs(30), || {
        std::fs::read_to_string(&lock).is_ok_and(|holder| holder.contains(&mine))
    });
    send(running, Signal::INT);
}

#[test]
fn a_build_that_is_interrupted_is_over_and_nothing_was_changed() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    let config = config::load(&node.host.config).unwrap();
    let request = Request {
        pick: Pick {
            origin: Origin::Backup("latest".parse().unwrap()),
            allow_unverified: false,
            allow_suspect: false,
            allow_other_cluster: false,
            skip_hash_check: false,
        },
        kubernetes_dir: node.host.directory().to_owned(),
        initial_cluster: None,
        token: None,
        ahead: None,
        changes: Changes {
            clear_alarms: false,
            layout: Layout::Copy,
        },
    };
    // before it is built, and when it is
    for looks in [0, 1] {
        let left = Cell::new(looks);
        let run = Run {
            clock: &jiff::Timestamp::now,
            kubelet_dir: &node.host.directory().join(KUBELET),
            host_name: &node.name,
            wait: Duration::from_mins(1),
            progress: &|_: &Progress| (),
            interrupted: &|| left.replace(left.get() - 1) <= 0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let plan = runtime.block_on(in_place::plan(&config, &request, &run));
        let plan = plan.unwrap();
        let ended = runtime.block_on(in_place::begin(&config, &plan, &run));
        let error = ended.unwrap_err();
        assert!(matches!(error, Error::NothingChanged { .. }), "{error}");
        assert_eq!(error.exit_code(), ExitCode::Interrupted);
        story.assert_returned("interrupted while it was built");
    }
    node.restore(&["latest", "--in-place", "--yes"])
        .expect_success();
    story.assert_restored("afterwards");
}
