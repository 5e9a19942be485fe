//! `hypercloud-etcd pin` and `hypercloud-etcd unpin`

use clap::Args;
use hypercloud_etcd::catalog::{Manifest, Selector};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::pin;

use super::Context;

/// Keep a backup, whatever the policy says
#[derive(Debug, Args)]
#[command(after_help = "\
A pinned backup is not pruned until it is unpinned. Its snapshot is not changed; the pin stands in
its manifest.

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
        let backup = pin::pin(&context.config()?, &self.one.selector, context.now())?;
        self.one
            .answer(context, &backup, "is pinned: no policy removes it")
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
