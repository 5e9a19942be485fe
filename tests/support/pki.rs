//! A PKI laid out as kubeadm lays out `/etc/kubernetes/pki`, and certificates that are wrong in one way each.
//!
//! The keys are P-256 (kubeadm's `encryptionAlgorithm: ECDSA-P256`); its default, RSA, differs in nothing that is
//! tested here and takes seconds to make.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_hours(24);
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate file and the file of its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// A certificate to be made; starts valid, for a server on loopback or for a client.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    name: String,
    organisation: Option<String>,
    sans: Vec<String>,
    usages: Vec<ExtendedKeyUsagePurpose>,
    from: SystemTime,
    until: SystemTime,
}

impl Leaf {
    /// A certificate that etcd shows to clients (and, as kubeadm does it, may show as a client).
    pub(crate) fn server(name: &str) -> Self {
        let usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Self {
            sans: LOOPBACK.map(String::from).to_vec(),
            usages,
            ..Self::client(name)
        }
    }

    /// A certificate that a client shows to etcd; `name` is the user where etcd's auth is on.
    pub(crate) fn client(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            organisation: None,
            sans: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
            from: SystemTime::now() - DAY,
            until: SystemTime::now() + 365 * DAY,
        }
    }

    /// The organisation (O) in the subject.
    pub(crate) fn organisation(self, organisation: &str) -> Self {
        Self {
            organisation: Some(organisation.to_owned()),
            ..self
        }
    }

    /// The names and addresses it is for.
    pub(crate) fn sans(self, sans: &[&str]) -> Self {
        Self {
            sans: sans.iter().map(|&san| san.to_owned()).collect(),
            ..self
        }
    }

    /// The span in which it is valid, to the second.
    pub(crate) fn valid(self, from: SystemTime, until: SystemTime) -> Self {
        Self {
            from,
            until,
            ..self
        }
    }

    /// Ended yesterday.
    pub(crate) fn expired(self) -> Self {
        let now = SystemTime::now();
        self.valid(now - 30 * DAY, now - DAY)
    }

    /// Begins tomorrow.
    pub(crate) fn not_yet_valid(self) -> Self {
        let now = SystemTime::now();
        self.valid(now + DAY, now + 30 * DAY)
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(self.sans.clone()).expect("subject names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(organisation) = &self.organisation {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organisation.as_str());
        }
        params
            .distinguished_name
            .push(DnType::CommonName, self.name.as_str());
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages.clone_from(&self.usages);
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, self.from, self.until);
        params
    }
}

/// A certificate authority whose key is in memory, and its files.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    files: Pair,
}

impl Authority {
    fn new(directory: &Path, stem: &str, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let now = SystemTime::now();
        set_validity(&mut params, now - 60 * DAY, now + 3650 * DAY);
        let key = KeyPair::generate().expect("a CA key");
        let cert = params.self_signed(&key).expect("a CA certificate");
        let files = write_pair(directory, stem, &cert.pem(), &key.serialize_pem());
        Self {
            issuer: Issuer::new(params, key),
            files,
        }
    }

    fn issue(&self, directory: &Path, stem: &str, leaf: &Leaf) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let cert = leaf
            .params()
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        write_pair(directory, stem, &cert.pem(), &key.serialize_pem())
    }
}

/// The files of `/etc/kubernetes/pki` that a control-plane node with a local etcd has.
pub(crate) struct Pki {
    directory: PathBuf,
    etcd_ca: Authority,
    cluster_ca: Authority,
    /// What etcd shows its clients: `etcd/server.{crt,key}`.
    pub(crate) server: Pair,
    /// What etcd shows its peers: `etcd/peer.{crt,key}`.
    pub(crate) peer: Pair,
    /// What we show etcd: `etcd/healthcheck-client.{crt,key}`.
    pub(crate) client: Pair,
    /// Held so that the directory ends with the value.
    temporary: Option<TempDir>,
}

impl Pki {
    /// A PKI in a directory that ends with it.
    pub(crate) fn new() -> Self {
        let temporary = TempDir::with_prefix("hce-pki-").expect("a temporary directory");
        let mut pki = Self::at(temporary.path());
        pki.temporary = Some(temporary);
        pki
    }

