//! Tries everything that a backup will need, and changes nothing: the certificates, the directory,
//! and each member of etcd.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::sandbox;
use crate::certificate::{self, Certificate, Validity};
use crate::config::Config;
use crate::error::{Error, ExitCode, etcd_code};
use crate::etcd::{self, Client, Endpoint, MemberStatus, Settings, Survey};
use crate::report::{EXPIRY_WARNING_DAYS, text};
use crate::store::{Directory, Space};

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

/// What this host's files and disk say; reaches no network.
#[must_use]
pub fn offline(config: &Config, now: Timestamp) -> Vec<Check> {
    let mut checks = vec![schedule(config, now)];
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
        checks.extend(tls_files(&config.etcd, now));
    }
    checks.extend(
        config
            .etcd
            .login
            .as_ref()
            .map(|login| secret_file("etcd.password_file", &login.password_file)),
    );
    checks.extend(directory(config));
    checks
}

/// The same, and each member of etcd.
pub async fn online(config: &Config, now: Timestamp) -> Vec<Check> {
    let mut checks = offline(config, now);
    let survey = Box::pin(Survey::take(&config.etcd)).await;
    if survey.cluster_ids().len() > 1 {
        checks.push(Check::of_error(
            "etcd",
            &Error::MixedClusters(survey.cluster_ids().len()),
        ));
    }
    for (endpoint, answer) in &survey.members {
        checks.push(match answer {
            Ok(status) => member(endpoint, status),
            Err(error) => unreachable(endpoint, error),
        });
    }
    checks.extend(alarms(&survey));
    checks.extend(room_for_next(config, &survey));
    if let Some(endpoint) = survey.preference().into_iter().next()
        && survey.members.iter().any(|(_, answer)| answer.is_ok())
    {
        checks.push(members(config, &endpoint).await);
    }
    checks
}

fn schedule(config: &Config, now: Timestamp) -> Check {
    let (text, zone) = (config.schedule.text(), config.schedule.timezone());
    let next = config
        .schedule
        .next(now)
        .map_or_else(|| "never".into(), |next| format!("{next:.0}"));
    Check::ok("schedule", format!("{text} ({zone}), next run {next}"))
}

/// The CA, the client certificate and its key: readable, valid, and of one piece.
fn tls_files(settings: &Settings, now: Timestamp) -> Vec<Check> {
    let broken = |key: &str, error: &certificate::Error| {
        let code = if error.is_permission() {
            ExitCode::Permission
        } else {
            ExitCode::Config
        };
        Check::failed(key, error.to_string(), error.hint(), code)
    };
    let mut checks = Vec::new();
    let authorities = certificate::read(&settings.ca_file)
        .map_err(|error| checks.push(broken("etcd.ca_file", &error)));
    let own = certificate::read(&settings.cert_file)
        .map_err(|error| checks.push(broken("etcd.cert_file", &error)));
    checks.extend(
        authorities
            .iter()
            .flatten()
            .map(|ca| validity("etcd.ca_file", &settings.ca_file, ca, now)),
    );
    if let Some(own) = own.as_ref().ok().and_then(|own| own.first()) {
        checks.push(validity("etcd.cert_file", &settings.cert_file, own, now));
        let key = certificate::read_file(&settings.key_file)
            .and_then(|text| certificate::check_key(own, &settings.key_file, &text));
        checks.push(match key {
            Ok(()) => secret_file("etcd.key_file", &settings.key_file),
            Err(error) => broken("etcd.key_file", &error),
        });
        if authorities
            .as_ref()
            .is_ok_and(|authorities| own.signer(authorities).is_none())
        {
            let message = format!(
                "{} is signed by {}, which is not in {}",
                settings.cert_file.display(),
                own.issuer,
                settings.ca_file.display()
            );
            checks.push(Check::warning(
                "etcd.cert_file",
                message,
                Some("Most clusters use one CA for both; see etcd's --trusted-ca-file.".into()),
            ));
        }
    }
    checks
}

fn validity(key: &str, file: &Path, certificate: &Certificate, now: Timestamp) -> Check {
    let (file, whose, until) = (file.display(), certificate.whose(), certificate.not_after);
    let days = certificate.days_left(now);
    let renew = || Some("Renew it with: kubeadm certs renew all".to_owned());
    match certificate.validity(now) {
        Validity::Expired { until } => Check::failed(
            key,
            format!("{file}: {whose} expired at {until:.0}"),
            renew(),
            ExitCode::Config,
        ),
        Validity::NotYetValid { from } => {
            let hint = Some("See whether this host's clock is right: timedatectl".to_owned());
            Check::failed(
                key,
                format!("{file}: {whose} is not valid before {from:.0}"),
                hint,
                ExitCode::Config,
            )
        }
        Validity::Valid if days < EXPIRY_WARNING_DAYS => Check::warning(
            key,
            format!("{file}: {whose} expires in {days} days, at {until:.0}"),
            renew(),
        ),
        Validity::Valid => Check::ok(
            key,
            format!("{file}: {whose}, valid until {until:.0} ({days} days)"),
        ),
    }
}

