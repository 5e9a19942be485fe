//! `hypercloud-etcd schedule`

use clap::Args;
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::schedule::Schedule;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Context;

/// Print the next runs of a schedule, as a Kubernetes CronJob would have them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hypercloud-etcd schedule
  hypercloud-etcd schedule '30 2 * * 1-5' --timezone Europe/Berlin --next 10")]
pub(super) struct Arguments {
    /// A crontab line of five fields (default: the configured one)
    #[arg(value_name = "EXPR")]
    expression: Option<String>,
    /// An IANA time zone (default: the configured one, or UTC with EXPR)
    #[arg(long, value_name = "TZ")]
    timezone: Option<String>,
    /// The runs after this time (default: now)
    #[arg(long, value_name = "RFC3339")]
    after: Option<Timestamp>,
    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    next: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The answer.
#[derive(Serialize)]
struct Runs {
    schedule: String,
    timezone: String,
    next: Vec<String>,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        let schedule = self.schedule(context)?;
        let after = self.after.unwrap_or_else(|| context.now());
        let zone =
            TimeZone::get(schedule.timezone()).map_err(|error| Error::Bug(error.to_string()))?;
        let runs = std::iter::successors(schedule.next(after), |last| schedule.next(*last));
        let next: Vec<String> = runs
            .take(usize::from(self.next))
            .map(|run| run.display_with_offset(zone.to_offset(run)).to_string())
            .collect();
        for warning in schedule.warnings(after) {
            tracing::warn!("{warning}");
        }
        if self.json {
            let (schedule, timezone) = (schedule.text().to_owned(), schedule.timezone().to_owned());
            context.output.json(&Runs {
                schedule,
                timezone,
                next,
            })?;
        } else {
            context.output.answer(&(next.join("\n") + "\n"))?;
        }
        Ok(ExitCode::Done)
    }

    fn schedule(&self, context: &Context) -> Result<Schedule, Error> {
        let zone = self.timezone.as_deref();
        if let Some(expression) = &self.expression {
            return Ok(Schedule::parse(expression, zone.unwrap_or("UTC"))?);
        }
        let configured = context.config()?.schedule;
        match zone {
            Some(zone) => Ok(Schedule::parse(configured.text(), zone)?),
            None => Ok(configured),
        }
    }
}
