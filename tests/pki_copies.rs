//! The copies of the CA that lie beside the backups.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::command::{Host, Output, binary, run};
use crate::support::etcd::{Etcd, Version};

/// A host with an etcd that has something to keep.
fn host() -> (Host, Etcd) {
    let host = Host::new();
    let etcd = Etcd::start(Version::V3_5, &host.pki);
    etcd.put("/registry/pods/default/a", b"k8s\0");
    host.configure(&[etcd.endpoint()]);
    (host, etcd)
}

/// One backup that is proven, whatever became of the CA.
#[track_caller]
fn backup(host: &Host) -> (Value, Output) {
    let output = host.run(&["backup", "--json"]).expect_success();
    let manifest = output.json();
    assert_eq!(manifest["verified"], true, "{output}");
    (manifest, output)
}

/// The directory that a manifest names.
fn home(host: &Host, manifest: &Value) -> PathBuf {
    let fingerprint = manifest["pki"]["fingerprint"].as_str();
    let fingerprint = fingerprint.unwrap_or_else(|| panic!("no copies in {manifest:#}"));
    host.backups.join("pki").join(fingerprint)
}

fn names(manifest: &Value) -> Vec<&str> {
    let files = manifest["pki"]["files"].as_array();
    files
        .into_iter()
        .flatten()
        .filter_map(|file| file["name"].as_str())
        .collect()
}

