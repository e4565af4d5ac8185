//! A client of the HTTP API, as an application has one.

use std::net::SocketAddr;
use std::time::Duration;

use sendtrail::api::auth;
use sendtrail::store::Store;
use sendtrail::store::keys::NewApiKey;
use serde_json::{Value, json};
use tokio::time::Instant;

#[derive(Clone)]
pub(super) struct Client {
    base: String,
    key: String,
    http: reqwest::Client,
}

/// Longer than any answer may take, the one of a program whose database is away included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// For a story to come to its end on a busy machine.
const STORY_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Client {
    pub(super) fn new(address: SocketAddr, key: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .no_proxy();
        Self {
            base: format!("http://{address}"),
            key: key.to_owned(),
            http: http.build().unwrap(),
        }
    }

    /// With a new key of an application.
    pub(super) async fn with_new_key(address: SocketAddr, store: &Store) -> Self {
        Self::with_key_for("enqueue,read", address, store).await
    }

    pub(super) async fn with_key_for(scopes: &str, address: SocketAddr, store: &Store) -> Self {
        let (key, digest) = auth::new_key();
        let new = NewApiKey {
            business: "default",
            name: "test",
            digest: &digest,
            scopes,
            expires_at: None,
        };
        store.add_key(new).await.unwrap();
        Self::new(address, &key)
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Status and body; no answer at all is an error.
    pub(super) async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, String), reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.text().await?))
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String) {
        self.ask(reqwest::Method::GET, path, None).await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.ask(reqwest::Method::POST, path, Some(body)).await;
        let (status, text) = answer.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A text as SNS posts it.
    pub(super) async fn post_feedback(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        self.post_raw(body, &[("content-type", "text/plain; charset=UTF-8")])
            .await
    }

    pub(super) async fn post_raw(
        &self,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let mut request = self.http.post(format!("{}/webhooks/sns", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    }

    /// Enqueues all of them at once; their ids in the same order.
    pub(super) async fn enqueue(&self, notifications: &[Value]) -> Vec<String> {
        let body = json!({ "notifications": notifications });
        let (status, answer) = self.post("/v1/notifications", &body).await;
        assert_eq!(status, 202, "{answer}");
        let receipts = answer["notifications"].as_array().unwrap();
        receipts
            .iter()
            .map(|receipt| text(&receipt["id"]))
            .collect()
    }

    pub(super) async fn entry(&self, id: &str) -> Value {
        let (status, body) = self.get(&format!("/v1/notifications/{id}")).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The entry once it is as the test wants it.
    pub(super) async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let entry = self.entry(id).await;
            if is_so(&entry) {
                return entry;
            }
            assert!(started.elapsed() < STORY_TIMEOUT, "never came: {entry:#}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The value of one time series, as `sendtrail_feedback_total{kind="none",result="stale"}`.
    pub(super) async fn metric(&self, series: &str) -> Option<f64> {
        let (status, metrics) = self.get("/metrics").await;
        assert_eq!(status, 200, "{metrics}");
        let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        metrics.lines().find_map(value)
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The texts of a list.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}
