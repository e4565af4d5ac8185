//! The sandbox spoken to as the product speaks to it: by the real SDKs, lettre and a webhook.

mod control;
mod email;
mod push;
mod smtp;
mod sns;
mod twilio;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::sync::watch;
use x509_parser::pem::parse_x509_pem;

use super::{Options, Sandbox};
use crate::clock::Clock;

/// Long enough for a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// One request that the webhook received.
#[derive(Clone, Debug)]
struct Post {
    headers: HeaderMap,
    envelope: Value,
}

impl Post {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
    fn kind(&self) -> &str {
        self.envelope["Type"].as_str().unwrap()
    }
    fn message_id(&self) -> &str {
        self.envelope["MessageId"].as_str().unwrap()
    }
    /// The SES event or log record inside.
    fn message(&self) -> Value {
        serde_json::from_str(self.envelope["Message"].as_str().unwrap()).unwrap()
    }
}

struct Stage {
    sandbox: Sandbox,
    webhook: Webhook,
}

#[derive(Clone)]
struct Webhook {
    posts: watch::Sender<Vec<Post>>,
    /// Answers to the next notifications, 200 when there are none.
    answers: Arc<Mutex<VecDeque<u16>>>,
    sns: Arc<OnceLock<aws_sdk_sns::Client>>,
}

impl Stage {
    /// A sandbox whose webhook has confirmed.
    async fn set() -> Self {
        let stage = Self::set_unconfirmed().await;
        stage.webhook.answer_confirmations(&stage.sandbox);
        stage.confirmed().await;
        stage
    }

    async fn set_unconfirmed() -> Self {
        let webhook = Webhook {
            posts: watch::Sender::new(Vec::new()),
            answers: Arc::default(),
            sns: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/sns", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/webhooks/sns", post(receive))
            .with_state(webhook.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        let options = Options {
            webhook_url: url,
            latency: Duration::from_millis(5),
            late: Duration::from_millis(300),
            ..Options::default()
        };
        let sandbox = Sandbox::start(options, Clock::system()).await.unwrap();
        Self { sandbox, webhook }
    }

    async fn confirmed(&self) {
        let confirmed = async {
            while !self.sandbox.provider.poster.is_confirmed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, confirmed).await.unwrap();
    }

    fn ses(&self) -> aws_sdk_sesv2::Client {
        let config = aws_sdk_sesv2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials())
            .retry_config(aws_sdk_sesv2::config::retry::RetryConfig::disabled())
            .endpoint_url(self.sandbox.http_url())
            .build();
        aws_sdk_sesv2::Client::from_conf(config)
    }

    fn sns(&self) -> aws_sdk_sns::Client {
        sns_client(&self.sandbox)
    }

    /// The notifications so far, once there are this many.
    async fn notifications(&self, count: usize) -> Vec<Post> {
        self.webhook.notifications(count).await
    }

    /// Like `notifications`, and no more have come when another story has been told after them.
    async fn notifications_in_all(&self, count: usize) -> Vec<Post> {
        self.notifications(count).await;
        drop(
            self.sns()
                .publish()
                .phone_number("+15005550007")
                .message("end")
                .send()
                .await
                .unwrap(),
        );
        let mut posts = self.notifications(count + 1).await;
        assert_eq!(posts.pop().unwrap().message()["status"], "SUCCESS");
        posts
    }
}

impl Webhook {
    fn answer_confirmations(&self, sandbox: &Sandbox) {
        drop(self.sns.set(sns_client(sandbox)));
    }

    fn answer_next(&self, statuses: &[u16]) {
        self.answers.lock().unwrap().extend(statuses);
    }

