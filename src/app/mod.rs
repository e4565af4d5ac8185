//! Wires the settings into a running program: store, sandbox, transports, worker, HTTP. Starts and
//! stops them; holds no rules of its own.

mod account_list;
mod background;
mod bounces;
mod cached;
mod causes;
mod counting;
mod downloads;
mod erasing;
mod links;
mod operations;
mod operators;
mod order;
mod pages;
mod pruning;
mod queues;
mod reference;
mod requests;
mod resending;
mod roles;
mod samples;
mod sign_on;
mod tagging;
mod transports;
mod twilio;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use bounces::{bounce_door, feedback_reader};
pub use resending::Resending;
pub use roles::Roles;
pub use samples::PASSWORD as SAMPLE_PASSWORD;
pub use sign_on::provider as sign_on_provider;
pub use transports::transports;

use account_list::account_list;
use operations::Operations;

use crate::api::{self, Api, Limits};
use crate::clock::Clock;
use crate::config::Settings;
use crate::delivery::Running;
use crate::feedback::sns::{Certificates, Verifier};
use crate::feedback::subscriptions;
use crate::feedback::webhook::{self, Webhook};
use crate::feedback::{self, Inbox};
use crate::intake;
use crate::metrics::Metrics;
use crate::sandbox::{Options, Sandbox};
use crate::store::Store;
use crate::store::inbox::Reader;
use crate::traces;
use crate::web::staff::Rule;
use crate::web::tracking::Recording;
use crate::webhooks;

/// A running program.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    /// Of the server of LMTP.
    bounces: Option<SocketAddr>,
    store: Store,
    worker: Option<Running>,
    queues: Vec<intake::Running>,
    /// Those that go out; those that come in are part of the server.
    events: Option<webhooks::Running>,
    /// What records opens and clicks.
    visits: Option<Recording>,
    traces: Option<traces::Running>,
    sandbox: Option<Sandbox>,
    page_rules: Vec<(&'static str, Rule)>,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

/// Opens the store as the settings say, its schema brought up to date where they allow it.
pub async fn open_store(settings: &Settings, clock: &Clock) -> anyhow::Result<Store> {
    let database = &settings.database;
    let store = Store::open(
        database.url.expose_secret(),
        database.connections,
        clock.clone(),
    )
    .await
    .context("cannot open the database (database.url)")?;
    if database.migrate_on_start {
        store
            .migrate()
            .await
            .context("cannot bring the schema up to date")?;
    }
    store.ready().await.context("the database is not ready")?;
    Ok(store)
}

/// rustls takes its cryptography from one provider, chosen once per process.
pub fn install_crypto() {
    // A second call finds it installed, which is as good.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
}

/// What tests may change and no setting can.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Addresses and PEM texts of signing certificates that are trusted as they are.
    pub trust: Vec<(String, String)>,
    /// In place of the system's.
    pub clock: Option<Clock>,
}

impl App {
    pub async fn start(settings: Settings, roles: Roles) -> anyhow::Result<Self> {
        Self::start_with(settings, roles, Overrides::default()).await
    }

