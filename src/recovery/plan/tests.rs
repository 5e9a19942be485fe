use super::*;
use crate::recovery::Way;
use std::path::Path;

const ID: &str = "20261122T060000Z";

fn host(name: &str) -> Host {
    let pod = |file: &str| Pod {
        file: file.into(),
        commands: Vec::new(),
        etcd: file == "etcd.yaml",
        object: None,
    };
    let number = name.trim_start_matches('m');
    Host {
        kubernetes: "/etc/kubernetes".into(),
        name: name.into(),
        peer_urls: vec![format!("https://10.0.0.{number}:2380")],
        endpoint: "https://127.0.0.1:2379".into(),
        data_dir: "/var/lib/etcd".into(),
        is_mount_point: false,
        has_data: true,
        pods: vec![pod("kube-apiserver.yaml"), pod("etcd.yaml")],
    }
}

fn source(members: &[(&str, bool)]) -> Source {
    let member = |(name, is_learner): &(&str, bool)| {
        let number = name.trim_start_matches('m');
        Member {
            id: format!("{name}1d"),
            name: (*name).into(),
            peer_urls: vec![format!("https://10.0.0.{number}:2380")],
            client_urls: Vec::new(),
            is_learner: *is_learner,
        }
    };
    Source {
        backup: Some(ID.into()),
        file: format!("/mnt/backup/etcd-{ID}.db").into(),
        sha256: "ab".repeat(32),
        size: 68_000_000,
        revision: 152,
        keys: 100,
        cluster_id: None,
        ca: None,
        members: members.iter().map(member).collect(),
    }
}

fn wish() -> Wish {
    Wish {
        initial_cluster: None,
        token: None,
        fresh_token: format!("etcd-{ID}"),
        bump_is_given: false,
        bump: 1_000_000_000,
        bump_reason: "1,000,000,000, the least that is used".into(),
        elsewhere: Elsewhere::default(),
        options: Options::default(),
    }
}

const TRIO: [(&str, bool); 3] = [("m1", false), ("m2", false), ("m3", false)];
const ALL: &str = "m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380,m3=https://10.0.0.3:2380";

#[test]
fn one_node_needs_one_command_and_nothing_beforehand() {
    let plan = Plan::of(&host("m1"), source(&[("m1", false)]), &wish(), ID).unwrap();
    assert_eq!(plan.before, Vec::<String>::new());
    let command = format!("hypercloud-etcd restore {ID} --in-place");
    assert_eq!(plan.hosts.len(), 1);
    assert_eq!(plan.hosts[0].commands, [command]);
    assert_eq!(plan.expected.revision, 1_000_000_152);
    assert_eq!(plan.goal.initial_cluster, "m1=https://10.0.0.1:2380");
    assert!(plan.require_ready().is_ok());
    let steps: Vec<&str> = plan.steps.iter().map(|step| step.what.as_str()).collect();
    assert_eq!(
        steps[3],
        format!("move /var/lib/etcd to /var/lib/etcd.before-restore-{ID}")
    );
    let removal = format!("rm -r /var/lib/etcd.before-restore-{ID}");
    assert!(plan.after.iter().any(|what| what.contains(&removal)));
    assert_eq!(plan.journal().to_do(), Step::FORWARD);
}

#[test]
fn three_nodes_are_told_the_same_by_the_snapshot_itself() {
    let plans: Vec<Plan> = ["m1", "m2", "m3"]
        .iter()
        .map(|name| Plan::of(&host(name), source(&TRIO), &wish(), ID).unwrap())
        .collect();
    for plan in &plans {
        assert_eq!(plan.goal.initial_cluster, ALL);
        assert_eq!(plan.expected.cluster_id, plans[0].expected.cluster_id);
        assert_eq!(plan.hosts.len(), 3);
        let restores: Vec<&String> = plan
            .hosts
            .iter()
            .filter_map(|host| host.commands.last())
            .collect();
        assert!(restores.iter().all(|command| *command == restores[0]));
        for part in [
            "--in-place",
            ALL,
            "--initial-cluster-token etcd-20261122T060000Z",
            "--bump-revision 1000000000 --mark-compacted",
        ] {
            assert!(restores[0].contains(part), "{}", restores[0]);
        }
        // but not before they are told
        let refused = plan.require_ready().unwrap_err();
        assert!(refused.hint().unwrap().contains("--plan"), "{refused}");
    }
    assert_ne!(plans[0].member_id, plans[1].member_id);
    assert_eq!(
        plans[1].hosts[0].commands[0],
        format!("scp /mnt/backup/etcd-{ID}.db 10.0.0.1:/mnt/backup/etcd-{ID}.db")
    );
    let told = Wish {
        token: Some("t".into()),
        bump_is_given: true,
        ..wish()
    };
    let plan = Plan::of(&host("m1"), source(&TRIO), &told, ID).unwrap();
    assert!(plan.require_ready().is_ok());
    // none of them answers with old data while another answers with new
    let stop = "mv /etc/kubernetes/manifests/kube-apiserver.yaml /etc/kubernetes";
    let start = "mv /etc/kubernetes/kube-apiserver.yaml /etc/kubernetes/manifests";
    assert!(plan.before[0].contains(stop), "{:?}", plan.before);
    assert!(plan.after[0].contains(start), "{:?}", plan.after);
}

