//! Which transports carry which method, as the settings say.

use anyhow::Context as _;

use crate::clock::Clock;
use crate::config::{EmailProvider, PushProvider, Settings, SmsProvider};
use crate::delivery::{Limits, Provider};
use crate::domain::method::Method;
use crate::sandbox::Sandbox;
use crate::transport::{Ses, Smtp, SnsPush, SnsSms, Transport};

/// The providers of each method that has one, in order of preference.
pub async fn transports(
    settings: &Settings,
    clock: &Clock,
) -> anyhow::Result<Vec<(Method, Vec<Provider>)>> {
    let mut methods = vec![(Method::Email, emails(settings, clock).await?)];
    let client = settings.sns.client().await;
    let texts = settings
        .sms
        .providers
        .iter()
        .map(|provider| match provider {
            SmsProvider::Sns => Provider {
                transport: Transport::SnsSms(SnsSms::new(&settings.sns, client.clone())),
                limits: Limits {
                    max_per_second: settings.sns.sms_max_per_second,
                    initial_per_second: settings.sns.sms_initial_per_second,
                },
            },
        });
    methods.push((Method::Sms, texts.collect()));
    let pushes = settings
        .push
        .providers
        .iter()
        .map(|provider| match provider {
            PushProvider::Sns => Provider {
                transport: Transport::SnsPush(SnsPush::new(client.clone())),
                limits: Limits {
                    max_per_second: settings.sns.push_max_per_second,
                    initial_per_second: settings.sns.push_initial_per_second,
                },
            },
        });
    methods.push((Method::Push, pushes.collect()));
    methods.retain(|(_, providers)| !providers.is_empty());
    Ok(methods)
}

async fn emails(settings: &Settings, clock: &Clock) -> anyhow::Result<Vec<Provider>> {
    let email = settings.email_settings();
    let mut providers = Vec::new();
    for provider in &settings.email.providers {
        providers.push(match provider {
            EmailProvider::Ses => {
                let ses = Ses::new(&settings.ses, &email, clock.clone())
                    .await
                    .context("cannot set up email by SES (section [ses])")?;
                Provider {
                    transport: Transport::Ses(ses),
                    limits: Limits {
                        max_per_second: settings.ses.max_per_second,
                        initial_per_second: settings.ses.initial_per_second,
                    },
                }
            }
            EmailProvider::Smtp => {
                let smtp = Smtp::new(&settings.smtp, &email, clock.clone())
                    .context("cannot set up email by SMTP (section [smtp])")?;
                Provider {
                    transport: Transport::Smtp(smtp),
                    limits: Limits {
                        max_per_second: settings.smtp.max_per_second,
                        initial_per_second: settings.smtp.initial_per_second,
                    },
                }
            }
        });
    }
    Ok(providers)
}

/// Credentials that only the sandbox takes.
const SANDBOX_KEY: &str = "sandbox";

/// Points every provider at the sandbox.
pub(super) fn point_at(settings: &mut Settings, sandbox: &Sandbox) {
    let key = || Some(SANDBOX_KEY.to_owned().into());
    settings.ses.endpoint_url = Some(sandbox.http_url());
    settings.ses.region = Some("us-east-1".to_owned());
    settings.ses.access_key_id = key();
    settings.ses.secret_access_key = key();
    settings.ses.configuration_set = Some("sandbox".to_owned());
    settings.ses.track_opens = true;
    settings.sns.endpoint_url = Some(sandbox.http_url());
    settings.sns.region = Some("us-east-1".to_owned());
    settings.sns.access_key_id = key();
    settings.sns.secret_access_key = key();
    settings.smtp.url = Some(sandbox.smtp_url().into());
    settings.smtp.message_tags = true;
}