    pub async fn start_with(
        mut settings: Settings,
        roles: Roles,
        mut overrides: Overrides,
    ) -> anyhow::Result<Self> {
        install_crypto();
        let clock = overrides.clock.take().unwrap_or_else(Clock::system);
        let metrics = Arc::new(Metrics::default());
        let store = Box::pin(open_store(&settings, &clock)).await?;
        let traces = traces::start(&settings.traces, &store, &metrics)?;
        let (listener, address) = listen(settings.http.listen).await?;
        let bounces = bounces::bind(&settings, roles).await?;
        let sandbox = start_sandbox(&mut settings, address, &clock).await?;
        overrides.trust.extend(sandbox.as_ref().map(anchor));
        let woken = Arc::new(Notify::new());
        let keys = Box::pin(links::keys(&settings, &store)).await?;
        let trust = Box::pin(bounces::trust(&settings, &store)).await?;
        let (parts, links) = ((&store, &clock, &metrics, &woken), (&keys, address));
        let worker = background::worker(&settings, roles, parts, links, &trust.tokens);
        let worker = Box::pin(worker).await?;
        let events = send_webhooks(&settings, roles, &store, &clock, &metrics)?;
        let inbox = inbox(&settings, overrides, &store, &clock, &metrics)?;
        let queues = Box::pin(queues::read(&settings, roles, &inbox, &woken)).await?;
        let operations = Operations::new(store.clone(), Arc::clone(&metrics), clock.clone());
        let (mut router, mut of_api) = (operations::router(operations), Router::new());
        if roles.api {
            let reader = feedback::reader(settings.ses.track_opens, trust.clone());
            of_api = api::router(Box::pin(api(&settings, parts, reader)).await);
        }
        let (mut visits, mut page_rules) = (None, Vec::new());
        let exports_asked = Arc::new(Notify::new());
        if roles.web {
            let (links, recording) = keys.pages(&settings, (&store, &clock, &metrics));
            let parts = pages::Parts {
                store: &store,
                clock: &clock,
                metrics: &metrics,
                woken: &woken,
                exports_asked: &exports_asked,
                address,
            };
            let pages = Box::pin(pages::of(&settings, parts)).await?;
            router = router.merge(pages.0).merge(links);
            page_rules = pages.1;
            visits = Some(recording);
        }
        router = router.merge(reference::pages(roles)?);
        let stop = CancellationToken::new();
        if roles.webhooks {
            router = router.merge(receivers(&settings, inbox, stop.clone()).await);
        }
        twilio::ask(&settings, roles, &store, &clock, &metrics, &stop)?;
        operators::tell(&settings, &store, &clock, &stop)?;
        let parts = (&store, &clock, &metrics);
        background::start(&settings, roles, parts, &woken, &exports_asked, &stop);
        let bounces = bounces::serve(bounces, &trust, parts, &stop)?;
        let router = requests::named(router, &clock).merge(of_api);
        let server = serve(listener, router, stop.clone());
        info!(%address, "listening");
        Ok(Self {
            address,
            bounces,
            store,
            worker,
            queues,
            events,
            visits,
            traces,
            sandbox,
            page_rules,
            stop,
            server,
        })
    }

    /// Where the HTTP server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where bounce mail is taken, if it is.
    pub fn bounce_address(&self) -> Option<SocketAddr> {
        self.bounces
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who may have each page, by its path.
    pub fn page_rules(&self) -> &[(&'static str, Rule)] {
        &self.page_rules
    }

    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref()
    }

    /// Finishes what is in flight, then closes everything. Returns whether all was finished.
    pub async fn stop(self) -> bool {
        let (sent, read, told) = tokio::join!(
            async {
                match self.worker {
                    Some(worker) => worker.stop().await,
                    None => true,
                }
            },
            async {
                let stops = self.queues.into_iter().map(intake::Running::stop);
                join_all(stops).await.into_iter().all(|ended| ended)
            },
            async {
                match self.events {
                    Some(events) => events.stop(EVENTS_END).await,
                    None => true,
                }
            },
        );
        self.stop.cancel();
        ended(self.server, REQUESTS_END).await;
        if let Some(visits) = self.visits
            && !visits.stop(VISITS_END).await
        {
            warn!("some opens and clicks could not be recorded in time");
        }
        if let Some(traces) = self.traces {
            traces.stop().await;
        }
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
        if tokio::time::timeout(STORE_CLOSE, self.store.close())
            .await
            .is_err()
        {
            warn!("the database's connections did not close in time");
        }
        sent && read && told
    }
}

/// How long requests under way may take to end once the program stops: answers take milliseconds,
/// and a sender who dawdles must not hold up the end. Together with `delivery.stop_seconds` within
/// the 30 s that Kubernetes gives.
const REQUESTS_END: Duration = Duration::from_secs(3);
/// How long webhook requests under way may take to be answered and recorded once the program stops.
/// What is not recorded is sent again.
const EVENTS_END: Duration = Duration::from_secs(15);
/// How long opens and clicks that wait may take to be recorded once the program stops.
const VISITS_END: Duration = Duration::from_secs(2);
/// For connections on which the database does not answer.
const STORE_CLOSE: Duration = Duration::from_secs(2);

/// The server's end, or the end of our patience with it.
async fn ended(mut server: JoinHandle<std::io::Result<()>>, patience: Duration) {
    match tokio::time::timeout(patience, &mut server).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(failed))) => error!(error = %failed, "the HTTP server failed"),
        Ok(Err(failed)) => {
            let panicked = failed.is_panic();
            error!(panicked, "the HTTP server failed");
        }
        Err(_elapsed) => {
            server.abort();
            warn!("some requests did not end in time; they are cut");
        }
    }
}

async fn api(
    settings: &Settings,
    (store, clock, metrics, woken): (&Store, &Clock, &Arc<Metrics>, &Arc<Notify>),
    reader: Reader,
) -> Api {
    Api {
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
        providers: settings.provider_names().into(),
        woken: Arc::clone(woken),
        account_list: account_list(settings).await,
        reader,
        limits: limits(settings),
        webhook_rules: settings.webhooks.url_rules(),
    }
}

