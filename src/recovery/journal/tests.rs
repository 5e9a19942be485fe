use super::*;

const ID: &str = "20261122T060000Z";

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn journal_of(places: Places) -> Journal {
    let goal = Goal {
        file: "/mnt/backup/etcd-20261122T050000Z.db".into(),
        sha256: "ab".repeat(32),
        name: "control-plane-1".into(),
        initial_cluster: "control-plane-1=https://10.0.0.1:2380".into(),
        initial_cluster_token: "token".into(),
        bump_revision: 1_000_000_000,
        options: Options::default(),
    };
    let expected = Expected {
        endpoint: "https://127.0.0.1:2379".into(),
        cluster_id: "1f".into(),
        revision: 1_000_000_007,
        keys: 7,
        members: 1,
    };
    let mut journal = Journal::new(ID.into(), goal, places, expected);
    journal.pods.push(Pod {
        file: "etcd.yaml".into(),
        commands: vec![Sha256::of(b"etcd")],
        etcd: true,
        object: Some(PodName {
            namespace: "kube-system".into(),
            name: "etcd".into(),
        }),
    });
    journal
}

fn put(file: &JournalFile, text: &str) {
    let mut written = File::create(file.path()).unwrap();
    written.write_all(text.as_bytes()).unwrap();
}

fn host() -> (tempfile::TempDir, JournalFile, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let file = JournalFile::of(dir.path());
    fs::create_dir(file.directory()).unwrap();
    let data_dir = Path::new("/var/lib/etcd");
    let journal = journal_of(Places::beside(dir.path(), data_dir, ID));
    (dir, file, journal)
}

/// A journal whose steps were done up to `done`, and the next of which was interrupted.
fn interrupted(journal: &Journal, done: usize) -> Journal {
    let mut journal = journal.clone();
    for (at, step) in Step::FORWARD.into_iter().take(done + 1).enumerate() {
        journal.begin(step, time(0));
        if at < done {
            journal.end(time(1), Ok(()));
        }
    }
    journal
}

