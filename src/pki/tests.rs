use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::store::Directory;

/// A host's files in `etc/`, and a backup directory in `backups/`.
struct Host {
    temporary: TempDir,
    directory: Directory,
}

impl Host {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        for name in ["etc", "backups"] {
            fs::create_dir(temporary.path().join(name)).unwrap();
        }
        let directory = Directory::open(&temporary.path().join("backups")).unwrap();
        let host = Host {
            temporary,
            directory,
        };
        host.renew();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join("etc").join(name)
    }

    fn put(&self, name: &str, text: &str) {
        write(&self.path(name), text.as_bytes());
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A new CA in place of the old one.
    fn renew(&self) {
        let (certificate, key) = authority();
        self.put("ca.crt", &certificate);
        self.put("ca.key", &key);
    }

    fn settings(&self, names: &[&str]) -> Settings {
        Settings {
            files: names.iter().map(|name| self.path(name)).collect(),
        }
    }

    fn keep(&self, names: &[&str]) -> Kept {
        keep(&self.settings(names), &self.directory)
    }

    /// Keeps the CA, without a problem.
    fn kept(&self) -> Copies {
        let kept = self.keep(&["ca.crt", "ca.key"]);
        assert!(kept.problems.is_empty(), "{:?}", kept.problems);
        kept.copies.unwrap()
    }

    fn home(&self, copies: &Copies) -> PathBuf {
        self.directory
            .path()
            .join(DIRECTORY)
            .join(copies.fingerprint.to_string())
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of this test alone")]
fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

fn authority() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (certificate(&key), key.serialize_pem())
}

fn certificate(key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(key).unwrap().pem()
}

fn names(copies: &Copies) -> Vec<&str> {
    copies.files.iter().map(|copy| copy.name.as_str()).collect()
}

fn told(problems: &[Error]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_ca_is_copied_once_into_a_private_directory_of_its_fingerprint() {
    let host = Host::new();
    let first = host.keep(&["ca.crt", "ca.key"]);
    let copies = first.copies.unwrap();
    let home = host.home(&copies);
    assert_eq!(first.made, [home.join("ca.crt"), home.join("ca.key")]);
    assert_eq!(mode(home.parent().unwrap()), 0o700);
    assert_eq!(mode(&home), 0o700);
    let inodes = || ["ca.crt", "ca.key"].map(|name| fs::metadata(home.join(name)).unwrap().ino());
    let before = inodes();
    for name in ["ca.crt", "ca.key"] {
        assert_eq!(mode(&home.join(name)), 0o600);
        assert_eq!(
            fs::read_to_string(home.join(name)).unwrap(),
            host.text(name)
        );
    }
    let second = host.keep(&["ca.crt", "ca.key"]);
    assert_eq!(second.copies, Some(copies.clone()));
    assert!(second.made.is_empty() && second.problems.is_empty());
    assert_eq!(inodes(), before);
    assert!(prove(&copies, &host.directory).is_empty());
}

#[test]
fn a_renewed_ca_has_a_directory_of_its_own() {
    let host = Host::new();
    let old = host.kept();
    host.renew();
    let new = host.kept();
    assert_ne!(old.fingerprint, new.fingerprint);
    assert_eq!(names(&new), ["ca.crt", "ca.key"]);
    for copies in [old, new] {
        assert!(prove(&copies, &host.directory).is_empty());
    }
}

#[test]
fn a_file_that_changed_under_the_same_ca_is_kept_beside_the_earlier_one() {
    let host = Host::new();
    let old = host.kept();
    host.put("ca.key", &format!("# again\n{}", host.text("ca.key")));
    let new = host.kept();
    assert_eq!(old.fingerprint, new.fingerprint);
    assert_eq!(names(&new), ["ca.crt", "ca.2.key"]);
    assert_eq!(host.kept(), new);
    // a bundle is that of its first certificate
    let bundle = host.text("ca.crt") + &authority().0;
    host.put("ca.crt", &bundle);
    assert_eq!(names(&host.kept()), ["ca.2.crt", "ca.2.key"]);
    for copies in [old, new] {
        assert!(prove(&copies, &host.directory).is_empty());
    }
}

#[test]
fn the_key_of_another_certificate_is_told_and_not_copied() {
    let host = Host::new();
    let right = host.text("ca.key");
    host.put("ca.key", &authority().1);
    let kept = host.keep(&["ca.crt", "ca.key"]);
    assert_eq!(names(&kept.copies.unwrap()), ["ca.crt"]);
    assert!(told(&kept.problems).contains("does not belong to the certificate of"));
    host.put("ca.key", &right);
    assert_eq!(names(&host.kept()), ["ca.crt", "ca.key"]);
}

#[test]
fn what_cannot_be_used_is_told_and_stops_no_other_file() {
    let cases: &[(&str, &str, &str)] = &[
        ("ca.key", "", "it is empty"),
        ("ca.key", "nonsense", "holds no private key"),
        ("ca.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n", "END line"),
        ("other.crt", "nonsense", "holds no certificate"),
        ("missing.yaml", "", "No such file"),
    ];
    for (name, text, wanted) in cases {
        let host = Host::new();
        if !name.starts_with("missing") {
            host.put(name, text);
        }
        let kept = host.keep(&["ca.crt", name]);
        assert_eq!(names(&kept.copies.unwrap()), ["ca.crt"], "{name}");
        let told = told(&kept.problems);
        assert!(told.contains(wanted) && told.contains(name), "{told}");
    }
}

#[test]
fn a_pipe_a_directory_and_a_huge_file_are_told_and_not_waited_for() {
    let host = Host::new();
    let pipe = host.path("pipe");
    let (fifo, owner) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, owner, 0).unwrap();
    fs::create_dir(host.path("directory")).unwrap();
    let huge = fs::File::create(host.path("huge")).unwrap();
    huge.set_len(LARGEST + 1).unwrap();
    let kept = host.keep(&["ca.crt", "pipe", "directory", "huge"]);
    assert_eq!(names(&kept.copies.unwrap()), ["ca.crt"]);
    assert_eq!(kept.problems.len(), 3, "{}", told(&kept.problems));
}

#[test]
fn without_the_ca_certificate_nothing_is_kept() {
    let host = Host::new();
    fs::remove_file(host.path("ca.crt")).unwrap();
    host.put("other.crt", &authority().0);
    let kept = host.keep(&["other.crt", "ca.crt", "ca.key"]);
    assert_eq!(kept.copies, None);
    assert!(told(&kept.problems).contains("no file of pki.files can be kept"));
    assert!(host.directory.names().unwrap().is_empty());
    assert!(host.keep(&[]).problems.is_empty());
}

#[test]
fn a_key_belongs_to_the_certificate_of_its_name_or_to_the_only_one() {
    let host = Host::new();
    let (certificate, key) = authority();
    host.put("front.crt", &certificate);
    host.put("front.key", &key);
    host.put("sa.key", &authority().1);
    host.put("kube-ca-key.pem", &host.text("ca.key"));
    let all = ["ca.crt", "ca.key", "front.crt", "front.key", "sa.key"];
    assert!(host.keep(&all).problems.is_empty());
    assert!(
        host.keep(&["ca.crt", "kube-ca-key.pem"])
            .problems
            .is_empty()
    );
    host.put("kube-ca-key.pem", &key);
    assert_eq!(host.keep(&["ca.crt", "kube-ca-key.pem"]).problems.len(), 1);
}

#[test]
fn a_sealed_key_is_copied_with_a_word_of_doubt() {
    let host = Host::new();
    let sealed =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    host.put("ca.key", sealed);
    let kept = host.keep(&["ca.crt", "ca.key"]);
    let copies = kept.copies.unwrap();
    assert_eq!(names(&copies), ["ca.crt", "ca.key"]);
    assert_eq!(copies.files[1].public_key_sha256, None);
    assert!(told(&kept.problems).contains("is encrypted"));
}

#[test]
fn only_public_files_are_told_by_their_digest() {
    let host = Host::new();
    host.put("tokens.csv", "hunter2\n");
    host.put("sa.pub", &KeyPair::generate().unwrap().public_key_pem());
    let kept = host.keep(&["ca.crt", "ca.key", "sa.pub", "tokens.csv"]);
    let copies = kept.copies.unwrap();
    let digests: Vec<_> = copies
        .files
        .iter()
        .map(|copy| (copy.sha256.is_some(), copy.public_key_sha256.is_some()))
        .collect();
    assert_eq!(
        digests,
        [(true, false), (false, true), (true, false), (false, false)]
    );
    assert!(prove(&copies, &host.directory).is_empty());
}

#[test]
fn no_symbolic_link_is_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let untouched = || fs::read_dir(elsewhere.path()).unwrap().count() == 0;
    let host = Host::new();
    let pki = host.directory.path().join(DIRECTORY);
    symlink(elsewhere.path(), &pki).unwrap();
    let kept = host.keep(&["ca.crt", "ca.key"]);
    assert!(kept.copies.is_none() && kept.problems.len() == 1 && untouched());
    assert!(remove_leftovers(&host.directory).unwrap().is_empty());

    fs::remove_file(&pki).unwrap();
    let home = host.home(&host.kept());
    fs::remove_dir_all(&home).unwrap();
    symlink(elsewhere.path(), &home).unwrap();
    let kept = host.keep(&["ca.crt", "ca.key"]);
    assert!(kept.copies.is_none() && kept.problems.len() == 1 && untouched());

    fs::remove_file(&home).unwrap();
    fs::create_dir(&home).unwrap();
    symlink(elsewhere.path().join("key"), home.join("ca.key")).unwrap();
    let kept = host.keep(&["ca.crt", "ca.key"]);
    assert_eq!(names(&kept.copies.unwrap()), ["ca.crt"]);
    assert!(kept.problems.len() == 1 && untouched());
}

