//! What is wrong with the sections of the providers: of those that are chosen.

use std::collections::BTreeSet;

use super::{EmailProvider, PushProvider, Settings, SmsProvider};
use crate::domain::method::Method;
use crate::transport::Problem;

pub(super) fn wrong(settings: &Settings) -> Vec<String> {
    let mut sections = vec![("email", settings.email_settings().validate())];
    if settings.email.providers.contains(&EmailProvider::Ses) {
        sections.push(("ses", settings.ses.validate()));
    }
    sections.push(("sns", settings.sns.validate()));
    // The sandbox gives the others what they need to reach it.
    if !settings.sandbox.enabled {
        sections.extend(of_ones_own(settings));
    }
    let mut wrong = named_twice(settings);
    let named = |(section, problems): (&'static str, Vec<Problem>)| {
        let problems = problems.into_iter();
        problems.map(move |problem| format!("{section}.{problem}"))
    };
    wrong.extend(sections.into_iter().flat_map(named));
    wrong
}

impl Settings {
    /// What a provider lacks that is chosen, though it can send.
    pub(super) fn missing_of_providers(&self) -> Vec<String> {
        if self.sandbox.enabled {
            return Vec::new();
        }
        let mut missing = Vec::new();
        if self.sms.providers.contains(&SmsProvider::Twilio) {
            let of_twilio = self.twilio.warnings().into_iter();
            missing.extend(of_twilio.map(|problem| format!("twilio.{problem}")));
        }
        missing.extend(self.missing_for_bounces());
        missing
    }

    /// SES reports what it sends by SMTP as it does the rest; other servers send bounces by mail.
    fn missing_for_bounces(&self) -> Option<String> {
        let by_smtp = self.email.providers.contains(&EmailProvider::Smtp);
        let has_address = self.smtp.bounce_address.is_some();
        if by_smtp && !has_address && !self.smtp.message_tags {
            return Some(
                "smtp.bounce_address is not set, so bounces go to the sender's mailbox and are not \
                 recorded: see docs/bounces.md"
                    .to_owned(),
            );
        }
        let unsigned = self.bounces.accept_unsigned;
        let in_vain = self.bounces.listen.is_some() && !(by_smtp && has_address) && !unsigned;
        in_vain.then(|| {
            "bounces.listen is set, but no message is sent with an address that its bounces could come \
             to: set smtp.bounce_address, with smtp among email.providers"
                .to_owned()
        })
    }

    /// The topics that are to have a subscription to our webhook. The sandbox's needs none, and topics
    /// that report to queues need none to us.
    pub fn subscribed_topics(&self) -> &[String] {
        if self.sandbox.enabled || !self.feedback.sqs.queues.is_empty() {
            &[]
        } else {
            &self.feedback.sns.topics
        }
    }

