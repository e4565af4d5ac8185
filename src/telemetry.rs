//! Logs: structured, one line per event, never an address, token or body. What a line names in its
//! text it also carries as a field, under the same name everywhere.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What dependencies say too much of: a server's notices of what a migration found done, and each of
/// the half dozen places where the SDK looks for a region. `log.level` can ask for them again.
const QUIET: &str = "sqlx::postgres::notice=error,aws_config=error,";

/// Sets up logging for the process, on standard error: standard output is for results.
pub fn start(json: bool, level: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(format!("{QUIET}{level}"))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Only the first of several starts counts; tests may start more than one program part.
    if json {
        subscriber.json().flatten_event(true).try_init().ok();
    } else {
        subscriber.with_target(false).try_init().ok();
    }
    Ok(())
}
