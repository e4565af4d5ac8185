//! Feedback that is forged, foreign, malformed or repeated, at the running webhook.

use std::collections::BTreeMap;

use sendtrail::feedback::sns::BODY_MAX;
use serde_json::{Value, json};

use super::child::Variables;
use super::client::Client;
use super::program::Program;
use super::queue::{all_done, fill};
use super::signed::{TOPIC, envelope, fixture, open_of, trust};
use super::sink::Sink;
use crate::support::db::{TestDb, both};

both!(
    what_is_not_genuine_is_refused_counted_and_leaves_no_trace,
    what_leads_elsewhere_is_refused_before_anything_is_fetched,
    a_repeated_message_is_answered_well_and_applied_once,
    what_is_genuine_and_not_understood_is_kept,
);

/// Posts, and counts the refusals by their reasons.
struct Prober<'a> {
    client: &'a Client,
    refused: BTreeMap<&'static str, u32>,
}

impl<'a> Prober<'a> {
    fn new(client: &'a Client) -> Self {
        let refused = BTreeMap::new();
        Self { client, refused }
    }

    async fn expect(&mut self, case: &Case) {
        let answer = self.client.post_feedback(case.body.clone()).await;
        assert_eq!(answer.0, case.status, "{}: {}", case.what, answer.1);
        self.count(case.reason);
    }

