//! `hypercloud-etcd prune`

use clap::Args;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::prune::{self, Fate, Pruned};
use hypercloud_etcd::report::text;
use jiff::Timestamp;

use super::{Context, output};

/// Remove the backups that the policy does not keep, and say why each stays or goes
#[derive(Debug, Args)]
#[command(after_help = "\
The same happens after each verified backup. Only verified backups count, the newest min_verified of
them always stay, and no file is removed but those of a backup that goes.

Examples:
  hypercloud-etcd prune --dry-run       what would go, and why?
  hypercloud-etcd prune --dry-run --json | jq -r '.backups[] | select(.keep | not) | .id'")]
pub(super) struct Arguments {
    /// Change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let config = context.config()?;
        let now = context.now();
        let pruned = if self.dry_run {
            prune::preview(&config, now)?
        } else {
            prune::prune(&config, now)?
        };
        for left_alone in &pruned.left_alone {
            tracing::warn!("left alone: {left_alone}");
        }
        if self.json {
            context.output.json(&pruned)?;
        } else {
            context.output.answer(&lines(&pruned, now))?;
        }
        Ok(pruned.code)
    }
}

fn lines(pruned: &Pruned, now: Timestamp) -> String {
    let row = |fate: &Fate| {
        let verdict = match (fate.keep, fate.removed || pruned.dry_run) {
            (true, _) => "keep",
            (false, true) => "remove",
            (false, false) => "STAYS",
        };
        vec![
            fate.id.to_string(),
            text::age(now.duration_since(fate.started)),
            text::size(fate.size),
            verdict.to_owned(),
            fate.reason.clone(),
        ]
    };
    let mut text = String::new();
    if !pruned.backups.is_empty() {
        let rows: Vec<Vec<String>> = pruned.backups.iter().map(row).collect();
        let head = ["ID", "AGE", "SIZE", "", "REASON"];
        text = output::table(&head, &rows, &[1, 2]);
    }
    let total = |what: &dyn Fn(&&Fate) -> bool| {
        let chosen: Vec<&Fate> = pruned.backups.iter().filter(what).collect();
        let size = chosen
            .iter()
            .map(|fate| fate.size)
            .fold(0, u64::saturating_add);
        let number = text::counted(chosen.len(), "backup", "backups");
        format!("{number} ({})", text::size(size))
    };
    let (stay, go) = if pruned.dry_run {
        (total(&|fate| fate.keep), total(&|fate| !fate.keep))
    } else {
        (total(&|fate| !fate.removed), total(&|fate| fate.removed))
    };
    let (to_stay, to_go) = if pruned.dry_run {
        ("would stay", "would be removed")
    } else {
        ("stay", "removed")
    };
    text + &format!("{stay} {to_stay}, {go} {to_go}\n")
}
