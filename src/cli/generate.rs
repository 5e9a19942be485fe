//! `hypercloud-etcd generate`: what packages install beside the binary

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Subcommand};
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
    Man {
        /// An existing directory
        dir: PathBuf,
    },
    /// Print the completions of a shell
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
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    let failed = |source| Error::Create {
        path: dir.into(),
        source,
    };
    clap_mangen::generate_to(command, dir).map_err(failed)?;
    let path = dir.join("hypercloud-etcd.toml.5");
    let mut file = File::create(&path).map_err(|source| Error::Create {
        path: path.clone(),
        source,
    })?;
    file.write_all(configuration_page().as_bytes())
        .map_err(|source| Error::Create { path, source })
}

/// hypercloud-etcd.toml(5), from the same table that reads the file.
fn configuration_page() -> String {
    let mut page = String::from(concat!(
        ".TH hypercloud-etcd.toml 5 \"\" \"hypercloud-etcd ",
        env!("CARGO_PKG_VERSION"),
        "\"\n",
        ".SH NAME\nhypercloud\\-etcd.toml \\- configuration of hypercloud\\-etcd\n",
        ".SH DESCRIPTION\nThe file \\fI/etc/hypercloud\\-etcd/config.toml\\fR. Every key has a default except where noted;\n",
        "an unknown key is refused. \\fBhypercloud\\-etcd check\\fR tells all mistakes at once.\n",
        ".SH KEYS\n",
    ));
    let mut table = None;
    for key in config::describe() {
        if table != Some(key.table) && !key.table.is_empty() {
            // writing to a string does not fail
            let _ = writeln!(page, ".SS [{}]", roff(key.table));
        }
        table = Some(key.table);
        let default = key.default.map_or_else(
            || "no default".to_owned(),
            |default| format!("default {default}"),
        );
        let _ = write!(
            page,
            ".TP\n\\fB{}\\fR ({}; {})\n{} Accepted: {}.\n",
            roff(key.name),
            roff(key.kind),
            roff(&default),
            roff(key.meaning),
            roff(key.accepts)
        );
    }
    page.push_str(".SH SEE ALSO\n\\fBhypercloud\\-etcd\\fR(1)\n");
    page
}

/// Text in which roff sees no commands.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\n', " ")
        .replace('"', "\\(dq")
}
