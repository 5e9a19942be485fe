//! `hypercloud-etcd render`: the configuration in another form

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use hypercloud_etcd::config::{self, Config};
use hypercloud_etcd::cronjob::{self, ImageChoice, Mode, Name, Named, Unknown, Volume, Wanted};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::manifests;
use hypercloud_etcd::jobs::place::place;
use hypercloud_etcd::kubeadm::{EtcdPod, Image};
use hypercloud_etcd::schedule::Schedule;

use super::Context;

/// Render the configuration as objects of Kubernetes
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hypercloud-etcd render cronjob --registry 192.168.50.90:5000 --node master1 | kubectl apply -f -"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Cronjob(Box<Cronjob>),
}

/// Print the CronJob that makes the backups in the cluster
///
/// The configuration tells the schedule, the directory, the endpoint and the files of the
/// connection; where the default file is missing, the defaults of every key count. The image is that
/// of the etcd on this node.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hypercloud-etcd render cronjob --registry 192.168.50.90:5000 --node master1 | kubectl apply -f -
  hypercloud-etcd render cronjob --schedule '*/5 * * * *' --volume pvc:etcd-backups --output cronjob.yaml
  hypercloud-etcd render cronjob --mode native --tool-image 192.168.50.90:5000/hypercloud-etcd:0.1.0")]
struct Cronjob {
    /// Who makes the backup: etcdctl of a stock etcd image, or this program in an image of its own
    #[arg(long, value_name = "MODE", default_value = "etcdctl")]
    mode: Who,
    /// The registry that mirrors the etcd image: host[:port][/path], put before its whole name
    #[arg(long, value_name = "REGISTRY")]
    registry: Option<String>,
    /// The etcd image, used as it is (default: that of this node's etcd)
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Another tag of the etcd image, 3.3 or newer; with --image, the etcd in one whose tag does not say
    /// it
    #[arg(long, value_name = "VERSION")]
    etcd_version: Option<String>,
    /// The image that holds this program, for --mode native
    #[arg(long, value_name = "IMAGE")]
    tool_image: Option<String>,
    /// The node whose etcd is backed up (default: this one)
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// A crontab line of five fields (default: the configured one)
    #[arg(long, value_name = "EXPR")]
    schedule: Option<String>,
    /// An IANA time zone (default: the configured one)
    #[arg(long, value_name = "TZ")]
    timezone: Option<String>,
    /// Where the backups go: pvc:NAME or hostpath:DIR (default: the node's backup.dir)
    #[arg(long, value_name = "VOLUME")]
    volume: Option<String>,
    /// The name of the CronJob
    #[arg(long, value_name = "NAME", default_value = "etcd-backup")]
    name: String,
    /// Its namespace
    #[arg(long, value_name = "NAME", default_value = "kube-system")]
    namespace: String,
    /// Render it suspended
    #[arg(long)]
    suspend: bool,
    /// Where kubeadm keeps its files
    #[arg(long, value_name = "DIR", default_value = manifests::KUBERNETES_DIR)]
    kubernetes_dir: PathBuf,
    /// Write to this file in place of the standard output, which is `-`
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    Etcdctl,
    Native,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let What::Cronjob(cronjob) = &self.what;
        // nothing is written before all of it is known to be right
        let text = cronjob.render(context)?;
        match &cronjob.output {
            Some(path) if path != Path::new("-") => place(path, &text)?,
            _ => context.output.answer(&text)?,
        }
        Ok(ExitCode::Done)
    }
}

impl Cronjob {
    fn render(&self, context: &Context) -> Result<String, Error> {
        let (mut config, toml) = configuration(&context.config)?;
        config.schedule = self.scheduled(&config, context)?;
        let etcd = if self.needs_host() {
            manifests::etcd(&self.kubernetes_dir)?
        } else {
            None
        };
        let wanted = Wanted {
            config: &config,
            mode: self.mode(etcd.as_ref(), toml)?,
            name: Name::parse(&self.name, Named::CronJob)?,
            namespace: Name::parse(&self.namespace, Named::Namespace)?,
            node: self.node(etcd.as_ref(), context)?,
            volume: self.volume.as_deref().map(Volume::parse).transpose()?,
            suspend: self.suspend,
        };
        Ok(cronjob::render(&wanted)?)
    }

