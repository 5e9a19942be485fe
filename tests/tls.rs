//! Whatever is wrong with certificates and endpoints, `check` and `backup` name it and say what to do.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::backup::assert_proven;
use crate::support::command::{Host, Output, run};
use crate::support::etcd::{Etcd, Options, versions};
use crate::support::pki::{Leaf, Pair};

/// Something wrong, and what is to be said about it.
struct Case {
    name: &'static str,
    endpoint: String,
    /// Another CA file than that of etcd.
    ca_file: Option<PathBuf>,
    client: Pair,
    connect_timeout: &'static str,
    /// The exit codes of `backup` and of `check`.
    codes: [i32; 2],
    said: &'static [&'static str],
    hint: &'static str,
}

impl Case {
    /// The good configuration for this endpoint; each case changes one thing.
    fn good(host: &Host, endpoint: &str) -> Self {
        Self {
            name: "good",
            endpoint: endpoint.to_owned(),
            ca_file: None,
            client: host.pki.client.clone(),
            connect_timeout: "10s",
            codes: [69, 69],
            said: &[],
            hint: "",
        }
    }

    fn configure(&self, host: &Host) {
        host.configure_as(
            std::slice::from_ref(&self.endpoint),
            &self.client,
            &format!("connect_timeout = {:?}", self.connect_timeout),
        );
        if let Some(ca_file) = &self.ca_file {
            let text = fs::read_to_string(&host.config).unwrap();
            let key = |path: &Path| format!("ca_file = {}", serde_json::json!(path));
            let text = text.replace(&key(&host.pki.etcd_ca().cert), &key(ca_file));
            fs::write(&host.config, text).unwrap();
        }
    }

    fn prove(&self, host: &Host) {
        self.prove_by(host, |args| host.run(args));
    }

    fn prove_by(&self, host: &Host, run: impl Fn(&[&str]) -> Output) {
        self.configure(host);
        let before = host.files();
        for (command, code) in ["backup", "check"].into_iter().zip(self.codes) {
            let output = run(&[command]);
            assert_eq!(output.code, Some(code), "{}: {output}", self.name);
            let text = format!("{}{}", output.stdout, output.stderr);
            for said in self.said.iter().chain([&self.hint]) {
                assert!(text.contains(said), "{}, {said}: {output}", self.name);
            }
            assert!(text.contains("hint: "), "{}: {output}", self.name);
        }
        let mut after = host.files();
        after.retain(|name| name != ".lock" || before.contains(name));
        assert_eq!(after, before, "{}", self.name);
    }
}

#[test]
fn a_client_certificate_or_key_that_is_wrong_is_told_apart_by_every_server() {
    for version in versions() {
        let host = Host::new();
        let etcd = Etcd::start(version, &host.pki);
        etcd.put("/registry/pods/default/a", b"1");
        Case::good(&host, &etcd.endpoint()).configure(&host);
        assert_proven(&host.backup());
        for case in refused_clients(&host, &etcd)
            .into_iter()
            .chain(unusable_keys(&host, &etcd))
        {
            case.prove(&host);
        }
    }
}

/// What only the server can tell, by a TLS alert that differs from release to release.
fn refused_clients(host: &Host, etcd: &Etcd) -> [Case; 3] {
    let good = || Case::good(host, &etcd.endpoint());
    [
        Case {
            name: "expired client certificate",
            client: host.pki.expired_client(),
            codes: [69, 78],
            said: &["it refused our client certificate", "which expired at"],
            hint: "kubeadm certs renew etcd-healthcheck-client",
            ..good()
        },
        Case {
            name: "client certificate of tomorrow",
            client: host.pki.not_yet_valid_client(),
            codes: [69, 78],
            said: &[
                "it refused our client certificate",
                "which is not valid before",
            ],
            hint: "Compare the clocks of both hosts",
            ..good()
        },
        Case {
            name: "client certificate of another CA",
            client: host.pki.foreign_client(),
            said: &["it does not trust `CN=etcd-ca`, the issuer of our client certificate"],
            hint: "Use a client certificate of etcd's CA",
            ..good()
        },
    ]
}

/// What is told before any server is asked.
fn unusable_keys(host: &Host, etcd: &Etcd) -> [Case; 3] {
    let good = || Case {
        codes: [78, 78],
        ..Case::good(host, &etcd.endpoint())
    };
    let empty = host.directory().join("empty.key");
    fs::write(&empty, "no key at all\n").unwrap();
    let with_key = |key: PathBuf| Pair {
        key,
        ..host.pki.client.clone()
    };
    [
        Case {
            name: "key of another certificate",
            client: host.pki.mismatched_client(),
            said: &["does not belong to the certificate of O=system:masters"],
            hint: "openssl pkey -pubout",
            ..good()
        },
        Case {
            name: "key that is not there",
            client: with_key(host.directory().join("missing.key")),
            said: &["missing.key cannot be read: No such file"],
            hint: "Correct the path, or create",
            ..good()
        },
        Case {
            name: "key file without a key",
            client: with_key(empty),
            said: &["empty.key holds no private key in PEM form"],
            hint: "grep -n -e -----",
            ..good()
        },
    ]
}