    /// A PKI in a directory that stays.
    pub(crate) fn at(directory: &Path) -> Self {
        let etcd_ca = Authority::new(directory, "etcd/ca", "etcd-ca");
        let cluster_ca = Authority::new(directory, "ca", "kubernetes");
        let server = etcd_ca.issue(directory, "etcd/server", &Leaf::server("control-plane-1"));
        let peer = etcd_ca.issue(directory, "etcd/peer", &Leaf::server("control-plane-1"));
        let healthcheck =
            Leaf::client("kube-etcd-healthcheck-client").organisation("system:masters");
        let client = etcd_ca.issue(directory, "etcd/healthcheck-client", &healthcheck);
        Self {
            directory: directory.to_owned(),
            etcd_ca,
            cluster_ca,
            server,
            peer,
            client,
            temporary: None,
        }
    }

    /// The directory that stands for `/etc/kubernetes/pki`.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// `etcd/ca.{crt,key}`: the CA of etcd.
    pub(crate) fn etcd_ca(&self) -> &Pair {
        &self.etcd_ca.files
    }

    /// `ca.{crt,key}`: the CA of the cluster, which backups keep.
    pub(crate) fn cluster_ca(&self) -> &Pair {
        &self.cluster_ca.files
    }

    /// A further certificate of etcd's CA, as `etcd/<stem>.{crt,key}`.
    pub(crate) fn issue(&self, stem: &str, leaf: &Leaf) -> Pair {
        self.etcd_ca
            .issue(&self.directory, &format!("etcd/{stem}"), leaf)
    }

    /// A certificate by a CA that etcd does not know, of the same name as the one it knows.
    pub(crate) fn foreign(&self, stem: &str, leaf: &Leaf) -> Pair {
        let stem = format!("etcd/{stem}");
        Authority::new(&self.directory, &format!("{stem}-ca"), "etcd-ca").issue(
            &self.directory,
            &stem,
            leaf,
        )
    }

    /// A CA certificate that signed nothing here.
    pub(crate) fn foreign_ca(&self) -> Pair {
        Authority::new(&self.directory, "etcd/foreign-ca", "etcd-ca").files
    }

    /// A server certificate that ended yesterday.
    pub(crate) fn expired_server(&self) -> Pair {
        self.issue("expired-server", &Leaf::server("control-plane-1").expired())
    }

    /// A server certificate that begins tomorrow.
    pub(crate) fn not_yet_valid_server(&self) -> Pair {
        self.issue(
            "early-server",
            &Leaf::server("control-plane-1").not_yet_valid(),
        )
    }

    /// A server certificate for `etcd.example` and 192.0.2.7 only.
    pub(crate) fn misnamed_server(&self) -> Pair {
        self.issue(
            "misnamed-server",
            &Leaf::server("control-plane-1").sans(&["etcd.example", "192.0.2.7"]),
        )
    }

    /// A client certificate that ended yesterday.
    pub(crate) fn expired_client(&self) -> Pair {
        self.issue(
            "expired-client",
            &Leaf::client("kube-etcd-healthcheck-client").expired(),
        )
    }

    /// A client certificate that begins tomorrow.
    pub(crate) fn not_yet_valid_client(&self) -> Pair {
        self.issue(
            "early-client",
            &Leaf::client("kube-etcd-healthcheck-client").not_yet_valid(),
        )
    }

    /// A client certificate by a CA that etcd does not know.
    pub(crate) fn foreign_client(&self) -> Pair {
        self.foreign(
            "foreign-client",
            &Leaf::client("kube-etcd-healthcheck-client"),
        )
    }

    /// The good client certificate with the key of another.
    pub(crate) fn mismatched_client(&self) -> Pair {
        let other = self.issue("mismatched-client", &Leaf::client("somebody-else"));
        Pair {
            cert: self.client.cert.clone(),
            key: other.key,
        }
    }
}

fn set_validity(params: &mut CertificateParams, from: SystemTime, until: SystemTime) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since_epoch = |at: SystemTime| {
        let exact = at.duration_since(UNIX_EPOCH).expect("a time after 1970");
        Duration::from_secs(exact.as_secs())
    };
    params.not_before = epoch + since_epoch(from);
    params.not_after = epoch + since_epoch(until);
}

fn write_pair(directory: &Path, stem: &str, cert: &str, key: &str) -> Pair {
    let pair = Pair {
        cert: directory.join(format!("{stem}.crt")),
        key: directory.join(format!("{stem}.key")),
    };
    fs::create_dir_all(pair.cert.parent().expect("a directory")).expect("the PKI directory");
    fs::write(&pair.cert, cert).expect("a certificate file");
    fs::write(&pair.key, key).expect("a key file");
    fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600)).expect("mode 0600");
    pair
}
