//! `hypercloud-etcd check`

use std::path::PathBuf;

use clap::Args;
use hypercloud_etcd::config::{self, Problem};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::manifests::KUBERNETES_DIR;
use hypercloud_etcd::jobs::probe::{self, Check, Finding};
use serde::Serialize;

use super::{Context, block_on, is_error};

/// Find everything that would keep a backup from being made
#[derive(Debug, Args)]
#[command(after_help = "\
All problems of the configuration at once; then the certificates, the directory and each member
of etcd. Changes nothing.

Example:
  hypercloud-etcd check --offline")]
pub(super) struct Arguments {
    /// Look at this host's files only, reach no network
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Where a Kubernetes host has its manifests, and a restore in place its journal
    #[arg(long, value_name = "DIR", default_value = KUBERNETES_DIR)]
    kubernetes_dir: PathBuf,
}

/// The answer.
#[derive(Serialize)]
struct Report {
    ok: bool,
    /// Problems of the configuration.
    problems: Vec<Problem>,
    checks: Vec<Check>,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let config = match config::load(&context.config) {
            Ok(config) => config,
            Err(config::Error::Problems { problems, .. }) if self.json => {
                let ok = !problems.iter().any(is_error);
                context.output.json(&Report {
                    ok,
                    problems,
                    checks: Vec::new(),
                })?;
                return Ok(ExitCode::Config);
            }
            Err(error) => return Err(error.into()),
        };
        let now = context.now();
        probe::as_the_unit();
        let checks = if self.offline {
            probe::offline(&config, &self.kubernetes_dir, now)
        } else {
            block_on(async { Ok(probe::online(&config, &self.kubernetes_dir, now).await) })?
        };
        let code = checks
            .iter()
            .find(|check| check.result == Finding::Failed)
            .map_or(ExitCode::Done, |check| check.exit_code);
        if self.json {
            let problems = config.warnings;
            context.output.json(&Report {
                ok: code == ExitCode::Done,
                problems,
                checks,
            })?;
        } else {
            context
                .output
                .answer(&checks.iter().map(lines).collect::<String>())?;
        }
        Ok(code)
    }
}

fn lines(check: &Check) -> String {
    let result = match check.result {
        Finding::Ok => "ok     ",
        Finding::Warning => "warning",
        Finding::Failed => "FAILED ",
    };
    let hint = check.hint.as_ref();
    let hint = hint.map_or_else(String::new, |hint| format!("         hint: {hint}\n"));
    format!("{result}  {}: {}\n{hint}", check.name, check.message)
}
