use super::pem::MAX_FILE;
use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType, date_time_ymd,
};
use std::net::Ipv4Addr;
use std::path::Path;

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["etcd.example".to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    params.distinguished_name.push(DnType::CommonName, "etcd-1");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

fn leaf(params: &CertificateParams, ca: &CertifiedIssuer<'_, KeyPair>) -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, ca).unwrap().pem(), key)
}

fn one(pem: &str) -> Certificate {
    parse(Path::new("server.crt"), pem.as_bytes())
        .unwrap()
        .remove(0)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_certificate_says_whose_it_is_for_which_names_and_until_when() {
    let ca = authority("etcd-ca");
    let certificate = one(&leaf(&params(), &ca).0);
    assert!(
        certificate.subject.contains("CN=etcd-1"),
        "{}",
        certificate.subject
    );
    assert!(
        certificate.issuer.contains("CN=etcd-ca"),
        "{}",
        certificate.issuer
    );
    assert_eq!(certificate.dns_names, ["etcd.example"]);
    assert_eq!(
        certificate.ip_addresses,
        [IpAddr::from(Ipv4Addr::LOCALHOST)]
    );
    assert_eq!(certificate.names(), "etcd.example, 127.0.0.1");
    assert_eq!(certificate.not_before, at("2026-01-01T00:00:00Z"));
    assert_eq!(certificate.not_after, at("2027-01-01T00:00:00Z"));
    assert_eq!(certificate.fingerprint.len(), 64);
    assert!(!certificate.is_ca && !certificate.for_client);
    assert!(one(&ca.pem()).is_ca && one(&ca.pem()).for_client);
}

#[test]
fn validity_includes_both_ends_and_days_left_goes_below_zero() {
    let certificate = one(&leaf(&params(), &authority("ca")).0);
    let (from, until) = (certificate.not_before, certificate.not_after);
    assert_eq!(certificate.validity(from), Validity::Valid);
    assert_eq!(certificate.validity(until), Validity::Valid);
    assert_eq!(
        certificate.validity(at("2025-12-31T23:59:59Z")),
        Validity::NotYetValid { from }
    );
    assert_eq!(
        certificate.validity(at("2027-01-01T00:00:01Z")),
        Validity::Expired { until }
    );
    assert_eq!(certificate.days_left(at("2026-12-30T12:00:00Z")), 1);
    assert_eq!(certificate.days_left(at("2027-01-01T00:00:01Z")), -1);
}

#[test]
fn a_certificate_without_an_end_is_valid_for_as_long_as_time_is_counted() {
    let mut params = params();
    params.not_after = date_time_ymd(9999, 12, 31);
    let certificate = one(&leaf(&params, &authority("ca")).0);
    assert_eq!(certificate.not_after, Timestamp::MAX);
    assert_eq!(
        certificate.validity(at("2500-01-01T00:00:00Z")),
        Validity::Valid
    );
}

#[test]
fn the_signer_is_found_by_signature_and_not_by_name() {
    let (right, namesake) = (authority("etcd-ca"), authority("etcd-ca"));
    let certificate = one(&leaf(&params(), &right).0);
    let (right, namesake) = (one(&right.pem()), one(&namesake.pem()));
    assert_eq!(
        certificate.signer(&[namesake.clone(), right.clone()]),
        Some(&right)
    );
    assert_eq!(certificate.signer(&[namesake]), None);
    assert_eq!(right.signer(std::slice::from_ref(&right)), Some(&right));
}

#[test]
fn a_bundle_gives_every_certificate_in_order_and_passes_over_keys() {
    let (a, b) = (authority("a"), authority("b"));
    let (_, key) = leaf(&params(), &a);
    let text = format!("# two\n{}{}\n{}", a.pem(), key.serialize_pem(), b.pem());
    let bundle = parse(Path::new("ca.crt"), text.as_bytes()).unwrap();
    assert_eq!(bundle, [one(&a.pem()), one(&b.pem())]);
}

#[test]
fn a_bad_entry_is_named_and_never_skipped() {
    let good = authority("a").pem();
    let cut = good.rsplit_once("-----END").unwrap().0.to_owned();
    let cases = [
        (
            cut,
            "entry 2 of ca.crt cannot be read: its END line is missing",
        ),
        (
            good.replace("CERTIFICATE-----\nM", "CERTIFICATE-----\n!"),
            "entry 2 of ca.crt cannot be read: it is not base64",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "entry 2 of ca.crt cannot be read: it is not an X.509 certificate",
        ),
        (
            good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            "entry 2 of ca.crt cannot be read: it is a `TRUSTED CERTIFICATE`, only a `CERTIFICATE` can be read",
        ),
        (
            "-----BEGIN CERTIFICATE\n".to_owned(),
            "entry 2 of ca.crt cannot be read: its BEGIN line is malformed",
        ),
    ];
    for (bad, message) in cases {
        let error = parse(Path::new("ca.crt"), format!("{good}{bad}").as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(error.hint().is_some());
    }
    let error = parse(Path::new("ca.crt"), b"hello").unwrap_err();
    assert_eq!(error.to_string(), "ca.crt holds no certificate in PEM form");
}

#[test]
fn a_key_is_proved_to_belong_to_its_certificate() {
    let ca = authority("ca");
    let path = Path::new("server.key");
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = one(&params().signed_by(&key, &ca).unwrap().pem());
        check_key(&certificate, path, key.serialize_pem().as_bytes()).unwrap();
        let other = KeyPair::generate_for(algorithm).unwrap().serialize_pem();
        let error = check_key(&certificate, path, other.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::KeyMismatch { .. }), "{error}");
    }
}

#[test]
fn key_errors_name_the_file_and_never_its_content() {
    let certificate = one(&leaf(&params(), &authority("ca")).0);
    let key = KeyPair::generate().unwrap().serialize_pem();
    let path = Path::new("server.key");
    let cases = [
        (String::new(), "server.key holds no private key in PEM form"),
        (
            key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            "the private key in server.key is encrypted",
        ),
        (
            key.replace(
                "PRIVATE KEY-----\nM",
                "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nM",
            ),
            "the private key in server.key is encrypted",
        ),
        (
            key.rsplit_once("-----END").unwrap().0.to_owned(),
            "entry 1 of server.key cannot be read: its END line is missing",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned(),
            "the private key in server.key is damaged or of an unsupported kind",
        ),
    ];
    for (text, message) in cases {
        let error = check_key(&certificate, path, text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.path(), path);
        assert!(error.hint().is_some());
    }
}

#[test]
fn control_characters_of_a_name_do_not_reach_a_message() {
    let mut params = params();
    params
        .distinguished_name
        .push(DnType::CommonName, "a\n\u{1b}[31merror: all lost");
    let certificate = one(&leaf(&params, &authority("ca")).0);
    assert!(
        !certificate.subject.chars().any(char::is_control),
        "{}",
        certificate.subject
    );
}

#[test]
fn an_unreadable_file_is_named_with_the_reason() {
    let error = read(Path::new("/nonexistent/ca.crt")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/ca.crt cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(
        error.hint().unwrap(),
        "Correct the path, or create /nonexistent/ca.crt."
    );
    let error = read(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/zero cannot be read: it is not a regular file"
    );
    let huge = tempfile::NamedTempFile::new().unwrap();
    huge.as_file().set_len(MAX_FILE + 1).unwrap();
    let error = read(huge.path()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>, text in "(-----(BEGIN|END) ([A-Z ]{0,12}|CERTIFICATE|PRIVATE KEY)-----\n[A-Za-z0-9+/=\n]{0,64}){0,4}") {
        let path = Path::new("x");
        let _ = parse(path, &bytes);
        let _ = parse(path, text.as_bytes());
        let _ = Certificate::from_der(bytes);
    }
}
