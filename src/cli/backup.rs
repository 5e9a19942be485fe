//! `hypercloud-etcd backup`

use std::path::PathBuf;

use clap::Args;
use hypercloud_etcd::catalog::{Manifest, Trigger};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::backup::{Progress, Run, backup};
use hypercloud_etcd::jobs::manifests::KUBERNETES_DIR;
use hypercloud_etcd::jobs::{look, prune};
use hypercloud_etcd::report::text;

use super::{Context, block_on, show};

/// Take, prove and keep one backup now
#[derive(Debug, Args)]
#[command(after_help = "\
The snapshot is proven before it is called a backup: by the SHA-256 that etcd appends, by a walk
over every page, and by the members' own hash of the keys. Exit code 65: it is kept, but not
verified. A backup that is proven but very unlike the last good one is kept and marked as suspect,
which is told on standard error; the exit code is 0, and nothing is pruned until it is accepted.
Else what the policy does not keep is removed after a verified one.

Example:
  hypercloud-etcd backup --json | jq -r .id")]
pub(super) struct Arguments {
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
    /// Where a Kubernetes host has its manifests, and a restore in place its journal
    #[arg(long, value_name = "DIR", default_value = KUBERNETES_DIR)]
    kubernetes_dir: PathBuf,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let config = context.config()?;
        for problem in &config.warnings {
            tracing::warn!("{}: {problem}", context.config.display());
        }
        let output = &context.output;
        let progress = |progress: &Progress| match progress {
            Progress::Receiving {
                endpoint,
                received,
                announced,
            } => {
                output.progress(&format!("receiving from {endpoint}"), *received, *announced);
            }
            Progress::Proving { size } => output.step(&format!("proving {}", text::size(*size))),
        };
        let run = Run {
            trigger: Trigger::Command,
            clock: &|| context.now(),
            progress: &progress,
        };
        let manifest = block_on(async {
            let made = backup(&config, &run).await;
            let manifest = made.map_err(|error| look::explained(error, &self.kubernetes_dir))?;
            output.end_progress();
            // what fails here is told by the log: the backup is none the worse for it
            let _ = prune::after(&config, &manifest, context.now()).await;
            Ok(manifest)
        })?;
        if self.json {
            output.json(&manifest)?;
        } else {
            let path = config.backup.dir.join(&manifest.file);
            output.answer(&format!(
                "{}\n{}",
                headline(&manifest, &path),
                show::manifest(&manifest, context.now())
            ))?;
        }
        Ok(if manifest.verified {
            ExitCode::Done
        } else {
            ExitCode::Verification
        })
    }
}

fn headline(manifest: &Manifest, path: &std::path::Path) -> String {
    let (size, revision, path) = (
        text::size(manifest.size),
        manifest.facts.revision,
        path.display(),
    );
    if manifest.is_suspect() {
        format!(
            "SUSPECT: the backup of {size} at revision {revision} is proven and kept, but unlike the last good one: {path}"
        )
    } else if manifest.verified {
        format!("verified backup of {size} at revision {revision}: {path}")
    } else {
        format!("NOT VERIFIED: the backup of {size} at revision {revision} was kept in {path}")
    }
}
