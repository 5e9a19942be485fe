//! What a wrong configuration or command line gets: everything that is wrong, at once, and no secret of it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::command::{Host, Output, binary, run};
use crate::support::etcd::{Etcd, Version};
use crate::support::fake::{Fake, Script};
use crate::support::kept::{golden, told};

/// Runs a command on a host, whose keys are never told, and looks for further secrets in all that it says.
#[track_caller]
fn discreet(host: &Host, args: &[&str], secrets: &[&str]) -> Output {
    let output = host.run(args);
    for secret in secrets {
        output.assert_silent_on(secret);
    }
    output
}

/// A host with this text for its configuration.
fn host_with(text: &str) -> Host {
    let host = Host::new();
    fs::write(&host.config, text).unwrap();
    host
}

/// A configuration in which nearly everything is wrong.
const WRONG: &str = "\
shedule = \"0 * * * *\"
timezone = \"Europe/Berln\"
jitter = 5

[etc]
endpoints = []

[etcd]
endpoint = \"https://127.0.0.1:2379\"
endpoints = [\"https://127.0.0.1:2379/health\", \"127.0.0.1:2379\", \"https://a:2379\", \"https://a:2379\"]
stall-timeout = \"30s\"
connect_timeout = \"10sec\"
live_hash = \"required\"
keyfile = \"/etc/k\"

[backup]
dir = \"backups\"
reserve = \"1G\"
keep_last = 3
";

/// Its mistakes: the line, the key, and words of what is told with it.
const MISTAKES: &[(usize, &str, &str)] = &[
    (1, "shedule", "`schedule`"),
    (2, "timezone", "Europe/Berlin"),
    (3, "jitter", "\"5s\""),
    (5, "etc", "`etcd`"),
    (9, "etcd.endpoint", "`endpoints`"),
    (10, "etcd.endpoints[0]", "scheme://host:port"),
    (10, "etcd.endpoints[1]", "https://127.0.0.1:2379"),
    (10, "etcd.endpoints[3]", "listed twice"),
    (11, "etcd.stall-timeout", "`stall_timeout`"),
    (12, "etcd.connect_timeout", "\"10s\""),
    (13, "etcd.live_hash", "\"require\""),
    (14, "etcd.keyfile", "`key_file`"),
    (17, "backup.dir", "Begin the path with a slash"),
    (18, "backup.reserve", "1GiB"),
    (19, "backup.keep_last", ""),
];

#[test]
fn every_mistake_is_told_at_once_with_its_line_and_what_was_meant() {
    let host = host_with(WRONG);
    for command in ["check", "backup", "list", "status"] {
        let output = discreet(&host, &[command], &[]).expect_code(78);
        assert!(output.stdout.is_empty(), "{output}");
        assert!(
            output.stderr.contains(host.config.to_str().unwrap()),
            "{output}"
        );
        let lines: Vec<&str> = output.stderr.lines().collect();
        for (line, key, meant) in MISTAKES {
            let place = format!("line {line}, ");
            let is_it = |text: &&str| text.contains(&place) && text.contains(key);
            let at = lines.iter().position(is_it);
            let at = at.unwrap_or_else(|| panic!("{place}{key}: {output}"));
            let and_hint = lines[at..lines.len().min(at + 3)].join("\n");
            assert!(and_hint.contains(meant), "{key}, {meant}: {output}");
        }
    }
    let document = discreet(&host, &["check", "--json"], &[])
        .expect_code(78)
        .json();
    assert_eq!(document["ok"], false);
    let problems = document["problems"].as_array().unwrap().iter();
    let problems: Vec<&Value> = problems
        .filter(|problem| problem["severity"] == "error")
        .collect();
    assert_eq!(problems.len(), MISTAKES.len(), "{document:#}");
    for (problem, (line, key, _)) in problems.into_iter().zip(MISTAKES) {
        assert_eq!(
            (&problem["line"], &problem["key"]),
            (&(*line).into(), &(*key).into())
        );
    }
}

#[test]
fn an_endpoint_that_is_none_is_refused_before_anything_is_asked() {
    for (endpoints, said) in [
        ("[]", "empty"),
        ("[\"https://127.0.0.1:2379/\"]", "path"),
        ("[\"https://127.0.0.1:2379/v3\"]", "path"),
        ("[\"127.0.0.1:2379\"]", "scheme"),
        ("[\"localhost\"]", "scheme"),
        ("[\"https://127.0.0.1\"]", "port"),
        ("[\"https://127.0.0.1:99999\"]", "port"),
        ("[\"ftp://127.0.0.1:2379\"]", "scheme"),
        (
            "[\"https://127.0.0.1:2379\", \"https://127.0.0.1:2379\"]",
            "listed twice",
        ),
        (
            "[\"https://127.0.0.1:2379\", \"HTTPS://127.0.0.1:2379\"]",
            "listed twice",
        ),
        (
            "[\"https://127.0.0.1:2379\", \"http://127.0.0.2:2379\"]",
            "mixed",
        ),
        ("[\"https://root:tomsecret@127.0.0.1:2379\"]", ""),
        ("[\"\"]", ""),
        ("\"https://127.0.0.1:2379\"", "list"),
        ("[2379]", "text"),
    ] {
        let host = host_with(&format!("[etcd]\nendpoints = {endpoints}\n"));
        let output = discreet(&host, &["backup"], &["tomsecret"]);
        let output = output.expect_code(78);
        assert!(output.stderr.contains("line 2, "), "{endpoints}: {output}");
        assert!(output.stderr.contains(said), "{endpoints}: {output}");
        assert!(
            output.stderr.contains("accepted: "),
            "{endpoints}: {output}"
        );
    }
}

#[test]
fn a_file_that_is_no_configuration_is_told_so() {
    let host = Host::new();
    let at = |name: &str| host.directory().join(name);
    let paths = [
        "missing",
        "directory",
        "pipe",
        "binary",
        "huge",
        "empty",
        "broken",
    ]
    .map(at);
    let [missing, directory, pipe, binary, huge, empty, broken] = &paths;
    fs::create_dir(directory).unwrap();
    run(Command::new("mkfifo").arg(pipe)).expect_success();
    fs::write(binary, b"schedule = \"0 * * * *\"\n\xff\xfe").unwrap();
    File::create(huge).unwrap().set_len(2 << 20).unwrap();
    fs::write(empty, "").unwrap();
    fs::write(broken, "schedule = \"0 * * * *\"\n[etcd\n").unwrap();
    for (path, said) in [
        (missing, "there is no configuration file"),
        (directory, "is not a regular file"),
        (pipe, "is not a regular file"),
        (binary, "line 2"),
        (huge, "larger than 1 MiB"),
        (broken, "line 2, "),
        (&"/dev/zero".into(), "is not a regular file"),
    ] {
        for command in ["backup", "check", "list"] {
            let output = with_config(path, &[command]).expect_code(78);
            assert!(output.stderr.contains("error: "), "{output}");
            assert!(output.stderr.contains(said), "{output}");
            assert!(output.stdout.is_empty(), "{output}");
        }
    }
    // an empty file means the defaults; what these ask for is not on this host
    with_config(empty, &["check", "--offline", "--json"]).json();
}

fn with_config(path: &Path, args: &[&str]) -> Output {
    run(Command::new(binary()).args(args).arg("--config").arg(path))
}

#[test]
fn a_key_that_cannot_be_used_is_named_and_never_told() {
    let host = Host::new();
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    let at = |name: &str, content: &str| {
        let path = host.directory().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let good = fs::read_to_string(&host.pki.client.key).unwrap();
    let pipe = host.directory().join("pipe");
    run(Command::new("mkfifo").arg(&pipe)).expect_success();
    let half: String = good.lines().take(2).collect::<Vec<_>>().join("\n");
    let cases = [
        (host.directory().join("missing.key"), "missing.key"),
        (host.directory().to_owned(), "cannot be read"),
        (pipe, "not a regular file"),
        ("/dev/zero".into(), "not a regular file"),
        (at("empty.key", ""), "empty.key"),
        (at("half.key", &half), "half.key"),
        (at("text.key", "tomsecret"), "text.key"),
        (host.pki.client.cert.clone(), "healthcheck-client.crt"),
        (host.pki.mismatched_client().key, "mismatched-client.key"),
    ];
    for (key, said) in &cases {
        let mut pair = host.pki.client.clone();
        pair.key.clone_from(key);
        host.configure_as(&[server.endpoint()], &pair, "");
        let output = told(discreet(&host, &["backup"], &["tomsecret"]), 78);
        assert!(output.stderr.contains(said), "{output}");
        let output = discreet(&host, &["check", "--json"], &["tomsecret"]).expect_code(78);
        assert_eq!(output.json()["ok"], false, "{output}");
        assert!(output.stdout.contains(said), "{output}");
    }
    // the key where the certificate belongs, and where the CA does
    let mut swapped = host.pki.client.clone();
    std::mem::swap(&mut swapped.cert, &mut swapped.key);
    host.configure_as(&[server.endpoint()], &swapped, "");
    told(discreet(&host, &["backup"], &[]), 78);
    discreet(&host, &["check", "--json"], &[])
        .expect_code(78)
        .json();
    assert_eq!(server.asked().snapshot, 0);
}

#[test]
fn a_password_is_never_told() {
    let host = Host::new();
    let etcd = Etcd::start(Version::V3_5, &host.pki);
    etcd.enable_auth("correct horse battery");
    let secrets = ["correct horse battery", "tomsecret"];
    let password = host.directory().join("password");
    // a certificate without a name that etcd could take for a user
    let more = format!(
        "username = \"root\"\npassword_file = {}",
        serde_json::json!(password)
    );
    host.configure_as(&[etcd.endpoint()], &host.pki.client, &more);
    for (content, code) in [
        ("tomsecret\n", 77),
        ("", 78),
        ("correct horse battery\n", 0),
    ] {
        fs::write(&password, content).unwrap();
        discreet(&host, &["backup"], &secrets).expect_code(code);
        let output = discreet(&host, &["check", "--json"], &secrets).expect_code(code);
        assert_eq!(output.json()["ok"], code == 0, "{output}");
        discreet(&host, &["status"], &secrets);
    }
    // what is no file is neither waited for nor read for ever
    fs::remove_file(&password).unwrap();
    let in_its_place = [
        Command::new("true"),
        made("mkfifo", &[], &password),
        made("ln", &["-sf", "/dev/zero"], &password),
        made("ln", &["-sfn", "/"], &password),
    ];
    for mut make in in_its_place {
        run(&mut make).expect_success();
        let output = told(discreet(&host, &["backup"], &secrets), 78);
        assert!(
            output.stderr.contains(password.to_str().unwrap()),
            "{output}"
        );
        discreet(&host, &["check", "--json"], &secrets)
            .expect_code(78)
            .json();
    }
    discreet(&host, &["show", "latest"], &secrets).expect_success();
    discreet(&host, &["list", "--json"], &secrets).expect_success();
}

#[test]
fn a_secret_in_the_wrong_place_is_never_told() {
    for text in [
        "[etcd]\npassword = \"tomsecret\"\n",
        "[etcd]\npassword = tomsecret\n",
        "[etcd]\npassword_file = \"tomsecret\"\n",
        "[etcd]\nusername = \"root\npassword = \"tomsecret\"\n",
        "password = \"tomsecret\n",
        "tomsecret\n",
        "[report]\nwebhook_url = \"https://hooks.example/tomsecret\"\n",
        "[report]\nheartbeat_url = https://hooks.example/tomsecret\n",
    ] {
        let host = host_with(text);
        let is_path = text.contains("password_file");
        let secrets: &[&str] = if is_path { &[] } else { &["tomsecret"] };
        discreet(&host, &["check"], secrets).expect_code(78);
        discreet(&host, &["backup"], secrets).expect_code(78);
        discreet(&host, &["check", "--json"], secrets)
            .expect_code(78)
            .json();
    }
    // nor a key that was named for a configuration
    let host = Host::new();
    let key = fs::read_to_string(&host.pki.client.key).unwrap();
    let output = discreet(&host_with(&key), &["check"], &[]).expect_code(78);
    key.lines()
        .skip(1)
        .for_each(|line| output.assert_silent_on(line));
}

fn made(program: &str, args: &[&str], path: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(args).arg(path);
    command
}

#[test]
fn a_check_in_json_is_one_document_whatever_it_finds() {
    let host = Host::new();
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    let check = |code: i32| {
        let output = discreet(&host, &["check", "--json"], &[]).expect_code(code);
        let document = output.json();
        assert_eq!(document["ok"], code == 0, "{output}");
        assert!(document["checks"].is_array() && document["problems"].is_array());
        document
    };
    host.configure(&[server.endpoint()]);
    check(0);
    let other = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    let gone = other.endpoint();
    drop(other);
    host.configure(&[gone]);
    check(69);
    host.configure(&[server.endpoint()]);
    fs::remove_dir(&host.backups).unwrap();
    check(73);
    fs::write(&host.config, "schedul = 5\n").unwrap();
    assert_eq!(check(78)["problems"][0]["line"], 1);
}

const COMMANDS: [&str; 16] = [
    "init", "daemon", "backup", "list", "show", "verify", "prune", "restore", "pin", "unpin",
    "accept", "status", "check", "schedule", "render", "generate",
];

fn program(args: &[&str]) -> Output {
    run(Command::new(binary()).args(args))
}

#[test]
fn every_command_has_help_with_an_example() {
    let all = program(&["--help"]).expect_success();
    assert!(all.stdout.contains("Example"), "{all}");
    let listed: Vec<&str> = all
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert_eq!(listed, COMMANDS);
    for command in COMMANDS {
        let help = program(&[command, "--help"]).expect_success();
        // nobody runs the daemon by hand: its example is the unit's
        let example = match command {
            "daemon" => "systemctl reload hypercloud-etcd".to_owned(),
            _ => format!("hypercloud-etcd {command}"),
        };
        // the usage names the command, too
        let examples = help.stdout.split("Example").nth(1).unwrap_or_default();
        assert!(examples.contains(&example), "{help}");
        assert!(help.stderr.is_empty(), "{help}");
    }
    let version = program(&["--version"]).expect_success();
    let told = version.stdout.trim();
    // and in brackets the commit, where it is known
    let number = told
        .strip_suffix(')')
        .and_then(|told| told.split_once(" ("));
    let number = number.map(|(number, _)| number);
    assert_eq!(
        number,
        Some(concat!("hypercloud-etcd ", env!("CARGO_PKG_VERSION"))),
        "{told}"
    );
}

#[test]
fn a_command_line_that_is_wrong_is_a_mistake_in_usage() {
    for args in [
        &[][..],
        &["--nonsense"],
        &["bakcup"],
        &["backup", "--nonsense"],
        &["backup", "extra"],
        &["show"],
        &["show", "latest", "--file", "/x"],
        &["show", "nonsense"],
        &["show", "latest~x"],
        &["verify", "latest", "--all"],
        &["verify", "--all", "--file", "/x"],
        &["verify", "@yesterday"],
        &["schedule", "--next", "0"],
        &["schedule", "--next", "x"],
        &["schedule", "--after", "yesterday"],
        &["generate"],
        &["generate", "completions", "tcsh-or-so"],
        &["list", "--config"],
    ] {
        let output = program(args).expect_code(64);
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{output}"
        );
    }
    let host = Host::new();
    host.configure(&["https://127.0.0.1:1".to_owned()]);
    // no backup is there to be named
    for args in [
        &["show", "latest"][..],
        &["show", "2026"],
        &["verify", "r5"],
    ] {
        told(host.run(args), 64);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let host = Host::new();
    let server = Fake::start(&host.pki, &golden("3.5.30"), Script::Faithful);
    host.configure(&[server.endpoint()]);
    host.run(&["backup"]).expect_success();
    let dir = TempDir::new().unwrap();
    // the end that nobody reads is closed before anything is said
    let code = |args: &[&str], errors_too: bool| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let errors = if errors_too {
            Stdio::from(writer.try_clone().unwrap())
        } else {
            Stdio::from(File::create(dir.path().join("stderr")).unwrap())
        };
        let mut command = host.command(args);
        let mut child = command.stdout(writer).stderr(errors).spawn().unwrap();
        child.wait().unwrap().code()
    };
    for args in [
        &["list"][..],
        &["list", "--json"],
        &["show", "latest"],
        &["status"],
        &["verify", "--all"],
        &["check"],
        &["backup"],
        &["--help"],
        &["schedule", "* * * * *", "--next", "10000"],
        &["generate", "completions", "bash"],
    ] {
        assert_eq!(code(args, false), Some(0), "{args:?}");
        let said = fs::read_to_string(dir.path().join("stderr")).unwrap();
        assert!(
            !said.contains("panicked") && !said.contains("error"),
            "{args:?}: {said}"
        );
        assert_eq!(
            code(args, true),
            Some(0),
            "{args:?}, with nobody to hear errors"
        );
    }
    // what fails still fails, with nobody to hear it
    fs::write(&host.config, "nonsense\n").unwrap();
    assert_eq!(code(&["list"], true), Some(78));
    assert_eq!(code(&["--nonsense"], true), Some(64));
}

#[test]
fn a_full_standard_output_is_a_failure() {
    let host = Host::new();
    host.configure(&["https://127.0.0.1:1".to_owned()]);
    for args in [
        &["list"][..],
        &["schedule", "--json"],
        &["generate", "completions", "fish"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let errors = host.directory().join("stderr");
        let mut command = host.command(args);
        command.stdout(full).stderr(File::create(&errors).unwrap());
        let code = command.spawn().unwrap().wait().unwrap().code();
        let said = fs::read_to_string(&errors).unwrap();
        assert_eq!(code, Some(73), "{args:?}: {said}");
        assert!(said.contains("the standard output"), "{said}");
    }
}

/// A man page as a person reads it; panics where groff has anything to say against it.
#[track_caller]
fn rendered(page: &Path) -> String {
    // what `man --warnings` calls, without a pager, bold and lines that end early
    let output = run(Command::new("groff")
        .args(["-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=400n"])
        .arg(page))
    .expect_success();
    assert!(output.stderr.is_empty(), "{}: {output}", page.display());
    output.stdout
}

#[test]
fn man_pages_are_written_and_render_without_a_warning() {
    let dir = TempDir::new().unwrap();
    program(&["generate", "man", dir.path().to_str().unwrap()]).expect_success();
    let mut pages: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|page| page.unwrap().path())
        .collect();
    pages.sort();
    let names: Vec<&str> = pages
        .iter()
        .map(|page| page.file_name().unwrap().to_str().unwrap())
        .collect();
    assert!(
        names.contains(&"hypercloud-etcd.1") && names.contains(&"hypercloud-etcd.toml.5"),
        "{names:?}"
    );
    for command in COMMANDS {
        assert!(
            names.contains(&format!("hypercloud-etcd-{command}.1").as_str()),
            "{names:?}"
        );
    }
    for page in &pages {
        let text = rendered(page);
        for section in ["NAME", "SYNOPSIS", "EXAMPLES", "FILES", "SEE ALSO"] {
            let stands = text.lines().any(|line| line == section);
            assert!(stands, "{}: {section}: {text}", page.display());
        }
        let is_command = page.extension().is_some_and(|end| end == "1");
        let tells = |code: &&str| text.lines().any(|line| line.trim().starts_with(code));
        assert!(
            !is_command || ["EXIT STATUS", "0 ", "65 ", "78 "].iter().all(tells),
            "{}: {text}",
            page.display()
        );
    }
    let restore = unbroken(&rendered(&dir.path().join("hypercloud-etcd-restore.1")));
    assert!(
        restore.contains("[--data-dirDIR]") && restore.contains("[-h|--help][SELECTOR]"),
        "{restore}"
    );
    let missing = dir.path().join("missing");
    let output = program(&["generate", "man", missing.to_str().unwrap()]).expect_code(73);
    assert!(
        output.stderr.contains(missing.to_str().unwrap()),
        "{output}"
    );
}

/// A text as it was before it was set in lines.
fn unbroken(text: &str) -> String {
    let is_layout = |letter: char| letter.is_whitespace() || letter == '\u{2010}';
    text.chars().filter(|letter| !is_layout(*letter)).collect()
}

/// The keys of the installed default, which people copy from, are those of the manual.
#[test]
fn the_manual_has_every_key_with_its_default_as_the_installed_file_has_it() {
    let dir = TempDir::new().unwrap();
    program(&["generate", "man", dir.path().to_str().unwrap()]).expect_success();
    let page = rendered(&dir.path().join("hypercloud-etcd.toml.5"));
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hypercloud-etcd.toml");
    let (mut table, mut keys) = (String::new(), 0);
    for line in fs::read_to_string(default).unwrap().lines() {
        if line.starts_with('[') {
            line.clone_into(&mut table);
        }
        let key = line
            .strip_prefix('#')
            .and_then(|line| line.split_once(" = "));
        let Some((name, value)) = key.filter(|(name, _)| !name.contains(' ')) else {
            continue;
        };
        // the part of the page below the heading of its table
        let part = page.split_once(&format!("\n   {table}\n"));
        let part = part.map_or(page.as_str(), |(_, below)| below);
        let entry = part
            .split_once(&format!(" {name} ("))
            .and_then(|(_, entry)| entry.split_once("\n\n"));
        let entry = entry.unwrap_or_else(|| panic!("{table} {name}: {page}")).0;
        let (entry, value) = (unbroken(entry), unbroken(value));
        let told = [
            format!(";default{value})"),
            format!("Default:{value}."),
            ";nodefault)".to_owned(),
        ];
        assert!(
            told.iter().any(|told| entry.contains(told)),
            "{table} {name}: {entry}"
        );
        keys += 1;
    }
    assert!(keys > 15, "{keys}");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = program(&["generate", "completions", shell])
            .expect_success()
            .stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("offline"), "{shell}");
    }
    // and a shell that asks is answered
    let script = program(&["generate", "completions", "bash"])
        .expect_success()
        .stdout;
    let ask = "\nCOMP_WORDS=(hypercloud-etcd ver); COMP_CWORD=1; COMPREPLY=()\n\
               \"$(complete -p hypercloud-etcd | sed 's/.*-F \\([^ ]*\\).*/\\1/')\" hypercloud-etcd ver hypercloud-etcd\n\
               echo \"${COMPREPLY[@]}\"\n";
    let output = run(Command::new("bash")
        .args(["--norc", "-c"])
        .arg(script + ask));
    assert_eq!(output.expect_success().stdout.trim(), "verify");
}

