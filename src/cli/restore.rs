//! `hypercloud-etcd restore`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use hypercloud_etcd::catalog::Selector;
use hypercloud_etcd::config::Config;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::in_place;
use hypercloud_etcd::jobs::restore::{
    Ahead, Changes, EtcdVersion, Layout, Making, Origin, Pick, Progress, Report, Request, Run,
    Seat, restore,
};
use hypercloud_etcd::report::text;

use super::in_place::Flags;
use super::{Context, show};

/// Restore a backup or any snapshot file, to a data directory or in place
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is written before the snapshot is proven again, every byte and every page, and compared
with its manifest. The directory appears whole or not at all, and nothing is ever overwritten. The
options of `etcdutl snapshot restore` are there, with the same meanings.

Of several members each is restored on its own host, from the same file, with the same
--initial-cluster, --initial-cluster-token and --bump-revision.

On a kubeadm host, --in-place does all of it: it builds the new data beside the old, stops the control
plane, sets the old data aside, and brings everything back. --plan says so beforehand, and gives the
commands for the other control-plane nodes.

Examples:
  hypercloud-etcd restore @2026-11-20T10:00:00Z --plan
  hypercloud-etcd restore latest --in-place
  hypercloud-etcd restore --rollback
  hypercloud-etcd restore latest --data-dir /var/lib/etcd
  hypercloud-etcd restore @2026-11-20T10:00:00Z --data-dir /var/lib/etcd-friday --name m1
  hypercloud-etcd restore --file snapshot.db --data-dir /var/lib/etcd --name m1 \\
      --initial-cluster m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380,m3=https://10.0.0.3:2380 \\
      --initial-advertise-peer-urls https://10.0.0.1:2380 --initial-cluster-token after-the-fire")]
pub(super) struct Arguments {
    /// The backup: an id or the beginning of one, latest, latest~N, @TIME, rREVISION
    #[arg(required_unless_present_any = ["file", "resume", "rollback"], conflicts_with_all = ["file", "resume", "rollback"])]
    selector: Option<Selector>,
    /// A snapshot file instead
    #[arg(long, value_name = "PATH", conflicts_with_all = ["resume", "rollback"])]
    file: Option<PathBuf>,
    /// The data directory that is made; its parent exists, it does not, or it is empty
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "action",
        conflicts_with = "action"
    )]
    data_dir: Option<PathBuf>,
    /// Where the write-ahead log goes, if not into the data directory
    #[arg(long, value_name = "DIR", conflicts_with = "action")]
    wal_dir: Option<PathBuf>,
    #[command(flatten)]
    member: Member,
    #[command(flatten)]
    revision: Revision,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    rewrite: Rewrite,
    /// The etcd that is to start, to refuse data that is newer (default: what etcd.yaml names)
    #[arg(long, value_name = "VERSION", value_parser = version, conflicts_with = "action")]
    etcd_version: Option<EtcdVersion>,
    #[command(flatten)]
    in_place: Flags,
    /// Print what was done, and what there is to do, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Member {
    /// This member's name (default: that of etcd.yaml, with its URLs, where nothing is said of the
    /// member and the snapshot has it; else "default")
    #[arg(long, conflicts_with = "action")]
    name: Option<String>,
    /// All members of the new cluster, as NAME=URL,NAME=URL (default: this one alone)
    #[arg(long, value_name = "MEMBERS")]
    initial_cluster: Option<String>,
    /// What sets the new cluster apart from the old one (default: a fresh one)
    #[arg(long, value_name = "TOKEN")]
    initial_cluster_token: Option<String>,
    /// Where peers reach this member (default: as in --initial-cluster)
    #[arg(long, value_name = "URLS", conflicts_with = "action")]
    initial_advertise_peer_urls: Option<String>,
}

#[derive(Debug, Args)]
struct Revision {
    /// How far the revision moves ahead, 0 for not at all; auto reckons it from the history of the
    /// backups (default: auto on a Kubernetes host, else 0)
    #[arg(long, value_name = "N|auto", value_parser = ahead)]
    bump_revision: Option<Ahead>,
    /// Let watchers of older revisions know that these are gone; needed with --bump-revision N
    #[arg(long)]
    mark_compacted: bool,
}

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag, and none excludes another"
)]
struct Trust {
    /// Take a file without the SHA-256 that etcd appends, such as one copied from a data directory
    #[arg(long)]
    skip_hash_check: bool,
    /// Take a backup that was never wholly proven
    #[arg(long)]
    allow_unverified: bool,
    /// Take a backup that is suspect, such as one made after most keys were deleted
    #[arg(long)]
    allow_suspect: bool,
    /// Take a backup of another cluster than that of the newest backup
    #[arg(long)]
    allow_other_cluster: bool,
}

#[derive(Debug, Args)]
struct Rewrite {
    /// Leave the old cluster's alarms behind
    #[arg(long)]
    clear_alarms: bool,
    /// Write the database anew, without its free pages: restored and defragmented
    #[arg(long)]
    compact: bool,
}

fn ahead(text: &str) -> Result<Ahead, String> {
    match text {
        "auto" => Ok(Ahead::Auto),
        "0" => Ok(Ahead::Stay),
        number => number
            .parse()
            .map(Ahead::By)
            .map_err(|_| "it is neither a number of revisions nor auto".to_owned()),
    }
}

fn version(text: &str) -> Result<EtcdVersion, String> {
    EtcdVersion::parse(text).ok_or_else(|| "it is not a version such as 3.5.30".to_owned())
}

