//! Amazon SNS: is this message from SNS, of a topic of ours, and of this hour?

mod certificate;
mod certificates;
mod envelope;
mod refusal;
mod region;
mod signature;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;

pub use certificate::NotACertificate;
pub use certificates::{Certificates, NoClient};
pub use envelope::{BODY_MAX, Envelope, Handshake, Kind, TopicArn};
pub use refusal::{Class, Refusal, Stage};

use crate::domain::time::Timestamp;
use region::Site;

/// The section `feedback.sns` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnsSettings {
    /// ARNs of the topics that may report. Anyone with an AWS account can have SNS sign messages of
    /// a topic of their own and send them here, so an empty list lets nobody in.
    pub topics: Vec<String>,
    /// Topics sign with version 1 (SHA-1) until their attribute `SignatureVersion` is set to 2.
    pub accept_signature_v1: bool,
    /// Older messages are refused. SNS repeats a message for 3600 s at most, whatever its delivery
    /// policy; queueing for a limited rate comes on top, so a limit of as much would refuse the last
    /// try. What makes replay harmless is that the store keeps a `MessageId` once only.
    pub max_age_seconds: u64,
    /// How far this machine's clock may be behind that of SNS.
    pub future_skew_seconds: u64,
}

impl Default for SnsSettings {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            accept_signature_v1: true,
            max_age_seconds: 7200,
            future_skew_seconds: 900,
        }
    }
}

/// Judges messages. Shared by all requests.
#[derive(Debug)]
pub struct Verifier {
    settings: SnsSettings,
    certificates: Certificates,
}

/// How old a message may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Limited,
    Any,
}

/// What each check of a message said, for people.
#[derive(Clone, Debug)]
pub struct Findings {
    /// In the order in which the checks are made; always all of them.
    pub steps: Vec<Step>,
    pub verdict: Result<Envelope, Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub stage: Stage,
    pub result: StepResult,
    pub explanation: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    Passed,
    Failed,
    NotReached,
}

impl SnsSettings {
    /// What is wrong: topics that no message could ever match, so that all of them would be dropped.
    pub fn validate(&self) -> Vec<String> {
        let topics = self.topics.iter();
        let wrong = topics.filter(|topic| {
            let arn = TopicArn::parse(topic);
            arn.is_none_or(|arn| region::site(arn.partition(), arn.region()).is_none())
        });
        wrong
            .map(|topic| {
                format!(
                    "topics: {topic:?} is not the ARN of a topic in a known region; write it like \
                     arn:aws:sns:us-east-1:123456789012:ses-feedback"
                )
            })
            .collect()
    }
}

impl Verifier {
    pub const fn new(settings: SnsSettings, certificates: Certificates) -> Self {
        Self {
            settings,
            certificates,
        }
    }

    /// Accepts or refuses the body of a request. `raw_delivery`: the request had the header
    /// `x-amz-sns-rawdelivery`. What costs nothing is checked before what costs a fetch.
    pub async fn judge(
        &self,
        body: &[u8],
        raw_delivery: bool,
        now: Timestamp,
    ) -> Result<Envelope, Refusal> {
        if raw_delivery && body.len() <= BODY_MAX {
            return Err(Refusal::RawDelivery);
        }
        self.judge_of_age(body, now, Age::Limited).await
    }

    /// The same for a message out of a queue, where it may have waited for days.
    pub async fn judge_queued(&self, body: &[u8], now: Timestamp) -> Result<Envelope, Refusal> {
        self.judge_of_age(body, now, Age::Any).await
    }

    async fn judge_of_age(
        &self,
        body: &[u8],
        now: Timestamp,
        age: Age,
    ) -> Result<Envelope, Refusal> {
        let envelope = Envelope::parse(body)?;
        signature::check_version(&envelope, self.settings.accept_signature_v1)?;
        self.check_topic(&envelope.topic)?;
        let site = region::site(envelope.topic.partition(), envelope.topic.region())
            .ok_or_else(|| Refusal::UnknownRegion(envelope.topic.clone()))?;
        // Who signs with a key of its own is not at the addresses of SNS either.
        if self
            .certificates
            .trusted(&envelope.signing_cert_url)
            .is_none()
        {
            check_subscribe_address(&envelope, &site)?;
        }
        let certificate = self
            .certificate(&envelope.signing_cert_url, &site, now)
            .await
            .map_err(|refusal| match age {
                Age::Limited => self.finally(refusal, &envelope, now),
                Age::Any => refusal,
            })?;
        certificate.keys()?;
        certificate.valid_at(now)?;
        signature::verify(&envelope, &certificate)?;
        if age == Age::Limited {
            self.check_age(envelope.sent_at, now)?;
        }
        Ok(envelope)
    }