/// A quarter of the connections at most for what may take long: a third of those that are for everybody.
fn limits(settings: &Settings) -> Limits {
    let quarter = usize::try_from(settings.database.connections / 4).unwrap_or(usize::MAX);
    Limits {
        histories_max: quarter.max(1),
        ..Limits::default()
    }
}

fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> JoinHandle<std::io::Result<()>> {
    // Every part sets its own limit; this is the one of a part that forgot.
    let router = router.layer(DefaultBodyLimit::max(1024 * 1024));
    tokio::spawn(async move {
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Small answers must not wait for the acknowledgement of the one before.
            stream.set_nodelay(true).ok();
        });
        // Attempts to sign in are counted by address.
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await
    })
}

/// Starts to tell applications what becomes of their notifications.
fn send_webhooks(
    settings: &Settings,
    roles: Roles,
    store: &Store,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Option<webhooks::Running>> {
    if !roles.worker {
        return Ok(None);
    }
    let sender = webhooks::Sender {
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
        settings: settings.webhooks.clone(),
        name: clock.new_uuid(clock.now()).to_string(),
    };
    let running = sender.start().context("cannot make an HTTP client")?;
    Ok(Some(running))
}

/// Starts the stand-ins and points every provider at them.
async fn start_sandbox(
    settings: &mut Settings,
    address: SocketAddr,
    clock: &Clock,
) -> anyhow::Result<Option<Sandbox>> {
    if !settings.sandbox.enabled {
        return Ok(None);
    }
    let options = Options {
        listen: settings.sandbox.listen,
        smtp_listen: settings.sandbox.smtp_listen,
        webhook_url: format!("http://{address}/webhooks/sns"),
        latency: settings.sandbox.latency(),
        late: settings.sandbox.late(),
    };
    let sandbox = Sandbox::start(options, clock.clone())
        .await
        .context("cannot start the sandbox")?;
    transports::point_at(settings, &sandbox, address);
    let texts = settings.twilio.status_callback_url.clone();
    sandbox.set_inbound_url(texts.unwrap_or_default());
    settings
        .feedback
        .sns
        .topics
        .push(sandbox.topic_arn().to_owned());
    Ok(Some(sandbox))
}

/// The sandbox signs with a key of its own.
fn anchor(sandbox: &Sandbox) -> (String, String) {
    let url = sandbox.certificate_url().to_owned();
    (url, sandbox.certificate_pem().to_owned())
}

async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (http.listen)"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What takes over the providers' words, by whatever way they come.
fn inbox(
    settings: &Settings,
    overrides: Overrides,
    store: &Store,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Inbox> {
    let mut certificates = Certificates::over_https()?;
    for (url, pem) in overrides.trust {
        certificates
            .trust(&url, pem.as_bytes())
            .with_context(|| format!("the certificate of {url} cannot be read"))?;
    }
    let topics = settings.feedback.sns.clone();
    Ok(Inbox {
        verifier: Arc::new(Verifier::new(topics, certificates)),
        opens_tracked: settings.ses.track_opens,
        store: store.clone(),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
    })
}

/// The webhooks that providers call.
async fn receivers(settings: &Settings, inbox: Inbox, stop: CancellationToken) -> Router {
    let twilio = twilio::router(settings, &inbox.store, &inbox.clock, &inbox.metrics);
    let webhook = Webhook {
        inbox,
        subscriptions: settings.sns.client().await,
    };
    watch_topics(settings, &webhook, stop);
    webhook::router(webhook).merge(twilio)
}

fn watch_topics(settings: &Settings, webhook: &Webhook, stop: CancellationToken) {
    let topics = settings.subscribed_topics().to_vec();
    if topics.is_empty() {
        return;
    }
    let watch = subscriptions::Watch {
        store: webhook.inbox.store.clone(),
        client: webhook.subscriptions.clone(),
        verifier: Arc::clone(&webhook.inbox.verifier),
        topics,
    };
    tokio::spawn(subscriptions::watch(watch, stop));
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::extract::{FromRequest as _, Request};
    use axum::routing::post;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_request_that_never_ends_does_not_hold_up_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let seen = Arc::clone(&arrived);
        let reads = post(async move |request: Request| {
            seen.notify_one();
            drop(Bytes::from_request(request, &()).await);
        });
        let server = serve(listener, Router::new().route("/", reads), stop.clone());
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc";
        client.write_all(request).await.unwrap();
        arrived.notified().await;
        stop.cancel();
        let end = ended(server, Duration::from_millis(50));
        let in_time = tokio::time::timeout(Duration::from_secs(10), end).await;
        assert!(in_time.is_ok());
    }
}
