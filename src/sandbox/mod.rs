//! A local stand-in for the providers, speaking their real protocols.
//!
//! It serves the HTTP APIs of SES, SNS, Twilio, FCM and APNs and an SMTP server, posts real, signed
//! SNS messages to our webhook and signed status callbacks as Twilio does. The recipient's address
//! chooses what happens (`story.rs`, `direct.rs`). The production code runs unchanged against it:
//! only the endpoints, the credentials and the trust anchor differ.

mod accounts;
mod apns_http;
mod callback;
mod control;
mod direct;
mod envelope;
mod fcm_http;
mod feedback;
mod mail;
mod poster;
mod provider;
mod ses_http;
mod ses_suppressions;
mod signer;
mod smtp;
mod sns_http;
mod story;
#[cfg(test)]
mod tests;
mod texts;
mod throttle;
mod twilio_http;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tower::limit::ConcurrencyLimitLayer;

use self::accounts::Accounts;
pub use self::accounts::{Credentials, Logins};
pub use self::control::{Calls, Door};
use self::envelope::TOPIC_ARN;
pub use self::poster::Counts;
use self::poster::Poster;
use self::provider::{Pace, Provider};
pub use self::signer::KeyError;
use self::signer::Signer;
use crate::clock::Clock;

/// SES takes 40 MB but throttles messages above 10 MB; nothing of ours comes near.
const MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// A message in base64 inside JSON, with room for the rest of the request.
const REQUEST_BYTES_MAX: usize = 14 * 1024 * 1024;
/// SES: recipients per message.
const RECIPIENTS_MAX: usize = 50;
/// Requests under way on one route; more wait. Each may hold one message in memory.
const REQUESTS_MAX: usize = 256;
/// How long a stop waits for answers that are under way.
const STOP_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Options {
    /// Where the HTTP APIs listen: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the SMTP server listens: a loopback address; port 0 takes a free one.
    pub smtp_listen: SocketAddr,
    /// Where the SNS messages go; empty while it is not known, see [`Sandbox::set_webhook_url`].
    pub webhook_url: String,
    /// Between two happenings of a story.
    pub latency: Duration,
    /// How much later than its happening a late one is told.
    pub late: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: any_port,
            smtp_listen: any_port,
            webhook_url: String::new(),
            latency: Duration::from_millis(200),
            late: Duration::from_mins(1),
        }
    }
}

