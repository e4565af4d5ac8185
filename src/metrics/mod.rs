//! Counters and histograms, in the OpenMetrics text that Prometheus reads. No personal data.

mod brakes;
mod labels;
mod refused;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use brakes::BrakeGauges;
use labels::{
    AlarmLabels, AttemptLabels, EndLabels, EndpointLabels, FeedbackLabels, HealthLabels,
    IntakeLabels, LaneLabels, ProviderLabels, PrunedLabels, SwitchLabels, WebhookLabels,
};
use refused::Refused;

use crate::domain::alarm::Alarm;
use crate::domain::method::{Method, Priority};
use crate::domain::time::Timestamp;
use crate::store::brakes::Brake;
use crate::store::depths::Depth;
use crate::store::providers::{Health, Pause, Switch, per_second};
use crate::store::webhooks::Troubled;

/// Every metric of the program, registered once.
#[derive(Debug)]
pub struct Metrics {
    /// What this process counted.
    registry: Registry,
    /// What the database told, and only while it tells.
    told: Registry,
    database_up: Gauge<i64, AtomicI64>,
    attempts: Family<AttemptLabels, Counter>,
    attempt_seconds: Family<ProviderLabels, Histogram>,
    ends: Family<EndLabels, Counter>,
    rescued: Counter,
    pruned: Family<PrunedLabels, Counter>,
    enqueued: Counter,
    intake: Family<IntakeLabels, Counter>,
    buried: Gauge<i64, AtomicI64>,
    feedback: Family<FeedbackLabels, Counter>,
    refused: Refused,
    visits: Family<FeedbackLabels, Counter>,
    webhooks: Family<WebhookLabels, Counter>,
    spans: Family<WebhookLabels, Counter>,
    held: Gauge<i64, AtomicI64>,
    endpoints: Family<EndpointLabels, Gauge<i64, AtomicI64>>,
    paused: Family<HealthLabels, Gauge<i64, AtomicI64>>,
    unmatched: Gauge<i64, AtomicI64>,
    alarms: Family<AlarmLabels, Gauge<i64, AtomicI64>>,
    depth: Family<LaneLabels, Gauge<i64, AtomicI64>>,
    age: Family<LaneLabels, Gauge<i64, AtomicI64>>,
    provider_rate: Family<HealthLabels, Gauge<f64, AtomicU64>>,
    provider_allowed: Family<HealthLabels, Gauge<f64, AtomicU64>>,
    provider_state: Family<HealthLabels, Gauge<i64, AtomicI64>>,
    provider_active: Family<HealthLabels, Gauge<i64, AtomicI64>>,
    provider_switches: Family<SwitchLabels, Counter>,
    brakes: BrakeGauges,
}

/// What waits in the database.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    pub depths: Vec<Depth>,
    /// Events whose message is not known.
    pub unmatched: i64,
    /// Messages of queues that could not be enqueued.
    pub buried: i64,
    /// Messages that may have gone and wait for a decision.
    pub held: i64,
    /// Webhook endpoints of applications that take nothing.
    pub endpoints: Troubled,
    /// What operators paused.
    pub pauses: Vec<Pause>,
    pub alarms: Vec<Alarm>,
    /// Those that are on.
    pub brakes: Vec<Brake>,
}

/// Seconds; from a local relay to a slow provider's time-out.
const SEND_BUCKETS: [f64; 13] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// What alarms count. Each begins at zero: Prometheus sees no increase in a series that was not there.
const COUNTED_OUTCOMES: [&str; 3] = ["accepted", "broken", "unknown"];
const COUNTED_ENDS: [&str; 3] = ["sent", "rejected", "gave_up"];
const COUNTED_FEEDBACK: [&str; 2] = ["bounced", "complained"];
/// The `provider` of a pause of all providers of a method.
const ALL_PROVIDERS: &str = "all";

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sendtrail");
        let mut told = Registry::with_prefix("sendtrail");
        let histogram: fn() -> Histogram = || Histogram::new(SEND_BUCKETS);
        let metrics = Self {
            registry: Registry::default(),
            told: Registry::default(),
            database_up: Gauge::default(),
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(histogram),
            ends: Family::default(),
            rescued: Counter::default(),
            pruned: Family::default(),
            enqueued: Counter::default(),
            intake: Family::default(),
            buried: Gauge::default(),
            feedback: Family::default(),
            refused: Refused::default(),
            visits: Family::default(),
            webhooks: Family::default(),
            spans: Family::default(),
            held: Gauge::default(),
            endpoints: Family::default(),
            paused: Family::default(),
            unmatched: Gauge::default(),
            alarms: Family::default(),
            depth: Family::default(),
            age: Family::default(),
            provider_rate: Family::default(),
            provider_allowed: Family::default(),
            provider_state: Family::default(),
            provider_active: Family::default(),
            provider_switches: Family::default(),
            brakes: BrakeGauges::default(),
        };
        metrics.register_counted(&mut registry);
        metrics.register_told(&mut told);
        metrics.brakes.register(&mut told);
        metrics.register_providers(&mut registry);
        for kind in COUNTED_FEEDBACK {
            metrics.feedback_series(kind, "applied", 0);
        }
        Self {
            registry,
            told,
            ..metrics
        }
    }
}

