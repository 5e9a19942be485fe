//! `hypercloud-etcd accept`

use std::fmt::Write as _;

use clap::Args;
use hypercloud_etcd::catalog::{BackupId, Selector};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::accept::{Acceptance, accept};
use hypercloud_etcd::report::text;

use super::Context;

/// Say that a suspect backup shows what the cluster is meant to be
#[derive(Debug, Args)]
#[command(after_help = "\
Until then nothing is pruned and the suspect backup counts for nothing. Once accepted it is a good
one, and later backups are compared with it. Suspect backups before it stay suspect, but hold
nothing any more. Where all is well again, accept a later backup that is not suspect.

Examples:
  hypercloud-etcd show latest           what is suspicious?
  hypercloud-etcd accept 20261122T060000Z")]
pub(super) struct Arguments {
    /// The backup: an id or the beginning of one, latest, latest~N, @TIME or rREVISION
    selector: Selector,
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let acceptance = accept(&context.config()?, &self.selector, context.now())?;
        if self.json {
            context.output.json(&acceptance.backup)?;
        } else {
            context.output.answer(&lines(&acceptance))?;
        }
        Ok(ExitCode::Done)
    }
}

pub(super) fn lines(acceptance: &Acceptance) -> String {
    let id = &acceptance.backup.id;
    let mut text = match acceptance.backup.accepted {
        Some(_) if acceptance.changed => {
            format!("{id} is accepted: later backups are compared with it\n")
        }
        Some(_) => format!("{id} was accepted already\n"),
        _ if acceptance.changed => format!("{id} is not suspect; all is well again\n"),
        _ => format!("{id} is not suspect; there is nothing to accept\n"),
    };
    let succeeds = &acceptance.backup.succeeds;
    if acceptance.backup.accepted.is_some() && acceptance.changed && !succeeds.is_empty() {
        let clusters = succeeds.join(", ");
        // writing to a string does not fail
        let _ = writeln!(
            text,
            "its cluster goes on with {clusters}: backups of that id count with its own, and are pruned with them"
        );
    }
    let mut tell = |ids: &[BackupId], one: &str, many: &str| {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        if !names.is_empty() {
            let counted = text::counted(names.len(), one, many);
            // writing to a string does not fail
            let _ = writeln!(text, "{counted}: {}", names.join(", "));
        }
    };
    tell(
        &acceptance.released,
        "earlier backup stays suspect, but no longer keeps anything from being pruned",
        "earlier backups stay suspect, but no longer keep anything from being pruned",
    );
    tell(
        &acceptance.still_held,
        "later backup is suspect and still holds pruning",
        "later backups are suspect and still hold pruning",
    );
    text
}
