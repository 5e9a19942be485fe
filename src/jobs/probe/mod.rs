//! Tries everything that a backup will need, and changes nothing: the certificates, the directory,
//! the files that are kept beside the backups, and each member of etcd.

mod cluster;
mod host;
mod pki;
mod sandbox;

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::look;
use crate::config::Config;
use crate::error::{Error, ExitCode};
use crate::etcd::{Endpoint, Survey};
use crate::host::give_up_capabilities;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: a key of the configuration, a file, a directory, a member.
    pub name: String,
    /// How it stands.
    pub result: Finding,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The code to exit with where it failed.
    #[serde(skip)]
    pub exit_code: ExitCode,
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// As it should be.
    Ok,
    /// It works, but somebody should look.
    Warning,
    /// A backup would fail.
    Failed,
}

impl Check {
    fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        let (name, message) = (name.into(), message.into());
        Check {
            name,
            result: Finding::Ok,
            message,
            hint: None,
            exit_code: ExitCode::Done,
        }
    }

    fn warning(name: impl Into<String>, message: impl Into<String>, hint: Option<String>) -> Self {
        Check {
            result: Finding::Warning,
            hint,
            ..Check::ok(name, message)
        }
    }

    fn failed(
        name: impl Into<String>,
        message: impl Into<String>,
        hint: Option<String>,
        exit_code: ExitCode,
    ) -> Self {
        Check {
            result: Finding::Failed,
            exit_code,
            ..Check::warning(name, message, hint)
        }
    }

    fn of_error(name: impl Into<String>, error: &Error) -> Self {
        let causes = error.causes();
        let message = if causes.is_empty() {
            error.to_string()
        } else {
            format!("{error}: {}", causes.join(", "))
        };
        Check::failed(name, message, error.hint(), error.exit_code())
    }
}

/// From now on this thread judges as the unit would, which is root without a capability: what another
/// user owns and has closed is closed to it, too.
pub fn as_the_unit() {
    // a kernel that refuses leaves a check as root sees it, which is better than none
    let _ = give_up_capabilities();
}

/// What this host's files and disk say, those of Kubernetes included; reaches no network.
#[must_use]
pub fn offline(config: &Config, kubernetes: &Path, now: Timestamp) -> Vec<Check> {
    let mut checks = vec![host::schedule(config, now)];
    let unfinished = look::unfinished(kubernetes);
    checks.extend(unfinished.map(|error| Check::of_error("restore in place", &error)));
    checks.extend(host::configuration(&config.path));
    checks.extend(
        config
            .warnings
            .iter()
            .map(|problem| Check::warning(&problem.key, &problem.message, problem.hint.clone())),
    );
    checks.extend(
        config
            .schedule
            .warnings(now)
            .iter()
            .map(|warning| Check::warning("schedule", warning.to_string(), None)),
    );
    if config.etcd.endpoints.iter().any(Endpoint::is_tls) {
        checks.extend(host::tls_files(&config.etcd, now));
    }
    checks.extend(
        config
            .etcd
            .login
            .as_ref()
            .map(|login| host::secret_file("etcd.password_file", &login.password_file)),
    );
    checks.extend(host::directory(config));
    checks.extend(pki::checks(config, now));
    checks
}

/// The same, and each member of etcd.
pub async fn online(config: &Config, kubernetes: &Path, now: Timestamp) -> Vec<Check> {
    let mut checks = offline(config, kubernetes, now);
    let survey = Box::pin(Survey::take(&config.etcd)).await;
    if survey.cluster_ids().len() > 1 {
        checks.push(Check::of_error(
            "etcd",
            &Error::MixedClusters(survey.cluster_ids().len()),
        ));
    }
    for (endpoint, answer) in &survey.members {
        checks.push(match answer {
            Ok(status) => cluster::member(endpoint, status),
            Err(error) => cluster::unreachable(endpoint, error),
        });
    }
    checks.extend(cluster::alarms(&survey));
    checks.extend(cluster::room_for_next(config, &survey, now));
    if let Some(endpoint) = survey.preference().into_iter().next()
        && survey.members.iter().any(|(_, answer)| answer.is_ok())
    {
        checks.extend(cluster::preferred(config, &endpoint).await);
    }
    checks
}
