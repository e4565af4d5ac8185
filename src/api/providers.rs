//! `/v1/providers`: how the providers are, and what operators order: pause, resume. Providers belong to
//! the whole installation, so only an admin key of the business `default` may look and order.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::auth::Caller;
use super::body;
use super::fields::{Errors, Fields};
use super::path::Steps;
use super::problem::{Kind, Problem};
use super::schemas::PauseBody;
use crate::domain::method::Method;
use crate::store::providers::{self, Health, Order, Pause, Paused, Switch};

/// The longest reason, in characters: a line in a list.
pub(super) const REASON_LENGTH_MAX: usize = 200;
/// The last switches of traffic that are shown.
const SWITCHES_SHOWN: i64 = 50;
pub(super) const NAMES: [&str; 1] = ["reason"];

/// How all providers are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProvidersJson {
    methods: Vec<MethodJson>,
    /// The last times that traffic moved, the newest first.
    switches: Vec<SwitchJson>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MethodJson {
    #[schema(example = "email")]
    method: &'static str,
    /// All of the method is paused.
    paused: Option<PauseJson>,
    /// In order of preference: the first that is well and not paused has all the traffic. Of push
    /// providers each has the targets of its kind.
    providers: Vec<ProviderJson>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ProviderJson {
    #[schema(example = "ses")]
    provider: String,
    paused: Option<PauseJson>,
    /// Messages a second, of SMS segments, taken by the provider at present.
    per_second: f64,
    /// What living workers see; empty when none has it.
    workers: Vec<WorkerJson>,
}

#[derive(Debug, Serialize, ToSchema)]
struct WorkerJson {
    worker: String,
    seen_at: String,
    /// The provider has this worker's traffic.
    active: bool,
    /// `closed`: it may be called; `open`: it rests; `half_open`: single messages show whether it is well.
    #[schema(example = "closed")]
    state: String,
    rests_until: Option<String>,
    rests_because: Option<String>,
    per_second: f64,
    /// What the worker allows itself; absent: no limit is known.
    allowed_per_second: Option<f64>,
    /// The rate at which the provider refused last; absent: it never did.
    learnt_per_second: Option<f64>,
    last_error: Option<ErrorJson>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorJson {
    at: String,
    code: Option<String>,
    text: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PauseJson {
    by: String,
    at: String,
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct SwitchJson {
    at: String,
    method: &'static str,
    worker: String,
    /// Absent: no provider could be used.
    from: Option<String>,
    to: Option<String>,
    reason: String,
}

/// What became of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderJson {
    method: &'static str,
    /// Absent: every provider of the method.
    provider: Option<String>,
    paused: Option<PauseJson>,
    /// `false`: it was so already.
    changed: bool,
}

/// How the providers are, as the living workers see them.
#[utoipa::path(
    get, path = "/v1/providers", tag = "providers",
    responses((status = 200, description = "All providers.", body = ProvidersJson)),
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
) -> Result<Json<ProvidersJson>, Problem> {
    caller.operates()?;
    let store = &shared.api.store;
    let health = store.provider_health().await?;
    let pauses = store.provider_pauses().await?;
    let switches = store.switches(SWITCHES_SHOWN).await?;
    let methods = shared.api.providers.iter();
    let methods = methods.map(|(method, names)| method_json(*method, names, &health, &pauses));
    Ok(Json(ProvidersJson {
        methods: methods.collect(),
        switches: switches.into_iter().map(switch_json).collect(),
    }))
}

/// Sends nothing by this provider until it is resumed: another takes over, or messages wait.
#[utoipa::path(
    post, path = "/v1/providers/{method}/{provider}/pause", tag = "providers",
    params(
        ("method" = String, Path, description = "email, sms or push."),
        ("provider" = String, Path, description = "As in the settings, for example ses."),
    ),
    request_body = PauseBody,
    responses(
        (status = 200, description = "It is paused.", body = OrderJson),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "There is no such provider."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "A reason is needed."),
    ),
)]
pub(super) async fn pause(
    State(shared): State<Shared>,
    caller: Caller,
    Steps((method, provider)): Steps<(String, String)>,
    request: Request,
) -> Result<Json<OrderJson>, Problem> {
    order_pause(&shared, &caller, (&method, Some(&provider)), request).await
}

/// Sends nothing by this method until it is resumed: its messages wait.
#[utoipa::path(
    post, path = "/v1/providers/{method}/pause", tag = "providers",
    params(("method" = String, Path, description = "email, sms or push.")),
    request_body = PauseBody,
    responses(
        (status = 200, description = "It is paused.", body = OrderJson),
        (status = 400, description = "The body is not JSON."),
        (status = 404, description = "There is no such method."),
        (status = 413, description = "The body is too large."),
        (status = 415, description = "The body is not declared as JSON."),
        (status = 422, description = "A reason is needed."),
    ),
)]
pub(super) async fn pause_method(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(method): Steps<String>,
    request: Request,
) -> Result<Json<OrderJson>, Problem> {
    order_pause(&shared, &caller, (&method, None), request).await
}

/// Ends the pause of this provider.
#[utoipa::path(
    post, path = "/v1/providers/{method}/{provider}/resume", tag = "providers",
    params(
        ("method" = String, Path, description = "email, sms or push."),
        ("provider" = String, Path, description = "As in the settings, for example ses."),
    ),
    responses(
        (status = 200, description = "It is not paused.", body = OrderJson),
        (status = 404, description = "There is no such provider."),
    ),
)]
pub(super) async fn resume(
    State(shared): State<Shared>,
    caller: Caller,
    Steps((method, provider)): Steps<(String, String)>,
) -> Result<Json<OrderJson>, Problem> {
    order_resume(&shared, &caller, (&method, Some(&provider))).await
}

