//! Logs: structured, one line per event, never an address, token or body. What a line names in its
//! text it also carries as a field, under the same name everywhere.

use std::io::{IsTerminal as _, stderr};
use std::panic::PanicHookInfo;

use tracing::field::display;
use tracing::{Level, Metadata, Span};
use tracing_subscriber::filter::{ParseError, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::domain::id::NotificationId;

/// What dependencies say too much of: a server's notices of what a migration found done, and each of
/// the half dozen places where the SDK looks for a region. `log.level` can ask for them again.
const QUIET: &str = "sqlx::postgres::notice=error,aws_config=error,";

/// Sets up logging for the process, on standard error: standard output is for results.
pub fn start(json: bool, level: &str) -> Result<(), ParseError> {
    let filter: Targets = format!("{QUIET}{level}").parse()?;
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(is_impersonal));
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    // Only the first of several starts counts; tests may start more than one program part.
    if json {
        let lines = lines.json().flatten_event(true);
        registry.with(lines).try_init().ok();
    } else {
        let lines = lines.with_target(false).with_ansi(stderr().is_terminal());
        registry.with(lines).try_init().ok();
    }
    std::panic::set_hook(Box::new(report_panic));
    Ok(())
}

/// What the lines of one HTTP request have in common. Of the level error, so that the lines of every
/// `log.level` have it.
pub fn request(method: &str, route: &str, request_id: &str, trace_id: &str) -> Span {
    tracing::error_span!("request", request_id, trace_id, method, route)
}

/// The request that goes on is about this notification alone: from now on its lines carry its trace.
pub fn concerns(notification: NotificationId) {
    let span = Span::current();
    if span.has_field("request_id") {
        span.record("trace_id", display(notification.uuid().simple()));
    }
}

/// What the lines of one attempt have in common.
pub fn attempt(notification: NotificationId, number: u32, provider: &str) -> Span {
    let trace_id = notification.uuid().simple();
    tracing::error_span!("attempt", %trace_id, number, provider)
}

/// At the level trace, the AWS SDK and the HTTP client log what they send and receive, addresses and
/// bodies included. Only our own lines are known to hold nothing of it.
fn is_impersonal(metadata: &Metadata<'_>) -> bool {
    *metadata.level() != Level::TRACE || metadata.target().starts_with("sendtrail")
}

/// Says where, and not what: the words of a panic may hold the value that it stumbled over.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, "panicked; this is a mistake in the program");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_logged_by_its_place_without_its_words() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(report_panic));
        let thread = std::thread::spawn(|| {
            tracing::subscriber::with_default(subscriber, || panic!("ana@example.com"));
        });
        let ended = thread.join();
        std::panic::set_hook(before);
        assert!(ended.is_err());
        let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(
            log.contains("telemetry.rs:") && !log.contains("ana@"),
            "{log}"
        );
    }
}
