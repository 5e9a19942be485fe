//! `hypercloud-etcd generate`: what packages install beside the binary

mod page;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;
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
}

impl Arguments {
    pub(super) fn run(&self, context: &Context) -> Result<ExitCode, Error> {
        match &self.what {
            What::Man { dir } => man(dir)?,
            What::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(
                    *shell,
                    &mut super::Arguments::command(),
                    env!("CARGO_PKG_NAME"),
                    &mut script,
                );
                context.output.answer(&String::from_utf8_lossy(&script))?;
            }
        }
        Ok(ExitCode::Done)
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
