//! The `hypercloud-etcd` command: parses the command line, runs one command, turns its end into an
//! exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