#[test]
fn the_schedule_command_agrees_with_the_golden_vectors() {
    let vectors = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cron-vectors.jsonl"),
    )
    .unwrap();
    let vectors: Vec<Value> = vectors
        .lines()
        .step_by(37)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(vectors.len() > 90);
    let at = |time: &Value| time.as_str().unwrap().parse::<Timestamp>().unwrap();
    let mut agreed = 0;
    for vector in &vectors {
        let text = |name: &str| vector[name].as_str().unwrap_or_default();
        let (class, never_runs) = (text("class"), vector["next"] == Value::Array(Vec::new()));
        let count = vector["next"]
            .as_array()
            .map_or(1, |next| next.len().max(1));
        let mut command = Command::new(binary());
        command.args(["schedule", "--json", "--next", &count.to_string()]);
        if vector.get("error").is_some() {
            command.args(["--", text("schedule")]);
            told(run(&mut command), 78);
            continue;
        }
        command.args(["--timezone", text("timezone"), "--after", text("after")]);
        let output = run(command.args(["--", text("schedule")]));
        // intervals, and what Kubernetes accepts and would never run, are refused on purpose
        if class == "every" || class == "never" || (class == "weird" && never_runs) {
            told(output, 78);
            continue;
        }
        let runs = output.expect_success().json();
        for name in ["schedule", "timezone"] {
            assert_eq!(runs[name], vector[name], "{vector}");
        }
        let next = |runs: &Value| -> Vec<Timestamp> {
            runs["next"].as_array().unwrap().iter().map(at).collect()
        };
        assert_eq!(next(&runs), next(vector), "{vector}");
        agreed += 1;
    }
    assert!(agreed > 80, "only {agreed}");
}
