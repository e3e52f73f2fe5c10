//! The program: hands its arguments to the command line layer and exits with the promised code.

use std::process::ExitCode;

fn main() -> ExitCode {
    marketpipe::cli::main(std::env::args_os())
}
