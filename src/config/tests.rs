//! What a configuration means, and what is said of one that means nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const EXTERNAL: &str = include_str!("../../config/examples/external-etcd.toml");

fn parsed(text: &str) -> Result<Config, Vec<Problem>> {
    parse(Path::new("/etc/hypercloud-etcd/config.toml"), text)
}

#[track_caller]
fn good(text: &str) -> Config {
    parsed(text).unwrap_or_else(|problems| panic!("{}", lines(&problems)))
}

#[track_caller]
fn bad(text: &str) -> Vec<Problem> {
    parsed(text).expect_err(text)
}

/// The problems as a person reads them, hints included.
fn lines(problems: &[Problem]) -> String {
    let mut lines = Vec::new();
    for problem in problems {
        lines.push(problem.to_string());
        lines.extend(problem.hint.iter().map(|hint| format!("  hint: {hint}")));
    }
    lines.join("\n")
}

/// The installed default with the `#` removed in front of the keys that `which` accepts.
fn uncommented(which: impl Fn(&KeyReference) -> bool) -> String {
    let known: Vec<KeyReference> = describe().collect();
    let line = |line: &str| {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let name = bare.split(" = ").next().unwrap_or_default();
        match known.iter().find(|key| key.name == name) {
            Some(key) if which(key) => bare.to_owned(),
            _ => line.to_owned(),
        }
    };
    INSTALLED.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_file_means_the_documented_defaults() {
    let config = good("");
    assert_eq!(config.schedule.text(), "0 * * * *");
    assert_eq!(config.schedule.timezone(), "UTC");
    assert!(config.catch_up);
    assert_eq!(config.jitter, Duration::ZERO);
    let [endpoint] = &config.etcd.endpoints[..] else {
        panic!("one endpoint")
    };
    assert_eq!(
        *endpoint,
        etcd::Endpoint::parse("https://127.0.0.1:2379").unwrap()
    );
    assert_eq!(
        config.etcd.ca_file,
        Path::new("/etc/kubernetes/pki/etcd/ca.crt")
    );
    assert_eq!(
        config.etcd.cert_file,
        Path::new("/etc/kubernetes/pki/etcd/healthcheck-client.crt")
    );
    assert_eq!(
        config.etcd.key_file,
        Path::new("/etc/kubernetes/pki/etcd/healthcheck-client.key")
    );
    assert!(config.etcd.login.is_none());
    assert_eq!(config.etcd.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.etcd.stall_timeout, Duration::from_secs(30));
    assert_eq!(config.etcd.live_hash, etcd::LiveHash::Auto);
    assert_eq!(config.backup.dir, Path::new("/mnt/backup"));
    assert_eq!(config.backup.reserve, 1 << 30);
    let reverify = config.reverify.expect("a schedule");
    assert_eq!((reverify.text(), reverify.timezone()), ("0 3 * * 0", "UTC"));
    assert_eq!((config.anomaly.max_fall, config.anomaly.min_keys), (50, 50));
    assert!(config.anomaly.enabled && config.anomaly.ignore.len() == 9);
    assert_eq!(
        config.pki.files,
        [
            Path::new("/etc/kubernetes/pki/ca.crt"),
            Path::new("/etc/kubernetes/pki/ca.key")
        ]
    );
    assert_eq!(config.report.stale_after, None);
    assert!(config.warnings.is_empty());
}

#[test]
fn every_default_in_the_table_is_accepted_by_its_own_kind() {
    for key in file::KEYS {
        let Some(default) = key.default() else {
            continue;
        };
        let value = toml::de::DeValue::parse(default).expect(default);
        let mut file = file::File::default();
        assert!((key.set)(&mut file, &value).is_ok(), "{}", key.path());
    }
}

#[test]
fn every_key_stands_once_and_its_table_is_in_one_piece() {
    let mut paths: Vec<String> = file::KEYS.iter().map(file::Key::path).collect();
    let all = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all);
    let tables: Vec<&str> = file::tables().collect();
    assert_eq!(
        tables,
        [
            "etcd",
            "backup",
            "pki",
            "anomaly",
            "retention",
            "seal",
            "report"
        ]
    );
}

/// A value without its line breaks.
fn words(value: &str) -> String {
    value.split_whitespace().collect()
}

