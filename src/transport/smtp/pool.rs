//! A bounded number of connections to one server, kept open between messages.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::dialogue::{Fault, Line};
use super::settings::{Server, SmtpSettings};
use super::tls::Tls;

/// Lends each connection to one message at a time; the one used last is lent first, so that the
/// others can grow old.
pub(super) struct Pool {
    server: Server,
    tls: Option<Tls>,
    idle_timeout: Duration,
    messages_per_connection: u32,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    line: Line,
    since: Instant,
}

/// A server that does not answer our goodbye is left without it.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

impl Pool {
    pub(super) fn new(settings: &SmtpSettings, server: Server, tls: Option<Tls>) -> Self {
        Self {
            server,
            tls,
            idle_timeout: Duration::from_millis(settings.idle_timeout_ms),
            messages_per_connection: settings.messages_per_connection,
            permits: Semaphore::new(settings.max_connections),
            idle: Mutex::new(Vec::new()),
        }
    }

    pub(super) const fn server(&self) -> &Server {
        &self.server
    }

    /// The right to one connection; waits until one is free.
    pub(super) async fn permit(&self) -> SemaphorePermit<'_> {
        let permit = self.permits.acquire().await;
        permit.expect("the semaphore is never closed")
    }

    pub(super) async fn open(&self) -> Result<Line, Fault> {
        Line::open(&self.server, self.tls.as_ref()).await
    }

    /// The connection used last, unless all have been idle for too long.
    pub(super) fn take_idle(&self) -> Option<Line> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = idle.partition_point(|entry| entry.since.elapsed() > self.idle_timeout);
        let stale: Vec<Idle> = idle.drain(..fresh).collect();
        let line = idle.pop().map(|entry| entry.line);
        drop(idle);
        // Closed without a word: most likely the server has closed them already.
        drop(stale);
        line
    }

    /// Takes a connection back, or lets it go: when it is in the middle of something, or has
    /// carried its share.
    pub(super) fn give_back(&self, line: Line) {
        if !line.is_between_messages() {
            return;
        }
        if line.messages() >= self.messages_per_connection {
            tokio::spawn(line.quit(QUIT_TIMEOUT));
            return;
        }
        let since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { line, since });
    }

    pub(super) async fn probe(&self) -> Result<(), Fault> {
        let _permit = self.permit().await;
        let mut line = self.open().await?;
        line.probe(&self.server).await?;
        line.quit(QUIT_TIMEOUT).await;
        Ok(())
    }
}
