//! `hypercloud-etcd restore` on a kubeadm host: `--plan`, `--in-place`, `--resume`, `--rollback`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hypercloud_etcd::config::{self, Config};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::jobs::in_place::{self, Progress, Request, Run};
use hypercloud_etcd::jobs::restore;
use hypercloud_etcd::recovery::{Journal, Plan, Way};
use hypercloud_etcd::report::text;

use super::interruption::Interruption;
use super::output::Output;
use super::{Context, block_on, show};

#[derive(Debug, Args)]
#[command(next_help_heading = "On a kubeadm host")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag, and clap lets one of the first four be given"
)]
pub(super) struct Flags {
    /// Say what --in-place would do on this host, and what on the others; change nothing
    #[arg(long, group = "action")]
    plan: bool,
    /// Stop the control plane of this host, put the restored data in place, start it again
    #[arg(long, group = "action")]
    in_place: bool,
    /// Go on with a restore in place that was interrupted
    #[arg(long, group = "action")]
    resume: bool,
    /// Return to the data from before the last restore in place, finished or not
    #[arg(long, group = "action")]
    rollback: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// How long to wait for the kubelet and for etcd, each time
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = config::duration)]
    wait: Duration,
    /// Where a Kubernetes host has its manifests and certificates
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes")]
    pub(super) kubernetes_dir: PathBuf,
    /// Where the kubelet's files say at which socket the container runtime is asked
    #[arg(long, value_name = "DIR", default_value = in_place::KUBELET_DIR)]
    kubelet_dir: PathBuf,
}

impl Flags {
    /// Whether an earlier restore is meant, and no snapshot is named.
    pub(super) fn is_of_the_last(&self) -> bool {
        self.resume || self.rollback
    }

    pub(super) fn run(
        &self,
        context: &Context,
        request: Option<&Request>,
        json: bool,
    ) -> Result<ExitCode, Error> {
        let config = config(context)?;
        let output = &context.output;
        let interruption = Interruption::default();
        let progress =
            |progress: &Progress| show_progress(output, progress, interruption.is_asked());
        let run = Run {
            clock: &|| context.now(),
            kubelet_dir: &self.kubelet_dir,
            host_name: &context.host_name(),
            wait: self.wait,
            progress: &progress,
            interrupted: &|| interruption.is_asked(),
        };
        let journal = match request {
            None if self.resume => {
                interruption.listen()?;
                block_on(in_place::resume(&config, &self.kubernetes_dir, &run))?
            }
            None => {
                self.agree_to_return(output)?;
                interruption.listen()?;
                block_on(in_place::rollback(&config, &self.kubernetes_dir, &run))?
            }
            Some(request) => {
                let plan = block_on(in_place::plan(&config, request, &run))?;
                output.end_progress();
                if self.plan {
                    return tell(output, &plan, json);
                }
                plan.require_ready()?;
                if self.yes {
                    // nobody is shown the plan
                    warn(output, &plan);
                }
                self.agree(output, &plan_lines(&plan), "restore this host's etcd")?;
                interruption.listen()?;
                block_on(in_place::begin(&config, &plan, &run))?
            }
        };
        output.end_progress();
        if json {
            output.json(&journal)?;
        } else {
            output.answer(&journal_lines(&journal))?;
        }
        Ok(ExitCode::Done)
    }

    fn agree_to_return(&self, output: &Output) -> Result<(), Error> {
        let journal = in_place::to_undo(&self.kubernetes_dir)?;
        let (live, aside) = (journal.places.live.display(), &journal.places.aside);
        let what =
            if journal.has_exchanged_data() || (aside.exists() && !journal.places.live.exists()) {
                format!(
                    "The old data in {} takes the place of {live} again, which is moved to {}.\n",
                    aside.display(),
                    journal.places.undone.display()
                )
            } else {
                format!("The old data is in {live}, and stays there.\n")
            };
        self.agree(output, &what, "return to the old data")
    }

    /// Nothing is stopped that nobody has said yes to.
    fn agree(&self, output: &Output, what: &str, to: &str) -> Result<(), Error> {
        if self.yes {
            return Ok(());
        }
        let question = format!("{what}\nType yes to {to}: ");
        match output.ask(&question) {
            Some(answer) if answer.trim() == "yes" => Ok(()),
            Some(_) => Err(Error::Usage(
                "nothing was changed: the answer was not yes".into(),
            )),
            None => Err(Error::Usage(
                "there is no terminal to ask at; see what would happen with --plan, and say --yes"
                    .into(),
            )),
        }
    }
}

