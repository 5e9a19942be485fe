//! `hypercloud-etcd list`

use clap::Args;
use hypercloud_etcd::catalog::Manifest;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::look;
use hypercloud_etcd::report::text;
use jiff::Timestamp;

use super::{Context, output};

/// List the backups, newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hypercloud-etcd list --json | jq -r '.[] | select(.verified) | .id'"
)]
pub(super) struct Arguments {
    /// Print the manifests as a JSON array
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let config = context.config()?;
        let listing = look::list(&config)?;
        for (path, why) in &listing.unreadable {
            tracing::warn!("the manifest {} is left out: {why}", path.display());
        }
        if self.json {
            context.output.json(&listing.backups)?;
        } else if listing.backups.is_empty() {
            context.output.answer(&format!(
                "there is no backup in {}\n",
                config.backup.dir.display()
            ))?;
        } else {
            let now = context.now();
            let rows: Vec<Vec<String>> = listing
                .backups
                .iter()
                .map(|backup| row(backup, now))
                .collect();
            let head = ["ID", "AGE", "SIZE", "REVISION", "KEYS", "ETCD", "STATE"];
            context
                .output
                .answer(&output::table(&head, &rows, &[1, 2, 3, 4]))?;
        }
        Ok(ExitCode::Done)
    }
}

fn row(backup: &Manifest, now: Timestamp) -> Vec<String> {
    let mut state = vec![if backup.verified {
        "verified"
    } else {
        "NOT VERIFIED"
    }];
    state.extend(backup.pinned.then_some("pinned"));
    state.extend((!backup.contradicting_members.is_empty()).then_some("a member differs"));
    state.extend((!backup.pki_problems.is_empty()).then_some("CA in doubt"));
    vec![
        backup.id.to_string(),
        text::age(now.duration_since(backup.started)),
        text::size(backup.size),
        backup.facts.revision.to_string(),
        backup.facts.total_key.to_string(),
        backup.source.etcd_version.clone(),
        state.join(", "),
    ]
}
