//! The figures of the golden snapshots, which etcd's own tools and servers have given.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::backup::outcome;
use crate::support::command::Host;

#[test]
fn the_figures_of_each_golden_snapshot_are_those_that_etcd_gave() {
    let host = Host::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshots");
    let mut seen = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let snapshot = entry.unwrap().path();
        if snapshot.extension() != Some("db".as_ref()) {
            continue;
        }
        let expected: Value =
            serde_json::from_slice(&std::fs::read(snapshot.with_extension("json")).unwrap())
                .unwrap();
        let path = snapshot.to_str().unwrap();
        let shown = host
            .run(&["show", "--file", path, "--json"])
            .expect_success()
            .json();
        let status = &expected["status"];
        assert_eq!(shown["hash"], status["hash"], "{path}");
        assert_eq!(shown["revision"], status["revision"], "{path}");
        assert_eq!(shown["totalSize"], status["totalSize"], "{path}");
        assert_eq!(shown["totalEntries"], status["totalKey"], "{path}");
        assert_eq!(shown["totalKey"], expected["liveKeys"], "{path}");
        assert_eq!(shown["kvHash"], expected["hashKv"], "{path}");
        members_are_those_of(&shown, &expected);
        for proof in ["trailer", "structure"] {
            assert_eq!(outcome(&shown, proof), "passed", "{path}");
        }
        host.run(&["verify", "--file", path]).expect_success();
        seen += 1;
    }
    assert_eq!(seen, 3);
}

/// etcdctl gives a member's id as a number, we give it as etcdctl's tables do.
fn members_are_those_of(shown: &Value, expected: &Value) {
    let members = shown["members"].as_array().unwrap();
    let known = expected["members"].as_array().unwrap();
    assert_eq!(members.len(), known.len());
    for (member, known) in members.iter().zip(known) {
        let id = format!("{:x}", known["ID"].as_u64().unwrap());
        assert_eq!(member["id"], id);
        assert_eq!(member["name"], known["name"]);
        assert_eq!(member["peerUrls"], known["peerURLs"]);
        // etcd 3.5.1 keeps what a member advertises to clients out of its database
        if expected["etcd"] == "3.5.1" {
            assert_eq!(member["clientUrls"], json!([]));
        } else {
            assert_eq!(member["clientUrls"], known["clientURLs"]);
        }
    }
}
