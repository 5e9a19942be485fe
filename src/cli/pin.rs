//! `hypercloud-etcd pin` and `hypercloud-etcd unpin`

use clap::Args;
use hypercloud_etcd::catalog::{Manifest, Selector};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::pin;

use super::{Context, accept};

/// Keep a backup, whatever the policy says
#[derive(Debug, Args)]
#[command(after_help = "\
A pinned backup is not pruned until it is unpinned. Its snapshot is not changed; the pin stands in
its manifest. Who pins a suspect backup has looked at it: it is accepted, too, which ends its hold
on pruning.

Example:
  hypercloud-etcd pin latest            before an upgrade")]
pub(super) struct Pin {
    #[command(flatten)]
    one: One,
}

/// Let the policy decide again on a pinned backup
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hypercloud-etcd unpin 20261122T060000Z")]
pub(super) struct Unpin {
    #[command(flatten)]
    one: One,
}

#[derive(Debug, Args)]
struct One {
    /// The backup: an id or the beginning of one, latest, latest~N, @TIME or rREVISION
    selector: Selector,
    /// Print the manifest as JSON
    #[arg(long)]
    json: bool,
}

impl Pin {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let (backup, accepted) = pin::pin(&context.config()?, &self.one.selector, context.now())?;
        let accepted = accepted.as_ref().map_or_else(String::new, accept::lines);
        let how = format!("is pinned: it is never pruned\n{accepted}");
        self.one.answer(context, &backup, how.trim_end())
    }
}

impl Unpin {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let backup = pin::unpin(&context.config()?, &self.one.selector, context.now())?;
        self.one
            .answer(context, &backup, "is not pinned: the policy decides")
    }
}

impl One {
    fn answer(&self, context: &Context, backup: &Manifest, how: &str) -> Result<ExitCode, Error> {
        if self.json {
            context.output.json(backup)?;
        } else {
            context.output.answer(&format!("{} {how}\n", backup.id))?;
        }
        Ok(ExitCode::Done)
    }
}
