//! A queue of Amazon SQS that a peer plays: messages into it, and how many are left in it.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use sendtrail::intake::SqsSettings;
use tokio::time::Instant;

use super::child::Variables;
use crate::support::db::TestDb;

const TIMEOUT: Duration = Duration::from_mins(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// LocalStack's.
const ACCOUNT: &str = "000000000000";

pub(super) struct Queue {
    pub(super) client: Client,
    pub(super) url: String,
}

pub(super) fn settings(endpoint_url: &str, queues: Vec<String>) -> SqsSettings {
    SqsSettings {
        queues,
        endpoint_url: Some(endpoint_url.to_owned()),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("test".into()),
        secret_access_key: Some("test".into()),
        receivers: 2,
        wait_seconds: 1,
        // Shorter than the settings allow, so that a test need not wait for long.
        visibility_seconds: 1,
        connect_timeout_ms: 10_000,
        timeout_ms: 30_000,
    }
}

pub(super) fn localstack() -> String {
    let url = std::env::var_os("TEST_LOCALSTACK_URL");
    let url = url.expect("TEST_LOCALSTACK_URL is not set: run scripts/test");
    url.into_string().unwrap()
}

impl Queue {
    pub(super) async fn at_localstack() -> Self {
        Self::at(&localstack(), ACCOUNT).await
    }

    pub(super) async fn at(endpoint: &str, account: &str) -> Self {
        let patient = SqsSettings {
            timeout_ms: 60_000,
            ..settings(endpoint, Vec::new())
        };
        let client = patient.client().await;
        let name = format!("in-{}", uuid::Uuid::new_v8(rand::random()).simple());
        let call = client.create_queue().queue_name(&name).send();
        call.await.unwrap();
        // LocalStack puts the region before the host, which no URL can have before an IP address.
        let url = format!("{endpoint}/{account}/{name}");
        Self { client, url }
    }

    pub(super) async fn send(&self, bodies: &[String]) {
        for ten in bodies.chunks(10) {
            let entries = ten.iter().enumerate().map(|(i, body)| {
                SendMessageBatchRequestEntry::builder()
                    .id(i.to_string())
                    .message_body(body)
                    .build()
                    .unwrap()
            });
            let call = self.client.send_message_batch().queue_url(&self.url);
            let answer = call
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .unwrap();
            assert!(answer.failed().is_empty(), "{answer:?}");
        }
    }

    /// Messages that wait, and those in somebody's hands.
    pub(super) async fn left(&self) -> (usize, usize) {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = call
            .attribute_names(QueueAttributeName::All)
            .send()
            .await
            .unwrap();
        let attributes = answer.attributes.unwrap();
        let count = |name: QueueAttributeName| attributes[&name].parse::<usize>().unwrap();
        (
            count(QueueAttributeName::ApproximateNumberOfMessages),
            count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        )
    }

    pub(super) async fn emptied(&self) {
        let started = Instant::now();
        while self.left().await != (0, 0) {
            let left = self.left().await;
            assert!(started.elapsed() < TIMEOUT, "{left:?} messages are left");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    pub(super) fn variables_at_localstack(&self, db: &TestDb) -> Variables {
        self.variables(db, &localstack())
    }

    pub(super) fn variables(&self, db: &TestDb, endpoint: &str) -> Variables {
        Variables::of(db)
            .with("INTAKE__SQS__QUEUES", &self.url)
            .with("INTAKE__SQS__ENDPOINT_URL", endpoint)
            .with("INTAKE__SQS__REGION", "us-east-1")
            .with("INTAKE__SQS__ACCESS_KEY_ID", "test")
            .with("INTAKE__SQS__SECRET_ACCESS_KEY", "test")
            .with("INTAKE__SQS__WAIT_SECONDS", "1")
            .with("INTAKE__SQS__VISIBILITY_SECONDS", "30")
    }
}
