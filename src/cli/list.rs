//! `hypercloud-etcd list`

use std::path::PathBuf;

use clap::Args;
use hypercloud_etcd::catalog::Summary;
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
        if self.json {
            let listing = look::manifests(&config)?;
            tell_unreadable(&listing.unreadable);
            context.output.json(&listing.backups)?;
            return Ok(ExitCode::Done);
        }
        let listing = look::list(&config)?;
        tell_unreadable(&listing.unreadable);
        if listing.backups.is_empty() {
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

fn tell_unreadable(unreadable: &[(PathBuf, String)]) {
    for (path, why) in unreadable {
        tracing::warn!("the manifest {} is left out: {why}", path.display());
    }
}

fn row(backup: &Summary, now: Timestamp) -> Vec<String> {
    let mut state = vec![match (backup.verified, backup.decay()) {
        (false, _) => "NOT VERIFIED",
        (true, Some(_)) => "FAILED AGAIN",
        (true, None) => "verified",
    }];
    state.extend(backup.is_held().then_some("SUSPECT, holds pruning"));
    state.extend((backup.is_suspect() && !backup.is_held()).then_some("SUSPECT"));
    state.extend(backup.accepted.map(|_| "accepted"));
    state.extend(backup.pinned.then_some("pinned"));
    state.extend((!backup.contradicting_members.is_empty()).then_some("a member differs"));
    state.extend((!backup.pki_problems.is_empty()).then_some("CA in doubt"));
    vec![
        backup.id.to_string(),
        text::age(now.duration_since(backup.started)),
        text::size(backup.size),
        backup.revision.to_string(),
        backup.total_key.to_string(),
        backup.source.etcd_version.clone(),
        state.join(", "),
    ]
}
