//! `hypercloud-etcd init`

use std::path::{Path, PathBuf};

use clap::Args;
use hypercloud_etcd::config;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::init::{self, Existing, Found, Missing, Plan};
use hypercloud_etcd::jobs::manifests::KUBERNETES_DIR;
use serde::Serialize;

use super::Context;
use super::diff;

/// Write the configuration of this kubeadm host
#[derive(Debug, Args)]
#[command(after_help = "\
Reads manifests/etcd.yaml, or manifests/kube-apiserver.yaml where etcd runs elsewhere, finds a
client certificate, and writes the documented default with what it found to the file that
--config names.

Examples:
  hypercloud-etcd init --dry-run
  hypercloud-etcd init && hypercloud-etcd check")]
pub(super) struct Arguments {
    /// The directory of Kubernetes on this host
    #[arg(long, value_name = "DIR", default_value = KUBERNETES_DIR)]
    kubernetes_dir: PathBuf,
    /// Write nothing, show what would change
    #[arg(long)]
    dry_run: bool,
    /// Replace a configuration that was changed by hand; it is kept beside the new one
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Wider values push what follows them to the right.
const WIDEST: usize = 60;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Written,
    Unchanged,
    Planned,
}

/// The answer.
#[derive(Serialize)]
struct Report<'p> {
    path: &'p Path,
    outcome: Outcome,
    /// Where the file is kept that was replaced.
    kept: Option<&'p Path>,
    /// What was read.
    manifest: &'p Path,
    found: &'p [Found],
    missing: &'p [Missing],
    notes: &'p [String],
    /// What would change.
    diff: Option<String>,
    /// What is written only if that is asked for.
    #[serde(skip)]
    needs_force: bool,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let plan = init::plan(&self.kubernetes_dir, &context.config)?;
        let kept = if self.dry_run {
            None
        } else {
            plan.write(self.force)?
        };
        let outcome = match plan.existing {
            Existing::Same => Outcome::Unchanged,
            _ if self.dry_run => Outcome::Planned,
            _ => Outcome::Written,
        };
        let report = Report {
            path: &plan.path,
            outcome,
            kept: kept.as_deref(),
            manifest: &plan.manifest,
            found: &plan.found,
            missing: &plan.missing,
            notes: &plan.notes,
            diff: self.dry_run.then(|| difference(&plan)),
            needs_force: matches!(plan.existing, Existing::Other(_)) && !self.force,
        };
        if self.json {
            context.output.json(&report)?;
        } else {
            context.output.answer(&report.lines())?;
        }
        Ok(if plan.missing.is_empty() {
            ExitCode::Done
        } else {
            ExitCode::Config
        })
    }
}

/// The changes to what is there; to the installed default where there is nothing.
fn difference(plan: &Plan) -> String {
    let path = plan.path.display();
    let (name, old) = match &plan.existing {
        Existing::Same => return String::new(),
        Existing::Nothing | Existing::Untouched => {
            ("the installed default".to_owned(), config::INSTALLED)
        }
        Existing::Comments(text) | Existing::Other(text) => (path.to_string(), text.as_str()),
    };
    let changes = diff::unified(old, &plan.text, config::masked);
    format!("--- {name}\n+++ {path}\n{changes}")
}

impl Report<'_> {
    fn lines(&self) -> String {
        let values: Vec<String> = self.found.iter().map(|found| found.value.plain()).collect();
        let widest = values.iter().map(|value| value.chars().count()).max();
        let values_width = widest.unwrap_or(0).min(WIDEST);
        let names = self.found.iter().map(|found| found.name.len());
        let names_width = names.max().unwrap_or(0);
        let found = |(found, value): (&Found, &String)| {
            let Found { name, from, .. } = found;
            format!("{name:names_width$}  {value:values_width$}  {from}\n")
        };
        let missing = |missing: &Missing| {
            let Missing {
                name,
                message,
                hint,
            } = missing;
            format!("NOT FOUND  {name}: {message}\n     hint: {hint}\n")
        };
        let mut text = format!("read {}\n", self.manifest.display());
        text.extend(self.found.iter().zip(&values).map(found));
        text.extend(self.missing.iter().map(missing));
        text.extend(self.notes.iter().map(|note| format!("note: {note}\n")));
        if let Some(diff) = &self.diff {
            text.push_str(diff);
        }
        let path = self.path.display();
        let outcome = match self.outcome {
            Outcome::Unchanged => format!("{path} says so already; nothing was changed\n"),
            Outcome::Planned if self.needs_force => {
                format!(
                    "nothing was written; with --force in place of --dry-run this goes to {path}\n"
                )
            }
            Outcome::Planned => {
                format!("nothing was written; without --dry-run this goes to {path}\n")
            }
            Outcome::Written => match self.kept {
                Some(kept) => format!(
                    "wrote {path}; what was there is kept as {}\n",
                    kept.display()
                ),
                None => format!("wrote {path}\n"),
            },
        };
        text + &outcome + "See whether a backup can be made with: hypercloud-etcd check\n"
    }
}