/// Ends the pause of this method; single providers stay as they are.
#[utoipa::path(
    post, path = "/v1/providers/{method}/resume", tag = "providers",
    params(("method" = String, Path, description = "email, sms or push.")),
    responses(
        (status = 200, description = "It is not paused.", body = OrderJson),
        (status = 404, description = "There is no such method."),
    ),
)]
pub(super) async fn resume_method(
    State(shared): State<Shared>,
    caller: Caller,
    Steps(method): Steps<String>,
) -> Result<Json<OrderJson>, Problem> {
    order_resume(&shared, &caller, (&method, None)).await
}

async fn order_pause(
    shared: &Shared,
    caller: &Caller,
    target: (&str, Option<&str>),
    request: Request,
) -> Result<Json<OrderJson>, Problem> {
    let by = caller.operates()?;
    let order = order(shared, target, &by)?;
    let body = body::optional(request).await?;
    let mut errors = Errors::default();
    let reason = Fields::open(&body, String::new(), &NAMES, &mut errors).and_then(|mut fields| {
        fields.require(&NAMES);
        fields.line("reason", REASON_LENGTH_MAX)
    });
    let reason = errors.unless_any(reason).map_err(Problem::invalid)?;
    let (pause, changed) = match shared.api.store.pause_provider(order, &reason).await? {
        Paused::Now(pause) => (pause, true),
        Paused::Before(pause) => (pause, false),
    };
    Ok(Json(OrderJson {
        method: order.method.as_str(),
        provider: order.provider.map(str::to_owned),
        paused: Some(pause_json(&pause)),
        changed,
    }))
}

async fn order_resume(
    shared: &Shared,
    caller: &Caller,
    target: (&str, Option<&str>),
) -> Result<Json<OrderJson>, Problem> {
    let by = caller.operates()?;
    let order = order(shared, target, &by)?;
    let changed = shared.api.store.resume_provider(order).await?;
    Ok(Json(OrderJson {
        method: order.method.as_str(),
        provider: order.provider.map(str::to_owned),
        paused: None,
        changed,
    }))
}

/// The order, if there is what it names.
fn order<'a>(
    shared: &Shared,
    (method, provider): (&str, Option<&'a str>),
    by: &'a str,
) -> Result<Order<'a>, Problem> {
    let known = shared.api.providers.iter();
    let mut known = known.filter(|(known, _)| known.as_str() == method);
    let (method, names) = known
        .next()
        .ok_or_else(|| Problem::new(Kind::NotFound, "The methods are email, sms and push."))?;
    if provider.is_some_and(|provider| !names.contains(&provider)) {
        let names = names.join(", ");
        let detail = format!("The providers of {method} are: {names}.");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    Ok(Order {
        method: *method,
        provider,
        by,
    })
}

fn method_json(method: Method, names: &[&str], health: &[Health], pauses: &[Pause]) -> MethodJson {
    let health: Vec<&Health> = health.iter().filter(|h| h.method == method).collect();
    let pause_of = |provider: Option<&str>| {
        let mut of = pauses.iter().filter(|pause| pause.method == method);
        of.find(|pause| pause.provider.as_deref() == provider)
            .map(pause_json)
    };
    // Workers may have been started with other settings than this process.
    let own: BTreeSet<&str> = names.iter().copied().collect();
    let others = health.iter().map(|h| h.provider.as_str());
    let others: BTreeSet<&str> = others.filter(|name| !own.contains(name)).collect();
    let providers = names.iter().copied().chain(others).map(|name| {
        let seen = || health.iter().filter(|h| h.provider == name);
        ProviderJson {
            provider: name.to_owned(),
            paused: pause_of(Some(name)),
            per_second: per_second(seen().map(|h| h.taken_per_minute).sum()),
            workers: seen().map(|h| worker_json(h)).collect(),
        }
    });
    MethodJson {
        method: method.as_str(),
        paused: pause_of(None),
        providers: providers.collect(),
    }
}

fn worker_json(health: &Health) -> WorkerJson {
    let error = health.error.as_ref().map(|error| ErrorJson {
        at: error.at.to_string(),
        code: error.code.clone(),
        text: error.text.clone(),
    });
    WorkerJson {
        worker: health.worker.clone(),
        seen_at: health.seen_at.to_string(),
        active: health.active,
        state: health.state.clone(),
        rests_until: health.rests_until.map(|at| at.to_string()),
        rests_because: health.rests_because.clone(),
        per_second: per_second(health.taken_per_minute),
        allowed_per_second: health.allowed_per_minute.map(per_second),
        learnt_per_second: health.learnt_per_minute.map(per_second),
        last_error: error,
    }
}

fn pause_json(pause: &Pause) -> PauseJson {
    PauseJson {
        by: pause.by.clone(),
        at: pause.at.to_string(),
        reason: pause.reason.clone(),
    }
}

fn switch_json(switch: Switch) -> SwitchJson {
    SwitchJson {
        at: switch.at.to_string(),
        method: switch.method.as_str(),
        worker: switch.worker,
        from: switch.from,
        to: switch.to,
        reason: switch.reason,
    }
}

/// With two digits.
fn per_second(per_minute: i64) -> f64 {
    (providers::per_second(per_minute) * 100.0).round() / 100.0
}
