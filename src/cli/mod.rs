//! Everything that talks to a person: one file per command, its options and its run.

mod accept;
mod backup;
mod check;
mod daemon;
mod diff;
mod generate;
mod in_place;
mod init;
mod interruption;
mod list;
mod log;
mod output;
mod pin;
mod prune;
mod render;
mod restore;
mod schedule;
mod show;
mod status;
mod verify;

use std::future::Future;
use std::path::PathBuf;
use std::process;

use clap::{Parser, Subcommand};
use hypercloud_etcd::config::{self, Config, Severity};
use hypercloud_etcd::error::Error;
use hypercloud_etcd::report::state::StateFile;
use jiff::Timestamp;

use log::Log;
use output::Output;

/// Where the daemon's memory is unless systemd says otherwise.
const STATE: &str = "/var/lib/hypercloud-etcd";

/// The version, and the commit it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("HCE_COMMIT"), ")");

/// Backups of a Kubernetes control-plane node's etcd, proven good when they are made
#[derive(Debug, Parser)]
#[command(
    name = "hypercloud-etcd",
    version = VERSION,
    max_term_width = 100,
    after_help = "\
Examples:
  hypercloud-etcd init                  write the configuration of this kubeadm host
  hypercloud-etcd check                 is everything there that a backup needs?
  hypercloud-etcd backup                take, prove and keep one backup now
  hypercloud-etcd list                  the backups, newest first
  hypercloud-etcd verify --all          prove them all again
  hypercloud-etcd restore latest --data-dir /var/lib/etcd
                                        restore the newest

Exit codes: 0 done, 1 the answer is no, 64 usage, 65 verification failed, 69 etcd not reachable,
73 cannot create output, 74 input or output failed, 75 another job holds the lock,
77 permission, 78 configuration, 130 interrupted"
)]
struct Arguments {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = config::PATH
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Arguments),
    Daemon(daemon::Arguments),
    Backup(backup::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Verify(verify::Arguments),
    Prune(prune::Arguments),
    Restore(Box<restore::Arguments>),
    Pin(pin::Pin),
    Unpin(pin::Unpin),
    Accept(accept::Arguments),
    Status(status::Arguments),
    Check(check::Arguments),
    Schedule(schedule::Arguments),
    Render(render::Arguments),
    Generate(generate::Arguments),
}

/// What every command is given.
struct Context {
    config: PathBuf,
    output: Output,
    log: Log,
}

impl Context {
    /// The configuration.
    fn config(&self) -> Result<Config, Error> {
        Ok(config::load(&self.config)?)
    }

    /// What the daemon remembers: where systemd made room for it, or else where it would.
    #[expect(
        clippy::unused_self,
        reason = "only what has the context may ask for the environment"
    )]
    fn state_file(&self) -> StateFile {
        let given = std::env::var_os("STATE_DIRECTORY");
        let first = given.and_then(|given| std::env::split_paths(&given).next());
        let own = first.filter(|path| path.is_absolute());
        StateFile::in_directory(&own.unwrap_or_else(|| STATE.into()))
    }

    /// The time: the one place where the command line reads the clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "time enters here and travels as an argument"
    )]
    #[expect(
        clippy::unused_self,
        reason = "only what has the context may ask for the time"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// What this host calls itself.
    #[expect(
        clippy::unused_self,
        reason = "only what has the context may ask the system"
    )]
    fn host_name(&self) -> String {
        let uname = rustix::system::uname();
        uname.nodename().to_string_lossy().into_owned()
    }
}

/// Runs the command line to its exit code.
pub(crate) fn main() -> process::ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    let log = log::start();
    let context = Context {
        log,
        config: arguments.config,
        output: Output::new(),
    };
    let result = match arguments.command {
        Command::Init(arguments) => arguments.run(&context),
        Command::Daemon(arguments) => arguments.run(&context),
        Command::Backup(arguments) => arguments.run(&context),
        Command::List(arguments) => arguments.run(&context),
        Command::Show(arguments) => arguments.run(&context),
        Command::Verify(arguments) => arguments.run(&context),
        Command::Prune(arguments) => arguments.run(&context),
        Command::Restore(arguments) => arguments.run(&context),
        Command::Pin(arguments) => arguments.run(&context),
        Command::Unpin(arguments) => arguments.run(&context),
        Command::Accept(arguments) => arguments.run(&context),
        Command::Status(arguments) => arguments.run(&context),
        Command::Check(arguments) => arguments.run(&context),
        Command::Schedule(arguments) => arguments.run(&context),
        Command::Render(arguments) => arguments.run(&context),
        Command::Generate(arguments) => arguments.run(&context),
    };
    let code = result.unwrap_or_else(|error| {
        context.output.error(&error);
        error.exit_code()
    });
    process::ExitCode::from(code as u8)
}

/// Runs a job that needs the network. One thread is enough: what blocks runs beside it.
fn block_on<T>(job: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(|error| Error::Bug(error.to_string()))?
        .block_on(job)
}

/// The problems of a configuration that stop it from being used.
fn is_error(problem: &config::Problem) -> bool {
    problem.severity == Severity::Error
}