fn problems(manifest: &Value) -> Vec<&str> {
    let problems = manifest["pkiProblems"].as_array();
    problems
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Puts a new CA in the place of the old one.
fn renew(host: &Host) {
    let (new, old) = (host.pki.foreign_ca(), host.pki.cluster_ca());
    fs::copy(new.cert, &old.cert).unwrap();
    fs::copy(new.key, &old.key).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// What would differ if a file had been written again.
fn trace(path: &Path) -> (u64, i64, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

/// A doubtful CA: the backup is made and verified, and everybody who asks hears of the doubt.
#[track_caller]
fn assert_told(host: &Host, wanted: &str) -> Value {
    let (manifest, output) = backup(host);
    let told = problems(&manifest).join("\n");
    assert!(told.contains(wanted), "{told}");
    assert!(output.stderr.contains(wanted), "{output}");
    let status = host.run(&["status", "--json"]).expect_code(1);
    assert_eq!(status.json()["ok"], false);
    assert!(status.stdout.contains(wanted), "{status}");
    let show = host.run(&["show", "latest"]).expect_success();
    assert!(show.stdout.contains(wanted), "{show}");
    let list = host.run(&["list"]).expect_success();
    assert!(list.stdout.contains("CA in doubt"), "{list}");
    host.run(&["verify", "latest"]).expect_success();
    host.run(&["check"]).expect_success();
    manifest
}

#[test]
fn each_backup_names_the_ca_of_its_time_and_nothing_is_written_twice() {
    let (host, _etcd) = host();
    let ca = host.pki.cluster_ca();
    let (first, _) = backup(&host);
    let old = home(&host, &first);
    assert_eq!(names(&first), ["ca.crt", "ca.key"]);
    assert!(problems(&first).is_empty(), "{first:#}");
    for (copy, original) in [("ca.crt", &ca.cert), ("ca.key", &ca.key)] {
        assert_eq!(
            fs::read(old.join(copy)).unwrap(),
            fs::read(original).unwrap()
        );
        assert_eq!(mode(&old.join(copy)), 0o600);
    }
    assert_eq!(mode(&old), 0o700);
    assert_eq!(mode(old.parent().unwrap()), 0o700);
    // as openssl tells the certificate
    let openssl = run(Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(&ca.cert))
    .expect_success();
    let told = openssl.stdout.trim().rsplit('=').next().unwrap();
    let told = told.replace(':', "").to_lowercase();
    assert_eq!(first["pki"]["fingerprint"], told.as_str());
    host.run(&["status"]).expect_success();
    let check = host.run(&["check", "--json"]).expect_success();
    assert!(check.stdout.contains("belongs to"), "{check}");

    let traces = || ["ca.crt", "ca.key"].map(|name| trace(&old.join(name)));
    let before = traces();
    let (second, _) = backup(&host);
    assert_eq!(second["pki"], first["pki"]);

    renew(&host);
    let (third, _) = backup(&host);
    let new = home(&host, &third);
    assert_ne!(old, new);
    assert_eq!(names(&third), ["ca.crt", "ca.key"]);
    assert_eq!(traces(), before);
    host.run(&["verify", "--all"]).expect_success();
    host.run(&["status"]).expect_success();

    fs::remove_file(new.join("ca.key")).unwrap();
    let verify = host.run(&["verify", "latest"]).expect_code(65);
    assert!(verify.stdout.contains("ca.key"), "{verify}");
    host.run(&["verify", "latest~1"]).expect_success();
    // what is missing is copied again
    backup(&host);
    host.run(&["verify", "--all"]).expect_success();
}

#[test]
fn a_doubtful_ca_is_told_everywhere_and_stops_no_backup() {
    let (host, _etcd) = host();
    let ca = host.pki.cluster_ca();
    let foreign = host.pki.foreign_ca();
    let right = fs::read(&ca.key).unwrap();

    fs::copy(&foreign.key, &ca.key).unwrap();
    let manifest = assert_told(&host, "does not belong to the certificate of CN=kubernetes");
    assert_eq!(names(&manifest), ["ca.crt"]);

    fs::remove_file(&ca.key).unwrap();
    let manifest = assert_told(&host, "ca.key cannot be read: No such file");
    assert_eq!(names(&manifest), ["ca.crt"]);

    fs::create_dir(&ca.key).unwrap();
    assert_told(&host, "ca.key cannot be read: it is not a regular file");
    fs::remove_dir(&ca.key).unwrap();

    // what is right again is told no more
    fs::write(&ca.key, right).unwrap();
    let (manifest, _) = backup(&host);
    assert_eq!(names(&manifest), ["ca.crt", "ca.key"]);
    host.run(&["status"]).expect_success();

    fs::remove_file(&ca.cert).unwrap();
    let manifest = assert_told(&host, "no file of pki.files can be kept");
    assert!(manifest.get("pki").is_none(), "{manifest:#}");
}

#[test]
fn a_key_that_may_not_be_read_is_told() {
    let (host, _etcd) = host();
    fs::set_permissions(
        &host.pki.cluster_ca().key,
        fs::Permissions::from_mode(0o000),
    )
    .unwrap();
    // root reads everything, unless it is taken from it
    let mut command = if rustix::process::geteuid().is_root() {
        let mut setpriv = Command::new("setpriv");
        setpriv.arg("--bounding-set=-dac_override,-dac_read_search");
        setpriv.arg(binary());
        setpriv
    } else {
        Command::new(binary())
    };
    command
        .args(["backup", "--json", "--config"])
        .arg(&host.config);
    let output = run(&mut command).expect_success();
    let manifest = output.json();
    assert_eq!(names(&manifest), ["ca.crt"]);
    let told = problems(&manifest).join("\n");
    assert!(told.contains("Permission denied"), "{told}");
    host.run(&["status"]).expect_code(1);
}

#[test]
fn no_link_leads_a_key_elsewhere() {
    let (host, _etcd) = host();
    let elsewhere = host.directory().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let pki = host.backups.join("pki");
    symlink(&elsewhere, &pki).unwrap();
    let manifest = assert_told(&host, "pki cannot be read");
    assert!(manifest.get("pki").is_none(), "{manifest:#}");

    fs::remove_file(&pki).unwrap();
    let home = home(&host, &backup(&host).0);
    fs::remove_file(home.join("ca.key")).unwrap();
    symlink(elsewhere.join("ca.key"), home.join("ca.key")).unwrap();
    let manifest = assert_told(&host, "ca.key cannot be read");
    assert_eq!(names(&manifest), ["ca.crt"]);

    fs::remove_dir_all(&home).unwrap();
    symlink(&elsewhere, &home).unwrap();
    assert_told(&host, "cannot be read");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn without_files_there_are_no_copies_and_no_complaint() {
    let (host, _etcd) = host();
    let text = fs::read_to_string(&host.config).unwrap();
    let files = text.lines().find(|line| line.starts_with("files = "));
    fs::write(&host.config, text.replace(files.unwrap(), "files = []")).unwrap();
    let (manifest, _) = backup(&host);
    assert!(manifest.get("pki").is_none() && problems(&manifest).is_empty());
    assert!(!host.backups.join("pki").exists());
    host.run(&["status"]).expect_success();
    host.run(&["check"]).expect_success();
}

/// Every file below a directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn kill_9_leaves_whole_copies_or_none() {
    let (host, _etcd) = host();
    let pki = host.backups.join("pki");
    for round in 0..8_u32 {
        renew(&host);
        let ca = host.pki.cluster_ca();
        // large, so that writing it takes a while
        let mut bundle = fs::read(&ca.cert).unwrap();
        bundle.extend(b"# of the cluster\n".repeat(60_000));
        fs::write(&ca.cert, bundle).unwrap();
        let whole = [&ca.cert, &ca.key].map(|path| fs::read(path).unwrap());
        let earlier = files_below(&pki);
        let homes = || fs::read_dir(&pki).map_or(0, Iterator::count);
        let before = homes();
        let mut running = host.start(&["backup"]);
        // without a pause: it is about the moments between two writes
        while homes() == before && running.ended().is_none() {}
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(300) * (round / 2) {}
        running.kill();
        for file in files_below(&pki) {
            if !earlier.contains(&file) {
                assert!(whole.contains(&fs::read(&file).unwrap()), "{file:?}");
                assert_eq!(mode(&file), 0o600);
            }
        }
        let (manifest, _) = backup(&host);
        assert_eq!(names(&manifest), ["ca.crt", "ca.key"]);
        host.run(&["verify", "--all"]).expect_success();
    }
    assert!(files_below(&pki).iter().all(|file| {
        let name = file.file_name().unwrap().to_string_lossy();
        name == "ca.crt" || name == "ca.key"
    }));
}

#[test]
fn no_byte_of_a_key_is_said_or_written_elsewhere() {
    let (host, _etcd) = host();
    let ca = host.pki.cluster_ca();
    let mut keys = fs::read_to_string(&ca.key).unwrap();
    let mut said = String::new();
    let mut say = |args: &[&str]| {
        let output = host.run(args);
        said.push_str(&output.to_string());
    };
    let commands: [&[&str]; 7] = [
        &["backup"],
        &["backup", "--json"],
        &["check", "--json"],
        &["status"],
        &["show", "latest"],
        &["list", "--json"],
        &["verify", "--all"],
    ];
    for args in commands {
        say(args);
    }
    // cut, garbled, and another's
    let good = keys.clone();
    let foreign = fs::read_to_string(host.pki.foreign_ca().key).unwrap();
    for bad in [
        good[..good.len() / 2].to_owned(),
        good.replacen('\n', "\n!", 2),
        foreign,
    ] {
        fs::write(&ca.key, &bad).unwrap();
        keys += &bad;
        for args in commands {
            say(args);
        }
    }
    for file in files_below(&host.backups) {
        if !file.starts_with(host.backups.join("pki")) {
            said += &String::from_utf8_lossy(&fs::read(file).unwrap());
        }
    }
    // lines begin alike in every key of the kind; their ends are the secret
    let secrets: Vec<&str> = keys
        .lines()
        .filter(|line| !line.contains("-----") && line.len() > 24)
        .map(|line| &line[line.len() - 12..])
        .collect();
    assert!(secrets.len() > 6, "{secrets:?}");
    for secret in secrets {
        assert!(!said.contains(secret), "{secret}");
    }
}