#[test]
fn a_server_certificate_that_is_wrong_is_named_with_what_is_wrong() {
    let Some(&version) = versions().last() else {
        return;
    };
    let host = Host::new();
    let endpoint_of = |server: Pair| {
        let options = Options {
            server: Some(server),
            ..Options::default()
        };
        let etcd = Etcd::start_with(version, &host.pki, &options);
        (etcd.endpoint(), etcd)
    };
    let leaf = Leaf::server("control-plane-1");
    let (expired, _a) = endpoint_of(host.pki.expired_server());
    let (early, _b) = endpoint_of(host.pki.not_yet_valid_server());
    let (misnamed, _c) = endpoint_of(host.pki.misnamed_server());
    let (foreign, _d) = endpoint_of(host.pki.foreign("foreign-server", &leaf));
    for case in [
        Case {
            name: "expired server certificate",
            said: &["its certificate (CN=control-plane-1", "expired at"],
            hint: "kubeadm certs renew etcd-server",
            ..Case::good(&host, &expired)
        },
        Case {
            name: "server certificate of tomorrow",
            said: &["its certificate (CN=control-plane-1", "is not valid before"],
            hint: "Compare the clocks of both hosts",
            ..Case::good(&host, &early)
        },
        Case {
            name: "server certificate for other names",
            said: &["is valid only for", "etcd.example", "192.0.2.7"],
            hint: "add 127.0.0.1 to the certificate of the server",
            ..Case::good(&host, &misnamed)
        },
        Case {
            name: "server certificate of a CA that was made anew",
            said: &["is signed by another `CN=etcd-ca`", "same name, other key"],
            hint: "Set etcd.ca_file to the CA of etcd",
            ..Case::good(&host, &foreign)
        },
    ] {
        case.prove(&host);
    }
}

#[test]
fn a_good_server_behind_the_wrong_ca_file_or_scheme_is_told() {
    let Some(&version) = versions().last() else {
        return;
    };
    let host = Host::new();
    let etcd = Etcd::start(version, &host.pki);
    let good = etcd.endpoint();
    for case in [
        Case {
            name: "CA of the cluster instead of etcd's",
            ca_file: Some(host.pki.cluster_ca().cert.clone()),
            said: &[
                "is signed by `CN=etcd-ca`, which is not in",
                "(there: CN=kubernetes)",
            ],
            hint: "Set etcd.ca_file to the CA of etcd",
            ..Case::good(&host, &good)
        },
        Case {
            name: "http in the endpoint of a TLS server",
            said: &["the endpoint says http, but the server wants TLS"],
            hint: "Write https://127.0.0.1:",
            ..Case::good(&host, &good.replace("https", "http"))
        },
    ] {
        case.prove(&host);
    }
}

#[test]
fn a_server_without_tls_a_closed_port_and_silence_are_told_apart() {
    for version in versions() {
        let host = Host::new();
        let options = Options {
            plain_http: true,
            ..Options::default()
        };
        let plain = Etcd::start_with(version, &host.pki, &options);
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let silent = (silent.local_addr().unwrap(), silent);
        for case in [
            Case {
                name: "https in the endpoint of a server without TLS",
                said: &["the endpoint says https, but the server speaks plain HTTP"],
                hint: "write http://127.0.0.1:",
                ..Case::good(&host, &plain.endpoint().replace("http", "https"))
            },
            Case {
                name: "closed port",
                said: &["connection refused"],
                hint: "ss -ltn 'sport = :1'",
                ..Case::good(&host, "https://127.0.0.1:1")
            },
            Case {
                name: "a port that takes connections and says nothing",
                connect_timeout: "3s",
                said: &["it did not answer the TLS handshake within"],
                hint: "nc -vz 127.0.0.1",
                ..Case::good(&host, &format!("https://{}", silent.0))
            },
        ] {
            case.prove(&host);
        }
        Case::good(&host, &plain.endpoint()).configure(&host);
        plain.put("/registry/pods/default/a", b"1");
        assert_proven(&host.backup());
    }
}

#[test]
fn a_key_that_may_not_be_read_is_a_matter_of_permission() {
    let Some(&version) = versions().last() else {
        return;
    };
    let host = Host::new();
    let etcd = Etcd::start(version, &host.pki);
    fs::set_permissions(&host.pki.client.key, fs::Permissions::from_mode(0o000)).unwrap();
    let case = Case {
        name: "key of mode 0000",
        codes: [77, 77],
        said: &["healthcheck-client.key cannot be read: Permission denied"],
        hint: "owner and mode have to let root in; see: namei -l",
        ..Case::good(&host, &etcd.endpoint())
    };
    case.prove_by(&host, |args| without_privilege(&host, args));
}

/// Runs it as a user whom modes of files bind; root gives that privilege up.
fn without_privilege(host: &Host, args: &[&str]) -> Output {
    let command = host.command(args);
    if !rustix::process::geteuid().is_root() {
        return host.run(args);
    }
    run(Command::new("setpriv")
        .arg("--bounding-set=-dac_override,-dac_read_search")
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args()))
}
