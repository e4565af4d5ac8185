//! Which transports carry which method, as the settings say.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::config::{EmailProvider, PushProvider, Settings, SmsProvider};
use crate::delivery::{Limits, Provider};
use crate::domain::bounce_address::BounceTokens;
use crate::domain::method::Method;
use crate::sandbox::Sandbox;
use crate::transport::{Apns, ApnsSettings, Fcm, FcmSettings, Ses, Smtp, SnsPush, SnsSms};
use crate::transport::{Transport, Twilio, TwilioSettings};

/// Stories of the sandbox refuse their own message, whatever the rate. Slowed down for each of them, all
/// the others would wait.
const SANDBOX_RATE_MIN: f64 = 50.0;

/// The providers of each method that has one, in order of preference. `bounces` make the envelope senders of
/// SMTP; who sends nothing needs none.
pub async fn transports(
    settings: &Settings,
    clock: &Clock,
    bounces: Option<&BounceTokens>,
) -> anyhow::Result<Vec<(Method, Vec<Provider>)>> {
    let mut methods = [Method::Email, Method::Sms, Method::Push].map(|m| (m, Vec::new()));
    let [(_, emails), (_, texts), (_, pushes)] = &mut methods;
    for provider in &settings.email.providers {
        emails.push(email(settings, *provider, clock, bounces).await?);
    }
    let client = settings.sns.client().await;
    for provider in &settings.sms.providers {
        texts.push(match provider {
            SmsProvider::Sns => Provider {
                transport: Transport::SnsSms(SnsSms::new(&settings.sns, client.clone())),
                limits: limits(
                    settings.sns.sms_max_per_second,
                    settings.sns.sms_initial_per_second,
                ),
            },
            SmsProvider::Twilio => twilio(settings, clock)?,
        });
    }
    for provider in &settings.push.providers {
        pushes.push(match provider {
            PushProvider::Sns => Provider {
                transport: Transport::SnsPush(SnsPush::new(client.clone())),
                limits: limits(
                    settings.sns.push_max_per_second,
                    settings.sns.push_initial_per_second,
                ),
            },
            PushProvider::Fcm => fcm(settings, clock)?,
            PushProvider::Apns => apns(settings, clock)?,
        });
    }
    if settings.sandbox.enabled {
        for provider in methods.iter_mut().flat_map(|(_, providers)| providers) {
            provider.limits.min_per_second = Some(SANDBOX_RATE_MIN);
        }
    }
    let with_providers = methods.into_iter();
    Ok(with_providers.filter(|(_, p)| !p.is_empty()).collect())
}

async fn email(
    settings: &Settings,
    provider: EmailProvider,
    clock: &Clock,
    bounces: Option<&BounceTokens>,
) -> anyhow::Result<Provider> {
    let email = settings.email_settings();
    Ok(match provider {
        EmailProvider::Ses => Provider {
            transport: Transport::Ses(
                Ses::new(&settings.ses, &email, clock.clone())
                    .await
                    .context("cannot set up email by SES (section [ses])")?,
            ),
            limits: limits(settings.ses.max_per_second, settings.ses.initial_per_second),
        },
        EmailProvider::Smtp => Provider {
            transport: Transport::Smtp(
                Smtp::new(&settings.smtp, &email, clock.clone())
                    .context("cannot set up email by SMTP (section [smtp])")?
                    .with_bounces_by(bounces.cloned()),
            ),
            limits: limits(
                settings.smtp.max_per_second,
                settings.smtp.initial_per_second,
            ),
        },
    })
}

fn twilio(settings: &Settings, clock: &Clock) -> anyhow::Result<Provider> {
    let twilio = Twilio::new(&settings.twilio, clock.clone())
        .context("cannot set up SMS by Twilio (section [twilio])")?;
    Ok(Provider {
        transport: Transport::Twilio(twilio),
        limits: limits(
            settings.twilio.max_per_second,
            settings.twilio.initial_per_second,
        ),
    })
}

fn fcm(settings: &Settings, clock: &Clock) -> anyhow::Result<Provider> {
    let fcm = Fcm::new(&settings.fcm, clock.clone())
        .context("cannot set up push by FCM (section [fcm])")?;
    Ok(Provider {
        transport: Transport::Fcm(fcm),
        limits: limits(settings.fcm.max_per_second, settings.fcm.initial_per_second),
    })
}

fn apns(settings: &Settings, clock: &Clock) -> anyhow::Result<Provider> {
    let apns = Apns::new(&settings.apns, clock.clone())
        .context("cannot set up push by APNs (section [apns])")?;
    Ok(Provider {
        transport: Transport::Apns(apns),
        limits: limits(
            settings.apns.max_per_second,
            settings.apns.initial_per_second,
        ),
    })
}

fn limits(max_per_second: Option<f64>, initial_per_second: Option<f64>) -> Limits {
    Limits {
        max_per_second,
        initial_per_second,
        ..Limits::default()
    }
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
        poll_after_seconds: settings.twilio.poll_after_seconds,
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
