//! `sortie`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    sortie::cli::main(std::env::args_os())
}
