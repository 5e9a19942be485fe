//! `hypercloud-etcd list`

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::Args;
use hypercloud_etcd::catalog::{BackupId, Listing, Manifest, Summary};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::look;
use hypercloud_etcd::report::text;
use jiff::Timestamp;
use serde::Serialize;

use super::{Context, output};

/// List the backups, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
With --json a backup whose snapshot is gone or cut has a field `lost`, which says why.

Example:
  hypercloud-etcd list --json | jq -r '.[] | select(.verified and (.lost | not)) | .id'")]
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
            let backups = all(listing, |backup| (backup.started, &backup.id));
            let backups = backups.iter().map(|(backup, lost)| Listed { backup, lost });
            context.output.json(&backups.collect::<Vec<_>>())?;
            return Ok(ExitCode::Done);
        }
        let listing = look::present(&config)?;
        let backups = all(listing, |backup: &Summary| (backup.started, &backup.id));
        if backups.is_empty() {
            context.output.answer(&format!(
                "there is no backup in {}\n",
                config.backup.dir.display()
            ))?;
        } else {
            let now = context.now();
            let rows: Vec<Vec<String>> = backups
                .iter()
                .map(|(backup, lost)| row(backup, lost.is_some(), now))
                .collect();
            let head = ["ID", "AGE", "SIZE", "REVISION", "KEYS", "ETCD", "STATE"];
            context
                .output
                .answer(&output::table(&head, &rows, &[1, 2, 3, 4]))?;
        }
        Ok(ExitCode::Done)
    }
}

/// A manifest as `--json` shows it.
#[derive(Serialize)]
pub(super) struct Listed<'l> {
    #[serde(flatten)]
    pub(super) backup: &'l Manifest,
    /// Why its snapshot is lost, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: &'l Option<String>,
}

/// All backups, the newest first, each with the reason why its snapshot is not there; tells of what
/// is no backup.
fn all<B>(
    listing: Listing<B>,
    place: impl Fn(&B) -> (Timestamp, &BackupId),
) -> Vec<(B, Option<String>)> {
    let named = |(path, why): (PathBuf, String)| Some((path.file_name()?.to_owned(), (path, why)));
    let mut whys: HashMap<OsString, _> = listing.unreadable.into_iter().filter_map(named).collect();
    let mut why_lost = |backup: &B| {
        let name = place(backup).1.manifest_name();
        whys.remove(OsStr::new(&name)).unwrap_or_default().1
    };
    let lost: Vec<_> = listing
        .lost
        .into_iter()
        .map(|backup| (Some(why_lost(&backup)), backup))
        .map(|(why, backup)| (backup, why))
        .collect();
    let mut unreadable: Vec<_> = whys.into_values().collect();
    unreadable.sort();
    for (path, why) in unreadable {
        tracing::warn!("the manifest {} is left out: {why}", path.display());
    }
    let there = listing.backups.into_iter().map(|backup| (backup, None));
    let mut all: Vec<_> = there.chain(lost).collect();
    all.sort_by(|(a, _), (b, _)| place(b).cmp(&place(a)));
    all
}

fn row(backup: &Summary, is_lost: bool, now: Timestamp) -> Vec<String> {
    let mut state = vec![match (backup.verified, backup.decay()) {
        _ if is_lost => "LOST",
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