    /// The same judgement, explained check by check.
    pub async fn check(&self, body: &[u8], now: Timestamp) -> Findings {
        let verdict = self.judge(body, false, now).await;
        let failed = verdict.as_ref().err().map(Refusal::stage);
        let steps = Stage::ALL
            .into_iter()
            .map(|stage| {
                let (result, explanation) = match (failed, &verdict) {
                    (Some(failed), _) if stage > failed => {
                        (StepResult::NotReached, "not looked at".to_owned())
                    }
                    (Some(failed), Err(refusal)) if stage == failed => {
                        (StepResult::Failed, refusal.to_string())
                    }
                    (Some(_) | None, Ok(_) | Err(_)) => {
                        (StepResult::Passed, stage.passed().to_owned())
                    }
                };
                Step {
                    stage,
                    result,
                    explanation,
                }
            })
            .collect();
        Findings { steps, verdict }
    }

    /// Whether certificates of the topic's region can be fetched.
    pub async fn reaches(&self, topic: &TopicArn) -> bool {
        match region::site(topic.partition(), topic.region()) {
            Some(site) => self.certificates.reaches(&site.host).await,
            None => false,
        }
    }

    fn check_topic(&self, topic: &TopicArn) -> Result<(), Refusal> {
        let topics = &self.settings.topics;
        if topics.is_empty() {
            Err(Refusal::NoTopics)
        } else if topics.iter().any(|allowed| allowed == topic.as_str()) {
            Ok(())
        } else {
            Err(Refusal::ForeignTopic(topic.clone()))
        }
    }

    async fn certificate(
        &self,
        url: &str,
        site: &Site,
        now: Timestamp,
    ) -> Result<std::sync::Arc<certificate::Certificate>, Refusal> {
        if let Some(trusted) = self.certificates.trusted(url) {
            return Ok(trusted);
        }
        if !certificate::is_at(site, url) {
            return Err(Refusal::CertificateAddress {
                host: site.host.clone(),
            });
        }
        let certificate = self.certificates.get(url, now).await?;
        certificate.bears(&site.certificate_name)?;
        Ok(certificate)
    }

    /// A certificate that cannot be had is a reason to send the message again, unless that is no use.
    fn finally(&self, refusal: Refusal, envelope: &Envelope, now: Timestamp) -> Refusal {
        if let Refusal::CertificateUnavailable { .. } = &refusal
            && let Err(Refusal::Stale { sent_at, max_age }) = self.check_age(envelope.sent_at, now)
        {
            return Refusal::StaleAndUnproven { sent_at, max_age };
        }
        refusal
    }

    fn check_age(&self, sent_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let max_age = Duration::from_secs(self.settings.max_age_seconds);
        let skew = Duration::from_secs(self.settings.future_skew_seconds);
        if now.since(sent_at) > max_age {
            Err(Refusal::Stale { sent_at, max_age })
        } else if sent_at.since(now) > skew {
            Err(Refusal::FromTheFuture { sent_at })
        } else {
            Ok(())
        }
    }
}

/// The address in a confirmation is never visited. That it agrees with the message's own topic and
/// token shows that the message is what SNS makes and not a genuine one put to another use.
fn check_subscribe_address(envelope: &Envelope, site: &Site) -> Result<(), Refusal> {
    let handshake = match &envelope.kind {
        Kind::Notification { .. } => return Ok(()),
        Kind::SubscriptionConfirmation(handshake) | Kind::UnsubscribeConfirmation(handshake) => {
            handshake
        }
    };
    let expected = format!(
        "https://{}/?Action=ConfirmSubscription&TopicArn={}&Token={}",
        site.host, envelope.topic, handshake.token
    );
    if handshake.subscribe_url == expected {
        Ok(())
    } else {
        Err(Refusal::SubscribeAddress)
    }
}

/// The bytes of a file under `tests/fixtures/sns`.
#[cfg(test)]
fn fixture(path: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/sns/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}