impl Metrics {
    fn register_counted(&self, registry: &mut Registry) {
        registry.register("enqueued", "Notifications enqueued", self.enqueued.clone());
        registry.register(
            "pruned",
            "What was deleted because it is not kept for longer",
            self.pruned.clone(),
        );
        registry.register(
            "intake",
            "Messages from queues, by what became of them",
            self.intake.clone(),
        );
        registry.register(
            "sends",
            "Attempts to send, by how they ended",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "send_latency",
            "How long a provider took to answer",
            Unit::Seconds,
            self.attempt_seconds.clone(),
        );
        registry.register(
            "deliveries",
            "What became of claimed jobs",
            self.ends.clone(),
        );
        registry.register(
            "rescued",
            "Jobs taken over from dead workers",
            self.rescued.clone(),
        );
        registry.register(
            "feedback",
            "Feedback messages, by kind and result",
            self.feedback.clone(),
        );
        registry.register(
            "visits",
            "Visits to our own tracking links, by kind and result",
            self.visits.clone(),
        );
        registry.register(
            "webhook_events",
            "Attempts to send events to applications, by what became of them; and endpoints switched \
             off",
            self.webhooks.clone(),
        );
        registry.register(
            "trace_spans",
            "Spans for the collector of traces, by what became of them: sent, not_taken by it, dropped \
             because it was behind",
            self.spans.clone(),
        );
        registry.register(
            "database_up",
            "Whether the database told what waits in it; if not, that is left out",
            self.database_up.clone(),
        );
    }

    fn register_told(&self, told: &mut Registry) {
        told.register(
            "intake_buried",
            "Messages from queues that wait for an operator, seconds ago at most (10,000 means at \
             least)",
            self.buried.clone(),
        );
        told.register(
            "held",
            "Messages that may have gone and wait for a decision (10,000 means at least)",
            self.held.clone(),
        );
        told.register(
            "webhook_endpoints",
            "Endpoints of applications that take nothing at present, or are switched off",
            self.endpoints.clone(),
        );
        told.register(
            "provider_paused",
            "1: an operator paused the provider, or (all) the method; absent: it is not paused",
            self.paused.clone(),
        );
        told.register(
            "feedback_unmatched",
            "Events that wait for their message, seconds ago at most (10,000 means at least)",
            self.unmatched.clone(),
        );
        told.register(
            "alarm",
            "1: there is trouble, of a provider or of a topic; absent: there is none",
            self.alarms.clone(),
        );
        told.register(
            "queue_depth",
            "Jobs waiting, seconds ago at most (1,000,000 means at least)",
            self.depth.clone(),
        );
        told.register_with_unit(
            "queue_age",
            "How long the oldest due job has been due",
            Unit::Seconds,
            self.age.clone(),
        );
    }

    fn register_providers(&self, registry: &mut Registry) {
        registry.register(
            "provider_rate",
            "Messages a second (of SMS segments) that a provider takes at present",
            self.provider_rate.clone(),
        );
        registry.register(
            "provider_allowed",
            "Messages a second (of SMS segments) that this worker allows itself; absent: no limit is \
             known",
            self.provider_allowed.clone(),
        );
        registry.register(
            "provider_state",
            "0: the provider may be called, 1: single messages show whether it is well, 2: it rests",
            self.provider_state.clone(),
        );
        registry.register(
            "provider_active",
            "1: the provider has this worker's traffic of the method",
            self.provider_active.clone(),
        );
        registry.register(
            "provider_switches",
            "Times that traffic moved from one provider to another",
            self.provider_switches.clone(),
        );
    }

    /// How this worker's providers are.
    pub fn providers(&self, health: &[Health]) {
        for health in health {
            let labels = HealthLabels {
                method: health.method.as_str(),
                provider: health.provider.clone(),
            };
            let rate = per_second(health.taken_per_minute);
            self.provider_rate.get_or_create(&labels).set(rate);
            if let Some(allowed) = health.allowed_per_minute {
                let allowed = per_second(allowed);
                self.provider_allowed.get_or_create(&labels).set(allowed);
            } else {
                self.provider_allowed.remove(&labels);
            }
            let state = match health.state.as_str() {
                "closed" => 0,
                "half_open" => 1,
                _open => 2,
            };
            self.provider_state.get_or_create(&labels).set(state);
            let active = i64::from(health.active);
            self.provider_active.get_or_create(&labels).set(active);
            self.begin_at_zero(health);
        }
    }

    fn begin_at_zero(&self, health: &Health) {
        let method = health.method.as_str();
        for outcome in COUNTED_OUTCOMES {
            let provider = Cow::Owned(health.provider.clone());
            drop(self.attempts.get_or_create(&AttemptLabels {
                method,
                provider,
                outcome,
            }));
        }
        for end in COUNTED_ENDS {
            drop(self.ends.get_or_create(&EndLabels { method, end }));
        }
    }

