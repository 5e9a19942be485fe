//! `hypercloud-etcd verify`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use hypercloud_etcd::catalog::{Outcome, Selector};
use hypercloud_etcd::config::Config;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::look;
use hypercloud_etcd::jobs::reverify::{Came, Terms, prove_again};
use hypercloud_etcd::jobs::verify::{self, Verdict};
use hypercloud_etcd::report::text;

use super::Context;

/// How long the lock of another job, such as a backup under way, is waited for in all.
const PATIENCE: Duration = Duration::from_secs(15);

/// Prove stored backups again: every byte against the manifest, then every page
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 65 where one does not stand up to it, or where there is none. Needs no etcd. The result is
written into the manifest where that can be done; a backup that fails counts for nothing until it
is proven again.

Examples:
  hypercloud-etcd verify latest
  hypercloud-etcd verify --all
  hypercloud-etcd verify --file /tmp/snapshot.db")]
pub(super) struct Arguments {
    /// The backup (default: latest)
    #[arg(conflicts_with_all = ["all", "file"])]
    selector: Option<Selector>,
    /// All backups, newest first
    #[arg(long, conflicts_with = "file")]
    all: bool,
    /// A snapshot file instead
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Print the verdicts as a JSON array
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let verdicts = match &self.file {
            Some(file) => vec![self.of_file(file)?],
            None => self.of_backups(context)?,
        };
        if self.json {
            context.output.json(&verdicts)?;
        } else if verdicts.is_empty() {
            context.output.answer("there is no backup to prove\n")?;
        } else {
            context
                .output
                .answer(&verdicts.iter().map(lines).collect::<String>())?;
        }
        let is_good = !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.verified);
        Ok(if is_good {
            ExitCode::Done
        } else {
            ExitCode::Verification
        })
    }

    fn of_backups(&self, context: &Context) -> Result<Vec<Verdict>, Error> {
        let config: Config = context.config()?;
        let mut verdicts = Vec::new();
        let mut ids = Vec::new();
        let mut unreadable = Vec::new();
        if self.all {
            let listing = look::list(&config)?;
            ids.extend(listing.backups.into_iter().map(|backup| backup.id));
            unreadable = listing.unreadable;
        } else {
            let latest = Selector::Latest(0);
            let selector = self.selector.as_ref().unwrap_or(&latest);
            let (backup, _) = look::find(&config, selector)?;
            ids.push(backup.id);
        }
        let mut is_told = false;
        let terms = Terms {
            lock_until: Some(Instant::now() + PATIENCE),
            ..Terms::default()
        };
        for id in ids {
            context.output.step(&format!("proving {id}"));
            let came = prove_again(&config, &id, &terms, context.now())?;
            let proven = match came {
                Came::Proven(proven) => proven,
                // it was removed in the meantime
                Came::Gone => continue,
                Came::Elsewhere(why) => {
                    return Err(Error::Read {
                        path: config.backup.dir,
                        source: std::io::Error::other(why),
                    });
                }
            };
            if let Some(error) = proven.unrecorded.filter(|_| !is_told) {
                context.output.end_progress();
                tracing::warn!("the result is not written down: {}", error.in_a_line());
                is_told = true;
            }
            verdicts.push(proven.verdict);
        }
        verdicts.extend(unreadable.into_iter().map(|(path, why)| {
            let why = format!("it cannot be used: {why}");
            Verdict::against(path.display().to_string(), why)
        }));
        Ok(verdicts)
    }

    /// A file by itself: a database without a trailer is not proven to be what etcd sent.
    fn of_file(&self, file: &Path) -> Result<Verdict, Error> {
        let (size, problems) = match verify::inspect(file) {
            Ok(report) => {
                let missing = report
                    .verification
                    .into_iter()
                    .filter(|step| step.result != Outcome::Passed);
                (report.size, missing.map(|step| step.detail).collect())
            }
            // a program that asked for a verdict gets one; a person gets a hint, too
            Err(error @ Error::Unsound { .. }) if self.json => (
                file.metadata().map_or(0, |metadata| metadata.len()),
                error.causes(),
            ),
            Err(error) => return Err(error),
        };
        Ok(Verdict {
            name: file.display().to_string(),
            verified: problems.is_empty(),
            problems,
            size,
            snapshot: None,
            found: Vec::new(),
        })
    }
}

fn lines(verdict: &Verdict) -> String {
    if verdict.verified {
        return format!("{}  verified, {}\n", verdict.name, text::size(verdict.size));
    }
    format!(
        "{}  FAILED: {}\n",
        verdict.name,
        verdict.problems.join("; ")
    )
}
