//! kubectl reads what is rendered. It does nothing without an API server, so there is one that knows the two kinds and
//! holds no object.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::pod::objects;
use crate::support::command::{Output, run};

/// What `tests/install.sh` unpacked, or else the system's. None is a failure where `HCE_REQUIRE` names `kubectl`.
fn program() -> Option<PathBuf> {
    let directory =
        std::env::var_os("HCE_ETCD_DIR").map_or_else(|| "target/etcd".into(), PathBuf::from);
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(directory)
        .join("kubectl/kubectl");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = std::env::split_paths(&path).map(|directory| directory.join("kubectl"));
    let found = std::iter::once(unpacked)
        .chain(system)
        .find(|program| program.is_file());
    let required = std::env::var("HCE_REQUIRE")
        .is_ok_and(|names| names.split(',').any(|name| name == "kubectl"));
    assert!(
        found.is_some() || !required,
        "there is no kubectl: run tests/install.sh"
    );
    if found.is_none() {
        eprintln!(
            "skipped: there is no kubectl, the types of batch/v1 stand alone; tests/install.sh provides it"
        );
    }
    found
}

/// Runs kubectl on a file with this text, without any configuration of its own.
fn kubectl(program: &Path, args: &[&str], text: &str) -> Output {
    let home = TempDir::new().unwrap();
    let file = home.path().join("objects.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", home.path())
        .args(args)
        .arg("-f")
        .arg(file);
    run(&mut command).expect_success()
}

/// An API server that knows these two kinds and holds none of them; it ends with the test process.
fn api_server() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
    format!("http://{address}")
}

/// Answers one request after the other.
fn serve(stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        // the headers end with an empty line; a GET has no body
        while lines.next().is_some_and(|line| !line.is_empty()) {}
        let path = request.split([' ', '?']).nth(1).unwrap_or_default();
        let (status, body) = match answer(path) {
            Some(document) => ("200 OK", document),
            None => (
                "404 Not Found",
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"}),
            ),
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if (&*stream).write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(path: &str) -> Option<Value> {
    let resources = |group: &str, name: &str, kind: &str| {
        let resource = json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["create", "get", "patch"]});
        Some(
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": [resource]}),
        )
    };
    let batch = json!({"groupVersion": "batch/v1", "version": "v1"});
    match path {
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => Some(
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": "batch", "versions": [batch], "preferredVersion": batch}
            ]}),
        ),
        "/api/v1" => resources("v1", "configmaps", "ConfigMap"),
        "/apis/batch/v1" => resources("batch/v1", "cronjobs", "CronJob"),
        _ => None,
    }
}

/// Lets kubectl apply a rendering, as far as it comes without a cluster.
pub(super) fn applies(rendering: &str) {
    let Some(program) = program() else { return };
    let server = api_server();
    let args = [
        "--server",
        &server,
        "apply",
        "--dry-run=client",
        "--validate=false",
    ];
    let output = kubectl(&program, &args, rendering);
    let told: Vec<String> = objects(rendering)
        .iter()
        .map(|object| {
            let kind = match object["kind"].as_str() {
                Some("CronJob") => "cronjob.batch",
                Some("ConfigMap") => "configmap",
                other => panic!("the kind {other:?}"),
            };
            let name = object["metadata"]["name"].as_str().expect("a name");
            format!("{kind}/{name} created (dry run)")
        })
        .collect();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines, told, "{output}");
}

/// Lets kubectl read renderings into its own types, and compares. It is another reader of YAML than the one that the
/// rest of the tests has, and the one that counts.
pub(super) fn reads_the_same<'a>(renderings: impl IntoIterator<Item = &'a str>) {
    let Some(program) = program() else { return };
    // these commands read and write objects, and need no server for it
    let label = ["label", "--local", "-o", "json", "proof=yes"];
    let image = ["set", "image", "--local", "-o", "json", "*=image"];
    let (mut configs, mut jobs) = (Vec::new(), Vec::new());
    for rendering in renderings {
        let objects = objects(rendering);
        let (config, job) = match rendering.split_once("\n---\n") {
            Some((config, job)) => (Some(config), job),
            None => (None, rendering),
        };
        configs.extend(config.map(|text| (text, objects[0].clone())));
        let mut job = (job, objects.last().expect("a CronJob").clone());
        job.1["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["image"] =
            json!("image");
        jobs.push(job);
    }
    for (args, given) in [(&label[..], configs), (&image[..], jobs)] {
        if given.is_empty() {
            continue;
        }
        let texts: Vec<&str> = given.iter().map(|(text, _)| *text).collect();
        // the end of a line that stood before what divided them: an empty one at the end of a text counts
        let texts = texts.join("\n---\n") + "\n";
        let output = kubectl(&program, args, &texts);
        let read = serde_json::Deserializer::from_str(&output.stdout).into_iter::<Value>();
        let read: Vec<Value> = read.map(|object| object.expect("JSON")).collect();
        assert_eq!(read.len(), given.len());
        for (read, (text, given)) in read.iter().zip(given) {
            contains(read, &given, text);
        }
    }
}

/// Everything given is there, with the same value; the types add what is empty.
fn contains(read: &Value, given: &Value, path: &str) {
    match given {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(key, value)| contains(&read[key], value, &format!("{path}.{key}"))),
        Value::Array(items) => {
            assert_eq!(read.as_array().map(Vec::len), Some(items.len()), "{path}");
            items
                .iter()
                .enumerate()
                .for_each(|(at, item)| contains(&read[at], item, &format!("{path}[{at}]")));
        }
        _ => assert_eq!(read, given, "{path}"),
    }
}