    fn scheduled(&self, config: &Config, context: &Context) -> Result<Schedule, Error> {
        let configured = &config.schedule;
        let expression = self.schedule.as_deref().unwrap_or(configured.text());
        let zone = self.timezone.as_deref().unwrap_or(configured.timezone());
        let schedule = Schedule::parse(expression, zone);
        let option = match (&self.schedule, &self.timezone) {
            (None, None) => None,
            (Some(_), None) => Some("--schedule"),
            (None, Some(_)) => Some("--timezone"),
            (Some(_), Some(_)) => Some("--schedule or --timezone"),
        };
        let schedule = schedule.map_err(|source| match option {
            Some(option) => cronjob::Error::Schedule { option, source }.into(),
            None => Error::from(source),
        })?;
        for warning in schedule.warnings(context.now()) {
            tracing::warn!("{warning}");
        }
        Ok(schedule)
    }

    /// Whether the options leave anything to be learnt from this host.
    fn needs_host(&self) -> bool {
        self.node.is_none() || (self.mode == Who::Etcdctl && self.image.is_none())
    }

    fn mode(&self, etcd: Option<&EtcdPod>, toml: String) -> Result<Mode, Error> {
        match (self.mode, &self.tool_image) {
            (Who::Etcdctl, Some(_)) => Err(Error::Usage(
                "--tool-image says nothing without --mode native".to_owned(),
            )),
            (Who::Native, None) => Err(Error::Usage(
                "--mode native needs --tool-image, the image that holds this program".to_owned(),
            )),
            (Who::Native, Some(image)) => {
                let given = [
                    ("--registry", self.registry.is_some()),
                    ("--image", self.image.is_some()),
                    ("--etcd-version", self.etcd_version.is_some()),
                ];
                say_unused(&given, "--mode native");
                let image = Image::parse(image).map_err(cronjob::Error::from)?;
                Ok(Mode::Native { image, toml })
            }
            (Who::Etcdctl, None) => {
                if self.image.is_some() {
                    say_unused(&[("--registry", self.registry.is_some())], "--image");
                }
                let choice = ImageChoice {
                    found: etcd.map(|etcd| &etcd.image).ok_or_else(|| self.unknown()),
                    image: self.image.as_deref(),
                    registry: self.registry.as_deref(),
                    version: self.etcd_version.as_deref(),
                };
                Ok(Mode::Etcdctl(choice.choose()?))
            }
        }
    }

    /// Why this host does not say which image etcd runs.
    fn unknown(&self) -> Unknown {
        let directory = &self.kubernetes_dir;
        match manifests::api_server(directory) {
            Ok(Some(pod)) if pod.is_etcd_elsewhere() => {
                Unknown::Elsewhere(manifests::api_server_path(directory))
            }
            // what is wrong with that one is not what is asked
            _ => Unknown::NoManifest(manifests::etcd_path(directory)),
        }
    }

    fn node(&self, etcd: Option<&EtcdPod>, context: &Context) -> Result<Name, Error> {
        if let Some(node) = &self.node {
            return Ok(Name::parse(node, Named::Node)?);
        }
        let (name, from) = if let Some(name) = etcd.and_then(manifests::node) {
            let manifest = manifests::etcd_path(&self.kubernetes_dir);
            (name.to_owned(), manifest.display().to_string())
        } else {
            let name = manifests::node_of_host(&context.host_name());
            (name, "the host's name".to_owned())
        };
        tracing::info!("the node is {name:?}, by {from}");
        Ok(Name::parse(&name, Named::Node)?)
    }
}

/// Says which options another one leaves without a meaning.
fn say_unused(given: &[(&str, bool)], other: &str) {
    for (name, _) in given.iter().filter(|(_, is_given)| *is_given) {
        tracing::warn!("{name} changes nothing, since {other} is given");
    }
}

/// The configuration and its text; that of an empty file where the default one is missing, so that
/// this works on a host that makes no backups itself.
fn configuration(path: &Path) -> Result<(Config, String), Error> {
    let text = match config::read(path) {
        Err(config::Error::Missing { .. }) if path == Path::new(config::PATH) => {
            tracing::warn!("there is no {}: every key has its default", config::PATH);
            "# every key has its default\n".to_owned()
        }
        text => text?,
    };
    let config = config::parse(path, &text).map_err(|problems| config::Error::Problems {
        path: path.to_owned(),
        problems,
    })?;
    Ok((config, text))
}