    fn count(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// Every refusal is counted under its reason, and nothing was kept.
    async fn finish(self, db: &TestDb) {
        for (reason, count) in &self.refused {
            let series = format!("sendtrail_feedback_total{{kind=\"none\",result=\"{reason}\"}}");
            let counted = self.client.metric(&series).await;
            assert_eq!(counted, Some(f64::from(*count)), "{reason}");
        }
        for table in ["feedback_inbox", "unmatched_events", "delivery_events"] {
            assert_eq!(db.count(table).await, 0, "{table}");
        }
    }
}

fn json_of(path: &str) -> Value {
    serde_json::from_str(&fixture(path)).unwrap()
}

/// The messages that AWS signed: name, body, and its certificate's name.
fn known_answers() -> Vec<(String, String, String)> {
    let manifest = json_of("kat/manifest.json");
    let entries = manifest.as_array().unwrap().iter();
    let name = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries
        .map(|entry| {
            let message = name(entry, "message");
            let body = fixture(&format!("kat/{message}"));
            (message, body, name(entry, "cert"))
        })
        .collect()
}

fn field(body: &str, name: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    body[name].as_str().unwrap().to_owned()
}

/// What is posted, the status of the answer, and the reason under which it is counted.
struct Case {
    what: String,
    body: String,
    status: u16,
    reason: &'static str,
}

fn case(what: &str, body: impl Into<String>, status: u16, reason: &'static str) -> Case {
    let (what, body) = (what.to_owned(), body.into());
    Case {
        what,
        body,
        status,
        reason,
    }
}

/// Genuine at their time or elsewhere, but not here and today.
fn foreign_and_old() -> Vec<Case> {
    let known = known_answers().into_iter();
    let mut cases: Vec<Case> = known
        .map(|(name, body, _)| case(&name, body, 403, "certificate_validity"))
        .collect();
    for (path, reason) in [
        ("signed_ses/bounce_permanent_General.json", "stale"),
        ("signed_control/unsubscribe_confirmation.json", "stale"),
        (
            "signed_ses/other_account_topic_valid_signature.json",
            "foreign_topic",
        ),
        (
            "signed_control/subscription_confirmation_other_topic.json",
            "foreign_topic",
        ),
    ] {
        cases.push(case(path, fixture(path), 403, reason));
    }
    cases
}

fn altered() -> Vec<Case> {
    let mut cases = Vec::new();
    let tampered = json_of("negative/tampered_must_fail.json");
    for (what, message) in tampered.as_object().unwrap() {
        let (status, reason) = match what.as_str() {
            "Signature=not base64!" => (400, "field"),
            "SignatureVersion=3" => (403, "signature_version"),
            what if what.starts_with("TopicArn=") => (403, "foreign_topic"),
            what if what.starts_with("Type=") => (400, "field"),
            _ => (403, "signature"),
        };
        cases.push(case(what, message.to_string(), status, reason));
    }
    let malleable = json_of("negative/malleable_signature_verifies_but_reject.json");
    let messages = malleable.as_object().unwrap().iter();
    for (what, message) in messages.filter(|(_, message)| message.is_object()) {
        // The one that the others were cut from.
        let (status, reason) = match what.as_str() {
            "test_key_original" => (403, "stale"),
            _ => (400, "field"),
        };
        cases.push(case(what, message.to_string(), status, reason));
    }
    let mut fresh = envelope("hello");
    fresh["Message"] = "hello.".into();
    cases.push(case("other words", fresh.to_string(), 403, "signature"));
    cases
}

fn malformed() -> Vec<Case> {
    let twice = envelope("hello").to_string();
    let twice = twice.replacen('{', "{\"Type\":\"Notification\",", 1);
    let bare = json!({"eventType": "Bounce"});
    vec![
        case("a key twice", twice, 400, "repeated_key"),
        case("a sentence", "Successfully validated", 400, "not_json"),
        case("nothing", "", 400, "not_json"),
        case("no envelope", bare.to_string(), 400, "raw_delivery"),
        case("too large", " ".repeat(BODY_MAX + 1), 413, "too_large"),
    ]
}

async fn what_is_not_genuine_is_refused_counted_and_leaves_no_trace(db: &TestDb) {
    let mut topics = vec![TOPIC.to_owned()];
    let mut trust = trust();
    for (_, body, certificate) in known_answers() {
        topics.push(field(&body, "TopicArn"));
        let pem = fixture(&format!("kat/{certificate}"));
        trust.trust.push((field(&body, "SigningCertURL"), pem));
    }
    let variables = Variables::of(db).with("FEEDBACK__SNS__TOPICS", &topics.join(","));
    let program = Program::start_with(&variables, trust).await;
    let mut prober = Prober::new(&program.client);
    for case in foreign_and_old()
        .iter()
        .chain(&altered())
        .chain(&malformed())
    {
        prober.expect(case).await;
    }
    let raw = [("x-amz-sns-rawdelivery", "true")];
    let answer = prober.client.post_raw(open_of("x"), &raw).await;
    assert_eq!(answer.0, 400);
    prober.count("raw_delivery");
    prober.finish(db).await;
    program.stop().await;
}

async fn what_leads_elsewhere_is_refused_before_anything_is_fetched(db: &TestDb) {
    let variables = Variables::of(db).with("FEEDBACK__SNS__TOPICS", TOPIC);
    let program = Program::start(&variables).await;
    let mut prober = Prober::new(&program.client);
    for path in [
        "signed_control/subscription_confirmation_ssrf_url.json",
        "signed_control/subscription_confirmation_url_topic_mismatch.json",
    ] {
        let case = case(path, fixture(path), 403, "subscribe_address");
        prober.expect(&case).await;
    }
    let urls = json_of("negative/cert_url_cases.json");
    for url in urls["reject"].as_array().unwrap() {
        let url = url["url"].as_str().unwrap();
        let mut message = envelope("hello");
        message["SigningCertURL"] = url.into();
        // What is no address at all is no field of an SNS message.
        let (status, reason) = if url.is_ascii() && !url.contains(' ') {
            (403, "certificate_address")
        } else {
            (400, "field")
        };
        prober
            .expect(&case(url, message.to_string(), status, reason))
            .await;
    }
    prober.finish(db).await;
    program.stop().await;
}

async fn a_repeated_message_is_answered_well_and_applied_once(db: &TestDb) {
    let id = fill(db, 1).await.pop_first().unwrap();
    let sink = Sink::start(std::time::Duration::ZERO).await;
    let variables = Variables::of(db)
        .through(&sink)
        .with("FEEDBACK__SNS__TOPICS", TOPIC);
    let program = Program::start_with(&variables, trust()).await;
    let client = &program.client;
    all_done(db, std::time::Duration::from_secs(20)).await;

    let event = open_of(&id);
    let message = envelope(&event).to_string();
    for headers in [
        &[("content-type", "text/plain; charset=UTF-8")][..],
        &[("content-type", "application/json")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[],
    ] {
        let answer = client.post_raw(message.clone(), headers).await;
        assert_eq!(answer, (200, String::new()), "{headers:?}");
    }
    // The same happening in another envelope.
    let other = envelope(&event).to_string();
    assert_eq!(client.post_feedback(other).await.0, 200);

    let entry = client.entry(&id).await;
    assert_eq!(entry["status"], "Opened");
    assert_eq!(entry["facts"]["opened"]["count"], 1, "{entry:#}");
    assert_eq!(db.count("feedback_inbox").await, 2);
    for (result, count) in [("applied", 2.0), ("duplicate", 3.0)] {
        let series = format!("sendtrail_feedback_total{{kind=\"opened\",result=\"{result}\"}}");
        assert_eq!(client.metric(&series).await, Some(count), "{result}");
    }
    program.stop().await;
}

async fn what_is_genuine_and_not_understood_is_kept(db: &TestDb) {
    let variables = Variables::of(db)
        .sandbox()
        .with("FEEDBACK__SNS__TOPICS", TOPIC);
    let program = Program::start_with(&variables, trust()).await;
    let stranger = "01890a5d-ac96-774b-bcce-b302099a8057";
    for message in [
        "Successfully validated SNS topic for Amazon SES event publishing.",
        "{\"eventType\": \"Resurrection\", \"mail\": {\"messageId\": \"x\"}}",
        "{{{",
        "",
        &open_of(stranger),
    ] {
        let (status, text) = program
            .client
            .post_feedback(envelope(message).to_string())
            .await;
        assert_eq!(status, 200, "{message}: {text}");
    }
    let kept = "SELECT kind FROM feedback_inbox WHERE kind <> 'SubscriptionConfirmation' \
                ORDER BY kind";
    let kept = db.texts(kept).await;
    assert_eq!(
        kept,
        ["Open", "Resurrection", "test", "unparsable", "unparsable"]
    );
    assert_eq!(db.count("unmatched_events").await, 1);
    assert_eq!(
        program.client.metric("sendtrail_feedback_unmatched").await,
        Some(1.0)
    );
    program.stop().await;
}
