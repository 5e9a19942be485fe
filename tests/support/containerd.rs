//! Debian's containerd, with all that it writes in a temporary directory, and pods in it as a kubelet makes them, by the
//! Container Runtime Interface. `tests/install.sh` unpacks it.
//!
//! It has mounts and processes of its own, which end with it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use prost::Message;
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::command::run;
use super::etcd::spawn_for_the_process;
use super::runtime::labels;
use super::wait_for;

const READY: Duration = Duration::from_mins(1);
/// The program of every container: it does nothing until it is told to end.
const PAUSE: &str = "#include <signal.h>\n#include <unistd.h>\nstatic void end(int s) { (void)s; _exit(0); }\nint main(void) { signal(SIGTERM, end); for (;;) pause(); }\n";
const IMAGE: &str = "localhost/pause:proof";
/// `NamespaceMode`
const NODE: i32 = 2;

/// A running one.
pub(crate) struct Containerd {
    directory: TempDir,
    programs: PathBuf,
    child: Child,
}

/// Where `tests/install.sh` has put it. None is a failure where `HCE_REQUIRE` names `containerd`.
fn programs() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = std::env::var_os("HCE_ETCD_DIR").unwrap_or_else(|| "target/etcd".into());
    let found = root.join(directory).join("containerd");
    let required = std::env::var("HCE_REQUIRE")
        .is_ok_and(|names| names.split(',').any(|name| name.trim() == "containerd"));
    let is_there = found.join("containerd").is_file();
    assert!(
        is_there || !required,
        "there is no containerd at {}: run tests/install.sh",
        found.display()
    );
    if !is_there {
        eprintln!("skipped: there is no containerd; tests/install.sh provides it");
    }
    is_there.then_some(found)
}

impl Containerd {
    /// Starts it, with an image for every pod.
    pub(crate) fn start() -> Option<Self> {
        let programs = programs()?;
        let directory = TempDir::with_prefix("hce-containerd-").expect("a temporary directory");
        let at = directory.path();
        let config = at.join("config.toml");
        fs::write(&config, configuration(at)).expect("the configuration");
        let mut command = Command::new("setpriv");
        // what it starts ends with it, and so do its mounts; the sockets of its helpers are below /run
        command
            .args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--pid"])
            .args(["--fork", "--mount-proc", "--kill-child", "--", "sh", "-c"])
            .arg("mount -t tmpfs tmpfs /run && exec \"$0\" --config \"$1\"")
            .args([programs.join("containerd"), config])
            .env("PATH", path_with(&programs))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at.join("log")).expect("a log"));
        let containerd = Self {
            child: spawn_for_the_process(command),
            directory,
            programs,
        };
        containerd.import();
        Some(containerd)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("containerd.sock")
    }

    fn import(&self) {
        let image = image(self.directory.path());
        wait_for("containerd takes an image", READY, || {
            let mut ctr = Command::new(self.programs.join("ctr"));
            ctr.arg("--address").arg(self.socket());
            ctr.args(["-n", "k8s.io", "images", "import", "--snapshotter=native"]);
            (run(ctr.arg(&image)).code == Some(0)).then_some(())
        });
    }

    /// Creates the one container of a pod on the host's network; its id. [`Containerd::start_container`] starts it.
    pub(crate) fn create(&self, pod: (&str, &str), name: &str) -> String {
        let config = SandboxConfig {
            metadata: Some(SandboxMetadata {
                name: pod.1.into(),
                uid: format!("uid-of-{}", pod.1),
                namespace: pod.0.into(),
            }),
            labels: labels(pod, name),
            linux: Some(LinuxSandbox {
                security: Some(Security {
                    namespaces: Some(Namespaces { network: NODE }),
                }),
            }),
        };
        // the image that was imported is known to this part of it a moment later
        let sandbox: Id = wait_for("a pod runs", READY, || {
            let config = Some(config.clone());
            let made = self.call("RunPodSandbox", SandboxRequest { config });
            made.inspect_err(|status| eprintln!("{status}")).ok()
        });
        let container = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into() }),
            image: Some(Image {
                image: IMAGE.into(),
            }),
            labels: labels(pod, name),
        };
        let request = ContainerRequest {
            sandbox: sandbox.id,
            config: Some(container),
            sandbox_config: Some(config),
        };
        let made: Id = self.call("CreateContainer", request).expect("a container");
        made.id
    }

    pub(crate) fn start_container(&self, id: &str) {
        self.about("StartContainer", id);
    }

    pub(crate) fn stop_container(&self, id: &str) {
        self.about("StopContainer", id);
    }

    pub(crate) fn remove_container(&self, id: &str) {
        self.about("RemoveContainer", id);
    }

    fn about(&self, method: &str, id: &str) {
        let id = Id { id: id.into() };
        let _: Nothing = self.call(method, id).expect(method);
    }

    fn call<Q, A>(&self, method: &str, question: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let endpoint = format!("unix://{}", self.socket().display());
        let method = format!("/runtime.v1.RuntimeService/{method}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let endpoint = Endpoint::from_shared(endpoint).expect("an endpoint");
            let mut client = Grpc::new(endpoint.connect().await.expect("containerd"));
            client.ready().await.expect("containerd");
            let method = PathAndQuery::try_from(method).expect("a method");
            let codec = ProstCodec::<Q, A>::default();
            let answer = client.unary(Request::new(question), method, codec).await?;
            Ok(answer.into_inner())
        })
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(at: &Path) -> String {
    let at = at.display();
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    format!(
        "version = 2\nroot = \"{at}/root\"\nstate = \"{at}/state\"\n\
         [grpc]\naddress = \"{at}/containerd.sock\"\n\
         [{cri}]\nsandbox_image = \"{IMAGE}\"\nrestrict_oom_score_adj = true\ndisable_apparmor = true\n\
         [{cri}.containerd]\nsnapshotter = \"native\"\n"
    )
}

