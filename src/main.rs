//! Parses the command line, calls the library, prints the error chain, chooses the exit code.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    sendtrail::cli::run().await
}
