//! Which transport carries which method, as the settings say.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::config::{EmailProvider, PushProvider, Settings, SmsProvider};
use crate::domain::method::Method;
use crate::sandbox::Sandbox;
use crate::transport::{Apns, ApnsSettings, Fcm, FcmSettings, Ses, Smtp, SnsPush, SnsSms};
use crate::transport::{Transport, Twilio, TwilioSettings};

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
    match settings.sms.providers.first() {
        Some(SmsProvider::Sns) => {
            let sms = SnsSms::new(&settings.sns, client.clone());
            transports.push((Method::Sms, Transport::SnsSms(sms)));
        }
        Some(SmsProvider::Twilio) => {
            let twilio = Twilio::new(&settings.twilio, clock.clone())
                .context("cannot set up SMS by Twilio (section [twilio])")?;
            transports.push((Method::Sms, Transport::Twilio(twilio)));
        }
        None => {}
    }
    match settings.push.providers.first() {
        Some(PushProvider::Sns) => {
            transports.push((Method::Push, Transport::SnsPush(SnsPush::new(client))));
        }
        Some(PushProvider::Fcm) => {
            let fcm = Fcm::new(&settings.fcm, clock.clone())
                .context("cannot set up push by FCM (section [fcm])")?;
            transports.push((Method::Push, Transport::Fcm(fcm)));
        }
        Some(PushProvider::Apns) => {
            let apns = Apns::new(&settings.apns, clock.clone())
                .context("cannot set up push by APNs (section [apns])")?;
            transports.push((Method::Push, Transport::Apns(apns)));
        }
        None => {}
    }
    Ok(transports)
}

/// Credentials that only the sandbox takes.
const SANDBOX_KEY: &str = "sandbox";

/// Points every provider at the sandbox; `address` is our own.
pub(super) fn point_at(settings: &mut Settings, sandbox: &Sandbox, address: SocketAddr) {
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
    let credentials = sandbox.credentials();
    settings.twilio = TwilioSettings {
        endpoint_url: Some(sandbox.http_url()),
        account_sid: Some(credentials.twilio_account_sid),
        auth_token: Some(credentials.twilio_auth_token),
        from: Some(credentials.twilio_from),
        status_callback_url: Some(format!("http://{address}/webhooks/twilio")),
        ..TwilioSettings::default()
    };
    settings.fcm = FcmSettings {
        endpoint_url: Some(sandbox.http_url()),
        service_account: Some(credentials.google_service_account),
        ..FcmSettings::default()
    };
    settings.apns = ApnsSettings {
        endpoint_url: Some(sandbox.http_url()),
        key: Some(credentials.apple_key),
        key_id: Some(credentials.apple_key_id),
        team_id: Some(credentials.apple_team_id),
        topic: Some(credentials.apple_topic),
        ..ApnsSettings::default()
    };
}