#[test]
fn the_installed_default_holds_exactly_the_keys_that_work_with_their_defaults() {
    let mut table = "";
    let mut held = Vec::new();
    for line in INSTALLED.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            table = name;
        } else if let Some((name, value)) = line.split_once(" = ")
            && let Some(name) = name.strip_prefix('#').filter(|name| !name.starts_with(' '))
        {
            held.push((table, name, value));
        }
    }
    let known: Vec<KeyReference> = describe().collect();
    assert_eq!(held.len(), known.len());
    for ((table, name, value), key) in held.into_iter().zip(known) {
        assert_eq!((table, name), (key.table, key.name));
        assert!(
            key.default
                .is_none_or(|default| words(default) == words(value)),
            "{name}: {value}"
        );
    }
}

#[test]
fn the_installed_default_means_the_same_as_an_empty_file() {
    let empty = format!("{:?}", good(""));
    assert_eq!(format!("{:?}", good(INSTALLED)), empty);
    let spelt_out = uncommented(|key| key.default.is_some());
    assert!(spelt_out.contains("\nreserve = \"1GiB\"\n"));
    assert_eq!(format!("{:?}", good(&spelt_out)), empty);
}

#[test]
fn the_installed_default_with_every_key_uncommented_is_accepted() {
    let config = good(&uncommented(|_| true));
    assert!(config.warnings.is_empty());
    assert_eq!(config.pki.files.len(), 2);
    assert!(config.etcd.login.is_some());
    assert_eq!(config.report.stale_after, Some(Duration::from_mins(150)));
}

#[test]
fn every_example_is_accepted_without_a_warning() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut seen = 0;
    for example in fs::read_dir(examples).unwrap() {
        let path = example.unwrap().path();
        // units of systemd and their environment lie beside them
        if path.extension().is_some_and(|is| is == "toml") {
            assert!(good(&fs::read_to_string(path).unwrap()).warnings.is_empty());
            seen += 1;
        }
    }
    assert!(seen >= 4);
    assert_eq!(good(EXTERNAL).etcd.endpoints.len(), 3);
    assert!(good(EXTERNAL).pki.files.is_empty());
}

#[test]
fn the_reference_lists_no_key_that_does_not_work() {
    let paths: Vec<String> = describe()
        .map(|key| file::join(key.table, key.name))
        .collect();
    assert!(paths.contains(&"etcd.stall_timeout".to_owned()));
    for absent in ["seal.recipients", "report.webhook_url"] {
        assert!(!paths.contains(&absent.to_owned()), "{absent}");
    }
}

#[test]
fn a_file_from_another_editor_is_read() {
    let config = good("\u{feff}timezone = \"Europe/Berlin\"\r\n\r\n[backup]\r\ndir = '/b'\r\n");
    assert_eq!(config.schedule.timezone(), "Europe/Berlin");
    assert_eq!(config.backup.dir, Path::new("/b"));
}

#[test]
fn values_of_every_kind_are_read() {
    let config = good(
        r#"
        jitter = "1h 30m"
        catch_up = false
        [etcd]
        endpoints = ["https://a:2379", "https://[::1]:2379"]
        connect_timeout = "1500ms"
        live_hash = "off"
        [backup]
        reserve = 0x10
        [report]
        stale_after = "30d"
        "#,
    );
    assert!(!config.catch_up);
    assert_eq!(config.jitter, Duration::from_mins(90));
    assert_eq!(config.etcd.endpoints.len(), 2);
    assert_eq!(config.etcd.connect_timeout, Duration::from_millis(1500));
    assert_eq!(config.etcd.live_hash, etcd::LiveHash::Off);
    assert_eq!(config.backup.reserve, 16);
    assert_eq!(config.report.stale_after, Some(Duration::from_hours(720)));
}

const A_DURATION: &str = r#"a duration above zero, such as "30s" or "1h 30m""#;
const TOP: &str =
    "schedule, timezone, catch_up, jitter, etcd, backup, pki, anomaly, retention, report";
const ETCD: &str = "endpoints, ca_file, cert_file, key_file, username, password_file, \
                    connect_timeout, stall_timeout, live_hash";
const A_SIZE: &str = r#"a size such as "1GiB", "500MB" or "0", or a number of bytes"#;

