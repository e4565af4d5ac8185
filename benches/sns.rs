//! A stand-in for SNS's signature: a key of our own and messages signed with it beforehand.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sendtrail::clock::Clock;
use sendtrail::domain::id::NotificationId;
use serde_json::{Value, json};

use crate::fill::ses_message_id;
use crate::http_load;

pub(crate) const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:sendtrail-bench";
pub(crate) const CERTIFICATE_URL: &str = "https://sns.us-east-1.amazonaws.com/bench.pem";

#[derive(Clone)]
pub(crate) struct Signer {
    key: Arc<KeyPair>,
    clock: Clock,
}

impl Signer {
    /// RSA-2048, as SNS has it. The certificate is written to the file.
    pub(crate) fn generate(clock: Clock, certificate: &Path) -> anyhow::Result<Self> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_unspecified| anyhow!("no key"))?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_unspecified| anyhow!("no key"))?;
        let for_certificate = rcgen::KeyPair::try_from(der.as_ref())?;
        let mut params = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()])?;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        std::fs::write(certificate, params.self_signed(&for_certificate)?.pem())?;
        Ok(Self {
            key: Arc::new(key),
            clock,
        })
    }

    /// Requests that tell of the delivery of each of these notifications, in signature version 2.
    pub(crate) async fn deliveries(&self, ids: &[NotificationId]) -> anyhow::Result<Vec<Vec<u8>>> {
        let share = ids
            .len()
            .div_ceil(std::thread::available_parallelism()?.get());
        let mut workers = Vec::new();
        for part in ids.chunks(share.max(1)) {
            let (signer, part) = (self.clone(), part.to_vec());
            workers.push(tokio::task::spawn_blocking(move || {
                part.into_iter()
                    .map(|id| signer.delivery(id))
                    .collect::<anyhow::Result<Vec<_>>>()
            }));
        }
        let mut requests = Vec::with_capacity(ids.len());
        for worker in workers {
            requests.append(&mut worker.await??);
        }
        Ok(requests)
    }

    fn delivery(&self, id: NotificationId) -> anyhow::Result<Vec<u8>> {
        let now = self.clock.now();
        let (message_id, timestamp) = (self.clock.new_uuid(now).to_string(), now.to_string());
        let message = delivery_event(id, &timestamp).to_string();
        let to_sign = format!(
            "Message\n{message}\nMessageId\n{message_id}\nTimestamp\n{timestamp}\n\
             TopicArn\n{TOPIC}\nType\nNotification\n"
        );
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                to_sign.as_bytes(),
                &mut signature,
            )
            .map_err(|_unspecified| anyhow!("the key does not sign"))?;
        let unsubscribe = format!(
            "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={TOPIC}:1"
        );
        let body = json!({
            "Type": "Notification", "MessageId": message_id, "TopicArn": TOPIC,
            "Message": message, "Timestamp": timestamp, "SignatureVersion": "2",
            "Signature": STANDARD.encode(signature), "SigningCertURL": CERTIFICATE_URL,
            "UnsubscribeURL": unsubscribe,
        });
        let body = serde_json::to_vec(&body).context("a body cannot be written")?;
        Ok(http_load::post(
            "/webhooks/sns",
            "x-amz-sns-message-type: Notification\r\n",
            &body,
        ))
    }
}

/// What SES reports, with all that it reports (Amazon SES, "Examples of event data").
fn delivery_event(id: NotificationId, at: &str) -> Value {
    let message_id = ses_message_id(id);
    json!({
        "eventType": "Delivery",
        "mail": {
            "timestamp": at, "source": "no-reply@example.com",
            "sourceArn": "arn:aws:ses:us-east-1:000000000000:identity/example.com",
            "sendingAccountId": "000000000000", "messageId": message_id,
            "destination": ["client@example.com"], "headersTruncated": false,
            "headers": [
                {"name": "From", "value": "no-reply@example.com"},
                {"name": "To", "value": "client@example.com"},
                {"name": "Subject", "value": "See you on Monday"},
                {"name": "X-Sendtrail-Id", "value": id.to_string()},
                {"name": "MIME-Version", "value": "1.0"},
            ],
            "commonHeaders": {
                "from": ["no-reply@example.com"], "to": ["client@example.com"],
                "messageId": message_id, "subject": "See you on Monday",
            },
            "tags": {
                "ses:operation": ["SendEmail"], "ses:configuration-set": ["bench"],
                "ses:source-ip": ["192.0.2.10"], "ses:from-domain": ["example.com"],
                "ses:caller-identity": ["sendtrail"], "notification_id": [id.to_string()],
                "ses:outgoing-ip": ["192.0.2.25"],
            },
        },
        "delivery": {
            "timestamp": at, "processingTimeMillis": 1540, "recipients": ["client@example.com"],
            "smtpResponse": "250 2.0.0 OK", "remoteMtaIp": "192.0.2.26",
            "reportingMTA": "a8-70.smtp-out.amazonses.com",
        },
    })
}
