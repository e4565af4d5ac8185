//! What can be changed while the sandbox runs: a limit on the rate, and outages. In code by
//! [`super::Sandbox`]; from outside by `POST /sandbox/control`, which answers with the present state.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::provider::Provider;

/// A door to the provider that can be shut: SMTP refuses connections then, the others answer with an
/// error of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    Ses,
    Smtp,
    Sns,
    Twilio,
    Fcm,
    Apns,
}

/// What has become of the requests to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    pub taken: u64,
    /// Above the limit.
    pub refused: u64,
}

#[derive(Debug)]
pub(super) struct Control {
    state: Mutex<Switches>,
    taken: AtomicU64,
    refused: AtomicU64,
    /// Told when a door was shut or opened.
    pub(super) changed: Notify,
}

#[derive(Debug)]
struct Switches {
    limit: Option<Limit>,
    max_send_rate: f64,
    down: Vec<Door>,
}

/// As SES counts: so many a second, and a second's worth at once.
#[derive(Debug)]
struct Limit {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

/// `GetAccount` tells a quota that holds up no test of speed.
const MAX_SEND_RATE: f64 = 5_000.0;

impl Default for Control {
    fn default() -> Self {
        let state = Switches {
            limit: None,
            max_send_rate: MAX_SEND_RATE,
            down: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }
}

impl Control {
    pub(super) fn set_limit(&self, per_second: Option<f64>) {
        self.state().limit = per_second.map(|per_second| Limit {
            per_second,
            tokens: per_second.max(1.0),
            at: Instant::now(),
        });
    }

    pub(super) fn set_max_send_rate(&self, per_second: f64) {
        self.state().max_send_rate = per_second;
    }

    pub(super) fn max_send_rate(&self) -> f64 {
        self.state().max_send_rate
    }

    pub(super) fn set_down(&self, doors: Vec<Door>) {
        self.state().down = doors;
        self.changed.notify_waiters();
    }

    pub(super) fn is_down(&self, door: Door) -> bool {
        self.state().down.contains(&door)
    }

    /// Counts this request; true when it comes too fast.
    pub(super) fn refuses(&self) -> bool {
        let mut state = self.state();
        let refuses = state.limit.as_mut().is_some_and(|limit| !limit.takes());
        drop(state);
        let count = if refuses { &self.refused } else { &self.taken };
        count.fetch_add(1, Ordering::Relaxed);
        refuses
    }

    pub(super) fn calls(&self) -> Calls {
        Calls {
            taken: self.taken.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn state(&self) -> MutexGuard<'_, Switches> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limit {
    fn takes(&mut self) -> bool {
        let now = Instant::now();
        let since: Duration = now - self.at;
        let most = self.per_second.max(1.0);
        self.tokens = (self.tokens + since.as_secs_f64() * self.per_second).min(most);
        self.at = now;
        let takes = self.tokens >= 1.0;
        self.tokens -= if takes { 1.0 } else { 0.0 };
        takes
    }
}

/// What is absent stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// Requests a second; 0: no limit.
    per_second: Option<f64>,
    /// What `GetAccount` tells.
    max_send_rate: Option<f64>,
    /// The doors that are shut; the others are open.
    down: Option<Vec<Door>>,
}

pub(super) async fn order(
    State(provider): State<Arc<Provider>>,
    order: Result<Json<Order>, JsonRejection>,
) -> Response {
    let Order {
        per_second,
        max_send_rate,
        down,
    } = match order {
        Ok(Json(order)) => order,
        Err(rejection) => return (rejection.status(), rejection.body_text()).into_response(),
    };
    let rates = [per_second, max_send_rate];
    if rates.into_iter().flatten().any(|rate| rate < 0.0) {
        let why = "per_second and max_send_rate cannot be below 0";
        return (StatusCode::UNPROCESSABLE_ENTITY, why).into_response();
    }
    let control = &provider.control;
    if let Some(per_second) = per_second {
        control.set_limit(Some(per_second).filter(|rate| *rate > 0.0));
    }
    if let Some(per_second) = max_send_rate {
        control.set_max_send_rate(per_second);
    }
    if let Some(doors) = down {
        control.set_down(doors);
    }
    let state = control.state();
    Json(json!({
        "per_second": state.limit.as_ref().map(|limit| limit.per_second),
        "max_send_rate": state.max_send_rate,
        "down": state.down,
        "calls": control.calls(),
    }))
    .into_response()
}
