//! `hypercloud-etcd daemon`

use std::time::Duration;

use clap::Args;
use hypercloud_etcd::daemon::{self, Setup};
use hypercloud_etcd::error::{Error, ExitCode};
use hypercloud_etcd::report::event;
use hypercloud_etcd::report::systemd::Systemd;

use super::Context;
use super::log::Log;
use super::output::problem_lines;

/// Take backups by the schedule: what the systemd unit runs
#[derive(Debug, Args)]
#[command(after_help = "\
SIGHUP reads the configuration anew; SIGTERM ends it, after a backup that is nearly done.
$STATE_DIRECTORY (default /var/lib/hypercloud-etcd) holds state.json, what it remembers.

Examples:
  hypercloud-etcd daemon --config ./config.toml
  hypercloud-etcd daemon --check-config
  systemctl reload hypercloud-etcd && systemctl status hypercloud-etcd")]
pub(super) struct Arguments {
    /// Only read the configuration and tell what is wrong with it, as `systemctl reload` does
    #[arg(long)]
    check_config: bool,
}

/// How long work that was given up may take to notice.
const LAST_WORK: Duration = Duration::from_secs(2);

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        if self.check_config {
            context.config()?;
            return Ok(ExitCode::Done);
        }
        let config = match context.config() {
            Err(Error::Config(error)) if context.log == Log::Journal => {
                let error = Error::Config(error);
                tell_journal(&error);
                return Ok(error.exit_code());
            }
            config => config?,
        };
        let setup = Setup {
            config,
            host: context.host_name(),
            state: context.state_file(),
            systemd: Systemd::from_environment(),
            clock: &|| context.now(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Bug(error.to_string()))?;
        let result = runtime.block_on(daemon::run(setup));
        // a walk over a database that nobody waits for any more must not hold up the end
        runtime.shutdown_timeout(LAST_WORK);
        result.map(|()| ExitCode::Done)
    }
}

/// What makes the start fail, with every problem, as one event that can be found by its id.
fn tell_journal(error: &Error) {
    let mut text = format!("configuration refused: {error}");
    if let Error::Config(hypercloud_etcd::config::Error::Problems { problems, .. }) = error {
        text.push('\n');
        text.extend(problems.iter().map(problem_lines));
    }
    for line in error.causes().into_iter().chain(error.hint()) {
        text.push('\n');
        text.push_str(&line);
    }
    tracing::error!(
        message_id = event::CONFIGURATION_REFUSED,
        error_kind = error.exit_code().name(),
        "{}",
        text.trim_end()
    );
}