fn path_with(programs: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("a path")
}

/// An image of one program, as `docker save` writes it.
fn image(at: &Path) -> PathBuf {
    let made = at.join("image");
    fs::create_dir(&made).expect("a directory");
    fs::write(made.join("pause.c"), PAUSE).expect("a program");
    let compile = ["-static", "-Os", "-o", "pause", "pause.c"];
    run(Command::new("cc").args(compile).current_dir(&made)).expect_success();
    let tar = |name: &str, files: &[&str]| {
        let archive = made.join(name);
        let mut tar = Command::new("tar");
        tar.arg("-cf").arg(&archive).args(files).current_dir(&made);
        run(&mut tar).expect_success();
        archive
    };
    let layer = fs::read(tar("layer.tar", &["pause"])).expect("a layer");
    let digest = hypercloud_etcd::sha256::Sha256::of(&layer).to_string();
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Entrypoint": ["/pause"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = serde_json::json!([
        { "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }
    ]);
    fs::write(made.join("config.json"), config.to_string()).expect("a file");
    fs::write(made.join("manifest.json"), manifest.to_string()).expect("a file");
    tar("image.tar", &["manifest.json", "config.json", "layer.tar"])
}

// the messages, as far as they are used: the numbers are those of k8s.io/cri-api/pkg/apis/runtime/v1/api.proto

/// The id of a container or a pod: the first field of several messages, and the only one.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct SandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<SandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<SandboxMetadata>,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxSandbox>,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxSandbox {
    #[prost(message, optional, tag = "2")]
    security: Option<Security>,
}

#[derive(Clone, PartialEq, Message)]
struct Security {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(int32, tag = "1")]
    network: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerRequest {
    #[prost(string, tag = "1")]
    sandbox: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<SandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<Image>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(string, tag = "1")]
    image: String,
}