    /// Traffic moved.
    pub fn switched(&self, switch: &Switch) {
        let name = |provider: &Option<String>| provider.clone().unwrap_or_else(|| "none".into());
        let labels = SwitchLabels {
            method: switch.method.as_str(),
            from: name(&switch.from),
            to: name(&switch.to),
        };
        self.provider_switches.get_or_create(&labels).inc();
    }

    pub fn attempt(
        &self,
        method: Method,
        provider: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let method = method.as_str();
        self.attempts
            .get_or_create(&AttemptLabels {
                method,
                provider: Cow::Borrowed(provider),
                outcome,
            })
            .inc();
        let labels = ProviderLabels { method, provider };
        self.attempt_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    pub fn ended(&self, method: Method, end: &'static str) {
        self.ends
            .get_or_create(&EndLabels {
                method: method.as_str(),
                end,
            })
            .inc();
    }

    pub fn pruned(&self, what: &'static str, count: u64) {
        let labels = PrunedLabels { what };
        self.pruned.get_or_create(&labels).inc_by(count);
    }

    pub fn rescued(&self, jobs: usize) {
        self.rescued.inc_by(u64::try_from(jobs).unwrap_or(u64::MAX));
    }

    pub fn enqueued(&self, notifications: usize) {
        self.enqueued
            .inc_by(u64::try_from(notifications).unwrap_or(u64::MAX));
    }

    pub fn intake(&self, source: &'static str, result: &'static str) {
        self.intake
            .get_or_create(&IntakeLabels { source, result })
            .inc();
    }

    /// `kind` must come from a closed vocabulary: a hostile sender must not make new time series.
    pub fn feedback(&self, kind: &str, result: &'static str) {
        self.feedback_series(kind, result, 1);
    }

    fn feedback_series(&self, kind: &str, result: &'static str, more: u64) {
        let kind = kind.to_owned();
        let labels = FeedbackLabels { kind, result };
        self.feedback.get_or_create(&labels).inc_by(more);
    }

    pub fn visit(&self, kind: &'static str, result: &'static str) {
        let kind = kind.to_owned();
        let labels = FeedbackLabels { kind, result };
        self.visits.get_or_create(&labels).inc();
    }

    pub fn traced(&self, result: &'static str, spans: usize) {
        let labels = WebhookLabels { result };
        self.spans.get_or_create(&labels).inc_by(spans as u64);
    }

    pub fn webhook(&self, result: &'static str) {
        self.webhooks.get_or_create(&WebhookLabels { result }).inc();
    }

    /// The text, with what the database told of the queue.
    pub fn render(&self, waiting: Option<&Waiting>, now: Timestamp) -> String {
        self.database_up.set(i64::from(waiting.is_some()));
        let mut out = String::new();
        // Writing to a String cannot fail.
        text::encode_registry(&mut out, &self.registry).ok();
        if let Some(waiting) = waiting {
            self.set(waiting, now);
            text::encode_registry(&mut out, &self.told).ok();
        }
        text::encode_eof(&mut out).ok();
        out
    }

    fn set(&self, waiting: &Waiting, now: Timestamp) {
        self.unmatched.set(waiting.unmatched);
        self.buried.set(waiting.buried);
        self.brakes.set(&waiting.brakes);
        self.held.set(waiting.held);
        let endpoints = [
            ("failing", waiting.endpoints.failing),
            ("disabled", waiting.endpoints.disabled),
        ];
        for (state, count) in endpoints {
            let labels = EndpointLabels { state };
            self.endpoints.get_or_create(&labels).set(count);
        }
        self.paused.clear();
        for pause in &waiting.pauses {
            let provider = pause.provider.as_deref().unwrap_or(ALL_PROVIDERS);
            let labels = HealthLabels {
                method: pause.method.as_str(),
                provider: provider.to_owned(),
            };
            self.paused.get_or_create(&labels).set(1);
        }
        self.alarms.clear();
        for alarm in &waiting.alarms {
            let labels = AlarmLabels {
                alarm: alarm.kind.as_str(),
                subject: alarm.subject.clone(),
            };
            self.alarms.get_or_create(&labels).set(1);
        }
        for (method, lane) in lanes() {
            let mut depths = waiting.depths.iter();
            let found = depths.find(|d| d.method == method && d.priority == lane);
            let age = found.map_or(0, |depth| now.since(depth.oldest_due_at).as_secs());
            let labels = LaneLabels {
                method: method.as_str(),
                lane: lane.as_str(),
            };
            // An empty lane is a zero: an alarm cannot tell an absent series from a dead program.
            self.depth
                .get_or_create(&labels)
                .set(found.map_or(0, |depth| depth.waiting));
            self.age
                .get_or_create(&labels)
                .set(i64::try_from(age).unwrap_or(i64::MAX));
        }
    }
}

/// Every queue that there can be.
fn lanes() -> impl Iterator<Item = (Method, Priority)> {
    Method::SENT_BY_US
        .into_iter()
        .flat_map(|method| Priority::ALL.into_iter().map(move |lane| (method, lane)))
}
