//! An application that is told what becomes of its notifications: an HTTP server that keeps what it
//! was sent and checks the signatures by a computation of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Ends with the test's runtime.
pub(super) struct Receiver {
    address: SocketAddr,
    state: Arc<Kept>,
}

struct Kept {
    /// Answers of the first requests; all others are 200.
    answers: Mutex<Vec<u16>>,
    events: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    /// While it holds `false`, nothing is answered.
    open: watch::Sender<bool>,
}

#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) id: String,
    timestamp: String,
    signatures: String,
    pub(super) body: String,
}

impl Received {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// As the specification Standard Webhooks says it, made without the program.
    pub(super) fn is_signed_by(&self, secret: &str) -> bool {
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let tag = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        let wanted = format!("v1,{tag}");
        self.signatures.split(' ').any(|it| it == wanted)
    }
}

impl Receiver {
    pub(super) async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Kept {
            answers: Mutex::new(answers.iter().rev().copied().collect()),
            events: Mutex::default(),
            count: watch::Sender::new(0),
            open: watch::Sender::new(true),
        });
        let router = Router::new()
            .route("/hooks", post(receive))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// From now on nothing is answered, or everything again.
    pub(super) fn answer(&self, open: bool) {
        self.state.open.send_replace(open);
    }

    pub(super) fn events(&self) -> Vec<Received> {
        self.state.events.lock().unwrap().clone()
    }

    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.events().into_iter().map(|it| it.id).collect()
    }

    /// Requests so far.
    pub(super) fn count(&self) -> usize {
        *self.state.count.borrow()
    }

    pub(super) async fn until(&self, count: usize, at_most: Duration) {
        let mut changes = self.state.count.subscribe();
        let reached = changes.wait_for(|now| *now >= count);
        let reached = tokio::time::timeout(at_most, reached).await;
        assert!(reached.is_ok(), "{} of {count} events", self.count());
    }
}

async fn receive(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    let received = Received {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signatures: header("webhook-signature"),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    kept.events.lock().unwrap().push(received);
    kept.count.send_modify(|count| *count += 1);
    let mut open = kept.open.subscribe();
    open.wait_for(|open| *open).await.unwrap();
    let answer = kept.answers.lock().unwrap().pop().unwrap_or(200);
    StatusCode::from_u16(answer).unwrap()
}
