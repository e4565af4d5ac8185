//! Text messages as Twilio's stand-in knows them: how those that it took stand, for who asks, and those
//! of clients, which it posts to the address that is set for the number.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::accounts::{TWILIO_ACCOUNT, TWILIO_FROM};
use super::callback::Callback;
use super::provider::Provider;

/// Messages that can be asked for; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Texts {
    taken: Mutex<VecDeque<(String, Value)>>,
    inbound_url: Mutex<String>,
}

impl Texts {
    pub(super) fn remember(&self, sid: String, resource: Value) {
        let mut taken = self.taken();
        if taken.len() >= REMEMBERED_MAX {
            taken.pop_front();
        }
        taken.push_back((sid, resource));
    }

    pub(super) fn resource(&self, sid: &str) -> Option<Value> {
        let taken = self.taken();
        let found = taken.iter().find(|(known, _)| known == sid);
        found.map(|(_, resource)| resource.clone())
    }

    pub(super) fn set_inbound_url(&self, url: String) {
        *self.url() = url;
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<(String, Value)>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn url(&self) -> MutexGuard<'_, String> {
        self.inbound_url
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text that somebody writes to our number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    from: String,
    /// Another number than the sandbox's own.
    to: Option<String>,
    body: String,
}

/// `POST /sandbox/texts`: answered when the webhook has been told.
pub(super) async fn receive(
    State(provider): State<Arc<Provider>>,
    written: Result<Json<Written>, JsonRejection>,
) -> Response {
    let Written { from, to, body } = match written {
        Ok(Json(written)) => written,
        Err(rejection) => return (rejection.status(), rejection.body_text()).into_response(),
    };
    let url = provider.texts.url().clone();
    let Some(callback) = Callback::to(&url) else {
        let why = "no address is set to which texts are sent";
        return (StatusCode::CONFLICT, why).into_response();
    };
    let sid = format!("SM{}", hex::encode(rand::random::<[u8; 16]>()));
    let to = to.as_deref().unwrap_or(TWILIO_FROM);
    let fields = [
        ("ToCountry", "US"),
        ("SmsMessageSid", sid.as_str()),
        ("NumMedia", "0"),
        ("SmsSid", &sid),
        ("SmsStatus", "received"),
        ("Body", &body),
        ("To", to),
        ("NumSegments", "1"),
        ("MessageSid", &sid),
        ("AccountSid", TWILIO_ACCOUNT),
        ("From", &from),
        ("ApiVersion", "2010-04-01"),
    ];
    callback.post(&provider, &fields).await;
    StatusCode::NO_CONTENT.into_response()
}