#[test]
fn what_is_written_is_read() {
    let (_dir, file, mut journal) = host();
    assert_eq!(file.read().unwrap(), None);
    journal.begin(Step::Build, time(0));
    journal.end(time(1), Err("no space".into()));
    for _ in 0..2 {
        file.write(&journal).unwrap();
        assert_eq!(file.read().unwrap(), Some(journal.clone()));
    }
    let names: Vec<_> = fs::read_dir(file.directory()).unwrap().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn a_journal_that_an_earlier_version_has_begun_is_gone_on_with() {
    let (_dir, file, mut journal) = host();
    journal.elsewhere.config = Some("/srv/config.toml".into());
    let mut text = serde_json::to_value(&journal).unwrap();
    // as it was written before the pods had names: the rest of its shape is the same
    let pod = text["pods"][0].as_object_mut().unwrap();
    assert!(pod.remove("object").is_some());
    assert_eq!(text["config"], "/srv/config.toml");
    assert_eq!(text.get("kubeletDir"), None);
    put(&file, &text.to_string());
    journal.pods[0].object = None;
    assert_eq!(file.read().unwrap(), Some(journal));
}

#[test]
fn the_names_are_those_that_people_look_for() {
    let (kubernetes, data_dir) = (Path::new("/etc/kubernetes"), Path::new("/var/lib/etcd"));
    let beside = Places::beside(kubernetes, data_dir, ID);
    let shown = |path: &Path| path.display().to_string();
    assert_eq!(
        shown(&beside.aside),
        format!("/var/lib/etcd.before-restore-{ID}")
    );
    assert_eq!(
        shown(&beside.undone),
        format!("/var/lib/etcd.rolled-back-{ID}")
    );
    assert_eq!(beside.staging, beside.fresh);
    assert_eq!(
        shown(&beside.parked),
        "/etc/kubernetes/hypercloud-etcd-restore/manifests"
    );
    let within = Places::within(kubernetes, data_dir, ID);
    assert_eq!(shown(&within.live), "/var/lib/etcd/member");
    assert_eq!(
        shown(&within.aside),
        format!("/var/lib/etcd/before-restore-{ID}")
    );
    assert_eq!(
        shown(&within.fresh),
        format!("/var/lib/etcd/restore-{ID}/member")
    );
}

#[test]
fn an_interrupted_step_is_begun_again_and_no_other() {
    let (_dir, _file, journal) = host();
    assert_eq!(journal.to_do(), Step::FORWARD);
    for done in 0..Step::FORWARD.len() {
        let mut journal = interrupted(&journal, done);
        assert_eq!(journal.to_do(), Step::FORWARD[done..], "{done}");
        journal.begin(Step::FORWARD[done], time(2));
        journal.end(time(3), Err("again".into()));
        assert_eq!(journal.to_do(), Step::FORWARD[done..], "{done}");
        assert_eq!(journal.steps.len(), done + 1);
    }
}

#[test]
fn the_way_back_undoes_what_was_begun_and_leaves_alone_what_was_not() {
    let (_dir, _file, journal) = host();
    for done in 0..Step::FORWARD.len() {
        let mut journal = interrupted(&journal, done);
        let stopped = journal.has_stopped_anything();
        journal.turn_back(true).unwrap();
        let steps = journal.to_do();
        assert_eq!(steps.last(), Some(&Step::Discard));
        assert_eq!(stopped, done > 0);
        assert_eq!(steps.contains(&Step::StartEtcd), stopped, "{done}");
        let is_moved = journal.begun(Way::Forward).contains(&Step::SetAside);
        for step in [Step::Park, Step::Stop, Step::TakeBack] {
            assert_eq!(steps.contains(&step), is_moved, "{done}: {step}");
        }
        // interrupted on the way back, the same way is gone on
        for _ in 0..steps.len() {
            let to_do = journal.to_do();
            journal.turn_back(true).unwrap();
            assert_eq!(journal.to_do(), to_do);
            journal.begin(to_do[0], time(4));
            journal.end(time(5), Ok(()));
        }
        assert_eq!(journal.to_do(), []);
        journal.finished = true;
        let refused = journal.turn_back(true).unwrap_err();
        assert!(matches!(refused, Error::Finished { way: Way::Back, .. }));
    }
}

#[test]
fn a_restore_that_is_over_can_be_taken_back() {
    let (_dir, _file, journal) = host();
    let mut journal = interrupted(&journal, Step::FORWARD.len());
    journal.finished = true;
    journal.turn_back(true).unwrap();
    assert!(!journal.finished);
    assert!(journal.to_do().contains(&Step::TakeBack));
}

#[test]
fn nobody_is_returned_to_data_that_is_gone() {
    let (_dir, _file, journal) = host();
    for done in 0..=Step::FORWARD.len() {
        let mut journal = interrupted(&journal, done);
        let is_swapped = done > 4;
        assert_eq!(journal.turn_back(false).is_err(), is_swapped, "{done}");
        // on the way back it may have been put in place already
        journal.way = Way::Back;
        assert!(journal.turn_back(false).is_ok(), "{done}");
    }
}

/// A restore of another time, after that one.
fn next_to(journal: &Journal, file: &JournalFile, previous: Option<String>) -> Journal {
    let id = file.free_id(time(0));
    let places = Places::beside(journal.places.kubernetes(), Path::new("/var/lib/etcd"), &id);
    Journal {
        id,
        previous,
        ..journal_of(places)
    }
}

#[test]
fn an_unfinished_restore_keeps_others_from_beginning_and_a_finished_one_is_kept() {
    let (_dir, file, mut journal) = host();
    assert_eq!(file.keep_last().unwrap(), None);
    file.write(&journal).unwrap();
    let refused = file.keep_last().unwrap_err();
    assert!(refused.hint().unwrap().contains("--resume"), "{refused}");
    journal.finished = true;
    file.write(&journal).unwrap();
    assert_eq!(file.keep_last().unwrap().as_deref(), Some(ID));
    // a crash before the next one is written leaves the way back from this one
    assert_eq!(file.read().unwrap(), Some(journal.clone()));
    let next = next_to(&journal, &file, Some(ID.into()));
    file.write(&next).unwrap();
    assert_eq!(file.read_at(file.kept(ID)).unwrap(), Some(journal));
}

#[test]
fn a_restore_that_changed_nothing_leaves_the_way_back_from_the_one_before() {
    let (_dir, file, mut journal) = host();
    journal.finished = true;
    file.write(&journal).unwrap();
    let previous = file.keep_last().unwrap();
    let mut next = next_to(&journal, &file, previous);
    file.write(&next).unwrap();
    next.turn_back(true).unwrap();
    next.finished = true;
    assert!(file.reinstate(&next).unwrap());
    assert_eq!(file.read().unwrap(), Some(journal.clone()));
    assert_eq!(file.read_at(file.kept(&next.id)).unwrap(), Some(next));
    // the first of a host has none before it
    assert!(!file.reinstate(&journal).unwrap());
}

#[test]
fn no_two_restores_have_one_id() {
    let (_dir, file, journal) = host();
    let first = Journal {
        finished: true,
        ..next_to(&journal, &file, None)
    };
    file.write(&first).unwrap();
    let second = Journal {
        finished: true,
        ..next_to(&first, &file, file.keep_last().unwrap())
    };
    assert_ne!(second.id, first.id);
    file.write(&second).unwrap();
    file.keep_last().unwrap();
    let third = file.free_id(time(0));
    assert!(third != first.id && third != second.id, "{third}");
}

#[test]
fn the_clusters_that_were_made_here_are_known() {
    let (_dir, file, mut journal) = host();
    assert!(file.clusters().is_empty());
    journal.finished = true;
    file.write(&journal).unwrap();
    let mut next = next_to(&journal, &file, file.keep_last().unwrap());
    next.expected.cluster_id = "2f".into();
    file.write(&next).unwrap();
    let mut broken = File::create(file.kept("broken")).unwrap();
    broken.write_all(b"{").unwrap();
    let known: Vec<String> = file.clusters().into_iter().collect();
    assert_eq!(known, ["1f", "2f"]);
}

#[test]
fn a_journal_that_leads_elsewhere_is_not_believed() {
    let (_dir, file, journal) = host();
    let text = serde_json::to_string(&journal).unwrap();
    for (from, to) in [
        (r#""format":1"#, r#""format":2"#),
        (
            "/var/lib/etcd.before-restore",
            "/var/lib/other.before-restore",
        ),
        (".rolled-back-", "/../../rolled-back-"),
        (r#""file":"etcd.yaml""#, r#""file":"../etcd.yaml""#),
        (r#""file":"etcd.yaml""#, r#""file":".etcd.yaml""#),
        (r#""way":"forward""#, r#""way":"up""#),
        (r#""toolVersion""#, r#""previous":"../1","toolVersion""#),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from}");
        put(&file, &changed);
        let refused = file.read().unwrap_err();
        assert!(
            matches!(refused, Error::Damaged { .. }),
            "{from}: {refused}"
        );
    }
    for broken in ["", "{", "[]", "{\"format\": 1}"] {
        put(&file, broken);
        assert!(file.read().is_err(), "{broken}");
        assert!(file.keep_last().is_err(), "{broken}");
    }
}