    async fn notifications(&self, count: usize) -> Vec<Post> {
        let notifications = |posts: &Vec<Post>| -> Vec<Post> {
            let found = posts.iter().filter(|post| post.kind() == "Notification");
            found.cloned().collect()
        };
        let mut posts = self.posts.subscribe();
        let enough = posts.wait_for(|posts| notifications(posts).len() >= count);
        let found = notifications(
            &tokio::time::timeout(PATIENCE, enough)
                .await
                .unwrap()
                .unwrap(),
        );
        assert_eq!(found.len(), count, "no more than that");
        found
    }

    async fn confirmation(&self) -> Post {
        let mut posts = self.posts.subscribe();
        let some = posts.wait_for(|posts| !posts.is_empty());
        let first = tokio::time::timeout(PATIENCE, some).await.unwrap().unwrap()[0].clone();
        assert_eq!(first.kind(), "SubscriptionConfirmation");
        first
    }
}

async fn receive(State(webhook): State<Webhook>, headers: HeaderMap, body: String) -> StatusCode {
    let envelope: Value = serde_json::from_str(&body).unwrap();
    let post = Post { headers, envelope };
    let token = post.envelope["Token"].as_str().map(str::to_owned);
    webhook.posts.send_modify(|posts| posts.push(post));
    if let Some(token) = token {
        let Some(sns) = webhook.sns.get() else {
            return StatusCode::SERVICE_UNAVAILABLE;
        };
        let confirm = sns
            .confirm_subscription()
            .topic_arn(super::TOPIC_ARN)
            .token(token);
        let confirmed = confirm.send().await.unwrap();
        assert!(
            confirmed
                .subscription_arn()
                .unwrap()
                .starts_with(super::TOPIC_ARN)
        );
        return StatusCode::OK;
    }
    let next = webhook.answers.lock().unwrap().pop_front();
    next.map_or(StatusCode::OK, |status| {
        StatusCode::from_u16(status).unwrap()
    })
}

fn sns_client(sandbox: &Sandbox) -> aws_sdk_sns::Client {
    let config = aws_sdk_sns::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .retry_config(aws_sdk_sns::config::retry::RetryConfig::disabled())
        .endpoint_url(sandbox.http_url())
        .build();
    aws_sdk_sns::Client::from_conf(config)
}

fn credentials() -> Credentials {
    Credentials::new("AKIDSANDBOX", "secret", None, None, "test")
}

/// The SES event types in the order in which they came.
fn kinds(posts: &[Post]) -> Vec<String> {
    let kind = |post: &Post| post.message()["eventType"].as_str().unwrap().to_owned();
    posts.iter().map(kind).collect()
}

/// When the happening of an SES event happened; `Send` has no time of its own.
fn happened_at(event: &Value) -> &str {
    let key = match event["eventType"].as_str().unwrap() {
        "DeliveryDelay" => "deliveryDelay".to_owned(),
        other => other.to_lowercase(),
    };
    let at = event[key]["timestamp"].as_str();
    at.unwrap_or_else(|| event["mail"]["timestamp"].as_str().unwrap())
}

/// Written from the description of the algorithm, not from the code that signs.
fn verify(envelope: &Value, certificate_pem: &str) -> bool {
    let names: &[&str] = if envelope["Type"] == "Notification" {
        &[
            "Message",
            "MessageId",
            "Subject",
            "Timestamp",
            "TopicArn",
            "Type",
        ]
    } else {
        &[
            "Message",
            "MessageId",
            "SubscribeURL",
            "Timestamp",
            "Token",
            "TopicArn",
            "Type",
        ]
    };
    let mut text = String::new();
    for name in names {
        if let Some(value) = envelope[*name].as_str() {
            text.extend([name, "\n", value, "\n"]);
        }
    }
    let (_rest, pem) = parse_x509_pem(certificate_pem.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let key = &certificate.public_key().subject_public_key.data;
    let signature = STANDARD
        .decode(envelope["Signature"].as_str().unwrap())
        .unwrap();
    assert_eq!(envelope["SignatureVersion"], "2");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(text.as_bytes(), &signature)
        .is_ok()
}
