//! `hypercloud-etcd backup`

use clap::Args;
use hypercloud_etcd::catalog::{Manifest, Trigger};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::backup::{Progress, Run, backup};
use hypercloud_etcd::jobs::prune;
use hypercloud_etcd::report::text;

use super::{Context, block_on, show};

/// Take, prove and keep one backup now
#[derive(Debug, Args)]
#[command(after_help = "\
The snapshot is proven before it is called a backup: by the SHA-256 that etcd appends, by a walk
over every page, and by the members' own hash of the keys. Exit code 65: it is kept, but not
verified. After a verified one, what the policy does not keep is removed.

Example:
  hypercloud-etcd backup --json | jq -r .id")]
pub(super) struct Arguments {
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
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
            let manifest = backup(&config, &run).await?;
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
    if manifest.verified {
        format!("verified backup of {size} at revision {revision}: {path}")
    } else {
        format!("NOT VERIFIED: the backup of {size} at revision {revision} was kept in {path}")
    }
}
