//! `hypercloud-etcd generate`: what packages install beside the binary, and, hidden, what their scripts ask

mod page;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _, Subcommand};
use clap_complete::Shell;
use hypercloud_etcd::config;
use hypercloud_etcd::error::{Error, ExitCode};

use super::Context;

/// Generate man pages and shell completions, for packages
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hypercloud-etcd generate man ./man\n  hypercloud-etcd generate completions bash"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the man pages: one per command, and hypercloud-etcd.toml(5)
    #[command(after_help = "Example:\n  mkdir man && hypercloud-etcd generate man ./man")]
    Man {
        /// An existing directory
        dir: PathBuf,
    },
    /// Print the completions of a shell
    #[command(after_help = "Example:\n  . <(hypercloud-etcd generate completions bash)")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the directory of the backups, whatever else is wrong with the configuration
    #[command(hide = true)]
    BackupDir,
    /// Whether the configuration sets anything: exit code 0 yes, 1 no
    #[command(hide = true)]
    IsConfigured,
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        match &self.what {
            What::Man { dir } => man(dir)?,
            What::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(
                    *shell,
                    &mut offered(),
                    env!("CARGO_PKG_NAME"),
                    &mut script,
                );
                context.output.answer(&String::from_utf8_lossy(&script))?;
            }
            What::BackupDir => {
                let dir = config::backup_dir(&context.config);
                context.output.answer(&format!("{}\n", dir.display()))?;
            }
            What::IsConfigured => return Ok(is_configured(&context.config)),
        }
        Ok(ExitCode::Done)
    }
}

/// The commands that completions offer: the scripts do not press the tab key.
fn offered() -> Command {
    super::Arguments::command().mut_subcommand("generate", |all| {
        let offered = all.get_subcommands().filter(|child| !child.is_hide_set());
        Command::new("generate")
            .about(all.get_about().cloned().unwrap_or_default())
            .subcommand_required(true)
            .subcommands(offered.cloned())
    })
}

/// What cannot be read is somebody's, and left alone.
fn is_configured(path: &Path) -> ExitCode {
    match config::read(path) {
        Err(config::Error::Missing { .. }) => ExitCode::No,
        Ok(text) if config::sets_nothing(&text) => ExitCode::No,
        _ => ExitCode::Done,
    }
}

fn man(dir: &Path) -> Result<(), Error> {
    for (name, text) in page::all(super::Arguments::command()) {
        let path = dir.join(name);
        let failed = |source| Error::Create {
            path: path.clone(),
            source,
        };
        let mut file = File::create(&path).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}
