//! `sendtrail doctor`: checks what the program depends on, and says how to mend what is wrong.

use std::process::ExitCode;

use serde_json::json;

use super::{doctor_aws, doctor_database, is_there, open, say};
use crate::app;
use crate::clock::Clock;
use crate::config::{EmailProvider, Environment, PushProvider, Settings, SmsProvider};
use crate::delivery::Provider;
use crate::domain::alarm::Kind;
use crate::feedback::sns::{Certificates, TopicArn, Verifier};
use crate::feedback::subscriptions::look;
use crate::intake;
use crate::store::Store;
use crate::store::webhooks::Endpoint;

#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// One JSON object a line: `{"state": "ok|trouble|unseen|warning", "what": …, "detail": …}`.
    #[arg(long)]
    json: bool,
}

/// One check: what was looked at, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) what: String,
    pub(super) trouble: Option<String>,
    /// Why it could not be looked at.
    pub(super) unseen: Option<String>,
}

/// The machine's, as SES and the database see it.
pub(super) const CLOCK: &str = "clock";

pub(super) async fn run(settings: &Settings, command: Doctor) -> anyhow::Result<ExitCode> {
    let mut findings = vec![Finding::new("settings", None)];
    let store = match is_there(settings) {
        Ok(()) => open(settings).await,
        Err(missing) => Err(missing),
    };
    findings.push(database(&store).await);
    let store = store.ok();
    findings.extend(webhooks(store.as_ref()).await);
    findings.extend(tracking(settings, store.as_ref()).await);
    findings.push(topics(settings));
    findings.extend(subscriptions(settings).await);
    findings.extend(alarms(store.as_ref()).await);
    findings.extend(providers(settings).await);
    findings.extend(queues(settings).await);
    findings.extend(sign_on(settings).await);
    findings.extend(doctor_database::condition(store.as_ref()).await);
    let mut ses = doctor_aws::ses(settings, store.as_ref()).await;
    // SES has told the time, or another must.
    if !ses
        .iter()
        .any(|look| look.what == CLOCK && look.unseen.is_none())
        && let Some(clock) = doctor_database::clock(store.as_ref()).await
    {
        ses.retain(|look| look.what != CLOCK);
        ses.push(clock);
    }
    findings.extend(ses);
    let troubles = findings
        .iter()
        .filter(|finding| finding.trouble.is_some())
        .count();
    for finding in &findings {
        finding.show(command.json);
    }
    for warning in settings.warnings() {
        if command.json {
            say(json!({"state": "warning", "detail": warning}));
        } else {
            say(format_args!("warning  {warning}"));
        }
    }
    Ok(if troubles == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Finding {
    pub(super) fn new(what: impl Into<String>, trouble: Option<String>) -> Self {
        Self {
            what: what.into(),
            trouble,
            unseen: None,
        }
    }

    /// `ok`, `trouble`, or `unseen`: it could not be looked at.
    fn show(&self, as_json: bool) {
        let Self {
            what,
            trouble,
            unseen,
        } = self;
        let (state, detail) = match (trouble, unseen) {
            (Some(trouble), _) => ("trouble", Some(trouble)),
            (None, Some(unseen)) => ("unseen", Some(unseen)),
            (None, None) => ("ok", None),
        };
        if as_json {
            return say(json!({"state": state, "what": what, "detail": detail}));
        }
        let state = if trouble.is_some() { "TROUBLE" } else { state };
        match detail {
            None => say(format_args!("{state:8} {what}")),
            Some(detail) => say(format_args!("{state:8} {what}: {detail}")),
        }
    }
}

async fn database(store: &anyhow::Result<Store>) -> Finding {
    let trouble = match store {
        Ok(store) => store
            .ready()
            .await
            .err()
            .map(|error| format!("{:#}", anyhow::Error::from(error))),
        Err(error) => Some(format!("{error:#}")),
    };
    Finding::new("database", trouble)
}

/// Endpoints to which nothing is sent any more.
async fn webhooks(store: Option<&Store>) -> Vec<Finding> {
    // That there is no database is named already.
    let Some(store) = store else {
        return Vec::new();
    };
    let disabled = store.disabled_webhooks().await;
    let finding = |endpoint: Endpoint| {
        let (id, business) = (endpoint.id, &endpoint.business);
        let why = endpoint.last_error.unwrap_or_default();
        Finding::new(
            format!("webhook {id} of {business}"),
            Some(format!(
                "it is switched off, because it took nothing for days ({why}): mend it, then run \
                 `sendtrail webhooks enable {id} --business {business}`, and `replay` what it missed"
            )),
        )
    };
    disabled
        .unwrap_or_default()
        .into_iter()
        .map(finding)
        .collect()
}

/// What businesses asked to learn, and cannot.
async fn tracking(settings: &Settings, store: Option<&Store>) -> Option<Finding> {
    let wanted = store?.is_tracking_wanted().await.unwrap_or_default();
    wanted.then(|| {
        Finding::new(
            "tracking of opens and clicks",
            settings.tracking_trouble().map(str::to_owned),
        )
    })
}

fn topics(settings: &Settings) -> Finding {
    let feedback = &settings.feedback;
    let is_silent = feedback.sns.topics.is_empty() && feedback.sqs.queues.is_empty();
    let by_aws = settings.email.providers.contains(&EmailProvider::Ses)
        || settings.smtp.message_tags
        || settings.sms.providers.contains(&SmsProvider::Sns)
        || settings.push.providers.contains(&PushProvider::Sns);
    let silent = is_silent && by_aws && !settings.sandbox.enabled;
    let trouble = silent.then(|| {
        "no topic may report, so every bounce and open will be refused: set feedback.sns.topics \
         to the ARN of the SNS topic of your SES configuration set"
            .to_owned()
    });
    Finding::new("feedback topics", trouble)
}

/// Whether each topic has our webhook among its subscriptions, and its certificate can be had.
async fn subscriptions(settings: &Settings) -> Vec<Finding> {
    let (topics, mut findings) = (settings.subscribed_topics(), Vec::new());
    if topics.is_empty() {
        return findings;
    }
    let client = settings.sns.client().await;
    let sns = &settings.feedback.sns;
    let verifier = Certificates::over_https().map(|https| Verifier::new(sns.clone(), https));
    for topic in topics.iter().filter_map(|topic| TopicArn::parse(topic)) {
        let trouble = match look(&client, &topic).await {
            Ok(found) => found.trouble().map(said),
            Err(why) => Some(why),
        };
        findings.push(Finding::new(
            format!("subscription of {}", topic.as_str()),
            trouble,
        ));
        let reached = match &verifier {
            Ok(verifier) => verifier.reaches(&topic).await,
            Err(_no_client) => false,
        };
        findings.push(Finding::new(
            format!("certificate of {}", topic.as_str()),
            (!reached).then(|| said(Kind::CertificateUnavailable)),
        ));
    }
    findings
}

/// What the running program noticed.
async fn alarms(store: Option<&Store>) -> Vec<Finding> {
    let Some(store) = store else {
        return Vec::new();
    };
    let alarms = store.alarms().await.unwrap_or_default();
    let found = alarms
        .into_iter()
        .filter(|alarm| alarm.kind == Kind::FeedbackSilent);
    let findings = found.map(|alarm| {
        Finding::new(
            format!("feedback of {}", alarm.subject),
            Some(format!("{} Since {}.", said(alarm.kind), alarm.since)),
        )
    });
    findings.collect()
}

fn said(kind: Kind) -> String {
    format!("{} {}", kind.sentence(), kind.remedy())
}

async fn queues(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (what, sqs) in [
        ("intake", &settings.intake.sqs),
        ("feedback", &settings.feedback.sqs),
    ] {
        if sqs.queues.is_empty() {
            continue;
        }
        let client = sqs.client().await;
        for queue in sqs.queues() {
            let found = intake::check(&client, &queue).await;
            findings.push(Finding::new(
                format!("{what} by sqs: {}", queue.name()),
                found.err(),
            ));
        }
    }
    findings
}

async fn providers(settings: &Settings) -> Vec<Finding> {
    if settings.sandbox.enabled && settings.environment == Environment::Development {
        let what = "providers: the sandbox stands in for all of them".to_owned();
        return vec![Finding::new(what, None)];
    }
    let transports = match app::transports(settings, &Clock::system(), None).await {
        Ok(transports) => transports,
        Err(error) => {
            let trouble = Some(format!("{error:#}"));
            return vec![Finding::new("providers", trouble)];
        }
    };
    let mut findings = Vec::new();
    let transports = transports.into_iter().flat_map(|(method, providers)| {
        let with_method = move |provider: Provider| (method, provider.transport);
        providers.into_iter().map(with_method)
    });
    for (method, transport) in transports {
        let trouble = transport.check().await.err().map(|why| match why.code {
            Some(code) => format!("{code}: {}", why.text),
            None => why.text,
        });
        findings.push(Finding::new(
            format!("{method} by {}", transport.name()),
            trouble,
        ));
    }
    findings
}

/// Whether the provider of single sign-on answers.
async fn sign_on(settings: &Settings) -> Option<Finding> {
    let provider = app::sign_on_provider(settings, &Clock::system(), settings.http.listen);
    let trouble = match provider {
        Ok(None) => return None,
        Ok(Some(provider)) => provider.look().await.err().map(|why| why.to_string()),
        Err(why) => Some(format!("{why:#}")),
    };
    Some(Finding::new("single sign-on", trouble))
}