/// Runs until it is stopped or dropped.
pub struct Sandbox {
    provider: Arc<Provider>,
    http_url: String,
    smtp_url: String,
    tasks: TaskTracker,
    stop: DropGuard,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the sandbox listens on loopback addresses only, not on {0}: use 127.0.0.1")]
    NotLoopback(SocketAddr),
    #[error("the sandbox cannot listen on {address}: choose a free port, or 0 for any")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("the sandbox has no key to sign with")]
    Key(#[from] KeyError),
    #[error("the sandbox cannot make its HTTP client")]
    Client(#[from] reqwest::Error),
    #[error("the runtime stopped while the sandbox was starting")]
    Stopped(#[from] tokio::task::JoinError),
}

impl Sandbox {
    /// Binds, makes a key with its certificate, and starts to ask the webhook to confirm.
    pub async fn start(options: Options, clock: Clock) -> Result<Self, StartError> {
        let (http, http_address) = bind(options.listen).await?;
        let (smtp, smtp_address) = bind(options.smtp_listen).await?;
        // Two processors: two keys in the time of one.
        let (signer, accounts) = tokio::try_join!(
            tokio::task::spawn_blocking(Signer::generate),
            tokio::task::spawn_blocking(Accounts::generate),
        )?;
        let (signer, accounts) = (signer?, accounts?);
        let http_url = format!("http://{http_address}");
        let certificate_path = format!(
            "/SimpleNotificationService-{}.pem",
            hex::encode(rand::random::<[u8; 16]>())
        );
        let certificate_url = format!("{http_url}{certificate_path}");
        let poster = Poster::new(signer, certificate_url, options.webhook_url, clock.clone())?;

        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let provider = Arc::new(Provider::new(
            poster,
            accounts,
            clock,
            Pace {
                latency: options.latency,
                late: options.late,
            },
            tasks.clone(),
            stop.clone(),
        ));
        let router = router(Arc::clone(&provider), &certificate_path);
        tasks.spawn(serve_http(http, router, stop.clone()));
        tasks.spawn(smtp::serve(
            smtp,
            Arc::clone(&provider),
            tasks.clone(),
            stop.clone(),
        ));
        let (subscriber, stopped) = (Arc::clone(&provider), stop.clone());
        tasks.spawn(async move {
            stopped
                .run_until_cancelled(subscriber.poster.keep_subscribed())
                .await
        });
        Ok(Self {
            provider,
            http_url,
            smtp_url: format!("smtp://{smtp_address}"),
            tasks,
            stop: stop.drop_guard(),
        })
    }

    /// The endpoint of every HTTP API.
    pub fn http_url(&self) -> String {
        self.http_url.clone()
    }

    pub fn smtp_url(&self) -> String {
        self.smtp_url.clone()
    }

    pub fn topic_arn(&self) -> &str {
        TOPIC_ARN
    }

    /// What the messages say as `SigningCertURL`; the certificate can be fetched there.
    pub fn certificate_url(&self) -> &str {
        self.provider.poster.certificate_url()
    }

    /// The trust anchor for who verifies the messages.
    pub fn certificate_pem(&self) -> &str {
        self.provider.poster.certificate_pem()
    }

    /// Subscribes the webhook, which has to confirm before it is told anything. Up to 10,000
    /// stories wait for that.
    pub fn set_webhook_url(&self, url: String) {
        self.provider.poster.subscribe(url);
    }

    /// Where Twilio's stand-in sends the texts of clients. Empty: nowhere.
    pub fn set_inbound_url(&self, url: String) {
        self.provider.texts.set_inbound_url(url);
    }

    /// From now on no more requests to send are taken than so many a second, of all doors together.
    pub fn set_limit(&self, per_second: Option<f64>) {
        self.provider.control.set_limit(per_second);
    }

    /// What SES tells of the account's quota.
    pub fn set_max_send_rate(&self, per_second: f64) {
        self.provider.control.set_max_send_rate(per_second);
    }

    /// Shuts these doors and opens the others.
    pub fn set_down(&self, doors: &[Door]) {
        self.provider.control.set_down(doors.to_vec());
    }

    /// What has become of the requests to send.
    pub fn calls(&self) -> Calls {
        self.provider.control.calls()
    }

    /// With which a client of the stand-ins of Twilio, Google and Apple gets in.
    pub fn credentials(&self) -> Credentials {
        self.provider.accounts.credentials(&self.http_url)
    }

    /// How often somebody got in.
    pub fn logins(&self) -> Logins {
        self.provider.accounts.logins()
    }

    /// What has become of the messages to the webhook.
    pub fn counts(&self) -> Counts {
        self.provider.poster.counts()
    }

    /// Stops listening and leaves all stories where they are.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.close();
        if tokio::time::timeout(STOP_MAX, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("sandbox: some connections did not end in time");
        }
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("http_url", &self.http_url)
            .field("smtp_url", &self.smtp_url)
            .finish_non_exhaustive()
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    if !address.ip().is_loopback() {
        return Err(StartError::NotLoopback(address));
    }
    let refused = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn router(provider: Arc<Provider>, certificate_path: &str) -> Router {
    Router::new()
        .route("/v2/email/outbound-emails", post(ses_http::send_email))
        .route("/v2/email/account", get(ses_http::get_account))
        .route(
            "/v2/email/suppression/addresses",
            get(ses_suppressions::list),
        )
        .route(
            "/v2/email/suppression/addresses/{address}",
            get(ses_suppressions::show).delete(ses_suppressions::remove),
        )
        .route("/", post(sns_http::query))
        .route("/sandbox/control", post(control::order))
        .route(twilio_http::MESSAGES, post(twilio_http::create))
        .route(twilio_http::MESSAGE, get(twilio_http::message))
        .route(twilio_http::NUMBERS, get(twilio_http::numbers))
        .route("/sandbox/texts", post(texts::receive))
        .route(fcm_http::TOKEN, post(fcm_http::token))
        .route(fcm_http::SEND, post(fcm_http::send))
        .route(apns_http::DEVICE, post(apns_http::push))
        .route(certificate_path, get(certificate))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .layer(ConcurrencyLimitLayer::new(REQUESTS_MAX))
        .with_state(provider)
}

/// A body that fails before its first byte makes the server close the connection with nothing sent:
/// the status line is still in its buffer then.
fn hang_up() -> Response {
    let nothing = futures_util::stream::iter([Err::<Bytes, _>(io::Error::from(
        io::ErrorKind::ConnectionReset,
    ))]);
    Response::new(Body::from_stream(nothing))
}

async fn certificate(State(provider): State<Arc<Provider>>) -> impl IntoResponse {
    let pem = provider.poster.certificate_pem().to_owned();
    ([(CONTENT_TYPE, "application/x-pem-file")], pem)
}

async fn serve_http(listener: TcpListener, router: Router, stop: CancellationToken) {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "sandbox: answers may be slow");
        }
    });
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "sandbox: the HTTP server ended");
    }
}