#[test]
fn a_copy_that_was_changed_or_removed_is_found() {
    let host = Host::new();
    let copies = host.kept();
    let home = host.home(&copies);
    let found = || told(&prove(&copies, &host.directory));
    let certificate = host.text("ca.crt");
    write(
        &home.join("ca.crt"),
        certificate.replace('M', "N").as_bytes(),
    );
    assert!(found().contains("its SHA-256"), "{}", found());
    write(&home.join("ca.crt"), certificate.as_bytes());
    write(&home.join("ca.key"), authority().1.as_bytes());
    assert!(found().contains("another private key"), "{}", found());
    fs::remove_file(home.join("ca.key")).unwrap();
    assert!(found().contains("cannot be read"), "{}", found());
    fs::remove_dir_all(&home).unwrap();
    assert!(found().contains("cannot be read"), "{}", found());
}

#[test]
fn drafts_of_a_crash_are_removed() {
    let host = Host::new();
    let home = host.home(&host.kept());
    write(&home.join(".hypercloud-etcd-1-0.draft"), b"half");
    let removed = remove_leftovers(&host.directory).unwrap();
    assert_eq!(removed, [".hypercloud-etcd-1-0.draft"]);
    assert_eq!(fs::read_dir(&home).unwrap().count(), 2);
}

