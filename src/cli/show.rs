//! `hypercloud-etcd show`

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use hypercloud_etcd::catalog::{Manifest, Outcome, Selector, Step};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::{look, verify};
use hypercloud_etcd::report::text;
use hypercloud_etcd::snapshot::Facts;
use jiff::Timestamp;

use super::list::Listed;
use super::{Context, output};

/// Show one backup, or what any snapshot file holds
#[derive(Debug, Args)]
#[command(after_help = "\
SELECTOR:
  20261122T060000Z        the backup of that id, or of an id that begins so
  latest, latest~2        the newest, or two before it
  @2026-11-20T10:00:00Z   the newest that began at or before that time
  r123456                 the newest whose revision is at most that

Examples:
  hypercloud-etcd show latest
  hypercloud-etcd show --file /mnt/backup/etcd-20261122T060000Z.db --json")]
pub(super) struct Arguments {
    /// The backup
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    selector: Option<Selector>,
    /// A snapshot or database file instead
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Print JSON; of a file the fields of `etcdutl snapshot status -w json`, and more
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        if let Some(file) = &self.file {
            let report = verify::inspect(file)?;
            if self.json {
                context.output.json(&report)?;
            } else {
                let text = format!(
                    "{}{}",
                    facts(&report.facts, report.size),
                    steps(&report.verification)
                );
                context.output.answer(&text)?;
            }
            let is_sound = report
                .verification
                .iter()
                .all(|step| step.result != Outcome::Failed);
            return Ok(if is_sound {
                ExitCode::Done
            } else {
                ExitCode::Verification
            });
        }
        let selector = self
            .selector
            .as_ref()
            .ok_or_else(|| Error::Usage("no backup was named".into()))?;
        let (backup, lost) = &look::find(&context.config()?, selector)?;
        if self.json {
            context.output.json(&Listed { backup, lost })?;
        } else {
            let mut text = manifest(backup, context.now());
            if let Some(why) = lost {
                line(&mut text, "LOST", why);
            }
            context.output.answer(&text)?;
        }
        Ok(ExitCode::Done)
    }
}

/// A manifest in lines.
pub(super) fn manifest(backup: &Manifest, now: Timestamp) -> String {
    let mut text = String::new();
    let source = &backup.source;
    let took = backup.finished.duration_since(backup.started);
    line(
        &mut text,
        "id",
        &format!(
            "{} ({}, took {:.1} s)",
            backup.id,
            text::ago(now.duration_since(backup.started)),
            took.as_secs_f64()
        ),
    );
    line(
        &mut text,
        "source",
        &format!(
            "{}, etcd {}, member {}, cluster {}",
            source.endpoint, source.etcd_version, source.member_id, source.cluster_id
        ),
    );
    text.push_str(&facts(&backup.facts, backup.size));
    line(&mut text, "sha256", &backup.sha256.to_string());
    text.push_str(&steps(&backup.verification));
    for member in &backup.contradicting_members {
        line(
            &mut text,
            "DIFFERS",
            &format!("member {member} holds other data than the others"),
        );
    }
    if let Some(copies) = &backup.pki {
        let names: Vec<&str> = copies.files.iter().map(|copy| copy.name.as_str()).collect();
        let fingerprint = copies.fingerprint;
        line(
            &mut text,
            "CA",
            &format!("pki/{fingerprint}: {}", names.join(", ")),
        );
    }
    standing(&mut text, backup);
    for problem in &backup.pki_problems {
        line(&mut text, "WARNING", problem);
    }
    text
}

/// What somebody has to decide, or has decided, and how it looked when it was last proven.
fn standing(text: &mut String, backup: &Manifest) {
    let id = &backup.id;
    for suspicion in &backup.suspicions {
        line(text, "SUSPECT", suspicion);
    }
    if let Some(accepted) = backup.accepted {
        line(text, "accepted", &format!("{accepted:.0}"));
    } else if let Some(released) = backup.released {
        let told = format!("a later backup was accepted at {released:.0}; this one holds nothing");
        line(text, "released", &told);
    } else if backup.is_held() {
        let told = format!("nothing is pruned until this is accepted: hypercloud-etcd accept {id}");
        line(text, "hold", &told);
    }
    if backup.pinned {
        line(text, "pinned", "never pruned, until: hypercloud-etcd unpin");
    }
    if let Some(last) = &backup.last_verified {
        let result = match last.result {
            Outcome::Failed => "FAILED",
            _ => "ok",
        };
        let told = [&[format!("{result} at {:.0}", last.at)][..], &last.problems].concat();
        line(text, "proven", &told.join("; "));
    }
}

/// Types that a person is shown; the largest.
const SHOWN: usize = 8;

fn facts(facts: &Facts, size: u64) -> String {
    let mut text = String::new();
    let version = if facts.version.is_empty() {
        String::new()
    } else {
        format!(", storage version {}", facts.version)
    };
    line(
        &mut text,
        "data",
        &format!(
            "{}, revision {}, {} keys, hash {:x}{version}",
            text::size(size),
            facts.revision,
            facts.total_key,
            facts.hash
        ),
    );
    let members: Vec<String> = facts
        .members
        .iter()
        .map(|member| {
            let role = if member.is_learner { ", learner" } else { "" };
            format!(
                "{} ({}{role}) {}",
                member.name,
                member.id,
                member.peer_urls.join(" ")
            )
        })
        .collect();
    line(&mut text, "members", &members.join(", "));
    let mut types: Vec<_> = facts.types.iter().collect();
    types.sort_by_key(|(name, count)| (std::cmp::Reverse(count.bytes), name.as_str()));
    let rows: Vec<Vec<String>> = types
        .iter()
        .take(SHOWN)
        .map(|(name, count)| {
            vec![
                format!("         {name}"),
                count.keys.to_string(),
                text::size(count.bytes),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&output::table(&["types", "KEYS", "SIZE"], &rows, &[1, 2]));
    }
    if types.len() > SHOWN {
        let _ = writeln!(
            text,
            "         and {} more (--json shows all)",
            types.len() - SHOWN
        );
    }
    text
}

fn steps(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |mut text, step| {
        let result = match step.result {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        let name = format!("{:?}", step.step).to_lowercase();
        line(&mut text, &name, &format!("{result}: {}", step.detail));
        text
    })
}

pub(super) fn line(text: &mut String, name: &str, value: &str) {
    // writing to a string does not fail
    let _ = writeln!(text, "{name:<9}  {value}");
}