/// One wrong document each, and all that is said of it; `{}` stands for what is accepted.
#[rustfmt::skip]
const WRONG: &[(&str, &str, &str)] = &[
    // unknown keys
    ("shcedule = 'x'", "line 1, column 1: shcedule: unknown key; accepted: {}\n  hint: Did you mean `schedule`?", TOP),
    ("frobnicate = 1", "line 1, column 1: frobnicate: unknown key; accepted: {}", TOP),
    ("stall_timeout = '1s'", "line 1, column 1: stall_timeout: unknown key; accepted: {}\n  hint: `stall_timeout` belongs in [etcd].", TOP),
    ("[etcd]\nschedule = '* * * * *'", "line 2, column 1: etcd.schedule: unknown key; accepted: {}\n  hint: `schedule` belongs at the top, before the first [table].", ETCD),
    ("[backup]\nstal_timeout = '1s'", "line 2, column 1: backup.stal_timeout: unknown key; accepted: {}\n  hint: Did you mean `stall_timeout` in [etcd]?", "dir, reserve, require_mount, reverify"),
    ("[backup]\ntimezon = 'UTC'", "line 2, column 1: backup.timezon: unknown key; accepted: {}\n  hint: Did you mean `timezone` at the top, before the first [table]?", "dir, reserve, require_mount, reverify"),
    ("[etcd]\ncert = '/a'", "line 2, column 1: etcd.cert: unknown key; accepted: {}\n  hint: Did you mean `cert_file`?", ETCD),
    ("[etc]\nx = 1", "line 1, column 2: etc: unknown key; accepted: {}\n  hint: Did you mean `etcd`?", TOP),
    ("[etcd]\npassword = 'hunter2'", "line 2, column 1: etcd.password: unknown key; accepted: {}\n  hint: Secrets do not stand in this file: write the password into a file of its own and name that with password_file in [etcd].", ETCD),
    ("'a b' = 1", "line 1, column 1: \"a b\": unknown key; accepted: {}", TOP),
    // wrong types
    ("catch_up = 'yes'", "line 1, column 12: catch_up = \"yes\": expected a boolean, found text; accepted: {}", "true or false"),
    ("etcd = 3", "line 1, column 1: etcd: expected a table, found a number; accepted: {}", "[etcd]"),
    ("[[backup]]\ndir = '/a'", "line 1, column 3: backup: expected a table, found a list; accepted: {}", "[backup]"),
    ("[backup]\ndir = 1", "line 2, column 7: backup.dir = 1: expected text in quotes, found a number; accepted: {}", "the absolute path of a directory"),
    ("[backup]\nreserve = true", "line 2, column 11: backup.reserve = true: expected a size in quotes or a number of bytes, found a boolean; accepted: {}", A_SIZE),
    ("[etcd]\nstall_timeout = 30", "line 2, column 17: etcd.stall_timeout = 30: expected a duration in quotes, found a number; accepted: {}\n  hint: Did you mean \"30s\"?", A_DURATION),
    ("[etcd]\nstall_timeout = 1979-05-27", "line 2, column 17: etcd.stall_timeout: expected a duration in quotes, found a date; accepted: {}", A_DURATION),
    // durations
    ("[etcd]\nstall_timeout = '30'", "line 2, column 17: etcd.stall_timeout = \"30\": the unit is missing; accepted: {}\n  hint: Did you mean \"30s\"?", A_DURATION),
    ("[etcd]\nstall_timeout = '30 sec'", "line 2, column 17: etcd.stall_timeout = \"30 sec\": not a unit of time (ms, s, m, h, d, w); accepted: {}\n  hint: Did you mean \"30s\"?", A_DURATION),
    ("[etcd]\nstall_timeout = '-5s'", "line 2, column 17: etcd.stall_timeout = \"-5s\": negative; accepted: {}", A_DURATION),
    ("[etcd]\nstall_timeout = '0s'", "line 2, column 17: etcd.stall_timeout = \"0s\": zero makes no sense here; accepted: {}", A_DURATION),
    ("[etcd]\nstall_timeout = ''", "line 2, column 17: etcd.stall_timeout = \"\": is empty; accepted: {}", A_DURATION),
    ("[etcd]\nstall_timeout = '1.5h'", "line 2, column 17: etcd.stall_timeout = \"1.5h\": not a whole number; accepted: {}", A_DURATION),
    ("[etcd]\nstall_timeout = '30m 1h'", "line 2, column 17: etcd.stall_timeout = \"30m 1h\": the units must go from the largest to the smallest, each once; accepted: {}", A_DURATION),
    ("[report]\nstale_after = '99999999999999d'", "line 2, column 15: report.stale_after = \"99999999999999d\": longer than ten years; accepted: {}", A_DURATION),
    // sizes
    ("[backup]\nreserve = '1G'", "line 2, column 11: backup.reserve = \"1G\": not a unit of size (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB); accepted: {}\n  hint: Did you mean \"1GiB\"?", A_SIZE),
    ("[backup]\nreserve = -1", "line 2, column 11: backup.reserve = -1: negative; accepted: {}", A_SIZE),
    ("[backup]\nreserve = '99999999TiB'", "line 2, column 11: backup.reserve = \"99999999TiB\": too large; accepted: {}", A_SIZE),
    ("[backup]\nreserve = '1GiB 2MiB'", "line 2, column 11: backup.reserve = \"1GiB 2MiB\": not one number and one unit; accepted: {}", A_SIZE),
    ("[backup]\nreserve = 99999999999999999999999", "line 2, column 11: backup.reserve = 99999999999999999999999: too large; accepted: {}", A_SIZE),
    // choices, paths
    ("[etcd]\nlive_hash = 'atuo'", "line 2, column 13: etcd.live_hash = \"atuo\": not one of the choices; accepted: {}\n  hint: Did you mean \"auto\"?", "\"auto\", \"require\" or \"off\""),
    ("[backup]\ndir = 'backup'", "line 2, column 7: backup.dir = \"backup\": not an absolute path; accepted: {}\n  hint: Begin the path with a slash.", "the absolute path of a directory"),
    ("[etcd]\nkey_file = '~/key'", "line 2, column 12: etcd.key_file = \"~/key\": not an absolute path; accepted: {}\n  hint: `~` means nothing here: write the directory out, such as /root.", "the absolute path of a file"),
    ("[etcd]\nca_file = ''", "line 2, column 11: etcd.ca_file = \"\": the path is empty; accepted: {}", "the absolute path of a file"),
    ("[etcd]\nca_file = \"/a\\u0000\"", "line 2, column 11: etcd.ca_file = \"/a\\0\": a path cannot hold a zero byte; accepted: {}", "the absolute path of a file"),
    // login
    ("[etcd]\nusername = 'root'", "line 2, column 1: etcd.username: given without etcd.password_file; accepted: {}\n  hint: Add password_file to [etcd], or remove both.", "username and password_file together, or neither"),
    ("[etcd]\npassword_file = '/p'", "line 2, column 1: etcd.password_file: given without etcd.username; accepted: {}\n  hint: Add username to [etcd], or remove both.", "username and password_file together, or neither"),
    ("[etcd]\nusername = ' '\npassword_file = '/p'", "line 2, column 12: etcd.username = \" \": the text is empty; accepted: {}", "a name, not empty"),
    // numbers
    ("[retention]\nkeep_last = -1\nmin_verified = 0", "line 2, column 13: retention.keep_last = -1: negative; accepted: {}\nline 3, column 16: retention.min_verified = 0: too small; accepted: a whole number from 1 to 1000000", "a whole number from 0 to 1000000"),
    ("[pki]\nfiles = ['/a', 'b', 3]", "line 2, column 16: pki.files[1] = \"b\": not an absolute path; accepted: {0}\n  hint: Begin the path with a slash.\nline 2, column 21: pki.files[2] = 3: expected text in quotes, found a number; accepted: {0}", "a list of absolute paths of files, each with a name of its own"),
    ("[pki]\nfiles = ['/k/ca.crt', '/k/etcd/ca.crt', '/', '/k/.ca.key']", "line 2, column 23: pki.files[1] = \"/k/etcd/ca.crt\": another file of the list has the same name; accepted: {0}\n  hint: Make a symbolic link to it that has another name, and list that.\nline 2, column 41: pki.files[2] = \"/\": not the path of a file that is not hidden; accepted: {0}\nline 2, column 46: pki.files[3] = \"/k/.ca.key\": not the path of a file that is not hidden; accepted: {0}", "a list of absolute paths of files, each with a name of its own"),
    // not in this version
    ("[seal]\ncompression = 'zstd'", "line 2, column 1: seal.compression = \"zstd\": not available in this version: backups are neither compressed nor encrypted; accepted: {}\n  hint: Remove it, so that nobody relies on what does not happen.", "\"none\""),
    ("[seal]\nrecipients = ['age1abc']", "line 2, column 1: seal.recipients: not available in this version: backups are neither compressed nor encrypted; accepted: {}\n  hint: Remove it, so that nobody relies on what does not happen.", "[]"),
    ("[[remote]]\nurl = 's3://key:secret@b'\n[[remote]]\nurl = 's3://c'", "line 1, column 3: remote: not available in this version: backups are not copied off this host\n  hint: Remove it, so that nobody relies on what does not happen.", ""),
    ("[report]\nmetrics_listen = '127.0.0.1:1'\nwebhook_url = 'https://x/secret'", "line 2, column 1: report.metrics_listen = \"127.0.0.1:1\": not available in this version: no metrics are written\n  hint: Remove it, so that nobody relies on what does not happen.\nline 3, column 1: report.webhook_url: not available in this version: nobody is notified\n  hint: Remove it, so that nobody relies on what does not happen.", ""),
    // not TOML
    ("a = 1\na = 2", "line 2, column 1: not valid TOML: duplicate key", ""),
];