#[test]
fn no_byte_of_a_key_is_in_a_text() {
    let host = Host::new();
    host.put("bad.key", &host.text("ca.key").replace("-----END", "====="));
    let names = ["ca.crt", "ca.key", "bad.key"];
    let collected = collect(&host.settings(&names));
    let kept = host.keep(&names);
    let copies = kept.copies.as_ref().unwrap();
    let json = serde_json::to_string(copies).unwrap();
    let told = format!("{collected:?} {kept:?} {} {json}", told(&kept.problems));
    assert_eq!(kept.problems.len(), 1);
    for line in host.text("ca.key").lines().filter(|line| line.len() > 20) {
        assert!(
            line.starts_with("-----") || !told.contains(&line[..20]),
            "{told}"
        );
    }
    assert_eq!(serde_json::from_str::<Copies>(&json).unwrap(), *copies);
}

#[test]
fn a_name_leads_nowhere_else() {
    for text in ["", ".", "..", ".ca.key", "a/b", "/etc/passwd", "a\0b"] {
        assert!(Name::try_from(text.to_owned()).is_err(), "{text:?}");
    }
    let name = Name::try_from("ca.key".to_owned()).unwrap();
    assert_eq!(
        (name.nth(1), name.nth(3)),
        ("ca.key".into(), "ca.3.key".into())
    );
    assert_eq!(Name::try_from("ca".to_owned()).unwrap().nth(2), "ca.2");
}
