//! An API in this process, on a database of its own, with a clock that the test moves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use sendtrail::api::{Api, Limits, auth, router};
use sendtrail::clock::Clock;
use sendtrail::domain::bounce_address::BounceTokens;
use sendtrail::domain::event::{EventKey, Failure, What};
use sendtrail::domain::id::NotificationId;
use sendtrail::domain::method::Method;
use sendtrail::domain::time::Timestamp;
use sendtrail::domain::webhook::UrlRules;
use sendtrail::feedback::bounce_mail::Trust;
use sendtrail::store::Store;
use sendtrail::store::feedback::{Happening, Incoming, Kept, Report};
use sendtrail::store::jobs::{Claim, Wanted};
use sendtrail::store::keys::NewApiKey;
use sendtrail::store::record::{Done, Left, Then, Tried};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::db::TestDb;

pub(crate) struct TestApi {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) woken: Arc<Notify>,
    /// Allows everything in the business `default`.
    pub(crate) key: String,
    /// The database, for what the store has no verb for yet.
    pub(crate) path: PathBuf,
    router: Router,
    _dir: Option<TempDir>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

/// When every test begins.
pub(crate) const START: &str = "2027-01-01T09:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

impl TestApi {
    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("test.db");
        let clock = Clock::manual(at(START));
        let url = format!("sqlite:{}", path.display());
        let store = Store::open(&url, 4, clock.clone()).await.unwrap();
        store.migrate().await.unwrap();
        Self::of(store, clock, limits, path, Some(dir)).await
    }

    /// On a database that the test has.
    pub(crate) async fn on(db: &TestDb) -> Self {
        let (store, clock) = (db.store.clone(), db.clock.clone());
        Self::of(store, clock, Limits::default(), PathBuf::new(), None).await
    }

    async fn of(
        store: Store,
        clock: Clock,
        limits: Limits,
        path: PathBuf,
        dir: Option<TempDir>,
    ) -> Self {
        let woken = Arc::new(Notify::new());
        let router = router(Api {
            store: store.clone(),
            clock: clock.clone(),
            metrics: Arc::default(),
            providers: [(Method::Email, vec!["ses", "smtp"])].into(),
            woken: Arc::clone(&woken),
            account_list: None,
            reader: sendtrail::feedback::reader(true, trust()),
            limits,
            webhook_rules: UrlRules::default(),
        });
        let mut api = Self {
            store,
            clock,
            woken,
            key: String::new(),
            path,
            router,
            _dir: dir,
        };
        api.key = api.new_key("default", "admin").await;
        api
    }

    pub(crate) async fn new_key(&self, business: &str, scopes: &str) -> String {
        self.new_key_until(business, scopes, None).await.0
    }

    pub(crate) async fn new_key_until(
        &self,
        business: &str,
        scopes: &str,
        expires_at: Option<Timestamp>,
    ) -> (String, Uuid) {
        self.store
            .ensure_business(business, business)
            .await
            .unwrap();
        let (key, digest) = auth::new_key();
        let new = NewApiKey {
            business,
            name: "test",
            digest: &digest,
            scopes,
            expires_at,
        };
        let id = self.store.add_key(new).await.unwrap();
        (key, id)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Some(&self.key), None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Json) -> Answer {
        self.ask("POST", path, Some(&self.key), Some(body)).await
    }

    /// A body exactly as it is written.
    pub(crate) async fn post_text(&self, path: &str, body: &str) -> Answer {
        let request = Request::builder().method("POST").uri(path);
        let request = request
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        self.answer(request.body(Body::from(body.to_owned())).unwrap())
            .await
    }

    /// Writes a template, which must be good, and returns it.
    pub(crate) async fn put_template(&self, name: &str, template: Json) -> Json {
        let path = format!("/v1/templates/{name}");
        let answer = self
            .ask("PUT", &path, Some(&self.key), Some(&template))
            .await;
        assert!(answer.status.is_success(), "{}", answer.text);
        answer.json()
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<&Json>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.answer(request.body(body).unwrap()).await
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            bytes: bytes.to_vec(),
        };
        answer.check();
        answer
    }

    /// Enqueues a good email with these fields changed, and returns its id.
    pub(crate) async fn enqueue(&self, changes: Json) -> String {
        let answer = self.post("/v1/notifications", &email(changes)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn entry(&self, id: &str) -> Json {
        let answer = self.get(&format!("/v1/notifications/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    pub(crate) async fn claim(&self) -> Claim {
        let wanted = Wanted {
            worker: "test",
            provider: "ses",
            method: Method::Email,
            forms: &[sendtrail::domain::form::Form::Plain],
            limit: 100,
            bytes_max: u64::MAX,
            lease: Duration::from_mins(1),
        };
        self.store.claim(wanted).await.unwrap().unwrap()
    }

    /// Claims everything that is due and records the same outcome for all of it.
    pub(crate) async fn work(&self, outcome: &'static str, then: &Then) {
        let claim = self.claim().await;
        let now = self.clock.now();
        let done = claim.jobs.iter().map(|claimed| Done {
            claim: claim.id,
            job: claimed.job,
            tried: Some(Tried {
                provider: "ses",
                started_at: now,
                finished_at: now,
                outcome,
                counts: true,
                cause: None,
                code: Some("454".to_owned()),
                text: Some("Throttling failure".to_owned()),
            }),
            then: then.clone(),
        });
        let done: Vec<Done> = done.collect();
        let left = Left {
            claim: claim.id,
            jobs: Vec::new(),
            rewrite: false,
        };
        self.store.record(&done, &[left]).await.unwrap();
    }

    pub(crate) async fn work_sent(&self) {
        let sent = Then::Sent {
            provider_message_id: Some("ses-1".to_owned()),
            opens_tracked: true,
        };
        self.work("accepted", &sent).await;
    }

    pub(crate) async fn work_rejected(&self, failure: Failure) {
        self.work("rejected", &Then::Rejected(failure)).await;
    }

    /// Lets a provider report something of a notification.
    pub(crate) async fn report(&self, id: &str, when: &str, what: What) {
        let key = self.clock.new_uuid(self.clock.now());
        let happening = Happening {
            key: EventKey(key),
            occurred_at: at(when),
            what,
        };
        let incoming = Incoming {
            source: "sns",
            message_id: key.to_string(),
            topic: "arn:aws:sns:us-east-1:123456789012:feedback".to_owned(),
            received_at: self.clock.now(),
            kind: "test".to_owned(),
            body: "{}".into(),
            report: Some(Report {
                notification: NotificationId::parse(id),
                provider_message_id: None,
                source: "ses",
                happenings: vec![happening],
            }),
        };
        let kept = self.store.keep_feedback(incoming).await.unwrap();
        assert!(matches!(kept, Kept::Applied { .. }), "{kept:?}");
    }

    /// Runs SQL on the database behind the store's back.
    pub(crate) async fn sql(&self, text: &str) {
        use sqlx::ConnectOptions as _;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.path);
        let mut connection = options.connect().await.unwrap();
        let text = sqlx::AssertSqlSafe(text.to_owned());
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Pointer and detail of each error.
    pub(crate) fn errors(&self) -> Vec<(String, String)> {
        let json = self.json();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        errors
            .iter()
            .map(|error| (text(&error["pointer"]), text(&error["detail"])))
            .collect()
    }

    /// What holds for every answer.
    fn check(&self) {
        assert!(self.headers.contains_key("x-request-id"));
        assert_eq!(self.headers["cache-control"], "no-store");
        assert_eq!(self.headers["x-content-type-options"], "nosniff");
        if self.headers.contains_key("content-disposition") {
            assert!(self.status.is_success());
            return;
        }
        if self.status == StatusCode::NO_CONTENT {
            assert!(self.bytes.is_empty());
            return;
        }
        if self.status.is_success() {
            assert_eq!(self.headers["content-type"], "application/json");
            return;
        }
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        for name in ["type", "title", "detail"] {
            let text = problem[name].as_str().unwrap();
            assert!(!text.is_empty(), "{name} of {}", self.text);
        }
    }
}

/// Believes what is signed by a key of the tests.
pub(crate) fn trust() -> Trust {
    Trust {
        tokens: BounceTokens::new("a key of the tests"),
        accept_unsigned: false,
    }
}

/// A good request with these fields changed; `null` takes a field out.
pub(crate) fn email(changes: Json) -> Json {
    let mut body = json!({
        "client": {"id": "C-1001", "name": "Ana Ruiz", "email": "ana@example.com",
                   "phone": "+14155550123"},
        "method": "email",
        "to": "ana@example.com",
        "type": "Booking confirmation",
        "content": {"subject": "See you on Monday", "text": "Hello Ana", "html": "<p>Hello Ana</p>"},
    });
    change(&mut body, changes);
    body
}

pub(crate) fn sms(changes: Json) -> Json {
    let mut body = json!({
        "client": {"id": "C-1001"}, "method": "sms", "to": "+14155550123", "type": "Reminder",
        "content": {"text": "See you on Monday"},
    });
    change(&mut body, changes);
    body
}

pub(crate) fn push(changes: Json) -> Json {
    let mut body = json!({
        "client": "C-1001", "method": "push", "to": "token-delivered", "type": "Reminder",
        "content": {"title": "Monday", "text": "See you", "data": {"a": [1, {"b": null}]}},
    });
    change(&mut body, changes);
    body
}

fn change(body: &mut Json, changes: Json) {
    let body = body.as_object_mut().unwrap();
    let Json::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, value) in changes {
        if value.is_null() {
            body.remove(&name);
        } else {
            body.insert(name, value);
        }
    }
}
