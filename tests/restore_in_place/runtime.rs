//! The container runtime is asked, too, whether all has ended: what it still has is waited for, and one that cannot be
//! asked keeps nobody from a restore.

use std::path::Path;
use std::time::{Duration, Instant};

use hypercloud_etcd::host::{self, Container};

use super::{Story, open_step};
use crate::support::command::DEADLINE;
use crate::support::containerd::Containerd;
use crate::support::poll_until;
use crate::support::runtime::{CREATED, EXITED, Listed, Manner, RUNNING, Runtime};

const SYSTEM: &str = "kube-system";
const WARNING: &str = "does not tell its containers";

/// What the runtime at this socket says of the pods of the system.
fn asked(socket: &Path) -> Result<Vec<Container>, host::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(host::containers(socket, SYSTEM))
}

/// Waits until the runtime was asked again and again after all processes have ended.
fn await_questions(story: &Story) {
    let node = &story.node;
    let minute = Duration::from_mins(1);
    poll_until("all have stopped", minute, || {
        node.kubelet.running().is_empty()
    });
    let before = node.runtime.asked();
    poll_until("it is asked", minute, || node.runtime.asked() > before + 5);
}

#[test]
fn a_container_that_the_runtime_still_has_is_waited_for_on_both_ways() {
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    let etcd = node.pod("etcd");
    let others = [
        Listed::of((SYSTEM, "etcd-operator-7f9c"), "etcd", RUNNING),
        Listed::of((SYSTEM, "etcd-events-control-plane-1"), "etcd", RUNNING),
        Listed::of(("default", &etcd), "etcd", RUNNING),
        Listed::of(("default", &node.pod("kube-apiserver")), "any", EXITED),
    ];
    for (number, other) in others.into_iter().enumerate() {
        node.runtime.put(other.called(&format!("other-{number}")));
    }
    node.runtime
        .put(Listed::of((SYSTEM, &etcd), "etcd", RUNNING));
    let running = node.start_restore(&["latest", "--in-place", "--yes"]);
    await_questions(&story);
    assert_eq!(open_step(node, "forward").as_deref(), Some("stop"));
    node.runtime
        .put(Listed::of((SYSTEM, &etcd), "etcd", EXITED));
    let done = running.output(DEADLINE).expect_success();
    let waiting = format!(
        "waiting for the end of the container etcd (0000000000000) of pod {SYSTEM}/{etcd}, which"
    );
    assert!(done.stderr.contains(&waiting), "{done}");
    for other in ["etcd-operator", "etcd-events", "default/", "WARNING"] {
        assert!(!done.stderr.contains(other), "{other}: {done}");
    }
    story.assert_restored("the container ended");

    let scheduler = node.pod("kube-scheduler");
    let created = Listed::of(("default", &scheduler), "kube-scheduler", CREATED);
    node.runtime.put(created);
    let running = node.start_restore(&["--rollback", "--yes"]);
    await_questions(&story);
    assert_eq!(open_step(node, "back").as_deref(), Some("stop"));
    node.runtime.clear();
    let done = running.output(DEADLINE).expect_success();
    let waiting = format!("of pod default/{scheduler}, which the container runtime has created");
    assert!(done.stderr.contains(&waiting), "{done}");
    story.assert_returned("the container is gone");
}

#[test]
fn a_container_that_does_not_go_is_named_with_what_to_do() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    // one that only speaks as runtimes did before 2021 is understood, too
    story.node.runtime.behave(Manner::OfOld);
    let node = &story.node;
    let etcd = node.pod("etcd");
    node.runtime
        .put(Listed::of((SYSTEM, &etcd), "etcd", RUNNING));
    let args = ["latest", "--in-place", "--yes", "--wait", "10s"];
    let failed = node.restore(&args).expect_code(69);
    for said in [
        "not gone after 10s, as the container runtime at ",
        ": the container etcd (",
        &format!("of pod {SYSTEM}/{etcd}"),
        "ps -a",
        "restore --resume",
        "--kubelet-dir",
    ] {
        assert!(failed.stderr.contains(said), "{said}: {failed}");
    }
    story.assert_old_data_is_there("not gone");
    node.runtime.clear();
    node.restore(&["--resume"]).expect_success();
    story.assert_restored("gone");
}

#[test]
fn a_runtime_that_cannot_be_asked_keeps_nobody_from_a_restore() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    // it would be waited for, if it could be known
    let etcd = Listed::of((SYSTEM, &story.node.pod("etcd")), "etcd", RUNNING);
    story.node.runtime.put(etcd);
    for manner in [Manner::Hanging, Manner::Dead, Manner::Babbling] {
        story.node.runtime.behave(manner);
        story.go_on("again");
        let args = ["latest", "--in-place", "--yes"];
        let done = story.node.restore(&args).expect_success();
        let warnings = done.stderr.matches(WARNING).count();
        assert_eq!(warnings, 1, "{manner:?}: {done}");
        assert!(done.stderr.contains("crictl ps"), "{done}");
        story.assert_restored(&format!("{manner:?}"));
    }
    let nowhere = story.node.host.directory().join("nowhere.sock");
    story.node.use_runtime(&nowhere);
    let args = ["--rollback", "--yes"];
    let done = story.node.restore(&args).expect_success();
    assert!(done.stderr.contains("nowhere.sock"), "{done}");
    assert_eq!(done.stderr.matches(WARNING).count(), 1, "{done}");
    story.assert_returned("nobody was asked");
}

