//! The servers that are measured against, and the webhook with a certificate of our own. Each runs
//! in a process and a runtime like the program's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use sendtrail::clock::Clock;
use sendtrail::config::Settings;
use sendtrail::feedback::Inbox;
use sendtrail::feedback::sns::{BODY_MAX, Certificates, Verifier};
use sendtrail::feedback::webhook::{self, Webhook};
use sendtrail::store::Store;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tower::ServiceExt as _;

use crate::sns::{CERTIFICATE_URL, TOPIC};

/// As many as the program has by default.
const CONNECTIONS: u32 = 20;
/// More than any body of the benches.
const ECHO_BODY_MAX: usize = 16 * 1024 * 1024;

/// Serves until it is killed, its address on standard output.
pub(crate) async fn serve(floor: &str, arguments: &[&str]) -> anyhow::Result<()> {
    sendtrail::app::install_crypto();
    let router = match (floor, arguments) {
        ("echo", [status]) => echo(StatusCode::from_bytes(status.as_bytes())?),
        ("verify", [certificate]) => verify(Path::new(certificate))?,
        ("webhook", [certificate, url]) => {
            webhook::router(real(Path::new(certificate), url, CONNECTIONS).await?)
        }
        ("commit-each", [certificate, url]) => commit_each(Path::new(certificate), url).await?,
        _ => bail!("no floor {floor} {arguments:?}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        stream.set_nodelay(true).ok();
    });
    Ok(axum::serve(listener, router).await?)
}

/// Reads every body and answers briefly: what HTTP alone costs.
fn echo(status: StatusCode) -> Router {
    let answer = move |body: Bytes| async move { (status, body.len().to_string()) };
    Router::new()
        .fallback(post(answer))
        .layer(DefaultBodyLimit::max(ECHO_BODY_MAX))
}

fn verifier(certificate: &Path) -> anyhow::Result<Verifier> {
    let mut settings = Settings::load(None, Some(config::Map::new()))?.feedback.sns;
    settings.topics.push(TOPIC.to_owned());
    let mut certificates = Certificates::over_https()?;
    certificates.trust(CERTIFICATE_URL, &std::fs::read(certificate)?)?;
    Ok(Verifier::new(settings, certificates))
}

/// Judges every message as the webhook does, and forgets it.
fn verify(certificate: &Path) -> anyhow::Result<Router> {
    let shared = (Arc::new(verifier(certificate)?), Clock::system());
    let judge = |State((verifier, clock)): State<(Arc<Verifier>, Clock)>, body: Bytes| async move {
        match verifier.judge(&body, false, clock.now()).await {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::FORBIDDEN,
        }
    };
    let router = Router::new().route("/webhooks/sns", post(judge));
    Ok(router
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(shared))
}

/// The program's own webhook.
async fn real(certificate: &Path, url: &str, connections: u32) -> anyhow::Result<Webhook> {
    let mut settings = Settings::load(None, Some(config::Map::new()))?;
    settings.sns.region = Some("us-east-1".to_owned());
    let clock = Clock::system();
    Ok(Webhook {
        inbox: Inbox {
            verifier: Arc::new(verifier(certificate)?),
            opens_tracked: false,
            store: Store::open(url, connections, clock.clone())
                .await
                .context("no database")?,
            clock,
            metrics: Arc::default(),
        },
        subscriptions: settings.sns.client().await,
    })
}

/// The same without group commit: each store gets one message at a time, so that every message has
/// a transaction of its own.
struct CommitEach {
    routers: Vec<Mutex<Router>>,
    next: AtomicUsize,
}

async fn commit_each(certificate: &Path, url: &str) -> anyhow::Result<Router> {
    // SQLite has one writer, however many wait for it.
    let stores = if url.starts_with("sqlite:") {
        1
    } else {
        CONNECTIONS
    };
    let mut routers = Vec::new();
    for _ in 0..stores {
        routers.push(Mutex::new(webhook::router(
            real(certificate, url, 2).await?,
        )));
    }
    let shared = Arc::new(CommitEach {
        routers,
        next: AtomicUsize::new(0),
    });
    Ok(Router::new().fallback(one_at_a_time).with_state(shared))
}

async fn one_at_a_time(State(shared): State<Arc<CommitEach>>, request: Request) -> Response {
    let turn = shared.next.fetch_add(1, Ordering::Relaxed) % shared.routers.len();
    let Some(router) = shared.routers.get(turn) else {
        return Response::default();
    };
    let router = router.lock().await;
    match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
