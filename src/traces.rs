//! Traces: what became of a notification, from its enqueue over its attempts to the feedback, as the
//! spans of one trace, sent to an OpenTelemetry collector by OTLP over HTTP. A trace is an aid, not a
//! record: where the collector is away or behind, spans are dropped and counted, and nothing waits.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use crate::domain::time::Timestamp;
use crate::domain::trace::{Sampling, Stage, Step};
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::watch::Watcher;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    pub otlp_endpoint: Option<String>,
    pub authorization: Option<SecretString>,
    pub share: f64,
}

/// Commits whose spans wait to be sent: some seconds' of a busy process. Then they are dropped.
const WAITING_MAX: usize = 1_024;
/// Spans of one request to the collector, as SDKs send by default
/// (opentelemetry.io/docs/specs/otel/trace/sdk: maxExportBatchSize).
const BATCH_MAX: usize = 512;
/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For the last ones, when the program stops.
const END: Duration = Duration::from_secs(5);

impl TraceSettings {
    /// An empty text is none: so a variable can take a setting away.
    pub fn endpoint(&self) -> Option<&str> {
        self.otlp_endpoint
            .as_deref()
            .filter(|text| !text.is_empty())
    }

    fn sampling(&self) -> Sampling {
        Sampling::share(self.share)
    }

    /// Every wrong value, by its key within the section.
    pub fn validate(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !(0.0..=1.0).contains(&self.share) {
            wrong.push("share must be from 0 (no notification) to 1 (all)".to_owned());
        }
        let url = self.endpoint().map(Url::parse);
        if url.is_some_and(|url| !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"))) {
            let example = "http://127.0.0.1:4318/v1/traces";
            wrong.push(format!(
                "otlp_endpoint must be an address such as {example}"
            ));
        }
        wrong
    }
}

/// What sends spans.
#[derive(Debug)]
pub struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Running {
    /// Sends what waits, as far as the collector takes it in time.
    pub async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(END, self.task).await.ok();
    }
}

/// Starts to send what becomes of the store's notifications. `None`: nobody wants it.
pub fn start(
    settings: &TraceSettings,
    store: &Store,
    metrics: &Arc<Metrics>,
) -> Result<Option<Running>, ExporterBuildError> {
    let Some(endpoint) = settings.endpoint() else {
        return Ok(None);
    };
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .with_headers(headers(settings))
        .build()?;
    let resource = Resource::builder_empty()
        .with_service_name("sendtrail")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    exporter.set_resource(&resource);
    let (sender, steps) = mpsc::channel(WAITING_MAX);
    let counts = Arc::clone(metrics);
    store.watch(Watcher {
        sampling: settings.sampling(),
        listener: Box::new(move |steps: Vec<Step>| {
            let count = steps.len();
            if sender.try_send(steps).is_err() {
                counts.traced("dropped", count);
            }
        }),
    });
    let sending = Sending {
        exporter,
        scope: InstrumentationScope::builder("sendtrail").build(),
        metrics: Arc::clone(metrics),
        is_well: true,
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(sending.run(steps, stop.clone()));
    Ok(Some(Running { task, stop }))
}

fn headers(settings: &TraceSettings) -> std::collections::HashMap<String, String> {
    let value = settings.authorization.iter();
    value
        .map(|it| ("authorization".to_owned(), it.expose_secret().to_owned()))
        .collect()
}

struct Sending {
    exporter: SpanExporter,
    scope: InstrumentationScope,
    metrics: Arc<Metrics>,
    /// The last batch was taken.
    is_well: bool,
}

impl Sending {
    async fn run(mut self, mut steps: mpsc::Receiver<Vec<Step>>, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                first = steps.recv() => first,
                // What is there already still goes out.
                () = stop.cancelled() => None,
            };
            let Some(mut batch) = first else { return };
            let gathered = async {
                while batch.len() < BATCH_MAX
                    && let Some(more) = steps.recv().await
                {
                    batch.extend(more);
                }
            };
            // Whether it is full, the time is over or all is to stop makes no difference.
            let stopped = stop.run_until_cancelled(gathered);
            tokio::time::timeout(GATHER, stopped).await.ok();
            for part in batch.chunks(BATCH_MAX) {
                self.send(part).await;
            }
        }
    }

    async fn send(&mut self, steps: &[Step]) {
        let spans = steps.iter().map(|step| self.span(step)).collect();
        let sent = self.exporter.export(spans).await;
        let result = if sent.is_ok() { "sent" } else { "not_taken" };
        self.metrics.traced(result, steps.len());
        match (self.is_well, sent) {
            (true, Err(failed)) => {
                warn!(error = %failed, "the collector of traces does not take spans; they are dropped");
                self.is_well = false;
            }
            (false, Ok(())) => {
                info!("the collector of traces takes spans again");
                self.is_well = true;
            }
            (_, _) => {}
        }
    }

    fn span(&self, step: &Step) -> SpanData {
        let (name, span_kind, attributes) = described(step);
        let trace = TraceId::from_bytes(step.notification.uuid().into_bytes());
        let span = SpanId::from_bytes(step.span().to_be_bytes());
        SpanData {
            span_context: SpanContext::new(
                trace,
                span,
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: step
                .parent()
                .map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.to_be_bytes())),
            parent_span_is_remote: step.parent().is_some(),
            span_kind,
            name,
            start_time: system(step.began_at),
            end_time: system(step.ended_at),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: status(step),
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// Name, kind and attributes. Words of ours alone: nothing that somebody typed.
fn described(step: &Step) -> (Cow<'static, str>, SpanKind, Vec<KeyValue>) {
    match &step.what {
        Stage::Enqueued { method } => (
            "enqueue".into(),
            SpanKind::Producer,
            vec![KeyValue::new("sendtrail.method", method.as_str())],
        ),
        Stage::Attempted {
            number,
            provider,
            outcome,
        } => (
            "attempt".into(),
            SpanKind::Client,
            vec![
                KeyValue::new("sendtrail.attempt", i64::from(*number)),
                KeyValue::new("sendtrail.provider", *provider),
                KeyValue::new("sendtrail.outcome", *outcome),
            ],
        ),
        Stage::Told {
            kind,
            source,
            occurred_at,
            ..
        } => (
            Cow::Borrowed(kind),
            SpanKind::Consumer,
            vec![
                KeyValue::new("sendtrail.source", source.clone()),
                KeyValue::new("sendtrail.occurred_at", occurred_at.to_string()),
            ],
        ),
    }
}

fn status(step: &Step) -> Status {
    match &step.what {
        Stage::Attempted { outcome, .. } if *outcome != "accepted" => Status::error(*outcome),
        Stage::Enqueued { .. } | Stage::Attempted { .. } | Stage::Told { .. } => Status::Unset,
    }
}

fn system(at: Timestamp) -> SystemTime {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}