#[test]
fn a_runtime_that_fails_after_it_has_answered_is_given_time() {
    let Some(mut story) = Story::newest() else {
        return;
    };
    let etcd = story.node.pod("etcd");
    story
        .node
        .runtime
        .put(Listed::of((SYSTEM, &etcd), "etcd", RUNNING));
    let running = story.node.start_restore(&["latest", "--in-place", "--yes"]);
    await_questions(&story);
    // as while it is started anew
    story.node.runtime.behave(Manner::Refusing);
    await_questions(&story);
    assert_eq!(open_step(&story.node, "forward").as_deref(), Some("stop"));
    story.node.runtime.behave(Manner::Faithful);
    await_questions(&story);
    assert_eq!(open_step(&story.node, "forward").as_deref(), Some("stop"));
    story.node.runtime.clear();
    let done = running.output(DEADLINE).expect_success();
    assert!(done.stderr.contains("what is not known just now"), "{done}");
    assert!(!done.stderr.contains("WARNING"), "{done}");
    story.assert_restored("the container ended");

    // one that stays away is given up
    story
        .node
        .runtime
        .put(Listed::of((SYSTEM, &etcd), "etcd", RUNNING));
    let running = story
        .node
        .start_restore(&["--rollback", "--yes", "--wait", "40s"]);
    await_questions(&story);
    story.node.runtime.behave(Manner::Refusing);
    let done = running.output(DEADLINE).expect_success();
    assert_eq!(done.stderr.matches("WARNING").count(), 1, "{done}");
    story.assert_returned("nobody answers");
}

#[test]
fn whatever_a_runtime_answers_is_an_answer_or_an_error_within_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("runtime.sock");
    let mut runtime = Runtime::at(&socket);
    for state in [CREATED, RUNNING, EXITED, 3, -1, 77] {
        let name = format!("pod-of-{state}");
        let listed = Listed::of((SYSTEM, &name), "etcd", state);
        runtime.put(listed.called(&format!("{state}-\n\u{202e}\u{fc}")));
    }
    runtime.put(Listed::of(("default", "pod"), "etcd", RUNNING).called("other"));
    runtime.put(Listed::default());
    for manner in [Manner::Faithful, Manner::OfOld] {
        runtime.behave(manner);
        let found = asked(&socket).unwrap();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let container = |state: i32, what: &str| {
            format!(
                "the container etcd ({state}-\\n\\u{{202e}}ü) of pod {SYSTEM}/pod-of-{state}, which the container runtime {what}"
            )
        };
        let expected = [
            container(CREATED, "has created and not started"),
            container(RUNNING, "still lists as running"),
        ];
        assert_eq!(found, expected, "{manner:?}");
    }
    for (manner, why) in [
        (Manner::Hanging, "no answer within 5s"),
        (Manner::Dead, "Connection refused"),
        (Manner::Babbling, "http2 error"),
        (Manner::Garbled, "decode"),
        (Manner::Flooding, "too large"),
        (Manner::Refusing, "not for you"),
    ] {
        runtime.behave(manner);
        let began = Instant::now();
        let error = asked(&socket).unwrap_err().to_string();
        assert!(began.elapsed() < Duration::from_secs(30), "{manner:?}");
        assert!(error.contains(why), "{manner:?}: {error}");
        assert!(error.contains("runtime.sock"), "{manner:?}: {error}");
    }
    std::fs::remove_file(&socket).unwrap();
    let error = asked(&socket).unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
}

#[test]
fn debians_containerd_is_asked_and_what_it_has_is_waited_for() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let socket = containerd.socket();
    assert_eq!(asked(&socket).unwrap(), []);
    let Some(story) = Story::newest() else { return };
    let node = &story.node;
    node.use_runtime(&socket);
    let (etcd, scheduler) = (node.pod("etcd"), node.pod("kube-scheduler"));
    let other = containerd.create((SYSTEM, "etcd-operator-7f9c"), "etcd");
    let running = containerd.create((SYSTEM, &etcd), "etcd");
    containerd.start_container(&other);
    containerd.start_container(&running);
    let mut found = asked(&socket).unwrap();
    found.sort_by(|one, other| one.pod.cmp(&other.pod));
    let told: Vec<(&str, &str)> = found
        .iter()
        .map(|it| (it.id.as_str(), it.pod.as_str()))
        .collect();
    let expected = [(&*running, &*etcd), (&*other, "etcd-operator-7f9c")];
    assert_eq!(told, expected);
    assert!(found.iter().all(|it| it.is_running && it.name == "etcd"));

    let restore = ["latest", "--in-place", "--yes", "--wait", "10s"];
    let failed = node.restore(&restore).expect_code(69);
    let named = format!(
        "the container etcd ({}) of pod {SYSTEM}/{etcd}, which the container runtime still lists as running",
        &running[..13]
    );
    assert!(failed.stderr.contains(&named), "{failed}");
    assert!(!failed.stderr.contains("etcd-operator"), "{failed}");
    containerd.stop_container(&running);
    node.restore(&["--resume"]).expect_success();
    story.assert_restored("stopped");

    let created = containerd.create(("default", &scheduler), "kube-scheduler");
    let back = ["--rollback", "--yes", "--wait", "10s"];
    let failed = node.restore(&back).expect_code(69);
    let named = format!("of pod default/{scheduler}, which the container runtime has created");
    assert!(failed.stderr.contains(&named), "{failed}");
    containerd.remove_container(&created);
    let done = node.restore(&["--rollback", "--yes"]).expect_success();
    assert!(!done.stderr.contains("WARNING"), "{done}");
    story.assert_returned("removed");
}