    /// The providers of each method in order of preference, by their names.
    pub fn provider_names(&self) -> [(Method, Vec<&'static str>); 3] {
        let email = self.email.providers.iter().map(|p| p.as_str()).collect();
        let sms = self.sms.providers.iter().map(|p| p.as_str()).collect();
        let push = self.push.providers.iter().map(|p| p.as_str()).collect();
        [
            (Method::Email, email),
            (Method::Sms, sms),
            (Method::Push, push),
        ]
    }
}

fn named_twice(settings: &Settings) -> Vec<String> {
    let mut wrong = Vec::new();
    for (method, names) in settings.provider_names() {
        let mut seen = BTreeSet::new();
        let twice = names.into_iter().find(|name| !seen.insert(*name));
        wrong.extend(twice.map(|name| format!("{method}.providers names {name} twice")));
    }
    wrong
}

/// What cannot be used without settings of one's own.
fn of_ones_own(settings: &Settings) -> Vec<(&'static str, Vec<Problem>)> {
    let mut sections = Vec::new();
    if settings.email.providers.contains(&EmailProvider::Smtp) {
        sections.push(("smtp", settings.smtp.validate()));
    }
    if settings.sms.providers.contains(&SmsProvider::Twilio) {
        sections.push(("twilio", settings.twilio.validate()));
    }
    if settings.push.providers.contains(&PushProvider::Fcm) {
        sections.push(("fcm", settings.fcm.validate()));
    }
    if settings.push.providers.contains(&PushProvider::Apns) {
        sections.push(("apns", settings.apns.validate()));
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::load;

    #[test]
    fn a_section_is_checked_where_its_provider_is_chosen() {
        let wrong = ("SENDTRAIL__TWILIO__ACCOUNT_SID", "x");
        assert!(load(&[wrong]).is_ok());
        let chosen = ("SENDTRAIL__SMS__PROVIDERS", "sns,twilio");
        let error = load(&[wrong, chosen]).unwrap_err().to_string();
        assert!(error.contains("twilio.account_sid"), "{error}");
        let both = ("SENDTRAIL__PUSH__PROVIDERS", "fcm, apns");
        let error = load(&[both]).unwrap_err().to_string();
        assert!(error.contains("fcm.") && error.contains("apns."), "{error}");
        let sandbox = ("SENDTRAIL__SANDBOX__ENABLED", "true");
        let settings = load(&[chosen, both, sandbox]).unwrap();
        assert_eq!(
            settings.push.providers,
            [PushProvider::Fcm, PushProvider::Apns]
        );
    }

    #[test]
    fn it_is_said_when_bounces_by_mail_would_be_lost_or_awaited_in_vain() {
        let smtp = [
            ("SENDTRAIL__EMAIL__PROVIDERS", "smtp"),
            ("SENDTRAIL__SMTP__URL", "smtp://127.0.0.1:25"),
        ];
        let address = ("SENDTRAIL__SMTP__BOUNCE_ADDRESS", "bounces@example.com");
        let listen = ("SENDTRAIL__BOUNCES__LISTEN", "127.0.0.1:2424");
        let warnings = |variables: &[(&str, &str)]| load(variables).unwrap().warnings().join("\n");
        let without = warnings(&smtp);
        assert!(
            without.contains("smtp.bounce_address is not set"),
            "{without}"
        );
        let in_vain = warnings(&[listen]);
        assert!(in_vain.contains("bounces.listen is set"), "{in_vain}");
        let tags = ("SENDTRAIL__SMTP__MESSAGE_TAGS", "true");
        let unsigned = ("SENDTRAIL__BOUNCES__ACCEPT_UNSIGNED", "true");
        for well in [
            &[smtp[0], smtp[1], address, listen][..],
            &[smtp[0], smtp[1], tags],
            &[listen, unsigned],
        ] {
            let found = warnings(well);
            assert!(!found.contains("bounce"), "{found}");
        }
    }

    #[test]
    fn wrong_settings_of_bounces_are_named_with_what_to_write() {
        let error = load(&[
            ("SENDTRAIL__ENVIRONMENT", "production"),
            ("SENDTRAIL__EMAIL__PROVIDERS", "smtp"),
            ("SENDTRAIL__SMTP__URL", "smtp://127.0.0.1:25"),
            ("SENDTRAIL__SMTP__BOUNCE_ADDRESS", "bounces+x@example.com"),
            ("SENDTRAIL__BOUNCES__LISTEN", "0.0.0.0:25"),
            ("SENDTRAIL__BOUNCES__ACCEPT_UNSIGNED", "true"),
        ]);
        let error = error.unwrap_err().to_string();
        for words in [
            "smtp.bounce_address has a + before the @",
            "bounces.listen may not have the port 25",
            "bounces.accept_unsigned must be false in production",
        ] {
            assert!(error.contains(words), "{words} in {error}");
        }
    }

    #[test]
    fn it_is_said_when_nothing_that_twilio_reports_can_be_taken() {
        let twilio = [
            ("SENDTRAIL__SMS__PROVIDERS", "twilio"),
            (
                "SENDTRAIL__TWILIO__ACCOUNT_SID",
                "AC00000000000000000000000000000000",
            ),
            (
                "SENDTRAIL__TWILIO__API_KEY_SID",
                "SK00000000000000000000000000000000",
            ),
            ("SENDTRAIL__TWILIO__API_KEY_SECRET", "secret"),
            ("SENDTRAIL__TWILIO__FROM", "+14155550123"),
        ];
        let warnings = load(&twilio).unwrap().warnings().join("\n");
        for words in [
            "twilio.status_callback_url is not set",
            "twilio.auth_token is not set",
        ] {
            assert!(warnings.contains(words), "{words} in {warnings}");
        }
        let mut set_up = twilio.to_vec();
        set_up.push(("SENDTRAIL__TWILIO__AUTH_TOKEN", "token"));
        set_up.push((
            "SENDTRAIL__TWILIO__STATUS_CALLBACK_URL",
            "https://notify.example.com/webhooks/twilio",
        ));
        let warnings = load(&set_up).unwrap().warnings().join("\n");
        assert!(!warnings.contains("twilio"), "{warnings}");
        set_up.push(("SENDTRAIL__TWILIO__POLL_AFTER_SECONDS", "90000"));
        let error = load(&set_up).unwrap_err().to_string();
        assert!(error.contains("twilio.poll_after_seconds"), "{error}");
    }
}
