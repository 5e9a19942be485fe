//! `kill -9` in every step: what was begun is gone on with, or undone.

use super::{STEPS, Story, await_step, open_step};
use crate::support::node::Node;

/// A step may be over before the kill comes.
const TRIES: usize = 40;

/// Starts a restore and kills it while it does this step; whether it was caught in it.
fn kill_in(node: &Node, step: &str) -> bool {
    if step == "stop" {
        node.kubelet.sleep();
    }
    let mut running = node.start_restore(&["latest", "--in-place", "--yes"]);
    while running.ended().is_none() && open_step(node, "forward").as_deref() != Some(step) {
        std::hint::spin_loop();
    }
    let has_ended = running.ended().is_some();
    let output = running.kill();
    node.kubelet.wake();
    if has_ended {
        // it was over before anybody looked, but it did not fail
        output.expect_success();
    }
    open_step(node, "forward").as_deref() == Some(step)
}

/// Kills restores until one is caught in this step.
fn caught_in(story: &mut Story, step: &str) {
    for _ in 0..TRIES {
        story.go_on(step);
        if kill_in(&story.node, step) {
            return;
        }
        story.assert_old_data_is_there(step);
        // it was over already, or is beyond the step: undone, all begins anew
        story
            .node
            .restore(&["--rollback", "--yes"])
            .expect_success();
        story.assert_returned(step);
    }
    panic!("{TRIES} kills missed the step {step}");
}

#[test]
fn a_restore_that_was_killed_in_any_step_is_gone_on_with() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    for step in STEPS {
        caught_in(&mut story, step);
        story.assert_old_data_is_there(step);
        // nothing else begins meanwhile
        let second = story
            .node
            .restore(&["latest", "--in-place", "--yes"])
            .expect_code(75);
        assert!(second.stderr.contains("restore --resume"), "{second}");
        story.node.restore(&["--resume"]).expect_success();
        story.assert_restored(step);
    }
}

#[test]
fn a_restore_that_was_killed_in_any_step_is_undone() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    for step in STEPS {
        caught_in(&mut story, step);
        story.assert_old_data_is_there(step);
        story
            .node
            .restore(&["--rollback", "--yes"])
            .expect_success();
        story.assert_returned(step);
    }
}

#[test]
fn a_rollback_that_was_killed_in_any_step_is_gone_on_with() {
    const BACK: [&str; 7] = [
        "park",
        "stop",
        "take-back",
        "start-etcd",
        "start-control-plane",
        "await-etcd",
        "discard",
    ];
    let Some(mut story) = Story::newest() else {
        return;
    };
    for step in BACK {
        let mut is_caught = false;
        for _ in 0..TRIES {
            story.go_on(step);
            story
                .node
                .restore(&["latest", "--in-place", "--yes"])
                .expect_success();
            if step == "stop" {
                story.node.kubelet.sleep();
            }
            let mut running = story.node.start_restore(&["--rollback", "--yes"]);
            while running.ended().is_none()
                && open_step(&story.node, "back").as_deref() != Some(step)
            {
                std::hint::spin_loop();
            }
            running.kill();
            story.node.kubelet.wake();
            story.assert_old_data_is_there(step);
            is_caught = open_step(&story.node, "back").as_deref() == Some(step);
            let journal = story.node.journal().unwrap();
            if journal["finished"] == false {
                story.node.restore(&["--resume"]).expect_success();
            }
            story.assert_returned(step);
            if is_caught {
                break;
            }
        }
        assert!(is_caught, "{TRIES} kills missed the step {step}");
    }
}

#[test]
fn one_restore_at_a_time_and_no_backup_meanwhile() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    node.kubelet.sleep();
    let first = node.start_restore(&["latest", "--in-place", "--yes"]);
    await_step(node, "stop");
    for args in [
        &["latest", "--in-place", "--yes"][..],
        &["--resume"],
        &["--rollback", "--yes"],
    ] {
        let second = node.restore(args).expect_code(75);
        let said = format!("process {} (", first.pid());
        assert!(
            second.stderr.contains(&said) || second.stderr.contains("is not finished"),
            "{second}"
        );
    }
    let backup = node.host.run(&["backup"]).expect_code(75);
    assert!(backup.stderr.contains("restore"), "{backup}");
    node.kubelet.wake();
    first
        .output(crate::support::command::DEADLINE)
        .expect_success();
    story.assert_restored("alone");
}