#[test]
fn every_command_names_what_is_not_at_its_usual_place() {
    let elsewhere = Wish {
        elsewhere: Elsewhere {
            config: Some("/srv/my config.toml".into()),
            kubelet_dir: Some("/srv/kubelet".into()),
        },
        ..wish()
    };
    let host = Host {
        kubernetes: "/srv/kubernetes".into(),
        ..host("m1")
    };
    let plan = Plan::of(&host, source(&[("m1", false)]), &elsewhere, ID).unwrap();
    let flags = "--kubernetes-dir /srv/kubernetes --kubelet-dir /srv/kubelet --config '/srv/my config.toml'";
    let mut journal = plan.journal();
    let back = format!("restore --rollback {flags}");
    let told = |what: &[String]| what.iter().any(|what| what.contains(&back));
    assert!(
        plan.hosts[0].commands[0].ends_with(flags),
        "{:?}",
        plan.hosts
    );
    assert!(
        told(&plan.after) && told(&journal.after()),
        "{:?}",
        plan.after
    );
    let unfinished = Error::Unfinished {
        id: journal.id.clone(),
        way: journal.way,
        flags: journal.flags(),
    };
    assert!(told(&[unfinished.hint().unwrap()]));
    journal.finished = true;
    assert!(told(&[journal.over().hint().unwrap()]));
}

#[test]
fn a_cluster_of_another_origin_that_runs_here_is_refused_unless_it_is_meant() {
    let of_another = Source {
        cluster_id: Some("1f".into()),
        ..source(&[("m1", false)])
    };
    let mut plan = Plan::of(&host("m1"), of_another, &wish(), ID).unwrap();
    assert!(plan.require_ready().is_ok());
    plan.other_cluster = Some("2f".into());
    let refused = plan.require_ready().unwrap_err();
    assert!(refused.hint().unwrap().contains("--allow-other-cluster"));
    plan.goal.options.allow_other_cluster = true;
    assert!(plan.require_ready().is_ok());
}

#[test]
fn what_people_were_told_is_in_the_journal_and_a_return_has_its_own_next_steps() {
    let mut plan = Plan::of(&host("m1"), source(&[("m1", false)]), &wish(), ID).unwrap();
    plan.warnings.push("beware".into());
    let mut journal = plan.journal();
    assert_eq!(journal.warnings, ["beware"]);
    journal.way = Way::Back;
    assert_eq!(journal.after(), Vec::<String>::new());
    journal.way = Way::Forward;
    journal.begin(Step::SwapIn, "2026-11-22T06:00:00Z".parse().unwrap());
    journal.way = Way::Back;
    let next = journal.after().join("\n");
    for said in [
        "kubelet",
        "every controller: the revision went back",
        "rolled-back",
    ] {
        assert!(next.contains(said), "{next}");
    }
}

#[test]
fn who_is_left_out_is_to_be_stopped_first() {
    let alone = Wish {
        initial_cluster: Some("m1=https://10.0.0.1:2380".into()),
        ..wish()
    };
    let plan = Plan::of(&host("m1"), source(&TRIO), &alone, ID).unwrap();
    assert_eq!(plan.expected.members, 1);
    assert!(
        plan.before[0].starts_with("Stop m2 and m3 first"),
        "{:?}",
        plan.before
    );
    assert!(plan.require_ready().is_ok());
}

#[test]
fn learners_and_members_that_never_started_are_left_out_and_told() {
    let mut source = source(&[("m1", false), ("m2", true), ("m3", false)]);
    source.members[2].name.clear();
    let plan = Plan::of(&host("m1"), source, &wish(), ID).unwrap();
    assert_eq!(plan.goal.initial_cluster, "m1=https://10.0.0.1:2380");
    assert_eq!(plan.warnings.len(), 2);
}

#[test]
fn a_host_that_is_not_in_the_cluster_is_refused() {
    for (name, given) in [
        ("m4", None),
        ("m1", Some("m1=https://10.0.0.9:2380")),
        ("m1", Some("m2=https://10.0.0.2:2380")),
    ] {
        let wish = Wish {
            initial_cluster: given.map(str::to_owned),
            ..wish()
        };
        let refused = Plan::of(&host(name), source(&TRIO), &wish, ID).unwrap_err();
        assert!(matches!(refused, Error::OtherHost { .. }), "{refused}");
        assert!(refused.hint().unwrap().contains("--initial-cluster"));
    }
    let wish = Wish {
        initial_cluster: Some("nonsense".into()),
        ..wish()
    };
    let refused = Plan::of(&host("m1"), source(&TRIO), &wish, ID).unwrap_err();
    assert!(matches!(refused, Error::Membership(_)), "{refused}");
    assert!(Plan::of(&host("m1"), source(&[]), &self::wish(), ID).is_err());
}

#[test]
fn a_mount_point_is_left_where_it_is() {
    let host = Host {
        is_mount_point: true,
        ..host("m1")
    };
    let plan = Plan::of(&host, source(&TRIO), &wish(), ID).unwrap();
    assert_eq!(plan.places.live, Path::new("/var/lib/etcd/member"));
    assert_eq!(plan.places.data_dir(), Path::new("/var/lib/etcd"));
}
