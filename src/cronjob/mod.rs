//! The configuration → the `CronJob` that does the same in the cluster.
//!
//! Two ways: etcdctl in a stock image of etcd, and this program in an image of its own. Neither
//! needs a shell, which current etcd images do not have.
//!
//! What is given from outside is either refused or stays what it is: no path and no name changes the
//! structure of the YAML, none becomes a comment, and no `$(` in it is expanded.
//!
//! Pure: no file is read, no clock, no cluster.

mod error;
mod header;
mod image;
mod mount;
mod name;
mod object;
mod pod;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;
use serde_saphyr::{DoubleQuoted, SerializerOptions};

pub use error::Error;
pub use image::{EtcdImage, ImageChoice, Unknown};
pub use mount::Volume;
pub use name::{Name, Named};

use crate::config::Config;
use crate::kubeadm::Image;
use crate::schedule::Schedule;
use object::{
    ConfigFile, ConfigMap, CronJob, CronJobSpec, ExitCodes, JobSpec, JobTemplate, Labels, Lines,
    Metadata, PodFailurePolicy, PodFailureRule, PodTemplate, because,
};

/// Where the pod finds its configuration: a place of its own, since the host's may hold other files
/// that are mounted.
const CONFIG_DIRECTORY: &str = "/run/hypercloud-etcd";

/// How long a run may take. etcdctl waits for ever on a member that sends nothing.
const DEADLINE: u32 = 1800;

/// The longest name of a `CronJob` whose pods end their own with the whole minute of the run, which is
/// what their files are told apart by: Kubernetes cuts a pod's name at 58 characters before it adds
/// five, and eight digits and two hyphens are behind the name.
const LONGEST_OF_FILES: usize = 48;

/// What a second attempt does not change: a wrong command line, a snapshot that is damaged, a wrong
/// configuration.
const LASTING: [u8; 3] = [64, 65, 78];

/// What is to be rendered.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The configuration; its schedule is that of the `CronJob`.
    pub config: &'a Config,
    /// Who makes the backup.
    pub mode: Mode,
    /// The name of the `CronJob`, and of the `ConfigMap`.
    pub name: Name,
    /// Its namespace.
    pub namespace: Name,
    /// The node whose etcd is backed up.
    pub node: Name,
    /// Where the backups go; `None`: to `backup.dir` of the node.
    pub volume: Option<Volume>,
    /// Whether it waits to be resumed before its first run.
    pub suspend: bool,
}

/// Who makes the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// etcdctl, in a stock image of etcd.
    Etcdctl(EtcdImage),
    /// This program.
    Native {
        /// An image with it.
        image: Image,
        /// The text of the configuration.
        toml: String,
    },
}

/// Renders the objects as YAML, to be given to `kubectl apply -f -`.
///
/// # Errors
/// When the configuration asks for something that cannot be done in a pod.
pub fn render(wanted: &Wanted<'_>) -> Result<String, Error> {
    let length = wanted.name.as_str().len();
    if matches!(wanted.mode, Mode::Etcdctl(_)) && length > LONGEST_OF_FILES {
        return Err(Error::LongName {
            name: wanted.name.to_string(),
            longest: LONGEST_OF_FILES,
        });
    }
    let mut text = header::comments(wanted)?;
    if let Mode::Native { toml, .. } = &wanted.mode {
        text.push_str(&yaml(&config_map(wanted, toml))?);
        text.push_str("---\n");
    }
    text.push_str(&yaml(&cron_job(wanted)?)?);
    Ok(text)
}

fn yaml(object: &impl Serialize) -> Result<String, Error> {
    let mut options = SerializerOptions::default();
    // a long argument stays on the line of its own
    options.prefer_block_scalars = false;
    Ok(serde_saphyr::to_string_with_options(object, options)?)
}

fn config_map(wanted: &Wanted<'_>, toml: &str) -> ConfigMap {
    ConfigMap {
        api_version: "v1",
        kind: "ConfigMap",
        metadata: metadata(wanted),
        data: ConfigFile {
            config: Lines::of(toml),
        },
    }
}

fn cron_job(wanted: &Wanted<'_>) -> Result<CronJob, Error> {
    let schedule = &wanted.config.schedule;
    let late = if wanted.config.catch_up {
        because(
            shortest_gap(schedule),
            "catch_up: a missed run is still made up for this much later",
        )
    } else {
        because(60, "no catch_up: a run that is a minute late is left out")
    };
    Ok(CronJob {
        api_version: "batch/v1",
        kind: "CronJob",
        metadata: metadata(wanted),
        spec: CronJobSpec {
            schedule: DoubleQuoted(schedule.text().to_owned()),
            time_zone: schedule.timezone().to_owned(),
            suspend: wanted.suspend,
            concurrency_policy: because("Forbid", "one backup at a time"),
            starting_deadline_seconds: late,
            successful_jobs_history_limit: 3,
            failed_jobs_history_limit: 3,
            job_template: JobTemplate {
                metadata: unnamed(wanted),
                spec: JobSpec {
                    backoff_limit: 2,
                    pod_failure_policy: failure_policy(&wanted.mode),
                    active_deadline_seconds: because(
                        DEADLINE,
                        "a transfer that stands still is given up after half an hour",
                    ),
                    template: PodTemplate {
                        metadata: unnamed(wanted),
                        spec: pod::spec(wanted)?,
                    },
                },
            },
        },
    })
}

/// The shortest time between two runs in seconds, as far as a hundred of them tell.
fn shortest_gap(schedule: &Schedule) -> u32 {
    let next = |run: &Timestamp| schedule.next(*run);
    let runs = std::iter::successors(schedule.next(Timestamp::UNIX_EPOCH), next).take(100);
    let seconds: Vec<i64> = runs.map(Timestamp::as_second).collect();
    let gaps = seconds.windows(2).map(|runs| runs[1] - runs[0]);
    gaps.min()
        .and_then(|gap| u32::try_from(gap).ok())
        .unwrap_or(3600)
}

/// etcdctl ends with 1 for everything.
fn failure_policy(mode: &Mode) -> Option<PodFailurePolicy> {
    let is_native = matches!(mode, Mode::Native { .. });
    is_native.then(|| PodFailurePolicy {
        rules: vec![PodFailureRule {
            action: because(
                "FailJob",
                "another attempt would end the same: usage, verification, configuration",
            ),
            on_exit_codes: ExitCodes {
                container_name: pod::NATIVE,
                operator: "In",
                values: LASTING.to_vec(),
            },
        }],
    })
}

fn metadata(wanted: &Wanted<'_>) -> Metadata {
    Metadata {
        name: Some(wanted.name.to_string()),
        namespace: Some(wanted.namespace.to_string()),
        ..unnamed(wanted)
    }
}

fn unnamed(wanted: &Wanted<'_>) -> Metadata {
    Metadata {
        name: None,
        namespace: None,
        labels: Labels {
            name: "hypercloud-etcd",
            instance: wanted.name.to_string(),
            component: "backup",
        },
    }
}
