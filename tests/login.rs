//! etcd with its own auth turned on.

use crate::support::backup::assert_proven;
use crate::support::command::Host;
use crate::support::etcd::{Etcd, versions};

#[test]
fn where_auth_is_on_a_backup_needs_the_right_login_and_says_so() {
    for version in versions() {
        let host = Host::new();
        let etcd = Etcd::start(version, &host.pki);
        etcd.put("/registry/pods/default/a", b"1");
        etcd.enable_auth("correct horse");
        let name = version.label();
        let password = host.directory().join("password");
        let login = format!(
            "username = \"root\"\npassword_file = {}",
            serde_json::json!(password)
        );

        host.configure(&[etcd.endpoint()]);
        let denied = host.run(&["backup"]).expect_code(77);
        for said in [
            "refused",
            "Auth is on: set etcd.username and etcd.password_file",
        ] {
            assert!(denied.stderr.contains(said), "{name}: {denied}");
        }
        let checked = host.run(&["check"]).expect_code(77);
        assert!(checked.stdout.contains("Auth is on"), "{name}: {checked}");

        host.configure_as(&[etcd.endpoint()], &host.pki.client, &login);
        let absent = host.run(&["backup"]).expect_code(78);
        assert!(absent.stderr.contains("password"), "{name}: {absent}");

        std::fs::write(&password, "wrong horse\n").unwrap();
        let wrong = host.run(&["backup"]).expect_code(77);
        for said in ["refused the login of `root`", "etcdctl user passwd root"] {
            assert!(wrong.stderr.contains(said), "{name}: {wrong}");
        }
        assert!(!wrong.stderr.contains("wrong horse"), "{name}: {wrong}");
        host.run(&["check"]).expect_code(77);
        assert!(
            host.files().iter().all(|file| file == ".lock"),
            "{:?}",
            host.files()
        );

        std::fs::write(&password, "correct horse\n").unwrap();
        assert_proven(&host.backup());
    }
}

#[test]
fn a_login_that_nobody_asks_for_does_no_harm() {
    for version in versions() {
        let host = Host::new();
        let etcd = Etcd::start(version, &host.pki);
        etcd.put("/registry/pods/default/a", b"1");
        let password = host.directory().join("password");
        std::fs::write(&password, "not needed\n").unwrap();
        let login = format!(
            "username = \"root\"\npassword_file = {}",
            serde_json::json!(password)
        );
        host.configure_as(&[etcd.endpoint()], &host.pki.client, &login);
        assert_proven(&host.backup());
    }
}