/// A file that nobody but its owner should read.
fn secret_file(key: &str, file: &Path) -> Check {
    match std::fs::metadata(file).and_then(|metadata| std::fs::File::open(file).map(|_| metadata)) {
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            let message = format!(
                "{} can be read by others (mode {:04o})",
                file.display(),
                metadata.mode() & 0o7777
            );
            Check::warning(
                key,
                message,
                Some(format!("Close it with: chmod 600 {}", file.display())),
            )
        }
        Ok(_) => Check::ok(key, format!("{} is readable and private", file.display())),
        Err(source) => Check::of_error(
            key,
            &Error::Read {
                path: file.into(),
                source,
            },
        ),
    }
}

/// The backup directory: there, writable, private, with room.
fn directory(config: &Config) -> Vec<Check> {
    const KEY: &str = "backup.dir";
    let path: &PathBuf = &config.backup.dir;
    let opened = Directory::open(path).and_then(|directory| {
        // an unnamed file shows that one can be made, and leaves nothing
        directory.draft()?;
        Ok((directory.space()?, directory))
    });
    let (Space { free, total }, _) = match opened {
        Ok(opened) => opened,
        Err(error) => return vec![Check::of_error(KEY, &Error::Store(error))],
    };
    let room = format!(
        "{} of {} free ({}%)",
        text::size(free),
        text::size(total),
        text::percent(free, total)
    );
    let reserve = config.backup.reserve;
    let mut checks = vec![if free < reserve {
        let message = format!(
            "{}: {room}, less than the reserve of {}",
            path.display(),
            text::size(reserve)
        );
        Check::failed(
            KEY,
            message,
            Some("Free some space, or lower backup.reserve.".into()),
            ExitCode::CannotCreate,
        )
    } else {
        Check::ok(KEY, format!("{} is writable, {room}", path.display()))
    }];
    if let Some(line) = sandbox::missing_line(path) {
        let message = format!("the installed unit may not write to {}", path.display());
        checks.push(Check::warning(KEY, message, Some(line)));
    }
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.mode() & 0o022 != 0
    {
        let message = format!(
            "others can write to {} (mode {:04o})",
            path.display(),
            metadata.mode() & 0o7777
        );
        checks.push(Check::warning(
            KEY,
            message,
            Some(format!("Close it with: chmod 700 {}", path.display())),
        ));
    }
    checks
}

fn unreachable(endpoint: &Endpoint, error: &etcd::Error) -> Check {
    Check::failed(
        endpoint.to_string(),
        error.to_string(),
        error.hint(),
        etcd_code(error),
    )
}

fn member(endpoint: &Endpoint, status: &MemberStatus) -> Check {
    let role = match (status.is_learner, status.is_leader) {
        (true, _) => "learner",
        (_, true) => "leader",
        _ => "follower",
    };
    let (version, revision, size) = (&status.version, status.revision, text::size(status.db_size));
    let message = format!(
        "etcd {version}, {role}, member {:x}, {size}, revision {revision}",
        status.member_id
    );
    if status.leader == 0 {
        let hint =
            "A cluster without a leader has lost its quorum: see each member's log.".to_owned();
        return Check::warning(
            endpoint.to_string(),
            format!("{message}; it knows no leader"),
            Some(hint),
        );
    }
    if !status.errors.is_empty() {
        return Check::warning(
            endpoint.to_string(),
            format!("{message}; it reports: {}", status.errors.join(", ")),
            None,
        );
    }
    Check::ok(endpoint.to_string(), message)
}

fn alarms(survey: &Survey) -> Option<Check> {
    match survey.alarms.as_ref()? {
        Ok(alarms) if alarms.is_empty() => None,
        Ok(alarms) => {
            let raised: Vec<String> = alarms
                .iter()
                .map(|alarm| format!("{:?} of member {:x}", alarm.kind, alarm.member_id))
                .collect();
            let hint = "See them with: etcdctl alarm list".to_owned();
            Some(Check::warning("etcd alarms", raised.join(", "), Some(hint)))
        }
        Err(error) => Some(Check::failed(
            "etcd alarms",
            error.to_string(),
            error.hint(),
            etcd_code(error),
        )),
    }
}

/// Whether a snapshot of today's size would fit.
fn room_for_next(config: &Config, survey: &Survey) -> Option<Check> {
    let answers = survey
        .members
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    let needed = answers.map(|status| status.db_size).max()?;
    let path = &config.backup.dir;
    let free = Directory::open(path)
        .and_then(|directory| directory.space())
        .ok()?
        .free;
    let reserve = config.backup.reserve;
    let error = Error::Space {
        path: path.clone(),
        needed,
        free,
        reserve,
    };
    (needed.saturating_add(reserve) > free).then(|| Check::of_error("backup.reserve", &error))
}

/// All members of the cluster, so that one which is not configured is seen.
async fn members(config: &Config, endpoint: &Endpoint) -> Check {
    let listed = async {
        Client::connect(&config.etcd, endpoint)
            .await?
            .members()
            .await
    }
    .await;
    match listed {
        Ok(members) => {
            let told = |member: &etcd::Member| {
                let name = if member.name.is_empty() {
                    "not started"
                } else {
                    &member.name
                };
                let role = if member.is_learner { " (learner)" } else { "" };
                format!("{name}{role} at {}", member.client_urls.join(" "))
            };
            let all: Vec<String> = members.iter().map(told).collect();
            Check::ok(
                "etcd members",
                format!(
                    "{}: {}",
                    text::counted(all.len(), "member", "members"),
                    all.join(", ")
                ),
            )
        }
        Err(error) => unreachable(endpoint, &error),
    }
}
