//! The bytes that etcd's own tool writes, and texts that it does not take.

use super::*;

fn membership(text: &str) -> Membership {
    Membership::parse(text, "newtok").unwrap()
}

#[test]
fn ids_are_those_that_etcd_gives() {
    let one = membership("m1=http://127.0.0.1:23791");
    assert_eq!(one.member("m1").unwrap().id.to_string(), "618cc147ae1484fd");
    assert_eq!(one.cluster_id().to_string(), "faed5a06fcdbdcaf");
    assert_eq!(Id(0x00ab).to_string(), "ab", "no leading zeroes");
}

#[test]
fn a_log_is_the_one_that_etcdutl_writes() {
    let membership = membership("m1=http://127.0.0.1:23791");
    let log = wal::log(&membership, membership.member("m1").unwrap().id).unwrap();
    let json = br#"{"id":7029205632025920765,"peerURLs":["http://127.0.0.1:23791"],"name":"m1"}"#;
    let expected: [&[u8]; 13] = [
        b"\x04\0\0\0\0\0\0\x84\x08\x04\x10\0\0\0\0\0",
        b"\x1f\0\0\0\0\0\0\x81\x08\x01\x10\xdd\xf6\xd3\xc6\x0c\x1a\x15",
        b"\x08\xfd\x89\xd2\xf0\xfa\xa8\xb0\xc6\x61\x10\xaf\xb9\xef\xe6\xef\xc0\xd6\xf6\xfa\x01\0",
        b"\x0e\0\0\0\0\0\0\x82\x08\x05\x10\xce\xa5\xce\x80\x0a\x1a\x04\x08\0\x10\0\0\0",
        b"\x6e\0\0\0\0\0\0\x82\x08\x02\x10\xb7\xa1\x94\xed\x06\x1a\x64\x08\x01\x10\x01\x18\x01",
        b"\x22\x5c\x08\0\x10\0\x18\xfd\x89\xd2\xf0\xfa\xa8\xb0\xc6\x61\x22\x4c",
        json,
        b"\0\0",
        b"\x18\0\0\0\0\0\0\0\x08\x03\x10\xc8\xfb\xc0\xab\x06\x1a\x0e",
        b"\x08\x01\x10\xfd\x89\xd2\xf0\xfa\xa8\xb0\xc6\x61\x18\x01",
        b"\x1c\0\0\0\0\0\0\x84\x08\x05\x10\xe6\xec\xe3\xf1\x06\x1a\x12\x08\x01\x10\x01\x1a\x0c",
        b"\x08\xfd\x89\xd2\xf0\xfa\xa8\xb0\xc6\x61\x28\0",
        b"\0\0\0\0",
    ];
    assert_eq!(log, expected.concat());
    // the file goes on with zeroes: a frame of no length is its end
    assert_eq!(log.len() + 8, 280);
}

#[test]
fn a_name_may_come_again_and_its_urls_are_sorted() {
    let both = membership("m1=http://h:2,m2=https://[::1]:3,m1=HTTP://h:1");
    assert_eq!(
        both,
        membership("m2=https://[::1]:3,m1=http://h:1,m1=http://h:2,")
    );
    let m1 = both.member("m1").unwrap();
    assert_eq!(
        m1.peer_urls,
        PeerUrl::parse_list("http://h:2,http://h:1").unwrap()
    );
    let ids: Vec<_> = both.members().iter().map(|member| member.id).collect();
    assert!(ids.is_sorted() && ids.len() == 2);
    assert_eq!(
        Membership::parse(&both.to_string(), both.token()).unwrap(),
        both
    );
}

#[test]
fn what_no_member_could_be_reached_at_is_refused_by_name() {
    for (text, part) in [
        ("", "names no member"),
        ("m1", "NAME=URL"),
        ("=http://h:1", "name"),
        ("m1=h:1", "scheme"),
        ("m1=ftp://h:1", "scheme"),
        ("m1=http://h", "host:port"),
        ("m1=http://h:0", "port"),
        ("m1=http://h:65536", "port"),
        ("m1=http://h:+1", "port"),
        ("m1=http://:1", "host"),
        ("m1=http://::1:1", "host"),
        ("m1=http://a<b:1", "host"),
        ("m1=http://u@h:1", "host"),
        ("m1=http://h:1/", "path"),
        ("m1=http://h:1,m2=http://h:1", "twice"),
        ("m1=http://h:1,m1=http://h:1", "twice"),
    ] {
        let error = Membership::parse(text, "t").unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert!(error.hint().is_some(), "{text}");
    }
    let error = membership("a=http://h:1,b=http://h:2")
        .member("c")
        .unwrap_err();
    assert!(error.to_string().ends_with("which has: a, b"), "{error}");
}

#[test]
fn versions_are_compared_by_their_numbers() {
    let version = |text| Version::parse(text).unwrap();
    assert!(version("3.10.0") > version("v3.6.1"));
    assert_eq!(version("3.6"), version("3.6.0-rc.1"));
    assert_eq!(Version::parse("unknown"), None);
}
