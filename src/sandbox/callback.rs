//! The status callbacks of Twilio: signed forms, posted to the address that came with the message.
//! <https://www.twilio.com/docs/usage/webhooks/webhooks-security>

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{StatusCode, Url};

use super::provider::Provider;

/// Before another try.
const PAUSE: Duration = Duration::from_millis(50);
/// Twilio's own limit of retries.
const RETRIES_MAX: u32 = 5;

/// Where a callback goes, and how often it is tried.
#[derive(Clone, Debug)]
pub(super) struct Callback {
    url: Url,
    retries: u32,
    after_trouble: bool,
}

impl Callback {
    /// Twilio would call anybody; the sandbox calls this machine and nobody else. The part after
    /// the hash is for Twilio itself: `rc` retries, after failures named by `rp`; one, and only
    /// when nobody listens, is the rule.
    /// <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>
    pub(super) fn to(url: &str) -> Option<Self> {
        let mut url = Url::parse(url).ok()?;
        let host = url.host_str()?.trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>();
        let is_here = host == "localhost"
            || address.is_ok_and(|ip| {
                // A server that listens everywhere may be named so.
                ip.is_loopback() || ip.is_unspecified()
            });
        if !is_here {
            return None;
        }
        let overrides = url.fragment().unwrap_or_default().to_owned();
        url.set_fragment(None);
        let of = |name: &str| {
            let pairs = overrides.split('&').filter_map(|pair| pair.split_once('='));
            pairs.clone().find(|(key, _)| *key == name).map(|(_, v)| v)
        };
        let retries = of("rc").and_then(|count| count.parse().ok()).unwrap_or(1);
        let policies = of("rp").unwrap_or("ct");
        Some(Self {
            url,
            retries: retries.min(RETRIES_MAX),
            after_trouble: policies.split(',').any(|it| matches!(it, "5xx" | "all")),
        })
    }

    /// Posts the form until it is taken or given up.
    pub(super) async fn post(&self, provider: &Provider, fields: &[(&str, &str)]) {
        let poster = &provider.poster;
        let signature = sign(provider.accounts.twilio_token(), self.url.as_str(), fields);
        let id = uuid::Uuid::new_v8(rand::random()).to_string();
        for attempt in 0..=self.retries {
            let call = poster.client().post(self.url.clone()).form(fields);
            let call = call
                .header("X-Twilio-Signature", &signature)
                .header("I-Twilio-Idempotency-Token", &id);
            let again = match call.send().await.map(|answer| answer.status()) {
                Ok(status) if status.is_success() => return poster.count_posted(),
                Ok(status) => self.after_trouble && status >= StatusCode::INTERNAL_SERVER_ERROR,
                Err(error) => error.is_connect(),
            };
            if !again || attempt == self.retries {
                break;
            }
            poster.count_retried();
            tokio::time::sleep(PAUSE).await;
        }
        poster.count_dropped();
    }
}

/// HMAC-SHA1 over the address and every field, name and value, in the order of the names; what is
/// there twice counts once.
fn sign(token: &str, url: &str, fields: &[(&str, &str)]) -> String {
    let mut fields = fields.to_vec();
    fields.sort_unstable();
    fields.dedup();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(url.as_bytes());
    for (name, value) in fields {
        context.update(name.as_bytes());
        context.update(value.as_bytes());
    }
    STANDARD.encode(context.sign())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn fixture(file: &str) -> Value {
        let path = format!(
            "{}/tests/fixtures/twilio/{file}",
            env!("CARGO_MANIFEST_DIR")
        );
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn signature(token: &Value, case: &Value) -> String {
        let text = |value: &'_ Value| value.as_str().unwrap().to_owned();
        let fields: Vec<(String, String)> = case["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        sign(&text(token), &text(&case["url"]), &fields)
    }

    #[test]
    fn callbacks_are_signed_as_twilios_own_library_expects() {
        let known = fixture("signature_kat.json");
        let cases = known["cases"].as_array().unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            assert_eq!(
                signature(&known["token"], case),
                case["signature"],
                "{case}"
            );
        }
        for file in ["callback_delivered.json", "callback_undelivered_30007.json"] {
            let recorded = fixture(file);
            let expected = &recorded["headers"]["x-twilio-signature"];
            assert_eq!(&signature(&recorded["auth_token"], &recorded), expected);
        }
    }

    #[test]
    fn nobody_outside_this_machine_is_called() {
        for (url, is_called) in [
            ("http://127.0.0.1:8025/webhooks/twilio?a=b", true),
            ("http://localhost/x", true),
            ("http://[::1]/x", true),
            ("https://notify.example.com/webhooks/twilio", false),
            ("http://127.0.0.1.example.com/", false),
            ("mailto:x@localhost", false),
            ("x", false),
        ] {
            assert_eq!(Callback::to(url).is_some(), is_called, "{url}");
        }
    }

    #[test]
    fn the_end_of_an_address_says_how_often_it_is_tried() {
        for (url, retries, after_trouble) in [
            ("http://localhost/", 1, false),
            ("http://localhost/#rc=5&rp=ct,rt,5xx", 5, true),
            ("http://localhost/#rc=0", 0, false),
            ("http://localhost/#rp=all&rc=99", 5, true),
        ] {
            let callback = Callback::to(url).unwrap();
            assert_eq!(callback.url.as_str(), "http://localhost/");
            let found = (callback.retries, callback.after_trouble);
            assert_eq!(found, (retries, after_trouble), "{url}");
        }
    }
}
