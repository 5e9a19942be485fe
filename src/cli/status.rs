//! `hypercloud-etcd status`

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use hypercloud_etcd::catalog::Memory;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::look;
use hypercloud_etcd::jobs::manifests::KUBERNETES_DIR;
use hypercloud_etcd::report::{Status, text};

use super::Context;

/// Is the newest verified backup fresh enough?
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 0: yes, and nothing else is wrong; 1: no, and the lines say why. What the daemon remembers
to be wrong, that its runs or its pruning fail, is read from $STATE_DIRECTORY/state.json (default
/var/lib/hypercloud-etcd) where that can be read.

Example:
  hypercloud-etcd status || mail -s 'etcd backups' ops@example.com")]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Where a Kubernetes host has its manifests, and a restore in place its journal
    #[arg(long, value_name = "DIR", default_value = KUBERNETES_DIR)]
    kubernetes_dir: PathBuf,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let config = context.config()?;
        // without the right to read it, or without a daemon, there is nothing to add
        let state = context.state_file().peek();
        let trouble = state.map(|state| state.trouble(&config.backup.dir));
        let status = look::status(
            &config,
            &self.kubernetes_dir,
            context.now(),
            &mut Memory::default(),
            trouble.unwrap_or_default(),
        )?;
        if self.json {
            context.output.json(&status)?;
        } else {
            context.output.answer(&lines(&status))?;
        }
        Ok(if status.ok {
            ExitCode::Done
        } else {
            ExitCode::No
        })
    }
}

fn lines(status: &Status) -> String {
    let mut lines = vec![if status.ok {
        "ok".to_owned()
    } else {
        "NOT OK".to_owned()
    }];
    lines.extend(
        status
            .problems
            .iter()
            .map(|problem| format!("problem: {problem}")),
    );
    lines.push(match &status.newest_verified {
        Some(newest) => format!(
            "newest verified backup {} ({}, revision {}, {})",
            newest.id,
            text::size(newest.size),
            newest.revision,
            text::ago(jiff::SignedDuration::from_secs(newest.age_seconds)),
        ),
        None => "no verified backup".to_owned(),
    });
    lines.push(counts(status));
    lines.extend(status.all_proven_since.map(|since| {
        let which = if status.failed_again.is_empty() {
            ""
        } else {
            "other "
        };
        format!("every {which}backup was proven at {since:.0} or later")
    }));
    lines.extend(
        status
            .next
            .map(|next| format!("next scheduled run {next:.0}")),
    );
    let disk = status.disk;
    lines.push(format!(
        "disk {}% free ({} of {})",
        text::percent(disk.free, disk.total),
        text::size(disk.free),
        text::size(disk.total)
    ));
    lines.extend(status.certificates.iter().map(|certificate| {
        format!(
            "certificate {} valid until {:.0} ({} days)",
            certificate.file.display(),
            certificate.not_after,
            certificate.days_left
        )
    }));
    lines.join("\n") + "\n"
}

fn counts(status: &Status) -> String {
    let mut counts = format!(
        "{}, {} verified",
        text::counted(status.backups, "backup", "backups"),
        status.verified
    );
    for (count, what) in [
        (status.suspect, "suspect"),
        (status.failed_again.len(), "no longer verified"),
    ] {
        if count > 0 {
            // writing to a string does not fail
            let _ = write!(counts, ", {count} {what}");
        }
    }
    counts
}