#[test]
fn every_mistake_is_told_with_its_place_and_remedy() {
    for (text, wanted, accepted) in WRONG {
        let wanted = wanted.replace("{}", accepted).replace("{0}", accepted);
        assert_eq!(lines(&bad(text)), wanted, "{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let problems = bad(
        "shcedule = 'x'\ntimezone = ''\n[retention]\nkeep_weekl = 2\n[backup]\ndir = 'x'\nreserve = '1XB'\n\
         [etcd]\nendpoints = []\nlive_hash = 'on'\n",
    );
    let keys: Vec<_> = problems
        .iter()
        .map(|found| (found.key.as_str(), found.line))
        .collect();
    assert_eq!(
        keys,
        [
            ("shcedule", Some(1)),
            ("timezone", Some(2)),
            ("retention.keep_weekl", Some(4)),
            ("backup.dir", Some(6)),
            ("backup.reserve", Some(7)),
            ("etcd.endpoints", Some(9)),
            ("etcd.live_hash", Some(10)),
        ]
    );
}

#[test]
fn a_wrong_endpoint_is_told_by_its_place_in_the_list() {
    for (text, places) in [
        ("['https://a:2379', 'b:2379']", &["etcd.endpoints[1]"][..]),
        (
            "['https://a:2379/x', 'https://b', 'ftp://c:1']",
            &[
                "etcd.endpoints[0]",
                "etcd.endpoints[1]",
                "etcd.endpoints[2]",
            ],
        ),
        (
            "['https://a:2379', 'https://a:2379']",
            &["etcd.endpoints[1]"],
        ),
        ("['https://a:2379', 'http://b:2379']", &["etcd.endpoints"]),
        ("['https://user:hunter2@a:2379']", &["etcd.endpoints[0]"]),
        ("[]", &["etcd.endpoints"]),
        ("'https://a:2379'", &["etcd.endpoints"]),
        ("[['https://a:2379']]", &["etcd.endpoints[0]"]),
    ] {
        let problems = bad(&format!("[etcd]\nendpoints = {text}"));
        let keys: Vec<&str> = problems.iter().map(|found| found.key.as_str()).collect();
        assert_eq!(keys, places, "{text}");
        assert!(
            !lines(&problems).contains("hunter2"),
            "{}",
            lines(&problems)
        );
    }
    let [problem] = &bad("[etcd]\nendpoints = ['b:2379']")[..] else {
        panic!("one problem")
    };
    assert_eq!(problem.value.as_deref(), Some("\"b:2379\""));
    assert_eq!(
        problem.hint.as_deref(),
        Some("Did you mean \"https://b:2379\"?")
    );
}

#[test]
fn a_wrong_schedule_and_a_wrong_zone_are_told_together() {
    let problems = bad("schedule = '61 *'\ntimezone = 'Not A Zone'");
    let keys: Vec<&str> = problems.iter().map(|found| found.key.as_str()).collect();
    assert_eq!(keys, ["schedule", "timezone"]);
}

#[test]
fn a_syntax_error_comes_with_a_picture() {
    let problems = bad("schedule = '0 * * * *'\n[etcd]\nstall_timeout = 30s\n");
    assert_eq!(
        lines(&problems),
        "line 3, column 17: not valid TOML: string values must be quoted, expected literal string\n  \
         |\n3 | stall_timeout = 30s\n  |                 ^^^"
    );
    assert_eq!(problems[0].line, Some(3));
}

#[test]
fn what_may_be_a_secret_is_never_shown() {
    for text in [
        "password = 'hunter2'",
        "[etcd]\npassword = 'hunter2'",
        "[etcd]\npassword = 'hunter2",
        "[etcd]\npassword 'hunter2'",
        "[etcd]\n\"password\" = hunter2",
        "[etcd]\npassword = '''\nhunter2",
        "etcd = { password = 'hunter2 }",
        "[hunter]\nx = ['hunter2']",
        "[seal]\nrecipients = ['hunter2']",
        "[report]\nwebhook_url = 'https://hunter2'",
        "[report]\nheartbeat_url = 'hunter2",
        "[[remote]]\nurl = 's3://hunter2@b'",
        "[etcd]\nca_file = 'https://a:hunter2@b'",
    ] {
        let problems = bad(text);
        assert!(
            !lines(&problems).contains("hunter2"),
            "{}",
            lines(&problems)
        );
        let json = serde_json::to_string(&problems).expect("problems serialise");
        assert!(!json.contains("hunter2"), "{json}");
    }
}

#[test]
fn a_policy_without_a_rule_is_warned_of() {
    let text = "[retention]\nmin_verified = 2\nkeep_last = 0\nkeep_daily = 0\nkeep_weekly = 0\n";
    let warnings = good(text).warnings;
    assert_eq!(
        lines(&warnings),
        "line 5, column 1: retention.keep_weekly: no rule keeps anything: of all backups the 2 newest verified and \
         the pinned ones stay\n  hint: Give at least one keep_ key a value above 0, such as keep_last = 24."
    );
    assert!(
        warnings
            .iter()
            .all(|found| found.severity == Severity::Warning)
    );
    for rule in ["keep_within = '1h'", "keep_hourly = 1", "keep_yearly = 1"] {
        assert!(good(&format!("{text}{rule}")).warnings.is_empty(), "{rule}");
    }
}

#[test]
fn the_policy_is_that_of_the_file_in_the_zone_of_the_schedule() {
    let default = good("").retention;
    assert_eq!(
        (
            default.keep_last,
            default.keep_daily,
            default.keep_weekly,
            default.min_verified
        ),
        (24, 7, 4, 3)
    );
    let rest = [
        default.keep_hourly,
        default.keep_monthly,
        default.keep_yearly,
    ];
    assert_eq!(rest, [0; 3]);
    assert_eq!(
        (default.keep_within, default.max_total_size),
        (Duration::ZERO, 0)
    );
    let policy = good(
        "timezone = 'Europe/Berlin'\n[retention]\nkeep_last = 1\nkeep_within = '2d'\nkeep_hourly = 3\n\
         keep_daily = 4\nkeep_weekly = 5\nkeep_monthly = 6\nkeep_yearly = 7\nmax_total_size = '8GiB'\nmin_verified = 9\n",
    )
    .retention;
    let expected = Policy {
        keep_last: 1,
        keep_within: Duration::from_hours(48),
        keep_hourly: 3,
        keep_daily: 4,
        keep_weekly: 5,
        keep_monthly: 6,
        keep_yearly: 7,
        max_total_size: 8 << 30,
        min_verified: 9,
        zone: jiff::tz::TimeZone::get("Europe/Berlin").unwrap(),
    };
    assert_eq!(policy, expected);
}

#[test]
fn a_problem_as_json_has_the_names_that_scripts_rely_on() {
    let problems = bad("[etcd]\nlive_hash = 'on'");
    let json = serde_json::to_value(&problems[0]).expect("a problem serialises");
    assert_eq!(
        json,
        serde_json::json!({
            "key": "etcd.live_hash",
            "line": 2,
            "column": 13,
            "value": "\"on\"",
            "message": "not one of the choices",
            "accepted": "\"auto\", \"require\" or \"off\"",
            "hint": null,
            "severity": "error",
        })
    );
}

#[test]
fn thousands_of_mistakes_are_counted_not_told() {
    let lines: Vec<String> = (0..20_000).map(|n| format!("unknown{n} = {n}")).collect();
    let problems = bad(&lines.join("\n"));
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100].to_string(), "and 19900 more problems");
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    let dots = "a.".repeat(400_000);
    let half = "a.".repeat(256);
    let lines = format!("{}b = {{\n", "a.".repeat(8)).repeat(79);
    for text in [
        "schedule = ".to_owned() + &"[".repeat(1_000_000),
        "schedule = ".to_owned() + &"{a=".repeat(300_000),
        format!("{dots}a = 1"),
        format!("[{dots}a]"),
        format!("[{half}a]\n{half}b = 1\n"),
        format!("[{half}a]\n{half}b = 1\n{lines}{}", "}".repeat(79)),
        format!("x = {{ {half}b = {{ {half}c = 1 }} }}\n"),
    ] {
        assert!(!bad(&text).is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("config.toml");

    let missing = load(&path).expect_err("missing");
    assert!(matches!(missing, Error::Missing { .. }));
    assert!(missing.to_string().contains("config.toml"));
    assert!(missing.hint().expect("a hint").contains("--config"));

    assert!(matches!(
        load(dir.path()).expect_err("a directory"),
        Error::NotAFile { .. }
    ));
    assert!(matches!(
        load(Path::new("/dev/zero")).expect_err("a device"),
        Error::NotAFile { .. }
    ));

    write(&path, b"schedule = '0 * * * *'\n# \xff\n");
    assert!(matches!(
        load(&path).expect_err("not text"),
        Error::NotUtf8 { line: 2, .. }
    ));

    write(&path, &vec![b'\n'; 1 << 20]);
    assert!(load(&path).is_ok());
    write(&path, &vec![b'\n'; (1 << 20) + 1]);
    assert!(matches!(
        load(&path).expect_err("too large"),
        Error::TooLarge { .. }
    ));

    write(&path, b"nonsense = 1");
    assert!(matches!(
        load(&path).expect_err("a problem"),
        Error::Problems { .. }
    ));

    write(&path, b"");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("chmod");
    // root reads it all the same
    assert!(matches!(load(&path), Ok(_) | Err(Error::Denied { .. })));
}

#[expect(clippy::disallowed_methods, reason = "a file of this test alone")]
fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("the file is written");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,400}") {
        let _ = parsed(&text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parsed(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_value_of_a_known_key_makes_it_panic(
        at in 0..file::KEYS.len(),
        value in prop_oneof![
            "\"[^\"\\\\\\p{Cc}]{0,40}\"",
            "'[0-9]{0,25} ?[a-zA-Z]{0,4}'",
            "-?[0-9]{1,45}",
            "\\['[^'\\p{Cc}]{0,20}', 3\\]",
            "\\{ a = 1 \\}",
            any::<f64>().prop_map(|number| format!("{number:?}")),
        ],
    ) {
        let key = &file::KEYS[at];
        let text = format!("{} = {value}", key.path());
        if let Err(problems) = parsed(&text) {
            prop_assert!(problems.iter().any(|found| found.severity == Severity::Error));
            let _ = lines(&problems);
        }
    }

    #[test]
    fn pieces_of_a_real_file_in_any_order_do_not_make_it_panic(
        pieces in proptest::collection::vec((0..EXTERNAL.len(), 0..80_usize), 0..12),
    ) {
        let mut text = String::new();
        for (start, length) in pieces {
            text.extend(EXTERNAL.chars().skip(start).take(length));
        }
        let _ = parsed(&text);
    }

    #[test]
    fn what_is_filled_in_is_read_back_and_nothing_else(name in any::<String>()) {
        let path = format!("/{}/ca.crt", name.replace('\0', ""));
        let text = filled_in(&[
            ("etcd.ca_file", Value::Text(path.clone())),
            ("pki.files", Value::List(vec![path.clone(), "/ca.key".into()])),
        ]);
        prop_assert_eq!(text.lines().count(), INSTALLED.lines().count());
        let config = good(&text);
        prop_assert_eq!(config.etcd.ca_file.to_str(), Some(path.as_str()));
        prop_assert_eq!(config.pki.files[0].to_str(), Some(path.as_str()));
        let defaults = good("");
        prop_assert_eq!(config.etcd.cert_file, defaults.etcd.cert_file);
        prop_assert_eq!(config.backup, defaults.backup);
    }

    #[test]
    fn a_size_is_what_it_says(number in 0_u64..1 << 20) {
        prop_assert_eq!(good(&format!("[backup]\nreserve = '{number}MiB'")).backup.reserve, number << 20);
        prop_assert_eq!(good(&format!("[backup]\nreserve = {number}")).backup.reserve, number);
    }
}