impl Revision {
    /// Both or neither, as with etcdutl; to reckon the bump implies the mark.
    fn ahead(&self) -> Result<Option<Ahead>, Error> {
        match (self.bump_revision, self.mark_compacted) {
            (Some(Ahead::By(by)), false) => Err(Error::Usage(format!(
                "--bump-revision {by} needs --mark-compacted, without which watchers of older revisions wait for ever"
            ))),
            (None | Some(Ahead::Stay), true) => Err(Error::Usage(
                "--mark-compacted needs --bump-revision: a store that stays at its revision keeps its history".into(),
            )),
            (ahead, _) => Ok(ahead),
        }
    }
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        match (&self.data_dir, self.in_place.is_of_the_last()) {
            (_, true) => self.in_place.run(context, None, self.json),
            (None, false) => {
                let request = self.in_place()?;
                self.in_place.run(context, Some(&request), self.json)
            }
            (Some(data_dir), false) => self.to_directory(context, data_dir),
        }
    }

    fn to_directory(&self, context: &Context, data_dir: &Path) -> Result<ExitCode, Error> {
        let request = self.request(data_dir)?;
        let (config, unusable) = self.config(context)?;
        let output = &context.output;
        let progress = |progress: &Progress| match *progress {
            Progress::Proving { size } => output.step(&format!("proving {}", text::size(size))),
            Progress::Making(making) => {
                let what = match making.step {
                    Making::Write => "writing",
                    Making::Prove => "proving what was written",
                };
                output.progress(what, making.done, making.total);
            }
        };
        let run = Run {
            now: context.now(),
            progress: &progress,
        };
        let mut report = restore(config.as_ref(), &request, &run)?;
        report.warnings.extend(unusable);
        output.end_progress();
        if self.json {
            output.json(&report)?;
        } else {
            output.answer(&lines(&report))?;
        }
        Ok(ExitCode::Done)
    }

    /// A backup is found by the configuration. A file needs none: without one, less is known of it.
    fn config(&self, context: &Context) -> Result<(Option<Config>, Option<String>), Error> {
        match (context.config(), &self.file) {
            (Ok(config), _) => Ok((Some(config), None)),
            (Err(error), None) => Err(error),
            (Err(_), Some(_)) if !context.config.exists() => Ok((None, None)),
            (Err(error), Some(_)) => Ok((
                None,
                Some(format!(
                    "the backups were not consulted: {}",
                    error.in_a_line()
                )),
            )),
        }
    }

    fn pick(&self) -> Result<Pick, Error> {
        let origin = match (&self.selector, &self.file) {
            (_, Some(file)) => Origin::File(file.clone()),
            (Some(selector), None) => Origin::Backup(selector.clone()),
            (None, None) => return Err(Error::Usage("no backup was named".into())),
        };
        Ok(Pick {
            origin,
            allow_unverified: self.trust.allow_unverified,
            allow_suspect: self.trust.allow_suspect,
            allow_other_cluster: self.trust.allow_other_cluster,
            skip_hash_check: self.trust.skip_hash_check,
        })
    }

    fn changes(&self) -> Changes {
        Changes {
            clear_alarms: self.rewrite.clear_alarms,
            layout: if self.rewrite.compact {
                Layout::Compact
            } else {
                Layout::Copy
            },
        }
    }

    fn in_place(&self) -> Result<in_place::Request, Error> {
        Ok(in_place::Request {
            pick: self.pick()?,
            kubernetes_dir: self.in_place.kubernetes_dir.clone(),
            initial_cluster: self.member.initial_cluster.clone(),
            token: self.member.initial_cluster_token.clone(),
            ahead: self.revision.ahead()?,
            changes: self.changes(),
        })
    }

    fn request(&self, data_dir: &Path) -> Result<Request, Error> {
        Ok(Request {
            pick: self.pick()?,
            data_dir: data_dir.to_owned(),
            wal_dir: self.wal_dir.clone(),
            seat: Seat {
                name: self.member.name.clone(),
                initial_cluster: self.member.initial_cluster.clone(),
                token: self.member.initial_cluster_token.clone(),
                advertised: self.member.initial_advertise_peer_urls.clone(),
            },
            ahead: self.revision.ahead()?,
            changes: self.changes(),
            etcd_version: self.etcd_version,
            kubernetes_dir: self.in_place.kubernetes_dir.clone(),
        })
    }
}

fn lines(report: &Report) -> String {
    let what = match &report.backup {
        Some(id) => format!("the backup {id}"),
        None => report.file.display().to_string(),
    };
    let mut text = format!("restored {what} to {}\n", report.data_dir.display());
    let mut line = |name: &str, value: &str| show::line(&mut text, name, value);
    line(
        "data",
        &format!(
            "{}, {} keys{}",
            text::size(report.total_size),
            report.total_key,
            match report.taken {
                Some(taken) if report.taken_is_file_date =>
                    format!("; when it was taken is not known, the file's date is {taken:.0}"),
                Some(taken) => format!(", taken {taken:.0}"),
                None => String::new(),
            }
        ),
    );
    match &report.bump {
        Some(bump) => line(
            "revision",
            &format!(
                "{}, moved ahead of {} by {}; older ones count as compacted",
                report.revision, report.snapshot_revision, bump.reason
            ),
        ),
        None => line("revision", &report.revision.to_string()),
    }
    line(
        "member",
        &format!(
            "{} ({}) of cluster {}{}",
            report.name,
            report.member_id,
            report.cluster_id,
            report
                .member_from
                .as_ref()
                .map_or_else(String::new, |from| {
                    format!(", as in {} and in the snapshot", from.display())
                })
        ),
    );
    line("cluster", &report.initial_cluster);
    line("token", &report.initial_cluster_token);
    for warning in &report.warnings {
        line("WARNING", warning);
    }
    text.push_str("\nnext:\n");
    for step in &report.next {
        // writing to a string does not fail
        let _ = writeln!(text, "- {}:\n  {}", step.what, step.command);
    }
    text
}