fn warn(output: &Output, plan: &Plan) {
    for warning in &plan.warnings {
        output.note(&warning_line(warning));
    }
}

fn warning_line(text: &str) -> String {
    format!("WARNING   {text}")
}

fn tell(output: &Output, plan: &Plan, json: bool) -> Result<ExitCode, Error> {
    if json {
        output.json(plan)?;
    } else {
        output.answer(&plan_lines(plan))?;
    }
    Ok(ExitCode::Done)
}

/// The configuration, or without a file the defaults: those of a kubeadm host.
fn config(context: &Context) -> Result<Config, Error> {
    match context.config() {
        Err(_) if !context.config.exists() => config::parse(&context.config, "")
            .map_err(|_| Error::Bug("the defaults are wrong".into())),
        config => config,
    }
}

fn show_progress(output: &Output, progress: &Progress, is_interrupted: bool) {
    match progress {
        Progress::Begun(step) => output.step(&step.to_string()),
        Progress::Restoring(restore::Progress::Proving { size }) => {
            output.step(&format!("proving {}", text::size(*size)));
        }
        Progress::Restoring(restore::Progress::Making(making)) => {
            let what = if is_interrupted {
                "interrupted; stops after writing"
            } else {
                "writing"
            };
            output.progress(what, making.done, making.total);
        }
        Progress::Waiting(what) => output.waiting(&format!("waiting for {what}")),
        Progress::Done(step, took) => {
            output.note(&format!("{:>6.1} s  {step}", took.as_secs_f64()));
        }
        Progress::Warning(text) => output.note(&warning_line(text)),
    }
}

/// The plan in lines for a person.
fn plan_lines(plan: &Plan) -> String {
    let (source, goal) = (&plan.source, &plan.goal);
    let what = match &source.backup {
        Some(id) => format!("the backup {id}"),
        None => source.file.display().to_string(),
    };
    let mut text = format!("restore {what} in place on {}\n", goal.name);
    let mut line = |name: &str, value: &str| show::line(&mut text, name, value);
    line("file", &source.file.display().to_string());
    line("sha256", &source.sha256);
    line(
        "data",
        &format!(
            "{}, {} keys, revision {}",
            text::size(source.size),
            source.keys,
            source.revision
        ),
    );
    line(
        "member",
        &format!(
            "{} ({}) of the new cluster {}",
            goal.name, plan.member_id, plan.expected.cluster_id
        ),
    );
    line("cluster", &goal.initial_cluster);
    line("token", &goal.initial_cluster_token);
    line(
        "revision",
        &format!(
            "{}, moved ahead by {}",
            plan.expected.revision, plan.bump_reason
        ),
    );
    for warning in &plan.warnings {
        line("WARNING", warning);
    }
    for member in &plan.still_serving {
        line(
            "WARNING",
            &format!("{member} is left out, and still serves the old data"),
        );
    }
    listed(&mut text, "before", &plan.before);
    text.push_str("\nsteps on this host:\n");
    for (number, step) in (1..).zip(&plan.steps) {
        // writing to a string does not fail
        let _ = writeln!(text, "{number:>3}. {}", step.what);
    }
    text.push_str("\ncommands:\n");
    for host in &plan.hosts {
        let here = if host.here { " (this host)" } else { "" };
        let _ = writeln!(text, "- on {}{here}:", host.member);
        for command in &host.commands {
            let _ = writeln!(text, "  {command}");
        }
    }
    listed(&mut text, "after", &plan.after);
    text
}

fn listed(text: &mut String, title: &str, items: &[String]) {
    if !items.is_empty() {
        let _ = writeln!(text, "\n{title}:");
    }
    for item in items {
        let _ = writeln!(text, "- {item}");
    }
}

/// What came of it, and what there is to do.
fn journal_lines(journal: &Journal) -> String {
    let places = &journal.places;
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    let mut text = match journal.way {
        Way::Forward => format!("restored {} in place\n", journal.goal.file.display()),
        Way::Back => "the data from before the restore is in place\n".to_owned(),
    };
    let mut line = |name: &str, value: &str| show::line(&mut text, name, value);
    line("data", &places.live.display().to_string());
    for (name, path) in [("old data", &places.aside), ("undone", &places.undone)] {
        if is_there(path) {
            line(name, &path.display().to_string());
        }
    }
    if journal.way == Way::Forward {
        line(
            "revision",
            &format!(
                "{}, {} keys",
                journal.expected.revision, journal.expected.keys
            ),
        );
    }
    listed(&mut text, "next", &journal.after());
    text
}
