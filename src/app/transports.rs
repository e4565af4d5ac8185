//! Which transport carries which method, as the settings say.

use anyhow::Context as _;

use crate::clock::Clock;
use crate::config::{EmailProvider, PushProvider, Settings, SmsProvider};
use crate::domain::method::Method;
use crate::sandbox::Sandbox;
use crate::transport::{Ses, Smtp, SnsPush, SnsSms, Transport};

/// The first provider of each method that has one.
pub async fn transports(
    settings: &Settings,
    clock: &Clock,
) -> anyhow::Result<Vec<(Method, Transport)>> {
    let mut transports = Vec::new();
    let email = settings.email_settings();
    match settings.email.providers.first() {
        Some(EmailProvider::Ses) => {
            let ses = Ses::new(&settings.ses, &email, clock.clone())
                .await
                .context("cannot set up email by SES (section [ses])")?;
            transports.push((Method::Email, Transport::Ses(ses)));
        }
        Some(EmailProvider::Smtp) => {
            let smtp = Smtp::new(&settings.smtp, &email, clock.clone())
                .context("cannot set up email by SMTP (section [smtp])")?;
            transports.push((Method::Email, Transport::Smtp(smtp)));
        }
        None => {}
    }
    let client = settings.sns.client().await;
    if let Some(SmsProvider::Sns) = settings.sms.providers.first() {
        let sms = SnsSms::new(&settings.sns, client.clone());
        transports.push((Method::Sms, Transport::SnsSms(sms)));
    }
    if let Some(PushProvider::Sns) = settings.push.providers.first() {
        transports.push((Method::Push, Transport::SnsPush(SnsPush::new(client))));
    }
    Ok(transports)
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
